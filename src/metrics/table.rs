//! The table of every metric: name, kind, unit, help, labels with their values, buckets. Registration, the documentation's
//! list and the tests read it; nothing else spells a metric's name.

/// What a metric measures with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// With its bucket bounds: without, the exporter would render a summary, and summaries do not aggregate.
    Histogram(&'static [f64]),
}

/// One label with its closed set of values; an empty set is filled at start (workers, entity labels).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    pub name: &'static str,
    pub values: &'static [&'static str],
}

/// One metric. Names end in their unit, counters in `_total`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [Label],
    pub help: &'static str,
}

const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values }
}

const fn define(name: &'static str, kind: Kind, labels: &'static [Label], help: &'static str) -> Definition {
    Definition { name, kind, labels, help }
}

const LOAD_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const STAGE_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
const ARTICLES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1000.0];

pub const REASONS: &[&str] = &["startup", "restart", "rollover"];
pub const ROLLOVERS: &[&str] = &["done", "unchanged", "refused", "failed"];
pub const WORKER_STATES: &[&str] = &["loading", "ready", "busy", "backoff", "stuck"];
pub const FAILURES: &[&str] = &["panic", "error", "timeout"];
pub const OUTCOMES: &[&str] = &["done", "retried", "quarantined", "lease_lost"];
pub const STAGES: &[&str] = &["claim", "gazetteer", "reuse", "tokenize", "infer", "match", "write"];
pub const DATABASE_ERRORS: &[&str] = &["connect", "timeout", "serialization", "constraint", "permission", "schema", "other"];
pub const CACHES: &[&str] = &["memory", "database"];
const COMMANDS: &[&str] = &["run", "job"];
pub const PAUSE_SCOPES: &[&str] = &["everything", "sources"];
const SKIPS: &[&str] = &["norm_too_long"];

pub const BUILD_INFO: Definition =
    define("nerd_build_info", Kind::Gauge, &[label("version", &[env!("CARGO_PKG_VERSION")])], "Always 1; the label is nerd's version.");
pub const MODEL_INFO: Definition = define(
    "nerd_model_info",
    Kind::Gauge,
    &[label("model", &[]), label("sha256", &[]), label("dtype", &[]), label("device", &[])],
    "1 while the model is in use, 0 before it is loaded and after a rollover to another; the labels say which model, its weights' digest, precision and device.",
);
pub const MODEL_WEIGHT_READS: Definition = define(
    "nerd_model_weight_reads_total",
    Kind::Counter,
    &[],
    "Times weights were read from disk: 1 in the life of a process, and one more for each rollover.",
);
pub const MODEL_LOADS: Definition = define(
    "nerd_model_loads_total",
    Kind::Counter,
    &[label("worker", &[]), label("reason", REASONS)],
    "Times a worker built its engine over the shared weights; in a healthy life once a worker, reason startup.",
);
pub const MODEL_LOAD_DURATION: Definition = define(
    "nerd_model_load_duration_seconds",
    Kind::Histogram(LOAD_SECONDS),
    &[],
    "Seconds that a worker took to build its engine and run the golden texts.",
);
pub const MODEL_LOADS_24H: Definition = define(
    "nerd_model_loads_24h",
    Kind::Gauge,
    &[],
    "Model loads of the last 24 hours by every process on this database, from the ledger.",
);
pub const PROCESS_STARTS_24H: Definition = define(
    "nerd_process_starts_24h",
    Kind::Gauge,
    &[label("command", COMMANDS)],
    "Processes of the last 24 hours on this database that loaded the model, from the ledger: daemons (run) and batch jobs (extract).",
);
pub const ROLLOVERS_TOTAL: Definition = define(
    "nerd_rollovers_total",
    Kind::Counter,
    &[label("outcome", ROLLOVERS)],
    "Changes of the model in a running process, by what became of them: in use, the same as before, not begun, or turned round.",
);
pub const READY: Definition =
    define("nerd_ready", Kind::Gauge, &[], "1 while the process can work: what /readyz answers, where the reasons are; else 0.");
pub const MEMORY_TIGHT: Definition =
    define("nerd_memory_tight", Kind::Gauge, &[], "1 while memory is nearly used up and articles are claimed one at a time; else 0.");
pub const WORKERS: Definition = define("nerd_workers", Kind::Gauge, &[label("state", WORKER_STATES)], "Workers of the pool by state.");
pub const WORKER_FAILURES: Definition = define(
    "nerd_worker_failures_total",
    Kind::Counter,
    &[label("kind", FAILURES)],
    "Failed calls to a worker's engine: caught panics, errors, and calls without progress for too long.",
);
pub const ARTICLES_TOTAL: Definition = define(
    "nerd_articles_total",
    Kind::Counter,
    &[label("outcome", OUTCOMES)],
    "Articles by what became of them: committed, returned to the queue after a failure, quarantined, or lost to a newer claim.",
);
pub const ENTITIES: Definition = define(
    "nerd_entities_total",
    Kind::Counter,
    &[label("label", &[])],
    "Entities found or remembered, by label, repeated mentions included; those of rows copied in the database are not counted.",
);
pub const ENTITIES_SKIPPED: Definition = define(
    "nerd_entities_skipped_total",
    Kind::Counter,
    &[label("reason", SKIPS)],
    "Entities that were found and not written, by reason; each with a log line.",
);
pub const WORDS: Definition = define(
    "nerd_words_total",
    Kind::Counter,
    &[],
    "Words the model read; a text whose result was known adds none, so that a rate of this is the engine's own.",
);
pub const TOKENS: Definition = define(
    "nerd_tokens_total",
    Kind::Counter,
    &[label("kind", &["content", "padding"])],
    "Tokens the model computed: of texts (with each window's two special ones), and of padding.",
);
pub const CACHE_HITS: Definition = define(
    "nerd_cache_hits_total",
    Kind::Counter,
    &[label("kind", CACHES)],
    "Articles that took no inference, since their very text had been annotated: remembered by this process, or copied from rows in the database.",
);
pub const CACHE_MISSES: Definition = define(
    "nerd_cache_misses_total",
    Kind::Counter,
    &[label("kind", CACHES)],
    "Articles whose text was looked for there in vain; 0 where that is switched off.",
);
pub const GAZETTEER_SCOPES: Definition =
    define("nerd_gazetteer_scopes", Kind::Gauge, &[], "Gazetteers held in memory, one a source and dataset that has rows.");
pub const GAZETTEER_BYTES: Definition = define(
    "nerd_gazetteer_bytes",
    Kind::Gauge,
    &[],
    "Bytes that the held gazetteers occupy, by their own account; bounded by gazetteer.memory.",
);
pub const GAZETTEER_BUILDS: Definition = define(
    "nerd_gazetteer_builds_total",
    Kind::Counter,
    &[label("reason", &["missing", "changed"])],
    "Gazetteers read and indexed: because they were not held (never, or let go), or because their rows had changed.",
);
pub const GAZETTEER_BUILD_DURATION: Definition = define(
    "nerd_gazetteer_build_duration_seconds",
    Kind::Histogram(LOAD_SECONDS),
    &[],
    "Seconds that indexing a gazetteer took, reading its rows not counted.",
);
pub const GAZETTEER_MATCHES: Definition = define(
    "nerd_gazetteer_matches_total",
    Kind::Counter,
    &[label("kind", &["alone", "same", "similar"])],
    "Mentions matched with a gazetteer row: names that it alone knew, entities of the same name, and of a similar one; repeated mentions included.",
);
pub const STAGE_DURATION: Definition = define(
    "nerd_stage_duration_seconds",
    Kind::Histogram(STAGE_SECONDS),
    &[label("stage", STAGES)],
    "Seconds a batch spent in each stage: claimed, given its gazetteers, looked up among known texts, tokenized, inferred, matched, written.",
);
pub const BATCH_ARTICLES: Definition =
    define("nerd_batch_articles", Kind::Histogram(ARTICLES), &[], "Articles in a claimed batch; empty claims are not counted.");
pub const IN_FLIGHT: Definition =
    define("nerd_in_flight_articles", Kind::Gauge, &[], "Articles claimed by this process and neither committed nor given back.");
pub const BACKLOG: Definition = define(
    "nerd_backlog_articles",
    Kind::Gauge,
    &[label("state", &["pending", "leased", "quarantined"])],
    "Articles in the queue by state, of every process; exact up to 100,000, see nerd_backlog_estimated.",
);
pub const BACKLOG_ESTIMATED: Definition = define(
    "nerd_backlog_estimated",
    Kind::Gauge,
    &[],
    "1 while the queue is too long to be counted at each look, and nerd_backlog_articles is the server's running count; else 0.",
);
pub const BACKLOG_OLDEST_AGE: Definition =
    define("nerd_backlog_oldest_age_seconds", Kind::Gauge, &[], "Seconds since the oldest pending article was enqueued; 0 when none is.");
pub const PAUSED: Definition = define(
    "nerd_paused",
    Kind::Gauge,
    &[label("scope", PAUSE_SCOPES)],
    "1 while everything is paused and nothing is claimed, else 0 (everything); and how many sources are paused (sources).",
);
pub const LAST_COMMIT: Definition =
    define("nerd_last_commit_timestamp_seconds", Kind::Gauge, &[], "Unix time of this process's last commit; 0 before the first.");
pub const MEMORY_BASELINE: Definition =
    define("nerd_memory_baseline_bytes", Kind::Gauge, &[], "Lowest resident memory of the first minute with every worker warm; 0 before.");
pub const MEMORY_GROWTH: Definition =
    define("nerd_memory_growth_bytes", Kind::Gauge, &[], "Resident memory now less the baseline; may be negative.");
pub const CGROUP_MEMORY: Definition = define(
    "nerd_cgroup_memory_bytes",
    Kind::Gauge,
    &[label("kind", &["current", "working_set", "limit"])],
    "Memory of the process's control group, that without file pages the kernel can drop, and the limit; 0 where there is none.",
);
pub const DB_POOL: Definition = define(
    "nerd_db_pool_connections",
    Kind::Gauge,
    &[label("state", &["idle", "in_use", "waiting"])],
    "Database connections of this process, and callers waiting for one.",
);
pub const DB_ROUND_TRIPS: Definition = define(
    "nerd_db_round_trips_total",
    Kind::Counter,
    &[],
    "Waits for an answer of the database, whatever for: claims, completions, renewals, gauges; handshakes not counted.",
);
pub const DB_ERRORS: Definition = define(
    "nerd_db_errors_total",
    Kind::Counter,
    &[label("kind", DATABASE_ERRORS)],
    "Failed database statements and connections, by kind.",
);

/// Every metric but the standard `process_*`, which `metrics-process` defines.
pub const ALL: &[Definition] = &[
    BUILD_INFO,
    MODEL_INFO,
    MODEL_WEIGHT_READS,
    MODEL_LOADS,
    MODEL_LOAD_DURATION,
    MODEL_LOADS_24H,
    PROCESS_STARTS_24H,
    READY,
    ROLLOVERS_TOTAL,
    MEMORY_TIGHT,
    WORKERS,
    WORKER_FAILURES,
    ARTICLES_TOTAL,
    ENTITIES,
    ENTITIES_SKIPPED,
    WORDS,
    TOKENS,
    CACHE_HITS,
    CACHE_MISSES,
    GAZETTEER_SCOPES,
    GAZETTEER_BYTES,
    GAZETTEER_BUILDS,
    GAZETTEER_BUILD_DURATION,
    GAZETTEER_MATCHES,
    STAGE_DURATION,
    BATCH_ARTICLES,
    IN_FLIGHT,
    BACKLOG,
    BACKLOG_ESTIMATED,
    BACKLOG_OLDEST_AGE,
    PAUSED,
    LAST_COMMIT,
    MEMORY_BASELINE,
    MEMORY_GROWTH,
    CGROUP_MEMORY,
    DB_POOL,
    DB_ROUND_TRIPS,
    DB_ERRORS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_house_rules() {
        for definition in ALL {
            assert!(definition.name.starts_with("nerd_"), "{}", definition.name);
            assert_eq!(definition.name.ends_with("_total"), definition.kind == Kind::Counter, "{}", definition.name);
            assert!(definition.help.ends_with('.'), "{}", definition.name);
            for forbidden in ["article_id", "source", "url", "host"] {
                assert!(definition.labels.iter().all(|l| l.name != forbidden), "{}", definition.name);
            }
            if let Kind::Histogram(bounds) = definition.kind {
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{}", definition.name);
            }
        }
    }

    #[test]
    fn no_name_twice() {
        let mut names: Vec<&str> = ALL.iter().map(|d| d.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
