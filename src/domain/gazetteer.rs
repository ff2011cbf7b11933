//! A host's gazetteer: the names of places and institutions around a source, what kind each is, and a match with one of them.

use std::fmt;
use std::sync::Arc;

/// A row of `gazetteer`.
#[derive(Clone, Debug, PartialEq)]
pub struct GazetteerRow {
    pub id: String,
    pub name: String,
    /// The host's normal form as it stored it: another key of the row.
    pub name_norm: Option<String>,
    /// As stored, see [`kind_of`].
    pub category: Option<String>,
    /// From the source; between rows that match equally well the nearest wins.
    pub distance_miles: Option<f64>,
}

/// The row that a mention was matched with.
#[derive(Clone, Debug, PartialEq)]
pub struct GazetteerMatch {
    /// `gazetteer.id`.
    pub id: Arc<str>,
    /// `gazetteer.name`.
    pub name: Arc<str>,
    /// 1 for the same name, else how similar the names are (0.85 and more).
    pub score: f64,
    /// `gazetteer.category` as stored.
    pub category: Option<Arc<str>>,
}

impl GazetteerMatch {
    /// Whether the names are the same, not only similar.
    pub fn is_exact(&self) -> bool {
        self.score >= 1.0
    }
}

/// Names the rows of one scope as they were: any row added, changed or removed makes another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GazetteerVersion(pub Arc<str>);

impl fmt::Display for GazetteerVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whose gazetteer an article is matched with: the rows of its source and dataset, or of the one that is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeKey {
    pub source_id: Option<Arc<str>>,
    pub dataset_id: Option<Arc<str>>,
}

impl ScopeKey {
    /// An empty id is none; `None` where neither is known, since no rows belong to nobody.
    pub fn new(source_id: Option<&str>, dataset_id: Option<&str>) -> Option<Self> {
        let known = |id: Option<&str>| id.filter(|id| !id.is_empty()).map(Arc::from);
        let key = Self { source_id: known(source_id), dataset_id: known(dataset_id) };
        (key.source_id.is_some() || key.dataset_id.is_some()).then_some(key)
    }
}

/// What a row's category means: the host's categories of an entity, and the label of a name that the gazetteer alone knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GazetteerKind {
    pub category: &'static str,
    pub subcategory: Option<&'static str>,
    /// `ORG` or `FAC`.
    pub label: &'static str,
}

const fn kind(category: &'static str, subcategory: Option<&'static str>, label: &'static str) -> GazetteerKind {
    GazetteerKind { category, subcategory, label }
}

/// The host's table, whatever the case of a category.
pub fn kind_of(category: Option<&str>) -> GazetteerKind {
    match category.unwrap_or_default().to_lowercase().as_str() {
        "businesses" | "economic" => kind("business", None, "ORG"),
        "schools" => kind("school", None, "ORG"),
        "entertainment" => kind("institution", Some("entertainment"), "ORG"),
        "government" => kind("institution", Some("government"), "ORG"),
        "healthcare" => kind("institution", Some("healthcare"), "ORG"),
        "religious" => kind("institution", Some("religious"), "ORG"),
        "sports" => kind("institution", Some("sports"), "ORG"),
        "emergency" => kind("institution", Some("emergency"), "ORG"),
        "transportation" => kind("landmark", Some("transportation"), "FAC"),
        "landmarks" => kind("landmark", None, "FAC"),
        _ => kind("institution", None, "ORG"),
    }
}

/// Whether an entity of this label can be such a place or institution. A gazetteer lists no people, peoples or events; a town may
/// bear the name of anything but a business ("Columbia" is not the shop Columbiana).
pub fn is_compatible(label: &str, category: Option<&str>) -> bool {
    match label {
        "ORG" | "FAC" => true,
        "GPE" | "LOC" => kind_of(category).category != "business",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_table() {
        for (category, expected) in [
            (Some("Businesses"), kind("business", None, "ORG")),
            (Some("economic"), kind("business", None, "ORG")),
            (Some("schools"), kind("school", None, "ORG")),
            (Some("SPORTS"), kind("institution", Some("sports"), "ORG")),
            (Some("transportation"), kind("landmark", Some("transportation"), "FAC")),
            (Some("landmarks"), kind("landmark", None, "FAC")),
            (Some("whatever"), kind("institution", None, "ORG")),
            (None, kind("institution", None, "ORG")),
        ] {
            assert_eq!(kind_of(category), expected, "{category:?}");
        }
        for same in ["entertainment", "government", "healthcare", "religious", "sports", "emergency"] {
            assert_eq!(kind_of(Some(same)), kind("institution", Some(same), "ORG"));
        }
    }

    #[test]
    fn people_are_no_places_and_towns_no_businesses() {
        assert!(is_compatible("ORG", Some("businesses")) && is_compatible("FAC", None) && is_compatible("LOC", Some("landmarks")));
        assert!(!is_compatible("GPE", Some("businesses")) && !is_compatible("PERSON", Some("sports")) && !is_compatible("DATE", None));
    }

    #[test]
    fn a_scope_needs_a_source_or_a_dataset() {
        assert_eq!(ScopeKey::new(None, Some("")), None);
        let of_source = ScopeKey::new(Some("s"), Some("")).unwrap();
        assert_eq!((of_source.source_id.as_deref(), of_source.dataset_id), (Some("s"), None));
        assert_ne!(ScopeKey::new(Some("s"), None), ScopeKey::new(Some("s"), Some("d")));
    }
}
