//! Names of places and institutions that a host knows, and how texts and entities are matched with them. Pure: rows in, matches
//! out; the store reads the rows, and a scope's index is built once for all workers.

mod fold;
mod fuzzy;
mod names;

pub use fold::Folded;
pub use fuzzy::{Fuzzy, LEAST};
pub use names::{Mention, Names};
