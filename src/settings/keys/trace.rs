//! The keys of tracing: whether spans are sent, and of how many batches.

use super::{Key, Shape, key};
use crate::settings::values::whole;

pub(super) const KEYS: &[Key] = &[
    key(
        "trace.endpoint",
        "",
        Shape::Text,
        "OTLP collector to which spans of each batch are sent over HTTP, as in http://127.0.0.1:4318; empty: none is made",
        |s, v| {
            if !v.is_empty() && !v.starts_with("http://") {
                return Err("write http://host:port; a collector beside nerd speaks TLS to the rest of the world".to_owned());
            }
            v.clone_into(&mut s.trace.endpoint);
            Ok(())
        },
    ),
    key("trace.one_in", "1", Shape::Number, "of so many batches one is traced", |s, v| {
        s.trace.one_in = whole(v, 1, 1_000_000)?;
        Ok(())
    }),
];
