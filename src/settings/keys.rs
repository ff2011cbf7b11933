//! The table of configuration keys: name, default, what it means, how its text becomes a value. Those of the
//! gazetteer, of supervision and of the rows have files of their own.

mod gazetteer;
mod output;
mod supervision;
mod trace;

use std::time::Duration;

use super::values::{duration, one_of, size, switch, whole};
use super::{LogFormat, Profile, Secret, Settings};

/// What a TOML file may hold for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Text,
    Number,
    /// A number of seconds or a text with a unit.
    Duration,
    /// A number of bytes or a text with a unit.
    Size,
    Switch,
}

impl Shape {
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a whole number",
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Switch => "true or false",
        }
    }
}

/// One configuration key.
#[derive(Clone, Copy)]
pub struct Key {
    /// `section.name`, as in the file.
    pub name: &'static str,
    pub default: &'static str,
    pub shape: Shape,
    pub help: &'static str,
    /// Environment variables understood besides `NERD_SECTION_NAME`: those of the step that nerd replaces.
    pub aliases: &'static [&'static str],
    pub secret: bool,
    pub(super) set: Set,
}

impl Key {
    /// `NERD_SECTION_NAME`.
    pub fn variable(&self) -> String {
        format!("NERD_{}", self.name.replace('.', "_").to_uppercase())
    }
}

type Set = fn(&mut Settings, &str) -> Result<(), String>;

const fn key(name: &'static str, default: &'static str, shape: Shape, help: &'static str, set: Set) -> Key {
    Key { name, default, shape, help, aliases: &[], secret: false, set }
}

const fn aliased(aliases: &'static [&'static str], key: Key) -> Key {
    Key { aliases, ..key }
}

const fn secret(key: Key) -> Key {
    Key { secret: true, ..key }
}

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);
const INSTANT: Duration = Duration::from_millis(10);

/// Every key, in the order of the README's table.
pub const KEYS: &[Key] = &joined::<{ count(LISTS) }>(LISTS);

const LISTS: &[&[Key]] = &[RUNNING, gazetteer::KEYS, supervision::KEYS, output::KEYS, AROUND, trace::KEYS];

const fn count(lists: &[&[Key]]) -> usize {
    let (mut all, mut list) = (0, 0);
    while list < lists.len() {
        all += lists[list].len();
        list += 1;
    }
    all
}

/// Lists one after another; the length is theirs in all.
const fn joined<const LENGTH: usize>(lists: &[&[Key]]) -> [Key; LENGTH] {
    let mut all = [lists[0][0]; LENGTH];
    let (mut list, mut at) = (0, 0);
    while list < lists.len() {
        let mut place = 0;
        while place < lists[list].len() {
            all[at] = lists[list][place];
            (at, place) = (at + 1, place + 1);
        }
        list += 1;
    }
    all
}

/// How articles are claimed, read and tried again.
const RUNNING: &[Key] = &[
    secret(aliased(
        &["DATABASE_URL"],
        key(
            "database.url",
            "",
            Shape::Text,
            "postgresql://user:password@host:port/name?sslmode=disable|prefer|require|verify-full (&sslrootcert=FILE for a private authority)",
            |s, v| {
                s.database.url = Secret::new(v);
                Ok(())
            },
        ),
    )),
    key("database.pool_size", "4", Shape::Number, "connections of the pool; one more listens for notifications", |s, v| {
        s.database.pool_size = whole(v, 2, 100)?;
        Ok(())
    }),
    key("database.connect_timeout", "5s", Shape::Duration, "time to reach the server, and to wait for a free connection", |s, v| {
        s.database.connect_timeout = duration(v, INSTANT, HOUR)?;
        Ok(())
    }),
    key("database.statement_timeout", "30s", Shape::Duration, "the server gives up on a statement after this time", |s, v| {
        s.database.statement_timeout = duration(v, INSTANT, HOUR)?;
        Ok(())
    }),
    key(
        "database.host_schema",
        "public",
        Shape::Text,
        "schema of the tables articles, candidate_links, gazetteer and article_entities",
        |s, v| {
            if v.is_empty() {
                return Err("is empty".to_owned());
            }
            s.database.host_schema = v.to_owned();
            Ok(())
        },
    ),
    key(
        "model.profile",
        "accurate",
        Shape::Text,
        "which bundled model: accurate (models/news-ner) or fast (models/news-ner-fast: for backlogs and small machines)",
        |s, v| {
            s.model.profile = if one_of(v, &["accurate", "fast"])? == "fast" { Profile::Fast } else { Profile::Accurate };
            Ok(())
        },
    ),
    key(
        "model.path",
        "",
        Shape::Text,
        "directory of another model, whatever the profile: any Hugging Face token-classification directory with safetensors",
        |s, v| {
            s.model.path = Some(v).filter(|path| !path.is_empty()).map(Into::into);
            Ok(())
        },
    ),
    key(
        "engine.workers",
        "0",
        Shape::Number,
        "NER workers; 0: one for each core that the control group grants, on a CUDA device one",
        |s, v| {
            s.engine.workers = whole(v, 0, 256)?;
            Ok(())
        },
    ),
    key("engine.threads_per_worker", "1", Shape::Number, "threads inside one worker's matrix products", |s, v| {
        s.engine.threads_per_worker = whole(v, 1, 64)?;
        Ok(())
    }),
    key("engine.device", "auto", Shape::Text, "auto, cpu or cuda:N", |s, v| {
        s.engine.device = v.parse()?;
        Ok(())
    }),
    key(
        "engine.precision",
        "auto",
        Shape::Text,
        "auto (int8 where the model was measured in it and the processor multiplies bytes fast, else bf16 where it has that), f32, bf16 or int8",
        |s, v| {
            s.engine.precision = v.parse()?;
            Ok(())
        },
    ),
    key(
        "engine.batch_tokens",
        "0",
        Shape::Number,
        "tokens that one forward pass computes, padding counted; 0: 768, on a CUDA device 16,384",
        |s, v| {
            s.engine.batch_tokens = whole(v, 0, 65_536)?;
            Ok(())
        },
    ),
    aliased(
        &["GAZETTEER_BATCH_SIZE"],
        key("claim.batch_articles", "64", Shape::Number, "articles leased by one claim", |s, v| {
            s.claim.batch_articles = whole(v, 1, 1_000)?;
            Ok(())
        }),
    ),
    key("claim.source", "", Shape::Text, "only articles of this candidate_links.source; empty: all", |s, v| {
        s.claim.source = v.to_owned();
        Ok(())
    }),
    aliased(
        &["POLL_INTERVAL"],
        key(
            "claim.poll_interval",
            "2s",
            Shape::Duration,
            "pause after a claim that found nothing (a notification ends it at once)",
            |s, v| {
                s.claim.poll_interval = duration(v, INSTANT, HOUR)?;
                Ok(())
            },
        ),
    ),
    aliased(
        &["IDLE_POLL_INTERVAL", "IDLE_SLEEP_SECONDS"],
        key(
            "claim.idle_poll_interval",
            "30s",
            Shape::Duration,
            "longest pause: it doubles up to this while claims find nothing",
            |s, v| {
                s.claim.idle_poll_interval = duration(v, INSTANT, DAY)?;
                Ok(())
            },
        ),
    ),
    key(
        "claim.lease",
        "60s",
        Shape::Duration,
        "a claimed article returns to the queue when its process has not renewed the lease for this long; renewed every third of it",
        |s, v| {
            s.claim.lease = duration(v, SECOND, DAY)?;
            Ok(())
        },
    ),
    key(
        "discovery.interval",
        "10s",
        Shape::Duration,
        "how often new articles are looked for along articles.extracted_at; 0: never (the trigger alone)",
        |s, v| {
            s.discovery.interval = duration(v, Duration::ZERO, DAY)?;
            Ok(())
        },
    ),
    key(
        "discovery.reconcile_interval",
        "6h",
        Shape::Duration,
        "how often the whole table is walked for what was missed; 0: never",
        |s, v| {
            s.discovery.reconcile_interval = duration(v, Duration::ZERO, 30 * DAY)?;
            Ok(())
        },
    ),
    key("discovery.chunk_articles", "5000", Shape::Number, "articles looked at by one statement of either walk", |s, v| {
        s.discovery.chunk_articles = whole(v, 10, 100_000)?;
        Ok(())
    }),
    key("discovery.chunk_pause", "200ms", Shape::Duration, "pause between two chunks of the walk over the whole table", |s, v| {
        s.discovery.chunk_pause = duration(v, Duration::ZERO, HOUR)?;
        Ok(())
    }),
    key("retry.max_attempts", "5", Shape::Number, "failed attempts after which an article is quarantined", |s, v| {
        s.retry.max_attempts = whole(v, 1, 100)?;
        Ok(())
    }),
    key(
        "retry.max_crashes",
        "3",
        Shape::Number,
        "process deaths while an article was tried alone, after which it is quarantined",
        |s, v| {
            s.retry.max_crashes = whole(v, 1, 100)?;
            Ok(())
        },
    ),
    key("retry.base_delay", "10s", Shape::Duration, "delay before the first retry; doubles, with jitter", |s, v| {
        s.retry.base_delay = duration(v, Duration::ZERO, DAY)?;
        Ok(())
    }),
    key("retry.max_delay", "10m", Shape::Duration, "longest delay between retries", |s, v| {
        s.retry.max_delay = duration(v, Duration::ZERO, DAY)?;
        Ok(())
    }),
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
];

/// What is around the work: its face to the outside, its end.
const AROUND: &[Key] = &[
    key(
        "http.address",
        "127.0.0.1:8080",
        Shape::Text,
        "address of the live page, /metrics, /livez and /readyz; empty: none; port 0: any free one (logged)",
        |s, v| {
            s.http.address = match v {
                "" => None,
                _ => Some(v.parse().map_err(|_| format!("{v:?} is not an address like 127.0.0.1:8080"))?),
            };
            Ok(())
        },
    ),
    key(
        "http.show_text",
        "false",
        Shape::Switch,
        "whether the live page shows the last articles' texts with the names in them, to whoever reaches the address",
        |s, v| {
            s.http.show_text = switch(v)?;
            Ok(())
        },
    ),
    key("log.level", "info", Shape::Text, "error, warn, info, debug or trace", |s, v| {
        s.log.level = one_of(v, &["error", "warn", "info", "debug", "trace"])?;
        Ok(())
    }),
    key("log.format", "text", Shape::Text, "text or json (one object a line)", |s, v| {
        s.log.format = if one_of(v, &["text", "json"])? == "json" { LogFormat::Json } else { LogFormat::Text };
        Ok(())
    }),
    key(
        "shutdown.drain_timeout",
        "25s",
        Shape::Duration,
        "time given to the work in flight after SIGTERM; what is left goes back to the queue",
        |s, v| {
            s.shutdown.drain_timeout = duration(v, Duration::ZERO, HOUR)?;
            Ok(())
        },
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_valid() {
        let mut settings = Settings::default();
        for key in KEYS {
            (key.set)(&mut settings, key.default).unwrap_or_else(|error| panic!("{}: {error}", key.name));
        }
        assert_eq!(settings.claim.batch_articles, 64);
    }

    #[test]
    fn variables_are_distinct() {
        let mut names: Vec<String> =
            KEYS.iter().map(Key::variable).chain(KEYS.iter().flat_map(|k| k.aliases).map(|&a| a.to_owned())).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
