//! The kernels that work on f32, over any [`Simd`]: norms, attention, the head, activations to bytes and products back. Lengths
//! were checked by the caller. Rows never meet: a row's result does not depend on its neighbours, to the bit.

use super::kernels::{Attention, Columns, QUERIES};
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

/// Where GELU's polynomial ends: beyond, Φ is 0 or 1 to within 1.4e-5.
const GELU_END: f32 = 4.2;

/// (Φ(x) - 1/2) / x as a polynomial in (x / 4.2)², least squares reweighted towards the largest error of x² times it: 7e-5.
const GELU: [f32; 8] = [0.398_508_7, -1.157_172, 2.905_525_7, -5.273_614, 6.609_900_5, -5.362_859_3, 2.509_65, -0.510_899_07];

/// x Φ(x).
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::Lanes) -> S::Lanes {
    let above = simd.max(x, simd.splat(-GELU_END));
    let inside = simd.min(above, simd.splat(GELU_END));
    let square = simd.mul(simd.mul(inside, inside), simd.splat(1.0 / (GELU_END * GELU_END)));
    let mut value = simd.splat(GELU[7]);
    for index in (0..7).rev() {
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

/// Scaled dot-product attention of one window, head by head. The head's keys are turned and its values gathered first, so that
/// both lie close together: `scratch` holds keys (`size × padded`), values (`length × size`) and scores (`QUERIES × padded`).
#[inline(always)]
pub(super) fn attention<S: Simd>(simd: S, attention: Attention<'_>, scratch: &mut [f32], out: &mut [f32]) {
    let Attention { projected, width, heads, queries } = attention;
    let (stride, size) = (3 * width, width / heads);
    let length = projected.len() / stride;
    let padded = length.next_multiple_of(2 * S::COUNT);
    let (keys, rest) = scratch.split_at_mut(size * padded);
    let (values, scores) = rest.split_at_mut(length * size);
    let scale = 1.0 / (size as f32).sqrt();
    for head in 0..heads {
        for (row, projected) in projected.chunks_exact(stride).enumerate() {
            let key = &projected[width + head * size..][..size];
            for (turned, &value) in keys.chunks_exact_mut(padded).zip(key) {
                turned[row] = value * scale;
            }
            values[row * size..][..size].copy_from_slice(&projected[2 * width + head * size..][..size]);
        }
        for turned in keys.chunks_exact_mut(padded) {
            turned[length..].fill(0.0);
        }
        for (block, asked) in queries.chunks(QUERIES).enumerate() {
            // The last block asks its last query again: six at a time, always.
            let asking: [&[f32]; QUERIES] = std::array::from_fn(|index| {
                let row = asked[index.min(asked.len() - 1)] as usize;
                &projected[row * stride + head * size..][..size]
            });
            scores_of(simd, asking, keys, padded, scores);
            let mut inverses = [0.0; QUERIES];
            for (inverse, scores) in inverses.iter_mut().zip(scores.chunks_exact_mut(padded)) {
                *inverse = 1.0 / softmax(simd, scores, length);
            }
            for part in (0..size).step_by(2 * S::COUNT) {
                let mixed = mix(simd, scores, padded, values, size, part);
                for index in 0..asked.len() {
                    let at = (block * QUERIES + index) * width + head * size + part;
                    let inverse = simd.splat(inverses[index]);
                    simd.store(out, at, simd.mul(mixed[index][0], inverse));
                    simd.store(out, at + S::COUNT, simd.mul(mixed[index][1], inverse));
                }
            }
        }
    }
}

/// Six queries against all keys (`size × padded`), to `6 × padded`.
#[inline(always)]
fn scores_of<S: Simd>(simd: S, queries: [&[f32]; QUERIES], keys: &[f32], padded: usize, scores: &mut [f32]) {
    for at in (0..padded).step_by(2 * S::COUNT) {
        let mut sums = [[simd.splat(0.0); 2]; QUERIES];
        for (dimension, keys) in keys.chunks_exact(padded).enumerate() {
            let (one, two) = (simd.load(keys, at), simd.load(keys, at + S::COUNT));
            for (sums, query) in sums.iter_mut().zip(queries) {
                let value = simd.splat(query[dimension]);
                sums[0] = simd.mul_add(value, one, sums[0]);
                sums[1] = simd.mul_add(value, two, sums[1]);
            }
        }
        for (scores, [one, two]) in scores.chunks_exact_mut(padded).zip(sums) {
            simd.store(scores, at, one);
            simd.store(scores, at + S::COUNT, two);
        }
    }
}

/// Scores to exponentials in place, those from `length` on to 0; their sum.
#[inline(always)]
fn softmax<S: Simd>(simd: S, scores: &mut [f32], length: usize) -> f32 {
    scores[length..].fill(f32::NEG_INFINITY);
    let mut highest = simd.splat(f32::NEG_INFINITY);
    for at in (0..scores.len()).step_by(S::COUNT) {
        highest = simd.max(highest, simd.load(scores, at));
    }
    let highest = simd.splat(simd.highest(highest));
    let mut total = simd.splat(0.0);
    for at in (0..scores.len()).step_by(S::COUNT) {
        let value = exponential(simd, simd.sub(simd.load(scores, at), highest));
        simd.store(scores, at, value);
        total = simd.add(total, value);
    }
    // What e^-87 adds for the places beyond the end is under the sum's own rounding.
    simd.sum(total)
}

/// Six rows of scores times two registers' columns of the values.
#[inline(always)]
fn mix<S: Simd>(simd: S, scores: &[f32], padded: usize, values: &[f32], size: usize, part: usize) -> [[S::Lanes; 2]; QUERIES] {
    let rows: [&[f32]; QUERIES] = std::array::from_fn(|index| &scores[index * padded..(index + 1) * padded]);
    let mut sums = [[simd.splat(0.0); 2]; QUERIES];
    for (row, values) in values.chunks_exact(size).enumerate() {
        let (one, two) = (simd.load(values, part), simd.load(values, part + S::COUNT));
        for (sums, scores) in sums.iter_mut().zip(rows) {
            let weight = simd.splat(scores[row]);
            sums[0] = simd.mul_add(weight, one, sums[0]);
            sums[1] = simd.mul_add(weight, two, sums[1]);
        }
    }
    sums
}
