//! What is found in an article: labelled spans of its text by the engine, names of the host's gazetteer, or both.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::article::ClaimedArticle;
use super::category::Category;
use super::gazetteer::{GazetteerMatch, GazetteerVersion};
use super::rot47::Decoded;

/// A labelled span. Offsets count Unicode code points from 0, the end is exclusive; `text` is that slice of the stored text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    pub text: String,
    pub label: Arc<str>,
    pub start: usize,
    pub end: usize,
    /// Mean probability of the words' labels, 0 to 1; 1 where a gazetteer alone knows the name.
    pub score: f32,
}

/// Who says that a span is a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Model,
    Gazetteer,
    /// The very same span.
    Both,
}

impl Origin {
    /// As it is written beside the offsets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Gazetteer => "gazetteer",
            Self::Both => "both",
        }
    }
}

/// An entity, who found it, and what the host's gazetteer knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mention {
    pub entity: Entity,
    pub origin: Origin,
    pub matched: Option<GazetteerMatch>,
    /// Stored scrambled, and decoded before it was read: the text is not the slice that the offsets name.
    pub decoded: bool,
    /// What the strict rules say, whatever the label; `None`: by label and name.
    pub category: Option<Category>,
}

impl Mention {
    /// Its place in the stored text instead of the one that was read.
    pub fn placed(mut self, read: &Decoded) -> Self {
        let (place, decoded) = read.place(self.entity.start, self.entity.end);
        (self.entity.start, self.entity.end, self.decoded) = (place.start, place.end, decoded);
        self
    }
}

impl From<Entity> for Mention {
    /// Of the model alone, without a match.
    fn from(entity: Entity) -> Self {
        Self { entity, origin: Origin::Model, matched: None, decoded: false, category: None }
    }
}

/// An article with what is mentioned in it, in the order of their starts.
#[derive(Clone, Debug)]
pub struct AnnotatedArticle {
    pub article: ClaimedArticle,
    pub mentions: Vec<Mention>,
    /// The gazetteer it was matched with; `None` where there is none for its source and dataset, or matching is off.
    pub gazetteer: Option<GazetteerVersion>,
}
