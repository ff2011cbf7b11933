//! The engine itself: texts → windows → batches → logits → entities, in that order, and the factory that reads the weights once.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::batch::batches;
use super::bert::TokenClassifier;
use super::decode::{Labels, set_apart, to_code_points};
use super::device::{Placement, Precision};
use super::group::{Group, Prepared, prepare, words};
use super::input::{Network, Pending, Windows};
use super::int8_network::Int8Network;
use super::int8_weights::Int8Weights;
use super::manifest::{ModelDirectory, unreadable};
use super::sizes;
use super::tokenizer::Tokenizer;
use super::weights::{SharedWeights, WeightsFile};
use super::{Annotation, EngineError, EngineFactory, Golden, ModelInfo, NerEngine, Progress, Work};
use crate::domain::{DeviceChoice, Entity, PrecisionChoice};
use crate::native::Kernels;

/// What the configuration says of the engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub model_directory: PathBuf,
    pub device: DeviceChoice,
    pub precision: PrecisionChoice,
    /// Tokens a batch, padding counted; 0: as the device likes them.
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
    /// Whether the next texts are prepared on a thread of their own while the network runs: it runs elsewhere.
    ahead: bool,
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

    /// Bytes of a directory's weights file.
    pub fn weights_length(directory: &Path) -> Result<u64, EngineError> {
        let file = ModelDirectory::open(directory)?.weights;
        std::fs::metadata(&file).map(|metadata| metadata.len()).map_err(|error| unreadable(&file, &error))
    }

    /// Checks the model directory and reads the weights: once for each model of the process.
    pub fn load(options: &EngineOptions) -> Result<Self, EngineError> {
        let mut model = ModelDirectory::open(&options.model_directory)?;
        let placement = place(options, &model)?;
        let tokenizer = Tokenizer::load(&model.path, model.lowercase, model.token_types)?;
        let begun = Instant::now();
        let file = WeightsFile::read(&model)?;
        sizes::check(&model, tokenizer.vocabulary(), file.bytes)?;
        let weights = match (placement.precision, Kernels::detect()) {
            (Precision::Int8, Some(kernels)) => Weights::Int8(Arc::new(Int8Weights::new(kernels, &file, &model)?)),
            _ => Weights::Tensors(SharedWeights::new(&file, &model, placement.kind(), placement.device)?),
        };
        let read_seconds = begun.elapsed().as_secs_f64();
        let labels = Labels::new(&model.labels);
        let info = model_info(&model, placement, file.sha256.clone());
        let golden = std::mem::take(&mut model.golden);
        let threads = options.threads_per_worker.max(1);
        let batch_tokens = if options.batch_tokens == 0 { placement.batch_tokens() } else { options.batch_tokens };
        let batch_tokens = batch_tokens.max(model.max_pieces + 2);
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
                ahead: placement.is_accelerator(),
                building: Mutex::default(),
            }),
            golden,
        })
    }

    /// The windows that a text is read in: code points of it, and wordpieces, the two special ones not counted.
    pub fn windows(&self, text: &str) -> Result<Vec<(Range<usize>, usize)>, EngineError> {
        let group = prepare(&self.shared.tokenizer, self.shared.model.max_pieces, &[text], 0, 0, &Progress::default())?;
        let point = |byte: usize| text[..byte].chars().count();
        let window = |prepared: &Prepared, window: &Range<usize>| {
            let pieces = &prepared.pieces[window.clone()];
            let begin = pieces.first().map_or(0, |piece| piece.bytes.start);
            let end = pieces.iter().map(|piece| piece.bytes.end).max().unwrap_or(begin);
            (point(begin)..point(end), pieces.len())
        };
        Ok(group.prepared.iter().flat_map(|prepared| prepared.windows.iter().map(move |range| window(prepared, range))).collect())
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

/// Pieces of a group on the CPU: enough to sort windows by length, little enough to keep memory flat.
const GROUP_PIECES: usize = 64 * 1024;

impl NerEngine for TransformerEngine {
    fn annotate(&mut self, texts: &[&str], progress: &Progress) -> Result<Annotation, EngineError> {
        let shared = self.shared.clone();
        let mut work = Work::default();
        let mut found: Vec<Vec<Entity>> = texts.iter().map(|_| Vec::new()).collect();
        std::thread::scope(|scope| {
            let mut next = if texts.is_empty() { None } else { Some(shared.group(texts, 0, progress)?) };
            while let Some(group) = next.take() {
                let end = group.texts.end;
                let more = end < texts.len();
                let ahead = (more && shared.ahead).then(|| {
                    scope.spawn({
                        let shared = &shared;
                        move || shared.group(texts, end, progress)
                    })
                });
                work.add(&group.work);
                let inferring = Instant::now();
                self.infer(&texts[group.texts.clone()], &group.prepared, &mut found[group.texts.clone()], &mut work, progress);
                work.infer_seconds += inferring.elapsed().as_secs_f64();
                next = match ahead {
                    Some(ahead) => Some(ahead.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?),
                    None if more => Some(shared.group(texts, end, progress)?),
                    None => None,
                };
            }
            Ok(())
        })?;
        let texts = texts
            .iter()
            .zip(found)
            .map(|(text, mut entities)| {
                entities.sort_by_key(|entity| entity.start);
                set_apart(text, &mut entities);
                to_code_points(text, &mut entities);
                Ok(entities)
            })
            .collect();
        Ok(Annotation { texts, work })
    }
}

impl Shared {
    fn group(&self, texts: &[&str], begin: usize, progress: &Progress) -> Result<Group, EngineError> {
        // A few groups a call, or there is nothing to prepare ahead.
        let most = if self.ahead { self.batch_tokens } else { GROUP_PIECES };
        prepare(&self.tokenizer, self.model.max_pieces, texts, begin, most, progress)
    }
}

impl TransformerEngine {
    /// A batch is decoded after the next one was begun: a device computes meanwhile, on a CPU it is all the same.
    fn infer(&mut self, texts: &[&str], group: &[Prepared], found: &mut [Vec<Entity>], work: &mut Work, progress: &Progress) {
        let windows: Vec<(usize, Range<usize>)> =
            group.iter().enumerate().flat_map(|(text, p)| p.windows.iter().map(move |w| (text, w.clone()))).collect();
        let lengths: Vec<usize> = windows.iter().map(|(_, window)| window.len() + 2).collect();
        let shared = self.shared.clone();
        let mut decode = |batch: &[usize], pending: Pending| {
            let logits = pending();
            progress.step();
            let mut rows = logits.chunks_exact(shared.labels.count());
            for &index in batch {
                let (text, window) = &windows[index];
                let words: Vec<Range<usize>> = words(&group[*text].pieces, window.clone()).collect();
                let mut probabilities = Vec::with_capacity(words.len() * shared.labels.count());
                rows.by_ref().take(words.len()).for_each(|logits| softmax(logits, &mut probabilities));
                let limit = group[*text].pieces.get(window.end).map_or(texts[*text].len(), |after| after.bytes.start);
                shared.labels.entities(texts[*text], &words, limit, &probabilities, &mut found[*text]);
            }
        };
        let mut before: Option<(Vec<usize>, Pending)> = None;
        for batch in batches(&lengths, shared.batch_tokens) {
            self.gather(group, &windows, &batch);
            work.content_tokens += self.input.ids.len() as u64;
            work.padding_tokens += self.network.padding(&self.input) as u64;
            let pending = self.network.begin(&self.input);
            if let Some((batch, pending)) = before.replace((batch, pending)) {
                decode(&batch, pending);
            }
        }
        if let Some((batch, pending)) = before {
            decode(&batch, pending);
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

fn softmax(logits: &[f32], out: &mut Vec<f32>) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let from = out.len();
    out.extend(logits.iter().map(|logit| (logit - highest).exp()));
    let total: f32 = out[from..].iter().sum();
    out[from..].iter_mut().for_each(|p| *p /= total);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_prepared_ahead_are_annotated_like_others() {
        let options = EngineOptions {
            model_directory: concat!(env!("CARGO_MANIFEST_DIR"), "/models/news-ner-fast").into(),
            device: DeviceChoice::Cpu,
            precision: PrecisionChoice::Auto,
            batch_tokens: 160,
            threads_per_worker: 1,
        };
        let mut factory = TransformerFactory::load(&options).unwrap();
        let texts: Vec<String> = (0..30).map(|n| format!("Angela Merkel met {n} people of Siemens in Munich. ").repeat(n % 7)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let annotated = |factory: &TransformerFactory| factory.build().unwrap().annotate(&texts, &Progress::default()).unwrap();
        let plain = annotated(&factory);
        Arc::get_mut(&mut factory.shared).unwrap().ahead = true;
        let ahead = annotated(&factory);
        assert!(plain.texts.iter().flatten().flatten().count() > 50);
        assert_eq!(ahead.texts, plain.texts);
        let counted = |work: Work| (work.words, work.content_tokens, work.windows);
        assert_eq!(counted(ahead.work), counted(plain.work));
    }
}
