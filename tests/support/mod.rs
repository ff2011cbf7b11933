//! What the integration tests share.
#![allow(dead_code)] // each test binary uses its own part

pub mod articles;
pub mod database;
pub mod plan;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod queries;
