//! The kernels that work on f32, over any [`Simd`]: norms, the head, activations to bytes and products back. Lengths
//! were checked by the caller. Rows never meet: a row's result does not depend on its neighbours, to the bit.

use super::kernels::Columns;
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
