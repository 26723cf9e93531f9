//! One shard: its state, its log, and the turn that takes one to the other.
//!
//! A [`Shard`] has no thread, reads no clock and opens no file. Whoever drives it, a thread or a simulator,
//! gives it a reading of the clocks and the calls that wait, and gets back whether there is more to do. What
//! comes out is at most one frame in the log and one batch in the outbox.
//!
//! ```text
//!   begin_turn ▶ expire ▶ clean a little ▶ hand back ▶ decide each call ▶ serve who waits ▶ submit ▶ hand answers to the outbox
//! ```
//!
//! Promises: what is decided is in the frame, in order; an answer is held until all it saw is durable; a turn
//! is bounded in calls and bytes. Left out: what a call means (`turn`), who waits (`serve`), when to clean
//! (`cleaner`).

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message;
use tidegate_core::command::{Release, Work};
use tidegate_core::outcome::LeasedJob;
use tidegate_core::record::RecordMessage;
use tidegate_core::state::Turn;
use tidegate_core::{Command, JobId, State, Time, sabotage};
use tidegate_log::{Epoch, Log, Opened, Sequence};

use crate::availability::PoolChange;
use crate::calls::Queue;
use crate::cleaner::Cleaner;
use crate::clock::{Now, Pace};
use crate::delivery::Held;
use crate::error::{CallError, ReplayError};
use crate::inbox::{Call, Inbox};
use crate::limits;
use crate::options::Options;
use crate::outbox::{Batch, Outbox};
use crate::payloads::Readers;
use crate::published::{self, Published, ShardState, Snapshot};
use crate::rates::Rates;
use crate::sink::FrameSink;
use crate::waiters::{Waiters, Waiting};

/// When a caller may come back who found the disk full, in ms: space does not come back by the millisecond.
const DISK_FULL_RETRY_AFTER_MS: u64 = 5_000;

/// What a shard shares with its callers. It outlives restarts.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) published: Arc<Published>,
    pub(crate) readers: Readers,
}

impl Doors {
    /// The shard serves: calls are taken from now on. Said in this order, so that whoever reads it finds the
    /// door open.
    pub(crate) fn open(&self) {
        self.inbox.open();
        self.published.update(|figures| figures.state = ShardState::Serving);
    }

    pub(crate) fn new(options: &Options, readers: &Readers) -> Self {
        Self {
            inbox: Arc::new(Inbox::new(options.inbox_calls_max, options.inbox_bytes_max)),
            published: Arc::new(Published::new(Arc::clone(&options.clock))),
            readers: readers.clone(),
        }
    }
}

/// See the module.
pub(crate) struct Shard {
    number: u16,
    pub(crate) options: Arc<Options>,
    pub(crate) log: Arc<dyn Log>,
    epoch: Epoch,
    /// The last frame when the log was opened.
    opened_at: Sequence,
    /// The last frame submitted.
    last: Sequence,
    pub(crate) state: State,
    pub(crate) sink: FrameSink,
    pace: Pace,
    pub(crate) doors: Doors,
    outbox: Arc<Outbox>,
    pub(crate) waiters: Waiters,
    pub(crate) gathered: Gathered,
    /// Answers of this turn.
    pub(crate) answers: Vec<Held>,
    /// Somebody wants to see a frame written, even an empty one.
    pub(crate) probed: bool,
    disk: DiskGuard,
    pub(crate) rates: Rates,
    /// When the next snapshot is due; none while nothing has changed since the last one.
    publish_at: Option<Time>,
    published_at: Time,
    pub(crate) cleaner: Cleaner,
    /// Leases that go back once a disk that refused to read has had a rest. If the shard starts over before, they lapse.
    returns: Vec<(Time, Release)>,
    /// Pools that are shown and that this log knows nothing of, to be shown no more: a damaged disk has lost them since.
    lost_pools: Vec<Arc<str>>,
}

/// What the core collects in a turn beside records.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) placed: Vec<u32>,
    /// Texts that the core made, which go into the frame as blobs.
    pub(crate) made: Vec<String>,
    pub(crate) readied: Vec<u16>,
    pub(crate) ended: Vec<JobId>,
}

impl Gathered {
    /// A turn that goes on collecting into these lists; [`absorb`](Self::absorb) takes them back.
    pub(crate) fn turn<'a>(&mut self, sink: &'a mut FrameSink) -> Turn<'a> {
        let blob_cursor = sink.cursor();
        Turn {
            sink,
            blob_cursor,
            placed: std::mem::take(&mut self.placed),
            made: std::mem::take(&mut self.made),
            readied: std::mem::take(&mut self.readied),
            ended: std::mem::take(&mut self.ended),
            sparing: false,
            records: 0,
        }
    }

    pub(crate) fn absorb(&mut self, turn: Turn<'_>) {
        (self.placed, self.made) = (turn.placed, turn.made);
        (self.readied, self.ended) = (turn.readied, turn.ended);
    }
}

/// What the last look at the log said, and a guess at what has become of it since.
#[derive(Debug, Default)]
struct DiskGuard {
    look_at: Time,
    /// The last frame when it was looked at last.
    seen: Sequence,
    /// Bytes free, less what has been submitted since the look.
    free_bytes: u64,
    full: bool,
}

impl DiskGuard {
    /// Whether it is time for the next look, or the last one says too little by now.
    fn wants_look(&self, time: Time, reserve: u64) -> bool {
        time >= self.look_at || (!self.full && self.free_bytes < reserve)
    }
}

/// What a turn leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Something is due now: run another turn at once.
    pub more: bool,
}

impl Shard {
    /// Replays an opened log and is ready for turns.
    ///
    /// # Errors
    /// [`ReplayError`].
    pub(crate) fn open(
        number: u16,
        opened: Opened<Arc<dyn Log>>,
        options: &Arc<Options>,
        doors: &Doors,
    ) -> Result<Self, ReplayError> {
        let Opened { log, recovery } = opened;
        let mut limits = options.state;
        if limits.hash_seed == 0 {
            limits.hash_seed = options.seed.unwrap_or_else(random);
        }
        let mut state = State::new(number, limits);
        replay(&mut state, &*log)?;
        let outbox =
            Arc::new(Outbox::new(recovery.last, Arc::clone(&doors.inbox), Arc::clone(&doors.published)));
        let listener = Arc::clone(&outbox);
        log.on_durable(Box::new(move |news| listener.hear(news)));
        let now = options.clock.now();
        let pace = Pace::new(state.now(), now);
        let (epoch, last) = (recovery.epoch, recovery.last);
        let shown = doors.published.pools().all().into_iter().map(|seen| Arc::clone(&seen.view.name));
        let lost_pools = shown.filter(|name| state.pool(name).is_none()).collect();
        doors.published.update(|figures| figures.recovery = Some(recovery));
        let mut shard = Self {
            number,
            log,
            epoch,
            opened_at: last,
            last,
            rates: Rates::new(pace.last()),
            pace,
            state,
            sink: FrameSink::default(),
            doors: doors.clone(),
            outbox,
            waiters: Waiters::new(options.waiters_max),
            gathered: Gathered::default(),
            answers: Vec::new(),
            probed: false,
            disk: DiskGuard::default(),
            publish_at: Some(Time(0)),
            published_at: Time(0),
            cleaner: Cleaner::new(options.cleaning),
            returns: Vec::new(),
            lost_pools,
            options: Arc::clone(options),
        };
        shard.show_replayed();
        Ok(shard)
    }

    /// Shows what the log has brought back, which is durable. The first turn writes a frame as likely as not (a hold has lapsed
    /// meanwhile), and until that is synced whoever came through the door would find no pool, no queue, and believe it.
    fn show_replayed(&mut self) {
        let time = self.state.now();
        let pools = self.changed_pools();
        self.doors.published.pools().show(pools, time);
        let queues = self.snapshot(time);
        self.doors.published.set_snapshot(queues);
        // What the first turn makes of it is shown likewise, as soon as that is durable.
        self.publish_at = Some(Time(0));
    }

    /// Runs one turn over the calls that wait, as far as its bounds allow; the rest stays in `calls`.
    ///
    /// # Errors
    /// Why the log takes nothing more. Everybody whose call was decided has heard that the outcome is
    /// unknown; the shard is of no use any more.
    pub(crate) fn turn(&mut self, now: Now, calls: &mut VecDeque<Call>) -> Result<Turned, Arc<str>> {
        let sequence = self.last.next();
        let time = self.state.begin_turn(sequence.0, self.pace.time(now));
        self.look_at_log(time);
        let mut more = self.expire();
        self.clean(time);
        let cleaned = self.sink.bytes();
        self.hand_back(time);
        for taken in 0..limits::TURN_CALLS {
            let Some(call) = calls.front() else { break };
            // The first is taken however long it is, so that no call is kept out for ever.
            if taken > 0 && self.sink.bytes() + call.bytes > limits::TURN_BYTES {
                break;
            }
            let call = calls.pop_front().expect("the front is there");
            self.call(call, time);
        }
        let told = self.answers.len();
        more |= self.serve_waiters(time);
        // Who has waited hears first: a job on its way is worth more than the receipt for it.
        self.answers.rotate_left(told);
        more |= !calls.is_empty();
        self.cleaner.pay(self.sink.bytes() - cleaned);
        self.submit(time)?;
        Ok(Turned { more })
    }

    /// Takes leases that go back later: after a rest, and in any case before they lapse, for that would count as an attempt.
    pub(crate) fn hand_back_later(&mut self, release: Vec<Release>, time: Time) {
        for release in release {
            let lease = self.state.job(release.id).filter(|job| job.token == Some(release.token));
            if let Some(lapses_at) = lease.and_then(|job| job.lease_expires_at) {
                let rest_ms = limits::READ_PAUSE_MS.min(lapses_at.since(time) / 2);
                self.returns.push((time.plus(rest_ms), release));
            }
        }
    }

    /// These jobs are in their worker's hands now, by a repeated answer.
    pub(crate) fn keep_leased(&mut self, jobs: &[LeasedJob]) {
        self.returns.retain(|(_, release)| !jobs.iter().any(|job| job.token == release.token));
    }

    /// Gives back what has rested.
    fn hand_back(&mut self, time: Time) {
        if self.returns.iter().any(|(at, _)| *at <= time) {
            let due = self.returns.extract_if(.., |(at, _)| *at <= time);
            let release = due.map(|(_, release)| release).collect();
            self.decide(None, Command::Work(Work { release, ..Work::default() }), &[]);
        }
    }

    /// What time has made due; the first turn of a new log also gives it its seed.
    fn expire(&mut self) -> bool {
        let mut turn = self.gathered.turn(&mut self.sink);
        if !self.state.is_seeded() {
            let seed = self.options.seed.unwrap_or_else(random);
            self.state.seed(seed.wrapping_add(u64::from(self.number)), &mut turn);
        }
        let more = self.state.expire(&mut turn);
        self.gathered.absorb(turn);
        self.place_blobs(&[]);
        more
    }

    /// Makes the turn's frame, if there is anything to write, and hands the answers to the outbox.
    fn submit(&mut self, time: Time) -> Result<(), Arc<str>> {
        let wrote = std::mem::take(&mut self.probed) || !self.sink.builder().is_empty();
        if wrote {
            let next = self.last.next();
            self.disk.free_bytes = self.disk.free_bytes.saturating_sub(self.sink.bytes() as u64);
            let buffer = self.log.spare_buffer().unwrap_or_default();
            let frame = self.sink.builder().finish_in(
                buffer,
                tidegate_log::Shard(self.number),
                self.epoch,
                next,
                time.0,
            );
            match self.log.submit(self.last, frame) {
                Ok(()) => self.last = next,
                Err(error) => self.outbox.fail(&error.to_string().into()),
            }
            self.publish_at.get_or_insert(self.published_at.plus(self.snapshot_pause_ms()));
        }
        let snapshot = self.publish_at.is_some_and(|at| at <= time).then(|| self.snapshot(time));
        let mut answers = std::mem::take(&mut self.answers);
        // Only now, since a payload may lie in the frame that was submitted just now.
        for held in &mut answers {
            held.pin(&*self.log, &self.doors.readers);
        }
        let pools = self.changed_pools();
        if !answers.is_empty() || snapshot.is_some() || !pools.is_empty() {
            self.outbox.put(Batch { after: self.last, time, answers, snapshot, pools });
        }
        self.tell_figures();
        self.outbox.failure().map_or(Ok(()), Err)
    }

    /// Copies the pools that have changed since the last turn, for publishing.
    fn changed_pools(&mut self) -> Vec<PoolChange> {
        let mut names = self.state.take_changed_pools();
        names.extend(std::mem::take(&mut self.lost_pools));
        let change = |name: Arc<str>| PoolChange { view: self.state.pool(&name), name };
        names.into_iter().map(change).collect()
    }

    /// The last frame submitted.
    pub(crate) fn last(&self) -> Sequence {
        self.last
    }

    /// When time alone makes the next turn worth running.
    pub(crate) fn next_wake(&self) -> Option<Time> {
        let look_at = (self.disk.seen != self.last).then_some(self.disk.look_at);
        let waiters = self.waiters.next_deadline();
        let returns = self.returns.iter().map(|(at, _)| *at).min();
        [self.state.next_deadline(), waiters, returns, self.publish_at, self.cleaner.next_step(), look_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Milliseconds from `now` to [`next_wake`](Self::next_wake).
    pub(crate) fn sleep_ms(&mut self, now: Now) -> Option<u64> {
        let time = self.pace.time(now);
        self.next_wake().map(|wake| wake.since(time))
    }

    /// Why the log takes nothing more, if that is so.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.outbox.failure()
    }

    /// Whether as much is in flight as may be.
    pub(crate) fn is_ahead_of_log(&self) -> bool {
        self.log.in_flight_bytes() > self.options.in_flight_bytes_max
    }

    /// Whether anything has become durable since the log was opened.
    pub(crate) fn has_advanced(&self) -> bool {
        self.log.durable().sequence > self.opened_at
    }

    /// Decides what is left in `calls`, answers everybody who waits, and closes the log.
    ///
    /// # Errors
    /// Why the last frames are not known to be durable.
    pub(crate) fn close(mut self, now: Now, calls: &mut VecDeque<Call>) -> Result<(), Arc<str>> {
        while !calls.is_empty() {
            self.turn(now, calls)?;
        }
        let time = self.state.begin_turn(self.last.next().0, self.pace.time(now));
        self.hand_back(Time(u64::MAX));
        while let Some(waiter) = self.waiters.take_any() {
            self.lapse(waiter);
        }
        self.publish_at = Some(time);
        self.submit(time)?;
        self.log.close().map_err(|failure| failure.to_string().into())
    }

    /// Tells everybody who waits that the shard's log has failed: those for whom something was decided do not
    /// know what became of it, for the others nothing was done.
    pub(crate) fn abandon(mut self, why: &Arc<str>, retry_after_ms: u64) {
        self.outbox.fail(why);
        while let Some(waiter) = self.waiters.take_any() {
            waiter.reply.refuse(match waiter.waiting {
                Waiting::Lease(lease) if lease.settled.is_some() => {
                    CallError::OutcomeUnknown { why: Arc::clone(why) }
                }
                _ => CallError::Unavailable { why: Arc::clone(why), retry_after_ms },
            });
        }
    }

    /// Looks at the log and its disk: is there room for new work, is there something to clean? Once a second,
    /// and at once when the shard itself may have filled the disk since.
    fn look_at_log(&mut self, time: Time) {
        let reserve = self.options.disk_reserve_bytes;
        if !self.disk.wants_look(time, reserve) {
            return;
        }
        let status = self.log.status();
        if time >= self.disk.look_at {
            self.cleaner.look(&status, &self.state);
            (self.disk.look_at, self.disk.seen) = (time.plus(limits::LOG_LOOK_MS), self.last);
        }
        // Once full, an eighth more must be free, so that the door does not flap.
        let needed = if self.disk.full { reserve.saturating_add(reserve / 8) } else { reserve };
        let stays = self.disk.full && sabotage::is("disk_full_for_ever");
        let full = status.free_bytes < needed || stays;
        if full != self.disk.full {
            let (shard, free_bytes) = (self.number, status.free_bytes);
            if full {
                tracing::warn!(shard, free_bytes, reserve, "the disk is nearly full: what is new is refused");
            } else {
                tracing::info!(shard, free_bytes, "the disk has room again: what is new is taken");
            }
        }
        (self.disk.full, self.disk.free_bytes) = (full, status.free_bytes);
        self.doors.published.update(|figures| (figures.disk_full, figures.log) = (full, Some(status)));
    }

    /// Why new work is refused, if it is.
    pub(crate) fn disk_full(&self) -> Option<CallError> {
        self.disk.full.then(|| CallError::DiskFull {
            free_bytes: self.disk.free_bytes,
            reserve_bytes: self.options.disk_reserve_bytes,
            retry_after_ms: DISK_FULL_RETRY_AFTER_MS,
        })
    }

    /// Copies the queues for publishing.
    fn snapshot(&mut self, time: Time) -> Arc<Snapshot> {
        (self.publish_at, self.published_at) = (None, time);
        let rates = &mut self.rates;
        let mut queues: Vec<_> = self
            .state
            .queues()
            .into_iter()
            .map(|view| {
                let rate = rates.update(time, &view);
                (view, rate)
            })
            .collect();
        queues.sort_unstable_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Arc::new(Snapshot { number: self.doors.published.next_snapshot(), as_of: time, queues })
    }

    /// The shortest time between two snapshots: longer with many queues, since each snapshot copies all of
    /// them.
    fn snapshot_pause_ms(&self) -> u64 {
        let queues = self.doors.published.snapshot().queues.len() as u64;
        self.options.snapshot_ms + queues / limits::SNAPSHOT_QUEUES_PER_MS
    }

    /// A queue as it is now.
    pub(crate) fn queue_now(&self, name: &str, time: Time) -> Option<Queue> {
        let view = self.state.queue(name)?;
        Some(published::queue(view, &self.rates.of(name), time, time))
    }

    fn tell_figures(&self) {
        self.doors.published.update(|figures| {
            figures.last = self.last.0;
            figures.in_flight_bytes = self.log.in_flight_bytes();
            figures.waiters = self.waiters.len() as u64;
            figures.jobs = self.state.job_count();
            figures.turns += 1;
            figures.cleanings = self.cleaner.done();
        });
    }
}

/// Applies everything the log holds.
fn replay(state: &mut State, log: &dyn Log) -> Result<(), ReplayError> {
    let mut reader = log.read(Sequence::ZERO)?;
    while let Some(frame) = reader.next_frame()? {
        let sequence = frame.header.sequence.0;
        state.begin_turn(sequence, Time(frame.header.time_ms));
        let mut records = frame.records;
        while !records.is_empty() {
            let message = RecordMessage::decode_length_delimited(&mut records)
                .map_err(|source| ReplayError::Record { sequence, source })?;
            let record = message.record.ok_or(ReplayError::Newer { sequence })?;
            record.possible().map_err(|source| ReplayError::Impossible { sequence, source })?;
            state.apply(&record);
        }
    }
    state.finish_replay();
    Ok(())
}

/// A number that nobody could have guessed, from the seeds the standard library gives its maps.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
