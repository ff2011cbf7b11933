//! Weights as bytes: a matrix quantized a column at a time and laid out as the kernels read it. Pure.

use std::ops::Range;

use crate::native::{CACHE_LINE, Columns, Packing};

/// `outer × inner` weights of a linear layer with its bias, in bytes.
#[derive(Debug)]
pub struct QuantizedMatrix {
    packed: Vec<i8>,
    /// Where in `packed` the weights lie: from the beginning of a line of the processor's caches on.
    place: Range<usize>,
    scales: Vec<f32>,
    sums: Vec<f32>,
    bias: Vec<f32>,
}

impl QuantizedMatrix {
    /// From one or more layers that read the same input, stacked: row-major weights (`outer × inner`) and bias of each. The
    /// outer sizes add up to a multiple of [`crate::native::UNIT`], and so is `inner`. Symmetric; the largest value of an output
    /// is 127, or less where a lane's chain would overflow.
    pub fn new(packing: Packing, layers: &[(Vec<f32>, Vec<f32>)], inner: usize) -> Self {
        let bias: Vec<f32> = layers.iter().flat_map(|(_, bias)| bias.iter().copied()).collect();
        let rows: Vec<&[f32]> = layers.iter().flat_map(|(weights, _)| weights.chunks_exact(inner)).collect();
        let count = rows.len() * inner;
        let packed = vec![0; count + CACHE_LINE - 1];
        let begin = packed.as_ptr().align_offset(CACHE_LINE);
        let mut matrix = Self { packed, place: begin..begin + count, scales: Vec::new(), sums: Vec::new(), bias };
        let (mut steps, mut bytes) = (vec![0.0; inner], vec![0; inner]);
        for (output, row) in rows.iter().enumerate() {
            let scale = quantize(packing, row, &mut steps, &mut bytes);
            let (panel, column) = (output / packing.panel, output % packing.panel);
            let panel = &mut matrix.packed[begin + panel * packing.panel * inner..][..packing.panel * inner];
            for (group, four) in bytes.chunks_exact(4).enumerate() {
                panel[(group * packing.panel + column) * 4..][..4].copy_from_slice(four);
            }
            matrix.scales.push(scale);
            matrix.sums.push(scale * bytes.iter().map(|&byte| i32::from(byte)).sum::<i32>() as f32);
        }
        matrix
    }

    pub fn columns(&self) -> Columns<'_> {
        Columns { packed: &self.packed[self.place.clone()], scales: &self.scales, sums: &self.sums, bias: &self.bias }
    }
}

/// One output's weights to bytes; returns their scale. `steps` is room for as many numbers.
fn quantize(packing: Packing, row: &[f32], steps: &mut [f32], bytes: &mut [i8]) -> f32 {
    let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let mut scale = (largest / 127.0).max(f32::MIN_POSITIVE);
    // Before rounding already: the scale is then mostly right at the first try.
    if let Some(most) = packing.largest_lane_sum {
        scale = scale.max(largest_lane_sum(packing, row) / most as f32);
    }
    loop {
        for (step, value) in steps.iter_mut().zip(row) {
            *step = nearest(value / scale);
        }
        match packing.largest_lane_sum.map(|most| largest_lane_sum(packing, steps) / most as f32) {
            Some(excess) if excess > 1.0 => scale *= excess.max(1.001),
            _ => break,
        }
    }
    for (byte, step) in bytes.iter_mut().zip(steps) {
        *byte = *step as i8;
    }
    scale
}

/// To the nearest whole number, a half to the even one, for values of at most 2²²: above 2²³ a float has no digits after the
/// point. (`round_ties_even` is a call for each value where the compiler may not suppose SSE 4.1.)
fn nearest(value: f32) -> f32 {
    const NO_FRACTION: f32 = (3 << 22) as f32;
    (value + NO_FRACTION) - NO_FRACTION
}

/// The largest sum of the positive, or of the negative, weights that one lane of sixteen bits meets in a chain: lanes hold the
/// even and the odd pairs of bytes.
fn largest_lane_sum(packing: Packing, row: &[f32]) -> f32 {
    let mut largest = 0.0f32;
    for chain in row.chunks(4 * packing.chain) {
        let (mut positive, mut negative) = ([0.0f32; 4], [0.0f32; 4]);
        for four in chain.as_chunks::<4>().0 {
            for (place, &value) in four.iter().enumerate() {
                positive[place] += value.max(0.0);
                negative[place] -= value.min(0.0);
            }
        }
        for sums in [positive, negative] {
            largest = largest.max(sums[0] + sums[1]).max(sums[2] + sums[3]);
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{Activation, Kernels, Rows, UNIT};
    use proptest::prelude::*;

    /// Numbers of -1 to 1, the same for the same seed.
    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed | 1;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .take(count)
        .collect()
    }

    impl QuantizedMatrix {
        /// The byte of one weight, found again where the kernels read it.
        fn byte(&self, packing: Packing, inner: usize, column: usize, index: usize) -> i8 {
            let (panel, place) = (column / packing.panel, column % packing.panel);
            self.columns().packed[panel * packing.panel * inner + (index / 4 * packing.panel + place) * 4 + index % 4]
        }
    }

    /// x Φ(x), erf by its power series.
    fn gelu(x: f64) -> f64 {
        let z = (x / std::f64::consts::SQRT_2).clamp(-5.0, 5.0);
        let (mut term, mut erf) = (z, z);
        for n in 1..120 {
            term *= -z * z / f64::from(n);
            erf += term / f64::from(2 * n + 1);
        }
        0.5 * x * (1.0 + erf * 2.0 / std::f64::consts::PI.sqrt())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_product_is_that_of_its_bytes(
            rows in 1usize..15,
            inner in 1usize..5,
            outer in 1usize..4,
            // Small: weights alike and large lane sums; large: a few weights much larger than the others.
            power in 0i32..6,
            activated in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let (inner, outer) = (inner * UNIT, outer * UNIT);
            let weights: Vec<f32> = numbers(outer * inner, seed).into_iter().map(|number| number.powi(2 * power + 1)).collect();
            let (bias, input) = (numbers(outer, seed ^ 1), numbers(rows * inner, seed ^ 2));
            for kernels in Kernels::every() {
                let packing = kernels.packing();
                let matrix = QuantizedMatrix::new(packing, &[(weights.clone(), bias.clone())], inner);
                let mut bytes = vec![0; input.len()];
                let (scales, zeros): (Vec<f32>, Vec<f32>) =
                    input.chunks_exact(inner).zip(bytes.chunks_exact_mut(inner)).map(|(row, bytes)| kernels.quantize(row, bytes)).unzip();
                let mut out = vec![f32::NAN; rows * outer];
                let activation = if activated { Activation::Gelu } else { Activation::None };
                kernels.linear(Rows { bytes: &bytes, scales: &scales, zeros: &zeros, inner }, matrix.columns(), activation, &mut out);
                for (row, column) in (0..rows).flat_map(|row| (0..outer).map(move |column| (row, column))) {
                    let sum: f64 = (0..inner)
                        .map(|k| (f64::from(bytes[row * inner + k]) - f64::from(zeros[row])) * f64::from(matrix.byte(packing, inner, column, k)))
                        .sum();
                    let plain = sum * f64::from(scales[row]) * f64::from(matrix.scales[column]) + f64::from(bias[column]);
                    let (plain, bound) = if activated { (gelu(plain), 9e-4 + 2.5e-4 * plain.abs()) } else { (plain, 1e-4) };
                    let found = f64::from(out[row * outer + column]);
                    prop_assert!((found - plain).abs() < bound * plain.abs().max(1.0), "{:?}: {} is not {}", kernels, found, plain);
                }
            }
        }

        #[test]
        fn a_weight_is_its_byte_to_within_half_a_step(power in 0i32..6, seed in any::<u64>()) {
            let weights: Vec<f32> = numbers(UNIT * UNIT, seed).into_iter().map(|number| number.powi(2 * power + 1)).collect();
            for kernels in Kernels::every() {
                let packing = kernels.packing();
                let matrix = QuantizedMatrix::new(packing, &[(weights.clone(), vec![0.0; UNIT])], UNIT);
                for column in 0..UNIT {
                    let bytes: Vec<f32> = (0..UNIT).map(|index| matrix.byte(packing, UNIT, column, index).into()).collect();
                    for (byte, weight) in bytes.iter().zip(&weights[column * UNIT..]) {
                        prop_assert!((byte * matrix.scales[column] - weight).abs() <= matrix.scales[column] * 0.501);
                    }
                    prop_assert!(packing.largest_lane_sum.is_none_or(|most| largest_lane_sum(packing, &bytes) <= most as f32));
                }
            }
        }
    }

    /// As [`Activation::Gelu`] says: the bias alone, over all that counts.
    #[test]
    fn gelu_is_as_near_as_it_says() {
        let values: Vec<f32> = (-8_000i16..8_000).map(|number| f32::from(number) / 1e3).collect();
        for kernels in Kernels::every() {
            let matrix = QuantizedMatrix::new(kernels.packing(), &[(vec![0.0; values.len() * UNIT], values.clone())], UNIT);
            let mut out = vec![f32::NAN; values.len()];
            let rows = Rows { bytes: &[0; UNIT], scales: &[1.0], zeros: &[0.0], inner: UNIT };
            kernels.linear(rows, matrix.columns(), Activation::Gelu, &mut out);
            for (value, found) in values.iter().map(|value| f64::from(*value)).zip(out) {
                let bound = match (kernels.name(), value.abs() <= 3.6) {
                    ("avx2", true) => 3.4e-4,
                    ("avx2", false) => 2.6e-4 * value.abs(),
                    _ => 8e-4,
                };
                assert!((f64::from(found) - gelu(value)).abs() < bound, "{kernels:?}: {found} is not GELU of {value}");
            }
        }
    }

    /// The largest activations exactly where a column's weights are positive, or negative: no sum may overflow on its way.
    #[test]
    fn the_worst_rows_do_not_overflow() {
        let inner = 4 * UNIT;
        for (kernels, power) in Kernels::every().into_iter().flat_map(|kernels| [0, 1, 4].map(|power| (kernels, power))) {
            let weights: Vec<f32> = numbers(UNIT * inner, 7).into_iter().map(|number| number.powi(2 * power + 1)).collect();
            let packing = kernels.packing();
            let matrix = QuantizedMatrix::new(packing, &[(weights, vec![0.0; UNIT])], inner);
            let largest = if packing.largest_lane_sum.is_some() { 127 } else { 255 };
            for column in 0..UNIT {
                let weight = |index: usize| i32::from(matrix.byte(packing, inner, column, index));
                for sign in [1, -1] {
                    let bytes: Vec<u8> = (0..inner).map(|index| if sign * weight(index) > 0 { largest } else { 0 }).collect();
                    let mut out = vec![f32::NAN; UNIT];
                    kernels.linear(
                        Rows { bytes: &bytes, scales: &[1.0], zeros: &[0.0], inner },
                        matrix.columns(),
                        Activation::None,
                        &mut out,
                    );
                    let sum: i32 = (0..inner).map(|index| i32::from(bytes[index]) * weight(index)).sum();
                    let plain = sum as f32 * matrix.scales[column];
                    assert!((out[column] - plain).abs() <= plain.abs() * 1e-6, "{kernels:?}: {} is not {plain}", out[column]);
                }
            }
        }
    }

    #[test]
    fn a_lane_meets_two_bytes_of_every_group_of_its_chain() {
        let packing = Packing { panel: 16, chain: 2, largest_lane_sum: Some(100) };
        assert_eq!(
            largest_lane_sum(packing, &[1.0, 2.0, -30.0, 4.0, 5.0, 6.0, -70.0, 8.0, 99.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            100.0
        );
        assert_eq!(largest_lane_sum(packing, &[1.0, 2.0, 0.0, 0.0, 5.0, -6.0, 0.0, 0.0]), 8.0);
    }
}
