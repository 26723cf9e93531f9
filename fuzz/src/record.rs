//! The records of a log, as a replay meets them.
//!
//! The input is a run of frames as the golden log of the records keeps them, so that log is a seed. Records are read one by
//! one and applied, whatever they say: a log may have been written by another version, trimmed anywhere, or be wrong.

use prost::Message;
use tidegate_core::command::{Command, IdempotencyKey, Lease, Request, Work};
use tidegate_core::id::{JobId, Time};
use tidegate_core::pool::GrantId;
use tidegate_core::pool::view::LinePlace;
use tidegate_core::record::{Record, RecordMessage};
use tidegate_core::state::{State, StateLimits, Turn};
use tidegate_core::view::JobFilter;

/// A frame: its number, its time and its records.
#[derive(Clone, PartialEq, Message)]
pub struct Frame {
    /// Its place in the log.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// The turn's time.
    #[prost(uint64, tag = "2")]
    pub time: u64,
    /// The records, each by itself.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub records: Vec<Vec<u8>>,
}

/// Jobs' numbers beyond which nothing is tried here.
const FAR: u64 = 1 << 28;
/// Turns that time alone may bring at the end: more than that is a state that never rests.
const EXPIRE_TURNS_MAX: usize = 10_000;

/// See the module.
pub fn check(data: &[u8]) {
    let mut rest = data;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let Ok(frame) = Frame::decode_length_delimited(&mut rest) else { break };
        frames.push(frame);
    }
    frames.iter().flat_map(|frame| &frame.records).for_each(|record| comes_out_as_it_went_in(record));
    let keys: Vec<IdempotencyKey> =
        frames.iter().flat_map(|frame| &frame.records).filter_map(|record| key_of(record)).collect();
    let one = replayed(&frames, 1);
    let other = replayed(&frames, 2);
    assert_eq!(one.digest_text(), other.digest_text(), "the same records, two states");
    goes_on(one, keys);
}

/// The idempotency key whose answer a record keeps.
fn key_of(record: &[u8]) -> Option<IdempotencyKey> {
    let Some(Record::AnswerKept(kept)) = RecordMessage::decode(record).ok()?.record else { return None };
    Some(IdempotencyKey { key: kept.key, fingerprint: [kept.fingerprint_0, kept.fingerprint_1] })
}

/// What is read of a record is written so that it is read the same, and then byte for byte.
fn comes_out_as_it_went_in(record: &[u8]) {
    let Ok(message) = RecordMessage::decode(record) else { return };
    let written = message.encode_to_vec();
    let again = RecordMessage::decode(written.as_slice()).expect("what was written is read");
    assert_eq!(again, message);
    assert_eq!(again.encode_to_vec(), written);
}

fn replayed(frames: &[Frame], hash_seed: u64) -> State {
    let mut state = State::new(0, StateLimits { hash_seed, ..StateLimits::default() });
    for frame in frames {
        state.begin_turn(frame.sequence, Time(frame.time));
        for record in &frame.records {
            let Ok(RecordMessage { record: Some(record) }) = RecordMessage::decode(record.as_slice()) else {
                continue;
            };
            if record.is_possible() && !is_far(&record) {
                state.apply(&record);
            }
        }
    }
    state.finish_replay();
    state
}

/// A table over a long gap between jobs' numbers takes memory and time in proportion, here as in a server, and shows nothing.
fn is_far(record: &Record) -> bool {
    match record {
        Record::Enqueued(enqueued) => enqueued.first_job > FAR,
        Record::JobsRestated(restated) => restated.jobs.iter().any(|job| job.job > FAR),
        _ => false,
    }
}

/// A shard that has replayed these records can be looked at, and works.
fn goes_on(mut state: State, keys: Vec<IdempotencyKey>) {
    let mut cursor = 0;
    for _ in 0..100 {
        let page = state.list(&JobFilter::default(), cursor, 100);
        for job in &page.jobs {
            let seen = state.job(job.id).expect("a job that is listed is there");
            assert_eq!(seen.id, job.id);
        }
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    let queues: Vec<String> = state.queues().iter().map(|queue| queue.name.to_string()).collect();
    for queue in &queues {
        let _ = state.causes(queue);
    }
    for pool in state.pools() {
        let _ = state.entrants(&pool.name, 0, 100).expect("a pool that is listed is there");
        let (mut from, mut units) = (0, 0);
        loop {
            let page = state.grants_of(&pool.name, None, from, 100).expect("a pool that is listed is there");
            units += page.grants.iter().map(|grant| u64::from(grant.units)).sum::<u64>();
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        assert_eq!(units, pool.held + pool.taken);
        let line = state.line(&pool.name, LinePlace::default(), 100).expect("a pool that is listed is there");
        assert!(line.line.len() as u32 <= pool.waiting);
    }
    for (_, grant) in state.grant_deadlines() {
        let grant = state.grant(GrantId::new(0, grant)).expect("a grant with a deadline is there");
        let _ = state.holder(&grant.holder).expect("who has a grant is known");
    }
    let mut records = Vec::new();
    let now = state.now();
    state.begin_turn(u64::MAX / 2, now);
    for key in keys.into_iter().take(50) {
        let mut turn = Turn::new(&mut records);
        let command = Command::Cancel(JobId::new(0, 1));
        state.decide(Request { idempotency: Some(key), command }, &mut turn);
    }
    for later in [0, 1_000, 3_600_000] {
        state.begin_turn(u64::MAX / 2, now.plus(later));
        let mut turn = Turn::new(&mut records);
        let mut turns = 0;
        while state.expire(&mut turn) {
            state.begin_turn(u64::MAX / 2, now.plus(later));
            turns += 1;
            assert!(turns < EXPIRE_TURNS_MAX, "time brings something without end");
        }
        for queue in queues.iter().take(8) {
            let lease = Lease {
                queues: vec![queue.clone()],
                max: 10,
                lease_ms: Some(1_000),
                worker: "w".into(),
                kinds: Vec::new(),
            };
            let command = Command::Work(Work { lease: Some(lease), ..Work::default() });
            state.decide(Request { idempotency: None, command }, &mut turn);
        }
    }
    let _ = state.digest_text();
}
