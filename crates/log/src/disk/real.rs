//! The real disk: one directory of the file system.
//!
//! Files are written with positioned, vectored writes through the page cache and made durable with
//! `fdatasync`. No direct IO and no memory mapping: a mapped write that fails is a signal, not an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::{Disk, DiskFile};
use crate::error::OpenError;
use crate::limits::WRITE_SLICES_MAX;

/// The name of the lock file.
const LOCK: &str = "LOCK";

/// A directory.
#[derive(Debug)]
pub struct RealDisk {
    directory: PathBuf,
    handle: File,
}

impl RealDisk {
    /// Opens a directory that is there.
    ///
    /// # Errors
    /// The system's.
    pub fn open(directory: &Path) -> io::Result<RealDisk> {
        Ok(RealDisk { directory: directory.to_owned(), handle: File::open(directory)? })
    }

    /// Makes the directory, and its parents, if they are not there, and opens it.
    ///
    /// # Errors
    /// The system's.
    pub fn create(directory: &Path) -> io::Result<RealDisk> {
        let missing = directory
            .ancestors()
            .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.is_dir());
        let missing = missing.collect::<Vec<_>>();
        fs::create_dir_all(directory)?;
        // Their names, too, must outlive a crash. A relative path of one part has the empty path as its
        // parent.
        for parent in missing.into_iter().filter_map(Path::parent) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            File::open(parent)?.sync_all()?;
        }
        RealDisk::open(directory)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Disk for RealDisk {
    fn directory(&self) -> String {
        self.directory.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // A name that is not text is nothing of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.path(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path(name);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // Looking at a log (inspecting it) needs no right to change it.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                File::open(&path)?
            }
            opened => opened?,
        };
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::fstatvfs(&self.handle)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.0.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        for chunk in slices.chunks(WRITE_SLICES_MAX) {
            let mut chunk = chunk.to_vec();
            let mut rest = chunk.as_mut_slice();
            IoSlice::advance_slices(&mut rest, 0);
            while !rest.is_empty() {
                match rustix::io::pwritev(&self.0, rest, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        offset += written as u64;
                        IoSlice::advance_slices(&mut rest, written);
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            // A file system that cannot set room aside gets a longer file; it may be full later.
            Err(Errno::OPNOTSUPP) if self.length()? < len => self.0.set_len(len),
            Err(Errno::OPNOTSUPP) => Ok(()),
            done => Ok(done?),
        }
    }

    fn let_go_of_cache(&self) {
        // It is advice. Where it is not taken, the system lets go when it wants the room.
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed);
    }

    fn never_read_ahead(&self) {
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::Random);
    }

    fn will_read(&self, offset: u64, len: u64) {
        let _ = rustix::fs::fadvise(&self.0, offset, NonZeroU64::new(len), Advice::WillNeed);
    }
}

/// The right to write in a directory: an advisory lock on its lock file, given back when this is dropped, or
/// by the system when the process ends, however it ends.
#[derive(Debug)]
pub struct DirLock {
    file: File,
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that this process begets in this moment has a copy of it until it runs its
        // own program, and with the copy the lock. If this fails, closing is what is left.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

impl DirLock {
    /// Takes the lock and writes this process's id into its file.
    ///
    /// # Errors
    /// [`OpenError::InUse`] with the owner's process id if somebody has it; [`OpenError::Io`].
    pub fn take(directory: &Path) -> Result<DirLock, OpenError> {
        let path = directory.join(LOCK);
        let io = |source| OpenError::Io { doing: "locking", file: path.display().to_string(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(io)?;
                return Err(OpenError::InUse {
                    directory: directory.to_owned(),
                    pid: text.trim().parse().ok(),
                });
            }
            Err(error) => return Err(io(error.into())),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(DirLock { file })
    }
}
