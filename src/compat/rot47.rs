//! The replaced step's own decoding of scrambled paragraphs: runs of odd-looking tokens, all white space of the text then collapsed.
//! It misses ordinary prose and can spoil text full of symbols; [`crate::domain::rot47`] is the mended one.

use crate::domain::norm::is_space;
use crate::domain::rot47::{Decoded, rotate};

/// Shortest token, characters, and shortest run, tokens.
const SHORTEST: usize = 4;
const RUN: usize = 6;

/// The text as the replaced step reads it; `None` where it reads it as it is stored. Offsets then are into the decoded text, as
/// that step writes them.
pub fn decode(text: &str) -> Option<Decoded> {
    if !text.contains("kAm") && !text.contains("k^Am") {
        return None;
    }
    let (mut out, mut from, mut replaced) = (String::new(), 0, false);
    for (begin, end) in runs(text) {
        if let Some(decoded) = decoded(&text[begin..end]) {
            out.push_str(&text[from..begin]);
            out.push_str(&decoded);
            (from, replaced) = (end, true);
        }
    }
    if !replaced {
        return None;
    }
    out.push_str(&text[from..]);
    let collapsed = out.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    (!collapsed.is_empty()).then(|| Decoded::moved(collapsed))
}

/// Byte ranges from the first to the last of at least six odd tokens in a row.
fn runs(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    // Begin of the first token, end of the last, and how many.
    let mut run: Option<(usize, usize, usize)> = None;
    for token in text.split(is_space).filter(|token| !token.is_empty()) {
        let begin = token.as_ptr() as usize - text.as_ptr() as usize;
        if is_odd(token) {
            let (first, _, count) = run.unwrap_or((begin, begin, 0));
            run = Some((first, begin + token.len(), count + 1));
        } else if let Some((first, last, count)) = run.take()
            && count >= RUN
        {
            found.push((first, last));
        }
    }
    found.extend(run.filter(|&(.., count)| count >= RUN).map(|(first, last, _)| (first, last)));
    found
}

fn is_odd(token: &str) -> bool {
    let length = token.chars().count();
    let letters = token.chars().filter(|c| c.is_alphabetic()).count();
    length >= SHORTEST
        && token.contains(['@', '?', ':', ';', '[', ']', '=', '^', '$', '\\', '|'])
        && letters > 0
        && letters as f64 / length as f64 <= 0.6
        && (length - letters) as f64 / length as f64 >= 0.35
}

fn decoded(segment: &str) -> Option<String> {
    let decoded: String = segment.chars().map(rotate).collect();
    let letters = decoded.chars().filter(|c| c.is_alphabetic()).count();
    let enough = !decoded.trim().is_empty() && letters as f64 / decoded.chars().count() as f64 >= 0.4;
    enough.then(|| decoded.replace("<p>", " ").replace("</p>", " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observed on the replaced step.
    #[test]
    fn its_own_cases() {
        let read = |text: &str| decode(text).map(|decoded| decoded.text.to_string());
        let seven = "Intro kAm>:I:?8` >:I:?8a >:I:?8b >:I:?8c >:I:?8d >:I:?8e >:I:?8fk^Am Outro";
        assert_eq!(read(seven).as_deref(), Some("Intro mixing1 mixing2 mixing3 mixing4 mixing5 mixing6 mixing7 Outro"));
        assert_eq!(read("Intro kAm>:I:?8` >:I:?8a >:I:?8b >:I:?8c >:I:?8dk^Am Outro"), None, "five tokens");
        assert_eq!(read(">:I:?8` >:I:?8a >:I:?8b >:I:?8c >:I:?8d >:I:?8e"), None, "no mark");
        let sentence: String = "<p>The Columbia City Council voted on Monday to fund a new park.</p>".chars().map(rotate).collect();
        assert_eq!(read(&sentence), None, "short words break every run");
        let spoilt = read("kAm a:b1:c d:e2:f g:h3:i j:k4:l m:n5:o p:q6:r done").unwrap();
        assert!(spoilt.ends_with(" done") && !spoilt.contains("a:b1:c"), "{spoilt}");
    }

    #[test]
    fn all_white_space_collapses_where_something_was_decoded() {
        let text = "A\u{a0} b\n\nkAm>:I:?8` >:I:?8a >:I:?8b >:I:?8c >:I:?8d  >:I:?8ek^Am\tend ";
        assert_eq!(&*decode(text).unwrap().text, "A b mixing1 mixing2 mixing3 mixing4 mixing5 mixing6 end");
        assert_eq!(decode("A\u{a0} b kAm"), None, "else not");
    }
}
