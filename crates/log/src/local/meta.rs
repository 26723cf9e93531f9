//! The meta file: the little a log must know about itself before it reads a frame.
//!
//! Two slots of one block each, written in turn and in place: a write that a crash tears leaves the other
//! slot, and rewriting needs no room on a full disk. A slot is text, for whoever looks with `cat`, ended by
//! its checksum and filled up with newlines:
//!
//! ```text
//! tidegate log
//! format 1
//! identity 9f86d081884c7d65
//! generation 12
//! epoch 5
//! first 4711
//! durable 90210
//! closed yes
//! crc32c 1c291ca3
//! ```
//! The slot with the higher generation counts.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::position::{Epoch, Sequence};

/// The file's name.
pub(crate) const META: &str = "meta";
/// Its name until it is whole.
const META_NEW: &str = "meta.new";

/// The newest format of a log directory this program writes and reads.
pub(crate) const DIRECTORY_FORMAT: u32 = 1;

const SLOT_BYTES: usize = 4_096;
const TITLE: &str = "tidegate log";

/// What a slot says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The log's identity, in each of its frames.
    pub(crate) identity: u64,
    /// Counts the writes of this file.
    pub(crate) generation: u64,
    /// The epoch of the latest opening.
    pub(crate) epoch: Epoch,
    /// Where the log begins. Segments before it are what a crash kept a trim from taking away.
    pub(crate) first: Sequence,
    /// A sequence known durable when this was written.
    pub(crate) durable: Sequence,
    /// Whether `durable` is the log's end, and nobody has opened it since.
    pub(crate) closed: bool,
}

/// Why the meta file could not be read.
#[derive(Debug)]
pub(crate) enum MetaError {
    /// There is none.
    Missing,
    /// Neither slot is sound.
    Damaged,
    /// A newer program wrote it.
    Newer(u32),
    /// The system could not read.
    Io(io::Error),
}

/// Reads the meta file of the log on `disk`.
pub(crate) fn read_meta(disk: &dyn Disk) -> Result<Meta, MetaError> {
    match disk.open(META) {
        Ok(file) => read_slots(&*file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MetaError::Missing),
        Err(error) => Err(MetaError::Io(error)),
    }
}

fn read_slots(file: &dyn DiskFile) -> Result<Meta, MetaError> {
    let mut bytes = [0; 2 * SLOT_BYTES];
    file.read_at(&mut bytes, 0).map_err(MetaError::Io)?;
    let slots = bytes.chunks_exact(SLOT_BYTES).map(parse).collect::<Vec<_>>();
    if let Some(&Slot::Newer(format)) = slots.iter().find(|slot| matches!(slot, Slot::Newer(_))) {
        return Err(MetaError::Newer(format));
    }
    let sound = slots.iter().filter_map(|slot| if let Slot::Sound(meta) = slot { Some(*meta) } else { None });
    let sound: Vec<Meta> = sound.collect();
    let newest = sound.iter().max_by_key(|meta| meta.generation).ok_or(MetaError::Damaged)?;
    // The other slot may have said later that somebody writes again.
    let both_sound = sound.len() == slots.len() || crate::sabotage::is("meta_closed_of_one_slot");
    Ok(Meta { closed: newest.closed && both_sound, ..*newest })
}

/// The meta file, open for rewriting.
#[derive(Debug)]
pub(crate) struct MetaFile {
    pub(crate) meta: Meta,
    file: Arc<dyn DiskFile>,
}

impl MetaFile {
    /// Makes the meta file of a new log. It has its name only once it is whole and durable.
    pub(crate) fn create(disk: &dyn Disk, identity: u64) -> io::Result<MetaFile> {
        let meta = Meta {
            identity,
            generation: 0,
            epoch: Epoch(0),
            first: Sequence::FIRST,
            durable: Sequence::ZERO,
            closed: false,
        };
        match disk.remove(META_NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(META_NEW)?;
        let slot = render(&meta);
        file.write_at(&[IoSlice::new(&slot), IoSlice::new(&slot)], 0)?;
        file.sync_data()?;
        disk.rename(META_NEW, META)?;
        disk.sync_dir()?;
        Ok(MetaFile { meta, file })
    }

    /// Opens it for rewriting; `meta` is what [`read_meta`] found.
    pub(crate) fn open(disk: &dyn Disk, meta: Meta) -> io::Result<MetaFile> {
        Ok(MetaFile { meta, file: disk.open(META)? })
    }

    /// Changes it, durably.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Meta)) -> io::Result<()> {
        let mut meta = self.meta;
        change(&mut meta);
        meta.generation += 1;
        let offset = (meta.generation % 2) * SLOT_BYTES as u64;
        self.file.write_at(&[IoSlice::new(&render(&meta))], offset)?;
        self.file.sync_data()?;
        self.meta = meta;
        Ok(())
    }
}

fn render(meta: &Meta) -> Vec<u8> {
    let Meta { identity, generation, epoch, first, durable, closed } = meta;
    let closed = if *closed { "yes" } else { "no" };
    let mut text = format!(
        "{TITLE}\nformat {DIRECTORY_FORMAT}\nidentity {identity:016x}\ngeneration {generation}\nepoch {epoch}\n\
         first {first}\ndurable {durable}\nclosed {closed}\n"
    );
    text.push_str(&format!("crc32c {:08x}\n", crc32c::crc32c(text.as_bytes())));
    let mut slot = text.into_bytes();
    slot.resize(SLOT_BYTES, b'\n');
    slot
}

enum Slot {
    Sound(Meta),
    Newer(u32),
    Damaged,
}

fn parse(slot: &[u8]) -> Slot {
    parse_sound(slot).unwrap_or(Slot::Damaged)
}

/// The title and the format come first and stay so in every later format; the checksum guards the rest.
fn parse_sound(slot: &[u8]) -> Option<Slot> {
    let text = std::str::from_utf8(slot).ok()?.trim_end_matches('\n');
    let mut lines = text.lines();
    if lines.next()? != TITLE {
        return None;
    }
    let format = lines.next()?.strip_prefix("format ")?.parse().ok()?;
    if format > DIRECTORY_FORMAT {
        return Some(Slot::Newer(format));
    }
    let (body, checksum) = text.rsplit_once("crc32c ")?;
    if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(body.as_bytes()) {
        return None;
    }
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    Some(Slot::Sound(Meta {
        identity: u64::from_str_radix(value("identity")?, 16).ok()?,
        generation: value("generation")?.parse().ok()?,
        epoch: Epoch(value("epoch")?.parse().ok()?),
        first: Sequence(value("first")?.parse().ok()?),
        durable: Sequence(value("durable")?.parse().ok()?),
        closed: value("closed")? == "yes",
    }))
}
