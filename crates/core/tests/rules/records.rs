//! Records between versions: an older binary reads what a newer one wrote, as far as it can, and never stumbles.

use prost::Message as _;

use crate::support::World;
use crate::support::script::check_in;
use tidegate_core::record::{self, Record, RecordMessage};
use tidegate_core::state::{State, StateLimits};
use tidegate_core::view::JobFilter;

/// A log with something of most kinds in it.
fn some_log() -> World {
    check_in(
        World::new(),
        "enqueue key=k on_failure=park attempts=1 | key=k unique=u until=9000 expires_in=9000 | run_in=1000
         lease 9                            -> 1
         extend 1 progress=half
         fail 1 kind=io : it broke          -> 1 dead
         pause key=j
         as a/1 redrive                     -> 1 moved, done
         lease 9                            -> 1
         release 1
         lease 9                            -> 1
         complete 1 result=50
         cancel 2",
    )
}

/// The same log as a newer binary might have written it.
fn rewritten(world: &World, rewrite: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> World {
    let mut newer = World::new();
    newer.now = world.now;
    newer.frames.clone_from(&world.frames);
    for frame in &mut newer.frames {
        frame.records = frame.records.iter().flat_map(|record| rewrite(record)).collect();
    }
    newer
}

/// A protobuf field that no version so far knows, as bytes: number 1000, a varint.
fn unknown_field() -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::uint64::encode(1_000, &7, &mut bytes);
    bytes
}

/// The record with the unknown field at the end of its own message, not of the one around it.
fn with_unknown_field(record: &[u8]) -> Vec<u8> {
    let mut inner = record;
    let (tag, _) = prost::encoding::decode_key(&mut inner).expect("a record begins with its kind");
    let len = prost::encoding::decode_varint(&mut inner).expect("and its length");
    assert_eq!(len as usize, inner.len(), "and is one message");
    let mut message = inner.to_vec();
    message.extend(unknown_field());
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(tag, &message, &mut bytes);
    bytes
}

#[test]
fn unknown_fields_of_known_records_are_skipped() {
    let world = some_log();
    let newer = rewritten(&world, |record| vec![[with_unknown_field(record), unknown_field()].concat()]);
    assert_ne!(newer.frames[0].records, world.frames[0].records);
    assert_eq!(newer.replayed_from(0).digest_text(), world.state.digest_text());
}

#[test]
fn records_of_unknown_kinds_are_none_of_ours() {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(500, &b"something new".to_vec(), &mut bytes);
    let message = RecordMessage::decode(bytes.as_slice()).expect("it is a message all the same");
    assert_eq!(message.record, None);
    let world = some_log();
    let newer = rewritten(&world, |record| vec![bytes.clone(), record.to_vec(), bytes.clone()]);
    assert_eq!(newer.replayed_from(0).digest_text(), world.state.digest_text());
}

/// In the log of a shard whose head was trimmed, facts come before the things they are about.
#[test]
fn a_fact_about_an_unknown_job_changes_no_job() {
    for frame in &some_log().frames {
        for record in &frame.records {
            let message = RecordMessage::decode(record.as_slice()).expect("a record reads back");
            let record = message.record.expect("of a known kind");
            if matches!(record, Record::Enqueued(_) | Record::JobsRestated(_)) {
                continue;
            }
            let mut state = State::new(0, StateLimits::default());
            state.begin_turn(frame.sequence, frame.time);
            state.apply(&record);
            assert_eq!(state.job_count(), 0, "{record:?}");
        }
    }
}

/// A choice that a newer binary added reads as the plainest one here.
#[test]
fn unknown_choices_do_not_stop_a_replay() {
    let world = some_log();
    let mut changed = 0;
    let mut state = State::new(0, StateLimits::default());
    for frame in &world.frames {
        state.begin_turn(frame.sequence, frame.time);
        for record in &frame.records {
            let message = RecordMessage::decode(record.as_slice()).expect("a record reads back");
            let mut record = message.record.expect("of a known kind");
            match &mut record {
                Record::Enqueued(enqueued) => {
                    for more in enqueued.jobs.iter_mut().filter_map(|job| job.more.as_deref_mut()) {
                        more.on_failure = 77;
                        changed += 1;
                    }
                }
                Record::Failed(failed) => failed.reason = 77,
                Record::Cancelled(cancelled) => cancelled.reason = 77,
                _ => {}
            }
            state.apply(&record);
        }
    }
    state.finish_replay();
    assert!(changed > 0);
    assert_eq!(state.job_count(), 3);
}

/// A digest says how long payloads and results are; where they lie must be found again too.
#[test]
fn payloads_and_results_lie_where_they_did_after_a_restart() {
    let world = check_in(
        World::new(),
        "enqueue len=10 times=3 | len=20 | len=30 key=k
         lease 5
         complete 1 2 5 result=7
         fail 3 fatal
         edit 3 len=44
         transact enqueue len=50 ; enqueue len=60 ; complete 4 result=8",
    );
    let blobs = |state: &State| {
        let page = state.list(&JobFilter::default(), 0, 100);
        page.jobs.iter().map(|job| (job.payload, job.result)).collect::<Vec<_>>()
    };
    let live = blobs(&world.state);
    assert_eq!(live.len(), 7);
    assert_eq!(blobs(&world.replayed_from(0)), live);
    let offsets: Vec<u32> = [3, 6, 7].map(|n| live[n - 1].0.offset).to_vec();
    assert_eq!(offsets, [0, 0, 50]);
    let results: Vec<u32> = [1, 2, 5, 4].map(|n| live[n - 1].1.offset).to_vec();
    assert_eq!(results, [0, 7, 14, 110]);
}

/// A replay asks before it applies: such a record would overflow a counter, or name a job that no id can name.
#[test]
fn a_record_whose_numbers_no_log_can_reach_is_impossible() {
    let shard = |next_job| record::Shard { seed: 1, next_job, ..record::Shard::default() };
    assert!(Record::Shard(shard(1)).is_possible());
    assert!(!Record::Shard(shard(u64::MAX)).is_possible());
    let leased = |first_token| record::Leased { first_token, jobs: vec![1], ..record::Leased::default() };
    assert!(Record::Leased(leased(7)).is_possible());
    assert!(!Record::Leased(leased(u64::MAX)).is_possible());
    let enqueued = |first_job, first_offset| {
        let job = record::EnqueuedJob { blob_len: 10, ..record::EnqueuedJob::default() };
        record::Enqueued { first_job, first_offset, jobs: vec![job], ..record::Enqueued::default() }
    };
    assert!(Record::Enqueued(enqueued(1, 0)).is_possible());
    assert!(!Record::Enqueued(enqueued(1 << 48, 0)).is_possible());
    assert!(!Record::Enqueued(enqueued(1, u32::MAX)).is_possible());
    // An answer of a few bytes that would unfold to four thousand million items.
    let run = tidegate_core::answer::AnswerItem { job: 1, further: u32::MAX, ..Default::default() };
    let answer = tidegate_core::answer::Answer { kind: 1, items: vec![run], ..Default::default() };
    let kept = record::AnswerKept { answer: answer.encode_to_vec(), ..record::AnswerKept::default() };
    assert!(!Record::AnswerKept(kept).is_possible());
}

/// A start that stops says what is wrong, and nothing of what callers wrote.
#[test]
fn an_impossible_record_is_told_by_its_field_and_its_number() {
    let secret = "sk-live".repeat(1_000);
    let more = record::JobMore {
        expires_at: u64::MAX,
        ordering_key: Some(secret.clone()),
        ..record::JobMore::default()
    };
    let job = record::EnqueuedJob { more: Some(Box::new(more)), ..record::EnqueuedJob::default() };
    let enqueued = record::Enqueued {
        queue: secret.clone(),
        first_job: 1,
        jobs: vec![record::EnqueuedJob::default(), job],
        ..record::Enqueued::default()
    };
    let wrong = Record::Enqueued(enqueued).possible().expect_err("no job expires then");
    assert_eq!(wrong.to_string(), format!("`jobs.more.expires_at` of `enqueued` is {}", u64::MAX));
    let failure = record::Failure { message: secret.clone(), ..record::Failure::default() };
    let failed = record::Failed { failure, death: 1 << 52, ..record::Failed::default() };
    let wrong = Record::Failed(failed).possible().expect_err("no queue has so many dead");
    assert_eq!(wrong.to_string(), "`death` of `failed` is 4503599627370496");
    let kept = record::AnswerKept { key: secret, answer: vec![0xff; 5], ..record::AnswerKept::default() };
    let wrong = Record::AnswerKept(kept).possible().expect_err("no answer");
    assert_eq!(wrong.to_string(), "`answer` of `answer_kept` is 5");
}

/// Earlier versions wrote down the end of time for who asked for ever; such logs must open.
#[test]
fn a_moment_that_somebody_chose_may_be_the_end_of_time() {
    let expires_at = u64::MAX;
    let unique = record::UniqueKey { expires_at, ..record::UniqueKey::default() };
    let more = Some(Box::new(record::JobMore { unique: Some(unique), ..record::JobMore::default() }));
    let job = record::EnqueuedJob { more: more.clone(), ..record::EnqueuedJob::default() };
    let restated = record::RestatedJob { job: 1, more, ..record::RestatedJob::default() };
    let redrive = record::RedriveStarted { before: u64::MAX, ..record::RedriveStarted::default() };
    for record in [
        Record::Enqueued(record::Enqueued { first_job: 1, jobs: vec![job], ..record::Enqueued::default() }),
        Record::JobsRestated(record::JobsRestated {
            jobs: vec![restated],
            ..record::JobsRestated::default()
        }),
        Record::UniqueRestated(record::UniqueRestated {
            job: 1,
            expires_at,
            ..record::UniqueRestated::default()
        }),
        Record::AnswerKept(record::AnswerKept { expires_at, ..record::AnswerKept::default() }),
        Record::RedriveStarted(redrive),
    ] {
        assert_eq!(record.possible(), Ok(()));
    }
}
