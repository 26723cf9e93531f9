//! Spare segments: files of the right length whose blocks have been written before.
//!
//! An `fdatasync` over such blocks has no metadata to write and takes half the time of one over new blocks.
//! Spares come from trimming (old frames are in them; recovery is proof against those) and, so that a young
//! log has some, from [`fill_one`](Spares::fill_one), which the engine runs on a thread of its own at a
//! gentle pace. The writer never waits for one: without a spare it makes a new file and goes on.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};
use crate::limits::{FILL_CHUNK_BYTES, FILL_FREE_SEGMENTS_MIN, SPARES_MAX};

const PREFIX: &str = "spare-";
const FILLING: &str = ".filling";

/// A file ready to become a segment.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// The pool of spares, shared by the writer (takes, gives) and the filler.
pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    wanted: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: Vec<Spare>,
    /// The number of the next spare's name; higher than any in the directory.
    next_number: u64,
    /// Set when filling failed (no room, most likely): not tried again until something changes.
    discouraged: bool,
    stopping: bool,
}

impl Spares {
    /// Takes up the spares among `names`, deletes what is half filled, of another length, or too many.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        names: &[String],
        segment_bytes: u64,
        wanted: usize,
    ) -> io::Result<Spares> {
        let mut state = State::default();
        for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
            let number = name.trim_start_matches(PREFIX).trim_end_matches(FILLING).parse::<u64>();
            let Ok(number) = number else { continue };
            state.next_number = state.next_number.max(number + 1);
            let file = disk.open(name)?;
            let whole = !name.ends_with(FILLING) && file.length()? == segment_bytes;
            if whole && state.ready.len() < SPARES_MAX {
                state.ready.push(Spare { name: name.clone(), file });
            } else {
                disk.remove(name)?;
            }
        }
        Ok(Spares { disk, segment_bytes, wanted, state: Mutex::new(state), changed: Condvar::new() })
    }

    /// How long each is, in bytes.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// How many are ready.
    pub(crate) fn ready(&self) -> usize {
        self.lock().ready.len()
    }

    /// Takes one, if there is one. The newest, whose pages are the likeliest to be in memory still.
    pub(crate) fn take(&self) -> Option<Spare> {
        let mut state = self.lock();
        let spare = state.ready.pop();
        state.discouraged = false;
        self.changed.notify_all();
        spare
    }

    /// Keeps the trimmed segment `name` as a spare, or deletes it: if it has another length, or there are
    /// enough.
    pub(crate) fn recycle(&self, name: &str, file: Arc<dyn DiskFile>) -> io::Result<()> {
        let fits = file.length()? == self.segment_bytes;
        let mut state = self.lock();
        if fits && state.ready.len() < SPARES_MAX {
            let spare = format!("{PREFIX}{:08}", state.next_number);
            state.next_number += 1;
            self.disk.rename(name, &spare)?;
            state.ready.push(Spare { name: spare, file });
        } else {
            self.disk.remove(name)?;
        }
        state.discouraged = false;
        self.changed.notify_all();
        Ok(())
    }

    /// Blocks until a spare is wanted; false when it is time to stop.
    pub(crate) fn wait_wanted(&self) -> bool {
        let mut state = self.lock();
        while !state.stopping && (state.ready.len() >= self.wanted || state.discouraged) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.stopping
    }

    /// Makes the filler stop, soon.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Fills one spare if one is wanted, calling `pause` between chunks. A failure is not the log's: whatever
    /// is left of the file is removed and the pool does without.
    pub(crate) fn fill_one(&self, pause: impl FnMut()) {
        let name = {
            let mut state = self.lock();
            if state.stopping || state.ready.len() >= self.wanted {
                return;
            }
            let name = format!("{PREFIX}{:08}", state.next_number);
            state.next_number += 1;
            name
        };
        let filling = format!("{name}{FILLING}");
        match self.fill(&filling, &name, pause) {
            Ok(Some(file)) => self.lock().ready.push(Spare { name, file }),
            Ok(None) | Err(_) => {
                self.lock().discouraged = true;
                // If this fails too, the next opening removes it.
                let _ = self.disk.remove(&filling);
            }
        }
    }

    /// The filled file, or nothing if there was no room to spare or it was time to stop.
    fn fill(
        &self,
        filling: &str,
        name: &str,
        mut pause: impl FnMut(),
    ) -> io::Result<Option<Arc<dyn DiskFile>>> {
        if self.disk.free_bytes()? < (FILL_FREE_SEGMENTS_MIN + 1) * self.segment_bytes {
            return Ok(None);
        }
        let file = self.disk.create(filling)?;
        file.allocate(self.segment_bytes)?;
        let zeros = vec![0; FILL_CHUNK_BYTES.min(self.segment_bytes) as usize];
        let mut at = 0;
        while at < self.segment_bytes {
            if self.lock().stopping {
                return Ok(None);
            }
            let len = (self.segment_bytes - at).min(zeros.len() as u64);
            file.write_at(&[IoSlice::new(&zeros[..len as usize])], at)?;
            // Small syncs: one of the whole file at once would hold up the frames' own.
            file.sync_data()?;
            at += len;
            pause();
        }
        self.disk.rename(filling, name)?;
        Ok(Some(file))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").field("ready", &self.ready()).field("wanted", &self.wanted).finish()
    }
}
