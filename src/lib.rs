//! nerd, the NER daemon, floor by floor; a floor imports only from the floors above its own line here (`tests/architecture.rs`).
//!
//! An article's way: `store` claims it, `actors` carry it, `engine` finds its entities, `store` commits them. `app` wires the
//! parts and is the only place that names every concrete type; `cli` parses the command line and picks what to wire.

// floor 0: plain facts
pub mod domain;

// floor 1: tools
pub mod backoff;
pub mod compat;
pub mod gazetteer;
pub mod memory;
pub mod metrics;
pub mod native;
pub mod settings;
pub mod trace;

// floor 2: the outside, and what is seen of the inside
pub mod engine;
pub mod live;
pub mod store;

// floor 3: the actors
pub mod actors;

// floor 4: to the outside
pub mod http;
pub mod logging;

// floor 5: the hall, and the door
pub mod app;
pub mod cli;
