//! A shard without a thread: whoever holds it says when a turn runs and what time it is.
//!
//! It runs the very turns that a shard's thread runs, so what a simulator or a test sees is what happens in a
//! server. Nothing happens by itself: a call rests in the inbox until [`Solo::turn`], an answer in the outbox
//! until the log says that it is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use tidegate_core::State;
use tidegate_log::{Log, Opened};

use crate::clock::Now;
use crate::error::{CallError, OpenError};
use crate::inbox::Call;
use crate::limits;
use crate::options::Options;
use crate::shard::{Doors, Shard, Turned};

/// See the module.
pub struct Solo {
    options: Arc<Options>,
    doors: Doors,
    calls: VecDeque<Call>,
    shard: Option<Shard>,
}

impl Solo {
    pub(crate) fn open(
        opened: Opened<Arc<dyn Log>>,
        options: Arc<Options>,
        doors: Doors,
    ) -> Result<Self, OpenError> {
        let mut solo = Self { options, doors, calls: VecDeque::new(), shard: None };
        solo.reopen(opened)?;
        Ok(solo)
    }

    /// Starts over from an opened log, after [`turn`](Self::turn) has failed or [`crash`](Self::crash).
    ///
    /// # Errors
    /// [`OpenError::Replay`].
    pub fn reopen(&mut self, opened: Opened<Arc<dyn Log>>) -> Result<(), OpenError> {
        let shard = Shard::open(0, opened, &self.options, &self.doors)
            .map_err(|source| OpenError::Replay { shard: 0, source })?;
        self.shard = Some(shard);
        self.doors.open();
        Ok(())
    }

    /// Runs one turn over what is in the inbox.
    ///
    /// # Errors
    /// Why the log takes nothing more. Everybody who waited has heard of it; the log is dropped, and only
    /// [`reopen`](Self::reopen) makes this shard serve again.
    pub fn turn(&mut self, now: Now) -> Result<Turned, Arc<str>> {
        let Some(shard) = &mut self.shard else { return Err("the shard is not open".into()) };
        if self.calls.is_empty() {
            self.doors.inbox.drain(&mut self.calls, limits::TURN_CALLS, limits::TURN_BYTES);
        }
        let turned = shard.failure().map_or_else(|| shard.turn(now, &mut self.calls), Err);
        match turned {
            Ok(Turned { more }) => Ok(Turned { more: more || self.doors.inbox.depth().0 > 0 }),
            Err(why) => {
                self.give_up(&why);
                Err(why)
            }
        }
    }

    /// Drops the shard as a crash would: nothing is finished, and everybody who waits hears that nobody
    /// knows.
    pub fn crash(&mut self) {
        self.give_up(&"crashed".into());
    }

    /// Milliseconds from `now` until time alone makes a turn worth running; none if only a call does.
    pub fn sleep_ms(&mut self, now: Now) -> Option<u64> {
        self.shard.as_mut().and_then(|shard| shard.sleep_ms(now))
    }

    /// The state, to be compared and digested; none after a failure.
    #[must_use]
    pub fn state(&self) -> Option<&State> {
        self.shard.as_ref().map(|shard| &shard.state)
    }

    fn give_up(&mut self, why: &Arc<str>) {
        self.doors.inbox.suspend(why, 0);
        for reply in self.calls.drain(..).filter_map(|call| call.reply) {
            reply.refuse(CallError::Unavailable { why: Arc::clone(why), retry_after_ms: 0 });
        }
        if let Some(shard) = self.shard.take() {
            shard.abandon(why, 0);
        }
    }
}

impl std::fmt::Debug for Solo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Solo").field("calls", &self.calls.len()).finish_non_exhaustive()
    }
}
