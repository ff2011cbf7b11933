//! The stream behind the live page (server-sent events): the course at the start, then the status every second, which is the
//! heartbeat too, and the articles when they have changed. A few may watch at a time. A process that drains says so and ends
//! the stream, so that no watcher holds up its end.

use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::status::{Articles, Status};
use super::{Parts, guard};

/// Streams at a time.
const MOST: usize = 16;
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Seconds between two lists of articles at least: nobody reads faster.
const ARTICLES_EVERY: u64 = 3;

/// Room for those who watch.
#[derive(Clone)]
pub(super) struct Watchers(Arc<Semaphore>);

impl Default for Watchers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

pub(super) fn answer(parts: &Parts, watchers: &Watchers) -> HttpResponse {
    match watchers.0.clone().try_acquire_owned() {
        Ok(room) => guard::kept(HttpResponse::Ok()).content_type("text/event-stream").streaming(told(parts.clone(), room)),
        Err(_) => guard::kept(HttpResponse::ServiceUnavailable())
            .content_type("text/plain; charset=utf-8")
            .body(format!("{MOST} watch already; /status.json tells the same once\n")),
    }
}

/// One watcher's place in the telling.
struct Telling {
    parts: Parts,
    seconds: Interval,
    told: u64,
    /// Of the articles that were told.
    changes: Option<u64>,
    over: bool,
    _room: OwnedSemaphorePermit,
}

fn told(parts: Parts, room: OwnedSemaphorePermit) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut seconds = interval(TELL_EVERY);
    // A watcher that was slow gets the present, not all of the past.
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let telling = Telling { parts, seconds, told: 0, changes: None, over: false, _room: room };
    stream::unfold(telling, |mut telling| async move {
        if telling.over {
            return None;
        }
        telling.seconds.tick().await;
        Some((Ok(Bytes::from(telling.next())), telling))
    })
}

impl Telling {
    /// What is to be told this second.
    fn next(&mut self) -> String {
        let mut text = String::new();
        if self.told == 0 {
            text.push_str("retry: 2000\n\n");
            event(&mut text, "course", &self.parts.live.course());
        }
        let status = Status::of(&self.parts);
        self.over = status.readiness.draining;
        event(&mut text, "status", &status);
        if self.told.is_multiple_of(ARTICLES_EVERY) || self.over {
            let articles = Articles::of(&self.parts);
            if self.changes != Some(articles.changes) {
                self.changes = Some(articles.changes);
                event(&mut text, "articles", &articles);
            }
        }
        self.told += 1;
        text
    }
}

/// JSON has no line breaks of its own: one line of data.
fn event(text: &mut String, name: &str, data: &impl Serialize) {
    match serde_json::to_string(data) {
        Ok(json) => {
            let _ = write!(text, "event: {name}\ndata: {json}\n\n");
        }
        Err(error) => tracing::debug!(%error, name, "an event of the live page could not be written"),
    }
}
