//! Transactions: all operations or none, judged against the state as it was before. That a refusal leaves no trace, the
//! scripts' runner sees to after each of them.

use crate::support::script::{check, check_in};
use crate::support::{World, job};
use tidegate_core::command::{Command, Complete, EnqueueOne, Operation, Transaction};
use tidegate_core::limits::{KINDS_MAX, QUEUES_MAX};
use tidegate_core::outcome::{Outcome, Refusal};
use tidegate_core::state::StateLimits;
use tidegate_core::{JobId, Token};

#[test]
fn all_operations_are_done_in_one_frame_and_answered_in_order() {
    let world = check_in(
        World::new(),
        "enqueue
         lease                              -> 1
         transact enqueue queue=mail ; complete 1 result=40 ; enqueue queue=sms run_in=500 kind=text priority=2 \
         -> 2 ready, 1 completed, 3 scheduled +500
         show 1 state result                -> completed, 40
         show 2 state kind priority         -> ready, work, 5
         show 3 state kind priority         -> scheduled, text, 2
         queue queue=mail counts            -> 1 ready
         queue queue=sms counts             -> 1 scheduled",
    );
    let frame = world.frames.last().expect("there are frames");
    let records = frame.records.len();
    assert_eq!(records, 5, "two new queues with a job each, and a completion, are one frame");
}

#[test]
fn nothing_to_do_is_done() {
    let mut world = World::new();
    let outcome = world.decide(Command::Transaction(Transaction::default()));
    assert_eq!(outcome, Outcome::Transacted(Vec::new()));
}

#[test]
fn one_that_is_refused_refuses_all() {
    for (refused, why) in [
        ("complete 9", "job_not_found"),
        ("complete 2", "not_leased ready"),
        ("complete 3@1", "stale_token"),
        ("complete 4", "job_ended cancelled"),
        ("enqueue expires_in=0", "already_expired"),
        ("enqueue run_in=500 expires_in=500", "already_expired"),
        ("enqueue run_in=99999999999", "too_far_ahead"),
        ("enqueue expires_in=99999999999", "too_far_ahead"),
        ("enqueue queue=full", "queue_full 1"),
        ("enqueue unique=u", "unique_conflict 1"),
        ("enqueue unique=u conflict=replace", "unique_conflict 1"),
    ] {
        let before = "configure queue=full jobs_max=1
             enqueue unique=u | priority=9 | priority=0 | priority=9 -> 1 ready, 2 ready, 3 ready, 4 ready
             lease                          -> 3
             release 3
             lease 2                        -> 3 1
             cancel 4
             enqueue queue=full             -> 5 ready";
        check(&format!(
            "{before}
             transact {refused}             -> operation 0 refused {why}
             transact enqueue queue=new ; complete 1 ; {refused} -> operation 2 refused {why}
             transact {refused} ; enqueue queue=new ; complete 1 -> operation 0 refused {why}
             queue queue=new                -> no such queue
             show 1 state                   -> leased
             show 6                         -> not kept"
        ));
    }
}

#[test]
fn the_first_that_is_refused_is_named() {
    check("transact enqueue ; complete 8 ; enqueue expires_in=0 -> operation 1 refused job_not_found");
}

#[test]
fn room_in_a_queue_is_taken_by_what_comes_before() {
    check(
        "configure jobs_max=3
         enqueue
         transact enqueue ; enqueue queue=other ; enqueue ; enqueue -> operation 3 refused queue_full 3
         transact enqueue ; enqueue queue=other ; enqueue -> 2 ready, 3 ready, 4 ready
         queue counts                       -> 3 ready",
    );
}

#[test]
fn room_that_an_operation_frees_is_not_there_for_the_others() {
    check(
        "configure jobs_max=2
         enqueue | unique=u priority=9      -> 1 ready, 2 ready
         lease                              -> 1
         transact complete 1 ; enqueue      -> operation 1 refused queue_full 2
         configure jobs_max=3
         transact enqueue unique=u conflict=replace ; enqueue -> operation 1 refused queue_full 3
         transact complete 1 ; enqueue unique=u conflict=replace -> 1 completed, 3 ready
         show 2 state reason                -> cancelled, replaced
         queue counts                       -> 1 ready 1 completed 1 cancelled",
    );
}

#[test]
fn room_in_a_shard_is_taken_by_what_comes_before() {
    let limits = StateLimits { jobs_max: 3, ..StateLimits::default() };
    check_in(
        World::with_limits(limits),
        "enqueue
         transact enqueue ; enqueue queue=a ; enqueue queue=b -> operation 2 refused shard_full 3
         transact enqueue ; enqueue queue=a -> 2 ready, 3 ready",
    );
}

fn transact(world: &mut World, jobs: &[(&str, &str)]) -> Outcome {
    let one = |&(queue, kind): &(&str, &str)| {
        Operation::Enqueue(EnqueueOne { queue: queue.into(), kind: kind.into(), job: job() })
    };
    world.decide(Command::Transaction(Transaction {
        conditions: Vec::new(),
        operations: jobs.iter().map(one).collect(),
    }))
}

#[test]
fn queues_and_kinds_are_counted_over_the_whole_transaction() {
    let mut world = World::new();
    for n in 0..QUEUES_MAX - 1 {
        let (queue, kind) = (format!("q-{n}"), format!("k-{n}"));
        transact(&mut world, &[(&queue, &kind)]);
    }
    const { assert!(QUEUES_MAX == KINDS_MAX) };
    let before = world.state.digest();
    let refused = |operation, refusal| Outcome::TransactionRefused { operation, refusal };
    let too_many = [("new", "k-0"), ("new", "k-0"), ("q-0", "k-0"), ("newer", "k-0")];
    assert_eq!(transact(&mut world, &too_many), refused(3, Refusal::TooManyQueues));
    let too_many = [("q-0", "new"), ("q-1", "new"), ("q-0", "k-0"), ("q-0", "newer")];
    assert_eq!(transact(&mut world, &too_many), refused(3, Refusal::TooManyKinds));
    assert_eq!(world.state.digest(), before);
    let just_enough = [("new", "new"), ("new", "new"), ("new", "k-0")];
    assert!(matches!(transact(&mut world, &just_enough), Outcome::Transacted(items) if items.len() == 3));
}

#[test]
fn a_unique_key_that_is_held_satisfies_or_refuses() {
    check(
        "enqueue unique=u                   -> 1 ready
         transact enqueue ; enqueue unique=u conflict=return -> 2 ready, duplicate of 1 ready
         transact enqueue ; enqueue unique=u conflict=reject -> operation 1 refused unique_conflict 1
         transact enqueue ; enqueue unique=u conflict=replace -> 3 ready, 4 ready
         show 1 state reason                -> cancelled, replaced
         enqueue unique=u                   -> refused unique_conflict 4
         transact enqueue queue=b unique=u ; enqueue queue=c unique=u -> 5 ready, 6 ready",
    );
}

#[test]
fn what_stands_for_a_job_takes_no_room() {
    check(
        "configure jobs_max=3
         enqueue unique=u                   -> 1 ready
         transact enqueue unique=u conflict=return ; enqueue ; enqueue -> duplicate of 1 ready, 2 ready, 3 ready",
    );
}

#[test]
fn one_unique_key_is_not_wanted_twice() {
    for first in ["reject", "return", "replace"] {
        for second in ["reject", "return", "replace"] {
            let wanted =
                format!("enqueue unique=u conflict={first} ; enqueue ; enqueue unique=u conflict={second}");
            check(&format!("transact {wanted} -> operation 2 refused invalid_value 0"));
            check(&format!(
                "enqueue queue=other unique=u\ntransact {wanted} -> operation 2 refused invalid_value 0"
            ));
        }
    }
}

#[test]
fn one_job_is_not_completed_twice() {
    check(
        "enqueue
         lease                              -> 1
         transact complete 1 ; enqueue ; complete 1 -> operation 2 refused invalid_value 0
         show 1 state                       -> leased",
    );
}

/// A poller that enqueues itself anew as it ends: its key is not free before it has ended.
#[test]
fn a_key_that_is_given_up_here_is_not_free_yet_and_its_holder_stands_for_nothing() {
    for conflict in ["reject", "return", "replace"] {
        check(&format!(
            "enqueue unique=u
             lease                          -> 1
             transact complete 1 ; enqueue unique=u conflict={conflict} -> operation 1 refused unique_conflict 1
             transact enqueue unique=u conflict={conflict} ; complete 1 -> operation 0 refused unique_conflict 1"
        ));
    }
    check(
        "enqueue unique=u until=started
         lease                              -> 1
         transact complete 1 ; enqueue unique=u -> 1 completed, 2 ready",
    );
    check(
        "enqueue unique=u until=5000
         lease                              -> 1
         transact complete 1 ; enqueue unique=u conflict=return -> 1 completed, duplicate of 1 leased
         after 5000
         enqueue unique=u                   -> 2 ready",
    );
}

#[test]
fn the_next_of_an_ordering_key_waits_for_the_one_that_is_completed_here() {
    check(
        "enqueue key=k
         lease                              -> 1
         transact enqueue key=k ; complete 1 ; enqueue key=k -> 2 ready, 1 completed, 3 ready
         readied                            -> q
         show 2 waiting_for                 -> worker
         show 3 waiting_for                 -> key_busy
         lease 5                            -> 2
         complete 2
         lease 5                            -> 3",
    );
}

#[test]
fn queues_that_got_work_are_noted() {
    check(
        "transact enqueue queue=a ; enqueue queue=b run_in=10 ; enqueue queue=c ; enqueue queue=a
         readied                            -> a c",
    );
}

#[test]
fn what_a_token_has_completed_before_is_no_success_again() {
    check(
        "enqueue
         lease                              -> 1
         transact complete 1 ; enqueue      -> 1 completed, 2 ready
         complete 1                         -> 1 completed
         transact complete 1 ; enqueue      -> operation 0 refused job_ended completed",
    );
}

#[test]
fn the_same_key_gets_the_same_answer_and_nothing_happens_again() {
    check(
        "enqueue | unique=u priority=9      -> 1 ready, 2 ready
         lease                              -> 1
         as a/1 transact complete 1 ; enqueue run_in=50 ; enqueue unique=u conflict=return \
         -> 1 completed, 3 scheduled +50, duplicate of 2 ready
         as a/1 transact complete 1 ; enqueue run_in=50 ; enqueue unique=u conflict=return \
         -> again: 1 completed, 3 scheduled +50, duplicate of 2 ready
         as a/2 transact enqueue            -> refused idempotency_mismatch
         queue counts                       -> 1 scheduled 1 ready 1 completed",
    );
}

#[test]
fn a_refusal_is_told_again_unless_it_only_said_not_now() {
    check(
        "as a/1 transact enqueue ; complete 1 -> operation 1 refused job_not_found
         enqueue
         lease                              -> 1
         as a/1 transact enqueue ; complete 1 -> again: operation 1 refused job_not_found
         show 1 state                       -> leased
         configure jobs_max=1
         as b/1 transact enqueue queue=other ; enqueue -> operation 1 refused queue_full 1
         complete 1
         as b/1 transact enqueue queue=other ; enqueue -> 2 ready, 3 ready",
    );
}

#[test]
fn a_transaction_says_whether_it_brings_work() {
    let enqueue = EnqueueOne { queue: "q".into(), kind: "work".into(), job: job() };
    let complete = Complete { id: JobId::new(0, 1), token: Token(1), result_len: 0 };
    let brings = |operations| Transaction { conditions: Vec::new(), operations }.enqueues();
    assert!(!brings(vec![]));
    assert!(!brings(vec![Operation::Complete(complete.clone())]));
    assert!(brings(vec![Operation::Complete(complete), Operation::Enqueue(enqueue)]));
}

/// A result lies behind what the same turn placed before it.
#[test]
fn a_result_lies_behind_the_payloads_of_its_transaction() {
    let world = check_in(
        World::new(),
        "enqueue
         lease                              -> 1
         transact enqueue len=100 ; complete 1 result=40 -> 2 ready, 1 completed",
    );
    let (payload, result) = (world.job(JobId::new(0, 2)).payload, world.job(JobId::new(0, 1)).result);
    assert_eq!((payload.offset, payload.len, result.offset, result.len), (0, 100, 100, 40));
    assert_eq!(payload.frame, result.frame);
}
