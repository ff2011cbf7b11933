//! The graphs: rust-bert's encoders with a token-classification head, attached to the shared weights. Beside the
//! configuration that [`super::int8_weights`] shares, the only use of rust-bert.
//!
//! rust-bert's own `TokenClassificationModel::predict` is not used: in 0.23 it decodes the rows of its second and later
//! internal batches with the first batch's features (`pipelines/token_classification.rs`, `features[sentence_idx]`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_bert::bert::{BertConfig, BertForTokenClassification};
use rust_bert::deberta::{DebertaConfig, DebertaForTokenClassification};
use rust_bert::distilbert::{DistilBertConfig, DistilBertForTokenClassification};
use rust_bert::electra::{ElectraConfig, ElectraForTokenClassification};
use rust_bert::roberta::RobertaForTokenClassification;
use serde_json::Value;
use tch::{Kind, Tensor, nn, no_grad};

use super::EngineError;
use super::device::Placement;
use super::input::{Network, Pending, Windows};
use super::manifest::{Architecture, ModelDirectory, permanent};
use super::weights::SharedWeights;

enum Graph {
    Bert(BertForTokenClassification),
    Distilbert(DistilBertForTokenClassification),
    Roberta(RobertaForTokenClassification),
    Electra(ElectraForTokenClassification),
    Deberta(DebertaForTokenClassification),
}

/// A graph on one thread. Dropping it frees no weights: they are shared.
pub struct TokenClassifier {
    graph: Graph,
    placement: Placement,
    pad_id: u32,
    /// Keeps the variables alive.
    _variables: nn::VarStore,
}

/// A dimension that the graph is made with far too small: the shared tensor takes its place. Otherwise every engine would fill
/// tens of megabytes with random numbers only to drop them.
pub(super) struct Shrunk {
    /// End of the variable's name.
    pub suffix: &'static str,
    pub dimension: usize,
    /// What `config.json` says, and the shared tensor must have.
    pub size: i64,
}

const TINY: u64 = 8;
const EMBEDDING: &str = "word_embeddings.weight";

/// Shrinks the vocabulary and the inner layer of the feed-forward blocks in a configuration.
fn shrink(config: &mut Value) -> Vec<Shrunk> {
    let mut shrunk = vec![Shrunk { suffix: EMBEDDING, dimension: 0, size: config["vocab_size"].as_i64().unwrap_or(0) }];
    config["vocab_size"] = TINY.into();
    for (key, places) in [
        ("intermediate_size", [("intermediate.dense.weight", 0), ("intermediate.dense.bias", 0), (".output.dense.weight", 1)]),
        ("hidden_dim", [("ffn.lin1.weight", 0), ("ffn.lin1.bias", 0), ("ffn.lin2.weight", 1)]),
    ] {
        if let Some(size) = config[key].as_i64() {
            shrunk.extend(places.map(|(suffix, dimension)| Shrunk { suffix, dimension, size }));
            config[key] = TINY.into();
        }
    }
    shrunk
}

impl TokenClassifier {
    pub fn build(model: &ModelDirectory, weights: &SharedWeights, placement: Placement, pad_id: u32) -> Result<Self, EngineError> {
        let config_path = model.path.join("config.json");
        let mut config: Value = serde_json::from_str(&model.config).map_err(|error| permanent(&config_path, &error.to_string()))?;
        let shrunk = shrink(&mut config);
        let variables = nn::VarStore::new(placement.device);
        let root = variables.root();
        fn typed<T: serde::de::DeserializeOwned>(config: Value, path: &std::path::Path) -> Result<T, EngineError> {
            serde_json::from_value(config).map_err(|error| permanent(path, &format!("not this architecture's: {error}")))
        }
        let made = |error: rust_bert::RustBertError| permanent(&config_path, &error.to_string());
        // What rust-bert and libtorch do not take of a configuration, they answer by a panic.
        let graph = catch_unwind(AssertUnwindSafe(|| {
            Ok(match model.architecture {
                Architecture::Bert => {
                    Graph::Bert(BertForTokenClassification::new(&root, &typed::<BertConfig>(config, &config_path)?).map_err(made)?)
                }
                Architecture::Roberta => {
                    Graph::Roberta(RobertaForTokenClassification::new(&root, &typed::<BertConfig>(config, &config_path)?).map_err(made)?)
                }
                Architecture::Distilbert => Graph::Distilbert(
                    DistilBertForTokenClassification::new(&root, &typed::<DistilBertConfig>(config, &config_path)?).map_err(made)?,
                ),
                Architecture::Electra => {
                    Graph::Electra(ElectraForTokenClassification::new(&root, &typed::<ElectraConfig>(config, &config_path)?).map_err(made)?)
                }
                Architecture::Deberta => {
                    Graph::Deberta(DebertaForTokenClassification::new(&root, &typed::<DebertaConfig>(config, &config_path)?).map_err(made)?)
                }
            })
        }))
        .unwrap_or_else(|_| Err(permanent(&config_path, "no graph can be made of it: the panic before this says why")))?;
        let mut variables = variables;
        variables.freeze();
        weights.attach(model, &variables, &shrunk)?;
        Ok(Self { graph, placement, pad_id, _variables: variables })
    }

    /// Logits of the places asked for (`row × length + column`), `places × labels`, where the model runs. Panics when native code
    /// fails (rust-bert unwraps).
    fn rectangle(&self, input: &Rectangle, places: &[i64]) -> Tensor {
        no_grad(|| {
            let size = [input.rows as i64, input.length as i64];
            let device = self.placement.device;
            let ids = Tensor::from_slice(&input.ids).view(size).to_device(device);
            // Whole numbers: rust-bert inverts the mask bit by bit before it casts it to the run precision.
            let mask = Tensor::from_slice(&input.mask).view(size).to_device(device);
            let types = || Tensor::from_slice(&input.types).view(size).to_device(device);
            let logits = match &self.graph {
                Graph::Bert(graph) => graph.forward_t(Some(&ids), Some(&mask), Some(&types()), None, None, false).logits,
                Graph::Electra(graph) => graph.forward_t(Some(&ids), Some(&mask), Some(&types()), None, None, false).logits,
                Graph::Roberta(graph) => graph.forward_t(Some(&ids), Some(&mask), None, None, None, false).logits,
                Graph::Distilbert(graph) => {
                    graph.forward_t(Some(&ids), Some(&mask), None, false).expect("ids are given, embeddings are not").logits
                }
                Graph::Deberta(graph) => {
                    graph.forward_t(Some(&ids), Some(&mask), None, None, None, false).expect("ids are given, embeddings are not").logits
                }
            };
            logits.flatten(0, 1).index_select(0, &Tensor::from_slice(places).to_device(device))
        })
    }
}

/// Windows as rows of equal length.
struct Rectangle {
    /// Row-major, `rows × length`.
    ids: Vec<i64>,
    types: Vec<i64>,
    /// 1 for a token, 0 for padding.
    mask: Vec<i64>,
    rows: usize,
    length: usize,
}

impl Rectangle {
    fn new(windows: &Windows, pad: u32) -> Self {
        let (rows, length) = (windows.lengths.len(), windows.longest());
        let size = rows * length;
        let mut input = Self { ids: vec![pad.into(); size], types: vec![0; size], mask: vec![0; size], rows, length };
        let mut token = 0;
        for (row, &pieces) in windows.lengths.iter().enumerate() {
            for place in row * length..row * length + pieces {
                input.ids[place] = windows.ids[token].into();
                input.types[place] = windows.types[token].into();
                input.mask[place] = 1;
                token += 1;
            }
        }
        input
    }
}

impl Network for TokenClassifier {
    fn begin(&mut self, windows: &Windows) -> Pending {
        if windows.wanted.is_empty() {
            return Box::new(Vec::new);
        }
        let input = Rectangle::new(windows, self.pad_id);
        let mut places = Vec::with_capacity(windows.wanted.len());
        let (mut row, mut start) = (0, 0);
        for &piece in &windows.wanted {
            while piece as usize >= start + windows.lengths[row] {
                start += windows.lengths[row];
                row += 1;
            }
            places.push((row * input.length + piece as usize - start) as i64);
        }
        let logits = self.rectangle(&input, &places);
        Box::new(move || {
            let logits = logits.to_kind(Kind::Float).to_device(tch::Device::Cpu).contiguous();
            let mut values = vec![0.0; logits.numel()];
            let count = values.len();
            logits.copy_data(&mut values, count);
            values
        })
    }

    fn padding(&self, windows: &Windows) -> usize {
        windows.longest() * windows.lengths.len() - windows.ids.len()
    }
}
