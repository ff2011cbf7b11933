//! The store floor: claims articles, keeps leases, commits results. Actors know only the trait of this file; `postgres` is the
//! real one, `memory` keeps the same contract for the actors' tests.

pub mod memory;
pub mod postgres;
pub mod queue;
pub mod verdict;

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::{
    AnnotatedArticle, ArticleId, Batch, ClaimToken, ExtractorVersion, GazetteerRow, GazetteerVersion, Rejection, ScopeKey,
};

/// Why a statement failed. Transient: the database is away, overloaded or asked us to retry. Permanent: this very input or set-up is wrong.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{message}")]
    Transient { kind: &'static str, message: String },
    #[error("{message}")]
    Permanent { kind: &'static str, message: String },
}

impl StoreError {
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    /// A small closed set for the label of `nerd_db_errors_total`: connect, timeout, serialization, constraint, permission, schema, other.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Transient { kind, .. } | Self::Permanent { kind, .. } => kind,
        }
    }
}

/// Who claims: one process life.
#[derive(Clone, Debug)]
pub struct Claimant {
    pub boot_id: Uuid,
    /// Host or pod.
    pub host: String,
}

#[derive(Clone, Debug)]
pub struct ClaimRequest {
    pub limit: u32,
    pub lease: Duration,
    /// Only articles of this `candidate_links.source`, compared exactly.
    pub source: Option<String>,
    /// Whether a suspect (an article that failed before, or was held by several processes that died) may be claimed: only when
    /// nothing else is in flight in this process.
    pub suspects: bool,
}

/// What a completion did: ids whose job this claim no longer held are in `lease_lost`, nothing was written for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    pub done: Vec<ArticleId>,
    pub lease_lost: Vec<ArticleId>,
    /// Rows written to `article_entities`, sentinels counted.
    pub rows: u64,
    /// Names left out because the host's unique index cannot hold them.
    pub skipped: u64,
}

/// An article whose rows may be a copy: of rows that were made with the same gazetteer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reusable {
    pub id: ArticleId,
    /// What it would be matched with now; `None` where there is no gazetteer for it.
    pub gazetteer: Option<GazetteerVersion>,
}

/// The rows of a scope that has some, in no order, and the version that they make.
#[derive(Clone, Debug, PartialEq)]
pub struct GazetteerRows {
    pub version: GazetteerVersion,
    pub rows: Vec<GazetteerRow>,
}

/// What became of rejected articles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectionOutcome {
    pub retried: Vec<ArticleId>,
    pub quarantined: Vec<ArticleId>,
    pub lease_lost: Vec<ArticleId>,
}

/// How failed attempts are paced and when they end.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Failed attempts after which an article is quarantined.
    pub max_attempts: u32,
    /// Deaths of the holding process while the article was tried alone, after which it is quarantined.
    pub max_crashes: u32,
    pub base_delay: Duration,
    pub max_delay: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepOutcome {
    pub returned: u64,
    pub quarantined: u64,
}

/// The queue at a glance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backlog {
    pub pending: u64,
    pub leased: u64,
    pub quarantined: u64,
    /// A number above is an estimate or a lower bound: the queue is too long to be counted at each look.
    pub estimated: bool,
    /// Age of the oldest pending job, 0 when there is none.
    pub oldest_age_seconds: f64,
    /// Model loads of the last 24 hours, every process, from the ledger.
    pub model_loads_24h: u64,
    /// Processes among them, by their first worker's first load: daemons, and every other command (`extract`).
    pub daemon_starts_24h: u64,
    pub job_starts_24h: u64,
}

/// A quarantined article with the reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quarantined {
    pub article_id: String,
    pub source: String,
    pub attempts: i32,
    pub crashes: i32,
    pub error: Option<String>,
    /// RFC 3339.
    pub quarantined_at: String,
}

/// Which part of the quarantine somebody looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// `candidate_links.source` when the article was enqueued, compared exactly; `None`: all.
    pub source: Option<String>,
    /// Only what came in so lately; `None`: whenever.
    pub since: Option<Duration>,
}

/// Why articles are in quarantine: a last error, and how many have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QuarantineReason {
    pub error: Option<String>,
    pub articles: u64,
    /// Sources that these articles are of.
    pub sources: u64,
}

/// What is not to be claimed for now, since a person said so.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Pause {
    /// `candidate_links.source`, compared exactly; `None`: everything.
    pub source: Option<String>,
    pub reason: Option<String>,
    /// RFC 3339.
    pub since: String,
    /// The database's role and the host it was said from.
    pub said_by: String,
}

impl std::fmt::Display for Pause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} since {} by {}", self.source.as_deref().unwrap_or("everything"), self.since, self.said_by)?;
        self.reason.as_ref().map_or(Ok(()), |reason| write!(formatter, ": {reason}"))
    }
}

/// One row of the load ledger.
#[derive(Clone, Debug)]
pub struct LoadRecord {
    pub boot_id: Uuid,
    pub host: String,
    /// `run`, `extract`, `annotate`…
    pub command: String,
    pub worker: u32,
    pub model: String,
    pub sha256: String,
    /// `startup`, `restart`, `rollover`.
    pub reason: String,
    pub seconds: f64,
    pub rss_before_bytes: u64,
    pub rss_after_bytes: u64,
    /// Workers the process was configured with: more loads than these are reloads.
    pub pool_size: u32,
}

/// The daemon's view of a database. Every method is one short transaction; none is held across inference.
#[async_trait]
pub trait ArticleStore: Send + Sync {
    /// Leases up to `limit` pending articles under a fresh token, of sources that are not paused; the batch is empty when there is none.
    async fn claim(&self, request: &ClaimRequest) -> Result<Batch, StoreError>;
    /// Replaces the articles' rows of this version and closes their jobs, all or nothing; guarded by the token.
    async fn complete(
        &self,
        token: ClaimToken,
        version: &ExtractorVersion,
        articles: &[AnnotatedArticle],
    ) -> Result<Completion, StoreError>;
    /// Completes those of a claim's articles whose very text another article's rows of this version were written for with the
    /// same version of the gazetteer: they get a copy of these and their jobs are closed, all or nothing, guarded by
    /// the token. The others stay as they are.
    async fn reuse(&self, token: ClaimToken, version: &ExtractorVersion, articles: &[Reusable]) -> Result<Completion, StoreError>;
    /// The gazetteer's rows of a scope; `None` where it has none.
    async fn gazetteer_rows(&self, scope: &ScopeKey) -> Result<Option<GazetteerRows>, StoreError>;
    /// The version of each scope's rows as they are now, in the order given; `None` where there are none.
    async fn gazetteer_versions(&self, scopes: &[ScopeKey]) -> Result<Vec<Option<GazetteerVersion>>, StoreError>;
    /// Counts a failed attempt for each article; returns it to the queue later or quarantines it.
    async fn reject(&self, token: ClaimToken, rejections: &[Rejection]) -> Result<RejectionOutcome, StoreError>;
    /// Gives articles back at once without a failed attempt (shutdown).
    async fn release(&self, token: ClaimToken, ids: &[ArticleId]) -> Result<u64, StoreError>;
    /// Renews the leases of the claims in flight; returns how many of them still stood.
    async fn renew(&self, tokens: &[ClaimToken], lease: Duration) -> Result<u64, StoreError>;
    /// Returns expired leases to the queue, counts a crash for each, quarantines at the limit.
    async fn sweep(&self) -> Result<SweepOutcome, StoreError>;
    /// Enqueues what became pending by the host's own rule since the last call (the trigger's stand-in); returns how many.
    async fn discover(&self) -> Result<u64, StoreError>;
    /// One chunk of the full reconciliation along the primary key, if the last round was finished `every` ago or a round is
    /// under way. `None` when none is due, or another process walks.
    async fn reconcile_chunk(&self, every: Duration) -> Result<Option<u64>, StoreError>;
    /// Who is in quarantine, the newest first, at most `limit`.
    async fn quarantined(&self, limit: u32) -> Result<Vec<Quarantined>, StoreError>;
    async fn backlog(&self) -> Result<Backlog, StoreError>;
    /// What is paused, everything first, then sources by name.
    async fn pauses(&self) -> Result<Vec<Pause>, StoreError>;
    async fn record_load(&self, record: &LoadRecord) -> Result<(), StoreError>;
}
