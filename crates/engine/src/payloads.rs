//! Reading what jobs carry, off the shard's thread.
//!
//! A turn only pins: for each blob it takes the log's handle on the frame that holds it, which costs no
//! reading and keeps trimming away. When the answer is out, the caller's side reads: at once if all frames
//! are in memory, otherwise on one of a few reader threads, so that no executor's thread waits for a disk.
//! Neighbours share one read.
//!
//! Left out: what to do about a blob that cannot be read. The caller of [`Pinned::read`] decides.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use prost::Message;
use tidegate_core::id::Blob;
use tidegate_log::frame::PAYLOAD_PREFIX_BYTES;
use tidegate_log::{Log, PayloadOffset, PayloadSource, ReadError, Sequence};
use tokio::sync::oneshot;

use crate::envelope::Envelope;

/// Blobs that can be read, in the order they were pinned.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    addresses: Vec<(PayloadOffset, u32)>,
    /// Neighbours with one source.
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    source: Source,
    addresses: Range<usize>,
    frame: u64,
}

#[derive(Debug)]
enum Source {
    /// There is nothing to read.
    None,
    Here(PayloadSource),
    /// The log does not have the frame.
    Lost(String),
}

/// Why a blob could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Whether the bytes were read and are not what was written; otherwise the disk refused.
    pub(crate) damaged: bool,
    /// What was found, with file and offset.
    pub(crate) why: String,
}

/// What a blob holds, or why nobody can say. An empty blob is an empty envelope.
pub(crate) type Read = Result<Envelope, Unreadable>;

impl Pinned {
    /// Pins `blobs`. Does no reading.
    pub(crate) fn pin(log: &dyn Log, blobs: impl Iterator<Item = Blob>) -> Self {
        let mut pinned = Self::default();
        pinned.addresses.reserve(blobs.size_hint().0);
        for blob in blobs {
            pinned.add(log, blob);
        }
        pinned
    }

    fn add(&mut self, log: &dyn Log, blob: Blob) {
        let at = self.addresses.len();
        self.addresses
            .push((PayloadOffset(blob.offset), blob.len.saturating_sub(PAYLOAD_PREFIX_BYTES as u32)));
        let frame = if blob.len == 0 { 0 } else { blob.frame };
        if let Some(run) = self.runs.last_mut()
            && run.frame == frame
        {
            run.addresses.end = at + 1;
            return;
        }
        let source = match frame {
            0 => Source::None,
            frame => log
                .payload(Sequence(frame))
                .map_or_else(|error| Source::Lost(error.to_string()), Source::Here),
        };
        self.runs.push(Run { source, addresses: at..at + 1, frame });
    }

    /// Whether reading needs no disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.runs.iter().all(|run| match &run.source {
            Source::Here(source) => source.is_in_memory(),
            Source::None | Source::Lost(_) => true,
        })
    }

    /// Reads and verifies everything, in the order pinned.
    pub(crate) fn read(&self) -> Vec<Read> {
        self.read_raw().into_iter().map(|read| read.and_then(decode)).collect()
    }

    /// [`read`](Self::read), without looking into the envelopes.
    pub(crate) fn read_raw(&self) -> Vec<Result<Bytes, Unreadable>> {
        let mut read = Vec::with_capacity(self.addresses.len());
        for run in &self.runs {
            let addresses = &self.addresses[run.addresses.clone()];
            match &run.source {
                Source::None => read.extend(addresses.iter().map(|_| Ok(Bytes::new()))),
                Source::Lost(why) => {
                    let lost = Unreadable { damaged: true, why: why.clone() };
                    read.extend(addresses.iter().map(|_| Err(lost.clone())));
                }
                Source::Here(source) => read_run(source, addresses, &mut read),
            }
        }
        read
    }
}

/// Reads a run at once; if that fails, one by one, so that a damaged blob does not take its neighbours with
/// it.
fn read_run(
    source: &PayloadSource,
    addresses: &[(PayloadOffset, u32)],
    read: &mut Vec<Result<Bytes, Unreadable>>,
) {
    match source.read_many(addresses) {
        Ok(blobs) => read.extend(blobs.into_iter().map(Ok)),
        Err(_) => read.extend(
            addresses
                .iter()
                .map(|&(offset, len)| source.read(offset, len).map_err(|error| unreadable(&error))),
        ),
    }
}

fn decode(blob: Bytes) -> Read {
    Envelope::decode(blob).map_err(|error| Unreadable {
        damaged: true,
        why: format!("the stored blob is not an envelope: {error}"),
    })
}

fn unreadable(error: &ReadError) -> Unreadable {
    Unreadable { damaged: !matches!(error, ReadError::Io { .. }), why: error.to_string() }
}

/// The reader threads. Tasks are bounded by the callers: each has at most one.
#[derive(Debug)]
pub(crate) struct Readers {
    tasks: Arc<Tasks>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Tasks {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    tasks: VecDeque<(Pinned, oneshot::Sender<Vec<Read>>)>,
    closed: bool,
}

impl Readers {
    /// Starts `count` threads; with none, everything is read where it is asked for.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        let mut readers = Self { tasks: Arc::default(), threads: Vec::new() };
        for number in 0..count {
            let tasks = Arc::clone(&readers.tasks);
            let thread = std::thread::Builder::new().name(format!("tidegate-read-{number}"));
            readers.threads.push(thread.spawn(move || tasks.serve())?);
        }
        Ok(readers)
    }

    /// Reads what is pinned, here if it is in memory, otherwise on a reader thread.
    pub(crate) async fn read(&self, pinned: Pinned) -> Vec<Read> {
        if self.threads.is_empty() || pinned.is_in_memory() {
            return pinned.read();
        }
        let count = pinned.addresses.len();
        let (sender, receiver) = oneshot::channel();
        self.tasks.lock().tasks.push_back((pinned, sender));
        self.tasks.changed.notify_one();
        let gone = || Err(Unreadable { damaged: false, why: "the reader thread is gone".into() });
        receiver.await.unwrap_or_else(|_| (0..count).map(|_| gone()).collect())
    }
}

impl Tasks {
    fn serve(&self) {
        let mut waiting = self.lock();
        loop {
            if let Some((pinned, sender)) = waiting.tasks.pop_front() {
                drop(waiting);
                if !sender.is_closed() {
                    drop(sender.send(pinned.read()));
                }
                waiting = self.lock();
            } else if waiting.closed {
                return;
            } else {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.tasks.lock().closed = true;
        self.tasks.changed.notify_all();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}
