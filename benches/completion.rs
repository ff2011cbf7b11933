//! Completions over a long table: `make bench-completion`. Batches of the daemon's size with the number of entities that news
//! has; time, round trips and write-ahead log by article.

mod queue;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nerd::domain::AnnotatedArticle;
use nerd::store::{ArticleStore, ClaimRequest};
use queue::{Host, Sample, Size, annotated, asked_for, number, say};
use serde_json::json;

/// Batches at the start that are not counted.
const WARM_UP: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if !asked_for() {
        return ExitCode::SUCCESS;
    }
    let host = Host::ready(Size::from_environment()).await;
    host.warm().await;
    let (batches, limit, names) = (number("CLAIMS", 300) as usize, number("LIMIT", 64) as u32, number("ENTITIES", 15) as usize);
    let store = host.store();
    let request = ClaimRequest { limit, lease: Duration::from_secs(60), source: None, suspects: true };
    let (mut durations, mut articles, mut rows) = (Vec::new(), 0, 0);
    let (mut log, mut trips) = (position(&host).await, store.round_trips());
    for round in 0..batches + WARM_UP {
        if round == WARM_UP {
            (log, trips) = (position(&host).await, store.round_trips());
        }
        let batch = store.claim(&request).await.unwrap();
        assert!(!batch.articles.is_empty(), "the queue is empty: PENDING is too small");
        let annotated: Vec<AnnotatedArticle> =
            batch.articles.iter().enumerate().map(|(place, article)| annotated(article, (round * 64 + place) * 7, names)).collect();
        let started = Instant::now();
        let completion = store.complete(batch.token, &queue::version(), &annotated).await.unwrap();
        if round >= WARM_UP {
            durations.push(started.elapsed());
            articles += completion.done.len();
            rows += completion.rows;
        }
        if (round + 1) % 50 == 0 {
            say(&format!("{} of {} batches", round + 1, batches + WARM_UP));
        }
    }
    let written = position(&host).await - log;
    let trips = (store.round_trips() - trips) as f64 / articles as f64;
    let sample = Sample::new(&durations);
    let each = durations.iter().sum::<Duration>().as_secs_f64() * 1e6 / articles as f64;
    println!(
        "completion of {limit} articles, {rows} rows in all: p50 {:.2} ms, p99 {:.2} ms, {each:.0} µs an article; with its claim {:.0} bytes of log and {trips:.4} round trips an article",
        sample.percentile(50.0),
        sample.percentile(99.0),
        written / articles as f64,
    );
    let report = json!({ "completion": sample.json(), "limit": limit, "articles": articles, "rows": rows, "microseconds_an_article": each,
        "log_bytes_an_article": written / articles as f64, "round_trips_an_article": trips });
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("completion.json"), format!("{report:#}\n")).unwrap();
    host.stop();
    ExitCode::SUCCESS
}

/// Where the server's write-ahead log stands, bytes.
async fn position(host: &Host) -> f64 {
    let row = host.client.query_one("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8", &[]).await.unwrap();
    row.get(0)
}
