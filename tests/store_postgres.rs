//! What only PostgreSQL can show: the claim matrix, the rows, trigger and walks, migrations, TLS, the ledger's verdict.

mod support;

use std::time::Duration;

use nerd::domain::{AnnotatedArticle, Batch, Entity};
use nerd::store::postgres::migrate::{self, SchemaState};
use nerd::store::verdict::{Allowance, judge};
use nerd::store::{ArticleStore, ClaimRequest, LoadRecord, StoreError};
use support::database::{Database, cluster, connect};
use tokio::sync::Notify;
use uuid::Uuid;

async fn claim(store: &dyn ArticleStore, limit: u32) -> Batch {
    store.claim(&ClaimRequest { limit, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap()
}

fn entity(text: &str, label: &str, start: usize) -> Entity {
    Entity { text: text.to_owned(), label: label.into(), start, end: start + text.chars().count(), score: 0.75 }
}

/// Every way an article may stand in the host's tables, and whether it is claimable.
async fn matrix(database: &Database) -> Vec<String> {
    let (t, c) = (Some("text"), Some("content"));
    for status in ["extracted", "cleaned", "local", "labeled", "classified", "wire", "opinion", "obituary", "discovered", "odd"] {
        database.article_of("gazette", status, t, c, status).await;
    }
    database.article_of("gazette", "empty", Some(""), Some(""), "extracted").await;
    database.article_of("gazette", "no-text", None, c, "extracted").await;
    database.article_of("gazette", "no-content", t, None, "extracted").await;
    database.article_of("gazette", "failed", t, c, "error").await;
    database.article_of("gazette", "has-rows", t, c, "extracted").await;
    let sql = "INSERT INTO article_entities (id, article_id, entity_text, extractor_version, created_at)
        VALUES ('e', 'has-rows', 'x', 'another-version', now())";
    database.client.execute(sql, &[]).await.unwrap();
    let mut claimable: Vec<String> =
        ["extracted", "cleaned", "local", "labeled", "classified", "wire", "opinion", "obituary", "discovered", "odd", "empty"]
            .map(str::to_owned)
            .to_vec();
    claimable.sort();
    claimable
}

fn sorted(batch: &Batch) -> Vec<String> {
    let mut ids: Vec<String> = batch.articles.iter().map(|a| a.id.to_string()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn the_walk_over_the_table_enqueues_the_claim_matrix() {
    let database = Database::migrated(false).await;
    let claimable = matrix(&database).await;
    let store = database.store();
    assert_eq!(store.reconcile_chunk(Duration::from_secs(3600)).await.unwrap(), Some(11));
    assert_eq!(store.reconcile_chunk(Duration::from_secs(3600)).await.unwrap(), None, "a round was finished just now");
    assert_eq!(sorted(&claim(store.as_ref(), 100).await), claimable);
}

#[tokio::test]
async fn the_incremental_walk_finds_what_is_new() {
    let database = Database::migrated(false).await;
    let claimable = matrix(&database).await;
    let store = database.store();
    assert_eq!(store.discover().await.unwrap(), 11);
    assert_eq!(store.discover().await.unwrap(), 0, "nothing twice");
    for number in 0..120 {
        database.article(&format!("later-{number}"), "text").await;
    }
    assert_eq!(store.discover().await.unwrap(), 120, "more than two pages");
    assert_eq!(claim(store.as_ref(), 1000).await.articles.len(), claimable.len() + 120);
}

#[tokio::test]
async fn the_trigger_enqueues_the_claim_matrix_and_wakes_the_listener() {
    let database = Database::migrated(true).await;
    let store = database.store();
    let bell = std::sync::Arc::new(Notify::new());
    let listening = tokio::spawn(store.clone().listen(bell.clone()));
    bell.notified().await;
    let claimable = matrix(&database).await;
    tokio::time::timeout(Duration::from_secs(10), bell.notified()).await.expect("a notification");
    assert_eq!(sorted(&claim(store.as_ref(), 100).await), claimable);
    // What becomes claimable by an update is enqueued too.
    database.client.execute("UPDATE articles SET text = 'now' WHERE id = 'no-text'", &[]).await.unwrap();
    database.client.execute("UPDATE articles SET status = 'extracted' WHERE id = 'failed'", &[]).await.unwrap();
    assert_eq!(sorted(&claim(store.as_ref(), 100).await), ["failed", "no-text"]);
    listening.abort();
}

#[tokio::test]
async fn a_broken_trigger_never_fails_the_host() {
    let database = Database::migrated(true).await;
    database.client.batch_execute("ALTER TABLE nerd.jobs RENAME TO gone").await.unwrap();
    database.article("a", "text").await;
    assert_eq!(database.count("articles").await, 1);
}

#[tokio::test]
async fn a_claim_drops_what_is_no_longer_claimable() {
    let database = Database::migrated(true).await;
    for id in ["a", "b", "c"] {
        database.article(id, "text").await;
    }
    database
        .client
        .batch_execute("UPDATE articles SET status = 'error' WHERE id = 'a'; DELETE FROM articles WHERE id = 'b'")
        .await
        .unwrap();
    let store = database.store();
    assert_eq!(sorted(&claim(store.as_ref(), 1).await), ["c"], "one call looks behind what it dropped");
    assert_eq!(database.count("nerd.jobs").await, 1);
}

#[tokio::test]
async fn the_oldest_come_first_and_long_texts_make_short_batches() {
    let database = Database::migrated(true).await;
    let long = "Boone County. ".repeat(200_000);
    for (id, text) in [("a", long.as_str()), ("b", &long), ("c", &long), ("d", "short")] {
        database.article(id, text).await;
    }
    let store = database.store();
    assert_eq!(sorted(&claim(store.as_ref(), 10).await), ["a", "b"]);
    assert_eq!(sorted(&claim(store.as_ref(), 10).await), ["c", "d"]);
}

/// A young article of a small source does not wait for the end of another's backlog.
#[tokio::test]
async fn a_small_source_has_its_turn() {
    let database = Database::migrated(true).await;
    for number in 0..60 {
        database.article_of("large", &format!("large-{number:02}"), Some("text"), Some("c"), "extracted").await;
    }
    for source in ["small", "tiny"] {
        database.article_of(source, source, Some("text"), Some("c"), "extracted").await;
    }
    let store = database.store();
    let mut claimed = Vec::new();
    while claimed.len() < 62 {
        let batch = claim(store.as_ref(), 2).await;
        assert!(!batch.articles.is_empty(), "{claimed:?}");
        claimed.extend(sorted(&batch));
    }
    let place = |id: &str| claimed.iter().position(|claimed| claimed == id).unwrap();
    // Turns are large, small and tiny: with the claims before and between them at most 3 × 9 of two articles.
    assert!(place("small") < 54 && place("tiny") < 54, "{claimed:?}");
    let large: Vec<&String> = claimed.iter().filter(|id| id.starts_with("large")).collect();
    assert!(large.is_sorted(), "the oldest first: {large:?}");
}

/// A source is a value wherever it goes, and exactly it.
#[tokio::test]
async fn a_source_of_any_name_is_claimed_alone() {
    let database = Database::migrated(true).await;
    let sources = ["O'Brien \"Gazette\" -- $9;", "O'Brien \"Gazette\"", "o'brien \"gazette\"", "", "Ünïon"];
    for (number, source) in sources.iter().enumerate() {
        database.article_of(source, &format!("a{number}"), Some("text"), Some("c"), "extracted").await;
        database.article_of(source, &format!("b{number}"), Some("text"), Some("c"), "extracted").await;
    }
    let store = database.store();
    for (number, source) in sources.iter().enumerate() {
        let request = ClaimRequest { limit: 10, lease: Duration::from_secs(60), source: Some((*source).to_owned()), suspects: true };
        let batch = store.claim(&request).await.unwrap();
        assert_eq!(sorted(&batch), [format!("a{number}"), format!("b{number}")], "{source}");
        let article = &batch.articles[0];
        let scope = (article.source.as_str(), article.source_id.clone(), article.dataset_id.as_deref());
        assert_eq!(scope, (*source, Some(format!("s-{source}")), Some("d")));
        assert!(store.claim(&request).await.unwrap().articles.is_empty());
    }
}

#[tokio::test]
async fn rows_are_replaced_by_article_and_version() {
    let database = Database::migrated(true).await;
    database.article("a", "Ann Lee of Boone County").await;
    database.article("b", "nothing").await;
    let sql = "INSERT INTO article_entities (id, article_id, entity_text, entity_norm, entity_label, extractor_version, created_at)
        VALUES ('ours', 'a', 'Ann Lee', 'ann lee', 'PERSON', 'nerd-test', now()), ('theirs', 'a', 'Ann Lee', 'ann lee', 'PERSON', 'spacy', now())";
    let store = database.store();
    let batch = claim(store.as_ref(), 10).await;
    database.client.batch_execute(sql).await.unwrap();
    let annotated: Vec<AnnotatedArticle> = batch
        .articles
        .iter()
        .map(|article| AnnotatedArticle {
            article: article.clone(),
            mentions: if article.id.as_str() == "a" {
                vec![entity("Ann Lee", "PERSON", 0).into(), entity("Boone County", "LOC", 11).into()]
            } else {
                vec![]
            },
            gazetteer: None,
        })
        .collect();
    let completion = store.complete(batch.token, support::version(), &annotated).await.unwrap();
    assert_eq!((completion.done.len(), completion.rows), (2, 3));
    assert_eq!(database.count("article_entities WHERE article_id = 'a' AND extractor_version = 'spacy'").await, 1);
    assert_eq!(database.count("article_entities WHERE id = 'ours'").await, 0);
    let rows = database
        .client
        .query("SELECT *, meta::text AS meta_text FROM article_entities WHERE extractor_version = 'nerd-test' ORDER BY article_id, entity_text", &[])
        .await
        .unwrap();
    let county = &rows[1];
    assert_eq!(county.get::<_, &str>("entity_text"), "Boone County");
    assert_eq!(county.get::<_, &str>("entity_norm"), "boone county");
    assert_eq!(county.get::<_, &str>("entity_label"), "LOC");
    assert_eq!(county.get::<_, &str>("osm_category"), "place");
    assert_eq!(county.get::<_, f64>("confidence"), 0.75);
    assert_eq!(county.get::<_, &str>("article_text_hash").len(), 32);
    let meta: serde_json::Value = serde_json::from_str(county.get("meta_text")).unwrap();
    assert_eq!(meta, serde_json::json!({"start_char": 11, "end_char": 23, "label": "LOC", "origin": "model"}));
    let sentinel = &rows[2];
    assert_eq!(sentinel.get::<_, &str>("article_id"), "b");
    assert_eq!(sentinel.get::<_, &str>("entity_text"), "__NO_ENTITIES_FOUND__");
    assert_eq!(sentinel.get::<_, &str>("entity_label"), "SENTINEL");
    let fresh = "article_entities WHERE extractor_version = 'nerd-test' AND created_at BETWEEN (now() AT TIME ZONE 'UTC') - interval '1 minute' AND now() AT TIME ZONE 'UTC'";
    assert_eq!(database.count(fresh).await, 3, "naive UTC, fresh");
    assert_eq!(database.count("nerd.jobs").await, 0);
}

#[tokio::test]
async fn an_article_deleted_meanwhile_is_a_permanent_error_of_its_batch() {
    let database = Database::migrated(true).await;
    database.article("a", "text").await;
    let store = database.store();
    let batch = claim(store.as_ref(), 10).await;
    database.client.batch_execute("DELETE FROM articles").await.unwrap();
    let annotated = AnnotatedArticle { article: batch.articles[0].clone(), mentions: vec![], gazetteer: None };
    let error = store.complete(batch.token, support::version(), &[annotated]).await.unwrap_err();
    assert!(!error.is_transient() && error.kind() == "constraint", "{error:?}");
    assert_eq!(database.count("nerd.jobs WHERE state = 'leased'").await, 1, "rolled back");
}

#[tokio::test]
async fn retry_sends_quarantined_articles_back() {
    let database = Database::migrated(true).await;
    for id in ["a", "b"] {
        database.article(id, "text").await;
    }
    let store = database.store();
    let batch = claim(store.as_ref(), 10).await;
    let rejections: Vec<_> = batch
        .articles
        .iter()
        .map(|article| nerd::domain::Rejection { article: article.clone(), error: "no\0good".to_owned(), weight: 9 })
        .collect();
    store.reject(batch.token, &rejections).await.unwrap();
    let listed = store.quarantined(10).await.unwrap();
    assert_eq!((listed.len(), listed[0].error.as_deref()), (2, Some("no\u{fffd}good")));
    assert_eq!(store.retry(Some(&["a".to_owned()])).await.unwrap(), ["a"]);
    assert_eq!(store.retry(None).await.unwrap(), ["b"]);
    let again = claim(store.as_ref(), 10).await;
    assert_eq!((again.articles.len(), again.articles[0].attempts), (2, 0));
}

#[tokio::test]
async fn migrations_are_idempotent_and_a_newer_schema_is_refused() {
    let database = Database::empty().await;
    let options = database.options();
    assert_eq!(migrate::schema_state(&options).await.unwrap(), SchemaState::Missing);
    let missing = migrate::refuse_unless_current(SchemaState::Missing).unwrap_err();
    assert!(missing.to_string().contains("nerd migrate"), "{missing}");
    let first = migrate::migrate(&options, true, true).await.unwrap();
    assert_eq!(first.applied.len(), migrate::newest() as usize);
    assert_eq!(migrate::schema_state(&options).await.unwrap(), SchemaState::Current);
    assert!(migrate::migrate(&options, true, true).await.unwrap().applied.is_empty());
    database
        .client
        .batch_execute(
            "INSERT INTO nerd.schema_history (version, name, applied_on, checksum) VALUES (999, 'future', '2030-01-01T00:00:00Z', '1')",
        )
        .await
        .unwrap();
    assert_eq!(migrate::schema_state(&options).await.unwrap(), SchemaState::New(999));
    let error = migrate::migrate(&options, false, false).await.unwrap_err();
    assert!(error.to_string().contains("999, newer than this nerd"), "{error}");
}

#[tokio::test]
async fn many_processes_may_migrate_at_once() {
    let database = Database::empty().await;
    let options = database.options();
    let all = futures_util::future::join_all((0..6).map(|_| migrate::migrate(&options, true, true))).await;
    let applied: usize = all.into_iter().map(|result| result.unwrap().applied.len()).sum();
    assert_eq!(applied, migrate::newest() as usize);
}

/// Nothing of the host's is altered: its columns, constraints and indexes are the same before and after, but for the trigger.
#[tokio::test]
async fn migration_leaves_the_host_as_it_is() {
    let database = Database::empty().await;
    let options = database.options();
    migrate::migrate(&options, true, false).await.unwrap();
    let fingerprint = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
        SELECT format('%s %s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public') AS all_of_it (line)";
    let before: String = database.client.query_one(fingerprint, &[]).await.unwrap().get(0);
    migrate::migrate(&options, false, true).await.unwrap();
    let after: String = database.client.query_one(fingerprint, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    assert_eq!(database.count("pg_trigger WHERE tgname LIKE 'nerd_%' AND NOT tgisinternal").await, 2);
}

#[tokio::test]
async fn the_ledger_shows_a_process_for_every_batch() {
    let database = Database::migrated(false).await;
    let store = database.store();
    let mut record = LoadRecord {
        boot_id: Uuid::new_v4(),
        host: "node-1".to_owned(),
        command: "run".to_owned(),
        worker: 0,
        model: "m".to_owned(),
        sha256: "0".repeat(64),
        reason: "startup".to_owned(),
        seconds: 0.1,
        rss_before_bytes: 1,
        rss_after_bytes: 2,
        pool_size: 1,
    };
    let allowance = Allowance { max_starts: 3, max_jobs: 24, days: 1.0 };
    store.record_load(&record).await.unwrap();
    let day = Duration::from_secs(86_400);
    assert!(judge(&store.processes(day).await.unwrap(), allowance).passed);
    for _ in 1..288 {
        record.boot_id = Uuid::new_v4();
        store.record_load(&record).await.unwrap();
    }
    let verdict = judge(&store.processes(day).await.unwrap(), allowance);
    assert!(!verdict.passed && verdict.storms[0].starts == 288 && verdict.reloads.is_empty());
}

#[tokio::test]
async fn a_database_that_is_away_is_transient() {
    let database = Database::migrated(false).await;
    let mut options = database.options();
    options.url = nerd::settings::Secret::new("postgresql://nobody@127.0.0.1:1/none");
    let claimant = nerd::store::Claimant { boot_id: Uuid::new_v4(), host: "h".to_owned() };
    let store = nerd::store::postgres::PostgresStore::new(&options, claimant).unwrap();
    let error = store.backlog().await.unwrap_err();
    assert!(error.is_transient() && error.kind() == "connect", "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn connections_cut_by_the_server_are_replaced() {
    let database = Database::migrated(false).await;
    let store = database.store();
    store.backlog().await.unwrap();
    database
        .client
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nerd' AND datname = current_database()",
        )
        .await
        .unwrap();
    let mut failures = 0;
    while let Err(error) = store.backlog().await {
        assert!(matches!(error, StoreError::Transient { .. }), "{error:?}");
        failures += 1;
        assert!(failures < 10);
    }
}

/// The cluster gets a certificate of a private authority; plain connections go on working beside it.
#[tokio::test]
async fn tls_encrypts_and_verifies() {
    let database = Database::migrated(false).await;
    let directory = tempfile::tempdir().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(
        {
            let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            parameters
        },
        rcgen::KeyPair::generate().unwrap(),
    )
    .unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let root = directory.path().join("authority.pem");
    std::fs::write(&root, authority.pem()).unwrap();
    let admin = connect(cluster()).await;
    for (name, content) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let sql = format!("COPY (SELECT unnest(string_to_array('{}', E'\\n'))) TO PROGRAM 'umask 077; cat > {name}'", content.trim());
        admin.batch_execute(&sql).await.unwrap();
    }
    admin.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let encrypted = |query: String| {
        let mut options = database.options();
        options.url = nerd::settings::Secret::new(format!("{}?{query}", database.url));
        async move { migrate::schema_state(&options).await }
    };
    // The reload takes a moment.
    let mut last = encrypted("sslmode=require".to_owned()).await;
    for _ in 0..50 {
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        last = encrypted("sslmode=require".to_owned()).await;
    }
    assert_eq!(last.unwrap(), SchemaState::Current);
    let trusting = format!("sslmode=verify-full&sslrootcert={}", root.display());
    assert_eq!(encrypted(trusting).await.unwrap(), SchemaState::Current);
    let error = encrypted("sslmode=verify-full".to_owned()).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    assert_eq!(encrypted("sslmode=disable".to_owned()).await.unwrap(), SchemaState::Current);
}
