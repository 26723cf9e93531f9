//! What the figures were measured on, as far as Linux tells.

use std::{fs, path::Path};

use serde::Serialize;

/// The machine under the measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) memory_mib: u64,
}

impl Machine {
    pub(crate) fn look() -> Machine {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into());
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        let memory_mib =
            field(&read("/proc/meminfo"), "MemTotal").and_then(|text| kib(&text)).unwrap_or(0) / 1024;
        Machine { cores, cpu, kernel, memory_mib }
    }
}

/// Resident memory of a process in bytes, if the system tells.
pub(crate) fn resident_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some(kib(&field(&status, "VmRSS")?)? * 1024)
}

/// The kind of file system a directory is on, such as `ext4`; `tmpfs` means that a sync costs nothing there.
pub(crate) fn file_system(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    kind_of_mount(&mounts, &directory)
}

fn kind_of_mount(mounts: &str, directory: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((Path::new(words.nth(1)?), words.next()?))
    });
    let over = mounts.filter(|(place, _)| directory.starts_with(place));
    // Of two mounts on one place the later one hides the earlier, and `max_by_key` takes the last of equals.
    over.max_by_key(|(place, _)| place.components().count()).map(|(_, kind)| kind.to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of a `name: value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// `123 kB` as a number.
fn kib(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_this_machine_cores() {
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| bytes > 100_000));
        let machine = Machine::look();
        assert!(machine.cores > 0 && machine.memory_mib > 0 && !machine.kernel.is_empty(), "{machine:?}");
    }

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/b /run/data xfs rw 0 0\n/dev/c / btrfs rw 0 0\n";
        let kind = |path: &str| kind_of_mount(mounts, Path::new(path)).expect("a mount");
        assert_eq!(kind("/run/data/x"), "xfs");
        assert_eq!(kind("/run/database"), "tmpfs");
        assert_eq!(kind("/home"), "btrfs");
    }
}
