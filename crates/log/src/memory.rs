//! The memory engine: the same contract without a disk, for tests and for embedding where nothing must
//! outlive the process.
//!
//! A frame is "durable" as soon as it is submitted, on the submitter's thread, unless a test has asked to
//! [`hold`](MemoryLog::hold) durability back. [`reopen`](MemoryLog::reopen) does what a crash and an opening
//! would do: it keeps what was durable, forgets the rest and starts a new epoch. Cloning shares the log; the
//! clones of before a reopening are fenced, as an owner that lost its place would be.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{LogFailure, ReadError, SubmitError};
use crate::frame::{Frame, FrameView, SealedFrame};
use crate::log::{
    Durable, DurableListener, FrameReader, Log, LogStatus, Opened, RecoveryReport, SegmentStatus,
};
use crate::payload::PayloadSource;
use crate::position::{Epoch, Sequence};

/// The identity of every memory log: nothing can be mistaken for one of its frames.
const IDENTITY: u64 = 0;

/// A log in memory.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    advanced: Condvar,
    listeners: Mutex<Vec<Arc<DurableListener>>>,
}

#[derive(Default)]
struct State {
    /// The frames held, without gaps; the first one's sequence is `trimmed.next()`.
    frames: VecDeque<SealedFrame>,
    trimmed: Sequence,
    durable: Sequence,
    /// The checksum of the last frame, which the next one names.
    previous: u32,
    epoch: Epoch,
    held: bool,
    closed: bool,
    failure: Option<Arc<LogFailure>>,
}

impl MemoryLog {
    /// A new, empty log.
    #[must_use]
    pub fn open() -> Opened<MemoryLog> {
        MemoryLog::from_state(State::default())
    }

    /// Crashes and opens anew: what was durable is there, what was not is gone.
    #[must_use]
    pub fn reopen(&self) -> Opened<MemoryLog> {
        let mut old = self.lock();
        old.closed = true;
        let kept = (old.durable.0 - old.trimmed.0) as usize;
        let frames: VecDeque<_> = old.frames.iter().take(kept).cloned().collect();
        let state = State {
            previous: frames.back().map_or(0, |frame| frame.header().checksum),
            frames,
            trimmed: old.trimmed,
            durable: old.durable,
            epoch: old.epoch,
            ..State::default()
        };
        MemoryLog::from_state(state)
    }

    fn from_state(mut state: State) -> Opened<MemoryLog> {
        state.epoch = state.epoch.next();
        let recovery = RecoveryReport {
            first: state.trimmed.next(),
            last: state.durable,
            epoch: state.epoch,
            last_time_ms: state.frames.back().map_or(0, |frame| frame.header().time_ms),
            closed: true,
            torn: None,
        };
        let shared =
            Shared { state: Mutex::new(state), advanced: Condvar::new(), listeners: Mutex::default() };
        Opened { log: MemoryLog { shared: Arc::new(shared) }, recovery }
    }

    /// From now on, frames are taken and not made durable, until [`release`](Self::release).
    pub fn hold(&self) {
        self.lock().held = true;
    }

    /// Makes everything durable that was held back up to `sequence`, and goes on holding.
    pub fn release_to(&self, sequence: Sequence) {
        let mut state = self.lock();
        let advanced = state.failure.is_none() && sequence.min(state.last()) > state.durable;
        if advanced {
            state.durable = sequence.min(state.last());
        }
        let durable = state.durable;
        drop(state);
        if advanced {
            self.tell(&Ok(durable));
        }
    }

    /// Makes everything durable that was held back, and holds nothing back any more.
    pub fn release(&self) {
        let last = {
            let mut state = self.lock();
            state.held = false;
            state.last()
        };
        self.release_to(last);
    }

    /// Fails as a disk would: nothing more is taken, and what was not durable never will be.
    pub fn fail(&self, message: &str) {
        let failure = Arc::new(LogFailure::new("syncing", "memory", &io::Error::other(message.to_owned())));
        let first = {
            let mut state = self.lock();
            let first = state.failure.is_none();
            state.failure.get_or_insert_with(|| Arc::clone(&failure));
            first
        };
        if first {
            self.tell(&Err(failure));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Wakes those who wait and tells those who listen. No lock is held while they are told.
    fn tell(&self, news: &Result<Sequence, Arc<LogFailure>>) {
        self.shared.advanced.notify_all();
        let listeners = self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners {
            listener(news.clone());
        }
    }
}

impl Shared {
    /// A panic elsewhere leaves the state whole: no method panics half-way through a change of it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn last(&self) -> Sequence {
        Sequence(self.trimmed.0 + self.frames.len() as u64)
    }

    /// The frame at `at`, durable or not.
    fn frame(&self, at: Sequence) -> Result<&SealedFrame, ReadError> {
        if at <= self.trimmed {
            return Err(ReadError::Trimmed { asked: at, first: self.trimmed.next() });
        }
        let index = (at.0 - self.trimmed.0 - 1) as usize;
        self.frames.get(index).ok_or(ReadError::NotYet { asked: at, last: self.last() })
    }

    fn in_flight_bytes(&self) -> u64 {
        let durable = (self.durable.0 - self.trimmed.0) as usize;
        self.frames.iter().skip(durable).map(|frame| frame.bytes().len() as u64).sum()
    }
}

impl Log for MemoryLog {
    fn submit(&self, after: Sequence, frame: Frame) -> Result<(), SubmitError> {
        assert_eq!(
            frame.header().sequence,
            after.next(),
            "a frame is finished with the sequence it is submitted for"
        );
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(SubmitError::Failed(Arc::clone(failure)));
        }
        if state.closed {
            return Err(SubmitError::Closed);
        }
        let epoch = frame.header().epoch;
        if after != state.last() || epoch < state.epoch {
            let (found_last, found_epoch) = (state.last(), state.epoch);
            return Err(SubmitError::Fenced { after, epoch, found_last, found_epoch });
        }
        let sealed = frame.seal(IDENTITY, state.previous, state.durable);
        state.previous = sealed.header().checksum;
        state.epoch = epoch;
        state.frames.push_back(sealed);
        if state.held {
            return Ok(());
        }
        let durable = state.last();
        state.durable = durable;
        drop(state);
        self.tell(&Ok(durable));
        Ok(())
    }

    fn durable(&self) -> Durable {
        let state = self.lock();
        Durable { sequence: state.durable, failure: state.failure.clone() }
    }

    fn wait_durable(&self, sequence: Sequence) -> Result<Sequence, Arc<LogFailure>> {
        let mut state = self.lock();
        loop {
            if state.durable >= sequence {
                return Ok(state.durable);
            }
            if let Some(failure) = &state.failure {
                return Err(Arc::clone(failure));
            }
            state = self.shared.advanced.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn on_durable(&self, listener: DurableListener) {
        let listener = Arc::new(listener);
        self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&listener));
        let failure = self.lock().failure.clone();
        if let Some(failure) = failure {
            listener(Err(failure));
        }
    }

    fn in_flight_bytes(&self) -> u64 {
        self.lock().in_flight_bytes()
    }

    fn read(&self, from: Sequence) -> Result<Box<dyn FrameReader>, ReadError> {
        let state = self.lock();
        let next = if from == Sequence::ZERO { state.trimmed.next() } else { from };
        if next != state.last().next() {
            state.frame(next)?;
        }
        Ok(Box::new(MemoryReader { shared: Arc::clone(&self.shared), next, current: None }))
    }

    fn payload(&self, at: Sequence) -> Result<PayloadSource, ReadError> {
        self.lock().frame(at).map(PayloadSource::in_memory)
    }

    fn trim(&self, before: Sequence) {
        let mut state = self.lock();
        let before = before.min(state.durable.next());
        while state.trimmed.next() < before {
            state.frames.pop_front().expect("what is durable and not trimmed is held");
            state.trimmed = state.trimmed.next();
        }
    }

    fn status(&self) -> LogStatus {
        let state = self.lock();
        let bytes = state.frames.iter().map(|frame| frame.bytes().len() as u64).sum();
        LogStatus {
            first: state.trimmed.next(),
            last: state.last(),
            durable: state.durable,
            bytes,
            in_flight_bytes: state.in_flight_bytes(),
            free_bytes: u64::MAX,
            spares: 0,
            segments: vec![SegmentStatus { first: state.trimmed.next(), bytes }],
        }
    }

    fn close(&self) -> Result<(), Arc<LogFailure>> {
        self.release();
        let mut state = self.lock();
        state.closed = true;
        state.failure.clone().map_or(Ok(()), Err)
    }
}

struct MemoryReader {
    shared: Arc<Shared>,
    next: Sequence,
    /// The frame last given out; the view borrows from it.
    current: Option<SealedFrame>,
}

impl FrameReader for MemoryReader {
    fn next_frame(&mut self) -> Result<Option<FrameView<'_>>, ReadError> {
        {
            let state = self.shared.lock();
            if self.next > state.durable {
                return Ok(None);
            }
            self.current = Some(state.frame(self.next)?.clone());
        }
        self.next = self.next.next();
        let frame = self.current.as_ref().expect("it was set just now");
        Ok(Some(FrameView { header: *frame.header(), records: frame.records() }))
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("MemoryLog").field("durable", &state.durable).field("last", &state.last()).finish()
    }
}
