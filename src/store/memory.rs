//! The same contract in memory, for the actors' tests: no SQL, tokio's clock (which tests pause), outages on cue.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use uuid::Uuid;

use super::queue::{Failure, Job, Queue, State};
use super::{
    ArticleStore, Backlog, ClaimRequest, Completion, GazetteerRows, LoadRecord, Pause, Quarantined, RejectionOutcome, RetryPolicy,
    Reusable, StoreError, SweepOutcome,
};
use crate::backoff::Backoff;
use crate::domain::{
    AnnotatedArticle, ArticleId, Batch, ClaimToken, ClaimedArticle, ExtractorVersion, GazetteerVersion, Mention, Rejection, ScopeKey,
};

/// What was written for an article.
struct Written {
    times: u64,
    mentions: Vec<Mention>,
    text_hash: Option<String>,
    gazetteer: Option<GazetteerVersion>,
    version: ExtractorVersion,
}

#[derive(Default)]
struct Tables {
    queue: Queue,
    /// Every article as it was when it was enqueued; its counters are the queue's.
    articles: BTreeMap<ArticleId, ClaimedArticle>,
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
            other != id && self.queue.job(other).is_none() && self.texts.get(other) == Some(&(text.clone(), Some(hash.clone())))
        };
        let right_here = |written: &Written| {
            written.text_hash.as_ref() == Some(hash) && written.gazetteer == reusable.gazetteer && written.version == *version
        };
        let twin = self.done.iter().find(|(other, written)| same(other) && right_here(written))?;
        Some((twin.1.mentions.clone(), hash.clone()))
    }

    /// Commits an article's rows; the caller closed its job.
    fn write(&mut self, id: &ArticleId, written: Written, completion: &mut Completion) {
        let times = self.done.get(id).map_or(0, |written| written.times) + 1;
        completion.rows += written.mentions.len().max(1) as u64;
        self.done.insert(id.clone(), Written { times, ..written });
        completion.done.push(id.clone());
    }
}

/// The clock does not begin at 0: a lease can have run out at once.
const HEAD_START: Duration = Duration::from_secs(1);

/// An in-memory store.
pub struct MemoryStore {
    tables: Mutex<Tables>,
    retry: RetryPolicy,
    beginning: Instant,
    away: AtomicBool,
    gazetteer_away: AtomicBool,
}

impl MemoryStore {
    pub fn new(retry: RetryPolicy) -> Self {
        Self {
            tables: Mutex::default(),
            retry,
            beginning: Instant::now(),
            away: AtomicBool::new(false),
            gazetteer_away: AtomicBool::new(false),
        }
    }

    fn now(&self) -> Duration {
        HEAD_START + self.beginning.elapsed()
    }

    /// Enqueues an article without a hash.
    pub fn add(&self, id: &str, text: &str) {
        self.add_hashed(id, text, None);
    }

    /// Enqueues an article of a `candidate_links.source`.
    pub fn add_from(&self, source: &str, id: &str, text: &str) {
        self.add_article(source, id, text, None);
    }

    /// Enqueues an article with whatever hash the host keeps for its text.
    pub fn add_hashed(&self, id: &str, text: &str, text_hash: Option<&str>) {
        self.add_article("gazette", id, text, text_hash);
    }

    fn add_article(&self, source: &str, id: &str, text: &str, text_hash: Option<&str>) {
        let article = ClaimedArticle {
            id: ArticleId::new(id),
            text: text.into(),
            text_hash: text_hash.map(str::to_owned),
            source: source.to_owned(),
            source_id: None,
            dataset_id: None,
            attempts: 0,
            crashes: 0,
        };
        self.set_text(id, text, text_hash);
        let mut tables = self.lock();
        tables.queue.enqueue(ArticleId::new(id), Job::new(&article.source, self.now()));
        tables.articles.insert(ArticleId::new(id), article);
    }

    /// Enqueues an article of a source, whose gazetteer it is matched with.
    pub fn add_of_source(&self, id: &str, text: &str, source_id: &str) {
        self.add(id, text);
        if let Some(article) = self.lock().articles.get_mut(&ArticleId::new(id)) {
            article.source_id = Some(source_id.to_owned());
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
        self.lock().queue.job(&ArticleId::new(id)).filter(|job| job.state == State::Quarantined)?.error.clone()
    }

    /// Lets every lease run out.
    pub fn expire_leases(&self) {
        let mut tables = self.lock();
        tables.queue.tokens().into_iter().for_each(|token| tables.queue.expire(token));
    }

    /// Keeps a source, or everything, from being claimed.
    pub fn pause(&self, source: Option<&str>) -> bool {
        self.lock().queue.pause(source)
    }

    /// Takes that back.
    pub fn resume(&self, source: Option<&str>) -> bool {
        self.lock().queue.resume(source)
    }

    /// Makes every waiting retry due.
    pub fn make_due(&self) {
        self.lock().queue.make_due(self.now());
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

#[async_trait]
impl ArticleStore for MemoryStore {
    async fn claim(&self, request: &ClaimRequest) -> Result<Batch, StoreError> {
        self.reachable()?;
        let (token, now) = (ClaimToken(Uuid::new_v4()), self.now());
        let mut tables = self.lock();
        let choice = tables.queue.choose(request.limit as usize, request.source.as_deref(), request.suspects, now);
        tables.queue.lease(&choice, token, now + request.lease);
        let claimed = |id: &ArticleId| {
            let job = tables.queue.job(id)?;
            Some(ClaimedArticle { attempts: job.attempts, crashes: job.crashes, ..tables.articles.get(id)?.clone() })
        };
        let articles = choice.articles.iter().filter_map(claimed).collect();
        Ok(Batch { token, articles, alone: choice.alone, suspect_waits: choice.suspect_waits })
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
            if tables.queue.close(token, id) {
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
            let twin = tables.queue.holds(token, &article.id).then(|| tables.twin(version, article)).flatten();
            let Some((mentions, hash)) = twin.filter(|_| tables.queue.close(token, &article.id)) else { continue };
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
            let attempts = tables.queue.job(id).map_or(0, |job| job.attempts);
            let failure = Failure {
                error: &rejection.error,
                weight: rejection.weight,
                run_at: self.now() + backoff.delay(attempts, 0.5),
                max_attempts: self.retry.max_attempts,
            };
            match tables.queue.reject(token, id, failure) {
                Some(true) => outcome.quarantined.push(id.clone()),
                Some(false) => outcome.retried.push(id.clone()),
                None => outcome.lease_lost.push(id.clone()),
            }
        }
        Ok(outcome)
    }

    async fn release(&self, token: ClaimToken, ids: &[ArticleId]) -> Result<u64, StoreError> {
        self.reachable()?;
        let mut tables = self.lock();
        Ok(ids.iter().filter(|id| tables.queue.release(token, id)).count() as u64)
    }

    async fn renew(&self, tokens: &[ClaimToken], lease: Duration) -> Result<u64, StoreError> {
        self.reachable()?;
        let (mut tables, until) = (self.lock(), self.now() + lease);
        Ok(tokens.iter().filter(|token| tables.queue.renew(**token, until)).count() as u64)
    }

    async fn sweep(&self) -> Result<SweepOutcome, StoreError> {
        self.reachable()?;
        Ok(self.lock().queue.sweep(self.now(), self.retry.max_crashes))
    }

    async fn discover(&self) -> Result<u64, StoreError> {
        self.reachable().map(|()| 0)
    }

    async fn reconcile_chunk(&self, _every: Duration) -> Result<Option<u64>, StoreError> {
        self.reachable().map(|()| None)
    }

    async fn quarantined(&self, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
        self.reachable()?;
        let tables = self.lock();
        let mut all: Vec<_> = tables.queue.jobs().filter(|(_, job)| job.state == State::Quarantined).collect();
        // The queue keeps no time of it; the last failure, from which this counts, was it.
        all.sort_by_key(|(_, job)| std::cmp::Reverse(job.run_at));
        let counted = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let shown = |(id, job): (&ArticleId, &Job)| Quarantined {
            article_id: id.to_string(),
            source: job.source.clone(),
            attempts: counted(job.attempts),
            crashes: counted(job.crashes),
            error: job.error.clone(),
            quarantined_at: humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + job.run_at).to_string(),
        };
        Ok(all.into_iter().take(limit as usize).map(shown).collect())
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.reachable()?;
        let tables = self.lock();
        let count = |wanted: fn(&State) -> bool| tables.queue.jobs().filter(|(_, job)| wanted(&job.state)).count() as u64;
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

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.reachable()?;
        let pause = |source: Option<&str>| Pause {
            source: source.map(str::to_owned),
            reason: None,
            since: "2026-01-01T00:00:00Z".to_owned(),
            said_by: "memory".to_owned(),
        };
        Ok(self.lock().queue.paused().map(pause).collect())
    }

    async fn record_load(&self, record: &LoadRecord) -> Result<(), StoreError> {
        self.reachable()?;
        self.lock().loads.push(record.clone());
        Ok(())
    }
}
