//! The statements of PostgreSQL against the pure queue that the model checker walks through (`tests/protocol.rs`): any sequence of
//! claims by two processes, completions, failures, releases, renewals, deaths and sweeps must leave the same jobs in both, and
//! answer the same. Only the order of a claim is PostgreSQL's own (its turns and its front): what it took must be allowed, and it
//! may come back empty only where nothing is due.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nerd::domain::{AnnotatedArticle, ArticleId, Batch, ClaimToken, Entity, Rejection};
use nerd::store::postgres::{PostgresStore, StoreOptions};
use nerd::store::queue::{Choice, Failure, Job, Queue, State};
use nerd::store::{ArticleStore, ClaimRequest, Claimant, RetryPolicy};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use support::database::Database;
use uuid::Uuid;

const SOURCES: [&str; 3] = ["gazette", "herald", "weekly"];
/// So long that nothing runs out, and no retry falls due, but by an action.
const LONG: Duration = Duration::from_secs(3600);
const NOW: Duration = Duration::from_secs(1_000);
const LATER: Duration = Duration::from_secs(1_000_000);

#[derive(Clone, Debug)]
enum Action {
    Enqueue {
        source: usize,
    },
    /// The host's rule no longer allows an article.
    Withdraw {
        article: usize,
    },
    Claim {
        process: usize,
        limit: u32,
        source: Option<usize>,
        suspects: bool,
    },
    /// Of an earlier claim, even of one that lost its lease: those articles whose bit is set.
    Complete {
        claim: usize,
        which: u8,
    },
    Reject {
        claim: usize,
        which: u8,
        weight: u32,
    },
    Release {
        claim: usize,
        which: u8,
    },
    Renew {
        claim: usize,
    },
    /// The process that held it is gone long enough.
    Expire {
        claim: usize,
    },
    Sweep {
        process: usize,
    },
    MakeDue,
}

fn action() -> impl Strategy<Value = Action> {
    let claim = || 0..64usize;
    let which = || prop_oneof![Just(u8::MAX), any::<u8>()];
    prop_oneof![
        5 => (0..SOURCES.len()).prop_map(|source| Action::Enqueue { source }),
        1 => (0..64usize).prop_map(|article| Action::Withdraw { article }),
        8 => (0..2usize, 1..5u32, prop::option::weighted(0.3, 0..SOURCES.len()), any::<bool>())
            .prop_map(|(process, limit, source, suspects)| Action::Claim { process, limit, source, suspects }),
        3 => (claim(), which()).prop_map(|(claim, which)| Action::Complete { claim, which }),
        4 => (claim(), which(), 1..3u32).prop_map(|(claim, which, weight)| Action::Reject { claim, which, weight }),
        1 => (claim(), which()).prop_map(|(claim, which)| Action::Release { claim, which }),
        1 => claim().prop_map(|claim| Action::Renew { claim }),
        4 => claim().prop_map(|claim| Action::Expire { claim }),
        3 => (0..2usize).prop_map(|process| Action::Sweep { process }),
        2 => Just(Action::MakeDue),
    ]
}

fn policy() -> RetryPolicy {
    RetryPolicy { max_attempts: 3, max_crashes: 2, base_delay: LONG, max_delay: LONG }
}

/// Both sides, and what was claimed so far.
struct Pair<'a> {
    database: &'a Database,
    processes: [Arc<PostgresStore>; 2],
    queue: Queue,
    withdrawn: BTreeSet<ArticleId>,
    done: BTreeMap<ArticleId, u64>,
    claims: Vec<Batch>,
    enqueued: usize,
}

/// One job as both sides tell it: state, holder, alone, attempts, crashes, crashes alone, whether an error is kept.
type Told = (String, Option<Uuid>, bool, i32, i32, i32, bool);

impl<'a> Pair<'a> {
    async fn new(database: &'a Database) -> Self {
        let tables = "DELETE FROM nerd.leases; DELETE FROM nerd.jobs; DELETE FROM article_entities; DELETE FROM articles; DELETE FROM candidate_links";
        database.client.batch_execute(tables).await.unwrap();
        let process = || {
            let options = StoreOptions { retry: policy(), pool_size: 1, ..database.options() };
            Arc::new(PostgresStore::new(&options, Claimant { boot_id: Uuid::new_v4(), host: "test-host".to_owned() }).unwrap())
        };
        Self {
            database,
            processes: [process(), process()],
            queue: Queue::default(),
            withdrawn: BTreeSet::new(),
            done: BTreeMap::new(),
            claims: Vec::new(),
            enqueued: 0,
        }
    }

    /// The claim meant, and those of its articles that are.
    fn claimed(&self, claim: usize, which: u8) -> Option<(Batch, Vec<ArticleId>)> {
        let batch = self.claims.get(claim % self.claims.len().max(1))?.clone();
        let ids = batch.articles.iter().enumerate().filter(|(place, _)| which & (1 << place) != 0).map(|(_, a)| a.id.clone()).collect();
        Some((batch, ids))
    }

    async fn act(&mut self, action: &Action) -> Result<(), TestCaseError> {
        match *action {
            Action::Enqueue { source } => self.enqueue(SOURCES[source]).await,
            Action::Withdraw { article } => self.withdraw(article).await,
            Action::Claim { process, limit, source, suspects } => {
                let source = source.map(|source| SOURCES[source].to_owned());
                self.claim(process, ClaimRequest { limit, lease: LONG, source, suspects }).await?;
            }
            Action::Complete { claim, which } => self.complete(claim, which).await?,
            Action::Reject { claim, which, weight } => self.reject(claim, which, weight).await?,
            Action::Release { claim, which } => {
                let Some((batch, ids)) = self.claimed(claim, which) else { return Ok(()) };
                let released = self.processes[0].release(batch.token, &ids).await.unwrap();
                prop_assert_eq!(released, ids.iter().filter(|id| self.queue.release(batch.token, id)).count() as u64);
            }
            Action::Renew { claim } => {
                let Some((batch, _)) = self.claimed(claim, u8::MAX) else { return Ok(()) };
                let renewed = self.processes[0].renew(&[batch.token], LONG).await.unwrap();
                prop_assert_eq!(renewed, u64::from(self.queue.renew(batch.token, NOW + LONG)));
            }
            Action::Expire { claim } => {
                let Some((batch, _)) = self.claimed(claim, u8::MAX) else { return Ok(()) };
                let sql = "UPDATE nerd.leases SET leased_until = now() - interval '1 second' WHERE token = $1";
                self.database.client.execute(sql, &[&batch.token.0]).await.unwrap();
                self.queue.expire(batch.token);
            }
            Action::Sweep { process } => {
                let swept = self.processes[process].sweep().await.unwrap();
                prop_assert_eq!(swept, self.queue.sweep(NOW, policy().max_crashes));
            }
            Action::MakeDue => {
                self.database.client.execute("UPDATE nerd.jobs SET run_at = now() WHERE run_at > now()", &[]).await.unwrap();
                self.queue.make_due(NOW);
            }
        }
        self.compare().await
    }

    async fn enqueue(&mut self, source: &str) {
        self.enqueued += 1;
        let id = format!("article-{}", self.enqueued);
        self.database.article_of(source, &id, Some("Ann Lee met the council."), Some("c"), "extracted").await;
        self.database.enqueue(&id).await;
        self.queue.enqueue(ArticleId::new(id.as_str()), Job::new(source, Duration::from_secs(self.enqueued as u64)));
    }

    async fn withdraw(&mut self, article: usize) {
        if self.enqueued > 0 {
            let id = format!("article-{}", article % self.enqueued + 1);
            self.database.client.execute("UPDATE articles SET status = 'error' WHERE id = $1", &[&id]).await.unwrap();
            self.withdrawn.insert(ArticleId::new(id.as_str()));
        }
    }

    async fn claim(&mut self, process: usize, request: ClaimRequest) -> Result<(), TestCaseError> {
        let source = request.source.as_deref();
        let due = |job: &Job| job.state == State::Pending && job.run_at <= NOW && source.is_none_or(|source| job.source == source);
        let due: BTreeMap<ArticleId, bool> =
            self.queue.jobs().filter(|(_, job)| due(job)).map(|(id, job)| (id.clone(), job.is_suspect())).collect();
        let batch = self.processes[process].claim(&request).await.unwrap();

        // What the host withdrew may be gone, and is never handed out.
        let kept: Vec<String> =
            self.database.client.query("SELECT article_id FROM nerd.jobs", &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
        let gone: Vec<ArticleId> =
            self.queue.jobs().map(|(id, _)| id.clone()).filter(|id| !kept.iter().any(|k| k == id.as_str())).collect();
        for id in gone {
            let allowed = self.withdrawn.contains(&id) && due.contains_key(&id);
            prop_assert!(allowed, "the job of {id} was dropped");
            let choice = Choice { articles: vec![id.clone()], ..Choice::default() };
            self.queue.lease(&choice, batch.token, NOW);
            self.queue.close(batch.token, &id);
        }

        let taken: Vec<ArticleId> = batch.articles.iter().map(|article| article.id.clone()).collect();
        for article in &batch.articles {
            prop_assert!(due.contains_key(&article.id), "{} was not due", article.id);
            prop_assert!(!self.withdrawn.contains(&article.id), "{} is the host's no longer to give", article.id);
            prop_assert_eq!(due[&article.id], batch.alone, "a suspect comes alone, and alone comes a suspect: {}", article.id);
            let job = self.queue.job(&article.id).unwrap();
            prop_assert_eq!((article.attempts, article.crashes), (job.attempts, job.crashes));
        }
        let most = if batch.alone { 1 } else { request.limit as usize };
        prop_assert!(taken.len() <= most);
        prop_assert!(!batch.alone || request.suspects, "a suspect that was not asked for");
        let waits = |suspect: bool| due.iter().any(|(id, is)| *is == suspect && !self.withdrawn.contains(id));
        if taken.is_empty() {
            prop_assert!(!waits(false), "an empty claim while an article is due");
            prop_assert!(!request.suspects || !waits(true), "an empty claim while a suspect is due and asked for");
            prop_assert!(batch.suspect_waits || request.suspects || !waits(true), "nobody is told that a suspect waits");
        }
        prop_assert!(!batch.suspect_waits || due.values().any(|suspect| *suspect), "no suspect waits");
        self.queue.lease(&Choice { articles: taken, alone: batch.alone, suspect_waits: false }, batch.token, NOW + LONG);
        if !batch.articles.is_empty() {
            self.claims.push(batch);
        }
        Ok(())
    }

    async fn complete(&mut self, claim: usize, which: u8) -> Result<(), TestCaseError> {
        let Some((batch, ids)) = self.claimed(claim, which) else { return Ok(()) };
        let entity = || Entity { text: "Ann Lee".to_owned(), label: "PERSON".into(), start: 0, end: 7, score: 0.9 };
        let annotated: Vec<AnnotatedArticle> = batch
            .articles
            .iter()
            .filter(|article| ids.contains(&article.id))
            .map(|article| AnnotatedArticle { article: article.clone(), mentions: vec![entity().into()], gazetteer: None })
            .collect();
        let completion = self.processes[1].complete(batch.token, support::version(), &annotated).await.unwrap();
        let (done, lost): (Vec<ArticleId>, Vec<ArticleId>) = ids.into_iter().partition(|id| self.queue.close(batch.token, id));
        let sorted = |ids: &[ArticleId]| ids.iter().cloned().collect::<BTreeSet<_>>();
        prop_assert_eq!((sorted(&completion.done), sorted(&completion.lease_lost)), (sorted(&done), sorted(&lost)));
        done.into_iter().for_each(|id| *self.done.entry(id).or_default() += 1);
        Ok(())
    }

    async fn reject(&mut self, claim: usize, which: u8, weight: u32) -> Result<(), TestCaseError> {
        let Some((batch, ids)) = self.claimed(claim, which) else { return Ok(()) };
        let rejections: Vec<Rejection> = batch
            .articles
            .iter()
            .filter(|article| ids.contains(&article.id))
            .map(|article| Rejection { article: article.clone(), error: "it would not".to_owned(), weight })
            .collect();
        let outcome = self.processes[0].reject(batch.token, &rejections).await.unwrap();
        for id in &ids {
            let failure = Failure { error: "it would not", weight, run_at: LATER, max_attempts: policy().max_attempts };
            let told = match self.queue.reject(batch.token, id, failure) {
                Some(true) => &outcome.quarantined,
                Some(false) => &outcome.retried,
                None => &outcome.lease_lost,
            };
            prop_assert!(told.contains(id), "{id} is told otherwise: {outcome:?}");
        }
        prop_assert_eq!(outcome.quarantined.len() + outcome.retried.len() + outcome.lease_lost.len(), ids.len());
        Ok(())
    }

    /// The same jobs, and each article's rows as often as its job was closed.
    async fn compare(&self) -> Result<(), TestCaseError> {
        let sql =
            "SELECT j.article_id, j.state, j.token, coalesce(l.alone, false), j.attempts, j.crashes, j.crashes_alone, j.error IS NOT NULL
            FROM nerd.jobs j LEFT JOIN nerd.leases l USING (token)";
        let rows = self.database.client.query(sql, &[]).await.unwrap();
        let told: BTreeMap<String, Told> = rows
            .iter()
            .map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5), row.get(6), row.get(7))))
            .collect();
        let expected: BTreeMap<String, Told> = self.queue.jobs().map(|(id, job)| (id.as_str().to_owned(), expected(job))).collect();
        prop_assert_eq!(told, expected);
        let leases = self.database.count("nerd.leases").await;
        prop_assert_eq!(usize::try_from(leases).unwrap(), self.queue.tokens().len(), "a lease lives as long as one of its jobs");
        let rows = self.database.client.query("SELECT article_id, count(*) FROM article_entities GROUP BY 1", &[]).await.unwrap();
        let written: BTreeMap<ArticleId, u64> =
            rows.iter().map(|row| (ArticleId::new(row.get::<_, &str>(0)), u64::try_from(row.get::<_, i64>(1)).unwrap())).collect();
        prop_assert_eq!(&written, &self.done);
        prop_assert!(self.done.values().all(|times| *times == 1), "committed twice: {:?}", self.done);
        Ok(())
    }
}

fn expected(job: &Job) -> Told {
    let number = |count: u32| i32::try_from(count).unwrap();
    let (state, token, alone) = match job.state {
        State::Pending => ("pending", None, false),
        State::Leased { token: ClaimToken(token), alone, .. } => ("leased", Some(token), alone),
        State::Quarantined => ("quarantined", None, false),
    };
    let counts = (number(job.attempts), number(job.crashes), number(job.crashes_alone));
    (state.to_owned(), token, alone, counts.0, counts.1, counts.2, job.error.is_some())
}

#[test]
fn postgresql_does_what_the_checked_queue_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(Database::migrated(false));
    let config = Config { cases: 96, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&prop::collection::vec(action(), 20..90), |actions| {
        runtime.block_on(async {
            let mut pair = Pair::new(&database).await;
            for action in &actions {
                pair.act(action).await?;
            }
            Ok(())
        })
    });
    let _entered = runtime.enter();
    drop(database);
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
