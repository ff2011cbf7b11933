//! The most similar of many keys, without comparing with each: what a full scan with rapidfuzz's `ratio` finds, found through the
//! pairs of characters that similar keys must share. Pure.
//!
//! The ratio of two keys is twice the length of their longest common subsequence over the sum of their lengths, so a ratio bounds
//! how many deletions and insertions lead from one to the other, and their lengths. A deletion destroys at most two pairs of
//! neighbouring characters, an insertion one; the rest is found in the other key too (after the q-gram lemma: Ukkonen,
//! "Approximate string-matching with q-grams and maximal matches", 1992).

use std::collections::HashMap;

use rapidfuzz::distance::indel::BatchComparator;

/// The least ratio that is a match.
pub const LEAST: f64 = 0.85;

/// Keys by length, and which of them have a pair of characters.
#[derive(Debug, Default)]
pub struct Fuzzy {
    keys: Vec<Key>,
    /// Ascending places in `keys`.
    pairs: HashMap<[char; 2], Vec<u32>>,
}

#[derive(Debug)]
struct Key {
    text: Box<str>,
    characters: u32,
    /// Kinds of pairs in it.
    kinds: u32,
    /// The caller's number: the smallest of those that are equally similar is found.
    number: u32,
}

impl Fuzzy {
    /// Of keys with the caller's number for each.
    pub fn new<'a>(keys: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut keys: Vec<Key> = keys
            .into_iter()
            .map(|(text, number)| Key { text: text.into(), characters: text.chars().count() as u32, kinds: pairs_of(text).len() as u32, number })
            .collect();
        keys.sort_by_key(|key| (key.characters, key.number));
        let mut pairs: HashMap<[char; 2], Vec<u32>> = HashMap::new();
        for (place, key) in keys.iter().enumerate() {
            for pair in pairs_of(&key.text) {
                pairs.entry(pair).or_default().push(place as u32);
            }
        }
        Self { keys, pairs }
    }

    /// The most similar key's number and ratio, if one is similar enough; of equally similar ones the smallest number.
    pub fn best(&self, query: &str) -> Option<(u32, f64)> {
        let length = query.chars().count() as u32;
        let (shortest, longest) = similar_lengths(length);
        let begin = self.keys.partition_point(|key| key.characters < shortest);
        let end = self.keys.partition_point(|key| key.characters <= longest);
        if begin == end {
            return None;
        }
        let mut shared = vec![0u32; end - begin];
        let pairs = pairs_of(query);
        for pair in &pairs {
            for &place in self.pairs.get(pair).map_or(&[][..], Vec::as_slice) {
                if let Some(count) = (place as usize).checked_sub(begin).and_then(|place| shared.get_mut(place)) {
                    *count += 1;
                }
            }
        }
        let comparator = BatchComparator::new(query.chars());
        let mut best: Option<(u32, f64)> = None;
        for (key, shared) in self.keys[begin..end].iter().zip(shared) {
            if shared < least_shared((length, pairs.len() as u32), (key.characters, key.kinds)) {
                continue;
            }
            let ratio = comparator.normalized_similarity(key.text.chars());
            if ratio >= LEAST && best.is_none_or(|(number, before)| ratio > before || (ratio == before && key.number < number)) {
                best = Some((key.number, ratio));
            }
        }
        best
    }
}

/// Neighbouring characters, each kind once: a count of kinds is at most a count of pairs.
fn pairs_of(text: &str) -> Vec<[char; 2]> {
    let mut pairs: Vec<[char; 2]> = text.chars().zip(text.chars().skip(1)).map(|(one, two)| [one, two]).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// The lengths that a key may have: at best all of the shorter one is common.
fn similar_lengths(length: u32) -> (u32, u32) {
    let share = LEAST / (2.0 - LEAST);
    ((f64::from(length) * share - 1e-9).ceil().max(0.0) as u32, (f64::from(length) / share + 1e-9).floor() as u32)
}

/// Kinds of pairs that two similar keys, each by its characters and kinds, share at the least.
fn least_shared(one: (u32, u32), two: (u32, u32)) -> u32 {
    let common = (LEAST * f64::from(one.0 + two.0) / 2.0 - 1e-9).ceil() as u32;
    let kept = |(from, kinds): (u32, u32), (to, _): (u32, u32)| {
        let (deleted, inserted) = (from.saturating_sub(common), to.saturating_sub(common));
        kinds.saturating_sub(2 * deleted + inserted)
    };
    kept(one, two).max(kept(two, one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every key compared.
    fn scanned(keys: &[String], query: &str) -> Option<(u32, f64)> {
        let mut best: Option<(u32, f64)> = None;
        for (number, key) in keys.iter().enumerate() {
            let ratio = rapidfuzz::distance::indel::normalized_similarity(query.chars(), key.chars());
            if ratio >= LEAST && best.is_none_or(|(_, before)| ratio > before) {
                best = Some((number as u32, ratio));
            }
        }
        best
    }

    /// Observed on the host's own step.
    #[test]
    fn ratios_are_the_hosts() {
        for (query, key, ratio) in [
            ("boone cnty library", "boone county library", 0.947_368_4),
            ("boone gen hospital", "boone general hospital", 0.90),
            ("columbia", "columbiana", 0.888_888_9),
            ("the university of missouri", "university of missouri", 0.916_666_7),
            ("caf berlin", "café berlin", 0.952_381),
            ("aaaaaaaaaaaaaaaaabbb", "aaaaaaaaaaaaaaaaaccc", 0.85),
        ] {
            let (number, found) = Fuzzy::new([(key, 7)]).best(query).unwrap();
            assert_eq!(number, 7);
            assert!((found - ratio).abs() < 1e-6, "{query}: {found}");
        }
        assert_eq!(Fuzzy::new([("jefferson city park", 0)]).best("jefferson city"), None);
        assert_eq!(Fuzzy::new([]).best("columbia"), None);
    }

    proptest! {
        /// Few letters, so that near misses and ties abound.
        #[test]
        fn finds_what_a_full_scan_finds(
            keys in prop::collection::vec("[ab é]{0,14}", 0..40),
            query in "[ab é]{0,14}",
            changed in any::<prop::sample::Index>(),
            edit in "[abé]{0,2}",
        ) {
            let fuzzy = Fuzzy::new(keys.iter().zip(0..).map(|(key, number)| (key.as_str(), number)));
            prop_assert_eq!(fuzzy.best(&query), scanned(&keys, &query));
            if !keys.is_empty() {
                let near = format!("{}{edit}", changed.get(&keys));
                prop_assert_eq!(fuzzy.best(&near), scanned(&keys, &near));
            }
        }
    }
}
