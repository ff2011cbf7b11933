//! The engine itself: texts → windows → batches → logits → entities, in that order, and the factory that reads the weights once.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::batch::batches;
use super::bert::TokenClassifier;
use super::decode::{Labels, to_code_points};
use super::device::{Placement, Precision};
use super::input::{Network, Windows};
use super::int8_network::Int8Network;
use super::int8_weights::Int8Weights;
use super::manifest::ModelDirectory;
use super::sentences::sentence_starts;
use super::tokenizer::{Piece, Tokenizer};
use super::weights::{SharedWeights, WeightsFile};
use super::window::windows;
use super::{Annotation, EngineError, EngineFactory, Golden, ModelInfo, NerEngine, Progress, Work};
use crate::domain::{DeviceChoice, Entity, PrecisionChoice};
use crate::native::Kernels;

/// What the configuration says of the engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub model_directory: PathBuf,
    pub device: DeviceChoice,
    pub precision: PrecisionChoice,
    /// Tokens a batch, padding counted.
    pub batch_tokens: usize,
    /// Intra-op threads of each engine.
    pub threads_per_worker: usize,
}

/// Weights, tokenizer and labels: what engines share.
pub struct TransformerFactory {
    shared: Arc<Shared>,
    golden: Vec<Golden>,
}

struct Shared {
    model: ModelDirectory,
    weights: Weights,
    weight_bytes: u64,
    read_seconds: f64,
    tokenizer: Tokenizer,
    labels: Labels,
    placement: Placement,
    info: ModelInfo,
    batch_tokens: usize,
    threads: usize,
    building: Mutex<()>,
}

/// The one copy of the weights, in the form that its networks read.
enum Weights {
    Tensors(SharedWeights),
    Int8(Arc<Int8Weights>),
}

impl TransformerFactory {
    /// What a directory says of its model, its weights unread: the digest is the manifest's, or empty where there is none.
    pub fn describe(options: &EngineOptions) -> Result<ModelInfo, EngineError> {
        let model = ModelDirectory::open(&options.model_directory)?;
        let placement = place(options, &model)?;
        Ok(model_info(&model, placement, model.expected.as_ref().map_or_else(String::new, |(sha256, _)| sha256.clone())))
    }

    /// Checks the model directory and reads the weights: the one read of the process.
    pub fn load(options: &EngineOptions) -> Result<Self, EngineError> {
        let mut model = ModelDirectory::open(&options.model_directory)?;
        let placement = place(options, &model)?;
        let tokenizer = Tokenizer::load(&model.path, model.lowercase, model.token_types)?;
        let begun = Instant::now();
        let file = WeightsFile::read(&model)?;
        let weights = match (placement.precision, Kernels::detect()) {
            (Precision::Int8, Some(kernels)) => Weights::Int8(Arc::new(Int8Weights::new(kernels, &file, &model)?)),
            _ => Weights::Tensors(SharedWeights::new(&file, &model, placement.kind(), placement.device)?),
        };
        let read_seconds = begun.elapsed().as_secs_f64();
        let labels = Labels::new(&model.labels);
        let info = model_info(&model, placement, file.sha256.clone());
        let golden = std::mem::take(&mut model.golden);
        let threads = options.threads_per_worker.max(1);
        let batch_tokens = options.batch_tokens.max(model.max_pieces + 2);
        Ok(Self {
            shared: Arc::new(Shared {
                model,
                weights,
                weight_bytes: file.bytes,
                read_seconds,
                tokenizer,
                labels,
                placement,
                info,
                batch_tokens,
                threads,
                building: Mutex::default(),
            }),
            golden,
        })
    }

    /// Seconds that the one read of the weights took, checksum and cast included.
    pub fn weights_read_seconds(&self) -> f64 {
        self.shared.read_seconds
    }

    /// Length of the weights file.
    pub fn weight_bytes(&self) -> u64 {
        self.shared.weight_bytes
    }
}

fn place(options: &EngineOptions, model: &ModelDirectory) -> Result<Placement, EngineError> {
    Placement::choose(options.device, options.precision, Int8Weights::obstacle(model), model.int8)
}

fn model_info(model: &ModelDirectory, placement: Placement, sha256: String) -> ModelInfo {
    ModelInfo {
        name: model.name.clone(),
        version: model.version.clone(),
        sha256,
        precision: placement.precision().to_owned(),
        device: placement.to_string(),
        labels: Labels::new(&model.labels).types().iter().map(ToString::to_string).collect(),
    }
}

impl EngineFactory for TransformerFactory {
    fn build(&self) -> Result<Box<dyn NerEngine>, EngineError> {
        let shared = self.shared.clone();
        let network: Box<dyn Network> = match &shared.weights {
            Weights::Int8(weights) => Box::new(Int8Network::new(weights.clone())),
            Weights::Tensors(weights) => {
                // OpenMP keeps this per calling thread: two workers of one thread beat one of two.
                tch::set_num_threads(i32::try_from(shared.threads).unwrap_or(1));
                // One graph at a time: what building takes for a moment is taken once, however many workers start.
                let _turn = shared.building.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                Box::new(TokenClassifier::build(&shared.model, weights, shared.placement, shared.tokenizer.pad_id)?)
            }
        };
        Ok(Box::new(TransformerEngine { shared, network, input: Windows::default() }))
    }

    fn model(&self) -> &ModelInfo {
        &self.shared.info
    }

    fn golden(&self) -> &[Golden] {
        &self.golden
    }
}

/// One worker's engine.
pub struct TransformerEngine {
    shared: Arc<Shared>,
    network: Box<dyn Network>,
    input: Windows,
}

/// Pieces gathered before their windows are run: enough to sort by length, little enough to keep memory flat.
const GROUP_PIECES: usize = 64 * 1024;

struct Prepared {
    pieces: Vec<Piece>,
    windows: Vec<Range<usize>>,
}

impl NerEngine for TransformerEngine {
    fn annotate(&mut self, texts: &[&str], progress: &Progress) -> Result<Annotation, EngineError> {
        let mut work = Work::default();
        let mut found: Vec<Vec<Entity>> = texts.iter().map(|_| Vec::new()).collect();
        let mut begin = 0;
        while begin < texts.len() {
            let tokenizing = Instant::now();
            let (mut group, mut pieces, mut end) = (Vec::new(), 0, begin);
            while end < texts.len() && (pieces < GROUP_PIECES || end == begin) {
                let prepared = self.prepare(texts[end], &mut work)?;
                progress.step();
                pieces += prepared.pieces.len();
                group.push(prepared);
                end += 1;
            }
            work.tokenize_seconds += tokenizing.elapsed().as_secs_f64();
            let inferring = Instant::now();
            self.infer(&texts[begin..end], &group, &mut found[begin..end], &mut work, progress);
            work.infer_seconds += inferring.elapsed().as_secs_f64();
            begin = end;
        }
        let texts = texts
            .iter()
            .zip(found)
            .map(|(text, mut entities)| {
                entities.sort_by_key(|entity| entity.start);
                to_code_points(text, &mut entities);
                Ok(entities)
            })
            .collect();
        Ok(Annotation { texts, work })
    }
}

impl TransformerEngine {
    fn prepare(&self, text: &str, work: &mut Work) -> Result<Prepared, EngineError> {
        let starts = sentence_starts(text);
        let pieces = self.shared.tokenizer.pieces(text, &starts)?;
        let windows = windows(&pieces, &starts, self.shared.model.max_pieces);
        work.windows += windows.len() as u64;
        work.words += words(&pieces, 0..pieces.len()).filter(|word| text[word.clone()].contains(char::is_alphanumeric)).count() as u64;
        Ok(Prepared { pieces, windows })
    }

    fn infer(&mut self, texts: &[&str], group: &[Prepared], found: &mut [Vec<Entity>], work: &mut Work, progress: &Progress) {
        let windows: Vec<(usize, Range<usize>)> =
            group.iter().enumerate().flat_map(|(text, p)| p.windows.iter().map(move |w| (text, w.clone()))).collect();
        let lengths: Vec<usize> = windows.iter().map(|(_, window)| window.len() + 2).collect();
        let count = self.shared.labels.count();
        for batch in batches(&lengths, self.shared.batch_tokens) {
            self.gather(group, &windows, &batch);
            work.content_tokens += self.input.ids.len() as u64;
            work.padding_tokens += self.network.padding(&self.input) as u64;
            let logits = self.network.logits(&self.input);
            progress.step();
            let mut rows = logits.chunks_exact(count);
            for &index in &batch {
                let (text, window) = &windows[index];
                let words: Vec<Range<usize>> = words(&group[*text].pieces, window.clone()).collect();
                let mut probabilities = Vec::with_capacity(words.len() * count);
                rows.by_ref().take(words.len()).for_each(|logits| softmax(logits, &mut probabilities));
                self.shared.labels.entities(texts[*text], &words, &probabilities, &mut found[*text]);
            }
        }
    }

    /// The windows of a batch as the network reads them.
    fn gather(&mut self, group: &[Prepared], windows: &[(usize, Range<usize>)], batch: &[usize]) {
        let (tokenizer, input) = (&self.shared.tokenizer, &mut self.input);
        input.clear();
        for &index in batch {
            let (text, window) = &windows[index];
            input.ids.push(tokenizer.start_id);
            input.types.push(0);
            for piece in &group[*text].pieces[window.clone()] {
                if piece.first {
                    input.wanted.push(input.ids.len() as u32);
                }
                input.ids.push(piece.id);
                input.types.push(piece.shape);
            }
            input.ids.push(tokenizer.stop_id);
            input.types.push(0);
            input.lengths.push(window.len() + 2);
        }
    }
}

/// Byte spans of the words that begin inside a range of pieces.
fn words(pieces: &[Piece], range: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let stop = range.end;
    range.filter(|&index| pieces[index].first).map(move |index| {
        let mut last = index;
        while last + 1 < stop && !pieces[last + 1].first {
            last += 1;
        }
        pieces[index].bytes.start..pieces[last].bytes.end.max(pieces[index].bytes.start)
    })
}

fn softmax(logits: &[f32], out: &mut Vec<f32>) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let from = out.len();
    out.extend(logits.iter().map(|logit| (logit - highest).exp()));
    let total: f32 = out[from..].iter().sum();
    out[from..].iter_mut().for_each(|p| *p /= total);
}
