//! What the experiments with faults share: a server to stop, a link to spoil, processes to kill, and articles for them.
#![allow(dead_code)] // each test binary uses its own part

pub mod crawler;
pub mod database_faults;
pub mod fleet;
pub mod link;
pub mod report;
pub mod schedule;
pub mod server;

use std::path::PathBuf;
use std::process::Command;

use crate::support::process::program;

/// The program whose engines fail: see `tests/faults/nerd.rs`.
pub fn faulty_program(faults: &str) -> Command {
    let path: PathBuf = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/faulty_nerd");
    assert!(path.exists(), "{} is not built: cargo build --release --examples builds it", path.display());
    let mut command = program(&path);
    command.env("FAULTS", faults);
    command
}
