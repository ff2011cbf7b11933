//! Pure: a status in words, line by line, the same in the live view and in plain text. Whatever came from outside is made harmless
//! first: a name in the database must not steer the reader's terminal.

use bytesize::ByteSize;

use crate::http::promise::{Line, Standing, grouped};
use crate::http::status::Whole;
use crate::live::InQuarantine;
use crate::live::articles::Recent;
use crate::live::errors::Occurrence;
use crate::live::history::StageNow;
use crate::live::workers::WorkerNow;

/// Without anything that a terminal would obey.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Two units at most: `0.4s`, `12s`, `3m 12s`, `4h 05m`, `3d 04h`.
pub fn age(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..10 => format!("{:.1}s", seconds.max(0.0)),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{}d {:02}h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// Seconds between two moments in milliseconds.
pub fn seconds_between(earlier: u64, later: u64) -> f64 {
    later.saturating_sub(earlier) as f64 / 1000.0
}

/// Time of the day, UTC, of Unix milliseconds.
pub fn clock(millis: u64) -> String {
    let seconds = millis / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

pub fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

/// Loud where somebody has to look, so that no colour is needed.
pub fn standing(line: &Line) -> &'static str {
    match line.standing {
        Standing::Kept => "kept",
        Standing::Look => "LOOK",
        Standing::Broken => "BROKEN",
        Standing::Open => "open",
    }
}

/// Which process this is.
pub fn process(whole: &Whole) -> String {
    let process = &whole.status.process;
    let up = age(seconds_between(process.started, whole.status.at));
    shown(&format!("nerd {} {} on {}, pid {}, up {up}", process.version, process.command, process.host, whole.status.readiness.pid))
}

/// One word on how it stands.
pub fn readiness(whole: &Whole) -> &'static str {
    let readiness = &whole.status.readiness;
    match (whole.status.frozen.is_empty(), readiness.draining, readiness.ready, readiness.pauses.is_empty()) {
        (false, ..) => "FROZEN",
        (_, true, ..) => "DRAINING",
        (.., false, _) => "NOT READY",
        (.., false) => "PAUSED",
        _ => "ready",
    }
}

/// What somebody who looks should know first; where all is well, what the process works with.
pub fn news(whole: &Whole) -> Vec<String> {
    let (status, readiness) = (&whole.status, &whole.status.readiness);
    let mut news = Vec::new();
    if !status.frozen.is_empty() {
        news.push(format!("does not move any more: {}", status.frozen.join(", ")));
    }
    news.extend(readiness.reasons.iter().cloned());
    news.extend(readiness.memory.clone());
    news.extend(readiness.pauses.iter().map(|pause| format!("paused: {pause}")));
    if let Some(rollover) = readiness.rollover.as_ref().filter(|rollover| !matches!(&*rollover.outcome, "done" | "unchanged")) {
        news.push(format!("rollover {}: {} {}", rollover.number, rollover.outcome, rollover.message).trim_end().to_owned());
    }
    if let Some(fault) = &readiness.last_fault {
        news.push(format!("last fault: {fault}"));
    }
    news.push(format!("model {}, database {}", readiness.model.as_deref().unwrap_or("not loaded yet"), readiness.database));
    news.iter().map(|one| shown(one)).collect()
}

pub fn memory(whole: &Whole) -> String {
    let memory = &whole.status.memory;
    let baseline = match memory.baseline {
        0 => "no baseline yet".to_owned(),
        baseline => format!("{:+.1} % of {}", (memory.resident as f64 / baseline as f64 - 1.0) * 100.0, size(baseline)),
    };
    let limit = if memory.limit == 0 { "no limit".to_owned() } else { format!("limit {}", size(memory.limit)) };
    format!("{}, {baseline}, peak {}, {limit}", size(memory.resident), size(memory.peak))
}

pub fn pace(whole: &Whole) -> String {
    let totals = &whole.status.totals;
    let now = whole.status.second.map_or(0.0, |point| point.words_per_second);
    format!("{}/s, {} read, {} entities", grouped(now.round() as u64), grouped(totals.words), grouped(totals.entities))
}

pub fn queue(whole: &Whole) -> String {
    let queue = &whole.status.totals.queue;
    let about = if queue.estimated { "about " } else { "" };
    let oldest = if queue.pending == 0 { String::new() } else { format!(", the oldest for {}", age(queue.oldest_age_seconds)) };
    let commit = match queue.last_commit {
        none if none <= 0.0 => "nothing committed yet".to_owned(),
        at => format!("last commit {} ago", age(whole.status.at as f64 / 1000.0 - at)),
    };
    let in_quarantine = if queue.quarantined == 0 { "none" } else { &grouped(queue.quarantined) };
    format!(
        "{about}{} waiting{oldest}; {} leased, {} in flight, {in_quarantine} in quarantine; {commit}",
        grouped(queue.pending),
        grouped(queue.leased),
        queue.in_flight
    )
}

pub fn promise(line: &Line) -> String {
    shown(&format!("{}: {}, {}", line.promise, line.figure, line.said))
}

/// `alive`: seconds that the process lives.
pub fn worker(worker: &WorkerNow, alive: f64) -> String {
    let with = if worker.articles == 0 { String::new() } else { format!(" with {} articles", worker.articles) };
    let share = if alive > 0.0 { (worker.busy_seconds / alive * 100.0).min(100.0) } else { 0.0 };
    let doing = format!("{} {}{with}", worker.state, age(worker.seconds));
    shown(&format!("{:>2} {doing:<28} {share:>3.0} % busy, {} done", worker.number, grouped(worker.done)))
}

/// Milliseconds a batch: of the last minute, else since the start; `None` before the first.
pub fn stage_mean(stage: &StageNow) -> Option<f64> {
    let mean = |seconds: f64, batches: u64| (batches > 0).then(|| seconds * 1000.0 / batches as f64);
    mean(stage.recent_seconds, stage.recent_batches).or_else(|| mean(stage.seconds, stage.batches))
}

pub fn stage(stage: &StageNow) -> String {
    let mean = stage_mean(stage).map_or_else(|| "-".to_owned(), |mean| format!("{mean:.1} ms"));
    shown(&format!(
        "{:<9} {mean:>10} a batch, {} last minute, {} in all",
        stage.stage,
        grouped(stage.recent_batches),
        grouped(stage.batches)
    ))
}

pub fn error(error: &Occurrence) -> String {
    let times = if error.times > 1 { format!(" ({} times)", grouped(error.times)) } else { String::new() };
    let article = error.article.as_ref().map(|article| format!(" {article}")).unwrap_or_default();
    shown(&format!("{} {}{article}{times}: {}", clock(error.at), error.kind, error.message))
}

pub fn quarantined(one: &InQuarantine) -> String {
    let error = one.error.as_deref().unwrap_or("no error is written down");
    shown(&format!("{} ({}) attempts {}, crashes {}, since {}: {error}", one.article, one.source, one.attempts, one.crashes, one.since))
}

/// What was found by label; never a word of the text, even where the daemon shows it.
pub fn article(one: &Recent) -> String {
    let found: Vec<String> = one.found.iter().map(|(label, count)| format!("{label} {count}")).collect();
    let found = if found.is_empty() { "nothing found".to_owned() } else { found.join(", ") };
    shown(&format!("{} {} ({}) {} words: {found}", clock(one.at), one.article, one.source, grouped(one.words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units_at_most() {
        let written = [0.44, 59.0, 192.0, 14_700.0, 273_600.0, -1.0].map(age);
        assert_eq!(written, ["0.4s", "59s", "3m 12s", "4h 05m", "3d 04h", "0.0s"]);
    }

    #[test]
    fn a_name_does_not_steer_the_terminal() {
        assert_eq!(shown("a\u{1b}[31mb\n\u{9b}c"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c");
    }

    #[test]
    fn times_of_the_day_from_any_clock() {
        assert_eq!([0, 86_399_999, 1_769_829_125_000, u64::MAX].map(clock), ["00:00:00", "23:59:59", "03:12:05", "14:25:51"]);
    }
}
