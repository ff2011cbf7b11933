//! The held indexes of gazetteers, over the in-memory store and a paused clock: one build for all who ask, refreshed, bounded.

mod support;

use std::sync::Arc;
use std::time::Duration;

use nerd::actors::matcher::Matcher;
use nerd::actors::scopes::{ScopeOptions, Scopes};
use nerd::domain::{Compat, GazetteerRow, GazetteerVersion, ScopeKey};
use nerd::metrics::Metrics;
use nerd::store::GazetteerRows;
use nerd::store::memory::MemoryStore;

const REFRESH: Duration = Duration::from_secs(60);

struct Rig {
    store: Arc<MemoryStore>,
    metrics: Arc<Metrics>,
    scopes: Arc<Scopes>,
}

impl Rig {
    fn new(memory_bytes: u64) -> Self {
        let (store, metrics) = (Arc::new(MemoryStore::new(support::database::policy())), Metrics::new());
        let scopes =
            Arc::new(Scopes::new(ScopeOptions { memory_bytes, refresh: REFRESH, compat: Compat::Mended }, store.clone(), metrics.clone()));
        Self { store, metrics, scopes }
    }

    /// The source's gazetteer from now on: rows of these ids.
    fn set(&self, source: &str, version: &str, ids: &[&str]) {
        let rows = ids
            .iter()
            .map(|id| GazetteerRow {
                id: (*id).to_owned(),
                name: format!("Hall of {id}"),
                name_norm: None,
                category: None,
                distance_miles: None,
            })
            .collect();
        let rows = (!ids.is_empty()).then(|| GazetteerRows { version: GazetteerVersion(version.into()), rows });
        self.store.set_gazetteer(key(source).unwrap(), rows);
    }

    async fn of(&self, source: &str) -> Option<Arc<Matcher>> {
        self.scopes.of(&[key(source)]).await.unwrap().pop().unwrap()
    }

    fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.render();
        text.lines()
            .find_map(|l| l.strip_prefix(line)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("no {line} in\n{text}"))
            .parse()
            .unwrap()
    }

    /// Builds, by reason.
    fn builds(&self) -> (f64, f64) {
        (self.metric("nerd_gazetteer_builds_total{reason=\"missing\"}"), self.metric("nerd_gazetteer_builds_total{reason=\"changed\"}"))
    }
}

fn key(source: &str) -> Option<ScopeKey> {
    ScopeKey::new(Some(source), None)
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_share_one_build() {
    let rig = Rig::new(1 << 30);
    rig.set("s", "1", &["a", "b"]);
    let asking: Vec<_> = (0..16)
        .map(|_| {
            tokio::spawn({
                let scopes = rig.scopes.clone();
                async move { scopes.of(&[key("s")]).await }
            })
        })
        .collect();
    let mut found: Vec<Arc<Matcher>> = Vec::new();
    for asked in asking {
        found.extend(asked.await.unwrap().unwrap().pop().unwrap());
    }
    assert_eq!(found.len(), 16);
    assert!(found.iter().all(|scope| Arc::ptr_eq(scope, &found[0])));
    assert_eq!((rig.store.gazetteer_reads(), rig.builds()), (1, (1.0, 0.0)));
    assert_eq!(rig.metric("nerd_gazetteer_scopes"), 1.0);
    assert!(rig.metric("nerd_gazetteer_bytes") >= found[0].bytes() as f64);
}

#[tokio::test(start_paused = true)]
async fn each_article_gets_the_gazetteer_of_its_own_source() {
    let rig = Rig::new(1 << 30);
    rig.set("s", "1", &["a"]);
    rig.set("t", "2", &["b", "c"]);
    let found = rig.scopes.of(&[key("t"), None, key("s"), key("nobody"), key("t")]).await.unwrap();
    let rows: Vec<Option<usize>> = found.iter().map(|scope| scope.as_ref().map(|scope| scope.len())).collect();
    assert_eq!(rows, [Some(2), None, Some(1), None, Some(2)]);
    assert_eq!(rig.store.gazetteer_reads(), 3, "nobody's was looked for too, and nothing for who has no source");
    rig.scopes.of(&[key("nobody")]).await.unwrap();
    assert_eq!(rig.store.gazetteer_reads(), 3, "that there is none is remembered");
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_read_again_after_the_interval_and_not_before() {
    let rig = Rig::new(1 << 30);
    rig.set("s", "1", &["a"]);
    let first = rig.of("s").await.unwrap();
    rig.set("s", "2", &["a", "b"]);
    tokio::time::advance(REFRESH - Duration::from_secs(1)).await;
    assert!(Arc::ptr_eq(&rig.of("s").await.unwrap(), &first));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(rig.of("s").await.unwrap().len(), 2);
    assert_eq!(rig.builds(), (1.0, 1.0));
    tokio::time::advance(REFRESH).await;
    let held = rig.of("s").await.unwrap();
    assert_eq!((held.len(), rig.builds()), (2, (1.0, 1.0)), "unchanged: asked, not built");
    rig.set("s", "3", &[]);
    tokio::time::advance(REFRESH).await;
    assert!(rig.of("s").await.is_none(), "all rows are gone");
    rig.set("s", "4", &["d"]);
    tokio::time::advance(REFRESH).await;
    assert_eq!(rig.of("s").await.unwrap().len(), 1);
    assert_eq!(held.len(), 2, "whoever still uses the old one may");
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_go_first() {
    let unbounded = Rig::new(1 << 30);
    for source in ["s", "t", "u"] {
        unbounded.set(source, source, &["a", "b", "c"]);
        unbounded.of(source).await;
    }
    let three = unbounded.metric("nerd_gazetteer_bytes") as u64;
    let rig = Rig::new(three - 1);
    for source in ["s", "t", "u"] {
        rig.set(source, source, &["a", "b", "c"]);
    }
    for source in ["s", "t", "s", "u"] {
        assert_eq!(rig.of(source).await.unwrap().len(), 3);
        assert!(rig.metric("nerd_gazetteer_bytes") < three as f64);
    }
    assert_eq!(rig.metric("nerd_gazetteer_scopes"), 2.0);
    rig.of("s").await;
    assert_eq!(rig.builds(), (3.0, 0.0), "s was used after t");
    rig.of("t").await;
    assert_eq!(rig.builds(), (4.0, 0.0));

    // More in one batch than fits: all are handed out, and few are kept.
    let all = rig.scopes.of(&["s", "t", "u"].map(key)).await.unwrap();
    assert!(all.iter().all(Option::is_some));
    assert!(rig.metric("nerd_gazetteer_bytes") < three as f64);
    let none = Rig::new(0);
    none.set("s", "1", &["a"]);
    assert!(none.of("s").await.is_some());
    assert_eq!((none.metric("nerd_gazetteer_scopes"), none.metric("nerd_gazetteer_bytes")), (0.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_an_error_is_kept() {
    let rig = Rig::new(1 << 30);
    rig.set("s", "1", &["a"]);
    rig.of("s").await;
    rig.store.set_away(true);
    let error = rig.scopes.of(&[key("s"), key("t")]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(rig.of("s").await.unwrap().len(), 1, "held, and not yet due");
    tokio::time::advance(REFRESH).await;
    assert!(rig.scopes.of(&[key("s")]).await.is_err(), "nobody knows whether it is still so");
    rig.store.set_away(false);
    assert_eq!((rig.of("s").await.unwrap().len(), rig.builds()), (1, (1.0, 0.0)));
}
