//! The replaced step's own table of categories: keywords are parts of words, and schools come before hospitals.

use crate::domain::category::Category;

const SCHOOL: &[&str] = &["school", "university", "college", "academy", "elementary"];
const HEALTH: &[&str] = &["hospital", "clinic", "medical", "health", "dental", "pharmacy", "care center"];
const BUSINESS: &[&str] = &["bank", "grill", "restaurant", "bar", "hotel", "store", "market", "company", "inc", "llc"];

/// The category of a label and normal form; `None`: no row.
pub fn category(label: &str, normal: &str) -> Option<Category> {
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| normal.contains(keyword));
    let (category, subcategory) = match label.to_uppercase().as_str() {
        "PERSON" => ("person", None),
        "GPE" | "LOC" => ("place", None),
        "FAC" => ("landmark", None),
        "ORG" if has(SCHOOL) => ("school", Some("education")),
        "ORG" if has(HEALTH) => ("institution", Some("healthcare")),
        "ORG" if has(BUSINESS) => ("business", None),
        "ORG" => ("institution", None),
        "NORP" => ("institution", Some("demographic")),
        "EVENT" => ("event", None),
        _ => return None,
    };
    Some(Category::new(category, subcategory))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observed on the replaced step.
    #[test]
    fn its_pitfalls() {
        for (name, expected) in [
            ("barbara foundation", Category::new("business", None)),
            ("embarq", Category::new("business", None)),
            ("princeton group", Category::new("business", None)),
            ("lincoln club", Category::new("business", None)),
            ("bankston partners", Category::new("business", None)),
            ("accompany", Category::new("business", None)),
            ("barnes noble", Category::new("business", None)),
            ("princeton university hospital", Category::new("school", Some("education"))),
            ("medical school", Category::new("school", Some("education"))),
            ("boone clinic", Category::new("institution", Some("healthcare"))),
            ("rotary club", Category::new("institution", None)),
        ] {
            assert_eq!(category("ORG", name), Some(expected), "{name}");
        }
        assert_eq!(category("person", "x"), Some(Category::new("person", None)), "labels in any case");
        for dropped in ["DATE", "PER", "PRODUCT", "MISC", "SENTINEL"] {
            assert_eq!(category(dropped, "high school"), None);
        }
    }
}
