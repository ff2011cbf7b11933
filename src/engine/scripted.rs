//! A fake engine for tests of everything above it: does on cue what a real one does only on bad days.
//!
//! Cues inside a text: `[[panic]]`, `[[error]]` (the call fails), `[[text-error]]` (that text fails), `[[stall]]` (no progress until
//! [`ScriptedFactory::open_gate`]). Without one, every capitalised word is an entity of the label `NAME`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::{Annotation, EngineError, EngineFactory, Golden, ModelInfo, NerEngine, Progress, TextError, Work};
use crate::domain::Entity;

/// Counts its builds and can refuse them.
pub struct ScriptedFactory {
    info: ModelInfo,
    pub builds: AtomicU64,
    /// Builds that fail from now on with a transient error.
    pub failing_builds: AtomicU64,
    /// Calls of `annotate`, over all engines.
    pub calls: Arc<AtomicU64>,
    /// What the next builds fail with for good, if anything.
    pub permanent_failure: Mutex<Option<String>>,
    gate: Arc<Gate>,
}

/// Holds back stalled calls.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn wait(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.opened.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl ScriptedFactory {
    /// Lets every stalled call go on.
    pub fn open_gate(&self) {
        *self.gate.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.gate.opened.notify_all();
    }
}

impl Default for ScriptedFactory {
    fn default() -> Self {
        let info = ModelInfo {
            name: "scripted".to_owned(),
            version: "1".to_owned(),
            sha256: "0".repeat(64),
            precision: "f32".to_owned(),
            device: "cpu".to_owned(),
            labels: vec!["NAME".to_owned()],
        };
        Self {
            info,
            builds: AtomicU64::new(0),
            failing_builds: AtomicU64::new(0),
            calls: Arc::default(),
            permanent_failure: Mutex::default(),
            gate: Arc::default(),
        }
    }
}

impl EngineFactory for ScriptedFactory {
    fn build(&self) -> Result<Box<dyn NerEngine>, EngineError> {
        if let Some(message) = self.permanent_failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(EngineError::Permanent(message));
        }
        let refused = self.failing_builds.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if refused {
            return Err(EngineError::Transient("the script refuses this build".to_owned()));
        }
        self.builds.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(ScriptedEngine { calls: self.calls.clone(), gate: self.gate.clone() }))
    }

    fn model(&self) -> &ModelInfo {
        &self.info
    }

    fn golden(&self) -> &[Golden] {
        &[]
    }
}

struct ScriptedEngine {
    calls: Arc<AtomicU64>,
    gate: Arc<Gate>,
}

impl NerEngine for ScriptedEngine {
    fn annotate(&mut self, texts: &[&str], progress: &Progress) -> Result<Annotation, EngineError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut annotation = Annotation::default();
        for text in texts {
            assert!(!text.contains("[[panic]]"), "panic on cue");
            if text.contains("[[error]]") {
                return Err(EngineError::Transient("error on cue".to_owned()));
            }
            if text.contains("[[stall]]") {
                self.gate.wait();
            }
            progress.step();
            annotation.texts.push(if text.contains("[[text-error]]") {
                Err(TextError("text error on cue".to_owned()))
            } else {
                Ok(names(text))
            });
            annotation.work.words += text.split_whitespace().count() as u64;
        }
        annotation.work = Work { content_tokens: annotation.work.words, windows: texts.len() as u64, ..annotation.work };
        Ok(annotation)
    }
}

fn names(text: &str) -> Vec<Entity> {
    let mut entities = Vec::new();
    let mut at = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        if bare.starts_with(char::is_uppercase) {
            let length = bare.chars().count();
            entities.push(Entity { text: bare.to_owned(), label: "NAME".into(), start: at, end: at + length, score: 1.0 });
        }
        at += word.chars().count();
    }
    entities
}
