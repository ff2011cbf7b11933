//! What must hold whatever is put in: the tests draw hostile input for these properties, the fuzzer looks for its own. One
//! file for both, so that they cannot drift apart. A property that does not hold panics.
#![allow(dead_code)] // the tests and each fuzz target use their own part

pub mod files;
pub mod names;
pub mod network;
pub mod text;

use std::path::{Path, PathBuf};

/// A fuzz target: its name, which is that of its corpus, and what it makes of any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target; the corpus of each is replayed by `tests/bad_input.rs`.
pub const TARGETS: [Target; 10] = [
    ("window", |data| text::is_cut_whole(&readable(data), usize::from(data.len() as u8) % 40 + 1)),
    ("decode", |data| with_two(data, text::decodes)),
    ("offsets", |data| with_two(data, text::offsets_slice)),
    ("normal_form", |data| text::normal_forms_are_stable(&readable(data))),
    ("rot47", |data| text::scrambled_text_knows_its_places(&readable(data))),
    ("gazetteer", |data| with_two(data, |text, rest| names::mentions_are_slices(&lines(rest), text))),
    ("annotate", |data| {
        network::alone_and_together_are_the_same(&lines(data));
    }),
    ("settings", |data| files::settings_are_read_or_refused(&readable(data))),
    ("json_lines", files::lines_are_read_or_named),
    ("model", |data| {
        let mut parts = data.splitn(3, |&byte| byte == SEPARATOR).chain([&[][..]; 3]);
        let mut next = || parts.next().unwrap_or_default();
        files::a_model_is_read_or_refused(next(), next(), next());
    }),
];

/// Between the parts of a target's input: no byte of UTF-8, so that texts hold none.
pub const SEPARATOR: u8 = 0xff;

/// Runs the target of this name: what a fuzz target consists of.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("a fuzz target is in the list");
    target(data);
}

/// The text before the separator, the bytes after it.
fn with_two(data: &[u8], property: fn(&str, &[u8])) {
    let at = data.iter().position(|&byte| byte == SEPARATOR).unwrap_or(data.len());
    property(&readable(&data[..at]), data.get(at + 1..).unwrap_or_default());
}

/// As text, what is no UTF-8 replaced.
fn readable(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// As texts, one between two separators or the ends of lines.
fn lines(data: &[u8]) -> Vec<String> {
    data.split(|&byte| byte == SEPARATOR || byte == b'\n').map(readable).collect()
}

/// The project's directory; the fuzz targets are a package of their own inside it.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().find(|directory| directory.join("models/news-ner").is_dir()).expect("the bundled model is there").to_owned()
}
