//! The numbers of `config.json`, held against tokenizer, manifest and weights before a graph is made of them: one that does not fit
//! would fail in native code, at once, at some text, or by taking all memory. Pure.

use serde_json::Value;

use super::EngineError;
use super::manifest::{Architecture, ModelDirectory, TokenTypes, permanent};
use super::shape::SHAPES;

/// Keys that are sizes, by every architecture's name for them; the last may be 0.
const SIZES: [&str; 12] = [
    "vocab_size",
    "hidden_size",
    "dim",
    "embedding_size",
    "intermediate_size",
    "hidden_dim",
    "num_hidden_layers",
    "n_layers",
    "num_attention_heads",
    "n_heads",
    "max_position_embeddings",
    "type_vocab_size",
];

/// Refuses numbers that cannot be this model's. `vocabulary`: the pieces that its tokenizer knows; `stored`: bytes of its weights.
pub(super) fn check(model: &ModelDirectory, vocabulary: usize, stored: u64) -> Result<(), EngineError> {
    let path = model.path.join("config.json");
    let refuse = |message: String| Err(permanent(&path, &message));
    let config: Value = serde_json::from_str(&model.config).map_err(|error| permanent(&path, &error.to_string()))?;
    for key in SIZES {
        let value = &config[key];
        let least = u64::from(key != "type_vocab_size");
        if !value.is_null() && value.as_u64().is_none_or(|size| size < least || size > i64::MAX as u64) {
            return refuse(format!("{key} is {value}: not a size"));
        }
    }
    let rates = config.as_object().into_iter().flatten().filter(|(key, value)| key.contains("dropout") && value.is_number());
    for (key, value) in rates {
        if !value.as_f64().is_some_and(|rate| (0.0..=1.0).contains(&rate)) {
            return refuse(format!("{key} is {value}: not between 0 and 1"));
        }
    }
    let size = |names: [&str; 2]| names.iter().find_map(|name| config[*name].as_u64());
    let (width, heads) = (size(["hidden_size", "dim"]).unwrap_or(0), size(["num_attention_heads", "n_heads"]).unwrap_or(1));
    if width % heads != 0 {
        return refuse(format!("a width of {width} cannot be shared by {heads} heads"));
    }
    if let Some(pieces) = size(["vocab_size", ""]).filter(|&pieces| pieces < vocabulary as u64) {
        return refuse(format!("vocab_size is {pieces}, but the tokenizer knows {vocabulary} pieces"));
    }
    let types = size(["type_vocab_size", ""]).unwrap_or(0);
    let needed = match (model.token_types, model.architecture) {
        (TokenTypes::WordShape, Architecture::Bert | Architecture::Electra) => SHAPES as u64,
        (TokenTypes::None, Architecture::Bert | Architecture::Electra) => 1,
        _ => 0,
    };
    if types < needed {
        return refuse(format!("type_vocab_size is {types}, but its token types are {needed}"));
    }
    // Every layer has four matrices of this width at least, and a number takes a byte at least.
    let layers = size(["num_hidden_layers", "n_layers"]).unwrap_or(0);
    let embedding = size(["embedding_size", ""]).unwrap_or(width);
    let places = if model.architecture == Architecture::Deberta { 0 } else { size(["max_position_embeddings", ""]).unwrap_or(0) };
    let product = |numbers: [u64; 3]| numbers.iter().fold(1u64, |product, &number| product.saturating_mul(number));
    let parts = [product([width.saturating_mul(4), width, layers]), product([1, embedding, places]), product([1, embedding, types])];
    let least = parts.iter().fold(0u64, |sum, &part| sum.saturating_add(part));
    if least > stored {
        return refuse(format!("it describes at least {least} numbers, the weights have {stored} bytes"));
    }
    Ok(())
}
