//! A word's shape, which the bundled model reads as its token type. Pure; the training recipe computes the same.
//!
//! The vocabulary is uncased, and case is what a name looks like: so the token types carry it.

/// How many there are.
pub const SHAPES: usize = 4;

/// The token type of a word, over those of its characters that have case: 0 none is upper; 2 more than one, all upper;
/// 1 the first is upper; 3 an upper one only later.
pub fn shape(word: &str) -> u8 {
    let mut cased = 0usize;
    let mut uppers = 0usize;
    let mut first_upper = false;
    for character in word.chars() {
        let upper = character.is_uppercase();
        if upper || character.is_lowercase() {
            first_upper |= cased == 0 && upper;
            cased += 1;
            uppers += usize::from(upper);
        }
    }
    match (uppers, first_upper) {
        (0, _) => 0,
        (all, _) if all == cased && cased > 1 => 2,
        (_, true) => 1,
        (_, false) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn names_the_four_shapes() {
        for (word, expected) in [
            ("council", 0),
            ("1,234", 0),
            ("", 0),
            ("北京", 0),
            ("Boone", 1),
            ("A", 1),
            ("McDonald", 1),
            ("3M", 1),
            ("NATO", 2),
            ("U2B", 2),
            ("iPhone", 3),
            ("ÉCOLE", 2),
            ("école", 0),
        ] {
            assert_eq!(shape(word), expected, "{word}");
        }
    }
}
