//! The keys of many names: the same key found by halving, the most similar one without comparing with each. What a full scan with
//! rapidfuzz's `ratio` finds is found here through the pairs of characters that similar keys must share. Pure.
//!
//! The ratio of two keys is twice the length of their longest common subsequence over the sum of their lengths, so a ratio bounds
//! how many deletions and insertions lead from one to the other, and their lengths. A deletion destroys at most two pairs of
//! neighbouring characters, an insertion one; the rest is found in the other key too (after the q-gram lemma: Ukkonen,
//! "Approximate string-matching with q-grams and maximal matches", 1992).

use std::collections::HashMap;
use std::ops::Range;

use rapidfuzz::distance::indel::BatchComparator;

/// The least ratio that is a match.
pub const LEAST: f64 = 0.85;
/// The same as a fraction: bounds are counted in whole numbers.
const NUMERATOR: u64 = 17;
const DENOMINATOR: u64 = 20;

/// Keys by length and text, and which of them have a pair of characters.
#[derive(Debug, Default)]
pub struct Keys {
    /// The keys' texts one after another.
    texts: String,
    keys: Vec<Key>,
    pairs: Pairs,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    /// Where its text ends; it begins where the one before ends.
    end: u32,
    characters: u32,
    /// Kinds of pairs in it.
    kinds: u32,
    /// The caller's number: of equally similar keys the smallest is found.
    number: u32,
}

impl Keys {
    /// Of keys with the caller's number for each; one key may have several numbers. Empty keys are left out.
    pub fn new(keys: impl IntoIterator<Item = (String, u32)>) -> Self {
        let mut all: Vec<(u32, String, u32)> =
            keys.into_iter().filter(|(text, _)| !text.is_empty()).map(|(text, number)| (length(&text), text, number)).collect();
        all.sort_unstable();
        all.dedup();
        let mut texts = String::with_capacity(all.iter().map(|(_, text, _)| text.len()).sum());
        let kinds: Vec<Vec<Pair>> = all.iter().map(|(_, text, _)| pairs_of(text)).collect();
        let keys = all
            .iter()
            .zip(&kinds)
            .map(|(&(characters, ref text, number), kinds)| {
                texts.push_str(text);
                Key { end: u32::try_from(texts.len()).unwrap_or(u32::MAX), characters, kinds: kinds.len() as u32, number }
            })
            .collect();
        Self { texts, keys, pairs: Pairs::new(&kinds) }
    }

    /// The smallest number of this very key.
    pub fn same(&self, key: &str) -> Option<u32> {
        let wanted = (length(key), key);
        let mut places = 0..self.keys.len();
        while !places.is_empty() {
            let middle = places.start + places.len() / 2;
            if (self.keys[middle].characters, self.text(middle)) < wanted {
                places.start = middle + 1;
            } else {
                places.end = middle;
            }
        }
        let found = self.keys.get(places.start)?;
        ((found.characters, self.text(places.start)) == wanted).then_some(found.number)
    }

    /// The most similar key's number and ratio, if one of the `wanted` numbers is similar enough; of equally similar ones the
    /// smallest.
    pub fn most_similar(&self, query: &str, wanted: impl Fn(u32) -> bool) -> Option<(u32, f64)> {
        let characters = length(query);
        let (shortest, longest) = similar_lengths(characters);
        let begin = self.keys.partition_point(|key| key.characters < shortest);
        let end = self.keys.partition_point(|key| key.characters <= longest);
        if begin == end {
            return None;
        }
        let mut shared = vec![0u32; end - begin];
        let pairs = pairs_of(query);
        for pair in &pairs {
            for &place in self.pairs.places(*pair, begin as u32..end as u32) {
                shared[place as usize - begin] += 1;
            }
        }
        let mut comparator = None;
        let mut best: Option<(u32, f64)> = None;
        for (place, shared) in (begin..end).zip(shared) {
            let key = self.keys[place];
            if shared < least_shared((characters, pairs.len() as u32), (key.characters, key.kinds)) || !wanted(key.number) {
                continue;
            }
            let comparator = comparator.get_or_insert_with(|| BatchComparator::new(query.chars()));
            let ratio = comparator.normalized_similarity(self.text(place).chars());
            if ratio >= LEAST && best.is_none_or(|(number, before)| ratio > before || (ratio == before && key.number < number)) {
                best = Some((key.number, ratio));
            }
        }
        best
    }

    /// Bytes that the keys occupy.
    pub fn bytes(&self) -> usize {
        self.texts.capacity() + self.keys.capacity() * size_of::<Key>() + self.pairs.bytes()
    }

    fn text(&self, place: usize) -> &str {
        let begin = place.checked_sub(1).map_or(0, |before| self.keys[before].end);
        &self.texts[begin as usize..self.keys[place].end as usize]
    }
}

/// For each pair of characters the places of the keys that have it, ascending, all in one list.
#[derive(Debug, Default)]
struct Pairs {
    /// Where the places of a slot begin; one more at the end.
    begins: Vec<u32>,
    places: Vec<u32>,
    /// Slots of pairs beyond ASCII.
    others: HashMap<Pair, u32>,
}

/// Two neighbouring characters, the first in the upper half.
type Pair = u64;

/// Slots of the pairs of ASCII characters.
const PLAIN: u32 = 128 * 128;

impl Pairs {
    /// Of the pairs of each key.
    fn new(keys: &[Vec<Pair>]) -> Self {
        let mut others = HashMap::new();
        let mut counts = vec![0u32; PLAIN as usize];
        for &pair in keys.iter().flatten() {
            let next = PLAIN + others.len() as u32;
            let slot = plain(pair).unwrap_or_else(|| *others.entry(pair).or_insert(next)) as usize;
            counts.resize(counts.len().max(slot + 1), 0);
            counts[slot] += 1;
        }
        let mut begins = Vec::with_capacity(counts.len() + 1);
        let mut sum = 0;
        begins.push(0);
        begins.extend(counts.iter().map(|count| {
            sum += count;
            sum
        }));
        let mut pairs = Self { places: vec![0; sum as usize], begins, others };
        let mut filled = pairs.begins.clone();
        for (place, kinds) in keys.iter().enumerate() {
            for &pair in kinds {
                if let Some(slot) = pairs.slot(pair) {
                    pairs.places[filled[slot] as usize] = place as u32;
                    filled[slot] += 1;
                }
            }
        }
        pairs
    }

    fn slot(&self, pair: Pair) -> Option<usize> {
        plain(pair).or_else(|| self.others.get(&pair).copied()).map(|slot| slot as usize)
    }

    /// Those within a range.
    fn places(&self, pair: Pair, range: Range<u32>) -> &[u32] {
        let Some(slot) = self.slot(pair).filter(|slot| slot + 1 < self.begins.len()) else { return &[] };
        let all = &self.places[self.begins[slot] as usize..self.begins[slot + 1] as usize];
        &all[all.partition_point(|&place| place < range.start)..all.partition_point(|&place| place < range.end)]
    }

    fn bytes(&self) -> usize {
        let entry = size_of::<(Pair, u32)>() + 1;
        (self.begins.capacity() + self.places.capacity()) * size_of::<u32>() + self.others.capacity() * entry * 8 / 7
    }
}

fn plain(pair: Pair) -> Option<u32> {
    let (one, two) = ((pair >> 32) as u32, pair as u32);
    (one < 128 && two < 128).then_some(one * 128 + two)
}

/// Neighbouring characters, each kind once: a count of kinds is at most a count of pairs.
fn pairs_of(text: &str) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::with_capacity(text.len());
    pairs.extend(text.chars().zip(text.chars().skip(1)).map(|(one, two)| u64::from(one) << 32 | u64::from(two)));
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Characters.
fn length(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// The lengths that a key may have: at best all of the shorter one is common.
fn similar_lengths(length: u32) -> (u32, u32) {
    let (most, length) = (2 * DENOMINATOR - NUMERATOR, u64::from(length));
    ((length * NUMERATOR).div_ceil(most) as u32, (length * most / NUMERATOR).min(u64::from(u32::MAX)) as u32)
}

/// Kinds of pairs that two similar keys, each by its characters and kinds, share at the least.
fn least_shared(one: (u32, u32), two: (u32, u32)) -> u32 {
    let common = (NUMERATOR * (u64::from(one.0) + u64::from(two.0))).div_ceil(2 * DENOMINATOR) as u32;
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

    fn keys<'a>(keys: impl IntoIterator<Item = (&'a str, u32)>) -> Keys {
        Keys::new(keys.into_iter().map(|(key, number)| (key.to_owned(), number)))
    }

    /// Every key compared.
    fn scanned(keys: &[String], query: &str, wanted: impl Fn(u32) -> bool) -> Option<(u32, f64)> {
        let mut best: Option<(u32, f64)> = None;
        for (number, key) in keys.iter().enumerate().filter(|(_, key)| !key.is_empty()) {
            let ratio = rapidfuzz::distance::indel::normalized_similarity(query.chars(), key.chars());
            if ratio >= LEAST && best.is_none_or(|(_, before)| ratio > before) && wanted(number as u32) {
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
            ("missouri", "missouri s", 0.888_888_9),
            ("the university of missouri", "university of missouri", 0.916_666_7),
            ("caf berlin", "café berlin", 0.952_381),
            ("aaaaaaaaaaaaaaaaabbb", "aaaaaaaaaaaaaaaaaccc", 0.85),
        ] {
            let (number, found) = keys([(key, 7)]).most_similar(query, |_| true).unwrap();
            assert_eq!(number, 7);
            assert!((found - ratio).abs() < 1e-6, "{query}: {found}");
        }
        assert_eq!(keys([("jefferson city park", 0)]).most_similar("jefferson city", |_| true), None);
        assert_eq!(keys([]).most_similar("columbia", |_| true), None);
    }

    #[test]
    fn the_same_key_has_its_smallest_number() {
        let keys = keys([("city hall", 3), ("city hall", 2), ("city mall", 1), ("", 0), ("北京", 9)]);
        assert_eq!(["city hall", "city mall", "city", "", "北京"].map(|key| keys.same(key)), [Some(2), Some(1), None, None, Some(9)]);
        assert_eq!(keys.most_similar("city hall", |number| number > 2), Some((3, 1.0)));
        assert_eq!(keys.most_similar("city ball", |_| true).map(|(number, _)| number), Some(1), "a tie: the smallest");
    }

    proptest! {
        /// Few letters, so that near misses and ties abound.
        #[test]
        fn finds_what_a_full_scan_finds(
            list in prop::collection::vec("[ab é]{0,14}", 0..40),
            query in "[ab é]{0,14}",
            changed in any::<prop::sample::Index>(),
            edit in "[abé]{0,2}",
        ) {
            let index = keys(list.iter().map(String::as_str).zip(0..));
            for wanted in [(|_| true) as fn(u32) -> bool, |number| number % 2 == 1] {
                prop_assert_eq!(index.most_similar(&query, wanted), scanned(&list, &query, wanted));
                if !list.is_empty() {
                    let near = format!("{}{edit}", changed.get(&list));
                    prop_assert_eq!(index.most_similar(&near, wanted), scanned(&list, &near, wanted));
                }
            }
            for key in list.iter().filter(|key| !key.is_empty()) {
                let first = list.iter().position(|other| other == key).unwrap() as u32;
                prop_assert_eq!(index.same(key), Some(first));
            }
        }
    }
}
