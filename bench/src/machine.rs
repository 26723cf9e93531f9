//! What the figures were measured on, the disk included.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) kernel: String,
    pub(crate) memory_mib: u64,
    pub(crate) file_system: String,
    /// Writes of 4 KiB, each synced with fdatasync before the next, over bytes that were written before.
    pub(crate) syncs_per_s: f64,
    /// 512 MiB written in pieces of 1 MiB and synced at the end.
    pub(crate) write_mib_per_s: f64,
}

impl Machine {
    /// Looks, and tries the disk below a directory for some two seconds.
    pub(crate) fn look(data: &Path) -> anyhow::Result<Machine> {
        let file = tempfile::tempfile_in(data)?;
        let write_mib_per_s = sequential(&file)?;
        Ok(Machine {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok())
                .unwrap_or(0)
                / 1024,
            file_system: file_system(&read("/proc/mounts"), &data.canonicalize()?)
                .unwrap_or_else(|| "unknown".into()),
            syncs_per_s: syncs(&file)?,
            write_mib_per_s,
        })
    }
}

const TRIAL_BYTES: u64 = 512 << 20;

fn sequential(file: &File) -> anyhow::Result<f64> {
    let piece = vec![0x5a; 1 << 20];
    let start = Instant::now();
    for at in (0..TRIAL_BYTES).step_by(piece.len()) {
        file.write_all_at(&piece, at)?;
    }
    file.sync_data()?;
    Ok((TRIAL_BYTES >> 20) as f64 / start.elapsed().as_secs_f64())
}

fn syncs(file: &File) -> anyhow::Result<f64> {
    let piece = [0xa5; 4096];
    let start = Instant::now();
    let mut count = 0u64;
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&piece, count * piece.len() as u64 % TRIAL_BYTES)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of a `name: value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn file_system(mounts: &str, directory: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((Path::new(words.nth(1)?), words.next()?))
    });
    let over = mounts.filter(|(place, _)| directory.starts_with(place));
    // Of two mounts on one place the later one hides the earlier, and `max_by_key` takes the last of equals.
    over.max_by_key(|(place, _)| place.components().count()).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/b /run/data xfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/run/data/x")).as_deref(), Some("xfs"));
        assert_eq!(file_system(mounts, Path::new("/run/database")).as_deref(), Some("tmpfs"));
        assert_eq!(file_system(mounts, Path::new("/home")).as_deref(), Some("ext4"));
    }
}
