//! Pure: the promise in four lines, each with its figure and whether it is kept, from what this process has counted.

use std::borrow::Cow;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::metrics::totals::Totals;

/// Growth over the baseline from which on memory is no longer called flat; the alert's own line.
const FLAT_BELOW: f64 = 0.25;
/// Daemons that a day may start on a host, as `nerd prove-loads` allows by itself.
const STARTS_A_DAY: u64 = 3;

/// How a line of the promise stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Kept,
    /// Worth a look; what is said tells why.
    Look,
    Broken,
    /// Nothing to judge yet.
    Open,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Line {
    pub promise: Cow<'static, str>,
    pub figure: String,
    pub said: String,
    pub standing: Standing,
}

/// Every line; `workers`: of the pool; `resident`: bytes now.
pub fn lines(totals: &Totals, workers: u64, resident: u64) -> Vec<Line> {
    vec![weights(totals, workers), loads(totals, workers), memory(totals, resident), once(totals)]
}

fn weights(totals: &Totals, workers: u64) -> Line {
    let allowed = 1 + totals.rollovers;
    let standing = match totals.weight_reads {
        0 => Standing::Open,
        reads if reads <= allowed => Standing::Kept,
        _ => Standing::Broken,
    };
    let rollovers =
        if totals.rollovers > 0 { format!(", and once for each of {}", of(totals.rollovers, "rollover")) } else { String::new() };
    Line {
        promise: "Weights are read once".into(),
        figure: of(totals.weight_reads, "read"),
        said: format!("by this process, from disk{rollovers}; {} share them", of(workers, "worker")),
        standing,
    }
}

fn loads(totals: &Totals, workers: u64) -> Line {
    let own = totals.loads_startup + totals.loads_restart;
    let standing = if own > workers {
        Standing::Broken
    } else if totals.daemon_starts_24h > STARTS_A_DAY {
        Standing::Look
    } else if own == 0 {
        Standing::Open
    } else {
        Standing::Kept
    };
    let starts = totals.daemon_starts_24h + totals.job_starts_24h;
    let storm = if standing == Standing::Look { "; nerd prove-loads judges them by host" } else { "" };
    Line {
        promise: "No model is loaded again".into(),
        figure: format!("{own} of {}", of(workers, "load")),
        said: format!(
            "a worker builds its engine once, {} built it again; in 24 hours {} by {} on this database, where the replaced step had 288{storm}",
            totals.loads_restart,
            of(totals.loads_24h, "load"),
            if starts == 1 { "1 process".to_owned() } else { format!("{starts} processes") },
        ),
        standing,
    }
}

fn memory(totals: &Totals, resident: u64) -> Line {
    let promise = Cow::Borrowed("Memory is flat");
    if totals.baseline_bytes == 0 {
        let said = "no baseline yet: it is taken when every worker is warm".to_owned();
        return Line { promise, figure: ByteSize(resident).display().si().to_string(), said, standing: Standing::Open };
    }
    let growth = resident as f64 / totals.baseline_bytes as f64 - 1.0;
    let size = |bytes| ByteSize(bytes).display().si();
    Line {
        promise,
        figure: format!("{:+.1} %", growth * 100.0),
        said: format!("{} now, {} when every worker was warm", size(resident), size(totals.baseline_bytes)),
        standing: if growth < FLAT_BELOW { Standing::Kept } else { Standing::Look },
    }
}

fn once(totals: &Totals) -> Line {
    let settled = totals.done + totals.retried + totals.quarantined + totals.lease_lost;
    let standing = match (settled, totals.quarantined + totals.lease_lost) {
        (0, _) => Standing::Open,
        (_, 0) => Standing::Kept,
        _ => Standing::Look,
    };
    Line {
        promise: "Each article exactly once".into(),
        figure: format!("{} done", grouped(totals.done)),
        said: format!(
            "{} given up to quarantine, {} failed and tried again, {} dropped because a newer claim holds the article",
            totals.quarantined, totals.retried, totals.lease_lost
        ),
        standing,
    }
}

/// In groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let group = |(place, digit): (usize, char)| {
        let comma = place > 0 && (digits.len() - place).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

fn of(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standings(totals: &Totals, resident: u64) -> Vec<Standing> {
        lines(totals, 2, resident).iter().map(|line| line.standing).collect()
    }

    #[test]
    fn before_anything_happened_nothing_is_claimed() {
        assert_eq!(standings(&Totals::default(), 1), [Standing::Open; 4]);
    }

    #[test]
    fn a_healthy_life_keeps_all_four() {
        let totals = Totals {
            weight_reads: 1,
            loads_startup: 2,
            loads_24h: 2,
            daemon_starts_24h: 1,
            baseline_bytes: 180_000_000,
            done: 62,
            ..Totals::default()
        };
        assert_eq!(standings(&totals, 181_000_000), [Standing::Kept; 4]);
        let lines = lines(&totals, 2, 181_000_000);
        assert_eq!(lines.iter().map(|line| line.figure.as_str()).collect::<Vec<_>>(), ["1 read", "2 of 2 loads", "+0.6 %", "62 done"]);
        assert!(lines[1].said.contains("2 loads by 1 process on this database"), "{}", lines[1].said);
    }

    #[test]
    fn long_numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn each_is_seen_to_break() {
        let totals = Totals {
            weight_reads: 2,
            loads_startup: 2,
            loads_restart: 1,
            baseline_bytes: 100,
            done: 1,
            lease_lost: 1,
            ..Totals::default()
        };
        assert_eq!(standings(&totals, 126), [Standing::Broken, Standing::Broken, Standing::Look, Standing::Look]);
        assert_eq!(standings(&Totals { rollovers: 1, ..totals }, 124)[..3], [Standing::Kept, Standing::Broken, Standing::Kept]);
        let storm = Totals { loads_startup: 2, daemon_starts_24h: 288, ..Totals::default() };
        assert_eq!(standings(&storm, 1)[1], Standing::Look);
    }
}
