//! `nerd doctor`: everything that a daemon needs, looked at in one go, each with what to do where it is wanting. Changes nothing; binds
//! the HTTP address for a moment, if it is free.

use std::net::TcpListener;

use comfy_table::Cell;
use serde_json::json;

use super::FAILED;
use super::arguments::Format;
use super::operate::{ask, block_on, print_json, table};
use crate::actors::messages::BuildFailure;
use crate::actors::worker::fit_engine;
use crate::app;
use crate::app::doctor::{Finding, Verdict, judge_database, judge_memory, unreachable};
use crate::app::footprint::Plan;
use crate::engine::{EngineFactory, ModelInfo, Progress, TransformerFactory};
use crate::memory;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::postgres::Target;
use crate::store::postgres::inspect::{Inspection, inspect};

pub fn doctor(settings: &Settings, options: &Format) -> anyhow::Result<u8> {
    let (mut findings, inspection) = database(settings)?;
    let (model, described) = match model(settings) {
        Ok(model) => (Finding::ok("model", shown(&model)), Some(model)),
        Err(message) => (Finding::fail("model", message, "fetch the model again, or set model.path or model.profile"), None),
    };
    findings.push(model);
    findings.push(http(settings));
    if let Some(model) = described {
        findings.push(fits(settings, &model, inspection.map_or(0, |found| found.gazetteer_rows)));
    }
    let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    if options.json {
        print_json(&json!({ "verdict": worst, "findings": findings }));
    } else {
        let mut all = table(&["", "about", "found", "what to do"]);
        for finding in &findings {
            let mark = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            all.add_row([mark, finding.about, &finding.found, finding.remedy.as_deref().unwrap_or_default()].map(Cell::new));
        }
        anstream::println!("{all}");
        let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
        anstream::println!("{} ok, {} to look at, {} to mend", count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Fail));
    }
    Ok(if worst == Verdict::Fail { FAILED } else { 0 })
}

fn database(settings: &Settings) -> anyhow::Result<(Vec<Finding>, Option<Inspection>)> {
    let place = match Target::parse(settings.database.url.reveal()) {
        Ok(target) => target.place(),
        Err(message) => return Ok((vec![Finding::fail("database", message, "set DATABASE_URL")], None)),
    };
    Ok(match block_on(inspect(&app::store_options(settings)))? {
        Ok(found) => (judge_database(&place, &found, settings.discovery.interval), Some(found)),
        Err(error) => (vec![unreachable(&place, &error)], None),
    })
}

/// A model that was read, found whole by its manifest's digests, and found what its golden texts hold.
pub(super) fn model(settings: &Settings) -> Result<ModelInfo, String> {
    let factory = app::load_weights(settings, &Metrics::new()).map_err(|error| error.to_string())?;
    fit_engine(&factory, &Progress::default()).map_err(|(BuildFailure::Permanent(message) | BuildFailure::Transient(message))| message)?;
    Ok(factory.model().clone())
}

fn shown(model: &ModelInfo) -> String {
    format!("{} {} ({}, {}), sha256 {} as read", model.name, model.version, model.precision, model.device, model.sha256)
}

fn http(settings: &Settings) -> Finding {
    let Some(address) = settings.http.address else {
        return Finding::ok("http", "off: nothing is served, nothing can be scraped");
    };
    let remedy = "end what holds it, or choose another http.address";
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("http", format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => match ask(settings, "/livez") {
            Ok((_, body)) if body.contains("\"live\"") => Finding::ok("http", format!("a daemon of nerd answers at {address}")),
            _ => Finding::fail("http", format!("{address} is held by another program"), remedy),
        },
        Err(error) => Finding::fail("http", format!("{address} cannot be bound: {error}"), remedy),
    }
}

fn fits(settings: &Settings, model: &ModelInfo, gazetteer_rows: u64) -> Finding {
    let workers = app::workers(settings);
    let file = TransformerFactory::weights_length(&settings.model_directory()).unwrap_or(0);
    let need = Plan::of(settings, workers, file, &model.precision, gazetteer_rows).footprint();
    let configured = Some(settings.supervision.memory_limit).filter(|&limit| limit > 0);
    let limit = configured.into_iter().chain(memory::control_group().limit).min();
    let mut finding = judge_memory(need, limit, memory::machine_bytes());
    finding.found = format!("{workers} workers: {}", finding.found);
    finding
}
