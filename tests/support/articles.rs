//! The sample articles, and the hard ones.

use std::path::Path;

/// (name, text), in the order of their names.
pub fn samples() -> Vec<(String, String)> {
    read("tests/data/articles")
}

/// The hard ones, the 200,000 words among them.
pub fn hard() -> Vec<(String, String)> {
    let mut all = read("tests/data/hard");
    all.push(("200000-words".to_owned(), long_text()));
    all
}

/// 200,000 words of sample articles one after another.
pub fn long_text() -> String {
    let samples = samples();
    let (mut text, mut words) = (String::new(), 0);
    for (_, sample) in samples.iter().cycle() {
        if words >= 200_000 {
            return text;
        }
        text.push_str(sample);
        text.push('\n');
        words += sample.split_whitespace().count();
    }
    unreachable!("the samples are not empty")
}

fn read(directory: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut all: Vec<(String, String)> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    assert!(!all.is_empty());
    all
}
