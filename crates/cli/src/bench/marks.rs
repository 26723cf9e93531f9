//! Marked jobs: when each was sent, and how long it took to arrive.
//!
//! The sender is an ordinary thread that sleeps until a job is due, because the runtime's timers count whole
//! milliseconds. It does not wait for answers (an open loop): a slow server meets the next job all the same. Times
//! run from the moment before a job's bytes are given to the connection; how late that was against the plan is
//! recorded beside it, so that a generator that could not keep up shows.

use std::{
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use hdrhistogram::Histogram;
use memchr::memmem;
use tokio::{sync::Notify, task::JoinSet};

use super::{
    connection::{Connection, Good, Shape},
    flood::{histogram, record},
    request::{MARK_BEFORE, MARK_DIGITS, MarkedRequest},
};

/// The mark of every job that is not to be recognised is below this.
const MARK_FIRST: usize = 1_000_000_000;

/// The marked jobs of one workload.
pub(crate) struct Marks {
    start: Instant,
    /// When each was sent, in nanoseconds after `start`; 0 until then.
    sent_ns: Vec<AtomicU64>,
    arrived: Mutex<Arrived>,
    changed: Notify,
}

struct Arrived {
    count: usize,
    twice: usize,
    seen: Vec<bool>,
    delivery_us: Histogram<u64>,
}

/// How marked jobs are sent.
pub(crate) struct Plan {
    pub(crate) queue: String,
    pub(crate) priority: u8,
    pub(crate) every: Duration,
    pub(crate) connections: usize,
}

/// What came of it.
pub(crate) struct Delivered {
    /// Microseconds from sending to arrival at a worker.
    pub(crate) delivery_us: Histogram<u64>,
    /// Microseconds that jobs were sent after the time they were due.
    pub(crate) lateness_us: Histogram<u64>,
    pub(crate) sent: usize,
    pub(crate) arrived: usize,
    /// Jobs that arrived more than once, which must not be.
    pub(crate) twice: usize,
    pub(crate) elapsed: Duration,
}

impl Marks {
    pub(crate) fn new(count: usize) -> Arc<Marks> {
        let arrived = Arrived { count: 0, twice: 0, seen: vec![false; count], delivery_us: histogram() };
        Arc::new(Marks {
            start: Instant::now(),
            sent_ns: (0..count).map(|_| AtomicU64::new(0)).collect(),
            arrived: Mutex::new(arrived),
            changed: Notify::new(),
        })
    }

    /// Looks for marked jobs in what a worker received.
    pub(crate) fn delivered(&self, body: &[u8], now: Instant) {
        for at in memmem::find_iter(body, MARK_BEFORE) {
            let digits = &body[at + MARK_BEFORE.len()..];
            let mark = digits.iter().take(MARK_DIGITS).fold(0, |mark: usize, digit| {
                mark.wrapping_mul(10).wrapping_add(usize::from(digit.wrapping_sub(b'0')))
            });
            if let Some(index) = mark.checked_sub(MARK_FIRST).filter(|index| *index < self.sent_ns.len()) {
                self.arrived(index, now);
            }
        }
    }

    fn arrived(&self, index: usize, now: Instant) {
        let sent = self.start + Duration::from_nanos(self.sent_ns[index].load(Relaxed));
        let mut arrived = self.arrived.lock().expect("nobody panics while counting");
        if std::mem::replace(&mut arrived.seen[index], true) {
            arrived.twice += 1;
            return;
        }
        arrived.count += 1;
        record(&mut arrived.delivery_us, now.saturating_duration_since(sent));
        self.changed.notify_waiters();
    }

    /// Sends all of them and waits until they are answered and have arrived, the latter for at most `patience`.
    pub(crate) async fn send_all(
        self: &Arc<Marks>,
        server: SocketAddr,
        plan: Plan,
        patience: Duration,
    ) -> anyhow::Result<Delivered> {
        let mut writers = Vec::new();
        let mut readers = JoinSet::new();
        let count = self.sent_ns.len();
        for lane in 0..plan.connections {
            let (connection, writer) = Connection::open(server).await?.writer()?;
            writers.push(writer);
            let answers = (lane..count).step_by(plan.connections).count();
            readers.spawn(read_answers(connection, answers));
        }
        let marks = Arc::clone(self);
        let start = Instant::now();
        let (done, sender) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name("bench-sender".into());
        thread.spawn(move || done.send(marks.send_on_time(&mut writers, &plan, start)))?;
        let lateness_us = sender.await.context("the sender ended badly")??;
        let elapsed = start.elapsed();
        while let Some(reader) = readers.join_next().await {
            reader.context("a reader ended badly")??;
        }
        // Not all having arrived shows in the count.
        let _ = tokio::time::timeout(patience, self.all_arrived()).await;
        let arrived = self.arrived.lock().expect("nobody panics while counting");
        Ok(Delivered {
            delivery_us: arrived.delivery_us.clone(),
            lateness_us,
            sent: count,
            arrived: arrived.count,
            twice: arrived.twice,
            elapsed,
        })
    }

    /// The sender's thread.
    fn send_on_time(
        &self,
        writers: &mut [TcpStream],
        plan: &Plan,
        start: Instant,
    ) -> anyhow::Result<Histogram<u64>> {
        let mut request = MarkedRequest::new(&plan.queue, plan.priority);
        let mut lateness_us = histogram();
        let lanes = writers.len();
        for (index, sent_ns) in self.sent_ns.iter().enumerate() {
            let due = start + plan.every * index as u32;
            if let Some(early) = due.checked_duration_since(Instant::now()) {
                std::thread::sleep(early);
            }
            let bytes = request.marked(MARK_FIRST + index);
            let now = Instant::now();
            sent_ns.store((now - self.start).as_nanos() as u64, Relaxed);
            record(&mut lateness_us, now.saturating_duration_since(due));
            write_all(&mut writers[index % lanes], bytes)?;
        }
        Ok(lateness_us)
    }

    async fn all_arrived(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.arrived.lock().expect("nobody panics while counting").count == self.sent_ns.len() {
                return;
            }
            changed.await;
        }
    }
}

/// Writes to a connection that does not block; a full one means that the server reads nothing at all.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8]) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("the server closed the connection while a job was sent"),
        }
    }
    Ok(())
}

async fn read_answers(mut connection: Connection, answers: usize) -> anyhow::Result<()> {
    let good = Good { status: 201, shape: Shape::Job };
    let mut left = answers;
    while left > 0 {
        connection.receive().await?;
        while connection.next(good)?.is_some() {
            left -= 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_jobs_are_recognised_and_each_counts_once() {
        let marks = Marks::new(2);
        let job = |mark: usize| format!(r#"{{"payload":{{"mark":"{mark:010}","text":"x"}}}}"#);
        let body = [job(0), job(1), job(MARK_FIRST + 1), job(MARK_FIRST + 2), job(MARK_FIRST + 1)].join(",");
        marks.delivered(body.as_bytes(), Instant::now());
        let arrived = marks.arrived.lock().expect("nobody panicked");
        assert_eq!((arrived.count, arrived.twice, arrived.seen.as_slice()), (1, 1, [false, true].as_slice()));
    }

    #[test]
    fn a_mark_that_is_cut_off_is_no_mark() {
        let marks = Marks::new(1);
        marks.delivered(br#"{"payload":{"mark":"10000"#, Instant::now());
        assert_eq!(marks.arrived.lock().expect("nobody panicked").count, 0);
    }
}
