//! The engine: the order of submitted frames, and the thread that makes them durable.
//!
//! ```text
//!   submit ──▶ order (one short lock) ──▶ recent frames ◀── payload()
//!                                             │ taken in batches
//!                              writer: append, sync ──▶ durable ──▶ listeners, waiters
//! ```
//! While the writer syncs, the next frames gather: that is group commit without a timer. Frames stay in
//! `recent` until they are durable and the bound on it asks for their room; whoever reads a payload finds it
//! there or in a segment.
//!
//! Left out: files. Those are [`Segments`]'s.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::index::Index;
use super::reader::LocalReader;
use super::segments::capacity_for;
use super::spares::Spares;
use super::{LocalOptions, Segments};
use crate::disk::{DirLock, Disk, RealDisk};
use crate::error::{LogFailure, OpenError, ReadError, SubmitError};
use crate::frame::{Frame, SealedFrame};
use crate::limits::{BATCH_BYTES_MAX, SPARE_BUFFER_BYTES_MAX, SPARE_BUFFERS_MAX};
use crate::log::{Durable, DurableListener, FrameReader, Log, LogStatus, Opened, RecoveryReport};
use crate::payload::PayloadSource;
use crate::position::{Epoch, Sequence};

/// How long the filler rests after each chunk while nothing else is written.
const FILL_PAUSE_IDLE: Duration = Duration::from_millis(10);
/// How long it waits, at a time, for frames to stop coming: a sync of its own would hold theirs up, and a segment can be
/// made without a spare.
const FILL_PAUSE_BUSY: Duration = Duration::from_millis(100);
/// So often it waits; then it fills one chunk all the same.
const FILL_WAITS: usize = 50;

/// A log in a local directory.
pub struct LocalLog {
    shared: Arc<Shared>,
    driver: Driver,
}

/// What makes the writer work.
enum Driver {
    Threads { writer: Mutex<Option<JoinHandle<()>>>, filler: Mutex<Option<JoinHandle<()>>> },
    Steps(Box<Mutex<Writer>>),
}

struct Shared {
    identity: u64,
    segment_bytes: u64,
    recent_bytes_max: u64,
    disk: Arc<dyn Disk>,
    index: Arc<Index>,
    spares: Arc<Spares>,
    order: Mutex<Order>,
    /// There is something to write, to trim, or to end.
    work: Condvar,
    /// `durable` has advanced, or never will again.
    advanced: Condvar,
    durable: AtomicU64,
    in_flight_bytes: AtomicU64,
    failure: OnceLock<Arc<LogFailure>>,
    listeners: Mutex<Listeners>,
}

/// Those who want to hear, and whether they have heard of a failure: each hears of it once.
#[derive(Default)]
struct Listeners {
    all: Vec<DurableListener>,
    told_of_failure: bool,
}

/// What one short lock guards.
struct Order {
    last: Sequence,
    epoch: Epoch,
    /// The checksum of the last frame, which the next one names.
    previous: u32,
    /// The frames up to `last`, without gaps: all that are not durable, and some that are.
    recent: VecDeque<SealedFrame>,
    recent_bytes: u64,
    /// Buffers of frames that `recent` has let go of, to be filled again.
    buffers: Vec<Vec<u8>>,
    /// The last frame the writer has taken.
    taken: Sequence,
    trim: Option<Sequence>,
    ending: Ending,
    writer_waits: bool,
    waiters: usize,
    plan: Plan,
}

/// Where the frames taken will lie, foreseen as the writer will place them: tells at submit whether one more
/// needs a segment the disk has no room for.
struct Plan {
    end: u64,
    capacity: u64,
    /// Segments to be made for frames already taken.
    rolls: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    None,
    /// The log is dropped: write what was taken and stop.
    Dropped,
    /// The log is closed: the same, and note that the end is known.
    Closed,
}

impl LocalLog {
    /// Opens the log in `directory`, or makes it, and starts its threads.
    ///
    /// # Errors
    /// [`OpenError`]: in use, damaged, of a newer format, options out of range, or the system's refusals.
    pub fn open(directory: &Path, options: LocalOptions) -> Result<Opened<LocalLog>, OpenError> {
        let io = |source| OpenError::Io { doing: "opening", file: directory.display().to_string(), source };
        let disk = Arc::new(RealDisk::create(directory).map_err(io)?);
        let lock = DirLock::take(directory)?;
        LocalLog::start(disk, &options, Some(lock))
    }

    /// Opens the log on any disk, with its threads. The caller is the disk's one owner.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(disk: Arc<dyn Disk>, options: LocalOptions) -> Result<Opened<LocalLog>, OpenError> {
        LocalLog::start(disk, &options, None)
    }

    fn start(
        disk: Arc<dyn Disk>,
        options: &LocalOptions,
        lock: Option<DirLock>,
    ) -> Result<Opened<LocalLog>, OpenError> {
        let directory = disk.directory();
        let start = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let started = thread::Builder::new().name(name.to_owned()).spawn(work);
            started.map_err(|source| OpenError::Io {
                doing: "starting threads for",
                file: directory.clone(),
                source,
            })
        };
        let (shared, mut writer, recovery) = open_parts(disk, options, lock)?;
        let spares = Arc::clone(&shared.spares);
        let write = move || while writer.turn(true) {};
        let watched = Arc::clone(&shared);
        let fill = move || {
            let mut seen = watched.durable();
            while spares.wait_wanted() {
                spares.fill_one(|| {
                    thread::sleep(FILL_PAUSE_IDLE);
                    for _ in 0..FILL_WAITS {
                        let before = std::mem::replace(&mut seen, watched.durable());
                        if before == seen || watched.lock().ending != Ending::None {
                            break;
                        }
                        thread::sleep(FILL_PAUSE_BUSY);
                    }
                });
            }
        };
        let (writer, filler) = (Mutex::new(Some(start("log-writer", Box::new(write))?)), Mutex::default());
        let log = LocalLog { shared, driver: Driver::Threads { writer, filler } };
        // Should the filler not start, dropping the log ends the writer in order.
        let started = start("log-filler", Box::new(fill))?;
        if let Driver::Threads { filler, .. } = &log.driver {
            *filler.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        }
        Ok(Opened { log, recovery })
    }

    /// Opens the log on any disk, without threads: [`step`](Self::step) does the writer's work, on the
    /// caller's thread. For simulations; the caller is the directory's one owner.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_stepped(disk: Arc<dyn Disk>, options: LocalOptions) -> Result<Opened<LocalLog>, OpenError> {
        let (shared, writer, recovery) = open_parts(disk, &options, None)?;
        Ok(Opened { log: LocalLog { shared, driver: Driver::Steps(Box::new(Mutex::new(writer))) }, recovery })
    }

    /// In a log without threads: writes, syncs and announces one batch, or trims, or ends. Says whether there
    /// may be more to do. With threads there is never anything to do here.
    pub fn step(&self) -> bool {
        match &self.driver {
            Driver::Threads { .. } => false,
            Driver::Steps(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                writer.turn(false) && self.shared.lock().has_work()
            }
        }
    }

    /// In a log without threads: fills one spare segment, if one is wanted.
    pub fn fill_spare(&self) {
        if matches!(self.driver, Driver::Steps(_)) {
            self.shared.spares.fill_one(|| {});
        }
    }

    fn end(&self, ending: Ending) {
        {
            let mut order = self.shared.lock();
            if order.ending == Ending::None {
                order.ending = ending;
            }
        }
        self.shared.work.notify_one();
        self.shared.spares.stop();
        match &self.driver {
            Driver::Threads { writer, filler } => {
                for handle in [writer, filler] {
                    let handle = handle.lock().unwrap_or_else(PoisonError::into_inner).take();
                    // A writer that panicked has left its failure behind; that is what the owner hears.
                    let _ = handle.map(JoinHandle::join);
                }
            }
            Driver::Steps(_) if ending == Ending::Closed => while self.step() {},
            Driver::Steps(_) => {}
        }
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.end(Ending::Dropped);
    }
}

fn open_parts(
    disk: Arc<dyn Disk>,
    options: &LocalOptions,
    lock: Option<DirLock>,
) -> Result<(Arc<Shared>, Writer, RecoveryReport), OpenError> {
    let (segments, recovery) = Segments::open(Arc::clone(&disk), options)?;
    let (end, capacity) = segments.room();
    let order = Order {
        last: recovery.last,
        epoch: recovery.epoch,
        previous: segments.previous(),
        recent: VecDeque::new(),
        recent_bytes: 0,
        buffers: Vec::new(),
        taken: recovery.last,
        trim: None,
        ending: Ending::None,
        writer_waits: false,
        waiters: 0,
        plan: Plan { end, capacity, rolls: 0 },
    };
    let shared = Arc::new(Shared {
        identity: segments.identity(),
        segment_bytes: options.segment_bytes,
        recent_bytes_max: options.recent_bytes,
        disk,
        index: Arc::clone(segments.index()),
        spares: Arc::clone(segments.spares()),
        order: Mutex::new(order),
        work: Condvar::new(),
        advanced: Condvar::new(),
        durable: AtomicU64::new(recovery.last.0),
        in_flight_bytes: AtomicU64::new(0),
        failure: OnceLock::new(),
        listeners: Mutex::default(),
    });
    let writer =
        Writer { shared: Arc::clone(&shared), segments, batch: Vec::new(), done: false, _lock: lock };
    Ok((shared, writer, recovery))
}

/// The writer: the only one who touches the files for writing.
struct Writer {
    shared: Arc<Shared>,
    segments: Segments,
    batch: Vec<SealedFrame>,
    done: bool,
    /// Given back when the writer ends.
    _lock: Option<DirLock>,
}

impl Writer {
    /// One turn of work; false when there will be no more. With `wait`, waits for work first.
    fn turn(&mut self, wait: bool) -> bool {
        if self.done {
            return false;
        }
        let (trim, ending) = self.take(wait);
        let turned =
            self.write_batch().and_then(|()| trim.map_or(Ok(()), |before| self.segments.trim(before)));
        let ended = match ending {
            Ending::None => turned,
            Ending::Dropped => turned.inspect(|()| self.done = true),
            Ending::Closed => turned.and_then(|()| self.segments.close()).inspect(|()| self.done = true),
        };
        if let Err(failure) = ended {
            self.done = true;
            self.shared.fail(failure);
        }
        !self.done
    }

    /// Takes what there is: the next frames into `batch`, a trim, and the ending once nothing is left before
    /// it.
    fn take(&mut self, wait: bool) -> (Option<Sequence>, Ending) {
        let shared = Arc::clone(&self.shared);
        let mut order = shared.lock();
        while wait && !order.has_work() {
            order.writer_waits = true;
            order = shared.work.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
        order.writer_waits = false;
        let mut bytes = 0;
        let from = order.recent.len() - (order.last.0 - order.taken.0) as usize;
        self.batch.clear();
        for frame in order.recent.range(from..) {
            bytes += frame.bytes().len() as u64;
            if bytes > BATCH_BYTES_MAX && !self.batch.is_empty() {
                break;
            }
            self.batch.push(frame.clone());
        }
        order.taken.0 += self.batch.len() as u64;
        let ending = if order.taken == order.last { order.ending } else { Ending::None };
        (order.trim.take(), ending)
    }

    fn write_batch(&mut self) -> Result<(), LogFailure> {
        let batch = std::mem::take(&mut self.batch);
        let mut rest = batch.as_slice();
        while !rest.is_empty() {
            let rolls = self.segments.rolls();
            let (written, behind) = rest.split_at(self.segments.append(rest)?);
            let rolled = self.segments.rolls() - rolls;
            let durable = self.segments.sync()?;
            let bytes = written.iter().map(|frame| frame.bytes().len() as u64).sum();
            self.shared.publish(durable, bytes, rolled);
            rest = behind;
        }
        self.batch = batch;
        // The room stays; the frames must not be held any longer than `recent` holds them.
        self.batch.clear();
        Ok(())
    }
}

impl Drop for Writer {
    /// A writer that panics (a listener's fault, most likely) must not leave anybody waiting.
    fn drop(&mut self) {
        if thread::panicking() {
            let error = std::io::Error::other("the writer panicked");
            self.shared.failure.get_or_init(|| Arc::new(LogFailure::new("writing", "the log", &error)));
            let _order = self.shared.lock();
            self.shared.advanced.notify_all();
        }
    }
}

impl Shared {
    /// A panic elsewhere leaves the order whole: nothing panics half-way through a change of it.
    fn lock(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn durable(&self) -> Sequence {
        Sequence(self.durable.load(Ordering::Acquire))
    }

    /// Announces that everything up to `durable` is.
    fn publish(&self, durable: Sequence, bytes: u64, rolled: usize) {
        self.durable.store(durable.0, Ordering::Release);
        self.in_flight_bytes.fetch_sub(bytes, Ordering::Relaxed);
        {
            let mut order = self.lock();
            order.plan.rolls -= rolled;
            order.forget_recent(durable, self.recent_bytes_max);
            if order.waiters > 0 {
                self.advanced.notify_all();
            }
        }
        self.tell(&Ok(durable));
    }

    fn fail(&self, failure: LogFailure) {
        let failure = Arc::clone(self.failure.get_or_init(|| Arc::new(failure)));
        // Under the lock, so that nobody is between looking and waiting.
        let order = self.lock();
        self.advanced.notify_all();
        drop(order);
        self.tell(&Err(failure));
    }

    fn tell(&self, news: &Result<Sequence, Arc<LogFailure>>) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.told_of_failure |= news.is_err();
        for listener in &listeners.all {
            listener(news.clone());
        }
    }

    fn free_bytes(&self) -> u64 {
        self.disk.free_bytes().unwrap_or(0)
    }

    /// Foresees where a frame of `bytes` will go, or refuses it if there is no room for the segment it would
    /// need.
    fn place(&self, order: &mut Order, bytes: u64) -> Result<(), SubmitError> {
        let plan = &mut order.plan;
        if plan.end + bytes <= plan.capacity {
            plan.end += bytes;
            return Ok(());
        }
        let capacity = capacity_for(self.segment_bytes, bytes);
        let spare = capacity == self.segment_bytes && self.spares.ready() > plan.rolls;
        if !spare {
            let (needed_bytes, free_bytes) = ((plan.rolls as u64 + 1) * capacity, self.free_bytes());
            if free_bytes < needed_bytes {
                return Err(SubmitError::DiskFull { needed_bytes, free_bytes });
            }
        }
        *plan = Plan { end: bytes, capacity, rolls: plan.rolls + 1 };
        Ok(())
    }
}

impl Order {
    fn has_work(&self) -> bool {
        self.taken < self.last || self.trim.is_some() || self.ending != Ending::None
    }

    /// The frame at `at`, if it is among the recent ones.
    fn recent(&self, at: Sequence) -> Option<&SealedFrame> {
        let behind = self.last.0.checked_sub(at.0)? as usize;
        let index = self.recent.len().checked_sub(behind + 1)?;
        self.recent.get(index)
    }

    /// Lets go of the oldest durable frames until the bound holds.
    fn forget_recent(&mut self, durable: Sequence, bytes_max: u64) {
        while self.recent_bytes > bytes_max
            && let Some(frame) = self.recent.pop_front_if(|frame| frame.header().sequence <= durable)
        {
            self.recent_bytes -= frame.bytes().len() as u64;
            if self.buffers.len() < SPARE_BUFFERS_MAX
                && let Some(buffer) = frame.into_buffer()
                && buffer.capacity() <= SPARE_BUFFER_BYTES_MAX
            {
                self.buffers.push(buffer);
            }
        }
    }
}

impl Log for LocalLog {
    fn spare_buffer(&self) -> Option<Vec<u8>> {
        self.shared.lock().buffers.pop()
    }

    fn submit(&self, after: Sequence, frame: Frame) -> Result<(), SubmitError> {
        assert_eq!(
            frame.header().sequence,
            after.next(),
            "a frame is finished with the sequence it is submitted for"
        );
        let shared = &*self.shared;
        let mut order = shared.lock();
        if let Some(failure) = shared.failure.get() {
            return Err(SubmitError::Failed(Arc::clone(failure)));
        }
        if order.ending != Ending::None {
            return Err(SubmitError::Closed);
        }
        let epoch = frame.header().epoch;
        if after != order.last || epoch < order.epoch {
            let (found_last, found_epoch) = (order.last, order.epoch);
            return Err(SubmitError::Fenced { after, epoch, found_last, found_epoch });
        }
        let bytes = frame.len() as u64;
        shared.place(&mut order, bytes)?;
        let sealed = frame.seal(shared.identity, order.previous, shared.durable());
        order.previous = sealed.header().checksum;
        order.last = order.last.next();
        order.epoch = epoch;
        order.recent.push_back(sealed);
        order.recent_bytes += bytes;
        shared.in_flight_bytes.fetch_add(bytes, Ordering::Relaxed);
        // Waking somebody who is awake costs a system call; only the first frame of a batch pays for one.
        let wake = std::mem::take(&mut order.writer_waits);
        drop(order);
        if wake {
            shared.work.notify_one();
        }
        Ok(())
    }

    fn durable(&self) -> Durable {
        Durable { sequence: self.shared.durable(), failure: self.shared.failure.get().cloned() }
    }

    fn wait_durable(&self, sequence: Sequence) -> Result<Sequence, Arc<LogFailure>> {
        while self.step() && self.shared.durable() < sequence {}
        let mut order = self.shared.lock();
        loop {
            let durable = self.shared.durable();
            if durable >= sequence {
                return Ok(durable);
            }
            if let Some(failure) = self.shared.failure.get() {
                return Err(Arc::clone(failure));
            }
            assert!(sequence <= order.last, "nobody waits for a frame that has not been submitted");
            order.waiters += 1;
            order = self.shared.advanced.wait(order).unwrap_or_else(PoisonError::into_inner);
            order.waiters -= 1;
        }
    }

    fn on_durable(&self, listener: DurableListener) {
        let mut listeners = self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        match self.shared.failure.get() {
            Some(failure) if listeners.told_of_failure => listener(Err(Arc::clone(failure))),
            _ => listeners.all.push(listener),
        }
    }

    fn in_flight_bytes(&self) -> u64 {
        self.shared.in_flight_bytes.load(Ordering::Relaxed)
    }

    fn read(&self, from: Sequence) -> Result<Box<dyn FrameReader>, ReadError> {
        let index = &self.shared.index;
        let begin = |from| {
            if from != index.next() {
                index.run_from(from)?;
            }
            Ok(Box::new(LocalReader::new(Arc::clone(index), self.shared.identity, from)))
        };
        if from != Sequence::ZERO {
            return Ok(begin(from)?);
        }
        loop {
            match begin(index.first()) {
                // A trim came between the look and the reading: the beginning is later now.
                Err(ReadError::Trimmed { .. }) => {}
                reader => return Ok(reader?),
            }
        }
    }

    fn payload(&self, at: Sequence) -> Result<PayloadSource, ReadError> {
        if let Some(frame) = self.shared.lock().recent(at) {
            return Ok(PayloadSource::in_memory(frame));
        }
        let run = self.shared.index.run_from(at)?;
        Ok(PayloadSource::in_segment(at, run.file, run.at))
    }

    fn trim(&self, before: Sequence) {
        let mut order = self.shared.lock();
        order.trim = order.trim.max(Some(before));
        order.writer_waits = false;
        drop(order);
        self.shared.work.notify_one();
    }

    fn status(&self) -> LogStatus {
        let shared = &*self.shared;
        let last = shared.lock().last;
        let segments = shared.index.status();
        LogStatus {
            first: shared.index.first(),
            last,
            durable: shared.durable(),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            in_flight_bytes: self.in_flight_bytes(),
            free_bytes: shared.free_bytes(),
            spares: shared.spares.ready(),
            segments,
        }
    }

    fn close(&self) -> Result<(), Arc<LogFailure>> {
        self.end(Ending::Closed);
        self.shared.failure.get().cloned().map_or(Ok(()), Err)
    }
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLog")
            .field("directory", &self.shared.disk.directory())
            .field("durable", &self.shared.durable())
            .field("failure", &self.shared.failure.get())
            .finish_non_exhaustive()
    }
}
