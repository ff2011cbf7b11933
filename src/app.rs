//! The composition root: names every concrete type, wires writer, then pool, then poller, and ends them in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::actors::fatal::{Cause, Fatal, FatalError};
use crate::actors::health::Health;
use crate::actors::in_flight::Ledger;
use crate::actors::keeper::{Keeper, KeeperOptions, KeeperParts};
use crate::actors::messages::{Abandon, Drain};
use crate::actors::permits::Permits;
use crate::actors::poller::{PollOptions, PollParts, Poller, Span};
use crate::actors::supervisor::{Identity, PoolOptions, PoolParts, PoolSupervisor};
use crate::actors::writer::{Writer, WriterParts};
use crate::backoff::Backoff;
use crate::engine::{EngineError, EngineFactory, EngineOptions, ModelInfo, TransformerFactory};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::postgres::{PostgresStore, StoreOptions, Target, migrate};
use crate::store::{ArticleStore, Claimant, RetryPolicy, StoreError};
use crate::{http, memory};

/// What the process is asked to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// `run` or `extract`, for the ledger.
    pub command: &'static str,
    pub span: Span,
    /// Told now and then how far a batch job is.
    pub watch: Option<fn(&Progress)>,
}

/// How far a batch job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    pub pending: u64,
    pub claimed: u64,
    pub done: u64,
    pub retried: u64,
    pub quarantined: u64,
    pub lease_lost: u64,
    pub words: u64,
    pub rows: u64,
}

/// How the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Drained; nothing of ours is leased any more.
    Clean(Progress),
    /// The time to drain was not enough even to give everything back.
    Hasty(Progress),
    /// A second signal.
    Forced,
    Fatal(FatalError),
}

pub fn engine_options(settings: &Settings) -> EngineOptions {
    EngineOptions {
        model_directory: PathBuf::from(&settings.model.path),
        device: settings.engine.device,
        precision: settings.engine.precision,
        batch_tokens: settings.engine.batch_tokens as usize,
        threads_per_worker: settings.engine.threads_per_worker as usize,
    }
}

pub fn store_options(settings: &Settings, model: Option<&ModelInfo>) -> StoreOptions {
    let sha256 = model.map_or("", |m| m.sha256.get(..12).unwrap_or(&m.sha256));
    let version = settings.output.extractor_version.replace("{model}", model.map_or("", |m| &m.name));
    StoreOptions {
        url: settings.database.url.clone(),
        pool_size: settings.database.pool_size,
        connect_timeout: settings.database.connect_timeout,
        statement_timeout: settings.database.statement_timeout,
        host_schema: settings.database.host_schema.clone(),
        retry: RetryPolicy {
            max_attempts: settings.retry.max_attempts,
            max_crashes: settings.retry.max_crashes,
            base_delay: settings.retry.base_delay,
            max_delay: settings.retry.max_delay,
        },
        discovery_chunk: settings.discovery.chunk_articles,
        extractor_version: version.replace("{sha256}", sha256).replace("{version}", env!("CARGO_PKG_VERSION")),
    }
}

/// A store for commands that only look or change by hand.
pub fn open_store(settings: &Settings) -> Result<PostgresStore, StoreError> {
    PostgresStore::new(&store_options(settings, None), Claimant { boot_id: Uuid::new_v4(), host: host() })
}

/// Reads the weights, the one time of the process, counted and logged.
pub fn load_weights(settings: &Settings, metrics: &Metrics) -> Result<TransformerFactory, EngineError> {
    let factory = TransformerFactory::load(&engine_options(settings))?;
    let model = factory.model();
    metrics.weights_read();
    metrics.model(&model.name, &model.sha256, &model.precision, &model.device, true);
    tracing::info!(
        model = %model.name,
        sha256 = %model.sha256,
        precision = %model.precision,
        device = %model.device,
        bytes = factory.weight_bytes(),
        seconds = factory.weights_read_seconds(),
        "weights read"
    );
    Ok(factory)
}

/// The machine's or pod's name, for the ledger.
pub fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Runs the daemon or a batch job to its end. Must be called inside an actix system.
pub async fn run(settings: &Settings, task: Task) -> End {
    match start(settings, task).await {
        Ok(end) => end,
        Err(message) => End::Fatal(FatalError { cause: Cause::Configuration, message }),
    }
}

async fn start(settings: &Settings, task: Task) -> Result<End, String> {
    let place = Target::parse(settings.database.url.reveal())?.place();
    let described = TransformerFactory::describe(&engine_options(settings)).map_err(|error| error.to_string())?;
    let (metrics, health) = (Metrics::new(), Arc::new(Health::default()));
    metrics.prepare(settings.workers(), &described.labels);
    metrics.model(&described.name, &described.sha256, &described.precision, &described.device, false);
    if let Some(address) = settings.http.address {
        let (bound, _) = http::serve(address, metrics.clone(), health.clone())
            .map_err(|error| format!("http.address {address} cannot be bound: {error}; choose another, or \"\" for none"))?;
        tracing::info!(address = %bound, "serving /metrics, /livez and /readyz");
    }
    let boot_id = Uuid::new_v4();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %boot_id, database = place, workers = settings.workers(), "nerd starts");

    let (loading, weights_metrics) = (settings.clone(), metrics.clone());
    let factory = tokio::task::spawn_blocking(move || load_weights(&loading, &weights_metrics))
        .await
        .map_err(|error| format!("reading the weights panicked: {error}"))?
        .map_err(|error| error.to_string())?;
    health.model(&factory.model().name);
    let options = store_options(settings, Some(factory.model()));
    let claimant = Claimant { boot_id, host: host() };
    let store = Arc::new(PostgresStore::new(&options, claimant).map_err(|error| error.to_string())?);
    let (fatal, faults) = Fatal::channel();
    let daemon = Daemon::wire(settings, &task, boot_id, Arc::new(factory), store, metrics, health, fatal);
    daemon.attend(settings, task, options, faults).await
}

/// The running parts.
struct Daemon {
    store: Arc<PostgresStore>,
    supervisor: Addr<PoolSupervisor>,
    _keeper: Addr<Keeper>,
    permits: Arc<Permits>,
    ledger: Arc<Ledger>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    bell: Arc<Notify>,
    fatal: Fatal,
    /// The schema is fit.
    opened: CancellationToken,
    stop: CancellationToken,
    finished: CancellationToken,
}

impl Daemon {
    #[expect(clippy::too_many_arguments, reason = "the one place where every part meets")]
    fn wire(
        settings: &Settings,
        task: &Task,
        boot_id: Uuid,
        factory: Arc<dyn EngineFactory>,
        store: Arc<PostgresStore>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
        fatal: Fatal,
    ) -> Self {
        let (ledger, permits, bell) = (Ledger::new(), Permits::new(), Arc::new(Notify::new()));
        let opened = CancellationToken::new();
        let writer = Writer::new(
            WriterParts { store: store.clone(), ledger: ledger.clone(), health: health.clone(), metrics: metrics.clone() },
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
                bell: bell.clone(),
                pool_status: Some(Arc::new(move || pool_store.pool_status())),
                opened: opened.clone(),
            },
            &fatal,
        )
        .start();
        let supervisor = PoolSupervisor::new(
            PoolOptions {
                workers: settings.workers(),
                backoff: Backoff { base: settings.supervision.backoff_base, cap: settings.supervision.backoff_max },
                restart_limit: settings.supervision.restart_limit,
                restart_window: settings.supervision.restart_window,
                stall_timeout: settings.supervision.stall_timeout,
                own_threads: true,
            },
            PoolParts {
                factory,
                identity: Identity { boot_id, host: host(), command: task.command.to_owned() },
                writer: writer.recipient(),
                keeper: Some(keeper.clone().recipient()),
                permits: permits.clone(),
                ledger: ledger.clone(),
                health: health.clone(),
                metrics: metrics.clone(),
                fatal: fatal.clone(),
            },
        )
        .start();
        let (stop, finished) = (CancellationToken::new(), CancellationToken::new());
        Self { store, supervisor, _keeper: keeper, permits, ledger, health, metrics, bell, fatal, opened, stop, finished }
    }

    /// From here on: opens the doors when the database is fit, then waits for a reason to end.
    async fn attend(
        self,
        settings: &Settings,
        task: Task,
        options: StoreOptions,
        mut faults: mpsc::UnboundedReceiver<FatalError>,
    ) -> Result<End, String> {
        let signals = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
        let (mut terminate, mut interrupt) = (signals(SignalKind::terminate())?, signals(SignalKind::interrupt())?);
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
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
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
                _ = terminate.recv() => return Ok(End::Forced),
                _ = interrupt.recv() => return Ok(End::Forced),
                Some(error) = faults.recv() => return Ok(End::Fatal(error)),
                _ = reports.tick(), if task.watch.is_some() => self.report(&task).await,
            }
        }
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
                poll_interval: settings.claim.poll_interval,
                idle_poll_interval: settings.claim.idle_poll_interval,
                span: task.span,
            },
            PollParts {
                store: self.store.clone(),
                supervisor: self.supervisor.clone().recipient(),
                permits: self.permits.clone(),
                ledger: self.ledger.clone(),
                health: self.health.clone(),
                metrics: self.metrics.clone(),
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
            let pending = self.store.backlog().await.map_or(0, |backlog| backlog.pending);
            watch(&self.progress(pending));
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

/// The end in one log line.
pub fn log_end(end: &End) {
    match end {
        End::Clean(p) | End::Hasty(p) => tracing::info!(
            done = p.done,
            retried = p.retried,
            quarantined = p.quarantined,
            lease_lost = p.lease_lost,
            resident_bytes = memory::resident_bytes(),
            clean = matches!(end, End::Clean(_)),
            "nerd ends"
        ),
        End::Forced => tracing::warn!("a second signal: ending at once; leased articles return when their leases end"),
        End::Fatal(error) => tracing::error!(cause = ?error.cause, "{}", error.message),
    }
}
