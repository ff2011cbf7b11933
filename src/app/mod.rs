//! The composition root: names every concrete type, wires writer, then pool, then poller, and ends them in order.

mod daemon;
pub mod doctor;
pub mod footprint;
mod rollover;
mod service;
mod signals;

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::actors::fatal::{Cause, Fatal, FatalError};
use crate::actors::health::Health;
use crate::actors::model::Model;
use crate::actors::poller::Span;
use crate::compat;
use crate::domain::rot47::Preparation;
use crate::domain::{Compat, ExtractorVersion};
use crate::engine::{CachedFactory, EngineError, EngineFactory, EngineOptions, ModelInfo, TransformerFactory, is_accelerator};
use crate::live::{Live, LiveOptions};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::postgres::{PostgresStore, StoreOptions, Target};
use crate::store::{Claimant, RetryPolicy, StoreError};
use crate::trace::{Origin, Traces};
use crate::{http, memory};
use daemon::Daemon;
use signals::Signals;

/// What the process is asked to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// `run` or `extract`, for the ledger.
    pub command: &'static str,
    pub span: Span,
    /// Told now and then how far a batch job is.
    pub watch: Option<fn(&Progress)>,
    pub engines: Engines,
    /// How the configuration is read again when a hangup signal asks for it; `None`: that signal means what it means to anyone.
    pub reload: Option<Reload>,
}

/// Reads the configuration as it was read at the start; errors in words.
#[derive(Clone)]
pub struct Reload(pub Arc<dyn Fn() -> Result<Settings, String> + Send + Sync>);

impl fmt::Debug for Reload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reload")
    }
}

/// What is done to the factory of the engines before the workers get it. The program itself leaves it as it is; a program of the
/// tests puts engines in that fail.
pub type Engines = fn(Arc<dyn EngineFactory>) -> Arc<dyn EngineFactory>;

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
        model_directory: settings.model_directory(),
        device: settings.engine.device,
        precision: settings.engine.precision,
        batch_tokens: settings.engine.batch_tokens as usize,
        threads_per_worker: settings.engine.threads_per_worker as usize,
    }
}

/// Workers of the pool, on the device that the settings mean.
pub fn workers(settings: &Settings) -> u32 {
    settings.workers(is_accelerator(settings.engine.device))
}

/// The name of the rows that a model makes: the configured template, filled in.
pub fn extractor_version(settings: &Settings, model: &ModelInfo) -> ExtractorVersion {
    let sha256 = model.sha256.get(..12).unwrap_or(&model.sha256);
    let version = settings.output.extractor_version.replace("{model}", &model.name).replace("{sha256}", sha256);
    // Rows by other rules are other rows: neither may replace the other or be copied for it.
    let rules = if settings.output.rules.compat == Compat::Strict { "-strict" } else { "" };
    ExtractorVersion::new(version.replace("{version}", env!("CARGO_PKG_VERSION")) + rules)
}

pub fn store_options(settings: &Settings) -> StoreOptions {
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
        rules: settings.output.rules.clone(),
    }
}

/// What becomes of a text before it is read.
pub fn preparation(settings: &Settings, compat: Compat) -> Preparation {
    match (settings.text.decode_rot47, compat) {
        (false, _) => Preparation::NONE,
        (true, Compat::Mended) => Preparation::DECODE,
        (true, Compat::Strict) => Preparation(compat::decode_rot47),
    }
}

/// A store for commands that only look or change by hand.
pub fn open_store(settings: &Settings) -> Result<PostgresStore, StoreError> {
    PostgresStore::new(&store_options(settings), Claimant { boot_id: Uuid::new_v4(), host: host() })
}

/// Reads a model's weights, the one time of the process, counted and logged.
pub fn load_weights(settings: &Settings, metrics: &Metrics) -> Result<TransformerFactory, EngineError> {
    let factory = TransformerFactory::load(&engine_options(settings))?;
    let model = factory.model();
    metrics.weights_read();
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

/// The engine as the workers get it: with a memory for results, unless that is switched off.
pub fn with_memory(settings: &Settings, factory: TransformerFactory) -> Arc<dyn EngineFactory> {
    match settings.reuse.memory_bytes {
        0 => Arc::new(factory),
        bytes => Arc::new(CachedFactory::new(Arc::new(factory), bytes)),
    }
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
    let mut signals = Signals::receive(task.reload.is_some())?;
    let place = Target::parse(settings.database.url.reveal())?.place();
    let described = TransformerFactory::describe(&engine_options(settings)).map_err(|error| error.to_string())?;
    let (metrics, health) = (Metrics::new(), Arc::new(Health::default()));
    metrics.prepare(workers(settings), &described.labels);
    metrics.model(&described.name, &described.sha256, &described.precision, &described.device, false);
    actix::spawn(service::report(health.clone()));
    let live = Live::new(LiveOptions {
        show_text: settings.http.show_text,
        host: host(),
        command: task.command.to_owned(),
        workers: workers(settings),
    });
    if let Some(address) = settings.http.address {
        let parts = http::Parts { metrics: metrics.clone(), health: health.clone(), live: live.clone() };
        let (bound, _) = http::serve(address, parts)
            .map_err(|error| format!("http.address {address} cannot be bound: {error}; choose another, or \"\" for none"))?;
        tracing::info!(address = %bound, "serving the live page, /metrics, /livez and /readyz");
        if settings.http.show_text && !bound.ip().is_loopback() {
            tracing::warn!("http.show_text is on: texts of articles are shown to whoever reaches this address");
        }
    }
    let boot_id = Uuid::new_v4();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %boot_id, database = place, workers = workers(settings), "nerd starts");

    let (loading, weights_metrics) = (settings.clone(), metrics.clone());
    let reading = tokio::task::spawn_blocking(move || load_weights(&loading, &weights_metrics));
    let factory = tokio::select! {
        factory = reading => factory.map_err(|error| format!("reading the weights panicked: {error}"))?.map_err(|error| error.to_string())?,
        // Nothing is claimed yet.
        () = signals.end() => return Ok(End::Clean(Progress::default())),
    };
    let loaded = factory.model();
    health.model(&loaded.name);
    metrics.model(&loaded.name, &loaded.sha256, &loaded.precision, &loaded.device, true);
    let options = store_options(settings);
    let version = extractor_version(settings, factory.model());
    let traces = match settings.trace.endpoint.as_str() {
        "" => Traces::off(),
        endpoint => Traces::to(endpoint, settings.trace.one_in, Origin { boot_id, host: host() })?,
    };
    let claimant = Claimant { boot_id, host: host() };
    let store = Arc::new(PostgresStore::new(&options, claimant).map_err(|error| error.to_string())?);
    let model = Model { factory: (task.engines)(with_memory(settings, factory)), version };
    let (fatal, faults) = Fatal::channel();
    let daemon = Daemon::wire(settings, &task, boot_id, model, store, metrics, health, live, traces.clone(), fatal);
    let end = daemon.attend(settings, task, options, signals, faults).await;
    // Forced means now: what was not sent is not sent.
    if !matches!(end, Ok(End::Forced)) {
        let _ = tokio::task::spawn_blocking(move || traces.end()).await;
    }
    end
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
