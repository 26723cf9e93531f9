//! Tidegate through its HTTP door, in the raw form that `tidegate bench` uses: lists, `/v1/work` rounds, and in the row
//! `plain` single jobs. In the row `singles` it is spoken through its own client, by callers who each wait for their own
//! job; the client gathers what is under way at the same time into lists.
//!
//! It has no setting that answers before a sync, so there is none to read back.

use std::{io::Write, net::SocketAddr, ops::Range, path::Path, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use memchr::memmem;

use super::{LOG, Lanes, Load, Peer, Producer, Programs, Setting, Worker, until_ready};
use crate::{
    floor::Floor,
    intake::{Intake, Take},
    jobs::{Fields, Payload},
    process::{Process, free_port},
    wire::{Giving, Wire, WireProducer, WireWorker, Working},
};

pub(super) struct Tidegate {
    process: Process,
    address: SocketAddr,
    client: tidegate::Client,
    version: String,
}

pub(super) async fn start(programs: &Programs, data: &Path) -> anyhow::Result<Tidegate> {
    if !programs.tidegate.is_file() {
        bail!(
            "{} is not there; build it with `cargo build --release -p tidegate-cli`, or name another with --tidegate",
            programs.tidegate.display()
        );
    }
    let version = Command::new(&programs.tidegate).arg("--version").output()?;
    let version = String::from_utf8_lossy(&version.stdout).trim().replace("tidegate ", "");
    let address = free_port()?;
    let mut command = Command::new(&programs.tidegate);
    // The caller's own settings must not change what is measured.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    command.args(["serve", "--log", "warn", "--listen", &address.to_string(), "--data"]);
    command.arg(data.join("data"));
    let mut process = Process::start(&mut command, &data.join(LOG))?;
    let client = tidegate::Client::connect(&format!("http://{address}"))?.without_retries();
    until_ready(Duration::from_secs(20), || async { Ok(client.ready().await?) }).await?;
    process.check()?;
    Ok(Tidegate { process, address, client, version })
}

#[async_trait]
impl Peer for Tidegate {
    async fn in_force(&self) -> anyhow::Result<Setting> {
        Ok(Setting {
            version: self.version.clone(),
            durability: "always: every answer waits for fdatasync, there is no other mode".into(),
            list: "POST of a list of 100".into(),
            single: "`enqueue` of its Rust client, 1,024 callers of one client; without it: POST of one job"
                .into(),
            working: "/v1/work: completes and leases up to 100 in one call, both synced".into(),
            urgent: "priority 0 of 0 to 9".into(),
        })
    }

    async fn open(&self, _queue: &str) -> anyhow::Result<()> {
        Ok(())
    }

    async fn producer(&self, queue: &str, load: Load) -> anyhow::Result<Box<dyn Producer>> {
        if load == Load::Singles {
            let client = tidegate::Client::connect(&format!("http://{}", self.address))?;
            return Ok(Box::new(Callers { queue: client.queue(queue) }));
        }
        let wire = Wire::open(self.address).await?;
        Ok(Box::new(WireProducer { wire, giving: Posts::new(queue, load == Load::Urgent) }))
    }

    async fn worker(&self, queue: &str, _urgent: bool) -> anyhow::Result<Box<dyn Worker>> {
        let wire = Wire::open(self.address).await?;
        Ok(Box::new(WireWorker { wire, working: Rounds::new(queue) }))
    }

    async fn left(&self, queue: &str) -> anyhow::Result<u64> {
        let counts = self.client.show_queue(queue).await?.counts;
        if counts.dead > 0 {
            bail!("{} jobs are dead", counts.dead);
        }
        Ok(counts.scheduled + counts.ready + counts.leased)
    }

    async fn remove(&self, _queue: &str) -> anyhow::Result<()> {
        // Waiting jobs cost memory and no processor time.
        Ok(())
    }

    fn lanes(&self, load: Load) -> Lanes {
        match load {
            Load::Lists => Lanes { connections: 16, depth: 2 },
            Load::Singles => Lanes { connections: 1, depth: 1_024 },
            Load::Plain => Lanes { connections: 64, depth: 16 },
            Load::Clock | Load::Urgent => Lanes::STEADY,
        }
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

/// Callers of one client.
struct Callers {
    queue: tidegate::Queue,
}

#[async_trait]
impl Producer for Callers {
    async fn produce(
        self: Box<Self>,
        intake: Arc<Intake>,
        per_call: usize,
        depth: usize,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(per_call == 1, "each caller has one job at a time");
        let (payload, queue) = (Payload::new(), &self.queue);
        let text = payload.text();
        let caller = || async {
            loop {
                let changed = intake.changed();
                match intake.take(1) {
                    Take::Go(number) => {
                        queue.enqueue("bench", &Fields::of(number.start, text)).await?;
                        intake.acknowledge(1);
                    }
                    Take::Wait => changed.await,
                    Take::End => return Ok(()),
                }
            }
        };
        try_join_all((0..depth).map(|_| caller())).await.map(drop)
    }
}

/// Jobs as requests.
struct Posts {
    head: String,
    priority: &'static str,
    payload: Payload,
    body: Vec<u8>,
    /// Whether the last calls were lists; all calls of one producer are of one kind.
    lists: bool,
}

impl Posts {
    fn new(queue: &str, urgent: bool) -> Posts {
        let head = format!(
            "POST /v1/queues/{queue}/jobs HTTP/1.1\r\nhost: tidegate\r\ncontent-type: application/json\r\ncontent-length: "
        );
        let priority = if urgent { ",\"priority\":0}" } else { "}" };
        Posts { head, priority, payload: Payload::new(), body: Vec::new(), lists: false }
    }
}

impl Giving for Posts {
    fn give(&mut self, numbers: Range<u64>, out: &mut Vec<u8>) {
        self.lists = numbers.end - numbers.start > 1;
        self.body.clear();
        for number in numbers {
            let before = match (self.lists, self.body.is_empty()) {
                (false, _) => &b"{\"kind\":\"bench\",\"payload\":"[..],
                (true, true) => &b"[{\"kind\":\"bench\",\"payload\":"[..],
                (true, false) => &b",{\"kind\":\"bench\",\"payload\":"[..],
            };
            self.body.extend_from_slice(before);
            self.body.extend_from_slice(self.payload.of(number));
            self.body.extend_from_slice(self.priority.as_bytes());
        }
        if self.lists {
            self.body.push(b']');
        }
        out.extend_from_slice(self.head.as_bytes());
        write!(out, "{}\r\n\r\n", self.body.len()).expect("memory takes every write");
        out.extend_from_slice(&self.body);
    }

    fn acknowledged(&mut self, bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
        let expected = if self.lists { 200 } else { 201 };
        let Some(answer) = Answer::read(bytes)? else { return Ok(None) };
        answer.check(expected)?;
        let jobs = match self.lists {
            true => memmem::find_iter(answer.body, b"\"state\":").count(),
            false => 1,
        };
        Ok(Some((answer.length, jobs)))
    }
}

/// One whole answer.
struct Answer<'a> {
    length: usize,
    status: u16,
    body: &'a [u8],
}

impl Answer<'_> {
    fn read(bytes: &[u8]) -> anyhow::Result<Option<Answer<'_>>> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..end]).context("an answer's head is not text")?;
        let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status")?;
        let length = head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, length)| length.trim().parse::<usize>().ok())
            .context("an answer has no length")?;
        let body = end + 4;
        Ok(bytes.get(body..body + length).map(|content| Answer {
            length: body + length,
            status,
            body: content,
        }))
    }

    fn check(&self, expected: u16) -> anyhow::Result<()> {
        if self.status != expected || memmem::find(self.body, b"\"error\":").is_some() {
            let start = &self.body[..self.body.len().min(300)];
            bail!(
                "answered {} where {expected} was expected: {}",
                self.status,
                String::from_utf8_lossy(start)
            );
        }
        Ok(())
    }
}

/// A worker's rounds.
struct Rounds {
    queue: String,
    /// Shard and sequence of the id, and the token.
    held: Vec<(u64, u64, u64)>,
    body: Vec<u8>,
}

impl Rounds {
    fn new(queue: &str) -> Rounds {
        Rounds { queue: queue.to_owned(), held: Vec::new(), body: Vec::new() }
    }
}

impl Working for Rounds {
    fn round(&mut self, max: usize, out: &mut Vec<u8>) {
        let body = &mut self.body;
        body.clear();
        body.extend_from_slice(b"{\"complete\":[");
        for (at, (shard, sequence, token)) in self.held.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(body, "{comma}{{\"id\":\"{shard}-{sequence}\",\"token\":{token}}}")
                .expect("memory takes every write");
        }
        body.push(b']');
        if max > 0 {
            write!(
                body,
                r#","lease":{{"queues":["{}"],"max":{max},"wait_ms":200,"lease_ms":60000,"worker":"bench"}}"#,
                self.queue
            )
            .expect("memory takes every write");
        }
        body.push(b'}');
        write!(
            out,
            "POST /v1/work HTTP/1.1\r\nhost: tidegate\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .expect("memory takes every write");
        out.extend_from_slice(body);
        self.held.clear();
    }

    fn answered(&mut self, bytes: &[u8], floor: &Floor) -> anyhow::Result<(usize, bool)> {
        let Some(answer) = Answer::read(bytes)? else { return Ok((0, false)) };
        answer.check(200)?;
        if let Some(jobs) = memmem::find(answer.body, b"\"jobs\":[") {
            let jobs = &answer.body[jobs..];
            leases_in(jobs, &mut self.held)?;
            let delivered = floor.deliver_all_within(jobs);
            if delivered != self.held.len() {
                bail!("{delivered} payloads came with {} leases", self.held.len());
            }
        }
        Ok((answer.length, true))
    }

    fn held(&self) -> usize {
        self.held.len()
    }
}

/// Ids and tokens in a list of leased jobs; the payloads contain neither `"id":"` nor `"token":`.
fn leases_in(jobs: &[u8], held: &mut Vec<(u64, u64, u64)>) -> anyhow::Result<()> {
    const ID: &[u8] = b"\"id\":\"";
    const TOKEN: &[u8] = b"\"token\":";
    let mut tokens = memmem::find_iter(jobs, TOKEN).map(|at| number(&jobs[at + TOKEN.len()..]).0);
    for at in memmem::find_iter(jobs, ID) {
        let (shard, rest) = number(&jobs[at + ID.len()..]);
        let (sequence, _) = number(rest.strip_prefix(b"-").context("a job's id is not shard-sequence")?);
        held.push((shard, sequence, tokens.next().context("a job has no token")?));
    }
    Ok(())
}

fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[..digits]
        .iter()
        .fold(0u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    (value, &text[digits..])
}
