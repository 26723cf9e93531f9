//! What can go wrong with the store.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// Why an entry was not kept, or is not known to be.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// Too much is waiting for the disk. Nothing was kept; later is better.
    #[error("the store is busy")]
    Busy,
    /// The disk has no room. Nothing was kept, and the store is well: it takes entries again once there is room.
    #[error("the disk is full")]
    DiskFull,
    /// The entry is longer than the store takes.
    #[error("the entry is too long: {0}")]
    TooLong(&'static str),
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
    /// A write or a sync failed, now or earlier. Whether the entry was kept shows only at the next start.
    #[error("the store has failed ({0}); restart the service: what was acknowledged is there")]
    Broken(Arc<Failure>),
    /// The key's holder could not be read for comparing.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The write or sync after which the store stopped for good. Nothing is tried again: after a failed sync nobody can
/// say what is on the disk.
#[derive(Clone, Debug, Error)]
#[error("{doing} {file}: {message}")]
pub struct Failure {
    /// What the store was doing: "writing", "syncing".
    pub doing: &'static str,
    /// To which file of its directory.
    pub file: String,
    /// The system's words.
    pub message: String,
}

/// One place in a volume that does not hold what it must.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}, byte {offset}: {defect}")]
pub struct Damage {
    /// The volume's name in the store's directory.
    pub file: String,
    /// Where in it, in bytes from its beginning.
    pub offset: u64,
    /// What is wrong there.
    pub defect: Defect,
}

/// What can be wrong with a place in a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Defect {
    /// There is no entry.
    #[error("there is no entry here")]
    NotAnEntry,
    /// The volume ends in the middle of the entry.
    #[error("the volume ends within this entry")]
    EndsWithin,
    /// Header or metadata are not what was written.
    #[error("the entry's header does not have its checksum")]
    Header,
    /// The content is not what was written.
    #[error("the entry's content does not have its checksum")]
    Content,
    /// It is whole, and it is of a kind this version does not know.
    #[error("an entry of a kind that this version does not know")]
    UnknownKind,
    /// The volume's own header is damaged.
    #[error("the volume's header is damaged")]
    VolumeHeader,
    /// The volume is of a later format.
    #[error("the volume was written by a newer version")]
    NewerVersion,
    /// The volume belongs to another store.
    #[error("the volume belongs to another store")]
    OtherStore,
    /// A volume between two others is not there.
    #[error("the volume is missing")]
    Missing,
    /// Entries go on where the next volume says that this one ends.
    #[error("the volume does not end where its successor says")]
    WrongEnd,
}

/// Why a store did not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process", directory.display())]
    InUse {
        /// The store's directory.
        directory: PathBuf,
    },
    /// Something that was acknowledged is damaged. The store was not changed.
    #[error("{} is damaged: {damage}. Nothing was changed; bring the file back from a backup", directory.display())]
    Damaged {
        /// The store's directory.
        directory: PathBuf,
        /// Where and what.
        damage: Damage,
    },
    /// The system said no.
    #[error("{doing} {}", path.display())]
    Io {
        /// What the store was doing.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// Why something could not be read.
#[derive(Clone, Debug, Error)]
pub enum ReadError {
    /// It is damaged.
    #[error("damaged: {0}")]
    Damaged(#[from] Damage),
    /// The system could not read.
    #[error("reading {file} at byte {offset}: {source}")]
    Io {
        /// The volume's name.
        file: String,
        /// Where.
        offset: u64,
        /// The system's error.
        source: Arc<io::Error>,
    },
}
