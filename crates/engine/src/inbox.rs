//! Where calls wait for their shard: one bounded queue, for callers and for the engine's own needs.
//!
//! A caller that finds no room is told at once and by name. The engine's own calls (giving back jobs that
//! could not be delivered) always find room, for each of them answers a call that had room before.
//!
//! Left out: what a call means. One lock is taken for a call, and the shard is woken only if it sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::Command;
use tidegate_core::command::{Release, Work};

use crate::calls::Ask;
use crate::delivery::Reply;
use crate::error::CallError;

/// When a refused caller may come back, in ms: a full inbox is emptied in less.
const FULL_RETRY_AFTER_MS: u64 = 250;

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Call {
    /// What is asked.
    pub(crate) ask: Ask,
    /// What it takes of the inbox's room, in bytes.
    pub(crate) bytes: usize,
    /// Where the answer goes; nowhere for the engine's own calls.
    pub(crate) reply: Option<Reply>,
}

/// Whether calls are taken.
#[derive(Clone, Debug)]
enum Door {
    Open,
    /// The shard does not serve just now.
    Unavailable {
        why: Arc<str>,
        retry_after_ms: u64,
    },
    /// What is inside is still decided; nothing more comes in.
    Closed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Inbox {
    inside: Mutex<Inside>,
    woken: Condvar,
    calls_max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Inside {
    calls: VecDeque<Call>,
    bytes: usize,
    door: Door,
    sleeps: bool,
    /// Someone wants the shard to look around, whether or not there are calls.
    knocked: bool,
}

impl Inbox {
    /// An empty inbox, closed until its shard serves.
    pub(crate) fn new(calls_max: usize, bytes_max: usize) -> Self {
        let door = Door::Unavailable { why: "it is starting".into(), retry_after_ms: 1_000 };
        let inside = Inside { calls: VecDeque::new(), bytes: 0, door, sleeps: false, knocked: false };
        Self { inside: Mutex::new(inside), woken: Condvar::new(), calls_max, bytes_max }
    }

    /// Takes a caller's call.
    ///
    /// # Errors
    /// [`CallError::InboxFull`], [`CallError::Unavailable`] or [`CallError::ShuttingDown`].
    pub(crate) fn offer(&self, call: Call) -> Result<(), CallError> {
        let inside = self.lock();
        inside.admits()?;
        let (calls, bytes) = (inside.calls.len(), inside.bytes);
        // A call longer than the whole inbox is taken by an empty one: the bound is on what waits, not on
        // what may be asked.
        if calls >= self.calls_max || (calls > 0 && bytes + call.bytes > self.bytes_max) {
            return Err(CallError::InboxFull { calls, bytes, retry_after_ms: FULL_RETRY_AFTER_MS });
        }
        self.put(inside, call);
        Ok(())
    }

    /// Takes a call of the engine's own. If the shard does not serve, it is dropped: the leases it is about
    /// lapse.
    pub(crate) fn offer_own(&self, work: Work) {
        let command = Box::new(Command::Work(work));
        self.ask_own(Ask::Decide { key: None, command, blobs: Vec::new(), wait_ms: 0 });
    }

    fn ask_own(&self, ask: Ask) {
        let inside = self.lock();
        if inside.admits().is_ok() {
            self.put(inside, Call { ask, bytes: 0, reply: None });
        }
    }

    /// Gives jobs back whose payloads the disk did not give, no attempt counted, after a rest.
    pub(crate) fn hand_back(&self, release: Vec<Release>) {
        self.ask_own(Ask::HandBack { release });
    }

    /// Gives jobs back that could not be delivered, no attempt counted.
    pub(crate) fn give_back(&self, release: Vec<Release>) {
        self.offer_own(Work { release, ..Work::default() });
    }

    fn put(&self, mut inside: MutexGuard<'_, Inside>, call: Call) {
        inside.bytes += call.bytes;
        inside.calls.push_back(call);
        if inside.sleeps {
            inside.sleeps = false;
            self.woken.notify_one();
        }
    }

    /// Moves calls to the back of `into`, as many as have waited longest, up to `calls` of `bytes` together
    /// and at least one if there is one.
    pub(crate) fn drain(&self, into: &mut VecDeque<Call>, calls: usize, bytes: usize) {
        let mut inside = self.lock();
        let mut taken_bytes = 0;
        for _ in 0..calls {
            let Some(next) = inside.calls.front() else { break };
            if taken_bytes > 0 && taken_bytes + next.bytes > bytes {
                break;
            }
            taken_bytes += next.bytes;
            into.extend(inside.calls.pop_front());
        }
        inside.bytes -= taken_bytes;
    }

    /// Sleeps until there are calls, someone knocks, the door closes, or `limit` is over.
    pub(crate) fn sleep(&self, limit: Option<Duration>) {
        self.sleep_while(limit, |inside| inside.calls.is_empty());
    }

    /// Sleeps until someone knocks or `limit` is over, calls or not.
    pub(crate) fn sleep_until_knocked(&self, limit: Duration) {
        self.sleep_while(Some(limit), |_| true);
    }

    fn sleep_while(&self, limit: Option<Duration>, idle: impl Fn(&Inside) -> bool) {
        let mut inside = self.lock();
        if !inside.knocked && idle(&inside) {
            inside.sleeps = true;
            inside = match limit {
                None => self.woken.wait(inside).unwrap_or_else(PoisonError::into_inner),
                Some(limit) => {
                    self.woken.wait_timeout(inside, limit).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            inside.sleeps = false;
        }
        inside.knocked = false;
    }

    /// Makes the shard look around.
    pub(crate) fn knock(&self) {
        let mut inside = self.lock();
        inside.knocked = true;
        if inside.sleeps {
            inside.sleeps = false;
            self.woken.notify_one();
        }
    }

    /// Takes calls from now on, unless it was closed.
    pub(crate) fn open(&self) {
        let mut inside = self.lock();
        if !matches!(inside.door, Door::Closed) {
            inside.door = Door::Open;
        }
    }

    /// Takes no calls for a while, and tells those inside that nothing was done.
    pub(crate) fn suspend(&self, why: &Arc<str>, retry_after_ms: u64) {
        let calls = {
            let mut inside = self.lock();
            if !matches!(inside.door, Door::Closed) {
                inside.door = Door::Unavailable { why: Arc::clone(why), retry_after_ms };
            }
            inside.bytes = 0;
            std::mem::take(&mut inside.calls)
        };
        for reply in calls.into_iter().filter_map(|call| call.reply) {
            reply.refuse(CallError::Unavailable { why: Arc::clone(why), retry_after_ms });
        }
    }

    /// Takes no calls any more.
    pub(crate) fn close(&self) {
        self.lock().door = Door::Closed;
        self.knock();
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.lock().door, Door::Closed)
    }

    /// Whether it takes calls at all.
    ///
    /// # Errors
    /// [`CallError::Unavailable`] or [`CallError::ShuttingDown`].
    pub(crate) fn admits(&self) -> Result<(), CallError> {
        self.lock().admits()
    }

    /// Calls and bytes waiting.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let inside = self.lock();
        (inside.calls.len(), inside.bytes)
    }

    /// A panic elsewhere leaves the inbox whole: nothing panics half-way through a change of it.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn admits(&self) -> Result<(), CallError> {
        match &self.door {
            Door::Open => Ok(()),
            Door::Unavailable { why, retry_after_ms } => {
                Err(CallError::Unavailable { why: Arc::clone(why), retry_after_ms: *retry_after_ms })
            }
            Door::Closed => Err(CallError::ShuttingDown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(bytes: usize) -> Call {
        Call { ask: Ask::Probe, bytes, reply: None }
    }

    /// Offers calls of these sizes to an open inbox for 3 calls and 100 bytes; says which were taken.
    fn check(sizes: &[usize], taken: &[bool]) -> Inbox {
        let inbox = Inbox::new(3, 100);
        inbox.open();
        let answers: Vec<bool> = sizes.iter().map(|&bytes| inbox.offer(call(bytes)).is_ok()).collect();
        assert_eq!(answers, taken);
        inbox
    }

    #[test]
    fn calls_beyond_the_count_or_the_bytes_are_refused_by_name() {
        check(&[1, 1, 1, 1], &[true, true, true, false]);
        let inbox = check(&[60, 60, 40], &[true, false, true]);
        let refused = inbox.offer(call(1)).expect_err("there is no room");
        assert_eq!(
            refused,
            CallError::InboxFull { calls: 2, bytes: 100, retry_after_ms: FULL_RETRY_AFTER_MS }
        );
    }

    #[test]
    fn a_call_longer_than_the_inbox_is_taken_when_nothing_else_waits() {
        check(&[500, 1], &[true, false]);
    }

    #[test]
    fn draining_makes_room_and_keeps_the_order() {
        let inbox = check(&[30, 31, 32], &[true, true, true]);
        let mut out = VecDeque::new();
        inbox.drain(&mut out, 10, 61);
        assert_eq!(out.iter().map(|call| call.bytes).collect::<Vec<_>>(), [30, 31]);
        assert_eq!(inbox.depth(), (1, 32));
        inbox.offer(call(50)).expect("there is room again");
    }

    #[test]
    fn a_closed_inbox_stays_closed() {
        let inbox = check(&[], &[]);
        inbox.close();
        inbox.open();
        assert_eq!(inbox.offer(call(1)), Err(CallError::ShuttingDown));
    }

    #[test]
    fn sleep_ends_at_once_when_something_happened_before() {
        let inbox = check(&[1], &[true]);
        inbox.sleep(None);
        inbox.drain(&mut VecDeque::new(), 10, 100);
        inbox.knock();
        inbox.sleep(None);
    }
}
