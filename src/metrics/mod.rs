//! The process's metrics: a recorder of its own (injected, not global, so that each test has one), every metric of the
//! [`table`] present at 0 from the start, and one method for each event that is counted.

mod baseline;
pub mod table;
pub mod totals;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use baseline::Baseline;
use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use table::{Definition, Kind};
use totals::Totals;

use crate::domain::{Mention, Origin};
use crate::memory;

static METADATA: Metadata<'static> = Metadata::new("nerd", Level::INFO, Some("nerd"));

/// Handle to every counter, gauge and histogram; cheap to share, safe from any thread.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    process: metrics_process::Collector,
    baseline: Mutex<Option<Baseline>>,
}

impl Metrics {
    /// Registers every metric whose labels are known; [`Self::prepare`] adds the rest.
    pub fn new() -> Arc<Self> {
        let mut builder = PrometheusBuilder::new();
        for definition in table::ALL {
            if let Kind::Histogram(bounds) = definition.kind {
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(definition.name.to_owned()), bounds)
                    .expect("the table's histograms all have bounds, checked by its test");
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let metrics = Self { recorder, handle, process: metrics_process::Collector::default(), baseline: Mutex::default() };
        for definition in table::ALL {
            metrics.describe(definition);
            metrics.register(definition);
        }
        metrics::with_local_recorder(&metrics.recorder, || metrics.process.describe());
        metrics.gauge(&table::BUILD_INFO, &[env!("CARGO_PKG_VERSION")]).set(1.0);
        Arc::new(metrics)
    }

    /// Adds, at 0, the series whose labels depend on the configuration: a worker's loads, the model's labels.
    pub fn prepare(&self, workers: u32, entity_labels: &[String]) {
        for worker in 0..workers {
            for reason in table::REASONS {
                self.counter(&table::MODEL_LOADS, &[&worker.to_string(), reason]).increment(0);
            }
        }
        for label in entity_labels {
            self.counter(&table::ENTITIES, &[label]).increment(0);
        }
    }

    /// The Prometheus text form, with the process's and the control group's figures as of now.
    pub fn render(&self) -> String {
        metrics::with_local_recorder(&self.recorder, || self.process.collect());
        self.memory_seen(memory::resident_bytes());
        let group = memory::control_group();
        self.gauge(&table::CGROUP_MEMORY, &["current"]).set(group.current.unwrap_or(0) as f64);
        self.gauge(&table::CGROUP_MEMORY, &["working_set"]).set(group.working_set.unwrap_or(0) as f64);
        self.gauge(&table::CGROUP_MEMORY, &["limit"]).set(group.limit.unwrap_or(0) as f64);
        self.handle.render()
    }

    /// The same as numbers, without the process's own figures.
    pub fn totals(&self) -> Totals {
        Totals::read(&self.handle.render())
    }

    /// Folds the histograms' raw samples; without it they pile up between two scrapes. Call it every few seconds.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    pub fn weights_read(&self) {
        self.counter(&table::MODEL_WEIGHT_READS, &[]).increment(1);
    }

    /// Says which model the process runs; `loaded` once the weights are in memory.
    pub fn model(&self, name: &str, sha256: &str, dtype: &str, device: &str, loaded: bool) {
        self.gauge(&table::MODEL_INFO, &[name, sha256, dtype, device]).set(f64::from(u8::from(loaded)));
    }

    /// `reason`: startup, restart, rollover.
    pub fn model_loaded(&self, worker: u32, reason: &'static str, seconds: f64) {
        self.counter(&table::MODEL_LOADS, &[&worker.to_string(), reason]).increment(1);
        self.histogram(&table::MODEL_LOAD_DURATION, &[]).record(seconds);
    }

    /// `outcome`: one of [`table::ROLLOVERS`].
    pub fn rollover(&self, outcome: &'static str) {
        self.counter(&table::ROLLOVERS_TOTAL, &[outcome]).increment(1);
    }

    /// As `/readyz` answers.
    pub fn ready(&self, ready: bool) {
        self.gauge(&table::READY, &[]).set(f64::from(u8::from(ready)));
    }

    pub fn memory_tight(&self, tight: bool) {
        self.gauge(&table::MEMORY_TIGHT, &[]).set(f64::from(u8::from(tight)));
    }

    /// Workers by state, in the order of [`table::WORKER_STATES`].
    pub fn workers(&self, counts: [u64; 5]) {
        for (state, count) in table::WORKER_STATES.iter().zip(counts) {
            self.gauge(&table::WORKERS, &[state]).set(count as f64);
        }
    }

    /// `kind`: panic, error, timeout.
    pub fn worker_failed(&self, kind: &'static str) {
        self.counter(&table::WORKER_FAILURES, &[kind]).increment(1);
    }

    /// `outcome`: done, retried, quarantined, lease_lost.
    pub fn articles(&self, outcome: &'static str, count: u64) {
        self.counter(&table::ARTICLES_TOTAL, &[outcome]).increment(count);
    }

    /// Counts a mention by its label, and by how the gazetteer knows it.
    pub fn mention(&self, mention: &Mention) {
        self.counter(&table::ENTITIES, &[&*mention.entity.label]).increment(1);
        if let Some(matched) = &mention.matched {
            let kind = match mention.origin {
                Origin::Gazetteer => "alone",
                _ if matched.is_exact() => "same",
                _ => "similar",
            };
            self.counter(&table::GAZETTEER_MATCHES, &[kind]).increment(1);
        }
    }

    /// Scopes with rows that are held, and the bytes of all that is.
    pub fn gazetteer_held(&self, scopes: u64, bytes: u64) {
        self.gauge(&table::GAZETTEER_SCOPES, &[]).set(scopes as f64);
        self.gauge(&table::GAZETTEER_BYTES, &[]).set(bytes as f64);
    }

    /// `reason`: missing, changed.
    pub fn gazetteer_built(&self, reason: &'static str, seconds: f64) {
        self.counter(&table::GAZETTEER_BUILDS, &[reason]).increment(1);
        self.histogram(&table::GAZETTEER_BUILD_DURATION, &[]).record(seconds);
    }

    /// An entity whose normalised form is too long for the host's unique index was not written.
    pub fn entities_skipped(&self, reason: &'static str, count: u64) {
        self.counter(&table::ENTITIES_SKIPPED, &[reason]).increment(count);
    }

    pub fn work(&self, words: u64, content_tokens: u64, padding_tokens: u64) {
        self.counter(&table::WORDS, &[]).increment(words);
        self.counter(&table::TOKENS, &["content"]).increment(content_tokens);
        self.counter(&table::TOKENS, &["padding"]).increment(padding_tokens);
    }

    /// `kind`: memory, database.
    pub fn cache(&self, kind: &'static str, hits: u64, misses: u64) {
        self.counter(&table::CACHE_HITS, &[kind]).increment(hits);
        self.counter(&table::CACHE_MISSES, &[kind]).increment(misses);
    }

    /// `stage`: claim, gazetteer, reuse, tokenize, infer, match, write.
    pub fn stage(&self, stage: &'static str, seconds: f64) {
        self.histogram(&table::STAGE_DURATION, &[stage]).record(seconds);
    }

    pub fn batch(&self, articles: u64) {
        self.histogram(&table::BATCH_ARTICLES, &[]).record(articles as f64);
    }

    /// Articles entered (positive) or left (negative) the process.
    pub fn in_flight(&self, change: i64) {
        self.gauge(&table::IN_FLIGHT, &[]).increment(change as f64);
    }

    pub fn backlog(&self, pending: u64, leased: u64, quarantined: u64, estimated: bool, oldest_age_seconds: f64) {
        for (state, count) in [("pending", pending), ("leased", leased), ("quarantined", quarantined)] {
            self.gauge(&table::BACKLOG, &[state]).set(count as f64);
        }
        self.gauge(&table::BACKLOG_ESTIMATED, &[]).set(f64::from(u8::from(estimated)));
        self.gauge(&table::BACKLOG_OLDEST_AGE, &[]).set(oldest_age_seconds);
    }

    /// Whether everything is paused, and how many sources are.
    pub fn paused(&self, everything: bool, sources: u64) {
        for (scope, value) in table::PAUSE_SCOPES.iter().zip([u64::from(everything), sources]) {
            self.gauge(&table::PAUSED, &[scope]).set(value as f64);
        }
    }

    /// What the ledger says of the last 24 hours, every process on this database.
    pub fn ledger(&self, loads: u64, daemon_starts: u64, job_starts: u64) {
        self.gauge(&table::MODEL_LOADS_24H, &[]).set(loads as f64);
        self.gauge(&table::PROCESS_STARTS_24H, &["run"]).set(daemon_starts as f64);
        self.gauge(&table::PROCESS_STARTS_24H, &["job"]).set(job_starts as f64);
    }

    /// Stamps the last commit with now.
    pub fn committed(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.gauge(&table::LAST_COMMIT, &[]).set(now);
    }

    /// Resident memory when every worker is warm, from which the baseline of the growth settles.
    pub fn memory_baseline(&self, bytes: u64) {
        *self.baseline() = Some(Baseline::new(bytes, Instant::now()));
        self.memory_seen(bytes);
    }

    /// Resident memory as it is now: the growth, and while it settles the baseline.
    pub fn memory_seen(&self, resident: u64) {
        let mut baseline = self.baseline();
        let Some(settled) = baseline.map(|baseline| baseline.after(resident, Instant::now())) else { return };
        *baseline = Some(settled);
        self.gauge(&table::MEMORY_BASELINE, &[]).set(settled.bytes as f64);
        self.gauge(&table::MEMORY_GROWTH, &[]).set(resident as f64 - settled.bytes as f64);
    }

    fn baseline(&self) -> MutexGuard<'_, Option<Baseline>> {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn db_pool(&self, idle: u64, in_use: u64, waiting: u64) {
        for (state, count) in [("idle", idle), ("in_use", in_use), ("waiting", waiting)] {
            self.gauge(&table::DB_POOL, &[state]).set(count as f64);
        }
    }

    /// The store's total so far.
    pub fn db_round_trips(&self, total: u64) {
        self.counter(&table::DB_ROUND_TRIPS, &[]).absolute(total);
    }

    pub fn db_error(&self, kind: &'static str) {
        self.counter(&table::DB_ERRORS, &[kind]).increment(1);
    }

    fn describe(&self, definition: &Definition) {
        let (name, help) = (definition.name.into(), definition.help.into());
        match definition.kind {
            Kind::Counter => self.recorder.describe_counter(name, None, help),
            Kind::Gauge => self.recorder.describe_gauge(name, None, help),
            Kind::Histogram(_) => self.recorder.describe_histogram(name, None, help),
        }
    }

    /// Creates every series of a metric whose labels have closed sets of values.
    fn register(&self, definition: &Definition) {
        let mut series: Vec<Vec<&str>> = vec![Vec::new()];
        for label in definition.labels {
            series = series.iter().flat_map(|head| label.values.iter().map(move |value| [&head[..], &[*value]].concat())).collect();
        }
        for values in series {
            match definition.kind {
                Kind::Counter => self.counter(definition, &values).increment(0),
                Kind::Gauge => self.gauge(definition, &values).set(0.0),
                Kind::Histogram(_) => drop(self.histogram(definition, &values)),
            }
        }
    }

    fn counter(&self, definition: &Definition, values: &[&str]) -> Counter {
        self.recorder.register_counter(&key(definition, values), &METADATA)
    }

    fn gauge(&self, definition: &Definition, values: &[&str]) -> Gauge {
        self.recorder.register_gauge(&key(definition, values), &METADATA)
    }

    fn histogram(&self, definition: &Definition, values: &[&str]) -> Histogram {
        self.recorder.register_histogram(&key(definition, values), &METADATA)
    }
}

fn key(definition: &Definition, values: &[&str]) -> Key {
    debug_assert_eq!(definition.labels.len(), values.len(), "{}", definition.name);
    let labels: Vec<metrics::Label> =
        definition.labels.iter().zip(values).map(|(label, value)| metrics::Label::new(label.name, (*value).to_owned())).collect();
    Key::from_parts(definition.name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_there_from_the_start() {
        let metrics = Metrics::new();
        metrics.prepare(2, &["PERSON".to_owned()]);
        metrics.model("news-ner", "ab", "bf16", "cpu", false);
        let text = metrics.render();
        for definition in table::ALL {
            assert!(text.contains(&format!("# HELP {} ", definition.name)), "{} has no help in\n{text}", definition.name);
            let sample = text.lines().any(|line| {
                line.strip_prefix(definition.name).is_some_and(|rest| rest.starts_with(['{', ' ']) || rest.starts_with("_count"))
            });
            assert!(sample, "{} has no sample in\n{text}", definition.name);
        }
        assert!(text.contains("nerd_model_weight_reads_total 0\n"), "{text}");
        assert!(text.contains("nerd_cache_hits_total{kind=\"database\"} 0\n"), "{text}");
        assert!(text.contains("nerd_model_loads_total{worker=\"1\",reason=\"restart\"} 0\n"), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }

    #[test]
    fn histograms_have_buckets() {
        let metrics = Metrics::new();
        metrics.stage("infer", 0.3);
        metrics.upkeep();
        let text = metrics.render();
        assert!(text.contains("nerd_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.5\"} 1"), "{text}");
        assert!(!text.contains("quantile"), "{text}");
    }

    #[test]
    fn registries_are_apart() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.weights_read();
        assert!(one.render().contains("nerd_model_weight_reads_total 1\n"));
        assert!(other.render().contains("nerd_model_weight_reads_total 0\n"));
    }
}
