//! Pure: an annotated article becomes the host's rows, one for each name and label (the first mention), or the sentinel that
//! says "processed, nothing found" and stops the article from being claimed again.

use std::collections::HashSet;

use serde_json::json;
use uuid::Uuid;

use crate::domain::category::categorise;
use crate::domain::gazetteer::{is_compatible, kind_of};
use crate::domain::norm::key_form;
use crate::domain::{AnnotatedArticle, GazetteerMatch, GazetteerVersion, Mention};

/// A row of `article_entities`; the columns not named here are NULL.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: String,
    pub article_id: String,
    pub article_text_hash: Option<String>,
    pub entity_text: String,
    pub entity_norm: String,
    pub entity_label: String,
    pub osm_category: Option<&'static str>,
    pub osm_subcategory: Option<&'static str>,
    pub confidence: f64,
    /// The row of `gazetteer` that it was matched with, its name and how similar that is.
    pub matched: Option<GazetteerMatch>,
    pub meta: serde_json::Value,
}

/// The rows of an article, and how many names were left out because the host's unique index cannot hold them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub rows: Vec<Row>,
    pub too_long: u64,
}

/// An entry of a btree index has at most 2,704 bytes (a third of a page); article id, label and version share it.
const LONGEST_NORM_BYTES: usize = 2_000;

/// Rows in document order. Their ids are ordered by time: new rows then share the last pages of the host's primary key, where
/// random ones would each dirty a page of their own.
///
/// Labels without a category at the host (dates, sums…) give none, as the host's own step does.
pub fn rows_of(annotated: &AnnotatedArticle) -> Rows {
    let article = &annotated.article;
    let mut out = Rows::default();
    let mut seen: HashSet<(String, &str)> = HashSet::new();
    for mention in &annotated.mentions {
        let entity = &mention.entity;
        let Some((norm, category, subcategory)) = named(mention) else { continue };
        if norm.len() > LONGEST_NORM_BYTES {
            out.too_long += 1;
            continue;
        }
        if !seen.insert((norm.clone(), &entity.label)) {
            continue;
        }
        out.rows.push(Row {
            id: Uuid::now_v7().to_string(),
            article_id: article.id.to_string(),
            article_text_hash: article.text_hash.clone(),
            entity_text: entity.text.clone(),
            entity_norm: norm,
            entity_label: entity.label.to_string(),
            osm_category: Some(category),
            osm_subcategory: subcategory,
            confidence: f64::from(entity.score),
            matched: mention.matched.clone(),
            meta: meta(mention, annotated.gazetteer.as_ref()),
        });
    }
    if out.rows.is_empty() {
        out.rows.push(Row {
            id: Uuid::now_v7().to_string(),
            article_id: article.id.to_string(),
            article_text_hash: article.text_hash.clone(),
            entity_text: "__NO_ENTITIES_FOUND__".to_owned(),
            entity_norm: "__no_entities_found__".to_owned(),
            entity_label: "SENTINEL".to_owned(),
            osm_category: None,
            osm_subcategory: None,
            confidence: 1.0,
            matched: None,
            meta: json!({ "sentinel": true, "reason": "No location entities found in article text" }),
        });
    }
    out
}

/// The normal form, category and subcategory of a mention that gets a row. What the gazetteer knows by the very name, it knows
/// better than the label; but a person whose name a business bears stays a person.
fn named(mention: &Mention) -> Option<(String, &'static str, Option<&'static str>)> {
    let entity = &mention.entity;
    if entity.text.trim().is_empty() {
        return None;
    }
    let norm = key_form(&entity.text);
    let by_label = categorise(&entity.label, &norm)?;
    let same_name = mention.matched.as_ref().filter(|m| m.is_exact() && is_compatible(&entity.label, m.category.as_deref()));
    let (category, subcategory) = match same_name {
        Some(matched) => {
            let kind = kind_of(matched.category.as_deref());
            (kind.category, kind.subcategory)
        }
        None => (by_label.category, by_label.subcategory),
    };
    Some((norm, category, subcategory))
}

/// Where it is, and who says so: the gazetteer's version too, since the row would be another one with other gazetteer rows.
fn meta(mention: &Mention, gazetteer: Option<&GazetteerVersion>) -> serde_json::Value {
    let entity = &mention.entity;
    let mut meta = json!({ "start_char": entity.start, "end_char": entity.end, "label": entity.label, "origin": mention.origin.name() });
    if let Some(version) = gazetteer {
        meta["gazetteer"] = json!(version.0);
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ArticleId, ClaimedArticle, Entity, Origin};

    fn annotated(entities: &[(&str, &str, usize)]) -> AnnotatedArticle {
        AnnotatedArticle {
            article: ClaimedArticle {
                id: ArticleId::new("a"),
                text: "".into(),
                text_hash: Some("h".to_owned()),
                source: String::new(),
                source_id: None,
                dataset_id: None,
                attempts: 0,
                crashes: 0,
            },
            mentions: entities
                .iter()
                .map(|&(text, label, start)| {
                    let end = start + text.chars().count();
                    Entity { text: text.to_owned(), label: label.into(), start, end, score: 0.5 }.into()
                })
                .collect(),
            gazetteer: None,
        }
    }

    #[test]
    fn one_row_a_name_and_label_the_first_mention() {
        let rows = rows_of(&annotated(&[("Boone County", "LOC", 3), ("BOONE  COUNTY", "LOC", 30), ("Boone County", "ORG", 60)])).rows;
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].entity_text.as_str(), rows[0].entity_norm.as_str()), ("Boone County", "boone county"));
        assert_eq!(rows[0].meta, json!({"start_char": 3, "end_char": 15, "label": "LOC", "origin": "model"}));
        assert_eq!((rows[0].osm_category, rows[0].confidence), (Some("place"), 0.5));
        assert_eq!(rows[0].article_text_hash.as_deref(), Some("h"));
    }

    #[test]
    fn nothing_gives_the_sentinel() {
        for entities in [&[][..], &[("Monday", "DATE", 0)][..]] {
            let rows = rows_of(&annotated(entities)).rows;
            assert_eq!(rows.len(), 1);
            assert_eq!((rows[0].entity_label.as_str(), rows[0].confidence, rows[0].osm_category), ("SENTINEL", 1.0, None));
        }
    }

    #[test]
    fn a_name_that_no_index_holds_is_counted() {
        let long = "x".repeat(9_000);
        let rows = rows_of(&annotated(&[(&long, "ORG", 0), ("Ann Lee", "PERSON", 9_001)]));
        assert_eq!((rows.rows.len(), rows.too_long), (1, 1));
    }

    fn matched(score: f64, category: &str) -> Option<GazetteerMatch> {
        Some(GazetteerMatch { id: "g".into(), name: "Faurot Field".into(), score, category: Some(category.into()) })
    }

    #[test]
    fn the_gazetteer_names_the_category_of_its_own_names() {
        let row = |label: &str, matched: Option<GazetteerMatch>| {
            let mut annotated = annotated(&[("Faurot Field", label, 0)]);
            annotated.mentions[0].matched = matched;
            let row = rows_of(&annotated).rows.remove(0);
            (row.osm_category, row.osm_subcategory, row.matched.map(|matched| matched.score))
        };
        assert_eq!(row("FAC", matched(1.0, "Sports")), (Some("institution"), Some("sports"), Some(1.0)));
        assert_eq!(row("FAC", matched(0.9, "sports")), (Some("landmark"), None, Some(0.9)), "only similar");
        assert_eq!(row("PERSON", matched(1.0, "sports")), (Some("person"), None, Some(1.0)));
        assert_eq!(row("LOC", matched(1.0, "businesses")), (Some("place"), None, Some(1.0)), "a town is no shop");
        assert_eq!(row("ORG", None), (Some("institution"), None, None));
    }

    #[test]
    fn rows_say_where_they_come_from() {
        let mut annotated = annotated(&[("Faurot Field", "FAC", 0)]);
        annotated.mentions[0].origin = Origin::Both;
        annotated.gazetteer = Some(GazetteerVersion("2:17".into()));
        let expected = json!({"start_char": 0, "end_char": 12, "label": "FAC", "origin": "both", "gazetteer": "2:17"});
        assert_eq!(rows_of(&annotated).rows[0].meta, expected);
    }
}
