//! BERT's forward pass in bytes, over windows without padding: where the processor has the kernels this is the fast way, and
//! rust-bert's f32 graph the reference that it is tested against.
//!
//! Activations are quantized a row at a time as they come (Zafrir et al., "Q8BERT", 2019, with finer steps), so nothing is
//! calibrated and no window changes another. A few windows go through all layers together: what they need stays in the caches,
//! and memory is flat whatever a batch holds. Attention's scores are computed in bytes, its values in 16 bits, norms and the head in f32.

use std::sync::Arc;

use half::slice::HalfFloatSliceExt;

use super::input::{Network, Part, Pending, Windows};
use super::int8_weights::{Int8Weights, Layer, Norm};
use crate::native::{Activation, Attention, Kernels, Rows, Scratch};

/// Pieces that go through the layers together: enough to read the weights seldom, few enough for the second-level cache.
const PART_PIECES: usize = 192;

/// Rows that go through a feed-forward block together: their inner activations stay in the second-level cache.
const CHUNK: usize = 48;

/// One worker's network: the shared weights and buffers of its own, which keep their size.
pub struct Int8Network {
    weights: Arc<Int8Weights>,
    hidden: Vec<f32>,
    projected: Vec<f32>,
    context: Vec<f32>,
    chunk: Vec<f32>,
    scratch: Scratch,
    queries: Vec<u32>,
    bytes: Bytes,
    inner_bytes: Bytes,
}

/// Rows in bytes, with their scales and zeros.
#[derive(Default)]
struct Bytes {
    bytes: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<f32>,
}

impl Bytes {
    fn fill(&mut self, kernels: Kernels, values: &[f32], inner: usize) -> Rows<'_> {
        let rows = values.len() / inner;
        self.bytes.resize(values.len(), 0);
        self.scales.resize(rows, 0.0);
        self.zeros.resize(rows, 0.0);
        for (row, (values, bytes)) in values.chunks_exact(inner).zip(self.bytes.chunks_exact_mut(inner)).enumerate() {
            (self.scales[row], self.zeros[row]) = kernels.quantize(values, bytes);
        }
        Rows { bytes: &self.bytes, scales: &self.scales, zeros: &self.zeros, inner }
    }
}

impl Int8Network {
    pub fn new(weights: Arc<Int8Weights>) -> Self {
        Self {
            weights,
            hidden: Vec::new(),
            projected: Vec::new(),
            context: Vec::new(),
            chunk: Vec::new(),
            scratch: Scratch::default(),
            queries: Vec::new(),
            bytes: Bytes::default(),
            inner_bytes: Bytes::default(),
        }
    }

    fn embed(&mut self, part: Part<'_>) {
        let (weights, width) = (&self.weights, self.weights.width);
        self.hidden.resize(part.ids.len() * width, 0.0);
        self.chunk.resize(self.chunk.len().max(width), 0.0);
        let positions = part.lengths.iter().flat_map(|&length| 0..length);
        for (((row, position), &id), &kind) in self.hidden.chunks_exact_mut(width).zip(positions).zip(part.ids).zip(part.types) {
            weights.words[id as usize * width..][..width].convert_to_f32_slice(row);
            let (places, types) = (&weights.positions[position * width..][..width], &weights.types[usize::from(kind) * width..][..width]);
            for ((sum, place), kind) in self.chunk[..width].iter_mut().zip(places).zip(types) {
                *sum = place + kind;
            }
            weights.kernels.add_and_norm(row, &self.chunk[..width], &weights.norm.gain, &weights.norm.bias, weights.epsilon);
        }
    }

    /// Attention of every window; in the last layer only for the pieces that are wanted, whose rows then close up.
    fn attend(&mut self, layer: &Layer, part: Part<'_>, last: bool) {
        let (kernels, width) = (self.weights.kernels, self.weights.width);
        let rows = self.bytes.fill(kernels, &self.hidden, width);
        self.projected.resize(part.ids.len() * 3 * width, 0.0);
        kernels.linear(rows, layer.projections.columns(), Activation::None, &mut self.projected);
        self.context.resize(if last { part.wanted.len() } else { part.ids.len() } * width, 0.0);
        let (mut start, mut written, mut wanted) = (0, 0, part.wanted());
        for &length in part.lengths {
            self.queries.clear();
            if last {
                self.queries
                    .extend(std::iter::from_fn(|| wanted.next_if(|&piece| piece < start + length)).map(|piece| (piece - start) as u32));
            } else {
                self.queries.extend(0..length as u32);
            }
            let projected = &self.projected[start * 3 * width..(start + length) * 3 * width];
            let attention = Attention { projected, width, heads: self.weights.heads, queries: &self.queries };
            let end = written + self.queries.len();
            kernels.attention(attention, &mut self.scratch, &mut self.context[written * width..end * width]);
            (start, written) = (start + length, end);
        }
        if last {
            for (row, piece) in part.wanted().enumerate() {
                self.hidden.copy_within(piece * width..(piece + 1) * width, row * width);
            }
            self.hidden.truncate(part.wanted.len() * width);
        }
    }

    /// The rest of a layer, a few rows at a time through all of it.
    fn feed_forward(&mut self, layer: &Layer) {
        let Int8Weights { kernels, width, inner, epsilon, .. } = *self.weights;
        let add_and_norm = |sums: &[f32], hidden: &mut [f32], norm: &Norm| {
            for (sums, row) in sums.chunks_exact(width).zip(hidden.chunks_exact_mut(width)) {
                kernels.add_and_norm(row, sums, &norm.gain, &norm.bias, epsilon);
            }
        };
        self.chunk.resize(CHUNK * inner.max(width), 0.0);
        for (context, hidden) in self.context.chunks(CHUNK * width).zip(self.hidden.chunks_mut(CHUNK * width)) {
            let count = hidden.len() / width;
            let sums = &mut self.chunk[..count * width];
            kernels.linear(self.bytes.fill(kernels, context, width), layer.attention_output.columns(), Activation::None, sums);
            add_and_norm(sums, hidden, &layer.attention_norm);
            let activations = &mut self.chunk[..count * inner];
            kernels.linear(self.bytes.fill(kernels, hidden, width), layer.intermediate.columns(), Activation::Gelu, activations);
            let rows = self.inner_bytes.fill(kernels, activations, inner);
            let sums = &mut self.chunk[..count * width];
            kernels.linear(rows, layer.output.columns(), Activation::None, sums);
            add_and_norm(sums, hidden, &layer.output_norm);
        }
    }

    fn forward(&mut self, part: Part<'_>, logits: &mut Vec<f32>) {
        let weights = self.weights.clone();
        self.embed(part);
        for (index, layer) in weights.layers.iter().enumerate() {
            self.attend(layer, part, index + 1 == weights.layers.len());
            self.feed_forward(layer);
        }
        let (labels, begin) = (weights.head_bias.len(), logits.len());
        logits.resize(begin + part.wanted.len() * labels, 0.0);
        for (row, out) in self.hidden.chunks_exact(weights.width).zip(logits[begin..].chunks_exact_mut(labels)) {
            weights.kernels.dense(row, &weights.head, &weights.head_bias, out);
        }
    }
}

impl Network for Int8Network {
    fn begin(&mut self, windows: &Windows) -> Pending {
        let mut logits = Vec::with_capacity(windows.wanted.len() * self.weights.head_bias.len());
        for part in windows.parts(PART_PIECES) {
            self.forward(part, &mut logits);
        }
        Box::new(|| logits)
    }

    fn padding(&self, _windows: &Windows) -> usize {
        0
    }
}
