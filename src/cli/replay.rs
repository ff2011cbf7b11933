//! `nerd replay --model DIR --since T`: what another model would have found in articles that are done, against the rows that stand for
//! them. A shadow: everything is compared here, the database's sessions refuse to write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context;
use indicatif::ProgressBar;
use serde_json::json;
use uuid::Uuid;

use super::arguments::Replay;
use super::operate::{block_on, fail, print_json, table};
use super::parity::progress_bar;
use super::pool::annotate_all;
use super::{CONFIGURATION, FAILED};
use crate::actors::job::Prepared;
use crate::actors::matcher::mentions;
use crate::actors::scopes::{ScopeOptions, Scopes};
use crate::app;
use crate::domain::difference::{Difference, Named};
use crate::domain::{ClaimedArticle, Entity, ScopeKey};
use crate::engine::EngineFactory;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::store::postgres::PostgresStore;
use crate::store::postgres::explain::PlacedRow;
use crate::store::postgres::replay::Replayed;
use crate::store::postgres::rows::rows_of;
use crate::store::{ArticleStore, Claimant, StoreError};

/// Articles held at a time, and texts of one call to the engine.
const PAGE: usize = 256;
const BATCH_TEXTS: usize = 16;
/// Changes shown on the terminal; JSON has them all.
const MOST_SHOWN: usize = 25;

/// What came of it.
#[derive(Default)]
struct Report {
    difference: Difference,
    /// Versions of the rows compared with, and articles of each.
    versions: std::collections::BTreeMap<String, u64>,
    failed: u64,
}

/// An article with the rows that stand, ready to be read.
type Page = Vec<(Prepared, Vec<PlacedRow>)>;

pub fn replay(settings: &Settings, options: &Replay) -> anyhow::Result<u8> {
    let factory = match app::load_weights(settings, &Metrics::new()) {
        Ok(factory) => factory,
        Err(error) => {
            anstream::eprintln!("nerd: {error}");
            return Ok(CONFIGURATION);
        }
    };
    let shadow = app::extractor_version(settings, factory.model());
    if options.against.as_deref() == Some(shadow.as_str()) {
        anstream::eprintln!("nerd: {shadow} is what this very model writes: name another with --model, or leave --against out");
        return Ok(CONFIGURATION);
    }
    let claimant = Claimant { boot_id: Uuid::new_v4(), host: app::host() };
    let store = match PostgresStore::read_only(&app::store_options(settings), claimant) {
        Ok(store) => Arc::new(store),
        Err(error) => return Ok(fail(&error)),
    };
    let asked = Replayed {
        since: humantime::format_rfc3339(options.since.0).to_string(),
        shadow: &shadow,
        against: options.against.as_deref(),
        source: options.source.as_deref(),
        limit: options.limit,
    };
    let ids = match block_on(store.done_since(&asked))? {
        Ok(ids) => ids,
        Err(error) => return Ok(fail(&error)),
    };
    if ids.is_empty() {
        anstream::eprintln!("nerd: no article was done since {} by another model than {shadow}", asked.since);
        return Ok(FAILED);
    }
    let factory: Arc<dyn EngineFactory> = Arc::new(factory);
    let bar = progress_bar(ids.len() as u64);
    let mut report = Report::default();
    for some in ids.chunks(PAGE) {
        match block_on(page(settings, &store, &asked, some))? {
            Ok(page) => report.read(settings, &factory, page, &bar)?,
            Err(error) => {
                bar.finish_and_clear();
                return Ok(fail(&error));
            }
        }
    }
    bar.finish_and_clear();
    if options.json {
        print_json(&as_json(&report, shadow.as_str()));
    } else {
        show(&report, shadow.as_str());
    }
    Ok(if report.failed > 0 { FAILED } else { 0 })
}

/// Texts, rows and gazetteers of some articles. A page's gazetteers are read for it: held ones would grow with the articles.
async fn page(
    settings: &Settings,
    store: &Arc<PostgresStore>,
    asked: &Replayed<'_>,
    ids: &[crate::domain::ArticleId],
) -> Result<Page, StoreError> {
    let found = store.with_rows(asked, ids).await?;
    let key = |article: &ClaimedArticle| {
        ScopeKey::new(article.source_id.as_deref(), article.dataset_id.as_deref()).filter(|_| settings.gazetteer.enabled)
    };
    let keys: Vec<Option<ScopeKey>> = found.iter().map(|(article, _)| key(article)).collect();
    let compat = settings.output.rules.compat;
    let options = ScopeOptions { memory_bytes: settings.gazetteer.memory_bytes, refresh: settings.gazetteer.refresh, compat };
    let dyn_store: Arc<dyn ArticleStore> = store.clone();
    let scopes = Scopes::new(options, dyn_store, Metrics::new()).of(&keys).await?;
    let preparation = app::preparation(settings, compat);
    let prepared = found.into_iter().zip(scopes).map(|((article, rows), scope)| {
        let decoded = preparation.read(&article.text);
        (Prepared { article, decoded, scope }, rows)
    });
    Ok(prepared.collect())
}

impl Report {
    fn read(&mut self, settings: &Settings, factory: &Arc<dyn EngineFactory>, page: Page, bar: &ProgressBar) -> anyhow::Result<()> {
        let texts: Vec<Arc<str>> = page.iter().map(|(prepared, _)| prepared.text().clone()).collect();
        let mut batches: Vec<Vec<Arc<str>>> = texts.chunks(BATCH_TEXTS).map(<[_]>::to_vec).collect();
        batches.reverse();
        let answers: Mutex<Vec<Result<Vec<Entity>, String>>> = Mutex::default();
        annotate_all(
            factory,
            app::workers(settings),
            move || batches.pop(),
            |outcomes| {
                bar.inc(outcomes.len() as u64);
                answers.lock().unwrap_or_else(PoisonError::into_inner).extend(outcomes);
            },
        )
        .context("annotating")?;
        let answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        for ((prepared, rows), answer) in page.into_iter().zip(answers) {
            match answer {
                Ok(entities) => self.add(settings, prepared, &rows, entities),
                Err(error) => {
                    anstream::eprintln!("nerd: article {}: {error}", prepared.article.id);
                    self.failed += 1;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, settings: &Settings, prepared: Prepared, standing: &[PlacedRow], entities: Vec<Entity>) {
        let version = standing.first().and_then(|placed| placed.row.extractor_version.clone());
        *self.versions.entry(version.unwrap_or_default()).or_default() += 1;
        let found = mentions(prepared.scope.as_deref(), prepared.text(), entities);
        let made = rows_of(&prepared.annotated(found), &settings.output.rules).rows;
        let place = |meta: &serde_json::Value, key: &str| meta[key].as_u64().and_then(|place| usize::try_from(place).ok());
        let after: Vec<Named> = made
            .iter()
            .filter(|row| row.category.is_some())
            .map(|row| Named {
                label: row.entity_label.clone(),
                norm: row.entity_norm.clone(),
                text: row.entity_text.clone(),
                place: place(&row.meta, "start_char").zip(place(&row.meta, "end_char")),
            })
            .collect();
        let before: Vec<Named> = standing
            .iter()
            .filter(|placed| placed.row.label.as_deref() != Some("SENTINEL"))
            .map(|placed| Named {
                label: placed.row.label.clone().unwrap_or_default(),
                norm: placed.row.norm.clone().unwrap_or_default(),
                text: placed.row.text.clone(),
                place: placed.start.zip(placed.end),
            })
            .collect();
        self.difference.add(&before, &after);
    }
}

fn as_json(report: &Report, shadow: &str) -> serde_json::Value {
    let changes: Vec<serde_json::Value> = report
        .difference
        .ranked()
        .iter()
        .map(|(change, changed)| {
            json!({ "kind": change.kind, "from": change.from, "to": change.to, "names": changed.names, "examples": changed.examples })
        })
        .collect();
    json!({ "shadow": shadow, "against": report.versions, "articles": report.difference.articles,
        "changed_articles": report.difference.changed_articles, "failed": report.failed, "labels": report.difference.labels, "changes": changes })
}

fn show(report: &Report, shadow: &str) {
    let difference = &report.difference;
    anstream::println!(
        "{} articles, {} of them other than they stand; shadow {shadow}, against:",
        difference.articles,
        difference.changed_articles
    );
    for (version, articles) in &report.versions {
        anstream::println!("  {articles:>8} {}", if version.is_empty() { "(none)" } else { version });
    }
    let mut labels = table(&["label", "before", "after", "the same", "added", "removed", "relabelled", "moved"]);
    for (label, counts) in &difference.labels {
        let numbers = [counts.before, counts.after, counts.same, counts.added, counts.removed, counts.relabelled, counts.moved];
        labels.add_row([vec![label.clone()], numbers.map(|number| number.to_string()).to_vec()].concat());
    }
    anstream::println!("{labels}");
    let ranked = difference.ranked();
    if ranked.is_empty() {
        anstream::println!("nothing changes");
        return;
    }
    let mut changes = table(&["change", "from", "to", "names", "examples"]);
    for (change, changed) in ranked.iter().take(MOST_SHOWN) {
        let kind = format!("{:?}", change.kind).to_lowercase();
        changes.add_row([kind, change.from.clone(), change.to.clone(), changed.names.to_string(), changed.examples.join("; ")]);
    }
    anstream::println!("{changes}");
    if ranked.len() > MOST_SHOWN {
        anstream::println!("and {} rarer ones: --json shows all", ranked.len() - MOST_SHOWN);
    }
}

/// A moment: so long ago, or a date with or without a time (UTC).
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let then = SystemTime::now().checked_sub(ago).filter(|then| *then >= SystemTime::UNIX_EPOCH);
        return then.map(Moment).ok_or_else(|| "that is before 1970".to_owned());
    }
    let whole = if text.len() == "2026-01-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    humantime::parse_rfc3339_weak(&whole).map(Moment).map_err(|_| "write 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z".to_owned())
}

/// See [`moment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub SystemTime);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_as_people_write_them() {
        let day = moment("2026-01-31").unwrap();
        assert_eq!(day, moment("2026-01-31T00:00:00Z").unwrap());
        assert_eq!(moment("2026-01-31 01:00:00").unwrap().0.duration_since(day.0).unwrap(), Duration::from_secs(3_600));
        let then = moment("7d").unwrap().0;
        let ago = SystemTime::now().duration_since(then).unwrap();
        assert!(ago >= Duration::from_secs(7 * 86_400) && ago < Duration::from_secs(7 * 86_400 + 60));
        assert!(moment("yesterday").is_err() && moment("1000000y").is_err());
    }
}
