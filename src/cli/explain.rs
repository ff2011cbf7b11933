//! `nerd explain ARTICLE`: where an article stands and what was written for it; then the model over its stored text, step by step, as a
//! worker would do it: decoded, cut into windows, read, matched. Reads only; prints the text, and logs none of it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use uuid::Uuid;

use super::arguments::Explain;
use super::highlight::highlight;
use super::operate::{block_on, fail, print_json, table};
use super::{CONFIGURATION, FAILED};
use crate::actors::job::Prepared;
use crate::actors::matcher::{Matcher, mentions};
use crate::actors::scopes::{ScopeOptions, Scopes};
use crate::actors::worker::panic_message;
use crate::app;
use crate::domain::{AnnotatedArticle, ArticleId, ClaimedArticle, Entity, Mention, ScopeKey};
use crate::engine::{Annotation, EngineFactory, NerEngine, Progress, Work};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::explain::{PlacedRow, Standing};
use crate::store::postgres::rows::rows_of;
use crate::store::{ArticleStore, Claimant, Pause, StoreError};

/// What the model made of the text.
struct Reading {
    model: String,
    version: String,
    /// The text as it was read, and which of its parts had been scrambled.
    text: Arc<str>,
    decoded: Option<Vec<Range<usize>>>,
    /// Code points of the text as read, and wordpieces.
    windows: Vec<(Range<usize>, usize)>,
    /// Of the text as read; for the display.
    entities: Vec<Entity>,
    annotated: AnnotatedArticle,
    scope_rows: Option<usize>,
    work: Work,
    /// By stage, in seconds.
    seconds: Vec<(&'static str, f64)>,
}

pub fn explain(settings: &Settings, options: &Explain) -> anyhow::Result<u8> {
    let claimant = Claimant { boot_id: Uuid::new_v4(), host: app::host() };
    let store = match PostgresStore::read_only(&app::store_options(settings), claimant) {
        Ok(store) => Arc::new(store),
        Err(error) => return Ok(fail(&error)),
    };
    let id = ArticleId::new(options.article.clone());
    let read = block_on(async {
        let standing = store.standing(&id).await?;
        let pauses = store.pauses().await?;
        let scope = match &standing {
            Some(standing) if !options.no_run => Some(scope(settings, &store, &standing.article).await?),
            _ => None,
        };
        Ok::<_, StoreError>((standing, pauses, scope))
    })?;
    let (standing, pauses, scope) = match read {
        Ok(read) => read,
        Err(error) => return Ok(fail(&error)),
    };
    let Some(standing) = standing else {
        anstream::eprintln!("nerd: the host has no article {id}");
        return Ok(FAILED);
    };
    let stands = stands(&standing, &pauses);
    let reading = match scope.filter(|_| standing.has_text) {
        Some((scope, seconds)) => match run(settings, &standing.article, scope, seconds) {
            Ok(reading) => Some(reading),
            Err(Failed::Unfit(message)) => {
                anstream::eprintln!("nerd: {message}");
                return Ok(CONFIGURATION);
            }
            Err(Failed::Article(message)) => {
                if options.json {
                    print_json(&as_json(&standing, &stands, Err(&message)));
                } else {
                    show_standing(&standing, &stands);
                    anstream::eprintln!("nerd: the model fails on this text: {message}");
                }
                return Ok(FAILED);
            }
        },
        None => None,
    };
    if options.json {
        print_json(&as_json(&standing, &stands, Ok(reading.as_ref())));
        return Ok(0);
    }
    show_standing(&standing, &stands);
    if let Some(reading) = &reading {
        show_reading(reading, settings);
    }
    Ok(0)
}

/// The gazetteer that the article is matched with, and the seconds it took to bring it.
async fn scope(
    settings: &Settings,
    store: &Arc<PostgresStore>,
    article: &ClaimedArticle,
) -> Result<(Option<Arc<Matcher>>, f64), StoreError> {
    let key = ScopeKey::new(article.source_id.as_deref(), article.dataset_id.as_deref()).filter(|_| settings.gazetteer.enabled);
    let options = ScopeOptions {
        memory_bytes: settings.gazetteer.memory_bytes,
        refresh: settings.gazetteer.refresh,
        compat: settings.output.rules.compat,
    };
    let store: Arc<dyn ArticleStore> = store.clone();
    let begun = Instant::now();
    let found = Scopes::new(options, store, Metrics::new()).of(&[key]).await?;
    Ok((found.into_iter().next().flatten(), begun.elapsed().as_secs_f64()))
}

/// Where it stands, in words, a line each.
fn stands(standing: &Standing, pauses: &[Pause]) -> Vec<String> {
    let mut lines = Vec::new();
    match &standing.job {
        Some(job) => {
            let waits = if job.due { "due since" } else { "not before" };
            lines.push(match (job.state.as_str(), &job.lease) {
                ("leased", Some(lease)) => format!(
                    "leased by {} (process {}) until {}{}, {}",
                    lease.holder,
                    lease.boot_id,
                    lease.leased_until,
                    if lease.run_out { ", which has run out: the next sweep takes it back" } else { "" },
                    if lease.alone { "alone".to_owned() } else { format!("one of {} of its claim", lease.claimed_with) }
                ),
                ("quarantined", _) => format!(
                    "quarantined since {}: nobody tries it again before `nerd retry {}`",
                    job.quarantined_at.as_deref().unwrap_or("?"),
                    standing.article.id
                ),
                (state, _) => format!("{state}, {waits} {}", job.run_at),
            });
            lines.push(format!(
                "in the queue since {}; {} failed attempts, there at {} deaths of a process, alone at {} of them{}",
                job.enqueued_at,
                job.attempts,
                job.crashes,
                job.crashes_alone,
                if job.suspect { "; tried alone from now on" } else { "" }
            ));
            lines.extend(job.error.as_ref().map(|error| format!("last error: {error}")));
            let concerns = |pause: &&Pause| pause.source.as_ref().is_none_or(|source| *source == job.source);
            lines.extend(pauses.iter().filter(concerns).map(|pause| format!("PAUSED: {pause}")));
        }
        None if !standing.rows.is_empty() => lines.push("done: it has rows, and no job".to_owned()),
        None if standing.claimable => lines.push("not in the queue: the next walk over the articles will find it".to_owned()),
        None => {
            let wanting = [
                (!standing.has_content, "content is NULL"),
                (!standing.has_text, "text is NULL"),
                (standing.status == "error", "status is 'error'"),
                (standing.article.source.is_empty(), "it has no row in candidate_links"),
            ];
            let wanting: Vec<&str> = wanting.iter().filter(|(so, _)| *so).map(|(_, told)| *told).collect();
            lines.push(format!("not to be done, by the host's rule: {}", wanting.join(", ")));
        }
    }
    if standing.job.is_some() && !standing.claimable {
        lines.push("the host's rule does not allow it any more: the next claim drops the job".to_owned());
    }
    lines
}

enum Failed {
    /// Not of this article.
    Unfit(String),
    Article(String),
}

/// As a worker does it, alone.
fn run(settings: &Settings, article: &ClaimedArticle, scope: Option<Arc<Matcher>>, brought: f64) -> Result<Reading, Failed> {
    let begun = Instant::now();
    let factory = app::load_weights(settings, &Metrics::new()).map_err(|error| Failed::Unfit(error.to_string()))?;
    let mut engine: Box<dyn NerEngine> = factory.build().map_err(|error| Failed::Unfit(error.to_string()))?;
    let loaded = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let decoded = app::preparation(settings, settings.output.rules.compat).read(&article.text);
    let decoding = begun.elapsed().as_secs_f64();
    let parts = decoded.as_ref().map(|decoded| decoded.parts().to_vec());
    let prepared = Prepared { article: article.clone(), decoded, scope };
    let text = prepared.text().clone();
    let called = catch_unwind(AssertUnwindSafe(|| engine.annotate(&[&text], &Progress::default())));
    let Annotation { texts, work } = match called {
        Ok(annotation) => annotation.map_err(|error| Failed::Article(error.to_string()))?,
        Err(panic) => return Err(Failed::Article(format!("panic: {}", panic_message(panic.as_ref())))),
    };
    let entities = texts.into_iter().next().unwrap_or_else(|| Ok(Vec::new())).map_err(|error| Failed::Article(error.to_string()))?;
    let begun = Instant::now();
    let found = mentions(prepared.scope.as_deref(), &text, entities);
    let matching = begun.elapsed().as_secs_f64();
    let info = factory.model();
    Ok(Reading {
        model: format!("{} {} ({}, {})", info.name, info.version, info.precision, info.device),
        version: app::extractor_version(settings, info).to_string(),
        windows: factory.windows(&text).map_err(|error| Failed::Article(error.to_string()))?,
        decoded: parts,
        entities: found.iter().map(|mention| mention.entity.clone()).collect(),
        scope_rows: prepared.scope.as_ref().map(|scope| scope.len()),
        annotated: prepared.annotated(found),
        text,
        work,
        seconds: vec![
            ("load", loaded),
            ("gazetteer", brought),
            ("decode", decoding),
            ("tokenize", work.tokenize_seconds),
            ("infer", work.infer_seconds),
            ("match", matching),
        ],
    })
}

fn show_standing(standing: &Standing, stands: &[String]) {
    let article = &standing.article;
    anstream::println!(
        "article {} of {}, status {}, extracted {}, {} code points",
        article.id,
        article.source,
        standing.status,
        standing.extracted_at.as_deref().unwrap_or("?"),
        article.text.chars().count()
    );
    for line in stands {
        anstream::println!("  {line}");
    }
    if standing.rows.is_empty() {
        anstream::println!("no rows");
        return;
    }
    let mut shown = table(&["extractor_version", "label", "text", "place", "category", "score", "gazetteer", "written"]);
    for placed in &standing.rows {
        let row = &placed.row;
        let category = [row.category.as_deref(), row.subcategory.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("/");
        shown.add_row([
            row.extractor_version.clone().unwrap_or_default(),
            row.label.clone().unwrap_or_default(),
            row.text.clone(),
            placed.start.zip(placed.end).map_or_else(String::new, |(start, end)| format!("{start}..{end}")),
            category,
            placed.confidence.map_or_else(String::new, |score| format!("{score:.3}")),
            matched(row.match_name.as_deref(), placed.match_score),
            placed.created_at.clone(),
        ]);
    }
    anstream::println!("{shown}");
}

fn matched(name: Option<&str>, score: Option<f64>) -> String {
    name.map_or_else(String::new, |name| score.map_or_else(|| name.to_owned(), |score| format!("{name} ({score:.2})")))
}

fn show_reading(reading: &Reading, settings: &Settings) {
    anstream::println!("\n{} reads it, and would write as {}", reading.model, reading.version);
    match &reading.decoded {
        None => anstream::println!("read as it is stored"),
        Some(parts) if parts.is_empty() => anstream::println!("scrambled text was decoded; offsets are into the text as read"),
        Some(parts) => {
            let shown: Vec<String> = parts.iter().map(|part| format!("{}..{}", part.start, part.end)).collect();
            anstream::println!("{} scrambled paragraphs were decoded, code points {} of the text as read", parts.len(), shown.join(", "));
        }
    }
    let windows: Vec<String> =
        reading.windows.iter().map(|(range, pieces)| format!("{}..{} ({pieces} pieces)", range.start, range.end)).collect();
    anstream::println!("{} words in {} windows: {}", reading.work.words, windows.len(), windows.join(", "));
    match reading.scope_rows {
        Some(rows) => anstream::println!("matched with a gazetteer of {rows} rows"),
        None => anstream::println!("no gazetteer for its source and dataset"),
    }
    let stages: Vec<String> = reading.seconds.iter().map(|(stage, seconds)| format!("{stage} {:.1}", seconds * 1_000.0)).collect();
    anstream::println!("milliseconds: {}", stages.join(", "));
    anstream::println!("\n{}\n", highlight(&reading.text, &reading.entities));
    let mut shown = table(&["label", "text", "place", "score", "found by", "gazetteer"]);
    for Mention { entity, origin, matched: place, .. } in &reading.annotated.mentions {
        shown.add_row([
            entity.label.to_string(),
            entity.text.clone(),
            format!("{}..{}", entity.start, entity.end),
            format!("{:.3}", entity.score),
            origin.name().to_owned(),
            matched(place.as_ref().map(|place| &*place.name), place.as_ref().map(|place| place.score)),
        ]);
    }
    anstream::println!("{shown}");
    let rows = rows_of(&reading.annotated, &settings.output.rules);
    anstream::println!("{} mentions make {} rows", reading.annotated.mentions.len(), rows.rows.len());
}

fn as_json(standing: &Standing, stands: &[String], reading: Result<Option<&Reading>, &str>) -> Value {
    let row = |placed: &PlacedRow| {
        json!({ "extractor_version": placed.row.extractor_version, "label": placed.row.label, "text": placed.row.text, "norm": placed.row.norm,
            "start": placed.start, "end": placed.end, "category": placed.row.category, "subcategory": placed.row.subcategory,
            "score": placed.confidence, "match_name": placed.row.match_name, "match_score": placed.match_score, "created_at": placed.created_at })
    };
    json!({
        "article": standing.article.id.as_str(), "source": standing.article.source, "status": standing.status,
        "claimable": standing.claimable, "stands": stands, "job": standing.job,
        "rows": standing.rows.iter().map(row).collect::<Vec<_>>(),
        "run": reading.ok().flatten().map(run_as_json), "error": reading.err(),
    })
}

fn run_as_json(reading: &Reading) -> Value {
    let range = |range: &Range<usize>| json!({ "start": range.start, "end": range.end });
    let mention = |mention: &Mention| {
        let entity = &mention.entity;
        json!({ "text": entity.text, "label": &*entity.label, "start": entity.start, "end": entity.end, "score": entity.score,
            "origin": mention.origin.name(), "decoded": mention.decoded,
            "match": mention.matched.as_ref().map(|place| json!({ "id": &*place.id, "name": &*place.name, "score": place.score })) })
    };
    let window = |(points, pieces): &(Range<usize>, usize)| json!({ "start": points.start, "end": points.end, "pieces": pieces });
    let seconds: serde_json::Map<String, Value> =
        reading.seconds.iter().map(|(stage, value)| ((*stage).to_owned(), json!(value))).collect();
    json!({
        "model": reading.model, "extractor_version": reading.version, "words": reading.work.words,
        "decoded": reading.decoded.as_ref().map(|parts| parts.iter().map(range).collect::<Vec<_>>()),
        "windows": reading.windows.iter().map(window).collect::<Vec<_>>(), "gazetteer_rows": reading.scope_rows, "seconds": seconds,
        "mentions": reading.annotated.mentions.iter().map(mention).collect::<Vec<_>>(),
    })
}
