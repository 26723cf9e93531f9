//! What a log can say: every number up to the last that one can reach, and none beyond it.

use prost::Message as _;

use tidegate_core::answer::{Answer, AnswerItem};
use tidegate_core::limits::BATCH_JOBS_MAX;
use tidegate_core::record::{self, Record};

/// A quarter of the ids of a shard.
const JOBS_END: u64 = 1 << 46;
const NUMBERS_END: u64 = 1 << 52;
const AREA_END: u64 = 1 << 32;
/// Attempts are kept in 16 bits.
const ATTEMPTS_END: u64 = 1 << 16;

/// The last number before `end` is possible in this field, and `end` is told to be wrong.
fn check(field: &str, end: u64, says: impl Fn(u64) -> Record) {
    assert_eq!(says(end - 1).possible(), Ok(()), "{field}");
    let wrong = says(end).possible().expect_err(field);
    assert_eq!((wrong.field, wrong.number), (field, end));
}

/// The same, where what is wrong is reckoned from the number.
fn check_reckoned(field: &str, wrong: u64, last: Record, first: Record) {
    assert_eq!(last.possible(), Ok(()), "{field}");
    let found = first.possible().expect_err(field);
    assert_eq!((found.field, found.number), (field, wrong));
}

#[test]
fn the_counters_of_a_shard() {
    let shard = record::Shard::default;
    check("next_job", JOBS_END, |next_job| Record::Shard(record::Shard { next_job, ..shard() }));
    check("next_token", NUMBERS_END, |next_token| Record::Shard(record::Shard { next_token, ..shard() }));
    check("next_redrive", NUMBERS_END, |next_redrive| {
        Record::Shard(record::Shard { next_redrive, ..shard() })
    });
}

fn enqueued(job: record::EnqueuedJob) -> Record {
    Record::Enqueued(record::Enqueued { first_job: 1, jobs: vec![job], ..record::Enqueued::default() })
}

fn more(expires_at: u64) -> Option<Box<record::JobMore>> {
    Some(Box::new(record::JobMore { expires_at, ..record::JobMore::default() }))
}

#[test]
fn what_is_said_of_new_jobs() {
    let job = record::EnqueuedJob::default;
    check("jobs.order", NUMBERS_END, |order| enqueued(record::EnqueuedJob { order, ..job() }));
    check("jobs.run_at", NUMBERS_END, |run_at| enqueued(record::EnqueuedJob { run_at, ..job() }));
    check("jobs.more.expires_at", NUMBERS_END, |at| {
        enqueued(record::EnqueuedJob { more: more(at), ..job() })
    });
    let three_from = |first_job| {
        Record::Enqueued(record::Enqueued { first_job, jobs: vec![job(); 3], ..record::Enqueued::default() })
    };
    check_reckoned("first_job", JOBS_END + 1, three_from(JOBS_END - 3), three_from(JOBS_END - 2));
    check_reckoned("first_job", u64::MAX, three_from(1), three_from(u64::MAX));
}

/// Two blobs, one behind the other; the number is where the second ends.
#[test]
fn blobs_end_within_the_payload_area() {
    let first_offset = u32::MAX - 100;
    let lens = |end: u64| [60, (end - u64::from(first_offset) - 60) as u32];
    check("first_offset", AREA_END, |end| {
        let job = |blob_len| record::EnqueuedJob { blob_len, ..record::EnqueuedJob::default() };
        let jobs = lens(end).map(job).into();
        Record::Enqueued(record::Enqueued { first_job: 1, first_offset, jobs, ..record::Enqueued::default() })
    });
    check("first_offset", AREA_END, |end| {
        let result_lens = lens(end).into();
        Record::Completed(record::Completed { first_offset, result_lens, ..record::Completed::default() })
    });
    check("first_offset", AREA_END, |end| {
        let [blob_len, result_len] = lens(end);
        let job = record::RestatedJob { job: 1, blob_len, result_len, ..record::RestatedJob::default() };
        let jobs = vec![job];
        Record::JobsRestated(record::JobsRestated { first_offset, jobs, ..record::JobsRestated::default() })
    });
    check("offset", AREA_END, |end| {
        Record::Edited(record::Edited { job: 1, offset: (end - 7) as u32, len: 7 })
    });
}

#[test]
fn what_is_said_of_a_jobs_life() {
    check("orders", NUMBERS_END, |order| {
        Record::Readied(record::Readied { jobs: vec![1, 2], orders: vec![1, order] })
    });
    let leased = record::Leased::default;
    check("first_token", NUMBERS_END, |first_token| {
        Record::Leased(record::Leased { first_token, ..leased() })
    });
    check("deadline", NUMBERS_END, |deadline| Record::Leased(record::Leased { deadline, ..leased() }));
    check("deadline", NUMBERS_END, |deadline| {
        Record::Extended(record::Extended { deadline, ..record::Extended::default() })
    });
    let failed = record::Failed::default;
    check("run_at", NUMBERS_END, |run_at| Record::Failed(record::Failed { run_at, ..failed() }));
    check("death", NUMBERS_END, |death| Record::Failed(record::Failed { death, ..failed() }));
    check("redrive", NUMBERS_END, |redrive| Record::Failed(record::Failed { redrive, ..failed() }));
    check("failure.at", NUMBERS_END, |at| {
        let failure = record::Failure { at, ..record::Failure::default() };
        Record::Failed(record::Failed { failure, ..failed() })
    });
    check("death", NUMBERS_END, |death| {
        Record::Expired(record::Expired { death, ..record::Expired::default() })
    });
}

#[test]
fn what_is_said_of_redrives() {
    let started = record::RedriveStarted::default;
    type Change = fn(&mut record::RedriveStarted, u64);
    let fields: [(&str, Change); 6] = [
        ("redrive", |started, to| started.redrive = to),
        ("started_at", |started, to| started.started_at = to),
        ("until", |started, to| started.until = to),
        ("cursor", |started, to| started.cursor = to),
        ("moved", |started, to| started.moved = to),
        ("dead_again", |started, to| started.dead_again = to),
    ];
    for (field, change) in fields {
        let changed = |to| {
            let mut started = started();
            change(&mut started, to);
            started
        };
        check(field, NUMBERS_END, |to| Record::RedriveStarted(changed(to)));
        check(field, NUMBERS_END, |to| {
            let redrive = Some(Box::new(changed(to)));
            Record::QueueRestated(record::QueueRestated { redrive, ..record::QueueRestated::default() })
        });
    }
    let redriven = record::Redriven::default;
    check("redrive", NUMBERS_END, |redrive| Record::Redriven(record::Redriven { redrive, ..redriven() }));
    check("cursor", NUMBERS_END, |cursor| Record::Redriven(record::Redriven { cursor, ..redriven() }));
}

fn answer_kept(answer: Answer) -> Record {
    let answer = answer.encode_to_vec();
    Record::AnswerKept(record::AnswerKept { answer, ..record::AnswerKept::default() })
}

#[test]
fn what_is_said_of_kept_answers() {
    check("kept_at", NUMBERS_END, |kept_at| {
        Record::AnswerKept(record::AnswerKept { kept_at, ..record::AnswerKept::default() })
    });
    let answer = Answer::default;
    let item = |job, further| AnswerItem { job, further, ..AnswerItem::default() };
    check("answer.job", JOBS_END, |job| answer_kept(Answer { items: vec![item(job - 9, 9)], ..answer() }));
    check("answer.value", NUMBERS_END, |value| {
        answer_kept(Answer { fail: vec![AnswerItem { value, ..item(1, 0) }], ..answer() })
    });
    check("answer.tokens", NUMBERS_END, |token| answer_kept(Answer { tokens: vec![1, token], ..answer() }));
    check("answer.leased", JOBS_END, |leased| answer_kept(Answer { leased: vec![1, leased], ..answer() }));
    // A refusal names no job; what it says besides may be any number.
    let refusal = AnswerItem { value: u64::MAX, ..item(0, 0) };
    assert_eq!(answer_kept(Answer { items: vec![refusal], ..answer() }).possible(), Ok(()));
}

/// Runs unfold to no more items than a batch has, so reading an answer takes bounded memory.
#[test]
fn an_answer_has_no_more_items_than_a_batch() {
    let runs = |further| {
        let run = |further| AnswerItem { job: 1, further, ..AnswerItem::default() };
        vec![run(9), run(further)]
    };
    let last = BATCH_JOBS_MAX as u32 - 11;
    type Set = fn(&mut Answer) -> &mut Vec<AnswerItem>;
    let parts: [Set; 4] = [
        |answer| &mut answer.items,
        |answer| &mut answer.fail,
        |answer| &mut answer.extend,
        |answer| &mut answer.release,
    ];
    for part in parts {
        let with = |further| {
            let mut answer = Answer::default();
            *part(&mut answer) = runs(further);
            answer_kept(answer)
        };
        check_reckoned("answer.further", BATCH_JOBS_MAX as u64 + 1, with(last), with(last + 1));
    }
}

#[test]
fn what_is_written_anew() {
    let queue = record::QueueRestated::default;
    check("next_orders", NUMBERS_END, |order| {
        Record::QueueRestated(record::QueueRestated { next_orders: vec![1, order], ..queue() })
    });
    check("next_death", NUMBERS_END, |next_death| {
        Record::QueueRestated(record::QueueRestated { next_death, ..queue() })
    });
    check("job", JOBS_END, |job| {
        Record::UniqueRestated(record::UniqueRestated { job, ..record::UniqueRestated::default() })
    });
    type Change = fn(&mut record::RestatedJob, u64);
    let fields: [(&str, u64, Change); 8] = [
        ("jobs.job", JOBS_END, |job, to| job.job = to),
        ("jobs.enqueued_at", NUMBERS_END, |job, to| job.enqueued_at = to),
        ("jobs.time", NUMBERS_END, |job, to| job.time = to),
        ("jobs.order", NUMBERS_END, |job, to| job.order = to),
        ("jobs.redrive", NUMBERS_END, |job, to| job.redrive = to),
        ("jobs.attempt", ATTEMPTS_END, |job, to| job.attempt = to as u32),
        ("jobs.attempts_forgiven", ATTEMPTS_END, |job, to| job.attempts_forgiven = to as u32),
        ("jobs.more.expires_at", NUMBERS_END, |job, to| job.more = more(to)),
    ];
    for (field, end, change) in fields {
        check(field, end, |to| {
            let mut job = record::RestatedJob::default();
            change(&mut job, to);
            Record::JobsRestated(record::JobsRestated { jobs: vec![job], ..record::JobsRestated::default() })
        });
    }
}
