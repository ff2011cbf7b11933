//! A gazetteer of any names in any text.

use nerd::domain::{Entity, GazetteerRow, GazetteerVersion, Origin};
use nerd::gazetteer::{Scope, fold_name};

/// Rows of these names, each also under a norm of its own.
fn scope(names: &[String]) -> Scope {
    let rows = names.iter().enumerate().map(|(number, name)| GazetteerRow {
        id: number.to_string(),
        name: name.clone(),
        name_norm: (number % 3 == 0).then(|| name.to_uppercase()),
        category: (number % 2 == 0).then(|| "businesses".to_owned()),
        distance_miles: [None, Some(f64::NAN), Some(-1.0), Some(f64::INFINITY)][number % 4],
    });
    Scope::new(GazetteerVersion("1".into()), rows.collect()).expect("few names are no trouble")
}

/// What is matched is a slice of the text and a name of the gazetteer; mentions ascend and lie apart; nothing of the model is lost
/// but what a longer name covers.
pub fn mentions_are_slices(names: &[String], text: &str) {
    let scope = scope(names);
    let characters: Vec<char> = text.chars().collect();
    let without_spaces = |text: &str| fold_name(text).replace(' ', "");
    // Every second word is an entity of the model.
    let (mut entities, mut start) = (Vec::new(), 0);
    for (number, word) in text.split(' ').enumerate() {
        let end = start + word.chars().count();
        if number % 2 == 1 && end > start {
            let label = ["ORG", "PERSON", "LOC", "DATE", "MISC"][number / 2 % 5];
            entities.push(Entity { text: word.to_owned(), label: label.into(), start, end, score: 0.5 });
        }
        start = end + 1;
    }
    let mentions = scope.mentions(text, entities.clone());
    for pair in mentions.windows(2) {
        assert!(pair[0].entity.end <= pair[1].entity.start, "{pair:?} overlap");
    }
    for mention in &mentions {
        let Entity { text: name, start, end, .. } = &mention.entity;
        assert!(start < end && *end <= characters.len());
        assert_eq!(*name, characters[*start..*end].iter().collect::<String>());
        if mention.origin != Origin::Model {
            let known = names.iter().any(|known| {
                without_spaces(known) == without_spaces(name) || without_spaces(&known.to_uppercase()) == without_spaces(name)
            });
            assert!(known, "{name:?} is no name of {names:?}");
            assert!(mention.matched.as_ref().is_some_and(|matched| matched.is_exact()), "{mention:?} has its row");
        }
    }
    for entity in entities {
        let kept = mentions.iter().filter(|mention| mention.entity.start <= entity.start && entity.end <= mention.entity.end).count();
        assert_eq!(kept, 1, "{entity:?} is one mention or inside of one");
    }
}
