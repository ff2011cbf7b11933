//! The running parts: wired downstream first (writer, keeper, pool, poller), opened when the database is fit, ended in order.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::rollover::Roller;
use super::signals::{Order, Signals};
use super::{End, Progress, Task, host};
use crate::actors::fatal::{Fatal, FatalError};
use crate::actors::health::Health;
use crate::actors::in_flight::Ledger;
use crate::actors::keeper::{Keeper, KeeperOptions, KeeperParts, PoolFigures};
use crate::actors::memory_guard::{Figures, MemoryGuard};
use crate::actors::messages::{Abandon, Drain};
use crate::actors::model::{Model, ModelInUse};
use crate::actors::permits::Permits;
use crate::actors::poller::{PollOptions, PollParts, Poller, Span};
use crate::actors::pool::{Identity, PoolOptions, PoolParts};
use crate::actors::scopes::{ScopeOptions, Scopes};
use crate::actors::supervisor::PoolSupervisor;
use crate::actors::writer::{Writer, WriterParts};
use crate::backoff::Backoff;
use crate::live::Live;
use crate::memory;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::postgres::{PostgresStore, StoreOptions, migrate};
use crate::store::{ArticleStore, StoreError};
use crate::trace::Traces;

/// The running parts.
pub(super) struct Daemon {
    store: Arc<PostgresStore>,
    supervisor: Addr<PoolSupervisor>,
    _keeper: Addr<Keeper>,
    permits: Arc<Permits>,
    model: Arc<ModelInUse>,
    scopes: Option<Arc<Scopes>>,
    ledger: Arc<Ledger>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    traces: Arc<Traces>,
    bell: Arc<Notify>,
    fatal: Fatal,
    /// The schema is fit.
    opened: CancellationToken,
    stop: CancellationToken,
    finished: CancellationToken,
    /// When the queue's length was asked for last, and that length with what had been claimed: reports come more often than a
    /// question is worth.
    asked: Mutex<Option<(Instant, u64)>>,
}

/// Between two questions for the queue's length.
const ASK_EVERY: Duration = Duration::from_secs(10);

impl Daemon {
    #[expect(clippy::too_many_arguments, reason = "the one place where every part meets")]
    pub(super) fn wire(
        settings: &Settings,
        task: &Task,
        boot_id: Uuid,
        model: Model,
        store: Arc<PostgresStore>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        live: Arc<Live>,
        traces: Arc<Traces>,
        fatal: Fatal,
    ) -> Self {
        let (ledger, permits, bell) = (Ledger::new(), Permits::new(), Arc::new(Notify::new()));
        let (opened, model) = (CancellationToken::new(), ModelInUse::new(model));
        let writer = Writer::new(
            WriterParts {
                store: store.clone(),
                ledger: ledger.clone(),
                health: health.clone(),
                metrics: metrics.clone(),
                live: live.clone(),
            },
            &fatal,
        )
        .start();
        let pool_store = store.clone();
        let keeper = Keeper::new(
            KeeperOptions {
                lease: settings.claim.lease,
                // A batch job walks once, before its first claim.
                discovery_interval: if task.span == Span::Endless { settings.discovery.interval } else { Duration::ZERO },
                reconcile_interval: if task.span == Span::Endless { settings.discovery.reconcile_interval } else { Duration::ZERO },
                chunk_pause: settings.discovery.chunk_pause,
            },
            KeeperParts {
                store: store.clone(),
                ledger: ledger.clone(),
                health: health.clone(),
                metrics: metrics.clone(),
                live: live.clone(),
                bell: bell.clone(),
                pool_status: Some(Arc::new(move || {
                    let (idle, in_use, waiting) = pool_store.pool_status();
                    PoolFigures { idle, in_use, waiting, round_trips: pool_store.round_trips() }
                })),
                opened: opened.clone(),
            },
            &fatal,
        )
        .start();
        let supervisor = PoolSupervisor::new(
            PoolOptions {
                workers: super::workers(settings),
                backoff: Backoff { base: settings.supervision.backoff_base, cap: settings.supervision.backoff_max },
                restart_limit: settings.supervision.restart_limit,
                restart_window: settings.supervision.restart_window,
                stall_timeout: settings.supervision.stall_timeout,
                own_threads: true,
            },
            PoolParts {
                model: model.clone(),
                identity: Identity { boot_id, host: host(), command: task.command.to_owned() },
                writer: writer.recipient(),
                keeper: Some(keeper.clone().recipient()),
                permits: permits.clone(),
                ledger: ledger.clone(),
                health: health.clone(),
                metrics: metrics.clone(),
                live,
                fatal: fatal.clone(),
            },
        )
        .start();
        let gazetteer = &settings.gazetteer;
        let options =
            ScopeOptions { memory_bytes: gazetteer.memory_bytes, refresh: gazetteer.refresh, compat: settings.output.rules.compat };
        let scopes = gazetteer.enabled.then(|| Arc::new(Scopes::new(options, store.clone(), metrics.clone())));
        let (stop, finished) = (CancellationToken::new(), CancellationToken::new());
        Self {
            store,
            supervisor,
            _keeper: keeper,
            permits,
            model,
            scopes,
            ledger,
            health,
            metrics,
            traces,
            bell,
            fatal,
            opened,
            stop,
            finished,
            asked: Mutex::default(),
        }
    }

    /// From here on: opens the doors when the database is fit, then waits for a reason to end.
    pub(super) async fn attend(
        self,
        settings: &Settings,
        task: Task,
        options: StoreOptions,
        mut signals: Signals,
        mut faults: mpsc::UnboundedReceiver<FatalError>,
    ) -> Result<End, String> {
        let opening = self.open(settings, &task, &options);
        tokio::pin!(opening);
        let mut open = false;
        let mut reports = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                result = &mut opening, if !open => {
                    result.map_err(|error| error.to_string())?;
                    open = true;
                }
                Some(error) = faults.recv() => {
                    self.fatal.expect_the_end();
                    self.drain(Duration::ZERO).await;
                    return Ok(End::Fatal(error));
                }
                order = signals.next() => match order {
                    Order::End => break,
                    Order::Reload => self.roll(settings, &task),
                },
                () = self.finished.cancelled() => break,
                _ = reports.tick(), if task.watch.is_some() => self.report(&task).await,
            }
        }
        self.fatal.expect_the_end();
        tracing::info!(articles = self.ledger.articles(), "draining: no more claims, what is at work may end");
        let limit = if self.finished.is_cancelled() { Duration::MAX } else { settings.shutdown.drain_timeout };
        let draining = async {
            let settled = self.drain(limit).await;
            self.report(&task).await;
            if settled { End::Clean(self.progress(0)) } else { End::Hasty(self.progress(0)) }
        };
        tokio::pin!(draining);
        loop {
            tokio::select! {
                end = &mut draining => return Ok(end),
                () = signals.end() => return Ok(End::Forced),
                Some(error) = faults.recv() => return Ok(End::Fatal(error)),
                _ = reports.tick(), if task.watch.is_some() => self.report(&task).await,
            }
        }
    }

    /// Begins a rollover; the pool itself refuses a second one meanwhile.
    fn roll(&self, settings: &Settings, task: &Task) {
        let Some(reload) = task.reload.clone() else { return };
        let roller = Roller {
            settings: settings.clone(),
            reload,
            engines: task.engines,
            model: self.model.clone(),
            supervisor: self.supervisor.clone().recipient(),
            memory: memory_figures(settings),
            health: self.health.clone(),
            metrics: self.metrics.clone(),
        };
        actix::spawn(async move { roller.roll().await });
    }

    /// Waits for the database, refuses a schema that does not fit, and lets the duties and the claims begin.
    async fn open(&self, settings: &Settings, task: &Task, options: &StoreOptions) -> Result<(), StoreError> {
        let backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(15) };
        let mut attempt = 0;
        loop {
            match self.prepare(settings, task, options).await {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    self.metrics.db_error(error.kind());
                    self.health.database(Err(error.to_string()));
                    tokio::time::sleep(backoff.delay(attempt, rand::random())).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
        self.health.database(Ok(()));
        self.health.schema_checked();
        self.opened.cancel();
        actix::spawn(self.store.clone().listen(self.bell.clone()));
        Poller::new(
            PollOptions {
                batch_articles: settings.claim.batch_articles,
                source: Some(settings.claim.source.clone()).filter(|source| !source.is_empty()),
                lease: settings.claim.lease,
                reuse: settings.reuse.database,
                poll_interval: settings.claim.poll_interval,
                idle_poll_interval: settings.claim.idle_poll_interval,
                span: task.span,
                prepare: super::preparation(settings, settings.output.rules.compat),
            },
            PollParts {
                store: self.store.clone(),
                supervisor: self.supervisor.clone().recipient(),
                permits: self.permits.clone(),
                model: self.model.clone(),
                memory: MemoryGuard::new(memory_figures(settings), self.health.clone(), self.metrics.clone()),
                scopes: self.scopes.clone(),
                ledger: self.ledger.clone(),
                health: self.health.clone(),
                metrics: self.metrics.clone(),
                traces: self.traces.clone(),
                bell: self.bell.clone(),
                stop: self.stop.clone(),
                finished: self.finished.clone(),
            },
            &self.fatal,
        )
        .start();
        Ok(())
    }

    async fn prepare(&self, settings: &Settings, task: &Task, options: &StoreOptions) -> Result<(), StoreError> {
        migrate::refuse_unless_current(migrate::schema_state(options).await?)?;
        if task.span == Span::Endless {
            return Ok(());
        }
        // A batch job looks for new articles itself, and gives back what a process that died has left.
        self.store.sweep().await?;
        if !settings.discovery.interval.is_zero() {
            self.store.discover().await?;
        }
        if !settings.discovery.reconcile_interval.is_zero() {
            while self.store.reconcile_chunk(settings.discovery.reconcile_interval).await?.is_some() {}
        }
        Ok(())
    }

    /// Stops claiming, lets what is at work end within the limit, gives the rest back. True when all is settled.
    async fn drain(&self, limit: Duration) -> bool {
        self.health.draining();
        self.stop.cancel();
        if !self.finished.is_cancelled() {
            self.supervisor.do_send(Drain);
        }
        // A claim that was on its way when the stop came is still handed on.
        let settled = async {
            if self.opened.is_cancelled() {
                self.finished.cancelled().await;
            }
            self.ledger.settled().await;
        };
        if tokio::time::timeout(limit, settled).await.is_ok() {
            return true;
        }
        self.supervisor.do_send(Abandon);
        tokio::time::timeout(Duration::from_secs(5), self.ledger.settled()).await.is_ok()
    }

    async fn report(&self, task: &Task) {
        if let Some(watch) = task.watch {
            let claimed = || self.ledger.tally.claimed.load(Ordering::Relaxed);
            let known = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let all = match known.filter(|(at, _)| at.elapsed() < ASK_EVERY) {
                Some((_, all)) => all,
                None => {
                    let all = self.store.backlog().await.map_or(0, |backlog| backlog.pending) + claimed();
                    *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), all));
                    all
                }
            };
            watch(&self.progress(all.saturating_sub(claimed())));
        }
    }

    fn progress(&self, pending: u64) -> Progress {
        let tally = &self.ledger.tally;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Progress {
            pending,
            claimed: read(&tally.claimed),
            done: read(&tally.done),
            retried: read(&tally.retried),
            quarantined: read(&tally.quarantined),
            lease_lost: read(&tally.lease_lost),
            words: read(&tally.words),
            rows: read(&tally.entities),
        }
    }
}

/// The limit that was configured against what the process holds, or that of its control group against what that holds.
fn memory_figures(settings: &Settings) -> Figures {
    match settings.supervision.memory_limit {
        0 => Arc::new(|| {
            let group = memory::control_group();
            group.working_set.zip(group.limit)
        }),
        limit => Arc::new(move || Some((memory::resident_bytes(), limit))),
    }
}
