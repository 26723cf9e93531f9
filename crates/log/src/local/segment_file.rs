//! One open segment file, shared by the writer, readers and payload handles.
//!
//! Sharing is what pins it: a trimmed segment is recycled only when nobody else holds it. Otherwise its name
//! is taken away and the bytes live on until the last holder lets go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::DiskFile;
use crate::error::{Damage, ReadError};
use crate::frame::FrameDefect;
use crate::limits::AHEAD_BYTES;
use crate::position::Sequence;

const SUFFIX: &str = ".segment";

/// An open segment file.
#[derive(Debug)]
pub struct SegmentFile {
    first: Sequence,
    name: String,
    file: Arc<dyn DiskFile>,
    /// Up to where the system has been told to read, by those who read payloads one behind the other.
    ahead: AtomicU64,
}

impl SegmentFile {
    pub(crate) fn new(first: Sequence, file: Arc<dyn DiskFile>) -> SegmentFile {
        file.never_read_ahead();
        SegmentFile { first, name: segment_name(first), file, ahead: AtomicU64::new(0) }
    }

    /// The sequence of its first frame.
    #[must_use]
    pub fn first(&self) -> Sequence {
        self.first
    }

    /// Its name in the log's directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn file(&self) -> &Arc<dyn DiskFile> {
        &self.file
    }

    pub(crate) fn into_file(self) -> Arc<dyn DiskFile> {
        self.file
    }

    pub(crate) fn damage(&self, offset: u64, defect: FrameDefect) -> Damage {
        Damage { file: self.name.clone(), offset, defect }
    }

    /// Reads what can be read of `buffer`, and says how much that was.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, ReadError> {
        self.file.read_at(buffer, offset).map_err(|source| ReadError::Io {
            file: self.name.clone(),
            offset,
            source,
        })
    }

    /// [`read_exact_at`](Self::read_exact_at) for those who will mostly go on behind it: what follows is read ahead, as far as
    /// the frames' own writes and flushes do not notice.
    pub(crate) fn read_in_passing(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        self.read_exact_at(buffer, offset)?;
        let end = offset + buffer.len() as u64;
        let ahead = self.ahead.load(Ordering::Relaxed);
        let is_near = ahead < end + 2 * AHEAD_BYTES && offset < ahead + AHEAD_BYTES;
        if is_near && end + AHEAD_BYTES / 2 < ahead {
            return Ok(());
        }
        let from = ahead.max(end);
        let to = if is_near { from + AHEAD_BYTES } else { end };
        // Of several readers one tells the system.
        let told = self.ahead.compare_exchange(ahead, to, Ordering::Relaxed, Ordering::Relaxed);
        if told.is_ok() && is_near {
            self.file.will_read(from, AHEAD_BYTES);
        }
        Ok(())
    }

    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ReadError> {
        if self.read_at(buffer, offset)? == buffer.len() {
            Ok(())
        } else {
            Err(self.damage(offset, FrameDefect::FileEnds).into())
        }
    }
}

/// The name of the segment that begins with `first`. Twenty digits hold any sequence, so names sort as
/// sequences do.
#[must_use]
pub fn segment_name(first: Sequence) -> String {
    format!("{:020}{SUFFIX}", first.0)
}

/// The first sequence of the segment called `name`, if it is a segment's name.
#[must_use]
pub fn segment_first(name: &str) -> Option<Sequence> {
    let digits = name.strip_suffix(SUFFIX)?;
    let first = Sequence(digits.parse().ok()?);
    (segment_name(first) == name && first > Sequence::ZERO).then_some(first)
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};
    use std::sync::Mutex;

    use super::*;

    /// A file of zeros without end, which notes what it was told.
    #[derive(Debug, Default)]
    struct Told {
        ahead: Mutex<Vec<(u64, u64)>>,
        only_what_is_asked: Mutex<bool>,
    }

    impl DiskFile for Told {
        fn length(&self) -> io::Result<u64> {
            Ok(u64::MAX)
        }

        fn read_at(&self, buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
            Ok(buffer.len())
        }

        fn write_at(&self, _slices: &[IoSlice<'_>], _offset: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn sync_data(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn allocate(&self, _len: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn never_read_ahead(&self) {
            *self.only_what_is_asked.lock().expect("no test panics with it") = true;
        }

        fn will_read(&self, offset: u64, len: u64) {
            self.ahead.lock().expect("no test panics with it").push((offset, len));
        }
    }

    fn segment() -> (SegmentFile, Arc<Told>) {
        let told = Arc::new(Told::default());
        (SegmentFile::new(Sequence::FIRST, Arc::clone(&told) as Arc<dyn DiskFile>), told)
    }

    #[test]
    fn what_follows_is_read_ahead_without_gaps_and_not_far() {
        let (segment, told) = segment();
        assert!(*told.only_what_is_asked.lock().expect("no test panics with it"));
        let mut buffer = vec![0; 30_000];
        for read in 0..100 {
            let offset = read * 31_000;
            let ahead: u64 =
                told.ahead.lock().expect("no test panics with it").iter().map(|(_, len)| len).sum();
            segment.read_in_passing(&mut buffer, offset).expect("read");
            assert!(read == 0 || offset + 30_000 <= 30_000 + ahead, "read {read} finds nothing read ahead");
            assert!(ahead <= offset + 2 * AHEAD_BYTES, "too far ahead at read {read}");
        }
        let told = told.ahead.lock().expect("no test panics with it");
        assert!(told.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0), "{told:?}");
    }

    #[test]
    fn for_reads_from_anywhere_nothing_is_read_ahead() {
        let (segment, told) = segment();
        for read in 1..100 {
            segment.read_in_passing(&mut [0; 300], (read * 7_919) % 100 * 4 * AHEAD_BYTES).expect("read");
        }
        assert_eq!(*told.ahead.lock().expect("no test panics with it"), []);
    }
}
