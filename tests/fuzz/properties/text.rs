//! What happens to a text without a network and without names: sentences, pieces, windows, labels, offsets, normal forms.

use std::ops::Range;
use std::sync::LazyLock;

use nerd::compat;
use nerd::domain::Entity;
use nerd::domain::norm::{is_space, key_form, normal_form};
use nerd::domain::rot47::{decode, rotate};
use nerd::engine::decode::{Labels, set_apart, to_code_points};
use nerd::engine::group::words;
use nerd::engine::manifest::TokenTypes;
use nerd::engine::sentences::sentence_starts;
use nerd::engine::tokenizer::{Piece, Tokenizer};
use nerd::engine::window::windows;
use nerd::gazetteer::{Folded, fold_name, key_of};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

static TOKENIZER: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::load(&super::root().join("models/news-ner"), true, TokenTypes::WordShape).expect("the bundled tokenizer"));

/// Sets of labels as models have them, and as they should not.
const LABELS: [&[&str]; 5] = [
    &["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    &["I-PER", "B-PER", "I-LOC", "B-LOC", "O"],
    &["O", "I-PER", "I-ORG"],
    &["LABEL_0", "LABEL_1"],
    &["B-", "I-", "O", "-", "B-B-X", "I-B-X", "X"],
];

/// The pieces of a text and where its sentences start.
fn pieces(text: &str) -> (Vec<Piece>, Vec<usize>) {
    let starts = sentence_starts(text);
    let pieces = TOKENIZER.pieces(text, &starts).expect("every text has pieces");
    (pieces, starts)
}

/// Every letter lies in a piece, every piece in exactly one window, no window over the limit.
pub fn is_cut_whole(text: &str, max_pieces: usize) {
    let (pieces, starts) = pieces(text);
    assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "sentence starts ascend: {starts:?}");
    assert!(starts.iter().all(|&start| 0 < start && start < text.len() && text.is_char_boundary(start)), "{starts:?}");
    assert!(pieces.first().is_none_or(|piece| piece.first), "a text begins with a word");
    for pair in pieces.windows(2) {
        assert!(pair[0].bytes.start <= pair[1].bytes.start, "pieces ascend: {pair:?}");
    }
    let mut covered = vec![false; text.len()];
    for Piece { bytes, .. } in &pieces {
        assert!(text.get(bytes.clone()).is_some(), "{bytes:?} is no slice of {text:?}");
        covered[bytes.clone()].fill(true);
    }
    for (at, letter) in text.char_indices().filter(|&(_, c)| c.is_alphanumeric() && !is_mark(c)) {
        assert!(covered[at], "{letter:?} at byte {at} is in no piece of {text:?}");
    }
    let mut next = 0;
    for window in windows(&pieces, &starts, max_pieces) {
        assert_eq!(window.start, next, "windows follow each other");
        assert!(!window.is_empty() && window.len() <= max_pieces, "{window:?} of at most {max_pieces}");
        next = window.end;
    }
    assert_eq!(next, pieces.len(), "the last window ends the text");
}

/// Whatever the network says, not-a-number and infinity included: labels follow each other legally, entities are slices of the
/// text in order, none overlapping another.
pub fn decodes(text: &str, network: &[u8]) {
    let (pieces, starts) = pieces(text);
    let (choice, limit) = (network.first().copied().unwrap_or_default(), network.get(1).copied().unwrap_or(9));
    let names: Vec<String> = LABELS[usize::from(choice) % LABELS.len()].iter().map(|&name| name.to_owned()).collect();
    let labels = Labels::new(&names);
    let mut numbers = network.iter().copied().cycle().skip(2).map(number);
    let mut entities = Vec::new();
    for window in windows(&pieces, &starts, usize::from(limit) % 40 + 1) {
        let words: Vec<Range<usize>> = words(&pieces, window.clone()).collect();
        let probabilities: Vec<f32> = (0..words.len() * names.len()).map(|_| numbers.next().unwrap_or(0.5)).collect();
        let path = labels.best_path(&probabilities);
        assert_eq!(path.len(), words.len());
        assert!(is_legal(&path, &names), "{path:?} of {names:?}");
        let limit = pieces.get(window.end).map_or(text.len(), |after| after.bytes.start);
        labels.entities(text, &words, limit, &probabilities, &mut entities);
    }
    entities.sort_by_key(|entity| entity.start);
    set_apart(text, &mut entities);
    to_code_points(text, &mut entities);
    are_slices(text, &entities);
}

/// A byte as a number that a network might give: mostly small ones.
fn number(byte: u8) -> f32 {
    match byte {
        0 => 0.0,
        1 => -0.0,
        2 => f32::NAN,
        3 => f32::INFINITY,
        4 => f32::NEG_INFINITY,
        5 => f32::MAX,
        6 => f32::MIN,
        7 => f32::MIN_POSITIVE / 2.0,
        _ => f32::from(byte) / 255.0,
    }
}

fn is_legal(path: &[usize], names: &[String]) -> bool {
    path.iter().enumerate().all(|(place, &label)| {
        let before = place.checked_sub(1).map(|before| names[path[before]].as_str());
        let Some(kind) = names[label].strip_prefix("I-") else { return true };
        !names.contains(&format!("B-{kind}")) || before.is_some_and(|name| name == format!("B-{kind}") || name == format!("I-{kind}"))
    })
}

/// Entities are slices of the text by code points, hold something, ascend and lie apart.
pub fn are_slices(text: &str, entities: &[Entity]) {
    let characters: Vec<char> = text.chars().collect();
    for Entity { text: name, start, end, .. } in entities {
        assert!(start < end && *end <= characters.len(), "{start}..{end} is no span of {} characters", characters.len());
        assert_eq!(*name, characters[*start..*end].iter().collect::<String>(), "the slice {start}..{end}");
    }
    for pair in entities.windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?} overlap");
    }
}

/// Bytes turned into code points name the same slice, and a folded text knows where each of its parts came from.
pub fn offsets_slice(text: &str, spans: &[u8]) {
    let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let place = |byte: u8| boundaries[usize::from(byte) * boundaries.len() / 256];
    let mut entities: Vec<Entity> = spans
        .chunks_exact(2)
        .map(|pair| (place(pair[0]).min(place(pair[1])), place(pair[0]).max(place(pair[1]))))
        .map(|(start, end)| Entity { text: text[start..end].to_owned(), label: "ORG".into(), start, end, score: 0.5 })
        .collect();
    entities.sort_by_key(|entity| entity.start);
    to_code_points(text, &mut entities);
    let characters: Vec<char> = text.chars().collect();
    for entity in &entities {
        assert_eq!(entity.text, characters[entity.start..entity.end].iter().collect::<String>());
    }

    let folded = Folded::new(text);
    assert_eq!(folded.text, fold_name(text));
    let mut before = 0;
    for (at, part) in folded.text.char_indices() {
        let source = folded.source(at, at + part.len_utf8());
        assert!(before <= source.start && source.end <= characters.len(), "{part:?} at {at} came from {source:?}");
        if part != ' ' {
            let again = fold_name(&characters[source.clone()].iter().collect::<String>());
            assert!(again.contains(part), "{part:?} is not in {again:?}, the fold of {source:?}");
        }
        before = source.start;
    }
}

/// A normal form is its own, is trimmed, and names that have letters have one.
pub fn normal_forms_are_stable(text: &str) {
    for form in [normal_form, key_form, fold_name, key_of] {
        let once = form(text);
        assert_eq!(once.trim(), once, "trimmed: {text:?}");
        assert!(!once.contains("  "), "single spaces: {once:?}");
    }
    assert_eq!(normal_form(&normal_form(text)), normal_form(text));
    assert_eq!(key_form(text).is_empty(), text.chars().all(is_space), "{text:?} has a key");
    assert_eq!(fold_name(&fold_name(text)), fold_name(text), "{text:?} is folded once and for all");
    assert_eq!(key_of(&key_of(text)), key_of(text));
}

/// Every character of a decoded text has a place in the stored one, in order; what was not decoded stands there.
pub fn scrambled_text_knows_its_places(text: &str) {
    assert!(text.chars().all(|c| rotate(rotate(c)) == c));
    let _ = compat::decode_rot47(text);
    let Some(decoded) = decode(text) else { return };
    let stored: Vec<char> = text.chars().collect();
    let mut before = 0;
    for (point, c) in decoded.text.chars().enumerate() {
        let (place, scrambled) = decoded.place(point, point + 1);
        assert!(before <= place.start && place.start < place.end && place.end <= stored.len(), "{point} lies at {place:?}");
        assert!(scrambled || stored[place.start] == c, "{c:?} at {point} is {:?}", stored[place.start]);
        before = place.start;
    }
    let (whole, _) = decoded.place(0, decoded.text.chars().count());
    assert!(whole.end == stored.len());
}

fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}
