//! The chain: what a frame must be to stand behind the one before it.
//!
//! Segments are recycled, so the bytes behind the newest frame may hold old frames, sound in themselves.
//! Sequence, epoch and chain together say whether a sound frame is the next one; everything that reads frames
//! in order asks here.

use super::{FrameDefect, FrameHeader};
use crate::position::{Epoch, Sequence};

/// Where a reader stands: what the next frame must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The log's identity.
    pub identity: u64,
    /// The sequence the next frame must have.
    pub next: Sequence,
    /// The lowest epoch the next frame may have.
    pub epoch: Epoch,
    /// The checksum of the frame before, if it is known. It is not at the first frame of a trimmed log.
    pub previous: Option<u32>,
}

impl Chain {
    /// Stands before `next`, which must be the first frame read. Only frame 1 has a known predecessor: none.
    #[must_use]
    pub fn starting_at(identity: u64, next: Sequence) -> Chain {
        let previous = (next == Sequence::FIRST).then_some(0);
        Chain { identity, next, epoch: Epoch(0), previous }
    }

    /// Steps over `header`, whose checksum must have been verified, if it is the next frame.
    ///
    /// # Errors
    /// The reason why it is not. The chain stays where it was.
    pub fn step(&mut self, header: &FrameHeader) -> Result<(), FrameDefect> {
        if header.identity != self.identity {
            return Err(FrameDefect::Identity { found: header.identity });
        }
        if header.sequence != self.next {
            return Err(FrameDefect::Sequence { expected: self.next, found: header.sequence });
        }
        if header.epoch < self.epoch {
            return Err(FrameDefect::Epoch { expected: self.epoch, found: header.epoch });
        }
        if let Some(expected) = self.previous.filter(|&previous| previous != header.previous) {
            return Err(FrameDefect::Chain { expected, found: header.previous });
        }
        if header.durable >= header.sequence {
            return Err(FrameDefect::DurableAhead(header.durable));
        }
        self.next = header.sequence.next();
        self.epoch = header.epoch;
        self.previous = Some(header.checksum);
        Ok(())
    }
}
