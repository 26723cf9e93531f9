//! The disk: the few things the segment engine asks of a directory and its files.
//!
//! [`RealDisk`] is a directory of the file system. The simulated disk of the tests keeps the same promises
//! and no more: what has not been synced may be lost in part or whole, in any order, and a name is only as
//! durable as the last [`Disk::sync_dir`] after it was given.
//!
//! Left out: locking (the real disk's own matter), and anything that needs no promise about crashes.

mod real;
#[cfg(feature = "testing")]
pub mod simulated;

pub use real::{DirLock, RealDisk};

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A flat directory of files.
pub trait Disk: Send + Sync + fmt::Debug {
    /// The directory as an operator would name it, for messages.
    fn directory(&self) -> String;

    /// The names of all files, in no order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a new, empty file.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` if the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, atomically, taking the name from whatever had it.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file's name away. Whoever has it open still reads it.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every name given or taken so far durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self) -> io::Result<()>;

    /// Bytes an ordinary user may still write.
    ///
    /// # Errors
    /// The system's.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// The file's length, in bytes.
    ///
    /// # Errors
    /// The system's.
    fn length(&self) -> io::Result<u64>;

    /// Reads from `offset` until `buffer` is full or the file ends, and says how much was read.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all `slices`, one behind the other, from `offset` on.
    ///
    /// # Errors
    /// The system's; some of the bytes may have been written then.
    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes the file's content and length durable. Its name is the directory's matter.
    ///
    /// # Errors
    /// The system's; nobody can say what is durable then.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the file at least `len` bytes long, with room set aside for all of them. New bytes read as zero.
    ///
    /// # Errors
    /// The system's; `StorageFull` if there is no room.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Says that what is durable of the file need not stay in memory: the next reader may have to ask the disk. A
    /// disk that keeps nothing in memory has nothing to do.
    fn let_go_of_cache(&self) {}

    /// Says that reads come from anywhere in the file: the system should read what it is asked for and nothing ahead. A disk
    /// that never reads ahead has nothing to do.
    fn never_read_ahead(&self) {}

    /// Says that these bytes will be read soon. Waits for nothing; a disk that has no use for it has nothing to do.
    fn will_read(&self, _offset: u64, _len: u64) {}
}
