//! Experiments with one fault each, on the real program: what `make chaos` throws together, seen one by one.

mod faults;
mod support;

use std::time::Duration;

use faults::faulty_program;
use faults::link::{Link, Weather};
use support::articles::samples;
use support::database::Database;
use support::process::{Daemon, binary, until};

const LONG: Duration = Duration::from_secs(240);
const QUICK: [&str; 10] = [
    "--profile",
    "fast",
    "--set",
    "retry.base_delay=10ms",
    "--set",
    "claim.poll_interval=50ms",
    "--set",
    "claim.idle_poll_interval=200ms",
    "--set",
    "claim.lease=2s",
];

fn faulty(database: &Database, arguments: &[&str]) -> Daemon {
    Daemon::of(faulty_program(""), &database.url, &[&QUICK, arguments].concat())
}

/// Articles of a few words; the one in the middle holds the cue.
async fn with_culprit(count: usize, cue: &str) -> Database {
    let database = Database::migrated(true).await;
    for number in 0..count {
        let cue = if number == count / 2 { cue } else { "" };
        database.article(&format!("a{number:03}"), &format!("Ann Lee {number} came to Columbia. {cue}")).await;
    }
    database
}

async fn quarantined(database: &Database) -> Vec<(String, String)> {
    let rows = database.client.query("SELECT article_id, error FROM nerd.jobs WHERE state = 'quarantined'", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default())).collect()
}

/// Only the culprit is left, quarantined; its neighbours have their rows, once.
async fn assert_culprit_alone(database: &Database, count: usize, error: &str) {
    assert_eq!(database.count("nerd.jobs").await, 1);
    let left = quarantined(database).await;
    assert_eq!(left[0].0, format!("a{:03}", count / 2));
    assert!(left[0].1.contains(error), "{left:?}");
    assert_eq!(database.count("(SELECT DISTINCT article_id FROM article_entities) AS x").await, count as i64 - 1);
    let doubled = "(SELECT 1 FROM article_entities GROUP BY article_id, entity_norm, entity_label HAVING count(*) > 1) AS x";
    assert_eq!(database.count(doubled).await, 0);
}

async fn until_only_quarantine_is_left(database: &Database) {
    until("all but the culprit done", LONG, || async { database.count("nerd.jobs WHERE state <> 'quarantined'").await == 0 }).await;
}

#[tokio::test]
async fn one_poisoned_article_of_500_is_found_by_halving() {
    let database = with_culprit(500, "[[panic]]").await;
    let daemon = faulty(&database, &["--workers", "1", "--set", "claim.batch_articles=500", "--set", "retry.max_attempts=1"]);
    until_only_quarantine_is_left(&database).await;
    assert_culprit_alone(&database, 500, "panic of the test's engine").await;
    // 500 are halved nine times, then one is alone.
    let panics = daemon.metric("nerd_worker_failures_total{kind=\"panic\"}").unwrap();
    assert!((2.0..=10.0).contains(&panics), "{panics} failed calls");
    until("the pool at strength", LONG, || async { daemon.metric("nerd_workers{state=\"ready\"}") == Some(1.0) }).await;
    assert_eq!(daemon.metric("nerd_model_weight_reads_total"), Some(1.0));
    assert_eq!(daemon.metric("nerd_model_loads_total{worker=\"0\",reason=\"restart\"}"), Some(panics));
    assert!(daemon.get("/readyz").unwrap().1.contains("panic of the test's engine"), "the first fault is kept");
}

#[tokio::test]
async fn an_engine_that_errs_needs_no_new_one() {
    let database = with_culprit(40, "[[error]]").await;
    let daemon = faulty(&database, &["--workers", "2", "--set", "retry.max_attempts=2"]);
    until_only_quarantine_is_left(&database).await;
    assert_culprit_alone(&database, 40, "error of the test's engine").await;
    assert_eq!(daemon.metric("nerd_model_loads_total{worker=\"0\",reason=\"restart\"}"), Some(0.0));
    assert_eq!(daemon.metric("nerd_model_weight_reads_total"), Some(1.0));
}

#[tokio::test]
async fn a_stalled_thread_is_replaced_and_its_article_quarantined() {
    let database = with_culprit(20, "[[stall]]").await;
    let arguments = ["--workers", "2", "--set", "supervision.stall_timeout=3s", "--set", "retry.max_attempts=3"];
    let daemon = faulty(&database, &arguments);
    until_only_quarantine_is_left(&database).await;
    assert_culprit_alone(&database, 20, "no progress for 3 s").await;
    until("the pool at strength", LONG, || async { daemon.metric("nerd_workers{state=\"ready\"}") == Some(2.0) }).await;
    assert_eq!(daemon.metric("nerd_workers{state=\"stuck\"}"), Some(2.0), "once among others, once alone");
    assert_eq!(daemon.metric("nerd_model_weight_reads_total"), Some(1.0));
    assert_eq!(daemon.get("/livez").unwrap().0, 200);
}

#[tokio::test]
async fn too_many_stalled_threads_end_the_process_with_a_code_of_their_own() {
    let database = Database::migrated(true).await;
    for number in 0..3 {
        database.article(&format!("a{number}"), "Ann Lee [[stall]]").await;
    }
    let arguments = ["--workers", "1", "--set", "claim.batch_articles=1", "--set", "supervision.stall_timeout=1s"];
    let mut daemon = faulty(&database, &arguments);
    assert_eq!(daemon.wait(LONG), Some(71), "{}", daemon.log());
    let log = daemon.log();
    assert!(log.lines().last().unwrap().contains("more than there are workers"), "{log}");
}

#[tokio::test]
async fn an_article_that_kills_the_process_is_tried_alone_and_quarantined() {
    let database = with_culprit(20, "[[abort]]").await;
    let arguments = ["--workers", "1", "--set", "retry.max_crashes=1", "--set", "claim.batch_articles=8"];
    let mut deaths = 0;
    loop {
        let mut daemon = faulty(&database, &arguments);
        // As its orchestrator would: started again whenever it dies.
        let ended = loop {
            if database.count("nerd.jobs WHERE state <> 'quarantined'").await == 0 {
                break false;
            }
            if daemon.child.try_wait().unwrap().is_some() {
                break true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        if !ended {
            break;
        }
        deaths += 1;
        assert_eq!(daemon.wait(LONG), None, "a signal ended it");
        assert!(deaths <= 3, "in company twice, alone once");
    }
    assert_eq!(deaths, 3);
    assert_culprit_alone(&database, 20, "died while it worked on this article alone").await;
}

#[tokio::test]
async fn a_frozen_process_loses_to_the_next_and_says_so() {
    let database = Database::migrated(true).await;
    let long: String = samples().into_iter().map(|(_, text)| text + "\n").collect();
    for number in 0..4 {
        database.article(&format!("a{number}"), &format!("{long} {number}")).await;
    }
    let arguments = [&QUICK[..], &["--workers", "1", "--precision", "f32", "--set", "claim.batch_articles=2"]].concat();
    let mut frozen = Daemon::of(binary(), &database.url, &arguments);
    until("articles in flight", LONG, || async { database.count("nerd.leases").await > 0 }).await;
    frozen.signal("STOP");
    let mut next = Daemon::of(binary(), &database.url, &arguments);
    until("the next one did all", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    frozen.signal("CONT");
    until("it says that it lost", LONG, || async { frozen.log().contains("the lease was lost to a newer claim") }).await;
    assert!(frozen.metric("nerd_articles_total{outcome=\"lease_lost\"}").unwrap() >= 1.0);
    let doubled = "(SELECT 1 FROM article_entities GROUP BY article_id, entity_norm, entity_label HAVING count(*) > 1) AS x";
    assert_eq!(database.count(doubled).await, 0);
    for daemon in [&mut frozen, &mut next] {
        daemon.signal("TERM");
        assert_eq!(daemon.wait(LONG), Some(0));
    }
}

#[tokio::test]
async fn a_second_signal_forces_the_end() {
    let database = Database::migrated(true).await;
    database.article("a", "Ann Lee [[stall]]").await;
    let mut daemon = faulty(&database, &["--workers", "1"]);
    until("an article in flight", LONG, || async { database.count("nerd.leases").await > 0 }).await;
    daemon.signal("TERM");
    until("it drains", LONG, || async { daemon.log().contains("draining") }).await;
    assert!(daemon.child.try_wait().unwrap().is_none(), "the first signal lets the work end");
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(5)), Some(130));
}

#[tokio::test]
async fn a_signal_while_the_model_is_read_ends_it_cleanly() {
    let database = Database::migrated(true).await;
    database.article("a", "Ann Lee came to Columbia.").await;
    let mut daemon = Daemon::of(binary(), &database.url, &[]);
    until("its first words", LONG, || async { daemon.log().contains("nerd starts") }).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait(Duration::from_secs(30)), Some(0), "{}", daemon.log());
    assert_eq!(database.count("nerd.jobs WHERE state <> 'pending' OR attempts > 0 OR crashes > 0").await, 0);
}

#[tokio::test]
async fn an_unfit_schema_is_refused_by_name() {
    let database = Database::empty().await;
    let refused = |url: String| {
        let mut daemon = Daemon::of(binary(), &url, &["--profile", "fast"]);
        let code = daemon.wait(LONG);
        (code, daemon.log().lines().last().unwrap_or_default().to_owned())
    };
    let (code, told) = refused(database.url.clone());
    assert!(code == Some(2) && told.contains("no schema nerd") && told.contains("nerd migrate"), "{code:?} {told}");
    let migrated = Database::migrated(false).await;
    migrated
        .client
        .batch_execute("INSERT INTO nerd.schema_history (version, name, applied_on, checksum) VALUES (99, 'later', now()::text, '0')")
        .await
        .unwrap();
    let (code, told) = refused(migrated.url.clone());
    assert!(code == Some(2) && told.contains("version 99") && told.contains("newer"), "{code:?} {told}");
}

/// The database's clock, as its statements see it, an hour off the machine's; found by walking, leased, killed, swept, done.
async fn with_its_clock_off(by: &str) {
    let database = Database::migrated(false).await;
    let name = database.url.rsplit('/').next().unwrap();
    database
        .client
        .batch_execute(&format!(
            "CREATE SCHEMA shifted;
             CREATE FUNCTION shifted.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT pg_catalog.now() + interval '{by}' $$;
             ALTER DATABASE {name} SET search_path = shifted, pg_catalog, public"
        ))
        .await
        .unwrap();
    for number in 0..12 {
        database.article(&format!("a{number}"), &format!("Ann Lee {number} came to Columbia.")).await;
    }
    database.article("killer", "Ann Lee [[abort]]").await;
    let arguments = ["--workers", "1", "--set", "claim.batch_articles=4", "--set", "discovery.interval=200ms"];
    let mut first = faulty(&database, &arguments);
    assert_eq!(first.wait(LONG), None, "the killer's work: {}", first.log());
    let ahead: f64 = database
        .client
        .query_one("SELECT extract(epoch FROM max(leased_until) - now())::float8 FROM nerd.leases", &[])
        .await
        .unwrap()
        .get(0);
    assert!(ahead.abs() > 3_000.0, "the leases are by the shifted clock: {ahead}");
    database.client.batch_execute("UPDATE articles SET text = 'Ann Lee rests.', text_hash = 'h' WHERE id = 'killer'").await.unwrap();
    let _second = faulty(&database, &arguments);
    until("all done", LONG, || async {
        database.count("nerd.jobs").await == 0 && database.count("(SELECT DISTINCT article_id FROM article_entities) AS x").await == 13
    })
    .await;
}

#[tokio::test]
async fn a_database_clock_an_hour_ahead_changes_nothing() {
    with_its_clock_off("1 hour").await;
}

#[tokio::test]
async fn a_database_clock_an_hour_behind_changes_nothing() {
    with_its_clock_off("-1 hour").await;
}

#[tokio::test]
async fn a_server_that_says_nothing_more_is_given_up() {
    let database = with_culprit(10, "").await;
    let address = database.url.split('@').nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let link = Link::to(address).await;
    let arguments = [&QUICK[..], &["--set", "database.statement_timeout=1s", "--set", "database.connect_timeout=1s"]].concat();
    let daemon = Daemon::of(binary(), &link.through(&database.url), &arguments);
    until("done", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    link.weather(Weather::Silent);
    until("it says that the database is away", Duration::from_secs(20), || async {
        daemon.get("/readyz").is_some_and(|(status, body)| status == 503 && body.contains("the database is away"))
    })
    .await;
    assert_eq!(daemon.get("/livez").unwrap().0, 200);
    link.weather(Weather::Clear);
    database.article("late", "Ann Lee came to Columbia late.").await;
    until("at work again", LONG, || async { database.count("article_entities WHERE article_id = 'late'").await > 0 }).await;
}

#[tokio::test]
async fn near_its_memory_limit_it_slows_down_and_says_why() {
    let database = with_culprit(30, "").await;
    let mut daemon = faulty(&database, &["--workers", "2", "--set", "supervision.memory_limit=32MB"]);
    until("all done", LONG, || async { database.count("nerd.jobs").await == 0 }).await;
    assert_eq!(daemon.metric("nerd_memory_tight"), Some(1.0));
    assert_eq!(daemon.metric("nerd_batch_articles_sum"), daemon.metric("nerd_batch_articles_count"), "one at a time");
    let (status, told) = daemon.get("/readyz").unwrap();
    assert!(status == 200 && told.contains("memory is tight") && told.contains("one at a time"), "{told}");
    daemon.signal("TERM");
    assert_eq!(daemon.wait(LONG), Some(0));
}
