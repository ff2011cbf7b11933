//! What an experiment did and what came of it, as a table for people.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};
use std::time::Duration;

use comfy_table::{Table, presets};

/// Faults of one kind, and how long the fleet took after each to commit again.
#[derive(Default)]
struct Kind {
    injected: u64,
    recovered: Vec<Duration>,
}

#[derive(Default)]
pub struct Report {
    kinds: BTreeMap<String, Kind>,
    lines: Vec<(String, String)>,
}

impl Report {
    pub fn injected(&mut self, fault: impl Debug, times: u64) {
        self.kinds.entry(format!("{fault:?}")).or_default().injected += times;
    }

    pub fn recovered(&mut self, fault: impl Debug, after: Duration) {
        self.kinds.entry(format!("{fault:?}")).or_default().recovered.push(after);
    }

    pub fn line(&mut self, name: &str, value: impl Display) {
        self.lines.push((name.to_owned(), value.to_string()));
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults = Table::new();
        faults.load_style(presets::ASCII_MARKDOWN);
        faults.set_header(["fault", "injected", "commits again after: median", "at most"]);
        for (name, kind) in &self.kinds {
            let mut times = kind.recovered.clone();
            times.sort();
            let show = |time: Option<&Duration>| time.map_or_else(String::new, |time| format!("{:.1} s", time.as_secs_f64()));
            faults.add_row([name.clone(), kind.injected.to_string(), show(times.get(times.len() / 2)), show(times.last())]);
        }
        let mut outcome = Table::new();
        outcome.load_style(presets::ASCII_MARKDOWN);
        outcome.set_header(["outcome", ""]);
        for (name, value) in &self.lines {
            outcome.add_row([name, value]);
        }
        write!(f, "{faults}\n\n{outcome}\n")
    }
}
