//! `nerd doctor` on a real PostgreSQL: well as it stands, and each thing that can be broken named with what mends it.

mod support;

use std::net::TcpListener;
use std::path::Path;

use nerd::app::footprint;
use nerd::store::postgres::inspect::inspect;
use nerd::store::postgres::needs;
use serde_json::Value;
use support::database::{Database, cluster};
use support::process::nerd;
use uuid::Uuid;

/// Exit code and findings, as far as they are not `ok`: what was found, and what to do.
fn doctor(url: &str, arguments: &[&str]) -> (i32, Vec<(String, String)>) {
    let output = nerd(url, &[&["doctor", "--json", "--profile", "fast", "--set", "http.address=127.0.0.1:0"], arguments].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let findings = report["findings"].as_array().unwrap();
    let wanting = findings.iter().filter(|finding| finding["verdict"] != "ok");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    (output.status.code().unwrap(), wanting.map(|finding| (text(finding, "found"), text(finding, "remedy"))).collect())
}

/// One thing is to be mended, and only that.
fn one(url: &str, arguments: &[&str]) -> (String, String) {
    let (code, wanting) = doctor(url, arguments);
    assert_eq!((code, wanting.len()), (1, 1), "{wanting:?}");
    wanting.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_healthy_set_up_is_well() {
    let database = Database::migrated(true).await;
    assert_eq!(doctor(&database.url, &[]), (0, vec![]));
    let output = nerd(&database.url, &["doctor", "--profile", "fast", "--set", "http.address=127.0.0.1:0"]);
    let told = String::from_utf8_lossy(&output.stdout);
    for about in ["database", "schema", "rights", "indexes", "trigger", "host", "model", "http", "memory", "0 to mend"] {
        assert!(told.contains(about), "{about}: {told}");
    }
    assert!(!told.contains("test:"), "no password");
    // The trigger is a choice.
    let without = Database::migrated(false).await;
    assert_eq!(doctor(&without.url, &[]), (0, vec![]));
    assert!(one(&without.url, &["--set", "discovery.interval=0"]).1.contains("nerd migrate --with-trigger"));
}

/// Broken by a statement; mended by what the doctor says, where that is a statement.
#[tokio::test]
async fn what_is_broken_is_named_and_its_remedy_mends_it() {
    let database = Database::migrated(true).await;
    let client = &database.client;
    for (broken, named) in [
        ("DROP INDEX nerd.jobs_ready_source", "nerd.jobs_ready_source is missing"),
        ("ALTER TABLE nerd.leases DROP CONSTRAINT leases_pkey", "nerd.leases_pkey is missing"),
        ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'nerd.jobs_waiting'::regclass", "nerd.jobs_waiting is invalid"),
    ] {
        client.batch_execute(broken).await.unwrap();
        let (found, remedy) = one(&database.url, &[]);
        assert!(found.contains(named), "{broken}: {found}");
        client.batch_execute(&remedy).await.unwrap_or_else(|error| panic!("{remedy}: {error:?}"));
    }
    for broken in ["DROP TRIGGER nerd_enqueue_updated ON articles", "ALTER TABLE articles DISABLE TRIGGER nerd_enqueue_updated"] {
        client.batch_execute(broken).await.unwrap();
        let (found, remedy) = one(&database.url, &[]);
        assert!(found.contains("nerd_enqueue_updated was installed") && !found.contains("inserted"), "{found}");
        assert!(remedy.contains("nerd migrate --with-trigger"), "{remedy}");
        assert!(nerd(&database.url, &["migrate", "--with-trigger"]).status.success());
    }
    assert_eq!(doctor(&database.url, &[]).0, 0, "all of it mended");
    // An index of the host is the host's: a warning.
    client.batch_execute("DROP INDEX ix_articles_extracted_at").await.unwrap();
    let (code, wanting) = doctor(&database.url, &[]);
    assert!(code == 0 && wanting[0].1.contains("CREATE INDEX CONCURRENTLY ON articles (extracted_at)"), "{wanting:?}");
    client.batch_execute(&wanting[0].1).await.unwrap();
    client.batch_execute("ALTER TABLE gazetteer RENAME name_norm TO other_norm").await.unwrap();
    assert!(one(&database.url, &[]).0.contains("no column gazetteer.name_norm"));
    client
        .batch_execute("ALTER TABLE gazetteer RENAME other_norm TO name_norm; DELETE FROM nerd.schema_history WHERE version = 5")
        .await
        .unwrap();
    let (found, remedy) = one(&database.url, &[]);
    assert!(found.contains("version 4") && remedy.contains("nerd migrate"), "{found}: {remedy}");
    let empty = Database::empty().await;
    let (code, wanting) = doctor(&empty.url, &[]);
    assert_eq!(code, 1);
    assert!(wanting.iter().any(|(found, _)| found.contains("no schema nerd")), "{wanting:?}");
    assert!(wanting.iter().any(|(found, remedy)| found.contains("no table public.articles") && remedy.contains("--with-host-tables")));
    let (_, wanting) = doctor("postgresql://nobody@127.0.0.1:1/none", &[]);
    assert!(wanting.iter().any(|(found, remedy)| found.contains("127.0.0.1:1") && remedy.contains("DATABASE_URL")), "{wanting:?}");
}

/// `deploy/database/role.sql` gives all that is needed, and each right that is taken away is missed and named.
#[tokio::test]
async fn every_right_that_a_role_lacks_is_named() {
    let database = Database::migrated(true).await;
    let role = format!("daemon_{}", Uuid::new_v4().simple());
    let grants = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/database/role.sql")).unwrap();
    let grants = grants.replace(":\"role\"", &role).replace(":\"host_schema\"", "public");
    database.client.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'; {grants}")).await.unwrap();
    let owner = cluster().split("//").nth(1).unwrap().split('@').next().unwrap();
    let url = database.url.replace(owner, &format!("{role}:x"));
    let options = nerd::store::postgres::StoreOptions { url: nerd::settings::Secret::new(url.clone()), ..database.options() };
    assert_eq!(inspect(&options).await.unwrap().lacking, []);
    let own = needs::pairs(needs::OWN_RIGHTS).map(|(table, right)| (format!("nerd.{table}"), right));
    let hosts = needs::pairs(needs::HOST_RIGHTS).map(|(table, right)| (format!("public.{table}"), right));
    for (table, right) in own.chain(hosts) {
        database.client.batch_execute(&format!("REVOKE {right} ON {table} FROM {role}")).await.unwrap();
        let lacking = inspect(&options).await.unwrap().lacking;
        assert_eq!(lacking.iter().map(|one| one.right.as_str()).collect::<Vec<_>>(), [format!("{right} on {table}")]);
        database.client.batch_execute(&lacking[0].grant).await.unwrap();
    }
    database
        .client
        .batch_execute(&format!("REVOKE UPDATE ON nerd.jobs FROM {role}; REVOKE USAGE ON SCHEMA public FROM public, {role}"))
        .await
        .unwrap();
    let (code, wanting) = doctor(&url, &[]);
    let expected = [
        (format!("the role {role} lacks UPDATE on nerd.jobs"), format!("GRANT UPDATE ON nerd.jobs TO {role}")),
        (format!("the role {role} lacks USAGE on schema public"), format!("GRANT USAGE ON SCHEMA public TO {role}")),
    ];
    assert_eq!((code, wanting), (1, expected.to_vec()));
    database.client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn what_cannot_fit_is_refused() {
    let database = Database::migrated(true).await;
    let (found, remedy) = one(&database.url, &["--set", "supervision.memory_limit=100MB"]);
    assert!(found.contains("the limit is 100.0 MB") && remedy.contains("engine.workers"), "{found}: {remedy}");
    let (found, _) = one(&database.url, &["--set", "supervision.memory_limit=300MB", "--workers", "256"]);
    assert!(found.starts_with("256 workers"), "{found}");
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let (found, remedy) = one(&database.url, &["--set", &format!("http.address={address}")]);
    assert!(found.contains("held by another program") && remedy.contains("http.address"), "{found}: {remedy}");
    let (found, _) = one(&database.url, &["--model", "models/none"]);
    assert!(found.contains("no such model directory"), "{found}");
    let directory = tempfile::tempdir().unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/news-ner-fast");
    for file in std::fs::read_dir(model).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), directory.path().join(file.file_name())).unwrap();
    }
    let weights = directory.path().join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let (found, _) = one(&database.url, &["--model", directory.path().to_str().unwrap()]);
    assert!(found.contains("sha256"), "{found}");
}

/// The lists that the doctor goes by are those of a fresh schema.
#[tokio::test]
async fn the_lists_are_complete() {
    let database = Database::migrated(true).await;
    let sql = "SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'nerd' AND tablename <> 'schema_history' ORDER BY indexname COLLATE \"C\"";
    let rows = database.client.query(sql, &[]).await.unwrap();
    let there: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let listed: Vec<(String, String)> = needs::OWN_INDEXES.iter().map(|&(name, made)| (name.to_owned(), made.to_owned())).collect();
    assert_eq!(there, listed);
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'nerd' ORDER BY 1";
    let mut tables: Vec<&str> = needs::OWN_RIGHTS.iter().map(|(table, _)| *table).collect();
    tables.sort_unstable();
    assert_eq!(database.client.query(sql, &[]).await.unwrap().iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), tables);
}

/// What memory is foretold by is what the README says was measured.
#[test]
fn the_forecast_goes_by_the_readme() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let row = |start: &str| readme.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no row {start}")).to_owned();
    let memory = row("| resident memory with 2 workers, each further one |");
    let further = format!("{}", footprint::FURTHER_WORKER as f64 / 1e6).trim_start_matches('0').to_owned();
    assert!(memory.contains(&format!("{} MB, {further} MB", footprint::RESIDENT_WITH_TWO / 1_000_000)), "{memory}");
    assert!(row("| peak while loading over that |").contains(&format!("{} ×", footprint::PEAK_PERCENT as f64 / 100.0)));
    let (rows, bytes) = footprint::GAZETTEER;
    let gazetteer = row("| gazetteers of 8,500 rows");
    assert!(rows == 8_500 && gazetteer.contains(&format!("{} MB", bytes as f64 / 1e6)), "{gazetteer}");
}
