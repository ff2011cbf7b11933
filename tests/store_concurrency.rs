//! Several processes on one queue: whoever comes first, whoever dies, each article's effect happens once.

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use nerd::domain::{AnnotatedArticle, ArticleId, Batch, ClaimedArticle, Rejection};
use nerd::store::postgres::PostgresStore;
use nerd::store::{ArticleStore, ClaimRequest, StoreError};
use rand::RngExt;
use support::database::{Database, connect};

const LEASE: Duration = Duration::from_secs(60);

async fn claim(store: &PostgresStore, limit: u32) -> Batch {
    store.claim(&ClaimRequest { limit, lease: LEASE, source: None, suspects: true }).await.unwrap()
}

fn ids(articles: &[ClaimedArticle]) -> Vec<ArticleId> {
    articles.iter().map(|article| article.id.clone()).collect()
}

fn annotated(articles: &[ClaimedArticle]) -> Vec<AnnotatedArticle> {
    articles.iter().map(|article| AnnotatedArticle { article: article.clone(), mentions: vec![], gazetteer: None }).collect()
}

/// Articles in the queue; of more than 500, some share a text.
async fn queue(number: usize) -> Database {
    let database = Database::migrated(true).await;
    let link = "INSERT INTO candidate_links (id, url, source, discovered_at, status)
        VALUES ('l', 'https://example.test/l', 'gazette', now(), 'article')";
    let articles = format!(
        "INSERT INTO articles (id, candidate_link_id, status, created_at, extracted_at, content, text, text_hash)
         SELECT 'a' || n, 'l', 'extracted', now(), now() AT TIME ZONE 'UTC' - n * interval '1 second', 'c', 'text ' || n % 500, md5('text ' || n % 500)
         FROM generate_series(1, {number}) AS n"
    );
    database.client.batch_execute(&format!("{link}; {articles}")).await.unwrap();
    assert_eq!(database.count("nerd.jobs").await as usize, number);
    database
}

/// Waits until a session of a store waits for a lock.
async fn somebody_waits(database: &Database) {
    let sql = "pg_stat_activity WHERE application_name = 'nerd' AND datname = current_database() AND wait_event_type = 'Lock'";
    let waiting = async {
        while database.count(sql).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("a session that waits");
}

fn drawn(least: u32, most: u32) -> u32 {
    rand::rng().random_range(least..=most)
}

/// What one process does until nothing is left: completes whole batches and pieces, at once and side by side, gives back,
/// rejects, copies, or forgets its lease and comes late. Returns how often each article was completed.
async fn work(store: Arc<PostgresStore>, url: String) -> HashMap<ArticleId, u32> {
    let client = connect(&url).await;
    let mut done: HashMap<ArticleId, u32> = HashMap::new();
    let mut count = |result: Result<nerd::store::Completion, StoreError>| {
        for id in result.unwrap().done {
            *done.entry(id).or_default() += 1;
        }
    };
    let expire = "UPDATE nerd.leases SET leased_until = now() - interval '1 second' WHERE token = $1";
    loop {
        let batch = claim(&store, drawn(1, 40)).await;
        if batch.articles.is_empty() {
            store.sweep().await.unwrap();
            let left: i64 = client.query_one("SELECT count(*) FROM nerd.jobs WHERE state <> 'quarantined'", &[]).await.unwrap().get(0);
            if left == 0 {
                return done;
            }
            client.execute("UPDATE nerd.jobs SET run_at = now() WHERE state = 'pending' AND run_at > now()", &[]).await.unwrap();
            continue;
        }
        let (first, second) = batch.articles.split_at(batch.articles.len() / 2);
        match drawn(0, 5) {
            0 => count(store.complete(batch.token, support::version(), &annotated(&batch.articles)).await),
            1 => {
                let (one, other) = (annotated(first), annotated(second));
                let (one, other) = tokio::join!(
                    store.complete(batch.token, support::version(), &one),
                    store.complete(batch.token, support::version(), &other)
                );
                count(one);
                count(other);
            }
            2 => {
                let (completed, released) = (annotated(first), ids(second));
                let (completed, released) =
                    tokio::join!(store.complete(batch.token, support::version(), &completed), store.release(batch.token, &released));
                count(completed);
                released.unwrap();
            }
            3 => {
                let (completed, all) = (annotated(first), support::reusable(&batch.articles));
                let (completed, copied) = tokio::join!(
                    store.complete(batch.token, support::version(), &completed),
                    store.reuse(batch.token, support::version(), &all)
                );
                count(completed);
                count(copied);
                count(store.complete(batch.token, support::version(), &annotated(&batch.articles)).await);
            }
            4 => {
                let rejection = Rejection { article: batch.articles[0].clone(), error: "no".to_owned(), weight: 0 };
                store.reject(batch.token, &[rejection]).await.unwrap();
                count(store.complete(batch.token, support::version(), &annotated(&batch.articles)).await);
            }
            _ => {
                client.execute(expire, &[&batch.token.0]).await.unwrap();
                let (late, tokens) = (annotated(&batch.articles), [batch.token]);
                let (late, swept, renewed) =
                    tokio::join!(store.complete(batch.token, support::version(), &late), store.sweep(), store.renew(&tokens, LEASE));
                count(late);
                swept.unwrap();
                renewed.unwrap();
                count(store.complete(batch.token, support::version(), &annotated(&batch.articles)).await);
            }
        }
    }
}

#[tokio::test]
async fn many_processes_complete_each_article_once() {
    const ARTICLES: usize = 1_500;
    let database = queue(ARTICLES).await;
    let mut options = database.options();
    options.retry.max_crashes = 1_000;
    options.retry.max_attempts = 1_000;
    let processes = (0..4).map(|number| {
        let claimant = nerd::store::Claimant { boot_id: uuid::Uuid::new_v4(), host: format!("host-{number}") };
        tokio::spawn(work(Arc::new(PostgresStore::new(&options, claimant).unwrap()), database.url.clone()))
    });
    let mut all: HashMap<ArticleId, u32> = HashMap::new();
    for done in futures_util::future::join_all(processes).await {
        for (id, times) in done.unwrap() {
            *all.entry(id).or_default() += times;
        }
    }
    assert_eq!(all.len(), ARTICLES);
    assert!(all.values().all(|times| *times == 1), "each once");
    assert_eq!(database.count("article_entities").await as usize, ARTICLES, "one row an article: the sentinel");
    assert_eq!(database.count("nerd.jobs").await, 0);
    // A lease that two settled at once stays behind; its end takes it away.
    database.client.execute("UPDATE nerd.leases SET leased_until = now() - interval '1 second'", &[]).await.unwrap();
    let swept = database.store().sweep().await.unwrap();
    assert_eq!((swept.returned, swept.quarantined), (0, 0));
    assert_eq!(database.count("nerd.leases").await, 0);
}

/// The sweep comes first by a hair: the completion waits for it, and finds its lease lost.
#[tokio::test]
async fn a_completion_that_meets_the_sweep_loses() {
    let database = queue(3).await;
    let store = database.store();
    let batch = claim(&store, 3).await;
    let sweeper = connect(&database.url).await;
    sweeper.batch_execute("UPDATE nerd.leases SET leased_until = now() - interval '1 second'; BEGIN").await.unwrap();
    assert_eq!(sweeper.query_one(&store.statements().sweep, &[&1_000i32]).await.unwrap().get::<_, i64>("returned"), 3);
    let late = annotated(&batch.articles);
    let (completion, ()) = tokio::join!(store.complete(batch.token, support::version(), &late), async {
        somebody_waits(&database).await;
        sweeper.batch_execute("COMMIT").await.unwrap();
    });
    let completion = completion.unwrap();
    assert_eq!((completion.done.len(), completion.lease_lost.len()), (0, 3));
    assert_eq!(database.count("article_entities").await, 0);
    assert_eq!(database.count("nerd.jobs WHERE state = 'pending' AND token IS NULL AND crashes = 1").await, 3);
}

/// The completion comes first: the sweep passes its lease over without waiting, and there is nothing left of it afterwards.
#[tokio::test]
async fn a_sweep_that_meets_a_completion_passes_it_over() {
    let database = queue(3).await;
    let store = database.store();
    let batch = claim(&store, 3).await;
    let completing = connect(&database.url).await;
    completing.batch_execute("UPDATE nerd.leases SET leased_until = now() - interval '1 second'; BEGIN").await.unwrap();
    completing.execute("SELECT 1 FROM nerd.leases WHERE token = $1 FOR UPDATE", &[&batch.token.0]).await.unwrap();
    assert_eq!(store.sweep().await.unwrap(), nerd::store::SweepOutcome::default());
    completing.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.complete(batch.token, support::version(), &annotated(&batch.articles)).await.unwrap().done.len(), 3);
    assert_eq!(database.count("nerd.leases").await, 0);
}

/// A heartbeat or another piece of the same batch comes first by a hair: whoever settles waits, and then goes on with what is left.
#[tokio::test]
async fn settlements_that_meet_each_other_go_on_with_the_rest() {
    let database = queue(600).await;
    let store = database.store();
    // The oldest hundred are done; left are those that share their texts.
    let oldest = claim(&store, 100).await;
    store.complete(oldest.token, support::version(), &annotated(&oldest.articles)).await.unwrap();
    database.client.execute("DELETE FROM nerd.jobs WHERE substr(article_id, 2)::int > 100", &[]).await.unwrap();
    let other = connect(&database.url).await;
    let heartbeat = &store.statements().renew;
    for kind in ["complete", "release", "reject", "reuse"] {
        for piece in [false, true] {
            let batch = claim(&store, 6).await;
            assert_eq!(batch.articles.len(), 6, "{kind}");
            other.batch_execute("BEGIN").await.unwrap();
            if piece {
                let first = vec![batch.articles[0].id.as_str()];
                other.query(&store.statements().release, &[&batch.token.0, &first]).await.unwrap();
            } else {
                other.execute(heartbeat, &[&vec![batch.token.0], &60_000f64]).await.unwrap();
            }
            let settling = async {
                match kind {
                    "complete" => store.complete(batch.token, support::version(), &annotated(&batch.articles)).await.unwrap().done.len(),
                    "release" => store.release(batch.token, &ids(&batch.articles)).await.unwrap() as usize,
                    "reuse" => store.reuse(batch.token, support::version(), &support::reusable(&batch.articles)).await.unwrap().done.len(),
                    _ => {
                        let rejections: Vec<Rejection> = batch
                            .articles
                            .iter()
                            .map(|article| Rejection { article: article.clone(), error: "no".to_owned(), weight: 0 })
                            .collect();
                        store.reject(batch.token, &rejections).await.unwrap().retried.len()
                    }
                }
            };
            let (settled, ()) = tokio::join!(settling, async {
                somebody_waits(&database).await;
                other.batch_execute("COMMIT").await.unwrap();
            });
            assert_eq!(settled, 6 - usize::from(piece), "{kind}, piece: {piece}");
            assert_eq!(database.count("nerd.jobs WHERE state = 'leased'").await, 0, "{kind}, piece: {piece}");
            // Its end takes away what two settled at once.
            database.client.execute("UPDATE nerd.leases SET leased_until = now() - interval '1 second'", &[]).await.unwrap();
            assert_eq!(store.sweep().await.unwrap(), nerd::store::SweepOutcome::default());
            assert_eq!(database.count("nerd.leases").await, 0);
        }
    }
}

/// A claim never waits: neither for what another claim has locked, nor for a settlement that is under way.
#[tokio::test]
async fn a_claim_takes_what_nobody_holds() {
    let database = queue(30).await;
    let store = database.store();
    let first = claim(&store, 5).await;
    let other = connect(&database.url).await;
    other.batch_execute("BEGIN").await.unwrap();
    let locked =
        other.query("SELECT article_id FROM nerd.jobs WHERE state = 'pending' ORDER BY run_at LIMIT 10 FOR UPDATE", &[]).await.unwrap();
    let locked: Vec<&str> = locked.iter().map(|row| row.get(0)).collect();
    let batch = claim(&store, 100).await;
    assert_eq!(batch.articles.len(), 15);
    assert!(batch.articles.iter().all(|article| !locked.contains(&article.id.as_str()) && !ids(&first.articles).contains(&article.id)));
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(claim(&store, 100).await.articles.len(), 10);
}

/// The job of an article that somebody took out of the queue by hand is lost to its claim, and to nobody else's.
#[tokio::test]
async fn a_job_deleted_meanwhile_is_lost_alone() {
    let database = queue(3).await;
    let store = database.store();
    let batch = claim(&store, 3).await;
    database.client.execute("DELETE FROM nerd.jobs WHERE article_id = $1", &[&batch.articles[1].id.as_str()]).await.unwrap();
    let completion = store.complete(batch.token, support::version(), &annotated(&batch.articles)).await.unwrap();
    assert_eq!((completion.done.len(), completion.lease_lost), (2, vec![batch.articles[1].id.clone()]));
    assert_eq!(database.count("article_entities").await, 2);
    assert_eq!(database.count("nerd.leases").await, 0);
}

/// Only the claim's own commit is relaxed, and what it does not lease it does not send.
#[tokio::test]
async fn a_claim_relaxes_its_own_commit_and_sends_its_own_texts() {
    let database = queue(3).await;
    let long = "x".repeat(3 << 20);
    database.client.execute("UPDATE articles SET text = $1", &[&long]).await.unwrap();
    let client = connect(&database.url).await;
    client.batch_execute("SET synchronous_commit = local; SET timezone = 'UTC'").await.unwrap();
    let shown = async || client.query_one("SHOW synchronous_commit", &[]).await.unwrap().get::<_, String>(0);
    let (token, boot) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let store = database.store();
    client.batch_execute("BEGIN").await.unwrap();
    let rows = client
        .query(&store.statements().claim, &[&token, &boot, &"host", &10i64, &60_000f64, &(4i64 << 20), &"-infinity", &"", &true])
        .await
        .unwrap();
    assert_eq!(shown().await, "off");
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(shown().await, "local");
    let sent: Vec<(bool, bool)> = rows.iter().map(|row| (row.get("leased"), row.get::<_, Option<&str>>("text").is_some())).collect();
    assert_eq!(sent, [(true, true), (true, true), (false, false)]);
}
