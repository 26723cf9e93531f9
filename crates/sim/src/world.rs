//! The world of one simulation: a disk, a clock, callers, and the engine between them, one thing at a time.
//!
//! What is real: the engine's turns, its inbox and outbox, the log's writer, recovery, cleaning. What is simulated: the disk,
//! the clock, and the order in which things happen, all from one seed.
//!
//! ```text
//!   callers ──ask──▶ inbox ──turn──▶ frames in flight ──step──▶ disk ──▶ answers
//!      │                │ the same calls, in the same order         │ the same frame
//!      └──────────────▶ twin ──▶ what each must hear ───────────────┴──▶ compared
//! ```
//!
//! A copy of the twin is kept for each frame in flight. After a crash the recovered state must be that of the copy of its
//! last frame, and that frame may not be older than what somebody was told of.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use bytes::Bytes;
use tidegate_core::command::{Fail, NewJob, Release, Work as WorkCommand};
use tidegate_core::record::RedriveEnd;
use tidegate_core::{JobId, Time, Token};
use tidegate_engine::limits::CALL_BYTES;
use tidegate_engine::{Cleaning, Clock, Engine, Enqueue, Envelope, Options, PAYLOAD_DAMAGED, Solo};
use tidegate_log::disk::Disk;
use tidegate_log::disk::simulated::{SimulatedDisk, Survival};
use tidegate_log::{LocalLog, LocalOptions, Log, OpenError, Opened};

use crate::call::{Asked, Call, Reply};
use crate::chance::Chance;
use crate::clock::SimulatedClock;
use crate::coverage::Coverage;
use crate::damage::{self, Flip, Flips, Place, is_refusal};
use crate::judge::judge;
use crate::operations::{FAMILIES, POOL_FAMILIES, Scene};
use crate::plan::{Event, Fault, Plan};
use crate::pools::judge::Progress;
use crate::pools::published::Published;
use crate::queues::Queues;
use crate::room::Room;
use crate::twin::{CallNumber, Taken, Told, Twin};

/// Leases and keyed calls that callers remember.
const REMEMBERED: usize = 60;
/// Lines of the story that are kept.
const STORY_LINES: usize = 60;
/// More than one step makes of payloads and keys.
const PAYLOADS_OF_STEP: u64 = 10_000;
/// Turns that may follow one another because each says that more is due.
const TURNS_MAX: usize = 200;
/// At the end a log may have so many times what is alive in it, and so many bytes beside: its last segment, and what its frames cost.
const LOG_PER_ALIVE: u64 = 6;
const LOG_SLACK_BYTES: u64 = 65_536;
/// Seconds within which it has come down to that, and steps of a walk in each.
const QUIET_S: u64 = 30;
const STEPS_OF_WALK: u64 = 5;
/// What a digest of nothing is.
const DIGEST: u64 = 0xcbf2_9ce4_8422_2325;
/// The file that a log reads first.
const META: &str = "meta";
/// More than any simulated disk holds.
const ROOMY: u64 = 1 << 40;

/// See the module.
pub struct World {
    chance: Chance,
    plan: Plan,
    seed: u64,
    disk: SimulatedDisk,
    log: Option<Arc<LocalLog>>,
    clock: Arc<SimulatedClock>,
    engine: Engine,
    solo: Solo,
    /// The shard's time, as the clocks say it must be.
    time: u64,
    steady_ms: u64,
    /// The twin after the last turn.
    twin: Twin,
    /// The twin after each frame that may be the last one after a crash; the first is one that a later durable frame claims.
    frames: VecDeque<Kept>,
    /// The last frame.
    last: u64,
    /// The last frame that is known to be durable.
    durable: u64,
    /// Where the log began when somebody saw to it last.
    first: u64,
    /// Calls in the inbox.
    inbox: Vec<Taken>,
    pending: Vec<Pending>,
    /// What was decided and waits for a frame, in the order in which it goes out.
    held: VecDeque<(u64, Vec<Told>)>,
    next_call: CallNumber,
    leases: Vec<(JobId, Token)>,
    keyed: Vec<(Call, String)>,
    payloads: u64,
    token_max: u64,
    faults_end: bool,
    /// Whether the log was closed and not opened since.
    is_closed: bool,
    slow: Option<SlowSync>,
    /// Steps for which the disk goes on refusing to read.
    refuses: u64,
    flips: Flips,
    progress: Progress,
    queues: Queues,
    room: Room,
    was_full: bool,
    published: Published,
    story: VecDeque<String>,
    /// What callers ask and hear is not told.
    is_quiet: bool,
    coverage: Coverage,
    digest: u64,
}

/// The twin after a frame.
struct Kept {
    frame: u64,
    /// What was known to be durable when the frame was submitted; it says so.
    claim: u64,
    twin: Twin,
}

/// A sync that does not come back yet, on a thread of its own: it stands still there until it is let go.
struct SlowSync {
    thread: JoinHandle<bool>,
    /// Events until it is let go.
    left: u64,
}

struct Pending {
    number: CallNumber,
    /// None if its caller has gone.
    asked: Option<Asked>,
    stage: Stage,
    call: Call,
}

enum Stage {
    InInbox,
    /// It has been in a turn and waits there.
    Waiting,
    /// It was decided, and is told once that is durable.
    Decided,
}

impl World {
    /// A new world.
    ///
    /// # Errors
    /// If the engine does not open on a new disk.
    pub fn new(seed: u64) -> Result<Self, String> {
        let mut chance = Chance::new(seed);
        let plan = Plan::new(seed, &mut chance);
        let disk = SimulatedDisk::new();
        let clock = Arc::new(SimulatedClock::new());
        let log_seed = chance.number();
        let opened = LocalLog::open_stepped(Arc::new(disk.clone()), log_options(&plan));
        let Opened { log, recovery } = opened.map_err(|error| error.to_string())?;
        let log = Arc::new(log);
        let options = Options {
            state: plan.state,
            inbox_calls_max: plan.inbox_calls_max,
            waiters_max: plan.waiters_max,
            disk_reserve_bytes: plan.disk_reserve_bytes,
            readers: 0,
            cleaning: Cleaning { slack_bytes: plan.slack_bytes, step_bytes: plan.step_bytes, pause_ms: 10 },
            clock: clock.clone(),
            seed: Some(log_seed),
            ..Options::default()
        };
        let opened = Opened { log: Arc::clone(&log) as Arc<dyn Log>, recovery };
        let (engine, solo) = Engine::solo(opened, options).map_err(|error| error.to_string())?;
        let twin = Twin::new(log_seed, plan.state, plan.waiters_max);
        let now = clock.now();
        let room = Room::new(plan.disk_reserve_bytes);
        let published = Published::new(&engine, plan.pools.pools);
        let mut world = Self {
            chance,
            plan,
            seed,
            disk,
            log: Some(log),
            clock,
            engine,
            solo,
            time: now.wall.0,
            steady_ms: now.steady_ms,
            frames: VecDeque::from([Kept { frame: 0, claim: 0, twin: twin.clone() }]),
            twin,
            last: 0,
            durable: 0,
            first: 1,
            inbox: Vec::new(),
            pending: Vec::new(),
            held: VecDeque::new(),
            next_call: 1,
            leases: Vec::new(),
            keyed: Vec::new(),
            payloads: 0,
            token_max: 0,
            faults_end: false,
            is_closed: false,
            slow: None,
            refuses: 0,
            flips: Flips::default(),
            progress: Progress::default(),
            queues: Queues::default(),
            room,
            was_full: false,
            published,
            story: VecDeque::new(),
            is_quiet: false,
            coverage: Coverage::default(),
            digest: DIGEST,
        };
        world.queues.replayed(0, &world.twin);
        world.limit_disk();
        Ok(world)
    }

    /// What was reached.
    #[must_use]
    pub fn reached(&self) -> Coverage {
        let mut coverage = self.coverage.clone();
        for (what, count) in self.disk.happened() {
            coverage.note_many("disk", what, count);
        }
        coverage
    }

    /// The last things that happened, in words.
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        self.story.iter().cloned().collect()
    }

    /// A digest of all that was answered and all that is on the disk.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = self.digest;
        mix(&mut digest, &self.disk_digest().to_le_bytes());
        digest
    }

    fn disk_digest(&self) -> u64 {
        let mut digest = DIGEST;
        for name in self.disk.list().unwrap_or_default() {
            mix(&mut digest, name.as_bytes());
            mix(&mut digest, &self.disk.bytes_of(&name));
        }
        digest
    }

    /// Lets one thing happen.
    ///
    /// # Errors
    /// What was not as it must be, in words.
    pub fn step(&mut self, step: u64) -> Result<(), String> {
        self.chance = Chance::of_step(self.seed, step);
        self.payloads = step * PAYLOADS_OF_STEP;
        if let Some(slow) = &mut self.slow {
            slow.left = slow.left.saturating_sub(1);
            if slow.left == 0 {
                self.sync_ends()?;
            }
        }
        self.reads_fail_or_not(step);
        let event = Event::ALL[self.chance.weighted(&self.plan.events)];
        match event {
            Event::Call => self.call(),
            Event::Turn => self.turn(),
            // Nothing else is written while a sync is under way.
            Event::LogStep | Event::SpareFilled if self.slow.is_some() => Ok(()),
            Event::LogStep => {
                self.log_step()?;
                self.look_after_trim()
            }
            Event::TimePasses => {
                let ms = match self.chance.below(20) {
                    // To the very moment at which something is due.
                    19 => {
                        let moments = self.twin.moments();
                        self.chance.pick(&moments).map_or(1, |at| at.saturating_sub(self.time).min(4_000_000))
                    }
                    0 => self.chance.between(60_000, 4_000_000),
                    1..4 => self.chance.between(5_000, 60_000),
                    4..12 => self.chance.between(100, 3_000),
                    _ => self.chance.between(1, 50),
                };
                self.tell(format!("{ms} ms pass"));
                self.clock.pass(ms);
                Ok(())
            }
            Event::ClockSet => {
                let ms = self.chance.between(1, 7_200_000);
                if self.chance.percent(50) {
                    self.coverage.note("fault", "clock set back");
                    self.clock.set_back(ms);
                    self.tell(format!("the wall clock is set back by {ms} ms"));
                } else {
                    self.coverage.note("fault", "clock set forward");
                    self.clock.set_forward(ms);
                    self.tell(format!("the wall clock is set forward by {ms} ms"));
                }
                Ok(())
            }
            Event::CallerLeaves => {
                self.caller_leaves();
                Ok(())
            }
            Event::SpareFilled => {
                if let Some(log) = &self.log {
                    log.fill_spare();
                }
                self.look_for_crash()
            }
            Event::Flood => {
                for _ in 0..self.chance.between(5, 70) {
                    self.call()?;
                }
                Ok(())
            }
            Event::Fault => self.fault(),
        }
    }

    /// The disk begins to refuse to read, or ends.
    fn reads_fail_or_not(&mut self, step: u64) {
        if self.refuses > 0 {
            self.refuses -= 1;
            if self.refuses == 0 {
                self.tell("the disk reads again".into());
                self.disk.fail_reads(0, 0);
            }
        } else if let Some(steps) = self.plan.reads_fail_before(self.seed, step) {
            self.coverage.note("fault", "reads fail");
            self.tell("the disk refuses to read".into());
            self.disk.fail_reads(0, u64::MAX);
            self.refuses = steps;
        }
    }

    // ---- callers ----

    fn call(&mut self) -> Result<(), String> {
        if self.chance.percent(self.plan.repeated)
            && let Some((call, name)) =
                self.chance.pick_named(&self.keyed, |(_, name)| digest_of(name.as_bytes())).cloned()
        {
            if self.chance.percent(85) {
                return self.ask(call);
            }
            if let Some(other) = self.make() {
                return self.ask(other.keyed(&name));
            }
        }
        if self.chance.below(500) == 0 {
            return self.ask(too_large());
        }
        let Some(mut call) = self.make() else { return Ok(()) };
        if self.chance.percent(self.plan.keyed) {
            self.payloads += 1;
            let name = format!("idem-{}", self.payloads);
            call = call.keyed(&name);
            if call.key().is_some() {
                self.keyed.push((call.clone(), name));
                if self.keyed.len() > REMEMBERED {
                    self.keyed.remove(0);
                }
            }
        }
        self.ask(call)
    }

    fn make(&mut self) -> Option<Call> {
        let pools = &self.plan.pools;
        let family = if pools.share > 0 && self.chance.percent(pools.share) {
            &POOL_FAMILIES[self.chance.weighted(&pools.families)]
        } else {
            &FAMILIES[self.chance.weighted(&self.plan.families)]
        };
        let mut scene = Scene {
            chance: &mut self.chance,
            plan: &self.plan,
            twin: &self.twin,
            held: &self.leases,
            payloads: &mut self.payloads,
        };
        (family.make)(&mut scene)
    }

    /// Makes a call. It is in the inbox when this returns, or refused.
    fn ask(&mut self, call: Call) -> Result<(), String> {
        let number = self.next_call;
        self.next_call += 1;
        self.coverage.note_call(&call);
        self.tell(format!("#{number} asks: {}", brief(&call)));
        let mut asked = call.ask(&self.engine);
        let full = self.inbox.len() >= self.plan.inbox_calls_max;
        match (poll(&mut asked), full) {
            (None, false) => {}
            (Some(Reply::TooLarge), _) if call.is_too_large() => {
                self.coverage.note_reply(&call, &Reply::TooLarge);
                return Ok(());
            }
            (Some(Reply::InboxFull), true) => {
                self.coverage.note_reply(&call, &Reply::InboxFull);
                return Ok(());
            }
            (heard, _) => {
                let why = format!(
                    "#{number} heard {heard:?} when it asked, with {} in the inbox",
                    self.inbox.len()
                );
                return Err(why);
            }
        }
        self.inbox.push(Taken { number: Some(number), call: call.clone(), gone: false, rests: false });
        self.pending.push(Pending { number, asked: Some(asked), stage: Stage::InInbox, call });
        Ok(())
    }

    /// A caller goes away without waiting for its answer.
    fn caller_leaves(&mut self) {
        let here: Vec<usize> =
            (0..self.pending.len()).filter(|&index| self.pending[index].asked.is_some()).collect();
        let Some(&index) = self.chance.pick(&here) else { return };
        let number = self.pending[index].number;
        self.coverage.note("fault", "caller leaves");
        self.tell(format!("the caller of #{number} leaves"));
        self.pending[index].asked = None;
        for taken in self.inbox.iter_mut().filter(|taken| taken.number == Some(number)) {
            taken.gone = true;
        }
        self.twin.gone(number);
    }

    // ---- turns ----

    /// The time that the shard must have, from the clocks and what it had before.
    fn next_time(&mut self) -> u64 {
        let now = self.clock.now();
        self.time = (self.time + now.steady_ms.saturating_sub(self.steady_ms)).max(now.wall.0);
        self.steady_ms = self.steady_ms.max(now.steady_ms);
        self.time
    }

    /// Runs a turn over what is in the inbox, and others for as long as there is more.
    fn turn(&mut self) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            let calls = std::mem::take(&mut self.inbox);
            let time = self.next_time();
            // As the turn finds it.
            let disk_full = self.room.turn(time, self.disk.free_bytes().unwrap_or(0));
            let in_flight = self.in_flight_bytes();
            match self.solo.turn(self.clock.now()) {
                Err(why) => {
                    self.tell(format!("the turn finds that the log has failed: {why}"));
                    return self.log_failed(false);
                }
                Ok(turned) => {
                    self.room.submitted(self.in_flight_bytes() - in_flight);
                    self.after_turn(time, disk_full, &calls)?;
                    if !turned.more {
                        return self.check_sleep();
                    }
                }
            }
        }
        Err("turn after turn says that more is due".into())
    }

    /// What the log has been given and has not synced yet.
    fn in_flight_bytes(&self) -> u64 {
        self.log.as_ref().map_or(0, |log| log.in_flight_bytes())
    }

    fn after_turn(&mut self, time: u64, disk_full: bool, calls: &[Taken]) -> Result<(), String> {
        let state = self.solo.state().ok_or("the shard is not open after a turn")?;
        if state.now() != Time(time) {
            return Err(format!("the turn's time is {}, the clocks say {time}", state.now().0));
        }
        let status = &self.engine.status().shards[0];
        let last = status.last;
        if status.disk_full != disk_full {
            return Err(format!(
                "the shard says {} of a full disk and must say {disk_full}: {:?} and {:?} free",
                status.disk_full,
                self.room,
                self.disk.free_bytes()
            ));
        }
        if disk_full {
            self.coverage.note("fault", "what is new is refused for want of room");
        } else if std::mem::take(&mut self.was_full) {
            self.coverage.note("fault", "there is room again");
        }
        self.was_full = disk_full;
        let waiting: Vec<CallNumber> = self.twin.waiters.iter().map(|waiter| waiter.number).collect();
        self.twin.last_frame = self.last;
        if self.twin.pools_turn_together(time) {
            self.coverage.note_pool_state("pools turn at one moment");
        }
        let told = self.twin.turn(time, disk_full, calls);
        for queue in state.queues() {
            if queue.redrive.is_some_and(|redrive| redrive.end == Some(RedriveEnd::Done)) {
                self.twin.adopt_end_of_redrive(&queue.name);
            }
        }
        if !calls.is_empty() || last > self.last {
            self.tell(format!("turn at {time}: {} calls, frame {last}", calls.len()));
        }
        judge(self.solo.state().ok_or("the shard is not open")?, &self.twin)
            .map_err(|why| format!("after the turn of frame {last}: {why}"))?;
        let state = self.solo.state().ok_or("the shard is not open")?;
        self.progress
            .step(state, &self.twin)
            .map_err(|why| format!("after the turn of frame {last}: {why}"))?;
        self.queues.turned(time, last, last > self.last, &self.twin);
        if last > self.last {
            let mut copy = self.twin.clone();
            copy.forget_callers();
            let claim = self.log.as_ref().map_or(0, |log| log.durable().sequence.0);
            self.frames.push_back(Kept { frame: last, claim, twin: copy });
            self.last = last;
            if self.slow.is_some() {
                self.coverage.note("fault", "frames gather behind a slow sync");
            }
        }
        for taken in calls {
            for pending in self.pending.iter_mut().filter(|pending| Some(pending.number) == taken.number) {
                pending.stage = Stage::Waiting;
            }
        }
        for told in &told {
            if !told.fresh.is_empty() && waiting.contains(&told.number) {
                self.coverage.note("answer", "leased after waiting");
            }
            for pending in self.pending.iter_mut().filter(|pending| pending.number == told.number) {
                pending.stage = Stage::Decided;
            }
        }
        // A caller that had gone and will not be told anything.
        let waiters = &self.twin.waiters;
        self.pending.retain(|pending| {
            pending.asked.is_some()
                || !matches!(pending.stage, Stage::Waiting)
                || waiters.iter().any(|waiter| waiter.number == pending.number)
        });
        self.held.push_back((last, told));
        self.look_at_published()?;
        self.deliver()
    }

    /// A shard that sleeps wakes up in time for what is due.
    fn check_sleep(&mut self) -> Result<(), String> {
        let published = self.queues.next_due().map(|at| (at, "what is published of queues".into()));
        let Some((due, what)) = self.twin.next_due().into_iter().chain(published).min() else {
            return Ok(());
        };
        let sleep = self.solo.sleep_ms(self.clock.now());
        match sleep {
            Some(ms) if self.time + ms <= due.max(self.time) => Ok(()),
            _ => Err(format!(
                "{what} is due at {due}, and at {} the shard would sleep {sleep:?} ms",
                self.time
            )),
        }
    }

    // ---- the log ----

    fn log_step(&mut self) -> Result<(), String> {
        if let Some(log) = &self.log {
            log.step();
        }
        self.after_log_step()
    }

    /// The log's writer makes a step whose sync does not come back for a while.
    fn sync_is_slow(&mut self) -> Result<(), String> {
        let Some(log) = self.log.clone().filter(|_| self.slow.is_none()) else { return Ok(()) };
        self.disk.hold_syncs(true);
        let thread = std::thread::spawn(move || log.step());
        while !thread.is_finished() && self.disk.syncs_waiting() == 0 {
            std::thread::yield_now();
        }
        let syncs = !thread.is_finished();
        self.slow = Some(SlowSync { thread, left: self.chance.between(2, 40) });
        if syncs {
            self.coverage.note("fault", "sync is slow");
            self.tell("a sync does not come back yet".into());
            return Ok(());
        }
        self.sync_ends()
    }

    /// The slow sync comes back, and is heard.
    fn sync_ends(&mut self) -> Result<(), String> {
        if self.slow.is_some() {
            self.tell("the sync comes back".into());
            self.let_sync_go();
            self.after_log_step()?;
        }
        Ok(())
    }

    /// Waits for the end of the writer's step.
    fn let_sync_go(&mut self) {
        self.disk.hold_syncs(false);
        if let Some(slow) = self.slow.take()
            && let Err(panic) = slow.thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }

    /// Hears what has become durable.
    fn after_log_step(&mut self) -> Result<(), String> {
        let Some(log) = &self.log else { return Ok(()) };
        let durable = log.durable();
        if durable.sequence.0 > self.durable {
            self.durable = durable.sequence.0;
            self.tell(format!("frames up to {} are durable", self.durable));
        }
        self.look_at_published()?;
        if self.disk.list().is_err() {
            // The machine dies with the answers that were to go out now.
            let ready = self.held.iter().take_while(|(after, _)| *after <= self.durable).count();
            let lost: Vec<CallNumber> =
                self.held.drain(..ready).flat_map(|(_, told)| told).map(|told| told.number).collect();
            self.pending.retain(|pending| !lost.contains(&pending.number));
            return self.look_for_crash();
        }
        self.deliver()?;
        let synced = self.frames.iter().filter(|kept| kept.frame <= self.durable);
        let claim = synced.map(|kept| kept.claim).max().unwrap_or(0);
        while self.frames.len() > 1 && self.frames[1].frame <= claim {
            self.frames.pop_front();
        }
        if let Some(failure) = durable.failure {
            self.tell(format!("the log fails: {failure}"));
            return self.log_failed(true);
        }
        Ok(())
    }

    /// Looks at what is published: of queues the last snapshot, of pools what the last durable frame left.
    fn look_at_published(&mut self) -> Result<(), String> {
        self.queues.look(&self.engine, self.durable, &mut self.coverage)?;
        if self.plan.pools.share == 0 {
            return Ok(());
        }
        let durable = self.durable;
        let kept =
            self.frames.iter().rev().find(|kept| kept.frame <= durable).ok_or("no frame is durable")?;
        self.published.look(&self.engine, durable, self.time, &kept.twin, &mut self.coverage)
    }

    fn is_failed(&self) -> bool {
        self.log.as_ref().is_some_and(|log| log.durable().failure.is_some())
    }

    /// Lets go out what is durable, and compares it with what must be heard.
    fn deliver(&mut self) -> Result<(), String> {
        let ready = self.held.iter().take_while(|(after, _)| *after <= self.durable).count();
        let going: Vec<Told> = self.held.drain(..ready).flat_map(|(_, told)| told).collect();
        // Those whose callers have gone give back first, while the outbox lets go of them.
        for told in &going {
            let gone =
                !self.pending.iter().any(|pending| pending.number == told.number && pending.asked.is_some());
            if gone {
                self.pending.retain(|pending| pending.number != told.number);
                self.give_back(&told.fresh);
            }
        }
        for told in going {
            let Some(index) = self.pending.iter().position(|pending| pending.number == told.number) else {
                continue;
            };
            let mut pending = self.pending.remove(index);
            for release in &told.fresh {
                if release.token.0 <= self.token_max {
                    return Err(format!("token {} does not rise above {}", release.token.0, self.token_max));
                }
            }
            self.token_max =
                told.fresh.iter().map(|release| release.token.0).max().unwrap_or(0).max(self.token_max);
            if self.chance.percent(self.plan.abandoned) && !self.faults_end {
                self.coverage.note("fault", "answer not picked up");
                self.tell(format!("nobody picks up the answer to #{}", told.number));
                drop(pending);
                self.give_back(&told.fresh);
                continue;
            }
            let asked = pending.asked.as_mut().ok_or("its caller is here")?;
            let failed_reads = self.disk.failed_reads();
            let heard = poll(asked).ok_or_else(|| {
                format!("#{} has no answer though frame {} is durable", told.number, self.durable)
            })?;
            let refused = self.disk.failed_reads() > failed_reads;
            if !self.flips.fits(&heard, &told.reply, refused) {
                return Err(format!(
                    "#{} ({})\n  heard    {heard:?}\n  expected {:?}",
                    told.number,
                    brief(&pending.call),
                    told.reply
                ));
            }
            self.coverage.note_joining(&pending.call, &heard);
            self.hear(told.number, &pending.call, &heard);
            self.fail_damaged(&heard, &told.reply);
            self.hand_back_unread(&heard, &told.reply);
        }
        // Nobody else may have heard anything, unless the log has failed: that is judged when the shard goes.
        if self.is_failed() {
            return Ok(());
        }
        for pending in &mut self.pending {
            if let Some(heard) = pending.asked.as_mut().and_then(poll) {
                return Err(format!(
                    "#{} heard {heard:?} while frame {} is the last durable one",
                    pending.number, self.durable
                ));
            }
        }
        Ok(())
    }

    fn hear(&mut self, number: CallNumber, call: &Call, reply: &Reply) {
        let text = format!("{reply:?}");
        mix(&mut self.digest, text.as_bytes());
        self.tell(format!("#{number} hears {}", cut(&text)));
        self.coverage.note_reply(call, reply);
        if let Reply::Job(Some(job)) = reply {
            for read in [&job.payload, &job.result].into_iter().flatten() {
                match damage::why(read).map(is_refusal) {
                    Some(true) => self.coverage.note("damage", "a read says that the disk refuses"),
                    Some(false) => self.coverage.note("damage", "a read says that a payload is damaged"),
                    None => {}
                }
            }
        }
        reply.grants().into_iter().for_each(|grant| self.progress.hear(grant));
        if let Reply::Worked(worked) = reply {
            self.leases.extend(worked.leased.iter().map(|(job, _)| (job.id, job.token)));
            let many = self.leases.len().saturating_sub(REMEMBERED);
            self.leases.drain(..many);
        }
    }

    /// The engine asks itself to take back what nobody picked up.
    fn give_back(&mut self, fresh: &[Release]) {
        if fresh.is_empty() || self.log.is_none() {
            return;
        }
        let command = WorkCommand { release: fresh.to_vec(), ..WorkCommand::default() };
        let call = Call::Work { ask: command.into(), wait_ms: 0, key: None };
        self.inbox.push(Taken { number: None, call, gone: false, rests: false });
    }

    /// The engine fails jobs whose payloads it cannot hand out.
    fn fail_damaged(&mut self, heard: &Reply, expected: &Reply) {
        let (Reply::Worked(heard), Reply::Worked(expected)) = (heard, expected) else { return };
        if heard.damaged.is_empty() {
            return;
        }
        self.coverage.note("damage", "a job is failed because its payload is damaged");
        let fail = heard.damaged.iter().filter_map(|(id, why)| {
            let (job, _) = expected.leased.iter().find(|(job, _)| job.id == *id)?;
            Some(Fail {
                id: *id,
                token: job.token,
                message: why.clone(),
                kind: Some(PAYLOAD_DAMAGED.into()),
                dependency: None,
                retry_after_ms: None,
                fatal: true,
            })
        });
        let command = WorkCommand { fail: fail.collect(), ..WorkCommand::default() };
        let call = Call::Work { ask: command.into(), wait_ms: 0, key: None };
        self.inbox.push(Taken { number: None, call, gone: false, rests: false });
    }

    /// The engine gives jobs back, after a rest, whose payloads the disk does not give.
    fn hand_back_unread(&mut self, heard: &Reply, expected: &Reply) {
        let (Reply::Worked(heard), Reply::Worked(expected)) = (heard, expected) else { return };
        if heard.unread.is_empty() {
            return;
        }
        self.coverage.note("damage", "a job goes back because the disk refuses to read");
        let leased = expected.leased.iter().map(|(job, _)| job);
        let unread = leased.filter(|job| heard.unread.iter().any(|(id, _)| *id == job.id));
        let release = unread.map(|job| Release { id: job.id, token: job.token }).collect();
        let command = WorkCommand { release, ..WorkCommand::default() };
        let call = Call::Work { ask: command.into(), wait_ms: 0, key: None };
        self.inbox.push(Taken { number: None, call, gone: false, rests: true });
    }

    // ---- what goes wrong ----

    fn fault(&mut self) -> Result<(), String> {
        let fault = Fault::ALL[self.chance.weighted(&self.plan.faults)];
        let soon = self.disk.operations() + self.chance.between(1, 12);
        match fault {
            Fault::ProcessDies => {
                self.coverage.note("fault", "process dies");
                self.crash(Survival::Everything)
            }
            Fault::ProcessIsStopped => {
                self.coverage.note("fault", "process is stopped");
                self.stop()
            }
            Fault::PowerFails => {
                self.coverage.note("fault", "power fails");
                let survival = self.survival();
                self.crash(survival)
            }
            // Few operations write the meta file, and on it hangs whether the log can be read at all.
            Fault::PowerFailsSoon if self.chance.percent(30) => {
                self.coverage.note("fault", "power fails while the meta file is written");
                self.tell("the power will fail when the meta file is written".into());
                self.disk.crash_in(META);
                Ok(())
            }
            Fault::PowerFailsSoon => {
                self.tell(format!("the power will fail at the disk's operation {soon}"));
                self.disk.crash_at(soon);
                Ok(())
            }
            Fault::WriteFails => {
                self.tell(format!("the disk's operation {soon} will fail"));
                self.disk.fail_at(soon, std::io::ErrorKind::Other);
                Ok(())
            }
            Fault::WriteIsShort => {
                self.tell(format!("the disk's operation {soon} will fail half-way"));
                self.disk.fail_half_way_at(soon, std::io::ErrorKind::StorageFull);
                Ok(())
            }
            Fault::SyncFails => {
                self.tell("the next sync will fail".into());
                self.disk.fail_next_sync();
                Ok(())
            }
            Fault::SyncIsSlow => self.sync_is_slow(),
            Fault::BitFlips => {
                // What is being synced is not at rest.
                if self.slow.is_none() {
                    let flip = self.flips.flip(&self.disk, self.durable, &mut self.chance);
                    let flipped = flip.is_some();
                    self.note_flip(flip);
                    // Before anything else is written that could tell of what was hit.
                    if flipped && self.chance.percent(8) {
                        return self.crash(Survival::Everything);
                    }
                }
                Ok(())
            }
            Fault::DiskFillsUp => {
                self.coverage.note("fault", "disk fills up");
                let more = self.chance.between(0, 12_000);
                self.disk.limit(Some(ROOMY));
                let used = ROOMY - self.disk.free_bytes().unwrap_or(0);
                self.tell(format!("the disk has room for {more} more bytes"));
                self.disk.limit(Some(used + more));
                Ok(())
            }
        }
    }

    fn note_flip(&mut self, flip: Option<Flip>) {
        let Some(flip) = flip else { return };
        self.coverage.note("flip", flip.place.as_str());
        if matches!(flip.place, Place::Header | Place::Records | Place::Payload) {
            let segment = if flip.active { "in the last segment" } else { "in a sealed segment" };
            self.coverage.note("flip", segment);
        }
        self.tell(format!("a bit flips: {} in {}, byte {}", flip.place.as_str(), flip.file, flip.offset));
    }

    /// What is in flight becomes durable, and the log is closed. If all of it goes well, the next opening finds it so.
    fn stop(&mut self) -> Result<(), String> {
        self.sync_ends()?;
        self.tell("the log is being closed".into());
        let log = self.log.clone().ok_or("the log is open between two events")?;
        while log.step() {}
        self.log_step()?;
        // After a failure, or a crash, it is another one.
        if !self.log.as_ref().is_some_and(|now| Arc::ptr_eq(now, &log)) {
            return Ok(());
        }
        self.is_closed = log.close().is_ok();
        drop(log);
        let survival = if self.is_closed { self.survival() } else { Survival::Everything };
        if self.disk.list().is_err() {
            return self.look_for_crash();
        }
        self.crash(survival)
    }

    fn survival(&mut self) -> Survival {
        match self.chance.below(4) {
            0 => Survival::Nothing,
            _ => Survival::Some(self.chance.number()),
        }
    }

    /// If the disk's machine has crashed, so has the engine.
    fn look_for_crash(&mut self) -> Result<(), String> {
        if self.disk.list().is_ok() {
            return Ok(());
        }
        // Or it was only the process that died there.
        if self.chance.percent(25) && !self.faults_end {
            self.coverage.note("fault", "process dies at an operation");
            return self.crash(Survival::Everything);
        }
        self.coverage.note("fault", "power fails at an operation");
        let survival = self.survival();
        self.crash(survival)
    }

    fn crash(&mut self, survival: Survival) -> Result<(), String> {
        self.tell(format!("the machine crashes, {survival:?} survives"));
        self.solo.crash();
        self.log = None;
        self.end_callers(false)?;
        let after = self.disk.after_crash(survival);
        self.disk.die();
        self.let_sync_go();
        self.disk = after;
        self.recover()
    }

    /// The log has failed; the engine drops it and opens it anew, on the same disk. With `turn`, the shard has not noticed
    /// yet.
    fn log_failed(&mut self, turn: bool) -> Result<(), String> {
        self.coverage.note("recovery", "after a failed log");
        if turn {
            self.next_time();
            if self.solo.turn(self.clock.now()).is_ok() {
                return Err("a turn goes well on a log that has failed".into());
            }
        }
        self.let_sync_go();
        self.log = None;
        self.end_callers(!turn)?;
        if self.plan.disk_bytes > 0 {
            // Somebody makes room.
            self.plan.disk_bytes += self.plan.disk_bytes / 8;
        }
        self.limit_disk();
        // As the next opening in the same process finds it: what was written is seen, synced or not.
        self.disk = self.disk.after_crash(Survival::Everything);
        self.recover()
    }

    /// Everybody who waits hears that nobody knows, or that nothing was done. In a turn that failed the twin does not know
    /// which.
    fn end_callers(&mut self, in_turn: bool) -> Result<(), String> {
        let waiters = std::mem::take(&mut self.twin.waiters);
        self.inbox.clear();
        self.held.clear();
        for mut pending in std::mem::take(&mut self.pending) {
            let Some(asked) = &mut pending.asked else { continue };
            let heard =
                poll(asked).ok_or_else(|| format!("#{} is left without an answer", pending.number))?;
            let settled =
                waiters.iter().any(|waiter| waiter.number == pending.number && waiter.settled.is_some());
            let unknown = match &pending.stage {
                Stage::Decided => true,
                Stage::InInbox => false,
                Stage::Waiting => settled,
            };
            let expected = if unknown { Reply::Unknown } else { Reply::Unavailable };
            let may_be_either = in_turn && !matches!(pending.stage, Stage::Decided);
            let fits =
                heard == expected || (may_be_either && matches!(heard, Reply::Unknown | Reply::Unavailable));
            if !fits {
                return Err(format!(
                    "#{} heard {heard:?} when the shard went, expected {expected:?}",
                    pending.number
                ));
            }
            self.hear(pending.number, &pending.call, &heard);
        }
        Ok(())
    }

    /// Opens what is on the disk, and holds it against the twins of its frames.
    fn recover(&mut self) -> Result<(), String> {
        let frames = self.frames.iter().map(|kept| (kept.frame, &kept.twin));
        self.published.before_recovery(&self.engine, self.durable, frames)?;
        self.queues.before_recovery(&self.engine)?;
        if self.chance.percent(10) && !self.faults_end {
            match self.chance.percent(30) {
                true => self.disk.crash_in(META),
                false => self.disk.crash_at(self.disk.operations() + self.chance.between(1, 12)),
            }
        }
        self.refuses = 0;
        self.disk.fail_reads(0, 0);
        if self.plan.reads_fail > 0 && self.chance.percent(10) && !self.faults_end {
            self.disk.fail_reads(self.chance.below(12), 1);
        }
        let failed_reads = self.disk.failed_reads();
        self.flips.forget_overwritten(&self.disk);
        let mut unclaimed = self.flips.unclaimed(&self.disk);
        let nameless: Vec<u64> =
            unclaimed.iter().copied().filter(|&frame| self.flips.is_nameless(frame)).collect();
        // A recovery that ended before it could tell what it had cut off.
        let mut interrupted = false;
        let (log, recovery) = loop {
            let before = self.flips.may_stop().then(|| self.disk_digest());
            match LocalLog::open_stepped(Arc::new(self.disk.clone()), log_options(&self.plan)) {
                Ok(Opened { log, recovery }) => break (Arc::new(log), recovery),
                Err(OpenError::Io { .. }) if self.disk.list().is_err() => {
                    self.coverage.note("fault", "power fails in a recovery");
                    interrupted = true;
                    let survival = self.survival();
                    self.tell(format!("the machine crashes while it recovers, {survival:?} survives"));
                    self.disk = self.disk.after_crash(survival);
                    self.flips.forget_overwritten(&self.disk);
                    unclaimed.extend(self.flips.unclaimed(&self.disk));
                }
                Err(OpenError::Io { .. }) if self.disk.failed_reads() > failed_reads => {
                    self.coverage.note("recovery", "a start stops as the disk refuses to read");
                    self.tell("the log does not open: the disk refuses to read".into());
                    interrupted = true;
                    self.disk.fail_reads(0, 0);
                }
                Err(error) => {
                    self.tell(format!("the log does not open: {error}"));
                    if before.is_some_and(|before| before != self.disk_digest()) {
                        return Err(format!("the log does not open, and something is changed: {error}"));
                    }
                    let place = self.flips.stopped(&error, &self.disk)?;
                    self.coverage.note("damage", &format!("a start stops: {}", place.as_str()));
                }
            }
        };
        self.disk.fail_reads(0, 0);
        self.flips.started(&recovery, &self.disk)?;
        // What the recovery did not come to may come later.
        self.limit_disk();
        let last = recovery.last.0;
        let what = if last > self.durable { "unacknowledged kept" } else { "unacknowledged lost" };
        if last > self.durable || self.last > self.durable {
            self.coverage.note("recovery", what);
        }
        let recovery_closed = recovery.closed;
        let was_closed = std::mem::take(&mut self.is_closed);
        if recovery.closed {
            self.coverage.note("recovery", "closed log");
        }
        // Only a log that holds all it was given is noted as closed; the note may be durable though closing did not go well.
        if (recovery.closed || was_closed) && last != self.last && unclaimed.is_empty() {
            return Err(format!("a closed log ends at frame {last} and was given {}", self.last));
        }
        if recovery.torn.is_some() {
            self.coverage.note("recovery", "torn tail");
        }
        if recovery.first.0 > 1 {
            self.coverage.note("recovery", "trimmed log");
        }
        self.tell(format!(
            "recovered: frames {} to {last}, {} was acknowledged, torn: {}",
            recovery.first,
            self.durable,
            recovery.torn.is_some()
        ));
        if last < self.durable {
            // Nothing on the disk tells a frame that was damaged from one that was never synced; but it is told of.
            let told = recovery.torn.is_some() || interrupted || nameless.contains(&(last + 1));
            if !(unclaimed.contains(&(last + 1)) && told) {
                return Err(format!(
                    "frame {} was acknowledged, and {last} is the last one found",
                    self.durable
                ));
            }
            self.coverage.note("damage", "the last frames are reported as torn");
        }
        let found = self.frames.iter().position(|kept| kept.frame == last);
        let found = found.ok_or_else(|| format!("frame {last} was found and never written"))?;
        self.twin = self.frames[found].twin.clone();
        if last < self.durable {
            self.token_max = self.twin.last_token();
        }
        let opened = Opened { log: Arc::clone(&log) as Arc<dyn Log>, recovery };
        self.solo.reopen(opened).map_err(|error| format!("the log does not replay: {error}"))?;
        self.log = Some(log);
        let state = self.solo.state().ok_or("the shard is not open")?;
        judge(state, &self.twin).map_err(|why| format!("after the recovery of frame {last}: {why}"))?;
        self.progress.recovered(state, &self.twin, last < self.durable);
        if last < self.durable {
            self.published.lost(&self.engine);
        }
        self.twin.adopt_order(&state.places());
        (self.last, self.durable, self.first) = (last, last, 0);
        self.published.recovered(last);
        self.queues.replayed(state.now().0, &self.twin);
        (self.room, self.was_full) = (Room::new(self.plan.disk_reserve_bytes), false);
        self.frames = VecDeque::from([Kept { frame: last, claim: last, twin: self.twin.clone() }]);
        let now = self.clock.now();
        (self.time, self.steady_ms) = (state.now().0.max(now.wall.0), now.steady_ms);
        self.look_at_published()?;
        // One slot says that the log was closed; the other, that it is open again, hangs on its being readable.
        if recovery_closed && self.plan.flips() && self.chance.percent(30) && self.disk.list().is_ok() {
            let flip = self.flips.flip_in(Place::Meta, &self.disk, self.durable, &mut self.chance);
            self.note_flip(flip);
        }
        self.look_for_crash()
    }

    /// Gives the disk the room it has in this world.
    fn limit_disk(&self) {
        self.disk.limit((self.plan.disk_bytes > 0).then_some(self.plan.disk_bytes));
    }

    // ---- the end ----

    /// Faults stop, everything that is held is let go, and all jobs must come to their ends.
    ///
    /// # Errors
    /// What was not as it must be, in words.
    pub fn drain(&mut self, step: u64) -> Result<(), String> {
        self.chance = Chance::of_step(self.seed, step);
        self.payloads = step * PAYLOADS_OF_STEP;
        self.tell("the faults end".into());
        self.faults_end = true;
        self.plan.disk_bytes = 0;
        self.pending.iter_mut().for_each(|pending| pending.asked = None);
        for taken in &mut self.inbox {
            taken.gone = true;
        }
        let numbers: Vec<CallNumber> = self.twin.waiters.iter().map(|waiter| waiter.number).collect();
        numbers.into_iter().for_each(|number| self.twin.gone(number));
        let survival = self.survival();
        self.crash(survival)?;
        self.look_at_all()?;
        for _ in 0..400 {
            self.let_go()?;
            if self.twin.unfinished() == 0 && self.twin.pools_are_settled() {
                if let Some(place) = self.twin.waits_for_nothing() {
                    return Err(format!("this one waits at the end for no reason: {place:?}"));
                }
                self.log_gets_short()?;
                self.crash(Survival::Everything)?;
                return self.look_at_all();
            }
            self.work_off()?;
            if let Some((due, _)) = self.twin.next_due() {
                self.clock.pass(due.saturating_sub(self.time).min(100_000_000));
            }
            self.settle_down()?;
        }
        let held = self.twin.pools_are_settled();
        Err(format!("{} jobs never come to their ends (pools have: {held})", self.twin.unfinished()))
    }

    /// With time, and nobody asking anything, a log comes down to a few times what is alive in it: no job pins it.
    fn log_gets_short(&mut self) -> Result<(), String> {
        let bytes = |world: &Self| world.log.as_ref().map_or(0, |log| log.status().bytes);
        let before = bytes(self);
        let mut passed = 0;
        loop {
            let most = LOG_PER_ALIVE * self.twin.alive_bytes() + 2 * self.plan.slack_bytes + LOG_SLACK_BYTES;
            if bytes(self) <= most {
                if passed > 0 {
                    self.coverage.note("recovery", "a log gets short");
                }
                return Ok(());
            }
            if passed == QUIET_S {
                return Err(format!(
                    "the log has {} bytes, {before} before nobody asked anything, and must have {most} at most",
                    bytes(self)
                ));
            }
            passed += 1;
            self.clock.pass(1_000);
            // A walk makes a step each time it is asked after its pause.
            for _ in 0..STEPS_OF_WALK {
                self.clock.pass(20);
                self.settle_down()?;
            }
        }
    }

    /// Resumes every queue and every ordering key that holds something up.
    fn let_go(&mut self) -> Result<(), String> {
        let pause = |queue: &str, ordering_key| {
            let pause = tidegate_core::command::Pause { queue: queue.into(), ordering_key, paused: false };
            Call::Pause { pause, key: None }
        };
        let held = self.twin.keys.iter().filter(|(_, held)| held.paused || held.parked_by != 0);
        let keys = held.map(|((queue, key), _)| pause(queue, Some(key.clone())));
        let queues = self.twin.queues.iter().filter(|(_, queue)| queue.paused);
        let calls: Vec<Call> = keys.chain(queues.map(|(name, _)| pause(name, None))).collect();
        self.ask_all(calls)
    }

    fn work_off(&mut self) -> Result<(), String> {
        let lease = tidegate_core::command::Lease {
            queues: self.twin.queues.keys().cloned().collect(),
            max: 100,
            worker: "the last".into(),
            ..Default::default()
        };
        let command = WorkCommand { lease: Some(lease), ..WorkCommand::default() };
        self.leases.clear();
        self.ask_all(vec![Call::Work { ask: command.into(), wait_ms: 0, key: None }])?;
        let complete = std::mem::take(&mut self.leases).into_iter();
        let complete: Vec<_> = complete
            .map(|(id, token)| tidegate_core::command::Complete { id, token, result_len: 0 })
            .collect();
        let calls = complete.chunks(20).map(|complete| {
            let command = WorkCommand { complete: complete.to_vec(), ..WorkCommand::default() };
            Call::Work { ask: command.into(), wait_ms: 0, key: None }
        });
        let calls: Vec<Call> = calls.collect();
        self.ask_all(calls)
    }

    fn ask_all(&mut self, calls: Vec<Call>) -> Result<(), String> {
        for call in calls {
            if self.inbox.len() >= self.plan.inbox_calls_max {
                self.settle_down()?;
            }
            self.ask(call)?;
        }
        self.settle_down()
    }

    /// Somebody looks at every job, and at what it brings and has left.
    fn look_at_all(&mut self) -> Result<(), String> {
        self.coverage.note("fault", "somebody looks at everything");
        self.tell("somebody looks at all jobs".into());
        self.is_quiet = true;
        let all: Vec<u64> = self.twin.jobs.keys().copied().collect();
        let looks = all.into_iter().map(|job| Call::Job { id: JobId::new(0, job), wait_ms: 0 });
        self.ask_all(looks.collect())?;
        self.is_quiet = false;
        Ok(())
    }

    /// What was written anew is read from its new home once the old one has gone: now and then all of it at once, by somebody who looks or
    /// by a start.
    fn look_after_trim(&mut self) -> Result<(), String> {
        let first = self.log.as_ref().map_or(0, |log| log.status().first.0);
        if first <= self.first || self.slow.is_some() {
            return Ok(());
        }
        self.first = first;
        match self.chance.below(20) {
            0..5 => self.look_at_all(),
            5..9 => {
                self.coverage.note("fault", "process dies after a trim");
                self.crash(Survival::Everything)
            }
            _ => Ok(()),
        }
    }

    /// Turns and log steps until nothing is under way.
    fn settle_down(&mut self) -> Result<(), String> {
        for _ in 0..50 {
            self.turn()?;
            while self.log.as_ref().is_some_and(|log| log.step()) {}
            self.log_step()?;
            if self.inbox.is_empty() && self.held.is_empty() {
                return Ok(());
            }
        }
        Err("calls stay under way though nothing is wrong".into())
    }

    fn tell(&mut self, line: String) {
        if self.is_quiet && line.starts_with('#') {
            return;
        }
        if self.story.len() >= STORY_LINES {
            self.story.pop_front();
        }
        self.story.push_back(line);
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }
}

/// A call that no frame has room for.
fn too_large() -> Call {
    static PAYLOAD: OnceLock<Bytes> = OnceLock::new();
    let payload = PAYLOAD.get_or_init(|| vec![b' '; CALL_BYTES + 1].into()).clone();
    let mut command = tidegate_core::command::Enqueue::new("queue-0");
    let kind = command.kind("kind-0");
    command.jobs.push(NewJob { kind, ..NewJob::new(0) });
    Call::Enqueue { ask: Enqueue { command, payloads: vec![Envelope::json(payload)] }, key: None }
}

fn log_options(plan: &Plan) -> LocalOptions {
    LocalOptions { segment_bytes: 4_096, recent_bytes: 2_000, spares: plan.spares, identity: Some(7) }
}

fn poll(asked: &mut Asked) -> Option<Reply> {
    match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(reply) => Some(reply),
        Poll::Pending => None,
    }
}

fn digest_of(bytes: &[u8]) -> u64 {
    let mut digest = DIGEST;
    mix(&mut digest, bytes);
    digest
}

/// FNV-1a.
fn mix(digest: &mut u64, bytes: &[u8]) {
    for byte in bytes {
        *digest = (*digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

fn cut(text: &str) -> String {
    const MOST: usize = 600;
    match text.len() {
        0..=MOST => text.to_owned(),
        _ => format!("{} …", &text[..text.floor_char_boundary(MOST)]),
    }
}

/// A call in few words: payloads are left out.
fn brief(call: &Call) -> String {
    let mut text = String::new();
    let key = call.key().map_or_else(String::new, |key| format!(" [{}]", key.key));
    let _ = match call {
        Call::Enqueue { ask, .. } => {
            write!(
                text,
                "enqueue{key} into {}: {}",
                ask.command.queue,
                cut(&format!("{:?}", ask.command.jobs))
            )
        }
        Call::Work { ask, wait_ms, .. } => write!(text, "work{key}, waiting {wait_ms} ms: {:?}", ask.command),
        Call::Transact { ask, .. } => write!(text, "transact{key}: {:?}", ask.command),
        Call::Edit { id, .. } => write!(text, "edit{key} {id}"),
        other => write!(text, "{other:?}"),
    };
    text
}
