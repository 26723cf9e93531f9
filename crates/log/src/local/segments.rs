//! The segments: append, sync, roll, trim. Single-threaded, and on any disk.
//!
//! ```text
//!   append ─▶ write behind the last frame of the active segment ─▶ sync ─▶ index (durable; readers see it)
//!      └─ does not fit ─▶ roll: the active segment, already synced, is sealed; a new file gets its name durably
//! ```
//!
//! Promises: a batch never spans two segments, and a segment is made only when everything before it has been
//! synced: a crash can tear only the last one. After a failed write or sync every further call fails.
//!
//! Left out: threads, listeners, the order of submitters. Those are [`LocalLog`](super::LocalLog)'s.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::index::{Index, IndexedSegment};
use super::meta::MetaFile;
use super::recovery::{Recovered, recover};
use super::spares::Spares;
use super::{BLOCK_BYTES, LocalOptions, SegmentFile, segment_name};
use crate::disk::Disk;
use crate::error::{LogFailure, OpenError};
use crate::frame::SealedFrame;
use crate::limits::CACHED_SEGMENTS;
use crate::log::RecoveryReport;
use crate::position::{Epoch, Sequence};
use crate::sabotage;

/// The files of one log, in the hands of their one writer.
#[derive(Debug)]
pub struct Segments {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    meta: MetaFile,
    index: Arc<Index>,
    spares: Arc<Spares>,
    active: Arc<SegmentFile>,
    /// Length of the active file.
    capacity: u64,
    /// Where in it the next frame goes.
    end: u64,
    /// The offsets of frames written and not synced.
    unsynced: Vec<u32>,
    /// The last frame's checksum.
    previous: u32,
    /// How often [`append`](Self::append) went on in a new segment.
    rolls: usize,
    failure: Option<LogFailure>,
}

impl Segments {
    /// Opens the log on `disk`, or makes it, and recovers it. The caller has made sure that nobody else does.
    ///
    /// # Errors
    /// [`OpenError`]: damage, a newer format, or the system's refusals.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: &LocalOptions,
    ) -> Result<(Segments, RecoveryReport), OpenError> {
        options.check()?;
        let Recovered { meta, mut segments, spares, chain, report } = recover(&disk, options)?;
        let mut segment_of_new_log = None;
        if segments.is_empty() {
            let new = new_segment(&*disk, &spares, Sequence::FIRST, options.segment_bytes);
            let (file, capacity) =
                new.map_err(|failure| io_error("making", &failure.file, io::Error::from(failure.kind)))?;
            segments.push_back(IndexedSegment { file, offsets: Vec::new(), end: 0 });
            segment_of_new_log = Some(capacity);
        }
        let (active, end) = active_of(&segments);
        let capacity = match segment_of_new_log {
            Some(capacity) => capacity,
            None => restore_capacity(&active, options.segment_bytes)?,
        };
        let segments = Segments {
            disk,
            segment_bytes: options.segment_bytes,
            meta,
            index: Arc::new(Index::new(segments)),
            spares: Arc::new(spares),
            active,
            capacity,
            end,
            unsynced: Vec::new(),
            previous: chain.previous.unwrap_or(0),
            rolls: 0,
            failure: None,
        };
        Ok((segments, report))
    }

    /// The log's identity, for sealing frames.
    #[must_use]
    pub fn identity(&self) -> u64 {
        self.meta.meta.identity
    }

    /// The epoch of this opening.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.meta.meta.epoch
    }

    /// The checksum of the last frame written, for sealing the next one.
    #[must_use]
    pub fn previous(&self) -> u32 {
        self.previous
    }

    /// The last durable sequence.
    #[must_use]
    pub fn durable(&self) -> Sequence {
        self.index.next().before()
    }

    pub(super) fn index(&self) -> &Arc<Index> {
        &self.index
    }

    pub(super) fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// Where the next frame goes, and the length of the file it goes to.
    pub(super) fn room(&self) -> (u64, u64) {
        (self.end, self.capacity)
    }

    /// How often this opening went on in a new segment.
    pub(super) fn rolls(&self) -> usize {
        self.rolls
    }

    /// Writes as many of `frames`, from the first on, as share a segment, and says how many (at least one, if
    /// there is one). They are not durable yet. What an earlier call wrote must have been synced.
    ///
    /// # Errors
    /// The failure, this time and every time after.
    pub fn append(&mut self, frames: &[SealedFrame]) -> Result<usize, LogFailure> {
        self.check()?;
        assert!(self.unsynced.is_empty(), "a batch is synced before the next one is written");
        let Some(first) = frames.first() else { return Ok(0) };
        let first_bytes = first.bytes().len() as u64;
        if self.end + first_bytes > self.capacity {
            self.roll(first.header().sequence, first_bytes).map_err(|failure| self.fail(failure))?;
        }
        let mut slices = Vec::with_capacity(frames.len());
        let mut end = self.end;
        for frame in frames {
            let frame_end = end + frame.bytes().len() as u64;
            if frame_end > self.capacity {
                break;
            }
            self.unsynced.push(u32::try_from(end).expect("segments are shorter than four gigabytes"));
            slices.push(IoSlice::new(frame.bytes()));
            end = frame_end;
        }
        let taken = slices.len();
        slices.push(IoSlice::new(self.rest_of_block(end)));
        let written = self.active.file().write_at(&slices, self.end);
        written.map_err(|error| self.fail(LogFailure::new("writing", self.active.name(), &error)))?;
        self.end = end;
        self.previous = frames[taken - 1].header().checksum;
        Ok(taken)
    }

    /// Zeros from `end` to the end of its block, if nothing has been written to that block yet. A block of a spare that is
    /// not in memory would have to be read first if only a part of it were written.
    fn rest_of_block(&self, end: u64) -> &'static [u8] {
        static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];
        let block_end = end.next_multiple_of(BLOCK_BYTES);
        if block_end == self.end.next_multiple_of(BLOCK_BYTES) {
            return &[];
        }
        &ZEROS[..(block_end.min(self.capacity) - end) as usize]
    }

    /// Makes what was appended durable, shows it to readers, and returns the last durable sequence.
    ///
    /// # Errors
    /// The failure, this time and every time after.
    pub fn sync(&mut self) -> Result<Sequence, LogFailure> {
        self.check()?;
        if !self.unsynced.is_empty() {
            let skipped = sabotage::is("sync_skipped");
            let mut synced = if skipped { Ok(()) } else { self.active.file().sync_data() };
            if synced.is_err() && sabotage::is("failed_sync_tried_again") {
                synced = self.active.file().sync_data();
            }
            synced.map_err(|error| self.fail(LogFailure::new("syncing", self.active.name(), &error)))?;
            self.index.extend(&self.unsynced, self.end);
            self.unsynced.clear();
        }
        Ok(self.durable())
    }

    /// Lets go of the segments all of whose frames are before `before`. First the meta file says so, durably;
    /// then the files go, in any order. What a crash leaves of them, the next opening takes away.
    ///
    /// # Errors
    /// The failure, this time and every time after.
    pub fn trim(&mut self, before: Sequence) -> Result<(), LogFailure> {
        self.check()?;
        let removed = self.index.remove_before(before);
        if removed.is_empty() {
            return Ok(());
        }
        let (first, durable) = (self.index.first(), self.durable());
        let noted = if sabotage::is("trim_before_note") {
            Ok(())
        } else {
            self.meta.update(|meta| {
                meta.first = first;
                meta.durable = durable;
            })
        };
        noted.map_err(|error| self.fail(LogFailure::new("writing", super::META, &error)))?;
        for segment in removed {
            let name = segment.name().to_owned();
            let gone = match Arc::try_unwrap(segment) {
                Ok(segment) => self.spares.recycle(&name, segment.into_file()),
                // Somebody reads from it. They keep the bytes; the name goes.
                Err(_) => self.disk.remove(&name),
            };
            gone.map_err(|error| self.fail(LogFailure::new("trimming", &name, &error)))?;
        }
        Ok(())
    }

    /// Notes that the log ends here, whole. Nothing may be appended afterwards.
    ///
    /// # Errors
    /// The failure.
    pub fn close(&mut self) -> Result<(), LogFailure> {
        let durable = self.sync()?;
        let noted = self.meta.update(|meta| {
            meta.durable = durable;
            meta.closed = true;
        });
        noted.map_err(|error| self.fail(LogFailure::new("writing", super::META, &error)))
    }

    /// Goes on in a new segment, which begins with `first`, a frame of `first_bytes`.
    fn roll(&mut self, first: Sequence, first_bytes: u64) -> Result<(), LogFailure> {
        let capacity = capacity_for(self.segment_bytes, first_bytes);
        self.rolls += 1;
        if self.end == 0 {
            // The active segment is empty and too short for this frame, and a new one would have its name.
            let grown = self.active.file().allocate(capacity);
            grown.map_err(|error| LogFailure::new("growing", self.active.name(), &error))?;
            self.capacity = capacity;
            return Ok(());
        }
        let (file, capacity) = new_segment(&*self.disk, &self.spares, first, capacity)?;
        self.active = Arc::clone(&file);
        self.index.push(file);
        if let Some(old) = self.index.behind_active(CACHED_SEGMENTS + 1) {
            old.file().let_go_of_cache();
        }
        (self.capacity, self.end) = (capacity, 0);
        Ok(())
    }

    fn check(&self) -> Result<(), LogFailure> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, failure: LogFailure) -> LogFailure {
        self.failure.get_or_insert(failure).clone()
    }
}

/// The length of a new segment whose first frame has `first_bytes`.
pub(super) fn capacity_for(segment_bytes: u64, first_bytes: u64) -> u64 {
    segment_bytes.max(first_bytes.next_multiple_of(BLOCK_BYTES))
}

/// Makes the segment that begins with `first`: from a spare if one is ready and long enough, else from
/// nothing. Its name is durable when this returns. Its length need not be: the first sync of its frames takes
/// care of that.
fn new_segment(
    disk: &dyn Disk,
    spares: &Spares,
    first: Sequence,
    capacity: u64,
) -> Result<(Arc<SegmentFile>, u64), LogFailure> {
    let name = segment_name(first);
    let failed = |error: io::Error| LogFailure::new("making", &name, &error);
    let spare = if spares.segment_bytes() == capacity { spares.take() } else { None };
    let file = match spare {
        Some(spare) => {
            disk.rename(&spare.name, &name).map_err(failed)?;
            spare.file
        }
        None => {
            let file = disk.create(&name).map_err(failed)?;
            if let Err(error) = file.allocate(capacity) {
                // An empty segment is harmless, should this fail as well.
                let _ = disk.remove(&name);
                return Err(failed(error));
            }
            file
        }
    };
    if !sabotage::is("directory_sync_skipped") {
        disk.sync_dir().map_err(failed)?;
    }
    Ok((Arc::new(SegmentFile::new(first, file)), capacity))
}

fn active_of(segments: &VecDeque<IndexedSegment>) -> (Arc<SegmentFile>, u64) {
    let active = segments.back().expect("a log has an active segment at all times");
    (Arc::clone(&active.file), active.end)
}

/// A crash may have come between the active segment's making and its length becoming durable. On a full disk
/// it stays as short as it is.
fn restore_capacity(active: &SegmentFile, segment_bytes: u64) -> Result<u64, OpenError> {
    let len = active.file().length().map_err(|source| io_error("looking at", active.name(), source))?;
    if len >= segment_bytes {
        return Ok(len);
    }
    match active.file().allocate(segment_bytes) {
        Ok(()) => Ok(segment_bytes),
        Err(error) if LogFailure::new("growing", active.name(), &error).is_disk_full() => Ok(len),
        Err(error) => Err(io_error("growing", active.name(), error)),
    }
}

pub(super) fn io_error(doing: &'static str, file: &str, source: io::Error) -> OpenError {
    OpenError::Io { doing, file: file.to_owned(), source }
}
