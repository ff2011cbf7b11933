//! What this process is doing right now and did a little while ago, for the live page: memory and words over time, each worker's
//! task, the last articles, who is in quarantine. Actors write it beside their work, the HTTP threads read it; all of it is bounded,
//! and nothing here is a counter of its own (those are in `metrics`).

pub mod articles;
pub mod errors;
pub mod history;
pub mod workers;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::domain::{AnnotatedArticle, ArticleId};
use crate::metrics::totals::Totals;
use articles::{Articles, Recent};
use history::{Course, History, Point, Sample, StageNow};
use workers::{WorkerNow, Workers};

/// Quarantined articles that are shown at most.
pub const QUARANTINE_SHOWN: u32 = 20;

/// Who and what is shown.
#[derive(Clone, Debug, Default)]
pub struct LiveOptions {
    /// Whether texts of articles, and names found in them, are kept for the page.
    pub show_text: bool,
    pub host: String,
    /// `run` or `extract`.
    pub command: String,
    pub workers: u32,
}

/// A quarantined article, as the page tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct InQuarantine {
    pub article: String,
    pub source: String,
    pub attempts: i64,
    pub crashes: i64,
    pub error: Option<String>,
    /// RFC 3339.
    pub since: String,
}

/// One process as the page sees it.
pub struct Live {
    pub options: LiveOptions,
    /// Unix milliseconds.
    pub started: u64,
    history: Mutex<History>,
    workers: Mutex<Workers>,
    articles: Mutex<Articles>,
    quarantine: Mutex<Vec<InQuarantine>>,
}

/// Unix milliseconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Live {
    pub fn new(options: LiveOptions) -> Arc<Self> {
        let workers = Workers::new(options.workers as usize, Instant::now());
        Arc::new(Self {
            options,
            started: now(),
            history: Mutex::default(),
            workers: Mutex::new(workers),
            articles: Mutex::default(),
            quarantine: Mutex::default(),
        })
    }

    /// Takes a look; call it every second.
    pub fn sample(&self, totals: &Totals, resident_bytes: u64) {
        let stages = totals.stages.iter().map(|stage| (stage.batches, stage.seconds)).collect();
        lock(&self.history).push(Sample { at: now(), resident_bytes, words: totals.words, stages });
    }

    /// A worker has begun with so many articles.
    pub fn worker_assigned(&self, index: usize, articles: usize) {
        lock(&self.workers).assigned(index, articles as u64, Instant::now());
    }

    /// The worker's call came back, with a result for each article or with none at all.
    pub fn worker_returned(&self, index: usize, annotated: bool) {
        lock(&self.workers).returned(index, annotated, Instant::now());
    }

    /// Where each worker stands, in the order of their numbers.
    pub fn worker_states(&self, states: impl Iterator<Item = &'static str>) {
        let (mut workers, now) = (lock(&self.workers), Instant::now());
        states.enumerate().for_each(|(index, state)| workers.stands(index, state, now));
    }

    /// Articles whose rows were just committed: those of `done`.
    pub fn completed(&self, annotated: &[AnnotatedArticle], done: &[ArticleId]) {
        let newest = articles::newest(annotated, done, now(), self.options.show_text);
        lock(&self.articles).push(newest);
    }

    pub fn quarantine(&self, all: Vec<InQuarantine>) {
        *lock(&self.quarantine) = all;
    }

    pub fn in_quarantine(&self) -> Vec<InQuarantine> {
        lock(&self.quarantine).clone()
    }

    pub fn workers_now(&self) -> Vec<WorkerNow> {
        lock(&self.workers).now(Instant::now())
    }

    /// Memory and words, second by second and minute by minute.
    pub fn course(&self) -> Course {
        lock(&self.history).course()
    }

    /// The newest second and the newest minute.
    pub fn newest_points(&self) -> (Option<Point>, Option<Point>) {
        lock(&self.history).newest()
    }

    /// What the stages took in the last minute and since the start.
    pub fn stages(&self, totals: &Totals) -> Vec<StageNow> {
        lock(&self.history).stages(&totals.stages)
    }

    /// The last articles, newest first, and a number that grows with each change.
    pub fn recent_articles(&self) -> (u64, Vec<Recent>) {
        lock(&self.articles).recent()
    }
}

/// Nothing here can be half written: a writer that panicked has left whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
