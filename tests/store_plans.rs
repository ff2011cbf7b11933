//! The cost of the flow's statements: found by index whatever the statistics, the same on a short queue and on a long one.

mod support;

use std::time::Duration;

use nerd::domain::{AnnotatedArticle, Batch, Entity};
use nerd::store::postgres::PostgresStore;
use nerd::store::postgres::statements::Statements;
use nerd::store::{ArticleStore, ClaimRequest};
use serde_json::Value;
use support::database::Database;
use support::plan::{complaints, explain, nodes, pages, pages_read};

const PREPARE: &str = include_str!("../benches/queue/prepare.sql");
const CHUNK: &str = include_str!("../benches/queue/chunk.sql");

/// What the planner knows of the tables.
#[derive(Clone, Copy, Debug)]
enum Statistics {
    None,
    /// Gathered when the queue was empty and the host's tables held a handful.
    Stale,
    Good,
}

/// The benchmark's tables, small: large enough that an index is worth its while. The last `pending` articles are in the queue.
async fn filled(articles: u64, pending: u64, statistics: Statistics) -> Database {
    const HANDFUL: u64 = 40;
    let database = Database::migrated(false).await;
    let client = &database.client;
    // Or the server would gather them in the midst of a test.
    for table in
        ["articles", "candidate_links", "article_entities", "nerd.jobs", "nerd.leases", "nerd.discovery", "nerd.model_loads", "nerd.pauses"]
    {
        client.batch_execute(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).await.unwrap();
    }
    client.batch_execute(PREPARE).await.unwrap();
    let add = async |from: u64, to: u64| {
        let sql = [("{from}", from), ("{to}", to), ("{articles}", articles), ("{pending}", pending)]
            .iter()
            .fold(CHUNK.to_owned(), |sql, (name, value)| sql.replace(name, &value.to_string()));
        client.batch_execute(&sql).await.unwrap();
    };
    add(1, HANDFUL).await;
    for row in client.query("SELECT statement FROM bench.aside ORDER BY position", &[]).await.unwrap() {
        client.batch_execute(row.get(0)).await.unwrap();
    }
    if let Statistics::Stale = statistics {
        client.batch_execute("ANALYZE").await.unwrap();
    }
    add(HANDFUL + 1, articles).await;
    let sql = "INSERT INTO nerd.jobs (article_id, source, run_at, article_place, link_place)
        SELECT a.id, l.source, a.extracted_at AT TIME ZONE 'UTC', a.ctid, l.ctid FROM articles a JOIN candidate_links l ON l.id = a.candidate_link_id
        WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id) ORDER BY a.extracted_at";
    client.execute(sql, &[]).await.unwrap();
    if let Statistics::Good = statistics {
        client.batch_execute("VACUUM ANALYZE").await.unwrap();
    }
    database
}

async fn claim(store: &PostgresStore, limit: u32) -> Batch {
    store.claim(&ClaimRequest { limit, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap()
}

fn annotated(batch: &Batch) -> Vec<AnnotatedArticle> {
    let entity = Entity { text: "Ann Lee".to_owned(), label: "PERSON".into(), start: 0, end: 7, score: 0.9 };
    batch
        .articles
        .iter()
        .map(|article| AnnotatedArticle { article: article.clone(), mentions: vec![entity.clone().into()], gazetteer: None })
        .collect()
}

async fn explained_claim(database: &Database, statements: &Statements, begin: (&str, &str), source: Option<&str>) -> Value {
    let begin = (format!("'{}'", begin.0), format!("'{}'", begin.1));
    let source = source.map(|source| format!("'{source}'"));
    let mut arguments = vec!["gen_random_uuid()", "gen_random_uuid()", "'host'", "200", "60000", "4194304", &begin.0, &begin.1, "true"];
    arguments.extend(source.as_deref());
    explain(&database.client, if source.is_some() { &statements.claim_source } else { &statements.claim }, &arguments).await
}

/// Every statement of the flow as it runs in the midst of things, by name: a claim of 100 articles to settle, another one whose
/// lease has ended, a walk with new articles before it.
async fn explained(database: &Database) -> Vec<(&'static str, Value)> {
    let (client, store) = (&database.client, database.store());
    let (batch, expired) = (claim(&store, 100).await, claim(&store, 100).await);
    client
        .execute("UPDATE nerd.leases SET leased_until = now() - interval '1 second' WHERE token = $1", &[&expired.token.0])
        .await
        .unwrap();
    // The walks' next articles are not in the queue yet.
    let sql = "WITH new AS (
            DELETE FROM nerd.jobs WHERE article_id IN (SELECT article_id FROM nerd.jobs WHERE state = 'pending' ORDER BY run_at LIMIT 200)
            RETURNING run_at)
        UPDATE nerd.discovery SET position_time = (SELECT min(run_at) FROM new) AT TIME ZONE 'UTC' WHERE walk = 'incremental'";
    client.execute(sql, &[]).await.unwrap();

    let array = |values: Vec<String>| format!("'{{{}}}'", values.join(","));
    let many = |value: &str| array(vec![value.to_owned(); batch.articles.len()]);
    let ids = array(batch.articles.iter().map(|article| article.id.to_string()).collect());
    let (token, tokens) = (format!("'{}'", batch.token.0), array(vec![batch.token.0.to_string()]));
    let (words, numbers, meta) = (many("word"), many("1"), many("\"{}\""));
    let matched = many("gazetteer-1");
    let row_ids = array((0..batch.articles.len()).map(|number| number.to_string()).collect());
    let statements = store.statements();
    let completion: Vec<&str> = vec![
        &token, &ids, "'v'", &row_ids, &ids, &words, &words, &words, &words, &words, &words, &numbers, &meta, &matched, &numbers, &words,
    ];
    let cases: Vec<(&'static str, &str, Vec<&str>)> = vec![
        ("next source", &statements.next_source, vec!["'source-0'"]),
        ("complete", &statements.complete, completion),
        ("reuse", &statements.reuse, vec![&token, &ids, "'v'", "200", &words]),
        ("renew", &statements.renew, vec![&tokens, "60000"]),
        ("release", &statements.release, vec![&token, &ids]),
        ("reject", &statements.reject, vec![&token, &ids, &words, &numbers, &numbers, "3"]),
        ("sweep", &statements.sweep, vec!["2"]),
        ("page", &statements.page, vec!["400"]),
        ("chunk", &statements.chunk, vec!["400", "0"]),
        ("backlog", &statements.backlog, vec!["400"]),
    ];
    let mut all = vec![
        ("claim", explained_claim(database, statements, ("-infinity", ""), None).await),
        ("claim of a source", explained_claim(database, statements, ("-infinity", ""), Some("source-0")).await),
    ];
    for (name, statement, arguments) in &cases {
        all.push((*name, explain(client, statement, arguments).await));
    }
    // Most of the queue's sources are paused: what is passed over costs a step each.
    let sql = "INSERT INTO nerd.pauses (scope, said_by)
        SELECT DISTINCT source, 'test' FROM nerd.jobs WHERE source <> (SELECT max(source) FROM nerd.jobs)";
    assert!(client.execute(sql, &[]).await.unwrap() > 3);
    all.push(("claim that a pause forbids", explained_claim(database, statements, ("-infinity", ""), None).await));
    all.push(("next open", explain(client, &statements.next_open, &["''", "true"]).await));
    client.batch_execute("DELETE FROM nerd.pauses WHERE scope = 'source-0'").await.unwrap();
    all.push(("claim beside a pause", explained_claim(database, statements, ("-infinity", ""), Some("source-0")).await));
    all
}

/// No statement reads or sorts a table, and none costs more where the queue is eight times as long, whatever the planner knows
/// of them.
async fn costs_do_not_grow(statistics: Statistics) {
    let short = explained(&filled(5_000, 2_000, statistics).await).await;
    let long = explained(&filled(24_000, 16_000, statistics).await).await;
    for ((name, short), (_, long)) in short.iter().zip(&long) {
        for explained in [short, long] {
            // Of the leases, one a claim in flight, the gauges want all.
            let wanted = |complaint: &String| *name == "backlog" && complaint == "Seq Scan on leases";
            let found: Vec<String> = complaints(explained, 501.0).into_iter().filter(|complaint| !wanted(complaint)).collect();
            assert_eq!(found, Vec::<String>::new(), "{name}, statistics {statistics:?}: {explained:#}");
            if name.starts_with("claim") {
                let pauses = nodes(explained).into_iter().find(|node| node["Relation Name"] == "pauses").unwrap();
                assert_eq!(pauses["Node Type"], "Index Only Scan", "{name}, statistics {statistics:?}: {explained:#}");
                let entities = nodes(explained).into_iter().find(|node| node["Alias"] == "e").unwrap();
                assert_eq!(entities["Node Type"], "Index Only Scan", "{name}, statistics {statistics:?}: {explained:#}");
                // Where articles and links lie the queue knows: their indexes are not looked into.
                for (table, key) in [("articles", "articles_pkey"), ("candidate_links", "candidate_links_pkey")] {
                    let loops = |what: &str, found: &str| {
                        nodes(explained).into_iter().find(|node| node["Relation Name"] == table && node[what] == found).unwrap()["Actual Loops"]
                            .as_u64()
                    };
                    assert_eq!(loops("Index Name", key), Some(0), "{name}, {key}, statistics {statistics:?}: {explained:#}");
                    let claims = *name != "claim that a pause forbids";
                    assert_eq!(
                        loops("Node Type", "Tid Scan") > Some(0),
                        claims,
                        "{name}, {table}, statistics {statistics:?}: {explained:#}"
                    );
                }
            }
        }
        let touched = (pages_read(short), pages_read(long));
        println!("{statistics:?} {name}: {touched:?}");
        // An index of a level more is a page more for each look-up.
        assert!(touched.1 * 10 < touched.0 * 16 + 300, "{name}, statistics {statistics:?}: {touched:?} pages: {long:#}");
    }
}

#[tokio::test]
async fn costs_do_not_grow_without_statistics() {
    costs_do_not_grow(Statistics::None).await;
}

#[tokio::test]
async fn costs_do_not_grow_with_stale_statistics() {
    costs_do_not_grow(Statistics::Stale).await;
}

#[tokio::test]
async fn costs_do_not_grow_with_good_statistics() {
    costs_do_not_grow(Statistics::Good).await;
}

/// What the tests above look for is found where it is.
#[tokio::test]
async fn a_statement_that_grows_is_complained_of() {
    let database = filled(2_000, 1_500, Statistics::Good).await;
    for (statement, complaint) in [
        ("SELECT count(*) FROM nerd.jobs WHERE error = $1", "Seq Scan on jobs"),
        ("SELECT count(*) FROM nerd.jobs WHERE article_id > '' AND enqueued_at::text = $1", "throws 1500 rows away"),
        ("SELECT article_id FROM nerd.jobs WHERE source <> $1 ORDER BY crashes, article_id", "Sort of"),
    ] {
        let explained = explain(&database.client, statement, &["'x'"]).await;
        assert!(complaints(&explained, 501.0).iter().any(|found| found.contains(complaint)), "{complaint}: {explained:#}");
    }
}

/// A transaction that is long under way keeps dead rows; the store's claims do not walk over those of the claims before.
#[tokio::test]
async fn claims_begin_behind_the_dead() {
    let database = filled(3_000, 3_000, Statistics::Good).await;
    let holder = support::database::connect(&database.url).await;
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await.unwrap();
    let store = database.store();
    let mut last = None;
    for _ in 0..5 {
        let batch = claim(&store, 400).await;
        assert_eq!(batch.articles.len(), 400);
        store.complete(batch.token, support::version(), &annotated(&batch)).await.unwrap();
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
    let database = filled(100, 100, Statistics::Good).await;
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
    let database = filled(100, 100, Statistics::Good).await;
    let store = database.store();
    let whole = claim(&store, 10).await;
    store.complete(whole.token, support::version(), &annotated(&whole)).await.unwrap();
    assert_eq!(database.count("nerd.leases").await, 0);
    let pieces = claim(&store, 10).await;
    let annotated = annotated(&pieces);
    let ids: Vec<_> = pieces.articles.iter().map(|article| article.id.clone()).collect();
    store.complete(pieces.token, support::version(), &annotated[..4]).await.unwrap();
    let rejected = nerd::domain::Rejection { article: pieces.articles[4].clone(), error: "no".to_owned(), weight: 1 };
    store.reject(pieces.token, &[rejected]).await.unwrap();
    assert_eq!(database.count("nerd.leases").await, 1);
    assert_eq!(store.renew(&[pieces.token], Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(store.release(pieces.token, &ids[5..]).await.unwrap(), 5);
    assert_eq!(database.count("nerd.leases").await, 0);
    assert_eq!(store.complete(pieces.token, support::version(), &annotated).await.unwrap().lease_lost.len(), 10);
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
    // What a session counted reaches the server's count in a second or so, and would come on top of what VACUUM counts.
    database.client.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    database.client.batch_execute("VACUUM nerd.jobs").await.unwrap();
    let backlog = store.backlog().await.unwrap();
    assert!(backlog.estimated && (110_000..=145_000).contains(&backlog.pending), "{backlog:?}");
}

/// Nor does it keep a failed article from its turn.
#[tokio::test]
async fn a_suspect_comes_before_the_front() {
    let database = filled(100, 100, Statistics::Good).await;
    let store = database.store();
    let batch = claim(&store, 20).await;
    assert_eq!(claim(&store, 20).await.articles.len(), 20);
    let failed = nerd::domain::Rejection { article: batch.articles[0].clone(), error: "no".to_owned(), weight: 1 };
    store.reject(batch.token, &[failed]).await.unwrap();
    database.client.execute("UPDATE nerd.jobs SET run_at = now() WHERE suspect", &[]).await.unwrap();
    let alone = claim(&store, 20).await;
    assert_eq!(alone.articles.iter().map(|article| &article.id).collect::<Vec<_>>(), [&batch.articles[0].id]);
    assert_eq!(claim(&store, 20).await.articles.len(), 20);
}

#[tokio::test]
async fn the_largest_claim_is_filled() {
    let database = filled(1_300, 1_300, Statistics::Good).await;
    let store = database.store();
    let sizes =
        [claim(&store, 1_000).await.articles.len(), claim(&store, 1_000).await.articles.len(), claim(&store, 1_000).await.articles.len()];
    assert_eq!(sizes, [1_000, 300, 0]);
}
