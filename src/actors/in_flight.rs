//! What is claimed and not yet settled: counted, its leases known to the heartbeat, its permit held, all by one guard that
//! travels inside the messages.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::permits::Permit;
use crate::domain::ClaimToken;
use crate::metrics::Metrics;
use crate::trace::BatchTrace;

/// The process's articles in flight, and what became of those that were.
#[derive(Default)]
pub struct Ledger {
    articles: AtomicU64,
    tokens: Mutex<HashSet<ClaimToken>>,
    settled: Notify,
    pub tally: Tally,
}

/// Totals of this process, for receipts and the exit code.
#[derive(Default)]
pub struct Tally {
    pub claimed: AtomicU64,
    pub done: AtomicU64,
    pub retried: AtomicU64,
    pub quarantined: AtomicU64,
    pub lease_lost: AtomicU64,
    pub words: AtomicU64,
    pub entities: AtomicU64,
}

impl Ledger {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Articles in flight now.
    pub fn articles(&self) -> u64 {
        self.articles.load(Ordering::SeqCst)
    }

    /// The claims whose leases must be renewed.
    pub fn tokens(&self) -> Vec<ClaimToken> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Waits until nothing is in flight.
    pub async fn settled(&self) {
        loop {
            let notified = self.settled.notified();
            if self.articles() == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// One claim's articles in flight; dropped when the last of them is settled.
pub struct InFlight {
    token: ClaimToken,
    articles: u64,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    trace: BatchTrace,
    _permit: Permit,
}

impl InFlight {
    pub fn new(
        token: ClaimToken,
        articles: usize,
        permit: Permit,
        ledger: Arc<Ledger>,
        metrics: Arc<Metrics>,
        trace: BatchTrace,
    ) -> Arc<Self> {
        let articles = articles as u64;
        ledger.articles.fetch_add(articles, Ordering::SeqCst);
        ledger.tally.claimed.fetch_add(articles, Ordering::Relaxed);
        ledger.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(token);
        metrics.in_flight(articles as i64);
        Arc::new(Self { token, articles, ledger, metrics, trace, _permit: permit })
    }

    /// Its trace, which ends with it.
    pub fn trace(&self) -> &BatchTrace {
        &self.trace
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.ledger.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.token);
        self.metrics.in_flight(-(self.articles as i64));
        if self.ledger.articles.fetch_sub(self.articles, Ordering::SeqCst) == self.articles {
            self.ledger.settled.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::actors::permits::Permits;

    #[tokio::test]
    async fn counts_while_it_lives() {
        let (permits, ledger, metrics) = (Permits::new(), Ledger::new(), Metrics::new());
        permits.mint(1);
        let guard =
            InFlight::new(ClaimToken(Uuid::new_v4()), 3, permits.acquire().await, ledger.clone(), metrics.clone(), BatchTrace::none());
        let half = guard.clone();
        assert_eq!((ledger.articles(), ledger.tokens().len(), permits.available()), (3, 1, 0));
        assert!(metrics.render().contains("nerd_in_flight_articles 3"));
        drop(guard);
        assert_eq!(ledger.articles(), 3);
        drop(half);
        ledger.settled().await;
        assert_eq!((ledger.articles(), ledger.tokens().len(), permits.available()), (0, 0, 1));
    }
}
