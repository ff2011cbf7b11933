//! Pure: the queue and everything that may happen to a job in it. The memory store runs on it, the model checker walks through all
//! of it (`tests/protocol.rs`), and the statements of `postgres` pass the same suite
//! as it (`tests/store_contract.rs`). The clock and the tokens come from the caller; a moment is the time since any fixed start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::SweepOutcome;
use crate::domain::{ArticleId, ClaimToken};

/// Deaths of holding processes from which on an article is tried alone.
const SUSPECT_CRASHES: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Pending,
    Leased {
        token: ClaimToken,
        until: Duration,
        /// It was a suspect when it was claimed.
        alone: bool,
    },
    Quarantined,
}

/// One article's job; it goes when the article's rows are committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    /// The host's `candidate_links.source`.
    pub source: String,
    pub state: State,
    /// Not claimed before.
    pub run_at: Duration,
    /// Failed attempts, by weight.
    pub attempts: u32,
    /// Deaths of the process that held it, and those of them in which it was held alone.
    pub crashes: u32,
    pub crashes_alone: u32,
    /// Of the last failure.
    pub error: Option<String>,
}

impl Job {
    pub fn new(source: &str, run_at: Duration) -> Self {
        let source = source.to_owned();
        Self { source, state: State::Pending, run_at, attempts: 0, crashes: 0, crashes_alone: 0, error: None }
    }

    /// It failed before, or several processes died with it.
    pub fn is_suspect(&self) -> bool {
        self.attempts > 0 || self.crashes >= SUSPECT_CRASHES
    }

    fn is_due(&self, source: Option<&str>, now: Duration) -> bool {
        self.state == State::Pending && self.run_at <= now && source.is_none_or(|source| self.source == source)
    }

    fn is_held_by(&self, token: ClaimToken) -> bool {
        matches!(self.state, State::Leased { token: holder, .. } if holder == token)
    }
}

/// What a claim would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub articles: Vec<ArticleId>,
    /// It is one suspect.
    pub alone: bool,
    /// A suspect was due, and was not asked for.
    pub suspect_waits: bool,
}

/// Every job by its article.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Queue {
    jobs: BTreeMap<ArticleId, Job>,
    /// Sources that are not claimed; `None`: nothing is.
    paused: BTreeSet<Option<String>>,
}

impl Queue {
    pub fn enqueue(&mut self, id: ArticleId, job: Job) {
        self.jobs.insert(id, job);
    }

    /// Keeps a source, or everything, from being claimed; false where it was kept already.
    pub fn pause(&mut self, source: Option<&str>) -> bool {
        self.paused.insert(source.map(str::to_owned))
    }

    /// Takes that back; false where it was not kept.
    pub fn resume(&mut self, source: Option<&str>) -> bool {
        self.paused.remove(&source.map(str::to_owned))
    }

    /// What is paused, everything first.
    pub fn paused(&self) -> impl Iterator<Item = Option<&str>> {
        self.paused.iter().map(Option::as_deref)
    }

    fn is_open(&self, job: &Job) -> bool {
        !self.paused.contains(&None) && !self.paused.contains(&Some(job.source.clone()))
    }

    pub fn jobs(&self) -> impl Iterator<Item = (&ArticleId, &Job)> {
        self.jobs.iter()
    }

    pub fn job(&self, id: &ArticleId) -> Option<&Job> {
        self.jobs.get(id)
    }

    pub fn holds(&self, token: ClaimToken, id: &ArticleId) -> bool {
        self.jobs.get(id).is_some_and(|job| job.is_held_by(token))
    }

    /// The claims that hold something.
    pub fn tokens(&self) -> BTreeSet<ClaimToken> {
        let holder = |job: &Job| if let State::Leased { token, .. } = job.state { Some(token) } else { None };
        self.jobs.values().filter_map(holder).collect()
    }

    /// One suspect that is due, where suspects are asked for; else those due that are none, oldest first, up to `limit`.
    pub fn choose(&self, limit: usize, source: Option<&str>, suspects: bool, now: Duration) -> Choice {
        let mut due: Vec<(&ArticleId, &Job)> = self.jobs.iter().filter(|(_, job)| job.is_due(source, now) && self.is_open(job)).collect();
        due.sort_by_key(|(_, job)| job.run_at);
        let suspect = due.iter().find(|(_, job)| job.is_suspect()).map(|(id, _)| (*id).clone());
        match suspect {
            Some(suspect) if suspects => Choice { articles: vec![suspect], alone: true, suspect_waits: false },
            suspect => {
                let ordinary = due.into_iter().filter(|(_, job)| !job.is_suspect());
                Choice {
                    articles: ordinary.take(limit).map(|(id, _)| id.clone()).collect(),
                    alone: false,
                    suspect_waits: suspect.is_some(),
                }
            }
        }
    }

    /// Leases what was chosen.
    pub fn lease(&mut self, choice: &Choice, token: ClaimToken, until: Duration) {
        for id in &choice.articles {
            if let Some(job) = self.jobs.get_mut(id) {
                job.state = State::Leased { token, until, alone: choice.alone };
            }
        }
    }

    /// Takes the job out, its article's rows being committed; false where the token does not hold it: then nothing may be written.
    pub fn close(&mut self, token: ClaimToken, id: &ArticleId) -> bool {
        self.holds(token, id) && self.jobs.remove(id).is_some()
    }

    /// A failed attempt that counts for `weight`: back to the queue at `run_at`, or quarantined at the limit. `None` where the token
    /// does not hold it, otherwise whether it was quarantined.
    pub fn reject(&mut self, token: ClaimToken, id: &ArticleId, failure: Failure<'_>) -> Option<bool> {
        let job = self.jobs.get_mut(id).filter(|job| job.is_held_by(token))?;
        job.run_at = failure.run_at;
        job.attempts += failure.weight;
        job.error = Some(failure.error.to_owned());
        let ended = job.attempts >= failure.max_attempts;
        job.state = if ended { State::Quarantined } else { State::Pending };
        Some(ended)
    }

    /// Back to the queue, its place kept and no attempt counted; false where the token does not hold it.
    pub fn release(&mut self, token: ClaimToken, id: &ArticleId) -> bool {
        let held = self.jobs.get_mut(id).filter(|job| job.is_held_by(token));
        held.map(|job| job.state = State::Pending).is_some()
    }

    /// True where the claim still holds something.
    pub fn renew(&mut self, token: ClaimToken, lease_until: Duration) -> bool {
        let mut stood = false;
        for job in self.jobs.values_mut() {
            if let State::Leased { token: holder, until, .. } = &mut job.state
                && *holder == token
            {
                *until = lease_until;
                stood = true;
            }
        }
        stood
    }

    /// Ends the leases that ran out before `now`: a crash is counted for each job, against the article itself only where it was held
    /// alone; at `max_crashes` of these it is quarantined.
    pub fn sweep(&mut self, now: Duration, max_crashes: u32) -> SweepOutcome {
        let mut outcome = SweepOutcome::default();
        for job in self.jobs.values_mut() {
            let State::Leased { until, alone, .. } = job.state else { continue };
            if until >= now {
                continue;
            }
            job.crashes += 1;
            if alone {
                job.crashes_alone += 1;
                job.error = Some("the process died while it worked on this article alone".to_owned());
            }
            if job.crashes_alone >= max_crashes {
                job.state = State::Quarantined;
                outcome.quarantined += 1;
            } else {
                job.state = State::Pending;
                outcome.returned += 1;
            }
        }
        outcome
    }

    /// Lets a claim's lease run out.
    pub fn expire(&mut self, token: ClaimToken) {
        self.renew(token, Duration::ZERO);
    }

    /// Makes every waiting retry due.
    pub fn make_due(&mut self, now: Duration) {
        self.jobs.values_mut().for_each(|job| job.run_at = job.run_at.min(now));
    }
}

/// Why and how a job failed.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    pub error: &'a str,
    /// Failed attempts that it counts for.
    pub weight: u32,
    /// Not to be tried before.
    pub run_at: Duration,
    pub max_attempts: u32,
}
