//! Pure: what each worker of the pool does, since when, and how much it has done.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// One worker, kept.
#[derive(Clone, Debug)]
struct Tile {
    state: &'static str,
    since: Instant,
    /// Articles of the call it is at.
    articles: u64,
    /// Time in calls that came back.
    busy: Duration,
    calls: u64,
    done: u64,
}

/// One worker, shown.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct WorkerNow {
    pub number: usize,
    /// loading, ready, busy, backoff.
    pub state: Cow<'static, str>,
    /// For how long.
    pub seconds: f64,
    /// What it reads now; 0 when nothing.
    pub articles: u64,
    /// Of its whole life, the call under way counted.
    pub busy_seconds: f64,
    pub calls: u64,
    /// Articles it has annotated.
    pub done: u64,
}

/// The pool.
#[derive(Debug)]
pub struct Workers(Vec<Tile>);

const BUSY: &str = "busy";

impl Workers {
    /// All of them about to load.
    pub fn new(workers: usize, now: Instant) -> Self {
        let tile = Tile { state: "loading", since: now, articles: 0, busy: Duration::ZERO, calls: 0, done: 0 };
        Self(vec![tile; workers])
    }

    pub fn assigned(&mut self, index: usize, articles: u64, now: Instant) {
        if let Some(tile) = self.0.get_mut(index) {
            (tile.state, tile.since, tile.articles) = (BUSY, now, articles);
        }
    }

    pub fn returned(&mut self, index: usize, annotated: bool, now: Instant) {
        let Some(tile) = self.0.get_mut(index).filter(|tile| tile.state == BUSY) else { return };
        tile.busy += now.saturating_duration_since(tile.since);
        tile.calls += 1;
        tile.done += if annotated { tile.articles } else { 0 };
        (tile.state, tile.since, tile.articles) = ("ready", now, 0);
    }

    /// As the pool knows it; where that is known already, nothing changes.
    pub fn stands(&mut self, index: usize, state: &'static str, now: Instant) {
        let Some(tile) = self.0.get_mut(index).filter(|tile| tile.state != state) else { return };
        if tile.state == BUSY {
            tile.busy += now.saturating_duration_since(tile.since);
        }
        (tile.state, tile.since, tile.articles) = (state, now, 0);
    }

    pub fn now(&self, now: Instant) -> Vec<WorkerNow> {
        let shown = |(number, tile): (usize, &Tile)| {
            let seconds = now.saturating_duration_since(tile.since).as_secs_f64();
            WorkerNow {
                number,
                state: tile.state.into(),
                seconds,
                articles: tile.articles,
                busy_seconds: tile.busy.as_secs_f64() + if tile.state == BUSY { seconds } else { 0.0 },
                calls: tile.calls,
                done: tile.done,
            }
        };
        self.0.iter().enumerate().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_s_day() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut workers = Workers::new(2, start);
        workers.stands(0, "ready", at(1));
        workers.assigned(0, 8, at(5));
        workers.stands(0, "busy", at(6));
        let now = workers.now(at(7));
        assert_eq!((&*now[0].state, now[0].articles, now[0].seconds, now[0].busy_seconds), ("busy", 8, 2.0, 2.0));
        assert_eq!((&*now[1].state, now[1].seconds), ("loading", 7.0));
        workers.returned(0, true, at(8));
        workers.assigned(0, 4, at(8));
        workers.returned(0, false, at(9));
        workers.stands(0, "backoff", at(9));
        let now = workers.now(at(11));
        assert_eq!((&*now[0].state, now[0].seconds, now[0].busy_seconds), ("backoff", 2.0, 4.0));
        assert_eq!((now[0].calls, now[0].done, now[0].articles), (2, 8, 0));
    }

    #[test]
    fn a_thread_given_up_is_no_result() {
        let start = Instant::now();
        let mut workers = Workers::new(1, start);
        workers.assigned(0, 8, start);
        workers.stands(0, "loading", start + Duration::from_secs(60));
        workers.returned(0, true, start + Duration::from_secs(61));
        let now = workers.now(start + Duration::from_secs(61));
        assert_eq!((&*now[0].state, now[0].done, now[0].busy_seconds), ("loading", 0, 60.0));
        workers.assigned(7, 1, start);
        assert_eq!(workers.now(start).len(), 1, "there is no eighth");
    }
}
