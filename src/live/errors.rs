//! Pure: the last things that went wrong, newest first. One that comes again at once is counted, not repeated: a database that is
//! away for an hour is one line.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Lines that are kept.
const KEPT: usize = 20;
/// Characters of a message.
const LONGEST: usize = 500;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Occurrence {
    /// Unix milliseconds, of the last time.
    pub at: u64,
    /// `process`, `database` or `article`.
    pub kind: Cow<'static, str>,
    /// Never a part of a text.
    pub message: String,
    /// The article it happened to.
    pub article: Option<String>,
    /// How often in a row.
    pub times: u64,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Errors(VecDeque<Occurrence>);

impl Errors {
    pub fn push(&mut self, at: u64, kind: &'static str, message: &str, article: Option<&str>) {
        let message: String = message.chars().take(LONGEST).collect();
        if let Some(last) = self.0.iter_mut().find(|last| last.kind == kind)
            && (&last.message, last.article.as_deref()) == (&message, article)
        {
            (last.at, last.times) = (at, last.times + 1);
            return;
        }
        self.0.truncate(KEPT - 1);
        self.0.push_front(Occurrence { at, kind: kind.into(), message, article: article.map(str::to_owned), times: 1 });
    }

    pub fn all(&self) -> Vec<Occurrence> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_counted() {
        let mut errors = Errors::default();
        errors.push(1, "database", "refused", None);
        errors.push(2, "article", "too long", Some("a-1"));
        errors.push(3, "database", "refused", None);
        errors.push(4, "article", "too long", Some("a-2"));
        let all = errors.all();
        let shown: Vec<_> = all.iter().map(|one| (one.at, &*one.kind, one.times, one.article.as_deref())).collect();
        assert_eq!(shown, [(4, "article", 1, Some("a-2")), (2, "article", 1, Some("a-1")), (3, "database", 2, None)]);
    }

    #[test]
    fn the_oldest_go_and_long_ones_are_cut() {
        let mut errors = Errors::default();
        (0..50).for_each(|n| errors.push(n, "process", &format!("{n}{}", "ä".repeat(1000)), None));
        let all = errors.all();
        assert_eq!((all.len(), all[0].at, all[KEPT - 1].at), (KEPT, 49, 30));
        assert_eq!(all[0].message.chars().count(), LONGEST);
    }
}
