//! The same contract in memory, for the actors' tests: no SQL, tokio's clock (which tests pause), outages on cue.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    ArticleStore, Backlog, ClaimRequest, Completion, GazetteerRows, LoadRecord, RejectionOutcome, RetryPolicy, Reusable, StoreError,
    SweepOutcome,
};
use crate::backoff::Backoff;
use crate::domain::{
    AnnotatedArticle, ArticleId, Batch, ClaimToken, ClaimedArticle, ExtractorVersion, GazetteerVersion, Mention, Rejection, ScopeKey,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Leased { token: Uuid, until: Instant, alone: bool },
    Quarantined,
}

/// What was written for an article.
struct Written {
    times: u64,
    mentions: Vec<Mention>,
    text_hash: Option<String>,
    gazetteer: Option<GazetteerVersion>,
    version: ExtractorVersion,
}

struct Job {
    article: ClaimedArticle,
    state: State,
    run_at: Instant,
    crashes_alone: u32,
    error: Option<String>,
}

#[derive(Default)]
struct Tables {
    jobs: BTreeMap<ArticleId, Job>,
    /// Text and hash of every article, as the host has them now.
    texts: BTreeMap<ArticleId, (Arc<str>, Option<String>)>,
    done: BTreeMap<ArticleId, Written>,
    gazetteer: BTreeMap<ScopeKey, GazetteerRows>,
    /// How often a scope's rows were read.
    gazetteer_reads: u64,
    loads: Vec<LoadRecord>,
}

impl Tables {
    /// What was written by this version for another article of the same text and hash, with that hash and the same gazetteer.
    fn twin(&self, version: &ExtractorVersion, reusable: &Reusable) -> Option<(Vec<Mention>, String)> {
        let id = &reusable.id;
        let (text, hash) = self.texts.get(id)?;
        let hash = hash.as_ref()?;
        let same = |other: &ArticleId| {
            other != id && !self.jobs.contains_key(other) && self.texts.get(other) == Some(&(text.clone(), Some(hash.clone())))
        };
        let right_here = |written: &Written| {
            written.text_hash.as_ref() == Some(hash) && written.gazetteer == reusable.gazetteer && written.version == *version
        };
        let twin = self.done.iter().find(|(other, written)| same(other) && right_here(written))?;
        Some((twin.1.mentions.clone(), hash.clone()))
    }

    fn write(&mut self, id: &ArticleId, written: Written, completion: &mut Completion) {
        self.jobs.remove(id);
        let times = self.done.get(id).map_or(0, |written| written.times) + 1;
        completion.rows += written.mentions.len().max(1) as u64;
        self.done.insert(id.clone(), Written { times, ..written });
        completion.done.push(id.clone());
    }
}

/// An in-memory store.
pub struct MemoryStore {
    tables: Mutex<Tables>,
    retry: RetryPolicy,
    away: AtomicBool,
    gazetteer_away: AtomicBool,
}

impl MemoryStore {
    pub fn new(retry: RetryPolicy) -> Self {
        Self { tables: Mutex::default(), retry, away: AtomicBool::new(false), gazetteer_away: AtomicBool::new(false) }
    }

    /// Enqueues an article without a hash.
    pub fn add(&self, id: &str, text: &str) {
        self.add_hashed(id, text, None);
    }

    /// Enqueues an article with whatever hash the host keeps for its text.
    pub fn add_hashed(&self, id: &str, text: &str, text_hash: Option<&str>) {
        let article = ClaimedArticle {
            id: ArticleId::new(id),
            text: text.into(),
            text_hash: text_hash.map(str::to_owned),
            source: "gazette".to_owned(),
            source_id: None,
            dataset_id: None,
            attempts: 0,
            crashes: 0,
        };
        let job = Job { article, state: State::Pending, run_at: Instant::now(), crashes_alone: 0, error: None };
        self.set_text(id, text, text_hash);
        self.lock().jobs.insert(ArticleId::new(id), job);
    }

    /// Enqueues an article of a source, whose gazetteer it is matched with.
    pub fn add_of_source(&self, id: &str, text: &str, source_id: &str) {
        self.add(id, text);
        if let Some(job) = self.lock().jobs.get_mut(&ArticleId::new(id)) {
            job.article.source_id = Some(source_id.to_owned());
        }
    }

    /// The host's gazetteer of a scope from now on; `None`: no rows.
    pub fn set_gazetteer(&self, scope: ScopeKey, rows: Option<GazetteerRows>) {
        let mut tables = self.lock();
        match rows {
            Some(rows) => drop(tables.gazetteer.insert(scope, rows)),
            None => drop(tables.gazetteer.remove(&scope)),
        }
    }

    /// How often a scope's rows were read.
    pub fn gazetteer_reads(&self) -> u64 {
        self.lock().gazetteer_reads
    }

    /// The host changes an article; what was claimed stays as it was claimed.
    pub fn set_text(&self, id: &str, text: &str, text_hash: Option<&str>) {
        self.lock().texts.insert(ArticleId::new(id), (text.into(), text_hash.map(str::to_owned)));
    }

    /// While true, every method fails as if the database were away.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// While true, the gazetteer cannot be read.
    pub fn set_gazetteer_away(&self, away: bool) {
        self.gazetteer_away.store(away, Ordering::SeqCst);
    }

    /// How often an article's rows were written, and its mentions as of the last time.
    pub fn done(&self, id: &str) -> Option<(u64, Vec<Mention>)> {
        self.lock().done.get(&ArticleId::new(id)).map(|written| (written.times, written.mentions.clone()))
    }

    /// Which version wrote an article's rows last.
    pub fn done_by(&self, id: &str) -> Option<ExtractorVersion> {
        self.lock().done.get(&ArticleId::new(id)).map(|written| written.version.clone())
    }

    /// Articles completed so far.
    pub fn done_count(&self) -> usize {
        self.lock().done.len()
    }

    /// The error of a quarantined article.
    pub fn quarantine_error(&self, id: &str) -> Option<String> {
        self.lock().jobs.get(&ArticleId::new(id)).filter(|job| job.state == State::Quarantined)?.error.clone()
    }

    /// Lets every lease run out.
    pub fn expire_leases(&self) {
        for job in self.lock().jobs.values_mut() {
            if let State::Leased { until, .. } = &mut job.state {
                *until = Instant::now() - Duration::from_secs(1);
            }
        }
    }

    /// Makes every waiting retry due.
    pub fn make_due(&self) {
        self.lock().jobs.values_mut().for_each(|job| job.run_at = Instant::now());
    }

    pub fn loads(&self) -> Vec<LoadRecord> {
        self.lock().loads.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn reachable(&self) -> Result<(), StoreError> {
        self.unless(&self.away)
    }

    fn unless(&self, away: &AtomicBool) -> Result<(), StoreError> {
        if away.load(Ordering::SeqCst) {
            return Err(StoreError::Transient { kind: "connect", message: "the database is away on cue".to_owned() });
        }
        Ok(())
    }
}

fn holds(job: &Job, token: ClaimToken) -> bool {
    matches!(job.state, State::Leased { token: held, .. } if held == token.0)
}

#[async_trait]
impl ArticleStore for MemoryStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Batch, StoreError> {
        self.reachable()?;
        let token = Uuid::new_v4();
        let now = Instant::now();
        let mut tables = self.lock();
        let due = |job: &&mut Job| {
            job.state == State::Pending && job.run_at <= now && request.source.as_ref().is_none_or(|source| job.article.source == *source)
        };
        let suspect = |job: &Job| job.article.attempts > 0 || job.article.crashes >= 2;
        let mut jobs: Vec<&mut Job> = tables.jobs.values_mut().filter(due).collect();
        let suspect_waits = !request.suspects && jobs.iter().any(|job| suspect(job));
        jobs.retain(|job| request.suspects || !suspect(job));
        jobs.sort_by_key(|job| (!suspect(job), job.run_at));
        let alone = jobs.first().is_some_and(|job| suspect(job));
        let limit = if alone { 1 } else { request.limit as usize };
        let articles: Vec<ClaimedArticle> = jobs
            .into_iter()
            .take(limit)
            .map(|job| {
                job.state = State::Leased { token, until: now + request.lease, alone };
                job.article.clone()
            })
            .collect();
        Ok(Batch { token: ClaimToken(token), articles, alone, suspect_waits })
    }

    async fn complete(
        &self,
        token: ClaimToken,
        version: &ExtractorVersion,
        articles: &[AnnotatedArticle],
    ) -> Result<Completion, StoreError> {
        self.reachable()?;
        let mut tables = self.lock();
        let mut completion = Completion::default();
        for annotated in articles {
            let id = &annotated.article.id;
            if tables.jobs.get(id).is_some_and(|job| holds(job, token)) {
                let AnnotatedArticle { article, mentions, gazetteer } = annotated.clone();
                let written = Written { times: 0, mentions, text_hash: article.text_hash, gazetteer, version: version.clone() };
                tables.write(id, written, &mut completion);
            } else {
                completion.lease_lost.push(id.clone());
            }
        }
        Ok(completion)
    }

    async fn reuse(&self, token: ClaimToken, version: &ExtractorVersion, articles: &[Reusable]) -> Result<Completion, StoreError> {
        self.reachable()?;
        let mut tables = self.lock();
        let mut completion = Completion::default();
        for article in articles {
            let held = tables.jobs.get(&article.id).is_some_and(|job| holds(job, token));
            let Some((mentions, hash)) = held.then(|| tables.twin(version, article)).flatten() else { continue };
            let written =
                Written { times: 0, mentions, text_hash: Some(hash), gazetteer: article.gazetteer.clone(), version: version.clone() };
            tables.write(&article.id, written, &mut completion);
        }
        Ok(completion)
    }

    async fn gazetteer_rows(&self, scope: &ScopeKey) -> Result<Option<GazetteerRows>, StoreError> {
        self.reachable()?;
        self.unless(&self.gazetteer_away)?;
        let mut tables = self.lock();
        tables.gazetteer_reads += 1;
        Ok(tables.gazetteer.get(scope).cloned())
    }

    async fn gazetteer_versions(&self, scopes: &[ScopeKey]) -> Result<Vec<Option<GazetteerVersion>>, StoreError> {
        self.reachable()?;
        self.unless(&self.gazetteer_away)?;
        let tables = self.lock();
        Ok(scopes.iter().map(|scope| tables.gazetteer.get(scope).map(|rows| rows.version.clone())).collect())
    }

    async fn reject(&self, token: ClaimToken, rejections: &[Rejection]) -> Result<RejectionOutcome, StoreError> {
        self.reachable()?;
        let backoff = Backoff { base: self.retry.base_delay, cap: self.retry.max_delay };
        let mut tables = self.lock();
        let mut outcome = RejectionOutcome::default();
        for rejection in rejections {
            let id = &rejection.article.id;
            let Some(job) = tables.jobs.get_mut(id).filter(|job| holds(job, token)) else {
                outcome.lease_lost.push(id.clone());
                continue;
            };
            job.run_at = Instant::now() + backoff.delay(job.article.attempts, 0.5);
            job.article.attempts += rejection.weight;
            job.error = Some(rejection.error.clone());
            if job.article.attempts >= self.retry.max_attempts {
                job.state = State::Quarantined;
                outcome.quarantined.push(id.clone());
            } else {
                job.state = State::Pending;
                outcome.retried.push(id.clone());
            }
        }
        Ok(outcome)
    }

    async fn release(&self, token: ClaimToken, ids: &[ArticleId]) -> Result<u64, StoreError> {
        self.reachable()?;
        let mut tables = self.lock();
        let mut released = 0;
        for id in ids {
            if let Some(job) = tables.jobs.get_mut(id).filter(|job| holds(job, token)) {
                job.state = State::Pending;
                released += 1;
            }
        }
        Ok(released)
    }

    async fn renew(&self, tokens: &[ClaimToken], lease: Duration) -> Result<u64, StoreError> {
        self.reachable()?;
        let mut renewed = std::collections::HashSet::new();
        for job in self.lock().jobs.values_mut() {
            if let State::Leased { token, until, .. } = &mut job.state
                && tokens.contains(&ClaimToken(*token))
            {
                *until = Instant::now() + lease;
                renewed.insert(*token);
            }
        }
        Ok(renewed.len() as u64)
    }

    async fn sweep(&self) -> Result<SweepOutcome, StoreError> {
        self.reachable()?;
        let mut outcome = SweepOutcome::default();
        for job in self.lock().jobs.values_mut() {
            if let State::Leased { until, alone, .. } = job.state
                && until < Instant::now()
            {
                job.article.crashes += 1;
                job.crashes_alone += u32::from(alone);
                if job.crashes_alone >= self.retry.max_crashes {
                    job.state = State::Quarantined;
                    job.error = Some("the process died while it worked on this article alone".to_owned());
                    outcome.quarantined += 1;
                } else {
                    job.state = State::Pending;
                    outcome.returned += 1;
                }
            }
        }
        Ok(outcome)
    }

    async fn discover(&self) -> Result<u64, StoreError> {
        self.reachable().map(|()| 0)
    }

    async fn reconcile_chunk(&self, _every: Duration) -> Result<Option<u64>, StoreError> {
        self.reachable().map(|()| None)
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.reachable()?;
        let tables = self.lock();
        let count = |wanted: fn(&State) -> bool| tables.jobs.values().filter(|job| wanted(&job.state)).count() as u64;
        let starts = |wanted: fn(&str) -> bool| {
            tables.loads.iter().filter(|load| load.worker == 0 && load.reason == "startup" && wanted(&load.command)).count() as u64
        };
        Ok(Backlog {
            pending: count(|state| *state == State::Pending),
            leased: count(|state| matches!(state, State::Leased { .. })),
            quarantined: count(|state| *state == State::Quarantined),
            estimated: false,
            oldest_age_seconds: 0.0,
            model_loads_24h: tables.loads.len() as u64,
            daemon_starts_24h: starts(|command| command == "run"),
            job_starts_24h: starts(|command| command != "run"),
        })
    }

    async fn record_load(&self, record: &LoadRecord) -> Result<(), StoreError> {
        self.reachable()?;
        self.lock().loads.push(record.clone());
        Ok(())
    }
}
