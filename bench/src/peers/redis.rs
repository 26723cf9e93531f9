//! Redis with an append-only file that is synced before every answer, spoken in its own protocol and pipelined.
//!
//! As a **stream**: `XADD`, a consumer group with `XREADGROUP`, then `XACK` and `XDEL`. As **lists**: `LPUSH`,
//! `LMOVE` into the worker's own list (`BLMOVE` where there is nothing), then `LREM` from it. Redis has no priorities;
//! urgent jobs go into a second stream or list that workers look into first. The file's rewriting and snapshots are
//! off, in Redis's favour: the runs are too short for them to be shared out fairly.

use std::{
    collections::VecDeque, io::Write, net::SocketAddr, ops::Range, path::Path, process::Command,
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

/// Which of its types is the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    List,
}

pub(super) struct Redis {
    process: Process,
    address: SocketAddr,
    kind: Kind,
    workers: std::sync::atomic::AtomicUsize,
}

pub(super) async fn start(data: &Path, kind: Kind) -> anyhow::Result<Redis> {
    let server = program("redis-server", &[])?;
    let address = free_port()?;
    let mut command = Command::new(server);
    command.current_dir(data).args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]);
    command.args(["--save", "", "--dir"]).arg(data);
    let mut process = Process::start(&mut command, &data.join(LOG))?;
    until_ready(Duration::from_secs(20), || async { ask(address, &["PING"]).await.map(drop) }).await?;
    process.check()?;
    Ok(Redis { process, address, kind, workers: 0.into() })
}

/// One command on a connection of its own.
async fn ask(address: SocketAddr, words: &[&str]) -> anyhow::Result<Vec<u8>> {
    let mut request = Vec::new();
    command(&mut request, words.iter().map(|word| word.as_bytes()));
    let answer = Wire::open(address).await?.exchange(&request, |bytes| Ok(value_length(bytes))).await?;
    if answer.starts_with(b"-") {
        bail!("{} was answered {}", words.join(" "), String::from_utf8_lossy(&answer).trim());
    }
    Ok(answer)
}

/// What kind of answer it is, shown to a person: the lines that are neither lengths nor counts.
fn words_in(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    text.split("\r\n")
        .filter(|line| !line.is_empty() && !line.starts_with(['$', '*']))
        .map(String::from)
        .collect()
}

#[async_trait]
impl Peer for Redis {
    async fn in_force(&self) -> anyhow::Result<Setting> {
        let mut read = Vec::new();
        for (name, expected) in [("appendonly", "yes"), ("appendfsync", "always")] {
            let words = words_in(&ask(self.address, &["CONFIG", "GET", name]).await?);
            if words != [name, expected] {
                bail!("CONFIG GET {name} says {words:?}, not {expected}");
            }
            read.push(format!("{name} {expected}"));
        }
        let info = words_in(&ask(self.address, &["INFO", "server"]).await?);
        let version =
            info.iter().find_map(|line| line.strip_prefix("redis_version:")).context("no version")?;
        let (list, single, working, urgent) = match self.kind {
            Kind::Stream => (
                "100 XADD in one pipeline",
                "XADD, pipelined",
                "XACK and XDEL of what was done, XREADGROUP COUNT 100, in one pipeline",
                "a second stream, read first",
            ),
            Kind::List => (
                "LPUSH of 100 values",
                "LPUSH, pipelined",
                "LREM of each done, LMOVE of up to 100 to the worker's own list (BLMOVE when idle), in one pipeline",
                "a second list, asked first",
            ),
        };
        Ok(Setting {
            version: version.to_owned(),
            durability: read.join(", "),
            list: list.into(),
            single: single.into(),
            working: working.into(),
            urgent: urgent.into(),
        })
    }

    async fn open(&self, queue: &str) -> anyhow::Result<()> {
        if self.kind == Kind::Stream {
            for stream in [queue.to_owned(), urgent_of(queue)] {
                ask(self.address, &["XGROUP", "CREATE", &stream, "workers", "0", "MKSTREAM"]).await?;
            }
        }
        Ok(())
    }

    async fn producer(&self, queue: &str, load: Load) -> anyhow::Result<Box<dyn Producer>> {
        let wire = Wire::open(self.address).await?;
        let key = if load == Load::Urgent { urgent_of(queue) } else { queue.to_owned() };
        let giving = Gifts { kind: self.kind, key, payload: Payload::new(), calls: VecDeque::new() };
        Ok(Box::new(WireProducer { wire, giving }))
    }

    async fn worker(&self, queue: &str, urgent: bool) -> anyhow::Result<Box<dyn Worker>> {
        let wire = Wire::open(self.address).await?;
        let number = self.workers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let own = format!("{queue}:worker:{number}");
        let mut keys = Vec::new();
        if urgent {
            keys.push(urgent_of(queue));
        }
        keys.push(queue.to_owned());
        Ok(match self.kind {
            Kind::Stream => {
                let held = keys.iter().map(|_| Vec::new()).collect();
                Box::new(WireWorker { wire, working: Group { keys, own, held, replies: 0 } })
            }
            Kind::List => {
                let working = Lists { keys, own, held: Vec::new(), done: 0, asked: 0, last: 0, got: 0 };
                Box::new(WireWorker { wire, working })
            }
        })
    }

    async fn left(&self, queue: &str) -> anyhow::Result<u64> {
        let count = if self.kind == Kind::Stream { "XLEN" } else { "LLEN" };
        let mut left = 0;
        for key in [queue.to_owned(), urgent_of(queue)] {
            left += integer(&ask(self.address, &[count, &key]).await?)?;
        }
        if self.kind == Kind::List {
            // What workers hold is in lists of their own.
            for number in 0..self.workers.load(std::sync::atomic::Ordering::SeqCst) {
                left += integer(&ask(self.address, &[count, &format!("{queue}:worker:{number}")]).await?)?;
            }
        }
        Ok(left)
    }

    async fn remove(&self, queue: &str) -> anyhow::Result<()> {
        ask(self.address, &["DEL", queue, &urgent_of(queue)]).await.map(drop)
    }

    fn freeze(&self) {
        self.process.freeze();
    }

    fn thaw(&self) {
        self.process.thaw();
    }

    fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes()
    }
}

fn urgent_of(queue: &str) -> String {
    format!("{queue}:urgent")
}

fn integer(answer: &[u8]) -> anyhow::Result<u64> {
    let line = answer.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b"\r\n")).context("no number")?;
    Ok(std::str::from_utf8(line)?.parse()?)
}

/// Writes one command.
fn command<'a>(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    write!(out, "*{}\r\n", words.len()).expect("memory takes every write");
    for word in words {
        bulk(out, word);
    }
}

fn bulk(out: &mut Vec<u8>, word: &[u8]) {
    write!(out, "${}\r\n", word.len()).expect("memory takes every write");
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

/// The first line without its end, and where the rest begins.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((&bytes[..end.saturating_sub(1)], end + 1))
}

fn length_of(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line.get(1..)?).ok()?.parse().ok()
}

/// Length of the whole value at the start of these bytes, however deep, if it is there.
fn value_length(bytes: &[u8]) -> Option<usize> {
    let (head, mut at) = line(bytes)?;
    match head.first()? {
        b'$' => {
            let length = length_of(head)?;
            if length >= 0 {
                at += length as usize + 2;
            }
            (bytes.len() >= at).then_some(at)
        }
        b'*' => {
            for _ in 0..length_of(head)?.max(0) {
                at += value_length(&bytes[at..])?;
            }
            Some(at)
        }
        _ => Some(at),
    }
}

fn no_error(value: &[u8]) -> anyhow::Result<()> {
    if value.starts_with(b"-") {
        bail!("Redis answered {}", String::from_utf8_lossy(&value[..value.len().min(300)]).trim());
    }
    Ok(())
}

/// Producers' commands.
struct Gifts {
    kind: Kind,
    key: String,
    payload: Payload,
    /// How many jobs each command under way gives.
    calls: VecDeque<usize>,
}

impl Giving for Gifts {
    fn give(&mut self, numbers: Range<u64>, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Stream => {
                for number in numbers {
                    out.extend_from_slice(b"*5\r\n$4\r\nXADD\r\n");
                    bulk(out, self.key.as_bytes());
                    out.extend_from_slice(b"$1\r\n*\r\n$1\r\np\r\n");
                    bulk(out, self.payload.of(number));
                    self.calls.push_back(1);
                }
            }
            Kind::List => {
                let count = (numbers.end - numbers.start) as usize;
                write!(out, "*{}\r\n$5\r\nLPUSH\r\n", count + 2).expect("memory takes every write");
                bulk(out, self.key.as_bytes());
                for number in numbers {
                    bulk(out, self.payload.of(number));
                }
                self.calls.push_back(count);
            }
        }
    }

    fn acknowledged(&mut self, bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
        let Some(length) = value_length(bytes) else { return Ok(None) };
        no_error(&bytes[..length])?;
        let jobs = self.calls.pop_front().context("Redis answered more than it was asked")?;
        Ok(Some((length, jobs)))
    }
}

/// A worker of a consumer group.
struct Group {
    /// The urgent stream first, if there is one.
    keys: Vec<String>,
    own: String,
    /// Ids held of each stream.
    held: Vec<Vec<Vec<u8>>>,
    replies: usize,
}

impl Working for Group {
    fn round(&mut self, max: usize, out: &mut Vec<u8>) {
        self.replies = 0;
        for (key, ids) in self.keys.iter().zip(&mut self.held).filter(|(_, ids)| !ids.is_empty()) {
            for (name, group) in [("XACK", Some("workers")), ("XDEL", None)] {
                let words = [Some(name), Some(key.as_str()), group].into_iter().flatten().map(str::as_bytes);
                let words: Vec<&[u8]> = words.chain(ids.iter().map(Vec::as_slice)).collect();
                command(out, words.into_iter());
                self.replies += 1;
            }
            ids.clear();
        }
        if max > 0 {
            let max = max.to_string();
            let start =
                ["XREADGROUP", "GROUP", "workers", &self.own, "COUNT", &max, "BLOCK", "200", "STREAMS"];
            let words = start.into_iter().chain(self.keys.iter().map(String::as_str));
            let words: Vec<&[u8]> = words.chain(self.keys.iter().map(|_| ">")).map(str::as_bytes).collect();
            command(out, words.into_iter());
            self.replies += 1;
        }
    }

    fn answered(&mut self, bytes: &[u8], floor: &Floor) -> anyhow::Result<(usize, bool)> {
        let mut used = 0;
        while self.replies > 0 {
            let Some(length) = value_length(&bytes[used..]) else { return Ok((used, false)) };
            let value = &bytes[used..used + length];
            no_error(value)?;
            if !value.starts_with(b":") {
                self.read(value, floor)?;
            }
            used += length;
            self.replies -= 1;
        }
        Ok((used, true))
    }

    fn held(&self) -> usize {
        self.held.iter().map(Vec::len).sum()
    }
}

impl Group {
    /// `*streams [ *2 [ $name, *entries [ *2 [ $id, *fields ] ] ] ]`, or nothing.
    fn read(&mut self, value: &[u8], floor: &Floor) -> anyhow::Result<()> {
        const SHAPE: &str = "the answer to XREADGROUP has another shape";
        let mut at = 0;
        let count = |at: &mut usize| -> anyhow::Result<i64> {
            let (head, length) = line(&value[*at..]).context(SHAPE)?;
            *at += length;
            length_of(head).context(SHAPE)
        };
        let text = |at: &mut usize| -> anyhow::Result<&[u8]> {
            let (head, start) = line(&value[*at..]).context(SHAPE)?;
            let length = length_of(head).context(SHAPE)? as usize;
            let text = value.get(*at + start..*at + start + length).context(SHAPE)?;
            *at += start + length + 2;
            Ok(text)
        };
        for _ in 0..count(&mut at)?.max(0) {
            count(&mut at)?;
            let name = text(&mut at)?;
            let stream = self.keys.iter().position(|key| key.as_bytes() == name).context(SHAPE)?;
            for _ in 0..count(&mut at)? {
                count(&mut at)?;
                let id = text(&mut at)?.to_vec();
                count(&mut at)?;
                text(&mut at)?;
                floor.deliver(text(&mut at)?);
                self.held[stream].push(id);
            }
        }
        Ok(())
    }
}

/// A worker of lists.
struct Lists {
    /// The urgent list first, if there is one.
    keys: Vec<String>,
    own: String,
    held: Vec<[u8; PAYLOAD_BYTES]>,
    /// Answers to `LREM` that are still to come.
    done: usize,
    /// Answers to `LMOVE` that are still to come.
    asked: usize,
    /// Jobs that the last round brought: where there is little to do, asking for a hundred is a hundred empty answers.
    last: usize,
    got: usize,
}

impl Working for Lists {
    fn round(&mut self, max: usize, out: &mut Vec<u8>) {
        self.done = self.held.len();
        for payload in self.held.drain(..) {
            // Done in the order they came in, so each is found at the list's end.
            command(out, [&b"LREM"[..], self.own.as_bytes(), b"-1", &payload].into_iter());
        }
        self.asked = 0;
        if max == 0 {
            return;
        }
        self.last = std::mem::take(&mut self.got);
        let mut wish = (self.last * 2).min(max);
        let [urgent @ .., ordinary] = &self.keys[..] else { unreachable!("a worker has a list") };
        for urgent in urgent {
            for _ in 0..8 {
                self.asked += 1;
                command(
                    out,
                    [&b"LMOVE"[..], urgent.as_bytes(), self.own.as_bytes(), b"RIGHT", b"LEFT"].into_iter(),
                );
            }
        }
        if wish == 0 {
            self.asked += 1;
            let words = [&b"BLMOVE"[..], ordinary.as_bytes(), self.own.as_bytes(), b"RIGHT", b"LEFT", b"0.2"];
            command(out, words.into_iter());
            wish = 3.min(max - 1);
        }
        for _ in 0..wish {
            self.asked += 1;
            command(
                out,
                [&b"LMOVE"[..], ordinary.as_bytes(), self.own.as_bytes(), b"RIGHT", b"LEFT"].into_iter(),
            );
        }
    }

    fn answered(&mut self, bytes: &[u8], floor: &Floor) -> anyhow::Result<(usize, bool)> {
        let mut used = 0;
        while self.done + self.asked > 0 {
            let Some(length) = value_length(&bytes[used..]) else { return Ok((used, false)) };
            let value = &bytes[used..used + length];
            no_error(value)?;
            used += length;
            if self.done > 0 {
                if value != b":1\r\n" {
                    bail!("LREM did not find the job it was to remove");
                }
                self.done -= 1;
                continue;
            }
            self.asked -= 1;
            let (_, start) = line(value).context("an answer has no line")?;
            if let Some(payload) = value.get(start..start + PAYLOAD_BYTES) {
                floor.deliver(payload);
                self.held.push(payload.try_into().expect("the slice has this length"));
                self.got += 1;
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
    fn a_value_ends_where_its_last_part_ends() {
        let check = |bytes: &[u8], length| assert_eq!(value_length(bytes), length, "{bytes:?}");
        check(b":1\r\n:2\r\n", Some(4));
        check(b"$-1\r\n", Some(5));
        check(b"$3\r\nab", None);
        check(b"$3\r\nabc\r\n", Some(9));
        check(b"*-1\r\n", Some(5));
        check(b"*2\r\n$1\r\na\r\n*1\r\n:7\r\nrest", Some(19));
        check(b"*2\r\n$1\r\na\r\n", None);
    }

    #[test]
    fn what_a_group_reads_is_held_by_stream() {
        let payload = Payload::new().of(3).to_vec();
        let mut value = b"*1\r\n*2\r\n$1\r\nq\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\np\r\n".to_vec();
        bulk(&mut value, &payload);
        let floor = Floor::new(10, 0);
        let keys = vec!["q:urgent".to_owned(), "q".to_owned()];
        let mut group = Group { keys, own: "me".into(), held: vec![vec![], vec![]], replies: 1 };
        let cut = value.len() - 4;
        assert_eq!(group.answered(&value[..cut], &floor).expect("no error"), (0, false));
        assert_eq!(group.answered(&value, &floor).expect("no error"), (value.len(), true));
        assert_eq!(group.held, [vec![], vec![b"1-0".to_vec()]]);
        assert_eq!(floor.delivered(), 1);
        assert!(floor.faults().is_empty());
    }

    #[test]
    fn an_error_is_no_acknowledgement() {
        let calls = VecDeque::from([1]);
        let mut gifts = Gifts { kind: Kind::List, key: "q".into(), payload: Payload::new(), calls };
        assert!(gifts.acknowledged(b"-MISCONF no disk\r\n").is_err());
    }
}
