//! `nerd parity`, the real binary and model on a real PostgreSQL: what it says, and that it leaves no trace.

mod support;

use serde_json::Value;
use support::database::Database;
use support::process::nerd;

const THEIRS: &str = "spacy-en_core_web_sm-3.8.7";

/// An article with rows of the replaced step: a business by a keyword within a word, a date rescued by a shop's name, a sentinel.
async fn taken_over() -> Database {
    let database = Database::migrated(true).await;
    database.article("a", "Ann Lee of the Barbara Foundation came to Columbia on Friday.").await;
    database.article("b", "it rained").await;
    database.article_of("herald", "c", Some("Ann Lee left."), Some("c"), "extracted").await;
    let rows = format!(
        "INSERT INTO article_entities (id, article_id, entity_text, entity_norm, entity_label, osm_category, extractor_version, match_name, created_at) VALUES
            ('1', 'a', 'Ann Lee', 'ann lee', 'PERSON', 'person', '{THEIRS}', NULL, now()),
            ('2', 'a', 'the Barbara Foundation', 'the barbara foundation', 'ORG', 'business', '{THEIRS}', NULL, now()),
            ('3', 'a', 'Friday', 'friday', 'DATE', 'business', '{THEIRS}', 'Friday', now()),
            ('4', 'b', '__NO_ENTITIES_FOUND__', '__no_entities_found__', 'SENTINEL', NULL, '{THEIRS}', NULL, now()),
            ('5', 'c', 'Ann Lee', 'ann lee', 'PERSON', 'person', '{THEIRS}', NULL, now());
         INSERT INTO sources (id, host, host_norm) VALUES ('s-gazette', 'g', 'g');
         INSERT INTO datasets (id, slug, label, ingested_at) VALUES ('d', 'd', 'd', now());
         INSERT INTO gazetteer (id, name, category, source_id, dataset_id) VALUES ('g', 'Friday', 'businesses', 's-gazette', 'd')"
    );
    database.client.batch_execute(&rows).await.unwrap();
    database
}

async fn trace(database: &Database) -> String {
    let sql = "SELECT concat_ws(' ', (SELECT string_agg(e::text || e.xmin, ',' ORDER BY id) FROM article_entities e),
        (SELECT string_agg(j::text || j.xmin, ',' ORDER BY article_id) FROM nerd.jobs j), (SELECT count(*) FROM nerd.leases),
        (SELECT count(*) FROM nerd.model_loads), (SELECT string_agg(d::text || d.xmin, ',' ORDER BY walk) FROM nerd.discovery d))";
    database.client.query_one(sql, &[]).await.unwrap().get(0)
}

fn run(database: &Database, arguments: &[&str]) -> Value {
    let output = nerd(&database.url, &[&["parity", "--json", "--precision", "f32", "--workers", "1"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn it_shows_what_would_change_and_writes_nothing() {
    let database = taken_over().await;
    let before = trace(&database).await;
    let report = run(&database, &[]);
    assert_eq!(trace(&database).await, before);
    assert_eq!((report["articles"].as_u64(), report["standing_versions"][THEIRS].as_u64()), (Some(3), Some(5)));
    let rules = &report["strict_to_mended"];
    let change = |comparison: &Value, kind: &str, label: &str| {
        let all = comparison["changes"].as_array().unwrap();
        all.iter().find(|change| change["kind"] == kind && change["label"] == label).cloned().unwrap_or(Value::Null)
    };
    let renamed = change(rules, "category", "ORG");
    assert_eq!((renamed["from"].as_str(), renamed["to"].as_str()), (Some("business"), Some("institution")), "{report:#}");
    assert!(renamed["examples"][0].as_str().unwrap().contains("Barbara Foundation"), "{renamed}");
    assert_eq!(change(rules, "gone", "DATE")["examples"][0], "Friday", "a date is rescued by a shop's name under their rules only: {report:#}");
    assert_eq!(rules["labels"]["PERSON"]["same"], 2);
    assert_eq!(report["standing_to_mended"]["labels"]["PERSON"]["same"], 2);
    assert_eq!(change(&report["standing_to_mended"], "new", "LOC")["examples"][0], "Columbia");
    assert!(report["standing_to_mended"]["labels"].get("SENTINEL").is_none());
    let herald = run(&database, &["--source", "herald"]);
    assert_eq!((herald["articles"].as_u64(), &herald["standing_to_mended"]["labels"]["PERSON"]["same"]), (Some(1), &Value::from(1)));
    assert_eq!(run(&database, &["--limit", "2"])["articles"], 2);
}

#[tokio::test]
async fn it_is_readable_and_says_when_there_is_nothing_to_compare() {
    let database = taken_over().await;
    let output = nerd(&database.url, &["parity", "--precision", "f32", "--workers", "1"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["3 articles; rows that stand", THEIRS, "the rules alone", "the model alone", "Barbara Foundation", "other category"] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    let nothing = nerd(&database.url, &["parity", "--source", "nobody"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("no article of nobody has rows"), "{}", String::from_utf8_lossy(&nothing.stderr));
}
