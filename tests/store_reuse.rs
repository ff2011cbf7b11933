//! Copies of rows on a real PostgreSQL: what exactly is copied, and every twin that is none.

mod support;

use std::time::Duration;

use nerd::domain::{AnnotatedArticle, ArticleId, Batch, Entity, ExtractorVersion, GazetteerMatch, GazetteerVersion, Mention, Origin};
use nerd::store::{ArticleStore, ClaimRequest, Reusable};
use support::database::{Database, connect};

async fn claim(store: &dyn ArticleStore, limit: u32) -> Batch {
    store.claim(&ClaimRequest { limit, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap()
}

fn entity(text: &str, label: &str, start: usize) -> Entity {
    Entity { text: text.to_owned(), label: label.into(), start, end: start + text.chars().count(), score: 0.75 }
}

/// The whole row but for its id, article and time, by article.
async fn copies(database: &Database, article: &str) -> Vec<String> {
    let sql = "SELECT row_to_json(r)::text FROM (
            SELECT article_text_hash, entity_text, entity_norm, entity_label, osm_category, osm_subcategory, extractor_version, confidence,
                matched_gazetteer_id, match_score, match_name, meta
            FROM article_entities WHERE article_id = $1 ORDER BY entity_norm, entity_label) AS r";
    database.client.query(sql, &[&article]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Claims what there is and finds an entity in each.
async fn complete_all(store: &dyn ArticleStore) {
    let batch = claim(store, 100).await;
    let annotated: Vec<AnnotatedArticle> = batch
        .articles
        .iter()
        .map(|article| AnnotatedArticle {
            article: article.clone(),
            mentions: vec![entity("Ann Lee", "PERSON", 0).into(), entity("Boone County", "LOC", 11).into()],
            gazetteer: None,
        })
        .collect();
    assert_eq!(store.complete(batch.token, support::version(), &annotated).await.unwrap().done.len(), annotated.len());
}

/// Claims what there is and says what was copied.
async fn reuse_all(store: &dyn ArticleStore) -> Vec<String> {
    let batch = claim(store, 100).await;
    let completion = store.reuse(batch.token, support::version(), &support::reusable(&batch.articles)).await.unwrap();
    let mut done: Vec<String> = completion.done.iter().map(ToString::to_string).collect();
    done.sort();
    done
}

const WIRE: &str = "Ann Lee of Boone County";

#[tokio::test]
async fn a_copy_is_the_twins_rows_but_for_id_article_and_time() {
    let database = Database::migrated(true).await;
    let store = database.store();
    database.article("a", WIRE).await;
    complete_all(store.as_ref()).await;
    database.client.batch_execute("UPDATE article_entities SET created_at = created_at - interval '1 day'").await.unwrap();
    // Rows of others beside the twin's are not ours to copy.
    let theirs = "INSERT INTO article_entities (id, article_id, article_text_hash, entity_text, extractor_version, created_at)
        SELECT 'theirs', id, text_hash, 'x', 'spacy', now() FROM articles";
    database.client.execute(theirs, &[]).await.unwrap();
    database.article_of("herald", "b", Some(WIRE), Some("c"), "extracted").await;
    assert_eq!(reuse_all(store.as_ref()).await, ["b"]);
    let (original, copy) = (copies(&database, "a").await, copies(&database, "b").await);
    assert_eq!(copy.len(), 2);
    assert_eq!(copy, original[..2], "theirs, without a norm, is the last");
    assert_eq!(database.count("article_entities WHERE article_id = 'b' AND id ~ '^[0-9a-f-]{36}$'").await, 2);
    let fresh = "article_entities WHERE article_id = 'b' AND created_at BETWEEN (now() AT TIME ZONE 'UTC') - interval '1 minute' AND now() AT TIME ZONE 'UTC'";
    assert_eq!(database.count(fresh).await, 2);
    assert_eq!(database.count("nerd.jobs").await, 0);
}

#[tokio::test]
async fn the_sentinel_is_copied() {
    let database = Database::migrated(true).await;
    let store = database.store();
    database.article("a", "nothing").await;
    let batch = claim(store.as_ref(), 1).await;
    store
        .complete(
            batch.token,
            support::version(),
            &[AnnotatedArticle { article: batch.articles[0].clone(), mentions: vec![], gazetteer: None }],
        )
        .await
        .unwrap();
    database.article("b", "nothing").await;
    assert_eq!(reuse_all(store.as_ref()).await, ["b"]);
    assert_eq!(database.count("article_entities WHERE article_id = 'b' AND entity_label = 'SENTINEL'").await, 1);
    assert_eq!(copies(&database, "a").await, copies(&database, "b").await);
}

#[tokio::test]
async fn rows_of_another_version_are_not_copied() {
    let database = Database::migrated(true).await;
    database.article("a", WIRE).await;
    complete_all(database.store().as_ref()).await;
    database.article("b", WIRE).await;
    let store = database.store();
    let batch = claim(store.as_ref(), 100).await;
    let newer = ExtractorVersion::new("nerd-newer");
    assert!(store.reuse(batch.token, &newer, &support::reusable(&batch.articles)).await.unwrap().done.is_empty());
    assert_eq!(database.count("nerd.jobs WHERE state = 'leased'").await, 1);
}

/// A row is right only where the same gazetteer is, matched or not.
#[tokio::test]
async fn rows_are_copied_only_where_the_same_gazetteer_is() {
    let database = Database::migrated(true).await;
    let store = database.store();
    database.client.execute("INSERT INTO gazetteer (id, name) VALUES ('g', 'Boone County')", &[]).await.unwrap();
    let version = |text: &str| Some(GazetteerVersion(text.into()));
    for (id, text, found) in [("a", WIRE, true), ("b", "nothing", false)] {
        database.article(id, text).await;
        let batch = claim(store.as_ref(), 1).await;
        let matched = GazetteerMatch { id: "g".into(), name: "Boone County".into(), score: 1.0, category: None };
        let mention = Mention { origin: Origin::Both, matched: Some(matched), ..entity("Boone County", "LOC", 11).into() };
        let mentions = if found { vec![entity("Ann Lee", "PERSON", 0).into(), mention] } else { vec![] };
        let annotated = AnnotatedArticle { article: batch.articles[0].clone(), mentions, gazetteer: version("1-aa") };
        store.complete(batch.token, support::version(), &[annotated]).await.unwrap();
    }
    let cases =
        [("same", WIRE, version("1-aa")), ("other", WIRE, version("1-ab")), ("none", WIRE, None), ("sentinel", "nothing", version("1-aa"))];
    for (id, text, _) in &cases {
        database.article(id, text).await;
    }
    let batch = claim(store.as_ref(), 10).await;
    let asked: Vec<Reusable> =
        cases.iter().map(|(id, _, gazetteer)| Reusable { id: ArticleId::new(*id), gazetteer: gazetteer.clone() }).collect();
    let completion = store.reuse(batch.token, support::version(), &asked).await.unwrap();
    assert_eq!(completion.done, [ArticleId::new("same")]);
    assert_eq!(copies(&database, "same").await, copies(&database, "a").await);
    assert_eq!(database.count("article_entities WHERE article_id = 'same' AND matched_gazetteer_id = 'g'").await, 1);
}

#[tokio::test]
async fn a_twin_of_mixed_rows_or_back_in_the_queue_is_none() {
    let database = Database::migrated(true).await;
    let store = database.store();
    for id in ["mixed", "queued"] {
        database.article(id, WIRE).await;
        complete_all(store.as_ref()).await;
        let spoil = match id {
            "mixed" => "UPDATE article_entities SET article_text_hash = NULL WHERE article_id = 'mixed' AND entity_label = 'LOC'",
            _ => "INSERT INTO nerd.jobs (article_id, source, run_at) VALUES ('queued', 'gazette', now() + interval '1 hour')",
        };
        database.client.batch_execute(spoil).await.unwrap();
        let next = format!("after-{id}");
        database.article(&next, WIRE).await;
        assert!(reuse_all(store.as_ref()).await.is_empty(), "{id}");
        database.client.batch_execute("DELETE FROM nerd.jobs; DELETE FROM article_entities").await.unwrap();
    }
}

/// What has rows of this version already is replaced by the usual way, and does not fail its neighbours.
#[tokio::test]
async fn rows_that_came_meanwhile_are_left_to_the_completion() {
    let database = Database::migrated(true).await;
    let store = database.store();
    database.article("a", WIRE).await;
    complete_all(store.as_ref()).await;
    database.article("b", WIRE).await;
    database.article("c", WIRE).await;
    let batch = claim(store.as_ref(), 10).await;
    let meanwhile = "INSERT INTO article_entities (id, article_id, entity_text, entity_norm, entity_label, extractor_version, created_at)
        VALUES ('m', 'b', 'Ann Lee', 'ann lee', 'PERSON', 'nerd-test', now())";
    database.client.execute(meanwhile, &[]).await.unwrap();
    let completion = store.reuse(batch.token, support::version(), &support::reusable(&batch.articles)).await.unwrap();
    assert_eq!((completion.done.len(), completion.done[0].as_str(), completion.rows), (1, "c", 2));
}

/// The lease is lost while the statement runs: it waits for the row, looks again, and writes nothing.
#[tokio::test]
async fn a_lease_lost_under_the_copy_writes_nothing() {
    let database = Database::migrated(true).await;
    let store = database.store();
    database.article("a", WIRE).await;
    complete_all(store.as_ref()).await;
    database.article("b", WIRE).await;
    let batch = claim(store.as_ref(), 1).await;
    let thief = connect(&database.url).await;
    thief.batch_execute("BEGIN; UPDATE nerd.jobs SET token = gen_random_uuid() WHERE article_id = 'b'").await.unwrap();
    let copying = tokio::spawn({
        let (store, ids) = (store.clone(), support::reusable(&batch.articles));
        async move { store.reuse(batch.token, support::version(), &ids).await }
    });
    support::process::until("the copy waits for the row", Duration::from_secs(20), || async {
        database
            .count("pg_stat_activity WHERE datname = current_database() AND application_name = 'nerd' AND wait_event_type = 'Lock'")
            .await
            == 1
    })
    .await;
    thief.batch_execute("COMMIT").await.unwrap();
    let completion = copying.await.unwrap().unwrap();
    assert_eq!((completion.done.len(), completion.lease_lost.len(), completion.rows), (0, 1, 0));
    assert_eq!(database.count("article_entities WHERE article_id = 'b'").await, 0);
    assert_eq!(database.count("nerd.jobs WHERE article_id = 'b' AND state = 'leased'").await, 1);
}

/// More rows of one hash than are looked at: the cost stays, and a twin among the first is still found.
#[tokio::test]
async fn a_text_of_very_many_articles_is_found_too() {
    let database = Database::migrated(true).await;
    let store = database.store();
    database.article("a", WIRE).await;
    complete_all(store.as_ref()).await;
    for number in 0..40 {
        database.article(&format!("b-{number}"), WIRE).await;
    }
    assert_eq!(reuse_all(store.as_ref()).await.len(), 40);
    assert_eq!(database.count("article_entities").await, 82);
    let many = "INSERT INTO article_entities (id, article_id, article_text_hash, entity_text, entity_norm, extractor_version, created_at)
        SELECT 'x' || n, 'b-39', (SELECT text_hash FROM articles WHERE id = 'a'), 'x', 'x' || n, 'nerd-test', now() FROM generate_series(1, 600) AS n";
    database.client.execute(many, &[]).await.unwrap();
    database.article("c", WIRE).await;
    assert_eq!(reuse_all(store.as_ref()).await, ["c"]);
}
