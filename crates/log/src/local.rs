//! The local engine: a directory of segment files.
//!
//! ```text
//!   DIR/LOCK                           who owns the directory
//!   DIR/meta                           which log this is, its epoch, where it begins, how it was closed
//!   DIR/00000000000000000001.segment   frames 1 …, sealed: full, and synced before its successor was made
//!   DIR/00000000000000004711.segment   frames 4711 …, active: the only one a crash can tear
//!   DIR/spare-00000002                 filled with zeros or old frames: overwriting is cheaper than growing
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `engine` | [`LocalLog`]: the order of submitted frames, the writer's thread, listeners |
//! | `segments` | [`Segments`]: append, sync, roll, trim; single-threaded, on any [`Disk`](crate::disk::Disk) |
//! | `recovery` | what opening does with what it finds |
//! | `scan` | frames out of a file, with a buffer |
//! | `reader` | frames in order, across segments, while the log goes on |
//! | `index` | where each frame is: four bytes a frame |
//! | `meta`, `spares`, `segment_file` | as they say |

mod engine;
mod index;
mod meta;
mod reader;
mod recovery;
mod scan;
mod segment_file;
mod segments;
mod spares;

pub use engine::LocalLog;
pub(crate) use meta::{DIRECTORY_FORMAT, META, Meta, MetaError, read_meta};
pub(crate) use recovery::sorted_firsts;
pub(crate) use scan::Scanner;
pub use segment_file::{SegmentFile, segment_first, segment_name};
pub use segments::Segments;

use crate::error::OpenError;
use crate::limits;

/// How a local log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalOptions {
    /// Bytes of a segment file: [`SEGMENT_BYTES_MIN`](limits::SEGMENT_BYTES_MIN) to
    /// [`SEGMENT_BYTES_MAX`](limits::SEGMENT_BYTES_MAX), a multiple of 4,096. May differ from opening to
    /// opening. A frame longer than this gets a segment of its own.
    pub segment_bytes: u64,
    /// Bytes of recent frames kept in memory for payload reads. Frames in flight are kept besides.
    pub recent_bytes: u64,
    /// How many spare segments to keep filled, ahead of need: 0 to [`SPARES_MAX`](limits::SPARES_MAX).
    pub spares: usize,
    /// The identity a new log gets; a random one if none is given. A log that is there keeps its own.
    pub identity: Option<u64>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        LocalOptions {
            segment_bytes: limits::SEGMENT_BYTES,
            recent_bytes: limits::RECENT_BYTES,
            spares: limits::SPARES,
            identity: None,
        }
    }
}

impl LocalOptions {
    fn check(&self) -> Result<(), OpenError> {
        let sizes = limits::SEGMENT_BYTES_MIN..=limits::SEGMENT_BYTES_MAX;
        if !sizes.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(BLOCK_BYTES) {
            let (least, most) = (sizes.start(), sizes.end());
            return Err(OpenError::Options(format!(
                "segment_bytes is {}; it must be from {least} to {most} and a multiple of {BLOCK_BYTES}",
                self.segment_bytes
            )));
        }
        if self.spares > limits::SPARES_MAX {
            let (found, most) = (self.spares, limits::SPARES_MAX);
            return Err(OpenError::Options(format!("spares is {found}; it must be at most {most}")));
        }
        Ok(())
    }
}

/// Segment files are whole blocks.
const BLOCK_BYTES: u64 = 4_096;
