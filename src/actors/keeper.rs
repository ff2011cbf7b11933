//! The keeper: what must happen now and then beside the flow. It renews leases, returns expired ones, walks for new articles,
//! writes the ledger and reads the backlog; each duty on a timer of its own, none of them able to stop the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fatal::{DeathWatch, Fatal};
use super::health::{Health, STAMP_EVERY, Watched};
use super::in_flight::Ledger;
use super::messages::Record;
use crate::backoff::Backoff;
use crate::live::{InQuarantine, Live, QUARANTINE_SHOWN};
use crate::memory;
use crate::metrics::Metrics;
use crate::store::{ArticleStore, LoadRecord, Quarantined, StoreError};

const BACKLOG_EVERY: Duration = Duration::from_secs(10);
/// Of the live page, where the number of those in quarantine stays the same.
const QUARANTINE_EVERY: Duration = Duration::from_secs(60);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
const LEDGER_RETRY: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(30) };

/// The store's figures of its own, for the gauges.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolFigures {
    /// Connections: idle, in use; and callers that wait for one.
    pub idle: u64,
    pub in_use: u64,
    pub waiting: u64,
    /// Waits for the server's answer, since the start.
    pub round_trips: u64,
}

/// Asks a store for its figures.
pub type PoolStatus = Arc<dyn Fn() -> PoolFigures + Send + Sync>;

#[derive(Clone, Debug)]
pub struct KeeperOptions {
    pub lease: Duration,
    /// Zero: no walk.
    pub discovery_interval: Duration,
    pub reconcile_interval: Duration,
    pub chunk_pause: Duration,
}

#[derive(Clone)]
pub struct KeeperParts {
    pub store: Arc<dyn ArticleStore>,
    pub ledger: Arc<Ledger>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub live: Arc<Live>,
    /// Rung when a walk found something.
    pub bell: Arc<Notify>,
    /// Where the store has a pool.
    pub pool_status: Option<PoolStatus>,
    /// Cancelled once the schema was found fit: no duty begins before.
    pub opened: CancellationToken,
}

pub struct Keeper {
    options: KeeperOptions,
    parts: KeeperParts,
    unrecorded: VecDeque<LoadRecord>,
    recording: bool,
    _watch: DeathWatch,
}

impl Keeper {
    pub fn new(options: KeeperOptions, parts: KeeperParts, fatal: &Fatal) -> Self {
        Self { options, parts, unrecorded: VecDeque::new(), recording: false, _watch: fatal.watch("keeper") }
    }

    /// Writes the oldest unrecorded load; while the database is away it stays and is tried again.
    fn record_next(&mut self, attempt: u32, ctx: &mut Context<Self>) {
        let Some(record) = self.unrecorded.front().cloned() else {
            self.recording = false;
            return;
        };
        self.recording = true;
        let parts = self.parts.clone();
        let writing = async move {
            parts.opened.cancelled().await;
            parts.told(parts.store.record_load(&record).await)
        };
        ctx.spawn(writing.into_actor(self).map(move |written, this: &mut Self, ctx| {
            if written.is_some() {
                this.unrecorded.pop_front();
                this.record_next(0, ctx);
            } else {
                let pause = LEDGER_RETRY.delay(attempt, rand::random());
                ctx.run_later(pause, move |this, ctx| this.record_next(attempt + 1, ctx));
            }
        }));
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(STAMP_EVERY, |this, _| this.parts.health.stamp(Watched::Keeper));
        ctx.run_interval(UPKEEP_EVERY, |this, _| this.parts.metrics.upkeep());
        ctx.run_interval(SAMPLE_EVERY, |this, _| {
            let resident = memory::resident_bytes();
            this.parts.metrics.memory_seen(resident);
            this.parts.live.sample(&this.parts.metrics.totals(), resident);
        });
        let (options, parts) = (self.options.clone(), self.parts.clone());
        ctx.spawn(
            async move {
                parts.opened.cancelled().await;
                parts.heartbeats(options.lease).await
            }
            .into_actor(self),
        );
        let parts = self.parts.clone();
        ctx.spawn(
            async move {
                parts.opened.cancelled().await;
                parts.sweeps(options.lease).await
            }
            .into_actor(self),
        );
        let parts = self.parts.clone();
        ctx.spawn(
            async move {
                parts.opened.cancelled().await;
                parts.backlogs().await
            }
            .into_actor(self),
        );
        let parts = self.parts.clone();
        if !options.discovery_interval.is_zero() {
            ctx.spawn(
                async move {
                    parts.opened.cancelled().await;
                    parts.discoveries(options.discovery_interval).await
                }
                .into_actor(self),
            );
        }
        let parts = self.parts.clone();
        if !options.reconcile_interval.is_zero() {
            ctx.spawn(
                async move {
                    parts.opened.cancelled().await;
                    parts.reconciliations(options.reconcile_interval, options.chunk_pause).await
                }
                .into_actor(self),
            );
        }
    }
}

impl Handler<Record> for Keeper {
    type Result = ();

    fn handle(&mut self, message: Record, ctx: &mut Context<Self>) {
        self.unrecorded.push_back(message.0);
        if !self.recording {
            self.record_next(0, ctx);
        }
    }
}

impl KeeperParts {
    async fn heartbeats(&self, lease: Duration) {
        loop {
            tokio::time::sleep(lease / 3).await;
            let tokens = self.ledger.tokens();
            if !tokens.is_empty() {
                self.told(self.store.renew(&tokens, lease).await);
            }
        }
    }

    async fn sweeps(&self, lease: Duration) {
        loop {
            if let Some(outcome) = self.told(self.store.sweep().await)
                && outcome.returned + outcome.quarantined > 0
            {
                tracing::warn!(returned = outcome.returned, quarantined = outcome.quarantined, "leases of a process that is gone");
                self.metrics.articles("quarantined", outcome.quarantined);
                self.bell.notify_one();
            }
            tokio::time::sleep(jittered((lease / 3).min(Duration::from_secs(15)))).await;
        }
    }

    async fn backlogs(&self) {
        // How many were in quarantine when it was read last, and when.
        let mut quarantine = (0, Instant::now());
        loop {
            if let Some(backlog) = self.told(self.store.backlog().await) {
                self.metrics.backlog(backlog.pending, backlog.leased, backlog.quarantined, backlog.estimated, backlog.oldest_age_seconds);
                self.metrics.ledger(backlog.model_loads_24h, backlog.daemon_starts_24h, backlog.job_starts_24h);
                let (known, read) = quarantine;
                if backlog.quarantined != known || (known > 0 && read.elapsed() >= QUARANTINE_EVERY) {
                    quarantine = (self.show_quarantine(known, backlog.quarantined).await, Instant::now());
                }
            }
            if let Some(pauses) = self.told(self.store.pauses().await) {
                let sources = pauses.iter().filter(|pause| pause.source.is_some()).count();
                self.metrics.paused(sources < pauses.len(), sources as u64);
                self.health.paused(&pauses);
            }
            if let Some(status) = &self.pool_status {
                let figures = status();
                self.metrics.db_pool(figures.idle, figures.in_use, figures.waiting);
                self.metrics.db_round_trips(figures.round_trips);
            }
            tokio::time::sleep(BACKLOG_EVERY).await;
        }
    }

    /// Reads who is in quarantine for the live page; returns how many are known to be from now on.
    async fn show_quarantine(&self, known: u64, quarantined: u64) -> u64 {
        if quarantined == 0 {
            self.live.quarantine(Vec::new());
            return 0;
        }
        let Some(all) = self.told(self.store.quarantined(QUARANTINE_SHOWN).await) else { return known };
        self.live.quarantine(all.into_iter().map(in_quarantine).collect());
        quarantined
    }

    async fn discoveries(&self, every: Duration) {
        loop {
            if let Some(found) = self.told(self.store.discover().await)
                && found > 0
            {
                tracing::info!(articles = found, "new articles found");
                self.bell.notify_one();
            }
            tokio::time::sleep(jittered(every)).await;
        }
    }

    async fn reconciliations(&self, every: Duration, pause: Duration) {
        loop {
            match self.told(self.store.reconcile_chunk(every).await) {
                Some(Some(found)) => {
                    if found > 0 {
                        tracing::info!(articles = found, "articles found by the walk over the whole table");
                        self.bell.notify_one();
                    }
                    tokio::time::sleep(pause).await;
                }
                Some(None) | None => tokio::time::sleep(jittered(Duration::from_secs(60).min(every))).await,
            }
        }
    }

    /// Counts and shows a failure; the duty's timer is its retry.
    fn told<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.health.database(Ok(()));
                Some(value)
            }
            Err(error) => {
                self.metrics.db_error(error.kind());
                tracing::debug!(%error, "a duty of the keeper failed");
                self.health.database(Err(error.to_string()));
                None
            }
        }
    }
}

fn in_quarantine(quarantined: Quarantined) -> InQuarantine {
    InQuarantine {
        article: quarantined.article_id,
        source: quarantined.source,
        attempts: quarantined.attempts.into(),
        crashes: quarantined.crashes.into(),
        error: quarantined.error,
        since: quarantined.quarantined_at,
    }
}

/// Between four fifths and six fifths: daemons on one queue drift apart.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.8 + 0.4 * rand::random::<f64>())
}
