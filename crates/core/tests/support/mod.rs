//! A shard with its log in memory: what is decided can be replayed, whole or from any frame on.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod pools;
pub mod render;
pub mod script;

use prost::Message as _;
use tidegate_core::command::{self, Command, Enqueue, Lease, NewJob, NewJobMore, Request, Work};
use tidegate_core::id::{Blob, JobId, Time, Token};
use tidegate_core::outcome::{Item, LeasedJob, Outcome, Refusal};
use tidegate_core::record::{Record, RecordMessage};
use tidegate_core::state::{State, StateLimits, Step, Turn};
use tidegate_core::view::JobView;

/// One frame: when it was decided, and its records as they would lie on disk.
#[derive(Clone)]
pub struct Frame {
    pub sequence: u64,
    pub time: Time,
    pub records: Vec<Vec<u8>>,
}

pub struct World {
    pub state: State,
    pub limits: StateLimits,
    pub frames: Vec<Frame>,
    pub now: Time,
    pub readied: Vec<String>,
}

/// Turns begin here: a round moment.
pub const START: Time = Time(1_700_000_000_000);

impl World {
    pub fn new() -> Self {
        Self::with_limits(StateLimits::default())
    }

    pub fn with_limits(limits: StateLimits) -> Self {
        Self::seeded(limits, 42)
    }

    pub fn with_seed(seed: u64) -> Self {
        Self::seeded(StateLimits::default(), seed)
    }

    fn seeded(limits: StateLimits, seed: u64) -> Self {
        let mut world = Self {
            state: State::new(0, limits),
            limits,
            frames: Vec::new(),
            now: START,
            readied: Vec::new(),
        };
        world.turn(|state, turn| state.seed(seed, turn));
        world
    }

    pub fn next_frame(&self) -> u64 {
        self.frames.last().map_or(1, |frame| frame.sequence + 1)
    }

    /// One turn; its records become a frame.
    pub fn turn<T>(&mut self, decide: impl FnOnce(&mut State, &mut Turn<'_>) -> T) -> T {
        let sequence = self.next_frame();
        let time = self.state.begin_turn(sequence, self.now);
        let mut records: Vec<Record> = Vec::new();
        let mut turn = Turn::new(&mut records);
        while self.state.expire(&mut turn) {
            self.state.begin_turn(sequence, self.now);
        }
        let result = decide(&mut self.state, &mut turn);
        let readied = turn.readied;
        self.readied = readied.into_iter().map(|index| self.state.queue_name(index).to_string()).collect();
        if !records.is_empty() {
            let records = records
                .into_iter()
                .map(|record| RecordMessage { record: Some(record) }.encode_to_vec())
                .collect();
            self.frames.push(Frame { sequence, time, records });
        }
        result
    }

    pub fn decide(&mut self, command: Command) -> Outcome {
        self.turn(|state, turn| state.decide(Request { idempotency: None, command }, turn).outcome)
    }

    pub fn after(&mut self, ms: u64) -> &mut Self {
        self.now = self.now.plus(ms);
        self.turn(|_, _| ());
        self
    }

    /// The state that a restart would find, from the frame `from` on.
    pub fn replayed_from(&self, from: u64) -> State {
        let mut state = State::new(0, StateLimits { hash_seed: 99, ..self.limits });
        for frame in self.frames.iter().filter(|frame| frame.sequence >= from) {
            state.begin_turn(frame.sequence, frame.time);
            for record in &frame.records {
                let message = RecordMessage::decode(record.as_slice()).expect("a record reads back");
                // A kind that this version does not know is passed over.
                if let Some(record) = message.record {
                    record.possible().expect("what was decided is possible");
                    state.apply(&record);
                }
            }
        }
        state.finish_replay();
        // Turns without records leave no frame, but time went on in them.
        state.begin_turn(self.next_frame(), self.now);
        state
    }

    /// This world after a restart; it goes its own way from here.
    pub fn restarted(&self) -> Self {
        self.restarted_from(0)
    }

    /// The same, with a log that begins with the frame `from`.
    pub fn restarted_from(&self, from: u64) -> Self {
        Self {
            state: self.replayed_from(from),
            limits: self.limits,
            frames: self.frames.clone(),
            now: self.now,
            readied: Vec::new(),
        }
    }

    /// A whole walk to `target`, a few things at a time, with `between` run between the steps.
    pub fn walk(&mut self, target: u64, mut between: impl FnMut(&mut Self)) {
        let mut walk = self.state.walk(target);
        loop {
            let step = self.turn(|state, turn| {
                let step = state.walk_step(&mut walk, 3, 1 << 20, turn);
                if let Step::Restate(ids, blobs) = &step {
                    let before = turn.blob_cursor;
                    state.restate(ids, turn);
                    let placed: u32 = blobs.iter().map(|blob| blob.len).sum();
                    assert_eq!(turn.blob_cursor - before, placed, "the blobs named are the blobs placed");
                }
                step
            });
            if step == Step::Done {
                return;
            }
            between(self);
        }
    }

    // Short forms for scripts.

    pub fn enqueue_all(&mut self, queue: &str, jobs: Vec<(&str, NewJob)>) -> Vec<Item> {
        let mut enqueue = Enqueue::new(queue);
        for (kind, mut job) in jobs {
            job.kind = enqueue.kind(kind);
            enqueue.jobs.push(job);
        }
        match self.decide(Command::Enqueue(enqueue)) {
            Outcome::Enqueued(items) => items,
            other => panic!("an enqueue answers with items, not {other:?}"),
        }
    }

    pub fn enqueue(&mut self, queue: &str, job: NewJob) -> Item {
        self.enqueue_all(queue, vec![("work", job)])[0]
    }

    /// Enqueues a job that must be accepted.
    pub fn add(&mut self, queue: &str, job: NewJob) -> JobId {
        accepted(self.enqueue(queue, job))
    }

    pub fn work(&mut self, work: Work) -> tidegate_core::outcome::Worked {
        match self.decide(Command::Work(work)) {
            Outcome::Worked(worked) => worked,
            other => panic!("work answers with its parts, not {other:?}"),
        }
    }

    pub fn lease(&mut self, queue: &str, max: u32) -> Vec<LeasedJob> {
        self.work(Work {
            lease: Some(Lease {
                queues: vec![queue.into()],
                max,
                lease_ms: Some(30_000),
                worker: "w".into(),
                kinds: Vec::new(),
            }),
            ..Work::default()
        })
        .leased
    }

    pub fn lease_one(&mut self, queue: &str) -> LeasedJob {
        let mut jobs = self.lease(queue, 1);
        assert_eq!(jobs.len(), 1, "a job is there to lease");
        jobs.remove(0)
    }

    pub fn complete(&mut self, id: JobId, token: Token) -> Item {
        let complete = vec![command::Complete { id, token, result_len: 0 }];
        self.work(Work { complete, ..Work::default() }).complete[0]
    }

    pub fn fail(&mut self, job: &LeasedJob) -> Item {
        self.fail_with(job, "it broke", None, false)
    }

    pub fn fail_with(
        &mut self,
        job: &LeasedJob,
        message: &str,
        retry_after_ms: Option<u64>,
        fatal: bool,
    ) -> Item {
        let fail = vec![command::Fail {
            id: job.id,
            token: job.token,
            message: message.into(),
            kind: None,
            dependency: None,
            retry_after_ms,
            fatal,
        }];
        self.work(Work { fail, ..Work::default() }).fail[0]
    }

    pub fn job(&self, id: JobId) -> JobView {
        self.state.job(id).unwrap_or_else(|| panic!("job {id} is kept"))
    }
}

pub fn job() -> NewJob {
    NewJob::new(100)
}

pub fn job_with(more: NewJobMore) -> NewJob {
    NewJob { more: Some(Box::new(more)), ..job() }
}

pub fn keyed(key: &str) -> NewJob {
    job_with(NewJobMore { ordering_key: Some(key.into()), ..NewJobMore::default() })
}

pub fn accepted(item: Item) -> JobId {
    match item {
        Item::Is { id, .. } => id,
        other => panic!("the job is accepted, not {other:?}"),
    }
}

pub fn refusal(item: Item) -> Refusal {
    match item {
        Item::Refused(refusal) => refusal,
        other => panic!("it is refused, not {other:?}"),
    }
}

pub const NO_BLOB: Blob = Blob { frame: 0, offset: 0, len: 0 };

/// All that a replay must find again: what the digest is made of, what is told of causes, and what waits for time.
pub fn whole_text(state: &State) -> String {
    let causes = state.queues().into_iter().map(|queue| (state.causes(&queue.name), queue.name));
    let mut causes: Vec<String> =
        causes.map(|(causes, queue)| format!("causes {queue} {causes:?}\n")).collect();
    causes.sort_unstable();
    // Which of two comes first whose moments are the same, no rule decides.
    let mut places = state.places();
    places.timers.sort_unstable();
    places.expiries.sort_unstable();
    places.ended.sort_unstable();
    places.answers.sort_unstable();
    format!("{}{}{places:?}\n", state.digest_text(), causes.concat())
}

/// What two digests' texts do not share, to be read by people.
pub fn differences(live: &str, replayed: &str) -> String {
    let only = |a: &str, b: &str, name: &str| -> String {
        let there: std::collections::HashSet<&str> = b.lines().collect();
        a.lines()
            .filter(|line| !there.contains(line))
            .map(|line| format!("only {name}: {line}\n"))
            .take(6)
            .collect()
    };
    only(live, replayed, "live") + &only(replayed, live, "replayed")
}
