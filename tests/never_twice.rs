//! The engine with a memory gives what the engine without it gives, asks the model no text twice, and stays within its bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use nerd::engine::scripted::ScriptedFactory;
use nerd::engine::{Annotation, CachedFactory, EngineError, EngineFactory, Golden, ModelInfo, NerEngine, Progress};
use nerd::memory::resident_bytes;
use proptest::prelude::*;

/// The scripted engine, with every text it was asked.
#[derive(Default)]
struct Witness {
    scripted: ScriptedFactory,
    golden: Vec<Golden>,
    seen: Arc<Mutex<Vec<String>>>,
}

struct WitnessEngine(Box<dyn NerEngine>, Arc<Mutex<Vec<String>>>);

impl EngineFactory for Witness {
    fn build(&self) -> Result<Box<dyn NerEngine>, EngineError> {
        Ok(Box::new(WitnessEngine(self.scripted.build()?, self.seen.clone())))
    }

    fn model(&self) -> &ModelInfo {
        self.scripted.model()
    }

    fn golden(&self) -> &[Golden] {
        &self.golden
    }
}

impl NerEngine for WitnessEngine {
    fn annotate(&mut self, texts: &[&str], progress: &Progress) -> Result<Annotation, EngineError> {
        self.1.lock().unwrap().extend(texts.iter().map(|&text| text.to_owned()));
        self.0.annotate(texts, progress)
    }
}

const ROOM: u64 = 1 << 20;

fn cached(bytes: u64) -> (CachedFactory, Arc<Mutex<Vec<String>>>) {
    let witness = Witness::default();
    let seen = witness.seen.clone();
    (CachedFactory::new(Arc::new(witness), bytes), seen)
}

fn annotate(engine: &mut dyn NerEngine, texts: &[&str]) -> Annotation {
    engine.annotate(texts, &Progress::default()).unwrap()
}

/// Few enough to repeat, with every kind of character, and one that always fails.
const TEXTS: &[&str] = &[
    "",
    "nothing here",
    "Ann met Bob",
    "Ann met Bob ",
    "Zoë Müller of São Paulo",
    "北京 and Ürümqi 😀 Éric",
    "É\u{301}ric is here",
    "Ann [[text-error]]",
    "Ann\tand\nBob  and Ann",
];

proptest! {
    /// Any mix of new and repeated texts, over any number of calls and two engines.
    #[test]
    fn a_memory_changes_no_result(calls in prop::collection::vec((0..2usize, prop::collection::vec(0..TEXTS.len(), 0..12)), 0..12)) {
        let (factory, seen) = cached(ROOM);
        let mut engines = [factory.build().unwrap(), factory.build().unwrap()];
        let mut plain = ScriptedFactory::default().build().unwrap();
        let (mut hits, mut asked) = (0, 0);
        for (engine, places) in &calls {
            let texts: Vec<&str> = places.iter().map(|&place| TEXTS[place]).collect();
            let (found, expected) = (annotate(engines[*engine].as_mut(), &texts), annotate(plain.as_mut(), &texts));
            prop_assert_eq!(found.texts.len(), expected.texts.len());
            for (found, expected) in found.texts.iter().zip(&expected.texts) {
                prop_assert_eq!(found, expected);
                if let (Ok(found), Ok(expected)) = (found, expected) {
                    let bits = |entities: &[nerd::domain::Entity]| entities.iter().map(|e| e.score.to_bits()).collect::<Vec<_>>();
                    prop_assert_eq!(bits(found), bits(expected));
                }
            }
            prop_assert_eq!(found.work.cache_hits + found.work.cache_misses, texts.len() as u64);
            hits += found.work.cache_hits;
            asked += found.work.cache_misses;
        }
        let seen = seen.lock().unwrap();
        prop_assert_eq!(seen.len() as u64, asked);
        prop_assert_eq!(hits + asked, calls.iter().map(|(_, places)| places.len() as u64).sum::<u64>());
        let mut times: HashMap<&str, usize> = HashMap::new();
        seen.iter().for_each(|text| *times.entry(text).or_default() += 1);
        for (text, times) in times {
            let most = if text.contains("error") { calls.len() } else { 1 };
            prop_assert!(times <= most, "{:?} was asked {} times", text, times);
        }
    }
}

#[test]
fn work_is_what_was_computed() {
    let (factory, _) = cached(ROOM);
    let mut engine = factory.build().unwrap();
    let first = annotate(engine.as_mut(), &["Ann met Bob", "Ann met Bob"]).work;
    assert_eq!((first.words, first.content_tokens, first.cache_hits, first.cache_misses), (3, 3, 1, 1));
    let second = annotate(engine.as_mut(), &["Ann met Bob", "Eve spoke"]).work;
    assert_eq!((second.words, second.content_tokens, second.cache_hits, second.cache_misses), (2, 2, 1, 1));
    let third = annotate(engine.as_mut(), &["Eve spoke"]).work;
    assert_eq!((third.words, third.content_tokens, third.windows, third.cache_hits, third.cache_misses), (0, 0, 0, 1, 0));
}

#[test]
fn progress_goes_on_over_known_texts() {
    let (factory, _) = cached(ROOM);
    let mut engine = factory.build().unwrap();
    let progress = Progress::default();
    engine.annotate(&["Ann"], &progress).unwrap();
    let before = progress.steps();
    engine.annotate(&["Ann"], &progress).unwrap();
    assert!(progress.steps() > before);
}

#[test]
fn errors_and_panics_are_not_kept() {
    let (factory, seen) = cached(ROOM);
    let mut engine = factory.build().unwrap();
    for _ in 0..2 {
        assert!(engine.annotate(&["Bob", "[[error]]"], &Progress::default()).is_err());
        assert!(annotate(engine.as_mut(), &["[[text-error]]"]).texts[0].is_err());
    }
    assert_eq!(seen.lock().unwrap().len(), 6, "the neighbour of an error neither");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| engine.annotate(&["Eve", "[[panic]]"], &Progress::default())));
    assert!(panicked.is_err());
    let mut engine = factory.build().unwrap();
    assert_eq!(annotate(engine.as_mut(), &["Eve"]).work.cache_misses, 1);
    assert_eq!(annotate(engine.as_mut(), &["Eve"]).work.cache_hits, 1);
}

/// A rebuilt engine that no longer works must not pass its test from memory.
#[test]
fn golden_texts_are_always_asked() {
    let golden = Golden { text: "Ann spoke".to_owned(), entities: vec![] };
    let witness = Witness { golden: vec![golden], ..Witness::default() };
    let seen = witness.seen.clone();
    let factory = CachedFactory::new(Arc::new(witness), ROOM);
    for _ in 0..3 {
        annotate(factory.build().unwrap().as_mut(), &["Ann spoke"]);
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[test]
fn what_no_longer_fits_is_asked_again() {
    let (factory, seen) = cached(64_000);
    let mut engine = factory.build().unwrap();
    let text = |number: usize| format!("Name{number} spoke");
    for number in 0..2_000 {
        annotate(engine.as_mut(), &[&text(number)]);
        assert!(factory.held_bytes() <= 64_000);
    }
    assert!(factory.held_bytes() > 32_000, "it is used");
    for number in 0..2_000 {
        assert_eq!(annotate(engine.as_mut(), &[&text(number)]).texts[0].as_ref().unwrap()[0].text, format!("Name{number}"));
    }
    assert!(seen.lock().unwrap().len() > 3_000);
}

#[test]
fn a_result_larger_than_the_memory_is_not_kept() {
    let (factory, seen) = cached(4_000);
    let mut engine = factory.build().unwrap();
    let long = "Ann ".repeat(1_000);
    for _ in 0..2 {
        assert_eq!(annotate(engine.as_mut(), &[&long]).texts[0].as_ref().unwrap().len(), 1_000);
    }
    assert_eq!((seen.lock().unwrap().len(), factory.held_bytes()), (2, 0));
}

/// By the operating system's account, overheads and all: four times more results than fit.
#[test]
fn the_process_grows_by_no_more_than_the_bound() {
    const BOUND: u64 = 16_000_000;
    let factory = CachedFactory::new(Arc::new(ScriptedFactory::default()), BOUND);
    let mut engine = factory.build().unwrap();
    let before = resident_bytes();
    for number in 0..60_000u32 {
        let names = if number % 2 == 0 { 2 } else { 80 };
        annotate(engine.as_mut(), &[&format!("{number} {}", "Ann ".repeat(names))]);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(factory.held_bytes() > BOUND / 2 && factory.held_bytes() <= BOUND, "{}", factory.held_bytes());
    assert!(grown < BOUND + BOUND / 8, "grown by {grown} bytes");
    eprintln!("held {} bytes, grown by {grown}", factory.held_bytes());
}
