//! Pure: the life of one worker's place in the pool. The supervisor tells it what happened and when; it says what state that
//! makes, and what is owed (permits minted or burnt). No I/O, no clock of its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;

/// Where a slot stands.
///
/// ```text
/// Loading ─built→ Ready ⇄ Busy ─panic→ Backoff ─elapsed→ Loading
///    └──failed──────────────────────────▲         Busy ─no progress→ given up: a fresh thread, Loading
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Loading,
    Ready,
    /// With the steps seen last, and when.
    Busy {
        steps: u64,
        since: Instant,
    },
    Backoff,
}

/// One slot.
#[derive(Debug)]
pub struct Slot {
    state: State,
    /// Which thread: replies of a thread that was given up carry an older one.
    generation: u64,
    /// Failures since the last success.
    failures: u32,
}

impl State {
    /// As the metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Busy { .. } => "busy",
            Self::Backoff => "backoff",
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self { state: State::Loading, generation: 0, failures: 0 }
    }
}

impl Slot {
    pub fn state(&self) -> State {
        self.state
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// The engine is built and warm: its permits may be minted.
    pub fn built(&mut self) {
        debug_assert_eq!(self.state, State::Loading);
        self.state = State::Ready;
    }

    pub fn assigned(&mut self, steps: u64, now: Instant) {
        debug_assert_eq!(self.state, State::Ready);
        self.state = State::Busy { steps, since: now };
    }

    /// The call came back and the engine lives, whether or not it did what was asked.
    pub fn returned(&mut self) {
        debug_assert!(matches!(self.state, State::Busy { .. }));
        self.state = State::Ready;
        self.failures = 0;
    }

    /// The engine is gone (a panic, a failed build): how long to wait before it is built again.
    pub fn failed(&mut self, backoff: &Backoff, dice: f64) -> Duration {
        self.state = State::Backoff;
        let pause = backoff.delay(self.failures, dice);
        self.failures += 1;
        pause
    }

    /// The pause is over, or another engine is to come.
    pub fn reload(&mut self) {
        self.state = State::Loading;
    }

    /// Compares the steps of a busy worker with those seen last; true when there was none for `timeout`.
    pub fn stalled(&mut self, steps_now: u64, now: Instant, timeout: Duration) -> bool {
        let State::Busy { steps, since } = &mut self.state else { return false };
        if *steps != steps_now {
            (*steps, *since) = (steps_now, now);
        }
        now.duration_since(*since) >= timeout
    }

    /// Its thread is given up; the next one loads.
    pub fn replaced(&mut self) {
        self.generation += 1;
        self.state = State::Loading;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(8) };

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_call_returns() {
        let mut slot = Slot::default();
        let pauses: Vec<u64> = (0..5).map(|_| slot.failed(&BACKOFF, 1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 8]);
        slot.reload();
        slot.built();
        slot.assigned(0, Instant::now());
        slot.returned();
        assert_eq!(slot.failed(&BACKOFF, 1.0).as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_a_lack_of_steps_not_of_results() {
        let mut slot = Slot::default();
        slot.built();
        let start = Instant::now();
        slot.assigned(7, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let timeout = Duration::from_secs(60);
        assert!(!slot.stalled(7, at(59), timeout));
        assert!(!slot.stalled(8, at(100), timeout), "one step since");
        assert!(!slot.stalled(8, at(159), timeout));
        assert!(slot.stalled(8, at(160), timeout));
        slot.replaced();
        assert_eq!((slot.state(), slot.generation()), (State::Loading, 1));
        assert!(!slot.stalled(8, at(999), timeout), "only a busy worker stalls");
    }
}
