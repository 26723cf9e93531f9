//! beanstalkd with a binlog that is synced at every write (`-f0`), spoken in its own protocol and pipelined.
//!
//! It has no batches: a list is a hundred `put`s in one pipeline, each synced on its own. There is no command that
//! tells the sync interval, so what is read back is the command line that the system has of the process.

use std::{
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use async_trait::async_trait;

use super::{LOG, Load, Peer, Producer, Setting, Worker, until_ready};
use crate::{
    floor::Floor,
    jobs::{PAYLOAD_BYTES, Payload},
    process::{Process, free_port, program},
    wire::{Giving, Wire, WireProducer, WireWorker, Working},
};

pub(super) struct Beanstalkd {
    process: Option<Process>,
    address: SocketAddr,
    data: PathBuf,
}

pub(super) async fn start(data: &Path) -> anyhow::Result<Beanstalkd> {
    let mut peer = Beanstalkd { process: None, address: free_port()?, data: data.to_owned() };
    peer.begin("-f0").await?;
    Ok(peer)
}

impl Beanstalkd {
    async fn begin(&mut self, sync: &str) -> anyhow::Result<()> {
        let binlog = self.data.join("binlog");
        std::fs::create_dir_all(&binlog)?;
        let mut command = Command::new(program("beanstalkd", &[])?);
        command.args(["-l", "127.0.0.1", "-p", &self.address.port().to_string(), sync, "-b"]).arg(binlog);
        let process = self.process.insert(Process::start(&mut command, &self.data.join(LOG))?);
        let address = self.address;
        until_ready(Duration::from_secs(120), || async { stats(address, "stats").await.map(drop) }).await?;
        process.check()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs, but for a moment while it is started over")
    }
}

/// The lines of a `stats` command.
async fn stats(address: SocketAddr, command: &str) -> anyhow::Result<Option<String>> {
    let request = format!("{command}\r\n");
    let answer =
        Wire::open(address).await?.exchange(request.as_bytes(), |bytes| Ok(reply_length(bytes))).await?;
    if answer.starts_with(b"NOT_FOUND") {
        return Ok(None);
    }
    if !answer.starts_with(b"OK ") {
        bail!("{command} was answered {}", String::from_utf8_lossy(&answer));
    }
    Ok(Some(String::from_utf8(answer)?))
}

fn stat(stats: &str, name: &str) -> Option<String> {
    stats.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.replace('"', "")))
}

/// Length of the reply at the start of these bytes, its data included.
fn reply_length(bytes: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'\n', bytes)? + 1;
    let mut words = bytes[..end - 2].split(|byte| *byte == b' ');
    let has_data = bytes.starts_with(b"OK ") || bytes.starts_with(b"RESERVED ");
    let data = match has_data {
        true => std::str::from_utf8(words.next_back()?).ok()?.parse::<usize>().ok()? + 2,
        false => 0,
    };
    (bytes.len() >= end + data).then_some(end + data)
}

#[async_trait]
impl Peer for Beanstalkd {
    async fn in_force(&self) -> anyhow::Result<Setting> {
        let stats = stats(self.address, "stats").await?.context("no stats")?;
        let id = stat(&stats, "pid").context("no process id")?;
        let line = std::fs::read(format!("/proc/{id}/cmdline"))?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if !words.contains(&&b"-f0"[..]) || !words.contains(&&b"-b"[..]) {
            bail!("it runs without -f0 and -b");
        }
        Ok(Setting {
            version: stat(&stats, "version").unwrap_or_default(),
            durability: "-b DIR -f0".into(),
            list: "100 put in one pipeline".into(),
            single: "put, pipelined".into(),
            working: "delete of each done, reserve of up to 100, in one pipeline".into(),
            urgent: "priority 0, the others 100".into(),
        })
    }

    async fn open(&self, _queue: &str) -> anyhow::Result<()> {
        Ok(())
    }

    async fn producer(&self, queue: &str, load: Load) -> anyhow::Result<Box<dyn Producer>> {
        let mut wire = Wire::open(self.address).await?;
        wire.exchange(format!("use {queue}\r\n").as_bytes(), |bytes| Ok(reply_length(bytes))).await?;
        let priority = if load == Load::Urgent { 0 } else { 100 };
        let before = format!("put {priority} 0 120 {PAYLOAD_BYTES}\r\n");
        Ok(Box::new(WireProducer { wire, giving: Puts { before, payload: Payload::new() } }))
    }

    async fn worker(&self, queue: &str, _urgent: bool) -> anyhow::Result<Box<dyn Worker>> {
        let mut wire = Wire::open(self.address).await?;
        for request in [format!("watch {queue}\r\n"), "ignore default\r\n".to_owned()] {
            wire.exchange(request.as_bytes(), |bytes| Ok(reply_length(bytes))).await?;
        }
        let working = Reserves { held: Vec::new(), done: 0, asked: 0, got: 0 };
        Ok(Box::new(WireWorker { wire, working }))
    }

    async fn left(&self, queue: &str) -> anyhow::Result<u64> {
        let Some(stats) = stats(self.address, &format!("stats-tube {queue}")).await? else { return Ok(0) };
        let names =
            ["current-jobs-ready", "current-jobs-reserved", "current-jobs-delayed", "current-jobs-buried"];
        names.iter().map(|name| Ok(stat(&stats, name).context("no such count")?.parse::<u64>()?)).sum()
    }

    async fn remove(&self, _queue: &str) -> anyhow::Result<()> {
        // It has no command for that; waiting jobs cost memory and no processor time.
        Ok(())
    }

    async fn sync(&mut self, on: bool) -> anyhow::Result<bool> {
        if let Some(process) = self.process.take() {
            process.stop()?;
        }
        self.begin(if on { "-f0" } else { "-F" }).await?;
        Ok(true)
    }

    fn freeze(&self) {
        self.process().freeze();
    }

    fn thaw(&self) {
        self.process().thaw();
    }

    fn resident_bytes(&self) -> u64 {
        self.process().resident_bytes()
    }
}

/// Producers' commands.
struct Puts {
    before: String,
    payload: Payload,
}

impl Giving for Puts {
    fn give(&mut self, numbers: Range<u64>, out: &mut Vec<u8>) {
        for number in numbers {
            out.extend_from_slice(self.before.as_bytes());
            out.extend_from_slice(self.payload.of(number));
            out.extend_from_slice(b"\r\n");
        }
    }

    fn acknowledged(&mut self, bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
        let Some(length) = reply_length(bytes) else { return Ok(None) };
        if !bytes.starts_with(b"INSERTED ") {
            bail!("put was answered {}", String::from_utf8_lossy(&bytes[..length]).trim());
        }
        Ok(Some((length, 1)))
    }
}

/// A worker's commands.
struct Reserves {
    held: Vec<Vec<u8>>,
    done: usize,
    asked: usize,
    /// Jobs that the last round brought: where there is little to do, asking for a hundred is a hundred empty answers.
    got: usize,
}

impl Working for Reserves {
    fn round(&mut self, max: usize, out: &mut Vec<u8>) {
        self.done = self.held.len();
        for id in self.held.drain(..) {
            out.extend_from_slice(b"delete ");
            out.extend_from_slice(&id);
            out.extend_from_slice(b"\r\n");
        }
        self.asked = 0;
        if max > 0 {
            let wish = (std::mem::take(&mut self.got) * 2).clamp(1, max);
            out.extend_from_slice(b"reserve-with-timeout 1\r\n");
            for _ in 1..wish {
                out.extend_from_slice(b"reserve-with-timeout 0\r\n");
            }
            self.asked = wish;
        }
    }

    fn answered(&mut self, bytes: &[u8], floor: &Floor) -> anyhow::Result<(usize, bool)> {
        let mut used = 0;
        while self.done + self.asked > 0 {
            let rest = &bytes[used..];
            let Some(length) = reply_length(rest) else { return Ok((used, false)) };
            let reply = &rest[..length];
            used += length;
            if self.done > 0 {
                if reply != b"DELETED\r\n" {
                    bail!("delete was answered {}", String::from_utf8_lossy(reply).trim());
                }
                self.done -= 1;
                continue;
            }
            self.asked -= 1;
            if let Some(job) = reply.strip_prefix(b"RESERVED ") {
                let mut words = job.split(|byte| matches!(byte, b' ' | b'\r'));
                self.held.push(words.next().context("no id")?.to_vec());
                floor.deliver(&reply[length - 2 - PAYLOAD_BYTES..length - 2]);
                self.got += 1;
            } else if reply != b"TIMED_OUT\r\n" && reply != b"DEADLINE_SOON\r\n" {
                bail!("reserve was answered {}", String::from_utf8_lossy(reply).trim());
            }
        }
        Ok((used, true))
    }

    fn held(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_with_its_data() {
        let check = |bytes: &[u8], length| assert_eq!(reply_length(bytes), length, "{bytes:?}");
        check(b"INSERTED 7\r\nmore", Some(12));
        check(b"RESERVED 7 3\r\nab", None);
        check(b"RESERVED 7 3\r\nabc\r\n", Some(19));
        check(b"OK 2\r\nab\r\n", Some(10));
        check(b"TIMED_OUT\r\n", Some(11));
    }

    #[test]
    fn a_buried_job_is_no_acknowledgement() {
        let mut puts = Puts { before: String::new(), payload: Payload::new() };
        assert!(puts.acknowledged(b"BURIED 7\r\n").is_err());
        assert_eq!(puts.acknowledged(b"INSERTED 7\r\n").expect("fine"), Some((12, 1)));
    }
}
