//! Text to pieces: Hugging Face's own tokenizer, a text encoded as it stands, each piece with its place in the source.

use std::ops::Range;
use std::path::Path;

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::bert::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{Model, Tokenizer as HuggingFaceTokenizer};

use super::EngineError;
use super::manifest::TokenTypes;
use super::shape::shape;

/// A wordpiece with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub id: u32,
    /// The token type: the shape of its word, or 0.
    pub shape: u8,
    /// Whether it begins a word.
    pub first: bool,
    /// Byte span in the source text, on character boundaries.
    pub bytes: Range<usize>,
}

/// A model's tokenizer with the ids that frame a window.
pub struct Tokenizer {
    inner: HuggingFaceTokenizer,
    token_types: TokenTypes,
    pub start_id: u32,
    pub stop_id: u32,
    pub pad_id: u32,
}

/// Encoded at once; a longer text goes in parts that end between sentences, so that memory stays flat.
const SEGMENT_BYTES: usize = 32 * 1024;

impl Tokenizer {
    /// Reads `tokenizer.json`, or else builds BERT's WordPiece from `vocab.txt`.
    pub fn load(directory: &Path, lowercase: bool, token_types: TokenTypes) -> Result<Self, EngineError> {
        let json = directory.join("tokenizer.json");
        let vocabulary = directory.join("vocab.txt");
        let mut inner = if json.is_file() {
            HuggingFaceTokenizer::from_file(&json)
                .map_err(|error| EngineError::Permanent(format!("{}: not a tokenizer: {error}", json.display())))?
        } else if vocabulary.is_file() {
            word_piece(&vocabulary, lowercase)?
        } else {
            return Err(EngineError::Permanent(format!(
                "{}: missing, and no vocab.txt beside it: a model directory needs one of the two",
                json.display()
            )));
        };
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| EngineError::Permanent(format!("{}: {error}", json.display())))?;
        let id = |names: [&str; 2]| {
            names.iter().find_map(|name| inner.token_to_id(name)).ok_or_else(|| {
                EngineError::Permanent(format!("{}: the vocabulary has neither {} nor {}", directory.display(), names[0], names[1]))
            })
        };
        let (start_id, stop_id, pad_id) = (id(["[CLS]", "<s>"])?, id(["[SEP]", "</s>"])?, id(["[PAD]", "<pad>"])?);
        Ok(Self { inner, token_types, start_id, stop_id, pad_id })
    }

    /// How many pieces it knows, what was added to them later not counted.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(false)
    }

    /// The pieces of a text in order. `starts` are the byte offsets of its sentence starts.
    pub fn pieces(&self, text: &str, starts: &[usize]) -> Result<Vec<Piece>, EngineError> {
        let mut pieces = Vec::with_capacity(text.len() / 4);
        for segment in segments(text, starts) {
            self.encode(text, segment, &mut pieces)?;
        }
        Ok(pieces)
    }

    fn encode(&self, text: &str, segment: Range<usize>, pieces: &mut Vec<Piece>) -> Result<(), EngineError> {
        let encoding = self
            .inner
            .encode(&text[segment.clone()], false)
            .map_err(|error| EngineError::Transient(format!("the tokenizer failed: {error}")))?;
        let from = pieces.len();
        let mut previous = None;
        for ((&id, &word), &(start, end)) in encoding.get_ids().iter().zip(encoding.get_word_ids()).zip(encoding.get_offsets()) {
            let first = word.is_none() || word != previous;
            previous = word;
            pieces.push(Piece { id, shape: 0, first, bytes: segment.start + start..segment.start + end });
        }
        trim_and_shape(text, &mut pieces[from..], self.token_types);
        Ok(())
    }
}

/// Byte-level tokenizers count the space before a word to it: the source of a word begins after it. Then words get shapes.
fn trim_and_shape(text: &str, pieces: &mut [Piece], token_types: TokenTypes) {
    let mut begin = 0;
    while begin < pieces.len() {
        let mut end = begin + 1;
        while end < pieces.len() && !pieces[end].first {
            end += 1;
        }
        let source = &text[pieces[begin].bytes.start..pieces[end - 1].bytes.end.max(pieces[begin].bytes.start)];
        let trimmed = source.len() - source.trim_start().len();
        pieces[begin].bytes.start = (pieces[begin].bytes.start + trimmed).min(pieces[begin].bytes.end);
        if token_types == TokenTypes::WordShape {
            let kind = shape(source);
            pieces[begin..end].iter_mut().for_each(|piece| piece.shape = kind);
        }
        begin = end;
    }
}

/// Parts of at least [`SEGMENT_BYTES`] (but the last) that end at a sentence start after white space: no word crosses one.
fn segments(text: &str, starts: &[usize]) -> Vec<Range<usize>> {
    let mut segments = Vec::new();
    let mut begin = 0;
    for &start in starts {
        if start - begin >= SEGMENT_BYTES && text[..start].ends_with(char::is_whitespace) {
            segments.push(begin..start);
            begin = start;
        }
    }
    if begin < text.len() {
        segments.push(begin..text.len());
    }
    segments
}

fn word_piece(vocabulary: &Path, lowercase: bool) -> Result<HuggingFaceTokenizer, EngineError> {
    let fail = |error: String| EngineError::Permanent(format!("{}: not a vocabulary: {error}", vocabulary.display()));
    let path = vocabulary.to_str().ok_or_else(|| fail("its path is not UTF-8".to_owned()))?;
    let model = WordPiece::from_file(path).unk_token("[UNK]".to_owned()).build().map_err(|error| fail(error.to_string()))?;
    if model.token_to_id("[UNK]").is_none() {
        return Err(fail("it lacks [UNK]".to_owned()));
    }
    let mut tokenizer = HuggingFaceTokenizer::new(model);
    tokenizer.with_normalizer(Some(BertNormalizer::new(true, true, None, lowercase))).map_err(|error| fail(error.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_the_whole_text() {
        let sentence = "It rained in Boone. ";
        let text = sentence.repeat(5000);
        let starts: Vec<usize> = (1..5000).map(|i| i * sentence.len()).collect();
        let parts = segments(&text, &starts);
        assert!(parts.len() > 2);
        assert_eq!(parts.iter().map(|p| &text[p.clone()]).collect::<String>(), text);
    }
}
