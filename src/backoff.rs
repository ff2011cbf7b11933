//! Pure: how long to wait before trying again, and how often something may fail within a window. Used by the poller, the
//! writer, the pool and the connection's keeper; the clock and the dice come from the caller.

use std::collections::VecDeque;
use std::time::Duration;

/// Capped exponential delays with jitter: the n-th is drawn between half of base × 2ⁿ and the whole of it
/// ("equal jitter", Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The delay before retry number `attempt` (0 the first). `dice` is uniform in 0..1.
    pub fn delay(&self, attempt: u32, dice: f64) -> Duration {
        let whole = self.base.saturating_mul(2u32.saturating_pow(attempt.min(31))).min(self.cap);
        whole.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
    }
}

/// A budget of failures: more than `limit` within `window` exhausts it (Erlang's restart intensity).
#[derive(Clone, Debug)]
pub struct Intensity {
    limit: usize,
    window: Duration,
    /// Times since some fixed start, oldest first.
    failures: VecDeque<Duration>,
}

impl Intensity {
    pub fn new(limit: u32, window: Duration) -> Self {
        Self { limit: limit as usize, window, failures: VecDeque::new() }
    }

    /// Notes a failure at `now` (since any fixed start); true when the budget is exhausted.
    pub fn exhausted_by_failure_at(&mut self, now: Duration) -> bool {
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|&at| now.saturating_sub(at) > self.window) {
            self.failures.pop_front();
        }
        self.failures.len() > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn delays_stay_between_half_the_base_and_the_cap(attempt in 0u32..200, dice in 0.0f64..1.0) {
            let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(30) };
            let delay = backoff.delay(attempt, dice);
            prop_assert!(delay >= Duration::from_millis(50) && delay <= Duration::from_secs(30));
        }
    }

    #[test]
    fn doubles() {
        let backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };
        let delays: Vec<u64> = (0..8).map(|n| backoff.delay(n, 1.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn failures_outside_the_window_are_forgotten() {
        let mut intensity = Intensity::new(2, Duration::from_secs(10));
        assert!(!intensity.exhausted_by_failure_at(Duration::from_secs(0)));
        assert!(!intensity.exhausted_by_failure_at(Duration::from_secs(5)));
        assert!(!intensity.exhausted_by_failure_at(Duration::from_secs(11)));
        assert!(intensity.exhausted_by_failure_at(Duration::from_secs(12)));
    }
}
