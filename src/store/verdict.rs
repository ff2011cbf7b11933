//! Pure: the two-part verdict over the load ledger. No process loaded more often than it has workers (a reload inside a
//! process), and no host started more processes than allowed (a restart storm, which no process's own counter can show).

use std::collections::BTreeMap;

use serde::Serialize;

/// The loads of one process life, summed over its ledger rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessLoads {
    pub host: String,
    pub command: String,
    pub boot_id: String,
    /// Workers it was configured with.
    pub pool_size: u64,
    pub startup: u64,
    pub restart: u64,
    pub rollover: u64,
    /// RFC 3339, of its first load.
    pub first_load: String,
}

/// What is allowed within one day.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Process starts a host and day, of the daemon.
    pub max_starts: u64,
    /// The same for every other command that loads the model (`extract` from cron).
    pub max_jobs: u64,
    /// Length of the window looked at, in days; less than a day counts as one.
    pub days: f64,
}

impl Allowance {
    fn starts(&self, command: &str) -> u64 {
        let a_day = if command == "run" { self.max_starts } else { self.max_jobs };
        (a_day as f64 * self.days.max(1.0)).ceil() as u64
    }
}

/// Starts and loads of one command on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostSummary {
    pub host: String,
    pub command: String,
    pub starts: u64,
    pub allowed_starts: u64,
    pub loads: u64,
}

/// The verdict; both lists empty means that it passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub passed: bool,
    pub hosts: Vec<HostSummary>,
    /// Processes that loaded more often than they have workers.
    pub reloads: Vec<ProcessLoads>,
    /// Hosts that started a command more often than allowed.
    pub storms: Vec<HostSummary>,
}

/// Judges the processes of a window. Loads with the reason `rollover` were asked for and do not count.
pub fn judge(processes: &[ProcessLoads], allowance: Allowance) -> Verdict {
    let mut hosts: BTreeMap<(&str, &str), HostSummary> = BTreeMap::new();
    for process in processes {
        let summary = hosts.entry((&process.host, &process.command)).or_insert_with(|| HostSummary {
            host: process.host.clone(),
            command: process.command.clone(),
            starts: 0,
            allowed_starts: allowance.starts(&process.command),
            loads: 0,
        });
        summary.starts += 1;
        summary.loads += process.startup + process.restart + process.rollover;
    }
    let reloads: Vec<ProcessLoads> = processes.iter().filter(|p| p.startup + p.restart > p.pool_size).cloned().collect();
    let hosts: Vec<HostSummary> = hosts.into_values().collect();
    let storms: Vec<HostSummary> = hosts.iter().filter(|h| h.starts > h.allowed_starts).cloned().collect();
    Verdict { passed: reloads.is_empty() && storms.is_empty(), hosts, reloads, storms }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(host: &str, command: &str, boot: usize, startup: u64, restart: u64) -> ProcessLoads {
        ProcessLoads {
            host: host.to_owned(),
            command: command.to_owned(),
            boot_id: boot.to_string(),
            pool_size: 2,
            startup,
            restart,
            rollover: 0,
            first_load: String::new(),
        }
    }

    const DAY: Allowance = Allowance { max_starts: 3, max_jobs: 24, days: 1.0 };

    #[test]
    fn a_healthy_day_passes() {
        let verdict = judge(&[process("a", "run", 1, 2, 0), process("b", "run", 2, 2, 0)], DAY);
        assert!(verdict.passed, "{verdict:?}");
        assert_eq!(verdict.hosts.len(), 2);
    }

    #[test]
    fn a_reload_inside_a_process_fails() {
        let verdict = judge(&[process("a", "run", 1, 2, 1)], DAY);
        assert!(!verdict.passed && verdict.reloads.len() == 1 && verdict.storms.is_empty());
    }

    #[test]
    fn a_process_for_every_batch_fails() {
        let daemons: Vec<ProcessLoads> = (0..288).map(|boot| process("a", "run", boot, 1, 0)).collect();
        let verdict = judge(&daemons, DAY);
        assert!(!verdict.passed && verdict.reloads.is_empty());
        assert_eq!((verdict.storms[0].starts, verdict.storms[0].allowed_starts), (288, 3));
        let jobs: Vec<ProcessLoads> = (0..288).map(|boot| process("a", "extract", boot, 1, 0)).collect();
        assert!(!judge(&jobs, DAY).passed);
    }

    #[test]
    fn the_allowance_grows_with_the_window_and_rollovers_are_free() {
        let processes: Vec<ProcessLoads> = (0..6).map(|boot| process("a", "run", boot, 2, 0)).collect();
        assert!(!judge(&processes, DAY).passed);
        assert!(judge(&processes, Allowance { days: 2.0, ..DAY }).passed);
        let rolled = ProcessLoads { rollover: 2, ..process("a", "run", 1, 2, 0) };
        assert!(judge(&[rolled], DAY).passed);
    }
}
