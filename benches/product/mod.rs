//! A product of bytes as the network computes them: rows of activations times a matrix of weights, the numbers made up.

use std::hint::black_box;

use nerd::engine::QuantizedMatrix;
use nerd::native::{Activation, Kernels, Rows};

/// Rows of a product: those of the network's feed-forward block, a few tiles of either instruction set.
const ROWS: usize = 48;

/// `ROWS × inner` bytes and `outer × inner` weights.
pub struct Product {
    kernels: Kernels,
    matrix: QuantizedMatrix,
    inner: usize,
    bytes: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<f32>,
    out: Vec<f32>,
}

impl Product {
    pub fn new(kernels: Kernels, inner: usize, outer: usize) -> Self {
        let matrix = QuantizedMatrix::new(kernels.packing(), &[(numbers(inner * outer), numbers(outer))], inner);
        let mut bytes = vec![0; ROWS * inner];
        let (scales, zeros) = numbers(ROWS * inner)
            .chunks_exact(inner)
            .zip(bytes.chunks_exact_mut(inner))
            .map(|(row, bytes)| kernels.quantize(row, bytes))
            .unzip();
        Self { kernels, matrix, inner, bytes, scales, zeros, out: vec![0.0; ROWS * outer] }
    }

    pub fn compute(&mut self, activation: Activation) {
        let rows = Rows { bytes: black_box(&self.bytes), scales: &self.scales, zeros: &self.zeros, inner: self.inner };
        self.kernels.linear(rows, self.matrix.columns(), activation, black_box(&mut self.out));
    }

    /// Multiplications of one [`Self::compute`].
    pub fn products(&self) -> usize {
        self.out.len() * self.inner
    }
}

/// Numbers of -1 to 1.
pub fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index as f32 * 0.7).sin()).collect()
}
