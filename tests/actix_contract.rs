//! Pins the behaviours of actix 0.13 that the actors rely on, or guard against. If one of these fails after an upgrade, read
//! `actors/fatal.rs`, `actors/worker.rs` and `actors/writer.rs` again before going on.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;

#[derive(Message)]
#[rtype(result = "usize")]
struct Count;

#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

struct Fragile {
    dropped: Arc<AtomicUsize>,
}

impl Actor for Fragile {
    type Context = Context<Self>;
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Handler<Count> for Fragile {
    type Result = usize;
    fn handle(&mut self, _: Count, _: &mut Self::Context) -> usize {
        1
    }
}

impl Handler<Panic> for Fragile {
    type Result = ();
    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("on purpose");
    }
}

/// `DeathWatch` relies on the drop; the supervisor on the closed address.
#[actix::test]
async fn a_panicked_actor_is_dropped_and_its_address_closes() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let actor = Fragile { dropped: dropped.clone() }.start();
    assert!(matches!(actor.send(Panic).await, Err(MailboxError::Closed)));
    tokio::task::yield_now().await;
    assert!(!actor.connected());
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert!(matches!(actor.send(Count).await, Err(MailboxError::Closed)), "nobody restarted it");
}

/// A worker is started again on the same thread after it died.
#[actix::test]
async fn a_panic_leaves_the_arbiter_alive() {
    let arbiter = Arbiter::new();
    let dropped = Arc::new(AtomicUsize::new(0));
    let first = Fragile::start_in_arbiter(&arbiter.handle(), {
        let dropped = dropped.clone();
        move |_| Fragile { dropped }
    });
    assert!(first.send(Panic).await.is_err());
    let second = Fragile::start_in_arbiter(&arbiter.handle(), move |_| Fragile { dropped });
    assert_eq!(second.send(Count).await.unwrap(), 1);
    arbiter.stop();
}

/// Why weights are loaded by a message and not in `started`: a supervised restart runs `started` again.
#[actix::test]
async fn a_supervised_restart_runs_started_again() {
    struct Starts(Arc<AtomicUsize>);
    impl Actor for Starts {
        type Context = Context<Self>;
        fn started(&mut self, _: &mut Self::Context) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    impl Supervised for Starts {}
    impl Handler<Panic> for Starts {
        type Result = ();
        fn handle(&mut self, _: Panic, ctx: &mut Self::Context) {
            ctx.stop();
        }
    }
    let starts = Arc::new(AtomicUsize::new(0));
    let seen = starts.clone();
    let actor = Supervisor::start(move |_| Starts(seen));
    actor.send(Panic).await.unwrap();
    let _ = actor.send(Panic).await;
    assert!(starts.load(Ordering::SeqCst) >= 2);
}

/// Why permits bound the work and mailboxes do not: `do_send` ignores the capacity.
#[actix::test]
async fn mailbox_capacity_is_soft() {
    struct Slow(Rc<Cell<usize>>);
    impl Actor for Slow {
        type Context = Context<Self>;
        fn started(&mut self, ctx: &mut Self::Context) {
            ctx.set_mailbox_capacity(1);
        }
    }
    impl Handler<Panic> for Slow {
        type Result = ();
        fn handle(&mut self, _: Panic, _: &mut Self::Context) {
            self.0.set(self.0.get() + 1);
        }
    }
    let handled = Rc::new(Cell::new(0));
    let actor = Slow(handled.clone()).start();
    for _ in 0..100 {
        actor.do_send(Panic);
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(handled.get(), 100);
}

/// The writer relies on it: an `AtomicResponse` ends before the next message begins.
#[actix::test]
async fn atomic_responses_do_not_interleave() {
    struct Serial(Rc<Cell<usize>>);
    impl Actor for Serial {
        type Context = Context<Self>;
    }
    impl Handler<Count> for Serial {
        type Result = AtomicResponse<Self, usize>;
        fn handle(&mut self, _: Count, _: &mut Self::Context) -> Self::Result {
            let inside = self.0.clone();
            AtomicResponse::new(Box::pin(
                async move {
                    inside.set(inside.get() + 1);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    let together = inside.get();
                    inside.set(together - 1);
                    together
                }
                .into_actor(self),
            ))
        }
    }
    let actor = Serial(Rc::new(Cell::new(0))).start();
    let all = futures_util::future::join_all((0..10).map(|_| actor.send(Count))).await;
    assert!(all.into_iter().all(|together| together.unwrap() == 1));
}
