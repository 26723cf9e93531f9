//! Producers and workers for systems with a plain protocol on a socket: Tidegate's HTTP, Redis, beanstalkd.
//!
//! All three are spoken by hand, pipelined, with answers scanned and not parsed into trees: the generator shares the
//! machine with what it measures, and it is to cost all of them equally little.

use std::{net::SocketAddr, ops::Range, sync::Arc};

use anyhow::{Context, bail};
use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    floor::Floor,
    intake::{Intake, Take},
    peers::{Producer, Worker},
};

/// A connection with what it has received and nobody has used yet.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
}

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Wire> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buffer: Vec::new(), start: 0 })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).await.context("the connection was closed while sending")
    }

    /// Waits for more bytes; may be cancelled.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<()> {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 1 << 16 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.reserve(1 << 16);
        match self.stream.read_buf(&mut self.buffer).await.context("the connection broke")? {
            0 => bail!("the connection was closed before everything was answered"),
            _ => Ok(()),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// One request and its answer, whose end `whole` finds.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        whole: impl Fn(&[u8]) -> anyhow::Result<Option<usize>>,
    ) -> anyhow::Result<Vec<u8>> {
        self.send(request).await?;
        loop {
            self.receive().await?;
            if let Some(length) = whole(self.bytes())? {
                let answer = self.bytes()[..length].to_vec();
                self.consume(length);
                return Ok(answer);
            }
        }
    }
}

/// How jobs are given in a protocol.
pub(crate) trait Giving: Send {
    /// Writes one call that gives these jobs.
    fn give(&mut self, numbers: Range<u64>, out: &mut Vec<u8>);
    /// One whole good answer at the start of these bytes: its length, and how many jobs it acknowledges.
    fn acknowledged(&mut self, bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>>;
}

/// How jobs are worked off in a protocol, in rounds: complete what is held, ask for more.
pub(crate) trait Working: Send {
    /// Writes a round. With `max` 0 it only completes.
    fn round(&mut self, max: usize, out: &mut Vec<u8>);
    /// Reads on in the answer to the round; what was used, and whether that was all of it.
    fn answered(&mut self, bytes: &[u8], floor: &Floor) -> anyhow::Result<(usize, bool)>;
    /// Jobs held and not yet completed.
    fn held(&self) -> usize;
}

/// A producer on one connection.
pub(crate) struct WireProducer<G> {
    pub(crate) wire: Wire,
    pub(crate) giving: G,
}

#[async_trait]
impl<G: Giving> Producer for WireProducer<G> {
    async fn produce(
        mut self: Box<Self>,
        intake: Arc<Intake>,
        per_call: usize,
        depth: usize,
    ) -> anyhow::Result<()> {
        let mut under_way = 0;
        let mut out = Vec::new();
        loop {
            let changed = intake.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            out.clear();
            let mut last = None;
            while under_way + per_call <= depth * per_call {
                match intake.take(per_call) {
                    Take::Go(numbers) => {
                        under_way += (numbers.end - numbers.start) as usize;
                        self.giving.give(numbers, &mut out);
                    }
                    other => {
                        last = Some(other);
                        break;
                    }
                }
            }
            if !out.is_empty() {
                self.wire.send(&out).await?;
            }
            match (under_way, last) {
                (0, Some(Take::End)) => return Ok(()),
                (0, _) => {
                    changed.await;
                    continue;
                }
                (_, Some(Take::Wait)) => tokio::select! {
                    received = self.wire.receive() => received?,
                    () = changed => continue,
                },
                _ => self.wire.receive().await?,
            }
            while let Some((used, jobs)) = self.giving.acknowledged(self.wire.bytes())? {
                self.wire.consume(used);
                under_way = under_way.checked_sub(jobs).context("more was acknowledged than was sent")?;
                intake.acknowledge(jobs as u64);
            }
        }
    }
}

/// A worker on one connection.
pub(crate) struct WireWorker<W> {
    pub(crate) wire: Wire,
    pub(crate) working: W,
}

#[async_trait]
impl<W: Working> Worker for WireWorker<W> {
    async fn work(mut self: Box<Self>, floor: Arc<Floor>, max: usize) -> anyhow::Result<()> {
        let mut out = Vec::new();
        loop {
            let stopping = floor.stopping();
            let held = self.working.held();
            if stopping && held == 0 {
                return Ok(());
            }
            out.clear();
            self.working.round(if stopping { 0 } else { max }, &mut out);
            self.wire.send(&out).await?;
            loop {
                let (used, all) = self.working.answered(self.wire.bytes(), &floor)?;
                self.wire.consume(used);
                if all {
                    break;
                }
                self.wire.receive().await?;
            }
            if held > 0 {
                floor.complete(held as u64);
            }
        }
    }
}
