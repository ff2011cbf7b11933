//! The writer: settles batches one after another. While the database is away it waits and tries again: results are kept, and
//! the permits they hold keep the poller from claiming more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tracing::Instrument;

use super::fatal::{DeathWatch, Fatal};
use super::health::{Health, STAMP_EVERY, Watched};
use super::in_flight::Ledger;
use super::messages::Persist;
use super::outcome::Outcomes;
use crate::backoff::Backoff;
use crate::domain::{AnnotatedArticle, ArticleId, ClaimToken, ExtractorVersion, Rejection};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::store::{ArticleStore, StoreError};

const RETRY: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(15) };

#[derive(Clone)]
pub struct WriterParts {
    pub store: Arc<dyn ArticleStore>,
    pub ledger: Arc<Ledger>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub live: Arc<Live>,
}

pub struct Writer {
    parts: WriterParts,
    _watch: DeathWatch,
}

impl Writer {
    pub fn new(parts: WriterParts, fatal: &Fatal) -> Self {
        Self { parts, _watch: fatal.watch("writer") }
    }
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // A task of the runtime, not of the context: a handler that waits for the database suspends the context's own timers.
        let (health, alive) = (self.parts.health.clone(), ctx.address().downgrade());
        actix::spawn(async move {
            while alive.upgrade().is_some() {
                health.stamp(Watched::Writer);
                tokio::time::sleep(STAMP_EVERY).await;
            }
        });
    }
}

impl Handler<Persist> for Writer {
    // Serialises: the next batch waits until this one is settled.
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, message: Persist, _: &mut Context<Self>) -> Self::Result {
        let parts = self.parts.clone();
        // Lines about an article say which batch and which trace.
        let span = tracing::info_span!("settle", batch = %message.token.0, trace_id = message.in_flight.trace().id());
        AtomicResponse::new(Box::pin(async move { parts.settle(message).await }.instrument(span).into_actor(self)))
    }
}

impl WriterParts {
    async fn settle(&self, message: Persist) {
        let Persist { token, version, annotated, rejected, released, in_flight } = message;
        let mut rejected = rejected;
        if !annotated.is_empty() {
            let (started, articles) = (Instant::now(), annotated.len() as u64);
            rejected.extend(self.complete(token, &version, annotated).await);
            let seconds = started.elapsed().as_secs_f64();
            self.metrics.stage("write", seconds);
            in_flight.trace().stage("write", seconds, 0.0, &[("nerd.articles", articles)]);
        }
        if !rejected.is_empty() {
            self.reject(token, &rejected).await;
        }
        if !released.is_empty() {
            self.release(token, &released).await;
        }
        drop(in_flight);
    }

    /// Commits; returns those that the database refuses for their own sake, found by splitting.
    async fn complete(&self, token: ClaimToken, version: &ExtractorVersion, annotated: Vec<AnnotatedArticle>) -> Vec<Rejection> {
        let (mut parts, mut refused) = (vec![annotated], Vec::new());
        while let Some(mut part) = parts.pop() {
            match self.retrying(|| self.store.complete(token, version, &part)).await {
                Ok(completion) => {
                    self.outcomes().completed(&completion);
                    self.live.completed(&part, &completion.done);
                }
                Err(_) if part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Err(error) => {
                    refused.extend(part.into_iter().map(|a| Rejection { article: a.article, error: error.to_string(), weight: 1 }));
                }
            }
        }
        refused
    }

    async fn reject(&self, token: ClaimToken, rejected: &[Rejection]) {
        match self.retrying(|| self.store.reject(token, rejected)).await {
            Ok(outcome) => {
                let outcomes = self.outcomes();
                outcomes.count("retried", outcome.retried.len(), &self.ledger.tally.retried);
                outcomes.count("quarantined", outcome.quarantined.len(), &self.ledger.tally.quarantined);
                outcomes.lost(&outcome.lease_lost);
                for rejection in rejected {
                    let (id, error) = (&rejection.article.id, &rejection.error);
                    self.health.article_failed(id.as_str(), error);
                    if outcome.quarantined.contains(id) {
                        tracing::error!(article = %id, %error, "quarantined: `nerd retry` sends it back");
                    } else {
                        tracing::warn!(article = %id, %error, attempts = rejection.article.attempts + rejection.weight, "failed, tried again later");
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, articles = rejected.len(), "failed articles could not be noted; they return when their leases end");
            }
        }
    }

    async fn release(&self, token: ClaimToken, released: &[ArticleId]) {
        match self.retrying(|| self.store.release(token, released)).await {
            Ok(count) => tracing::info!(articles = count, "given back to the queue"),
            Err(error) => tracing::error!(%error, articles = released.len(), "could not be given back; they return when their leases end"),
        }
    }

    /// Tries until the database answers. What is wrong with the database, not with the articles, counts as being away.
    async fn retrying<T, F, R>(&self, mut statement: F) -> Result<T, StoreError>
    where
        F: FnMut() -> R,
        R: Future<Output = Result<T, StoreError>>,
    {
        let mut attempt = 0;
        loop {
            match statement().await {
                Ok(value) => {
                    self.health.database(Ok(()));
                    return Ok(value);
                }
                Err(error) => {
                    self.metrics.db_error(error.kind());
                    if !error.is_transient() && matches!(error.kind(), "constraint" | "other") {
                        return Err(error);
                    }
                    self.health.database(Err(error.to_string()));
                    tracing::debug!(%error, attempt, "the write failed, trying again");
                    tokio::time::sleep(RETRY.delay(attempt, rand::random())).await;
                    attempt += 1;
                }
            }
        }
    }

    fn outcomes(&self) -> Outcomes<'_> {
        Outcomes { ledger: &self.ledger, metrics: &self.metrics }
    }
}
