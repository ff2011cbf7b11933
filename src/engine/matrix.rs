//! Weights as bytes: a matrix quantized a column at a time and laid out as the kernels read it. Pure.

use crate::native::{Columns, TILE};

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
    /// outer sizes add up to a multiple of [`TILE`], `inner` is a multiple of 4. Symmetric, the largest value of an output is 127.
    pub fn new(layers: &[(Vec<f32>, Vec<f32>)], inner: usize) -> Self {
        let bias: Vec<f32> = layers.iter().flat_map(|(_, bias)| bias.iter().copied()).collect();
        let rows: Vec<&[f32]> = layers.iter().flat_map(|(weights, _)| weights.chunks_exact(inner)).collect();
        let mut matrix = Self { packed: vec![0; rows.len() * inner], scales: Vec::new(), sums: Vec::new(), bias };
        for (output, row) in rows.iter().enumerate() {
            let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
            let (panel, column) = (output / TILE, output % TILE);
            let mut sum = 0i32;
            for (index, value) in row.iter().enumerate() {
                let byte = (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8;
                sum += i32::from(byte);
                matrix.packed[panel * TILE * inner + index / 4 * TILE * 4 + column * 4 + index % 4] = byte;
            }
            matrix.scales.push(scale);
            matrix.sums.push(scale * sum as f32);
        }
        matrix
    }

    pub fn columns(&self) -> Columns<'_> {
        Columns { packed: &self.packed, scales: &self.scales, sums: &self.sums, bias: &self.bias }
    }

    /// Outputs a row.
    pub fn outer(&self) -> usize {
        self.scales.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{Activation, Rows, Vnni};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_product_is_the_plain_one_to_within_the_steps(
            rows in 1usize..15,
            steps in 1usize..12,
            panels in 1usize..4,
            seed in any::<u64>(),
            gelu in any::<bool>(),
        ) {
            let Some(vnni) = Vnni::detect() else { return Ok(()) };
            let (inner, outer) = (steps * 16, panels * TILE);
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            };
            let weights: Vec<f32> = (0..outer * inner).map(|_| next()).collect();
            let bias: Vec<f32> = (0..outer).map(|_| next()).collect();
            let input: Vec<f32> = (0..rows * inner).map(|_| next() + 0.5).collect();
            let matrix = QuantizedMatrix::new(&[(weights.clone(), bias.clone())], inner);
            let mut bytes = vec![0; input.len()];
            let (mut scales, mut zeros) = (Vec::new(), Vec::new());
            for (row, out) in input.chunks_exact(inner).zip(bytes.chunks_exact_mut(inner)) {
                let (scale, zero) = vnni.quantize(row, out);
                scales.push(scale);
                zeros.push(zero);
            }
            let mut out = vec![0.0; rows * outer];
            let activation = if gelu { Activation::Gelu } else { Activation::None };
            vnni.linear(Rows { bytes: &bytes, scales: &scales, zeros: &zeros, inner }, matrix.columns(), activation, &mut out);
            for row in 0..rows {
                for column in 0..outer {
                    let plain: f32 = (0..inner).map(|k| input[row * inner + k] * weights[column * inner + k]).sum::<f32>() + bias[column];
                    let plain = if gelu { libm_gelu(plain) } else { plain };
                    let bound = 0.02 * (inner as f32).sqrt() + 0.01;
                    prop_assert!((out[row * outer + column] - plain).abs() < bound, "{} is not {plain}", out[row * outer + column]);
                }
            }
        }
    }

    /// GELU with erf by Abramowitz and Stegun 7.1.26.
    fn libm_gelu(x: f32) -> f32 {
        let z = f64::from(x).abs() / std::f64::consts::SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * z);
        let poly = t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
        let erf = (1.0 - poly * (-z * z).exp()) * f64::from(x).signum();
        (0.5 * f64::from(x) * (1.0 + erf)) as f32
    }
}
