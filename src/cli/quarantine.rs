//! `nerd quarantine` and `nerd retry`: which articles failed for good, for what reasons, and back to the queue with those whose reason
//! is gone.

use serde_json::json;

use super::FAILED;
use super::arguments::{Quarantine, Retry};
use super::operate::{block_on, fail, print_json, table};
use crate::app;
use crate::settings::Settings;
use crate::store::{QuarantineFilter, QuarantineReason, Quarantined, StoreError};

pub fn quarantine(settings: &Settings, options: &Quarantine) -> anyhow::Result<u8> {
    let store = match app::open_store(settings) {
        Ok(store) => store,
        Err(error) => return Ok(fail(&error)),
    };
    let filter = QuarantineFilter { source: options.source.clone(), since: options.since };
    let read = block_on(async {
        let (total, reasons) = store.quarantine_reasons(&filter).await?;
        Ok::<_, StoreError>((total, reasons, store.quarantine(&filter, options.limit).await?))
    })?;
    let (total, reasons, articles) = match read {
        Ok(read) => read,
        Err(error) => return Ok(fail(&error)),
    };
    if options.json {
        print_json(&json!({ "total": total, "reasons": reasons, "articles": articles }));
        return Ok(0);
    }
    let what = described(&filter);
    if total == 0 {
        anstream::println!("nothing{what} is in quarantine");
        return Ok(0);
    }
    anstream::println!("{total}{what} in quarantine");
    // Where each has a reason of its own, the list of articles says it all.
    if reasons.iter().any(|reason| reason.articles > 1) {
        anstream::println!("{}", reasons_table(&reasons));
    }
    anstream::println!("{}", articles_table(&articles));
    if (articles.len() as u64) < total {
        anstream::println!("the latest {}; --limit {total} shows all", articles.len());
    }
    anstream::println!(
        "`nerd explain ARTICLE` reads one of them again; `nerd retry ARTICLE…` or `nerd retry --all` sends them back to the queue"
    );
    Ok(0)
}

/// " of gazette of the last 24h", or nothing.
fn described(filter: &QuarantineFilter) -> String {
    let source = filter.source.as_ref().map(|source| format!(" of {source}"));
    let since = filter.since.map(|since| format!(" of the last {}", humantime::format_duration(since)));
    source.unwrap_or_default() + &since.unwrap_or_default()
}

fn reasons_table(reasons: &[QuarantineReason]) -> comfy_table::Table {
    let mut shown = table(&["articles", "sources", "error"]);
    for reason in reasons {
        shown.add_row([reason.articles.to_string(), reason.sources.to_string(), reason.error.clone().unwrap_or_default()]);
    }
    shown
}

pub(super) fn articles_table(articles: &[Quarantined]) -> comfy_table::Table {
    let mut shown = table(&["quarantined article", "source", "since", "attempts", "crashes", "error"]);
    for article in articles {
        shown.add_row([
            article.article_id.clone(),
            article.source.clone(),
            article.quarantined_at.clone(),
            article.attempts.to_string(),
            article.crashes.to_string(),
            article.error.clone().unwrap_or_default(),
        ]);
    }
    shown
}

pub fn retry(settings: &Settings, options: &Retry) -> anyhow::Result<u8> {
    let store = match app::open_store(settings) {
        Ok(store) => store,
        Err(error) => return Ok(fail(&error)),
    };
    let named = (!options.all).then_some(options.articles.as_slice());
    let back = match block_on(store.retry(named))? {
        Ok(back) => back,
        Err(error) => return Ok(fail(&error)),
    };
    anstream::println!("{} back in the queue", back.len());
    let mut missing = 0;
    for article in options.articles.iter().filter(|article| !back.contains(article)) {
        anstream::eprintln!("nerd: {article} is not in quarantine");
        missing += 1;
    }
    Ok(if missing > 0 { FAILED } else { 0 })
}
