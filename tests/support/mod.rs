//! What the integration tests share.
#![allow(dead_code)] // each test binary uses its own part

pub mod articles;
pub mod chromium;
pub mod database;
pub mod plan;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod queries;
pub mod rig;

use std::sync::LazyLock;

use nerd::domain::{ClaimedArticle, ExtractorVersion};
use nerd::store::Reusable;

/// The name of the rows that tests write.
pub fn version() -> &'static ExtractorVersion {
    static VERSION: LazyLock<ExtractorVersion> = LazyLock::new(|| ExtractorVersion::new("nerd-test"));
    &VERSION
}

/// Articles without a gazetteer, as they are asked for copies.
pub fn reusable(articles: &[ClaimedArticle]) -> Vec<Reusable> {
    articles.iter().map(|article| Reusable { id: article.id.clone(), gazetteer: None }).collect()
}
