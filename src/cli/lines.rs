//! JSON lines as `nerd annotate` takes them: a document a line, a bad line named by its number, its text never quoted.

use std::io::BufRead;
use std::sync::Arc;

use serde::Deserialize;

/// A text to annotate and what its answer is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// As it was given, whatever its type; the line's number where there is none.
    pub id: serde_json::Value,
    pub text: Arc<str>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: serde_json::Value,
    text: String,
}

/// The documents of a file, or what is wrong with a line. It ends with the file, or when that cannot be read.
pub struct Lines<R> {
    name: String,
    reader: Option<R>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// `name` is the file's, for the complaints.
    pub fn new(name: String, reader: R) -> Self {
        Self { name, reader: Some(reader), number: 0 }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Document, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    self.reader = None;
                    return Some(Err(format!("{}: cannot be read: {error}", self.name)));
                }
            }
            self.number += 1;
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        Some(match serde_json::from_slice::<Line>(&line) {
            Ok(Line { id, text }) => {
                let id = if id.is_null() { self.number.into() } else { id };
                Ok(Document { id, text: text.into() })
            }
            Err(error) => Err(format!("{} line {}: {{\"id\": …, \"text\": …}} expected: {}", self.name, self.number, reason(&error))),
        })
    }
}

/// serde's message without its own line number, which counts within the line, and without the value that it quotes.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = match message.split(" at line ").next().unwrap_or_default() {
        quoting if quoting.starts_with("invalid ") && error.is_data() => "the line is no object, or its text no string",
        message => message,
    };
    format!("{message} (column {})", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Document, String>> {
        Lines::new("in.jsonl".to_owned(), text.as_bytes()).collect()
    }

    #[test]
    fn a_line_without_an_id_has_its_number() {
        let found = read("{\"text\": \"one\"}\n\n  \r\n{\"id\": [7], \"text\": \"two\", \"more\": 1}");
        let document = |id: serde_json::Value, text: &str| Ok(Document { id, text: text.into() });
        assert_eq!(found, [document(1.into(), "one"), document(serde_json::json!([7]), "two")]);
    }

    #[test]
    fn a_bad_line_is_named_and_not_quoted() {
        for line in [
            "\"Ann Lee\"",
            "{\"text\": [\"Ann Lee\"]}",
            "{\"id\": 1}",
            "{\"text\": \"Ann Lee",
            "[7, 3]",
            "7",
            "{\"text\": 1977}",
            "{\"text\": \"\\ud800\"}",
        ] {
            let complaint = read(&format!("{{\"text\": \"\"}}\n{line}\n")).remove(1).unwrap_err();
            assert!(complaint.starts_with("in.jsonl line 2: {\"id\": …, \"text\": …} expected: "), "{complaint}");
            assert!(!complaint.contains("Ann Lee") && !complaint.contains("1977"), "{complaint}");
        }
    }
}
