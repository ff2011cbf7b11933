//! Pure: how two models differ on an article, name by name. A name keeps its label or gets another, stays in its place or moves, is
//! added or removed; nothing is counted twice.

use std::collections::BTreeMap;

use serde::Serialize;

/// Examples kept of each kind of change.
const EXAMPLES: usize = 5;

/// A name that is written for an article: one for each normal form and label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub label: String,
    pub norm: String,
    pub text: String,
    /// Its first mention, code points; `None` where nobody says.
    pub place: Option<(usize, usize)>,
}

impl Named {
    fn overlaps(&self, other: &Self) -> bool {
        self.place.zip(other.place).is_some_and(|(one, two)| one.0 < two.1 && two.0 < one.1)
    }
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Added,
    Removed,
    /// The same name under another label.
    Relabelled,
    /// The same label: the name begins or ends elsewhere, or its first mention is another.
    Moved,
}

/// A kind of change, and between which labels; an added name has none before, a removed one none after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    pub kind: Kind,
    pub from: String,
    pub to: String,
}

/// How often, and of which names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub names: u64,
    pub examples: Vec<String>,
}

/// Names of one label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub before: u64,
    pub after: u64,
    /// In both, label and place alike.
    pub same: u64,
    pub added: u64,
    pub removed: u64,
    /// Had this label, and have another.
    pub relabelled: u64,
    pub moved: u64,
}

/// The difference over any number of articles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub labels: BTreeMap<String, Counts>,
    pub changes: BTreeMap<Change, Changed>,
    pub articles: u64,
    /// Articles with any change.
    pub changed_articles: u64,
}

impl Difference {
    /// Adds an article: its names before and after. The closest kin find each other first.
    pub fn add(&mut self, before: &[Named], after: &[Named]) {
        let (mut left, mut right): (Vec<&Named>, Vec<&Named>) = (before.iter().collect(), after.iter().collect());
        left.iter().for_each(|named| self.counts(&named.label).before += 1);
        right.iter().for_each(|named| self.counts(&named.label).after += 1);
        let changes = self.names();
        for (one, two) in paired(&mut left, &mut right, |one, two| one.label == two.label && one.norm == two.norm) {
            match one.place.zip(two.place) {
                Some((was, is)) if was != is => {
                    self.counts(&one.label).moved += 1;
                    let example = format!("{} ({}..{} to {}..{})", two.text, was.0, was.1, is.0, is.1);
                    self.note(Kind::Moved, &one.label, &two.label, example);
                }
                _ => self.counts(&one.label).same += 1,
            }
        }
        for (one, two) in paired(&mut left, &mut right, |one, two| one.norm == two.norm) {
            self.counts(&one.label).relabelled += 1;
            self.note(Kind::Relabelled, &one.label, &two.label, two.text.clone());
        }
        for (one, two) in paired(&mut left, &mut right, |one, two| one.label == two.label && one.overlaps(two)) {
            self.counts(&one.label).moved += 1;
            self.note(Kind::Moved, &one.label, &two.label, format!("{} to {}", one.text, two.text));
        }
        for one in left {
            self.counts(&one.label).removed += 1;
            self.note(Kind::Removed, &one.label, "", one.text.clone());
        }
        for two in right {
            self.counts(&two.label).added += 1;
            self.note(Kind::Added, "", &two.label, two.text.clone());
        }
        self.articles += 1;
        self.changed_articles += u64::from(self.names() > changes);
    }

    /// The changes, the most frequent first.
    pub fn ranked(&self) -> Vec<(&Change, &Changed)> {
        let mut ranked: Vec<(&Change, &Changed)> = self.changes.iter().collect();
        ranked.sort_by_key(|(change, changed)| (std::cmp::Reverse(changed.names), *change));
        ranked
    }

    fn names(&self) -> u64 {
        self.changes.values().map(|changed| changed.names).sum()
    }

    fn counts(&mut self, label: &str) -> &mut Counts {
        self.labels.entry(label.to_owned()).or_default()
    }

    fn note(&mut self, kind: Kind, from: &str, to: &str, example: String) {
        let changed = self.changes.entry(Change { kind, from: from.to_owned(), to: to.to_owned() }).or_default();
        changed.names += 1;
        if changed.examples.len() < EXAMPLES && !changed.examples.contains(&example) {
            changed.examples.push(example);
        }
    }
}

/// Takes out the pairs that are kin, each name once, in the order of the first.
fn paired<'a>(left: &mut Vec<&'a Named>, right: &mut Vec<&'a Named>, kin: impl Fn(&Named, &Named) -> bool) -> Vec<(&'a Named, &'a Named)> {
    let mut pairs = Vec::new();
    left.retain(|one| match right.iter().position(|two| kin(one, two)) {
        Some(place) => {
            pairs.push((*one, right.remove(place)));
            false
        }
        None => true,
    });
    pairs
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(text: &str, label: &str, start: usize) -> Named {
        let place = Some((start, start + text.chars().count()));
        Named { label: label.to_owned(), norm: text.to_lowercase(), text: text.to_owned(), place }
    }

    fn shown(difference: &Difference) -> Vec<String> {
        let line = |(change, changed): (&Change, &Changed)| {
            format!("{:?} {}>{} {} {}", change.kind, change.from, change.to, changed.names, changed.examples.join("; "))
        };
        difference.ranked().into_iter().map(line).collect()
    }

    #[test]
    fn every_kind_is_told_from_the_others() {
        let before = [
            named("Ann Lee", "PERSON", 0),
            named("Boone County", "LOC", 10),
            named("Washington", "PERSON", 30),
            named("Siemens", "ORG", 50),
            named("Columbia", "LOC", 70),
        ];
        let after = [
            named("Ann Lee", "PERSON", 0),
            named("Boone County Commission", "LOC", 10),
            named("Washington", "LOC", 30),
            named("Columbia", "LOC", 90),
            named("Faurot Field", "FAC", 110),
        ];
        let mut difference = Difference::default();
        difference.add(&before, &after);
        assert_eq!(
            shown(&difference),
            [
                "Moved LOC>LOC 2 Columbia (70..78 to 90..98); Boone County to Boone County Commission",
                "Added >FAC 1 Faurot Field",
                "Removed ORG> 1 Siemens",
                "Relabelled PERSON>LOC 1 Washington",
            ]
        );
        assert_eq!(difference.labels["PERSON"], Counts { before: 2, after: 1, same: 1, relabelled: 1, ..Counts::default() });
        assert_eq!(difference.labels["LOC"], Counts { before: 2, after: 3, moved: 2, ..Counts::default() });
        difference.add(&before, &before);
        assert_eq!((difference.articles, difference.changed_articles), (2, 1));
    }

    #[test]
    fn rows_without_a_place_are_compared_by_name() {
        let unplaced = |text: &str| Named { place: None, ..named(text, "ORG", 0) };
        let mut difference = Difference::default();
        difference.add(&[unplaced("Siemens"), unplaced("Bosch")], &[named("Siemens", "ORG", 7), named("Bosch AG", "ORG", 0)]);
        assert_eq!(shown(&difference), ["Added >ORG 1 Bosch AG", "Removed ORG> 1 Bosch"]);
    }

    fn any_names() -> impl Strategy<Value = Vec<Named>> {
        prop::collection::vec((0usize..6, 0usize..3, 0usize..40), 0..12)
            .prop_map(|all| all.into_iter().map(|(name, label, start)| named(&format!("n{name}"), ["A", "B", "C"][label], start)).collect())
    }

    proptest! {
        #[test]
        fn each_name_is_counted_once(before in any_names(), after in any_names()) {
            let mut difference = Difference::default();
            difference.add(&before, &after);
            let sum = |of: fn(&Counts) -> u64| difference.labels.values().map(of).sum::<u64>();
            prop_assert_eq!(sum(|c| c.same + c.moved + c.relabelled + c.removed), before.len() as u64);
            prop_assert_eq!(sum(|c| c.same + c.moved + c.relabelled + c.added), after.len() as u64);
            prop_assert_eq!(sum(|c| c.before), before.len() as u64);
            let mut same = Difference::default();
            same.add(&before, &before);
            prop_assert!(same.changes.values().all(|changed| changed.names == 0 || changed.examples.iter().all(|e| e.contains(" to "))));
        }
    }
}
