//! The name under which a model's rows stand, beside those of others.

use std::fmt;
use std::sync::Arc;

/// `article_entities.extractor_version`: rows of the same name replace each other and are copied for each other, others stay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExtractorVersion(Arc<str>);

impl ExtractorVersion {
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExtractorVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
