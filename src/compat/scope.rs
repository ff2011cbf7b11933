//! A gazetteer as the replaced step uses it: names found by whole lower-case tokens where the model found nothing, the category of a
//! known name whatever its label, and the most similar name of all for every entity.

use std::collections::{HashMap, HashSet};

use rapidfuzz::distance::indel::{Args, BatchComparator};

use super::tokens::{Token, tokens};
use crate::domain::category::Category;
use crate::domain::gazetteer::kind_of;
use crate::domain::norm::normal_form;
use crate::domain::{Entity, GazetteerMatch, GazetteerRow, Mention, Origin};

/// From so many rows on, that step compares no more: the same name alone is a match.
const MOST_COMPARED: usize = 50_000;
/// The least similarity that is a match.
const LEAST: f64 = 0.85;
/// Between the tokens of a name.
const BETWEEN: &str = "\u{0}";

/// The rows of one source and dataset.
#[derive(Debug, Default)]
pub struct Scope {
    rows: Vec<GazetteerMatch>,
    /// Tokens of a name, and the label it is found under.
    names: HashMap<String, &'static str>,
    /// Tokens that names have, longest first.
    lengths: Vec<usize>,
    /// By normal form, of the first row that has it.
    categories: HashMap<String, Category>,
    /// Rows by key, the first of each.
    keys: Vec<(String, usize)>,
    same: HashMap<String, usize>,
    compares: bool,
}

impl Scope {
    /// Of rows in any order: that of their ids decides.
    pub fn new(mut rows: Vec<GazetteerRow>) -> Self {
        rows.sort_by(|one, two| one.id.cmp(&two.id));
        let mut scope = Self { compares: rows.len() < MOST_COMPARED, ..Self::default() };
        for (place, row) in rows.iter().enumerate() {
            let name_norm = row.name_norm.as_deref().unwrap_or_default();
            scope.rows.push(GazetteerMatch {
                id: row.id.as_str().into(),
                name: row.name.as_str().into(),
                score: 0.0,
                category: row.category.as_deref().map(Into::into),
            });
            let key = if name_norm.is_empty() { normal_form(&row.name) } else { name_norm.to_owned() };
            if !key.is_empty() && !scope.same.contains_key(&key) {
                scope.same.insert(key.clone(), place);
                scope.keys.push((key, place));
            }
            if row.name.is_empty() {
                continue;
            }
            let kind = kind_of(row.category.as_deref());
            for text in [row.name.as_str(), name_norm].into_iter().filter(|text| !text.trim().is_empty()) {
                let norm = normal_form(text);
                if !norm.is_empty() {
                    scope.categories.entry(norm).or_insert_with(|| Category::new(kind.category, kind.subcategory));
                }
                scope.add_name(text, kind.label);
            }
        }
        let lengths: HashSet<usize> = scope.names.keys().map(|name| name.split(BETWEEN).count()).collect();
        scope.lengths = lengths.into_iter().collect();
        scope.lengths.sort_unstable_by(|a, b| b.cmp(a));
        scope
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes that it occupies, about.
    pub fn bytes(&self) -> usize {
        // A text's characters, and what lies around them: pointer, length, place in a table.
        let text = |length: usize| length + 48;
        let rows: usize = self.rows.iter().map(|row| 2 * text(row.id.len() + row.name.len())).sum();
        let names: usize = self.names.keys().map(|name| text(name.len())).sum();
        let keys: usize = self.keys.iter().map(|(key, _)| 2 * text(key.len())).sum();
        let categories: usize = self.categories.keys().map(|name| 2 * text(name.len())).sum();
        size_of::<Self>() + rows + names + keys + categories
    }

    fn add_name(&mut self, text: &str, label: &'static str) {
        let words: Vec<String> = tokens(text).into_iter().filter(|token| !token.space).map(|token| token.lower).collect();
        if words.is_empty() {
            return;
        }
        let known = self.names.entry(words.join(BETWEEN)).or_insert(label);
        if label == "ORG" {
            *known = label;
        }
    }

    /// The model's entities and the names found beside them, in the order of the text, each with its category and match. `text` is
    /// what the model read.
    pub fn mentions(&self, text: &str, entities: Vec<Entity>) -> Vec<Mention> {
        let mut mentions: Vec<Mention> =
            self.found(text, &entities).into_iter().map(|entity| Mention { origin: Origin::Gazetteer, ..entity.into() }).collect();
        mentions.extend(entities.into_iter().map(Mention::from));
        mentions.sort_by_key(|mention| (mention.entity.start, mention.entity.end));
        let mut known: HashMap<String, Option<GazetteerMatch>> = HashMap::new();
        for mention in &mut mentions {
            let norm = normal_form(mention.entity.text.trim());
            mention.category = self.categories.get(&norm).cloned();
            mention.matched = known.entry(norm).or_insert_with_key(|norm| self.matched(norm)).clone();
        }
        mentions
    }

    /// Names that touch no token of the model's entities: the longest in tokens, then the leftmost; dropped where an earlier one has
    /// the first or last token.
    fn found(&self, text: &str, entities: &[Entity]) -> Vec<Entity> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let tokens = tokens(text);
        let mut taken: Vec<bool> = vec![false; tokens.len()];
        for entity in entities {
            let first = tokens.partition_point(|token| token.end <= entity.start);
            for (token, taken) in tokens[first..].iter().zip(&mut taken[first..]).take_while(|(token, _)| token.start < entity.end) {
                debug_assert!(token.end > entity.start);
                *taken = true;
            }
        }
        let mut out: Vec<(usize, usize, &'static str)> = Vec::new();
        let modelled = taken.clone();
        for &length in &self.lengths {
            for first in 0..(tokens.len() + 1).saturating_sub(length) {
                let last = first + length - 1;
                if modelled[first..=last].contains(&true) || taken[first] || taken[last] {
                    continue;
                }
                if let Some(label) = self.names.get(&joined(&tokens[first..=last])) {
                    taken[first..=last].fill(true);
                    out.push((tokens[first].start, tokens[last].end, label));
                }
            }
        }
        let characters: Vec<char> = text.chars().collect();
        let entity = |(start, end, label): (usize, usize, &'static str)| Entity {
            text: characters[start..end].iter().collect(),
            label: label.into(),
            start,
            end,
            score: 1.0,
        };
        out.into_iter().map(entity).collect()
    }

    /// The row of the same key, or else the most similar one, the first of equals.
    fn matched(&self, norm: &str) -> Option<GazetteerMatch> {
        if let Some(&place) = self.same.get(norm) {
            return Some(GazetteerMatch { score: 1.0, ..self.rows[place].clone() });
        }
        if !self.compares || norm.is_empty() {
            return None;
        }
        let comparator = BatchComparator::new(norm.chars());
        let least = Args::default().score_cutoff(LEAST);
        let mut best: Option<(usize, f64)> = None;
        for (key, place) in &self.keys {
            if let Some(score) = comparator.normalized_similarity_with_args(key.chars(), &least)
                && best.is_none_or(|(_, before)| score > before)
            {
                best = Some((*place, score));
            }
        }
        best.map(|(place, score)| GazetteerMatch { score, ..self.rows[place].clone() })
    }
}

fn joined(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.lower.as_str()).collect::<Vec<_>>().join(BETWEEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, name: &str, name_norm: Option<&str>, category: &str) -> GazetteerRow {
        GazetteerRow {
            id: id.to_owned(),
            name: name.to_owned(),
            name_norm: name_norm.map(str::to_owned),
            category: Some(category.to_owned()),
            distance_miles: None,
        }
    }

    fn rows(names: &[&str]) -> Vec<GazetteerRow> {
        names.iter().enumerate().map(|(number, name)| row(&format!("g{number}"), name, None, "businesses")).collect()
    }

    fn entity(text: &str, part: &str, label: &str) -> Entity {
        let start = text[..text.find(part).unwrap()].chars().count();
        Entity { text: part.to_owned(), label: label.into(), start, end: start + part.chars().count(), score: 0.5 }
    }

    /// Text, label and origin of each mention.
    fn found(rows: &[GazetteerRow], text: &str, entities: Vec<Entity>) -> Vec<String> {
        let shown = |mention: &Mention| format!("{} {} {}", mention.entity.label, mention.entity.text, mention.origin.name());
        Scope::new(rows.to_vec()).mentions(text, entities).iter().map(shown).collect()
    }

    /// Observed on the replaced step.
    #[test]
    fn names_match_whole_tokens_and_nothing_is_folded() {
        let rows = rows(&["Boone Hospital", "St. Mary's Hospital", "Smith-Cotton High School", "Target", "Hy-Vee", "Lee Street"]);
        for text in [
            "Boone\nHospital",
            "Boone  Hospital",
            "Boone\u{a0}Hospital",
            "St. Mary’s Hospital",
            "Smith–Cotton High School",
            "targeted",
            "Lee Streets",
        ] {
            assert_eq!(found(&rows, text, vec![]), [""; 0], "{text}");
        }
        assert_eq!(found(&rows, "at hy-vee's (Target)", vec![]), ["ORG hy-vee gazetteer", "ORG Target gazetteer"]);
        assert_eq!(found(&rows, "BOONE HOSPITAL, a target", vec![]), ["ORG BOONE HOSPITAL gazetteer", "ORG target gazetteer"]);
    }

    #[test]
    fn the_model_wins_even_for_a_part() {
        let text = "Columbia Public Library";
        assert_eq!(found(&rows(&["Columbia Public Library"]), text, vec![entity(text, "Columbia", "GPE")]), ["GPE Columbia model"]);
    }

    #[test]
    fn the_longest_then_the_leftmost() {
        let rows = rows(&["Columbia", "Columbia Public Library", "Public Library of Boone"]);
        assert_eq!(
            found(&rows, "Columbia Public Library of Boone", vec![]),
            ["ORG Columbia gazetteer", "ORG Public Library of Boone gazetteer"]
        );
        assert_eq!(found(&rows, "Columbia Public Library", vec![]), ["ORG Columbia Public Library gazetteer"]);
    }

    #[test]
    fn a_names_label_is_its_categorys_and_org_before_fac() {
        let both =
            [row("a", "City Park", None, "landmarks"), row("b", "city park", None, "sports"), row("c", "Depot", None, "Transportation")];
        assert_eq!(found(&both, "City Park by the Depot", vec![]), ["ORG City Park gazetteer", "FAC Depot gazetteer"]);
        assert_eq!(found(&[row("a", "", Some("nameless"), "sports")], "nameless", vec![]), [""; 0]);
        assert_eq!(
            found(&[row("a", "MU", Some("university of missouri"), "schools")], "University of Missouri", vec![]).len(),
            1,
            "by name_norm too"
        );
    }

    #[test]
    fn a_known_name_has_its_category_whatever_the_label() {
        let text = "Faurot Field on Friday";
        let rows = [row("a", "Faurot Field", None, "sports"), row("b", "Friday", None, "businesses"), row("c", "FRIDAY", None, "schools")];
        let mentions =
            Scope::new(rows.to_vec()).mentions(text, vec![entity(text, "Faurot Field", "PERSON"), entity(text, "Friday", "DATE")]);
        assert_eq!(mentions[0].category, Some(Category::new("institution", Some("sports"))));
        assert_eq!(mentions[1].category, Some(Category::new("business", None)), "the first row's");
        assert_eq!(mentions[1].matched.as_ref().map(|matched| &*matched.id), Some("b"));
    }

    /// Scores observed on the replaced step.
    #[test]
    fn every_entity_is_matched_with_the_most_similar_name() {
        let matched = |rows: &[GazetteerRow], name: &str| {
            let mentions = Scope::new(rows.to_vec()).mentions(name, vec![entity(name, name, "PERSON")]);
            mentions[0].matched.as_ref().map(|matched| (matched.id.to_string(), (matched.score * 1000.0).round() / 1000.0))
        };
        let all = rows(&["Boone County Library", "Columbiana", "Jefferson City Park", "aaaaaaaaaaaaaaaaaccc"]);
        assert_eq!(matched(&all, "Boone County Library"), Some(("g0".to_owned(), 1.0)));
        assert_eq!(matched(&all, "Boone Cnty Library"), Some(("g0".to_owned(), 0.947)));
        assert_eq!(matched(&all, "Columbia"), Some(("g1".to_owned(), 0.889)));
        assert_eq!(matched(&all, "Jefferson City"), None, ".848");
        assert_eq!(matched(&all, "aaaaaaaaaaaaaaaaabbb"), Some(("g3".to_owned(), 0.85)));
        assert_eq!(matched(&all, "北京"), None);
        // The key is name_norm as stored, which keeps accents that the entity's norm has lost.
        assert_eq!(matched(&[row("a", "Café Berlin", Some("café berlin"), "")], "Café Berlin"), Some(("a".to_owned(), 0.952)));
        assert_eq!(matched(&rows(&["City Mall", "City Hell"]), "City Hall").unwrap().0, "g0", "the first of equals");
        let many: Vec<GazetteerRow> = (0..MOST_COMPARED).map(|number| row(&number.to_string(), "Columbiana", None, "")).collect();
        assert_eq!(matched(&many, "Columbia"), None, "too many rows to compare");
        assert_eq!(matched(&many, "Columbiana").unwrap().1, 1.0);
    }
}
