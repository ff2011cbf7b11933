//! Every mention of many names in a text, in one pass: an Aho-Corasick automaton (Aho and Corasick, "Efficient string matching",
//! 1975) over the tokens of folded names; where names overlap, the one of most tokens stays, then the leftmost. Pure.
//!
//! A token is a word or a mark. The automaton reads numbers of tokens, the commonest in one byte, which makes it a quarter as large
//! as one over letters and as much faster to build; and no word is ever cut.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::fold::{Folded, is_mark, is_unspaced};

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
    /// The number of each token that is in a name, from 1.
    vocabulary: HashMap<Box<str>, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Pattern {
    tokens: u16,
    /// A lone word of letters with two cases: common words look like it, so only with a capital in the text.
    capital: bool,
}

/// Stands for a token that is in no name.
const UNKNOWN: u8 = 0;
/// Set in every byte of a number but its last: so where one ends is seen from any byte.
const GOES_ON: u8 = 0x80;

impl Names {
    /// Of folded names. Those that are alike are one; those without a letter or digit are left out.
    pub fn new(folded: impl IntoIterator<Item = String>) -> Result<Self, aho_corasick::BuildError> {
        let mut texts: Vec<String> = folded.into_iter().filter(|folded| folded.contains(char::is_alphanumeric)).collect();
        texts.sort_unstable();
        texts.dedup();
        let (vocabulary, numbers) = numbered(&texts);
        let mut numbers = numbers.into_iter();
        let mut encoded: Vec<(Vec<u8>, Pattern)> = texts
            .iter()
            .map(|text| {
                let (mut code, mut count, mut words, mut cases) = (Vec::with_capacity(16), 0usize, 0, false);
                for (token, number) in tokens(text).zip(numbers.by_ref()) {
                    let token = &text[token];
                    encode(number, &mut code);
                    count += 1;
                    words += usize::from(token.contains(char::is_alphanumeric));
                    cases |= token.contains(char::is_lowercase);
                }
                (code, Pattern { tokens: u16::try_from(count).unwrap_or(u16::MAX), capital: words == 1 && cases })
            })
            .collect();
        // Texts that differ in their spaces only.
        encoded.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        encoded.dedup_by(|one, other| one.0 == other.0);
        // Smaller than the full table of transitions by an order of magnitude, and fast enough.
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(encoded.iter().map(|(code, _)| code))?;
        Ok(Self { automaton, patterns: encoded.into_iter().map(|(_, pattern)| pattern).collect(), vocabulary })
    }

    /// Where names occur, in the order of the text, none overlapping another. `source`: the characters of what was folded.
    pub fn occurrences(&self, source: &[char], folded: &Folded) -> Vec<Occurrence> {
        // For each byte of the code, the token that it belongs to.
        let (mut code, mut owners) = (Vec::new(), Vec::new());
        let places: Vec<Range<usize>> = tokens(&folded.text).collect();
        for (owner, place) in places.iter().enumerate() {
            encode(self.vocabulary.get(&folded.text[place.clone()]).copied().unwrap_or(u32::from(UNKNOWN)), &mut code);
            owners.resize(code.len(), owner);
        }
        let mut candidates: Vec<(u16, Occurrence)> = Vec::new();
        for found in self.automaton.find_overlapping_iter(&code) {
            // Not in the midst of a number.
            if found.start().checked_sub(1).is_some_and(|before| code[before] & GOES_ON != 0) {
                continue;
            }
            let pattern = self.patterns[found.pattern().as_usize()];
            let place = folded.source(places[owners[found.start()]].start, places[owners[found.end() - 1]].end);
            if pattern.capital && !source[place.clone()].iter().any(|c| c.is_uppercase()) {
                continue;
            }
            let marks = source[place.end..].iter().take_while(|&&c| is_mark(c)).count();
            candidates.push((pattern.tokens, Occurrence { start: place.start, end: place.end + marks }));
        }
        candidates.sort_by_key(|(tokens, place)| (Reverse(*tokens), place.start, Reverse(place.end)));
        // Begin and end of what is taken.
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, place) in candidates {
            if taken.range(..place.end).next_back().is_none_or(|(_, &end)| end <= place.start) {
                taken.insert(place.start, place.end);
            }
        }
        taken.into_iter().map(|(start, end)| Occurrence { start, end }).collect()
    }

    /// Bytes that it occupies.
    pub fn bytes(&self) -> usize {
        // A token's text is an allocation of its own.
        let texts: usize = self.vocabulary.keys().map(|token| token.len().next_multiple_of(16) + 16).sum();
        let entry = size_of::<(Box<str>, u32)>() + 1;
        self.automaton.memory_usage() + self.patterns.capacity() * size_of::<Pattern>() + self.vocabulary.capacity() * entry * 8 / 7 + texts
    }
}

/// The tokens of folded texts, numbered from 1, the commonest first; and the numbers of each text's tokens, one text after another.
fn numbered(texts: &[String]) -> (HashMap<Box<str>, u32>, Vec<u32>) {
    let (mut seen, mut counts, mut order): (HashMap<&str, u32>, Vec<u32>, Vec<u32>) = Default::default();
    for text in texts {
        for token in tokens(text) {
            let place = *seen.entry(&text[token]).or_insert(counts.len() as u32);
            counts.resize(counts.len().max(place as usize + 1), 0);
            counts[place as usize] += 1;
            order.push(place);
        }
    }
    let mut ranked: Vec<u32> = (0..counts.len() as u32).collect();
    ranked.sort_unstable_by_key(|&place| (Reverse(counts[place as usize]), place));
    let mut numbers = vec![0; counts.len()];
    for (place, number) in ranked.into_iter().zip(1..) {
        numbers[place as usize] = number;
    }
    let vocabulary = seen.into_iter().map(|(token, place)| (token.into(), numbers[place as usize])).collect();
    (vocabulary, order.into_iter().map(|place| numbers[place as usize]).collect())
}

/// Where the tokens of a folded text lie, bytes: runs of letters and digits, and every other character but spaces; where a script
/// puts no spaces between words, each letter.
fn tokens(folded: &str) -> impl Iterator<Item = Range<usize>> {
    let in_word = |c: char| c.is_alphanumeric() && !is_unspaced(c);
    let mut at = 0;
    std::iter::from_fn(move || {
        at += folded[at..].find(|c| c != ' ')?;
        let rest = &folded[at..];
        let length = match rest.find(|c| !in_word(c)) {
            Some(0) => rest.chars().next().map_or(1, char::len_utf8),
            Some(length) => length,
            None => rest.len(),
        };
        at += length;
        Some(at - length..at)
    })
}

/// Seven bits a byte, the highest first.
fn encode(number: u32, code: &mut Vec<u8>) {
    let groups = (u32::BITS - number.leading_zeros()).div_ceil(7).max(1);
    for group in (0..groups).rev() {
        let bits = (number >> (7 * group)) as u8 & !GOES_ON;
        code.push(if group > 0 { bits | GOES_ON } else { bits });
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::fold_name;
    use super::*;
    use proptest::prelude::*;

    fn found(names: &[&str], text: &str) -> Vec<String> {
        let source: Vec<char> = text.chars().collect();
        let occurrences = Names::new(names.iter().map(|name| fold_name(name))).unwrap().occurrences(&source, &Folded::new(text));
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

    /// More names than a number of one byte tells apart, and a number's bytes are not taken for another's.
    #[test]
    fn every_one_of_many_names_is_found() {
        let names: Vec<String> = (0..20_000).map(|number| format!("hall {number} of {}", number * 7)).collect();
        let index = Names::new(names.clone()).unwrap();
        for sample in names.iter().step_by(997) {
            let text = format!("in hall 3, {sample}, of hall 99999");
            let source: Vec<char> = text.chars().collect();
            let start = "in hall 3, ".len();
            assert_eq!(index.occurrences(&source, &Folded::new(&text)), [Occurrence { start, end: start + sample.len() }]);
        }
        let mut code = Vec::new();
        for number in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
            encode(number, &mut code);
        }
        assert_eq!(code, [0, 1, 127, 129, 0, 255, 127, 129, 128, 0, 143, 255, 255, 255, 127]);
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
            let index = Names::new(names.iter().map(|name| fold_name(name))).unwrap();
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
            let occurrences = Names::new([fold_name(&name)]).unwrap().occurrences(&source, &Folded::new(&text));
            prop_assert!(!occurrences.is_empty());
        }
    }
}
