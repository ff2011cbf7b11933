//! Pure: judges what was found of a database and of a machine, and says for everything that is wanting what to do. `nerd doctor`
//! asks and shows.

use std::time::Duration;

use bytesize::ByteSize;
use serde::Serialize;

use super::footprint::Footprint;
use crate::store::StoreError;
use crate::store::postgres::inspect::Inspection;
use crate::store::postgres::migrate::{SchemaState, refuse_unless_current};
use crate::store::postgres::needs;

/// From this share of the limit on, in hundredths, a process calls its memory tight.
const TIGHT_PERCENT: u64 = 92;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// The daemon works, and something is not as it should be.
    Warn,
    /// It does not work so, or not for long.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub about: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    pub fn warn(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub fn fail(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Fail, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// A database that could not be looked at.
pub fn unreachable(place: &str, error: &StoreError) -> Finding {
    let remedy = match error.kind() {
        "permission" => "let the role log in and CONNECT, or correct user and password in DATABASE_URL",
        "timeout" | "connect" => "correct DATABASE_URL, start the server, or open the way to it",
        _ => "read the message, then the server's log",
    };
    Finding::fail("database", format!("{place}: {error}"), remedy)
}

/// What is said of a database; `walk`: how often new articles are looked for without the trigger, zero for never.
pub fn judge_database(place: &str, found: &Inspection, walk: Duration) -> Vec<Finding> {
    let mut all = vec![server(place, found), schema(found)];
    match found.lacking.as_slice() {
        [] => all.push(Finding::ok("rights", format!("the role {} may do all that the daemon does", found.role))),
        lacking => all.extend(
            lacking.iter().map(|one| Finding::fail("rights", format!("the role {} lacks {}", found.role, one.right), one.grant.clone())),
        ),
    }
    if found.schema == Ok(SchemaState::Current) {
        match found.broken_indexes.as_slice() {
            [] => all.push(Finding::ok("indexes", format!("the {} of the schema nerd are there and valid", needs::OWN_INDEXES.len()))),
            broken => all.extend(broken.iter().map(|index| {
                let state = if index.invalid { "invalid: its build was interrupted" } else { "missing" };
                Finding::fail("indexes", format!("nerd.{} is {state}", index.name), index.repair.clone())
            })),
        }
        all.push(trigger(found, walk));
    }
    all.extend(host(found));
    all
}

fn server(place: &str, found: &Inspection) -> Finding {
    let told = format!("{place}: PostgreSQL {}", found.server);
    if found.standby {
        return Finding::fail("database", format!("{told}, a standby that takes no writes"), "let DATABASE_URL lead to the primary");
    }
    if found.major < needs::OLDEST_SERVER {
        return Finding::fail("database", told, format!("PostgreSQL {} or later is needed", needs::OLDEST_SERVER));
    }
    Finding::ok("database", told)
}

fn schema(found: &Inspection) -> Finding {
    match &found.schema {
        Err(error) => {
            Finding::fail("schema", format!("its version cannot be read: {error}"), "give the rights below, or run `nerd migrate`")
        }
        Ok(state) => match refuse_unless_current(*state) {
            Ok(()) => Finding::ok("schema", format!("nerd at version {}", crate::store::postgres::migrate::newest())),
            Err(error) => {
                let newer = matches!(state, SchemaState::New(_));
                Finding::fail("schema", error.to_string(), if newer { "install the newer nerd" } else { "nerd migrate, as an owner" })
            }
        },
    }
}

/// It may be left out, if the walk finds what it would have told.
fn trigger(found: &Inspection, walk: Duration) -> Finding {
    const REMEDY: &str = "nerd migrate --with-trigger, as the owner of the host's articles";
    let gone: Vec<&str> = needs::TRIGGERS.iter().copied().filter(|name| !found.triggers.iter().any(|there| there == name)).collect();
    let walked = humantime::format_duration(walk);
    match (gone.as_slice(), found.trigger_wanted) {
        ([], _) => Finding::ok("trigger", "on articles and enabled: new ones are seen at once"),
        (gone, true) => Finding::fail("trigger", format!("{} was installed, and is gone or disabled", gone.join(" and ")), REMEDY),
        (_, false) if walk.is_zero() => Finding::fail("trigger", "none, and discovery.interval is 0: nobody finds new articles", REMEDY),
        (_, false) => Finding::ok("trigger", format!("none: new articles are looked for every {walked}")),
    }
}

fn host(found: &Inspection) -> Vec<Finding> {
    const TABLES: &str = "correct database.host_schema; for a fresh install, nerd migrate --with-host-tables";
    let mut all: Vec<Finding> = found.missing_tables.iter().map(|name| Finding::fail("host", format!("no table {name}"), TABLES)).collect();
    for column in &found.missing_columns {
        all.push(Finding::fail("host", format!("no column {column}"), "run the host's own migrations: nerd reads or writes this column"));
    }
    for (table, column) in &found.missing_host_indexes {
        let found =
            format!("no index of {table} begins with {column}: a statement of every batch, or of every walk, reads the whole table");
        all.push(Finding::warn("host", found, format!("CREATE INDEX CONCURRENTLY ON {table} ({column})")));
    }
    if all.is_empty() {
        all.push(Finding::ok("host", "the tables, columns and indexes that nerd reads and writes are there"));
    }
    all
}

/// Whether a process fits. `limit`: that of the configuration or of the control group; `None`: the machine's memory is all there is.
pub fn judge_memory(need: Footprint, limit: Option<u64>, machine: u64) -> Finding {
    let (bytes, whose) = match limit {
        Some(limit) if machine == 0 || limit <= machine => (limit, "limit"),
        _ => (machine, "machine's memory"),
    };
    let told =
        format!("{need} (foretold from what was measured: README, “Fast and flat”); the {whose} is {}", ByteSize(bytes).display().si());
    let smaller = "fewer workers (engine.workers), a smaller engine.batch_tokens, or --profile fast";
    if bytes == 0 {
        return Finding::warn("memory", format!("{need}; neither a limit nor the machine's memory is known"), "see that there is as much");
    }
    let wanted = ByteSize(need.needed() * 100 / TIGHT_PERCENT + 1).display().si();
    if need.needed() > bytes {
        return Finding::fail("memory", told, format!("give it {wanted} at least; {smaller}"));
    }
    if need.most > bytes * TIGHT_PERCENT / 100 {
        let remedy = format!(
            "it will slow down, one article at a time; give it {}, or a smaller gazetteer.memory",
            ByteSize(need.most * 100 / TIGHT_PERCENT + 1).display().si()
        );
        return Finding::warn("memory", told, remedy);
    }
    Finding::ok("memory", told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Inspection {
        Inspection {
            server: "17.2".to_owned(),
            major: 17,
            standby: false,
            role: "r".to_owned(),
            schema: Ok(SchemaState::Current),
            lacking: vec![],
            missing_tables: vec![],
            missing_columns: vec![],
            broken_indexes: vec![],
            missing_host_indexes: vec![],
            triggers: needs::TRIGGERS.iter().map(|&name| name.to_owned()).collect(),
            trigger_wanted: true,
            gazetteer_rows: 0,
        }
    }

    fn worst(found: &Inspection, walk: u64) -> (Verdict, String) {
        let all = judge_database("h:1/d", found, Duration::from_secs(walk));
        let worst = all.into_iter().max_by_key(|finding| finding.verdict).unwrap();
        (worst.verdict, format!("{} | {}", worst.found, worst.remedy.unwrap_or_default()))
    }

    #[test]
    fn what_cannot_be_made_in_a_test_cluster_is_judged_too() {
        assert_eq!(worst(&healthy(), 60).0, Verdict::Ok);
        let (verdict, told) = worst(&Inspection { standby: true, ..healthy() }, 60);
        assert!(verdict == Verdict::Fail && told.contains("primary"), "{told}");
        let (verdict, told) = worst(&Inspection { major: 12, ..healthy() }, 60);
        assert!(verdict == Verdict::Fail && told.contains("PostgreSQL 13"), "{told}");
        let (verdict, told) = worst(&Inspection { schema: Ok(SchemaState::New(99)), ..healthy() }, 60);
        assert!(verdict == Verdict::Fail && told.contains("newer"), "{told}");
    }

    #[test]
    fn the_trigger_may_be_left_out_where_somebody_looks() {
        let without = Inspection { triggers: vec![], trigger_wanted: false, ..healthy() };
        assert_eq!(worst(&without, 60).0, Verdict::Ok);
        assert_eq!(worst(&without, 0).0, Verdict::Fail);
        let half = Inspection { triggers: vec![needs::TRIGGERS[0].to_owned()], ..healthy() };
        let (verdict, told) = worst(&half, 60);
        assert!(verdict == Verdict::Fail && told.contains(needs::TRIGGERS[1]) && !told.contains(needs::TRIGGERS[0]), "{told}");
    }

    #[test]
    fn memory_fits_is_tight_or_does_not() {
        let need = Footprint { resident: 180, loading: 200, most: 260 };
        let verdict = |limit, machine| judge_memory(need, limit, machine).verdict;
        assert_eq!(verdict(Some(300), 1_000), Verdict::Ok);
        assert_eq!(verdict(Some(270), 1_000), Verdict::Warn);
        assert_eq!(verdict(Some(199), 1_000), Verdict::Fail);
        assert_eq!(verdict(None, 1_000), Verdict::Ok);
        assert_eq!(verdict(None, 100), Verdict::Fail);
        assert_eq!(verdict(Some(1_000), 100), Verdict::Fail, "a limit above what there is");
        assert_eq!(verdict(None, 0), Verdict::Warn);
    }
}
