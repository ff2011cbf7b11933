//! The real store: deadpool over tokio-postgres, one short transaction a method. `sql` fills in the host's names, `error`
//! tells the transient from the permanent, and each of the other files is one subject of the contract.

mod claim;
mod complete;
mod discover;
mod error;
pub mod explain;
mod front;
mod gazetteer;
pub mod inspect;
mod lease;
pub mod ledger;
pub mod listen;
pub mod migrate;
pub mod needs;
pub mod pause;
pub mod quarantine;
pub mod replay;
mod reuse;
pub mod rows;
pub mod sample;
mod session;
mod sql;
pub mod statements;
mod tls;
mod turn;
mod url;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use deadpool::managed::QueueMode;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};

use super::{
    ArticleStore, Backlog, ClaimRequest, Claimant, Completion, GazetteerRows, LoadRecord, Pause, QuarantineFilter, Quarantined,
    RejectionOutcome, RetryPolicy, Reusable, StoreError, SweepOutcome,
};
use crate::domain::{AnnotatedArticle, ArticleId, Batch, ClaimToken, ExtractorVersion, GazetteerVersion, Rejection, RowRules, ScopeKey};
use error::permanent;
use front::Front;
use session::{RoundTrips, Session};
use statements::{PLANNER, Statements};
use tls::connector;
use turn::Turns;
pub use url::{Target, TlsMode};

/// What the configuration says of the store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The database URL; never logged.
    pub url: crate::settings::Secret,
    pub pool_size: u32,
    pub connect_timeout: Duration,
    pub statement_timeout: Duration,
    pub host_schema: String,
    pub retry: RetryPolicy,
    pub discovery_chunk: u32,
    /// How entities become rows.
    pub rules: RowRules,
}

/// The store on PostgreSQL. Made without a connection: a database that is away shows at the first statement.
pub struct PostgresStore {
    pool: Pool,
    place: String,
    target: Arc<Target>,
    claimant: Claimant,
    retry: RetryPolicy,
    discovery_chunk: u32,
    host_schema: String,
    rules: RowRules,
    statements: Statements,
    front: Mutex<Front>,
    turns: Mutex<Turns>,
    round_trips: RoundTrips,
    /// See [`Session`].
    patience: Duration,
}

impl PostgresStore {
    /// Errors here are the configuration's: an unreadable URL, a missing certificate file.
    pub fn new(options: &StoreOptions, claimant: Claimant) -> Result<Self, StoreError> {
        Self::with(options, claimant, &PLANNER)
    }

    /// One whose every session refuses to write.
    pub fn read_only(options: &StoreOptions, claimant: Claimant) -> Result<Self, StoreError> {
        Self::with(options, claimant, &[&PLANNER[..], &[("default_transaction_read_only", "on")]].concat())
    }

    fn with(options: &StoreOptions, claimant: Claimant, session: &[(&str, &str)]) -> Result<Self, StoreError> {
        let target = target(options, session)?;
        let connector = connector(&target).map_err(|message| permanent("connect", message))?;
        let manager = Manager::from_config(target.config.clone(), connector, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(options.pool_size as usize)
            // The one used last first: statements stay prepared and plans warm on the few that the load needs.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(options.connect_timeout.max(options.statement_timeout)))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .build()
            .map_err(|error| permanent("connect", error.to_string()))?;
        Ok(Self {
            pool,
            place: target.place(),
            target: Arc::new(target),
            claimant,
            retry: options.retry.clone(),
            discovery_chunk: options.discovery_chunk,
            host_schema: options.host_schema.clone(),
            rules: options.rules.clone(),
            statements: Statements::new(&options.host_schema),
            front: Mutex::default(),
            turns: Mutex::default(),
            round_trips: RoundTrips::default(),
            patience: options.statement_timeout + options.connect_timeout,
        })
    }

    /// Host, port and database, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Idle connections, those in use, and callers that wait for one.
    pub fn pool_status(&self) -> (u64, u64, u64) {
        let status = self.pool.status();
        (status.available as u64, status.size.saturating_sub(status.available) as u64, status.waiting as u64)
    }

    /// The texts of the flow's statements, to be explained.
    pub fn statements(&self) -> &Statements {
        &self.statements
    }

    /// How often this store has waited for an answer of the server so far, whatever for.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.total()
    }

    async fn session(&self) -> Result<Session<'_>, StoreError> {
        Ok(Session::new(self.pool.get().await?, &self.round_trips, self.patience))
    }
}

#[async_trait]
impl ArticleStore for PostgresStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Batch, StoreError> {
        self.claim_batch(request).await
    }

    async fn complete(
        &self,
        token: ClaimToken,
        version: &ExtractorVersion,
        articles: &[AnnotatedArticle],
    ) -> Result<Completion, StoreError> {
        self.complete_batch(token, version, articles).await
    }

    async fn reuse(&self, token: ClaimToken, version: &ExtractorVersion, articles: &[Reusable]) -> Result<Completion, StoreError> {
        self.copy_known(token, version, articles).await
    }

    async fn gazetteer_rows(&self, scope: &ScopeKey) -> Result<Option<GazetteerRows>, StoreError> {
        self.read_gazetteer(scope).await
    }

    async fn gazetteer_versions(&self, scopes: &[ScopeKey]) -> Result<Vec<Option<GazetteerVersion>>, StoreError> {
        self.read_versions(scopes).await
    }

    async fn reject(&self, token: ClaimToken, rejections: &[Rejection]) -> Result<RejectionOutcome, StoreError> {
        self.reject_articles(token, rejections).await
    }

    async fn release(&self, token: ClaimToken, articles: &[ArticleId]) -> Result<u64, StoreError> {
        self.release_articles(token, articles).await
    }

    async fn renew(&self, tokens: &[ClaimToken], lease: Duration) -> Result<u64, StoreError> {
        self.renew_leases(tokens, lease).await
    }

    async fn sweep(&self) -> Result<SweepOutcome, StoreError> {
        self.sweep_expired().await
    }

    async fn discover(&self) -> Result<u64, StoreError> {
        self.walk_recent().await
    }

    async fn reconcile_chunk(&self, every: Duration) -> Result<Option<u64>, StoreError> {
        self.walk_all(every).await
    }

    async fn quarantined(&self, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
        self.quarantine(&QuarantineFilter::default(), limit).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read_backlog().await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.read_pauses().await
    }

    async fn record_load(&self, record: &LoadRecord) -> Result<(), StoreError> {
        self.write_load(record).await
    }
}

/// Parses the URL and adds what every connection of ours has: a name, timeouts, keepalives that notice a silent death; and what
/// this one's sessions ask of the planner.
fn target(options: &StoreOptions, planner: &[(&str, &str)]) -> Result<Target, StoreError> {
    let mut target = Target::parse(options.url.reveal()).map_err(|message| permanent("connect", message))?;
    let config = &mut target.config;
    let timeout = options.statement_timeout.as_millis();
    let session = format!("-c statement_timeout={timeout} -c idle_in_transaction_session_timeout={timeout} -c TimeZone=UTC");
    let session = planner.iter().fold(session, |session, (name, value)| format!("{session} -c {name}={value}"));
    let session = config.get_options().map_or(session.clone(), |own| format!("{session} {own}"));
    config.options(session);
    if config.get_application_name().is_none() {
        config.application_name("nerd");
    }
    config.connect_timeout(options.connect_timeout);
    config.keepalives(true).keepalives_idle(Duration::from_secs(30));
    config.keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
    config.tcp_user_timeout(options.statement_timeout.max(Duration::from_secs(10)));
    Ok(target)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn ids<'a>(articles: &[&'a ArticleId]) -> Vec<&'a str> {
    articles.iter().map(|id| id.as_str()).collect()
}
