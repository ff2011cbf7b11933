//! An article's mentions: what the model found and what the gazetteer knows, by the rule of this floor's page. Pure.

use std::collections::HashMap;

use super::fold::{Folded, key_of};
use super::names::Occurrence;
use super::scope::Scope;
use crate::domain::gazetteer::{is_compatible, kind_of};
use crate::domain::{Entity, Mention, Origin};

/// The model's labels of what is no name: never matched.
const COUNTED: [&str; 7] = ["DATE", "TIME", "MONEY", "PERCENT", "CARDINAL", "ORDINAL", "QUANTITY"];
/// Its labels that only say that something is a name.
const VAGUE: [&str; 5] = ["MISC", "PRODUCT", "WORK_OF_ART", "LAW", "LANGUAGE"];

impl Scope {
    /// The mentions of a text in the order of their starts. `entities` are the model's, none overlapping another.
    pub fn mentions(&self, text: &str, mut entities: Vec<Entity>) -> Vec<Mention> {
        entities.sort_by_key(|entity| entity.start);
        let source: Vec<char> = text.chars().collect();
        let occurrences = self.names.occurrences(&source, &Folded::new(text));
        let mut mentions = merged(&source, entities, &occurrences);
        // A name is mentioned more than once, as a rule.
        let mut known: HashMap<(String, bool), Option<(u32, f64)>> = HashMap::new();
        for Mention { entity, origin, matched, .. } in &mut mentions {
            if COUNTED.contains(&&*entity.label) {
                continue;
            }
            let town = matches!(&*entity.label, "GPE" | "LOC");
            let key = key_of(&entity.text);
            let found = self.keys.same(&key).map(|number| (number, 1.0)).or_else(|| {
                if !is_compatible(&entity.label, None) {
                    return None;
                }
                let wanted = |number| is_compatible(&entity.label, self.rows.category(number));
                *known.entry((key.clone(), town)).or_insert_with(|| self.keys.most_similar(&key, wanted))
            });
            *matched = found.map(|(number, score)| self.rows.matched(number, score));
            let vague = *origin == Origin::Both && VAGUE.contains(&&*entity.label);
            if *origin == Origin::Gazetteer || vague {
                let category = matched.as_ref().and_then(|matched| matched.category.as_deref());
                entity.label = kind_of(category).label.into();
            }
        }
        mentions
    }
}

/// Both lists by the rule; a mention of the gazetteer alone has no label yet.
fn merged(source: &[char], entities: Vec<Entity>, occurrences: &[Occurrence]) -> Vec<Mention> {
    let mut mentions: Vec<Mention> = Vec::with_capacity(entities.len() + occurrences.len());
    // Each name with the entities that it touches; both lists ascend, so they are walked once.
    let mut left = entities.into_iter().peekable();
    for &Occurrence { start, end } in occurrences {
        while let Some(before) = left.next_if(|entity| entity.end <= start) {
            mentions.push(before.into());
        }
        // One that reaches into it from before was handed on already when an earlier name was looked at.
        let reached = mentions.last().is_some_and(|before| before.origin == Origin::Model && before.entity.end > start);
        let mut touched = Vec::new();
        while let Some(entity) = left.next_if(|entity| entity.start < end) {
            touched.push(entity);
        }
        let same = touched.len() == 1 && (touched[0].start, touched[0].end) == (start, end);
        let covers = touched.iter().all(|entity| start <= entity.start && entity.end <= end);
        if same && !reached {
            mentions.extend(touched.into_iter().map(|entity| {
                let origin = if COUNTED.contains(&&*entity.label) { Origin::Model } else { Origin::Both };
                Mention { origin, ..entity.into() }
            }));
        } else if covers && !reached {
            let entity = Entity { text: source[start..end].iter().collect(), label: "".into(), start, end, score: 1.0 };
            mentions.push(Mention { origin: Origin::Gazetteer, ..entity.into() });
        } else {
            mentions.extend(touched.into_iter().map(Mention::from));
        }
    }
    mentions.extend(left.map(Mention::from));
    mentions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{GazetteerRow, GazetteerVersion};
    use proptest::prelude::*;

    fn scope(rows: &[(&str, &str, &str)]) -> Scope {
        let rows = rows.iter().map(|&(id, name, category)| GazetteerRow {
            id: id.to_owned(),
            name: name.to_owned(),
            name_norm: None,
            category: Some(category.to_owned()),
            distance_miles: None,
        });
        Scope::new(GazetteerVersion("1".into()), rows.collect()).unwrap()
    }

    fn entity(text: &str, of: &str, label: &str) -> Entity {
        let start = text[..text.find(of).unwrap()].chars().count();
        Entity { text: of.to_owned(), label: label.into(), start, end: start + of.chars().count(), score: 0.5 }
    }

    /// Text, label, origin, id and score of a mention.
    type Found = (String, String, Origin, Option<(String, f64)>);

    fn found(scope: &Scope, text: &str, entities: &[(&str, &str)]) -> Vec<Found> {
        let entities = entities.iter().map(|(of, label)| entity(text, of, label)).collect();
        let mentions = scope.mentions(text, entities);
        mentions
            .into_iter()
            .map(|Mention { entity, origin, matched, .. }| {
                (entity.text, entity.label.to_string(), origin, matched.map(|matched| (matched.id.to_string(), matched.score)))
            })
            .collect()
    }

    fn line(text: &str, label: &str, origin: Origin, matched: Option<(&str, f64)>) -> Found {
        (text.to_owned(), label.to_owned(), origin, matched.map(|(id, score)| (id.to_owned(), score)))
    }

    const LIBRARY: (&str, &str, &str) = ("l", "Columbia Public Library", "government");

    #[test]
    fn apart_both_stay() {
        let scope = scope(&[("a", "MU Airport", "transportation"), LIBRARY]);
        let text = "Ann Lee left MU Airport for Columbia Public Library.";
        assert_eq!(
            found(&scope, text, &[("Ann Lee", "PERSON")]),
            [
                line("Ann Lee", "PERSON", Origin::Model, None),
                line("MU Airport", "FAC", Origin::Gazetteer, Some(("a", 1.0))),
                line("Columbia Public Library", "ORG", Origin::Gazetteer, Some(("l", 1.0))),
            ]
        );
    }

    #[test]
    fn the_same_span_is_one_mention_of_the_models_label() {
        let scope = scope(&[("f", "Friday", "businesses"), ("h", "Hy-Vee", "businesses"), ("n", "Faurot Field", "sports")]);
        let text = "On Friday at Hy-Vee, then Faurot Field";
        assert_eq!(
            found(&scope, text, &[("Friday", "DATE"), ("Hy-Vee", "PRODUCT"), ("Faurot Field", "PERSON")]),
            [
                line("Friday", "DATE", Origin::Model, None),
                line("Hy-Vee", "ORG", Origin::Both, Some(("h", 1.0))),
                line("Faurot Field", "PERSON", Origin::Both, Some(("n", 1.0))),
            ]
        );
    }

    #[test]
    fn the_longer_wins_and_the_model_where_neither_covers_the_other() {
        let scope = scope(&[LIBRARY, ("c", "Boone City", "government")]);
        let text = "The Columbia Public Library of Boone City Council";
        let library = line("Columbia Public Library", "ORG", Origin::Gazetteer, Some(("l", 1.0)));
        assert_eq!(
            found(&scope, text, &[("Columbia", "LOC"), ("Library", "FAC"), ("City Council", "ORG")]),
            [library, line("City Council", "ORG", Origin::Model, None),]
        );
        let whole = "Columbia Public Library of Boone City Council";
        assert_eq!(found(&scope, text, &[(whole, "ORG")]), [line(whole, "ORG", Origin::Model, None)]);
        let reaching = "Library of Boone City";
        assert_eq!(found(&scope, text, &[(reaching, "ORG")]), [line(reaching, "ORG", Origin::Model, None)]);
    }

    #[test]
    fn similar_names_match_where_label_and_row_can_be_one_thing() {
        let scope =
            scope(&[("h", "Boone General Hospital", "healthcare"), ("s", "Columbiana", "businesses"), ("p", "Jon Smith Co", "businesses")]);
        let text = "Boone Gen Hospital in Columbia, said John Smith Co";
        let similar =
            |label: &str, of: &str| found(&scope, text, &[(of, label)]).pop().unwrap().3.map(|(id, score)| (id, (score * 1e3).round()));
        assert_eq!(similar("ORG", "Boone Gen Hospital"), Some(("h".to_owned(), 900.0)));
        assert_eq!(similar("LOC", "Boone Gen Hospital"), Some(("h".to_owned(), 900.0)));
        assert_eq!(similar("ORG", "Columbia"), Some(("s".to_owned(), 889.0)));
        assert_eq!(similar("GPE", "Columbia"), None, "a town is no shop");
        assert_eq!(similar("ORG", "John Smith Co"), Some(("p".to_owned(), 960.0)));
        assert_eq!(similar("PERSON", "John Smith Co"), None);
    }

    #[test]
    fn ties_go_to_the_nearest_then_to_the_smallest_id() {
        let row = |id: &str, name: &str, distance_miles| GazetteerRow {
            id: id.to_owned(),
            name: name.to_owned(),
            name_norm: Some(name.to_lowercase()),
            category: None,
            distance_miles,
        };
        let rows = vec![
            row("a", "City Hall", None),
            row("d", "City Hall", Some(2.0)),
            row("c", "CITY HALL", Some(2.0)),
            row("e", "City Hall", Some(7.0)),
            row("z", "City Mall", Some(1.0)),
        ];
        let scope = Scope::new(GazetteerVersion("1".into()), rows).unwrap();
        let id = |text: &str| found(&scope, text, &[(text, "ORG")]).pop().unwrap().3.unwrap().0;
        assert_eq!([id("City Hall"), id("City Ball")], ["c", "z"]);
    }

    #[test]
    fn a_row_without_a_name_is_known_by_its_norm_only() {
        let row = |name: &str, norm: &str| GazetteerRow {
            id: "g".to_owned(),
            name: name.to_owned(),
            name_norm: Some(norm.to_owned()),
            category: None,
            distance_miles: None,
        };
        let text = "at Café Berlin";
        let unnamed = Scope::new(GazetteerVersion("1".into()), vec![row("", "café berlin")]).unwrap();
        assert_eq!(found(&unnamed, text, &[]), []);
        assert_eq!(found(&unnamed, text, &[("Café Berlin", "ORG")])[0].3, Some(("g".to_owned(), 1.0)));
        let renamed = Scope::new(GazetteerVersion("1".into()), vec![row("Berlin Coffee House", "café berlin")]).unwrap();
        assert_eq!(found(&renamed, text, &[]), [line("Café Berlin", "ORG", Origin::Gazetteer, Some(("g", 1.0)))]);
    }

    proptest! {
        /// Spans lie apart, ascend and are cut from the text, and nothing of the model is lost but what a longer name covers.
        #[test]
        fn mentions_are_in_order_and_none_is_lost(
            names in prop::collection::vec("[A-C]{1,2}( [A-C]{1,2}){0,2}", 1..6),
            words in prop::collection::vec("[A-C]{1,2}", 1..12),
            spans in prop::collection::vec((0usize..3, 1usize..4), 0..6),
        ) {
            let rows: Vec<(String, String)> = names.iter().enumerate().map(|(id, name)| (id.to_string(), name.clone())).collect();
            let rows: Vec<(&str, &str, &str)> = rows.iter().map(|(id, name)| (id.as_str(), name.as_str(), "schools")).collect();
            let scope = scope(&rows);
            let text = words.join(" ");
            let source: Vec<char> = text.chars().collect();
            let begins: Vec<usize> = words.iter().scan(0, |at, word| { let begin = *at; *at += word.len() + 1; Some(begin) }).collect();
            let (mut entities, mut next) = (Vec::new(), 0);
            for (gap, length) in spans {
                let (first, last) = (next + gap, next + gap + length - 1);
                if last >= words.len() {
                    break;
                }
                let (start, end) = (begins[first], begins[last] + words[last].len());
                entities.push(Entity { text: source[start..end].iter().collect(), label: "ORG".into(), start, end, score: 0.5 });
                next = last + 1;
            }
            let mentions = scope.mentions(&text, entities.clone());
            for pair in mentions.windows(2) {
                prop_assert!(pair[0].entity.end <= pair[1].entity.start);
            }
            for Mention { entity, origin, matched, .. } in &mentions {
                prop_assert_eq!(&entity.text, &source[entity.start..entity.end].iter().collect::<String>());
                prop_assert!(*origin == Origin::Model || matched.as_ref().is_some_and(|matched| matched.is_exact()));
            }
            for lost in entities.iter().filter(|entity| !mentions.iter().any(|m| (m.entity.start, m.entity.end) == (entity.start, entity.end))) {
                let covering = |m: &&Mention| m.origin == Origin::Gazetteer && m.entity.start <= lost.start && lost.end <= m.entity.end;
                prop_assert_eq!(mentions.iter().filter(covering).count(), 1);
            }
        }
    }
}
