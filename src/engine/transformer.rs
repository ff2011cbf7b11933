//! The engine itself: texts → windows → batches → logits → entities, in that order, and the factory that reads the weights once.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::batch::batches;
use super::bert::{Input, TokenClassifier};
use super::decode::{Labels, to_code_points};
use super::device::Placement;
use super::manifest::ModelDirectory;
use super::sentences::sentence_starts;
use super::tokenizer::{Piece, Tokenizer};
use super::weights::SharedWeights;
use super::window::windows;
use super::{Annotation, EngineError, EngineFactory, Golden, ModelInfo, NerEngine, Progress, Work};
use crate::domain::{DeviceChoice, Entity, PrecisionChoice};

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
    weights: SharedWeights,
    tokenizer: Tokenizer,
    labels: Labels,
    placement: Placement,
    info: ModelInfo,
    batch_tokens: usize,
    threads: usize,
    building: Mutex<()>,
}

impl TransformerFactory {
    /// What a directory says of its model, its weights unread: the digest is the manifest's, or empty where there is none.
    pub fn describe(options: &EngineOptions) -> Result<ModelInfo, EngineError> {
        let placement = Placement::choose(options.device, options.precision)?;
        let model = ModelDirectory::open(&options.model_directory)?;
        Ok(model_info(&model, placement, model.expected.as_ref().map_or_else(String::new, |(sha256, _)| sha256.clone())))
    }

    /// Checks the model directory and reads the weights: the one read of the process.
    pub fn load(options: &EngineOptions) -> Result<Self, EngineError> {
        let placement = Placement::choose(options.device, options.precision)?;
        let mut model = ModelDirectory::open(&options.model_directory)?;
        let tokenizer = Tokenizer::load(&model.path, model.lowercase, model.token_types)?;
        let weights = SharedWeights::read(&model, placement.kind, placement.device)?;
        let labels = Labels::new(&model.labels);
        let info = model_info(&model, placement, weights.sha256.clone());
        let golden = std::mem::take(&mut model.golden);
        let threads = options.threads_per_worker.max(1);
        let batch_tokens = options.batch_tokens.max(model.max_pieces + 2);
        Ok(Self {
            shared: Arc::new(Shared {
                model,
                weights,
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
        self.shared.weights.read_seconds
    }

    /// Length of the weights file.
    pub fn weight_bytes(&self) -> u64 {
        self.shared.weights.bytes
    }
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
        // OpenMP keeps this per calling thread: two workers of one thread beat one of two.
        tch::set_num_threads(i32::try_from(shared.threads).unwrap_or(1));
        // One graph at a time: what building takes for a moment is taken once, however many workers start.
        let turn = shared.building.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let classifier = TokenClassifier::build(&shared.model, &shared.weights, shared.placement)?;
        drop(turn);
        Ok(Box::new(TransformerEngine { shared, classifier }))
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
    classifier: TokenClassifier,
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

    fn infer(&self, texts: &[&str], group: &[Prepared], found: &mut [Vec<Entity>], work: &mut Work, progress: &Progress) {
        let windows: Vec<(usize, Range<usize>)> =
            group.iter().enumerate().flat_map(|(text, p)| p.windows.iter().map(move |w| (text, w.clone()))).collect();
        let lengths: Vec<usize> = windows.iter().map(|(_, window)| window.len() + 2).collect();
        for batch in batches(&lengths, self.shared.batch_tokens) {
            let length = batch.iter().map(|&index| lengths[index]).max().unwrap_or(0);
            let input = self.input(group, &windows, &batch, length);
            let content: usize = batch.iter().map(|&index| lengths[index]).sum();
            work.content_tokens += content as u64;
            work.padding_tokens += (length * batch.len() - content) as u64;
            let logits = self.classifier.logits(&input);
            progress.step();
            for (row, &index) in batch.iter().enumerate() {
                let (text, window) = &windows[index];
                self.decode(texts[*text], &group[*text].pieces, window, &logits, row * length + 1, &mut found[*text]);
            }
        }
    }

    fn input(&self, group: &[Prepared], windows: &[(usize, Range<usize>)], batch: &[usize], length: usize) -> Input {
        let size = batch.len() * length;
        let tokenizer = &self.shared.tokenizer;
        let mut input = Input {
            ids: Vec::with_capacity(size),
            types: Vec::with_capacity(size),
            mask: Vec::with_capacity(size),
            rows: batch.len(),
            length,
        };
        for (row, &index) in batch.iter().enumerate() {
            let (text, window) = &windows[index];
            let pieces = &group[*text].pieces[window.clone()];
            input.ids.push(tokenizer.start_id.into());
            input.ids.extend(pieces.iter().map(|piece| i64::from(piece.id)));
            input.ids.push(tokenizer.stop_id.into());
            input.types.push(0);
            input.types.extend(pieces.iter().map(|piece| i64::from(piece.shape)));
            let filled = (row + 1) * length;
            input.mask.resize(input.ids.len(), 1);
            input.ids.resize(filled, tokenizer.pad_id.into());
            input.types.resize(filled, 0);
            input.mask.resize(filled, 0);
        }
        input
    }

    /// Decodes one window whose first piece's logits lie at token `first` of the batch.
    fn decode(&self, text: &str, pieces: &[Piece], window: &Range<usize>, logits: &[f32], first: usize, out: &mut Vec<Entity>) {
        let count = self.shared.labels.count();
        let words: Vec<Range<usize>> = words(pieces, window.clone()).collect();
        let mut probabilities = Vec::with_capacity(words.len() * count);
        for (index, piece) in pieces[window.clone()].iter().enumerate() {
            if piece.first {
                let at = (first + index) * count;
                softmax(&logits[at..at + count], &mut probabilities);
            }
        }
        self.shared.labels.entities(text, &words, &probabilities, out);
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
