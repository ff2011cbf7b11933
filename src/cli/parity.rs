//! `nerd parity`: what would change if nerd took over, over a sample of the host's own rows. Two rule sets over the same model output
//! show what the rules change; the rows that stand, against ours, show what the model changes beside them. Reads only.

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use uuid::Uuid;

use super::arguments::Parity;
use super::operate::{block_on, fail, print_json, table};
use super::pool::annotate_all;
use super::{CONFIGURATION, FAILED};
use crate::actors::job::Prepared;
use crate::actors::matcher::{Matcher, mentions};
use crate::app;
use crate::compat::parity::{Comparison, Line};
use crate::domain::{ClaimedArticle, Compat, Entity, ExtractorVersion, RowRules, ScopeKey};
use crate::engine::EngineFactory;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::rows::{Row, rows_of};
use crate::store::postgres::sample::StandingRow;
use crate::store::{ArticleStore, Claimant, StoreError};

/// Texts of one call to the engine.
const BATCH_TEXTS: usize = 16;
/// Changes shown on the terminal, of each comparison; JSON has them all.
const MOST_SHOWN: usize = 25;

/// An article of the sample, its rows as they stand, and what it is matched with by either rules.
struct Sampled {
    article: ClaimedArticle,
    standing: Vec<StandingRow>,
    scopes: [Option<Arc<Matcher>>; 2],
}

const BOTH: [Compat; 2] = [Compat::Strict, Compat::Mended];

/// The three comparisons that are made of the sample.
#[derive(Default)]
struct Report {
    /// Strict rules against ours.
    rules: Comparison,
    /// The rows as they stand against ours.
    rows: Comparison,
    /// The rows as they stand against the strict rules: the model alone.
    model: Comparison,
    articles: u64,
    failed: u64,
    versions: BTreeMap<String, u64>,
}

pub fn parity(settings: &Settings, options: &Parity) -> anyhow::Result<u8> {
    let factory = match app::load_weights(settings, &Metrics::new()) {
        Ok(factory) => factory,
        Err(error) => {
            anstream::eprintln!("nerd: {error}");
            return Ok(CONFIGURATION);
        }
    };
    let claimant = Claimant { boot_id: Uuid::new_v4(), host: app::host() };
    let store = match PostgresStore::read_only(&app::store_options(settings), claimant) {
        Ok(store) => store,
        Err(error) => return Ok(fail(&error)),
    };
    let sample = match block_on(sample(&store, settings, &app::extractor_version(settings, factory.model()), options))? {
        Ok(sample) => sample,
        Err(error) => return Ok(fail(&error)),
    };
    if sample.is_empty() {
        anstream::eprintln!("nerd: no article{} has rows of another extractor_version", of_source(options));
        return Ok(FAILED);
    }
    let report = compare(settings, &(Arc::new(factory) as Arc<dyn EngineFactory>), &sample)?;
    if options.json {
        print_json(&as_json(&report));
    } else {
        show(&report, options);
    }
    Ok(if report.failed > 0 { FAILED } else { 0 })
}

fn of_source(options: &Parity) -> String {
    options.source.as_ref().map_or_else(String::new, |source| format!(" of {source}"))
}

async fn sample(
    store: &PostgresStore,
    settings: &Settings,
    version: &ExtractorVersion,
    options: &Parity,
) -> Result<Vec<Sampled>, StoreError> {
    let mut known: HashMap<ScopeKey, [Option<Arc<Matcher>>; 2]> = HashMap::new();
    let mut all = Vec::new();
    for (article, standing) in store.sample(version, options.source.as_deref(), options.limit).await? {
        let key = ScopeKey::new(article.source_id.as_deref(), article.dataset_id.as_deref()).filter(|_| settings.gazetteer.enabled);
        let scopes = match key {
            None => [None, None],
            Some(key) => match known.get(&key) {
                Some(scopes) => scopes.clone(),
                None => {
                    let scopes = scopes(store, &key).await?;
                    known.insert(key, scopes.clone());
                    scopes
                }
            },
        };
        all.push(Sampled { article, standing, scopes });
    }
    Ok(all)
}

async fn scopes(store: &PostgresStore, key: &ScopeKey) -> Result<[Option<Arc<Matcher>>; 2], StoreError> {
    let Some(read) = store.gazetteer_rows(key).await? else { return Ok([None, None]) };
    let mut built = [None, None];
    for (place, compat) in BOTH.into_iter().enumerate() {
        let matcher = Matcher::new(compat, read.version.clone(), read.rows.clone());
        let matcher = matcher.map_err(|error| StoreError::Permanent { kind: "other", message: error.to_string() })?;
        built[place] = Some(Arc::new(matcher));
    }
    Ok(built)
}

/// Every article is read once, or twice where the two rule sets read another text, and becomes rows by both.
fn compare(settings: &Settings, factory: &Arc<dyn EngineFactory>, sample: &[Sampled]) -> anyhow::Result<Report> {
    let prepared = |sampled: &Sampled| {
        let mut place = 0;
        BOTH.map(|compat| {
            let scope = sampled.scopes[place].clone();
            place += 1;
            let decoded = app::preparation(settings, compat).read(&sampled.article.text);
            Prepared { article: sampled.article.clone(), decoded, scope }
        })
    };
    // What the engine is still to be asked, and what it was asked: the places of the answers.
    let waiting: Arc<Mutex<Vec<Vec<usize>>>> = Arc::default();
    let mut texts = Vec::new();
    for (place, sampled) in sample.iter().enumerate() {
        let [strict, mended] = prepared(sampled).map(|prepared| prepared.text().clone());
        texts.push((place, strict.clone()));
        if strict != mended {
            texts.push((place, mended));
        }
    }
    let mut batches: Vec<Vec<(usize, Arc<str>)>> = texts.chunks(BATCH_TEXTS).map(<[_]>::to_vec).collect();
    batches.reverse();
    let asked = waiting.clone();
    let next = move || {
        let batch = batches.pop()?;
        asked.lock().unwrap_or_else(PoisonError::into_inner).insert(0, batch.iter().map(|(place, _)| *place).collect());
        Some(batch.into_iter().map(|(_, text)| text).collect())
    };
    let mut answers: Vec<Vec<Result<Vec<Entity>, String>>> = sample.iter().map(|_| Vec::new()).collect();
    let bar = progress_bar(sample.len() as u64);
    annotate_all(factory, app::workers(settings), next, |outcomes| {
        let places = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        for (place, outcome) in places.into_iter().zip(outcomes) {
            bar.inc(u64::from(answers[place].is_empty()));
            answers[place].push(outcome);
        }
    })
    .context("annotating")?;
    bar.finish_and_clear();
    let mut report = Report::default();
    for (sampled, answers) in sample.iter().zip(answers) {
        report.add(settings, sampled, prepared(sampled), answers);
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, settings: &Settings, sampled: &Sampled, prepared: [Prepared; 2], answers: Vec<Result<Vec<Entity>, String>>) {
        self.articles += 1;
        for row in &sampled.standing {
            *self.versions.entry(row.extractor_version.clone().unwrap_or_default()).or_default() += 1;
        }
        let answers: Result<Vec<Vec<Entity>>, String> = answers.into_iter().collect();
        let answers = match answers {
            Ok(answers) if !answers.is_empty() => answers,
            other => {
                let error = other.err().unwrap_or_else(|| "the engine gave no answer".to_owned());
                anstream::eprintln!("nerd: article {}: {error}", sampled.article.id);
                self.failed += 1;
                return;
            }
        };
        let (first, last) = (answers[0].clone(), answers[answers.len() - 1].clone());
        let [strict, mended] = prepared;
        let strict = by_rules(settings, Compat::Strict, strict, first);
        let mended = by_rules(settings, Compat::Mended, mended, last);
        let standing: Vec<Line> = sampled.standing.iter().filter_map(standing).collect();
        self.rules.add(&strict, &mended);
        self.model.add(&standing, &strict);
        self.rows.add(&standing, &mended);
    }
}

fn by_rules(settings: &Settings, compat: Compat, prepared: Prepared, entities: Vec<Entity>) -> Vec<Line> {
    let rules = RowRules { compat, ..settings.output.rules.clone() };
    let found = mentions(prepared.scope.as_deref(), prepared.text(), entities);
    rows_of(&prepared.annotated(found), &rules).rows.iter().filter_map(made).collect()
}

/// `None` for the sentinel.
fn made(row: &Row) -> Option<Line> {
    let category = row.category.as_ref()?;
    Some(Line {
        label: row.entity_label.clone(),
        norm: row.entity_norm.clone(),
        text: row.entity_text.clone(),
        category: joined(Some(&category.category), category.subcategory.as_deref()),
        matched: row.matched.as_ref().map_or_else(String::new, |matched| matched.name.to_string()),
    })
}

fn standing(row: &StandingRow) -> Option<Line> {
    let label = row.label.clone().unwrap_or_default();
    (label != "SENTINEL").then(|| Line {
        label,
        norm: row.norm.clone().unwrap_or_default(),
        text: row.text.clone(),
        category: joined(row.category.as_deref(), row.subcategory.as_deref()),
        matched: row.match_name.clone().unwrap_or_default(),
    })
}

fn joined(category: Option<&str>, subcategory: Option<&str>) -> String {
    [category, subcategory].into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// On standard error, when that is a terminal.
pub(super) fn progress_bar(articles: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} articles, {per_sec}, {eta} left");
    ProgressBar::new(articles).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn as_json(report: &Report) -> serde_json::Value {
    let comparison = |comparison: &Comparison| {
        let categories: BTreeMap<&String, serde_json::Value> =
            comparison.categories.iter().map(|(name, (before, after))| (name, json!({ "before": before, "after": after }))).collect();
        let changes: Vec<serde_json::Value> = comparison
            .ranked()
            .iter()
            .map(|(change, changed)| {
                json!({ "kind": change.kind, "label": change.label, "from": change.from, "to": change.to, "rows": changed.rows,
                    "examples": changed.examples })
            })
            .collect();
        json!({ "labels": comparison.labels, "categories": categories, "changes": changes })
    };
    json!({
        "articles": report.articles,
        "failed": report.failed,
        "standing_versions": report.versions,
        "strict_to_mended": comparison(&report.rules),
        "standing_to_strict": comparison(&report.model),
        "standing_to_mended": comparison(&report.rows),
    })
}

fn show(report: &Report, options: &Parity) {
    anstream::println!("{} articles{}; rows that stand, by extractor_version:", report.articles, of_source(options));
    for (version, rows) in &report.versions {
        anstream::println!("  {rows:>8} {}", if version.is_empty() { "(none)" } else { version });
    }
    show_comparison("the rules alone: strict rules against ours, over the same model output", &report.rules);
    show_comparison("the model alone: rows that stand against strict rules over nerd's model", &report.model);
    show_comparison("both: rows that stand against those that nerd would write", &report.rows);
}

fn show_comparison(title: &str, comparison: &Comparison) {
    anstream::println!("\n{title}");
    let mut labels = table(&["label", "before", "after", "the same", "gone", "new", "other category", "other match"]);
    for (label, counts) in &comparison.labels {
        let numbers = [counts.before, counts.after, counts.same, counts.gone, counts.new, counts.other_category, counts.other_match];
        labels.add_row([vec![label.clone()], numbers.map(|number| number.to_string()).to_vec()].concat());
    }
    anstream::println!("{labels}");
    let mut categories = table(&["category", "before", "after"]);
    for (category, (before, after)) in &comparison.categories {
        categories.add_row([category.clone(), before.to_string(), after.to_string()]);
    }
    anstream::println!("{categories}");
    let ranked = comparison.ranked();
    if ranked.is_empty() {
        anstream::println!("nothing changes");
        return;
    }
    let mut changes = table(&["change", "label", "from", "to", "rows", "examples"]);
    for (change, changed) in ranked.iter().take(MOST_SHOWN) {
        let line = [change.kind, &change.label, &change.from, &change.to].map(str::to_owned);
        changes.add_row([line.to_vec(), vec![changed.rows.to_string(), changed.examples.join("; ")]].concat());
    }
    anstream::println!("{changes}");
    if ranked.len() > MOST_SHOWN {
        anstream::println!("and {} rarer ones: --json shows all", ranked.len() - MOST_SHOWN);
    }
}
