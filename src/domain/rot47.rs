//! Paragraphs that a publisher scrambled by ROT47 (each printable ASCII character 47 places on, in a ring of 94), as the host's
//! crawler stores them: `kAm` is `<p>`, `k^Am` is `</p>`. Pure; applied to a text before it is read.
//!
//! What is between the two marks is decoded where it then reads like prose, and not before: ordinary sentences are decoded, text
//! full of symbols is left alone. Too few words are no evidence; they may come from several paragraphs, so that a short one among
//! longer ones is read too. A `k` or `m` of the prose is a `<` or `>` in the scrambled text, and there often an entity of HTML
//! (`&lt;`): it is one again before it is decoded. Every character of the decoded text knows its place in the stored text.

use std::ops::Range;
use std::sync::Arc;

const OPEN: [char; 3] = ['k', 'A', 'm'];
const CLOSE: [char; 4] = ['k', '^', 'A', 'm'];
/// Fewer words in all that would be decoded are too few to judge by.
const FEWEST_WORDS: usize = 6;
/// Share of the words that must read like words when decoded.
const PROSE: f64 = 0.7;
/// Longest tag, characters.
const LONGEST_TAG: usize = 500;

/// Entities of HTML that prose is full of.
const ENTITIES: [(&str, char); 8] =
    [("&lt;", '<'), ("&gt;", '>'), ("&amp;", '&'), ("&quot;", '"'), ("&#39;", '\''), ("&apos;", '\''), ("&nbsp;", ' '), ("&#8217;", '’')];

/// A text made readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub text: Arc<str>,
    /// For each code point of the text, and its end, the place in the stored text; empty where the text is its own measure.
    points: Vec<u32>,
    /// The decoded parts of the text, in code points, ascending.
    parts: Vec<Range<usize>>,
}

impl Decoded {
    /// A text in which offsets are into itself.
    pub fn moved(text: String) -> Self {
        Self { text: text.into(), points: Vec::new(), parts: Vec::new() }
    }

    /// The decoded parts of the text, in code points, ascending; none where the whole of it was made anew.
    pub fn parts(&self) -> &[Range<usize>] {
        &self.parts
    }

    /// Where a span of the text lies in the stored one, and whether any of it was decoded.
    pub fn place(&self, start: usize, end: usize) -> (Range<usize>, bool) {
        let decoded = self.parts.iter().any(|part| part.start < end && start < part.end);
        match (self.points.get(start), self.points.get(end)) {
            (Some(&from), Some(&to)) => (from as usize..to as usize, decoded),
            _ => (start..end, decoded),
        }
    }
}

/// What becomes of a text before it is read.
#[derive(Clone, Copy, Debug)]
pub struct Preparation(pub fn(&str) -> Option<Decoded>);

impl Preparation {
    /// Every text is read as it is stored.
    pub const NONE: Self = Self(|_| None);
    /// Scrambled paragraphs are made readable.
    pub const DECODE: Self = Self(decode);

    /// The text as it is read; `None`: as it is stored.
    pub fn read(self, text: &str) -> Option<Decoded> {
        self.0(text)
    }
}

/// A character and its place in the stored text.
type Placed = (char, u32);

/// The text with its scrambled paragraphs decoded, a space for each of their tags; `None` where there are none.
pub fn decode(text: &str) -> Option<Decoded> {
    if !text.contains("kAm") && !text.contains("k^Am") {
        return None;
    }
    let stored: Vec<char> = text.chars().collect();
    let mut readable: Vec<(Range<usize>, Vec<Placed>)> = Vec::new();
    let mut words = 0;
    for part in paragraphs(&stored) {
        let scrambled: Vec<Placed> = part.clone().map(|place| (stored[place], place as u32)).collect();
        let rotated: Vec<Placed> = unescaped(&scrambled).into_iter().map(|(c, place)| (rotate(c), place)).collect();
        let decoded = unescaped(&without_tags(&rotated));
        let opened = stored[part.clone()].starts_with(&OPEN);
        let closed = stored[part.clone()].ends_with(&CLOSE);
        let between = if opened { OPEN.len() } else { 0 }..scrambled.len() - if closed { CLOSE.len() } else { 0 };
        let (before, after) = (Reading::of(scrambled.get(between).unwrap_or_default()), Reading::of(&decoded));
        if after.is_prose() && after.share() > before.share() && (opened && closed || after.words >= FEWEST_WORDS) {
            words += after.words;
            readable.push((part, decoded));
        }
    }
    if words < FEWEST_WORDS {
        return None;
    }
    let (mut all, mut parts, mut from): (Vec<Placed>, _, _) = (Vec::with_capacity(stored.len()), Vec::new(), 0);
    for (part, decoded) in readable {
        all.extend((from..part.start).map(|place| (stored[place], place as u32)));
        parts.push(all.len()..all.len() + decoded.len());
        all.extend(decoded);
        from = part.end;
    }
    all.extend((from..stored.len()).map(|place| (stored[place], place as u32)));
    let points = all.iter().map(|&(_, place)| place).chain([stored.len() as u32]).collect();
    Some(Decoded { text: all.into_iter().map(|(c, _)| c).collect::<String>().into(), points, parts })
}

/// The cipher: each printable ASCII character 47 places on, its own inverse.
pub fn rotate(c: char) -> char {
    match c {
        '!'..='~' => char::from(b'!' + (c as u8 - b'!' + 47) % 94),
        _ => c,
    }
}

/// From each opening mark to the last closing one before the next opening mark, or else to the end of its line. A paragraph whose
/// opening mark was lost begins with its line.
fn paragraphs(characters: &[char]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let (mut at, mut open, mut line) = (0, None, 0);
    while at < characters.len() {
        let rest = &characters[at..];
        if rest.starts_with(&CLOSE) {
            let begin = open.take().unwrap_or(line);
            at += CLOSE.len();
            found.push(begin..at);
            line = at;
        } else if rest.starts_with(&OPEN) {
            if let Some(begin) = open.replace(at) {
                found.push(begin..at);
            }
            at += OPEN.len();
        } else {
            if rest[0] == '\n' {
                if let Some(begin) = open.take() {
                    found.push(begin..at);
                }
                line = at + 1;
            }
            at += 1;
        }
    }
    found.extend(open.map(|begin| begin..characters.len()));
    found
}

/// A space for each tag.
fn without_tags(characters: &[Placed]) -> Vec<Placed> {
    let (mut out, mut at) = (Vec::with_capacity(characters.len()), 0);
    while at < characters.len() {
        let (c, place) = characters[at];
        let inside = characters[at + 1..].iter().take(if c == '<' { LONGEST_TAG } else { 0 });
        let end = inside.map(|&(c, _)| c).position(|c| matches!(c, '<' | '>')).filter(|end| characters[at + 1 + end].0 == '>');
        out.push((if end.is_some() { ' ' } else { c }, place));
        at += end.map_or(1, |end| end + 2);
    }
    out
}

/// The characters that entities of HTML stand for.
fn unescaped(characters: &[Placed]) -> Vec<Placed> {
    let (mut out, mut at) = (Vec::with_capacity(characters.len()), 0);
    while at < characters.len() {
        let (c, place) = characters[at];
        let stands_here =
            |entity: &str| characters[at..].len() >= entity.len() && characters[at..].iter().zip(entity.chars()).all(|(a, b)| a.0 == b);
        let found = if c == '&' { ENTITIES.iter().find(|(entity, _)| stands_here(entity)) } else { None };
        out.push((found.map_or(c, |&(_, meant)| meant), place));
        at += found.map_or(1, |(entity, _)| entity.len());
    }
    out
}

/// How much of a text reads like words.
#[derive(Clone, Copy)]
struct Reading {
    /// Numbers are none: a lone letter is one when it is scrambled.
    words: usize,
    readable: usize,
}

impl Reading {
    fn of(characters: &[Placed]) -> Self {
        let mut reading = Self { words: 0, readable: 0 };
        for word in characters.split(|(c, _)| c.is_whitespace()) {
            let inside = |(c, _): &Placed| c.is_alphanumeric();
            let (Some(begin), Some(end)) = (word.iter().position(inside), word.iter().rposition(inside)) else { continue };
            let core: Vec<char> = word[begin..=end].iter().map(|&(c, _)| c).collect();
            if core.iter().any(|c| c.is_alphabetic()) {
                reading.words += 1;
                reading.readable += usize::from(is_word(&core));
            }
        }
        reading
    }

    fn share(self) -> f64 {
        self.readable as f64 / self.words.max(1) as f64
    }

    fn is_prose(self) -> bool {
        self.words > 0 && self.share() >= PROSE
    }
}

/// Whether it is written as words are: letters for the most part, a vowel, capitals at the beginnings or throughout, no odd marks.
fn is_word(core: &[char]) -> bool {
    let letters = core.iter().filter(|c| c.is_alphabetic()).count();
    if letters == 1 && core.len() == 1 {
        return matches!(core[0], 'a' | 'A' | 'I');
    }
    let joins = |c: char| matches!(c, '\'' | '’' | '-' | '–' | '—' | '.' | '&' | '/');
    let vowel = core.iter().any(|c| !c.is_ascii() || matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u' | 'y'));
    let loud = core.iter().all(|c| !c.is_lowercase());
    let shaped = core.windows(2).all(|pair| loud || !pair[1].is_uppercase() || joins(pair[0]));
    letters * 5 >= core.len() * 3 && vowel && shaped && core.iter().all(|&c| c.is_alphanumeric() || joins(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scrambled(text: &str) -> String {
        text.chars().map(rotate).collect()
    }

    /// Where a part of the decoded text lies in the stored one.
    fn found(decoded: &Decoded, part: &str) -> (Range<usize>, bool) {
        let start = decoded.text[..decoded.text.find(part).unwrap()].chars().count();
        decoded.place(start, start + part.chars().count())
    }

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn ordinary_sentences_are_decoded() {
        let sentence = "The Columbia City Council voted on Monday to fund a new park near Stephens Lake.";
        let stored = format!("Posted at noon. {} Comments", scrambled(&format!("<p>{sentence}</p>")));
        let decoded = decode(&stored).unwrap();
        assert_eq!(words(&decoded.text), words(&format!("Posted at noon. {sentence} Comments")));
        let (place, marked) = found(&decoded, "Stephens Lake");
        assert!(marked);
        let slice: String = stored.chars().skip(place.start).take(place.len()).collect();
        assert_eq!(slice, scrambled("Stephens Lake"));
        assert!(!found(&decoded, "Posted").1 && !found(&decoded, "Comments").1);
        let (place, _) = found(&decoded, "Comments");
        assert_eq!(&stored[place], "Comments");
    }

    /// `k` and `m` are `<` and `>` on the page, and there entities of HTML.
    #[test]
    fn escaped_marks_are_letters() {
        let sentence = "<p>The mayor asked Dave &amp; Buster's of Park Lake to come back for more milk.</p>";
        let stored = format!("Ünïon {}", scrambled(sentence).replace('<', "&lt;").replace('>', "&gt;"));
        let decoded = decode(&stored).unwrap();
        assert!(decoded.text.contains("The mayor asked Dave & Buster's of Park Lake to come back for more milk."), "{}", decoded.text);
        let (place, marked) = found(&decoded, "Park Lake");
        let slice: String = stored.chars().skip(place.start).take(place.len()).collect();
        assert!(marked);
        assert_eq!(slice, scrambled("Park Lake").replace('<', "&lt;"));
    }

    #[test]
    fn the_hosts_own_cases_hold() {
        let seven = "Intro kAm>:I:?8` >:I:?8a >:I:?8b >:I:?8c >:I:?8d >:I:?8e >:I:?8fk^Am Outro";
        assert_eq!(
            words(&decode(seven).unwrap().text),
            ["Intro", "mixing1", "mixing2", "mixing3", "mixing4", "mixing5", "mixing6", "mixing7", "Outro"]
        );
        assert_eq!(decode("Intro kAm>:I:?8` >:I:?8a >:I:?8b >:I:?8c >:I:?8dk^Am Outro"), None);
        assert_eq!(decode("kAm a:b1:c d:e2:f g:h3:i j:k4:l m:n5:o p:q6:r done"), None);
    }

    #[test]
    fn plain_text_is_left_alone_whatever_marks_it_holds() {
        for text in ["", "kAm", "k^Am", "The kAm of the sea was calm when the boats came home at last k^Am and all slept."] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn a_short_paragraph_among_longer_ones_is_read() {
        let long = scrambled("<p>The council of Boone County met again on Tuesday night.</p>");
        let short = scrambled("<p>Ann Lee agreed.</p>");
        let decoded = decode(&format!("{long}\n{short}")).unwrap();
        assert_eq!(decoded.parts.len(), 2);
        assert!(decoded.text.contains("Ann Lee agreed."), "{}", decoded.text);
        assert_eq!(decode(&short), None, "three words alone are no evidence");
    }

    #[test]
    fn text_full_of_symbols_is_left_alone() {
        for text in [
            "kAm x=1; y[2]=3; if (x>y) { z = x ? y : w; } k^Am",
            "kAm@foo:bar?baz=1&q=[2] $HOME/.config;ls|wc ^x$ a\\b c:d e=f kAm",
            "See https://example.org/kAm?x=1&y=2#k^Am and /etc/kAm.conf for the six settings of the printer driver",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn links_inside_and_paragraphs_on_one_line_are_read() {
        let first =
            "<p>Mayor Barbara Buffaloe said <a href=\"https://example.org/a?b=1\">the plan</a> would cost $2.5 million over ten years.</p>";
        let second = "<p>Nobody on the council of seven voted against it, said Smith-Cotton's coach.</p>";
        let decoded = decode(&(scrambled(first) + &scrambled(second))).unwrap();
        assert_eq!(decoded.parts.len(), 2);
        assert!(decoded.text.contains("Mayor Barbara Buffaloe said"), "{}", decoded.text);
        assert!(!decoded.text.contains("href"), "{}", decoded.text);
    }

    #[test]
    fn a_lost_mark_ends_with_the_line() {
        let line = scrambled("the council of Boone County met again on Tuesday night</p>");
        let open = scrambled("<p>the council of Boone County met again on Tuesday night");
        assert!(decode(&format!("Above it\n{line}")).unwrap().text.contains("Boone County"));
        assert!(decode(&format!("{open}\nBelow it")).unwrap().text.contains("Boone County"));
    }

    proptest! {
        /// Without a mark nothing is touched, and prose in the clear is not, whatever marks it holds.
        #[test]
        fn text_that_was_not_scrambled_is_unchanged(words in prop::collection::vec("[A-Z]?[a-z]{1,9}[.,]?|kAm|k\\^Am", 0..40)) {
            prop_assert_eq!(decode(&words.join(" ")), None);
        }

        /// What was found in the decoded text lies at the same place of the stored one.
        #[test]
        fn offsets_slice_the_stored_text(before in "[a-zé ]{0,20}", name in "[A-Z][a-z]{2,8} [A-Z][a-z]{2,8}", after in "[a-z北 ]{0,20}") {
            let escaped = scrambled(&format!("<p>We were told by {name} that it would rain</p>")).replace('<', "&lt;").replace('>', "&gt;");
            let stored = format!("{before} {escaped}{after}");
            let decoded = decode(&stored).unwrap();
            let (place, marked) = found(&decoded, &name);
            let slice: String = stored.chars().skip(place.start).take(place.len()).collect();
            prop_assert!(marked);
            prop_assert_eq!(slice, scrambled(&name).replace('<', "&lt;").replace('>', "&gt;"));
        }

        #[test]
        fn what_was_not_decoded_keeps_its_characters(text in "(kAm|k\\^Am|&lt;|[ -~]{0,9}|[\\n é北’]){0,30}") {
            if let Some(decoded) = decode(&text) {
                let stored: Vec<char> = text.chars().collect();
                let mut last = 0;
                for (index, c) in decoded.text.chars().enumerate() {
                    let (place, marked) = decoded.place(index, index + 1);
                    prop_assert!(place.start >= last && !place.is_empty() && place.end <= stored.len());
                    prop_assert!(marked || (stored[place.start] == c && place.len() == 1));
                    last = place.end;
                }
                prop_assert_eq!(last, stored.len());
            }
        }
    }
}
