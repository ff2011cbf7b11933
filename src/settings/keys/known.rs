//! The keys of what is known before the model is asked: results by text, and the host's gazetteer.

use std::time::Duration;

use super::{DAY, Key, Shape, key};
use crate::settings::values::{duration, size, switch};

pub(super) const KEYS: &[Key] = &[
    key(
        "reuse.memory_bytes",
        "4MB",
        Shape::Size,
        "memory for results by text, all workers together: the same text again takes no inference; 0: off",
        |s, v| {
            s.reuse.memory_bytes = size(v, 64 << 30)?;
            Ok(())
        },
    ),
    key(
        "reuse.database",
        "true",
        Shape::Switch,
        "an article whose very text has rows of the same extractor_version gets a copy of them and takes no inference",
        |s, v| {
            s.reuse.database = switch(v)?;
            Ok(())
        },
    ),
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
        "60s",
        Shape::Duration,
        "how long a gazetteer is used before its rows are asked for changes; 0: asked with every batch",
        |s, v| {
            s.gazetteer.refresh = duration(v, Duration::ZERO, DAY)?;
            Ok(())
        },
    ),
];
