//! The real binary, the real model, a real PostgreSQL.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use support::articles::{hard, samples};
use support::database::Database;
use support::process::{Daemon, binary, nerd, until};
use tokio::net::{TcpListener, TcpStream};

const LONG: Duration = Duration::from_secs(240);

/// What a run leaves behind, apart from the random ids and the time.
async fn rows(database: &Database) -> BTreeSet<(String, String, String, String, String)> {
    let sql = "SELECT article_id, entity_text, entity_norm, entity_label, meta::text FROM article_entities";
    let rows = database.client.query(sql, &[]).await.unwrap();
    let count = rows.len();
    let set: BTreeSet<_> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))).collect();
    assert_eq!(set.len(), count, "a row twice");
    set
}

async fn filled(trigger: bool) -> Database {
    let database = Database::migrated(trigger).await;
    for (name, text) in samples() {
        database.article(&name, &text).await;
    }
    database
}

async fn done(database: &Database) -> bool {
    database.count("nerd.jobs").await == 0
        && database.count("articles a WHERE NOT EXISTS (SELECT 1 FROM article_entities e WHERE e.article_id = a.id)").await == 0
}

#[tokio::test]
async fn every_article_gets_its_rows_and_the_weights_are_read_once() {
    let database = filled(true).await;
    for (name, text) in support::articles::hard().into_iter().filter(|(name, _)| name != "200000-words") {
        database.article(&name, &text.replace('\0', "")).await;
    }
    let mut daemon = Daemon::start(&database.url, &["--workers", "2"]);
    until("every article done", LONG, || done(&database)).await;
    let per_article = database.count("(SELECT article_id FROM article_entities GROUP BY article_id) AS x").await;
    assert_eq!(per_article, database.count("articles").await);
    assert_eq!(database.count("article_entities WHERE article_id = 'empty' AND entity_label = 'SENTINEL'").await, 1);
    assert!(database.count("article_entities WHERE entity_label = 'PERSON'").await > 60);
    assert_eq!(
        database
            .count("(SELECT article_id, entity_norm, entity_label FROM article_entities GROUP BY 1, 2, 3 HAVING count(*) > 1) AS x")
            .await,
        0
    );

    // A late article is seen by its notification.
    database.article("late", "Ann Lee came to Columbia.").await;
    until("the late article", LONG, || done(&database)).await;

    assert_eq!(daemon.metric("nerd_model_weight_reads_total"), Some(1.0));
    for worker in 0..2 {
        assert_eq!(daemon.metric(&format!("nerd_model_loads_total{{worker=\"{worker}\",reason=\"startup\"}}")), Some(1.0));
        assert_eq!(daemon.metric(&format!("nerd_model_loads_total{{worker=\"{worker}\",reason=\"restart\"}}")), Some(0.0));
    }
    assert_eq!(daemon.metric("nerd_articles_total{outcome=\"done\"}"), Some(database.count("articles").await as f64));
    assert!(daemon.metric("nerd_memory_baseline_bytes").unwrap() > 1e7);
    assert!(daemon.metric("nerd_stage_duration_seconds_count{stage=\"infer\"}").unwrap() >= 1.0);
    let (status, ready) = daemon.get("/readyz").unwrap();
    assert_eq!(status, 200, "{ready}");
    assert_eq!(daemon.get("/livez").unwrap().0, 200);
    assert_eq!(daemon.get("/anything-else").unwrap().0, 404);

    // No child was ever spawned.
    for task in std::fs::read_dir(format!("/proc/{}/task", daemon.child.id())).unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        assert_eq!(children.trim(), "");
    }
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0), "{}", daemon.log());
    let log = daemon.log();
    assert_eq!((log.matches("weights read").count(), log.matches("model loaded").count()), (1, 2), "{log}");
    assert!(!log.contains("Ann Lee") && !log.contains("test:"), "neither text nor password in the log");

    let receipt = nerd(&database.url, &["prove-loads", "--json"]);
    assert!(receipt.status.success(), "{}", String::from_utf8_lossy(&receipt.stdout));
    let receipt: serde_json::Value = serde_json::from_slice(&receipt.stdout).unwrap();
    assert_eq!((receipt["verdict"]["passed"].as_bool(), receipt["processes"][0]["startup"].as_u64()), (Some(true), Some(2)));
}

#[tokio::test]
async fn killed_and_restarted_it_leaves_the_rows_of_an_undisturbed_run() {
    let (undisturbed, disturbed) = (filled(false).await, filled(true).await);
    let output = nerd(&undisturbed.url, &["extract", "--precision", "f32", "--workers", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(done(&undisturbed).await, "without the trigger, the walks found them all");

    let short = ["--workers", "1", "--set", "claim.lease=1s", "--set", "claim.batch_articles=8", "--set", "claim.poll_interval=50ms"];
    for kill in 1..=3 {
        let mut daemon = Daemon::start(&disturbed.url, &short);
        let before = disturbed.count("article_entities").await;
        until("some progress", LONG, || async { disturbed.count("article_entities").await > before }).await;
        daemon.signal("KILL");
        assert_eq!(daemon.wait(Duration::from_secs(5)), None, "kill number {kill}");
    }
    let mut daemon = Daemon::start(&disturbed.url, &short);
    until("every article done", LONG, || done(&disturbed)).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0));
    assert_eq!(rows(&undisturbed).await, rows(&disturbed).await);
}

#[tokio::test]
async fn a_drain_gives_back_what_had_not_begun() {
    let database = filled(true).await;
    let mut daemon = Daemon::start(&database.url, &["--workers", "1", "--set", "claim.batch_articles=10"]);
    until("some progress", LONG, || async { database.count("article_entities").await > 0 }).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0), "{}", daemon.log());
    assert_eq!(database.count("nerd.jobs WHERE state <> 'pending' OR attempts > 0 OR crashes > 0").await, 0);
    assert!(database.count("nerd.jobs").await > 0, "it was stopped before the end");
}

/// Between daemon and database, to be opened and closed.
struct Proxy {
    address: std::net::SocketAddr,
    open: tokio::sync::watch::Sender<bool>,
}

impl Proxy {
    async fn to(url: &str, open: bool) -> (Self, String) {
        let target = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = tokio::sync::watch::channel(open);
        let through = url.replace(&target, &address.to_string());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut receiver, target) = (receiver.clone(), target.clone());
                tokio::spawn(async move {
                    if !*receiver.borrow() {
                        return;
                    }
                    let mut server = TcpStream::connect(&target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = receiver.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        (Self { address, open: sender }, through)
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_waited_for_and_the_model_stays() {
    let database = filled(true).await;
    let (proxy, url) = Proxy::to(&database.url, false).await;
    let mut daemon = Daemon::start(&url, &["--workers", "1", "--set", "claim.lease=2s", "--set", "database.connect_timeout=1s"]);
    until("not ready, and says why", LONG, || async {
        daemon.get("/readyz").is_some_and(|(status, body)| status == 503 && body.contains("database is away"))
    })
    .await;
    assert_eq!(daemon.get("/livez").unwrap().0, 200, "a restart would not mend the database");
    assert_eq!(daemon.metric("nerd_in_flight_articles"), Some(0.0));
    proxy.open.send(true).unwrap();
    until("some progress", LONG, || async { database.count("article_entities").await > 0 }).await;
    proxy.open.send(false).unwrap();
    until("away again", LONG, || async { daemon.get("/readyz").is_some_and(|(_, body)| body.contains("database is away")) }).await;
    assert!(daemon.child.try_wait().unwrap().is_none(), "it lives");
    proxy.open.send(true).unwrap();
    until("every article done", LONG, || done(&database)).await;
    until("ready again", LONG, || async { daemon.get("/readyz").is_some_and(|(status, _)| status == 200) }).await;
    assert_eq!(daemon.metric("nerd_model_weight_reads_total"), Some(1.0));
    assert_eq!(daemon.metric("nerd_model_loads_total{worker=\"0\",reason=\"restart\"}"), Some(0.0));
    assert!(daemon.metric("nerd_db_errors_total{kind=\"connect\"}").unwrap() > 0.0);
    assert_ne!(proxy.address.port(), 0);
}

#[tokio::test]
async fn extract_takes_a_limit_and_a_source() {
    let database = Database::migrated(false).await;
    for number in 0..6 {
        let source = if number % 2 == 0 { "gazette" } else { "herald" };
        database.article_of(source, &format!("{source}-{number}"), Some("Ann Lee came to Columbia."), Some("c"), "cleaned").await;
    }
    let extract = |arguments: &'static [&'static str]| {
        let output = nerd(&database.url, &[&["extract", "--workers", "1"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(extract(&["--limit", "2", "--source", "herald"]).starts_with("2 done"));
    assert_eq!(database.count("nerd.jobs WHERE source = 'herald'").await, 1);
    assert_eq!(database.count("nerd.jobs WHERE source = 'gazette'").await, 3);
    assert!(extract(&[]).starts_with("4 done"));
    assert!(extract(&[]).starts_with("0 done"));
}

/// Two articles of one text: one inference, by way of the database, of the process's memory, or, both switched off, two.
#[tokio::test]
async fn the_same_text_is_inferred_once() {
    let rows_of = "SELECT row_to_json(r)::text FROM (
        SELECT article_text_hash, entity_text, entity_norm, entity_label, osm_category, osm_subcategory, extractor_version, confidence,
            matched_gazetteer_id, match_score, match_name, meta::text
        FROM article_entities WHERE article_id = $1 ORDER BY entity_norm, entity_label) AS r";
    let (_, text) = samples().swap_remove(0);
    for (memory, copied) in [(true, true), (true, false), (false, true), (false, false)] {
        let database = Database::migrated(true).await;
        let switches = [format!("reuse.memory_bytes={}", if memory { "16MB" } else { "0" }), format!("reuse.database={copied}")];
        let mut daemon = Daemon::start(&database.url, &["--workers", "1", "--set", &switches[0], "--set", &switches[1]]);
        database.article("first", &text).await;
        until("the first", LONG, || done(&database)).await;
        until("it is counted", LONG, || async { daemon.metric("nerd_articles_total{outcome=\"done\"}") == Some(1.0) }).await;
        let tokens = daemon.metric("nerd_tokens_total{kind=\"content\"}").unwrap();
        assert!(tokens > 10.0);
        database.article("second", &text).await;
        until("the second", LONG, || done(&database)).await;
        until("it is counted", LONG, || async { daemon.metric("nerd_articles_total{outcome=\"done\"}") == Some(2.0) }).await;
        let expected = if memory || copied { tokens } else { 2.0 * tokens };
        assert_eq!(daemon.metric("nerd_tokens_total{kind=\"content\"}"), Some(expected), "{switches:?}");
        assert_eq!(daemon.metric("nerd_cache_hits_total{kind=\"database\"}"), Some(f64::from(u8::from(copied))), "{switches:?}");
        assert_eq!(daemon.metric("nerd_cache_hits_total{kind=\"memory\"}"), Some(f64::from(u8::from(memory && !copied))), "{switches:?}");
        let mut rows = Vec::new();
        for id in ["first", "second"] {
            let found = database.client.query(rows_of, &[&id]).await.unwrap();
            rows.push(found.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>());
        }
        assert!(!rows[0].is_empty());
        assert_eq!(rows[0], rows[1], "{switches:?}");
        assert_eq!(database.count("(SELECT DISTINCT id FROM article_entities) AS x").await, 2 * rows[0].len() as i64);
        daemon.signal("TERM");
        assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0), "{}", daemon.log());
    }
}

#[tokio::test]
async fn operators_commands_work() {
    let database = Database::empty().await;
    let run = nerd(&database.url, &["run", "--set", "http.address="]);
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("run `nerd migrate` first"), "{}", String::from_utf8_lossy(&run.stderr));
    let migrated = nerd(&database.url, &["migrate", "--with-host-tables", "--with-trigger", "--json"]);
    assert!(migrated.status.success());
    let check = nerd(&database.url, &["check"]);
    let shown = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{shown}{}", String::from_utf8_lossy(&check.stderr));
    assert!(shown.contains("database.url") && shown.contains("(hidden)") && shown.contains("environment DATABASE_URL"), "{shown}");
    let password = database.url.split(':').nth(2).unwrap().split('@').next().unwrap();
    assert!(!shown.contains(password));
    database.article("bad", "text").await;
    database.client.batch_execute("UPDATE nerd.jobs SET state = 'quarantined', quarantined_at = now(), error = 'why'").await.unwrap();
    let status: serde_json::Value = serde_json::from_slice(&nerd(&database.url, &["status", "--json"]).stdout).unwrap();
    assert_eq!((status["quarantined"].as_u64(), status["quarantine"][0]["error"].as_str()), (Some(1), Some("why")));
    assert!(String::from_utf8_lossy(&nerd(&database.url, &["status"]).stdout).contains("why"));
    assert_eq!(nerd(&database.url, &["retry", "unknown"]).status.code(), Some(1));
    assert!(nerd(&database.url, &["retry", "bad"]).status.success());
    assert_eq!(database.count("nerd.jobs WHERE state = 'pending'").await, 1);
    assert_eq!(nerd(&database.url, &["health", "--set", "http.address=127.0.0.1:9"]).status.code(), Some(1));
}

#[test]
fn a_wrong_configuration_lists_every_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nerd.toml");
    std::fs::write(&file, "[claim]\nbatch_artices = 3\nlease = true\n[engine]\nworkers = 9999\n").unwrap();
    let output = binary().args(["run", "--config", file.to_str().unwrap()]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in ["3 errors", "batch_artices", "claim.lease", "engine.workers", "nerd.toml"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn a_wrong_model_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/news-ner");
    let complain = |change: &dyn Fn(&std::path::Path), expected: &[&str]| {
        let copy = directory.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir(&copy).unwrap();
        for file in std::fs::read_dir(&model).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
            std::fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
        }
        change(&copy);
        let output = binary().args(["annotate", "-", "--model", copy.to_str().unwrap()]).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        for part in expected {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    };
    complain(&|copy| std::fs::remove_file(copy.join("model.safetensors")).unwrap(), &["model.safetensors", "missing"]);
    complain(
        &|copy| {
            let weights = std::fs::read(copy.join("model.safetensors")).unwrap();
            std::fs::write(copy.join("model.safetensors"), &weights[..1_000_000]).unwrap();
        },
        &["model.safetensors", "truncated"],
    );
    complain(
        &|copy| {
            let mut weights = std::fs::read(copy.join("model.safetensors")).unwrap();
            *weights.last_mut().unwrap() ^= 1;
            std::fs::write(copy.join("model.safetensors"), &weights).unwrap();
        },
        &["model.safetensors", "sha256"],
    );
    complain(&|copy| std::fs::remove_file(copy.join("config.json")).unwrap(), &["config.json", "missing"]);
    let edit = |copy: &std::path::Path, change: &dyn Fn(&mut serde_json::Value)| {
        std::fs::remove_file(copy.join("manifest.json")).unwrap();
        let path = copy.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(&path, config.to_string()).unwrap();
    };
    complain(&|copy| edit(copy, &|config| drop(config.as_object_mut().unwrap().remove("id2label"))), &["config.json", "label map"]);
    complain(&|copy| edit(copy, &|config| config["model_type"] = "gpt2".into()), &["config.json", "unknown architecture \"gpt2\""]);
    let missing = binary().args(["annotate", "-", "--model", "/no/such/model"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such/model"));
}

#[test]
fn annotate_names_a_broken_line_and_goes_on() {
    let mut child = binary().args(["annotate", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let input =
        "{\"id\": \"a\", \"text\": \"Ann Lee lives in Columbia.\"}\nnot json\n\n{\"id\": 7, \"text\": \"\"}\n{\"id\": \"no text\"}\n";
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("line 2:") && told.contains("line 5:"), "{told}");
    let lines: Vec<serde_json::Value> =
        output.stdout.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0]["id"].as_str(), lines[1]["id"].as_u64()), (Some("a"), Some(7)));
    let entity = &lines[0]["entities"][0];
    assert_eq!(
        (entity["text"].as_str(), entity["label"].as_str(), entity["start"].as_u64(), entity["end"].as_u64()),
        (Some("Ann Lee"), Some("PERSON"), Some(0), Some(7))
    );
    assert!(lines[1]["entities"].as_array().unwrap().is_empty());
}

/// A memory, where it is asked for, changes no line; the text that repeats is answered all the same.
#[test]
fn annotate_gives_the_same_with_a_memory() {
    let (_, text) = samples().swap_remove(0);
    let input: String = [text.as_str(), "Ann Lee lives in Columbia.", &text, &text]
        .iter()
        .map(|text| serde_json::json!({ "text": text }).to_string() + "\n")
        .collect();
    let answer = |arguments: &[&str]| {
        let mut child = binary().args(["annotate", "-"]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = answer(&["--precision", "f32"]);
    assert_eq!(plain.lines().count(), 4);
    let remembered = answer(&["--precision", "f32", "--reuse"]);
    for (plain, remembered) in plain.lines().zip(remembered.lines()) {
        let entities = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["entities"].as_array().unwrap().clone();
        let (plain, remembered) = (entities(plain), entities(remembered));
        assert_eq!(plain.len(), remembered.len());
        for (mut plain, mut remembered) in plain.into_iter().zip(remembered) {
            // In f32 libtorch may choose another order of sums where a batch has other texts.
            let (one, other) = (plain["score"].take().as_f64().unwrap(), remembered["score"].take().as_f64().unwrap());
            assert!((one - other).abs() < 1e-5, "{one} and {other}");
            assert_eq!(plain, remembered);
        }
    }
}

#[test]
fn annotate_takes_every_hard_text() {
    for (name, text) in hard() {
        let mut child = binary().args(["annotate", "-", "--input", "jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let line = serde_json::json!({ "id": name, "text": text }).to_string();
        let mut input = child.stdin.take().unwrap();
        std::thread::spawn(move || input.write_all(line.as_bytes()));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let characters: Vec<char> = text.chars().collect();
        for entity in answer["entities"].as_array().unwrap() {
            let (start, end) = (entity["start"].as_u64().unwrap() as usize, entity["end"].as_u64().unwrap() as usize);
            assert_eq!(entity["text"].as_str().unwrap(), characters[start..end].iter().collect::<String>(), "{name}");
        }
        if name == "200000-words" {
            assert!(answer["entities"].as_array().unwrap().len() > 10_000, "nothing was cut");
        }
    }
}
