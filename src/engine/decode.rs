//! From scores to entities: the best legal label path of a window, and the spans it names. Pure.

use std::sync::Arc;

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::domain::Entity;

/// The labels of a model and which may follow which.
pub struct Labels {
    kinds: Vec<Kind>,
    /// `allowed[previous * count + next]`.
    allowed: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Outside,
    Begin(Arc<str>),
    Inside(Arc<str>),
}

impl Labels {
    /// From names such as `O`, `B-PERSON`, `I-PERSON`. A name without a prefix is an inside label of its own type. Where a
    /// type has no `B-` label (IO tagging), its `I-` label is legal anywhere.
    pub fn new(names: &[String]) -> Self {
        let kinds: Vec<Kind> = names
            .iter()
            .map(|name| match name.split_once('-') {
                _ if name == "O" => Kind::Outside,
                Some(("B", label)) => Kind::Begin(label.into()),
                Some(("I", label)) => Kind::Inside(label.into()),
                _ => Kind::Inside(name.as_str().into()),
            })
            .collect();
        let count = kinds.len();
        let mut allowed = vec![true; count * count];
        for (previous, before) in kinds.iter().enumerate() {
            for (next, after) in kinds.iter().enumerate() {
                if let Kind::Inside(label) = after {
                    let begins = kinds.contains(&Kind::Begin(label.clone()));
                    let continues = matches!(before, Kind::Begin(l) | Kind::Inside(l) if l == label);
                    allowed[previous * count + next] = continues || !begins;
                }
            }
        }
        Self { kinds, allowed }
    }

    pub fn count(&self) -> usize {
        self.kinds.len()
    }

    /// The types that entities can have, without prefixes.
    pub fn types(&self) -> Vec<Arc<str>> {
        let mut types: Vec<Arc<str>> = Vec::new();
        for kind in &self.kinds {
            if let Kind::Begin(label) | Kind::Inside(label) = kind
                && !types.contains(label)
            {
                types.push(label.clone());
            }
        }
        types
    }

    fn may_start(&self, label: usize) -> bool {
        match &self.kinds[label] {
            Kind::Inside(name) => !self.kinds.contains(&Kind::Begin(name.clone())),
            _ => true,
        }
    }

    /// The best legal path over rows of log-probabilities (`rows × count`), ties to the lower label (Viterbi, 1967, with
    /// transitions of 0 or minus infinity). Legal whatever the numbers are: one that is none, or infinite, is a very bad one.
    pub fn best_path(&self, log_probabilities: &[f32]) -> Vec<usize> {
        let count = self.count();
        let rows = log_probabilities.len() / count.max(1);
        if rows == 0 {
            return Vec::new();
        }
        let mut scores: Vec<f32> =
            (0..count).map(|label| if self.may_start(label) { bounded(log_probabilities[label]) } else { f32::NEG_INFINITY }).collect();
        let mut back = vec![0usize; rows * count];
        let mut next_scores = vec![0.0f32; count];
        for row in 1..rows {
            for next in 0..count {
                let (mut best, mut from) = (f32::NEG_INFINITY, 0);
                for (previous, &score) in scores.iter().enumerate() {
                    if score > best && self.allowed[previous * count + next] {
                        (best, from) = (score, previous);
                    }
                }
                next_scores[next] = best + bounded(log_probabilities[row * count + next]);
                back[row * count + next] = from;
            }
            std::mem::swap(&mut scores, &mut next_scores);
        }
        let mut label = 0;
        for candidate in 1..count {
            if scores[candidate] > scores[label] {
                label = candidate;
            }
        }
        let mut path = vec![0; rows];
        for row in (0..rows).rev() {
            path[row] = label;
            label = back[row * count + label];
        }
        path
    }

    /// The entities of a window: `words` are byte spans of `text`, `probabilities` their softmax rows (`words × count`).
    /// Offsets of the entities are still bytes; [`to_code_points`] converts a text's entities at once. `limit` is where the next
    /// window begins.
    pub fn entities(&self, text: &str, words: &[std::ops::Range<usize>], limit: usize, probabilities: &[f32], out: &mut Vec<Entity>) {
        let count = self.count();
        let logs: Vec<f32> = probabilities.iter().map(|p| p.ln()).collect();
        let path = self.best_path(&logs);
        let next = |index: usize| words.get(index + 1).map_or(limit, |word| word.start);
        let mut open: Option<Open> = None;
        for (index, &label) in path.iter().enumerate() {
            let probability = probabilities[index * count + label];
            match &self.kinds[label] {
                Kind::Inside(name) if open.as_ref().is_some_and(|o| o.label == *name) => {
                    if let Some(entity) = &mut open {
                        (entity.end, entity.next) = (words[index].end, next(index));
                        entity.total += f64::from(probability);
                        entity.words += 1;
                    }
                }
                Kind::Outside => Open::close(open.take(), text, out),
                Kind::Begin(name) | Kind::Inside(name) => {
                    Open::close(open.take(), text, out);
                    open = Some(Open {
                        label: name.clone(),
                        start: words[index].start,
                        end: words[index].end,
                        next: next(index),
                        total: f64::from(probability),
                        words: 1,
                    });
                }
            }
        }
        Open::close(open, text, out);
    }
}

struct Open {
    label: Arc<str>,
    start: usize,
    end: usize,
    /// Where the word after it begins.
    next: usize,
    total: f64,
    words: u32,
}

/// So that sums of a window's numbers stay finite, and precise.
fn bounded(log_probability: f32) -> f32 {
    if log_probability.is_nan() { -1e6 } else { log_probability.clamp(-1e6, 1e6) }
}

impl Open {
    fn close(open: Option<Self>, text: &str, out: &mut Vec<Entity>) {
        let Some(Self { label, start, mut end, next, total, words }) = open else {
            return;
        };
        // The normalizer drops combining marks, so a word's last piece may end before its marks; after a bracket they are a word.
        end += text[end..next.max(end)]
            .chars()
            .take_while(|c| c.general_category_group() == GeneralCategoryGroup::Mark)
            .map(char::len_utf8)
            .sum::<usize>();
        let score = (total / f64::from(words)) as f32;
        out.push(Entity { text: text[start..end].to_owned(), label, start, end, score });
    }
}

/// Lets no two entities share a character: one letter can be several pieces (a syllable of Hangul, a ligature), the first of two
/// windows or words then has it. The entities are sorted by start; offsets are bytes.
pub fn set_apart(text: &str, entities: &mut Vec<Entity>) {
    let mut taken = 0;
    entities.retain_mut(|entity| {
        if entity.start < taken {
            entity.start = taken.min(entity.end);
            entity.text = text[entity.start..entity.end].to_owned();
        }
        taken = taken.max(entity.end);
        entity.start < entity.end
    });
}

/// Turns byte offsets into code points, one pass over the text; the entities are sorted by start.
pub fn to_code_points(text: &str, entities: &mut [Entity]) {
    let (mut bytes, mut points) = (0, 0);
    let mut at = |offset: usize| {
        if offset < bytes {
            return text[..offset].chars().count();
        }
        points += text[bytes..offset].chars().count();
        bytes = offset;
        points
    };
    for entity in entities {
        entity.start = at(entity.start);
        entity.end = at(entity.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> Vec<String> {
        ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"].map(String::from).to_vec()
    }

    #[test]
    fn an_inside_label_needs_its_beginning() {
        let labels = Labels::new(&names());
        // The second word prefers I-LOC, which cannot follow B-PER.
        let p = [0.1, 0.8, 0.0, 0.05, 0.05, 0.1, 0.05, 0.3, 0.05, 0.5f32];
        let path = labels.best_path(&p.map(f32::ln));
        assert_eq!(path, [1, 2]);
    }

    #[test]
    fn io_labels_are_legal_anywhere() {
        let labels = Labels::new(&["O", "I-PER"].map(String::from));
        assert_eq!(labels.best_path(&[0.1f32.ln(), 0.9f32.ln()]), [1]);
    }

    #[test]
    fn slices_with_marks_and_counts_code_points() {
        let labels = Labels::new(&names());
        let text = "é José\u{301}, x";
        let words = vec![3..8usize; 1];
        let mut entities = Vec::new();
        labels.entities(text, &words, text.len(), &[0.0, 1.0, 0.0, 0.0, 0.0], &mut entities);
        to_code_points(text, &mut entities);
        assert_eq!(entities.len(), 1);
        assert_eq!((entities[0].start, entities[0].end), (2, 7));
        assert_eq!(entities[0].text, "José\u{301}");
    }

    #[test]
    fn marks_that_begin_a_word_are_not_taken_from_it() {
        let labels = Labels::new(&names());
        let text = "(\u{903}e";
        let mut entities = Vec::new();
        labels.entities(text, &[0..1, 1..5], text.len(), &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], &mut entities);
        assert_eq!(entities.iter().map(|entity| entity.text.as_str()).collect::<Vec<_>>(), ["(", "\u{903}e"]);
    }

    #[test]
    fn a_letter_of_two_entities_is_the_first_ones() {
        let entity = |start, end| Entity { text: "각 x"[start..end].to_owned(), label: "PER".into(), start, end, score: 0.5 };
        let mut entities = vec![entity(0, 3), entity(0, 3), entity(0, 5)];
        set_apart("각 x", &mut entities);
        assert_eq!(entities.iter().map(|e| (e.text.as_str(), e.start, e.end)).collect::<Vec<_>>(), [("각", 0, 3), (" x", 3, 5)]);
    }

    #[test]
    fn no_numbers_make_an_illegal_path() {
        let labels = Labels::new(&["I-PER", "B-PER", "O"].map(String::from));
        for odd in [f32::NAN, f32::NEG_INFINITY, f32::INFINITY] {
            for path in [labels.best_path(&[0.0, odd, odd]), labels.best_path(&[odd; 9]), labels.best_path(&[0.0, odd, odd, 0.0, odd, odd])]
            {
                assert!(path[0] != 0 && path.windows(2).all(|pair| pair != [2, 0]), "{path:?}");
            }
        }
    }

    fn legal(path: &[usize]) -> bool {
        path.iter().enumerate().all(|(i, &l)| match l {
            2 => i > 0 && (path[i - 1] == 1 || path[i - 1] == 2),
            4 => i > 0 && (path[i - 1] == 3 || path[i - 1] == 4),
            _ => true,
        })
    }

    proptest! {
        #[test]
        fn equals_the_best_of_all_legal_paths(rows in prop::collection::vec(prop::array::uniform5(0.01f32..1.0), 1..5)) {
            let labels = Labels::new(&names());
            let logs: Vec<f32> = rows.iter().flatten().map(|p| p.ln()).collect();
            let path = labels.best_path(&logs);
            prop_assert!(legal(&path));
            let score = |p: &[usize]| p.iter().enumerate().map(|(i, &l)| logs[i * 5 + l]).sum::<f32>();
            let mut all = vec![vec![]];
            for _ in 0..rows.len() {
                all = all.into_iter().flat_map(|p: Vec<usize>| (0..5).map(move |l| [p.clone(), vec![l]].concat())).collect();
            }
            let best = all.iter().filter(|p| legal(p)).map(|p| score(p)).fold(f32::NEG_INFINITY, f32::max);
            prop_assert!((score(&path) - best).abs() < 1e-4);
        }
    }
}
