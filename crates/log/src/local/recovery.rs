//! Opening: what is done with what is found.
//!
//! Two things are told apart, and everything follows from that:
//!
//! - a **torn tail**: what a crash left of frames nobody was told about. It is cut off, cleared and reported.
//! - **damage**: something acknowledged is not there as it was written. The log is not opened and nothing is changed.
//!
//! | what is found | where | then |
//! |---|---|---|
//! | frames that follow one another to the next segment's first | sealed segment | good |
//! | anything else | sealed segment | damage: it was synced before its successor was made |
//! | a gap between one segment and the next, or before the first | | damage |
//! | the place where frames stop following one another, at or below a *claim* | active segment | damage |
//! | the same, above every claim | active segment | the end; torn if anything of later frames is there |
//! | a frame above every claim with a bad payload | active segment | the end, torn |
//! | a segment before the log's beginning | | a trim a crash cut short; recycled |
//!
//! A *claim* is a sequence known to have been durable: the meta file makes one, and every sound frame makes
//! one in its header, also those found behind the place in question by looking for their magic number.
//! `tests/recovery_table.rs` walks through this table.
//!
//! What is kept above every claim is written once more and synced before anybody sees it. A process that died
//! has left it in the page cache only; and after a sync that failed, the cache holds it and calls it clean,
//! so that a sync alone would write nothing and succeed.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use super::index::IndexedSegment;
use super::meta::{META, Meta, MetaError, MetaFile, read_meta};
use super::segments::io_error;
use super::spares::Spares;
use super::{LocalOptions, Scanner, SegmentFile, segment_first, segment_name};
use crate::disk::Disk;
use crate::error::{Damage, OpenError, ReadError};
use crate::frame::{Chain, FrameDefect, HEADER_BYTES, walk_payloads};
use crate::limits::FILL_CHUNK_BYTES;
use crate::log::{RecoveryReport, TornTail};
use crate::position::Sequence;
use crate::sabotage;

/// A log as recovery leaves it.
pub(super) struct Recovered {
    pub(super) meta: MetaFile,
    /// Oldest first. Empty in a new log only.
    pub(super) segments: VecDeque<IndexedSegment>,
    pub(super) spares: Spares,
    /// Stands behind the last frame.
    pub(super) chain: Chain,
    pub(super) report: RecoveryReport,
}

/// Recovers the log on `disk`, or makes the beginnings of one.
pub(super) fn recover(disk: &Arc<dyn Disk>, options: &LocalOptions) -> Result<Recovered, OpenError> {
    let names = disk.list().map_err(|source| io_error("listing", &disk.directory(), source))?;
    let firsts = sorted_firsts(&names);
    let mut meta = open_meta(&**disk, options, &firsts)?;
    let found = meta.meta;

    let live = firsts.iter().copied().filter(|&first| first >= found.first).collect::<Vec<_>>();
    let mut walk = Walk::new(&**disk, found);
    let segments = walk.all(&live)?;

    // Nothing was wrong that should stop us. From here on, the directory is changed.
    let io = |doing, file: &str| {
        let file = file.to_owned();
        move |source| io_error(doing, &file, source)
    };
    let torn = match (segments.back(), &walk.tail) {
        (Some(active), Some(tail)) => {
            let torn = clear_tail(&active.file, active.end, tail)?;
            if !sabotage::is("tail_not_rewritten") {
                rewrite(&active.file, tail.unclaimed_at, active.end)?;
            }
            active.file.file().sync_data().map_err(io("syncing", active.file.name()))?;
            torn
        }
        _ => None,
    };
    // The crash may have come between the newest segment's getting its name and the name's becoming durable.
    if !crate::sabotage::is("recovery_no_dirsync") {
        disk.sync_dir().map_err(io("syncing", &disk.directory()))?;
    }
    let last = walk.chain.next.before();
    meta.update(|meta| {
        meta.epoch = meta.epoch.max(walk.chain.epoch).next();
        meta.durable = last;
        meta.closed = false;
    })
    .map_err(io("writing", META))?;
    let spares = Spares::open(Arc::clone(disk), &names, options.segment_bytes, options.spares)
        .map_err(io("opening the spares of", &disk.directory()))?;
    for first in firsts.iter().filter(|&&first| first < found.first) {
        let name = segment_name(*first);
        let recycled = disk.open(&name).and_then(|file| spares.recycle(&name, file));
        recycled.map_err(io("trimming", &name))?;
    }
    let report = RecoveryReport {
        first: segments.front().map_or(Sequence::FIRST, |segment| segment.file.first()),
        last,
        epoch: meta.meta.epoch,
        last_time_ms: walk.last_time_ms,
        closed: found.closed,
        torn,
    };
    Ok(Recovered { meta, segments, spares, chain: walk.chain, report })
}

/// The first sequences of all segments in a directory, sorted.
pub(crate) fn sorted_firsts(names: &[String]) -> Vec<Sequence> {
    let mut firsts = names.iter().filter_map(|name| segment_first(name)).collect::<Vec<_>>();
    firsts.sort_unstable();
    firsts
}

fn open_meta(disk: &dyn Disk, options: &LocalOptions, firsts: &[Sequence]) -> Result<MetaFile, OpenError> {
    let damaged =
        |what| damaged(disk, Damage { file: META.to_owned(), offset: 0, defect: FrameDefect::Meta(what) });
    let io = |source| io_error("opening", META, source);
    match read_meta(disk) {
        Ok(meta) => MetaFile::open(disk, meta).map_err(io),
        Err(MetaError::Missing) if firsts.is_empty() => {
            let identity = options.identity.map_or_else(random_identity, Ok).map_err(io)?;
            MetaFile::create(disk, identity).map_err(io)
        }
        Err(MetaError::Missing) => Err(damaged("missing")),
        Err(MetaError::Damaged) => Err(damaged("damaged")),
        Err(MetaError::Newer(found)) => {
            let known = super::meta::DIRECTORY_FORMAT;
            Err(OpenError::NewerFormat { file: META.to_owned(), found, known })
        }
        Err(MetaError::Io(error)) => Err(io(error)),
    }
}

fn random_identity() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_le_bytes(bytes))
}

fn damaged(disk: &dyn Disk, damage: Damage) -> OpenError {
    OpenError::Damaged { directory: disk.directory(), damage }
}

/// A way through the segments, oldest to newest. It changes nothing.
struct Walk<'a> {
    disk: &'a dyn Disk,
    meta: Meta,
    chain: Chain,
    last_time_ms: u64,
    scanner: Scanner,
    /// What is behind the last frame of the active segment, if it had to be looked at.
    tail: Option<Tail>,
}

/// What is behind the last frame.
struct Tail {
    /// Why the frames end there.
    defect: FrameDefect,
    /// Whether something of a later frame is there.
    torn: bool,
    /// Where the frames begin that nobody is known to have been told about.
    unclaimed_at: u64,
}

/// Where the frames of a segment stop following one another, and why.
struct Stop {
    at: u64,
    defect: FrameDefect,
}

impl<'a> Walk<'a> {
    fn new(disk: &'a dyn Disk, meta: Meta) -> Walk<'a> {
        let chain = Chain::starting_at(meta.identity, meta.first);
        Walk { disk, meta, chain, last_time_ms: 0, scanner: Scanner::default(), tail: None }
    }

    fn all(&mut self, firsts: &[Sequence]) -> Result<VecDeque<IndexedSegment>, OpenError> {
        let mut segments = VecDeque::with_capacity(firsts.len());
        for (index, &first) in firsts.iter().enumerate() {
            let name = segment_name(first);
            let file = self.disk.open(&name).map_err(|source| io_error("opening", &name, source))?;
            let file = Arc::new(SegmentFile::new(first, file));
            let segment = match firsts.get(index + 1) {
                Some(&next) => self.sealed(file, next)?,
                None => self.active(file)?,
            };
            segments.push_back(segment);
        }
        if firsts.is_empty() && self.meta.durable > Sequence::ZERO {
            let (expected, durable) = (self.meta.first, self.meta.durable);
            let defect = FrameDefect::EndsEarly { expected, durable };
            return Err(self.damaged(Damage { file: segment_name(expected), offset: 0, defect }));
        }
        Ok(segments)
    }

    /// A segment that has a successor: whole, or damaged.
    fn sealed(&mut self, file: Arc<SegmentFile>, next: Sequence) -> Result<IndexedSegment, OpenError> {
        self.enter(&file)?;
        let (segment, stop) = self.scan(file)?;
        if self.chain.next == next {
            return Ok(segment);
        }
        let defect = match stop.defect {
            FrameDefect::NotAFrame => FrameDefect::Missing { expected: self.chain.next, found: next },
            defect => defect,
        };
        Err(self.damaged(segment.file.damage(stop.at, defect)))
    }

    /// The newest segment: whole, torn, or damaged.
    fn active(&mut self, file: Arc<SegmentFile>) -> Result<IndexedSegment, OpenError> {
        self.enter(&file)?;
        let before = (self.chain, self.last_time_ms);
        let (segment, stop) = self.scan(Arc::clone(&file))?;
        if self.meta.closed && self.chain.next == self.meta.durable.next() {
            // It was closed here and nobody has written since: there is no tail to look at.
            return Ok(segment);
        }
        let end = self.file_bytes(&file)?;
        let beyond = self.look_beyond(&file, stop.at, end)?;
        let claim = beyond.claim.max(self.meta.durable).max(self.claim_of(&segment)?);
        if claim >= self.chain.next && !sabotage::is("claims_ignored") {
            let found = Box::new(stop.defect);
            let defect = FrameDefect::Acknowledged { sequence: self.chain.next, durable: claim, found };
            return Err(self.damaged(file.damage(stop.at, defect)));
        }
        (self.chain, self.last_time_ms) = before;
        let (segment, bad_payload) = self.verify_payloads_above(claim, segment)?;
        let torn = beyond.torn || bad_payload.is_some();
        let claimed = (claim.next().0.saturating_sub(file.first().0)) as usize;
        let unclaimed_at = segment.offsets.get(claimed).map_or(segment.end, |&offset| u64::from(offset));
        self.tail = Some(Tail { defect: bad_payload.unwrap_or(stop.defect), torn, unclaimed_at });
        Ok(segment)
    }

    /// Checks that `file` begins where the one before it ended.
    fn enter(&mut self, file: &SegmentFile) -> Result<(), OpenError> {
        self.scanner.forget();
        if file.first() == self.chain.next {
            return Ok(());
        }
        let defect = FrameDefect::Missing { expected: self.chain.next, found: file.first() };
        Err(self.damaged(file.damage(0, defect)))
    }

    /// Goes from frame to frame as far as they follow one another.
    fn scan(&mut self, file: Arc<SegmentFile>) -> Result<(IndexedSegment, Stop), OpenError> {
        let file_bytes = self.file_bytes(&file)?;
        let mut segment = IndexedSegment { file, offsets: Vec::new(), end: 0 };
        let stop = loop {
            let at = segment.end;
            let header = match self.scanner.frame_at(&segment.file, at, file_bytes) {
                Ok(view) => view.header,
                Err(error) => break Stop { at, defect: self.defect_in(error)? },
            };
            if let Err(defect) = self.chain.step(&header) {
                break Stop { at, defect };
            }
            self.last_time_ms = header.time_ms;
            segment.offsets.push(u32::try_from(at).expect("segments are shorter than four gigabytes"));
            segment.end = at + header.frame_bytes();
        };
        Ok((segment, stop))
    }

    /// The claim of a segment's last frame. Claims never go back, so it is the highest of its segment.
    fn claim_of(&mut self, segment: &IndexedSegment) -> Result<Sequence, OpenError> {
        let Some(&at) = segment.offsets.last() else { return Ok(Sequence::ZERO) };
        match self.scanner.frame_at(&segment.file, u64::from(at), segment.end) {
            Ok(view) => Ok(view.header.durable),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Looks for frames behind the place where they stop following one another.
    fn look_beyond(&mut self, file: &SegmentFile, stop: u64, end: u64) -> Result<Beyond, OpenError> {
        let mut beyond = Beyond { claim: Sequence::ZERO, torn: false };
        let mut at = stop;
        while let Some(found) = self.scanner.find_magic(file, at, end).map_err(|error| self.error(error))? {
            at = found + 8;
            let likeness = self.scanner.likeness_at(file, found);
            let (identity, sequence) = likeness.map_err(|error| self.error(error))?;
            // Old frames in a recycled file are below the segment's first; they say nothing.
            if identity != self.chain.identity || sequence < self.chain.next {
                continue;
            }
            beyond.torn = true;
            match self.scanner.frame_at(file, found, end) {
                Ok(view) if view.header.epoch >= self.chain.epoch => {
                    beyond.claim = beyond.claim.max(view.header.durable);
                }
                Ok(_) => {}
                Err(error) => drop(self.defect_in(error)?),
            }
        }
        Ok(beyond)
    }

    /// Goes through a segment once more and cuts it at the first frame above `claim` that has a bad payload.
    fn verify_payloads_above(
        &mut self,
        claim: Sequence,
        mut segment: IndexedSegment,
    ) -> Result<(IndexedSegment, Option<FrameDefect>), OpenError> {
        self.scanner.forget();
        for index in 0..segment.offsets.len() {
            let at = u64::from(segment.offsets[index]);
            let header = match self.scanner.frame_at(&segment.file, at, segment.end) {
                Ok(view) => view.header,
                Err(error) => return Err(self.error(error)),
            };
            if header.sequence > claim && !sabotage::is("torn_payload_accepted") {
                let area = self.scanner.payloads_of(&segment.file, at, &header);
                let area = area.map_err(|error| damaged_or_io(self.disk, error))?;
                if let Err(defect) = walk_payloads(&header, area, |_, _| {}) {
                    segment.offsets.truncate(index);
                    segment.end = at;
                    return Ok((segment, Some(defect)));
                }
            }
            self.last_time_ms = header.time_ms;
            self.chain.step(&header).expect("it stepped over the same frame a moment ago");
        }
        Ok((segment, None))
    }

    fn file_bytes(&self, file: &SegmentFile) -> Result<u64, OpenError> {
        file.file().length().map_err(|source| io_error("looking at", file.name(), source))
    }

    /// What is wrong with the bytes, if that is what `error` says; a disk that does not read is another
    /// matter.
    fn defect_in(&self, error: ReadError) -> Result<FrameDefect, OpenError> {
        match error {
            ReadError::Damaged(damage) => Ok(damage.defect),
            error => Err(self.error(error)),
        }
    }

    fn error(&self, error: ReadError) -> OpenError {
        damaged_or_io(self.disk, error)
    }

    fn damaged(&self, damage: Damage) -> OpenError {
        damaged(self.disk, damage)
    }
}

/// What is behind the place where frames stop following one another.
struct Beyond {
    /// The highest claim a sound frame there makes.
    claim: Sequence,
    /// Whether something of a later frame is there.
    torn: bool,
}

fn damaged_or_io(disk: &dyn Disk, error: ReadError) -> OpenError {
    match error {
        ReadError::Damaged(damage) => damaged(disk, damage),
        ReadError::Io { file, offset, source } => {
            OpenError::Io { doing: "reading", file: format!("{file} at byte {offset}"), source }
        }
        ReadError::Trimmed { .. } | ReadError::NotYet { .. } => unreachable!("recovery reads by offset"),
    }
}

/// Makes what is behind the last frame harmless: cleared, no part of it can ever be taken for a frame again.
/// A crash in the middle of this leaves fewer bytes of the same tail.
fn clear_tail(file: &SegmentFile, cut: u64, tail: &Tail) -> Result<Option<TornTail>, OpenError> {
    let io = |source| io_error("clearing the torn tail of", file.name(), source);
    let end = file.file().length().map_err(io)?;
    if !tail.torn {
        // A header may lie across two sectors. If the crash took the first, there is nothing to know it by; but the next frame's
        // header begins with the same bytes, and a crash that leaves only its first sector would make the old frame whole.
        let room = (end - cut).min(HEADER_BYTES as u64) as usize;
        file.file().write_at(&[IoSlice::new(&[0; HEADER_BYTES][..room])], cut).map_err(io)?;
        return Ok(None);
    }
    let mut buffer = vec![0; FILL_CHUNK_BYTES.min(end - cut) as usize];
    let zeros = vec![0; buffer.len()];
    let mut last = cut;
    let mut at = cut;
    while at < end {
        let len = (end - at).min(buffer.len() as u64) as usize;
        let read = file.file().read_at(&mut buffer[..len], at).map_err(io)?;
        if let Some(index) = buffer[..read].iter().rposition(|&byte| byte != 0) {
            last = at + index as u64 + 1;
            file.file().write_at(&[IoSlice::new(&zeros[..index + 1])], at).map_err(io)?;
        }
        at += len as u64;
    }
    let (file, reason) = (file.name().to_owned(), tail.defect.to_string());
    Ok(Some(TornTail { file, offset: cut, bytes: last - cut, reason }))
}

/// Writes what is in `from..to` over itself, so that the next sync has it to write.
fn rewrite(file: &SegmentFile, from: u64, to: u64) -> Result<(), OpenError> {
    let io = |source| io_error("rewriting the tail of", file.name(), source);
    let mut buffer = vec![0; FILL_CHUNK_BYTES.min(to - from) as usize];
    let mut at = from;
    while at < to {
        let len = (to - at).min(buffer.len() as u64) as usize;
        let read = file.file().read_at(&mut buffer[..len], at).map_err(io)?;
        file.file().write_at(&[IoSlice::new(&buffer[..read])], at).map_err(io)?;
        at += len as u64;
    }
    Ok(())
}
