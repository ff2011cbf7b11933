//! Names of places and institutions that a host knows, and how an article is matched with them. Pure: rows in, mentions out; the
//! store reads the rows, and the index of a scope (a source's and dataset's rows) is built once for all workers.
//!
//! Both the model and the gazetteer have their say. Where a name of the gazetteer and an entity of the model
//!
//! - do not touch, both stay;
//! - are the same span, they are one mention with the model's label. A date or a number stays what it is, whatever shop is called
//!   "Friday"; where the model knows only that it is some name (a product, a miscellany), the gazetteer says of what;
//! - overlap, the gazetteer wins if its name covers every entity that it touches ("Columbia Public Library" over "Columbia"), and
//!   the model wins otherwise ("Columbia Public Library Foundation" over "Columbia Public Library").
//!
//! Every mention is then looked up: the same name, however it is written, scores 1, whatever its label. Names that are only
//! similar match where label and row can be one thing (`domain::gazetteer::is_compatible`). Of rows that match equally well the
//! nearest wins, then the smallest id.

mod fold;
mod keys;
mod matching;
mod names;
mod rows;
mod scope;

pub use fold::{Folded, fold_name, key_of};
pub use keys::{Keys, LEAST};
pub use names::{Names, Occurrence};
pub use scope::{IndexError, Scope};
