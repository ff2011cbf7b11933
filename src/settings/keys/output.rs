//! The keys of what is read and what is written: the text's preparation, labels, categories, the version of the rows.

use super::{Key, Shape, key};
use crate::domain::category::{Keywords, LabelCategories};
use crate::settings::values::{switch, template};

/// Fields of `output.extractor_version`.
pub(super) const FIELDS: &[&str] = &["model", "sha256", "version"];
/// The version shares an entry of the host's unique index with the entity's name.
const LONGEST_VERSION: usize = 200;

pub(super) const KEYS: &[Key] = &[
    key(
        "text.decode_rot47",
        "true",
        Shape::Switch,
        "paragraphs that a publisher scrambled by ROT47 are decoded before they are read",
        |s, v| {
            s.text.decode_rot47 = switch(v)?;
            Ok(())
        },
    ),
    key("labels.map", "", Shape::Text, "labels renamed in the rows, as in LOC=GPE, PER=PERSON", |s, v| {
        s.output.rules.labels = v.parse()?;
        Ok(())
    }),
    key(
        "output.categories",
        LabelCategories::DEFAULT,
        Shape::Text,
        "osm_category, and with a slash osm_subcategory, of each label; entities of other labels give no rows",
        |s, v| {
            s.output.rules.categories.labels = v.parse()?;
            Ok(())
        },
    ),
    key(
        "output.keywords",
        Keywords::DEFAULT,
        Shape::Text,
        "category of an ORG by whole words of its name or their plural, the first rule that has one",
        |s, v| {
            s.output.rules.categories.keywords = v.parse()?;
            Ok(())
        },
    ),
    key(
        "output.compat",
        "mended",
        Shape::Text,
        "mended, or strict: the rules of the step that nerd replaces to the letter, faults and all, for runs side by side with it",
        |s, v| {
            s.output.rules.compat = v.parse()?;
            Ok(())
        },
    ),
    key(
        "output.extractor_version",
        "nerd-{model}-{sha256}",
        Shape::Text,
        "article_entities.extractor_version; {model}, {sha256} (twelve digits) and {version} (nerd's own) are filled in",
        |s, v| {
            s.output.extractor_version = template(v, FIELDS, LONGEST_VERSION)?;
            Ok(())
        },
    ),
];
