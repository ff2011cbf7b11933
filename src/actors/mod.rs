//! The actors' floor. Data goes one way, only permits come back:
//!
//! ```text
//! PostgreSQL ─claim→ Poller ─Assign→ PoolSupervisor ─Annotate→ Worker × N ─reply→ PoolSupervisor ─Persist→ Writer ─commit→ PostgreSQL
//!                      ▲                                                                                 │
//!                      └────────────── permits: two a ready worker, inside InFlight, freed by commit ────┘
//! Poller, right after a claim: the batch gets the gazetteers of its articles; those whose text is known are completed with
//! copied rows and never reach a worker.
//! Keeper: heartbeats, expired leases, discovery walks, ledger, backlog — beside the flow, on timers.
//! ```
//!
//! Queues: what is in flight is bounded by the permits (one batch at work and one waiting for each ready worker), so mailboxes
//! stay short by construction; their capacity is no limit that anything relies on.
//!
//! Rules: an actor knows the others by address or recipient only; none holds a strong address upward; every decision that can
//! be pure is in `slot`, `permits`, `admission` or `backoff`; whoever dies raises [`fatal::Fatal`].

pub mod admission;
pub mod fatal;
pub mod health;
pub mod in_flight;
pub mod job;
pub mod keeper;
pub mod matcher;
pub mod memory_guard;
pub mod messages;
pub mod model;
pub mod outcome;
pub mod permits;
pub mod poller;
pub mod pool;
mod rollover;
pub mod scopes;
pub mod slot;
pub mod supervisor;
pub mod worker;
pub mod writer;
