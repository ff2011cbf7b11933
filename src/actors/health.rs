//! What the probes know, written by the actors and read by the HTTP threads: atomics and one small lock, never a message to an
//! actor that might be the one that hangs.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::live;
use crate::live::errors::{Errors, Occurrence};
use crate::store::Pause;

/// The actors whose liveness is watched.
#[derive(Clone, Copy, Debug)]
pub enum Watched {
    Poller,
    Supervisor,
    Writer,
    Keeper,
}

const WATCHED: [(&str, Watched); 4] =
    [("poller", Watched::Poller), ("supervisor", Watched::Supervisor), ("writer", Watched::Writer), ("keeper", Watched::Keeper)];

/// An actor that has not stamped for this long is frozen.
pub const FROZEN_AFTER: Duration = Duration::from_secs(30);
/// How often actors stamp.
pub const STAMP_EVERY: Duration = Duration::from_secs(1);

/// Workers by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PoolCounts {
    pub loading: u64,
    pub ready: u64,
    pub busy: u64,
    pub backoff: u64,
    pub stuck: u64,
}

#[derive(Default)]
struct State {
    pool: PoolCounts,
    model: Option<String>,
    /// `None` until the first statement succeeded or failed.
    database: Option<Result<(), String>>,
    schema_checked: bool,
    draining: bool,
    first_fault: Option<String>,
    last_fault: Option<String>,
    memory: Option<String>,
    pauses: Vec<Pause>,
    rollover: Option<RolloverReport>,
    errors: Errors,
}

/// The health of one process.
pub struct Health {
    start: Instant,
    /// Milliseconds since the start plus one; 0: not started.
    stamps: [AtomicU64; 4],
    state: Mutex<State>,
}

/// A rollover, for whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RolloverReport {
    /// The how many-th of this process.
    pub number: u64,
    /// `under way`, `done`, `unchanged`, `refused` or `failed`.
    pub outcome: Cow<'static, str>,
    pub message: String,
}

const UNDER_WAY: &str = "under way";

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Readiness {
    pub ready: bool,
    /// Why not, in words; empty when ready.
    pub reasons: Vec<String>,
    pub workers: PoolCounts,
    pub model: Option<String>,
    pub database: String,
    pub draining: bool,
    /// The first fault of this process's life, and the last.
    pub first_fault: Option<String>,
    pub last_fault: Option<String>,
    /// That memory is tight, with the figures; the process works on, slowly.
    pub memory: Option<String>,
    /// What people have told the daemons not to claim for now; a process that waits for them is ready all the same.
    pub pauses: Vec<Pause>,
    /// The last change of the model.
    pub rollover: Option<RolloverReport>,
    /// Of the process, for signals.
    pub pid: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self { start: Instant::now(), stamps: Default::default(), state: Mutex::default() }
    }
}

impl Health {
    /// Notes that an actor's timers run.
    pub fn stamp(&self, actor: Watched) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        self.stamps[actor as usize].store(now, Ordering::Relaxed);
    }

    /// The actors that are frozen: started, and without a stamp for too long.
    pub fn frozen(&self) -> Vec<&'static str> {
        self.frozen_at(self.start.elapsed())
    }

    fn frozen_at(&self, now: Duration) -> Vec<&'static str> {
        let frozen = |actor: Watched| {
            let stamp = self.stamps[actor as usize].load(Ordering::Relaxed);
            stamp > 0 && now.saturating_sub(Duration::from_millis(stamp)) > FROZEN_AFTER
        };
        WATCHED.iter().filter(|(_, actor)| frozen(*actor)).map(|(name, _)| *name).collect()
    }

    pub fn pool(&self, counts: PoolCounts) {
        self.state().pool = counts;
    }

    pub fn model(&self, name: &str) {
        self.state().model = Some(name.to_owned());
    }

    /// The outcome of the latest statement.
    pub fn database(&self, outcome: Result<(), String>) {
        let mut state = self.state();
        let was_away = matches!(state.database, Some(Err(_)));
        let changed = was_away != outcome.is_err();
        if changed {
            match &outcome {
                Ok(()) => tracing::info!("the database answers again"),
                Err(error) => tracing::warn!(%error, "the database does not answer; trying again with growing pauses"),
            }
        }
        if let Err(error) = &outcome {
            state.errors.push(live::now(), "database", error, None);
        }
        state.database = Some(outcome);
    }

    pub fn schema_checked(&self) {
        self.state().schema_checked = true;
    }

    pub fn draining(&self) {
        self.state().draining = true;
    }

    /// What to say of memory while it is tight.
    pub fn memory(&self, told: Option<String>) {
        self.state().memory = told;
    }

    /// What is paused now.
    pub fn paused(&self, pauses: &[Pause]) {
        let mut state = self.state();
        let gone = |old: &&Pause| !pauses.iter().any(|pause| pause.source == old.source);
        for pause in state.pauses.iter().filter(gone) {
            tracing::info!(what = pause.source.as_deref().unwrap_or("everything"), "resumed: it is claimed again");
        }
        for pause in pauses.iter().filter(|pause| !state.pauses.iter().any(|old| old.source == pause.source)) {
            tracing::warn!("paused, not claimed until `nerd resume`: {pause}");
        }
        state.pauses = pauses.to_vec();
    }

    /// Its number, or `None` while another is under way.
    pub fn rollover_begins(&self) -> Option<u64> {
        let rollover = &mut self.state().rollover;
        if rollover.as_ref().is_some_and(|last| last.outcome == UNDER_WAY) {
            return None;
        }
        let number = rollover.as_ref().map_or(0, |last| last.number) + 1;
        *rollover = Some(RolloverReport { number, outcome: UNDER_WAY.into(), message: String::new() });
        Some(number)
    }

    pub fn rollover_ends(&self, report: RolloverReport) {
        self.state().rollover = Some(report);
    }

    pub fn fault(&self, message: String) {
        let mut state = self.state();
        state.first_fault.get_or_insert_with(|| message.clone());
        state.errors.push(live::now(), "process", &message, None);
        state.last_fault = Some(message);
    }

    /// An article failed; no fault of the process.
    pub fn article_failed(&self, article: &str, error: &str) {
        self.state().errors.push(live::now(), "article", error, Some(article));
    }

    /// What went wrong lately, newest first.
    pub fn errors(&self) -> Vec<Occurrence> {
        self.state().errors.all()
    }

    pub fn first_fault(&self) -> Option<String> {
        self.state().first_fault.clone()
    }

    pub fn readiness(&self) -> Readiness {
        let state = self.state();
        let mut reasons = Vec::new();
        if state.model.is_none() {
            reasons.push("the model is not loaded yet".to_owned());
        } else if state.pool.ready + state.pool.busy == 0 {
            reasons.push("no worker is ready".to_owned());
        }
        let database = match &state.database {
            None => {
                reasons.push("the database has not answered yet".to_owned());
                "unknown".to_owned()
            }
            Some(Err(error)) => {
                reasons.push(format!("the database is away: {error}"));
                format!("away: {error}")
            }
            Some(Ok(())) if !state.schema_checked => {
                reasons.push("the schema nerd is not checked yet".to_owned());
                "connected".to_owned()
            }
            Some(Ok(())) => "connected".to_owned(),
        };
        if state.draining {
            reasons.push("draining".to_owned());
        }
        Readiness {
            ready: reasons.is_empty(),
            reasons,
            workers: state.pool,
            model: state.model.clone(),
            database,
            draining: state.draining,
            first_fault: state.first_fault.clone(),
            last_fault: state.last_fault.clone(),
            memory: state.memory.clone(),
            pauses: state.pauses.clone(),
            rollover: state.rollover.clone(),
            pid: std::process::id(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_model_workers_and_database_are() {
        let health = Health::default();
        assert_eq!(health.readiness().reasons.len(), 2);
        health.model("m");
        health.pool(PoolCounts { ready: 1, ..PoolCounts::default() });
        health.database(Ok(()));
        health.schema_checked();
        assert!(health.readiness().ready, "{:?}", health.readiness());
        health.database(Err("refused".to_owned()));
        let readiness = health.readiness();
        assert!(!readiness.ready && readiness.reasons == ["the database is away: refused"]);
        health.database(Ok(()));
        let pause = Pause { source: None, reason: None, since: String::new(), said_by: "op@host".to_owned() };
        health.paused(&[pause]);
        assert!(health.readiness().ready && health.readiness().pauses.len() == 1, "paused is no fault");
        health.draining();
        assert_eq!(health.readiness().reasons, ["draining"]);
    }

    #[test]
    fn the_first_fault_is_kept() {
        let health = Health::default();
        health.fault("one".to_owned());
        health.fault("two".to_owned());
        let readiness = health.readiness();
        assert_eq!((readiness.first_fault.as_deref(), readiness.last_fault.as_deref()), (Some("one"), Some("two")));
        health.article_failed("a-1", "three");
        let told: Vec<_> = health.errors().into_iter().map(|error| (error.kind, error.message)).collect();
        assert_eq!(
            told,
            [("article", "three"), ("process", "two"), ("process", "one")].map(|(kind, message)| (kind.into(), message.to_owned()))
        );
    }

    #[test]
    fn an_actor_without_a_stamp_is_frozen_only_once_started() {
        let health = Health::default();
        health.stamp(Watched::Writer);
        assert!(health.frozen_at(Duration::from_secs(29)).is_empty());
        assert_eq!(health.frozen_at(Duration::from_secs(31)), ["writer"]);
    }
}
