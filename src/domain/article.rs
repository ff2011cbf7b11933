//! An article on its way through the daemon: claimed from the host's tables under a token, worked on, given up or completed.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// The host's identifier of an article (`articles.id`, a varchar).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArticleId(pub Arc<str>);

impl ArticleId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ArticleId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Names one claim: every later statement about the claimed articles carries it, so that a late writer loses to a newer claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimToken(pub Uuid);

/// One article as the claim returned it. The text is exactly `articles.text` (or, in the pool, what of it is read when a part of it
/// is scrambled), never shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimedArticle {
    pub id: ArticleId,
    pub text: Arc<str>,
    /// `articles.text_hash`, verbatim.
    pub text_hash: Option<String>,
    /// `candidate_links.source`, for filters and fairness; never a metric label.
    pub source: String,
    pub source_id: Option<String>,
    pub dataset_id: Option<String>,
    /// Failed attempts so far, this one not counted.
    pub attempts: u32,
    /// How often a process died while it held the article.
    pub crashes: u32,
}

impl fmt::Debug for ClaimedArticle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClaimedArticle")
            .field("id", &self.id)
            .field("text_bytes", &self.text.len())
            .field("attempts", &self.attempts)
            .field("crashes", &self.crashes)
            .finish_non_exhaustive()
    }
}

/// The articles of one claim, or a part of them when a failing batch was split; the parts keep the token.
#[derive(Clone, Debug)]
pub struct Batch {
    pub token: ClaimToken,
    pub articles: Vec<ClaimedArticle>,
    /// It is a suspect, claimed alone: its process must do nothing else meanwhile, or a death would be laid at the wrong door.
    pub alone: bool,
    /// A suspect was due, and was not asked for.
    pub suspect_waits: bool,
}

/// An article that could not be annotated, with the error that goes into its job.
#[derive(Clone, Debug)]
pub struct Rejection {
    pub article: ClaimedArticle,
    /// Why, in words; never a part of the text.
    pub error: String,
    /// Failed attempts that this one counts for: 1, or more where trying cost more than time (a stalled thread).
    pub weight: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_never_holds_the_text() {
        let article = ClaimedArticle {
            id: ArticleId::new("a-1"),
            text: "the council met in secret".into(),
            text_hash: None,
            source: "gazette".into(),
            source_id: None,
            dataset_id: None,
            attempts: 0,
            crashes: 0,
        };
        assert!(!format!("{article:?}").contains("secret"));
    }
}
