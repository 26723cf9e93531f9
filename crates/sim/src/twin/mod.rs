//! A naive twin of one shard: plain maps, recounted and searched from end to end, obviously right and slow.
//!
//! It is told what a turn was given, in the order in which the turn took it, and says what each caller must hear. It knows
//! the rules of `docs/job-life.md`, nothing of records, logs or disks. A copy of it is kept for every frame: after a crash
//! the shard must be, to the letter, the twin of some frame that is no older than what was acknowledged.
//!
//! | file | what it is |
//! |---|---|
//! | `job` | a job, a queue, and what is kept beside them |
//! | `keys` | ordering keys and the ready lists |
//! | `enqueue`, `lease`, `settle`, `transaction`, `dead`, `queue` | one family of commands each |
//! | `pools/` | pools, grants, lines, stories |
//! | `time` | what time alone brings |
//! | `waiters` | long polls |
//! | `views` | what can be seen |
//!
//! What chance decides follows from the log's seed by the hash that the core uses. What no rule decides,
//! which of several things due in the same millisecond comes first after a recovery, is taken from the recovered state
//! ([`Twin::adopt_order`]).

mod dead;
mod enqueue;
mod job;
mod keys;
mod lease;
pub mod pools;
mod queue;
mod settle;
mod time;
mod transaction;
mod views;
mod waiters;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::command::{IdempotencyKey, Release};
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::pool::refusal::Why;
use tidegate_core::state::{Places, StateLimits};
use tidegate_core::{JobId, limits};
use tidegate_engine::PoolAnswer;

use crate::call::{Call, Reply, Worked};
use crate::pools::call::{PoolCall, PoolReply};
pub use job::{Job, Kept, KeyState, Queue, Redriving, Said, UniqueHolder};
pub use waiters::Waiter;

/// Names a call among all calls of a simulation.
pub type CallNumber = u64;

/// A call as a turn takes it.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Which call; none for what the engine asks of itself.
    pub number: Option<CallNumber>,
    /// What is asked.
    pub call: Call,
    /// Whether its caller had gone before the turn.
    pub gone: bool,
    /// Whether it is done only after a rest: what the engine asks of itself when a disk has refused to read.
    pub rests: bool,
}

/// What a call must hear.
#[derive(Clone, Debug)]
pub struct Told {
    /// Which call.
    pub number: CallNumber,
    /// What.
    pub reply: Reply,
    /// Leases that go back if the caller does not take the answer.
    pub fresh: Vec<Release>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Twin {
    seed: u64,
    limits: StateLimits,
    waiters_max: usize,
    /// The turn's time.
    pub now: u64,
    /// All jobs by sequence.
    pub jobs: BTreeMap<u64, Job>,
    /// All queues by name.
    pub queues: BTreeMap<String, Queue>,
    /// Ordering keys that somebody paused or a dead job parked, by queue and key.
    pub keys: BTreeMap<(String, String), KeyState>,
    /// Unique keys that are held, by queue and key.
    pub uniques: BTreeMap<(String, String), UniqueHolder>,
    /// Kept answers by idempotency key.
    pub answers: BTreeMap<String, Kept>,
    /// All of pools.
    pub pools: pools::Pools,
    /// The last frame before the turn, as the world says.
    pub last_frame: u64,
    next_job: u64,
    next_token: u64,
    next_redrive: u64,
    /// Rises with everything that has a place among others like it.
    stamp: u64,
    /// Whether what is new is refused in this turn because the disk is nearly full.
    disk_full: bool,
    /// Who waits, in the order of their coming.
    pub waiters: Vec<Waiter>,
    /// Queues that have got something in this turn, and who of those that wait for it was looked at last.
    readied: BTreeMap<String, CallNumber>,
    ended: Vec<u64>,
    told: Vec<Told>,
    /// Which operations of the call under way are swaps, and what they would give.
    swaps: Vec<(usize, u64)>,
    /// Leases that go back, and when.
    returns: Vec<(u64, Release)>,
}

impl Twin {
    /// The twin of an empty shard.
    #[must_use]
    pub fn new(seed: u64, limits: StateLimits, waiters_max: usize) -> Self {
        Self {
            seed,
            limits,
            waiters_max,
            now: 0,
            jobs: BTreeMap::new(),
            queues: BTreeMap::new(),
            keys: BTreeMap::new(),
            uniques: BTreeMap::new(),
            answers: BTreeMap::new(),
            pools: pools::Pools::default(),
            last_frame: 0,
            next_job: 1,
            next_token: 1,
            next_redrive: 1,
            stamp: 1,
            disk_full: false,
            waiters: Vec::new(),
            readied: BTreeMap::new(),
            ended: Vec::new(),
            told: Vec::new(),
            swaps: Vec::new(),
            returns: Vec::new(),
        }
    }

    /// One turn: time does its work, each call is decided, who waits is served. Returns who hears what, in that order.
    pub fn turn(&mut self, now: u64, disk_full: bool, calls: &[Taken]) -> Vec<Told> {
        self.now = now;
        self.disk_full = disk_full;
        self.uniques.retain(|_, holder| holder.expires_at == 0 || holder.expires_at > now);
        self.answers.retain(|_, kept| kept.expires_at > now);
        self.forget_old_pools();
        self.expire();
        self.hand_back();
        for taken in calls {
            self.take(taken);
        }
        self.serve_waiters();
        self.readied.clear();
        std::mem::take(&mut self.told)
    }

    /// Grants there may be.
    #[must_use]
    pub const fn grants_max(&self) -> usize {
        self.limits.pools.grants_max as usize
    }

    /// The last token that was given.
    #[must_use]
    pub const fn last_token(&self) -> u64 {
        self.next_token - 1
    }

    /// What a crash takes: everybody who waits.
    pub fn forget_callers(&mut self) {
        self.waiters.clear();
        self.readied.clear();
        self.ended.clear();
        self.told.clear();
        self.returns.clear();
    }

    fn take(&mut self, taken: &Taken) {
        let Taken { number, call, gone, rests } = taken;
        let reply = match call {
            Call::Work { ask, .. } if *rests => return self.hand_back_later(&ask.command.release),
            Call::Job { id, wait_ms } => return self.ask_job(*number, *id, *wait_ms),
            Call::List { filter, cursor, limit } => self.list(filter, *cursor, *limit),
            Call::Queue { name } => Reply::Queue(self.seen_queue(name)),
            Call::Causes { queue } => Reply::Causes(self.causes(queue)),
            Call::Work { ask, wait_ms, key } if ask.command.lease.is_some() && *wait_ms > 0 => {
                return self.work_with_wait(*number, ask, *wait_ms, key.as_ref(), *gone);
            }
            Call::Pools { ask, .. } if !ask.changes() => Reply::Pools(Box::new(self.read_pools(ask))),
            _ if self.disk_full && self.needs_room(call) && !self.remembers(call.key()) => Reply::DiskFull,
            _ => {
                let (said, replayed) = self.decide(call, call.key());
                return self.tell_said(*number, said, replayed, !replayed);
            }
        };
        self.tell(*number, reply, Vec::new());
    }

    /// Whether a call may add what must be kept, which a nearly full disk has no room for.
    fn needs_room(&self, call: &Call) -> bool {
        let config_of = |pool: &String| self.pools.pools.get(pool).map(|pool| &pool.config);
        match call {
            Call::Enqueue { .. } | Call::Edit { .. } => true,
            Call::Configure { queue, config, .. } => {
                self.queues.get(queue).is_none_or(|queue| queue.config != *config)
            }
            Call::Pools { ask: PoolCall::Configure { pool, config, .. }, .. } => {
                config_of(pool) != Some(config)
            }
            Call::Pools { ask: PoolCall::Resize { pool, capacity }, .. } => {
                config_of(pool).is_some_and(|config| config.capacity != *capacity)
            }
            Call::Pools { ask, .. } => ask.takes(),
            Call::Transact { ask, .. } => ask.command.enqueues(),
            Call::Pause { pause, .. } => pause.paused && pause.ordering_key.is_some(),
            _ => false,
        }
    }

    fn remembers(&self, key: Option<&IdempotencyKey>) -> bool {
        key.is_some_and(|key| self.answers.contains_key(&key.key))
    }

    fn tell(&mut self, number: Option<CallNumber>, reply: Reply, fresh: Vec<Release>) {
        if let Some(number) = number {
            self.told.push(Told { number, reply, fresh });
        }
    }

    /// Tells what was said. Jobs that were leased just now go back if they are not picked up.
    fn tell_said(&mut self, number: Option<CallNumber>, said: Said, replayed: bool, leased_now: bool) {
        let fresh = match &said {
            Said::Worked(_, leases) if leased_now => leases
                .iter()
                .map(|&(job, token)| Release { id: JobId::new(0, job), token: tidegate_core::Token(token) })
                .collect(),
            // Whom the repeated answer reaches has them.
            Said::Worked(_, leases) => {
                self.returns
                    .retain(|(_, release)| !leases.iter().any(|(_, token)| *token == release.token.0));
                Vec::new()
            }
            _ => Vec::new(),
        };
        let reply = self.reply(said, replayed);
        self.tell(number, reply, fresh);
    }

    /// Decides a command, under its key if it has one.
    fn decide(&mut self, call: &Call, key: Option<&IdempotencyKey>) -> (Said, bool) {
        self.swaps = pools::swaps_of(call);
        let Some(key) = key else { return (self.decide_command(call), false) };
        if let Some(kept) = self.answers.get(&key.key) {
            if kept.fingerprint != key.fingerprint {
                return (Said::Refused(Refusal::IdempotencyMismatch), false);
            }
            let said = kept.said.clone();
            return (self.recalled(said), true);
        }
        let dropped = match self.room_for_answer() {
            Ok(dropped) => dropped,
            Err(refusal) => return (Said::Refused(refusal), false),
        };
        let before = self.disk_full.then(|| self.what_is());
        let said = self.decide_command(call);
        // On a nearly full disk only what has changed something is remembered. That a lease is prolonged to where it ends already
        // is a change too.
        let is_spared = before.is_some_and(|before| before == self.what_is()) && !prolongs(&said);
        if !says_not_now(&said) && !is_spared {
            for key in dropped {
                self.answers.remove(&key);
            }
            let kept = Kept {
                fingerprint: key.fingerprint,
                kept_at: self.now,
                expires_at: self.now + self.limits.idempotency_ms,
                stamp: self.next_stamp(),
                said: said.clone(),
            };
            self.answers.insert(key.key.clone(), kept);
        }
        (said, false)
    }

    /// All that a command can change, as text.
    fn what_is(&self) -> String {
        let keys: Vec<_> = self.keys.iter().filter(|(_, key)| key.paused || key.parked_by != 0).collect();
        format!("{:?}", (&self.jobs, &self.queues, keys, &self.uniques, &self.pools))
    }

    fn decide_command(&mut self, call: &Call) -> Said {
        match call {
            Call::Enqueue { ask, .. } => self.enqueue(ask),
            Call::Work { ask, .. } => self.work(ask),
            Call::Transact { ask, .. } => self.transact(ask),
            Call::Cancel { id, .. } => self.cancel(*id),
            Call::Edit { id, payload, .. } => self.edit(*id, payload),
            Call::Configure { queue, config, .. } => self.configure(queue, *config),
            Call::Pause { pause, .. } => self.pause(pause),
            Call::Redrive { redrive, .. } => self.redrive(redrive),
            Call::DeleteDead { filter, .. } => self.delete_dead(filter),
            Call::Pools { ask: PoolCall::Configure { pool, config, if_version }, .. } => {
                self.configure_pool(pool, config, *if_version)
            }
            Call::Pools { ask: PoolCall::Resize { pool, capacity }, .. } => self.resize_pool(pool, *capacity),
            Call::Pools { ask: PoolCall::Delete { pool }, .. } => self.delete_pool(pool),
            Call::Pools { ask: PoolCall::Operations(operations), .. } => self.operate(operations),
            Call::Pools { .. }
            | Call::Job { .. }
            | Call::List { .. }
            | Call::Queue { .. }
            | Call::Causes { .. } => {
                unreachable!("reads decide nothing")
            }
        }
    }

    /// A kept answer as it is given again: a job is shown only while that very lease stands.
    fn recalled(&self, said: Said) -> Said {
        match said {
            Said::Worked(worked, mut leases) => {
                leases.retain(|(job, token)| self.leased_by(JobId::new(0, *job), *token).is_ok());
                Said::Worked(worked, leases)
            }
            said => said,
        }
    }

    /// The keys whose answers must go before their time, so that there is room for another.
    fn room_for_answer(&self) -> Result<Vec<String>, Refusal> {
        let mut oldest: Vec<(u64, u64, &String)> =
            self.answers.iter().map(|(key, kept)| (kept.kept_at, kept.stamp, key)).collect();
        oldest.sort_unstable();
        let mut dropped = Vec::new();
        for (kept_at, _, key) in oldest {
            if self.answers.len() - dropped.len() < self.limits.idempotency_records_max {
                break;
            }
            let free_at = kept_at + limits::IDEMPOTENCY_MS_MIN;
            if free_at > self.now {
                return Err(Refusal::IdempotencyFull(tidegate_core::Time(free_at)));
            }
            dropped.push(key.clone());
        }
        Ok(dropped)
    }

    /// What a caller hears of it.
    fn reply(&self, said: Said, replayed: bool) -> Reply {
        match said {
            Said::Items(items) if items.iter().any(|item| matches!(item, Item::Pool(_))) => {
                let grants = self.grants_of(&items);
                Reply::Pools(Box::new(PoolReply::Transacted { items, grants, replayed }))
            }
            Said::Items(items) => Reply::Items { items, replayed },
            Said::Pooled(items) => {
                let both = self.grants_of(&items).into_iter().zip(items);
                let answers = both.map(|(grant, item)| PoolAnswer { item, grant }).collect();
                Reply::Pools(Box::new(PoolReply::Answers { answers, replayed }))
            }
            Said::ConditionRefused { condition, refusal } => {
                Reply::ConditionRefused { condition, refusal, replayed }
            }
            Said::Item(item) => Reply::Item { item, replayed },
            Said::Done => Reply::Done { replayed },
            Said::Redriving(number) => Reply::Redriving { view: self.redrive_view(number), replayed },
            Said::Deleted { deleted, more } => Reply::Deleted { deleted, more, replayed },
            Said::Refused(refusal) => Reply::Refused { refusal, replayed },
            Said::OperationRefused { operation, refusal } => {
                Reply::OperationRefused { operation, refusal, replayed }
            }
            Said::Worked(worked, leases) => {
                let leased = leases.iter().filter_map(|(job, _)| self.leased_job(*job)).collect();
                Reply::Worked(Box::new(Worked { leased, replayed, ..worked }))
            }
        }
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// A draw from the log's seed, the same in every replay: the core's hash of two numbers.
    fn chance(&self, a: u64, b: u64) -> u64 {
        let mut x = self.seed.wrapping_add(a.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(b);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Takes over, from a recovered state, what no rule decides: the order of things whose moments are the same.
    pub fn adopt_order(&mut self, places: &Places) {
        for &sequence in &places.timers {
            let stamp = self.next_stamp();
            if let Some(job) = self.jobs.get_mut(&sequence) {
                job.timer_stamp = stamp;
                job.timer_due = job.time.max(self.now);
            }
        }
        for &sequence in &places.expiries {
            let stamp = self.next_stamp();
            if let Some(job) = self.jobs.get_mut(&sequence) {
                job.expiry_stamp = stamp;
                job.expiry_due = job.expires_at.max(self.now);
            }
        }
        for &sequence in &places.ended {
            let stamp = self.next_stamp();
            if let Some(job) = self.jobs.get_mut(&sequence) {
                job.end_stamp = stamp;
            }
        }
        for key in &places.answers {
            let stamp = self.next_stamp();
            if let Some(kept) = self.answers.get_mut(key) {
                kept.stamp = stamp;
            }
        }
    }

    /// Jobs that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.jobs.values().filter(|job| !job.state.has_ended()).count()
    }

    /// Names that jobs use as ordering keys, with their queues.
    #[must_use]
    pub fn ordering_keys(&self) -> BTreeSet<(String, String)> {
        let named = self.jobs.values().filter_map(|job| Some((job.queue.clone(), job.key.clone()?)));
        named.chain(self.keys.keys().cloned()).collect()
    }
}

/// Whether a lease was prolonged.
fn prolongs(said: &Said) -> bool {
    matches!(said, Said::Worked(worked, _) if worked.extend.iter().any(|item| matches!(item, Item::Is { .. })))
}

/// Whether an answer only says that there was no room or no work.
fn says_not_now(said: &Said) -> bool {
    let not_now = |refusal: &Refusal| match refusal {
        Refusal::QueueFull(_) | Refusal::ShardFull(_) | Refusal::TooManyQueues | Refusal::TooManyKinds => {
            true
        }
        Refusal::Pool(refusal) => {
            matches!(refusal.why, Why::TooManyPools | Why::TooManyHolders | Why::TooManyGrants)
        }
        _ => false,
    };
    match said {
        Said::Refused(refusal) | Said::OperationRefused { refusal, .. } => not_now(refusal),
        Said::Items(items) | Said::Pooled(items) => {
            items.iter().all(|item| matches!(item, Item::Refused(refusal) if not_now(refusal)))
                && !items.is_empty()
        }
        Said::Worked(worked, leases) => *worked == Worked::default() && leases.is_empty(),
        _ => false,
    }
}
