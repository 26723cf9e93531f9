//! Which jobs a lease gets, and in which order.

use crate::support::script::{check, check_in};
use crate::support::{World, job};
use tidegate_core::command::{Lease, Release, Work};
use tidegate_core::outcome::LeasedJob;

#[test]
fn higher_priorities_go_first() {
    check(
        "enqueue priority=9 | priority=0 | priority=5 | priority=0
         lease 3                            -> 2 4 3
         lease 3                            -> 1",
    );
}

#[test]
fn within_a_priority_the_first_to_be_ready_goes_first() {
    check(
        "enqueue run_in=2000 | run_in=1000 | kind=a | kind=b | kind=a
         after 1000
         after 1000
         lease 9                            -> 3 4 5 2 1",
    );
}

/// Each has a place of its own, also when one turn makes all of them ready.
#[test]
fn jobs_whose_time_comes_at_once_keep_the_order_of_their_moments() {
    check(
        "enqueue run_in=1000 kind=a | run_in=500 kind=b | run_in=1000 kind=a | run_in=1000 kind=b | run_in=1000 priority=0
         after 1000
         show 5 position                    -> 1
         show 2 position                    -> 2
         show 1 position                    -> 3
         show 3 position                    -> 4
         show 4 position                    -> 5
         lease 9                            -> 5 2 1 3 4",
    );
}

#[test]
fn a_later_job_of_higher_priority_overtakes() {
    check(
        "enqueue times=3
         lease                              -> 1
         enqueue priority=0                 -> 4 ready
         lease 2                            -> 4 2",
    );
}

#[test]
fn a_lease_gets_at_most_what_it_asks_for() {
    check(
        "enqueue times=3
         lease 0                            -> none
         lease 2                            -> 1 2
         lease 2                            -> 3
         lease 2                            -> none",
    );
}

#[test]
fn no_lease_gets_more_than_a_thousand() {
    let mut world = World::new();
    for _ in 0..1_001 {
        world.add("q", job());
    }
    assert_eq!(world.lease("q", u32::MAX).len(), 1_000);
    assert_eq!(world.lease("q", u32::MAX).len(), 1);
}

#[test]
fn a_lease_of_an_unknown_queue_gets_nothing() {
    check("lease 5 -> none");
}

#[test]
fn only_the_kinds_asked_for_are_handed_out() {
    check(
        "enqueue kind=a | kind=b | kind=c | kind=a
         lease 9 kinds=nobody               -> none
         lease 9 kinds=c,a                  -> 1 3 4
         lease 9                            -> 2",
    );
}

/// A queue keeps a list for each kind; it gives lists back when there are many, and none gets lost.
#[test]
fn many_kinds_keep_their_order_among_each_other() {
    let mut script = String::new();
    for round in 0..2 {
        for kind in 0..40 {
            script += &format!("enqueue kind=k{kind} -> {} ready\n", round * 40 + kind + 1);
        }
        let ids: Vec<String> = (1..=40).map(|n| (round * 40 + n).to_string()).collect();
        script += &format!("lease 40 -> {}\n", ids.join(" "));
    }
    check(&script);
}

#[test]
fn a_paused_queue_hands_out_nothing_and_takes_everything() {
    check(
        "enqueue times=2
         lease                              -> 1
         pause                              -> done
         lease                              -> none
         show 2 waiting_for                 -> queue_paused
         enqueue                            -> 3 ready
         complete 1                         -> 1 completed
         resume                             -> done
         readied                            -> q
         lease 5                            -> 2 3",
    );
}

#[test]
fn pausing_what_is_not_there_is_refused() {
    check("pause -> refused queue_not_found");
}

#[test]
fn each_queue_of_a_lease_has_its_own_lease_time() {
    check(
        "configure queue=a lease_ms=5000    -> done
         enqueue queue=a
         enqueue queue=b
         lease 2 from=a,b
         show 1 lease_in                    -> +5000
         show 2 lease_in                    -> +30000",
    );
}

#[test]
fn a_queue_named_twice_gives_each_job_once() {
    check(
        "enqueue times=2
         lease 9 from=q,q                   -> 1 2
         show 1 attempt                     -> 1/5",
    );
}

#[test]
fn priority_counts_across_the_queues_of_a_lease() {
    check(
        "enqueue queue=a priority=5
         enqueue queue=b priority=1
         enqueue queue=a priority=0
         lease 9 from=a,b                   -> 3 2 1",
    );
}

/// Turns that went by the number of leases ever given always began with the same queue when each call took an even
/// number from two queues, and the other one starved.
#[test]
fn several_queues_take_turns_whatever_the_size_of_a_lease() {
    for (queues, max) in [(2, 1), (2, 2), (2, 10), (3, 1), (3, 3), (4, 6)] {
        let mut world = World::new();
        let names: Vec<String> = (0..queues).map(|n| format!("queue-{n}")).collect();
        for name in &names {
            for _ in 0..400 {
                world.add(name, job());
            }
        }
        let mut firsts = vec![0; queues];
        for _ in 0..36 {
            let leased = lease_from(&mut world, &names, max);
            let first = names.iter().position(|name| **name == *leased[0].queue).expect("one of them");
            firsts[first] += 1;
            let release = leased.iter().map(|job| Release { id: job.id, token: job.token }).collect();
            world.work(Work { release, ..Work::default() });
        }
        let least = 36 / queues / 4;
        assert!(firsts.iter().all(|&times| times > least), "{queues} queues by {max}: {firsts:?}");
    }
}

fn lease_from(world: &mut World, queues: &[String], max: u32) -> Vec<LeasedJob> {
    let lease = Lease { queues: queues.to_vec(), max, worker: "w".into(), ..Lease::default() };
    world.work(Work { lease: Some(lease), ..Work::default() }).leased
}

#[test]
fn a_released_job_goes_before_all_that_waited() {
    check(
        "enqueue times=4
         lease 2                            -> 1 2
         release 2                          -> 2 ready
         lease 1                            -> 2
         release 1                          -> 1 ready
         lease 9                            -> 1 3 4",
    );
}

/// A worker that stops gives its whole batch back in one list.
#[test]
fn a_batch_that_is_released_keeps_its_order() {
    check(
        "enqueue times=4
         lease 3                            -> 1 2 3
         release 1 2 3                      -> 1 ready, 2 ready, 3 ready
         lease 4                            -> 1 2 3 4
         release 3 1 2                      -> 3 ready, 1 ready, 2 ready
         lease 3                            -> 1 2 3",
    );
}

#[test]
fn a_job_knows_its_position_in_line() {
    check(
        "enqueue times=3
         enqueue priority=0 kind=other
         show 1 position                    -> 2
         show 3 position                    -> 4
         show 4 position                    -> 1
         lease                              -> 4
         show 3 position                    -> 3
         cancel 1
         show 3 position                    -> 2",
    );
}

#[test]
fn positions_count_all_kinds_and_higher_priorities() {
    check(
        "enqueue priority=0 kind=a times=3
         enqueue priority=0 kind=b times=2
         enqueue kind=a times=2
         enqueue kind=b times=2
         enqueue priority=9 kind=a times=9
         show 1 position                    -> 1
         show 3 position                    -> 3
         show 4 position                    -> 4
         show 5 position                    -> 5
         show 6 position                    -> 6
         show 7 position                    -> 7
         show 9 position                    -> 9
         show 10 position                   -> 10
         show 18 position                   -> 18
         lease 18                           -> 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18
         show 18 position                   -> -",
    );
}

/// A walk writes jobs anew in the order of their ids; their places in line are another.
#[test]
fn jobs_keep_their_places_after_a_restart_from_a_walk_on() {
    for (times, order) in [(2, "2 1"), (3, "2 3 1"), (4, "2 3 4 1")] {
        let mut world = check_in(
            World::new(),
            &format!("enqueue times={times}\nlease -> 1\nfail 1 retry_after=0 -> 1 ready"),
        );
        let target = world.next_frame();
        world.walk(target, |_| ());
        world.state = world.replayed_from(target);
        check_in(world, &format!("lease 9 -> {order}"));
    }
}

#[test]
fn can_lease_says_what_a_lease_would_find() {
    let mut world = World::new();
    let kinds = |kind: &str| vec![kind.to_string()];
    assert!(!world.state.can_lease("q", &[]), "there is no such queue");
    world.add("q", job());
    assert!(world.state.can_lease("q", &[]));
    assert!(world.state.can_lease("q", &kinds("work")));
    assert!(!world.state.can_lease("q", &kinds("other")));
    let leased = world.lease_one("q");
    assert!(!world.state.can_lease("q", &[]), "somebody has it");
    world.work(Work { release: vec![Release { id: leased.id, token: leased.token }], ..Work::default() });
    assert!(world.state.can_lease("q", &[]));
}
