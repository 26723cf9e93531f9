//! Volume files: their names, their headers, and those that are open for reading.
//!
//! ```text
//!  0  "TGUV"                       magic
//!  4  u32  version, 1
//!  8  u64  identity of the store, random
//! 16  u32  number of this volume, from 1
//! 20  u32  where the entries of the volume before it end; 0 for the first
//! 24  u32  0
//! 28  u32  CRC-32C of the bytes 0..28
//! 32  entries, each at a multiple of 8; zeros behind the last one
//! ```
//!
//! A volume gets its name only when its header is durable, so a file with such a name has a header. It is begun only
//! when everything in the one before it is durable, so all volumes but the last must be whole.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::error::Defect;
use super::limits::OPEN_VOLUMES_MAX;

pub(super) const VOLUME_HEADER_BYTES: u32 = 32;
const MAGIC: [u8; 4] = *b"TGUV";
const VERSION: u32 = 1;
/// What a volume's file is called until its header is durable.
const UNFINISHED: &str = "next.tmp";

pub(super) fn volume_name(number: u32) -> String {
    format!("{number:06}.vol")
}

pub(super) fn volume_number(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".vol")?.parse().ok()?;
    (volume_name(number) == name).then_some(number)
}

/// Where an entry is. Volume 0 is nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Location {
    pub(super) volume: u32,
    pub(super) offset: u32,
}

impl Location {
    pub(super) const NOWHERE: Location = Location { volume: 0, offset: 0 };

    pub(super) fn is_somewhere(self) -> bool {
        self.volume != 0
    }
}

/// What a volume says about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct VolumeHeader {
    pub(super) identity: u64,
    pub(super) number: u32,
    pub(super) previous_end: u32,
}

impl VolumeHeader {
    fn bytes(&self) -> [u8; VOLUME_HEADER_BYTES as usize] {
        let mut bytes = [0; VOLUME_HEADER_BYTES as usize];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.identity.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.number.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.previous_end.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<VolumeHeader, Defect> {
        let number = |at: usize| bytes[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        if bytes.len() < VOLUME_HEADER_BYTES as usize
            || bytes[..4] != MAGIC
            || number(28) != Some(crc32c::crc32c(&bytes[..28]))
        {
            return Err(Defect::VolumeHeader);
        }
        if number(4) != Some(VERSION) {
            return Err(Defect::NewerVersion);
        }
        Ok(VolumeHeader {
            identity: u64::from_le_bytes(*bytes[8..].first_chunk().ok_or(Defect::VolumeHeader)?),
            number: number(16).ok_or(Defect::VolumeHeader)?,
            previous_end: number(20).ok_or(Defect::VolumeHeader)?,
        })
    }
}

/// Makes the next volume; when this returns, it and its name are durable.
pub(super) fn create_volume(directory: &Path, header: VolumeHeader) -> io::Result<File> {
    let unfinished = directory.join(UNFINISHED);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all_at(&header.bytes(), 0)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, directory.join(volume_name(header.number)))?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

/// Makes room up to `end` for sure, so that a write there does not meet a full disk.
pub(super) fn allocate(file: &File, end: u32) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, u64::from(end)) {
        // A file system that cannot set room aside gets a longer file; it may be full later.
        Err(Errno::OPNOTSUPP) => file.set_len(file.metadata()?.len().max(u64::from(end))),
        done => Ok(done?),
    }
}

/// Reads as many bytes as there are, up to the buffer's length.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The volumes that are open for reading: the most recently used ones.
#[derive(Debug)]
pub(super) struct Readers {
    directory: PathBuf,
    open: Mutex<VecDeque<(u32, Arc<File>)>>,
}

impl Readers {
    pub(super) fn new(directory: PathBuf) -> Readers {
        Readers { directory, open: Mutex::default() }
    }

    pub(super) fn get(&self, volume: u32) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = open.iter().position(|(number, _)| *number == volume) {
            let found = open.remove(index).expect("it was found there");
            let file = Arc::clone(&found.1);
            open.push_front(found);
            return Ok(file);
        }
        let file = Arc::new(File::open(self.directory.join(volume_name(volume)))?);
        open.truncate(OPEN_VOLUMES_MAX - 1);
        open.push_front((volume, Arc::clone(&file)));
        Ok(file)
    }
}
