//! What a pool is made of: its options, what it speaks to, and a worker's place in it.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_rt::Arbiter;
use uuid::Uuid;

use super::fatal::Fatal;
use super::health::Health;
use super::in_flight::Ledger;
use super::job::Job;
use super::messages::{Persist, Record};
use super::model::{Model, ModelInUse};
use super::permits::Permits;
use super::slot::Slot;
use super::worker::Worker;
use crate::backoff::Backoff;
use crate::engine::Progress;
use crate::live::Live;
use crate::metrics::Metrics;

/// How the pool is run.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    pub workers: u32,
    pub backoff: Backoff,
    pub restart_limit: u32,
    pub restart_window: Duration,
    pub stall_timeout: Duration,
    /// Workers on threads of their own. Tests put scripted ones on the test's thread, so that the paused clock rules them too.
    pub own_threads: bool,
}

/// Who this process is, for the ledger's rows.
#[derive(Clone, Debug)]
pub struct Identity {
    pub boot_id: Uuid,
    pub host: String,
    pub command: String,
}

/// What the supervisor speaks to.
pub struct PoolParts {
    pub model: Arc<ModelInUse>,
    pub identity: Identity,
    pub writer: Recipient<Persist>,
    /// Takes the ledger's rows; `None` where there is no database.
    pub keeper: Option<Recipient<Record>>,
    pub permits: Arc<Permits>,
    pub ledger: Arc<Ledger>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub live: Arc<Live>,
    pub fatal: Fatal,
}

/// A worker's place.
pub(super) struct Place {
    pub slot: Slot,
    pub worker: Addr<Worker>,
    pub arbiter: Option<Arbiter>,
    pub progress: Progress,
    pub job: Option<Job>,
    /// Of its engine, or of the one that is being built.
    pub model: Arc<Model>,
    /// Why the engine being built is built, as the ledger and the metrics name it.
    pub reason: &'static str,
    /// It had an engine before.
    pub warm: bool,
}

impl Place {
    /// The engine is gone, and the same is built anew.
    pub fn again(&mut self) {
        self.reason = if self.warm { "restart" } else { "startup" };
    }
}
