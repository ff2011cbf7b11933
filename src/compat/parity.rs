//! What changes between two sets of rows of the same articles, counted by label and by category, with examples.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

/// Examples kept of each kind of change.
const EXAMPLES: usize = 5;

/// A row as it is compared: by name and label, whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub label: String,
    pub norm: String,
    pub text: String,
    /// `category`, or `category/subcategory`; empty for none.
    pub category: String,
    /// Name of the gazetteer's row; empty for none.
    pub matched: String,
}

/// Rows of one label or category.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub before: u64,
    pub after: u64,
    /// In both, alike in all that is compared.
    pub same: u64,
    pub gone: u64,
    pub new: u64,
    /// In both, with another category; or with another match.
    pub other_category: u64,
    pub other_match: u64,
}

/// What kind of change, from what to what.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// gone, new, category or match.
    pub kind: &'static str,
    pub label: String,
    pub from: String,
    pub to: String,
}

/// How often, and of which names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub rows: u64,
    /// Texts of entities, the first ones met.
    pub examples: Vec<String>,
}

/// The comparison of two sets of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub labels: BTreeMap<String, Counts>,
    /// Rows before and after.
    pub categories: BTreeMap<String, (u64, u64)>,
    pub changes: HashMap<Change, Changed>,
}

impl Comparison {
    /// Adds one article: its rows before and after.
    pub fn add(&mut self, before: &[Line], after: &[Line]) {
        let key = |line: &Line| (line.label.clone(), line.norm.clone());
        let mut left: HashMap<(String, String), &Line> = HashMap::new();
        for line in before {
            self.categories.entry(line.category.clone()).or_default().0 += 1;
            self.counts(line).before += 1;
            // The same row of two versions is one.
            if left.insert(key(line), line).is_some() {
                self.counts(line).before -= 1;
                self.categories.entry(line.category.clone()).or_default().0 -= 1;
            }
        }
        for line in after {
            self.categories.entry(line.category.clone()).or_default().1 += 1;
            self.counts(line).after += 1;
            let Some(was) = left.remove(&key(line)) else {
                self.counts(line).new += 1;
                self.note("new", line, "", &line.category);
                continue;
            };
            let (category, matched) = (was.category != line.category, was.matched != line.matched);
            let counts = self.counts(line);
            counts.same += u64::from(!category && !matched);
            counts.other_category += u64::from(category);
            counts.other_match += u64::from(matched);
            if category {
                self.note("category", line, &was.category, &line.category);
            }
            if matched {
                self.note("match", line, shown(&was.matched), shown(&line.matched));
            }
        }
        let mut gone: Vec<&Line> = left.into_values().collect();
        gone.sort_by(|one, two| (&one.label, &one.norm).cmp(&(&two.label, &two.norm)));
        for line in gone {
            self.counts(line).gone += 1;
            self.note("gone", line, &line.category, "");
        }
    }

    /// The changes, the most frequent first.
    pub fn ranked(&self) -> Vec<(&Change, &Changed)> {
        let mut ranked: Vec<(&Change, &Changed)> = self.changes.iter().collect();
        ranked.sort_by(|one, two| two.1.rows.cmp(&one.1.rows).then_with(|| one.0.cmp(two.0)));
        ranked
    }

    fn counts(&mut self, line: &Line) -> &mut Counts {
        self.labels.entry(line.label.clone()).or_default()
    }

    fn note(&mut self, kind: &'static str, line: &Line, from: &str, to: &str) {
        let change = Change { kind, label: line.label.clone(), from: from.to_owned(), to: to.to_owned() };
        let changed = self.changes.entry(change).or_default();
        changed.rows += 1;
        if changed.examples.len() < EXAMPLES && !changed.examples.contains(&line.text) {
            changed.examples.push(line.text.clone());
        }
    }
}

/// Matches are many; a change is whether there is one.
fn shown(matched: &str) -> &'static str {
    if matched.is_empty() { "none" } else { "a place" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, label: &str, category: &str, matched: &str) -> Line {
        Line {
            label: label.to_owned(),
            norm: text.to_lowercase(),
            text: text.to_owned(),
            category: category.to_owned(),
            matched: matched.to_owned(),
        }
    }

    #[test]
    fn every_kind_of_change_is_counted_once() {
        let mut comparison = Comparison::default();
        let before = [
            line("Ann Lee", "PERSON", "person", ""),
            line("Barbara Foundation", "ORG", "business", ""),
            line("Columbia", "GPE", "place", "Columbiana"),
            line("Friday", "DATE", "business", "Friday"),
            line("Ann Lee", "PERSON", "person", ""),
        ];
        let after = [
            line("Ann Lee", "PERSON", "person", ""),
            line("Barbara Foundation", "ORG", "institution", ""),
            line("Columbia", "GPE", "place", ""),
            line("MU Airport", "FAC", "landmark/transportation", "MU Airport"),
        ];
        comparison.add(&before, &after);
        let counts = |label: &str| comparison.labels[label].clone();
        assert_eq!(counts("PERSON"), Counts { before: 1, after: 1, same: 1, ..Counts::default() });
        assert_eq!(counts("ORG"), Counts { before: 1, after: 1, other_category: 1, ..Counts::default() });
        assert_eq!(counts("GPE"), Counts { before: 1, after: 1, other_match: 1, ..Counts::default() });
        assert_eq!(counts("DATE"), Counts { before: 1, gone: 1, ..Counts::default() });
        assert_eq!(counts("FAC"), Counts { after: 1, new: 1, ..Counts::default() });
        assert_eq!(comparison.categories["business"], (2, 0));
        assert_eq!(comparison.categories["person"], (1, 1));
        let shown: Vec<String> = comparison
            .ranked()
            .iter()
            .map(|(c, changed)| format!("{} {} {}>{} {:?}", c.kind, c.label, c.from, c.to, changed.examples))
            .collect();
        assert_eq!(
            shown,
            [
                "category ORG business>institution [\"Barbara Foundation\"]",
                "gone DATE business> [\"Friday\"]",
                "match GPE a place>none [\"Columbia\"]",
                "new FAC >landmark/transportation [\"MU Airport\"]",
            ]
        );
    }

    #[test]
    fn examples_are_few_and_differ() {
        let mut comparison = Comparison::default();
        for number in 0..20 {
            let name = format!("Name {}", number / 2);
            comparison.add(&[], &[line(&name, "ORG", "institution", "")]);
        }
        let (_, changed) = comparison.ranked()[0];
        assert_eq!(changed.rows, 20);
        assert_eq!(changed.examples, ["Name 0", "Name 1", "Name 2", "Name 3", "Name 4"]);
    }
}
