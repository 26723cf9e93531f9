//! Looking into a log's directory from outside: read only, without its lock, on a live log as well as a dead
//! one.
//!
//! [`Inspector::walk`] goes through every frame, shows each to a closure and reports every problem with its
//! file and offset; where opening a log would stop at the first damage, this goes on behind it.
//!
//! On a live log the picture moves: the tail grows while it is read, and segments are trimmed and reused.
//! What looks wrong is therefore looked at again, and what has been trimmed meanwhile is not counted. Left
//! out: what records mean (the closure's matter) and mending anything.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, RealDisk};
use crate::error::{Damage, OpenError, ReadError};
use crate::frame::{Chain, FrameDefect, FrameHeader, walk_payloads};
use crate::local::{
    DIRECTORY_FORMAT, META, Meta, MetaError, Scanner, SegmentFile, read_meta, segment_name, sorted_firsts,
};
use crate::position::{Epoch, Sequence};

/// A log's directory, seen from outside.
#[derive(Debug)]
pub struct Inspector {
    disk: Arc<dyn Disk>,
}

/// What the log says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMeta {
    /// The directory's format.
    pub format: u32,
    /// The identity all its frames carry.
    pub identity: u64,
    /// The epoch of the latest opening.
    pub epoch: Epoch,
    /// The first sequence it holds.
    pub first: Sequence,
    /// A sequence that was durable when this was noted; there are later ones.
    pub durable: Sequence,
    /// Whether it was closed at `durable` and has not been opened since.
    pub closed: bool,
}

/// One frame, as it was found.
#[derive(Clone, Copy, Debug)]
pub struct FoundFrame<'a> {
    /// The segment's file name.
    pub file: &'a str,
    /// Where the frame begins, in bytes from the file's beginning.
    pub offset: u64,
    /// Its header; the checksum was right.
    pub header: &'a FrameHeader,
    /// Its records.
    pub records: &'a [u8],
    /// Its payloads area, as it is on the disk. Problems in it are in the report.
    pub payloads: &'a [u8],
}

/// What a walk found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The segments walked through, oldest first.
    pub segments: Vec<SegmentReport>,
    /// How many sound frames there are.
    pub frames: u64,
    /// How many sound payloads there are.
    pub payloads: u64,
    /// The last sound frame.
    pub last: Sequence,
    /// Everything found damaged, in order. Opening the log would stop at the first of them.
    pub damage: Vec<Damage>,
    /// What an unfinished write has left at the end. Opening the log would cut it off; on a live log it is
    /// simply the next frame.
    pub tail: Option<Damage>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its file's name.
    pub file: String,
    /// The sequence of its first frame.
    pub first: Sequence,
    /// How many sound frames it has.
    pub frames: u64,
    /// Where its last sound frame ends, in bytes.
    pub bytes: u64,
    /// The file's length, in bytes.
    pub file_bytes: u64,
}

impl Inspector {
    /// Looks into `directory`. Nothing is made or changed, and no lock is taken.
    ///
    /// # Errors
    /// [`OpenError::Io`] if there is no such directory or it cannot be read.
    pub fn open(directory: &Path) -> Result<Inspector, OpenError> {
        let open = || {
            fs::read_dir(directory)?;
            RealDisk::open(directory)
        };
        let file = directory.display().to_string();
        let disk = open().map_err(|source| OpenError::Io { doing: "opening", file, source })?;
        Ok(Inspector::on(Arc::new(disk)))
    }

    /// Looks at any disk.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>) -> Inspector {
        Inspector { disk }
    }

    /// What the log says about itself.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if its meta file is missing or damaged, [`OpenError::NewerFormat`],
    /// [`OpenError::Io`].
    pub fn meta(&self) -> Result<LogMeta, OpenError> {
        let Meta { identity, epoch, first, durable, closed, .. } = self.read_meta()?;
        Ok(LogMeta { format: DIRECTORY_FORMAT, identity, epoch, first, durable, closed })
    }

    /// Goes through all frames from `from` on (zero: from the first), verifies them, payloads included, and
    /// shows them to `each` until it breaks.
    ///
    /// # Errors
    /// Those of [`meta`](Self::meta), and [`OpenError::Io`] if a file cannot be read. Damage is no error
    /// here: it is what the report is for.
    pub fn walk(
        &self,
        from: Sequence,
        mut each: impl FnMut(FoundFrame<'_>) -> ControlFlow<()>,
    ) -> Result<Report, OpenError> {
        let meta = self.read_meta()?;
        let names = self.disk.list().map_err(|source| io_error("listing", self.disk.directory(), source))?;
        let mut firsts = sorted_firsts(&names);
        // What a crash kept a trim from taking away is not part of the log.
        firsts.retain(|&first| first >= meta.first);
        let mut report = Report::default();
        if firsts.first().map_or(meta.durable >= meta.first, |&first| first > meta.first) {
            self.report_missing(&mut report, meta.first, firsts.first().copied())?;
        }
        let beginning = firsts.partition_point(|&first| first <= from).saturating_sub(1);
        let firsts = &firsts[beginning.min(firsts.len())..];
        let Some(&first) = firsts.first() else { return Ok(report) };
        let mut walk = Walk {
            inspector: self,
            claim: meta.durable,
            chain: Chain::starting_at(meta.identity, first),
            scanner: Scanner::default(),
            records: Vec::new(),
            suspects: Vec::new(),
            report,
        };
        for (index, &first) in firsts.iter().enumerate() {
            let shown = |found: FoundFrame<'_>| {
                if found.header.sequence >= from { each(found) } else { ControlFlow::Continue(()) }
            };
            if walk.segment(first, firsts.get(index + 1).copied(), shown)?.is_break() {
                break;
            }
        }
        walk.settle_suspects();
        Ok(walk.report)
    }

    fn report_missing(
        &self,
        report: &mut Report,
        expected: Sequence,
        found: Option<Sequence>,
    ) -> Result<(), OpenError> {
        // A trim since the meta file was read has moved the beginning, and all is well.
        let meta = self.read_meta()?;
        if found.is_some_and(|found| meta.first >= found) {
            return Ok(());
        }
        let defect = match found {
            Some(found) => FrameDefect::Missing { expected, found },
            None => FrameDefect::EndsEarly { expected, durable: meta.durable },
        };
        report.damage.push(Damage { file: segment_name(expected), offset: 0, defect });
        Ok(())
    }

    fn read_meta(&self) -> Result<Meta, OpenError> {
        let damaged = |what| OpenError::Damaged {
            directory: self.disk.directory(),
            damage: Damage { file: META.to_owned(), offset: 0, defect: FrameDefect::Meta(what) },
        };
        read_meta(&*self.disk).map_err(|error| match error {
            MetaError::Missing => damaged("missing"),
            MetaError::Damaged => damaged("damaged"),
            MetaError::Newer(found) => {
                OpenError::NewerFormat { file: META.to_owned(), found, known: DIRECTORY_FORMAT }
            }
            MetaError::Io(source) => io_error("reading", META.to_owned(), source),
        })
    }
}

/// A way through the segments, oldest to newest.
struct Walk<'a> {
    inspector: &'a Inspector,
    /// The highest sequence anything found so far knows to have been durable.
    claim: Sequence,
    chain: Chain,
    scanner: Scanner,
    records: Vec<u8>,
    /// Places in the newest segment that are damage if they were acknowledged, and a tail if not.
    suspects: Vec<Suspect>,
    report: Report,
}

/// A place where something is wrong, or where the log simply ends.
struct Suspect {
    /// The frame that should be there whole.
    sequence: Sequence,
    /// Whether something of it, or of a later one, is there.
    evident: bool,
    damage: Damage,
}

impl Walk<'_> {
    /// Goes through the segment that begins with `first`; `next` is the one behind it, if there is one.
    fn segment(
        &mut self,
        first: Sequence,
        next: Option<Sequence>,
        mut each: impl FnMut(FoundFrame<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, OpenError> {
        let name = segment_name(first);
        let file = match self.inspector.disk.open(&name) {
            Ok(file) => SegmentFile::new(first, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.trimmed(first)? => {
                return Ok(self.skip_to(next));
            }
            Err(source) => return Err(io_error("opening", name, source)),
        };
        let file_bytes =
            file.file().length().map_err(|source| io_error("looking at", name.clone(), source))?;
        let mut summary = SegmentReport { file: name, first, frames: 0, bytes: 0, file_bytes };
        if self.chain.next != first {
            let defect = FrameDefect::Missing { expected: self.chain.next, found: first };
            self.report.damage.push(file.damage(0, defect));
            self.chain = Chain::starting_at(self.chain.identity, first);
        }
        self.scanner.forget();
        let mut looked_again = None;
        let flow = loop {
            let at = summary.bytes;
            match self.frame(&file, at, file_bytes, &mut each)? {
                Ok((bytes, flow)) => {
                    summary.frames += 1;
                    summary.bytes = at + bytes;
                    if flow.is_break() {
                        break flow;
                    }
                }
                Err(_) if Some(self.chain.next) == next => break ControlFlow::Continue(()),
                Err(_) if looked_again != Some(at) => {
                    // On a live log this may have been a frame half written.
                    looked_again = Some(at);
                    self.scanner.forget();
                }
                Err(_) if self.trimmed(first)? => return Ok(self.skip_to(next)),
                Err(defect) => {
                    let sequence = self.chain.next;
                    let (evident, sound) = self.look_beyond(&file, at, next, file_bytes)?;
                    self.suspects.push(Suspect { sequence, evident, damage: file.damage(at, defect) });
                    match sound {
                        Some(found) => summary.bytes = found,
                        None => break ControlFlow::Continue(()),
                    }
                }
            }
        };
        self.report.segments.push(summary);
        if let Some(next) = next
            && flow.is_continue()
        {
            // It was synced before its successor was made: whatever is wrong here is damage.
            self.claim = self.claim.max(next.before());
            self.settle_suspects();
            if self.chain.next < next {
                self.chain.next = next;
                self.chain.previous = None;
            }
        }
        Ok(flow)
    }

    /// The frame at `at`, shown and counted: its length, or what is wrong with it.
    #[allow(clippy::type_complexity, reason = "an outer error for the disk, an inner one for the bytes")]
    fn frame(
        &mut self,
        file: &SegmentFile,
        at: u64,
        end: u64,
        each: &mut impl FnMut(FoundFrame<'_>) -> ControlFlow<()>,
    ) -> Result<Result<(u64, ControlFlow<()>), FrameDefect>, OpenError> {
        let header = match self.scanner.frame_at(file, at, end) {
            Ok(view) => {
                self.records.clear();
                self.records.extend_from_slice(view.records);
                view.header
            }
            Err(error) => return defect_in(error).map(Err),
        };
        if let Err(defect) = self.chain.step(&header) {
            return Ok(Err(defect));
        }
        self.claim = self.claim.max(header.durable);
        let area = match self.scanner.payloads_of(file, at, &header) {
            Ok(area) => area,
            Err(error) => return defect_in(error).map(Err),
        };
        let area_at = at + header.payloads_at();
        let (suspects, payloads) = (&mut self.suspects, &mut self.report.payloads);
        let mut bad = 0;
        let walked = walk_payloads(&header, area, |offset, payload| match payload {
            Ok(_) => *payloads += 1,
            Err(defect) => {
                bad += 1;
                let damage = file.damage(area_at + u64::from(offset.0), defect.clone());
                suspects.push(Suspect { sequence: header.sequence, evident: true, damage });
            }
        });
        if let (Err(defect), 0) = (walked, bad) {
            let damage = file.damage(area_at, defect);
            suspects.push(Suspect { sequence: header.sequence, evident: true, damage });
        }
        self.report.frames += 1;
        self.report.last = header.sequence;
        let (records, payloads) = (self.records.as_slice(), area);
        let flow = each(FoundFrame { file: file.name(), offset: at, header: &header, records, payloads });
        Ok(Ok((header.frame_bytes(), flow)))
    }

    /// Looks from `at` on for what is there of the missing frame or of later ones: whether there is anything,
    /// and where the next sound frame is. If there is one, the chain stands before it afterwards.
    fn look_beyond(
        &mut self,
        file: &SegmentFile,
        mut at: u64,
        next: Option<Sequence>,
        end: u64,
    ) -> Result<(bool, Option<u64>), OpenError> {
        let mut evident = false;
        while let Some(found) = self.scanner.find_magic(file, at, end).map_err(read_error)? {
            at = found + 8;
            let (identity, sequence) = self.scanner.likeness_at(file, found).map_err(read_error)?;
            if identity != self.chain.identity || sequence < self.chain.next {
                continue;
            }
            evident = true;
            let header = match self.scanner.frame_at(file, found, end) {
                Ok(view) => view.header,
                Err(error) => {
                    defect_in(error)?;
                    continue;
                }
            };
            let behind = sequence > self.chain.next && next.is_none_or(|next| sequence < next);
            if behind && header.epoch >= self.chain.epoch {
                self.chain.next = sequence;
                self.chain.previous = None;
                return Ok((true, Some(found)));
            }
        }
        Ok((evident, None))
    }

    /// Whether the segment that begins with `first` has been trimmed since the walk began.
    fn trimmed(&self, first: Sequence) -> Result<bool, OpenError> {
        Ok(self.inspector.read_meta()?.first > first)
    }

    fn skip_to(&mut self, next: Option<Sequence>) -> ControlFlow<()> {
        let Some(next) = next else { return ControlFlow::Break(()) };
        self.chain.next = next;
        self.chain.previous = None;
        ControlFlow::Continue(())
    }

    /// Now that all claims are known: what was acknowledged and is not sound is damage; the first of the rest
    /// is the tail.
    fn settle_suspects(&mut self) {
        for Suspect { sequence, evident, damage } in std::mem::take(&mut self.suspects) {
            if sequence <= self.claim {
                self.report.damage.push(damage);
            } else if evident {
                self.report.tail.get_or_insert(damage);
            }
        }
    }
}

fn defect_in(error: ReadError) -> Result<FrameDefect, OpenError> {
    match error {
        ReadError::Damaged(damage) => Ok(damage.defect),
        error => Err(read_error(error)),
    }
}

fn read_error(error: ReadError) -> OpenError {
    match error {
        ReadError::Io { file, offset, source } => {
            io_error("reading", format!("{file} at byte {offset}"), source)
        }
        ReadError::Damaged(damage) => OpenError::Io {
            doing: "reading",
            file: damage.file,
            source: io::Error::other(damage.defect.to_string()),
        },
        ReadError::Trimmed { .. } | ReadError::NotYet { .. } => unreachable!("inspecting reads by offset"),
    }
}

fn io_error(doing: &'static str, file: String, source: io::Error) -> OpenError {
    OpenError::Io { doing, file, source }
}
