//! What an article is matched with: the index of its gazetteer's scope, by our rules or by the strict ones. Pure.

use crate::compat;
use crate::domain::{Compat, Entity, GazetteerRow, GazetteerVersion, Mention};
use crate::gazetteer::{IndexError, Scope};

/// The rows of one scope, ready to be matched with.
#[derive(Debug)]
pub enum Matcher {
    Mended(Box<Scope>),
    Strict(GazetteerVersion, Box<compat::Scope>),
}

impl Matcher {
    pub fn new(compat: Compat, version: GazetteerVersion, rows: Vec<GazetteerRow>) -> Result<Self, IndexError> {
        Ok(match compat {
            Compat::Mended => Self::Mended(Box::new(Scope::new(version, rows)?)),
            Compat::Strict => Self::Strict(version, Box::new(compat::Scope::new(rows))),
        })
    }

    /// Of the rows as they were read.
    pub fn version(&self) -> &GazetteerVersion {
        match self {
            Self::Mended(scope) => scope.version(),
            Self::Strict(version, _) => version,
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Mended(scope) => scope.len(),
            Self::Strict(_, scope) => scope.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it occupies.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Mended(scope) => scope.bytes(),
            Self::Strict(_, scope) => scope.bytes(),
        }
    }

    /// The mentions of a text as it was read; `entities` are the model's, in the order of their starts.
    pub fn mentions(&self, text: &str, entities: Vec<Entity>) -> Vec<Mention> {
        match self {
            Self::Mended(scope) => scope.mentions(text, entities),
            Self::Strict(_, scope) => scope.mentions(text, entities),
        }
    }
}

/// The mentions of a text, matched where there is something to match with.
pub fn mentions(matcher: Option<&Matcher>, text: &str, entities: Vec<Entity>) -> Vec<Mention> {
    match matcher {
        Some(matcher) => matcher.mentions(text, entities),
        None => entities.into_iter().map(Mention::from).collect(),
    }
}
