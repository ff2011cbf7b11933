//! The actors' whole pipeline over the store in memory and the scripted engine, with everything that a test wants to look at, on a
//! paused clock.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use nerd::actors::fatal::{Fatal, FatalError};
use nerd::actors::health::Health;
use nerd::actors::in_flight::Ledger;
use nerd::actors::keeper::{Keeper, KeeperOptions, KeeperParts};
use nerd::actors::memory_guard::{Figures, MemoryGuard};
use nerd::actors::model::{Model, ModelInUse};
use nerd::actors::permits::Permits;
use nerd::actors::poller::{PollOptions, PollParts, Poller, Span};
use nerd::actors::pool::{Identity, PoolOptions, PoolParts};
use nerd::actors::scopes::{ScopeOptions, Scopes};
use nerd::actors::supervisor::PoolSupervisor;
use nerd::actors::writer::{Writer, WriterParts};
use nerd::backoff::Backoff;
use nerd::domain::Compat;
use nerd::engine::scripted::ScriptedFactory;
use nerd::live::{Live, LiveOptions};
use nerd::metrics::Metrics;
use nerd::store::memory::MemoryStore;
use nerd::store::{ArticleStore, RetryPolicy};
use nerd::trace::Traces;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The whole pipeline, with everything a test wants to look at.
pub struct Rig {
    pub store: Arc<MemoryStore>,
    pub factory: Arc<ScriptedFactory>,
    pub model: Arc<ModelInUse>,
    pub ledger: Arc<Ledger>,
    pub permits: Arc<Permits>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub live: Arc<Live>,
    pub supervisor: Addr<PoolSupervisor>,
    pub stop: CancellationToken,
    pub finished: CancellationToken,
    pub faults: mpsc::UnboundedReceiver<FatalError>,
    pub fatal: Fatal,
}

pub struct Setting {
    pub workers: u32,
    pub restart_limit: u32,
    pub own_threads: bool,
    pub batch_articles: u32,
    pub reuse: bool,
    pub memory: Figures,
    pub show_text: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            workers: 2,
            restart_limit: 60,
            own_threads: false,
            batch_articles: 8,
            reuse: false,
            memory: Arc::new(|| None),
            show_text: false,
        }
    }
}

impl Rig {
    pub fn start(articles: &[(&str, &str)], setting: Setting) -> Self {
        Self::start_with(articles, setting, |_| {})
    }

    pub fn start_with(articles: &[(&str, &str)], setting: Setting, prepare: impl FnOnce(&ScriptedFactory)) -> Self {
        tokio::time::pause();
        let retry =
            RetryPolicy { max_attempts: 5, max_crashes: 3, base_delay: Duration::from_secs(10), max_delay: Duration::from_secs(600) };
        let store = Arc::new(MemoryStore::new(retry));
        for (id, text) in articles {
            store.add(id, text);
        }
        let factory = Arc::new(ScriptedFactory::default());
        prepare(&factory);
        let model = ModelInUse::new(Model { factory: factory.clone(), version: super::version().clone() });
        let (ledger, permits, health, metrics) = (Ledger::new(), Permits::new(), Arc::new(Health::default()), Metrics::new());
        let live = Live::new(LiveOptions { show_text: setting.show_text, workers: setting.workers, ..LiveOptions::default() });
        let (fatal, faults) = Fatal::channel();
        let (bell, opened) = (Arc::new(Notify::new()), CancellationToken::new());
        opened.cancel();
        let dyn_store: Arc<dyn ArticleStore> = store.clone();
        let writer = Writer::new(
            WriterParts {
                store: dyn_store.clone(),
                ledger: ledger.clone(),
                health: health.clone(),
                metrics: metrics.clone(),
                live: live.clone(),
            },
            &fatal,
        )
        .start();
        let lease = Duration::from_secs(300);
        let keeper = Keeper::new(
            KeeperOptions { lease, discovery_interval: Duration::ZERO, reconcile_interval: Duration::ZERO, chunk_pause: Duration::ZERO },
            KeeperParts {
                store: dyn_store.clone(),
                ledger: ledger.clone(),
                health: health.clone(),
                metrics: metrics.clone(),
                live: live.clone(),
                bell: bell.clone(),
                pool_status: None,
                opened,
            },
            &fatal,
        )
        .start();
        let supervisor = PoolSupervisor::new(
            PoolOptions {
                workers: setting.workers,
                backoff: Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(30) },
                restart_limit: setting.restart_limit,
                restart_window: Duration::from_secs(600),
                stall_timeout: Duration::from_secs(60),
                own_threads: setting.own_threads,
            },
            PoolParts {
                model: model.clone(),
                identity: Identity { boot_id: Uuid::new_v4(), host: "test".to_owned(), command: "run".to_owned() },
                writer: writer.recipient(),
                keeper: Some(keeper.recipient()),
                permits: permits.clone(),
                ledger: ledger.clone(),
                health: health.clone(),
                metrics: metrics.clone(),
                live: live.clone(),
                fatal: fatal.clone(),
            },
        )
        .start();
        let (stop, finished) = (CancellationToken::new(), CancellationToken::new());
        Poller::new(
            PollOptions {
                batch_articles: setting.batch_articles,
                source: None,
                lease,
                reuse: setting.reuse,
                poll_interval: Duration::from_secs(2),
                idle_poll_interval: Duration::from_secs(30),
                span: Span::Endless,
                prepare: nerd::domain::rot47::Preparation::DECODE,
            },
            PollParts {
                store: dyn_store,
                supervisor: supervisor.clone().recipient(),
                permits: permits.clone(),
                model: model.clone(),
                memory: MemoryGuard::new(setting.memory, health.clone(), metrics.clone()),
                scopes: Some(Arc::new(Scopes::new(
                    ScopeOptions { memory_bytes: 1 << 20, refresh: Duration::from_secs(60), compat: Compat::Mended },
                    store.clone(),
                    metrics.clone(),
                ))),
                ledger: ledger.clone(),
                health: health.clone(),
                metrics: metrics.clone(),
                traces: Traces::off(),
                bell,
                stop: stop.clone(),
                finished: finished.clone(),
            },
            &fatal,
        )
        .start();
        Self { store, factory, model, ledger, permits, health, metrics, live, supervisor, stop, finished, faults, fatal }
    }

    /// Lets (paused) time pass until the condition holds.
    pub async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        for _ in 0..20_000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("never: {what}\n{}", self.metrics.render());
    }

    pub fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')).unwrap_or_else(|| panic!("no {line} in\n{text}"));
        value.parse().unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.fatal.expect_the_end();
    }
}

pub fn many(count: usize) -> Vec<(String, String)> {
    (0..count).map(|n| (format!("a{n:03}"), format!("Name{n} spoke to the council"))).collect()
}

pub fn borrowed(articles: &[(String, String)]) -> Vec<(&str, &str)> {
    articles.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect()
}
