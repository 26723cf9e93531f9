//! Where each frame is: per segment the first sequence and, for each frame, its offset. Four bytes a frame.
//!
//! The writer adds what has become durable; readers on any thread look up. What is in here is durable.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::SegmentFile;
use crate::error::ReadError;
use crate::log::SegmentStatus;
use crate::position::Sequence;

/// All segments, oldest first; the last one is active.
#[derive(Debug)]
pub(crate) struct Index {
    segments: RwLock<VecDeque<IndexedSegment>>,
}

/// One segment and its durable frames.
#[derive(Debug)]
pub(crate) struct IndexedSegment {
    pub(crate) file: Arc<SegmentFile>,
    /// The offset of each frame. Files are shorter than four gigabytes.
    pub(crate) offsets: Vec<u32>,
    /// Where the last frame ends.
    pub(crate) end: u64,
}

impl IndexedSegment {
    /// The sequence behind its last frame.
    pub(crate) fn next(&self) -> Sequence {
        Sequence(self.file.first().0 + self.offsets.len() as u64)
    }
}

/// A stretch of frames that lie one behind the other in one file.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) file: Arc<SegmentFile>,
    /// Where the first of them begins.
    pub(crate) at: u64,
    /// Where the last of them ends.
    pub(crate) end: u64,
    /// The sequence behind the last of them.
    pub(crate) next: Sequence,
}

impl Index {
    /// An index of `segments`, which are neighbours, oldest first, and at least one.
    pub(crate) fn new(segments: VecDeque<IndexedSegment>) -> Index {
        assert!(!segments.is_empty(), "a log has an active segment at all times");
        Index { segments: RwLock::new(segments) }
    }

    /// Adds frames of the active segment: their offsets, and where the last one ends.
    pub(crate) fn extend(&self, offsets: &[u32], end: u64) {
        let mut segments = self.write();
        let active = segments.back_mut().expect("a log has an active segment at all times");
        active.offsets.extend_from_slice(offsets);
        active.end = end;
    }

    /// Adds a new, empty segment, which is the active one from now on.
    pub(crate) fn push(&self, file: Arc<SegmentFile>) {
        self.write().push_back(IndexedSegment { file, offsets: Vec::new(), end: 0 });
    }

    /// Takes out the segments all of whose frames are before `before`, but never the active one.
    pub(crate) fn remove_before(&self, before: Sequence) -> Vec<Arc<SegmentFile>> {
        let mut segments = self.write();
        let mut removed = Vec::new();
        while segments.len() > 1 && segments[1].file.first() <= before {
            removed.extend(segments.pop_front().map(|segment| segment.file));
        }
        removed
    }

    /// The segment so many places behind the active one, if the log is that long.
    pub(crate) fn behind_active(&self, places: usize) -> Option<Arc<SegmentFile>> {
        self.read().iter().rev().nth(places).map(|segment| Arc::clone(&segment.file))
    }

    /// The first sequence held (to come, if there is none).
    pub(crate) fn first(&self) -> Sequence {
        self.read()[0].file.first()
    }

    /// The sequence behind the last durable frame.
    pub(crate) fn next(&self) -> Sequence {
        self.read().back().expect("a log has an active segment at all times").next()
    }

    /// The frame at `at` and what lies behind it in its file.
    pub(crate) fn run_from(&self, at: Sequence) -> Result<Run, ReadError> {
        let segments = self.read();
        let first = segments[0].file.first();
        if at < first {
            return Err(ReadError::Trimmed { asked: at, first });
        }
        let segment = &segments[segments.partition_point(|segment| segment.file.first() <= at) - 1];
        let Some(&offset) = segment.offsets.get((at.0 - segment.file.first().0) as usize) else {
            return Err(ReadError::NotYet { asked: at, last: segment.next().before() });
        };
        let file = Arc::clone(&segment.file);
        Ok(Run { file, at: u64::from(offset), end: segment.end, next: segment.next() })
    }

    /// Each segment's beginning and length.
    pub(crate) fn status(&self) -> Vec<SegmentStatus> {
        let status =
            |segment: &IndexedSegment| SegmentStatus { first: segment.file.first(), bytes: segment.end };
        self.read().iter().map(status).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, VecDeque<IndexedSegment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, VecDeque<IndexedSegment>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }
}
