//! Never twice: what was found in a text is kept, and the same text is answered from memory. A decorator over the floor's two
//! traits: the engine inside sees only texts whose result is not known, each once a call.
//!
//! One cache serves every worker. It is bounded in bytes and holds no text: an entity is 16 bytes, its words are cut from the
//! text that is asked about. Errors are never kept. Two workers that read the same new text at the same time both compute it:
//! waiting for the other one would make its panic or its stall everybody's.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use sha2::{Digest as _, Sha256};

use super::{Annotation, EngineError, EngineFactory, Golden, ModelInfo, NerEngine, Progress, TextError, Work};
use crate::domain::Entity;

/// Names a text under a model. Whoever chooses texts can choose none that collide.
type Digest = [u8; 32];

/// An entity without its words; offsets count code points, `label` is a place in the model's list.
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
    score: f32,
    label: u16,
}

/// What an entry costs beside its spans, bytes: key, list, table (both grow by doubling), reference count, allocator. Rounded up,
/// so that the bound holds for what the process occupies, not for what it asked for.
const ENTRY_BYTES: u64 = 256;
/// Of a usual article: for the cache's guess at how many entries it will hold.
const USUAL_BYTES: u64 = 1024;

#[derive(Clone)]
struct Bytes;

impl Weighter<Digest, Arc<[Span]>> for Bytes {
    fn weight(&self, _: &Digest, spans: &Arc<[Span]>) -> u64 {
        ENTRY_BYTES + size_of_val::<[Span]>(spans) as u64
    }
}

/// Builds engines that answer known texts from one cache.
pub struct CachedFactory {
    inner: Arc<dyn EngineFactory>,
    known: Arc<Known>,
}

impl CachedFactory {
    /// `bytes`: the most that the cache may occupy.
    pub fn new(inner: Arc<dyn EngineFactory>, bytes: u64) -> Self {
        let known = Arc::new(Known::new(inner.model(), inner.golden(), bytes));
        Self { inner, known }
    }

    /// Bytes that the cache occupies, by its own account.
    pub fn held_bytes(&self) -> u64 {
        self.known.results.weight()
    }
}

impl EngineFactory for CachedFactory {
    fn build(&self) -> Result<Box<dyn NerEngine>, EngineError> {
        Ok(Box::new(CachedEngine { inner: self.inner.build()?, known: self.known.clone() }))
    }

    fn model(&self) -> &ModelInfo {
        self.inner.model()
    }

    fn golden(&self) -> &[Golden] {
        self.inner.golden()
    }
}

/// The results that are known, and what is needed to name and to restore them.
struct Known {
    results: Cache<Digest, Arc<[Span]>, Bytes>,
    /// Has taken in the model already.
    model: Sha256,
    labels: Vec<Arc<str>>,
    /// Never kept: they are asked to see whether an engine works, and only the engine can tell.
    golden: HashSet<Digest>,
}

impl Known {
    fn new(model: &ModelInfo, golden: &[Golden], bytes: u64) -> Self {
        let mut hash = Sha256::new();
        for part in [&model.name, &model.version, &model.sha256, &model.precision, &model.device] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let options = OptionsBuilder::new()
            // One part: a look-up is rare beside the inference it saves, and every result up to the bound finds room.
            .shards(1)
            .weight_capacity(bytes)
            .estimated_items_capacity(usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX))
            .build()
            .expect("both capacities are given");
        let mut known = Self {
            results: Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            model: hash,
            labels: model.labels.iter().map(|label| label.as_str().into()).collect(),
            golden: HashSet::new(),
        };
        known.golden = golden.iter().map(|golden| known.digest(&golden.text)).collect();
        known
    }

    fn digest(&self, text: &str) -> Digest {
        let mut hash = self.model.clone();
        hash.update(text);
        hash.finalize().into()
    }

    fn recall(&self, digest: &Digest, text: &str) -> Option<Vec<Entity>> {
        let spans = self.results.get(digest)?;
        let mut places = Places::new(text);
        spans
            .iter()
            .map(|span| {
                let (start, end) = (span.start as usize, span.end as usize);
                let label = self.labels.get(usize::from(span.label))?.clone();
                Some(Entity { text: places.slice(start, end)?.to_owned(), label, start, end, score: span.score })
            })
            .collect()
    }

    fn keep(&self, digest: Digest, text: &str, entities: &[Entity]) {
        if self.golden.contains(&digest) {
            return;
        }
        let mut places = Places::new(text);
        let spans: Option<Arc<[Span]>> = entities.iter().map(|entity| self.span(entity, &mut places)).collect();
        if let Some(spans) = spans {
            self.results.insert(digest, spans);
        }
    }

    /// `None` where the entity could not be restored to the bit: such a result is not kept.
    fn span(&self, entity: &Entity, places: &mut Places<'_>) -> Option<Span> {
        (places.slice(entity.start, entity.end)? == entity.text).then_some(())?;
        let label = self.labels.iter().position(|label| *label == entity.label)?;
        let number = |value: usize| u32::try_from(value).ok();
        Some(Span { start: number(entity.start)?, end: number(entity.end)?, score: entity.score, label: u16::try_from(label).ok()? })
    }
}

/// Cuts a text at code points, in one pass where the starts ascend.
struct Places<'a> {
    text: &'a str,
    point: usize,
    byte: usize,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, point: 0, byte: 0 }
    }

    fn slice(&mut self, start: usize, end: usize) -> Option<&'a str> {
        if start < self.point {
            *self = Self::new(self.text);
        }
        let from = self.byte + bytes_of(&self.text[self.byte..], start - self.point)?;
        (self.point, self.byte) = (start, from);
        let length = bytes_of(&self.text[from..], end.checked_sub(start)?)?;
        Some(&self.text[from..from + length])
    }
}

/// Length of the first `points` code points.
fn bytes_of(text: &str, points: usize) -> Option<usize> {
    let mut characters = text.chars();
    if let Some(last) = points.checked_sub(1) {
        characters.nth(last)?;
    }
    Some(text.len() - characters.as_str().len())
}

/// Where a text's result comes from.
enum Origin {
    Known(Vec<Entity>),
    /// The engine is asked; its answers come in the order of these.
    Asked(Digest),
    /// The same text as that one of this call.
    Same(usize),
}

struct CachedEngine {
    inner: Box<dyn NerEngine>,
    known: Arc<Known>,
}

impl NerEngine for CachedEngine {
    fn annotate(&mut self, texts: &[&str], progress: &Progress) -> Result<Annotation, EngineError> {
        let (mut asked, mut first) = (Vec::new(), HashMap::new());
        let origins: Vec<Origin> = texts
            .iter()
            .enumerate()
            .map(|(place, text)| {
                let digest = self.known.digest(text);
                if let Some(&same) = first.get(&digest) {
                    return Origin::Same(same);
                }
                if let Some(entities) = self.known.recall(&digest, text) {
                    progress.step();
                    return Origin::Known(entities);
                }
                first.insert(digest, place);
                asked.push(*text);
                Origin::Asked(digest)
            })
            .collect();
        let Annotation { texts: answers, work } =
            if asked.is_empty() { Annotation::default() } else { self.inner.annotate(&asked, progress)? };
        if answers.len() != asked.len() {
            return Err(EngineError::Transient("the engine returned another number of results than texts".to_owned()));
        }
        let mut answers = answers.into_iter();
        let mut results: Vec<Result<Vec<Entity>, TextError>> = Vec::with_capacity(texts.len());
        for (origin, text) in origins.into_iter().zip(texts) {
            results.push(match origin {
                Origin::Known(entities) => Ok(entities),
                Origin::Same(place) => results[place].clone(),
                Origin::Asked(digest) => {
                    let answer = answers.next().unwrap_or_else(|| Err(TextError("the engine gave no answer".to_owned())));
                    if let Ok(entities) = &answer {
                        self.known.keep(digest, text, entities);
                    }
                    answer
                }
            });
        }
        let (hits, misses) = ((texts.len() - asked.len()) as u64, asked.len() as u64);
        Ok(Annotation { texts: results, work: Work { cache_hits: hits, cache_misses: misses, ..work } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_code_points() {
        let mut places = Places::new("Zoë met 北京 😀.");
        assert_eq!(places.slice(0, 3), Some("Zoë"));
        assert_eq!(places.slice(8, 10), Some("北京"));
        assert_eq!(places.slice(11, 13), Some("😀."));
        assert_eq!(places.slice(4, 7), Some("met"), "backwards too");
        assert_eq!(places.slice(13, 13), Some(""));
        assert_eq!(places.slice(12, 14), None, "beyond the end");
        assert_eq!(places.slice(5, 4), None);
    }

    fn known(sha256: &str, precision: &str) -> Known {
        let model = ModelInfo {
            name: "m".to_owned(),
            version: "1".to_owned(),
            sha256: sha256.to_owned(),
            precision: precision.to_owned(),
            device: "cpu".to_owned(),
            labels: vec!["NAME".to_owned()],
        };
        Known::new(&model, &[], 1 << 20)
    }

    fn entity(text: &str, label: &str) -> Entity {
        Entity { text: text.to_owned(), label: label.into(), start: 0, end: 3, score: 0.1 + 0.2 }
    }

    #[test]
    fn a_result_belongs_to_one_model_and_precision() {
        let digests = [known("a", "f32"), known("b", "f32"), known("a", "int8"), known("af", "32")].map(|known| known.digest("Ann spoke"));
        assert_eq!(digests.iter().collect::<HashSet<_>>().len(), 4);
    }

    #[test]
    fn what_could_not_be_restored_is_not_kept() {
        let known = known("a", "f32");
        let text = "Ann spoke";
        for wrong in [entity("Bob", "NAME"), entity("Ann", "PLACE")] {
            known.keep(known.digest(text), text, &[wrong]);
            assert_eq!(known.recall(&known.digest(text), text), None);
        }
        known.keep(known.digest(text), text, &[entity("Ann", "NAME")]);
        assert_eq!(known.recall(&known.digest(text), text), Some(vec![entity("Ann", "NAME")]));
    }
}
