//! Configuration: flag over environment over file over default, every value checked, every error listed at once. The table of
//! keys in [`keys`] is the only place that knows a key; `--help`, `nerd check` and the README's table are made from it.

pub mod keys;
mod layers;
mod secret;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use layers::{Effective, Origin, Sources, resolve};
pub use secret::Secret;

use crate::domain::{DeviceChoice, PrecisionChoice, RowRules};

/// Every error of the configuration, one line each, naming the file, variable or flag and the key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the configuration has {} error{}:\n  {}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.join("\n  "))]
pub struct SettingsError(pub Vec<String>);

/// The effective configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub database: Database,
    pub model: Model,
    pub engine: Engine,
    pub claim: Claim,
    pub discovery: Discovery,
    pub retry: Retry,
    pub reuse: Reuse,
    pub gazetteer: Gazetteer,
    pub supervision: Supervision,
    pub text: Text,
    pub output: Output,
    pub http: Http,
    pub log: Log,
    pub shutdown: Shutdown,
    pub trace: Trace,
}

/// Where spans go.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Address of an OTLP collector; empty: nowhere.
    pub endpoint: String,
    /// Of so many batches one is traced.
    pub one_in: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Database {
    pub url: Secret,
    pub pool_size: u32,
    pub connect_timeout: Duration,
    pub statement_timeout: Duration,
    /// Schema of the host's tables.
    pub host_schema: String,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub profile: Profile,
    /// Another model than the profile's.
    pub path: Option<PathBuf>,
}

/// Which of the bundled models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    #[default]
    Accurate,
    Fast,
}

#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// 0: as many as the cores that the control group grants, or one for a device.
    pub workers: u32,
    pub threads_per_worker: u32,
    pub device: DeviceChoice,
    pub precision: PrecisionChoice,
    /// 0: as the device likes them.
    pub batch_tokens: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Claim {
    pub batch_articles: u32,
    /// Empty: every source.
    pub source: String,
    pub poll_interval: Duration,
    pub idle_poll_interval: Duration,
    pub lease: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Zero: off.
    pub interval: Duration,
    pub reconcile_interval: Duration,
    pub chunk_articles: u32,
    pub chunk_pause: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct Retry {
    pub max_attempts: u32,
    pub max_crashes: u32,
    pub base_delay: Duration,
    pub max_delay: Duration,
}

/// What is done with texts whose result is known.
#[derive(Clone, Debug, Default)]
pub struct Reuse {
    /// Bytes that remembered results may occupy; 0: none are.
    pub memory_bytes: u64,
    /// Whether rows of the same text are copied in the database.
    pub database: bool,
}

/// How articles are matched with the host's gazetteer.
#[derive(Clone, Debug, Default)]
pub struct Gazetteer {
    pub enabled: bool,
    /// Bytes that the held indexes may occupy.
    pub memory_bytes: u64,
    /// For how long one is used without asking whether its rows have changed.
    pub refresh: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct Supervision {
    pub restart_limit: u32,
    pub restart_window: Duration,
    pub backoff_base: Duration,
    pub backoff_max: Duration,
    pub stall_timeout: Duration,
    /// Bytes that the process may hold; 0: what its control group grants.
    pub memory_limit: u64,
}

/// How a text is prepared before it is read.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// Whether scrambled paragraphs are decoded.
    pub decode_rot47: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Output {
    /// `{model}`, `{sha256}` (first twelve digits) and `{version}` are filled in.
    pub extractor_version: String,
    /// How entities become rows.
    pub rules: RowRules,
}

#[derive(Clone, Debug, Default)]
pub struct Http {
    /// `None`: no HTTP.
    pub address: Option<SocketAddr>,
    /// Whether the live page shows texts of articles.
    pub show_text: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Default)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    pub drain_timeout: Duration,
}

impl Settings {
    /// The model's directory: the one configured, or else the profile's.
    pub fn model_directory(&self) -> PathBuf {
        self.model.path.clone().unwrap_or_else(|| {
            PathBuf::from(match self.model.profile {
                Profile::Accurate => "models/news-ner",
                Profile::Fast => "models/news-ner-fast",
            })
        })
    }

    /// The pool's size: as configured, or the cores granted to the process divided among the threads of a worker; one keeps an
    /// accelerator busy.
    pub fn workers(&self, on_accelerator: bool) -> u32 {
        match self.engine.workers {
            0 if on_accelerator => return 1,
            0 => {}
            configured => return configured,
        }
        // Counts the scheduling mask and the control group's quota.
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        (cores / self.engine.threads_per_worker.max(1)).max(1)
    }
}
