//! Counts what was done and what became of articles, in the metrics and in the process's tally alike, whoever settled them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::in_flight::Ledger;
use super::messages::Annotated;
use crate::domain::ArticleId;
use crate::metrics::Metrics;
use crate::store::Completion;

/// Where outcomes are counted.
pub struct Outcomes<'a> {
    pub ledger: &'a Ledger,
    pub metrics: &'a Metrics,
}

impl Outcomes<'_> {
    /// What a worker did, and what it found.
    pub fn annotated(&self, annotated: &Annotated) {
        let (work, metrics) = (&annotated.work, self.metrics);
        metrics.work(work.words, work.content_tokens, work.padding_tokens);
        metrics.cache("memory", work.cache_hits, work.cache_misses);
        metrics.stage("tokenize", work.tokenize_seconds);
        metrics.stage("infer", work.infer_seconds);
        if let Some(seconds) = annotated.match_seconds {
            metrics.stage("match", seconds);
        }
        self.ledger.tally.words.fetch_add(work.words, Ordering::Relaxed);
        annotated.texts.iter().flatten().flatten().for_each(|mention| metrics.mention(mention));
    }

    pub fn completed(&self, completion: &Completion) {
        self.metrics.committed();
        self.count("done", completion.done.len(), &self.ledger.tally.done);
        self.ledger.tally.entities.fetch_add(completion.rows, Ordering::Relaxed);
        self.metrics.entities_skipped("norm_too_long", completion.skipped);
        self.lost(&completion.lease_lost);
    }

    pub fn lost(&self, articles: &[ArticleId]) {
        self.count("lease_lost", articles.len(), &self.ledger.tally.lease_lost);
        for article in articles {
            tracing::warn!(%article, "the lease was lost to a newer claim; this result is dropped");
        }
    }

    /// `outcome`: done, retried, quarantined, lease_lost.
    pub fn count(&self, outcome: &'static str, articles: usize, tally: &AtomicU64) {
        if articles > 0 {
            self.metrics.articles(outcome, articles as u64);
            tally.fetch_add(articles as u64, Ordering::Relaxed);
        }
    }
}
