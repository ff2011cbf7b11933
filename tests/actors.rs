//! The actors together, over the in-memory store and the scripted engine, on one thread under a paused clock.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nerd::actors::fatal::Cause;
use nerd::actors::messages::{Abandon, Drain};
use nerd::domain::{GazetteerRow, GazetteerVersion, Origin, ScopeKey};
use nerd::store::{ArticleStore, GazetteerRows};
use support::rig::{Rig, Setting, borrowed, many};

#[actix::test]
async fn every_article_is_committed_once() {
    let articles = many(100);
    let rig = Rig::start(&borrowed(&articles), Setting::default());
    rig.until("all done", |rig| rig.store.done_count() == 100).await;
    for (n, (id, _)) in articles.iter().enumerate() {
        let (times, entities) = rig.store.done(id).unwrap();
        assert_eq!((times, entities[0].entity.text.as_str()), (1, format!("Name{n}").as_str()));
    }
    rig.until("settled", |rig| rig.ledger.articles() == 0).await;
    assert_eq!(rig.permits.available(), 4, "every permit came back");
    assert_eq!(rig.factory.builds.load(Ordering::SeqCst), 2, "one build a worker, none later");
    assert_eq!(rig.metric("nerd_articles_total{outcome=\"done\"}"), 100.0);
    assert_eq!(rig.metric("nerd_workers{state=\"ready\"}"), 2.0);
    rig.until("the ledger is written", |rig| rig.store.loads().len() == 2).await;
    assert!(rig.store.loads().iter().all(|load| load.reason == "startup" && load.pool_size == 2));
}

/// What is in flight is finished; who waits for the end of a pause is ready, and goes on without being told.
#[actix::test]
async fn a_pause_stops_the_claims_and_nothing_else() {
    let articles = many(40);
    let rig = Rig::start(&borrowed(&articles), Setting::default());
    rig.until("some are done", |rig| rig.store.done_count() > 0).await;
    assert!(rig.store.pause(None));
    for (id, text) in [("late", "Ann spoke"), ("later", "Bob spoke")] {
        rig.store.add(id, text);
    }
    rig.until("settled", |rig| rig.ledger.articles() == 0).await;
    rig.until("told", |rig| rig.metric("nerd_paused{scope=\"everything\"}") == 1.0).await;
    let done = rig.store.done_count();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((rig.store.done_count(), rig.store.done("late").is_some()), (done, false));
    assert_eq!(rig.health.readiness().pauses.len(), 1);
    assert_eq!(rig.metric("nerd_workers{state=\"ready\"}"), 2.0);
    assert!(rig.store.resume(None));
    rig.until("all done", |rig| rig.store.done_count() == 42).await;
    rig.until("told", |rig| rig.metric("nerd_paused{scope=\"everything\"}") == 0.0).await;
    assert_eq!(rig.factory.builds.load(Ordering::SeqCst), 2, "the engines stayed");
}

/// The first of each text is inferred; what comes later with the same text and hash never reaches a worker.
#[actix::test]
async fn articles_of_a_known_text_are_completed_without_a_worker() {
    let rig = Rig::start(&[], Setting { workers: 1, reuse: true, ..Setting::default() });
    rig.store.add_hashed("first", "Ann spoke", Some("h"));
    rig.until("the first", |rig| rig.store.done_count() == 1).await;
    let calls = rig.factory.calls.load(Ordering::SeqCst);
    for id in ["second", "third"] {
        rig.store.add_hashed(id, "Ann spoke", Some("h"));
    }
    rig.until("the copies", |rig| rig.store.done_count() == 3).await;
    rig.until("settled", |rig| rig.ledger.articles() == 0 && rig.permits.available() == 2).await;
    assert_eq!(rig.factory.calls.load(Ordering::SeqCst), calls, "no call for a copy");
    for id in ["second", "third"] {
        assert_eq!(rig.store.done(id), rig.store.done("first"), "{id}");
    }
    assert_eq!(rig.metric("nerd_cache_hits_total{kind=\"database\"}"), 2.0);
    assert_eq!(rig.metric("nerd_cache_misses_total{kind=\"database\"}"), 1.0);
    assert_eq!(rig.metric("nerd_articles_total{outcome=\"done\"}"), 3.0);
    assert_eq!(rig.metric("nerd_words_total"), 2.0);

    // A batch that is known in part: the rest goes on.
    rig.store.add_hashed("fourth", "Ann spoke", Some("h"));
    rig.store.add_hashed("fifth", "Bob spoke", Some("i"));
    rig.until("both", |rig| rig.store.done_count() == 5 && rig.ledger.articles() == 0).await;
    assert_eq!(rig.store.done("fifth").unwrap().1[0].entity.text, "Bob");
    assert_eq!(rig.metric("nerd_cache_hits_total{kind=\"database\"}"), 3.0);
    assert_eq!(rig.permits.available(), 2);
}

fn hall(version: &str) -> GazetteerRows {
    let row = GazetteerRow {
        id: "g".to_owned(),
        name: "the town hall".to_owned(),
        name_norm: None,
        category: Some("government".to_owned()),
        distance_miles: None,
    };
    GazetteerRows { version: GazetteerVersion(version.into()), rows: vec![row] }
}

#[actix::test]
async fn articles_are_matched_with_the_gazetteer_of_their_source() {
    let rig = Rig::start(&[], Setting { reuse: true, ..Setting::default() });
    rig.store.set_gazetteer(ScopeKey::new(Some("s"), None).unwrap(), Some(hall("1")));
    for number in 0..20 {
        rig.store.add_of_source(&format!("s{number}"), "Ann left the town hall", "s");
        rig.store.add_of_source(&format!("t{number}"), "Ann left the town hall", "t");
    }
    rig.until("all done", |rig| rig.store.done_count() == 40).await;
    for number in 0..20 {
        let found = |id: String| -> Vec<(String, Origin)> {
            rig.store.done(&id).unwrap().1.into_iter().map(|mention| (mention.entity.text, mention.origin)).collect()
        };
        let (name, hall) = (("Ann".to_owned(), Origin::Model), ("the town hall".to_owned(), Origin::Gazetteer));
        assert_eq!(found(format!("s{number}")), [name.clone(), hall]);
        assert_eq!(found(format!("t{number}")), [name]);
    }
    assert_eq!(rig.store.gazetteer_reads(), 2, "once for each source, for all workers");
    assert_eq!(rig.metric("nerd_gazetteer_matches_total{kind=\"alone\"}"), 20.0);
    assert_eq!(rig.metric("nerd_entities_total{label=\"ORG\"}"), 20.0);
}

/// Claimed before the database went away: the batch waits for its gazetteer, and nothing is written without.
#[actix::test]
async fn without_its_gazetteer_no_article_is_written() {
    let rig = Rig::start(&[], Setting::default());
    rig.store.set_gazetteer(ScopeKey::new(Some("s"), None).unwrap(), Some(hall("1")));
    rig.store.set_gazetteer_away(true);
    rig.store.add_of_source("a", "Ann left the town hall", "s");
    rig.until("claimed", |rig| rig.ledger.articles() == 1).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!((rig.store.done_count(), rig.ledger.articles(), rig.factory.calls.load(Ordering::SeqCst)), (0, 1, 0));
    let fault = rig.health.readiness().last_fault.unwrap();
    assert_eq!(fault, "the gazetteer cannot be read, 1 articles wait for it: the database is away on cue");
    assert!(rig.metric("nerd_db_errors_total{kind=\"connect\"}") > 5.0, "tried again and again");
    rig.store.set_gazetteer_away(false);
    rig.until("done", |rig| rig.store.done_count() == 1).await;
    assert_eq!(rig.store.done("a").unwrap().1.len(), 2);

    rig.store.set_gazetteer_away(true);
    rig.store.add_of_source("b", "Bob left the town hall", "t");
    rig.until("claimed", |rig| rig.ledger.articles() == 1).await;
    rig.stop.cancel();
    rig.finished.cancelled().await;
    let backlog = rig.store.backlog().await.unwrap();
    assert_eq!((backlog.pending, backlog.leased, rig.ledger.articles()), (1, 0, 0), "given back at the end");
}

#[actix::test]
async fn switched_off_every_article_is_inferred() {
    let rig = Rig::start(&[], Setting { workers: 1, ..Setting::default() });
    for (number, id) in ["first", "second"].into_iter().enumerate() {
        rig.store.add_hashed(id, "Ann spoke", Some("h"));
        rig.until("done", |rig| rig.store.done_count() == number + 1).await;
    }
    assert_eq!(rig.metric("nerd_words_total"), 4.0);
    for kind in ["memory", "database"] {
        assert_eq!(rig.metric(&format!("nerd_cache_hits_total{{kind=\"{kind}\"}}")), 0.0);
        assert_eq!(rig.metric(&format!("nerd_cache_misses_total{{kind=\"{kind}\"}}")), 0.0);
    }
}

#[actix::test]
async fn nothing_is_claimed_before_a_worker_is_ready() {
    let rig = Rig::start_with(&[("a", "Ann spoke")], Setting::default(), |factory| factory.failing_builds.store(8, Ordering::SeqCst));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((rig.permits.available(), rig.ledger.articles()), (0, 0));
    rig.until("done after the builds succeed", |rig| rig.store.done_count() == 1).await;
    assert_eq!(rig.metric("nerd_worker_failures_total{kind=\"error\"}"), 8.0);
}

#[actix::test]
async fn a_panic_is_isolated_by_halves_and_the_engine_rebuilt() {
    let mut articles = many(16);
    articles[11].1 = "[[panic]] Here".to_owned();
    let rig = Rig::start(&borrowed(&articles), Setting { workers: 1, batch_articles: 16, ..Setting::default() });
    rig.until("neighbours done", |rig| rig.store.done_count() == 15).await;
    let panics = rig.metric("nerd_worker_failures_total{kind=\"panic\"}");
    assert_eq!(panics, 5.0, "the batch of 16, then 8, 4, 2 and the culprit alone");
    rig.until("quarantined", |rig| rig.store.quarantine_error("a011").is_some()).await;
    assert_eq!(rig.metric("nerd_worker_failures_total{kind=\"panic\"}"), 9.0, "later attempts are alone");
    assert!(rig.store.quarantine_error("a011").unwrap().contains("panic on cue"));
    rig.until("pool at strength", |rig| rig.permits.available() == 2).await;
    assert_eq!(rig.metric("nerd_model_loads_total{worker=\"0\",reason=\"restart\"}"), 9.0);
    assert_eq!(rig.metric("nerd_articles_total{outcome=\"retried\"}"), 4.0);
    assert_eq!(rig.metric("nerd_articles_total{outcome=\"quarantined\"}"), 1.0);
}

#[actix::test]
async fn a_failing_call_and_a_failing_text_leave_their_neighbours_alone() {
    let mut articles = many(10);
    articles[2].1 = "[[error]]".to_owned();
    articles[7].1 = "[[text-error]]".to_owned();
    let rig = Rig::start(&borrowed(&articles), Setting::default());
    rig.until("quarantined", |rig| ["a002", "a007"].iter().all(|id| rig.store.quarantine_error(id).is_some())).await;
    assert_eq!(rig.store.done_count(), 8);
    assert_eq!(rig.factory.builds.load(Ordering::SeqCst), 2, "an error needs no rebuild");
}

#[actix::test]
async fn the_budget_ends_the_process_with_the_first_fault() {
    let mut rig =
        Rig::start_with(&[], Setting { restart_limit: 5, ..Setting::default() }, |f| f.failing_builds.store(1_000, Ordering::SeqCst));
    let fault = rig.faults.recv().await.unwrap();
    assert_eq!(fault.cause, Cause::RestartBudget);
    assert!(fault.message.contains("more than 5 times within 10m") && fault.message.contains("refuses this build"), "{}", fault.message);
}

#[actix::test]
async fn a_permanent_failure_is_not_retried() {
    let mut rig = Rig::start_with(&[], Setting::default(), |factory| {
        *factory.permanent_failure.lock().unwrap() = Some("model.safetensors: wrong".to_owned());
    });
    let fault = rig.faults.recv().await.unwrap();
    assert_eq!((fault.cause, fault.message.as_str()), (Cause::Configuration, "model.safetensors: wrong"));
}

#[actix::test]
async fn a_database_that_goes_away_stops_the_claims_and_loses_nothing() {
    let articles = many(60);
    let rig = Rig::start(&borrowed(&articles), Setting { batch_articles: 2, ..Setting::default() });
    rig.until("under way", |rig| rig.store.done_count() > 4).await;
    rig.store.set_away(true);
    let done = rig.store.done_count();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(rig.store.done_count(), done);
    assert!(rig.ledger.articles() <= 8, "bounded by the permits");
    let readiness = rig.health.readiness();
    assert!(readiness.reasons.iter().any(|reason| reason.contains("database is away")), "{readiness:?}");
    rig.store.set_away(false);
    rig.until("all done", |rig| rig.store.done_count() == 60).await;
    assert!(articles.iter().all(|(id, _)| rig.store.done(id).unwrap().0 == 1));
    assert_eq!(rig.factory.builds.load(Ordering::SeqCst), 2, "the model was not reloaded");
}

#[actix::test]
async fn while_memory_is_tight_articles_come_one_at_a_time() {
    let articles = many(12);
    let rig = Rig::start(&borrowed(&articles), Setting { memory: Arc::new(|| Some((99, 100))), ..Setting::default() });
    rig.until("all done", |rig| {
        assert!(rig.ledger.articles() <= 1);
        rig.store.done_count() == 12
    })
    .await;
    assert_eq!(rig.factory.calls.load(Ordering::SeqCst), 12);
    let readiness = rig.health.readiness();
    assert!(!readiness.reasons.iter().any(|reason| reason.contains("memory")), "it is no reason to be unready: {readiness:?}");
    assert!(readiness.memory.as_deref().is_some_and(|told| told.contains("one at a time")), "{readiness:?}");
}

#[actix::test]
async fn leases_outlive_long_work_by_heartbeat() {
    let rig = Rig::start(&[("a", "Ann spoke")], Setting::default());
    rig.until("done", |rig| rig.store.done_count() == 1).await;
    rig.store.add("b", "Bob spoke");
    rig.until("done", |rig| rig.store.done_count() == 2).await;
    assert_eq!(rig.metric("nerd_articles_total{outcome=\"lease_lost\"}"), 0.0);
}

#[actix::test]
async fn draining_stops_the_claims_and_settles_what_is_in_flight() {
    let articles = many(40);
    let rig = Rig::start(&borrowed(&articles), Setting { batch_articles: 2, ..Setting::default() });
    rig.until("under way", |rig| rig.store.done_count() > 2).await;
    rig.stop.cancel();
    rig.supervisor.send(Drain).await.unwrap();
    rig.finished.cancelled().await;
    rig.supervisor.send(Abandon).await.unwrap();
    rig.ledger.settled().await;
    let backlog = rig.store.backlog().await.unwrap();
    assert_eq!((backlog.leased, backlog.pending as usize + rig.store.done_count()), (0, 40));
}

/// Real threads, since a stalled one blocks: the paused clock runs ahead to the stall's limit while it waits.
#[actix::test]
async fn a_stalled_thread_is_given_up_and_replaced() {
    let mut rig = Rig::start(&[("bad", "[[stall]]")], Setting { workers: 1, own_threads: true, batch_articles: 1, ..Setting::default() });
    rig.until("given up", |rig| rig.metric("nerd_worker_failures_total{kind=\"timeout\"}") >= 1.0).await;
    let fault = rig.faults.recv().await.unwrap();
    assert_eq!(fault.cause, Cause::Stalled);
    assert_eq!(rig.metric("nerd_workers{state=\"stuck\"}"), 2.0);
    rig.factory.open_gate();
}
