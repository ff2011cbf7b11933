//! A rollover, from its order to its outcome: a hangup signal makes the process read its configuration again and go over to the
//! model that it names now. Only the model changes by it. Whatever goes wrong, the model in use stays in use.

use std::path::PathBuf;
use std::sync::Arc;

use actix::prelude::*;
use bytesize::ByteSize;

use super::{Engines, Reload, engine_options, extractor_version, load_weights, with_memory, workers};
use crate::actors::health::{Health, RolloverReport};
use crate::actors::memory_guard::Figures;
use crate::actors::messages::Roll;
use crate::actors::model::{Model, ModelInUse};
use crate::engine::{EngineFactory, TransformerFactory};
use crate::metrics::Metrics;
use crate::settings::Settings;

/// What a model takes at most while it is read, in lengths of its weights file: the file itself, and its tensors in f32 where the
/// file has half precision. In int8 it is less: see the README's peak while loading.
const MOST_TAKEN: u64 = 3;

/// How one ended.
enum Outcome {
    Done(String),
    Unchanged(String),
    /// Nothing was begun.
    Refused(String),
    /// The old model is back.
    Failed(String),
}

pub(super) struct Roller {
    pub settings: Settings,
    pub reload: Reload,
    pub engines: Engines,
    pub model: Arc<ModelInUse>,
    pub supervisor: Recipient<Roll>,
    pub memory: Figures,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

impl Roller {
    /// To its end; what came of it is in the log, in `/readyz` and counted.
    pub async fn roll(&self) {
        let Some(number) = self.health.rollover_begins() else {
            tracing::warn!("a rollover is under way: the signal that came meanwhile changes nothing");
            return;
        };
        let (outcome, message) = match self.attempt().await {
            Outcome::Done(message) => ("done", message),
            Outcome::Unchanged(message) => ("unchanged", message),
            Outcome::Refused(message) => ("refused", message),
            Outcome::Failed(message) => ("failed", message),
        };
        self.metrics.rollover(outcome);
        match outcome {
            "done" | "unchanged" => tracing::info!(outcome, "rollover: {message}"),
            _ => {
                tracing::error!(outcome, "rollover: {message}; the model in use stays in use");
                self.health.fault(format!("rollover {outcome}: {message}"));
            }
        }
        self.health.rollover_ends(RolloverReport { number, outcome: outcome.into(), message });
    }

    async fn attempt(&self) -> Outcome {
        let old = self.model.get();
        let settings = match self.read_again().await {
            Ok(settings) => settings,
            Err(message) => return Outcome::Refused(message),
        };
        let directory = settings.model_directory();
        let (new, bytes) = match TransformerFactory::describe(&engine_options(&settings))
            .and_then(|described| Ok((described, TransformerFactory::weights_length(&directory)?)))
        {
            Ok(described) => described,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let is = old.factory.model();
        if !new.sha256.is_empty() && (&new.name, &new.sha256) == (&is.name, &is.sha256) {
            return Outcome::Unchanged(format!("{} is the model in use already", directory.display()));
        }
        let taken = bytes.saturating_mul(MOST_TAKEN);
        if let Some((used, limit)) = (self.memory)()
            && used.saturating_add(taken) > limit
        {
            let [used, taken, limit] = [used, taken, limit].map(|bytes| ByteSize(bytes).display().si());
            return Outcome::Refused(format!(
                "{used} are in use, the new model may take {taken} more beside the old one, the limit is {limit}"
            ));
        }
        self.switch(settings, directory).await
    }

    /// The settings in force, but for the model that the configuration names now.
    async fn read_again(&self) -> Result<Settings, String> {
        let reload = self.reload.clone();
        let read = tokio::task::spawn_blocking(move || (reload.0)())
            .await
            .map_err(|error| format!("reading the configuration panicked: {error}"))??;
        Ok(Settings { model: read.model, ..self.settings.clone() })
    }

    async fn switch(&self, settings: Settings, directory: PathBuf) -> Outcome {
        let (loading, metrics) = (settings.clone(), self.metrics.clone());
        let factory = match tokio::task::spawn_blocking(move || load_weights(&loading, &metrics)).await {
            Ok(Ok(factory)) => factory,
            Ok(Err(error)) => return Outcome::Failed(error.to_string()),
            Err(error) => return Outcome::Failed(format!("reading the weights panicked: {error}")),
        };
        let (old, new) = (self.model.get().factory.model().clone(), factory.model().clone());
        self.metrics.prepare(workers(&settings), &new.labels);
        let version = extractor_version(&settings, &new);
        let factory = (self.engines)(with_memory(&settings, factory));
        let rolled = self.supervisor.send(Roll(Model { factory, version: version.clone() })).await;
        match rolled.unwrap_or_else(|error| Err(format!("the pool does not answer: {error}"))) {
            Ok(()) => {
                self.metrics.model(&old.name, &old.sha256, &old.precision, &old.device, false);
                self.metrics.model(&new.name, &new.sha256, &new.precision, &new.device, true);
                Outcome::Done(format!("{} is in use, from {}; rows are written as {version}", new.name, directory.display()))
            }
            Err(message) => Outcome::Failed(message),
        }
    }
}
