//! `nerd explain` and `nerd replay` on a real PostgreSQL with the real models: what they say is so, and they write nothing.

mod support;

use serde_json::Value;
use support::articles::samples;
use support::database::Database;
use support::process::nerd;

/// The host's rows and ours, down to the transaction that wrote them.
async fn fingerprint(database: &Database) -> String {
    let sql = "SELECT md5(concat(
        (SELECT string_agg(e::text || e.xmin, ',' ORDER BY id) FROM article_entities e), (SELECT string_agg(a.id || a.xmin, ',' ORDER BY id) FROM articles a),
        (SELECT string_agg(j::text || j.xmin, ',' ORDER BY article_id) FROM nerd.jobs j), (SELECT count(*) FROM nerd.leases),
        (SELECT count(*) FROM nerd.model_loads)))";
    database.client.query_one(sql, &[]).await.unwrap().get(0)
}

fn json(database: &Database, arguments: &[&str]) -> Value {
    let output = nerd(&database.url, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn shown(database: &Database, arguments: &[&str], code: i32) -> String {
    let output = nerd(&database.url, arguments);
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

fn slice(text: &str, start: &Value, end: &Value) -> String {
    let (start, end) = (start.as_u64().unwrap() as usize, end.as_u64().unwrap() as usize);
    text.chars().skip(start).take(end - start).collect()
}

#[tokio::test]
async fn an_article_is_explained_step_by_step() {
    let database = Database::migrated(true).await;
    let (name, text) = samples().into_iter().max_by_key(|(_, text)| text.len()).unwrap();
    database.article(&name, &text).await;
    let place = "INSERT INTO gazetteer (id, name, category, source_id, dataset_id) SELECT 'g1', $1, 'government', 's-gazette', NULL";
    let before = json(&database, &["explain", &name, "--json"]);
    assert_eq!((before["job"]["state"].as_str(), before["rows"].as_array().unwrap().len()), (Some("pending"), 0));
    let mentions = before["run"]["mentions"].as_array().unwrap();
    assert!(mentions.len() > 3, "{before}");
    for mention in mentions {
        assert_eq!(slice(&text, &mention["start"], &mention["end"]), mention["text"].as_str().unwrap());
    }
    // Every code point that is read lies in one window, in order.
    let windows = before["run"]["windows"].as_array().unwrap();
    assert!(windows.len() > 1, "{windows:?}");
    for pair in windows.windows(2) {
        assert!(pair[0]["end"].as_u64() <= pair[1]["start"].as_u64());
        let between = slice(&text, &pair[0]["end"], &pair[1]["start"]);
        assert!(between.trim().is_empty(), "{between:?} is in no window");
    }
    for stage in ["load", "decode", "tokenize", "infer"] {
        assert!(before["run"]["seconds"][stage].as_f64().unwrap() > 0.0, "{stage}: {}", before["run"]["seconds"]);
    }
    assert!(before["run"]["decoded"].is_null() && before["run"]["gazetteer_rows"].is_null());

    // What it says would be found is what the daemon writes.
    assert!(nerd(&database.url, &["extract"]).status.success());
    let organisation = mentions.iter().find(|mention| mention["label"] == "ORG" || mention["label"] == "FAC").unwrap();
    database.client.execute("INSERT INTO datasets (id, slug, label, ingested_at) VALUES ('d', 'd', 'd', now())", &[]).await.unwrap();
    database.client.execute("INSERT INTO sources (id, host, host_norm) VALUES ('s-gazette', 'h', 'h')", &[]).await.unwrap();
    database.client.execute(&place.replace("NULL", "'d'"), &[&organisation["text"].as_str().unwrap()]).await.unwrap();
    let untouched = fingerprint(&database).await;
    let after = json(&database, &["explain", &name, "--json"]);
    assert!(after["job"].is_null() && after["stands"][0].as_str().unwrap().starts_with("done"), "{after}");
    assert_eq!(after["run"]["gazetteer_rows"], 1);
    assert!(after["run"]["mentions"].as_array().unwrap().iter().any(|mention| mention["match"]["id"] == "g1"), "{after}");
    let rows = after["rows"].as_array().unwrap();
    assert!(rows.len() > 2 && rows.iter().all(|row| row["extractor_version"] == after["run"]["extractor_version"]));
    for row in rows {
        let named = mentions.iter().any(|mention| mention["text"] == row["text"] && mention["label"] == row["label"]);
        assert!(named, "{row} was not foretold");
    }
    let told = shown(&database, &["explain", &name], 0);
    for part in ["done: it has rows", "words in", "milliseconds: load", "gazetteer of 1 rows", " ORG]", "mentions make"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = shown(&database, &["explain", &name, "--no-run"], 0);
    assert!(told.contains("done: it has rows") && !told.contains("milliseconds"), "{told}");
    assert_eq!(fingerprint(&database).await, untouched);
}

#[tokio::test]
async fn where_an_article_stands_is_told_in_words() {
    let database = Database::migrated(true).await;
    let told = |id: &str, code: i32| shown(&database, &["explain", id, "--no-run"], code);
    assert!(told("none", 1).contains("no article none"));
    for id in ["waits", "fails", "held", "hidden"] {
        database.article(id, "Ann Lee met the council.").await;
    }
    database.article_of("gazette", "empty", None, None, "error").await;
    let store = database.store();
    let batch = nerd::store::ArticleStore::claim(
        store.as_ref(),
        &nerd::store::ClaimRequest { limit: 1, lease: std::time::Duration::from_secs(60), source: None, suspects: true },
    )
    .await
    .unwrap();
    let held = batch.articles[0].id.to_string();
    let client = &database.client;
    let sql = "UPDATE nerd.jobs SET state = 'quarantined', quarantined_at = now(), attempts = 5, error = 'it would not' WHERE article_id = 'fails'";
    client.batch_execute(sql).await.unwrap();
    client.batch_execute("UPDATE nerd.jobs SET run_at = now() + interval '1 hour', attempts = 2 WHERE article_id = 'held'").await.unwrap();
    client.batch_execute("DELETE FROM nerd.jobs WHERE article_id = 'hidden'").await.unwrap();
    let leased = told(&held, 0);
    assert!(leased.contains("leased by test-host") && leased.contains("one of 1 of its claim"), "{leased}");
    let quarantined = told("fails", 0);
    assert!(
        quarantined.contains("nerd retry fails") && quarantined.contains("last error: it would not") && quarantined.contains("5 failed")
    );
    assert!(told("held", 0).contains("not before") && told("held", 0).contains("tried alone from now on"));
    assert!(told("hidden", 0).contains("not in the queue"));
    let empty = told("empty", 0);
    assert!(empty.contains("content is NULL, text is NULL, status is 'error'"), "{empty}");
    assert!(nerd(&database.url, &["pause", "--source", "gazette", "--reason", "rubbish"]).status.success());
    assert!(told("held", 0).contains("PAUSED: gazette since"), "{}", told("held", 0));
    assert!(shown(&database, &["explain", "empty"], 0).contains("no rows"), "without a text nothing is read");
}

#[tokio::test]
async fn another_model_is_compared_in_the_shadow() {
    let database = Database::migrated(true).await;
    for (name, text) in samples().into_iter().take(12) {
        database.article(&name, &text).await;
    }
    database.article("plain", "nothing at all is named here.").await;
    assert!(nerd(&database.url, &["extract"]).status.success());
    let untouched = fingerprint(&database).await;
    let report = json(&database, &["replay", "--profile", "fast", "--since", "1h", "--json"]);
    assert_eq!((report["articles"].as_u64(), report["failed"].as_u64()), (Some(13), Some(0)), "{report}");
    let labels = report["labels"].as_object().unwrap();
    let sum = |key: &str| labels.values().map(|counts| counts[key].as_u64().unwrap()).sum::<u64>();
    let standing = database.count("article_entities WHERE entity_label <> 'SENTINEL'").await as u64;
    assert_eq!(sum("before"), standing, "every row that stands is compared");
    assert_eq!(sum("same") + sum("moved") + sum("relabelled") + sum("removed"), standing);
    assert!(sum("same") * 2 > standing, "two models of one kin agree in the main: {report}");
    assert!(report["changes"].as_array().unwrap().iter().any(|change| !change["examples"].as_array().unwrap().is_empty()), "and differ");
    let told = shown(&database, &["replay", "--profile", "fast", "--since", "1h", "--limit", "3"], 0);
    assert!(told.contains("3 articles") && told.contains("relabelled"), "{told}");
    // The very model that wrote the rows has nothing else to be compared with; nor is anything that young.
    assert!(shown(&database, &["replay", "--since", "1h"], 1).contains("by another model"));
    assert!(shown(&database, &["replay", "--profile", "fast", "--since", "0s"], 1).contains("no article was done"));
    assert!(shown(&database, &["replay", "--profile", "fast", "--since", "1h", "--source", "herald"], 1).contains("no article was done"));
    assert_eq!(fingerprint(&database).await, untouched);
}
