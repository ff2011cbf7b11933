//! One NER worker: an engine on a thread of its own, which lives as long as the process (libtorch leaks what threads leave
//! behind, pytorch#64412). Panics are caught here; the engine is then rebuilt on this same thread when the supervisor asks.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use actix::{Actor, Context, Handler};

use super::matcher::mentions;
use super::messages::{Annotate, Annotated, Build, BuildFailure, Built, CallFailure};
use crate::engine::{Annotation, EngineError, EngineFactory, NerEngine, Progress};
use crate::memory;

pub struct Worker {
    engine: Option<Box<dyn NerEngine>>,
    progress: Progress,
}

impl Worker {
    /// Without an engine: [`Build`] brings it, so that a failed load is a reply and no panic.
    pub fn new(progress: Progress) -> Self {
        Self { engine: None, progress }
    }
}

/// An engine that has shown itself fit: it found what its model's golden texts hold. They warm it up, too.
pub fn fit_engine(factory: &dyn EngineFactory, progress: &Progress) -> Result<Box<dyn NerEngine>, BuildFailure> {
    let mut engine = factory.build().map_err(|error| match error {
        EngineError::Permanent(message) => BuildFailure::Permanent(message),
        EngineError::Transient(message) => BuildFailure::Transient(message),
    })?;
    // A model that does not find what it must is not let near the rows.
    for golden in factory.golden() {
        let found = engine.annotate(&[&golden.text], progress).map_err(|error| BuildFailure::Transient(error.to_string()))?;
        let entities = found.texts.into_iter().next().and_then(Result::ok).unwrap_or_default();
        for (start, end, label) in &golden.entities {
            if !entities.iter().any(|e| (e.start, e.end) == (*start, *end) && &*e.label == label) {
                return Err(BuildFailure::Permanent(format!(
                    "the model {} does not find the {label} at {start}..{end} of its manifest's golden text: \
                     the weights or the tokenizer are not what they should be",
                    factory.model().name
                )));
            }
        }
    }
    Ok(engine)
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<Build> for Worker {
    type Result = Result<Built, BuildFailure>;

    fn handle(&mut self, Build(factory): Build, _: &mut Context<Self>) -> Self::Result {
        self.engine = None;
        let (started, resident_before) = (Instant::now(), memory::resident_bytes());
        let engine = catch_unwind(AssertUnwindSafe(|| fit_engine(&*factory, &self.progress)))
            .unwrap_or_else(|panic| Err(BuildFailure::Transient(format!("panic: {}", panic_message(panic.as_ref())))))?;
        self.engine = Some(engine);
        Ok(Built { seconds: started.elapsed().as_secs_f64(), resident_before, resident_after: memory::resident_bytes() })
    }
}

impl Handler<Annotate> for Worker {
    type Result = Result<Annotated, CallFailure>;

    fn handle(&mut self, call: Annotate, _: &mut Context<Self>) -> Self::Result {
        let Some(engine) = self.engine.as_mut() else {
            return Err(CallFailure::Panic("the worker has no engine".to_owned()));
        };
        let texts: Vec<&str> = call.texts.iter().map(|(text, _)| text.as_ref()).collect();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let annotation = engine.annotate(&texts, &self.progress)?;
            Ok::<_, EngineError>(if annotation.texts.len() == texts.len() {
                Some(matched(&call, annotation, &self.progress))
            } else {
                None
            })
        }));
        match result {
            Ok(Ok(Some(annotated))) => Ok(annotated),
            Ok(Ok(None)) => Err(CallFailure::Error("the engine returned another number of results than texts".to_owned())),
            Ok(Err(error)) => Err(CallFailure::Error(error.to_string())),
            Err(panic) => {
                // What unwound may be half changed: never used again.
                self.engine = None;
                Err(CallFailure::Panic(panic_message(panic.as_ref())))
            }
        }
    }
}

/// Each text's entities beside what its gazetteer knows.
fn matched(call: &Annotate, annotation: Annotation, progress: &Progress) -> Annotated {
    let started = Instant::now();
    let texts = call
        .texts
        .iter()
        .zip(annotation.texts)
        .map(|((text, scope), result)| {
            progress.step();
            let entities = result?;
            Ok(mentions(scope.as_deref(), text, entities))
        })
        .collect();
    let matched = call.texts.iter().any(|(_, scope)| scope.is_some());
    Annotated { texts, work: annotation.work, match_seconds: matched.then(|| started.elapsed().as_secs_f64()) }
}

/// The first line (native errors bring a stack of many), and nothing from "of `" on: there the standard library quotes
/// the string that it could not slice, which may be an article's text.
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let line = message.unwrap_or("no message").lines().next().unwrap_or_default();
    line.split(" of `")
        .next()
        .unwrap_or_default()
        .split("\\n")
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_messages_hold_no_text() {
        let text = "é the council met in secret".to_owned();
        let panic = catch_unwind(AssertUnwindSafe(|| text[1..].len())).unwrap_err();
        let message = panic_message(panic.as_ref());
        assert!(message.contains("boundary") && !message.contains("secret"), "{message}");
    }
}
