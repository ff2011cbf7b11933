//! Every mention of many names in a text, in one pass: an Aho-Corasick automaton (Aho and Corasick, "Efficient string matching",
//! 1975) over folded names, whole words only; where mentions overlap, the longest name stays, then the leftmost. Pure.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::fold::Folded;

/// A name's mention in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Code points of the source.
    pub start: usize,
    pub end: usize,
    /// The caller's number for the name.
    pub number: u32,
}

/// Names ready to be looked for.
#[derive(Debug)]
pub struct Names {
    automaton: AhoCorasick,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    number: u32,
    words: u32,
    /// Only where the text has a capital too: a lone word that common words look like.
    capital: bool,
}

impl Names {
    /// Of names with the caller's numbers; of names that fold alike the first stays. Names without a letter or digit are left out.
    pub fn new<'a>(names: impl IntoIterator<Item = (&'a str, u32)>) -> Result<Self, aho_corasick::BuildError> {
        let mut known = std::collections::HashSet::new();
        let (mut texts, mut patterns) = (Vec::new(), Vec::new());
        for (name, number) in names {
            let folded = Folded::new(name).text;
            let words = words(&folded);
            if words == 0 || !known.insert(folded.clone()) {
                continue;
            }
            let capital = words == 1 && name.trim().chars().next().is_some_and(char::is_uppercase);
            texts.push(folded);
            patterns.push(Pattern { number, words, capital });
        }
        // Smaller than the full table of transitions by an order of magnitude, and fast enough.
        let automaton = AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).match_kind(MatchKind::Standard).build(&texts)?;
        Ok(Self { automaton, patterns })
    }

    /// Mentions in the order of the text, none overlapping another. `source` is what was folded.
    pub fn mentions(&self, source: &str, folded: &Folded) -> Vec<Mention> {
        let mut candidates: Vec<(u32, usize, usize, u32)> = Vec::new();
        let characters: Vec<char> = if self.patterns.is_empty() { Vec::new() } else { source.chars().collect() };
        for found in self.automaton.find_overlapping_iter(&folded.text) {
            let pattern = &self.patterns[found.pattern().as_usize()];
            if !folded.is_whole(found.start(), found.end()) {
                continue;
            }
            let place = folded.source(found.start(), found.end());
            if pattern.capital && !characters[place.start].is_uppercase() {
                continue;
            }
            candidates.push((pattern.words, place.start, place.end, pattern.number));
        }
        candidates.sort_by_key(|&(words, start, end, number)| (std::cmp::Reverse((words, end - start)), start, number));
        let mut taken: std::collections::BTreeMap<usize, usize> = std::collections::BTreeMap::new();
        let mut mentions = Vec::new();
        for (_, start, end, number) in candidates {
            let overlaps = taken.range(..end).next_back().is_some_and(|(_, &before)| before > start);
            if !overlaps {
                taken.insert(start, end);
                mentions.push(Mention { start, end, number });
            }
        }
        mentions.sort_by_key(|mention| mention.start);
        mentions
    }

    /// Bytes that the automaton occupies.
    pub fn bytes(&self) -> usize {
        self.automaton.memory_usage() + self.patterns.len() * size_of::<Pattern>()
    }
}

/// Runs of letters and digits.
fn words(folded: &str) -> u32 {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(names: &[&str], text: &str) -> Vec<(String, u32)> {
        let names = Names::new(names.iter().copied().zip(0..)).unwrap();
        let cut = |mention: &Mention| text.chars().skip(mention.start).take(mention.end - mention.start).collect();
        names.mentions(text, &Folded::new(text)).iter().map(|mention| (cut(mention), mention.number)).collect()
    }

    #[test]
    fn whole_words_in_any_spelling() {
        let names = ["Boone Hospital", "St. Mary's Hospital", "Smith-Cotton High School", "Target", "Hy-Vee", "Café Berlin"];
        let text = "At Boone\nHospital and St. Mary’s Hospital, near SMITH–COTTON High School: a targeted Target, Hy-Vee's and Cafe Berlin.";
        let found: Vec<u32> = found(&names, text).into_iter().map(|(_, number)| number).collect();
        assert_eq!(found, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn lone_words_need_their_capital() {
        assert_eq!(found(&["Park", "Target"], "The target was a park."), []);
        assert_eq!(found(&["Park"], "They met at Park."), [("Park".to_owned(), 0)]);
        assert_eq!(found(&["MU Health"], "at mu health"), [("mu health".to_owned(), 0)]);
    }

    #[test]
    fn the_longest_then_the_leftmost_stays() {
        let names = ["Columbia", "Columbia Public Library", "Public Library of Boone", "Library of Boone"];
        assert_eq!(found(&names, "Columbia Public Library of Boone"), [("Columbia".to_owned(), 0), ("Public Library of Boone".to_owned(), 2)]);
        assert_eq!(found(&names, "Columbia Public Library"), [("Columbia Public Library".to_owned(), 1)]);
        assert_eq!(found(&["A B", "B C"], "a b c"), [("a b".to_owned(), 0)]);
    }

    #[test]
    fn names_that_fold_alike_are_one_and_empty_ones_none() {
        assert_eq!(found(&["", "  ", "&", "Ha Ha Tonka", "HA HA TONKA"], "Ha Ha Tonka & more"), [("Ha Ha Tonka".to_owned(), 3)]);
        assert_eq!(found(&["北京"], "在 北京 的"), [("北京".to_owned(), 0)]);
    }

    proptest! {
        #[test]
        fn mentions_are_the_names_apart_from_each_other(
            names in prop::collection::vec("[A-Ca-c]{1,3}( [a-c]{1,2}){0,2}", 1..12),
            text in "([a-cA-C]{1,3}|[ ,’\\n]){0,30}",
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let index = Names::new(names.iter().copied().zip(0..)).unwrap();
            let mentions = index.mentions(&text, &Folded::new(&text));
            for pair in mentions.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            for mention in &mentions {
                let cut: String = text.chars().skip(mention.start).take(mention.end - mention.start).collect();
                prop_assert_eq!(Folded::new(&cut).text, Folded::new(names[mention.number as usize]).text);
            }
        }
    }
}
