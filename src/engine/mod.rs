//! The engine floor: texts in, entities out, an error a text. Actors know only the two traits of this file.

mod batch;
mod bert;
mod cache;
pub mod decode;
mod device;
pub mod group;
mod input;
mod int8_network;
mod int8_weights;
pub mod manifest;
mod matrix;
pub mod scripted;
pub mod sentences;
mod shape;
mod sizes;
pub mod tokenizer;
mod transformer;
mod weights;
pub mod window;

pub use cache::CachedFactory;
pub use device::is_accelerator;
pub use matrix::QuantizedMatrix;
pub use transformer::{EngineOptions, TransformerFactory};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::Entity;

/// Why an engine could not be built or a whole call failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Wrong files, labels, architecture or device: trying again cannot help. The message names the file and what to do.
    #[error("{0}")]
    Permanent(String),
    /// The call failed; another may succeed.
    #[error("{0}")]
    Transient(String),
}

/// Why one text of a call was not annotated; its neighbours were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextError(pub String);

/// The result of one call: a result a text, in the order given, and what the work was.
#[derive(Debug, Default)]
pub struct Annotation {
    pub texts: Vec<Result<Vec<Entity>, TextError>>,
    pub work: Work,
}

/// What a call cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Words the model read, as the tokens below: a text answered from memory adds none.
    pub words: u64,
    /// Wordpieces, the special ones of each window counted.
    pub content_tokens: u64,
    pub padding_tokens: u64,
    pub windows: u64,
    pub tokenize_seconds: f64,
    pub infer_seconds: f64,
    /// Texts answered from memory, and those that were looked for there in vain; both 0 without a cache.
    pub cache_hits: u64,
    pub cache_misses: u64,
}

impl Work {
    /// Another part of the same call.
    fn add(&mut self, other: &Self) {
        let Self { words, content_tokens, padding_tokens, windows, tokenize_seconds, infer_seconds, cache_hits, cache_misses } = other;
        self.words += words;
        self.content_tokens += content_tokens;
        self.padding_tokens += padding_tokens;
        self.windows += windows;
        self.tokenize_seconds += tokenize_seconds;
        self.infer_seconds += infer_seconds;
        self.cache_hits += cache_hits;
        self.cache_misses += cache_misses;
    }
}

/// Counts the steps of a call, so that another thread can tell a long call from a stalled one.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Notes a step: a text tokenized, a batch of windows computed.
    pub fn step(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn steps(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A model that is ready to work, owned by one thread (tensors are not `Sync`).
pub trait NerEngine {
    /// Annotates texts. A text's entities are the same whatever its neighbours are. May panic (native code): call it under `catch_unwind`.
    /// Notes a step of `progress` at least every few hundred milliseconds while all is well.
    fn annotate(&mut self, texts: &[&str], progress: &Progress) -> Result<Annotation, EngineError>;
}

/// Builds engines over one set of weights: the weights are read once by the factory's constructor, each `build` attaches to them.
pub trait EngineFactory: Send + Sync {
    /// Called on the thread that will own the engine. Does not read the weights again.
    fn build(&self) -> Result<Box<dyn NerEngine>, EngineError>;
    /// What was loaded, for `nerd_model_info` and the ledger.
    fn model(&self) -> &ModelInfo;
    /// Sentences with the entities (text, label) that a sane model finds in them; asked at warm-up.
    fn golden(&self) -> &[Golden];
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInfo {
    pub name: String,
    pub version: String,
    pub sha256: String,
    /// `f32`, `bf16` or `int8`.
    pub precision: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    pub labels: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Golden {
    pub text: String,
    /// (start, end, label), code points.
    pub entities: Vec<(usize, usize, String)>,
}
