//! BERT in bytes: the weights quantized once and shared, the forward pass over windows without padding. Where the processor has
//! AVX-512 VNNI this is the fast way; rust-bert's f32 graph is the reference that it is tested against.
//!
//! Weights are quantized an output at a time, activations a row at a time as they come (Zafrir et al., "Q8BERT", 2019, with finer
//! steps), so nothing is calibrated and no window changes another. Attention, norms and the head stay f32.

use std::path::Path;
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rust_bert::bert::BertConfig;
use safetensors::{Dtype, SafeTensors};

use super::EngineError;
use super::input::{Network, Windows};
use super::manifest::{Architecture, ModelDirectory, permanent};
use super::matrix::QuantizedMatrix;
use super::weights::WeightsFile;
use crate::native::{Activation, Attention, Rows, TILE, Vnni};

/// Rows that go through the feed-forward block together: their inner activations stay in the second-level cache.
const CHUNK: usize = 48;

/// The network's weights: one copy a process.
pub struct Int8Weights {
    vnni: Vnni,
    width: usize,
    inner: usize,
    heads: usize,
    epsilon: f32,
    /// `vocabulary × width`, as precise as the file.
    words: Vec<f16>,
    positions: Vec<f32>,
    types: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    head: Vec<f32>,
    head_bias: Vec<f32>,
}

struct Norm {
    gain: Vec<f32>,
    bias: Vec<f32>,
}

struct Layer {
    projections: QuantizedMatrix,
    attention_output: QuantizedMatrix,
    attention_norm: Norm,
    intermediate: QuantizedMatrix,
    output: QuantizedMatrix,
    output_norm: Norm,
}

impl Int8Weights {
    /// Why this model cannot run in bytes, or nothing. The processor is [`Vnni::detect`]'s to judge.
    pub fn obstacle(model: &ModelDirectory) -> Option<String> {
        if model.architecture != Architecture::Bert {
            return Some("only the bert architecture runs in int8".to_owned());
        }
        let config = match config(model) {
            Ok(config) => config,
            Err(error) => return Some(error.to_string()),
        };
        let (width, inner, heads) = (config.hidden_size, config.intermediate_size, config.num_attention_heads.max(1));
        let tile = TILE as i64;
        if width % tile != 0 || inner % tile != 0 || width % heads != 0 || (width / heads) % 32 != 0 {
            return Some(format!("int8 needs sizes that are multiples of {tile} and heads of a multiple of 32, not {width}, {inner}, {heads}"));
        }
        (!model.config.contains("\"gelu\"")).then(|| "only the gelu activation runs in int8".to_owned())
    }

    /// Quantizes what was read.
    pub fn new(vnni: Vnni, file: &WeightsFile, model: &ModelDirectory) -> Result<Self, EngineError> {
        if let Some(obstacle) = Self::obstacle(model) {
            return Err(EngineError::Permanent(format!("{}: {obstacle}; use engine.precision = \"auto\"", model.path.display())));
        }
        let config = config(model)?;
        let source = Source { tensors: file.tensors(&model.weights)?, file: &model.weights };
        let size = |value: i64| usize::try_from(value).unwrap_or(0);
        let (width, inner) = (size(config.hidden_size), size(config.intermediate_size));
        let norm = |name: &str| -> Result<Norm, EngineError> {
            Ok(Norm { gain: source.values(&format!("{name}.weight"), &[width])?, bias: source.values(&format!("{name}.bias"), &[width])? })
        };
        let linear = |name: &str, outer: usize, inner: usize| -> Result<(Vec<f32>, Vec<f32>), EngineError> {
            Ok((source.values(&format!("{name}.weight"), &[outer, inner])?, source.values(&format!("{name}.bias"), &[outer])?))
        };
        let mut layers = Vec::new();
        for index in 0..config.num_hidden_layers {
            let name = format!("bert.encoder.layer.{index}");
            let projections = [
                linear(&format!("{name}.attention.self.query"), width, width)?,
                linear(&format!("{name}.attention.self.key"), width, width)?,
                linear(&format!("{name}.attention.self.value"), width, width)?,
            ];
            layers.push(Layer {
                projections: QuantizedMatrix::new(&projections, width),
                attention_output: QuantizedMatrix::new(&[linear(&format!("{name}.attention.output.dense"), width, width)?], width),
                attention_norm: norm(&format!("{name}.attention.output.LayerNorm"))?,
                intermediate: QuantizedMatrix::new(&[linear(&format!("{name}.intermediate.dense"), inner, width)?], width),
                output: QuantizedMatrix::new(&[linear(&format!("{name}.output.dense"), width, inner)?], inner),
                output_norm: norm(&format!("{name}.output.LayerNorm"))?,
            });
        }
        let (head, head_bias) = linear("classifier", model.labels.len(), width)?;
        let embeddings = "bert.embeddings";
        Ok(Self {
            vnni,
            width,
            inner,
            heads: size(config.num_attention_heads),
            epsilon: epsilon(model),
            words: source.halves(&format!("{embeddings}.word_embeddings.weight"), &[size(config.vocab_size), width])?,
            positions: source.values(
                &format!("{embeddings}.position_embeddings.weight"),
                &[size(config.max_position_embeddings), width],
            )?,
            types: source.values(&format!("{embeddings}.token_type_embeddings.weight"), &[size(config.type_vocab_size), width])?,
            norm: norm(&format!("{embeddings}.LayerNorm"))?,
            layers,
            head,
            head_bias,
        })
    }
}

fn config(model: &ModelDirectory) -> Result<BertConfig, EngineError> {
    serde_json::from_str(&model.config)
        .map_err(|error| permanent(&model.path.join("config.json"), &format!("not this architecture's: {error}")))
}

/// rust-bert fixes the norms' epsilon at BERT's 1e-12, and its configuration has no field for it; the file may.
fn epsilon(model: &ModelDirectory) -> f32 {
    let config: serde_json::Value = serde_json::from_str(&model.config).unwrap_or_default();
    config["layer_norm_eps"].as_f64().unwrap_or(1e-12) as f32
}

/// Tensors by name, their shapes held against the configuration's.
struct Source<'a> {
    tensors: SafeTensors<'a>,
    file: &'a Path,
}

impl Source<'_> {
    fn bytes(&self, name: &str, shape: &[usize]) -> Result<(Dtype, &[u8]), EngineError> {
        let view = self
            .tensors
            .tensor(name)
            .map_err(|_| permanent(self.file, &format!("no tensor {name}: the weights are not of this architecture")))?;
        if view.shape() != shape {
            let message = format!("tensor {name} has shape {:?}, config.json says {shape:?}", view.shape());
            return Err(permanent(self.file, &message));
        }
        // The view borrows the file, not this handle; safetensors' signature says less than it could.
        let start = view.data().as_ptr() as usize;
        let _ = start;
        Ok((view.dtype(), view.data()))
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        let (dtype, bytes) = self.bytes(name, shape)?;
        Ok(match dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|&two| f16::from_le_bytes(two).to_f32()).collect(),
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|&two| half::bf16::from_le_bytes(two).to_f32()).collect(),
            other => return Err(permanent(self.file, &format!("tensor {name} is stored as {other:?}: store it as F32, F16 or BF16"))),
        })
    }

    fn halves(&self, name: &str, shape: &[usize]) -> Result<Vec<f16>, EngineError> {
        let (dtype, bytes) = self.bytes(name, shape)?;
        Ok(match dtype {
            Dtype::F16 => bytes.as_chunks().0.iter().map(|&two| f16::from_le_bytes(two)).collect(),
            _ => self.values(name, shape)?.into_iter().map(f16::from_f32).collect(),
        })
    }
}

/// One worker's network: the shared weights and buffers of its own, which keep their size.
pub struct Int8Network {
    weights: Arc<Int8Weights>,
    hidden: Vec<f32>,
    projected: Vec<f32>,
    context: Vec<f32>,
    chunk: Vec<f32>,
    scratch: Vec<f32>,
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
    fn fill(&mut self, vnni: Vnni, values: &[f32], inner: usize) -> Rows<'_> {
        let rows = values.len() / inner;
        self.bytes.resize(values.len(), 0);
        self.scales.resize(rows, 0.0);
        self.zeros.resize(rows, 0.0);
        for (row, values) in values.chunks_exact(inner).enumerate() {
            (self.scales[row], self.zeros[row]) = vnni.quantize(values, &mut self.bytes[row * inner..(row + 1) * inner]);
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
            scratch: Vec::new(),
            bytes: Bytes::default(),
            inner_bytes: Bytes::default(),
        }
    }

    fn embed(&mut self, windows: &Windows) {
        let (weights, width) = (&self.weights, self.weights.width);
        self.hidden.resize(windows.ids.len() * width, 0.0);
        self.chunk.resize(width, 0.0);
        let mut token = 0;
        for &length in &windows.lengths {
            for position in 0..length {
                let row = &mut self.hidden[token * width..(token + 1) * width];
                weights.words[windows.ids[token] as usize * width..][..width].convert_to_f32_slice(row);
                let kind = usize::from(windows.types[token]) * width;
                let (places, types) = (&weights.positions[position * width..][..width], &weights.types[kind..][..width]);
                for ((sum, place), kind) in self.chunk[..width].iter_mut().zip(places).zip(types) {
                    *sum = place + kind;
                }
                weights.vnni.add_and_norm(row, &self.chunk[..width], &weights.norm.gain, &weights.norm.bias, weights.epsilon);
                token += 1;
            }
        }
    }

    /// Attention of every window; in the last layer only for the pieces that are wanted, whose rows then close up.
    fn attend(&mut self, layer: &Layer, windows: &Windows, last: bool) {
        let (vnni, width) = (self.weights.vnni, self.weights.width);
        let rows = self.bytes.fill(vnni, &self.hidden, width);
        self.projected.resize(rows.scales.len() * layer.projections.outer(), 0.0);
        vnni.linear(rows, layer.projections.columns(), Activation::None, &mut self.projected);
        self.context.resize(if last { windows.wanted.len() } else { windows.ids.len() } * width, 0.0);
        let (mut start, mut written, mut wanted) = (0usize, 0, windows.wanted.iter().peekable());
        for &length in &windows.lengths {
            let queries: Vec<u32> = if last {
                std::iter::from_fn(|| wanted.next_if(|&&piece| (piece as usize) < start + length)).map(|piece| piece - start as u32).collect()
            } else {
                (0..length as u32).collect()
            };
            let projected = &self.projected[start * 3 * width..(start + length) * 3 * width];
            let attention = Attention { projected, width, heads: self.weights.heads, queries: &queries };
            let end = written + queries.len();
            vnni.attention(attention, &mut self.scratch, &mut self.context[written * width..end * width]);
            (start, written) = (start + length, end);
        }
        if last {
            for (row, &piece) in windows.wanted.iter().enumerate() {
                self.hidden.copy_within(piece as usize * width..(piece as usize + 1) * width, row * width);
            }
            self.hidden.truncate(windows.wanted.len() * width);
        }
    }

    /// The rest of a layer, a few rows at a time through all of it.
    fn feed_forward(&mut self, layer: &Layer) {
        let (vnni, width, inner, epsilon) = (self.weights.vnni, self.weights.width, self.weights.inner, self.weights.epsilon);
        for (context, hidden) in self.context.chunks(CHUNK * width).zip(self.hidden.chunks_mut(CHUNK * width)) {
            let count = hidden.len() / width;
            self.chunk.resize(CHUNK * inner.max(width), 0.0);
            let add_and_norm = |sums: &mut [f32], hidden: &mut [f32], norm: &Norm| {
                for (sum, row) in sums.chunks_exact_mut(width).zip(hidden.chunks_exact_mut(width)) {
                    vnni.add_and_norm(row, sum, &norm.gain, &norm.bias, epsilon);
                }
            };
            let sums = &mut self.chunk[..count * width];
            vnni.linear(self.bytes.fill(vnni, context, width), layer.attention_output.columns(), Activation::None, sums);
            add_and_norm(sums, hidden, &layer.attention_norm);
            let activations = &mut self.chunk[..count * inner];
            vnni.linear(self.bytes.fill(vnni, hidden, width), layer.intermediate.columns(), Activation::Gelu, activations);
            let rows = self.inner_bytes.fill(vnni, activations, inner);
            let sums = &mut self.chunk[..count * width];
            vnni.linear(rows, layer.output.columns(), Activation::None, sums);
            add_and_norm(sums, hidden, &layer.output_norm);
        }
    }
}

impl Network for Int8Network {
    fn logits(&mut self, windows: &Windows) -> Vec<f32> {
        let weights = self.weights.clone();
        self.embed(windows);
        for (index, layer) in weights.layers.iter().enumerate() {
            self.attend(layer, windows, index + 1 == weights.layers.len());
            self.feed_forward(layer);
        }
        let labels = weights.head_bias.len();
        let mut logits = vec![0.0; windows.wanted.len() * labels];
        for (row, out) in self.hidden.chunks_exact(weights.width).zip(logits.chunks_exact_mut(labels)) {
            weights.vnni.dense(row, &weights.head, &weights.head_bias, out);
        }
        logits
    }

    fn padding(&self, _windows: &Windows) -> usize {
        0
    }
}
