//! The host's category of an entity: by its label, for organisations by the words of its name.

/// `osm_category` and `osm_subcategory` of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Category {
    pub category: &'static str,
    pub subcategory: Option<&'static str>,
}

const fn category(category: &'static str, subcategory: Option<&'static str>) -> Option<Category> {
    Some(Category { category, subcategory })
}

const SCHOOL: &[&str] = &["school", "university", "college", "academy", "elementary"];
const HEALTH: &[&str] = &["hospital", "clinic", "medical", "health", "dental", "pharmacy", "care center"];
const BUSINESS: &[&str] = &["bank", "grill", "restaurant", "bar", "hotel", "store", "market", "company", "inc", "llc"];

/// The category of a label and normal form; `None` for labels that the host keeps no rows of (dates, sums of money…).
/// Keywords match whole words (or their plural), and health before school: "Barbara Foundation" is no bar, a university hospital no school.
pub fn categorise(label: &str, normal: &str) -> Option<Category> {
    match label {
        "PERSON" | "PER" => category("person", None),
        "GPE" | "LOC" => category("place", None),
        "FAC" => category("landmark", None),
        "EVENT" => category("event", None),
        "NORP" => category("institution", Some("demographic")),
        "ORG" if has_word(normal, HEALTH) => category("institution", Some("healthcare")),
        "ORG" if has_word(normal, SCHOOL) => category("school", Some("education")),
        "ORG" if has_word(normal, BUSINESS) => category("business", None),
        "ORG" => category("institution", None),
        _ => None,
    }
}

fn has_word(normal: &str, keywords: &[&str]) -> bool {
    let padded = format!(" {normal} ");
    keywords.iter().any(|keyword| padded.contains(&format!(" {keyword} ")) || padded.contains(&format!(" {keyword}s ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_label() {
        assert_eq!(categorise("PERSON", "ann lee"), category("person", None));
        assert_eq!(categorise("LOC", "boone county"), category("place", None));
        assert_eq!(categorise("NORP", "democrats"), category("institution", Some("demographic")));
        assert_eq!(categorise("DATE", "monday"), None);
    }

    #[test]
    fn organisations_by_whole_words() {
        assert_eq!(categorise("ORG", "hickman high school"), category("school", Some("education")));
        assert_eq!(categorise("ORG", "columbia public schools"), category("school", Some("education")));
        assert_eq!(categorise("ORG", "university hospital"), category("institution", Some("healthcare")));
        assert_eq!(categorise("ORG", "boone county bank"), category("business", None));
        for no_business in ["barbara foundation", "princeton group", "bankston partners", "storehouse ministries", "lincoln club"] {
            assert_eq!(categorise("ORG", no_business), category("institution", None), "{no_business}");
        }
    }
}
