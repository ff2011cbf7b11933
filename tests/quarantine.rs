//! `nerd quarantine` on the real program: what it lists, for which source and since when, and how it counts reasons.

mod support;

use serde_json::Value;
use support::database::Database;
use support::process::nerd;

fn printed(database: &Database, arguments: &[&str]) -> String {
    let output = nerd(&database.url, &[&["quarantine"], arguments].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn listed(database: &Database, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(database, &[arguments, &["--json"]].concat())).unwrap()
}

fn names(listed: &Value) -> Vec<&str> {
    listed["articles"].as_array().unwrap().iter().map(|article| article["article_id"].as_str().unwrap()).collect()
}

/// Five articles in quarantine, an hour between two of them, and one that waits.
async fn filled() -> Database {
    let database = Database::migrated(true).await;
    for (hours, name, source, error) in [
        (1, "newest", "gazette", "'logits are not finite'"),
        (2, "second", "herald", "'the engine took longer than 60 s'"),
        (3, "third", "gazette", "'the engine took longer than 60 s'"),
        (4, "fourth", "herald", "'the engine took longer than 60 s'"),
        (30, "oldest", "herald", "NULL"),
    ] {
        database.article_of(source, name, Some("text"), Some("c"), "extracted").await;
        let sql = format!(
            "UPDATE nerd.jobs SET state = 'quarantined', quarantined_at = now() - {hours} * interval '1 hour', error = {error}, attempts = 5
             WHERE article_id = '{name}'"
        );
        database.client.batch_execute(&sql).await.unwrap();
    }
    database.article_of("gazette", "waits", Some("text"), Some("c"), "extracted").await;
    database
}

#[tokio::test]
async fn articles_and_reasons_are_listed() {
    let database = filled().await;
    let all = listed(&database, &[]);
    assert_eq!(names(&all), ["newest", "second", "third", "fourth", "oldest"]);
    assert_eq!(all["total"], 5);
    let reasons: Vec<_> = all["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| (reason["error"].as_str(), reason["articles"].as_u64().unwrap(), reason["sources"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        reasons,
        [(Some("the engine took longer than 60 s"), 3, 2), (Some("logits are not finite"), 1, 1), (None, 1, 1)],
        "the commonest first"
    );
    assert_eq!((all["articles"][0]["source"].as_str(), all["articles"][0]["attempts"].as_u64()), (Some("gazette"), Some(5)));

    assert_eq!(names(&listed(&database, &["--source", "gazette"])), ["newest", "third"]);
    assert_eq!(names(&listed(&database, &["--since", "150m"])), ["newest", "second"]);
    assert_eq!(names(&listed(&database, &["--source", "herald", "--since", "24h"])), ["second", "fourth"]);
    let two = listed(&database, &["--limit", "2"]);
    assert_eq!((names(&two), two["total"].as_u64(), two["reasons"].as_array().unwrap().len()), (vec!["newest", "second"], Some(5), 3));
    let none = listed(&database, &["--source", "gazett"]);
    assert_eq!((names(&none).len(), none["total"].as_u64()), (0, Some(0)));
}

#[tokio::test]
async fn people_read_it_as_tables() {
    let database = filled().await;
    let shown = printed(&database, &["--limit", "2"]);
    assert!(shown.starts_with("5 in quarantine\n"), "{shown}");
    assert!(shown.contains("the latest 2; --limit 5 shows all") && shown.contains("nerd retry"), "{shown}");
    assert!(shown.contains("newest") && !shown.contains("oldest") && !shown.contains("waits"), "{shown}");
    // A reason for each article is no table of its own.
    let shown = printed(&database, &["--source", "gazette", "--since", "24h"]);
    assert!(shown.starts_with("2 of gazette of the last 1day in quarantine\n") && !shown.contains("│ sources"), "{shown}");
    assert_eq!(printed(&database, &["--source", "gazett"]), "nothing of gazett is in quarantine\n");
}
