//! Memory by the operating system's account: the process's resident set and its control group. (An allocator's own figures
//! would not see what libtorch holds.) Linux; elsewhere the figures are 0.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of physical memory the process holds now (`VmRSS` of `/proc/self/status`).
pub fn resident_bytes() -> u64 {
    status_field("VmRSS:")
}

/// The most it ever held (`VmHWM`).
pub fn peak_resident_bytes() -> u64 {
    status_field("VmHWM:")
}

/// What the machine has in all; 0 where that is not known.
pub fn machine_bytes() -> u64 {
    kibibytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:").unwrap_or(0) * 1024
}

fn status_field(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kibibytes(&status, name).unwrap_or(0) * 1024
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// What the control group holds and may hold, in bytes; `None` where there is no group or no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlGroup {
    pub current: Option<u64>,
    /// `current` without the file pages that the kernel drops before it kills: what a cluster evicts by.
    pub working_set: Option<u64>,
    pub limit: Option<u64>,
}

/// Reads the process's control group, version 2 or 1.
pub fn control_group() -> ControlGroup {
    control_group_below(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
}

fn control_group_below(root: &Path, membership: &str) -> ControlGroup {
    // A container sees its own group as the root, whatever path the membership names: try the path, then the root.
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let path = path.trim_start_matches('/');
        if controllers.is_empty() {
            for group in [root.join(path), root.to_owned()] {
                let found = read_group(&group, "memory.current", "memory.max");
                if found.current.is_some() {
                    return found;
                }
            }
        } else if controllers.split(',').any(|name| name == "memory") {
            let memory: PathBuf = root.join("memory");
            for group in [memory.join(path), memory] {
                let found = read_group(&group, "memory.usage_in_bytes", "memory.limit_in_bytes");
                if found.current.is_some() {
                    return found;
                }
            }
        }
    }
    ControlGroup::default()
}

fn read_group(group: &Path, current: &str, limit: &str) -> ControlGroup {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    let current = number(current);
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    // Version 1 counts the groups below only in the fields that begin with `total_`.
    let droppable = statistic(&statistics, "total_inactive_file").or_else(|| statistic(&statistics, "inactive_file")).unwrap_or(0);
    let working_set = current.map(|bytes| bytes.saturating_sub(droppable));
    // Version 1 says "no limit" by a number near the end of the address space.
    ControlGroup { current, working_set, limit: number(limit).filter(|&bytes| bytes < 1 << 60) }
}

fn statistic(statistics: &str, name: &str) -> Option<u64> {
    statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory() {
        assert!(resident_bytes() > 1 << 20);
        assert!(peak_resident_bytes() >= resident_bytes() / 2);
        assert!(machine_bytes() > resident_bytes());
    }

    #[test]
    fn reads_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("pod/nerd");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.current"), "1000\n").unwrap();
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(
            control_group_below(root.path(), "0::/pod/nerd\n"),
            ControlGroup { current: Some(1000), working_set: Some(1000), limit: None }
        );
        fs::write(group.join("memory.stat"), "anon 500\ninactive_file 300\nactive_file 200\n").unwrap();
        assert_eq!(control_group_below(root.path(), "0::/pod/nerd\n").working_set, Some(700));
        fs::write(group.join("memory.max"), "5000\n").unwrap();
        assert_eq!(control_group_below(root.path(), "0::/pod/nerd\n").limit, Some(5000));
        let old = root.path().join("memory");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("memory.usage_in_bytes"), "7\n").unwrap();
        fs::write(old.join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        fs::write(old.join("memory.stat"), "inactive_file 1\ntotal_inactive_file 5\n").unwrap();
        assert_eq!(
            control_group_below(root.path(), "4:cpu,memory:/docker/x\n"),
            ControlGroup { current: Some(7), working_set: Some(2), limit: None }
        );
        assert_eq!(control_group_below(root.path(), ""), ControlGroup::default());
    }
}
