//! What the benchmarks of the pure parts work on: the sample articles as one text, its pieces, and scores as a model gives them.

use std::ops::Range;
use std::path::Path;

use nerd::domain::Entity;
use nerd::engine::decode::Labels;
use nerd::engine::manifest::TokenTypes;
use nerd::engine::sentences::sentence_starts;
use nerd::engine::tokenizer::{Piece, Tokenizer};
use nerd::engine::window::windows;

/// Bytes of the text: some ten articles.
const BYTES: usize = 40_000;
/// Wordpieces of a window, as the bundled model has it.
const MOST_PIECES: usize = 126;

/// A text and what each step makes of it.
pub struct Case {
    pub text: String,
    pub starts: Vec<usize>,
    pub pieces: Vec<Piece>,
    pub words: Vec<Range<usize>>,
    /// `words × labels`, softmax rows.
    pub probabilities: Vec<f32>,
    tokenizer: Tokenizer,
    labels: Labels,
}

impl Case {
    /// The same at each run.
    pub fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tokenizer = Tokenizer::load(&root.join("models/news-ner"), true, TokenTypes::WordShape).expect("the bundled tokenizer");
        let text = sample(root);
        let starts = sentence_starts(&text);
        let pieces = tokenizer.pieces(&text, &starts).expect("a text has pieces");
        let words: Vec<Range<usize>> = pieces.iter().filter(|piece| piece.first).map(|piece| piece.bytes.clone()).collect();
        let labels = Labels::new(&names());
        let probabilities = probabilities(words.len(), labels.count());
        Self { text, starts, pieces, words, probabilities, tokenizer, labels }
    }

    pub fn sentences(&self) -> Vec<usize> {
        sentence_starts(&self.text)
    }

    pub fn tokens(&self) -> Vec<Piece> {
        self.tokenizer.pieces(&self.text, &self.starts).expect("a text has pieces")
    }

    pub fn windows(&self) -> Vec<Range<usize>> {
        windows(&self.pieces, &self.starts, MOST_PIECES)
    }

    /// Window by window, as long as usual ones.
    pub fn entities(&self) -> Vec<Entity> {
        let mut found = Vec::new();
        let count = self.labels.count();
        for (words, probabilities) in self.words.chunks(MOST_PIECES).zip(self.probabilities.chunks(MOST_PIECES * count)) {
            self.labels.entities(&self.text, words, self.text.len(), probabilities, &mut found);
        }
        found
    }
}

/// The sample articles in the order of their names, as many as make up the length, cut at a character.
fn sample(root: &Path) -> String {
    let directory = root.join("tests/data/articles");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).expect("the sample articles").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut text = String::new();
    for path in files {
        text += &std::fs::read_to_string(path).expect("a sample article");
        text += "\n\n";
    }
    text.truncate(text.floor_char_boundary(BYTES));
    text
}

fn names() -> Vec<String> {
    let kinds = ["PERSON", "ORG", "LOC", "FAC", "NORP", "PRODUCT", "DATE", "MONEY", "MISC"];
    let labels = kinds.iter().flat_map(|kind| [format!("B-{kind}"), format!("I-{kind}")]);
    std::iter::once("O".to_owned()).chain(labels).collect()
}

/// One label in eight words is not the first; the likeliest one has nine tenths.
fn probabilities(words: usize, labels: usize) -> Vec<f32> {
    let mut rows = vec![0.1 / (labels - 1) as f32; words * labels];
    for (word, row) in rows.chunks_exact_mut(labels).enumerate() {
        let likely = if word % 8 < 2 { 1 + (word / 8 % 9) * 2 + word % 8 } else { 0 };
        row[likely] = 0.9;
    }
    rows
}
