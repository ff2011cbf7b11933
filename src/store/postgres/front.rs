//! Pure: where the live part of the queue begins. What was claimed and completed leaves dead entries at the head of the index
//! until they are vacuumed, and a long transaction anywhere in the database forbids that; a claim that began at the very head
//! would walk over all of them. So a claim begins where the last one ended, and now and then one looks back for what has come
//! in before: retries, returned leases, articles older than those at work.

use std::time::{Duration, Instant};

/// A look back may take half a percent of the time, whatever it costs.
const SHARE: u32 = 200;
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A place in the order of claims: `run_at` as PostgreSQL writes it, and `article_id` of a job.
pub(super) type Position = (String, String);

/// The front of one process's claims.
#[derive(Debug, Default)]
pub(super) struct Front {
    source: Option<String>,
    position: Option<Position>,
    /// No look back before this time.
    next_look: Option<Instant>,
}

impl Front {
    /// Where a claim begins: behind this position, or at the head of the queue.
    pub(super) fn begin(&self, source: Option<&str>, now: Instant) -> Option<Position> {
        let due = self.next_look.is_none_or(|next| now >= next);
        if due || self.source.as_deref() != source { None } else { self.position.clone() }
    }

    /// The last claim found as much as it asked for: more waits.
    pub(super) fn is_under_way(&self) -> bool {
        self.position.is_some()
    }

    /// A claim took all it could up to `last`; `looked_back` is its cost when it began at the head.
    pub(super) fn advance(&mut self, source: Option<&str>, last: Position, looked_back: Option<Duration>, now: Instant) {
        if let Some(cost) = looked_back {
            self.source = source.map(str::to_owned);
            self.next_look = Some(now + (cost * SHARE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        }
        self.position = Some(last);
    }

    /// The next claim begins at the head: the last one found less than it asked for.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(id: &str) -> Position {
        ("2026-01-01 00:00:00+00".to_owned(), id.to_owned())
    }

    #[test]
    fn goes_on_where_the_last_claim_ended_and_looks_back_in_time() {
        let (mut front, start) = (Front::default(), Instant::now());
        assert_eq!(front.begin(None, start), None);
        front.advance(None, position("a"), Some(Duration::from_millis(2)), start);
        assert_eq!(front.begin(None, start), Some(position("a")));
        front.advance(None, position("b"), None, start);
        assert_eq!(front.begin(None, start + SHORTEST_PAUSE / 2), Some(position("b")));
        assert_eq!(front.begin(None, start + SHORTEST_PAUSE), None, "it looks back");
    }

    #[test]
    fn a_dear_look_back_is_rarer() {
        let (mut front, start) = (Front::default(), Instant::now());
        front.advance(None, position("a"), Some(Duration::from_millis(200)), start);
        assert!(front.begin(None, start + Duration::from_secs(39)).is_some());
        assert!(front.begin(None, start + Duration::from_secs(40)).is_none());
    }

    #[test]
    fn another_source_has_another_front() {
        let (mut front, start) = (Front::default(), Instant::now());
        front.advance(Some("gazette"), position("a"), Some(Duration::ZERO), start);
        assert!(front.begin(Some("gazette"), start).is_some());
        assert!(front.begin(None, start).is_none());
        front.reset();
        assert!(front.begin(Some("gazette"), start).is_none());
    }
}
