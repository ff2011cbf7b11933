//! Pure: the last articles that were done, what was found in them by label, and, only where it is asked for, the beginning of their
//! text with the names marked in it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{AnnotatedArticle, ArticleId, Mention};

/// Articles that are kept.
const KEPT: usize = 10;
/// Characters of a text that are kept.
const LONGEST: usize = 900;

/// A part of a text: a name with its label, or what is between two names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Piece {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Arc<str>>,
}

/// An article that was done.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Recent {
    /// Unix milliseconds.
    pub at: u64,
    pub article: String,
    pub source: String,
    pub words: u64,
    /// Mentions by label.
    pub found: BTreeMap<Arc<str>, u64>,
    /// The beginning of the text; `None` where texts are not shown.
    pub pieces: Option<Vec<Piece>>,
    /// There is more text than that.
    pub cut: bool,
}

/// The ring, newest first.
#[derive(Debug, Default)]
pub struct Articles {
    recent: VecDeque<Recent>,
    changes: u64,
}

impl Articles {
    /// `newest`: newest first.
    pub fn push(&mut self, newest: Vec<Recent>) {
        self.changes += u64::from(!newest.is_empty());
        newest.into_iter().rev().for_each(|article| self.recent.push_front(article));
        self.recent.truncate(KEPT);
    }

    pub fn recent(&self) -> (u64, Vec<Recent>) {
        (self.changes, self.recent.iter().cloned().collect())
    }
}

/// The last of a batch that were committed, newest first.
pub fn newest(annotated: &[AnnotatedArticle], done: &[ArticleId], at: u64, show_text: bool) -> Vec<Recent> {
    let committed = annotated.iter().rev().filter(|annotated| done.contains(&annotated.article.id));
    committed.take(KEPT).map(|annotated| recent(annotated, at, show_text)).collect()
}

fn recent(annotated: &AnnotatedArticle, at: u64, show_text: bool) -> Recent {
    let AnnotatedArticle { article, mentions, .. } = annotated;
    let mut found = BTreeMap::new();
    mentions.iter().for_each(|mention| *found.entry(mention.entity.label.clone()).or_default() += 1);
    Recent {
        at,
        article: article.id.to_string(),
        source: article.source.clone(),
        words: article.text.split_whitespace().count() as u64,
        found,
        pieces: show_text.then(|| pieces(&article.text, mentions)),
        cut: show_text && article.text.chars().nth(LONGEST).is_some(),
    }
}

/// The beginning of a text, cut at its names; a name that reaches over the end stays whole or is left out.
fn pieces(text: &str, mentions: &[Mention]) -> Vec<Piece> {
    let characters: Vec<char> = text.chars().take(LONGEST).collect();
    let slice = |start: usize, end: usize| characters[start..end].iter().collect::<String>();
    let (mut pieces, mut at) = (Vec::new(), 0);
    for entity in mentions.iter().map(|mention| &mention.entity) {
        if entity.start < at || entity.end > characters.len() || entity.start >= entity.end {
            continue;
        }
        if entity.start > at {
            pieces.push(Piece { text: slice(at, entity.start), label: None });
        }
        pieces.push(Piece { text: slice(entity.start, entity.end), label: Some(entity.label.clone()) });
        at = entity.end;
    }
    if at < characters.len() {
        pieces.push(Piece { text: slice(at, characters.len()), label: None });
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClaimedArticle, Entity};

    fn annotated(id: &str, text: &str, spans: &[(usize, usize, &str)]) -> AnnotatedArticle {
        let article = ClaimedArticle {
            id: ArticleId::new(id),
            text: text.into(),
            text_hash: None,
            source: "gazette".to_owned(),
            source_id: None,
            dataset_id: None,
            attempts: 0,
            crashes: 0,
        };
        let entity = |&(start, end, label): &(usize, usize, &str)| {
            let text = text.chars().skip(start).take(end - start).collect();
            Mention::from(Entity { text, label: label.into(), start, end, score: 1.0 })
        };
        AnnotatedArticle { article, mentions: spans.iter().map(entity).collect(), gazetteer: None }
    }

    #[test]
    fn a_text_is_cut_at_its_names_by_code_points() {
        let article = annotated("a", "Élan 🦦 met Ann Lee.", &[(0, 4, "ORG"), (11, 18, "PERSON"), (11, 14, "PERSON")]);
        let shown = recent(&article, 1, true);
        let pieces: Vec<(&str, Option<&str>)> =
            shown.pieces.as_ref().unwrap().iter().map(|piece| (piece.text.as_str(), piece.label.as_deref())).collect();
        assert_eq!(pieces, [("Élan", Some("ORG")), (" 🦦 met ", None), ("Ann Lee", Some("PERSON")), (".", None)]);
        assert_eq!((shown.found["PERSON"], shown.words, shown.cut), (2, 5, false));
    }

    #[test]
    fn a_long_text_is_cut_and_no_name_with_it() {
        let text = "word ".repeat(400);
        let article = annotated("a", &text, &[(0, 4, "ORG"), (LONGEST - 5, LONGEST + 4, "ORG"), (1995, 1999, "ORG")]);
        let shown = recent(&article, 1, true);
        let pieces = shown.pieces.unwrap();
        assert_eq!(pieces.iter().map(|piece| piece.text.chars().count()).sum::<usize>(), LONGEST);
        assert_eq!((pieces.iter().filter(|piece| piece.label.is_some()).count(), shown.cut), (1, true));
    }

    #[test]
    fn without_texts_there_is_not_a_word_of_them() {
        let shown = recent(&annotated("a", "Ann Lee met in secret", &[(0, 7, "PERSON")]), 1, false);
        let json = serde_json::to_string(&shown).unwrap();
        assert!(!json.contains("secret") && !json.contains("Ann") && json.contains(r#""PERSON":1"#), "{json}");
    }

    #[test]
    fn only_committed_ones_and_not_many() {
        let batch: Vec<AnnotatedArticle> = (0..30).map(|n| annotated(&n.to_string(), "x", &[])).collect();
        let done: Vec<ArticleId> = (0..29).map(|n| ArticleId::new(n.to_string())).collect();
        let mut articles = Articles::default();
        articles.push(newest(&batch[..2], &done, 1, false));
        articles.push(newest(&batch, &done, 2, false));
        let (changes, recent) = articles.recent();
        assert_eq!((changes, recent.len(), recent[0].article.as_str(), recent[KEPT - 1].article.as_str()), (2, KEPT, "28", "19"));
        articles.push(newest(&batch[29..], &done, 3, false));
        assert_eq!(articles.recent().0, 2, "nothing was committed");
    }
}
