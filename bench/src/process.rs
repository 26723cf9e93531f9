//! Servers as children: started in a directory of their own, frozen while another is measured, weighed, and ended.
//!
//! Only what was started here is touched, by process id. A server's children count with it.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// A child and whatever it starts. It ends with this value.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program; what it says goes to a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Process> {
        let said = File::options()
            .append(true)
            .create(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Process { child })
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("the server ended: {status}"),
            None => Ok(()),
        }
    }

    /// It and all below it get no processor time until [`thaw`](Self::thaw).
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Resident memory of it and all below it; what they share counts once.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.all().into_iter().map(resident_bytes).sum()
    }

    /// Asks it to end and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.thaw();
        signal(self.child.id(), Signal::TERM);
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, what: Signal) {
        for id in self.all() {
            signal(id, what);
        }
    }

    fn all(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let mut at = 0;
        while let Some(id) = all.get(at) {
            all.extend(children(*id));
            at += 1;
        }
        all
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The data goes with it, so there is nothing that a graceful stop would save.
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

fn signal(id: u32, what: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // One that has just ended needs no signal.
        let _ = kill_process(pid, what);
    }
}

fn children(id: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Its own memory, and its share of what it has in common with others.
fn resident_bytes(id: u32) -> u64 {
    let read = std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    let line = read.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program on the path or in one of these places.
pub(crate) fn program(name: &str, also: &[&Path]) -> anyhow::Result<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = also.iter().map(|place| place.to_path_buf()).chain(std::env::split_paths(&path));
    places.map(|place| place.join(name)).find(|file| file.is_file()).with_context(|| {
        format!(
            "{name} is not installed; `bench/install.sh` installs all peers, `--peers` chooses among them"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_starts_is_weighed_frozen_and_ended_with_it() {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let process = Process::start(&mut command, log.path()).expect("a shell");
        let grandchild = loop {
            let said = std::fs::read_to_string(log.path()).expect("the log");
            if let Some(line) = said.lines().next().filter(|_| said.ends_with('\n')) {
                break line.parse::<u32>().expect("a process id");
            }
            std::thread::yield_now();
        };
        assert_eq!(process.all().len(), 2);
        assert!(process.resident_bytes() > 0);
        process.freeze();
        let state = |id: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
        };
        while state(grandchild) != Some('T') {
            std::thread::yield_now();
        }
        process.thaw();
        drop(process);
        while !matches!(state(grandchild), None | Some('Z')) {
            std::thread::yield_now();
        }
    }
}
