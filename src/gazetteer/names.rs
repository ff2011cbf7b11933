//! Every mention of many names in a text, in one pass: an Aho-Corasick automaton (Aho and Corasick, "Efficient string matching",
//! 1975) over folded names, whole words only; where names overlap, the one of most words stays, then the leftmost. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::fold::{Folded, is_mark};

/// A name's place in a text, code points of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub start: usize,
    pub end: usize,
}

/// Names ready to be looked for.
#[derive(Debug)]
pub struct Names {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
}

#[derive(Clone, Copy, Debug)]
struct Pattern {
    words: u16,
    /// A lone word of letters with two cases: common words look like it, so only with a capital in the text.
    capital: bool,
}

impl Names {
    /// Names that fold alike are one; those without a letter or digit are left out.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, aho_corasick::BuildError> {
        let mut texts: Vec<String> = names.into_iter().map(|name| Folded::new(name).text).filter(|folded| words(folded) > 0).collect();
        texts.sort_unstable();
        texts.dedup();
        let patterns = texts
            .iter()
            .map(|text| {
                let words = words(text);
                Pattern { words: u16::try_from(words).unwrap_or(u16::MAX), capital: words == 1 && text.chars().any(has_cases) }
            })
            .collect();
        // Smaller than the full table of transitions by an order of magnitude, and fast enough.
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(&texts)?;
        Ok(Self { automaton, patterns })
    }

    /// Where names occur, in the order of the text, none overlapping another. `source`: the characters of what was folded.
    pub fn occurrences(&self, source: &[char], folded: &Folded) -> Vec<Occurrence> {
        let mut candidates: Vec<(u16, Occurrence)> = Vec::new();
        for found in self.automaton.find_overlapping_iter(&folded.text) {
            if !folded.is_whole(found.start(), found.end()) {
                continue;
            }
            let pattern = self.patterns[found.pattern().as_usize()];
            let place = folded.source(found.start(), found.end());
            if pattern.capital && !source[place.clone()].iter().any(|c| c.is_uppercase()) {
                continue;
            }
            let marks = source[place.end..].iter().take_while(|&&c| is_mark(c)).count();
            candidates.push((pattern.words, Occurrence { start: place.start, end: place.end + marks }));
        }
        candidates.sort_by_key(|(words, place)| (Reverse(*words), place.start, Reverse(place.end)));
        // Begin and end of what is taken.
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, place) in candidates {
            if taken.range(..place.end).next_back().is_none_or(|(_, &end)| end <= place.start) {
                taken.insert(place.start, place.end);
            }
        }
        taken.into_iter().map(|(start, end)| Occurrence { start, end }).collect()
    }

    /// Bytes that the automaton occupies.
    pub fn bytes(&self) -> usize {
        self.automaton.memory_usage() + self.patterns.capacity() * size_of::<Pattern>()
    }
}

/// Runs of letters and digits.
fn words(folded: &str) -> usize {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).count()
}

/// Whether the folded letter has a capital.
fn has_cases(c: char) -> bool {
    c.is_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(names: &[&str], text: &str) -> Vec<String> {
        let source: Vec<char> = text.chars().collect();
        let occurrences = Names::new(names.iter().copied()).unwrap().occurrences(&source, &Folded::new(text));
        occurrences.iter().map(|place| source[place.start..place.end].iter().collect()).collect()
    }

    #[test]
    fn whole_words_in_any_spelling() {
        let names = ["Boone Hospital", "St. Mary's Hospital", "Smith-Cotton High School", "Target", "Hy-Vee", "Café Berlin"];
        let text = "At Boone\nHospital and St. Mary’s Hospital, near SMITH–COTTON High School: a targeted Target, Hy-Vee's and Cafe\u{301} Berlin.";
        let expected = ["Boone\nHospital", "St. Mary’s Hospital", "SMITH–COTTON High School", "Target", "Hy-Vee", "Cafe\u{301} Berlin"];
        assert_eq!(found(&names, text), expected);
    }

    #[test]
    fn lone_words_need_their_capital() {
        assert_eq!(found(&["Park", "Target", "target"], "The target was a park."), [""; 0]);
        assert_eq!(found(&["park"], "They met at Park."), ["Park"]);
        assert_eq!(found(&["iHop"], "an iHop, no ihop"), ["iHop"]);
        assert_eq!(found(&["MU Health"], "at mu health"), ["mu health"]);
        assert_eq!(found(&["北京"], "在北京的"), ["北京"]);
    }

    #[test]
    fn the_longest_then_the_leftmost_stays() {
        let names = ["Columbia", "Columbia Public Library", "Public Library of Boone", "Library of Boone"];
        assert_eq!(found(&names, "Columbia Public Library of Boone"), ["Columbia", "Public Library of Boone"]);
        assert_eq!(found(&names, "Columbia Public Library"), ["Columbia Public Library"]);
        assert_eq!(found(&["A B", "B Cdefgh"], "a b cdefgh"), ["a b"], "as many words: the leftmost");
        assert_eq!(found(&["A B", "A B!"], "a b!"), ["a b!"]);
    }

    #[test]
    fn empty_names_are_none() {
        assert_eq!(found(&["", "  ", "&", "Ha Ha Tonka", "HA HA TONKA"], "Ha Ha Tonka & more"), ["Ha Ha Tonka"]);
        assert_eq!(found(&[], "Ha Ha Tonka"), [""; 0]);
    }

    proptest! {
        #[test]
        fn what_is_found_are_names_apart_from_each_other(
            names in prop::collection::vec("[A-Ca-c]{1,3}( [a-c]{1,2}){0,2}", 1..12),
            text in "([a-cA-C]{1,3}|[ ,’\\n]){0,30}",
        ) {
            let source: Vec<char> = text.chars().collect();
            let index = Names::new(names.iter().map(String::as_str)).unwrap();
            let occurrences = index.occurrences(&source, &Folded::new(&text));
            for pair in occurrences.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            let known: Vec<String> = names.iter().map(|name| Folded::new(name).text).collect();
            for place in &occurrences {
                let cut: String = source[place.start..place.end].iter().collect();
                prop_assert!(known.contains(&Folded::new(&cut).text), "{cut}");
            }
        }

        /// Whatever else stands around it, a name of several words between spaces is found, or a longer one over it.
        #[test]
        fn no_name_is_missed(name in "[a-c]{1,3} [a-c]{1,3}", before in "[a-c ]{0,9}", after in "[a-c ]{0,9}") {
            let text = format!("{before} {name} {after}");
            let source: Vec<char> = text.chars().collect();
            let occurrences = Names::new([name.as_str()]).unwrap().occurrences(&source, &Folded::new(&text));
            prop_assert!(!occurrences.is_empty());
        }
    }
}
