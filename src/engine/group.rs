//! Some texts on their way to the network: cut into pieces and windows, as many texts at a time as fill a few batches. On a device
//! the next group is prepared while this one is computed.

use std::ops::Range;
use std::time::Instant;

use super::sentences::sentence_starts;
use super::tokenizer::{Piece, Tokenizer};
use super::window::windows;
use super::{EngineError, Progress, Work};

/// A text's pieces, and the windows that they lie in.
pub struct Prepared {
    pub pieces: Vec<Piece>,
    pub windows: Vec<Range<usize>>,
}

/// Texts of one call that go through the network together.
pub struct Group {
    /// Which texts of the call.
    pub texts: Range<usize>,
    pub prepared: Vec<Prepared>,
    /// What preparing them was: words, windows, seconds.
    pub work: Work,
}

/// Prepares texts from `begin` on, until they have so many pieces.
pub fn prepare(
    tokenizer: &Tokenizer,
    max_pieces: usize,
    texts: &[&str],
    begin: usize,
    most_pieces: usize,
    progress: &Progress,
) -> Result<Group, EngineError> {
    let begun = Instant::now();
    let (mut prepared, mut work, mut pieces, mut end) = (Vec::new(), Work::default(), 0, begin);
    while end < texts.len() && (pieces < most_pieces || end == begin) {
        let one = prepare_one(tokenizer, max_pieces, texts[end], &mut work)?;
        progress.step();
        pieces += one.pieces.len();
        prepared.push(one);
        end += 1;
    }
    work.tokenize_seconds = begun.elapsed().as_secs_f64();
    Ok(Group { texts: begin..end, prepared, work })
}

fn prepare_one(tokenizer: &Tokenizer, max_pieces: usize, text: &str, work: &mut Work) -> Result<Prepared, EngineError> {
    let starts = sentence_starts(text);
    let pieces = tokenizer.pieces(text, &starts)?;
    let windows = windows(&pieces, &starts, max_pieces);
    work.windows += windows.len() as u64;
    work.words += words(&pieces, 0..pieces.len()).filter(|word| text[word.clone()].contains(char::is_alphanumeric)).count() as u64;
    Ok(Prepared { pieces, windows })
}

/// Byte spans of the words that begin inside a range of pieces.
pub fn words(pieces: &[Piece], range: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let stop = range.end;
    range.filter(|&index| pieces[index].first).map(move |index| {
        let mut last = index;
        while last + 1 < stop && !pieces[last + 1].first {
            last += 1;
        }
        pieces[index].bytes.start..pieces[last].bytes.end.max(pieces[index].bytes.start)
    })
}
