//! The kernels that work on f32, over any [`Simd`]: norms, attention, the head, activations to bytes and products back. Lengths
//! were checked by the caller. Rows never meet: a row's result does not depend on its neighbours, to the bit.

use super::kernels::{Attention, Columns, KEYS};
use super::simd::Simd;

/// A row to bytes over its own range (0 always included): scale and zero.
#[inline(always)]
pub(super) fn quantize<S: Simd>(simd: S, row: &[f32], bytes: &mut [u8]) -> (f32, f32) {
    let (mut low, mut high) = (simd.splat(0.0), simd.splat(0.0));
    for at in (0..row.len()).step_by(S::COUNT) {
        let values = simd.load(row, at);
        low = simd.min(low, values);
        high = simd.max(high, values);
    }
    let (low, high) = (simd.lowest(low), simd.highest(high));
    let scale = ((high - low) / S::LARGEST_BYTE).max(f32::MIN_POSITIVE);
    let zero = (-low / scale).round_ties_even();
    let (inverse, shift, largest) = (simd.splat(1.0 / scale), simd.splat(zero), simd.splat(S::LARGEST_BYTE));
    for at in (0..row.len()).step_by(S::COUNT) {
        let steps = simd.mul_add(simd.load(row, at), inverse, shift);
        simd.store_bytes(bytes, at, simd.min(steps, largest));
    }
    (scale, zero)
}

/// What the whole numbers of a product are worth, in some columns.
pub(super) struct Worth<S: Simd> {
    scales: S::Lanes,
    sums: S::Lanes,
    bias: S::Lanes,
}

impl<S: Simd> Worth<S> {
    #[inline(always)]
    pub(super) fn of(simd: S, columns: Columns<'_>, column: usize) -> Self {
        Self { scales: simd.load(columns.scales, column), sums: simd.load(columns.sums, column), bias: simd.load(columns.bias, column) }
    }

    /// The product's values in a row of this scale and zero.
    #[inline(always)]
    pub(super) fn value(&self, simd: S, sums: S::Lanes, scale: f32, zero: f32) -> S::Lanes {
        let offset = simd.mul_add(simd.splat(-scale * zero), self.sums, self.bias);
        simd.mul_add(simd.mul(sums, self.scales), simd.splat(scale), offset)
    }
}

/// Where GELU's polynomial ends: beyond, Φ is taken for what it is there, 1.6e-4 from 0 or 1, and the polynomial's end 9e-5 more.
const GELU_END: f32 = 3.6;

/// (Φ(x) - 1/2) / x as a polynomial in x², least squares reweighted towards the largest error of x² times it: 3.3e-4.
const GELU: [f32; 6] = [0.397_163_84, -0.063_448_65, 8.188_896e-3, -6.750_276e-4, 3.123_900_6e-5, -6.109_379e-7];

/// x Φ(x).
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let above = simd.max(x, simd.splat(-GELU_END));
    let inside = simd.min(above, simd.splat(GELU_END));
    let square = simd.mul(inside, inside);
    let mut value = simd.splat(GELU[5]);
    for index in (0..5).rev() {
        value = simd.mul_add(value, square, simd.splat(GELU[index]));
    }
    simd.mul(above, simd.mul_add(inside, value, simd.splat(0.5)))
}

/// e^x for x at most 0: a power of two times a polynomial over [-ln 2 / 2, ln 2 / 2] (Taylor's, six terms: 3e-6 relative).
#[inline(always)]
fn exponential<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let x = simd.max(x, simd.splat(-87.0));
    let power = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let rest = simd.mul_add(power, simd.splat(-std::f32::consts::LN_2), x);
    let mut value = simd.splat(1.0 / 120.0);
    for term in [1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        value = simd.mul_add(value, rest, simd.splat(term));
    }
    simd.mul(value, simd.power_of_two(power))
}

/// `row = norm(row + residual) × gain + bias`.
#[inline(always)]
pub(super) fn add_and_norm<S: Simd>(simd: S, row: &mut [f32], residual: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    let width = row.len() as f32;
    let mut total = simd.splat(0.0);
    for at in (0..row.len()).step_by(S::COUNT) {
        let sum = simd.add(simd.load(row, at), simd.load(residual, at));
        simd.store(row, at, sum);
        total = simd.add(total, sum);
    }
    let mean = simd.splat(simd.sum(total) / width);
    let mut squares = simd.splat(0.0);
    for at in (0..row.len()).step_by(S::COUNT) {
        let distance = simd.sub(simd.load(row, at), mean);
        squares = simd.mul_add(distance, distance, squares);
    }
    let inverse = simd.splat(1.0 / (simd.sum(squares) / width + epsilon).sqrt());
    for at in (0..row.len()).step_by(S::COUNT) {
        let unit = simd.mul(simd.sub(simd.load(row, at), mean), inverse);
        simd.store(row, at, simd.mul_add(unit, simd.load(gain, at), simd.load(bias, at)));
    }
}

/// `out[label] = row · weights[label] + bias[label]`.
#[inline(always)]
pub(super) fn dense<S: Simd>(simd: S, row: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
    for (label, out) in out.iter_mut().enumerate() {
        let weights = &weights[label * row.len()..(label + 1) * row.len()];
        let mut sum = simd.splat(0.0);
        for at in (0..row.len()).step_by(S::COUNT) {
            sum = simd.mul_add(simd.load(row, at), simd.load(weights, at), sum);
        }
        *out = simd.sum(sum) + bias[label];
    }
}

/// Scaled dot-product attention of one window, head by head. A lane is a query: scores, their softmax and the mixed values of
/// several queries lie side by side, each lane's sums its own. `scratch` holds the head's keys (`padded × size`) and values
/// (`length × size`), gathered so that they lie close together; and of the queries at work the queries themselves, later their
/// results (`size × lanes`), and scores (`padded × lanes`).
#[inline(always)]
pub(super) fn attention<S: Simd>(simd: S, attention: Attention<'_>, scratch: &mut [f32], out: &mut [f32]) {
    let Attention { projected, width, heads, queries } = attention;
    let (stride, size) = (3 * width, width / heads);
    let length = projected.len() / stride;
    let padded = length.next_multiple_of(KEYS);
    let (keys, rest) = scratch.split_at_mut(padded * size);
    let (values, rest) = rest.split_at_mut(length * size);
    let (asking, scores) = rest.split_at_mut(size * 2 * S::COUNT);
    keys[length * size..].fill(0.0);
    for head in 0..heads {
        for ((projected, key), value) in projected.chunks_exact(stride).zip(keys.chunks_exact_mut(size)).zip(values.chunks_exact_mut(size))
        {
            key.copy_from_slice(&projected[width + head * size..][..size]);
            value.copy_from_slice(&projected[2 * width + head * size..][..size]);
        }
        let (mut rest, mut written) = (queries, 0);
        while !rest.is_empty() {
            let narrow = rest.len() <= S::COUNT;
            let lanes = if narrow { S::COUNT } else { 2 * S::COUNT };
            let (asked, later) = rest.split_at(lanes.min(rest.len()));
            let asking = &mut asking[..size * lanes];
            turn(asked, projected, stride, head * size, asking, lanes);
            if narrow {
                block::<S, KEYS, 1>(simd, keys, values, size, asking, scores);
            } else {
                block::<S, { KEYS / 2 }, 2>(simd, keys, values, size, asking, scores);
            }
            for lane in 0..asked.len() {
                let out = &mut out[(written + lane) * width + head * size..][..size];
                for (out, results) in out.iter_mut().zip(asking.chunks_exact(lanes)) {
                    *out = results[lane];
                }
            }
            written += asked.len();
            rest = later;
        }
    }
}

/// Scaled queries, a lane each; lanes that nobody asks in hold 0.
#[inline(always)]
fn turn(asked: &[u32], projected: &[f32], stride: usize, begin: usize, asking: &mut [f32], lanes: usize) {
    let size = asking.len() / lanes;
    let scale = 1.0 / (size as f32).sqrt();
    if asked.len() < lanes {
        asking.fill(0.0);
    }
    for (lane, &row) in asked.iter().enumerate() {
        let query = &projected[row as usize * stride + begin..][..size];
        for (asking, value) in asking.chunks_exact_mut(lanes).zip(query) {
            asking[lane] = value * scale;
        }
    }
}

/// Attention of `R` registers of queries, their results in their place; tiles of `B` keys, or dimensions of a value, at a time.
#[inline(always)]
fn block<S: Simd, const B: usize, const R: usize>(
    simd: S,
    keys: &[f32],
    values: &[f32],
    size: usize,
    asking: &mut [f32],
    scores: &mut [f32],
) {
    let lanes = R * S::COUNT;
    for (keys, scores) in keys.chunks_exact(B * size).zip(scores.chunks_exact_mut(B * lanes)) {
        let rows: [&[f32]; B] = std::array::from_fn(|index| &keys[index * size..][..size]);
        let mut sums = [[simd.splat(0.0); R]; B];
        for (dimension, asking) in asking.chunks_exact(lanes).enumerate().take(size) {
            let asking: [S::Lanes; R] = std::array::from_fn(|part| simd.load(asking, part * S::COUNT));
            for (sums, row) in sums.iter_mut().zip(rows) {
                let value = simd.splat(row[dimension]);
                for (sum, asking) in sums.iter_mut().zip(asking) {
                    *sum = simd.mul_add(value, asking, *sum);
                }
            }
        }
        for (index, sums) in sums.iter().enumerate() {
            for (part, &sum) in sums.iter().enumerate() {
                simd.store(scores, index * lanes + part * S::COUNT, sum);
            }
        }
    }
    let scores = &mut scores[..values.len() / size * lanes];
    let inverses: [S::Lanes; R] = softmax(simd, scores);
    for begin in (0..size).step_by(B) {
        let mut sums = [[simd.splat(0.0); R]; B];
        for (weights, value) in scores.chunks_exact(lanes).zip(values.chunks_exact(size)) {
            let weights: [S::Lanes; R] = std::array::from_fn(|part| simd.load(weights, part * S::COUNT));
            for (sums, &value) in sums.iter_mut().zip(&value[begin..begin + B]) {
                let value = simd.splat(value);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = simd.mul_add(value, weight, *sum);
                }
            }
        }
        for (index, sums) in sums.iter().enumerate() {
            for (part, &sum) in sums.iter().enumerate() {
                simd.store(asking, (begin + index) * lanes + part * S::COUNT, simd.mul(sum, inverses[part]));
            }
        }
    }
}

/// Each lane's scores to exponentials in place; one over their sums.
#[inline(always)]
fn softmax<S: Simd, const R: usize>(simd: S, scores: &mut [f32]) -> [S::Lanes; R] {
    let lanes = R * S::COUNT;
    let mut highest = [simd.splat(f32::NEG_INFINITY); R];
    for scores in scores.chunks_exact(lanes) {
        for (part, highest) in highest.iter_mut().enumerate() {
            *highest = simd.max(*highest, simd.load(scores, part * S::COUNT));
        }
    }
    let mut totals = [simd.splat(0.0); R];
    for scores in scores.chunks_exact_mut(lanes) {
        for (part, total) in totals.iter_mut().enumerate() {
            let value = exponential(simd, simd.sub(simd.load(scores, part * S::COUNT), highest[part]));
            simd.store(scores, part * S::COUNT, value);
            *total = simd.add(*total, value);
        }
    }
    totals.map(|total| simd.div(simd.splat(1.0), total))
}
