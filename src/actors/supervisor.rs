//! The supervisor of the pool: gives batches to ready workers, isolates the text that makes one fail, has failed engines rebuilt
//! after a pause, replaces stalled threads, and gives up when failures exhaust the budget.

use std::collections::VecDeque;
use std::sync::Arc;

use actix::prelude::*;
use actix_rt::Arbiter;
use tokio::time::Instant;

use super::fatal::{Cause, DeathWatch};
use super::health::{PoolCounts, STAMP_EVERY, Watched};
use super::in_flight::InFlight;
use super::job::{Job, Sorted};
use super::messages::{Abandon, Annotate, Annotated, Assign, Build, BuildFailure, Built, CallFailure, Drain, Persist, Record};
use super::outcome::Outcomes;
use super::pool::{Place, PoolOptions, PoolParts};
use super::rollover::Rollover;
use super::slot::{Slot, State};
use super::worker::Worker;
use crate::backoff::Intensity;
use crate::domain::{ClaimToken, ExtractorVersion};
use crate::engine::Progress;
use crate::memory;
use crate::store::LoadRecord;

/// A ready worker's permits: one batch at work, one waiting.
pub(super) const PERMITS_PER_WORKER: usize = 2;

pub struct PoolSupervisor {
    options: PoolOptions,
    pub(super) parts: PoolParts,
    pub(super) places: Vec<Place>,
    pub(super) rollover: Option<Rollover>,
    waiting: VecDeque<Job>,
    intensity: Intensity,
    started: Instant,
    /// Threads given up and not come back.
    stuck: u64,
    warm: bool,
    pub(super) draining: bool,
    _watch: DeathWatch,
}

impl PoolSupervisor {
    pub fn new(options: PoolOptions, parts: PoolParts) -> Self {
        let intensity = Intensity::new(options.restart_limit, options.restart_window);
        let watch = parts.fatal.watch("pool supervisor");
        Self {
            options,
            parts,
            places: Vec::new(),
            rollover: None,
            waiting: VecDeque::new(),
            intensity,
            started: Instant::now(),
            stuck: 0,
            warm: false,
            draining: false,
            _watch: watch,
        }
    }

    fn spawn_worker(&self, progress: &Progress) -> (Addr<Worker>, Option<Arbiter>) {
        let progress = progress.clone();
        if self.options.own_threads {
            let arbiter = Arbiter::new();
            (Worker::start_in_arbiter(&arbiter.handle(), |_| Worker::new(progress)), Some(arbiter))
        } else {
            (Worker::new(progress).start(), None)
        }
    }

    pub(super) fn build(&mut self, index: usize, ctx: &mut Context<Self>) {
        let place = &self.places[index];
        let generation = place.slot.generation();
        let building = place.worker.send(Build(place.model.factory.clone())).into_actor(self).map(move |reply, this: &mut Self, ctx| {
            if this.places[index].slot.generation() == generation {
                this.built(index, reply.unwrap_or_else(|error| Err(BuildFailure::Transient(format!("the worker died: {error}")))), ctx);
            }
        });
        ctx.spawn(building);
        self.show();
    }

    fn built(&mut self, index: usize, result: Result<Built, BuildFailure>, ctx: &mut Context<Self>) {
        match result {
            Ok(built) => {
                let place = &mut self.places[index];
                place.warm = true;
                place.slot.built();
                self.parts.permits.mint(PERMITS_PER_WORKER);
                self.record_load(index, built);
                self.note_warm();
                self.dispatch(ctx);
            }
            Err(failure) if self.turned_round(index, &failure, ctx) => {}
            Err(BuildFailure::Permanent(message)) => {
                self.parts.health.fault(message.clone());
                self.parts.fatal.raise(Cause::Configuration, message);
            }
            Err(BuildFailure::Transient(message)) => {
                self.parts.metrics.worker_failed("error");
                self.recover(index, format!("worker {index} could not build its engine: {message}"), ctx);
            }
        }
        self.show();
    }

    fn record_load(&self, index: usize, built: Built) {
        let worker = u32::try_from(index).unwrap_or(u32::MAX);
        let Place { model, reason, .. } = &self.places[index];
        let (model, reason, identity) = (model.factory.model(), *reason, &self.parts.identity);
        self.parts.metrics.model_loaded(worker, reason, built.seconds);
        tracing::info!(worker, reason, seconds = built.seconds, resident_bytes = built.resident_after, model = %model.name, "model loaded");
        if let Some(keeper) = &self.parts.keeper {
            keeper.do_send(Record(LoadRecord {
                boot_id: identity.boot_id,
                host: identity.host.clone(),
                command: identity.command.clone(),
                worker,
                model: model.name.clone(),
                sha256: model.sha256.clone(),
                reason: reason.to_owned(),
                seconds: built.seconds,
                rss_before_bytes: built.resident_before,
                rss_after_bytes: built.resident_after,
                pool_size: self.options.workers,
            }));
        }
    }

    fn note_warm(&mut self) {
        if !self.warm && self.places.iter().all(|place| place.warm) {
            self.warm = true;
            let resident = memory::resident_bytes();
            self.parts.metrics.memory_baseline(resident);
            tracing::info!(resident_bytes = resident, "every worker is warm");
        }
    }

    /// An engine is gone: its permits too, and after a pause it is built anew, unless the budget is spent.
    fn recover(&mut self, index: usize, fault: String, ctx: &mut Context<Self>) {
        tracing::error!("{fault}");
        self.parts.health.fault(fault);
        let place = &mut self.places[index];
        let pause = place.slot.failed(&self.options.backoff, rand::random());
        if self.spent() {
            return;
        }
        let generation = self.places[index].slot.generation();
        ctx.run_later(pause, move |this, ctx| {
            if this.places[index].slot.generation() != generation {
                return;
            }
            // The worker itself may have died, which catching panics should prevent: then another one on the same thread.
            if !this.places[index].worker.connected() {
                let progress = this.places[index].progress.clone();
                this.places[index].worker = match &this.places[index].arbiter {
                    Some(arbiter) => Worker::start_in_arbiter(&arbiter.handle(), |_| Worker::new(progress)),
                    None => Worker::new(progress).start(),
                };
            }
            this.places[index].slot.reload();
            this.places[index].again();
            this.build(index, ctx);
        });
    }

    /// Counts a failure against the budget; true when that ends the process.
    fn spent(&mut self) -> bool {
        if !self.intensity.exhausted_by_failure_at(self.started.elapsed()) {
            return false;
        }
        let first = self.parts.health.first_fault().unwrap_or_default();
        let message = format!(
            "the workers failed more than {} times within {}; the first fault was: {first}",
            self.options.restart_limit,
            humantime::format_duration(self.options.restart_window)
        );
        self.parts.fatal.raise(Cause::RestartBudget, message);
        true
    }

    fn dispatch(&mut self, ctx: &mut Context<Self>) {
        self.roll_on(ctx);
        while let Some(index) = self.places.iter().position(|place| place.slot.is_ready()) {
            let Some(job) = Job::next(&mut self.waiting, self.places.len()) else { break };
            let place = &mut self.places[index];
            place.slot.assigned(place.progress.steps(), Instant::now());
            self.parts.live.worker_assigned(index, job.articles.len());
            let generation = place.slot.generation();
            let call = place.worker.send(Annotate { texts: job.texts() });
            place.job = Some(job);
            let calling = call.into_actor(self).map(move |reply, this: &mut Self, ctx| {
                let reply = reply.unwrap_or_else(|error| Err(CallFailure::Panic(format!("the worker died: {error}"))));
                if this.places[index].slot.generation() == generation {
                    this.returned(index, reply, ctx);
                } else {
                    this.stuck -= 1;
                    tracing::warn!(worker = index, "a thread that was given up came back; its late result is dropped");
                }
                this.show();
            });
            ctx.spawn(calling);
        }
        self.show();
    }

    fn returned(&mut self, index: usize, reply: Result<Annotated, CallFailure>, ctx: &mut Context<Self>) {
        // Abandoned at shutdown: its articles were given back.
        let job = self.places[index].job.take();
        self.parts.live.worker_returned(index, reply.is_ok());
        match reply {
            Ok(annotated) => {
                self.places[index].slot.returned();
                Outcomes { ledger: &self.parts.ledger, metrics: &self.parts.metrics }.annotated(&annotated);
                if let Some(job) = job {
                    let in_flight = job.in_flight.clone();
                    annotated.trace(in_flight.trace());
                    let version = self.places[index].model.version.clone();
                    self.persist(job.token, version, job.sort(annotated.texts), in_flight);
                }
            }
            Err(CallFailure::Error(message)) => {
                self.places[index].slot.returned();
                self.parts.metrics.worker_failed("error");
                let fault = format!("worker {index}: {message}");
                tracing::error!("{fault}");
                self.parts.health.fault(fault);
                self.isolate(job, &message, 1);
                self.spent();
            }
            Err(CallFailure::Panic(message)) => {
                self.parts.permits.burn(PERMITS_PER_WORKER);
                self.parts.metrics.worker_failed("panic");
                self.isolate(job, &format!("panic: {message}"), 1);
                self.recover(index, format!("worker {index} panicked: {message}"), ctx);
            }
        }
        self.dispatch(ctx);
    }

    /// A failed batch is split until the culprit stands alone; alone, it is the one that is rejected.
    fn isolate(&mut self, job: Option<Job>, error: &str, weight: u32) {
        let Some(job) = job else { return };
        job.in_flight.trace().fault(error);
        tracing::debug!(batch = %job.token.0, trace_id = job.in_flight.trace().id(), articles = job.articles.len(), error, "isolating what failed");
        match job.split() {
            Ok((first, second)) => {
                self.waiting.push_front(second);
                self.waiting.push_front(first);
            }
            Err(job) => {
                self.give_back(job, |job| job.reject(error, weight));
            }
        }
    }

    /// A job of which nothing was annotated.
    fn give_back(&self, job: Job, sort: impl FnOnce(Job) -> Sorted) {
        let (token, in_flight) = (job.token, job.in_flight.clone());
        self.persist(token, self.parts.model.get().version.clone(), sort(job), in_flight);
    }

    fn persist(&self, token: ClaimToken, version: ExtractorVersion, sorted: Sorted, in_flight: Arc<InFlight>) {
        let Sorted { annotated, rejected, released } = sorted;
        self.parts.writer.do_send(Persist { token, version, annotated, rejected, released, in_flight });
    }

    /// Looks for threads without progress, and gives them up: native code cannot be interrupted.
    fn look_for_stalls(&mut self, ctx: &mut Context<Self>) {
        for index in 0..self.places.len() {
            let place = &mut self.places[index];
            if !place.slot.stalled(place.progress.steps(), Instant::now(), self.options.stall_timeout) {
                continue;
            }
            self.parts.permits.burn(PERMITS_PER_WORKER);
            self.parts.metrics.worker_failed("timeout");
            let seconds = self.options.stall_timeout.as_secs_f64();
            let fault = format!("worker {index} made no progress for {seconds} s; its thread is given up");
            tracing::error!("{fault}");
            self.parts.health.fault(fault);
            let job = self.places[index].job.take();
            if let Some(job) = job {
                // A stall costs a thread: not bisected at once, but each article retried alone, and there it weighs double.
                let weight = if job.articles.len() == 1 { 2 } else { 1 };
                self.give_back(job, |job| job.reject(&format!("no progress for {seconds} s"), weight));
            }
            self.stuck += 1;
            self.places[index].slot.replaced();
            if self.stuck > u64::from(self.options.workers) {
                let message = format!("{} stalled threads, more than there are workers; a fresh process is the only cure", self.stuck);
                self.parts.fatal.raise(Cause::Stalled, message);
                self.show();
                return;
            }
            let progress = Progress::default();
            let (worker, arbiter) = self.spawn_worker(&progress);
            let place = &mut self.places[index];
            place.worker = worker;
            place.progress = progress;
            place.again();
            // The old thread is left to its call; when that returns, the arbiter has nothing more to do.
            if let Some(old) = std::mem::replace(&mut place.arbiter, arbiter) {
                old.stop();
            }
            if !self.spent() {
                self.build(index, ctx);
            }
        }
    }

    fn show(&self) {
        let of = |wanted: fn(&State) -> bool| self.places.iter().filter(|place| wanted(&place.slot.state())).count() as u64;
        let counts = PoolCounts {
            loading: of(|state| matches!(state, State::Loading)),
            ready: of(|state| matches!(state, State::Ready)),
            busy: of(|state| matches!(state, State::Busy { .. })),
            backoff: of(|state| matches!(state, State::Backoff)),
            stuck: self.stuck,
        };
        self.parts.metrics.workers([counts.loading, counts.ready, counts.busy, counts.backoff, counts.stuck]);
        self.parts.health.pool(counts);
        self.parts.live.worker_states(self.places.iter().map(|place| place.slot.state().name()));
    }
}

impl Actor for PoolSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        for index in 0..self.options.workers as usize {
            let progress = Progress::default();
            let (worker, arbiter) = self.spawn_worker(&progress);
            let model = self.parts.model.get();
            self.places.push(Place { slot: Slot::default(), worker, arbiter, progress, job: None, model, reason: "startup", warm: false });
            self.build(index, ctx);
        }
        let health = self.parts.health.clone();
        ctx.run_interval(STAMP_EVERY, move |this, ctx| {
            health.stamp(Watched::Supervisor);
            this.look_for_stalls(ctx);
        });
    }
}

impl Handler<Assign> for PoolSupervisor {
    type Result = ();

    fn handle(&mut self, message: Assign, ctx: &mut Context<Self>) {
        let Assign { token, articles, in_flight } = message;
        let job = Job { token, articles, in_flight };
        if self.draining {
            self.give_back(job, Job::release);
            return;
        }
        self.waiting.push_back(job);
        self.dispatch(ctx);
    }
}

impl Handler<Drain> for PoolSupervisor {
    type Result = ();

    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.draining = true;
        for job in std::mem::take(&mut self.waiting) {
            self.give_back(job, Job::release);
        }
    }
}

impl Handler<Abandon> for PoolSupervisor {
    type Result = ();

    fn handle(&mut self, _: Abandon, _: &mut Context<Self>) {
        let running: Vec<Job> = self.places.iter_mut().filter_map(|place| place.job.take()).collect();
        for job in running.into_iter().chain(std::mem::take(&mut self.waiting)) {
            self.give_back(job, Job::release);
        }
    }
}
