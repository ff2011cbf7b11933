//! The keys of supervision: how often a worker may fail, and what happens then.

use super::{DAY, HOUR, INSTANT, Key, SECOND, Shape, key};
use crate::settings::values::{duration, size, whole};

pub(super) const KEYS: &[Key] = &[
    key(
        "supervision.restart_limit",
        "60",
        Shape::Number,
        "engine failures within the window below that end the process; finding one bad text in a batch costs about log2 of the batch",
        |s, v| {
            s.supervision.restart_limit = whole(v, 0, 100_000)?;
            Ok(())
        },
    ),
    key("supervision.restart_window", "10m", Shape::Duration, "the window in which they are counted", |s, v| {
        s.supervision.restart_window = duration(v, SECOND, DAY)?;
        Ok(())
    }),
    key(
        "supervision.backoff_base",
        "100ms",
        Shape::Duration,
        "pause before a failed engine is rebuilt; doubles while it goes on failing",
        |s, v| {
            s.supervision.backoff_base = duration(v, INSTANT, HOUR)?;
            Ok(())
        },
    ),
    key("supervision.backoff_max", "30s", Shape::Duration, "longest such pause", |s, v| {
        s.supervision.backoff_max = duration(v, INSTANT, HOUR)?;
        Ok(())
    }),
    key(
        "supervision.stall_timeout",
        "60s",
        Shape::Duration,
        "a worker without any progress for this long is given up and replaced",
        |s, v| {
            s.supervision.stall_timeout = duration(v, INSTANT, DAY)?;
            Ok(())
        },
    ),
    key(
        "supervision.memory_limit",
        "0",
        Shape::Size,
        "memory that the process may hold; near it, articles are claimed one at a time; 0: what its control group grants",
        |s, v| {
            s.supervision.memory_limit = size(v, 1 << 44)?;
            Ok(())
        },
    ),
];
