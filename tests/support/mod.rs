//! What the integration tests share.
#![allow(dead_code)] // each test binary uses its own part

pub mod articles;
pub mod database;
pub mod plan;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod queries;

use nerd::domain::ClaimedArticle;
use nerd::store::Reusable;

/// Articles without a gazetteer, as they are asked for copies.
pub fn reusable(articles: &[ClaimedArticle]) -> Vec<Reusable> {
    articles.iter().map(|article| Reusable { id: article.id.clone(), gazetteer: None }).collect()
}
