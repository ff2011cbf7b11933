//! The rules of the step that nerd replaces, to the letter where they are deterministic: what `output.compat = "strict"` and
//! `nerd parity` hold our own rules against. Pure, and apart, so that the usual path knows none of its faults.
//!
//! Where that step is left to chance, this is what is done instead: rows of a gazetteer in the order of their ids (it reads them in
//! none), and ORG where the same words are a name under ORG and under FAC (it takes whichever a hash puts first).

mod category;
pub mod parity;
mod rot47;
mod scope;
mod tokens;

pub use category::category;
pub use rot47::decode as decode_rot47;
pub use scope::Scope;
