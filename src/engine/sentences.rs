//! Where sentences start, so that windows end between them. Pure.
//!
//! Boundaries are those of UAX #29, less the ones after a short capitalised word and a full stop (Mr., St., Gov., U.S.):
//! a window that ended there would cut `St. Louis` in two.

use unicode_segmentation::UnicodeSegmentation;

/// Byte offsets at which a sentence starts, ascending; the text's own start is left out.
pub fn sentence_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut begin = 0;
    for (boundary, _) in text.split_sentence_bound_indices().skip(1) {
        // Of this sentence only: a megabyte of line ends is a million of them.
        let sentence = text[begin..boundary].trim_end().len();
        let trimmed = &text[..begin + sentence];
        let broken = text[trimmed.len()..boundary].contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
        if broken || !ends_in_abbreviation(trimmed) {
            starts.push(boundary);
        }
        begin = boundary;
    }
    starts
}

/// Whether the text ends in a full stop after a word of one to four letters of which the first is upper.
fn ends_in_abbreviation(before: &str) -> bool {
    let Some(stem) = before.strip_suffix('.') else {
        return false;
    };
    let mut letters = stem.chars().rev().take_while(|c| c.is_alphabetic());
    let mut first = None;
    for _ in 0..4 {
        match letters.next() {
            Some(letter) => first = Some(letter),
            None => break,
        }
    }
    letters.next().is_none() && first.is_some_and(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut starts = sentence_starts(text);
        starts.insert(0, 0);
        starts.push(text.len());
        starts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
    }

    #[test]
    fn splits_at_sentence_ends_but_not_after_titles() {
        assert_eq!(
            sentences("Mr. Boone left St. Louis. He went to the U.S. Senate! Why?"),
            ["Mr. Boone left St. Louis. ", "He went to the U.S. Senate! ", "Why?"]
        );
    }

    #[test]
    fn a_line_break_always_ends_a_sentence() {
        assert_eq!(sentences("Signed, Gov.\nNext paragraph"), ["Signed, Gov.\n", "Next paragraph"]);
        assert_eq!(sentences("one\r\ntwo"), ["one\r\n", "two"]);
    }

    #[test]
    fn five_letters_are_no_abbreviation() {
        assert_eq!(sentences("We saw Boone. Then rain."), ["We saw Boone. ", "Then rain."]);
        assert!(sentences("").len() == 1);
    }
}
