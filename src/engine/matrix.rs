//! Weights as bytes: a matrix quantized a column at a time and laid out as the kernels read it. Pure.

use crate::native::{Columns, Packing};

/// `outer × inner` weights of a linear layer with its bias, in bytes.
#[derive(Debug)]
pub struct QuantizedMatrix {
    packed: Vec<i8>,
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
        let mut matrix = Self { packed: vec![0; rows.len() * inner], scales: Vec::new(), sums: Vec::new(), bias };
        let mut bytes = vec![0; inner];
        for (output, row) in rows.iter().enumerate() {
            let scale = quantize(packing, row, &mut bytes);
            let (panel, column) = (output / packing.panel, output % packing.panel);
            let panel = &mut matrix.packed[panel * packing.panel * inner..(panel + 1) * packing.panel * inner];
            for (group, four) in bytes.chunks_exact(4).enumerate() {
                panel[(group * packing.panel + column) * 4..][..4].copy_from_slice(four);
            }
            matrix.scales.push(scale);
            matrix.sums.push(scale * bytes.iter().map(|&byte| i32::from(byte)).sum::<i32>() as f32);
        }
        matrix
    }

    pub fn columns(&self) -> Columns<'_> {
        Columns { packed: &self.packed, scales: &self.scales, sums: &self.sums, bias: &self.bias }
    }
}

/// One output's weights to bytes; returns their scale.
fn quantize(packing: Packing, row: &[f32], bytes: &mut [i8]) -> f32 {
    let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let mut scale = (largest / 127.0).max(f32::MIN_POSITIVE);
    loop {
        for (byte, value) in bytes.iter_mut().zip(row) {
            *byte = (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
        }
        match packing.largest_lane_sum {
            Some(most) if largest_lane_sum(packing, bytes) > most => {
                scale *= (largest_lane_sum(packing, bytes) as f32 / most as f32).max(1.001);
            }
            _ => return scale,
        }
    }
}

/// The largest sum of the positive, or of the negative, weights that one lane of sixteen bits meets in a chain: lanes hold the
/// even and the odd pairs of bytes.
fn largest_lane_sum(packing: Packing, bytes: &[i8]) -> i32 {
    let mut largest = 0;
    for chain in bytes.chunks(4 * packing.chain) {
        for pair in [0, 2] {
            let lane = || chain.chunks_exact(4).flat_map(|four| [i32::from(four[pair]), i32::from(four[pair + 1])]);
            let positive: i32 = lane().filter(|&byte| byte > 0).sum();
            let negative: i32 = lane().filter(|&byte| byte < 0).sum();
            largest = largest.max(positive).max(-negative);
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
            self.packed[panel * packing.panel * inner + (index / 4 * packing.panel + place) * 4 + index % 4]
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
                    let (plain, bound) = if activated { (gelu(plain), 4e-4) } else { (plain, 1e-4) };
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
                    let bytes: Vec<i8> = (0..UNIT).map(|index| matrix.byte(packing, UNIT, column, index)).collect();
                    for (byte, weight) in bytes.iter().zip(&weights[column * UNIT..]) {
                        prop_assert!((f32::from(*byte) * matrix.scales[column] - weight).abs() <= matrix.scales[column] * 0.501);
                    }
                    prop_assert!(packing.largest_lane_sum.is_none_or(|most| largest_lane_sum(packing, &bytes) <= most));
                }
            }
        }
    }

    #[test]
    fn a_lane_meets_two_bytes_of_every_group_of_its_chain() {
        let packing = Packing { panel: 16, chain: 2, largest_lane_sum: Some(100) };
        assert_eq!(largest_lane_sum(packing, &[1, 2, -30, 4, 5, 6, -70, 8, 99, 0, 0, 0, 0, 0, 0, 0]), 100);
        assert_eq!(largest_lane_sum(packing, &[1, 2, 0, 0, 5, -6, 0, 0]), 8);
    }
}
