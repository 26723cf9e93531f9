//! From the volumes on the disk to the index: what is believed, what is cut off, and what stops the start.
//!
//! Volumes are read in order, headers and metadata only. All but the last must be whole. In the last one entries are
//! followed until there is none; what comes then is one of three things:
//!
//! | behind the last sound entry | it is | and |
//! |---|---|---|
//! | zeros | the end | |
//! | something, and no sound entry that says this place was durable | a torn tail: nobody was told of it | cut off, reported |
//! | a sound entry further on, written after this place was durable | damage | the start is refused, nothing is changed |
//!
//! Entries that no later one calls durable may be torn in their content, so theirs is read too, and they are written
//! once more before they are believed: after a failed sync the system may show bytes that the disk does not have.
//!
//! One thing cannot be told apart: damage to the very last batch that was acknowledged looks like a torn tail.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use prost::Message;

use super::entry::{ALIGNMENT, AnyMeta, HEADER_BYTES, Header, ImageMeta, Kind, MAGIC};
use super::error::{Damage, Defect, OpenError};
use super::id::UploadId;
use super::index::Index;
use super::limits::SCAN_BYTES;
use super::volume::{
    Location, VOLUME_HEADER_BYTES, VolumeHeader, create_volume, read_up_to, volume_name, volume_number,
};

/// What was found at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many volumes there are.
    pub volumes: u32,
    /// How many uploads.
    pub uploads: usize,
    /// What was cut off, if something was.
    pub torn: Option<TornTail>,
}

/// The remains of a write that a crash interrupted. Nobody was told that it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The volume.
    pub file: String,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// What was wrong with the first of them.
    pub reason: Defect,
}

/// The store as the disk has it.
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) identity: u64,
    /// The last volume, open for writing, where its entries end.
    pub(super) volume: u32,
    pub(super) file: File,
    pub(super) end: u32,
    pub(super) report: Report,
}

/// The seed of the entries' checksums.
pub(super) fn seed_of(identity: u64) -> u32 {
    crc32c::crc32c(&identity.to_le_bytes())
}

pub(super) fn recover(directory: &Path, new_identity: u64) -> Result<Recovered, OpenError> {
    let mut numbers = Vec::new();
    let listing = std::fs::read_dir(directory).map_err(io_error("listing", directory))?;
    for entry in listing {
        let entry = entry.map_err(io_error("listing", directory))?;
        numbers.extend(entry.file_name().to_str().and_then(volume_number));
    }
    numbers.sort_unstable();
    let Some(&last) = numbers.last() else { return begin(directory, new_identity) };

    let mut index = Index::new();
    let mut walk = Walk { directory, identity: None };
    let mut sealed: Option<(Volume, Scanned)> = None;
    for number in 1..=last {
        let volume = walk.open(number)?;
        if let Some((before, scanned)) = &sealed
            && scanned.end != volume.header.previous_end
        {
            let defect =
                if scanned.end < volume.header.previous_end { scanned.stop } else { Defect::WrongEnd };
            return Err(walk.damaged(before.number, scanned.end, defect));
        }
        let scanned = walk.scan(&volume, &mut index, number == last)?;
        sealed = Some((volume, scanned));
    }
    let (volume, scanned) = sealed.expect("there is a last volume");
    let torn = walk.cut(&volume, &scanned)?;
    let report = Report { volumes: last, uploads: index.len(), torn };
    let identity = volume.header.identity;
    Ok(Recovered { index, identity, volume: last, file: volume.file, end: scanned.end, report })
}

/// A new store.
fn begin(directory: &Path, identity: u64) -> Result<Recovered, OpenError> {
    let header = VolumeHeader { identity, number: 1, previous_end: 0 };
    let file = create_volume(directory, header).map_err(io_error("making a volume in", directory))?;
    let report = Report { volumes: 1, uploads: 0, torn: None };
    Ok(Recovered { index: Index::new(), identity, volume: 1, file, end: VOLUME_HEADER_BYTES, report })
}

struct Walk<'a> {
    directory: &'a Path,
    identity: Option<u64>,
}

struct Volume {
    number: u32,
    header: VolumeHeader,
    file: File,
    bytes: u32,
}

/// How far the entries of a volume follow one another.
struct Scanned {
    end: u32,
    /// Why they end there.
    stop: Defect,
    /// In the last volume: up to where a later entry says that everything is durable.
    durable: u32,
}

impl Walk<'_> {
    fn open(&mut self, number: u32) -> Result<Volume, OpenError> {
        let path = self.directory.join(volume_name(number));
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.damaged(number, 0, Defect::Missing));
            }
            opened => opened.map_err(io_error("opening", &path))?,
        };
        let mut bytes = [0; VOLUME_HEADER_BYTES as usize];
        let read = read_up_to(&file, &mut bytes, 0).map_err(io_error("reading", &path))?;
        let header = VolumeHeader::read(&bytes[..read]).and_then(|header| match self.identity {
            Some(identity) if identity != header.identity => Err(Defect::OtherStore),
            _ if header.number != number => Err(Defect::VolumeHeader),
            _ => Ok(header),
        });
        let header = header.map_err(|defect| self.damaged(number, 0, defect))?;
        self.identity = Some(header.identity);
        let bytes = file.metadata().map_err(io_error("looking at", &path))?.len();
        let bytes = u32::try_from(bytes).map_err(|_| self.damaged(number, 0, Defect::WrongEnd))?;
        Ok(Volume { number, header, file, bytes })
    }

    /// Follows the entries of a volume and puts them into the index.
    fn scan(&self, volume: &Volume, index: &mut Index, last: bool) -> Result<Scanned, OpenError> {
        let mut window = Window::new(volume);
        let mut found = Vec::new();
        let mut durable = VOLUME_HEADER_BYTES;
        let mut end = VOLUME_HEADER_BYTES;
        let mut stop = loop {
            match window.entry_at(end).map_err(io_error("reading", &self.path(volume.number)))? {
                Ok(entry) => {
                    durable = durable.max(entry.header.durable);
                    let next = end + entry.header.entry_bytes();
                    found.push((end, entry));
                    // A sealed volume may be of any size, and its entries need not be kept until its end is known.
                    if !last {
                        insert(index, volume, &mut found);
                    }
                    end = next;
                }
                Err(defect) => break defect,
            }
        };
        if !last {
            return Ok(Scanned { end, stop, durable });
        }
        let claim = self.look_beyond(volume, &mut window, end)?.max(durable);
        if claim > end || stop == Defect::UnknownKind {
            return Err(self.damaged(volume.number, end, stop));
        }
        // What no later entry calls durable is whole, or the tail begins with it.
        let unclaimed = found.partition_point(|(offset, _)| *offset < claim);
        for position in unclaimed..found.len() {
            let (offset, entry) = &found[position];
            if !self.content_is_whole(volume, *offset, &entry.header)? {
                end = *offset;
                stop = Defect::Content;
                found.truncate(position);
                break;
            }
        }
        insert(index, volume, &mut found);
        Ok(Scanned { end, stop, durable: claim })
    }

    /// The highest claim of durability of any sound entry behind `end`.
    fn look_beyond(&self, volume: &Volume, window: &mut Window<'_>, end: u32) -> Result<u32, OpenError> {
        let path = self.path(volume.number);
        let mut claim = 0;
        let mut buffer = vec![0; 256 * SCAN_BYTES];
        let mut at = end;
        let mut candidates = Vec::new();
        while at < volume.bytes {
            let read =
                read_up_to(&volume.file, &mut buffer, at.into()).map_err(io_error("reading", &path))?;
            if read == 0 {
                break;
            }
            let aligned = buffer[..read].chunks(ALIGNMENT as usize).enumerate();
            candidates.extend(
                aligned
                    .filter(|(_, chunk)| chunk.starts_with(&MAGIC))
                    .map(|(index, _)| at + index as u32 * ALIGNMENT),
            );
            at += read as u32;
        }
        for offset in candidates {
            match window.entry_at(offset) {
                Ok(Ok(entry)) => claim = claim.max(entry.header.durable),
                Ok(Err(_)) => {}
                Err(error) => return Err(io_error("reading", &path)(error)),
            }
        }
        Ok(claim)
    }

    fn content_is_whole(&self, volume: &Volume, offset: u32, header: &Header) -> Result<bool, OpenError> {
        let mut content = vec![0; header.content_len as usize];
        let at = u64::from(offset + header.content_at());
        let read = read_up_to(&volume.file, &mut content, at)
            .map_err(io_error("reading", &self.path(volume.number)))?;
        Ok(read == content.len() && crc32c::crc32c(&content) == header.content_crc)
    }

    /// Cuts the last volume where its entries end, and makes durable what is before.
    fn cut(&self, volume: &Volume, scanned: &Scanned) -> Result<Option<TornTail>, OpenError> {
        let path = self.path(volume.number);
        let torn_bytes = last_byte_behind(volume, scanned.end).map_err(io_error("reading", &path))?;
        let torn = (torn_bytes > 0).then(|| TornTail {
            file: volume_name(volume.number),
            offset: scanned.end.into(),
            bytes: torn_bytes,
            reason: scanned.stop,
        });
        let from = scanned.durable.min(scanned.end);
        let mut again = vec![0; (scanned.end - from) as usize];
        let io = || io_error("rewriting the tail of", &path);
        volume.file.read_exact_at(&mut again, from.into()).map_err(io())?;
        volume.file.write_all_at(&again, from.into()).map_err(io())?;
        volume.file.set_len(scanned.end.into()).map_err(io_error("cutting the tail of", &path))?;
        volume.file.sync_all().map_err(io_error("syncing", &path))?;
        File::open(self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(io_error("syncing", self.directory))?;
        Ok(torn)
    }

    fn path(&self, volume: u32) -> std::path::PathBuf {
        self.directory.join(volume_name(volume))
    }

    fn damaged(&self, volume: u32, offset: u32, defect: Defect) -> OpenError {
        let damage = Damage { file: volume_name(volume), offset: offset.into(), defect };
        OpenError::Damaged { directory: self.directory.to_owned(), damage }
    }
}

/// How many bytes behind `end` there are up to the last that is not zero.
fn last_byte_behind(volume: &Volume, end: u32) -> io::Result<u64> {
    let mut buffer = vec![0; 256 * SCAN_BYTES];
    let (mut at, mut last) = (u64::from(end), 0);
    loop {
        let read = read_up_to(&volume.file, &mut buffer, at)?;
        if read == 0 {
            return Ok(last);
        }
        if let Some(index) = buffer[..read].iter().rposition(|&byte| byte != 0) {
            last = at + index as u64 + 1 - u64::from(end);
        }
        at += read as u64;
    }
}

fn insert(index: &mut Index, volume: &Volume, found: &mut Vec<(u32, FoundEntry)>) {
    for (offset, entry) in found.drain(..) {
        let location = Location { volume: volume.number, offset };
        index.insert(entry.kind, entry.upload, entry.client_key.as_deref(), location);
    }
}

struct FoundEntry {
    header: Header,
    kind: Kind,
    upload: UploadId,
    client_key: Option<String>,
}

/// A piece of a volume in memory, moved along.
struct Window<'a> {
    volume: &'a Volume,
    seed: u32,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(volume: &'a Volume) -> Window<'a> {
        Window { volume, seed: seed_of(volume.header.identity), start: 0, bytes: Vec::new() }
    }

    /// `len` bytes at `at`, or as many as there are.
    fn bytes_at(&mut self, at: u32, len: usize) -> io::Result<&[u8]> {
        let at = u64::from(at);
        let inside = at >= self.start && at + len as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            self.bytes.resize(len.max(SCAN_BYTES), 0);
            let read = read_up_to(&self.volume.file, &mut self.bytes, at)?;
            self.bytes.truncate(read);
            self.start = at;
        }
        let from = (at - self.start) as usize;
        Ok(&self.bytes[from..self.bytes.len().min(from + len)])
    }

    /// The entry at `offset`, its header and metadata checked, its content within the file.
    fn entry_at(&mut self, offset: u32) -> io::Result<Result<FoundEntry, Defect>> {
        let (seed, volume, end) = (self.seed, self.volume.number, self.volume.bytes);
        let Some(&header_bytes) = self.bytes_at(offset, HEADER_BYTES)?.first_chunk::<HEADER_BYTES>() else {
            return Ok(Err(Defect::NotAnEntry));
        };
        let header = match Header::read(&header_bytes) {
            Ok(header) => header,
            Err(defect) => return Ok(Err(defect)),
        };
        let meta_len = header.meta_len as usize;
        let all = self.bytes_at(offset, HEADER_BYTES + meta_len)?;
        let Some(meta) = all.get(HEADER_BYTES..HEADER_BYTES + meta_len) else {
            return Ok(Err(Defect::EndsWithin));
        };
        let checked = header.check(seed, volume, offset, &header_bytes, meta).and_then(|kind| {
            let AnyMeta { upload } = AnyMeta::decode(meta).map_err(|_| Defect::Header)?;
            let client_key = match kind {
                Kind::Image => ImageMeta::decode(meta).map_err(|_| Defect::Header)?.client_key,
                _ => None,
            };
            let upload = UploadId::from_bytes(&upload).ok_or(Defect::Header)?;
            // The padding may be missing where the file was cut; the content may not.
            if u64::from(offset) + u64::from(header.entry_bytes()) > u64::from(end) {
                return Err(Defect::EndsWithin);
            }
            Ok(FoundEntry { header, kind, upload, client_key })
        });
        Ok(checked)
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path: path.clone(), source }
}
