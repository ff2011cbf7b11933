//! What systemd is told of the service: that it is ready, how it does, that it lives, that it stops. Where nobody asked for it
//! (`NOTIFY_SOCKET` is not set), nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::actors::health::{Health, Readiness};

/// Between two looks; a watchdog that waits less than twice as long would be too impatient.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was told so far.
#[derive(Debug, Default)]
struct Told {
    ready: bool,
    stopping: bool,
    status: String,
}

/// One look's news.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    ready: bool,
    stopping: bool,
    status: Option<String>,
    alive: bool,
}

impl Told {
    /// Ready is told once a worker is warm, whatever the database does: a service that was never ready is killed and started
    /// again, which is a load of the model and brings no database back. `alive`: no actor is frozen.
    fn news(&mut self, readiness: &Readiness, alive: bool) -> News {
        let mut news = News { alive, ..News::default() };
        let warm = readiness.model.is_some() && readiness.workers.ready + readiness.workers.busy > 0;
        if warm && !self.ready {
            (self.ready, news.ready) = (true, true);
        }
        if readiness.draining && !self.stopping {
            (self.stopping, news.stopping) = (true, true);
        }
        let status = if readiness.ready { "at work".to_owned() } else { readiness.reasons.join("; ") };
        if status != self.status {
            self.status.clone_from(&status);
            news.status = Some(status);
        }
        news
    }
}

/// Tells systemd for as long as the process lives.
pub(super) async fn report(health: Arc<Health>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let mut told = Told::default();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let news = told.news(&health.readiness(), health.frozen().is_empty());
        let mut states = Vec::new();
        states.extend(news.status.as_deref().map(NotifyState::Status));
        states.extend(news.ready.then_some(NotifyState::Ready));
        states.extend(news.stopping.then_some(NotifyState::Stopping));
        states.extend(news.alive.then_some(NotifyState::Watchdog));
        if !states.is_empty()
            && let Err(error) = sd_notify::notify(&states)
        {
            tracing::debug!(%error, "systemd could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::health::PoolCounts;

    #[test]
    fn ready_once_a_worker_is_warm_without_a_database() {
        let (health, mut told) = (Health::default(), Told::default());
        let first = told.news(&health.readiness(), true);
        assert!(!first.ready && first.alive && first.status.is_some_and(|status| status.contains("the model is not loaded yet")));
        health.model("m");
        health.pool(PoolCounts { busy: 1, ..PoolCounts::default() });
        health.database(Err("refused".to_owned()));
        let second = told.news(&health.readiness(), true);
        assert!(second.ready && second.status.is_some_and(|status| status.contains("refused")));
        assert_eq!(told.news(&health.readiness(), true), News { alive: true, ..News::default() }, "told once");
    }

    #[test]
    fn a_frozen_actor_is_not_alive() {
        let (health, mut told) = (Health::default(), Told::default());
        assert!(!told.news(&health.readiness(), false).alive);
    }

    #[test]
    fn stopping_is_told_once() {
        let (health, mut told) = (Health::default(), Told::default());
        health.draining();
        assert!(told.news(&health.readiness(), true).stopping);
        assert!(!told.news(&health.readiness(), true).stopping);
    }
}
