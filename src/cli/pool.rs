//! Threads for `annotate`: each with an engine over the shared weights, results in the order of the texts. No actors here:
//! nothing is supervised, a text that fails is told and the rest goes on.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::actors::worker::panic_message;
use crate::domain::Entity;
use crate::engine::{EngineError, EngineFactory, NerEngine, Progress};

/// Texts of one call to an engine, with their place in the whole.
struct Batch {
    number: u64,
    texts: Vec<Arc<str>>,
}

/// The outcome of each text of a batch.
pub type Outcomes = Vec<Result<Vec<Entity>, String>>;

/// Feeds batches to the threads and hands their outcomes to `take` in order. `next` returns `None` at the end.
pub fn annotate_all(
    factory: &Arc<dyn EngineFactory>,
    threads: u32,
    mut next: impl FnMut() -> Option<Vec<Arc<str>>> + Send,
    mut take: impl FnMut(Outcomes),
) -> Result<(), EngineError> {
    let (work_sender, work_receiver) = sync_channel::<Batch>(threads as usize);
    let (result_sender, result_receiver) = sync_channel::<(u64, Result<Outcomes, EngineError>)>(threads as usize * 2);
    let work_receiver = Arc::new(Mutex::new(work_receiver));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (work, results, factory) = (work_receiver.clone(), result_sender.clone(), factory.clone());
            scope.spawn(move || work_off(factory.as_ref(), &work, &results));
        }
        drop((work_receiver, result_sender));
        scope.spawn(move || {
            let mut number = 0;
            while let Some(texts) = next() {
                if work_sender.send(Batch { number, texts }).is_err() {
                    return;
                }
                number += 1;
            }
        });
        let (mut early, mut due) = (BTreeMap::new(), 0);
        for (number, outcomes) in result_receiver {
            early.insert(number, outcomes?);
            while let Some(outcomes) = early.remove(&due) {
                take(outcomes);
                due += 1;
            }
        }
        Ok(())
    })
}

fn work_off(factory: &dyn EngineFactory, work: &Mutex<Receiver<Batch>>, results: &SyncSender<(u64, Result<Outcomes, EngineError>)>) {
    let mut engine = None;
    loop {
        let batch = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(batch) = batch else { return };
        let outcomes = outcomes(factory, &mut engine, &batch.texts);
        if results.send((batch.number, outcomes)).is_err() {
            return;
        }
    }
}

/// One call; if that fails as a whole, one for each text, so that only the culprit's outcome is an error.
fn outcomes(factory: &dyn EngineFactory, engine: &mut Option<Box<dyn NerEngine>>, texts: &[Arc<str>]) -> Result<Outcomes, EngineError> {
    let mut current = match engine.take() {
        Some(engine) => engine,
        None => factory.build()?,
    };
    let borrowed: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    let called = catch_unwind(AssertUnwindSafe(|| current.annotate(&borrowed, &Progress::default())));
    let error = match called {
        Ok(Ok(annotation)) => {
            *engine = Some(current);
            return Ok(annotation.texts.into_iter().map(|result| result.map_err(|error| error.0)).collect());
        }
        Ok(Err(error)) => {
            *engine = Some(current);
            error.to_string()
        }
        Err(panic) => panic_message(panic.as_ref()),
    };
    if texts.len() == 1 {
        return Ok(vec![Err(error)]);
    }
    let mut all = Vec::with_capacity(texts.len());
    for text in texts {
        all.extend(outcomes(factory, engine, std::slice::from_ref(text))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scripted::ScriptedFactory;

    #[test]
    fn keeps_the_order_and_isolates_failures() {
        let factory: Arc<dyn EngineFactory> = Arc::new(ScriptedFactory::default());
        let mut batches: Vec<Vec<Arc<str>>> = (0..20)
            .map(|batch| {
                (0..5)
                    .map(|n| match batch * 5 + n {
                        13 => "[[panic]]".into(),
                        57 => "[[error]]".into(),
                        number => format!("Name{number} spoke").into(),
                    })
                    .collect()
            })
            .collect();
        batches.reverse();
        let mut seen = Vec::new();
        annotate_all(&factory, 3, || batches.pop(), |outcomes| seen.extend(outcomes)).unwrap();
        assert_eq!(seen.len(), 100);
        for (number, outcome) in seen.iter().enumerate() {
            match number {
                13 | 57 => assert!(outcome.is_err()),
                _ => assert_eq!(outcome.as_ref().unwrap()[0].text, format!("Name{number}")),
            }
        }
    }
}
