//! BERT's weights in bytes: quantized once an output at a time, shared by every [`super::int8_network`]. Embeddings stay as
//! precise as the file, norms and the head f32.

use std::path::Path;

use half::f16;
use rust_bert::Activation;
use rust_bert::bert::BertConfig;
use safetensors::{Dtype, SafeTensors};

use super::EngineError;
use super::manifest::{Architecture, ModelDirectory, permanent};
use super::matrix::QuantizedMatrix;
use super::weights::WeightsFile;
use crate::native::{Kernels, UNIT};

/// The network's weights: one copy a process.
pub struct Int8Weights {
    pub(super) kernels: Kernels,
    pub(super) width: usize,
    /// Width inside the feed-forward blocks.
    pub(super) inner: usize,
    pub(super) heads: usize,
    pub(super) epsilon: f32,
    /// `vocabulary × width`, as precise as the file.
    pub(super) words: Vec<f16>,
    /// `positions × width`.
    pub(super) positions: Vec<f32>,
    /// `token types × width`.
    pub(super) types: Vec<f32>,
    pub(super) norm: Norm,
    pub(super) layers: Vec<Layer>,
    /// `labels × width`.
    pub(super) head: Vec<f32>,
    pub(super) head_bias: Vec<f32>,
}

/// Gain and bias of a norm.
pub(super) struct Norm {
    pub(super) gain: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

pub(super) struct Layer {
    /// Query, key and value stacked.
    pub(super) projections: QuantizedMatrix,
    pub(super) attention_output: QuantizedMatrix,
    pub(super) attention_norm: Norm,
    pub(super) intermediate: QuantizedMatrix,
    pub(super) output: QuantizedMatrix,
    pub(super) output_norm: Norm,
}

impl Int8Weights {
    /// Why this model cannot run in bytes, or nothing. The processor is [`Kernels::detect`]'s to judge.
    pub fn obstacle(model: &ModelDirectory) -> Option<String> {
        if model.architecture != Architecture::Bert {
            return Some("only the bert architecture runs in int8".to_owned());
        }
        let config = match config(model) {
            Ok(config) => config,
            Err(error) => return Some(error.to_string()),
        };
        let (width, inner, heads) = (config.hidden_size, config.intermediate_size, config.num_attention_heads.max(1));
        let unit = UNIT as i64;
        if width % unit != 0 || inner % unit != 0 || width % heads != 0 || (width / heads) % 32 != 0 {
            return Some(format!(
                "int8 needs widths of a multiple of {unit} and heads of a multiple of 32, not {width}, {inner} and {heads} heads"
            ));
        }
        (!matches!(config.hidden_act, Activation::gelu)).then(|| "only the gelu activation runs in int8".to_owned())
    }

    /// Quantizes what was read.
    pub fn new(kernels: Kernels, file: &WeightsFile, model: &ModelDirectory) -> Result<Self, EngineError> {
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
        let packing = kernels.packing();
        let mut layers = Vec::new();
        for index in 0..config.num_hidden_layers {
            let name = format!("bert.encoder.layer.{index}");
            let projections = [
                linear(&format!("{name}.attention.self.query"), width, width)?,
                linear(&format!("{name}.attention.self.key"), width, width)?,
                linear(&format!("{name}.attention.self.value"), width, width)?,
            ];
            layers.push(Layer {
                projections: QuantizedMatrix::new(packing, &projections, width),
                attention_output: QuantizedMatrix::new(packing, &[linear(&format!("{name}.attention.output.dense"), width, width)?], width),
                attention_norm: norm(&format!("{name}.attention.output.LayerNorm"))?,
                intermediate: QuantizedMatrix::new(packing, &[linear(&format!("{name}.intermediate.dense"), inner, width)?], width),
                output: QuantizedMatrix::new(packing, &[linear(&format!("{name}.output.dense"), width, inner)?], inner),
                output_norm: norm(&format!("{name}.output.LayerNorm"))?,
            });
        }
        let (head, head_bias) = linear("classifier", model.labels.len(), width)?;
        let embeddings = "bert.embeddings";
        Ok(Self {
            kernels,
            width,
            inner,
            heads: size(config.num_attention_heads),
            epsilon: epsilon(model),
            words: source.halves(&format!("{embeddings}.word_embeddings.weight"), &[size(config.vocab_size), width])?,
            positions: source
                .values(&format!("{embeddings}.position_embeddings.weight"), &[size(config.max_position_embeddings), width])?,
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
