//! The truth of one shard.
//!
//! [`State`] holds jobs, queues, keys and kept answers. `apply` (in `apply/`) is the only code that changes them; `decide`
//! (in `decide/`) reads, and writes down what follows; `expire` is the same for what time alone brings; `views` shows;
//! `walk` writes living things anew so that the log's head can be trimmed.
//!
//! Two kinds of change happen outside records: the timing wheels move on with the turn's time, which cannot be seen from
//! outside; and what is remembered for a time alone (answers under idempotency keys, stories, grants that ended, draws) goes
//! when that is over, and is not shown from that moment on.

mod apply;
mod cause;
mod decide;
mod digest;
mod expire;
mod jobs;
mod key;
mod lists;
mod paged;
mod pools;
mod queue;
mod table;
mod views;
mod walk;
mod wheel;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{JobId, Time};
use crate::limits;
use crate::outcome::Outcome;
use crate::record::Record;
use crate::view::JobState;

use cause::CauseEntry;
use jobs::{Jobs, Slot};
use key::Key;
use lists::{ListId, Lists};
use pools::Pools;
use queue::Queue;
use table::Table;
use wheel::{WHEEL_LISTS, Wheel};

pub use digest::{Places, Unseen};
pub use walk::{Step, Walk};

/// Takes the records of a turn as they are decided.
pub trait Sink {
    /// A fact that has been applied and belongs into the turn's frame.
    fn record(&mut self, record: &Record);

    /// How many bytes a text that the rules made takes in the log, checksum included.
    fn made_len(&self, text: &str) -> u32 {
        text.len() as u32
    }
}

impl Sink for Vec<Record> {
    fn record(&mut self, record: &Record) {
        self.push(record.clone());
    }
}

/// In [`Turn::placed`]: the first of the texts that the rules made. No command has as many blobs.
pub const MADE: u32 = 1 << 31;

/// What a turn collects while it decides.
pub struct Turn<'a> {
    /// Where records go.
    pub sink: &'a mut dyn Sink,
    /// Where the next blob will lie in the frame's payload area. Deciding moves it on by the stored length of each
    /// blob it accepts.
    pub blob_cursor: u32,
    /// Which of the command's blobs were accepted, in the order they must be appended to the frame: indexes into an
    /// enqueue's jobs, a work's completes, a transaction's operations, or 0 for an edit; [`MADE`] and more name a text of
    /// [`made`](Self::made).
    pub placed: Vec<u32>,
    /// Texts that the rules made themselves, to be placed as payloads: the jobs that tell of offers carry them.
    pub made: Vec<String>,
    /// Queues that got ready jobs, each once: whoever waits for work there can be served now.
    pub readied: Vec<u16>,
    /// Jobs that ended.
    pub ended: Vec<JobId>,
    /// Whether there is room only for what must be: stories do not tell of refusals, and the answer of a request that changed
    /// nothing is not kept.
    pub sparing: bool,
    /// Records written.
    pub records: u64,
}

impl<'a> Turn<'a> {
    /// A turn that has decided nothing yet.
    pub fn new(sink: &'a mut dyn Sink) -> Self {
        Self {
            sink,
            blob_cursor: 0,
            placed: Vec::new(),
            made: Vec::new(),
            readied: Vec::new(),
            ended: Vec::new(),
            sparing: false,
            records: 0,
        }
    }

    /// Reserves room for a blob and returns its offset.
    fn place(&mut self, index: usize, len: u32) -> u32 {
        let offset = self.blob_cursor;
        self.blob_cursor += len;
        self.placed.push(index as u32);
        offset
    }
}

/// The answer to a request, and whether it is an earlier answer brought back by its idempotency key.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The answer.
    pub outcome: Outcome,
    /// Whether nothing happened now because it had happened before.
    pub replayed: bool,
}

/// Bounds of a shard that its owner chooses.
#[derive(Clone, Copy, Debug)]
pub struct StateLimits {
    /// Jobs, ended ones included; at most [`limits::JOBS_MAX`].
    pub jobs_max: u64,
    /// Bytes of memory that jobs and pools may take, by an estimate; new jobs, and what takes of a pool, are refused beyond it.
    pub memory_bytes_max: u64,
    /// Seed of the name tables' hashes; any number that callers cannot guess. It does not change what is decided.
    pub hash_seed: u64,
    /// How long answers are kept under their idempotency keys, in ms; at most [`limits::KEPT_MS_MAX`] counts.
    pub idempotency_ms: u64,
    /// How many of them at most.
    pub idempotency_records_max: usize,
    /// Queues; at most [`limits::QUEUES_MAX`].
    pub queues_max: usize,
    /// Kinds that jobs are of at a time; at most [`limits::KINDS_MAX`].
    pub kinds_max: usize,
    /// Bounds of what is kept of pools.
    pub pools: PoolLimits,
}

/// Bounds of what a shard keeps of pools; each at most what [`limits`] says.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Pools.
    pub pools_max: u32,
    /// Grants that have not ended.
    pub grants_max: u32,
    /// Holders in line.
    pub waiters_max: u32,
    /// Holders who have a grant or wait in a line.
    pub holders_max: u32,
    /// Entries of all stories, but for refusals and those of grants that have not ended.
    pub story_entries_max: usize,
    /// The same of one story.
    pub story_entries_per_holder: usize,
    /// Refusals of all stories.
    pub story_refusals_max: usize,
    /// Refusals of one story.
    pub story_refusals_per_holder: usize,
    /// Entries of grants that have not ended, of one story.
    pub story_living_per_holder: usize,
    /// Ended grants that are remembered.
    pub ended_grants_max: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            pools_max: limits::POOLS_MAX,
            grants_max: limits::GRANTS_MAX,
            waiters_max: limits::WAITERS_MAX,
            holders_max: limits::HOLDERS_MAX,
            story_entries_max: limits::STORY_ENTRIES_MAX,
            story_entries_per_holder: limits::STORY_ENTRIES_PER_HOLDER,
            story_refusals_max: limits::STORY_REFUSALS_MAX,
            story_refusals_per_holder: limits::STORY_REFUSALS_PER_HOLDER,
            story_living_per_holder: limits::STORY_LIVING_PER_HOLDER,
            ended_grants_max: limits::ENDED_GRANTS_MAX,
        }
    }
}

impl Default for StateLimits {
    fn default() -> Self {
        Self {
            jobs_max: limits::JOBS_MAX,
            memory_bytes_max: 16 << 30,
            hash_seed: 0,
            idempotency_ms: limits::IDEMPOTENCY_MS,
            idempotency_records_max: limits::IDEMPOTENCY_RECORDS_MAX,
            queues_max: limits::QUEUES_MAX,
            kinds_max: limits::KINDS_MAX,
            pools: PoolLimits::default(),
        }
    }
}

/// A kind of job: its name is the table's, and it is there as long as jobs of it are.
#[derive(Debug, Default)]
struct Kind {
    jobs: u64,
}

/// A worker with leased jobs.
#[derive(Debug, Default)]
struct Worker {
    leases: u64,
}

/// Who has a unique key.
#[derive(Debug)]
struct UniqueHolder {
    /// The job's sequence.
    job: u64,
    /// With a duration, until when; else 0, and the job's life says.
    expires_at: Time,
    /// The state in which the job was forgotten, if it is.
    ended: Option<JobState>,
}

/// An answer kept under an idempotency key.
#[derive(Debug)]
struct Kept {
    fingerprint: [u64; 2],
    kept_at: Time,
    expires_at: Time,
    /// The frame that holds its record.
    home: u64,
    answer: Box<[u8]>,
}

/// What puts a list back in order after a replay of a log whose head was trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OrderBy {
    /// Places and death numbers.
    Number,
    /// The moment of the end, then the sequence.
    Time,
}

/// See the module.
pub struct State {
    shard: u16,
    limits: StateLimits,
    seed: Option<u64>,

    /// Sequence of the frame that this turn's records go into.
    frame: u64,
    now: Time,

    next_job: u64,
    next_token: u64,
    next_redrive: u64,

    jobs: Jobs,
    /// Ready lanes, ended lists and the wheel's slots; nodes are jobs.
    job_lists: Lists,
    /// Scheduled jobs by start, leased ones by deadline.
    job_wheel: Wheel,
    /// Lists of lanes that were given back.
    free_lanes: Vec<ListId>,
    /// Nodes are extras.
    expiry_lists: Lists,
    expiry_wheel: Wheel,
    /// The lines of ordering keys. Nodes are extras; list numbers are key indexes.
    lines: Lists,

    queues: Table<Queue>,
    queue_lists: Lists,
    queue_wheel: Wheel,
    kinds: Table<Kind>,
    workers: Table<Worker>,
    keys: Table<Key>,
    uniques: Table<UniqueHolder>,
    unique_lists: Lists,
    unique_wheel: Wheel,
    causes: Table<CauseEntry>,

    answers: Table<Kept>,
    /// Kept answers, oldest first.
    answer_list: Lists,
    answer_bytes: usize,

    /// Lists that a replay filled out of order.
    disordered: Vec<(ListId, OrderBy)>,
    answers_disordered: bool,

    pools: Pools,
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State")
            .field("shard", &self.shard)
            .field("frame", &self.frame)
            .field("now", &self.now)
            .field("jobs", &self.jobs.len())
            .field("queues", &self.queues.len())
            .finish_non_exhaustive()
    }
}

impl State {
    /// An empty shard.
    pub fn new(shard: u16, limits: StateLimits) -> Self {
        let seed = limits.hash_seed;
        Self {
            shard,
            limits: StateLimits {
                jobs_max: limits.jobs_max.min(limits::JOBS_MAX),
                queues_max: limits.queues_max.min(limits::QUEUES_MAX),
                kinds_max: limits.kinds_max.min(limits::KINDS_MAX),
                ..limits
            },
            seed: None,
            frame: 0,
            now: Time(0),
            next_job: 1,
            next_token: 1,
            next_redrive: 1,
            jobs: Jobs::new(),
            job_lists: Lists::new(WHEEL_LISTS),
            job_wheel: Wheel::new(0),
            free_lanes: Vec::new(),
            expiry_lists: Lists::new(WHEEL_LISTS),
            expiry_wheel: Wheel::new(0),
            lines: Lists::new(0),
            queues: Table::new(seed),
            queue_lists: Lists::new(WHEEL_LISTS),
            queue_wheel: Wheel::new(0),
            kinds: Table::new(seed),
            workers: Table::new(seed),
            keys: Table::new(seed),
            uniques: Table::new(seed),
            unique_lists: Lists::new(WHEEL_LISTS),
            unique_wheel: Wheel::new(0),
            causes: Table::new(seed),
            answers: Table::new(seed),
            answer_list: Lists::new(1),
            answer_bytes: 0,
            disordered: Vec::new(),
            answers_disordered: false,
            pools: Pools::new(seed, limits.pools),
        }
    }

    /// Whether the shard has its seed; the first record of a new log gives it.
    pub const fn is_seeded(&self) -> bool {
        self.seed.is_some()
    }

    /// Gives a new shard its seed. Belongs into the first turn of a new log.
    pub fn seed(&mut self, seed: u64, turn: &mut Turn<'_>) {
        let record = crate::record::Shard {
            seed,
            next_job: self.next_job,
            next_token: self.next_token,
            next_redrive: self.next_redrive,
            next_grant: self.pools.next_grant,
            next_event: self.pools.next_event,
        };
        self.emit(turn, Record::Shard(record));
    }

    /// The turn's time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Begins a turn whose records will be the frame `sequence`, and returns its time: the clock's, or the last turn's if
    /// the clock was set back. A replay calls it with each frame's sequence and time.
    pub fn begin_turn(&mut self, sequence: u64, clock: Time) -> Time {
        self.frame = sequence;
        self.now = self.now.max(clock);
        let (now, budget) = (self.now.0, limits::EXPIRE_PER_TURN);
        let jobs = &self.jobs;
        self.job_wheel.advance(&mut self.job_lists, now, budget, |slot| jobs.get(slot).time.0);
        self.expiry_wheel
            .advance(&mut self.expiry_lists, now, budget, |extra| jobs.extra(extra).expires_at.0);
        let queues = &self.queues;
        self.queue_wheel.advance(&mut self.queue_lists, now, budget, |queue| queues.get(queue).attend_at.0);
        let uniques = &self.uniques;
        self.unique_wheel
            .advance(&mut self.unique_lists, now, budget, |entry| uniques.get(entry).expires_at.0);
        self.drop_old_uniques();
        self.drop_old_answers();
        self.pools.begin_turn(self.now, budget);
        self.now
    }

    /// Puts what a replay filled out of order back in order. Belongs after the last frame of a replay.
    pub fn finish_replay(&mut self) {
        let jobs = &self.jobs;
        let mut disordered = core::mem::take(&mut self.disordered);
        disordered.sort_unstable_by_key(|&(list, _)| list);
        disordered.dedup();
        let any = !disordered.is_empty();
        for (list, by) in disordered {
            match by {
                OrderBy::Number => {
                    self.job_lists.sort(list, |slot| (jobs.get(slot).order, jobs.get(slot).sequence));
                }
                OrderBy::Time => {
                    self.job_lists.sort(list, |slot| (jobs.get(slot).time, jobs.get(slot).sequence))
                }
            }
        }
        if any {
            // Each queue's timer was set by the first in lists that were not in order yet.
            for queue in 0..self.queues.end() {
                if self.queues.try_entry(queue).is_some() {
                    self.attend(queue);
                }
            }
        }
        if core::mem::take(&mut self.answers_disordered) {
            let answers = &self.answers;
            self.answer_list.sort(0, |index| (answers.get(index).kept_at, answers.name(index).clone()));
        }
        self.pools.finish_replay();
    }

    /// When time alone will change something; never later than that, perhaps earlier.
    pub fn next_deadline(&self) -> Option<Time> {
        [
            self.job_wheel.next(&self.job_lists),
            self.expiry_wheel.next(&self.expiry_lists),
            self.queue_wheel.next(&self.queue_lists),
            self.pools.next_deadline(self.now),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(Time)
    }

    /// Writes a fact down: applies it and hands it to the turn.
    fn emit(&mut self, turn: &mut Turn<'_>, record: Record) {
        self.apply(&record);
        turn.sink.record(&record);
        turn.records += 1;
    }

    fn id(&self, sequence: u64) -> JobId {
        JobId::new(self.shard, sequence)
    }

    fn id_of(&self, slot: Slot) -> JobId {
        self.id(self.jobs.get(slot).sequence.get())
    }

    /// The slot of a job of this shard.
    fn find(&self, id: JobId) -> Option<Slot> {
        (id.shard() == self.shard).then(|| self.jobs.find(id.sequence())).flatten()
    }

    /// A hash that stands for chance: the same in every replay.
    fn chance(&self, a: u64, b: u64) -> u64 {
        // splitmix64 (Steele, Lea and Flood 2014) over the seed and both numbers.
        let mut x =
            self.seed.unwrap_or(0).wrapping_add(a.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(b);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Answers whose time is over are gone; the state forgets them with the turn's time, not with a record.
    fn drop_old_answers(&mut self) {
        for _ in 0..limits::EXPIRE_PER_TURN {
            let Some(oldest) = self.answer_list.first(0) else { return };
            if self.answers.get(oldest).expires_at > self.now {
                return;
            }
            self.drop_answer(oldest);
        }
    }

    fn drop_answer(&mut self, index: u32) {
        self.answer_bytes -= answer_bytes(&self.answers.entry(index).name, &self.answers.get(index).answer);
        self.answer_list.unlink(index);
        self.answers.remove(index);
    }

    /// Unique keys whose duration is over are free.
    fn drop_old_uniques(&mut self) {
        for _ in 0..limits::EXPIRE_PER_TURN {
            let Some(entry) = self.unique_lists.pop_front(self.unique_wheel.due()) else { return };
            self.uniques.remove(entry);
        }
    }

    /// The name of the queue numbered so. Numbers are this process's own and are not in the log.
    ///
    /// # Panics
    ///
    /// If there is no such queue.
    pub fn queue_name(&self, index: u16) -> &Arc<str> {
        self.queues.name(u32::from(index))
    }

    /// The number of a queue.
    pub fn queue_index(&self, name: &str) -> Option<u16> {
        self.queues.find(0, name).map(|index| index as u16)
    }
}

/// Bytes an answer takes in memory, by estimate.
fn answer_bytes(key: &str, answer: &[u8]) -> usize {
    key.len() + answer.len() + 128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Complete, Enqueue, Lease, NewJob, NewJobMore, Request, Work};
    use crate::policy::{OnConflict, QueueConfig, Unique, UniqueUntil};
    use alloc::format;

    fn decide(state: &mut State, now: u64, command: Command) -> Outcome {
        let mut records: Vec<Record> = Vec::new();
        let mut turn = Turn::new(&mut records);
        state.begin_turn(now, Time(now));
        while state.expire(&mut turn) {}
        state.decide(Request { idempotency: None, command }, &mut turn).outcome
    }

    /// Else a shard would fill with names that callers make up.
    #[test]
    fn names_are_forgotten_with_the_last_that_used_them() {
        let mut state = State::new(0, StateLimits::default());
        let config = QueueConfig { retain_ms: 0, ..QueueConfig::DEFAULT };
        decide(&mut state, 1, Command::ConfigureQueue { queue: "q".into(), config });
        for n in 0..3 {
            let unique = Unique {
                key: format!("unique-{n}"),
                until: UniqueUntil::Completed,
                duration_ms: 0,
                on_conflict: OnConflict::Reject,
            };
            let more = NewJobMore {
                ordering_key: Some(format!("key-{n}")),
                unique: Some(unique),
                ..NewJobMore::default()
            };
            let mut enqueue = Enqueue::new("q");
            let kind = enqueue.kind(&format!("kind-{n}"));
            enqueue.jobs.push(NewJob { kind, more: Some(Box::new(more)), ..NewJob::new(10) });
            decide(&mut state, 2, Command::Enqueue(enqueue));
            let lease = Lease {
                queues: ["q".into()].into(),
                max: 1,
                worker: format!("worker-{n}"),
                ..Lease::default()
            };
            let lease = Work { lease: Some(lease), ..Work::default() };
            let Outcome::Worked(worked) = decide(&mut state, 3, Command::Work(lease)) else { panic!("work") };
            let job = &worked.leased[0];
            let names = |state: &State| {
                [state.kinds.len(), state.workers.len(), state.keys.len(), state.uniques.len()]
            };
            assert_eq!(names(&state), [1; 4]);
            let complete = [Complete { id: job.id, token: job.token, result_len: 0 }].into();
            decide(&mut state, 4, Command::Work(Work { complete, ..Work::default() }));
            decide(&mut state, 5, Command::Work(Work::default()));
            assert_eq!((names(&state), state.job_count()), ([0; 4], 0));
        }
    }
}
