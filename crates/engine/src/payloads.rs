//! Reading what jobs carry, off the shard's thread.
//!
//! A turn only pins: for each blob it takes the log's handle on the frame that holds it, which costs no
//! reading and keeps trimming away. If all frames are in memory, the caller's side reads when the answer is out. Otherwise
//! one of a few reader threads begins at once, while the log syncs what the answer waits for, so that no executor's thread
//! waits for a disk, and a worker at a long queue hardly ever waits for more than the sync. Neighbours share one read.
//!
//! Left out: what to do about a blob that cannot be read. The caller of [`Pinned::read`] decides.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use prost::Message;
use tidegate_core::id::Blob;
use tidegate_core::sabotage;
use tidegate_log::frame::PAYLOAD_PREFIX_BYTES;
use tidegate_log::{Log, PayloadOffset, PayloadSource, ReadError, Sequence};
use tokio::sync::oneshot;

use crate::envelope::Envelope;
use crate::limits::LEISURE_BYTES;
use crate::outbox::Leisure;

/// Blobs that can be read, in the order they were pinned.
#[derive(Debug, Default)]
pub(crate) struct Pinned {
    addresses: Vec<(PayloadOffset, u32)>,
    /// Neighbours with one source.
    runs: Vec<Run>,
    /// Once a reader thread has them; nothing else is here then.
    begun: Option<Begun>,
}

/// Blobs that are being read, or have been.
#[derive(Debug)]
struct Begun {
    count: usize,
    read: oneshot::Receiver<Vec<Read>>,
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
    /// The log does not have the frame, or cannot find out where it is.
    Lost(Unreadable),
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
                .map_or_else(|error| Source::Lost(unreadable(&error)), Source::Here),
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

    /// What there is to read.
    fn bytes(&self) -> usize {
        self.addresses.iter().map(|&(_, len)| len as usize).sum()
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
                Source::Lost(lost) => read.extend(addresses.iter().map(|_| Err(lost.clone()))),
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
    let mut envelope = Envelope::decode(blob).map_err(|error| Unreadable {
        damaged: true,
        why: format!("the stored blob is not an envelope: {error}"),
    })?;
    if sabotage::is("trace_lost") {
        envelope.traceparent = None;
    }
    Ok(envelope)
}

fn unreadable(error: &ReadError) -> Unreadable {
    Unreadable { damaged: !matches!(error, ReadError::Io { .. }), why: error.to_string() }
}

/// Where to leave what is to be read. Tasks are bounded by the callers: each has at most one.
#[derive(Clone, Debug)]
pub(crate) struct Readers(Arc<Tasks>);

/// The reader threads. They end with this.
#[derive(Debug)]
pub(crate) struct ReaderThreads {
    readers: Readers,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Tasks {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug)]
struct Waiting {
    tasks: VecDeque<(Pinned, oneshot::Sender<Vec<Read>>)>,
    /// Nobody serves the tasks: whoever has one does it himself.
    closed: bool,
}

impl ReaderThreads {
    /// Starts `count` threads; with none, everything is read where it is asked for.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        let mut readers = Self::none();
        readers.readers.0.lock().closed = count == 0;
        for number in 0..count {
            let tasks = Arc::clone(&readers.readers.0);
            let thread = std::thread::Builder::new().name(format!("tidegate-read-{number}"));
            readers.threads.push(thread.spawn(move || tasks.serve())?);
        }
        Ok(readers)
    }

    /// None.
    pub(crate) fn none() -> Self {
        let waiting = Waiting { tasks: VecDeque::new(), closed: true };
        let tasks = Tasks { waiting: Mutex::new(waiting), changed: Condvar::new() };
        Self { readers: Readers(Arc::new(tasks)), threads: Vec::new() }
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }
}

impl Readers {
    /// Has what is pinned read by a thread, unless it is in memory. Waits for nothing.
    pub(crate) fn begin(&self, pinned: &mut Pinned) {
        if pinned.begun.is_some() || pinned.is_in_memory() {
            return;
        }
        let mut waiting = self.0.lock();
        if waiting.closed {
            return;
        }
        let (sender, read) = oneshot::channel();
        let begun = Begun { count: pinned.addresses.len(), read };
        let task = std::mem::replace(pinned, Pinned { begun: Some(begun), ..Pinned::default() });
        waiting.tasks.push_back((task, sender));
        drop(waiting);
        self.0.changed.notify_one();
    }

    /// What is pinned: read here if it is in memory, otherwise by a thread, which may have it already.
    pub(crate) async fn read(&self, pinned: Pinned) -> Vec<Read> {
        let mut pinned = pinned;
        self.begin(&mut pinned);
        let Some(Begun { count, read }) = pinned.begun else { return pinned.read() };
        let gone = || Err(Unreadable { damaged: false, why: "the reader thread is gone".into() });
        read.await.unwrap_or_else(|_| (0..count).map(|_| gone()).collect())
    }
}

impl Tasks {
    fn serve(&self) {
        let mut waiting = self.lock();
        loop {
            if let Some((pinned, sender)) = waiting.tasks.pop_front() {
                let is_last = waiting.tasks.is_empty();
                drop(waiting);
                if !sender.is_closed() {
                    let read = pinned.read();
                    let _leisure = (is_last && pinned.bytes() <= LEISURE_BYTES).then(Leisure::begin);
                    drop(sender.send(read));
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

impl Drop for ReaderThreads {
    fn drop(&mut self) {
        self.readers.0.lock().closed = true;
        self.readers.0.changed.notify_all();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_log::{FrameBuilder, LocalLog, LocalOptions, Shard};

    use super::*;

    /// A log that keeps nothing in memory, with one job's payload in it.
    fn log() -> (LocalLog, Blob, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let options = LocalOptions { recent_bytes: 0, ..LocalOptions::default() };
        let opened = LocalLog::open(directory.path(), options).expect("a log");
        let envelope = Envelope::json("{}");
        let mut builder = FrameBuilder::new();
        builder.push_record(b"a record");
        let offset = builder.push_payload(&envelope.encode_to_vec());
        let frame = builder.finish(Shard(0), opened.recovery.epoch, Sequence(1), 0);
        opened.log.submit(Sequence::ZERO, frame).expect("the frame is taken");
        opened.log.wait_durable(Sequence(1)).expect("it is durable");
        let blob = Blob { frame: 1, offset: offset.0, len: envelope.stored_len() };
        (opened.log, blob, directory)
    }

    /// Pinned where it is when the log has let go of the frame in memory.
    fn on_disk(log: &LocalLog, blob: Blob) -> Pinned {
        loop {
            let pinned = Pinned::pin(log, [blob].into_iter());
            if !pinned.is_in_memory() {
                return pinned;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_on_the_disk_is_read_before_anybody_asks() {
        let (log, blob, _directory) = log();
        let threads = ReaderThreads::start(1).expect("a thread");
        let mut pinned = on_disk(&log, blob);
        threads.readers().begin(&mut pinned);
        let read = pinned.begun.expect("it has begun").read.blocking_recv();
        assert_eq!(read, Ok(vec![Ok(Envelope::json("{}"))]));
    }

    #[test]
    fn whoever_comes_after_the_threads_reads_himself() {
        let (log, blob, _directory) = log();
        let threads = ReaderThreads::start(1).expect("a thread");
        let readers = threads.readers().clone();
        drop(threads);
        let mut pinned = on_disk(&log, blob);
        readers.begin(&mut pinned);
        assert!(pinned.begun.is_none());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(runtime.block_on(readers.read(pinned)), [Ok(Envelope::json("{}"))]);
    }
}
