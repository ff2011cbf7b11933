//! Pure: an annotated article becomes the host's rows, one for each name and label (the first mention), or the sentinel that
//! says "processed, nothing found" and stops the article from being claimed again.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use crate::compat;
use crate::domain::category::Category;
use crate::domain::gazetteer::{is_compatible, kind_of};
use crate::domain::norm::{key_form, normal_form};
use crate::domain::{AnnotatedArticle, Compat, GazetteerMatch, GazetteerVersion, Mention, RowRules};

/// A row of `article_entities`; the columns not named here are NULL.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: String,
    pub article_id: String,
    pub article_text_hash: Option<String>,
    pub entity_text: String,
    pub entity_norm: String,
    pub entity_label: String,
    /// `osm_category` and `osm_subcategory`.
    pub category: Option<Category>,
    pub confidence: Option<f64>,
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

/// Rows in document order.
///
/// Labels without a category (dates, sums…) give none, as in the host's own step; nor do they hide a later mention that has one.
pub fn rows_of(annotated: &AnnotatedArticle, rules: &RowRules) -> Rows {
    let article = &annotated.article;
    let mut out = Rows::default();
    let mut seen: HashSet<(String, Arc<str>)> = HashSet::new();
    for mention in &annotated.mentions {
        let entity = &mention.entity;
        let label = rules.labels.apply(&entity.label);
        let Some((norm, category)) = named(mention, &label, rules) else { continue };
        if norm.len() > LONGEST_NORM_BYTES {
            out.too_long += 1;
            continue;
        }
        if !seen.insert((norm.clone(), label.clone())) {
            continue;
        }
        out.rows.push(Row {
            id: Uuid::new_v4().to_string(),
            article_id: article.id.to_string(),
            article_text_hash: article.text_hash.clone(),
            entity_text: entity.text.trim().to_owned(),
            entity_norm: norm,
            entity_label: label.to_string(),
            category: Some(category),
            confidence: (rules.compat == Compat::Mended).then_some(f64::from(entity.score)),
            matched: mention.matched.clone(),
            meta: meta(mention, &label, annotated.gazetteer.as_ref(), rules.compat),
        });
    }
    if out.rows.is_empty() {
        out.rows.push(Row {
            id: Uuid::new_v4().to_string(),
            article_id: article.id.to_string(),
            article_text_hash: article.text_hash.clone(),
            entity_text: "__NO_ENTITIES_FOUND__".to_owned(),
            entity_norm: "__no_entities_found__".to_owned(),
            entity_label: "SENTINEL".to_owned(),
            category: None,
            confidence: Some(1.0),
            matched: None,
            meta: json!({ "sentinel": true, "reason": "No location entities found in article text" }),
        });
    }
    out
}

/// The normal form and category of a mention that gets a row. What the gazetteer knows by the very name, it knows better than the
/// label; but a person whose name a business bears stays a person.
fn named(mention: &Mention, label: &str, rules: &RowRules) -> Option<(String, Category)> {
    let text = mention.entity.text.trim();
    if text.is_empty() {
        return None;
    }
    if rules.compat == Compat::Strict {
        let norm = normal_form(text);
        let category = mention.category.clone().or_else(|| compat::category(label, &norm))?;
        return Some((norm, category));
    }
    let norm = key_form(text);
    let by_label = rules.categories.of(label, &norm)?;
    let same_name = mention.matched.as_ref().filter(|m| m.is_exact() && is_compatible(&mention.entity.label, m.category.as_deref()));
    let category = same_name.map_or_else(
        || by_label.clone(),
        |matched| {
            let kind = kind_of(matched.category.as_deref());
            Category::new(kind.category, kind.subcategory)
        },
    );
    Some((norm, category))
}

/// Where it is, and who says so: the gazetteer's version too, since the row would be another one with other gazetteer rows. The
/// replaced step says where alone.
fn meta(mention: &Mention, label: &str, gazetteer: Option<&GazetteerVersion>, compat: Compat) -> serde_json::Value {
    let entity = &mention.entity;
    let mut meta = json!({ "start_char": entity.start, "end_char": entity.end, "label": label });
    if compat == Compat::Strict {
        return meta;
    }
    meta["origin"] = json!(mention.origin.name());
    if mention.decoded {
        meta["decoded"] = json!(true);
    }
    if let Some(version) = gazetteer {
        meta["gazetteer"] = json!(version.0);
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ArticleId, ClaimedArticle, Entity, Origin};

    fn mended(annotated: &AnnotatedArticle) -> Rows {
        rows_of(annotated, &RowRules::default())
    }

    /// `category` or `category/subcategory`, empty for none.
    fn shown(row: &Row) -> String {
        let category = row.category.as_ref();
        category.map_or_else(String::new, |c| {
            c.subcategory.as_ref().map_or_else(|| c.category.to_string(), |sub| format!("{}/{sub}", c.category))
        })
    }

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
        let rows = mended(&annotated(&[("Boone County", "LOC", 3), ("BOONE  COUNTY", "LOC", 30), ("Boone County", "ORG", 60)])).rows;
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].entity_text.as_str(), rows[0].entity_norm.as_str()), ("Boone County", "boone county"));
        assert_eq!(rows[0].meta, json!({"start_char": 3, "end_char": 15, "label": "LOC", "origin": "model"}));
        assert_eq!((shown(&rows[0]).as_str(), rows[0].confidence), ("place", Some(0.5)));
        assert_eq!(rows[0].article_text_hash.as_deref(), Some("h"));
    }

    #[test]
    fn nothing_gives_the_sentinel() {
        for entities in [&[][..], &[("Monday", "DATE", 0)][..]] {
            let rows = mended(&annotated(entities)).rows;
            assert_eq!(rows.len(), 1);
            assert_eq!((rows[0].entity_label.as_str(), rows[0].confidence, &rows[0].category), ("SENTINEL", Some(1.0), &None));
        }
    }

    #[test]
    fn a_name_that_no_index_holds_is_counted() {
        let long = "x".repeat(9_000);
        let rows = mended(&annotated(&[(&long, "ORG", 0), ("Ann Lee", "PERSON", 9_001)]));
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
            let row = mended(&annotated).rows.remove(0);
            (shown(&row), row.matched.map(|matched| matched.score))
        };
        assert_eq!(row("FAC", matched(1.0, "Sports")), ("institution/sports".to_owned(), Some(1.0)));
        assert_eq!(row("FAC", matched(0.9, "sports")), ("landmark".to_owned(), Some(0.9)), "only similar");
        assert_eq!(row("PERSON", matched(1.0, "sports")), ("person".to_owned(), Some(1.0)));
        assert_eq!(row("LOC", matched(1.0, "businesses")), ("place".to_owned(), Some(1.0)), "a town is no shop");
        assert_eq!(row("ORG", None), ("institution".to_owned(), None));
    }

    #[test]
    fn rows_say_where_they_come_from() {
        let mut annotated = annotated(&[("Faurot Field", "FAC", 0)]);
        annotated.mentions[0].origin = Origin::Both;
        annotated.gazetteer = Some(GazetteerVersion("2:17".into()));
        let expected = json!({"start_char": 0, "end_char": 12, "label": "FAC", "origin": "both", "gazetteer": "2:17"});
        assert_eq!(mended(&annotated).rows[0].meta, expected);
    }
}
