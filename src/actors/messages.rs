//! Every message between actors.

use std::sync::Arc;

use actix::Message;

use super::in_flight::InFlight;
use super::job::Prepared;
use super::matcher::Matcher;
use super::model::Model;
use crate::domain::{AnnotatedArticle, ArticleId, ClaimToken, ExtractorVersion, Mention, Rejection};
use crate::engine::{EngineFactory, TextError, Work};
use crate::store::LoadRecord;
use crate::trace::BatchTrace;

/// Poller to supervisor: a claimed batch with what it is to be matched with.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Assign {
    pub token: ClaimToken,
    pub articles: Vec<Prepared>,
    pub in_flight: Arc<InFlight>,
}

/// Supervisor to worker: drop the engine you have and build this one on your own thread. The reply is a value: a failed load is
/// no panic.
#[derive(Message)]
#[rtype(result = "Result<Built, BuildFailure>")]
pub struct Build(pub Arc<dyn EngineFactory>);

/// A built and warmed-up engine.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    pub seconds: f64,
    pub resident_before: u64,
    pub resident_after: u64,
}

/// Why an engine could not be built.
#[derive(Debug, PartialEq, Eq)]
pub enum BuildFailure {
    /// Trying again cannot help.
    Permanent(String),
    Transient(String),
}

/// Supervisor to worker: texts to annotate in one call, each with its gazetteer.
#[derive(Message)]
#[rtype(result = "Result<Annotated, CallFailure>")]
pub struct Annotate {
    pub texts: Vec<(Arc<str>, Option<Arc<Matcher>>)>,
}

/// What a worker made of the texts: a result a text, in the order given.
#[derive(Debug)]
pub struct Annotated {
    pub texts: Vec<Result<Vec<Mention>, TextError>>,
    pub work: Work,
    /// Seconds that matching took; `None` where no text had a gazetteer.
    pub match_seconds: Option<f64>,
}

impl Annotated {
    /// Its stages, which ended just now one after the other.
    pub fn trace(&self, trace: &BatchTrace) {
        let (work, matching) = (&self.work, self.match_seconds.unwrap_or(0.0));
        trace.stage("tokenize", work.tokenize_seconds, matching + work.infer_seconds, &[("nerd.tokens", work.content_tokens)]);
        trace.stage("infer", work.infer_seconds, matching, &[("nerd.words", work.words), ("nerd.windows", work.windows)]);
        if let Some(seconds) = self.match_seconds {
            trace.stage("match", seconds, 0.0, &[]);
        }
    }
}

/// Why a whole call failed.
#[derive(Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// A caught panic; the engine was dropped and must be built anew.
    Panic(String),
    /// The engine said so and lives on.
    Error(String),
}

/// Supervisor to writer: what became of (a part of) a batch.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Persist {
    pub token: ClaimToken,
    /// Names the rows of what is annotated.
    pub version: ExtractorVersion,
    pub annotated: Vec<AnnotatedArticle>,
    pub rejected: Vec<Rejection>,
    /// Given back untried, at shutdown.
    pub released: Vec<ArticleId>,
    pub in_flight: Arc<InFlight>,
}

/// Application to supervisor: give back what has not begun; what runs may end.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// Application to supervisor: the time is over, give back what still runs too.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Abandon;

/// Application to supervisor: put another model's engines in, worker by worker. The answer comes when all have it, or when all
/// have the old one again, and says why.
#[derive(Message)]
#[rtype(result = "Result<(), String>")]
pub struct Roll(pub Model);

/// Supervisor to keeper: one more row for the ledger.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Record(pub LoadRecord);
