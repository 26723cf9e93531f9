//! The one thread that writes, and the queue before it.
//!
//! Whatever has gathered in the queue while the disk was busy is written in one piece and made durable by one sync;
//! then everybody who waited is answered. So many callers share a sync, one alone never waits for company, and no
//! timer is needed. Marks that may be lost (`append_lazily`) ride along; when nothing else is there they are written
//! and not synced.
//!
//! The thread also decides what has been decided before: a second image under one client key, second thumbnails, a
//! second notification. It is the only one who writes, so it sees all that was.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::oneshot;

use super::entry::{Kind, Place, Prepared};
use super::error::{AppendError, Failure, ReadError};
use super::id::UploadId;
use super::index::Index;
use super::limits::{BATCH_BYTES_MAX, QUEUE_BYTES_MAX, QUEUE_ENTRIES_MAX};
use super::read::Reader;
use super::volume::{Location, VOLUME_HEADER_BYTES, VolumeHeader, allocate, create_volume, volume_name};

/// What the writer did with an entry. Whatever it says, what it says is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is kept.
    Kept,
    /// It, or its like, was there.
    AlreadyThere,
    /// Its client key belongs to this upload.
    KeyHeldBy(UploadId),
}

type Answer = oneshot::Sender<Result<Written, AppendError>>;

struct Request {
    entry: Prepared,
    /// Nobody waits for a lazy one.
    answer: Option<Answer>,
}

/// What waits for the writer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Request>,
    bytes: usize,
    closing: bool,
    broken: Option<Arc<Failure>>,
}

/// Entries that nobody waits for have so many times the room of others.
const LAZY_TIMES: usize = 2;

impl Queue {
    /// Takes an entry whose keeper waits.
    pub(super) fn push(
        &self,
        entry: Prepared,
    ) -> Result<oneshot::Receiver<Result<Written, AppendError>>, AppendError> {
        let (answer, answered) = oneshot::channel();
        self.push_request(Request { entry, answer: Some(answer) })?;
        Ok(answered)
    }

    /// Takes an entry that may be lost.
    pub(super) fn push_lazily(&self, entry: Prepared) -> Result<(), AppendError> {
        self.push_request(Request { entry, answer: None })
    }

    fn push_request(&self, request: Request) -> Result<(), AppendError> {
        let mut state = self.lock();
        if let Some(failure) = &state.broken {
            return Err(AppendError::Broken(Arc::clone(failure)));
        }
        if state.closing {
            return Err(AppendError::Closed);
        }
        let bytes = state.bytes + request.entry.entry_bytes() as usize;
        // Marks that nobody waits for are small and come after an image that had its place: they find theirs however
        // many images wait, since one that is dropped is looked for at the next start.
        let times = if request.answer.is_some() { 1 } else { LAZY_TIMES };
        let full = bytes > times * QUEUE_BYTES_MAX || state.waiting.len() >= times * QUEUE_ENTRIES_MAX;
        if full {
            return Err(AppendError::Busy);
        }
        state.bytes = bytes;
        state.waiting.push_back(request);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// No more is taken; what is there is still written.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_one();
    }

    /// The failure after which nothing is taken, if there was one.
    pub(super) fn failure(&self) -> Option<Arc<Failure>> {
        self.lock().broken.clone()
    }

    /// Waits for entries and takes a batch of them; none when the queue is closed and empty.
    fn take(&self) -> Option<Vec<Request>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closing {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0;
        let mut batch = Vec::new();
        while let Some(request) = state.waiting.front() {
            bytes += request.entry.entry_bytes() as usize;
            if bytes > BATCH_BYTES_MAX && !batch.is_empty() {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        state.bytes -= batch.iter().map(|request| request.entry.entry_bytes() as usize).sum::<usize>();
        Some(batch)
    }

    /// Takes nothing more, and everything that waits.
    fn break_off(&self, failure: &Arc<Failure>) -> VecDeque<Request> {
        let mut state = self.lock();
        state.broken = Some(Arc::clone(failure));
        state.bytes = 0;
        std::mem::take(&mut state.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's own things.
pub(super) struct Writer {
    pub(super) directory: PathBuf,
    pub(super) queue: Arc<Queue>,
    pub(super) index: Arc<RwLock<Index>>,
    pub(super) reader: Arc<Reader>,
    pub(super) identity: u64,
    pub(super) seed: u32,
    pub(super) volume_bytes: u32,
    pub(super) allocate_bytes: u32,
    pub(super) volume: u32,
    pub(super) file: File,
    /// Where the next entry goes.
    pub(super) end: u32,
    /// Up to where the volume is synced.
    pub(super) durable: u32,
    /// Up to where the volume has room for sure.
    pub(super) allocated: u32,
    pub(super) buffer: Vec<u8>,
    pub(super) broken: Option<Arc<Failure>>,
}

/// An entry of the batch and where it goes.
struct Placed {
    kind: Kind,
    upload: UploadId,
    client_key: Option<String>,
    location: Location,
    answer: Option<Answer>,
}

/// What has been put together and is not yet written.
#[derive(Default)]
struct Batch {
    placed: Vec<Placed>,
    /// What is in it, and whose client keys.
    entries: HashSet<(Kind, UploadId)>,
    keys: HashMap<String, UploadId>,
    /// Answers that need no writing, though perhaps something that this batch writes.
    settled: Vec<(Answer, Written)>,
}

/// Why a batch was not written.
enum Stop {
    /// Nothing was written, and all is well.
    Full,
    /// It is over.
    Broken(Failure),
}

impl Writer {
    /// Writes until the queue is closed, or until the disk fails.
    pub(super) fn run(mut self) {
        let _watch = Watch(Arc::clone(&self.queue));
        while let Some(requests) = self.queue.take() {
            let mut batch = Batch::default();
            for request in requests {
                if let Some(failure) = &self.broken {
                    refuse(request.answer, AppendError::Broken(Arc::clone(failure)));
                    continue;
                }
                // A new volume is begun only when everything in this one is durable.
                let next_end = u64::from(self.end) + u64::from(request.entry.entry_bytes());
                if next_end > u64::from(self.volume_bytes) && self.end > VOLUME_HEADER_BYTES {
                    let full = std::mem::take(&mut batch);
                    if !self.finish(full, true) || !self.roll() {
                        let broken =
                            self.broken.as_ref().map(|failure| AppendError::Broken(Arc::clone(failure)));
                        refuse(request.answer, broken.unwrap_or(AppendError::DiskFull));
                        continue;
                    }
                }
                self.place(request, &mut batch);
            }
            if self.broken.is_none() {
                self.finish(batch, false);
            }
            if self.broken.is_some() {
                return;
            }
        }
        // What was written for nobody is made durable at last.
        if let Err(error) = rustix::fs::fdatasync(&self.file) {
            tracing::error!(file = volume_name(self.volume), "closing the store: syncing failed: {error}");
        }
    }

    /// Decides about one entry, and puts it at the end of the batch if it is new.
    fn place(&mut self, request: Request, batch: &mut Batch) {
        let Request { entry, answer } = request;
        match self.already(&entry, batch) {
            Ok(None) => {}
            Ok(Some(written)) => return batch.settled.extend(answer.map(|answer| (answer, written))),
            Err(error) => return refuse(answer, error.into()),
        }
        let place = Place { seed: self.seed, volume: self.volume, offset: self.end, durable: self.durable };
        entry.write(&place, &mut self.buffer);
        let location = Location { volume: self.volume, offset: self.end };
        self.end += entry.entry_bytes();
        let Prepared { kind, upload, client_key, .. } = entry;
        batch.entries.insert((kind, upload));
        batch.keys.extend(client_key.clone().map(|key| (key, upload)));
        batch.placed.push(Placed { kind, upload, client_key, location, answer });
    }

    /// What makes this entry superfluous, if something does: in the index, or earlier in this batch.
    fn already(&self, entry: &Prepared, batch: &Batch) -> Result<Option<Written>, ReadError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let known = index.get(entry.upload);
        let there = match entry.kind {
            Kind::Image => known.is_some(),
            Kind::Thumbnails => known.is_some_and(|known| known.thumbnails.is_somewhere()),
            Kind::Notified => known.is_some_and(|known| known.notified),
            Kind::LetGo => false,
            // Jobs accepted anew replace those that are noted.
            Kind::Accepted => return Ok(None),
        };
        if there || batch.entries.contains(&(entry.kind, entry.upload)) {
            return Ok(Some(Written::AlreadyThere));
        }
        let Some(key) = entry.client_key.as_deref() else { return Ok(None) };
        if let Some(holder) = batch.keys.get(key) {
            return Ok(Some(Written::KeyHeldBy(*holder)));
        }
        let candidates = index.candidates(key);
        drop(index);
        for candidate in candidates {
            if self.reader.image_meta(candidate.image)?.1.client_key.as_deref() == Some(key) {
                return Ok(Some(Written::KeyHeldBy(candidate.upload)));
            }
        }
        Ok(None)
    }

    /// Writes the batch, syncs if somebody waits or `sync` says so, and answers. False if it was not written.
    fn finish(&mut self, batch: Batch, sync: bool) -> bool {
        let start = self.end - self.buffer.len() as u32;
        let awaited = !batch.settled.is_empty() || batch.placed.iter().any(|placed| placed.answer.is_some());
        let outcome = self.write(start).and_then(|()| if sync || awaited { self.sync() } else { Ok(()) });
        self.buffer.clear();
        self.buffer.shrink_to(2 * BATCH_BYTES_MAX);
        if let Err(stop) = outcome {
            self.end = start;
            self.give_up(batch, stop);
            return false;
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for placed in &batch.placed {
            index.insert(placed.kind, placed.upload, placed.client_key.as_deref(), placed.location);
        }
        drop(index);
        let kept = batch.placed.into_iter().filter_map(|placed| Some((placed.answer?, Written::Kept)));
        for (answer, written) in kept.chain(batch.settled) {
            // Who no longer waits will find it.
            let _ = answer.send(Ok(written));
        }
        true
    }

    fn write(&mut self, start: u32) -> Result<(), Stop> {
        if self.end > self.allocated {
            let room = self.end.next_multiple_of(self.allocate_bytes);
            allocate(&self.file, room).map_err(|error| self.stop("making room in", &error))?;
            self.allocated = room;
        }
        let written = self.file.write_all_at(&self.buffer, start.into());
        written.map_err(|error| Stop::Broken(self.failure("writing", &error)))
    }

    fn sync(&mut self) -> Result<(), Stop> {
        if self.durable < self.end {
            let synced = rustix::fs::fdatasync(&self.file);
            synced.map_err(|error| Stop::Broken(self.failure("syncing", &error.into())))?;
            self.durable = self.end;
        }
        Ok(())
    }

    /// Closes this volume, in which everything is durable, and begins the next. False if that did not work.
    fn roll(&mut self) -> bool {
        match self.next_volume() {
            Ok(()) => true,
            Err(stop) => {
                self.give_up(Batch::default(), stop);
                false
            }
        }
    }

    fn next_volume(&mut self) -> Result<(), Stop> {
        let header =
            VolumeHeader { identity: self.identity, number: self.volume + 1, previous_end: self.end };
        let file = create_volume(&self.directory, header)
            .map_err(|error| self.stop("making a volume after", &error))?;
        // What the old one has set aside and not used goes back. If this is not durable nothing is lost.
        if let Err(error) = self.file.set_len(self.end.into()) {
            tracing::warn!(file = volume_name(self.volume), "giving back unused room failed: {error}");
        }
        self.file = file;
        self.volume = header.number;
        (self.end, self.durable, self.allocated) =
            (VOLUME_HEADER_BYTES, VOLUME_HEADER_BYTES, VOLUME_HEADER_BYTES);
        Ok(())
    }

    /// Before anything is written a full disk is a refusal; everything else is the end.
    fn stop(&self, doing: &'static str, error: &io::Error) -> Stop {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Stop::Full
            }
            _ => Stop::Broken(self.failure(doing, error)),
        }
    }

    fn failure(&self, doing: &'static str, error: &io::Error) -> Failure {
        Failure { doing, file: volume_name(self.volume), message: error.to_string() }
    }

    fn give_up(&mut self, batch: Batch, stop: Stop) {
        let settled = batch.settled.into_iter().map(|(answer, _)| answer);
        let answers = batch.placed.into_iter().filter_map(|placed| placed.answer).chain(settled);
        match stop {
            Stop::Full => answers.for_each(|answer| refuse(Some(answer), AppendError::DiskFull)),
            Stop::Broken(failure) => {
                tracing::error!("the store has failed: {failure}");
                let failure = Arc::new(failure);
                self.broken = Some(Arc::clone(&failure));
                let waiting = self.queue.break_off(&failure);
                let waiting = waiting.into_iter().filter_map(|request| request.answer);
                for answer in answers.chain(waiting) {
                    refuse(Some(answer), AppendError::Broken(Arc::clone(&failure)));
                }
            }
        }
    }
}

/// Nobody waits for a writer that has ended by a bug.
struct Watch(Arc<Queue>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let message = "the writer has panicked".to_owned();
            self.0.break_off(&Arc::new(Failure { doing: "writing", file: String::new(), message }));
        }
    }
}

fn refuse(answer: Option<Answer>, error: AppendError) {
    // Nobody may be waiting any more.
    let _ = answer.map(|answer| answer.send(Err(error)));
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
