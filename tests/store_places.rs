//! Where an article and its link lay is a hint of the queue: looked at first, believed never.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use nerd::store::{ArticleStore, ClaimRequest};
use support::database::Database;

const ARTICLES: [&str; 3] = ["a", "b", "c"];

/// Three articles, each of a source of its own, and an empty queue.
async fn filled() -> Database {
    let database = Database::migrated(false).await;
    for id in ARTICLES {
        database.article_of(&format!("source-{id}"), id, Some(&format!("text of {id}")), Some("c"), "extracted").await;
    }
    database
}

/// Text and source of every article in the queue.
async fn claimed(database: &Database) -> BTreeMap<String, (String, String)> {
    let request = ClaimRequest { limit: 10, lease: Duration::from_secs(60), source: None, suspects: true };
    let batch = database.store().claim(&request).await.unwrap();
    batch.articles.into_iter().map(|article| (article.id.to_string(), (article.text.to_string(), article.source))).collect()
}

fn expected() -> BTreeMap<String, (String, String)> {
    ARTICLES.map(|id| (id.to_owned(), (format!("text of {id}"), format!("source-{id}")))).into()
}

/// Jobs that know where their article and its link lie.
async fn placed(database: &Database) -> i64 {
    let jobs = "nerd.jobs j JOIN articles a ON a.id = j.article_id AND a.ctid = j.article_place
        JOIN candidate_links l ON l.id = a.candidate_link_id AND l.ctid = j.link_place";
    database.count(jobs).await
}

#[tokio::test]
async fn both_walks_say_where_articles_lie() {
    let database = filled().await;
    assert_eq!(database.store().discover().await.unwrap(), 3);
    assert_eq!(placed(&database).await, 3);
    database.client.batch_execute("DELETE FROM nerd.jobs").await.unwrap();
    assert_eq!(database.store().reconcile_chunk(Duration::ZERO).await.unwrap(), Some(3));
    assert_eq!(placed(&database).await, 3);
    assert_eq!(claimed(&database).await, expected());
}

#[tokio::test]
async fn the_trigger_says_where_the_link_lies() {
    let database = Database::migrated(true).await;
    database.article("a", "text").await;
    assert_eq!(database.count("nerd.jobs j JOIN candidate_links l ON l.id = 'link-a' AND l.ctid = j.link_place").await, 1);
    assert_eq!(database.count("nerd.jobs WHERE article_place IS NULL").await, 1);
    assert_eq!(claimed(&database).await.len(), 1);
}

#[tokio::test]
async fn what_lies_elsewhere_now_is_found_by_its_key() {
    for moved in [
        // A new version of the row lies elsewhere; what lay there is dead, or cleared.
        "UPDATE articles SET status = 'labeled'; UPDATE candidate_links SET status = 'done'",
        "UPDATE articles SET status = 'labeled' WHERE id = 'a'; UPDATE candidate_links SET status = 'done' WHERE id = 'link-a';
            VACUUM FULL articles; VACUUM FULL candidate_links",
        // Another row lies there.
        "UPDATE nerd.jobs SET article_place = (SELECT ctid FROM articles WHERE id = 'b'),
            link_place = (SELECT ctid FROM candidate_links WHERE id = 'link-b')",
        // No row ever lay there; the table is not as long; nobody knew.
        "UPDATE nerd.jobs SET article_place = '(0,200)', link_place = '(0,200)'",
        "UPDATE nerd.jobs SET article_place = '(4294967294,1)', link_place = '(70000,1)'",
        "UPDATE nerd.jobs SET article_place = NULL, link_place = NULL",
    ] {
        let database = filled().await;
        assert_eq!(database.store().discover().await.unwrap(), 3);
        for statement in moved.split(';') {
            database.client.batch_execute(statement).await.unwrap();
        }
        assert_ne!(placed(&database).await, 3, "{moved}");
        assert_eq!(claimed(&database).await, expected(), "{moved}");
    }
}

/// An article that another link was given to meanwhile has the source of that one.
#[tokio::test]
async fn the_link_is_the_one_that_the_article_has_now() {
    let database = filled().await;
    assert_eq!(database.store().discover().await.unwrap(), 3);
    // In place, as it were: the article's hint is right, the link's is that of another row.
    let sql = "UPDATE articles SET candidate_link_id = 'link-c' WHERE id = 'a';
        UPDATE nerd.jobs SET article_place = (SELECT ctid FROM articles WHERE id = 'a') WHERE article_id = 'a'";
    database.client.batch_execute(sql).await.unwrap();
    assert_eq!(claimed(&database).await["a"].1, "source-c");
}
