//! Pure: the memory that a process will need, before it has any. The figures are those that were measured and stand in the README,
//! “Fast and flat”; `tests/doctor.rs` holds the constants to that table.

use bytesize::ByteSize;

use crate::settings::Settings;

const MEGABYTE: u64 = 1_000_000;

/// Resident memory with two workers, the accurate profile in int8…
pub const RESIDENT_WITH_TWO: u64 = 175 * MEGABYTE;
/// …whose weights file has so many bytes: what is left does not depend on the model.
const MEASURED_FILE: u64 = 45_158_742;
/// What each further worker adds, at 768 tokens a batch.
pub const FURTHER_WORKER: u64 = 3_100_000;
const MEASURED_TOKENS: u64 = 768;
/// The peak while loading over what is resident then, in hundredths.
pub const PEAK_PERCENT: u64 = 124;
/// The measured figures are those with this memory of results.
const MEASURED_REUSE: u64 = 4 * MEGABYTE;
/// A gazetteer of so many rows occupies so much.
pub const GAZETTEER: (u64, u64) = (8_500, 3_200_000);
/// What is read of a text before it is claimed is at most this (or one longer article), and each worker holds two claims.
const TEXT_OF_A_WORKER: u64 = 2 * (4 << 20);

/// What the need depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub workers: u64,
    /// Length of the weights file.
    pub file: u64,
    /// Copies of the weights in lengths of their file, once read: two where a file in half precision is run in f32.
    pub copies: u64,
    pub batch_tokens: u64,
    pub reuse: u64,
    /// Rows of the host's gazetteer; 0 where it is not used.
    pub gazetteer_rows: u64,
    /// Bytes that the indexes may occupy at most.
    pub gazetteer_most: u64,
}

/// What a process needs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Footprint {
    /// At work.
    pub resident: u64,
    /// For a moment, while the weights are read.
    pub loading: u64,
    /// With every gazetteer of the host held, and every claim full of long texts.
    pub most: u64,
}

impl Plan {
    pub fn of(settings: &Settings, workers: u32, file: u64, precision: &str, gazetteer_rows: u64) -> Self {
        Self {
            workers: u64::from(workers),
            file,
            copies: if precision == "f32" { 2 } else { 1 },
            batch_tokens: u64::from(settings.engine.batch_tokens),
            reuse: settings.reuse.memory_bytes,
            gazetteer_rows: if settings.gazetteer.enabled { gazetteer_rows } else { 0 },
            gazetteer_most: settings.gazetteer.memory_bytes,
        }
    }

    pub fn footprint(self) -> Footprint {
        let program = RESIDENT_WITH_TWO - MEASURED_FILE - MEASURED_REUSE;
        let worker = FURTHER_WORKER * self.batch_tokens.max(MEASURED_TOKENS) / MEASURED_TOKENS;
        let workers = worker * self.workers.saturating_sub(2);
        let weights = self.file.saturating_mul(self.copies);
        let resident = program.saturating_add(weights).saturating_add(workers).saturating_add(self.reuse);
        // What is there for a moment beside what is made of it grows with the file.
        let over = PEAK_PERCENT - 100;
        let of_file = u128::from(self.file) * u128::from(RESIDENT_WITH_TWO * over / 100) / u128::from(MEASURED_FILE);
        let beside = (resident / 100).saturating_mul(over).max(u64::try_from(of_file).unwrap_or(u64::MAX));
        let loading = resident.saturating_add(beside);
        let (rows, bytes) = GAZETTEER;
        let gazetteers = (self.gazetteer_rows.saturating_mul(bytes) / rows).min(self.gazetteer_most);
        let most = resident.saturating_add(gazetteers).saturating_add(self.workers.saturating_mul(TEXT_OF_A_WORKER));
        Footprint { resident, loading, most }
    }
}

impl Footprint {
    /// What must be free for a start.
    pub fn needed(self) -> u64 {
        self.resident.max(self.loading)
    }
}

impl std::fmt::Display for Footprint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [resident, loading, most] = [self.resident, self.loading, self.most].map(|bytes| ByteSize(bytes).display().si());
        write!(formatter, "{resident} at work, {loading} while loading, {most} with gazetteers held and long texts at work")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Plan = Plan {
        workers: 2,
        file: MEASURED_FILE,
        copies: 1,
        batch_tokens: 0,
        reuse: MEASURED_REUSE,
        gazetteer_rows: 0,
        gazetteer_most: 512 * MEGABYTE,
    };

    #[test]
    fn what_was_measured_is_foretold() {
        let found = MEASURED.footprint();
        assert_eq!((found.resident, found.loading), (RESIDENT_WITH_TWO, RESIDENT_WITH_TWO * PEAK_PERCENT / 100));
        assert_eq!(Plan { workers: 10, ..MEASURED }.footprint().resident, RESIDENT_WITH_TWO + 8 * FURTHER_WORKER);
        assert_eq!(Plan { gazetteer_rows: 8_500 * 10, ..MEASURED }.footprint().most - found.most, 32 * MEGABYTE);
    }

    #[test]
    fn more_of_anything_never_needs_less() {
        let small = MEASURED.footprint();
        for more in [
            Plan { workers: 3, ..MEASURED },
            Plan { file: 2 * MEASURED_FILE, ..MEASURED },
            Plan { copies: 2, ..MEASURED },
            Plan { workers: 3, batch_tokens: 10_000, ..MEASURED },
            Plan { reuse: 2 * MEASURED_REUSE, ..MEASURED },
        ] {
            let large = more.footprint();
            assert!(large.resident > small.resident && large.needed() >= small.needed() && large.most > small.most, "{more:?}");
        }
        let held = Plan { gazetteer_rows: u64::MAX, ..MEASURED }.footprint();
        assert_eq!(held.most - small.most, 512 * MEGABYTE, "bounded by its setting");
        assert_eq!(Plan { file: u64::MAX, copies: 2, ..MEASURED }.footprint().needed(), u64::MAX);
    }
}
