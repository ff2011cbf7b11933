//! From the schema of an earlier nerd to this one's, with a queue that is at work.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use nerd::domain::{AnnotatedArticle, ArticleId, ClaimToken};
use nerd::store::postgres::migrate::{self, SchemaState};
use nerd::store::{ArticleStore, ClaimRequest};
use refinery::Target;
use support::database::{Database, connect};
use uuid::Uuid;

mod earlier {
    refinery::embed_migrations!("migrations");
}

/// The host's tables, and the schema `nerd` as its first version left it.
async fn first_version() -> Database {
    let database = Database::migrated(false).await;
    database.client.batch_execute("DROP SCHEMA nerd CASCADE; CREATE SCHEMA nerd").await.unwrap();
    let mut runner = earlier::migrations::runner().set_target(Target::Version(1));
    runner.set_migration_table_name("nerd.schema_history");
    runner.run_async(&mut connect(&database.url).await).await.unwrap();
    assert_eq!(migrate::schema_state(&database.options()).await.unwrap(), SchemaState::Old(1));
    database
}

/// Pending, leased together, leased alone, failed before, quarantined: as the first version's statements wrote them.
async fn filled() -> (Database, Uuid) {
    let database = first_version().await;
    for id in ["pending", "leased", "leased-too", "alone", "failed", "quarantined"] {
        database.article(id, "Ann Lee met the council.").await;
        database.enqueue(id).await;
    }
    let token = Uuid::new_v4();
    let lease = "UPDATE nerd.jobs SET state = 'leased', token = $1, boot_id = gen_random_uuid(), holder = 'old-host', alone = $3,
        leased_until = now() + interval '1 hour', crashes = $4 WHERE article_id = ANY ($2)";
    database.client.execute(lease, &[&token, &vec!["leased", "leased-too"], &false, &1i32]).await.unwrap();
    database.client.execute(lease, &[&Uuid::new_v4(), &vec!["alone"], &true, &2i32]).await.unwrap();
    database
        .client
        .batch_execute(
            "UPDATE nerd.jobs SET attempts = 1, error = 'once', run_at = now() - interval '1 minute' WHERE article_id = 'failed';
             UPDATE nerd.jobs SET attempts = 9, error = 'never', state = 'quarantined', quarantined_at = now() WHERE article_id = 'quarantined'",
        )
        .await
        .unwrap();
    (database, token)
}

#[tokio::test]
async fn a_queue_at_work_is_upgraded() {
    let (database, old_token) = filled().await;
    let options = database.options();
    let error = migrate::refuse_unless_current(migrate::schema_state(&options).await.unwrap()).unwrap_err();
    assert!(error.to_string().contains("version 1") && error.to_string().contains("nerd migrate"), "{error}");
    assert_eq!(migrate::migrate(&options, false, true).await.unwrap().applied, ["V2 leases", "V3 pauses", "V4 places", "V5 plain_lists"]);
    assert_eq!(migrate::schema_state(&options).await.unwrap(), SchemaState::Current);

    // What was leased waits again, its history kept.
    let rows = database.client.query("SELECT article_id, state, attempts, crashes, error FROM nerd.jobs", &[]).await.unwrap();
    let found: BTreeMap<String, (String, i32, i32, Option<String>)> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4)))).collect();
    let expected = [
        ("alone", "pending", 0, 2, None),
        ("failed", "pending", 1, 0, Some("once")),
        ("leased", "pending", 0, 1, None),
        ("leased-too", "pending", 0, 1, None),
        ("pending", "pending", 0, 0, None),
        ("quarantined", "quarantined", 9, 0, Some("never")),
    ];
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(id, state, attempts, crashes, error)| {
            ((*id).to_owned(), ((*state).to_owned(), *attempts, *crashes, error.map(str::to_owned)))
        })
        .collect();
    assert_eq!(found, expected);
    let store = database.store();
    let backlog = store.backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.leased, backlog.quarantined), (5, 0, 1));

    // The claims of before close nothing; suspects come alone, the others together, each once.
    assert_eq!(store.release(ClaimToken(old_token), &[ArticleId::new("leased")]).await.unwrap(), 0);
    let mut batches = Vec::new();
    loop {
        let batch = store.claim(&ClaimRequest { limit: 10, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap();
        if batch.articles.is_empty() {
            break;
        }
        let annotated: Vec<AnnotatedArticle> =
            batch.articles.iter().map(|article| AnnotatedArticle { article: article.clone(), mentions: vec![], gazetteer: None }).collect();
        let late = store.complete(ClaimToken(old_token), support::version(), &annotated).await.unwrap();
        assert_eq!((late.done.len(), late.lease_lost.len()), (0, annotated.len()));
        assert_eq!(store.complete(batch.token, support::version(), &annotated).await.unwrap().done.len(), annotated.len());
        batches.push(batch.articles.iter().map(|article| article.id.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(batches, [vec!["alone"], vec!["failed"], vec!["pending", "leased", "leased-too"]]);
    assert_eq!(database.count("nerd.jobs").await, 1);
    assert_eq!(store.retry(None).await.unwrap(), ["quarantined"]);
}

/// A daemon of the first version that was not stopped: what it holds is lost to it, and it writes nothing.
#[tokio::test]
async fn a_daemon_left_running_completes_nothing() {
    let (database, old_token) = filled().await;
    migrate::migrate(&database.options(), false, false).await.unwrap();
    // Its completion begins so, and writes the rows of what this deletes.
    let close = "DELETE FROM nerd.jobs WHERE article_id = ANY ($2) AND state = 'leased' AND token = $1";
    assert_eq!(database.client.execute(close, &[&old_token, &vec!["leased", "leased-too"]]).await.unwrap(), 0);
    let claim = "UPDATE nerd.jobs SET state = 'leased', token = $1, boot_id = $1, leased_until = now() WHERE article_id = 'pending'";
    assert_eq!(database.client.execute(claim, &[&old_token]).await.unwrap_err().code().unwrap().code(), "42703");
}
