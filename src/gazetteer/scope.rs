//! The index of one scope: its names as an automaton, their keys, and what a match says of a row. Built once, shared by all
//! workers, never changed. Pure.

use super::fold::{fold_name, key_of_folded};
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
        let (mut texts, mut keys) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for (row, number) in rows.iter().zip(0u32..) {
            let first = fold_name(&row.name);
            let second = row.name_norm.as_deref().map(fold_name).filter(|second| *second != first);
            let key = key_of_folded(&first);
            let second_key = second.as_deref().map(key_of_folded).filter(|second| *second != key);
            keys.extend([Some(key), second_key].into_iter().flatten().map(|key| (key, number)));
            if !row.name.trim().is_empty() {
                texts.extend([Some(first), second].into_iter().flatten());
            }
        }
        // The two halves of the work side by side: a batch waits for it.
        let (names, keys) = std::thread::scope(|threads| {
            let keys = threads.spawn(|| Keys::new(keys));
            (Names::new(texts), keys.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let names = names.map_err(|error| IndexError(error.to_string()))?;
        Ok(Self { version, keys, names, rows: Rows::new(&rows) })
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
