//! The poller: takes a permit, claims a batch, has the gazetteers of its articles brought and those articles completed whose
//! text is known already, hands the rest on. A notification ends its pause; polling with jitter is the truth.
//! For a batch job it stops at a limit or at the first claim that finds nothing.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actix::prelude::*;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::admission::{Admission, Situation};
use super::fatal::{DeathWatch, Fatal};
use super::health::{Health, STAMP_EVERY, Watched};
use super::in_flight::{InFlight, Ledger};
use super::job::Prepared;
use super::memory_guard::MemoryGuard;
use super::messages::Assign;
use super::model::ModelInUse;
use super::outcome::Outcomes;
use super::permits::Permits;
use super::scopes::Scopes;
use crate::backoff::Backoff;
use crate::domain::rot47::Preparation;
use crate::domain::{ArticleId, Batch, ClaimToken, ClaimedArticle, ScopeKey};
use crate::metrics::Metrics;
use crate::store::{ArticleStore, ClaimRequest, Reusable};
use crate::trace::{BatchTrace, Traces};

/// Pauses after a failed claim.
const AWAY: Backoff = Backoff { base: Duration::from_millis(250), cap: Duration::from_secs(15) };

/// How long the poller goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Until it is stopped.
    Endless,
    /// Until so many articles were claimed, or a claim found nothing.
    Once { limit: Option<u64> },
}

#[derive(Clone, Debug)]
pub struct PollOptions {
    pub batch_articles: u32,
    pub source: Option<String>,
    pub lease: Duration,
    /// Whether rows of the same text are copied instead of made anew.
    pub reuse: bool,
    pub poll_interval: Duration,
    pub idle_poll_interval: Duration,
    pub span: Span,
    /// What becomes of a text before it is read.
    pub prepare: Preparation,
}

pub struct PollParts {
    pub store: Arc<dyn ArticleStore>,
    pub supervisor: Recipient<Assign>,
    pub permits: Arc<Permits>,
    /// Whose rows are copied.
    pub model: Arc<ModelInUse>,
    pub memory: MemoryGuard,
    /// `None`: articles are not matched with a gazetteer.
    pub scopes: Option<Arc<Scopes>>,
    pub ledger: Arc<Ledger>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub traces: Arc<Traces>,
    /// Rung by notifications.
    pub bell: Arc<Notify>,
    /// Cancelled: no more claims.
    pub stop: CancellationToken,
    /// Cancelled by the poller when its span is over.
    pub finished: CancellationToken,
}

pub struct Poller {
    cycle: Option<(PollOptions, PollParts)>,
    health: Arc<Health>,
    _watch: DeathWatch,
}

impl Poller {
    pub fn new(options: PollOptions, parts: PollParts, fatal: &Fatal) -> Self {
        let health = parts.health.clone();
        Self { cycle: Some((options, parts)), health, _watch: fatal.watch("poller") }
    }
}

impl Actor for Poller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(STAMP_EVERY, |this, _| this.health.stamp(Watched::Poller));
        if let Some((options, parts)) = self.cycle.take() {
            let polling = async move {
                poll(&options, &parts).await;
                parts.finished.cancel();
            };
            ctx.spawn(polling.into_actor(self));
        }
    }
}

/// Claims until the span is over. Stopped only while it waits: a claim that was sent is always followed by its message, lest
/// articles stay leased that nobody knows of.
async fn poll(options: &PollOptions, parts: &PollParts) {
    let (mut empty, mut failed, mut claimed, mut suspect_waits) = (0u32, 0u32, 0u64, false);
    loop {
        let left = match options.span {
            Span::Once { limit: Some(limit) } => u32::try_from(limit - claimed).unwrap_or(u32::MAX),
            _ => u32::MAX,
        };
        if left == 0 {
            return;
        }
        let permit = tokio::select! {
            biased;
            () = parts.stop.cancelled() => return,
            permit = parts.permits.acquire() => permit,
        };
        let situation = Situation { in_flight: parts.ledger.articles(), suspect_waits, tight: parts.memory.is_tight() };
        let Admission::Claim { limit, suspects } = situation.admits(options.batch_articles) else {
            drop(permit);
            tokio::select! {
                () = parts.stop.cancelled() => return,
                () = parts.ledger.settled() => {}
            }
            continue;
        };
        let request = ClaimRequest { limit: limit.min(left), lease: options.lease, source: options.source.clone(), suspects };
        let (began, started) = (SystemTime::now(), Instant::now());
        let pause = match claim(parts, request).await {
            // A suspect is due, or may be soon (what is at work can fail): a batch job must not end before them.
            Ok(batch) if batch.articles.is_empty() && !suspects && (batch.suspect_waits || options.span != Span::Endless) => {
                (failed, suspect_waits) = (0, true);
                continue;
            }
            Ok(batch) if batch.articles.is_empty() => {
                (failed, suspect_waits) = (0, false);
                drop(permit);
                if options.span != Span::Endless {
                    // What waits on may be paused: whoever reads the log is told.
                    if let Ok(pauses) = parts.store.pauses().await {
                        parts.health.paused(&pauses);
                    }
                    return;
                }
                let longest = Backoff { base: options.poll_interval * 2, cap: options.idle_poll_interval * 2 };
                // Jitter around the interval: daemons on one queue drift apart.
                let pause = longest.delay(empty, rand::random());
                empty += 1;
                pause
            }
            Ok(batch) => {
                (empty, failed) = (0, 0);
                // After a suspect too, the next claim waits until it is settled.
                suspect_waits = batch.suspect_waits || batch.alone;
                claimed += batch.articles.len() as u64;
                parts.metrics.batch(batch.articles.len() as u64);
                let token = batch.token;
                let trace = parts.traces.batch(token.0, batch.articles.len(), began);
                trace.stage("claim", started.elapsed().as_secs_f64(), 0.0, &[]);
                let (ledger, metrics) = (parts.ledger.clone(), parts.metrics.clone());
                let in_flight = InFlight::new(token, batch.articles.len(), permit, ledger, metrics, trace);
                let Some(articles) = prepare(options, parts, batch, in_flight.trace()).await else { return };
                let articles = if options.reuse { reuse(parts, token, articles, in_flight.trace()).await } else { articles };
                if !articles.is_empty() {
                    parts.supervisor.do_send(Assign { token, articles, in_flight });
                }
                continue;
            }
            Err(()) => {
                drop(permit);
                let pause = AWAY.delay(failed, rand::random());
                failed += 1;
                pause
            }
        };
        tokio::select! {
            () = parts.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = parts.bell.notified(), if failed == 0 => empty = 0,
        }
    }
}

async fn claim(parts: &PollParts, request: ClaimRequest) -> Result<Batch, ()> {
    let started = Instant::now();
    let result = parts.store.claim(&request).await;
    parts.metrics.stage("claim", started.elapsed().as_secs_f64());
    match result {
        Ok(batch) => {
            parts.health.database(Ok(()));
            Ok(batch)
        }
        Err(error) => {
            parts.metrics.db_error(error.kind());
            tracing::debug!(%error, "the claim failed");
            parts.health.database(Err(error.to_string()));
            Err(())
        }
    }
}

/// Brings the gazetteers of a batch, and makes its texts readable. While the database does not give them, the batch waits, its
/// lease renewed: without its matches it must not be written. `None` when it was given back, since the process is asked to end.
async fn prepare(options: &PollOptions, parts: &PollParts, batch: Batch, trace: &BatchTrace) -> Option<Vec<Prepared>> {
    let prepared = |article: ClaimedArticle, scope| Prepared { decoded: options.prepare.read(&article.text), article, scope };
    let Some(scopes) = &parts.scopes else {
        return Some(batch.articles.into_iter().map(|article| prepared(article, None)).collect());
    };
    let key = |article: &ClaimedArticle| ScopeKey::new(article.source_id.as_deref(), article.dataset_id.as_deref());
    let keys: Vec<Option<ScopeKey>> = batch.articles.iter().map(key).collect();
    let started = Instant::now();
    let mut failed = 0;
    loop {
        match scopes.of(&keys).await {
            Ok(found) => {
                let seconds = started.elapsed().as_secs_f64();
                parts.metrics.stage("gazetteer", seconds);
                trace.stage("gazetteer", seconds, 0.0, &[]);
                return Some(batch.articles.into_iter().zip(found).map(|(article, scope)| prepared(article, scope)).collect());
            }
            Err(error) => {
                parts.metrics.db_error(error.kind());
                if failed == 0 {
                    let fault = format!("the gazetteer cannot be read, {} articles wait for it: {error}", keys.len());
                    tracing::warn!("{fault}");
                    parts.health.fault(fault);
                }
            }
        }
        tokio::select! {
            () = parts.stop.cancelled() => break,
            () = tokio::time::sleep(AWAY.delay(failed, rand::random())) => failed += 1,
        }
    }
    let ids: Vec<ArticleId> = batch.articles.into_iter().map(|article| article.id).collect();
    match parts.store.release(batch.token, &ids).await {
        Ok(count) => tracing::info!(articles = count, "given back to the queue"),
        Err(error) => tracing::error!(%error, articles = ids.len(), "could not be given back; they return when their leases end"),
    }
    None
}

/// The claim's second half: what is left of the batch when the articles whose text is known are completed. They are copied here
/// and not by the writer, since a twin that was found first and copied later might have changed, and its article would have to
/// come back. When it fails, everything takes the usual way; what was copied all the same is found lost there, and dropped.
async fn reuse(parts: &PollParts, token: ClaimToken, mut articles: Vec<Prepared>, trace: &BatchTrace) -> Vec<Prepared> {
    let started = Instant::now();
    let asked = |prepared: &Prepared| Reusable {
        id: prepared.article.id.clone(),
        gazetteer: prepared.scope.as_ref().map(|scope| scope.version().clone()),
    };
    let asked: Vec<Reusable> = articles.iter().map(asked).collect();
    let result = parts.store.reuse(token, &parts.model.get().version, &asked).await;
    let seconds = started.elapsed().as_secs_f64();
    parts.metrics.stage("reuse", seconds);
    trace.stage("reuse", seconds, 0.0, &[("nerd.copied", result.as_ref().map_or(0, |completion| completion.done.len() as u64))]);
    match result {
        Ok(completion) => {
            articles
                .retain(|Prepared { article, .. }| !completion.done.contains(&article.id) && !completion.lease_lost.contains(&article.id));
            parts.metrics.cache("database", completion.done.len() as u64, articles.len() as u64);
            if !completion.done.is_empty() || !completion.lease_lost.is_empty() {
                Outcomes { ledger: &parts.ledger, metrics: &parts.metrics }.completed(&completion);
            }
        }
        Err(error) => {
            parts.metrics.db_error(error.kind());
            tracing::warn!(%error, "known texts could not be looked up; the whole batch takes inference");
        }
    }
    articles
}
