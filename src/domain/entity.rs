//! What the engine finds: labelled spans of an article's text.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::article::ClaimedArticle;

/// A labelled span. Offsets count Unicode code points from 0, the end is exclusive; `text` is that slice of the stored text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    pub text: String,
    pub label: Arc<str>,
    pub start: usize,
    pub end: usize,
    /// Mean probability of the words' labels, 0 to 1.
    pub score: f32,
}

/// An article with its entities, in the order of their starts.
#[derive(Clone, Debug)]
pub struct AnnotatedArticle {
    pub article: ClaimedArticle,
    pub entities: Vec<Entity>,
}
