//! Strategies for what a crawler may meet and what someone may do on purpose.

use nerd::domain::rot47::rotate;
use proptest::prelude::*;
use proptest::sample::select;

const PROSE: [&str; 8] = [
    "Ann Lee of Columbia Public Library",
    "The mayor of St. Louis met Dr. O’Neil on Friday.",
    "NATO, iPhone, 3M and McDonald's",
    "$4.2 million on Nov. 28, 2026",
    "JOSÉ García-López, Zürich",
    "Boone County sheriff’s office said Tuesday that two people were hurt near Ashland",
    "a",
    "I",
];
const SPECIALS: [char; 32] = [
    '\0',
    '\u{1}',
    '\u{7f}',
    '\u{1c}',
    '\u{1f}',
    '\u{85}',
    '\u{a0}',
    '\u{ad}',
    '\u{34f}',
    '\u{61c}',
    '\u{180e}',
    '\u{200b}',
    '\u{200d}',
    '\u{200e}',
    '\u{202e}',
    '\u{2028}',
    '\u{2029}',
    '\u{2060}',
    '\u{2066}',
    '\u{2069}',
    '\u{3000}',
    '\u{e000}',
    '\u{fe0f}',
    '\u{feff}',
    '\u{fffc}',
    '\u{fffd}',
    '\u{ffff}',
    '\u{1ffff}',
    '\u{e0001}',
    '\u{e0020}',
    '\u{f0000}',
    '\u{10ffff}',
];
const MARKS: [char; 10] = ['\u{300}', '\u{301}', '\u{323}', '\u{345}', '\u{489}', '\u{5b0}', '\u{903}', '\u{93e}', '\u{20dd}', '\u{fe20}'];
/// Letters whose case, width or composition is not what one thinks.
const LETTERS: [&str; 16] = ["İ", "ı", "ß", "ẞ", "ﬁ", "ﬄ", "ǅ", "ŉ", "Σς", "Å", "각", "ﷺ", "Ａｎｎ", "𝐀𝐧𝐧", "ᾳ", "᾿"];
const SCRIPTS: [&str; 8] = ["北京市长", "東京タワー", "กรุงเทพฯ", "Москва", "القدس الشريف", "ירושלים", "नई दिल्ली", "የኢትዮጵያ"];
const EMOJI: [&str; 6] = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇺🇸🇩", "👍🏽", "1️⃣"];
const BREAKS: [&str; 14] = [" ", "  ", "\n", "\r", "\r\n", "\n\r", "\t", "\u{b}", "\u{c}", ". ", "! ", "?\" ", "...", ".\u{a0}"];
const SIGNS: [&str; 16] =
    ["&amp;", "&lt;", "&#39;", "<p>", "</p>", "<", ">", "'", "’", "—", "(", "[MASK]", "[UNK]", "##", "{\"text\":", "@#$%^&*"];

/// One part of a text.
pub fn part() -> impl Strategy<Value = String> {
    let planes = prop::collection::vec(any::<char>(), 1..12).prop_map(String::from_iter);
    let all = prop::collection::vec(prop::char::range('\0', char::MAX), 1..6).prop_map(String::from_iter);
    let specials = prop::collection::vec(select(&SPECIALS[..]), 1..4).prop_map(String::from_iter);
    let marks = prop::collection::vec(select(&MARKS[..]), 1..40).prop_map(String::from_iter);
    let based = (any::<char>(), marks).prop_map(|(base, marks)| format!("{base}{marks}"));
    let run = (any::<char>(), 20usize..300).prop_map(|(c, times)| String::from_iter(std::iter::repeat_n(c, times)));
    let scrambled = (select(&PROSE[..]), 0..4).prop_map(|(prose, form)| {
        let cipher: String = prose.chars().map(rotate).collect();
        match form {
            0 => format!("kAm{cipher}k^Am"),
            1 => format!("kAm{}k^Am", cipher.replace('<', "&lt;")),
            2 => format!("kAm{cipher}"),
            _ => format!("{cipher} k^Am"),
        }
    });
    let of = |list: &'static [&'static str]| select(list).prop_map(str::to_owned);
    prop_oneof![
        4 => planes, 2 => all, 6 => of(&PROSE), 3 => specials, 3 => based, 1 => run, 2 => scrambled, 2 => of(&LETTERS), 2 => of(&SCRIPTS),
        1 => of(&EMOJI), 5 => of(&BREAKS), 2 => of(&SIGNS),
    ]
}

/// A text of such parts.
pub fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec(part(), 0..12).prop_map(|parts| parts.concat())
}

/// Any bytes.
pub fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// What takes the place of a part of a good file.
const INSTEAD: [&str; 26] = [
    "",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\\",
    "\n",
    "\0",
    "null",
    "true",
    "0",
    "1",
    "-1",
    "65",
    "0.5",
    "1e400",
    "9223372036854775807",
    "18446744073709551615",
    "\"\\ud800\"",
    "../../etc/passwd",
    "\u{feff}",
    "é",
];

/// A good file, spoilt in a few places: a part of it gone, doubled, or something else in its place.
pub fn edited(good: String) -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0usize..6, 0u8..4, select(&INSTEAD[..]));
    prop::collection::vec(edit, 1..4).prop_map(move |edits| {
        let mut text: Vec<char> = good.chars().collect();
        for (place, length, kind, instead) in edits {
            let begin = place.index(text.len() + 1);
            // Whole words and numbers more often than parts of them.
            let (begin, end) = if kind < 3 { word(&text, begin) } else { (begin, (begin + length).min(text.len())) };
            let old: String = text[begin..end].iter().collect();
            let new = if kind == 2 { format!("{old}{old}") } else { instead.to_owned() };
            text.splice(begin..end, new.chars());
        }
        text.into_iter().collect()
    })
}

/// The word or number around a place, or just the place.
fn word(text: &[char], place: usize) -> (usize, usize) {
    let inside = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begin = text[..place].iter().rposition(|c| !inside(c)).map_or(0, |before| before + 1);
    let end = text[place..].iter().position(|c| !inside(c)).map_or(text.len(), |after| place + after);
    (begin, end)
}

/// Megabytes of the same.
pub fn huge() -> Vec<(&'static str, String)> {
    let of = |part: &str| part.repeat((1 << 20) / part.len());
    let scrambled: String = "<p>The mayor of Columbia asked for more milk.</p> ".chars().map(rotate).collect();
    [
        ("one letter", "a"),
        ("one capital", "A"),
        ("spaces", " "),
        ("line ends", "\n"),
        ("carriage returns", "\r\n"),
        ("full stops", "."),
        ("abbreviations", "Mr. "),
        ("lone letters", "a "),
        ("names", "Ann Lee "),
        ("marks", "\u{301}"),
        ("letters with marks", "e\u{301}\u{323}"),
        ("joiners", "\u{200d}"),
        ("replacement characters", "\u{fffd}"),
        ("zeros", "\0"),
        ("ideographs", "京"),
        ("right to left", "א"),
        ("emoji", "👩‍👩‍👧‍👦"),
        ("opening marks", "kAm"),
        ("closing marks", "k^Am"),
        ("angle brackets", "kAmkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"),
        ("scrambled paragraphs", &scrambled),
        ("brackets of JSON", "{\"text\":["),
        ("quotes", "\""),
    ]
    .map(|(name, part)| (name, of(part)))
    .into_iter()
    .collect()
}
