//! Transactions with pools: conditions and operations, all or nothing. That a refusal leaves nothing but a line in the
//! holder's story, the scripts' runner sees to.

use crate::support::World;
use crate::support::pools::operation;
use crate::support::script::{check, check_in};
use tidegate_core::command::{Operation, Transaction};
use tidegate_core::state::{PoolLimits, StateLimits};

#[test]
fn an_enrolment_is_one_transaction() {
    check(
        "pool name=cs101@spring seats=1
         transact if lacks=anna:cs101@spring ; if units=anna:2 place=spring ; take anna pool=cs101@spring ; \
         enqueue queue=mail ; enqueue queue=fees -> 1 taken, 1 ready, 2 ready
         holder anna story                  -> taken 1 cs101@spring; enqueued 1 2
         transact if lacks=anna:cs101@spring ; take anna pool=cs101@spring ; enqueue queue=mail \
         -> condition 0 refused has_pool 0
         transact take bert pool=cs101@spring ; enqueue queue=mail -> operation 0 refused sold_out 0
         transact enqueue queue=mail ; take bert pool=cs101@spring -> operation 1 refused sold_out 0
         queue queue=mail counts            -> 1 ready
         holder anna story                  -> taken 1 cs101@spring; enqueued 1 2; refused condition has_pool cs101@spring
         holder bert story                  -> refused take sold_out cs101@spring",
    );
}

#[test]
fn conditions_are_judged_before_operations_and_the_first_is_named() {
    check(
        "pool name=a seats=5 limit=5
         pool name=b@x seats=5 limit=5
         pool name=c
         take anna pool=a units=2
         take anna pool=b@x units=3
         show_pool pool=a version           -> 2
         transact if version=a:2            ->
         transact if version=a:1 ; take carl pool=a -> condition 0 refused version_changed
         transact if version=no:2           -> condition 0 refused pool_not_found
         transact if has=anna:a,b@x ; if has=anna:a,c -> condition 1 refused lacks_pool 1
         transact if has=bert:a             -> condition 0 refused lacks_pool 0
         transact if lacks=bert:a,b@x ; if lacks=anna:c,a -> condition 1 refused has_pool 1
         transact if units=anna:6 ; if units=anna:5 -> condition 1 refused units_reached 5
         transact if units=anna:4 place=x ; if units=anna:3 place=x -> condition 1 refused units_reached 3
         transact if units=anna:1 place=y   ->
         enqueue
         transact if job=1:ready            ->
         transact if job=1:leased           -> condition 0 refused job_state_changed ready
         transact if job=2:ready ; confirm 9 -> condition 0 refused job_not_found",
    );
}

/// A name with a typing mistake let everything pass: nobody has units of a pool that does not exist.
#[test]
fn a_condition_on_a_pool_that_is_not_there_is_refused_by_its_place_in_the_list() {
    check(
        "pool name=a limit=2 seats=2
         take anna pool=a
         transact if lacks=bert:no ; take bert pool=a -> condition 0 refused pool_not_found
         transact if lacks=bert:a ; if lacks=bert:a,no,nor ; take bert pool=a -> condition 1 refused pool_not_found 1
         transact if has=anna:a,no ; take anna pool=a -> condition 0 refused pool_not_found 1
         transact if lacks=anna:a,no        -> condition 0 refused has_pool 0
         transact if has=bert:a,no          -> condition 0 refused lacks_pool 0
         pool name=no
         transact if lacks=bert:a,no ; take bert pool=a -> 2 taken
         delete_pool pool=no
         transact if lacks=anna:no          -> condition 0 refused pool_not_found
         as k/1 transact if lacks=anna:no   -> condition 0 refused pool_not_found
         pool name=no
         as k/1 transact if lacks=anna:no   -> again: condition 0 refused pool_not_found",
    );
}

#[test]
fn what_operations_take_adds_up_and_what_they_give_back_is_not_there() {
    check(
        "pool seats=2 limit=2 quotas=g:1
         transact take a ; take b ; take c  -> operation 2 refused sold_out 0
         transact take a ; take a ; take a  -> operation 2 refused limit_reached 2
         transact take a group=g ; take b group=g -> operation 1 refused quota_full 1
         transact take a ; take b           -> 1 taken, 2 taken
         transact give_back 1 ; take c      -> operation 1 refused sold_out 0
         show_grant 1 state                 -> taken",
    );
}

#[test]
fn what_operations_take_of_one_pool_is_not_taken_of_another() {
    check(
        "pool name=a seats=1 quotas=g:1 waitlist=1
         pool name=b seats=1 quotas=g:1 waitlist=1
         transact take anna pool=a group=g ; take anna pool=b group=g -> 1 taken, 2 taken
         transact join bert pool=a ; join bert pool=b -> 2 times waits 1 behind 0
         transact leave bert pool=a ; leave bert pool=b -> 2 times left 1
         transact join bert pool=a ; join carl pool=a -> operation 1 refused waitlist_full 1
         transact join bert pool=b ; join carl pool=a -> 2 times waits 2 behind 0",
    );
    check(
        "pool seats=2 waitlist=1 quotas=g:1,h:1
         transact take anna ; join anna     -> operation 1 refused limit_reached 1
         transact join anna ; take anna     -> operation 1 refused limit_reached 1
         transact take anna group=g ; take bert group=h -> 1 taken, 2 taken",
    );
}

#[test]
fn what_operations_take_of_the_shard_adds_up() {
    let pools = PoolLimits { grants_max: 2, waiters_max: 1, ..PoolLimits::default() };
    check_in(
        World::with_limits(StateLimits { pools, ..StateLimits::default() }),
        "pool seats=5 limit=5
         pool name=a seats=0 waitlist=5
         pool name=b seats=0 waitlist=5
         transact take anna ; take anna ; take anna -> operation 2 refused too_many_grants 2
         transact join anna pool=a ; join anna pool=b -> operation 1 refused too_many_grants 1
         transact take bert ; take carl ; take dora -> operation 2 refused too_many_grants 2
         holder carl story                  -> refused transaction too_many_grants p
         transact take bert ; take anna     -> 1 taken, 2 taken
         transact leave bert pool=a         -> operation 0 refused not_waiting
         give_back 1
         join bert pool=b                   -> waits 1 behind 0
         join anna pool=b                   -> refused too_many_grants 1",
    );
    let pools = PoolLimits { holders_max: 2, ..PoolLimits::default() };
    check_in(
        World::with_limits(StateLimits { pools, ..StateLimits::default() }),
        "pool seats=5
         transact take bert ; take carl ; take dora -> operation 2 refused too_many_holders 2
         transact take bert ; take carl     -> 1 taken, 2 taken",
    );
}

#[test]
fn what_is_given_back_goes_to_the_line() {
    check(
        "pool name=a seats=2 waitlist=5
         pool name=b seats=1
         all take anna pool=a ; take bert pool=a -> 1 taken, 2 taken
         join carl pool=a                   -> waits 1 behind 0
         transact give_back 1 ; take anna pool=b ; leave carl pool=a -> 1 released, 3 taken, left 1
         transact give_back 2 ; join dora pool=a -> 2 released, 4 held +300000
         show_pool pool=a units             -> 1 held 0 taken 1 free",
    );
}

/// Pools used to be served in the order of their numbers, which a recovery may give them anew.
#[test]
fn of_two_pools_that_something_is_given_back_to_the_one_named_first_is_served_first() {
    check(
        "pool name=b waitlist=5
         pool name=a waitlist=5
         all take anna pool=a ; take bert pool=b -> 1 taken, 2 taken
         all join carl pool=a ; join dora pool=b -> 2 times waits 1 behind 0
         transact give_back 1 ; give_back 2 -> 1 released, 2 released
         holder carl grants                 -> 3
         holder dora grants                 -> 4",
    );
}

#[test]
fn a_grant_is_in_one_operation_only() {
    check(
        "pool seats=1 waitlist=3
         pool name=b seats=2 waitlist=3
         hold anna
         transact confirm 1 ; give_back 1   -> operation 1 refused invalid_value 0
         transact confirm 1 ; swap 1 pool=b -> operation 1 refused invalid_value 0
         transact confirm 1 ; enqueue       -> 1 taken, 1 ready
         transact confirm 1 ; enqueue       -> operation 0 refused not_held
         transact join bert ; join bert     -> operation 1 refused invalid_value 0
         transact join bert ; join carl     -> waits 1 behind 0, waits 2 behind 1
         hold dora pool=b
         hold emil pool=b
         transact confirm 2 ; confirm 3     -> 2 taken, 3 taken",
    );
}

/// A seat was released and its place in another line asked for in one transaction: the answer was the place, which had gone with the
/// seat. And an offer was extended that was declined a moment later.
#[test]
fn what_a_grant_is_promised_for_ends_with_it_and_is_in_no_other_operation() {
    check(
        "pool name=a
         pool name=b waitlist=5
         pool name=c
         take anna pool=a                   -> 1 taken
         take bert pool=b                   -> 2 taken
         swap 1 pool=b when_offered         -> waits 1 behind 0
         transact give_back 1 ; join anna pool=b -> operation 1 refused invalid_value 0
         transact join anna pool=b ; give_back 1 -> operation 1 refused invalid_value 0
         transact give_back 1 ; leave anna pool=b -> operation 1 refused invalid_value 0
         transact swap 1 pool=c ; join anna pool=b -> operation 1 refused invalid_value 0
         transact join anna pool=b ; swap 1 pool=c -> operation 1 refused invalid_value 0
         transact swap 1 pool=b when_offered ; take carl pool=c -> waits 1 behind 0, 3 taken
         give_back 3
         give_back 2
         holder anna grants                 -> 1 4
         transact give_back 1 ; hold_on 4   -> operation 1 refused invalid_value 0
         transact hold_on 4 ; give_back 1   -> operation 0 refused is_offer +300000
         transact swap 1 pool=c ; hold_on 4 -> operation 1 refused invalid_value 0
         transact give_back 1 ; give_back 4 -> operation 1 refused invalid_value 0
         transact give_back 4 ; take carl pool=c -> 4 declined, 5 taken
         give_back 5
         transact swap 1 pool=c ; take carl pool=b -> 6 taken, 7 taken
         holder anna grants waits           -> 6, none",
    );
}

/// It was answered with a place in line that nobody stood at any more.
#[test]
fn who_waits_and_is_served_by_the_same_transaction_is_answered_with_the_offer() {
    check(
        "pool waitlist=5
         take bert                          -> 1 taken
         join anna                          -> waits 1 behind 0
         transact join anna ; give_back 1   -> 2 held +300000, 1 released
         holder anna grants waits           -> 2, none",
    );
}

/// A holder who left the line and joined it in one transaction took the place that it had just left: the state broke.
#[test]
fn a_place_in_line_is_in_one_operation_only() {
    check(
        "pool seats=0 waitlist=3
         join anna                          -> waits 1 behind 0
         transact leave anna ; join anna    -> operation 1 refused invalid_value 0
         transact join anna ; leave anna    -> operation 1 refused invalid_value 0
         transact leave anna ; leave anna   -> operation 1 refused invalid_value 0
         transact leave anna ; join bert    -> left 1, waits 2 behind 0
         all leave bert ; join bert         -> left 2, waits 3 behind 0",
    );
}

#[test]
fn a_job_is_completed_and_a_hold_confirmed_or_neither() {
    check(
        "pool seats=1 hold=5000
         hold anna
         enqueue
         lease                              -> 1
         transact complete 1 ; confirm 1 ; enqueue queue=next -> 1 completed, 1 taken, 2 ready
         holder anna story                  -> held 1 p +5000; confirmed 1 p; enqueued 2; completed 1
         pool name=b seats=1 hold=5000
         hold bert pool=b
         enqueue
         lease                              -> 3
         after 5000
         transact complete 3 ; confirm 2    -> operation 1 refused hold_lapsed
         show 3 state                       -> leased",
    );
}

#[test]
fn a_swap_may_be_part_of_it() {
    check(
        "pool name=a seats=1 waitlist=5
         pool name=b seats=1 waitlist=5
         take anna pool=a
         join bert pool=a
         transact swap 1 pool=b ; enqueue queue=mail -> 2 taken, 1 ready
         holder bert grants                 -> 3
         transact swap 2 pool=a when_offered ; enqueue -> waits 2 behind 0, 2 ready
         transact give_back 3 ; enqueue     -> 3 declined, 3 ready
         show_grant 4 holder gives          -> anna, 2
         transact confirm 4 ; give_back 2   -> operation 1 refused invalid_value 0
         transact give_back 2 ; confirm 4   -> operation 1 refused invalid_value 0
         transact confirm 4                 -> 4 taken
         holder anna grants                 -> 4",
    );
}

#[test]
fn the_same_key_brings_the_same_answer() {
    check(
        "pool seats=1
         as k/1 transact take anna ; enqueue -> 1 taken, 1 ready
         as k/1 transact take anna ; enqueue -> again: 1 taken, 1 ready
         as l/1 transact take bert ; enqueue -> operation 0 refused sold_out 0
         give_back 1
         as l/1 transact take bert ; enqueue -> again: operation 0 refused sold_out 0
         as m/1 transact if has=bert:p      -> condition 0 refused lacks_pool 0
         as m/1 transact if has=bert:p      -> again: condition 0 refused lacks_pool 0",
    );
}

/// A full disk has room for what gives back, and for nothing that must be kept.
#[test]
fn operations_say_whether_they_take() {
    for (asked, takes) in [
        ("hold anna", true),
        ("take anna", true),
        ("join anna", true),
        ("swap 1 pool=b", true),
        ("confirm 1", false),
        ("hold_on 1", false),
        ("give_back 1", false),
        ("leave anna", false),
    ] {
        let operation = operation(&asked.split(' ').collect::<Vec<_>>());
        assert_eq!(operation.takes(), takes, "{asked}");
        let operations = vec![Operation::Pool(operation)];
        let transaction = Transaction { conditions: Vec::new(), operations };
        assert_eq!(transaction.enqueues(), takes, "{asked}");
    }
}
