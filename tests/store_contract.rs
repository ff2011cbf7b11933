//! One contract, every store: the in-memory one that the actors' tests use, and the real one on a real PostgreSQL.

mod support;

use std::sync::Arc;
use std::time::Duration;

use nerd::domain::{AnnotatedArticle, ArticleId, Batch, ClaimedArticle, Entity, ExtractorVersion, Rejection};
use nerd::store::memory::MemoryStore;
use nerd::store::postgres::PostgresStore;
use nerd::store::{ArticleStore, ClaimRequest, LoadRecord};
use support::database::{Database, policy};
use uuid::Uuid;

/// A store with the means to fill it and to let time pass.
enum Fixture {
    Memory(Arc<MemoryStore>),
    Postgres(Box<Database>, Arc<PostgresStore>),
}

impl Fixture {
    fn memory() -> Self {
        Self::Memory(Arc::new(MemoryStore::new(policy())))
    }

    async fn postgres() -> Self {
        let database = Database::migrated(false).await;
        let store = database.store();
        Self::Postgres(Box::new(database), store)
    }

    fn store(&self) -> &dyn ArticleStore {
        match self {
            Self::Memory(store) => store.as_ref(),
            Self::Postgres(_, store) => store.as_ref(),
        }
    }

    async fn add(&self, id: &str) {
        match self {
            Self::Memory(store) => store.add(id, "Ann Lee met the council."),
            Self::Postgres(database, _) => {
                database.article(id, "Ann Lee met the council.").await;
                database.enqueue(id).await;
            }
        }
    }

    /// An article with a text and a hash of its own, the hash being whatever the host says.
    async fn add_text(&self, id: &str, text: &str, hash: Option<&str>) {
        match self {
            Self::Memory(store) => store.add_hashed(id, text, hash),
            Self::Postgres(database, _) => {
                database.article(id, text).await;
                self.set_text(id, text, hash).await;
                database.enqueue(id).await;
            }
        }
    }

    async fn set_text(&self, id: &str, text: &str, hash: Option<&str>) {
        match self {
            Self::Memory(store) => store.set_text(id, text, hash),
            Self::Postgres(database, _) => {
                let sql = "UPDATE articles SET text = $2, text_hash = $3 WHERE id = $1";
                database.client.execute(sql, &[&id, &text, &hash]).await.unwrap();
            }
        }
    }

    /// Claims what there is and annotates it.
    async fn complete_all(&self) {
        let batch = self.claim(10).await;
        let all: Vec<AnnotatedArticle> = batch.articles.iter().map(annotated).collect();
        assert_eq!(self.store().complete(batch.token, support::version(), &all).await.unwrap().done.len(), all.len());
    }

    /// Claims what there is, looks for twins, and says whose rows were copied.
    async fn reuse_all(&self) -> Vec<String> {
        let batch = self.claim(10).await;
        assert!(!batch.articles.is_empty());
        let completion = self.store().reuse(batch.token, support::version(), &support::reusable(&batch.articles)).await.unwrap();
        assert!(completion.lease_lost.is_empty());
        assert_eq!(completion.rows, completion.done.len() as u64, "each twin here has one row");
        let left = self.store().backlog().await.unwrap().leased;
        assert_eq!(left as usize, batch.articles.len() - completion.done.len(), "the jobs of the others stay");
        self.store().release(batch.token, &all_ids(&batch)).await.unwrap();
        completion.done.iter().map(ToString::to_string).collect()
    }

    /// An article of a source of its own.
    async fn add_of(&self, source: &str, id: &str) {
        match self {
            Self::Memory(store) => store.add_from(source, id, WIRE),
            Self::Postgres(database, _) => {
                database.article_of(source, id, Some(WIRE), Some("c"), "extracted").await;
                database.enqueue(id).await;
            }
        }
    }

    async fn pause(&self, source: Option<&str>) -> bool {
        match self {
            Self::Memory(store) => store.pause(source),
            Self::Postgres(_, store) => store.pause(source, Some("a test")).await.unwrap().new,
        }
    }

    async fn resume(&self, source: Option<&str>) -> bool {
        match self {
            Self::Memory(store) => store.resume(source),
            Self::Postgres(_, store) => store.resume(source).await.unwrap(),
        }
    }

    async fn expire_leases(&self) {
        match self {
            Self::Memory(store) => store.expire_leases(),
            Self::Postgres(database, _) => {
                let sql = "UPDATE nerd.leases SET leased_until = now() - interval '1 second'";
                database.client.execute(sql, &[]).await.unwrap();
            }
        }
    }

    async fn make_due(&self) {
        match self {
            Self::Memory(store) => store.make_due(),
            Self::Postgres(database, _) => {
                database.client.execute("UPDATE nerd.jobs SET run_at = now()", &[]).await.unwrap();
            }
        }
    }

    async fn claim(&self, limit: u32) -> Batch {
        self.store().claim(&ClaimRequest { limit, lease: Duration::from_secs(60), source: None, suspects: true }).await.unwrap()
    }
}

fn ids(batch: &Batch) -> Vec<&str> {
    let mut ids: Vec<&str> = batch.articles.iter().map(|a| a.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

fn all_ids(batch: &Batch) -> Vec<ArticleId> {
    batch.articles.iter().map(|article| article.id.clone()).collect()
}

fn annotated(article: &ClaimedArticle) -> AnnotatedArticle {
    let entity = Entity { text: "Ann Lee".to_owned(), label: "PERSON".into(), start: 0, end: 7, score: 0.9 };
    AnnotatedArticle { article: article.clone(), mentions: vec![entity.into()], gazetteer: None }
}

fn rejection(article: &ClaimedArticle, weight: u32) -> Rejection {
    Rejection { article: article.clone(), error: "it would not".to_owned(), weight }
}

async fn no_article_is_claimed_twice(f: &Fixture) {
    for id in ["a", "b", "c"] {
        f.add(id).await;
    }
    let (first, second) = (f.claim(2).await, f.claim(2).await);
    assert_eq!((first.articles.len(), second.articles.len()), (2, 1));
    assert!(ids(&first).iter().all(|id| !ids(&second).contains(id)));
    assert!(f.claim(2).await.articles.is_empty());
    let backlog = f.store().backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.leased, backlog.quarantined), (0, 3, 0));
}

async fn completion_ends_the_job(f: &Fixture) {
    f.add("a").await;
    let batch = f.claim(5).await;
    let completion = f.store().complete(batch.token, support::version(), &[annotated(&batch.articles[0])]).await.unwrap();
    assert_eq!((completion.done.len(), completion.lease_lost.len(), completion.rows), (1, 0, 1));
    assert_eq!(f.store().backlog().await.unwrap().leased, 0);
    assert!(f.claim(5).await.articles.is_empty());
}

async fn a_late_writer_loses(f: &Fixture) {
    f.add("a").await;
    let old = f.claim(1).await;
    f.expire_leases().await;
    assert_eq!(f.store().sweep().await.unwrap().returned, 1);
    let new = f.claim(1).await;
    assert_eq!(new.articles.len(), 1);
    let late = f.store().complete(old.token, support::version(), &[annotated(&old.articles[0])]).await.unwrap();
    assert_eq!((late.done.len(), late.lease_lost.len()), (0, 1));
    let late = f.store().reject(old.token, &[rejection(&old.articles[0], 1)]).await.unwrap();
    assert_eq!(late.lease_lost.len(), 1);
    assert_eq!(f.store().release(old.token, &[old.articles[0].id.clone()]).await.unwrap(), 0);
    let completion = f.store().complete(new.token, support::version(), &[annotated(&new.articles[0])]).await.unwrap();
    assert_eq!(completion.done.len(), 1);
}

async fn a_release_burns_no_attempt(f: &Fixture) {
    f.add("a").await;
    let batch = f.claim(1).await;
    assert_eq!(f.store().release(batch.token, &[batch.articles[0].id.clone()]).await.unwrap(), 1);
    let again = f.claim(1).await;
    assert_eq!((again.articles[0].attempts, again.articles[0].crashes), (0, 0));
}

async fn failures_end_in_quarantine(f: &Fixture) {
    f.add("a").await;
    for attempt in 0..3 {
        f.make_due().await;
        let batch = f.claim(1).await;
        assert_eq!(batch.articles[0].attempts, attempt);
        let outcome = f.store().reject(batch.token, &[rejection(&batch.articles[0], 1)]).await.unwrap();
        assert_eq!((outcome.retried.len(), outcome.quarantined.len()), if attempt < 2 { (1, 0) } else { (0, 1) });
    }
    f.make_due().await;
    assert!(f.claim(1).await.articles.is_empty());
    assert_eq!(f.store().backlog().await.unwrap().quarantined, 1);
    let listed = f.store().quarantined(10).await.unwrap();
    let told: Vec<_> =
        listed.iter().map(|one| (one.article_id.as_str(), one.source.as_str(), one.attempts, one.error.as_deref())).collect();
    assert_eq!(told, [("a", "gazette", 3, Some("it would not"))]);
    assert!(listed[0].quarantined_at.ends_with('Z'), "{listed:?}");
    assert!(f.store().quarantined(0).await.unwrap().is_empty());
}

async fn a_heavy_failure_counts_for_more(f: &Fixture) {
    f.add("a").await;
    let batch = f.claim(1).await;
    let outcome = f.store().reject(batch.token, &[rejection(&batch.articles[0], 3)]).await.unwrap();
    assert_eq!(outcome.quarantined.len(), 1);
}

async fn a_failed_article_is_tried_alone(f: &Fixture) {
    for id in ["a", "b", "c"] {
        f.add(id).await;
    }
    let batch = f.claim(1).await;
    let culprit = batch.articles[0].id.clone();
    f.store().reject(batch.token, &[rejection(&batch.articles[0], 1)]).await.unwrap();
    f.make_due().await;
    let alone = f.claim(5).await;
    assert_eq!(ids(&alone), [culprit.as_str()]);
    assert_eq!(f.claim(5).await.articles.len(), 2);
}

/// A process that has something in flight gets none, and is told that one waits.
async fn a_suspect_is_claimed_only_by_who_asks(f: &Fixture) {
    for id in ["a", "b"] {
        f.add(id).await;
    }
    let batch = f.claim(1).await;
    f.store().reject(batch.token, &[rejection(&batch.articles[0], 1)]).await.unwrap();
    f.make_due().await;
    let request = |suspects| ClaimRequest { limit: 9, lease: Duration::from_secs(60), source: None, suspects };
    let busy = f.store().claim(&request(false)).await.unwrap();
    assert_eq!((busy.articles.len(), busy.alone, busy.suspect_waits), (1, false, true));
    assert_ne!(busy.articles[0].id, batch.articles[0].id);
    assert!(f.store().claim(&request(false)).await.unwrap().articles.is_empty());
    let free = f.store().claim(&request(true)).await.unwrap();
    assert_eq!((ids(&free), free.alone, free.suspect_waits), (vec![batch.articles[0].id.as_str()], true, false));
}

/// Deaths of the process count against an article only where it was tried alone.
async fn crashes_lead_to_a_lone_try_then_to_quarantine(f: &Fixture) {
    f.add("a").await;
    f.add("b").await;
    for _ in 0..2 {
        assert_eq!(f.claim(5).await.articles.len(), 2);
        f.expire_leases().await;
        assert_eq!(f.store().sweep().await.unwrap().returned, 2);
    }
    let alone = f.claim(5).await;
    assert_eq!((alone.articles.len(), alone.articles[0].attempts, alone.articles[0].crashes), (1, 0, 2));
    f.expire_leases().await;
    assert_eq!(f.store().sweep().await.unwrap().returned, 1);
    // The other one, innocent, is done; the culprit dies alone once more.
    let mut quarantined = 0;
    for _ in 0..4 {
        let batch = f.claim(5).await;
        match batch.articles.first() {
            Some(article) if article.id != alone.articles[0].id => {
                f.store().complete(batch.token, support::version(), &[annotated(article)]).await.unwrap();
            }
            _ => {}
        }
        f.expire_leases().await;
        quarantined += f.store().sweep().await.unwrap().quarantined;
    }
    assert_eq!(quarantined, 1);
    let backlog = f.store().backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.leased, backlog.quarantined), (0, 0, 1));
}

async fn a_renewed_lease_lives_on(f: &Fixture) {
    f.add("a").await;
    let batch = f.claim(1).await;
    f.expire_leases().await;
    assert_eq!(f.store().renew(&[batch.token], Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(f.store().sweep().await.unwrap().returned, 0);
    assert_eq!(f.store().complete(batch.token, support::version(), &[annotated(&batch.articles[0])]).await.unwrap().done.len(), 1);
}

async fn only_the_source_asked_for(f: &Fixture) {
    f.add("a").await;
    let request = |source: &str| ClaimRequest { limit: 5, lease: Duration::from_secs(60), source: Some(source.to_owned()), suspects: true };
    assert!(f.store().claim(&request("Gazette")).await.unwrap().articles.is_empty());
    assert_eq!(f.store().claim(&request("gazette")).await.unwrap().articles.len(), 1);
}

/// What is in flight when the pause comes is settled as ever; nobody claims, whatever they ask for.
async fn nothing_is_claimed_while_everything_is_paused(f: &Fixture) {
    for id in ["a", "b", "c"] {
        f.add(id).await;
    }
    let batch = f.claim(2).await;
    assert!(f.pause(None).await && !f.pause(None).await, "the second order is none");
    let of_source = ClaimRequest { limit: 9, lease: Duration::from_secs(60), source: Some("gazette".to_owned()), suspects: true };
    for request in [ClaimRequest { source: None, ..of_source.clone() }, of_source] {
        let nothing = f.store().claim(&request).await.unwrap();
        assert_eq!((nothing.articles.len(), nothing.alone), (0, false));
    }
    assert_eq!(f.store().renew(&[batch.token], Duration::from_secs(60)).await.unwrap(), 1);
    assert_eq!(f.store().complete(batch.token, support::version(), &[annotated(&batch.articles[0])]).await.unwrap().done.len(), 1);
    let outcome = f.store().reject(batch.token, &[rejection(&batch.articles[1], 1)]).await.unwrap();
    assert_eq!(outcome.retried.len(), 1);
    f.make_due().await;
    assert!(f.claim(9).await.articles.is_empty(), "nor a suspect");
    let backlog = f.store().backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.leased), (2, 0), "they wait");
    assert!(f.resume(None).await && !f.resume(None).await);
    assert_eq!((f.claim(9).await.articles.len(), f.claim(9).await.articles.len()), (1, 1));
}

async fn a_paused_source_waits_and_the_others_go_on(f: &Fixture) {
    for (source, id) in [("gazette", "g1"), ("herald", "h1"), ("ledger", "l1"), ("gazette", "g2"), ("herald", "h2"), ("tribune", "t1")] {
        f.add_of(source, id).await;
    }
    assert!(f.pause(Some("gazette")).await && f.pause(Some("ledger")).await && f.pause(Some("nobody")).await);
    let mut claimed = Vec::new();
    loop {
        let batch = f.claim(9).await;
        if batch.articles.is_empty() {
            break;
        }
        claimed.extend(ids(&batch).into_iter().map(str::to_owned));
    }
    claimed.sort_unstable();
    assert_eq!(claimed, ["h1", "h2", "t1"]);
    let request = |source: &str| ClaimRequest { limit: 9, lease: Duration::from_secs(60), source: Some(source.to_owned()), suspects: true };
    assert!(f.store().claim(&request("gazette")).await.unwrap().articles.is_empty());
    assert!(f.resume(Some("gazette")).await && !f.resume(None).await);
    // Another's pause is no matter of a daemon of one source.
    assert_eq!(ids(&f.store().claim(&request("gazette")).await.unwrap()), ["g1", "g2"]);
    assert!(f.resume(Some("ledger")).await && f.resume(Some("nobody")).await);
    assert_eq!(ids(&f.claim(9).await), ["l1"]);
}

/// Those of a source that is not paused come, alone as ever; the paused one's neither come nor stop the others.
async fn suspects_beside_a_pause(f: &Fixture) {
    for (source, id) in [("gazette", "g1"), ("herald", "h1")] {
        f.add_of(source, id).await;
    }
    let batch = f.claim(9).await;
    let all: Vec<Rejection> = batch.articles.iter().map(|article| rejection(article, 1)).collect();
    assert_eq!(f.store().reject(batch.token, &all).await.unwrap().retried.len(), 2);
    f.make_due().await;
    assert!(f.pause(Some("gazette")).await);
    f.add_of("herald", "h2").await;
    let request = |suspects| ClaimRequest { limit: 9, lease: Duration::from_secs(60), source: None, suspects };
    let busy = f.store().claim(&request(false)).await.unwrap();
    assert_eq!((ids(&busy), busy.alone, busy.suspect_waits), (vec!["h2"], false, true));
    let free = f.store().claim(&request(true)).await.unwrap();
    assert_eq!((ids(&free), free.alone), (vec!["h1"], true));
    assert!(f.store().claim(&request(true)).await.unwrap().articles.is_empty());
}

async fn pauses_are_listed(f: &Fixture) {
    assert!(f.store().pauses().await.unwrap().is_empty());
    for source in [Some("herald"), None, Some("gazette")] {
        assert!(f.pause(source).await);
    }
    let listed = f.store().pauses().await.unwrap();
    let sources: Vec<Option<&str>> = listed.iter().map(|pause| pause.source.as_deref()).collect();
    assert_eq!(sources, [None, Some("gazette"), Some("herald")]);
    assert!(listed.iter().all(|pause| !pause.said_by.is_empty() && pause.since.ends_with('Z')));
}

const WIRE: &str = "Ann Lee met the council.";

async fn the_same_text_gets_a_copy(f: &Fixture) {
    f.add_text("a", WIRE, Some("h")).await;
    f.complete_all().await;
    f.add_text("b", WIRE, Some("h")).await;
    f.add_text("c", "Something else.", Some("i")).await;
    assert_eq!(f.reuse_all().await, ["b"]);
    // A copy is as good a twin.
    f.add_text("d", WIRE, Some("h")).await;
    assert_eq!(f.reuse_all().await, ["d"]);
}

/// What another model wrote is neither copied nor replaced.
async fn versions_stand_side_by_side(f: &Fixture) {
    f.add_text("a", WIRE, Some("h")).await;
    f.complete_all().await;
    f.add_text("b", WIRE, Some("h")).await;
    let (batch, newer) = (f.claim(10).await, ExtractorVersion::new("newer"));
    assert!(f.store().reuse(batch.token, &newer, &support::reusable(&batch.articles)).await.unwrap().done.is_empty());
    assert_eq!(f.store().complete(batch.token, &newer, &[annotated(&batch.articles[0])]).await.unwrap().done.len(), 1);
    f.add_text("c", WIRE, Some("h")).await;
    assert_eq!(f.reuse_all().await, ["c"], "the first version's own rows");
}

async fn nothing_found_is_copied_too(f: &Fixture) {
    f.add_text("a", WIRE, Some("h")).await;
    let batch = f.claim(1).await;
    let nothing = AnnotatedArticle { article: batch.articles[0].clone(), mentions: vec![], gazetteer: None };
    f.store().complete(batch.token, support::version(), &[nothing]).await.unwrap();
    f.add_text("b", WIRE, Some("h")).await;
    assert_eq!(f.reuse_all().await, ["b"]);
}

/// A hash may be stale, missing, or of another text.
async fn hash_and_text_must_both_be_the_same(f: &Fixture) {
    f.add_text("a", WIRE, Some("h")).await;
    f.add_text("without-hash", WIRE, None).await;
    f.complete_all().await;
    f.add_text("b", "Something else.", Some("h")).await;
    f.add_text("c", WIRE, Some("i")).await;
    f.add_text("d", WIRE, None).await;
    assert!(f.reuse_all().await.is_empty());
}

async fn a_twin_whose_text_changed_is_none(f: &Fixture) {
    for id in ["a", "b", "c"] {
        f.add_text(id, WIRE, Some(id)).await;
    }
    f.complete_all().await;
    f.set_text("a", "Rewritten.", Some("new")).await;
    f.set_text("b", "Rewritten.", Some("b")).await;
    f.set_text("c", WIRE, Some("new-c")).await;
    // The old text of one, the new text of two: no rows were written for it under a hash that still holds.
    f.add_text("d", WIRE, Some("a")).await;
    f.add_text("e", "Rewritten.", Some("new")).await;
    f.add_text("f", WIRE, Some("b")).await;
    f.add_text("g", WIRE, Some("new-c")).await;
    assert!(f.reuse_all().await.is_empty());
}

async fn an_unfinished_article_is_no_twin(f: &Fixture) {
    for id in ["a", "b", "c"] {
        f.add_text(id, WIRE, Some("h")).await;
    }
    assert!(f.reuse_all().await.is_empty());
}

async fn a_lost_lease_copies_nothing(f: &Fixture) {
    f.add_text("a", WIRE, Some("h")).await;
    f.complete_all().await;
    f.add_text("b", WIRE, Some("h")).await;
    let old = f.claim(1).await;
    f.expire_leases().await;
    assert_eq!(f.store().sweep().await.unwrap().returned, 1);
    let new = f.claim(1).await;
    let late = f.store().reuse(old.token, support::version(), &support::reusable(&old.articles)).await.unwrap();
    assert_eq!((late.done.len(), late.rows), (0, 0));
    assert_eq!(f.store().reuse(new.token, support::version(), &support::reusable(&new.articles)).await.unwrap().done.len(), 1);
    assert_eq!(f.store().reuse(new.token, support::version(), &support::reusable(&new.articles)).await.unwrap().done.len(), 0, "once");
    assert_eq!(f.store().complete(new.token, support::version(), &[annotated(&new.articles[0])]).await.unwrap().lease_lost.len(), 1);
}

async fn loads_are_recorded(f: &Fixture) {
    let record = LoadRecord {
        boot_id: Uuid::new_v4(),
        host: "h".to_owned(),
        command: "run".to_owned(),
        worker: 0,
        model: "m".to_owned(),
        sha256: "0".repeat(64),
        reason: "startup".to_owned(),
        seconds: 0.1,
        rss_before_bytes: 1,
        rss_after_bytes: 2,
        pool_size: 1,
    };
    f.store().record_load(&record).await.unwrap();
    assert_eq!(f.store().backlog().await.unwrap().model_loads_24h, 1);
    // A process has many loads and one start: neither its second worker nor an engine built anew is another.
    f.store().record_load(&LoadRecord { worker: 1, ..record.clone() }).await.unwrap();
    f.store().record_load(&LoadRecord { reason: "restart".to_owned(), ..record.clone() }).await.unwrap();
    f.store().record_load(&LoadRecord { boot_id: Uuid::new_v4(), command: "extract".to_owned(), ..record }).await.unwrap();
    let backlog = f.store().backlog().await.unwrap();
    assert_eq!((backlog.model_loads_24h, backlog.daemon_starts_24h, backlog.job_starts_24h), (4, 1, 1));
}

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $case() { super::$case(&super::Fixture::memory()).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $case() { super::$case(&super::Fixture::postgres().await).await; })*
        }
    };
}

contract!(
    no_article_is_claimed_twice,
    completion_ends_the_job,
    a_late_writer_loses,
    a_release_burns_no_attempt,
    failures_end_in_quarantine,
    a_heavy_failure_counts_for_more,
    a_failed_article_is_tried_alone,
    a_suspect_is_claimed_only_by_who_asks,
    crashes_lead_to_a_lone_try_then_to_quarantine,
    a_renewed_lease_lives_on,
    only_the_source_asked_for,
    nothing_is_claimed_while_everything_is_paused,
    a_paused_source_waits_and_the_others_go_on,
    suspects_beside_a_pause,
    pauses_are_listed,
    the_same_text_gets_a_copy,
    versions_stand_side_by_side,
    nothing_found_is_copied_too,
    hash_and_text_must_both_be_the_same,
    a_twin_whose_text_changed_is_none,
    an_unfinished_article_is_no_twin,
    a_lost_lease_copies_nothing,
    loads_are_recorded,
);
