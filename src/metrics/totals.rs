//! Pure: the registry's figures as numbers, for the live page. Read from the very text that `/metrics` answers with, so that the page
//! and Prometheus can never disagree, and nothing is counted twice.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::table::{self, Definition};

/// What one stage did since the start.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct StageTotal {
    pub stage: Cow<'static, str>,
    pub batches: u64,
    pub seconds: f64,
}

/// The queue as the keeper saw it last, and what this process holds of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct QueueTotals {
    pub pending: u64,
    pub leased: u64,
    pub quarantined: u64,
    pub estimated: bool,
    pub oldest_age_seconds: f64,
    pub in_flight: u64,
    /// Unix seconds; 0 before the first.
    pub last_commit: f64,
}

/// The figures that the page shows.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Totals {
    pub weight_reads: u64,
    /// Rollovers that may have read weights.
    pub rollovers: u64,
    pub loads_startup: u64,
    pub loads_restart: u64,
    pub loads_24h: u64,
    pub daemon_starts_24h: u64,
    pub job_starts_24h: u64,
    pub baseline_bytes: u64,
    pub done: u64,
    pub retried: u64,
    pub quarantined: u64,
    pub lease_lost: u64,
    pub words: u64,
    pub entities: u64,
    pub known_texts: u64,
    pub failures: u64,
    pub database_errors: u64,
    pub queue: QueueTotals,
    pub stages: Vec<StageTotal>,
}

impl Totals {
    /// Reads the Prometheus text form.
    pub fn read(text: &str) -> Self {
        let reading = Reading::of(text);
        let total = |definition: &Definition| whole(reading.sum(definition.name, ""));
        let of = |definition: &Definition, label: &str, value: &str| whole(reading.labelled(definition.name, label, value));
        let stage = |stage: &&'static str| StageTotal {
            stage: Cow::Borrowed(*stage),
            batches: whole(reading.labelled(&format!("{}_count", table::STAGE_DURATION.name), "stage", stage)),
            seconds: reading.labelled(&format!("{}_sum", table::STAGE_DURATION.name), "stage", stage),
        };
        Self {
            weight_reads: total(&table::MODEL_WEIGHT_READS),
            rollovers: of(&table::ROLLOVERS_TOTAL, "outcome", "done") + of(&table::ROLLOVERS_TOTAL, "outcome", "failed"),
            loads_startup: of(&table::MODEL_LOADS, "reason", "startup"),
            loads_restart: of(&table::MODEL_LOADS, "reason", "restart"),
            loads_24h: total(&table::MODEL_LOADS_24H),
            daemon_starts_24h: of(&table::PROCESS_STARTS_24H, "command", "run"),
            job_starts_24h: of(&table::PROCESS_STARTS_24H, "command", "job"),
            baseline_bytes: total(&table::MEMORY_BASELINE),
            done: of(&table::ARTICLES_TOTAL, "outcome", "done"),
            retried: of(&table::ARTICLES_TOTAL, "outcome", "retried"),
            quarantined: of(&table::ARTICLES_TOTAL, "outcome", "quarantined"),
            lease_lost: of(&table::ARTICLES_TOTAL, "outcome", "lease_lost"),
            words: total(&table::WORDS),
            entities: total(&table::ENTITIES),
            known_texts: total(&table::CACHE_HITS),
            failures: total(&table::WORKER_FAILURES),
            database_errors: total(&table::DB_ERRORS),
            queue: QueueTotals {
                pending: of(&table::BACKLOG, "state", "pending"),
                leased: of(&table::BACKLOG, "state", "leased"),
                quarantined: of(&table::BACKLOG, "state", "quarantined"),
                estimated: total(&table::BACKLOG_ESTIMATED) == 1,
                oldest_age_seconds: reading.sum(table::BACKLOG_OLDEST_AGE.name, ""),
                in_flight: total(&table::IN_FLIGHT),
                last_commit: reading.sum(table::LAST_COMMIT.name, ""),
            },
            stages: table::STAGES.iter().map(stage).collect(),
        }
    }
}

/// Negative and beyond what a counter reaches: 0.
fn whole(value: f64) -> u64 {
    if value.is_finite() && value > 0.0 { value as u64 } else { 0 }
}

/// Each sample's name, labels and value.
struct Reading<'a>(Vec<(&'a str, &'a str, f64)>);

impl<'a> Reading<'a> {
    fn of(text: &'a str) -> Self {
        let sample = |line: &'a str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            Some((name, labels, value.parse().ok()?))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    fn sum(&self, name: &str, label: &str) -> f64 {
        self.0.iter().filter(|(own, labels, _)| *own == name && labels.contains(label)).map(|(.., value)| value).sum()
    }

    /// Of the series with this label; a quote inside another label's value is escaped, so that none can pretend.
    fn labelled(&self, name: &str, label: &str, value: &str) -> f64 {
        self.sum(name, &format!("{label}=\"{value}\""))
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;

    #[test]
    fn they_are_what_was_counted() {
        let metrics = Metrics::new();
        metrics.prepare(2, &["PERSON".to_owned(), "od\"d,state=\"pending\"".to_owned()]);
        metrics.weights_read();
        metrics.model_loaded(0, "startup", 0.1);
        metrics.model_loaded(1, "startup", 0.1);
        metrics.model_loaded(1, "restart", 0.1);
        metrics.articles("done", 7);
        metrics.articles("lease_lost", 1);
        metrics.work(1200, 0, 0);
        metrics.stage("infer", 0.25);
        metrics.stage("infer", 0.5);
        metrics.backlog(3, 2, 1, true, 4.5);
        metrics.ledger(5, 2, 1);
        metrics.memory_baseline(123_456_789);
        metrics.in_flight(4);
        let totals = metrics.totals();
        assert_eq!((totals.weight_reads, totals.loads_startup, totals.loads_restart), (1, 2, 1));
        assert_eq!((totals.done, totals.lease_lost, totals.retried, totals.words), (7, 1, 0, 1200));
        assert_eq!((totals.loads_24h, totals.daemon_starts_24h, totals.job_starts_24h), (5, 2, 1));
        assert_eq!(totals.baseline_bytes, 123_456_789);
        let queue = totals.queue;
        assert_eq!((queue.pending, queue.leased, queue.quarantined, queue.estimated, queue.in_flight), (3, 2, 1, true, 4));
        assert!((queue.oldest_age_seconds - 4.5).abs() < 1e-9);
        let infer = totals.stages.iter().find(|stage| stage.stage == "infer").unwrap();
        assert!(infer.batches == 2 && (infer.seconds - 0.75).abs() < 1e-9, "{infer:?}");
    }
}
