//! Pure: whether a process may claim now, and what. The poller asks before each claim; the model checker (`tests/protocol.rs`) asks
//! the same for its daemons.

/// What the poller knows before it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Situation {
    /// Articles claimed by this process and not yet settled.
    pub in_flight: u64,
    /// The last claim took a suspect, or was told of one that it had not asked for.
    pub suspect_waits: bool,
    /// Memory is near its limit.
    pub tight: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Admission {
    /// Not before everything in flight is settled.
    Wait,
    Claim {
        /// Articles at most.
        limit: u32,
        /// Suspects too.
        suspects: bool,
    },
}

impl Situation {
    /// A suspect is tried while nothing else is at work: what a death says then, it says of this article. While memory is tight,
    /// articles are tried one by one.
    pub fn admits(self, batch_articles: u32) -> Admission {
        let busy = self.in_flight > 0;
        if busy && (self.tight || self.suspect_waits) {
            return Admission::Wait;
        }
        Admission::Claim { limit: if self.tight { 1 } else { batch_articles }, suspects: !busy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let admitted = |in_flight, suspect_waits, tight| Situation { in_flight, suspect_waits, tight }.admits(64);
        for waits in [false, true] {
            assert_eq!(admitted(0, waits, false), Admission::Claim { limit: 64, suspects: true });
            assert_eq!(admitted(0, waits, true), Admission::Claim { limit: 1, suspects: true });
        }
        assert_eq!(admitted(1, false, false), Admission::Claim { limit: 64, suspects: false });
        for (waits, tight) in [(true, false), (false, true), (true, true)] {
            assert_eq!(admitted(1, waits, tight), Admission::Wait);
        }
    }
}
