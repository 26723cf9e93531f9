//! The order of things whose moments are the same: no rule decides it, but who foretells a state is told it.

use crate::support::World;
use crate::support::script::check_in;
use tidegate_core::id::Time;
use tidegate_core::state::Places;

#[test]
fn places_are_told_in_the_order_in_which_time_comes_to_them() {
    let mut world = check_in(
        World::new(),
        "enqueue kind=later run_in=2000 | kind=later run_in=1000
         enqueue                            -> 3 ready
         lease for=1500                     -> 3
         enqueue kind=later expires_in=700 | kind=later expires_in=300
         enqueue times=4
         lease 2 kinds=work                 -> 6 7
         complete 7
         after 1
         complete 6
         cancel 9
         cancel 8
         as second/1 pause
         after 1
         as first/1 pause",
    );
    let places = |world: &World| world.state.places();
    let expected = Places {
        timers: vec![2, 3, 1],
        expiries: vec![5, 4],
        ended: vec![7, 6, 9, 8],
        answers: vec!["second".into(), "first".into()],
    };
    assert_eq!(places(&world), expected);
    // What is due, and no turn has come to it, is as if due now.
    world.now = world.now.plus(5_000);
    world.state.begin_turn(world.next_frame(), world.now);
    assert_eq!(places(&world), expected);
    world.after(0);
    let nothing_expires = Places { timers: vec![], expiries: vec![], ..expected };
    assert_eq!(Places { timers: vec![], ..places(&world) }, nothing_expires);
}

#[test]
fn holds_are_told_in_the_order_in_which_they_lapse() {
    let world = check_in(
        World::new(),
        "pool seats=9 limit=0
         hold anna for=2000                 -> 1 held +2000
         hold bert for=1000
         take carl
         hold dora for=2000
         hold emil for=1500
         hold fred for=3000
         confirm 5
         give_back 6",
    );
    let deadlines: Vec<(Time, u64)> = [(1_000, 2), (2_000, 1), (2_000, 4)]
        .into_iter()
        .map(|(ms, grant)| (world.now.plus(ms), grant))
        .collect();
    assert_eq!(world.state.grant_deadlines(), deadlines);
}
