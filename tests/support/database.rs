//! A database of its own for each test, in the project's private cluster; dropped at the end.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nerd::domain::RowRules;
use nerd::settings::Secret;
use nerd::store::postgres::migrate::migrate;
use nerd::store::postgres::{PostgresStore, StoreOptions};
use nerd::store::{Claimant, RetryPolicy};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// The cluster's administrative URL; starts it when this is the first test to need it.
pub fn cluster() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = root.join("target/test-postgres");
        let output = Command::new(root.join("deploy/setup/postgres.sh"))
            .arg("start")
            .arg(&directory)
            .args(["--fast", "--idle-stop", "300"])
            .output()
            .expect("deploy/setup/postgres.sh runs");
        assert!(output.status.success(), "no test cluster: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

pub struct Database {
    pub url: String,
    name: String,
    pub client: Client,
}

impl Database {
    /// An empty database.
    pub async fn empty() -> Self {
        Self::empty_in("pg_default").await
    }

    /// An empty database in a tablespace.
    pub async fn empty_in(tablespace: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let admin = connect(cluster()).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} TABLESPACE {tablespace}")).await.unwrap();
        let url = cluster().replace("/postgres", &format!("/{name}"));
        let url = if url.contains(&name) { url } else { panic!("unexpected cluster URL") };
        let client = connect(&url).await;
        Self { url, name, client }
    }

    /// With the host's tables and the schema `nerd`.
    pub async fn migrated(trigger: bool) -> Self {
        let database = Self::empty().await;
        migrate(&database.options(), true, trigger).await.unwrap();
        database
    }

    /// The same, in a tablespace, without the trigger.
    pub async fn migrated_in(tablespace: &str) -> Self {
        let database = Self::empty_in(tablespace).await;
        migrate(&database.options(), true, false).await.unwrap();
        database
    }

    pub fn options(&self) -> StoreOptions {
        StoreOptions {
            url: Secret::new(self.url.clone()),
            pool_size: 4,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            host_schema: "public".to_owned(),
            retry: policy(),
            discovery_chunk: 50,
            rules: RowRules::default(),
        }
    }

    pub fn store(&self) -> Arc<PostgresStore> {
        Arc::new(PostgresStore::new(&self.options(), Claimant { boot_id: Uuid::new_v4(), host: "test-host".to_owned() }).unwrap())
    }

    /// An article that the host's rule allows, from the source `gazette`, one second younger than the one added before.
    pub async fn article(&self, id: &str, text: &str) {
        self.article_of("gazette", id, Some(text), Some("c"), "extracted").await;
    }

    pub async fn article_of(&self, source: &str, id: &str, text: Option<&str>, content: Option<&str>, status: &str) {
        let link = format!("link-{id}");
        self.client
            .execute(
                "INSERT INTO candidate_links (id, url, source, discovered_at, status, source_id, dataset_id)
                 VALUES ($1::text, 'https://example.test/' || $1::text, $2::text, now() AT TIME ZONE 'UTC', 'article', 's-' || $2::text, 'd')",
                &[&link, &source],
            )
            .await
            .unwrap();
        self.client
            .execute(
                "INSERT INTO articles (id, candidate_link_id, url, status, created_at, extracted_at, content, text, text_hash)
                 VALUES ($1::text, $2, 'https://example.test/' || $1::text, $3, now() AT TIME ZONE 'UTC',
                    (now() AT TIME ZONE 'UTC') - interval '1 hour' + (SELECT count(*) FROM articles) * interval '1 second', $4, $5::text, md5($5::text))",
                &[&id, &link, &status, &content, &text],
            )
            .await
            .unwrap();
    }

    pub async fn enqueue(&self, id: &str) {
        self.client
            .execute(
                "INSERT INTO nerd.jobs (article_id, source, run_at)
                 SELECT a.id, l.source, a.extracted_at AT TIME ZONE 'UTC' FROM articles a JOIN candidate_links l ON l.id = a.candidate_link_id
                 WHERE a.id = $1",
                &[&id],
            )
            .await
            .unwrap();
    }

    pub async fn count(&self, sql: &str) -> i64 {
        self.client.query_one(&format!("SELECT count(*) FROM {sql}"), &[]).await.unwrap().get(0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // A thread of its own: the test's runtime may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { connect(cluster()).await.batch_execute(&sql).await })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("{} was not dropped: {error}", self.name);
        }
    }
}

pub fn policy() -> RetryPolicy {
    RetryPolicy { max_attempts: 3, max_crashes: 2, base_delay: Duration::from_millis(10), max_delay: Duration::from_secs(1) }
}

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
