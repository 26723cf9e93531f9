//! Bits that flip on the platter, in bytes that were synced long ago, and what must come of it.
//!
//! | where | what must come of it |
//! |---|---|
//! | a payload | whoever leases its job does not get it: the job is a dead letter that says so. Whoever looks is told so |
//! | a frame's header or records | the next start stops and names the file and the frame; nothing is changed on the disk |
//! | the same, or a payload, in the very last frames, which nothing on the disk claims | a torn tail, reported as one |
//! | the meta file | the other slot holds, or the start stops |
//! | a spare, or what lies behind the last frame | nothing |
//!
//! A disk that refuses to read says nothing about what lies there: whoever leases such a job does not get it, and it goes back with its
//! attempt uncounted; whoever looks is told so.
//!
//! Promise: what is neither detected nor harmless is found. A payload that was hit may still come out right, from memory or
//! because it was restated before; it may never come out as something else. Left out: bytes that were not synced yet, which a
//! crash may turn into anything. And where a payload lay that cleaning found damaged and carried on as damaged: of those it is only
//! known which payloads they can be.

use std::ops::Range;

use prost::Message as _;
use tidegate_core::JobId;
use tidegate_engine::Envelope;
use tidegate_log::disk::Disk;
use tidegate_log::disk::simulated::SimulatedDisk;
use tidegate_log::frame::{HEADER_BYTES, PAYLOAD_PREFIX_BYTES, field};
use tidegate_log::local::segment_first;
use tidegate_log::{Damage, FrameHeader, OpenError, RecoveryReport};

use crate::call::{Reply, SeenJob, Worked};
use crate::chance::Chance;

/// Bytes before a flipped one by which it is known again. Those behind it may be a later frame's.
const AROUND: usize = 12;
/// What a read begins with whose bytes are not what was written.
pub(crate) const DAMAGED: &str = "damaged: ";

/// What a reader says of a blob that the disk refused to read, after where it lies.
const REFUSED: &str = ": the simulated disk refuses to read";

/// What a reader says of a blob that cleaning has carried on as damaged.
const NO_ENVELOPE: &str = "the stored blob is not an envelope";

/// What was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Records,
    Payload,
    Meta,
    Spare,
    /// Behind the last frame, or between two.
    Unused,
}

impl Place {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Records => "records",
            Self::Payload => "payload",
            Self::Meta => "meta",
            Self::Spare => "spare",
            Self::Unused => "unused bytes",
        }
    }
}

/// One byte that is not what was written.
#[derive(Clone, Debug)]
pub(crate) struct Flip {
    pub(crate) place: Place,
    pub(crate) file: String,
    pub(crate) offset: u64,
    /// The file's last segment, as far as frames are in it.
    pub(crate) active: bool,
    mask: u8,
    /// The frame it is in, and where that begins.
    frame: u64,
    frame_at: u64,
    /// It and the bytes before it, as they are since.
    around: Vec<u8>,
}

/// All that was flipped and matters still.
#[derive(Debug, Default)]
pub(crate) struct Flips {
    live: Vec<Flip>,
    /// Payloads that may be read as damaged, until a start finds their bytes mended or written anew.
    hits: Vec<Hit>,
    /// Those of all times: cleaning may have carried them on as damaged, and that no mending heals.
    carried: Vec<Envelope>,
}

/// A payload that a flip is in, or whose frame's header is hit.
#[derive(Debug)]
struct Hit {
    place: Place,
    file: String,
    frame: u64,
    /// The bytes of the file where the payload lies, prefix included.
    at: Range<u64>,
    /// Where a reader may find damage: the payload's beginning as the header has it, or had it; the header itself.
    named: Vec<u64>,
    /// None where lies what was carried on as damaged: of that it is not known whose it was.
    payload: Option<Envelope>,
}

/// A frame in a file.
struct FrameAt {
    header: FrameHeader,
    at: usize,
}

impl FrameAt {
    fn end(&self) -> usize {
        self.at + self.header.frame_bytes() as usize
    }

    fn payloads_at(&self) -> usize {
        self.at + self.header.payloads_at() as usize
    }
}

/// The frames of a segment, as far as they are whole.
fn frames_in(first: u64, bytes: &[u8]) -> Vec<FrameAt> {
    let mut frames: Vec<FrameAt> = Vec::new();
    loop {
        let at = frames.last().map_or(0, FrameAt::end);
        let Some(header) = bytes.get(at..at + HEADER_BYTES) else { return frames };
        let header: [u8; HEADER_BYTES] = header.try_into().expect("as many bytes as a header has");
        let Ok(decoded) = FrameHeader::decode(&header) else { return frames };
        let frame = FrameAt { header: decoded, at };
        let records = bytes.get(at + HEADER_BYTES..frame.payloads_at());
        let sound = records.is_some_and(|records| decoded.verify(&header, records).is_ok());
        if !sound || decoded.sequence.0 != first + frames.len() as u64 || frame.end() > bytes.len() {
            return frames;
        }
        frames.push(frame);
    }
}

fn around(bytes: &[u8], offset: u64) -> Vec<u8> {
    let offset = offset as usize;
    bytes[offset.saturating_sub(AROUND)..=offset].to_vec()
}

impl Flips {
    /// Flips a bit somewhere, in bytes that are durable: frames up to `durable`, and files that hold none.
    pub(crate) fn flip(&mut self, disk: &SimulatedDisk, durable: u64, chance: &mut Chance) -> Option<Flip> {
        let wanted =
            [Place::Payload, Place::Header, Place::Records, Place::Meta, Place::Spare, Place::Unused]
                [chance.weighted(&[8, 2, 3, 4, 1, 1])];
        self.flip_in(wanted, disk, durable, chance)
    }

    /// Flips a bit in such a place, if there is one.
    pub(crate) fn flip_in(
        &mut self,
        wanted: Place,
        disk: &SimulatedDisk,
        durable: u64,
        chance: &mut Chance,
    ) -> Option<Flip> {
        let mut names = disk.list().ok()?;
        names.sort_unstable();
        // Frames may have been written over what was unused. (Of other bytes, a crash may bring back the old ones.)
        self.live.retain(|flip| {
            flip.place != Place::Unused
                || names.contains(&flip.file)
                    && around(&disk.bytes_of(&flip.file), flip.offset) == flip.around
        });
        let last = names.iter().rev().find(|name| segment_first(name).is_some()).cloned();
        let candidates: Vec<&String> = names
            .iter()
            .filter(|name| match wanted {
                Place::Meta => *name == "meta",
                Place::Spare => name.starts_with("spare-"),
                Place::Unused => Some(*name) == last.as_ref(),
                _ => segment_first(name).is_some(),
            })
            .collect();
        let file = (*chance.pick(&candidates)?).clone();
        let bytes = disk.bytes_of(&file);
        let mut flip = Flip {
            place: wanted,
            active: Some(&file) == last.as_ref(),
            offset: 0,
            mask: 1 << chance.below(8),
            frame: 0,
            frame_at: 0,
            around: Vec::new(),
            file,
        };
        let healed = self.healed(&flip.file, bytes.clone());
        let frames = segment_first(&flip.file).map_or_else(Vec::new, |first| frames_in(first.0, &healed));
        let range = match wanted {
            Place::Meta | Place::Spare => 0..bytes.len(),
            Place::Unused => frames.last().map_or(0, FrameAt::end)..bytes.len(),
            Place::Header | Place::Records | Place::Payload => {
                let synced: Vec<&FrameAt> = frames
                    .iter()
                    .filter(|frame| frame.header.sequence.0 <= durable)
                    .filter(|frame| wanted != Place::Payload || frame.header.payloads_len > 0)
                    .collect();
                // The last ones as often as all others: that is where a torn tail could be.
                let frame = match chance.below(2) {
                    0 => *synced.last()?,
                    _ => *chance.pick(&synced)?,
                };
                (flip.frame, flip.frame_at) = (frame.header.sequence.0, frame.at as u64);
                match wanted {
                    Place::Header => frame.at..frame.at + HEADER_BYTES,
                    Place::Records => frame.at + HEADER_BYTES..frame.payloads_at(),
                    _ => frame.payloads_at()..frame.payloads_at() + frame.header.payloads_len as usize,
                }
            }
        };
        if range.is_empty() {
            return None;
        }
        flip.offset = chance.between(range.start as u64, range.end as u64 - 1);
        if !disk.is_at_rest(&flip.file, flip.offset) {
            return None;
        }
        disk.flip(&flip.file, flip.offset, flip.mask);
        let now = disk.bytes_of(&flip.file);
        flip.around = around(&now, flip.offset);
        if let Some(frame) = frames.iter().find(|frame| frame.header.sequence.0 == flip.frame) {
            let hits = hits(&flip, frame, &healed, &now);
            self.carried.extend(hits.iter().filter_map(|hit| hit.payload.clone()));
            self.hits.extend(hits);
        }
        // Flipped twice it is what it was.
        let twice = self.live.iter().position(|known| known.file == flip.file && known.offset == flip.offset);
        match twice {
            Some(index) if self.live[index].mask == flip.mask => drop(self.live.remove(index)),
            Some(index) => {
                self.live[index].mask ^= flip.mask;
                self.live[index].around = flip.around.clone();
            }
            None => self.live.push(flip.clone()),
        }
        for known in self.live.iter_mut().filter(|known| known.file == flip.file) {
            if known.offset.abs_diff(flip.offset) <= AROUND as u64 {
                known.around = around(&now, known.offset);
            }
        }
        Some(flip)
    }

    /// A file's bytes as they were written.
    fn healed(&self, file: &str, mut bytes: Vec<u8>) -> Vec<u8> {
        for flip in self.live.iter().filter(|flip| flip.file == file) {
            bytes[flip.offset as usize] ^= flip.mask;
        }
        bytes
    }

    /// Forgets flips whose bytes were written anew, or are in no file any more.
    pub(crate) fn forget_overwritten(&mut self, disk: &SimulatedDisk) {
        let names = disk.list().unwrap_or_default();
        self.live.retain(|flip| {
            names.contains(&flip.file) && around(&disk.bytes_of(&flip.file), flip.offset) == flip.around
        });
    }

    /// Whether something was flipped that a start may stop at.
    pub(crate) fn may_stop(&self) -> bool {
        self.live.iter().any(|flip| matches!(flip.place, Place::Header | Place::Records | Place::Meta))
    }

    /// Frames that a crash could have torn, for all that the disk says: none behind them in their segment claims them.
    pub(crate) fn unclaimed(&self, disk: &SimulatedDisk) -> Vec<u64> {
        let mut unclaimed = Vec::new();
        for flip in self.live.iter().filter(|flip| flip.frame > 0) {
            let Some(first) = segment_first(&flip.file) else { continue };
            let frames = frames_in(first.0, &self.healed(&flip.file, disk.bytes_of(&flip.file)));
            let is_hit = |sequence: u64| self.live.iter().any(|flip| flip.frame == sequence);
            let sound = frames.iter().filter(|frame| !is_hit(frame.header.sequence.0));
            let claim = sound.map(|frame| frame.header.durable.0).max().unwrap_or(0);
            unclaimed.extend((flip.frame > claim).then_some(flip.frame));
        }
        unclaimed
    }

    /// Whether nothing is left by which a frame could be known: what names it in its header was hit.
    pub(crate) fn is_nameless(&self, frame: u64) -> bool {
        let named = field::SEQUENCE.end as u64;
        self.live.iter().any(|flip| {
            flip.frame == frame && flip.place == Place::Header && flip.offset < flip.frame_at + named
        })
    }

    /// Whether a start stopped as it must, with the right words; then somebody mends the bytes.
    ///
    /// # Errors
    /// In words, if what stopped it is nothing that was flipped.
    pub(crate) fn stopped(&mut self, error: &OpenError, disk: &SimulatedDisk) -> Result<Place, String> {
        let named = |damage: &Damage| {
            let named =
                |flip: &&Flip| flip.frame > 0 && flip.file == damage.file && flip.frame_at == damage.offset;
            self.live.iter().find(named).map(|flip| flip.place)
        };
        // Without the newer slot of the meta file the older one is heard, which may miss what has been trimmed since.
        let meta = self.live.iter().find(|flip| flip.place == Place::Meta).map(|flip| flip.place);
        let place = match error {
            OpenError::Damaged { damage, .. } => named(damage).or(meta),
            OpenError::NewerFormat { .. } => meta,
            _ => None,
        };
        let place =
            place.ok_or_else(|| format!("the log does not open: {error}; flipped were {:?}", self.live))?;
        for flip in self.live.extract_if(.., |flip| flip.place != Place::Payload) {
            disk.flip(&flip.file, flip.offset, flip.mask);
        }
        // What was mended may lie just before what was not.
        for left in &mut self.live {
            left.around = around(&disk.bytes_of(&left.file), left.offset);
        }
        Ok(place)
    }

    /// Whether a start that went well was right to: nothing was flipped in what it has read.
    ///
    /// # Errors
    /// In words, if something was.
    pub(crate) fn started(&mut self, recovery: &RecoveryReport, disk: &SimulatedDisk) -> Result<(), String> {
        self.forget_overwritten(disk);
        let live = &self.live;
        self.hits.retain(|hit| live.iter().any(|flip| hit.is_of(flip)));
        let unseen = self.live.iter().find(|flip| {
            matches!(flip.place, Place::Header | Place::Records)
                && (recovery.first.0..=recovery.last.0).contains(&flip.frame)
        });
        match unseen {
            Some(flip) => Err(format!("a start does not see what was flipped: {flip:?}")),
            None => Ok(()),
        }
    }

    /// Whether a payload may be read as damaged, for this reason: it lies where the reason says, and was hit there.
    fn is_hit(&self, payload: &Envelope, why: &str) -> bool {
        if why.starts_with(NO_ENVELOPE) {
            return self.carried.contains(payload);
        }
        let named = |hit: &Hit| {
            hit.named.iter().any(|at| why.starts_with(&format!("{DAMAGED}{}, byte {at}: ", hit.file)))
        };
        let is_of = |hit: &&Hit| match &hit.payload {
            Some(hit) => hit == payload,
            None => self.carried.contains(payload),
        };
        self.hits.iter().filter(is_of).any(named)
    }

    /// Whether a caller heard what he must: what is expected, but for payloads that were hit, or, if `refused`, that the disk refused
    /// to read for him.
    pub(crate) fn fits(&self, heard: &Reply, expected: &Reply, refused: bool) -> bool {
        match (heard, expected) {
            (Reply::Worked(heard), Reply::Worked(expected)) => self.worked_fits(heard, expected, refused),
            (Reply::Job(Some(heard)), Reply::Job(Some(expected))) => self.job_fits(heard, expected, refused),
            (heard, expected) => heard == expected,
        }
    }

    fn job_fits(&self, heard: &SeenJob, expected: &SeenJob, refused: bool) -> bool {
        let is_why =
            |expected: &Envelope, why: &str| (refused && is_refusal(why)) || self.is_hit(expected, why);
        let fits = |heard: &Option<Envelope>, expected: &Option<Envelope>| {
            heard == expected
                || match (heard, expected) {
                    (Some(heard), Some(expected)) => why(heard).is_some_and(|why| is_why(expected, why)),
                    _ => false,
                }
        };
        heard.view == expected.view
            && fits(&heard.payload, &expected.payload)
            && fits(&heard.result, &expected.result)
    }

    fn worked_fits(&self, heard: &Worked, expected: &Worked, refused: bool) -> bool {
        let is_of = |id: JobId| move |(other, _): &&(JobId, String)| *other == id;
        let mut left = Vec::new();
        let mut missing = 0;
        for leased in &expected.leased {
            let (job, payload) = leased;
            let damaged = heard.damaged.iter().find(is_of(job.id));
            let unread = heard.unread.iter().find(is_of(job.id));
            let is_right = match (damaged, unread) {
                (None, None) => {
                    left.push(leased.clone());
                    continue;
                }
                (Some((_, why)), None) => self.is_hit(payload, why),
                (None, Some((_, why))) => refused && is_refusal(why),
                (Some(_), Some(_)) => false,
            };
            if !is_right {
                return false;
            }
            missing += 1;
        }
        let (damaged, unread) = (heard.damaged.clone(), heard.unread.clone());
        missing == damaged.len() + unread.len()
            && *heard == Worked { leased: left, damaged, unread, ..expected.clone() }
    }
}

/// What a read says that could not be done.
pub(crate) fn why(read: &Envelope) -> Option<&str> {
    read.payload.strip_prefix(DAMAGED.as_bytes()).and_then(|why| str::from_utf8(why).ok())
}

/// Whether a reader says that the disk refused to read, and where.
pub(crate) fn is_refusal(why: &str) -> bool {
    why.ends_with(REFUSED) && why.contains(" at byte ")
}

impl Hit {
    /// Whether it is this flip that hit it.
    fn is_of(&self, flip: &Flip) -> bool {
        self.place == flip.place
            && self.file == flip.file
            && self.frame == flip.frame
            && (self.place == Place::Header || self.at.contains(&flip.offset))
    }
}

/// What a flip hits in a frame: one payload; all of them, if it is in the header, by which they are found. `healed` is the file
/// as it was written, `now` as it is.
fn hits(flip: &Flip, frame: &FrameAt, healed: &[u8], now: &[u8]) -> Vec<Hit> {
    let mut hits = Vec::new();
    if !matches!(flip.place, Place::Header | Place::Payload) {
        return hits;
    }
    let header = &now[frame.at..frame.at + HEADER_BYTES];
    let found = FrameHeader::decode(header.try_into().expect("as many bytes as a header has"));
    let area_at = frame.payloads_at();
    let area_end = area_at + frame.header.payloads_len as usize;
    let mut from = area_at;
    while from < area_end {
        let len = &healed[from + 4..from + PAYLOAD_PREFIX_BYTES];
        let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
        let to = from + PAYLOAD_PREFIX_BYTES + len;
        let at = from as u64..to as u64;
        if flip.place == Place::Header || at.contains(&flip.offset) {
            let mut named = vec![from as u64, frame.at as u64];
            if let Ok(found) = &found {
                named.push(frame.at as u64 + found.payloads_at() + (from - area_at) as u64);
            }
            // What was carried on as damaged is no envelope.
            let payload = Envelope::decode(&healed[from + PAYLOAD_PREFIX_BYTES..to]).ok();
            let (place, file, frame) = (flip.place, flip.file.clone(), flip.frame);
            hits.push(Hit { place, file, frame, at, named, payload });
        }
        from = to;
    }
    hits
}

#[cfg(test)]
mod tests {
    use tidegate_log::{Epoch, FrameBuilder, Sequence, Shard};

    use super::*;

    /// A file of one frame with these payloads, its bytes and where each payload begins.
    fn file(payloads: &[&'static str]) -> (Vec<u8>, Vec<u64>) {
        let mut builder = FrameBuilder::new();
        builder.push_record(b"a record");
        for payload in payloads {
            builder.push_payload(&Envelope::json(*payload).encode_to_vec());
        }
        let frame = builder.finish(Shard(0), Epoch(1), Sequence(1), 1).seal(1, 0, Sequence::ZERO);
        let bytes = frame.bytes().to_vec();
        let area_at = frames_in(1, &bytes)[0].payloads_at() as u64;
        let begins = payloads.iter().scan(area_at, |at, payload| {
            let begin = *at;
            *at += u64::from(Envelope::json(*payload).stored_len());
            Some(begin)
        });
        (bytes.clone(), begins.collect())
    }

    const FILE: &str = "00000000000000000001.log";

    fn flipped(place: Place, offset: u64, bytes: &[u8]) -> Flips {
        let mut now = bytes.to_vec();
        now[offset as usize] ^= 1;
        let frame = &frames_in(1, bytes)[0];
        let flip = Flip {
            place,
            file: FILE.into(),
            offset,
            active: true,
            mask: 1,
            frame: 1,
            frame_at: 0,
            around: around(&now, offset),
        };
        let hits = hits(&flip, frame, bytes, &now);
        let carried = hits.iter().filter_map(|hit| hit.payload.clone()).collect();
        Flips { live: vec![flip], hits, carried }
    }

    fn told(at: u64) -> String {
        format!("{DAMAGED}{FILE}, byte {at}: the payload's checksum is wrong")
    }

    #[test]
    fn only_the_payload_that_was_hit_may_be_damaged_and_only_where_it_lies() {
        let (bytes, begins) = file(&["[1,{}]", "1", "{}"]);
        let flips = flipped(Place::Payload, begins[0] + 10, &bytes);
        assert!(flips.is_hit(&Envelope::json("[1,{}]"), &told(begins[0])));
        assert!(!flips.is_hit(&Envelope::json("[1,{}]"), &told(begins[1])), "another place");
        assert!(!flips.is_hit(&Envelope::json("1"), &told(begins[0])), "a part of what was hit");
        assert!(!flips.is_hit(&Envelope::json("{}"), &told(begins[2])), "its neighbour");
        assert!(!flips.is_hit(&Envelope::json("{}"), NO_ENVELOPE));
        assert!(flips.is_hit(&Envelope::json("[1,{}]"), NO_ENVELOPE));
    }

    #[test]
    fn a_hit_header_puts_its_payloads_in_doubt_until_it_is_mended() {
        let (bytes, begins) = file(&["[1,{}]", "1"]);
        let mut flips = flipped(Place::Header, 0, &bytes);
        assert!(flips.is_hit(&Envelope::json("1"), &told(0)));
        assert!(flips.is_hit(&Envelope::json("1"), &told(begins[1])));
        assert!(!flips.is_hit(&Envelope::json("{}"), &told(0)), "no payload of the frame");
        assert!(!flips.is_hit(&Envelope::json("1"), &told(begins[0])), "where the other lies");
        flips.live.clear();
        let recovery = RecoveryReport {
            first: Sequence(1),
            last: Sequence(1),
            epoch: Epoch(1),
            last_time_ms: 1,
            closed: false,
            torn: None,
        };
        flips.started(&recovery, &SimulatedDisk::new()).expect("nothing is flipped");
        assert!(!flips.is_hit(&Envelope::json("1"), &told(0)), "it was mended");
    }
}
