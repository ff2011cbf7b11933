//! Paragraphs that a publisher scrambled by ROT47 (each printable ASCII character 47 places on, in a ring of 94), as the host's
//! crawler stores them: `kAm` is `<p>`, `k^Am` is `</p>`. Pure; applied to a text before it is read.
//!
//! What is between the two marks is decoded where it then reads like prose, and not before: ordinary sentences are decoded, text
//! full of symbols is left alone. No character is added or removed, so an offset in the decoded text is one in the stored text.

use std::ops::Range;

const OPEN: [char; 3] = ['k', 'A', 'm'];
const CLOSE: [char; 4] = ['k', '^', 'A', 'm'];
/// Fewer words are no paragraph, and too few to judge by.
const FEWEST_WORDS: usize = 6;
/// Share of the words that must read like words when decoded.
const PROSE: f64 = 0.7;
/// Longest tag, characters.
const LONGEST_TAG: usize = 500;

/// A text with its scrambled paragraphs made readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// As many code points as the stored text.
    pub text: String,
    /// The decoded parts, in code points, ascending.
    pub parts: Vec<Range<usize>>,
}

/// The text with its scrambled paragraphs decoded, their tags made spaces; `None` where there are none.
pub fn decode(text: &str) -> Option<Decoded> {
    if !text.contains("kAm") && !text.contains("k^Am") {
        return None;
    }
    let mut characters: Vec<char> = text.chars().collect();
    let mut parts = Vec::new();
    for part in paragraphs(&characters) {
        let stored = &characters[part.clone()];
        let mut decoded: Vec<char> = stored.iter().map(|&c| rotate(c)).collect();
        blank_tags(&mut decoded);
        if reads_like_prose(&decoded) > reads_like_prose(stored).max(PROSE - f64::EPSILON) {
            characters[part.clone()].copy_from_slice(&decoded);
            parts.push(part);
        }
    }
    (!parts.is_empty()).then(|| Decoded { text: characters.into_iter().collect(), parts })
}

fn rotate(c: char) -> char {
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

/// Tags to spaces, one for each character.
fn blank_tags(characters: &mut [char]) {
    let mut at = 0;
    while at < characters.len() {
        let end = (characters[at] == '<').then(|| {
            characters[at + 1..].iter().take(LONGEST_TAG).position(|&c| matches!(c, '<' | '>')).filter(|&end| characters[at + 1 + end] == '>')
        });
        match end.flatten() {
            Some(end) => {
                characters[at..=at + 1 + end].fill(' ');
                at += end + 2;
            }
            None => at += 1,
        }
    }
}

/// Share of the words that are letters for the most part, the marks around them apart; 0 for too few words.
fn reads_like_prose(characters: &[char]) -> f64 {
    let (mut words, mut readable) = (0usize, 0usize);
    for word in characters.split(|c| c.is_whitespace()) {
        let inside = |c: &char| c.is_alphanumeric();
        let (Some(begin), Some(end)) = (word.iter().position(inside), word.iter().rposition(inside)) else { continue };
        words += 1;
        let core = &word[begin..=end];
        let letters = core.iter().filter(|c| c.is_alphabetic()).count();
        let strange = core.iter().filter(|c| !c.is_alphanumeric() && !matches!(c, '\'' | '’' | '-' | '–' | '—' | '.' | ',' | '&' | '/' | '$')).count();
        let number = letters == 0 && strange == 0;
        readable += usize::from(number || (strange == 0 && letters * 5 >= core.len() * 3));
    }
    if words < FEWEST_WORDS { 0.0 } else { readable as f64 / words as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scrambled(text: &str) -> String {
        text.chars().map(rotate).collect()
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
        assert_eq!(decoded.text.chars().count(), stored.chars().count());
        assert_eq!(decoded.parts, vec![16..16 + sentence.len() + 7]);
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
    fn links_inside_and_paragraphs_on_one_line_are_read() {
        let first = "<p>Mayor Barbara Buffaloe said <a href=\"https://example.org/a?b=1\">the plan</a> would cost $2.5 million over ten years.</p>";
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
        #[test]
        fn no_character_is_added_or_lost(text in "(kAm|k\\^Am|[ -~]{0,9}|[\\n é北’]){0,30}") {
            if let Some(decoded) = decode(&text) {
                prop_assert_eq!(decoded.text.chars().count(), text.chars().count());
                let changed = |index: usize| decoded.parts.iter().any(|part| part.contains(&index));
                for (index, (found, stored)) in decoded.text.chars().zip(text.chars()).enumerate() {
                    prop_assert!(found == stored || changed(index));
                }
            }
        }
    }
}
