//! The ground floor: plain facts that every other floor speaks in. No I/O, no clock, no dependency but serde and uuid.

pub mod article;
pub mod category;
pub mod compute;
pub mod difference;
pub mod entity;
pub mod gazetteer;
pub mod norm;
pub mod rot47;
pub mod rules;
pub mod version;

pub use article::{ArticleId, Batch, ClaimToken, ClaimedArticle, Rejection};
pub use compute::{DeviceChoice, PrecisionChoice};
pub use entity::{AnnotatedArticle, Entity, Mention, Origin};
pub use gazetteer::{GazetteerMatch, GazetteerRow, GazetteerVersion, ScopeKey};
pub use rules::{Compat, RowRules};
pub use version::ExtractorVersion;
