//! Dashboards and rules against what they are about: a real daemon at work on a real PostgreSQL, scraped by a real Prometheus.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use regex::Regex;
use support::articles::samples;
use support::database::Database;
use support::process::{Daemon, until};
use support::prometheus::Prometheus;
use support::queries::{Owner, filled, list, queries, selectors, text};

const LONG: Duration = Duration::from_secs(240);

/// Recorded only where the control group has a limit; its own selectors are looked for all the same.
const CONDITIONAL: &[&str] = &["instance:nerd_memory_limit:ratio"];
/// Engines are built before the first scrape, so that the mean of those built since is that of none; and the host has no gazetteer.
const OF_NONE: &[&str] = &["Time to build an engine", "Time to index a gazetteer"];

#[tokio::test]
async fn every_panel_alert_and_record_finds_its_series_in_a_real_scrape() {
    let database = Database::migrated(true).await;
    let daemon = Daemon::start(&database.url, &["--workers", "2"]);
    until("the daemon serves", LONG, || async { daemon.get("/metrics").is_some() }).await;
    let prometheus = Prometheus::scraping(&daemon.address().unwrap());
    // Work begins under the eyes of Prometheus: a rate of what happened before the first scrape is none.
    until("a first scrape of a ready daemon", LONG, || async { prometheus.number("nerd_ready") == Some(1.0) }).await;
    for (name, text) in samples() {
        database.article(&name, &text).await;
    }
    let all = samples().len() as f64;
    until("every article done, and scraped", LONG, || async {
        prometheus.number("sum(nerd_articles_total{outcome=\"done\"})") == Some(all)
            && prometheus.number("max(nerd_model_loads_24h)") == Some(2.0)
    })
    .await;
    until("every rule evaluated", LONG, || async {
        let Ok(groups) = prometheus.ask("rules", None) else { return false };
        let rules: Vec<_> = list(&groups, "/groups").into_iter().flat_map(|group| list(group, "/rules")).collect();
        !rules.is_empty() && rules.iter().all(|rule| text(rule, "/health") == "ok")
    })
    .await;
    // Rules build on recorded series, which are there one evaluation later.
    until("recorded series", LONG, || async { prometheus.number("job:nerd_articles_failed:ratio_rate15m") == Some(0.0) }).await;

    let label_in_a_legend = Regex::new(r"\{\{(\w+)\}\}").unwrap();
    let mut complaints = Vec::new();
    for query in queries() {
        let expression = filled(&query.expression, "2m");
        let series = match prometheus.query(&expression) {
            Ok(series) => series,
            Err(error) => {
                complaints.push(format!("{:?} {}: {error}", query.owner, query.name));
                continue;
            }
        };
        for selector in selectors(&expression) {
            let alone = format!("{}{}", selector.metric, selector.braces);
            if !CONDITIONAL.contains(&selector.metric.as_str()) && prometheus.query(&alone).is_ok_and(|found| found.is_empty()) {
                complaints.push(format!("{:?} {}: nothing is {alone}", query.owner, query.name));
            }
        }
        if query.owner != Owner::Panel {
            continue;
        }
        if series.is_empty() {
            complaints.push(format!("panel {}: empty", query.name));
        }
        // A stage that never ran has no percentile; a panel without any number has a fault.
        if series.iter().all(|one| one["value"][1] == "NaN") && !OF_NONE.contains(&query.name.as_str()) {
            complaints.push(format!("panel {}: no number in {series:?}", query.name));
        }
        for one in &series {
            for label in label_in_a_legend.captures_iter(&query.legend) {
                if one["metric"][&label[1]].is_null() {
                    complaints.push(format!("panel {}: no label {} in {}", query.name, &label[1], one["metric"]));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{}\n{}", complaints.join("\n"), prometheus.log());

    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}").unwrap();
    assert!(firing.is_empty(), "a daemon at work is no reason for {firing:?}");
    let promise = |expression: &str| prometheus.number(expression);
    assert_eq!(promise("nerd_model_weight_reads_total"), Some(1.0));
    assert_eq!(promise("nerd_process_starts_24h{command=\"run\"}"), Some(1.0));
    assert!(promise("sum(rate(nerd_words_total[2m]))").is_some_and(|words| words > 0.0));
}

/// A daemon that is told to stop is missed, and one that cannot reach its database is not ready: before `for` has passed, pending.
#[tokio::test]
async fn what_goes_wrong_is_pending_at_once() {
    let database = Database::migrated(true).await;
    let mut daemon = Daemon::start(&database.url, &["--workers", "1"]);
    until("the daemon serves", LONG, || async { daemon.get("/metrics").is_some() }).await;
    let prometheus = Prometheus::scraping(&daemon.address().unwrap());
    until("a scrape of a ready daemon", LONG, || async { prometheus.number("nerd_ready") == Some(1.0) }).await;
    let pending = || -> BTreeSet<String> {
        let series = prometheus.query("ALERTS").unwrap_or_default();
        series.iter().map(|one| text(one, "/metric/alertname").to_owned()).collect()
    };
    // Before its first scrape, Prometheus knew of no target.
    until("no complaint", LONG, || async { !pending().contains("NerdTargetMissing") }).await;
    // Closed to new connections, and the old ones ended: away.
    let name = database.url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let admin = support::database::connect(support::database::cluster()).await;
    admin.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.unwrap();
    admin
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", &[&name])
        .await
        .unwrap();
    until("not ready", LONG, || async { pending().contains("NerdNotReady") }).await;
    until("its errors", LONG, || async { pending().contains("NerdDatabaseErrors") }).await;
    daemon.signal("TERM");
    daemon.wait(Duration::from_secs(60));
    until("missed", LONG, || async { pending().contains("NerdTargetMissing") }).await;
}
