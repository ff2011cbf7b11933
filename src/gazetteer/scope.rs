//! The index of one scope: its names as an automaton, their keys, and what a match says of a row. Built once, shared by all
//! workers, never changed. Pure.

use super::fold::key_of;
use super::keys::Keys;
use super::names::Names;
use super::rows::{Rows, by_nearness};
use crate::domain::{GazetteerRow, GazetteerVersion};

/// More names than an index can number.
#[derive(Debug, thiserror::Error)]
#[error("the gazetteer cannot be indexed: {0}")]
pub struct IndexError(String);

/// Rows of one source and dataset, ready to be matched with.
#[derive(Debug)]
pub struct Scope {
    version: GazetteerVersion,
    pub(super) rows: Rows,
    pub(super) names: Names,
    pub(super) keys: Keys,
}

impl Scope {
    /// Every row has two names, `name` and `name_norm`; one without the first is known by the second only, and not looked for in texts.
    pub fn new(version: GazetteerVersion, mut rows: Vec<GazetteerRow>) -> Result<Self, IndexError> {
        // Places within an index are 32 bits wide.
        let bytes: usize = rows.iter().map(|row| row.id.len() + row.name.len() + row.name_norm.as_ref().map_or(0, String::len)).sum();
        if bytes > u32::MAX as usize / 4 {
            return Err(IndexError(format!("{} rows with {bytes} bytes of names are too many", rows.len())));
        }
        by_nearness(&mut rows);
        let second = |row: &GazetteerRow| row.name_norm.clone().filter(|norm| !norm.is_empty());
        let named = rows.iter().filter(|row| !row.name.trim().is_empty());
        let seconds: Vec<String> = named.clone().filter_map(second).collect();
        let names = Names::new(named.map(|row| row.name.as_str()).chain(seconds.iter().map(String::as_str)))
            .map_err(|error| IndexError(error.to_string()))?;
        let keys = rows.iter().zip(0..).flat_map(|(row, number)| {
            let first = (key_of(&row.name), number);
            [Some(first), second(row).map(|norm| (key_of(&norm), number))].into_iter().flatten()
        });
        Ok(Self { version, keys: Keys::new(keys), names, rows: Rows::new(&rows) })
    }

    /// Of the rows as they were read.
    pub fn version(&self) -> &GazetteerVersion {
        &self.version
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it occupies.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.version.0.len() + self.rows.bytes() + self.names.bytes() + self.keys.bytes()
    }
}
