//! The service's own durable store: images, thumbnails and marks in append-only files.
//!
//! **What it promises.** An entry whose `append` was answered is on stable storage. Nothing is ever changed or removed;
//! an upload that was let go is only no longer shown. What is read is what was written, or an error that names the file and the byte. Memory is bounded: the queue by
//! `limits.rs`, the index by about fifty bytes an upload. A client key makes one upload, however often and however
//! simultaneously it comes.
//!
//! **How.** Entries (`entry.rs`) go one after the other into volumes (`volume.rs`) of 256 MiB through one thread
//! (`writer.rs`) that shares a sync between all who wait. At the start the volumes are scanned (`recovery.rs`) for the
//! index (`index.rs`); reads (`read.rs`) go to the files, from any thread.
//!
//! **What it leaves out.** Deleting: an upload is kept until its directory goes. More than one process: a lock keeps
//! others away.

mod entry;
mod error;
mod id;
mod index;
pub mod limits;
mod read;
mod recovery;
mod volume;
mod writer;

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use bytes::Bytes;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

pub use entry::{Entry, NewImage};
pub use error::{AppendError, Damage, Defect, Failure, OpenError, ReadError};
pub use id::{NotAnUploadId, UploadId};
pub use recovery::{Report, TornTail};

use crate::images::{Size, Thumbnail};
use entry::Prepared;
use index::{Index, Known};
use read::Reader;
use volume::Readers;
use writer::{Queue, Writer, Written};

/// Sizes that tests want small.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// The length at which a volume is closed, in bytes.
    pub volume_bytes: u32,
    /// How much room a volume takes from the disk at a time, in bytes.
    pub allocate_bytes: u32,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions { volume_bytes: limits::VOLUME_BYTES, allocate_bytes: limits::ALLOCATE_BYTES }
    }
}

/// What came of an append. Each of these is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entry is kept.
    Kept,
    /// This upload has such an entry already; this one was dropped.
    AlreadyThere,
    /// The client key belongs to this upload of the same image for the same address; no second one was made.
    SameImage(UploadId),
    /// The client key belongs to this upload, which is another one.
    OtherImage(UploadId),
}

/// What is known of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The key its client chose.
    pub client_key: Option<String>,
    /// The file's name.
    pub name: String,
    /// The image's media type.
    pub content_type: String,
    /// The image's length in bytes.
    pub bytes: u32,
    /// Whom to tell.
    pub email: String,
    /// When it was received, in milliseconds since 1970.
    pub received_at_ms: u64,
    /// Its jobs: thumbnail, email, notification; once they are accepted.
    pub jobs: Option<[String; 3]>,
    /// Width and height of its thumbnails, small, medium and large; once they are made.
    pub thumbnails: Option<[(u32, u32); 3]>,
    /// Whether its notification went out.
    pub notified: bool,
}

/// An image as it was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// See the module. A clone is another handle on the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    queue: Arc<Queue>,
    index: Arc<RwLock<Index>>,
    reader: Arc<Reader>,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: Lock,
}

impl Store {
    /// Opens the store in `directory`, or begins one.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process has it, [`OpenError::Damaged`] if something acknowledged is not there,
    /// [`OpenError::Io`].
    pub fn open(directory: &Path, options: StoreOptions) -> Result<(Store, Report), OpenError> {
        create_directory(directory).map_err(|source| io_error("making", directory, source))?;
        let lock = Lock::take(directory)?;
        let recovered = recovery::recover(directory, RandomState::new().hash_one(0_u8))?;
        let seed = recovery::seed_of(recovered.identity);
        let queue = Arc::new(Queue::default());
        let index = Arc::new(RwLock::new(recovered.index));
        let reader = Arc::new(Reader { files: Readers::new(directory.to_owned()), seed });
        let writer = Writer {
            directory: directory.to_owned(),
            queue: Arc::clone(&queue),
            index: Arc::clone(&index),
            reader: Arc::clone(&reader),
            identity: recovered.identity,
            seed,
            volume_bytes: options.volume_bytes,
            allocate_bytes: options.allocate_bytes,
            volume: recovered.volume,
            file: recovered.file,
            end: recovered.end,
            durable: recovered.end,
            allocated: recovered.end,
            buffer: Vec::new(),
            broken: None,
        };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|source| io_error("starting the writer of", directory, source))?;
        let writer = Mutex::new(Some(thread));
        let inner = Inner { queue, index, reader, writer, _lock: lock };
        Ok((Store { inner: Arc::new(inner) }, recovered.report))
    }

    /// Keeps an entry. The answer comes when it is durable.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn append(&self, entry: Entry) -> Result<Appended, AppendError> {
        // Only an image with a key may have to be compared with another.
        let keyed = match &entry {
            Entry::Image(image) if image.client_key.is_some() => Some(image.clone()),
            _ => None,
        };
        let answer = self.inner.queue.push(Prepared::new(entry)?)?;
        // The writer answers everybody, unless its thread has come to an end by a bug.
        match (answer.await.unwrap_or(Err(AppendError::Closed))?, keyed) {
            (Written::KeyHeldBy(holder), Some(image)) => {
                let store = self.clone();
                let compared = tokio::task::spawn_blocking(move || store.compare(holder, &image)).await;
                compared.expect("comparing does not panic").map_err(AppendError::from)
            }
            (Written::KeyHeldBy(holder), None) => Ok(Appended::OtherImage(holder)),
            (Written::AlreadyThere, _) => Ok(Appended::AlreadyThere),
            (Written::Kept, _) => Ok(Appended::Kept),
        }
    }

    /// Keeps an entry that may be lost in a crash: it is written with the next batch, and nobody waits.
    ///
    /// # Errors
    /// See [`AppendError`]; the entry is dropped then.
    pub fn append_lazily(&self, entry: Entry) -> Result<(), AppendError> {
        self.inner.queue.push_lazily(Prepared::new(entry)?)
    }

    /// The failure after which the store takes nothing, if there was one. For whoever reports health.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<Failure>> {
        self.inner.queue.failure()
    }

    /// How many uploads there are.
    #[must_use]
    pub fn uploads(&self) -> usize {
        self.index().len()
    }

    /// The newest uploads, the newest first.
    #[must_use]
    pub fn newest(&self, limit: usize) -> Vec<UploadId> {
        self.index().newest().take(limit).map(|known| known.upload).collect()
    }

    /// Uploads whose jobs are not known to be accepted, the oldest first. For the start: a crash may have come in between.
    #[must_use]
    pub fn unaccepted(&self) -> Vec<UploadId> {
        let index = self.index();
        let unaccepted = index.newest().filter(|known| !known.accepted.is_somewhere());
        let mut unaccepted = unaccepted.map(|known| known.upload).collect::<Vec<_>>();
        unaccepted.reverse();
        unaccepted
    }

    /// Whether the upload's jobs are known to be accepted.
    #[must_use]
    pub fn is_accepted(&self, id: UploadId) -> bool {
        self.known(id).is_some_and(|known| known.accepted.is_somewhere())
    }

    /// What is known of an upload; none if there is no such upload.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn upload(&self, id: UploadId) -> Result<Option<Upload>, ReadError> {
        let Some(known) = self.known(id) else { return Ok(None) };
        let reader = &self.inner.reader;
        let (header, image) = reader.image_meta(known.image)?;
        let jobs = match known.accepted.is_somewhere() {
            true => <[String; 3]>::try_from(reader.accepted_meta(known.accepted)?.1.jobs).ok(),
            false => None,
        };
        let thumbnails = match known.thumbnails.is_somewhere() {
            true => {
                let (_, meta) = reader.thumbnails_meta(known.thumbnails)?;
                let sizes = meta.thumbnails.iter().map(|thumbnail| (thumbnail.width, thumbnail.height));
                <[(u32, u32); 3]>::try_from(sizes.collect::<Vec<_>>()).ok()
            }
            false => None,
        };
        Ok(Some(Upload {
            id,
            client_key: image.client_key,
            name: image.name,
            content_type: image.content_type,
            bytes: header.content_len,
            email: image.email,
            received_at_ms: image.received_at_ms,
            jobs,
            thumbnails,
            notified: known.notified,
        }))
    }

    /// The image as it was uploaded.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn image(&self, id: UploadId) -> Result<Option<Original>, ReadError> {
        let Some(known) = self.known(id) else { return Ok(None) };
        let (header, meta) = self.inner.reader.image_meta(known.image)?;
        let bytes = self.inner.reader.content(known.image, &header)?;
        Ok(Some(Original { content_type: meta.content_type, bytes }))
    }

    /// One thumbnail, if it has been made.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn thumbnail(&self, id: UploadId, size: Size) -> Result<Option<Thumbnail>, ReadError> {
        match self.known(id) {
            Some(known) if known.thumbnails.is_somewhere() => {
                self.inner.reader.thumbnail(known.thumbnails, size).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Writes what waits, makes it durable, and takes nothing more. Blocks until that is done.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether `image` is what the holder of its key is.
    fn compare(&self, holder: UploadId, image: &NewImage) -> Result<Appended, ReadError> {
        let known = self.known(holder).expect("the writer has just named it");
        let (header, meta) = self.inner.reader.image_meta(known.image)?;
        let same = meta.email == image.email
            && header.content_len as usize == image.bytes.len()
            && header.content_crc == crc32c::crc32c(&image.bytes)
            && self.inner.reader.content(known.image, &header)? == image.bytes;
        Ok(if same { Appended::SameImage(holder) } else { Appended::OtherImage(holder) })
    }

    fn known(&self, id: UploadId) -> Option<Known> {
        self.index().get(id)
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.inner.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn close(&self) {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the store's writer has panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("uploads", &self.uploads()).finish_non_exhaustive()
    }
}

/// Makes a directory whose name outlives a crash.
fn create_directory(directory: &Path) -> std::io::Result<()> {
    let missing =
        directory.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.is_dir());
    let missing = missing.collect::<Vec<_>>();
    fs::create_dir_all(directory)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// The right to write here, until this is dropped or the process ends, however it ends.
struct Lock(File);

impl Lock {
    fn take(directory: &Path) -> Result<Lock, OpenError> {
        let path = directory.join("LOCK");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| io_error("opening", &path, source))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse { directory: directory.to_owned() }),
            Err(error) => Err(io_error("locking", &path, error.into())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough while a child process is being started: until it runs its program it has the
        // file as well. If this fails, closing must do.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

fn io_error(doing: &'static str, path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io { doing, path: path.to_owned(), source }
}
