//! Cuts a text's pieces into the windows that the model sees. Pure: every piece lies in exactly one window, in order.

use std::ops::Range;

use super::tokenizer::Piece;

/// Packs whole consecutive sentences while their pieces number at most `max_pieces`. A longer sentence is cut at word starts,
/// each cut as long as fits, its rest packed on with what follows; a word longer than a window is cut at pieces.
///
/// `starts` are the byte offsets of sentence starts, ascending.
pub fn windows(pieces: &[Piece], starts: &[usize], max_pieces: usize) -> Vec<Range<usize>> {
    let max_pieces = max_pieces.max(1);
    let mut windows = Vec::with_capacity(pieces.len() / max_pieces + 1);
    let (mut begin, mut last) = (0, 0);
    for end in sentence_ends(pieces, starts) {
        if end - begin > max_pieces && last > begin {
            windows.push(begin..last);
            begin = last;
        }
        while end - begin > max_pieces {
            let cut = (begin + 1..=begin + max_pieces).rev().find(|&index| pieces[index].first).unwrap_or(begin + max_pieces);
            windows.push(begin..cut);
            begin = cut;
        }
        last = end;
    }
    if last > begin {
        windows.push(begin..last);
    }
    windows
}

/// The piece index at which each sentence ends, the last being the number of pieces.
fn sentence_ends(pieces: &[Piece], starts: &[usize]) -> Vec<usize> {
    let mut ends = Vec::with_capacity(starts.len() + 1);
    let mut boundary = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let before = boundary;
        while boundary < starts.len() && starts[boundary] <= piece.bytes.start {
            boundary += 1;
        }
        if boundary > before && piece.first && index > 0 {
            ends.push(index);
        }
    }
    ends.push(pieces.len());
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(words: &[(usize, bool)]) -> (Vec<Piece>, Vec<usize>) {
        let (mut pieces, mut starts, mut at) = (Vec::new(), Vec::new(), 0);
        for &(length, sentence) in words {
            if sentence && at > 0 {
                starts.push(at);
            }
            for index in 0..length {
                pieces.push(Piece { id: 1, shape: 0, first: index == 0, bytes: at..at + 1 });
                at += 1;
            }
        }
        (pieces, starts)
    }

    #[test]
    fn packs_whole_sentences() {
        let (pieces, starts) = text_of(&[(1, true), (1, false), (1, true), (1, false), (1, true), (1, false)]);
        assert_eq!(windows(&pieces, &starts, 4), [0..4, 4..6]);
        assert_eq!(windows(&pieces, &starts, 3), [0..2, 2..4, 4..6]);
        assert_eq!(windows(&pieces, &starts, 100), vec![0..6; 1]);
    }

    #[test]
    fn cuts_a_long_sentence_at_words_and_a_long_word_at_pieces() {
        let (pieces, starts) = text_of(&[(1, true), (2, true), (2, false), (2, false), (1, true)]);
        assert_eq!(windows(&pieces, &starts, 5), [0..1, 1..5, 5..8]);
        let (pieces, starts) = text_of(&[(1, true), (9, false), (1, false)]);
        assert_eq!(windows(&pieces, &starts, 4), [0..1, 1..5, 5..9, 9..11]);
    }

    #[test]
    fn nothing_makes_no_window() {
        assert!(windows(&[], &[], 4).is_empty());
    }

    proptest! {
        #[test]
        fn every_piece_once_in_order_and_none_over_the_limit(
            words in prop::collection::vec((1usize..12, prop::bool::weighted(0.2)), 0..60),
            max in 1usize..16,
        ) {
            let (pieces, starts) = text_of(&words);
            let mut at = 0;
            for window in windows(&pieces, &starts, max) {
                prop_assert_eq!(window.start, at);
                prop_assert!(!window.is_empty() && window.len() <= max);
                let inside_long_word = words.iter().any(|w| w.0 > max);
                prop_assert!(pieces[window.start].first || inside_long_word);
                at = window.end;
            }
            prop_assert_eq!(at, pieces.len());
        }
    }
}
