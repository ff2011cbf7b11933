//! The commands that look, and the few that change something by hand.

use std::net::SocketAddr;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::json;

use super::arguments::{Format, Migrate, ProveLoads};
use super::{CONFIGURATION, FAILED, doctor, quarantine};
use crate::app;
use crate::engine::ModelInfo;
use crate::settings::{Effective, Settings};
use crate::store::postgres::migrate as schema;
use crate::store::verdict::{Allowance, judge};
use crate::store::{ArticleStore, StoreError};

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

/// Prints the store's error; its exit code: wrong set-up, or just away.
pub(super) fn fail(error: &StoreError) -> u8 {
    anstream::eprintln!("nerd: {error}");
    if error.is_transient() { FAILED } else { CONFIGURATION }
}

pub(super) fn print_json(value: &serde_json::Value) {
    anstream::println!("{value:#}");
}

pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header.iter().copied());
    table
}

pub fn migrate(settings: &Settings, options: &Migrate) -> anyhow::Result<u8> {
    let result = block_on(schema::migrate(&app::store_options(settings), options.with_host_tables, options.with_trigger))?;
    let migrated = match result {
        Ok(migrated) => migrated,
        Err(error) => return Ok(fail(&error)),
    };
    if options.json {
        print_json(&serde_json::to_value(&migrated)?);
        return Ok(0);
    }
    match migrated.applied.as_slice() {
        [] => anstream::println!("the schema nerd is up to date (version {})", migrated.version),
        applied => anstream::println!("applied {}; the schema nerd is at version {}", applied.join(", "), migrated.version),
    }
    match migrated.created.as_slice() {
        [] if migrated.host_tables => anstream::println!("the host's tables were there, and are as they were"),
        [] => {}
        created => anstream::println!("created the host's tables {}", created.join(", ")),
    }
    if migrated.trigger {
        anstream::println!("the trigger on articles is installed: new articles are seen at once");
    }
    Ok(0)
}

pub fn check(settings: &Settings, effective: &[Effective], options: &Format) -> anyhow::Result<u8> {
    let mut errors = Vec::new();
    let model = match doctor::model(settings) {
        Ok(model) => Some(model),
        Err(error) => {
            errors.push(format!("model: {error}"));
            None
        }
    };
    let store_options = app::store_options(settings);
    match block_on(async { schema::schema_state(&store_options).await.and_then(schema::refuse_unless_current) })? {
        Ok(()) => {}
        Err(error) => errors.push(format!("database: {error}")),
    }
    if options.json {
        let settings: serde_json::Map<_, _> =
            effective.iter().map(|e| (e.key.to_owned(), json!({ "value": e.value, "origin": e.origin.to_string() }))).collect();
        print_json(&json!({ "settings": settings, "model": model.as_ref().map(describe), "errors": errors }));
    } else {
        let mut shown = table(&["key", "value", "from"]);
        for line in effective {
            shown.add_row([line.key.to_owned(), line.value.clone(), line.origin.to_string()]);
        }
        anstream::println!("{shown}");
        if let Some(model) = &model {
            anstream::println!(
                "model     {} {} ({}, {}), sha256 {}",
                model.name,
                model.version,
                model.precision,
                model.device,
                model.sha256
            );
            anstream::println!("labels    {}", model.labels.join(" "));
            anstream::println!("workers   {}", app::workers(settings));
            anstream::println!("rows as   extractor_version {}", app::extractor_version(settings, model));
        }
        if errors.is_empty() {
            anstream::println!("all is well: configuration, model and database");
        }
        for error in &errors {
            anstream::eprintln!("nerd: {error}");
        }
    }
    Ok(if errors.is_empty() { 0 } else { CONFIGURATION })
}

fn describe(model: &ModelInfo) -> serde_json::Value {
    json!({ "name": model.name, "version": model.version, "sha256": model.sha256, "precision": model.precision,
        "device": model.device, "labels": model.labels })
}

pub fn status(settings: &Settings, options: &Format) -> anyhow::Result<u8> {
    let store = match app::open_store(settings) {
        Ok(store) => store,
        Err(error) => return Ok(fail(&error)),
    };
    let read = block_on(async { Ok::<_, StoreError>((store.backlog().await?, store.quarantined(10).await?, store.pauses().await?)) })?;
    let (backlog, quarantined, pauses) = match read {
        Ok(read) => read,
        Err(error) => return Ok(fail(&error)),
    };
    let readiness = ask(settings, "/readyz").map(|(_, body)| body);
    if options.json {
        print_json(
            &json!({ "pending": backlog.pending, "leased": backlog.leased, "quarantined": backlog.quarantined, "estimated": backlog.estimated,
            "oldest_age_seconds": backlog.oldest_age_seconds, "model_loads_24h": backlog.model_loads_24h,
            "quarantine": quarantined, "pauses": pauses,
            "daemon": readiness.as_ref().ok().and_then(|body| serde_json::from_str::<serde_json::Value>(body).ok()) }),
        );
        return Ok(0);
    }
    let mut queue = table(&["pending", "leased", "quarantined", "oldest pending", "model loads in 24 h"]);
    let age = humantime::format_duration(Duration::from_secs(backlog.oldest_age_seconds.max(0.0) as u64)).to_string();
    queue.add_row([
        format!("{}{}", if backlog.estimated { "about " } else { "" }, backlog.pending),
        backlog.leased.to_string(),
        backlog.quarantined.to_string(),
        age,
        backlog.model_loads_24h.to_string(),
    ]);
    anstream::println!("{} \n{queue}", store.place());
    for pause in &pauses {
        anstream::println!("PAUSED: {pause}");
    }
    match readiness {
        Ok(body) => anstream::println!("daemon here: {body}"),
        Err(error) => anstream::println!("daemon here: none answers ({error})"),
    }
    if !quarantined.is_empty() {
        anstream::println!("{}", quarantine::articles_table(&quarantined));
    }
    Ok(0)
}

pub fn prove_loads(settings: &Settings, options: &ProveLoads) -> anyhow::Result<u8> {
    let store = match app::open_store(settings) {
        Ok(store) => store,
        Err(error) => return Ok(fail(&error)),
    };
    let processes = match block_on(store.processes(options.since))? {
        Ok(processes) => processes,
        Err(error) => return Ok(fail(&error)),
    };
    let days = options.since.as_secs_f64() / 86_400.0;
    let verdict = judge(&processes, Allowance { max_starts: options.max_starts, max_jobs: options.max_jobs, days });
    if options.json {
        print_json(&json!({ "since": humantime::format_duration(options.since).to_string(), "verdict": verdict, "processes": processes }));
        return Ok(if verdict.passed { 0 } else { FAILED });
    }
    let mut shown = table(&["host", "command", "process starts", "allowed", "model loads"]);
    for host in &verdict.hosts {
        shown.add_row([
            host.host.clone(),
            host.command.clone(),
            host.starts.to_string(),
            host.allowed_starts.to_string(),
            host.loads.to_string(),
        ]);
    }
    anstream::println!("model loads of the last {}\n{shown}", humantime::format_duration(options.since));
    for process in &verdict.reloads {
        anstream::println!(
            "FAILED: process {} on {} loaded {} times with {} workers: a reload inside the process",
            process.boot_id,
            process.host,
            process.startup + process.restart,
            process.pool_size
        );
    }
    for host in &verdict.storms {
        anstream::println!(
            "FAILED: {} started `{}` {} times, {} allowed: a restart storm",
            host.host,
            host.command,
            host.starts,
            host.allowed_starts
        );
    }
    if verdict.passed {
        anstream::println!("PASSED: no process loaded more often than it has workers, no host started too many");
    }
    Ok(if verdict.passed { 0 } else { FAILED })
}

pub fn health(settings: &Settings) -> anyhow::Result<u8> {
    match ask(settings, "/livez") {
        Ok((true, _)) => Ok(0),
        Ok((false, body)) => {
            anstream::eprintln!("nerd: not alive: {body}");
            Ok(FAILED)
        }
        Err(error) => {
            anstream::eprintln!("nerd: {error}");
            Ok(FAILED)
        }
    }
}

/// Where the daemon on this machine answers.
pub(super) fn here(settings: &Settings) -> Result<SocketAddr, String> {
    let mut address = settings.http.address.ok_or("http.address is empty: there is nothing to ask")?;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    Ok(address)
}

/// Asks the daemon on this machine; whether it said yes, and its words.
pub(super) fn ask(settings: &Settings, path: &str) -> Result<(bool, String), String> {
    let address = here(settings)?;
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(3))).http_status_as_error(false).build().into();
    let mut response = agent.get(format!("http://{address}{path}")).call().map_err(|error| format!("{address}: {error}"))?;
    let body = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    Ok((response.status().is_success(), body))
}
