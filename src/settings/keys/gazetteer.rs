//! The keys of the gazetteer: whether articles are matched with it, and what its indexes may cost.

use std::time::Duration;

use super::{DAY, Key, Shape, key};
use crate::settings::values::{duration, size, switch};

pub(super) const KEYS: &[Key] = &[
    key(
        "gazetteer.enabled",
        "true",
        Shape::Switch,
        "whether articles are matched with the gazetteer of their source and dataset",
        |s, v| {
            s.gazetteer.enabled = switch(v)?;
            Ok(())
        },
    ),
    key(
        "gazetteer.memory",
        "512MB",
        Shape::Size,
        "memory for the indexes of gazetteers, all workers together; the least recently used go first",
        |s, v| {
            s.gazetteer.memory_bytes = size(v, 1 << 40)?;
            Ok(())
        },
    ),
    key(
        "gazetteer.refresh",
        "10s",
        Shape::Duration,
        "how long a gazetteer is used before its rows are asked for changes (longer where that would take over 1 % of the time); 0: asked with every batch",
        |s, v| {
            s.gazetteer.refresh = duration(v, Duration::ZERO, DAY)?;
            Ok(())
        },
    ),
];
