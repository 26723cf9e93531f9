//! A mailbox on disk in the Maildir form, which most mail programs read.
//!
//! A mail is written to `tmp/`, synced, linked into `new/`, and counts as delivered when the directory is synced too.
//! Its file is called after its id, and a link does not replace what is there: so the mailbox itself sees a second
//! delivery of the same mail, whether the first is still in `new/` or a reader has moved it to `cur/`. A mail that a
//! reader has deleted is forgotten.
//!
//! A few threads do the writing. Each takes what waits, up to a bound, writes and syncs every file, and syncs the directory
//! once for all. (One `syncfs` for a batch would be right too, but it waits for everything else that is being written
//! to the same file system, uploads above all.)

use std::collections::{HashSet, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, oneshot};

use super::{Outcome, Refusal, Verdict};

/// The threads that write. More than cores: they wait for the disk.
const THREADS: usize = 4;
/// The most mails written between two syncs of the directory.
const BATCH_MAX: usize = 64;
/// The most mails taken in; who comes later waits for a place.
const PLACES: usize = 1_024;
/// What is left in `tmp/` for longer was left by a crash. The Maildir form says so.
const LEFT_OVER: Duration = Duration::from_secs(36 * 3_600);
/// A directory's time is not finer than this, so that a listing just as young may lack something.
const LISTING_AGE_MIN: Duration = Duration::from_secs(1);

const _: () = assert!(PLACES >= THREADS * BATCH_MAX);

/// A mailbox; the threads end with it.
pub(super) struct Maildir {
    mailbox: Arc<Mailbox>,
    slow: Duration,
    places: Semaphore,
}

struct Mailbox {
    directory: PathBuf,
    /// `new/`, for syncing.
    new: File,
    waiting: Mutex<Waiting>,
    filled: Condvar,
    /// Makes names in `tmp/` differ.
    count: AtomicU64,
    read: Mutex<Listing>,
}

#[derive(Default)]
struct Waiting {
    letters: VecDeque<Letter>,
    closed: bool,
}

/// A mail on its way.
struct Letter {
    name: String,
    text: Vec<u8>,
    answer: oneshot::Sender<Outcome>,
}

/// What is in `cur/`, as of a time.
struct Listing {
    names: HashSet<String>,
    /// The directory's time when it was listed, if that is old enough to go by.
    changed: Option<SystemTime>,
}

impl Maildir {
    pub(super) fn open(directory: &Path, slow: Duration) -> io::Result<Maildir> {
        for part in ["tmp", "new", "cur"] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory.join(part))?;
        }
        // The names of the directories must outlive a crash as well.
        File::open(directory)?.sync_all()?;
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        remove_left_overs(&directory.join("tmp"))?;
        let mailbox = Arc::new(Mailbox {
            directory: directory.to_owned(),
            new: File::open(directory.join("new"))?,
            waiting: Mutex::default(),
            filled: Condvar::new(),
            count: AtomicU64::new(0),
            read: Mutex::new(Listing { names: HashSet::new(), changed: None }),
        });
        for number in 0..THREADS {
            let mailbox = Arc::clone(&mailbox);
            std::thread::Builder::new().name(format!("mailbox-{number}")).spawn(move || mailbox.run())?;
        }
        Ok(Maildir { mailbox, slow, places: Semaphore::new(PLACES) })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.mailbox.directory
    }

    pub(super) async fn deliver(&self, id: &str, message: &[u8]) -> Outcome {
        if !self.slow.is_zero() {
            tokio::time::sleep(self.slow).await;
        }
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        // Lines in files end as is usual here; on the wire they end otherwise.
        let mut text = message.to_vec();
        text.retain(|&byte| byte != b'\r');
        let (answer, answered) = oneshot::channel();
        let letter = Letter { name: format!("{id}.uploads"), text, answer };
        self.mailbox.lock().letters.push_back(letter);
        self.mailbox.filled.notify_one();
        answered.await.unwrap_or_else(|_| refused(&io::Error::other("the mailbox's thread has panicked")))
    }
}

impl Drop for Maildir {
    fn drop(&mut self) {
        self.mailbox.lock().closed = true;
        self.mailbox.filled.notify_all();
    }
}

impl Mailbox {
    fn run(&self) {
        while let Some(letters) = self.take() {
            self.deliver(letters);
        }
    }

    fn take(&self) -> Option<Vec<Letter>> {
        let mut waiting = self.lock();
        while waiting.letters.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        // A fair share: the other threads' disks are as idle as this one's.
        let share = waiting.letters.len().div_ceil(THREADS).min(BATCH_MAX);
        Some(waiting.letters.drain(..share).collect())
    }

    /// Delivers a batch. Nobody is answered before the directory is synced.
    fn deliver(&self, letters: Vec<Letter>) {
        let mut written = Vec::new();
        let mut answers = Vec::new();
        for letter in letters {
            match self
                .is_there(&letter.name)
                .and_then(|there| if there { Ok(None) } else { self.write(&letter).map(Some) })
            {
                Ok(Some(draft)) => written.push((letter, draft)),
                Ok(None) => answers.push((letter.answer, Outcome::AlreadyThere)),
                Err(error) => answers.push((letter.answer, refused(&error))),
            }
        }
        let mut linked = Vec::new();
        for (letter, draft) in written {
            let path = self.directory.join("new").join(&letter.name);
            let outcome = draft.sync_and_link(&path);
            if let Ok(Outcome::Delivered) = outcome {
                linked.push(path);
            }
            answers.push((letter.answer, outcome.unwrap_or_else(|error| refused(&error))));
        }
        if let Err(error) = self.new.sync_all() {
            // What was linked may not be on the disk; the next attempt writes it anew.
            for path in linked {
                let _ = fs::remove_file(path);
            }
            for (_, outcome) in &mut answers {
                *outcome = refused(&error);
            }
        }
        for (answer, outcome) in answers {
            // Whoever no longer waits will ask again.
            let _ = answer.send(outcome);
        }
    }

    /// Whether the mailbox has this mail. `new/` is looked at first: mails move from there to `cur/`.
    fn is_there(&self, name: &str) -> io::Result<bool> {
        if self.directory.join("new").join(name).try_exists()? {
            return Ok(true);
        }
        let cur = self.directory.join("cur");
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = fs::metadata(&cur)?.modified()?;
        if read.changed != Some(changed) {
            let names = fs::read_dir(&cur)?.map(|entry| {
                // Behind a colon are the reader's marks.
                let name = entry?.file_name().to_string_lossy().into_owned();
                Ok(name.split(':').next().unwrap_or_default().to_owned())
            });
            read.names = names.collect::<io::Result<_>>()?;
            let old_enough = changed.elapsed().is_ok_and(|age| age > LISTING_AGE_MIN);
            read.changed = old_enough.then_some(changed);
        }
        Ok(read.names.contains(name))
    }

    fn write(&self, letter: &Letter) -> io::Result<Draft> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join("tmp").join(format!("{}.{}.{count}", letter.name, std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut draft = Draft { path, file };
        draft.file.write_all(&letter.text)?;
        Ok(draft)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file in `tmp/`; it goes when this is dropped.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    fn sync_and_link(self, path: &Path) -> io::Result<Outcome> {
        self.file.sync_all()?;
        match fs::hard_link(&self.path, path) {
            Ok(()) => Ok(Outcome::Delivered),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Outcome::AlreadyThere),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What cannot be removed now is removed as a left-over.
        let _ = fs::remove_file(&self.path);
    }
}

fn remove_left_overs(tmp: &Path) -> io::Result<()> {
    for entry in fs::read_dir(tmp)? {
        let entry = entry?;
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|written| written.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age > LEFT_OVER)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn refused(error: &io::Error) -> Outcome {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "mailbox_full",
        _ => "mailbox_failed",
    };
    let text = format!("the mailbox: {error}");
    Outcome::Refused(Refusal { code: None, kind: kind.to_owned(), text, verdict: Verdict::Retry })
}
