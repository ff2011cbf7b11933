//! A status as a daemon that had a bad night writes it; for tests alone.

use crate::actors::health::{PoolCounts, Readiness};
use crate::http::promise;
use crate::http::status::{Articles, MemoryNow, Process, Status, Whole};
use crate::live::InQuarantine;
use crate::live::articles::{Piece, Recent};
use crate::live::errors::Occurrence;
use crate::live::history::{Course, Point, StageNow};
use crate::live::workers::WorkerNow;
use crate::metrics::totals::{QueueTotals, Totals};

/// 2026-01-31T03:12:05Z.
pub const AT: u64 = 1_769_829_125_000;

pub fn whole() -> Whole {
    let queue = QueueTotals {
        pending: 12_345,
        leased: 16,
        quarantined: 2,
        estimated: false,
        oldest_age_seconds: 192.0,
        in_flight: 16,
        last_commit: AT as f64 / 1000.0 - 2.0,
    };
    let totals = Totals {
        weight_reads: 1,
        loads_startup: 2,
        loads_24h: 2,
        daemon_starts_24h: 1,
        baseline_bytes: 180_000_000,
        done: 98_765,
        quarantined: 2,
        words: 4_567_890,
        entities: 321_000,
        queue,
        ..Totals::default()
    };
    let point =
        |second: u64| Point { at: AT - (299 - second) * 1000, resident_bytes: 181_000_000, words_per_second: 4000.0 + second as f64 };
    let seconds: Vec<Point> = (0..300).map(point).collect();
    let minutes = (0..60).map(|minute| Point { at: AT - (59 - minute) * 60_000, resident_bytes: 181_000_000, words_per_second: 3900.0 });
    let stage = |(stage, mean): &(&'static str, f64)| StageNow {
        stage: (*stage).into(),
        recent_batches: 30,
        recent_seconds: mean * 30.0 / 1000.0,
        batches: 4000,
        seconds: mean * 4.0,
    };
    let stages = [("claim", 2.5), ("gazetteer", 0.1), ("reuse", 1.5), ("tokenize", 3.5), ("infer", 812.5), ("match", 4.5), ("write", 9.5)];
    let worker = |number| WorkerNow {
        number,
        state: if number == 0 { "busy" } else { "ready" }.into(),
        seconds: 1.25,
        articles: if number == 0 { 8 } else { 0 },
        busy_seconds: 50_000.0,
        calls: 2000,
        done: 49_000,
    };
    let error = |number: u64, kind: &'static str, article: Option<&str>| Occurrence {
        at: AT - number * 60_000,
        kind: kind.into(),
        message: format!("error number {number} was told at length, {}and ends here", "with many words ".repeat(8)),
        article: article.map(str::to_owned),
        times: number,
    };
    let quarantined = |article: &str| InQuarantine {
        article: article.to_owned(),
        source: "gazette".to_owned(),
        attempts: 5,
        crashes: 1,
        error: Some(format!("the tokenizer gave up on {article}")),
        since: "2026-01-31T02:00:00Z".to_owned(),
    };
    let recent = |number: u64| Recent {
        at: AT - number * 1000,
        article: format!("article-{number}"),
        source: "gazette".to_owned(),
        words: 1512,
        found: [("PERSON".into(), 3), ("ORG".into(), 2)].into(),
        pieces: Some(vec![Piece { text: "unspoken text".to_owned(), label: None }]),
        cut: true,
    };
    let newest = (seconds.last().copied(), Some(point(299)));
    Whole {
        status: Status {
            at: AT,
            process: Process { version: "0.1.0".into(), host: "news-1".to_owned(), command: "run".to_owned(), started: AT - 100_000_000 },
            readiness: Readiness {
                ready: true,
                reasons: Vec::new(),
                workers: PoolCounts { ready: 1, busy: 1, ..PoolCounts::default() },
                model: Some("news-ner 1".to_owned()),
                database: "connected".to_owned(),
                draining: false,
                first_fault: None,
                last_fault: None,
                memory: None,
                pauses: Vec::new(),
                rollover: None,
                pid: 4242,
            },
            frozen: Vec::new(),
            promise: promise::lines(&totals, 2, 181_000_000),
            memory: MemoryNow { resident: 181_000_000, peak: 190_000_000, baseline: 180_000_000, limit: 512_000_000 },
            stages: stages.iter().map(stage).collect(),
            totals,
            workers: (0..2).map(worker).collect(),
            errors: vec![error(1, "database", None), error(2, "article", Some("article-9")), error(3, "process", None)],
            quarantine: vec![quarantined("article-7"), quarantined("article-8")],
            second: newest.0,
            minute: newest.1,
            shows_text: true,
        },
        course: Course { seconds, minutes: minutes.collect() },
        articles: Articles { changes: 3, recent: (0..10).map(recent).collect() },
    }
}
