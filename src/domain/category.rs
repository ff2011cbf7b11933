//! The host's category of an entity: by its label, for organisations by the words of its name. The tables are the host's own, in
//! two respects better: keywords match whole words, and a hospital comes before a school. Both are configuration.

use std::str::FromStr;
use std::sync::Arc;

use super::norm::normal_form;

/// `osm_category` and `osm_subcategory` of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    pub category: Arc<str>,
    pub subcategory: Option<Arc<str>>,
}

impl Category {
    pub fn new(category: &str, subcategory: Option<&str>) -> Self {
        Self { category: category.into(), subcategory: subcategory.map(Into::into) }
    }
}

/// `category` or `category/subcategory`.
impl FromStr for Category {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/').map(str::trim);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(category), None, None) if !category.is_empty() => Ok(Self::new(category, None)),
            (Some(category), Some(sub), None) if !category.is_empty() && !sub.is_empty() => Ok(Self::new(category, Some(sub))),
            _ => Err(format!("{text:?} is no category: write institution or institution/healthcare")),
        }
    }
}

/// The label whose names are looked through for keywords.
const ORGANISATION: &str = "ORG";

/// Names of labels, as rows have them: `LOC=GPE, PER=PERSON`. Labels not named stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMap(Vec<(Arc<str>, Arc<str>)>);

impl LabelMap {
    /// The label in the rows.
    pub fn apply(&self, label: &Arc<str>) -> Arc<str> {
        self.0.iter().find(|(from, _)| from == label).map_or_else(|| label.clone(), |(_, to)| to.clone())
    }

    /// Old and new names.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(from, to)| (&**from, &**to))
    }
}

impl FromStr for LabelMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for entry in entries(text, ',') {
            let (from, to) = pair(entry, '=').ok_or_else(|| format!("{entry:?} renames nothing: write LOC=GPE, PER=PERSON"))?;
            if pairs.iter().any(|(known, _)| **known == *from) {
                return Err(format!("{from:?} is renamed twice"));
            }
            pairs.push((from.into(), to.into()));
        }
        Ok(Self(pairs))
    }
}

/// A category for each label that rows are kept of: `PERSON=person, NORP=institution/demographic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelCategories(Vec<(String, Category)>);

impl LabelCategories {
    /// The host's table; `PER` is what other models call a person.
    pub const DEFAULT: &str = "PERSON=person, PER=person, GPE=place, LOC=place, FAC=landmark, ORG=institution, \
        NORP=institution/demographic, EVENT=event";

    fn of(&self, label: &str) -> Option<&Category> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(label)).map(|(_, category)| category)
    }
}

impl Default for LabelCategories {
    fn default() -> Self {
        Self::DEFAULT.parse().expect("a test parses it")
    }
}

impl FromStr for LabelCategories {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all: Vec<(String, Category)> = Vec::new();
        for entry in entries(text, ',') {
            let (label, category) = pair(entry, '=')
                .ok_or_else(|| format!("{entry:?} gives no label a category: write PERSON=person, NORP=institution/demographic"))?;
            if all.iter().any(|(known, _)| known == label) {
                return Err(format!("{label:?} has two categories"));
            }
            all.push((label.to_owned(), category.parse()?));
        }
        if all.is_empty() {
            return Err("names no label: no row would ever be written".to_owned());
        }
        Ok(Self(all))
    }
}

/// Words of an organisation's name that tell its category, the first rule that has one: `business: bank, grill; school: college`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keywords(Vec<(Category, Vec<String>)>);

impl Keywords {
    /// The host's lists, without those that whole words make redundant ("middle school" has the word "school").
    pub const DEFAULT: &str = "institution/healthcare: hospital, clinic, medical, health, dental, pharmacy, care center; \
        school/education: school, university, college, academy, elementary; \
        business: bank, grill, restaurant, bar, hotel, store, market, company, inc, llc";

    fn of(&self, normal: &str) -> Option<&Category> {
        let padded = format!(" {} ", spaced(normal));
        let occurs = |word: &String| padded.contains(&format!(" {word} ")) || padded.contains(&format!(" {word}s "));
        self.0.iter().find(|(_, words)| words.iter().any(occurs)).map(|(category, _)| category)
    }
}

impl Default for Keywords {
    fn default() -> Self {
        Self::DEFAULT.parse().expect("a test parses it")
    }
}

impl FromStr for Keywords {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rules = Vec::new();
        for entry in entries(text, ';') {
            let (category, words) =
                pair(entry, ':').ok_or_else(|| format!("{entry:?} is no rule: write business: bank, grill; school: college"))?;
            let words: Vec<String> = entries(words, ',').map(|word| spaced(&normal_form(word))).collect();
            if let Some(place) = words.iter().position(|word| word.trim().is_empty()) {
                let word = entries(entry.split_once(':').map_or("", |(_, words)| words), ',').nth(place).unwrap_or_default();
                return Err(format!("{word:?} never occurs in a normalised name: keywords are ASCII letters, digits, ' and -"));
            }
            rules.push((category.parse()?, words));
        }
        Ok(Self(rules))
    }
}

/// Which entities become rows, and with what category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Categories {
    pub labels: LabelCategories,
    pub keywords: Keywords,
}

impl Categories {
    /// The category of a label and normal form; `None` for labels that no rows are kept of (dates, sums of money…).
    pub fn of(&self, label: &str, normal: &str) -> Option<&Category> {
        let by_label = self.labels.of(label)?;
        if label.eq_ignore_ascii_case(ORGANISATION) { self.keywords.of(normal).or(Some(by_label)) } else { Some(by_label) }
    }
}

/// Words apart: "hospital's" and "bar-b-q" begin with a keyword.
fn spaced(normal: &str) -> String {
    normal.replace(['\'', '-'], " ")
}

fn entries(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).map(str::trim).filter(|entry| !entry.is_empty())
}

fn pair(entry: &str, separator: char) -> Option<(&str, &str)> {
    let (one, two) = entry.split_once(separator)?;
    let (one, two) = (one.trim(), two.trim());
    (!one.is_empty() && !two.is_empty()).then_some((one, two))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(label: &str, normal: &str) -> Option<String> {
        Categories::default().of(label, normal).map(|category| match &category.subcategory {
            Some(sub) => format!("{}/{sub}", category.category),
            None => category.category.to_string(),
        })
    }

    #[test]
    fn every_label_has_the_hosts_category() {
        for (label, category) in [
            ("PERSON", Some("person")),
            ("PER", Some("person")),
            ("GPE", Some("place")),
            ("LOC", Some("place")),
            ("FAC", Some("landmark")),
            ("ORG", Some("institution")),
            ("NORP", Some("institution/demographic")),
            ("EVENT", Some("event")),
        ] {
            assert_eq!(of(label, "anything").as_deref(), category, "{label}");
        }
        for dropped in
            ["DATE", "TIME", "MONEY", "PERCENT", "CARDINAL", "ORDINAL", "QUANTITY", "PRODUCT", "LAW", "LANGUAGE", "WORK_OF_ART", "MISC"]
        {
            assert_eq!(of(dropped, "high school"), None, "{dropped}");
        }
        assert_eq!(of("PERSON", "bar school").as_deref(), Some("person"), "keywords are for organisations");
    }

    #[test]
    fn every_keyword_of_the_host_works_as_a_whole_word() {
        for (category, words) in [
            ("school/education", "school university college academy elementary"),
            ("institution/healthcare", "hospital clinic medical health dental pharmacy"),
            ("business", "bank grill restaurant bar hotel store market company inc llc"),
        ] {
            for word in words.split(' ') {
                assert_eq!(of("ORG", &format!("boone {word}")).as_deref(), Some(category), "{word}");
                assert_eq!(of("ORG", &format!("{word}s of boone")).as_deref(), Some(category), "{word}");
            }
        }
        assert_eq!(of("ORG", "lenoir care center").as_deref(), Some("institution/healthcare"));
        assert_eq!(of("ORG", "boone hospital's board").as_deref(), Some("institution/healthcare"));
        assert_eq!(of("ORG", "west middle school").as_deref(), Some("school/education"));
    }

    #[test]
    fn a_part_of_a_word_is_no_keyword() {
        for name in [
            "barbara foundation",
            "embarq",
            "princeton group",
            "lincoln club",
            "wincor",
            "bankston partners",
            "storehouse ministries",
            "marketing guild",
            "accompany",
            "barnes noble",
            "healthy kids",
            "schoolhouse rock",
        ] {
            assert_eq!(of("ORG", name).as_deref(), Some("institution"), "{name}");
        }
    }

    #[test]
    fn a_hospital_comes_before_a_school() {
        for name in ["university hospital", "princeton university hospital", "medical school", "university of missouri health care"] {
            assert_eq!(of("ORG", name).as_deref(), Some("institution/healthcare"), "{name}");
        }
    }

    #[test]
    fn tables_are_read_and_errors_teach() {
        let map: LabelMap = " LOC = GPE,PER=PERSON, ".parse().unwrap();
        assert_eq!((&*map.apply(&"LOC".into()), &*map.apply(&"ORG".into())), ("GPE", "ORG"));
        assert_eq!(LabelMap::default(), "".parse().unwrap());
        for (error, part) in [
            ("LOC".parse::<LabelMap>().unwrap_err(), "write LOC=GPE"),
            ("LOC=".parse::<LabelMap>().unwrap_err(), "write LOC=GPE"),
            ("LOC=GPE,LOC=FAC".parse::<LabelMap>().unwrap_err(), "renamed twice"),
            ("PERSON".parse::<LabelCategories>().unwrap_err(), "write PERSON=person"),
            ("PERSON=a/b/c".parse::<LabelCategories>().unwrap_err(), "no category: write institution"),
            ("PERSON=a,PERSON=b".parse::<LabelCategories>().unwrap_err(), "two categories"),
            ("".parse::<LabelCategories>().unwrap_err(), "no row would ever be written"),
            ("business bank".parse::<Keywords>().unwrap_err(), "write business: bank"),
            ("business: bank, 北京".parse::<Keywords>().unwrap_err(), "\"北京\" never occurs"),
        ] {
            assert!(error.contains(part), "{error}");
        }
        let none: Keywords = "".parse().unwrap();
        assert_eq!(none.of("high school"), None);
        let own: Keywords = "media: Herald, KOMU-TV; business: herald".parse().unwrap();
        assert_eq!(&*own.of("the herald").unwrap().category, "media", "the first rule");
        assert_eq!(&*own.of("komu-tv").unwrap().category, "media", "keywords are normalised as names are");
    }
}
