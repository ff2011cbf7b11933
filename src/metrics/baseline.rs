//! Pure: the resident memory that growth is judged by. It is taken when every worker is warm, while the allocator still holds what
//! loading left behind; that goes back to the system within seconds, so the lowest of the first minute counts.

use std::time::{Duration, Instant};

/// How long it may still fall.
const SETTLING: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Baseline {
    pub bytes: u64,
    taken: Instant,
}

impl Baseline {
    pub fn new(bytes: u64, now: Instant) -> Self {
        Self { bytes, taken: now }
    }

    /// What it is after this much was seen to be resident.
    pub fn after(self, resident: u64, now: Instant) -> Self {
        let settles = now.saturating_duration_since(self.taken) <= SETTLING;
        Self { bytes: if settles { self.bytes.min(resident) } else { self.bytes }, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_while_loading_is_being_forgotten_and_never_rises() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let baseline = Baseline::new(215, begun).after(180, at(2)).after(172, at(5)).after(190, at(30));
        assert_eq!(baseline.bytes, 172);
        assert_eq!(baseline.after(100, at(60)).bytes, 100);
        assert_eq!(baseline.after(100, at(61)).bytes, 172, "a quiet hour later says nothing of the start");
        assert_eq!(baseline.after(400, at(61)).bytes, 172);
    }
}
