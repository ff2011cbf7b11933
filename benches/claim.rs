//! Claims from a long queue over a long table: `make bench-claim`. Between two claims the last one is completed or given back
//! and as many jobs are added, so the queue keeps its length while dead rows gather at its head, as in the daemon's life. Fails
//! when a plan reads a table from end to end or sorts more than a claim.

#[path = "../tests/support/plan.rs"]
mod plan;
mod queue;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nerd::domain::{AnnotatedArticle, ArticleId, Batch};
use nerd::store::postgres::PostgresStore;
use nerd::store::{ArticleStore, ClaimRequest};
use queue::{Host, Sample, Size, annotated, asked_for, connect, number, say};
use serde_json::{Value, json};

/// Claims at the start of a phase that are not counted: connections are made and statements prepared once a life.
const WARM_UP: usize = 5;
/// A source with a quarter of the articles.
const SOURCE: &str = "source-0";
/// One batch in so many is given back instead of completed.
const RELEASED: usize = 10;
/// The phase before the indexes are in memory.
const COLD: &str = "cold";
/// Claims of jobs that do not know where their articles lie, so that all is looked for by key.
const UNPLACED: &str = "places unknown";
/// The claim's promise at the 99th percentile, milliseconds.
const PROMISED: f64 = 25.0;

struct Bench {
    host: Host,
    size: Size,
    claims: usize,
    limit: u32,
    complaints: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if !asked_for() {
        return ExitCode::SUCCESS;
    }
    let size = Size::from_environment();
    let (claims, limit) = (number("CLAIMS", 300) as usize, number("LIMIT", 500) as u32);
    let mut bench = Bench { host: Host::ready(size).await, size, claims, limit, complaints: Vec::new() };
    let explained =
        vec![bench.explain("fresh queue, no statistics", None).await, bench.explain("the same, one source", Some(SOURCE)).await];
    // After a start of the server, where nothing is promised, and as it is from then on.
    let mut phases = vec![bench.phase(COLD, None).await];
    bench.host.warm().await;
    phases.extend([bench.phase("steady", None).await, bench.phase("one source", Some(SOURCE)).await]);
    bench.host.forget_places((bench.claims + WARM_UP) * bench.limit as usize).await;
    bench.host.warm().await;
    phases.push(bench.phase(UNPLACED, None).await);
    // The worst that a queue in a table knows: a transaction that keeps every dead row from being cleared.
    let holder = connect(&bench.host.url).await;
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
    phases.push(bench.phase("under a long transaction", None).await);
    holder.batch_execute("ROLLBACK").await.unwrap();
    let explained = [explained, vec![bench.explain("used queue", None).await]].concat();
    bench.report(&phases, &explained).await
}

impl Bench {
    async fn phase(&self, name: &str, source: Option<&str>) -> Value {
        let store = self.host.store();
        let request = ClaimRequest { limit: self.limit, lease: Duration::from_secs(60), source: source.map(str::to_owned), suspects: true };
        let (mut durations, mut articles) = (Vec::new(), 0);
        for round in 0..self.claims + WARM_UP {
            let started = Instant::now();
            let batch = store.claim(&request).await.unwrap();
            let duration = started.elapsed();
            assert!(!batch.articles.is_empty(), "the queue is empty: PENDING is too small");
            if round >= WARM_UP {
                durations.push(duration);
                articles += batch.articles.len();
            }
            self.settle(&store, &batch, round).await;
            if (round + 1) % 50 == 0 {
                say(&format!("{name}: {} of {} claims", round + 1, self.claims + WARM_UP));
            }
        }
        let third = durations.len() / 3;
        let (first, last) = (Sample::new(&durations[..third]), Sample::new(&durations[durations.len() - third..]));
        let sample = Sample::new(&durations);
        let dead: i64 = self
            .host
            .client
            .query_one("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'nerd.jobs'::regclass", &[])
            .await
            .unwrap()
            .get(0);
        println!(
            "{name:<26} {sample}  first third p50 {:6.2}, last third {:6.2}  ({} claims of {:.0} articles, {dead} dead rows at the end)",
            first.percentile(50.0),
            last.percentile(50.0),
            durations.len(),
            articles as f64 / durations.len() as f64,
        );
        json!({ "phase": name, "warm": name != COLD, "claim": sample.json(), "first_third": first.json(), "last_third": last.json(), "articles": articles, "dead_rows": dead })
    }

    /// Gives the batch back or completes it; then as many jobs are added as were closed.
    async fn settle(&self, store: &PostgresStore, batch: &Batch, round: usize) {
        let ids: Vec<ArticleId> = batch.articles.iter().map(|article| article.id.clone()).collect();
        if round % RELEASED == RELEASED - 1 {
            store.release(batch.token, &ids).await.unwrap();
            return;
        }
        let annotated: Vec<AnnotatedArticle> = batch.articles.iter().map(|article| annotated(article, 0, 1)).collect();
        assert_eq!(store.complete(batch.token, &queue::version(), &annotated).await.unwrap().done.len(), ids.len());
        self.host.again(batch).await;
    }

    /// The plan of a claim from the very head.
    async fn explain(&mut self, name: &str, source: Option<&str>) -> Value {
        let store = self.host.store();
        let statements = store.statements();
        let (limit, named) = (self.limit.to_string(), source.map(|source| format!("'{source}'")));
        let mut arguments =
            vec!["gen_random_uuid()", "gen_random_uuid()", "'bench'", &limit, "60000", "4194304", "'-infinity'", "''", "true"];
        arguments.extend(named.as_deref());
        let statement = if source.is_some() { &statements.claim_source } else { &statements.claim };
        let client = connect(&self.host.url).await;
        // The first run reads what is not cached yet.
        plan::explain(&client, statement, &arguments).await;
        let explained = plan::explain(&client, statement, &arguments).await;
        let complaints = plan::complaints(&explained, f64::from(self.limit) + 1.0);
        let index_only = plan::nodes(&explained).iter().any(|node| node["Node Type"] == "Index Only Scan");
        let pages = plan::pages(&explained["Plan"]);
        println!(
            "plan, {name}: {}, {pages} pages, {:.1} ms in the server",
            if complaints.is_empty() { "index access only" } else { "FAILED" },
            explained["Execution Time"].as_f64().unwrap_or(0.0)
        );
        self.complaints.extend(complaints.iter().map(|complaint| format!("{name}: {complaint}")));
        if !index_only {
            self.complaints.push(format!("{name}: no index-only scan, article_entities is read for nothing"));
        }
        json!({ "plan": name, "complaints": complaints, "pages": pages, "pages_read": plan::pages_read(&explained), "explain": explained })
    }

    async fn report(self, phases: &[Value], explained: &[Value]) -> ExitCode {
        let version: String = self.host.client.query_one("SHOW server_version", &[]).await.unwrap().get(0);
        let slow = phases.iter().any(|phase| phase["warm"] == true && phase["claim"]["p99_ms"].as_f64().unwrap_or(f64::MAX) > PROMISED);
        let report = json!({
            "postgresql": version, "articles": self.size.articles, "pending": self.size.pending, "limit": self.limit,
            "promised_p99_ms_when_warm": PROMISED, "kept": !slow, "phases": phases, "plans": explained, "complaints": self.complaints,
        });
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("claim.json"), format!("{report:#}\n")).unwrap();
        println!("p99 of at most {PROMISED} ms (but when cold): {}; target/bench/claim.json", if slow { "missed" } else { "kept" });
        for complaint in &self.complaints {
            println!("FAILED: {complaint}");
        }
        self.host.stop();
        if self.complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
