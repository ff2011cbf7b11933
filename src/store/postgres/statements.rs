//! The statements of the flow with the host's names filled in, made once for a store. They are public as text, so that a plan
//! can be looked at: by the tests, by the benchmarks, by whoever keeps the database.

use super::sql::fill;
use super::{claim, complete, discover, gazetteer, lease, ledger, pause, reuse};

/// What the store's sessions ask of the planner. Every statement finds its rows by an index and in the order of an index, and its
/// plan is made once a connection: a planner without statistics, or one that met the tables when they were empty, must not think
/// that reading or sorting a whole table is as good, nor compile for a second what runs for milliseconds.
pub const PLANNER: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
];

/// Text of each statement; parameters are `$1`….
#[derive(Clone, Debug)]
pub struct Statements {
    pub claim: String,
    pub claim_source: String,
    /// Whose turn it is.
    pub next_source: String,
    /// Whose turn it is while another is paused.
    pub next_open: String,
    pub complete: String,
    /// Copies the rows of known texts.
    pub reuse: String,
    /// One page of the incremental walk.
    pub page: String,
    /// One chunk of the walk over the whole table.
    pub chunk: String,
    pub renew: String,
    pub release: String,
    pub reject: String,
    pub sweep: String,
    pub backlog: String,
    pub gazetteer_rows: String,
    pub gazetteer_versions: String,
}

impl Statements {
    pub(super) fn new(host_schema: &str) -> Self {
        let fill = |template: &str| fill(template, host_schema);
        Self {
            claim: fill(&claim::claim(false)),
            claim_source: fill(&claim::claim(true)),
            next_source: claim::NEXT_SOURCE.to_owned(),
            next_open: pause::NEXT_OPEN.to_owned(),
            complete: fill(&lease::settling(complete::COMPLETE)),
            reuse: fill(&lease::settling(reuse::REUSE)),
            page: fill(&discover::walk(discover::PAGE)),
            chunk: fill(&discover::walk(discover::CHUNK)),
            renew: lease::RENEW.to_owned(),
            release: lease::settling(lease::RELEASE),
            reject: lease::settling(lease::REJECT),
            sweep: lease::SWEEP.to_owned(),
            backlog: ledger::BACKLOG.to_owned(),
            gazetteer_rows: fill(&gazetteer::rows()),
            gazetteer_versions: fill(&gazetteer::versions()),
        }
    }
}
