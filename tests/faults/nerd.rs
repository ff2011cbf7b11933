//! The real program with engines that fail: on cue (`[[panic]]`, `[[error]]`, `[[stall]]`, `[[abort]]` in a text) and by chance
//! (`FAULTS="seed=7 panic=0.01 error=0.01 stall=0.001"`, chances a call). An example, so that tests build it and nobody ships it.

use std::sync::Arc;

use nerd::engine::{Annotation, EngineError, EngineFactory, Golden, ModelInfo, NerEngine, Progress};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Chances of a call.
#[derive(Clone, Copy, Default)]
struct Chances {
    seed: u64,
    panic: f64,
    error: f64,
    stall: f64,
}

impl Chances {
    fn parse(text: &str) -> Self {
        let mut chances = Self::default();
        for (name, value) in text.split_whitespace().filter_map(|pair| pair.split_once('=')) {
            match name {
                "seed" => chances.seed = value.parse().expect("a seed is a whole number"),
                "panic" => chances.panic = value.parse().expect("a chance is a number"),
                "error" => chances.error = value.parse().expect("a chance is a number"),
                "stall" => chances.stall = value.parse().expect("a chance is a number"),
                _ => panic!("FAULTS: {name} is no fault"),
            }
        }
        chances
    }
}

struct FaultyFactory(Arc<dyn EngineFactory>, Chances);

impl EngineFactory for FaultyFactory {
    fn build(&self) -> Result<Box<dyn NerEngine>, EngineError> {
        // Another sequence for each process: a seed of its own, drawn apart by the process's number.
        let seed = self.1.seed.wrapping_mul(1 << 20).wrapping_add(u64::from(std::process::id()));
        Ok(Box::new(FaultyEngine {
            inner: self.0.build()?,
            chances: self.1,
            random: StdRng::seed_from_u64(seed),
            warming: self.golden().len(),
        }))
    }

    fn model(&self) -> &ModelInfo {
        self.0.model()
    }

    fn golden(&self) -> &[Golden] {
        self.0.golden()
    }
}

struct FaultyEngine {
    inner: Box<dyn NerEngine>,
    chances: Chances,
    random: StdRng,
    /// Calls that the warm-up still makes.
    warming: usize,
}

impl NerEngine for FaultyEngine {
    fn annotate(&mut self, texts: &[&str], progress: &Progress) -> Result<Annotation, EngineError> {
        let cue = |name: &str| texts.iter().any(|text| text.contains(name));
        let warm = self.warming == 0;
        let mut chance = |of: f64| self.random.random_bool(of) && warm;
        let (panic, error, stall) = (chance(self.chances.panic), chance(self.chances.error), chance(self.chances.stall));
        self.warming = self.warming.saturating_sub(1);
        if cue("[[abort]]") {
            std::process::abort();
        }
        assert!(!panic && !cue("[[panic]]"), "panic of the test's engine");
        if error || cue("[[error]]") {
            return Err(EngineError::Transient("error of the test's engine".to_owned()));
        }
        if stall || cue("[[stall]]") {
            loop {
                std::thread::park();
            }
        }
        self.inner.annotate(texts, progress)
    }
}

fn main() {
    nerd::native::bound_caches();
    let engines = |factory| {
        let chances = Chances::parse(&std::env::var("FAULTS").unwrap_or_default());
        Arc::new(FaultyFactory(factory, chances)) as Arc<dyn EngineFactory>
    };
    match nerd::cli::main_with(engines) {
        Ok(code) => nerd::native::exit(code),
        Err(error) => {
            eprintln!("nerd: {error:#}");
            nerd::native::exit(nerd::cli::FAILED)
        }
    }
}
