//! The kernels that work on f32, over any [`Simd`]: norms, the head, activations to bytes and products back. Lengths
//! were checked by the caller. Rows never meet: a row's result does not depend on its neighbours, to the bit.

use super::kernels::Columns;
use super::simd::{ABREAST, Simd};

/// The lowest and the highest value of a row and 0.
#[inline(always)]
pub(super) fn range<S: Simd>(simd: S, row: &[f32]) -> (f32, f32) {
    let mut ranges = [(simd.splat(0.0), simd.splat(0.0)); ABREAST];
    for values in row.chunks_exact(ABREAST * S::COUNT) {
        for (part, (low, high)) in ranges.iter_mut().enumerate() {
            let values = simd.load(values, part * S::COUNT);
            (*low, *high) = (simd.min(*low, values), simd.max(*high, values));
        }
    }
    let [(mut low, mut high), rest @ ..] = ranges;
    for (lower, higher) in rest {
        (low, high) = (simd.min(low, lower), simd.max(high, higher));
    }
    (simd.lowest(low), simd.highest(high))
}

/// A row to bytes over its own range (0 always included): scale and zero.
#[inline(always)]
pub(super) fn quantize<S: Simd>(simd: S, row: &[f32], bytes: &mut [u8]) -> (f32, f32) {
    let (low, high) = range(simd, row);
    let scale = ((high - low) / S::LARGEST_BYTE).max(f32::MIN_POSITIVE);
    let zero = (-low / scale).round_ties_even();
    let (inverse, shift, largest) = (simd.splat(1.0 / scale), simd.splat(zero), simd.splat(S::LARGEST_BYTE));
    let abreast = ABREAST * S::COUNT;
    for (values, bytes) in row.chunks_exact(abreast).zip(bytes.chunks_exact_mut(abreast)) {
        let mut steps = [simd.splat(0.0); ABREAST];
        for (part, steps) in steps.iter_mut().enumerate() {
            *steps = simd.min(simd.mul_add(simd.load(values, part * S::COUNT), inverse, shift), largest);
        }
        simd.store_bytes(bytes, steps);
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

/// The sum of all lanes.
#[inline(always)]
fn total<S: Simd>(simd: S, [a, b, c, d]: [S::Lanes; ABREAST]) -> f32 {
    simd.sum(simd.add(simd.add(a, b), simd.add(c, d)))
}

/// `row = norm(row + residual) × gain + bias`.
#[inline(always)]
pub(super) fn add_and_norm<S: Simd>(simd: S, row: &mut [f32], residual: &[f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    let (width, abreast) = (row.len() as f32, ABREAST * S::COUNT);
    let mut totals = [simd.splat(0.0); ABREAST];
    for (values, residual) in row.chunks_exact_mut(abreast).zip(residual.chunks_exact(abreast)) {
        for (part, total) in totals.iter_mut().enumerate() {
            let at = part * S::COUNT;
            let sum = simd.add(simd.load(values, at), simd.load(residual, at));
            simd.store(values, at, sum);
            *total = simd.add(*total, sum);
        }
    }
    let mean = simd.splat(total(simd, totals) / width);
    let mut squares = [simd.splat(0.0); ABREAST];
    for values in row.chunks_exact(abreast) {
        for (part, square) in squares.iter_mut().enumerate() {
            let distance = simd.sub(simd.load(values, part * S::COUNT), mean);
            *square = simd.mul_add(distance, distance, *square);
        }
    }
    let inverse = simd.splat(1.0 / (total(simd, squares) / width + epsilon).sqrt());
    let ends = gain.chunks_exact(S::COUNT).zip(bias.chunks_exact(S::COUNT));
    for (values, (gain, bias)) in row.chunks_exact_mut(S::COUNT).zip(ends) {
        let unit = simd.mul(simd.sub(simd.load(values, 0), mean), inverse);
        simd.store(values, 0, simd.mul_add(unit, simd.load(gain, 0), simd.load(bias, 0)));
    }
}

/// `out[label] = row · weights[label] + bias[label]`.
#[inline(always)]
pub(super) fn dense<S: Simd>(simd: S, row: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
    for (label, out) in out.iter_mut().enumerate() {
        let weights = &weights[label * row.len()..(label + 1) * row.len()];
        let mut sums = [simd.splat(0.0); ABREAST];
        for at in (0..row.len()).step_by(ABREAST * S::COUNT) {
            for (part, sum) in sums.iter_mut().enumerate() {
                let at = at + part * S::COUNT;
                *sum = simd.mul_add(simd.load(row, at), simd.load(weights, at), *sum);
            }
        }
        *out = total(simd, sums) + bias[label];
    }
}
