//! Every metric: name, help, unit, labels and buckets, in one place.

use std::sync::Arc;

/// The process's metrics. Injected, not global: each test has its own.
pub struct Metrics {}

#[allow(unused_variables)]
impl Metrics {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {})
    }
    /// The Prometheus text form.
    pub fn render(&self) -> String {
        String::new()
    }
    pub fn weights_read(&self) {}
    /// `reason`: startup, restart, rollover.
    pub fn model_loaded(&self, worker: u32, reason: &'static str, seconds: f64) {}
    /// Workers by state, in the order loading, ready, busy, backoff, stuck.
    pub fn workers(&self, counts: [u64; 5]) {}
    /// `kind`: panic, error, timeout.
    pub fn worker_failed(&self, kind: &'static str) {}
    /// `outcome`: done, retried, quarantined, lease_lost.
    pub fn articles(&self, outcome: &'static str, count: u64) {}
    pub fn entities(&self, label: &str, count: u64) {}
    pub fn work(&self, words: u64, content_tokens: u64, padding_tokens: u64) {}
    /// `stage`: claim, tokenize, infer, match, write.
    pub fn stage(&self, stage: &'static str, seconds: f64) {}
    pub fn batch(&self, articles: u64) {}
    /// Sets the articles claimed and not yet committed.
    pub fn in_flight(&self, articles: u64) {}
    pub fn backlog(&self, pending: u64, leased: u64, quarantined: u64, oldest_age_seconds: f64, loads_24h: u64) {}
    /// Stamps the last commit with now.
    pub fn committed(&self) {}
    /// RSS after warm-up, the baseline of `memory_growth_bytes`.
    pub fn memory_baseline(&self, bytes: u64) {}
    pub fn db_pool(&self, idle: u64, in_use: u64, waiting: u64) {}
    pub fn db_error(&self, kind: &'static str) {}
}
