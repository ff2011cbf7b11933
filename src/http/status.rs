//! What the live page is told, put together from the metrics, the health and the course of things; the same in `/status.json` and
//! in the stream; `nerd top` reads it back with the same types. What an article says is in it only where `http.show_text` is on.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Parts;
use super::promise::{Line, lines};
use crate::actors::health::Readiness;
use crate::live::articles::Recent;
use crate::live::errors::Occurrence;
use crate::live::history::{Course, Point, StageNow};
use crate::live::workers::WorkerNow;
use crate::live::{self, InQuarantine};
use crate::memory;
use crate::metrics::totals::Totals;

/// Which process this is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Process {
    pub version: Cow<'static, str>,
    pub host: String,
    pub command: String,
    /// Unix milliseconds.
    pub started: u64,
}

/// Memory now, in bytes; a limit of 0: there is none.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MemoryNow {
    pub resident: u64,
    pub peak: u64,
    pub baseline: u64,
    pub limit: u64,
}

/// All but the course and the articles, which are told when they change.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Status {
    /// Unix milliseconds.
    pub at: u64,
    pub process: Process,
    pub readiness: Readiness,
    /// Actors that do not move.
    pub frozen: Vec<Cow<'static, str>>,
    pub promise: Vec<Line>,
    pub memory: MemoryNow,
    pub totals: Totals,
    pub stages: Vec<StageNow>,
    pub workers: Vec<WorkerNow>,
    pub errors: Vec<Occurrence>,
    pub quarantine: Vec<InQuarantine>,
    /// The newest second and the newest minute of the course.
    pub second: Option<Point>,
    pub minute: Option<Point>,
    pub shows_text: bool,
}

/// The last articles.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Articles {
    pub changes: u64,
    pub recent: Vec<Recent>,
}

/// Everything at once.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Whole {
    #[serde(flatten)]
    pub status: Status,
    pub course: Course,
    pub articles: Articles,
}

impl Status {
    pub fn of(parts: &Parts) -> Self {
        let Parts { metrics, health, live } = parts;
        let (totals, resident) = (metrics.totals(), memory::resident_bytes());
        let (second, minute) = live.newest_points();
        Self {
            at: live::now(),
            process: Process {
                version: env!("CARGO_PKG_VERSION").into(),
                host: live.options.host.clone(),
                command: live.options.command.clone(),
                started: live.started,
            },
            readiness: health.readiness(),
            frozen: health.frozen().into_iter().map(Cow::Borrowed).collect(),
            promise: lines(&totals, u64::from(live.options.workers), resident),
            memory: MemoryNow {
                resident,
                peak: memory::peak_resident_bytes(),
                baseline: totals.baseline_bytes,
                limit: memory::control_group().limit.unwrap_or(0),
            },
            stages: live.stages(&totals),
            totals,
            workers: live.workers_now(),
            errors: health.errors(),
            quarantine: live.in_quarantine(),
            second,
            minute,
            shows_text: live.options.show_text,
        }
    }

    pub fn whole(parts: &Parts) -> Whole {
        Whole { status: Self::of(parts), course: parts.live.course(), articles: Articles::of(parts) }
    }
}

impl Articles {
    pub fn of(parts: &Parts) -> Self {
        let (changes, recent) = parts.live.recent_articles();
        Self { changes, recent }
    }
}
