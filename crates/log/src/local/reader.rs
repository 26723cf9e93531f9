//! Frames in order, across segments, while the log goes on and is trimmed.

use std::sync::Arc;

use super::Scanner;
use super::index::{Index, Run};
use crate::error::ReadError;
use crate::frame::{Chain, FrameView};
use crate::log::FrameReader;
use crate::position::Sequence;

/// Reads frames up to the last durable one. The segment it stands in is pinned.
#[derive(Debug)]
pub(crate) struct LocalReader {
    index: Arc<Index>,
    chain: Chain,
    run: Option<Run>,
    scanner: Scanner,
}

impl LocalReader {
    /// Stands before `from`, which must be held or be the place behind the last durable frame.
    pub(crate) fn new(index: Arc<Index>, identity: u64, from: Sequence) -> LocalReader {
        LocalReader {
            index,
            chain: Chain::starting_at(identity, from),
            run: None,
            scanner: Scanner::default(),
        }
    }

    /// Finds the next stretch of frames, unless the log ends here.
    fn enter_run(&mut self) -> Result<bool, ReadError> {
        // The active segment has grown meanwhile, or this is another file: either way the buffer is stale.
        self.scanner.forget();
        self.run = match self.index.run_from(self.chain.next) {
            Ok(run) => Some(run),
            Err(ReadError::NotYet { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(self.run.is_some())
    }
}

impl FrameReader for LocalReader {
    fn next_frame(&mut self) -> Result<Option<FrameView<'_>>, ReadError> {
        let spent = self.run.as_ref().is_none_or(|run| run.next == self.chain.next);
        if spent && !self.enter_run()? {
            return Ok(None);
        }
        let run = self.run.as_mut().expect("a run was entered just now or before");
        let view = self.scanner.frame_at(&run.file, run.at, run.end)?;
        self.chain.step(&view.header).map_err(|defect| run.file.damage(run.at, defect))?;
        run.at += view.header.frame_bytes();
        Ok(Some(view))
    }
}
