//! Text as names are compared: case, accents, and the many forms of quotes, dashes and spaces folded to one. Every byte of the
//! folded text knows its place in the source. Pure.

use unicode_normalization::char::{decompose_canonical, decompose_compatible};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::domain::norm::is_space;

/// A folded text.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    pub text: String,
    /// For each byte of the folded text, and its end, the code point of the source that it came from.
    points: Vec<u32>,
}

impl Folded {
    /// Folds a text; runs of white space become one space, those at the ends none.
    pub fn new(source: &str) -> Self {
        let mut folded = Self { text: String::with_capacity(source.len()), points: Vec::with_capacity(source.len() + 1) };
        let (mut gap, mut end) = (false, 0);
        for (point, c) in source.chars().enumerate() {
            let point = u32::try_from(point).unwrap_or(u32::MAX);
            if is_space(c) {
                gap = true;
                continue;
            }
            fold(c, |part| {
                if std::mem::take(&mut gap) && !folded.text.is_empty() {
                    folded.push(' ', end);
                }
                folded.push(part, point);
                end = point + 1;
            });
        }
        folded.points.push(end);
        folded
    }

    /// Where a span of bytes of the folded text lies in the source, in code points.
    pub fn source(&self, begin: usize, end: usize) -> std::ops::Range<usize> {
        let last = end.checked_sub(1).map_or(0, |last| self.points[last] as usize + 1);
        self.points[begin] as usize..last.max(self.points[begin] as usize)
    }

    fn push(&mut self, c: char, point: u32) {
        self.text.push(c);
        self.points.resize(self.text.len(), point);
    }
}

/// A name folded, its places not kept.
pub fn fold_name(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    let mut gap = false;
    for c in name.chars() {
        if is_space(c) {
            gap = true;
            continue;
        }
        fold(c, |part| {
            if std::mem::take(&mut gap) && !folded.is_empty() {
                folded.push(' ');
            }
            folded.push(part);
        });
    }
    folded
}

/// The name as it is compared with other names: folded, and whatever is neither letter, digit, apostrophe nor dash a space. For
/// ASCII this is the host's own normal form, so similarities are the host's; accents and other scripts are not lost.
pub fn key_of(name: &str) -> String {
    key_of_folded(&fold_name(name))
}

/// The key of a name that is folded already.
pub(super) fn key_of_folded(folded: &str) -> String {
    let mut key = String::with_capacity(folded.len());
    for c in folded.chars() {
        match c {
            '\'' | '-' => key.push(c),
            _ if c.is_alphanumeric() => key.push(c),
            _ if !key.is_empty() && !key.ends_with(' ') => key.push(' '),
            _ => {}
        }
    }
    key.truncate(key.trim_end().len());
    key
}

/// What a character that is no space folds to, one by one.
fn fold(c: char, mut push: impl FnMut(char)) {
    match c {
        ' '..='_' | 'a'..='~' => push(c.to_ascii_lowercase()),
        // Three of them are the grave and the acute accent by other names.
        '`' | '\u{ff40}' | '\u{1fef}' | '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '\u{02bc}' | '\u{ff07}' | '\u{b4}'
        | '\u{1ffd}' => push('\''),
        '\u{201c}' | '\u{201d}' | '\u{201f}' | '\u{ff02}' => push('"'),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => push('-'),
        // Soft hyphens and zero-width characters are not seen.
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
        _ => {
            for lower in c.to_lowercase() {
                let unmarked = |part| {
                    if !is_mark(part) {
                        push(part);
                    }
                };
                match lower {
                    // Ligatures, and letters as wide as ideographs. Other compatible forms are not the same: a trade mark's sign is no "tm".
                    '\u{fb00}'..='\u{fb06}' | '\u{ff01}'..='\u{ff5e}' => decompose_compatible(lower, unmarked),
                    _ => decompose_canonical(lower, unmarked),
                }
            }
        }
    }
}

/// A sign over or under the letter before it.
pub(super) fn is_mark(c: char) -> bool {
    !c.is_ascii() && c.general_category() == GeneralCategory::NonspacingMark
}

/// Scripts that put no spaces between words: every letter may begin one.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_of_one_name_are_one() {
        for (text, folded) in [
            ("St. Mary’s Hospital", "st. mary's hospital"),
            ("Smith–Cotton\u{a0}High  School", "smith-cotton high school"),
            ("Boone\nHospital ", "boone hospital"),
            ("Café Berlin", "cafe berlin"),
            ("Cafe\u{301} Berlin", "cafe berlin"),
            ("北京", "北京"),
            ("МОСКВА", "москва"),
            ("ＯＫ Ofﬁce", "ok office"),
            ("Target™", "target™"),
        ] {
            assert_eq!(Folded::new(text).text, folded, "{text:?}");
        }
    }

    /// All but the names that the host's form cripples.
    #[test]
    fn keys_are_the_hosts_normal_form() {
        for name in
            ["New—York’s Finest!!", " St. Louis—County! ", "U.S.", "7-Eleven #1234", "Dave & Buster's", "City_Hall", "A.J.'s", "--", "!"]
        {
            assert_eq!(key_of(name), crate::domain::norm::normal_form(name), "{name}");
        }
        assert_eq!(
            ["Café Berlin", "café berlin", "İstanbul Grill", "北京!", "A\u{2011}B Corp"].map(key_of),
            ["cafe berlin", "cafe berlin", "istanbul grill", "北京", "a-b corp"]
        );
    }

    #[test]
    fn a_span_is_found_again_in_the_source() {
        let source = "  At the Café  Berlin’s door";
        let folded = Folded::new(source);
        let begin = folded.text.find("cafe berlin").unwrap();
        let span = folded.source(begin, begin + "cafe berlin".len());
        assert_eq!(source.chars().skip(span.start).take(span.len()).collect::<String>(), "Café  Berlin");
    }

    proptest! {
        #[test]
        fn keys_of_plain_names_are_the_hosts(name in "[ -~\\u{2013}\\u{2014}\\u{2018}\\u{2019}]{0,20}") {
            // The grave accent is a quote here.
            prop_assume!(!name.contains('`'));
            prop_assert_eq!(key_of(&name), crate::domain::norm::normal_form(&name));
        }

        #[test]
        fn every_span_lies_in_the_source(source in any::<String>()) {
            let folded = Folded::new(&source);
            prop_assert_eq!(&folded.text, &fold_name(&source));
            let length = source.chars().count();
            let places: Vec<usize> = folded.text.char_indices().map(|(at, _)| at).chain([folded.text.len()]).collect();
            let mut before = 0;
            for pair in places.windows(2) {
                let span = folded.source(pair[0], pair[1]);
                prop_assert!(span.start >= before && span.end <= length && span.start < span.end);
                before = span.start;
            }
        }
    }
}
