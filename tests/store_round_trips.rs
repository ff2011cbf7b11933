//! How often the daemon waits for the database.

mod support;

use std::time::Duration;

use nerd::domain::{AnnotatedArticle, Entity};
use nerd::store::postgres::{PostgresStore, StoreOptions};
use nerd::store::{ArticleStore, ClaimRequest, Claimant};
use support::database::Database;
use support::process::nerd;
use support::proxy::counting;
use uuid::Uuid;

/// Short articles, all in the queue.
async fn queue(articles: usize) -> Database {
    let database = Database::migrated(true).await;
    let sql = format!(
        "INSERT INTO candidate_links (id, url, source, discovered_at, status) VALUES ('l', 'https://example.test/l', 'gazette', now(), 'article');
         INSERT INTO articles (id, candidate_link_id, status, created_at, extracted_at, content, text, text_hash)
         SELECT 'a' || n, 'l', 'extracted', now(), now() AT TIME ZONE 'UTC' - n * interval '1 second', 'c', text, md5(text)
         FROM generate_series(1, {articles}) AS n CROSS JOIN LATERAL (SELECT 'Ann Lee met council ' || n || ' of Boone County.' AS text) AS made"
    );
    database.client.batch_execute(&sql).await.unwrap();
    database
}

/// The store's own count of its waits is what the wire shows, and a steady run needs few of them.
#[tokio::test]
async fn a_steady_run_waits_for_the_server_once_in_ten_articles_at_most() {
    let database = queue(3_000).await;
    let (url, answers) = counting(&database.url).await;
    let options = StoreOptions { url: nerd::settings::Secret::new(url.clone()), ..database.options() };
    let store = PostgresStore::new(&options, Claimant { boot_id: Uuid::new_v4(), host: "test-host".to_owned() }).unwrap();
    let (mut articles, mut first_batch) = (0, 0);
    for round in 0..10 {
        let batch = store.claim(&ClaimRequest { limit: 64, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap();
        articles += batch.articles.len() as u64;
        // What the keeper does every ten to twenty seconds, here with every other batch.
        if round % 2 == 0 {
            store.renew(&[batch.token], Duration::from_secs(60)).await.unwrap();
            store.sweep().await.unwrap();
            store.backlog().await.unwrap();
        }
        assert_eq!(store.reuse(batch.token, support::version(), &support::reusable(&batch.articles)).await.unwrap().done.len(), 0);
        let entity = Entity { text: "Ann Lee".to_owned(), label: "PERSON".into(), start: 0, end: 7, score: 0.9 };
        let annotated: Vec<AnnotatedArticle> = batch
            .articles
            .iter()
            .map(|article| AnnotatedArticle { article: article.clone(), mentions: vec![entity.clone().into()], gazetteer: None })
            .collect();
        assert_eq!(store.complete(batch.token, support::version(), &annotated).await.unwrap().done.len(), batch.articles.len());
        if round == 0 {
            first_batch = store.round_trips();
        }
    }
    assert_eq!(articles, 640);
    assert_eq!(store.round_trips(), answers.statements(), "counted by the store, and on the wire");
    // Preparing is done once a connection.
    let steady = (store.round_trips() - first_batch) as f64 / (articles - 64) as f64;
    println!("{steady} round trips an article");
    assert!(steady <= 0.08, "{steady} round trips an article");

    // The real daemon to the end of the queue, start and everything else counted. One worker: of two, an idle one takes half of the
    // last batch in the line, which is then committed in two parts, the more often the busier the machine (`make bench` counts those).
    let before = answers.statements();
    // Beside the proxy, which lives on this runtime.
    let run = tokio::task::spawn_blocking(move || nerd(&url, &["extract", "--workers", "1"])).await.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(database.count("nerd.jobs").await, 0);
    let trips = (answers.statements() - before) as f64 / 2_360.0;
    println!("{trips} round trips an article of a whole run");
    assert!(trips <= 0.1, "{trips} round trips an article of a whole run");
}
