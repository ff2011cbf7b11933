//! The database that the benchmarks of the queue share: a private cluster with the usual durability, the host's tables filled
//! inside PostgreSQL, kept between runs; the queue itself made anew for each.

#![allow(dead_code, reason = "each benchmark is a program of its own and takes what it needs")]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nerd::domain::{AnnotatedArticle, Batch, ClaimedArticle, Entity, ExtractorVersion};
use nerd::settings::Secret;
use nerd::store::postgres::migrate::migrate;
use nerd::store::postgres::{PostgresStore, StoreOptions};
use nerd::store::{Claimant, RetryPolicy};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

const HOST_TABLES: &str = include_str!("../../src/store/postgres/host_tables.sql");
const PREPARE: &str = include_str!("prepare.sql");
const CHUNK: &str = include_str!("chunk.sql");
/// Articles of one statement of the load.
const STEP: u64 = 250_000;
/// A server's usual share of a machine of 16 GB; durability is as the distribution has it.
const PARAMETERS: [&str; 2] = ["shared_buffers=4GB", "max_wal_size=4GB"];
pub const VERSION: &str = "bench";

/// The name of the rows that the benchmarks write.
pub fn version() -> ExtractorVersion {
    ExtractorVersion::new(VERSION)
}

/// Size of the bench, from the environment.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub articles: u64,
    /// Of these, without entities and in the queue.
    pub pending: u64,
}

impl Size {
    pub fn from_environment() -> Self {
        let size = Self { articles: number("ARTICLES", 5_000_000), pending: number("PENDING", 1_000_000) };
        assert!(size.pending <= size.articles, "PENDING is more than ARTICLES");
        size
    }
}

/// A number of the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .map_or(default, |value| value.replace('_', "").parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

/// Whether cargo asks for measurements: `cargo test --all-targets` runs benches too, without this flag.
pub fn asked_for() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

pub fn say(message: &str) {
    eprintln!("bench: {message}");
}

pub struct Host {
    pub url: String,
    pub client: Client,
    directory: PathBuf,
}

impl Host {
    /// Starts the cluster; builds the host's tables unless an earlier run left them; makes the queue anew.
    pub async fn ready(size: Size) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(".bench/postgres");
        let admin_url = cluster(&directory, &["start"], &PARAMETERS);
        let mut recipe = DefaultHasher::new();
        (HOST_TABLES, PREPARE, CHUNK).hash(&mut recipe);
        let name = format!("queue_{}_{}_{:08x}", size.articles, size.pending, recipe.finish() as u32);
        let url = admin_url.replace("/postgres", &format!("/{name}"));
        let admin = connect(&admin_url).await;
        let ready = count(&admin, &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")).await > 0
            && count(&connect(&url).await, "SELECT count(*) FROM pg_class WHERE relname = 'bench_ready'").await > 0;
        if !ready {
            remove_others(&admin).await;
            admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
            fill(&connect(&url).await, size).await;
        }
        let client = connect(&url).await;
        let host = Self { url, client, directory };
        host.queue_anew().await;
        host
    }

    /// A server that has run for a while: the indexes that claims, look-ups of known texts and completions look
    /// into are in memory, and the million jobs that were just written are not being vacuumed and flushed at the same time.
    pub async fn warm(&self) {
        say("the queue is vacuumed, indexes are read into memory");
        self.client.batch_execute("VACUUM (ANALYZE) nerd.jobs").await.unwrap();
        self.client.batch_execute("CHECKPOINT").await.unwrap();
        let sql = "CREATE EXTENSION IF NOT EXISTS pg_prewarm;
            SELECT pg_prewarm(indexrelid) FROM pg_index
            WHERE indexrelid IN ('articles_pkey'::regclass, 'candidate_links_pkey'::regclass, 'article_entities_pkey'::regclass)
                OR indrelid = 'nerd.jobs'::regclass
                OR (indrelid = 'article_entities'::regclass AND pg_get_indexdef(indexrelid) LIKE '%(article_id%')";
        self.client.batch_execute(sql).await.unwrap();
    }

    pub fn options(&self) -> StoreOptions {
        StoreOptions {
            url: Secret::new(self.url.clone()),
            pool_size: 4,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(600),
            host_schema: "public".to_owned(),
            retry: RetryPolicy { max_attempts: 3, max_crashes: 2, base_delay: Duration::from_secs(1), max_delay: Duration::from_secs(60) },
            discovery_chunk: 5_000,
            rules: nerd::domain::RowRules::default(),
        }
    }

    pub fn store(&self) -> Arc<PostgresStore> {
        Arc::new(PostgresStore::new(&self.options(), Claimant { boot_id: Uuid::new_v4(), host: "bench".to_owned() }).unwrap())
    }

    /// Every article without entities waits in a fresh queue, without statistics: as after the first `nerd migrate` of a host.
    async fn queue_anew(&self) {
        say("the queue is made anew");
        let sql = format!("DROP SCHEMA IF EXISTS nerd CASCADE; DELETE FROM article_entities WHERE extractor_version = '{VERSION}'");
        self.client.batch_execute(&sql).await.unwrap();
        migrate(&self.options(), false, false).await.unwrap();
        self.client
            .batch_execute(
                "INSERT INTO nerd.jobs (article_id, source, run_at, article_place, link_place)
                 SELECT a.id, l.source, a.extracted_at AT TIME ZONE 'UTC', a.ctid, l.ctid
                 FROM articles a JOIN candidate_links l ON l.id = a.candidate_link_id
                 WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id) ORDER BY a.extracted_at;
                 CHECKPOINT",
            )
            .await
            .unwrap();
    }

    /// The oldest jobs, at least so many, no longer know where their articles and links lie.
    pub async fn forget_places(&self, jobs: usize) {
        let sql = "UPDATE nerd.jobs SET article_place = NULL, link_place = NULL WHERE article_id IN (
            SELECT article_id FROM nerd.jobs WHERE quarantined_at IS NULL AND NOT suspect ORDER BY run_at, article_id LIMIT $1)";
        self.client.execute(sql, &[&i64::try_from(jobs).unwrap()]).await.unwrap();
    }

    /// Completed articles lose the rows that were written and wait again, last in the queue.
    pub async fn again(&self, batch: &Batch) {
        let ids: Vec<&str> = batch.articles.iter().map(|article| article.id.as_str()).collect();
        let sources: Vec<&str> = batch.articles.iter().map(|article| article.source.as_str()).collect();
        let sql = "DELETE FROM article_entities WHERE article_id = ANY ($1) AND extractor_version = $2";
        self.client.execute(sql, &[&ids, &VERSION]).await.unwrap();
        let sql = "INSERT INTO nerd.jobs (article_id, source, run_at) SELECT id, source, now() FROM unnest($1::text[], $2::text[]) AS r (id, source)";
        self.client.execute(sql, &[&ids, &sources]).await.unwrap();
    }

    pub fn stop(self) {
        cluster(&self.directory, &["stop"], &[]);
    }
}

/// Databases of other sizes and recipes: the disk is for one.
async fn remove_others(admin: &Client) {
    for row in admin.query("SELECT datname FROM pg_database WHERE datname LIKE 'queue\\_%'", &[]).await.unwrap() {
        admin.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", row.get::<_, &str>(0))).await.unwrap();
    }
}

async fn fill(client: &Client, size: Size) {
    let started = Instant::now();
    let told = |what: &str| say(&format!("{what} ({:.0} s)", started.elapsed().as_secs_f64()));
    told(&format!("loading {} articles, {} of them without entities; kept for the next run", size.articles, size.pending));
    client.batch_execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'").await.unwrap();
    client.batch_execute(&HOST_TABLES.replace("{schema}", "public")).await.unwrap();
    client.batch_execute(PREPARE).await.unwrap();
    let mut from = 1;
    while from <= size.articles {
        let to = (from + STEP - 1).min(size.articles);
        let sql = [("{from}", from), ("{to}", to), ("{articles}", size.articles), ("{pending}", size.pending)]
            .iter()
            .fold(CHUNK.to_owned(), |sql, (name, value)| sql.replace(name, &value.to_string()));
        client.batch_execute(&sql).await.unwrap();
        told(&format!("{to} of {} articles", size.articles));
        from = to + 1;
    }
    let aside = client.query("SELECT statement FROM bench.aside ORDER BY position", &[]).await.unwrap();
    for (number, row) in aside.iter().enumerate() {
        client.batch_execute(row.get(0)).await.unwrap();
        told(&format!("index or constraint {} of {}", number + 1, aside.len()));
    }
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    client.batch_execute("CREATE TABLE bench_ready ()").await.unwrap();
    told("loaded");
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn cluster(directory: &Path, command: &[&str], parameters: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/setup/postgres.sh");
    let output = Command::new(script)
        .args(command)
        .arg(directory)
        .args(parameters.iter().flat_map(|parameter| ["--set", parameter]))
        .output()
        .expect("deploy/setup/postgres.sh runs");
    assert!(output.status.success(), "no cluster: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An article with so many entities, out of fifty thousand names from the one at `first` on.
pub fn annotated(article: &ClaimedArticle, first: usize, names: usize) -> AnnotatedArticle {
    let entity = |number: usize| {
        let text = format!("Name {}", (first + number * 131) % 50_000);
        Entity { end: text.len(), text, label: "ORG".into(), start: 0, score: 0.9 }
    };
    AnnotatedArticle { article: article.clone(), mentions: (0..names).map(|number| entity(number).into()).collect(), gazetteer: None }
}

/// Durations in milliseconds, sorted.
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn new(durations: &[Duration]) -> Self {
        let mut milliseconds: Vec<f64> = durations.iter().map(|d| d.as_secs_f64() * 1e3).collect();
        milliseconds.sort_by(f64::total_cmp);
        Self(milliseconds)
    }

    /// The smallest duration that so many percent do not exceed.
    pub fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    pub fn json(&self) -> serde_json::Value {
        let rounded = |percent| (self.percentile(percent) * 1e3).round() / 1e3;
        serde_json::json!({ "count": self.0.len(), "p50_ms": rounded(50.0), "p90_ms": rounded(90.0), "p99_ms": rounded(99.0), "max_ms": rounded(100.0) })
    }
}

/// A line's part: what most people ask of a latency.
impl std::fmt::Display for Sample {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p90, p99, max] = [50.0, 90.0, 99.0, 100.0].map(|percent| self.percentile(percent));
        write!(out, "p50 {p50:6.2} ms  p90 {p90:6.2} ms  p99 {p99:6.2} ms  max {max:6.2} ms")
    }
}
