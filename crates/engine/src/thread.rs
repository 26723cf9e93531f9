//! The thread around a shard: its loop, its sleep, and its fresh start after the log has failed.
//!
//! ```text
//!            ┌────────── restart: drop everything, wait, open the log, replay ◀──────────┐
//!            ▼                                                                           │ the log failed
//!   open ▶ serve: [wait if too much is in flight ▶ drain the inbox ▶ turn ▶ sleep if idle]*
//!                                                                          └ closed ▶ decide the rest, close the log
//! ```
//! Left out: what happens in a turn.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::LogSource;
use crate::error::{CallError, OpenError};
use crate::inbox::Call;
use crate::limits;
use crate::options::Options;
use crate::payloads::Readers;
use crate::published::ShardState;
use crate::shard::{Doors, Shard};

/// A look at the log at least this often while waiting for it. Its listener normally wakes the thread
/// earlier.
const LOG_WAIT: Duration = Duration::from_millis(10);

/// When callers may come back who found the shard starting over, in ms.
const RESTART_RETRY_AFTER_MS: u64 = 1_000;

/// How a shard's thread ended.
pub(crate) type Ended = Result<(), Arc<str>>;

/// A shard's thread, seen from outside.
#[derive(Debug)]
pub(crate) struct ShardThread {
    pub(crate) doors: Doors,
    thread: Option<JoinHandle<()>>,
}

impl ShardThread {
    /// Starts a thread that opens `source`, tells `opened` how that went, serves until its inbox is closed,
    /// and then tells `ended`.
    ///
    /// # Errors
    /// The system's, if there is no thread to be had.
    pub(crate) fn start(
        number: u16,
        source: LogSource,
        options: Arc<Options>,
        readers: &Readers,
        opened: mpsc::Sender<Result<(), OpenError>>,
        ended: tokio::sync::oneshot::Sender<Ended>,
    ) -> std::io::Result<Self> {
        let doors = Doors::new(&options, readers);
        let runner = Runner { number, source, options, doors: doors.clone(), calls: VecDeque::new() };
        let fall = Fall(doors.clone());
        let thread =
            std::thread::Builder::new().name(format!("tidegate-shard-{number}")).spawn(move || {
                drop(ended.send(runner.run(&opened)));
                drop(fall);
            })?;
        Ok(Self { doors, thread: Some(thread) })
    }

    /// Takes no more calls; the thread ends when it has answered those it has.
    pub(crate) fn close(&self) {
        self.doors.inbox.close();
    }
}

impl Drop for ShardThread {
    fn drop(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Says so if a bug takes the shard's thread down, so that nobody waits for it. The log is whole: a restarted
/// process goes on from it.
struct Fall(Doors);

impl Drop for Fall {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why: Arc<str> = "a bug stopped the shard; restart the process".into();
            self.0.inbox.suspend(&why, RESTART_RETRY_AFTER_MS);
            self.0.published.update(|figures| figures.state = ShardState::Stopped(why));
        }
    }
}

struct Runner {
    number: u16,
    source: LogSource,
    options: Arc<Options>,
    doors: Doors,
    /// Taken from the inbox and not yet decided.
    calls: VecDeque<Call>,
}

/// Why serving ended.
enum Stop {
    Closed,
    Failed(Arc<str>),
}

impl Runner {
    fn run(mut self, opened: &mpsc::Sender<Result<(), OpenError>>) -> Ended {
        let mut shard = match self.open().and_then(|shard| self.first_turn(shard)) {
            Ok(shard) => shard,
            Err(error) => {
                self.doors.inbox.close();
                drop(opened.send(Err(error)));
                return Ok(());
            }
        };
        self.doors.open();
        drop(opened.send(Ok(())));
        let mut tries = 0;
        loop {
            match self.serve(&mut shard) {
                Stop::Closed => {
                    let ended = shard.close(self.options.clock.now(), &mut self.calls);
                    self.state(ShardState::Closed);
                    return ended;
                }
                Stop::Failed(why) => {
                    // A log that took something deserves as many tries as a new one.
                    if shard.has_advanced() {
                        tries = 0;
                    }
                    shard = self.restart(shard, why, &mut tries)?;
                }
            }
        }
    }

    fn serve(&mut self, shard: &mut Shard) -> Stop {
        loop {
            if let Some(why) = shard.failure() {
                return Stop::Failed(why);
            }
            if self.waits_for_log(shard) {
                continue;
            }
            // Closed is looked at before draining: what came in before it was closed is still drained and
            // decided.
            let closed = self.doors.inbox.is_closed();
            if self.calls.is_empty() {
                self.doors.inbox.drain(&mut self.calls, limits::TURN_CALLS, limits::TURN_BYTES);
            }
            if closed && self.calls.is_empty() {
                return Stop::Closed;
            }
            let now = self.options.clock.now();
            match shard.turn(now, &mut self.calls) {
                Err(why) => return Stop::Failed(why),
                Ok(turned) if turned.more => {}
                Ok(_) => {
                    let limit = shard.sleep_ms(self.options.clock.now()).map(Duration::from_millis);
                    self.doors.inbox.sleep(limit);
                    // On a busy machine the callers go first, and what more they have to say shares this turn and its
                    // frame; on any other this returns at once.
                    std::thread::yield_now();
                }
            }
        }
    }

    /// If as much is in flight as may be, waits for the log's next news. The inbox fills meanwhile, and its
    /// door says no.
    fn waits_for_log(&self, shard: &Shard) -> bool {
        if !shard.is_ahead_of_log() {
            return false;
        }
        self.doors.published.set_waits_for_log(true);
        // Looked at again now that the log's listener knows: what it did before it knew is seen here.
        let waits = shard.is_ahead_of_log() && shard.failure().is_none();
        if waits {
            self.doors.inbox.sleep_until_knocked(LOG_WAIT);
        }
        self.doors.published.set_waits_for_log(false);
        waits
    }

    fn open(&mut self) -> Result<Shard, OpenError> {
        let shard = self.number;
        let opened = (self.source)().map_err(|source| OpenError::Log { shard, source })?;
        Shard::open(shard, opened, &self.options, &self.doors)
            .map_err(|source| OpenError::Replay { shard, source })
    }

    /// A turn before the door opens: it gives a new log its seed. What was replayed is shown already, whenever this turn's frame is synced.
    fn first_turn(&mut self, mut shard: Shard) -> Result<Shard, OpenError> {
        match shard.turn(self.options.clock.now(), &mut VecDeque::new()) {
            Ok(_) => Ok(shard),
            Err(why) => Err(OpenError::Io {
                doing: "writing to the log of",
                file: format!("shard {}", self.number).into(),
                source: std::io::Error::other(why.to_string()),
            }),
        }
    }

    /// Drops everything, and opens the log anew until it serves, the tries are used up, or the engine is
    /// closed.
    fn restart(&mut self, failed: Shard, why: Arc<str>, tries: &mut u32) -> Result<Shard, Arc<str>> {
        let (number, restart) = (self.number, self.options.restart);
        tracing::error!(shard = number, %why, "the log failed; the shard starts over from it");
        self.suspend(&why, RESTART_RETRY_AFTER_MS);
        self.state(ShardState::Restarting(Arc::clone(&why)));
        self.doors.published.update(|figures| figures.restarts += 1);
        failed.abandon(&why, RESTART_RETRY_AFTER_MS);
        let mut why = why;
        while *tries < restart.tries_max {
            let delay_ms = restart.delay_ms.saturating_mul(1 << (*tries).min(20)).min(restart.delay_ms_max);
            self.pause(delay_ms);
            if self.doors.inbox.is_closed() {
                return Err(why);
            }
            *tries += 1;
            match self.open().and_then(|shard| self.first_turn(shard)) {
                Ok(shard) => {
                    tracing::info!(shard = number, tries, "the shard serves again");
                    self.doors.open();
                    return Ok(shard);
                }
                Err(error) => {
                    tracing::error!(shard = number, tries, %error, "the shard could not start over");
                    why = error.to_string().into();
                    self.suspend(&why, RESTART_RETRY_AFTER_MS);
                    self.state(ShardState::Restarting(Arc::clone(&why)));
                }
            }
        }
        tracing::error!(shard = number, %why, "the shard gives up; restart the process when the cause is mended");
        self.state(ShardState::Stopped(Arc::clone(&why)));
        while !self.doors.inbox.is_closed() {
            self.doors.inbox.sleep(None);
        }
        Err(why)
    }

    /// Takes no calls for a while; those that were not decided yet hear that nothing was done.
    fn suspend(&mut self, why: &Arc<str>, retry_after_ms: u64) {
        self.doors.inbox.suspend(why, retry_after_ms);
        for reply in self.calls.drain(..).filter_map(|call| call.reply) {
            reply.refuse(CallError::Unavailable { why: Arc::clone(why), retry_after_ms });
        }
    }

    /// Waits, unless the engine is closed.
    fn pause(&self, ms: u64) {
        let clock = &self.options.clock;
        let until = clock.now().steady_ms.saturating_add(ms);
        while let Some(left) = until.checked_sub(clock.now().steady_ms).filter(|&left| left > 0) {
            if self.doors.inbox.is_closed() {
                return;
            }
            self.doors.inbox.sleep(Some(Duration::from_millis(left)));
        }
    }

    fn state(&self, state: ShardState) {
        self.doors.published.update(|figures| figures.state = state);
    }
}
