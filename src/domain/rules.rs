//! How entities become rows: whose rules, and their tables.

use std::str::FromStr;

use super::category::{Categories, LabelMap};

/// Whose rules rows are made by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// Our own: the host's with its faults mended.
    #[default]
    Mended,
    /// The replaced step's to the letter, faults and all, for runs side by side with it.
    Strict,
}

impl FromStr for Compat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mended" => Ok(Self::Mended),
            "strict" => Ok(Self::Strict),
            _ => Err(format!("{text:?} is neither mended (our rules) nor strict (those of the step that nerd replaces)")),
        }
    }
}

/// How entities become rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowRules {
    /// The labels' names in the rows.
    pub labels: LabelMap,
    /// Which entities become rows, and with what category; the strict rules have tables of their own.
    pub categories: Categories,
    pub compat: Compat,
}
