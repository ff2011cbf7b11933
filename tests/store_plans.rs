//! The cost of the flow's statements: found by index whatever the statistics, the same on a short queue and on a long one, and
//! few waits for the server.

mod support;

use std::time::Duration;

use nerd::domain::{AnnotatedArticle, Batch, Entity};
use nerd::store::postgres::statements::Statements;
use nerd::store::postgres::{PostgresStore, StoreOptions};
use nerd::store::{ArticleStore, ClaimRequest, Claimant};
use serde_json::Value;
use support::database::Database;
use support::plan::{complaints, explain, nodes, pages};
use support::process::nerd;
use support::proxy::counting;
use uuid::Uuid;

const PREPARE: &str = include_str!("../benches/queue/prepare.sql");
const CHUNK: &str = include_str!("../benches/queue/chunk.sql");

/// The benchmark's tables, small: large enough that an index is worth its while. The last `pending` articles are in the queue.
async fn filled(articles: u64, pending: u64) -> Database {
    let database = Database::migrated(false).await;
    let client = &database.client;
    client.batch_execute(PREPARE).await.unwrap();
    let sql = [("{from}", 1), ("{to}", articles), ("{articles}", articles), ("{pending}", pending)]
        .iter()
        .fold(CHUNK.to_owned(), |sql, (name, value)| sql.replace(name, &value.to_string()));
    client.batch_execute(&sql).await.unwrap();
    for row in client.query("SELECT statement FROM bench.aside ORDER BY position", &[]).await.unwrap() {
        client.batch_execute(row.get(0)).await.unwrap();
    }
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let sql = "INSERT INTO nerd.jobs (article_id, source, run_at)
        SELECT a.id, l.source, a.extracted_at AT TIME ZONE 'UTC' FROM articles a JOIN candidate_links l ON l.id = a.candidate_link_id
        WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id) ORDER BY a.extracted_at";
    client.execute(sql, &[]).await.unwrap();
    database
}

async fn claim(store: &PostgresStore, limit: u32) -> Batch {
    store.claim(&ClaimRequest { limit, lease: Duration::from_secs(60), source: None }).await.unwrap()
}

fn annotated(batch: &Batch) -> Vec<AnnotatedArticle> {
    let entity = Entity { text: "Ann Lee".to_owned(), label: "PERSON".into(), start: 0, end: 7, score: 0.9 };
    batch.articles.iter().map(|article| AnnotatedArticle { article: article.clone(), entities: vec![entity.clone()] }).collect()
}

async fn explained_claim(database: &Database, statements: &Statements, begin: (&str, &str), source: Option<&str>) -> Value {
    let begin = (format!("'{}'", begin.0), format!("'{}'", begin.1));
    let source = source.map(|source| format!("'{source}'"));
    let mut arguments = vec!["gen_random_uuid()", "gen_random_uuid()", "'host'", "500", "60000", "4194304", &begin.0, &begin.1];
    arguments.extend(source.as_deref());
    explain(&database.client, if source.is_some() { &statements.claim_source } else { &statements.claim }, &arguments).await
}

/// Every statement of the flow, without and with statistics; the store's sessions forbid whole tables besides.
#[tokio::test]
async fn every_statement_finds_its_rows_by_index() {
    let database = filled(6_000, 3_000).await;
    let store = database.store();
    let batch = claim(&store, 100).await;
    let ids = format!("'{{{}}}'", batch.articles.iter().map(|article| article.id.as_str()).collect::<Vec<_>>().join(","));
    let (token, tokens) = (format!("'{}'", batch.token.0), format!("'{{{}}}'", batch.token.0));
    let many = |value: &str| format!("'{{{}}}'", vec![value; batch.articles.len()].join(","));
    let (words, numbers) = (many("word"), many("1"));
    let row_ids = format!("'{{{}}}'", (0..batch.articles.len()).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let meta = format!("'{{{}}}'", vec!["\"{}\""; batch.articles.len()].join(","));
    let statements = store.statements();
    let completion: Vec<&str> = vec![&token, &ids, "'v'", &row_ids, &ids, &words, &words, &words, &words, &words, &words, &numbers, &meta];
    let cases: Vec<(&str, &str, Vec<&str>)> = vec![
        ("complete", &statements.complete, completion),
        ("reuse", &statements.reuse, vec![&token, &ids, "'v'", "200"]),
        ("renew", &statements.renew, vec![&tokens, "60000"]),
        ("release", &statements.release, vec![&token, &ids]),
        ("reject", &statements.reject, vec![&token, &ids, &words, &numbers, &numbers, "3"]),
        ("sweep", &statements.sweep, vec!["2"]),
        ("page", &statements.page, vec!["500"]),
        ("chunk", &statements.chunk, vec!["500", "0"]),
        ("backlog", &statements.backlog, vec!["1000"]),
    ];
    for statistics in ["none", "fresh"] {
        if statistics == "fresh" {
            database.client.batch_execute("VACUUM ANALYZE").await.unwrap();
        }
        for source in [None, Some("source-0")] {
            let explained = explained_claim(&database, statements, ("-infinity", ""), source).await;
            assert_eq!(complaints(&explained, 501.0), Vec::<String>::new(), "claim of {source:?}, statistics {statistics}: {explained:#}");
            let entities = nodes(&explained).into_iter().find(|node| node["Alias"] == "e").unwrap();
            assert_eq!(entities["Node Type"], "Index Only Scan", "{explained:#}");
        }
        for (name, statement, arguments) in &cases {
            let explained = explain(&database.client, statement, arguments).await;
            // Two rows of the walks' positions, few leases, no loads: read as they are.
            let small = |complaint: &String| ["discovery", "leases", "model_loads"].iter().any(|table| complaint.ends_with(table));
            let found: Vec<String> = complaints(&explained, 1_000.0).into_iter().filter(|complaint| !small(complaint)).collect();
            assert_eq!(found, Vec::<String>::new(), "{name}, statistics {statistics}: {explained:#}");
        }
    }
}

#[tokio::test]
async fn a_claim_costs_the_same_on_a_long_queue() {
    let (short, long) = (filled(1_500, 1_000).await, filled(12_000, 8_000).await);
    let mut touched = Vec::new();
    for database in [&short, &long] {
        let explained = explained_claim(database, database.store().statements(), ("-infinity", ""), None).await;
        touched.push(pages(&explained["Plan"]) as f64);
    }
    // An index of a level more is a page more for each look-up.
    assert!(touched[1] < touched[0] * 1.6, "{touched:?} pages");
}

/// A transaction that is long under way keeps dead rows; the store's claims do not walk over those of the claims before.
#[tokio::test]
async fn claims_begin_behind_the_dead() {
    let database = filled(3_000, 3_000).await;
    let holder = support::database::connect(&database.url).await;
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
    let store = database.store();
    let mut last = None;
    for _ in 0..5 {
        let batch = claim(&store, 400).await;
        assert_eq!(batch.articles.len(), 400);
        store.complete(batch.token, &annotated(&batch)).await.unwrap();
        last = batch.articles.last().map(|article| article.id.to_string());
    }
    let last = last.unwrap();
    let sql = "SELECT (extracted_at AT TIME ZONE 'UTC')::text FROM articles WHERE id = $1";
    let time: String = database.client.query_one(sql, &[&last]).await.unwrap().get(0);
    let mut walked = Vec::new();
    for begin in [("-infinity", ""), (time.as_str(), last.as_str())] {
        let explained = explained_claim(&database, store.statements(), begin, None).await;
        walked.push(pages(nodes(&explained).into_iter().find(|node| node["Index Name"] == "jobs_ready").unwrap()));
    }
    let (head, front) = (walked[0], walked[1]);
    assert!(front * 3 < head, "{front} pages behind the front, {head} from the head");
    holder.batch_execute("ROLLBACK").await.unwrap();
}

/// What comes in before the front is claimed too: at the latest when there is nothing behind it.
#[tokio::test]
async fn the_front_leaves_nothing_behind() {
    let database = filled(100, 100).await;
    let store = database.store();
    let first = claim(&store, 40).await;
    let second = claim(&store, 40).await;
    let ids: Vec<_> = first.articles.iter().map(|article| article.id.clone()).collect();
    assert_eq!(store.release(first.token, &ids).await.unwrap(), 40);
    let mut seen = second.articles.len();
    loop {
        let batch = claim(&store, 40).await;
        if batch.articles.is_empty() {
            break;
        }
        seen += batch.articles.len();
    }
    assert_eq!(seen, 100);
}

/// A lease goes with the last of its articles, in whatever pieces they are settled.
#[tokio::test]
async fn no_lease_outlives_its_articles() {
    let database = filled(100, 100).await;
    let store = database.store();
    let whole = claim(&store, 10).await;
    store.complete(whole.token, &annotated(&whole)).await.unwrap();
    assert_eq!(database.count("nerd.leases").await, 0);
    let pieces = claim(&store, 10).await;
    let annotated = annotated(&pieces);
    let ids: Vec<_> = pieces.articles.iter().map(|article| article.id.clone()).collect();
    store.complete(pieces.token, &annotated[..4]).await.unwrap();
    let rejected = nerd::domain::Rejection { article: pieces.articles[4].clone(), error: "no".to_owned(), weight: 1 };
    store.reject(pieces.token, &[rejected]).await.unwrap();
    assert_eq!(database.count("nerd.leases").await, 1);
    assert_eq!(store.renew(&[pieces.token], Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(store.release(pieces.token, &ids[5..]).await.unwrap(), 5);
    assert_eq!(database.count("nerd.leases").await, 0);
    assert_eq!(store.complete(pieces.token, &annotated).await.unwrap().lease_lost.len(), 10);
}

/// Beyond the bound the gauge says that it estimates; the server's running count lags and leads a little.
#[tokio::test]
async fn a_long_backlog_is_estimated() {
    let database = Database::migrated(false).await;
    let store = database.store();
    let sql = "INSERT INTO nerd.jobs (article_id, source) SELECT n::text, 'gazette' FROM generate_series($1::int, $2::int) AS n";
    database.client.execute(sql, &[&1, &100_000]).await.unwrap();
    let backlog = store.backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.estimated), (100_000, false));
    database.client.execute(sql, &[&100_001, &120_000]).await.unwrap();
    database.client.batch_execute("VACUUM nerd.jobs").await.unwrap();
    let backlog = store.backlog().await.unwrap();
    assert!(backlog.estimated && (110_000..=145_000).contains(&backlog.pending), "{backlog:?}");
}

/// The store's own count of its waits is what the wire shows, and a steady run needs few of them.
#[tokio::test]
async fn a_steady_run_waits_for_the_server_once_in_ten_articles_at_most() {
    let database = filled(2_000, 2_000).await;
    let (url, answers) = counting(&database.url).await;
    let options = StoreOptions { url: nerd::settings::Secret::new(url.clone()), ..database.options() };
    let store = PostgresStore::new(&options, Claimant { boot_id: Uuid::new_v4(), host: "test-host".to_owned() }).unwrap();
    let (mut articles, mut first_batch) = (0, 0);
    for round in 0..10 {
        let batch = claim(&store, 64).await;
        articles += batch.articles.len() as u64;
        // What the keeper does every ten to twenty seconds, here with every other batch.
        if round % 2 == 0 {
            store.renew(&[batch.token], Duration::from_secs(60)).await.unwrap();
            store.sweep().await.unwrap();
            store.backlog().await.unwrap();
        }
        store.complete(batch.token, &annotated(&batch)).await.unwrap();
        if round == 0 {
            first_batch = store.round_trips();
        }
    }
    assert_eq!(articles, 640);
    assert_eq!(store.round_trips(), answers.statements(), "counted by the store, and on the wire");
    // Preparing is done once a connection.
    let steady = (store.round_trips() - first_batch) as f64 / (articles - 64) as f64;
    assert!(steady <= 0.07, "{steady} round trips an article");

    // The real daemon to the end of the queue, start and everything else counted.
    database.client.execute("UPDATE articles SET text = left(text, 60)", &[]).await.unwrap();
    let before = answers.statements();
    // Beside the proxy, which lives on this runtime.
    let run = tokio::task::spawn_blocking(move || nerd(&url, &["extract", "--precision", "f32", "--workers", "2"])).await.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(database.count("nerd.jobs").await, 0);
    let trips = (answers.statements() - before) as f64 / 1_360.0;
    assert!(trips <= 0.1, "{trips} round trips an article of a whole run");
}
