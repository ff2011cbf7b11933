//! Pauses on the real program: the order of one process, heeded by another that is at work.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::articles::samples;
use support::database::Database;
use support::process::{Daemon, nerd, until};

const LONG: Duration = Duration::from_secs(240);
const CLAIMS: &str = "nerd_stage_duration_seconds_count{stage=\"claim\"}";
const EVERYTHING: &str = "nerd_paused{scope=\"everything\"}";

fn printed(database: &Database, arguments: &[&str], code: i32) -> String {
    let output = nerd(&database.url, arguments);
    let (out, error) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{error}");
    out + &error
}

/// Several claims that begin after this was called.
async fn several_claims(daemon: &Daemon) {
    let before = daemon.metric(CLAIMS).unwrap();
    until("several claims", LONG, || async { daemon.metric(CLAIMS).unwrap() > before + 4.0 }).await;
}

#[tokio::test]
async fn a_running_daemon_pauses_and_resumes() {
    let database = Database::migrated(true).await;
    let polls = ["--set", "claim.poll_interval=50ms", "--set", "claim.idle_poll_interval=50ms"];
    let mut daemon = Daemon::start(&database.url, &[&["--workers", "1"][..], &polls].concat());
    until("ready", LONG, || async { daemon.get("/readyz").is_some_and(|(status, _)| status == 200) }).await;
    let told = printed(&database, &["pause", "--reason", "index build"], 0);
    assert!(told.contains("everything paused") && told.contains("nerd resume"), "{told}");
    assert!(printed(&database, &["pause"], 0).contains("was paused already"));
    until("the gauge", LONG, || async { daemon.metric(EVERYTHING) == Some(1.0) }).await;
    let (status, body) = daemon.get("/readyz").unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["pauses"][0]["reason"].as_str()), (200, Some("index build")), "{body}");

    let articles = samples();
    for (name, text) in articles.iter().take(4) {
        database.article(name, text).await;
    }
    several_claims(&daemon).await;
    assert_eq!((database.count("nerd.jobs WHERE state = 'pending'").await, database.count("article_entities").await), (4, 0));
    let status = printed(&database, &["status"], 0);
    assert!(status.contains("PAUSED: everything since") && status.contains("index build"), "{status}");
    let status: Value = serde_json::from_str(&printed(&database, &["status", "--json"], 0)).unwrap();
    assert_eq!((status["pauses"][0]["source"].is_null(), status["pending"].as_u64()), (true, Some(4)), "{status}");
    // Nor does a batch job go past it.
    let job = printed(&database, &["extract"], 0);
    assert!(job.contains("0 done") && job.contains("paused, not claimed until"), "{job}");

    assert!(printed(&database, &["resume"], 0).contains("everything resumed"));
    until("every article done", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    until("the gauge", LONG, || async { daemon.metric(EVERYTHING) == Some(0.0) }).await;
    assert!(printed(&database, &["resume"], 1).contains("is not paused"));
    assert_eq!(daemon.metric("nerd_model_weight_reads_total"), Some(1.0), "no restart");

    // One source: the others go on.
    let told = printed(&database, &["pause", "--source", "herald"], 0);
    assert!(told.contains("no article of herald is in the queue"), "{told}");
    for (place, (name, text)) in articles.iter().skip(4).take(6).enumerate() {
        database.article_of(if place % 2 == 0 { "herald" } else { "gazette" }, name, Some(text), Some("c"), "extracted").await;
    }
    until("the other source's articles", LONG, || async { database.count("nerd.jobs WHERE source = 'gazette'").await == 0 }).await;
    several_claims(&daemon).await;
    assert_eq!(database.count("nerd.jobs WHERE source = 'herald' AND state = 'pending'").await, 3);
    assert!(printed(&database, &["resume"], 1).contains("still paused: herald"));
    assert!(printed(&database, &["resume", "--source", "herald"], 0).contains("herald resumed"));
    until("every article done", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0), "{}", daemon.log());
    assert!(
        daemon.log().contains("paused, not claimed until") && daemon.log().contains("resumed: it is claimed again"),
        "{}",
        daemon.log()
    );
}
