//! A rollover, as the supervisor goes through with it: one worker after the other, whenever it is free, is given the other model's
//! engine, while the rest works on. The first that cannot be built turns it round: whoever has the new model gets the old one
//! back.

use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::messages::{BuildFailure, Roll};
use super::model::Model;
use super::slot::State;
use super::supervisor::{PERMITS_PER_WORKER, PoolSupervisor};
use crate::memory;

/// How the ledger and the metrics name loads of this kind, there and back.
pub(super) const REASON: &str = "rollover";

/// One that is under way.
pub(super) struct Rollover {
    new: Arc<Model>,
    old: Arc<Model>,
    /// Why it was turned round.
    failure: Option<String>,
    answer: oneshot::Sender<Result<(), String>>,
}

impl Rollover {
    /// What every worker is to have in the end.
    fn target(&self) -> &Arc<Model> {
        if self.failure.is_none() { &self.new } else { &self.old }
    }
}

impl PoolSupervisor {
    /// The next step, if there is one to take now.
    pub(super) fn roll_on(&mut self, ctx: &mut Context<Self>) {
        let Some(rollover) = &self.rollover else { return };
        let under_way = self.places.iter().any(|place| place.reason == REASON && place.slot.state() == State::Loading);
        if self.draining || under_way {
            return;
        }
        let target = rollover.target().clone();
        if self.places.iter().all(|place| Arc::ptr_eq(&place.model, &target)) {
            self.rolled();
        } else if let Some(index) = self.places.iter().position(|place| place.slot.is_ready() && !Arc::ptr_eq(&place.model, &target)) {
            self.parts.permits.burn(PERMITS_PER_WORKER);
            let place = &mut self.places[index];
            place.slot.reload();
            (place.model, place.reason) = (target, REASON);
            self.build(index, ctx);
        }
    }

    fn rolled(&mut self) {
        let Some(Rollover { new, failure, answer, .. }) = self.rollover.take() else { return };
        let outcome = match failure {
            Some(failure) => Err(failure),
            None => {
                self.parts.health.model(&new.factory.model().name);
                self.parts.model.set(new);
                // Another model is another size: growth is judged from here.
                self.parts.metrics.memory_baseline(memory::resident_bytes());
                Ok(())
            }
        };
        let _ = answer.send(outcome);
    }

    /// Turns the rollover round if it was its engine that could not be built; false when the failure is another matter.
    pub(super) fn turned_round(&mut self, index: usize, failure: &BuildFailure, ctx: &mut Context<Self>) -> bool {
        let Some(rollover) = self.rollover.as_mut().filter(|rollover| rollover.failure.is_none()) else { return false };
        let place = &mut self.places[index];
        if place.reason != REASON {
            return false;
        }
        let (BuildFailure::Permanent(message) | BuildFailure::Transient(message)) = failure;
        tracing::error!(worker = index, "the new model's engine could not be built, the old one is put back: {message}");
        rollover.failure = Some(message.clone());
        place.model = rollover.old.clone();
        self.build(index, ctx);
        true
    }
}

impl Handler<Roll> for PoolSupervisor {
    type Result = ResponseFuture<Result<(), String>>;

    fn handle(&mut self, Roll(model): Roll, ctx: &mut Context<Self>) -> Self::Result {
        if self.rollover.is_some() {
            return Box::pin(async { Err("another rollover is under way".to_owned()) });
        }
        let (answer, answered) = oneshot::channel();
        self.rollover = Some(Rollover { new: Arc::new(model), old: self.parts.model.get(), failure: None, answer });
        self.roll_on(ctx);
        Box::pin(async { answered.await.unwrap_or_else(|_| Err("the process ends".to_owned())) })
    }
}
