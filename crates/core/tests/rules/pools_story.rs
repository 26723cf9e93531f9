//! A holder's story: all that happened to it, in order, bounded.

use crate::support::script::{check, check_in};
use crate::support::{START, World};
use tidegate_core::command::Command;
use tidegate_core::limits::{STORY_ENTRIES_PER_HOLDER, STORY_MS};
use tidegate_core::pool::PoolConfig;
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::record::{Granted, StoryEntryRestated, StoryRestated};
use tidegate_core::record::Record;
use tidegate_core::state::{PoolLimits, State, StateLimits};

fn with_limits(pools: PoolLimits) -> World {
    World::with_limits(StateLimits { pools, ..StateLimits::default() })
}

#[test]
fn a_story_tells_requests_refusals_grants_and_offers_in_order() {
    check(
        "pool seats=1 waitlist=5 offers=tell hold=1000 offer=5000
         hold anna
         take bert                          -> refused sold_out 0
         join bert
         after 1000
         confirm 2                          -> 2 taken
         give_back 2
         holder bert story -> refused take sold_out p; joined p 1; offered 2 p +5000 job 1; confirmed 2 p; released 2 p
         holder anna story                  -> held 1 p +0; lapsed 1 p
         holder carl story                  -> unknown
         confirm 1                          -> refused hold_lapsed
         holder anna story                  -> held 1 p +0; lapsed 1 p; refused confirm hold_lapsed p",
    );
}

/// Nothing was told where a pool had changed or a job was refused, nor to the others whom the transaction was about.
#[test]
fn a_refused_transaction_is_told_to_all_whom_it_is_about() {
    check(
        "pool name=a
         pool name=b seats=9 limit=9
         take zoe pool=a                    -> 1 taken
         transact if version=a:1 ; take anna pool=b ; take bert pool=b ; take anna pool=b \
         -> condition 0 refused version_changed
         transact take anna pool=b ; take bert pool=a ; give_back 1 -> operation 1 refused sold_out 0
         configure queue=q jobs_max=1
         enqueue queue=q                    -> 1 ready
         transact take anna pool=b ; enqueue queue=q -> operation 1 refused queue_full 1
         transact if has=carl:a ; if has=bert:a ; take bert pool=b -> condition 0 refused lacks_pool 0
         transact if job=1:leased ; take dora pool=b -> condition 0 refused job_state_changed ready
         transact take emil pool=b ; leave emil pool=a ; leave emil pool=a \
         -> operation 1 refused not_waiting
         holder anna story -> refused transaction version_changed a; refused transaction sold_out a; \
         refused transaction elsewhere
         holder bert story -> refused transaction version_changed a; refused take sold_out a; \
         refused transaction lacks_pool a
         holder zoe story                   -> taken 1 a; refused transaction sold_out a
         holder carl story                  -> refused condition lacks_pool a
         holder dora story                  -> refused transaction job_state_changed
         holder emil story                  -> refused leave not_waiting a",
    );
}

#[test]
fn a_longer_hold_is_not_told() {
    check(
        "pool hold=1000 hold_max=9000
         hold anna                          -> 1 held +1000
         hold_on 1 for=5000                 -> 1 held +5000
         holder anna story                  -> held 1 p +1000",
    );
}

#[test]
fn the_same_refusal_again_is_told_once_a_minute() {
    check(
        "pool seats=0
         all take anna ; take anna ; take anna -> 3 times refused sold_out 0
         hold anna                          -> refused sold_out 0
         after 59999
         take anna                          -> refused sold_out 0
         holder anna story                  -> refused take sold_out p; refused hold sold_out p
         after 1
         take anna                          -> refused sold_out 0
         holder anna story                  -> refused take sold_out p; refused hold sold_out p; refused take sold_out p",
    );
}

#[test]
fn a_story_outlives_its_pool_and_ends_with_its_time() {
    check(&format!(
        "pool seats=1
         take anna
         give_back 1
         delete_pool
         holder anna story                  -> taken 1 p; released 1 p
         after {}
         holder anna story                  -> taken 1 p; released 1 p
         after 1
         holder anna                        -> unknown",
        STORY_MS - 1
    ));
}

#[test]
fn a_story_is_bounded() {
    let mut world = World::new();
    let (pool, seed) = (String::from("p"), [0; 32]);
    world.decide(Command::ConfigurePool {
        pool,
        config: Box::new(PoolConfig::of(1)),
        if_version: None,
        seed,
    });
    for _ in 0..STORY_ENTRIES_PER_HOLDER {
        let wish = Wish { pool: "p".into(), holder: "anna".into(), units: 1, group: None, hold_ms: None };
        world.decide(Command::Pools(vec![PoolOperation::Take(wish)]));
        let grant = world.state.holder("anna").unwrap().grants[0].id;
        world.decide(Command::Pools(vec![PoolOperation::Release(grant)]));
    }
    let story = world.state.holder("anna").unwrap().story;
    assert_eq!(story.len(), STORY_ENTRIES_PER_HOLDER);
    let mut numbers = story.iter().map(|entry| entry.number);
    assert!(numbers.clone().is_sorted());
    assert_eq!(numbers.next(), Some(STORY_ENTRIES_PER_HOLDER as u64 + 2), "the oldest are gone");
    let replayed = world.replayed_from(0);
    assert_eq!(replayed.digest_text(), world.state.digest_text());
}

#[test]
fn who_has_nothing_and_waits_no_more_is_forgotten_with_the_story() {
    check(&format!(
        "pool seats=1 waitlist=5 opens_in=1000 shuffle
         join dora
         leave dora
         after 1000
         take anna
         join bert
         join carl
         leave bert
         give_back 1
         give_back 2
         pool seats=1
         after {}
         holder carl grants                 -> none
         after 1
         holder anna                        -> unknown
         holder bert                        -> unknown
         holder carl                        -> unknown
         holder dora                        -> unknown",
        STORY_MS - 1
    ));
}

/// Names of pools cost nothing to make up, and each was an entry that drove out another.
#[test]
fn what_is_wanted_of_a_pool_that_is_not_there_is_not_told() {
    check(
        "pool seats=1
         take anna                          -> 1 taken
         leave anna pool=no                 -> refused pool_not_found
         take bert pool=no                  -> refused pool_not_found
         swap 1 pool=no                     -> refused pool_not_found
         transact if has=bert:no            -> condition 0 refused pool_not_found
         transact if lacks=bert:no ; take carl -> condition 0 refused pool_not_found
         holder anna story                  -> taken 1 p
         holder bert                        -> unknown
         holder carl                        -> unknown",
    );
}

#[test]
fn refusals_take_room_from_each_other_alone() {
    let limits = PoolLimits {
        story_entries_max: 2,
        story_entries_per_holder: 2,
        story_refusals_max: 3,
        story_refusals_per_holder: 2,
        ..PoolLimits::default()
    };
    check_in(
        with_limits(limits),
        "pool seats=1
         pool name=none seats=1
         take zoe pool=none                 -> 1 taken
         take anna                          -> 2 taken
         give_back 2
         all take x pool=none ; take y pool=none ; take z pool=none -> 3 times refused sold_out 0
         take w pool=none                   -> refused sold_out 0
         holder anna story                  -> taken 2 p; released 2 p
         holder x                           -> unknown
         holder y story                     -> refused take sold_out none
         all hold w pool=none ; leave w     -> refused sold_out 0, refused not_waiting
         holder w story                     -> refused hold sold_out none; refused leave not_waiting p
         holder y                           -> unknown
         holder z story                     -> refused take sold_out none
         holder anna story                  -> taken 2 p; released 2 p
         holder zoe story                   -> taken 1 none",
    );
}

/// A holder could wipe what is told of its own seat by holding and giving back others, and one with many names that of everybody.
#[test]
fn what_is_told_of_a_grant_stays_as_long_as_the_grant() {
    let limits = PoolLimits { story_entries_max: 4, story_entries_per_holder: 3, ..PoolLimits::default() };
    check_in(
        with_limits(limits),
        "pool seats=3
         pool name=b seats=1 hold=1000
         hold anna                          -> 1 held +300000
         confirm 1
         hold anna pool=b
         give_back 2
         hold anna pool=b
         give_back 3
         holder anna story -> held 1 p +300000; confirmed 1 p; released 2 b; held 3 b +1000; released 3 b
         take bert
         hold carl pool=b
         give_back 5
         hold dora pool=b
         give_back 6
         holder anna story                  -> held 1 p +300000; confirmed 1 p
         holder bert story                  -> taken 4 p
         give_back 4
         holder carl story                  -> released 5 b
         holder bert story                  -> released 4 p
         holder dora story                  -> held 6 b +1000; released 6 b",
    );
}

/// It was dropped after seven days, and a student of the second week had a seat of which nothing told where it came from.
#[test]
fn what_is_told_of_a_grant_is_told_for_as_long_as_it_has_not_ended() {
    let script = format!(
        "pool seats=9 limit=9
         hold anna                          -> 1 held +300000
         confirm 1
         take anna                          -> 2 taken
         give_back 2
         leave anna                         -> refused not_waiting
         after {STORY_MS}
         holder anna grants story           -> 1, held 1 p -604500000; confirmed 1 p
         give_back 1
         holder anna story                  -> released 1 p
         after {STORY_MS}
         holder anna                        -> unknown"
    );
    let mut world = check_in(World::new(), script.split_once("give_back 1").expect("it is in it").0);
    let target = world.next_frame();
    world.walk(target, |_| ());
    for from in [0, target] {
        let replayed = world.replayed_from(from);
        assert_eq!(replayed.digest_text(), world.state.digest_text());
        assert_eq!(replayed.holder("anna").expect("she has a unit").story.len(), 2);
    }
    check(&script);
}

#[test]
fn of_very_many_grants_the_latest_are_told_of() {
    let limits = PoolLimits { story_living_per_holder: 3, ..PoolLimits::default() };
    check_in(
        with_limits(limits),
        "pool seats=9 limit=0
         all hold anna ; take anna ; take anna -> 1 held +300000, 2 taken, 3 taken
         confirm 1
         holder anna story                  -> taken 2 p; taken 3 p; confirmed 1 p
         give_back 2
         take anna
         holder anna story                  -> taken 2 p; taken 3 p; confirmed 1 p; released 2 p; taken 4 p",
    );
}

#[test]
fn a_story_names_the_first_jobs_of_a_transaction() {
    let enqueues = " ; enqueue".repeat(20);
    let ready: String = (1..=20).map(|n| format!(", {n} ready")).collect();
    let told: String = (1..=16).map(|n| format!(" {n}")).collect();
    check(&format!(
        "pool seats=1
         transact take anna{enqueues} -> 1 taken{ready}
         holder anna story -> taken 1 p; enqueued{told}"
    ));
}

/// The end of a grant may be told no more, and a record from before it have brought back how it was given. That would have a place
/// among what stays as long as its grant, for ever.
#[test]
fn what_a_replay_brings_back_of_a_grant_that_is_gone_is_of_the_past() {
    let pools = PoolLimits { story_entries_per_holder: 1, ..PoolLimits::default() };
    let mut state = State::new(0, StateLimits { pools, ..StateLimits::default() });
    state.begin_turn(1, START);
    let entry = |number, happened, grant| StoryEntryRestated {
        number,
        at: START.0,
        happened,
        grant,
        ..StoryEntryRestated::default()
    };
    let (taken, joined) = (2, 6);
    let entries = vec![entry(1, taken, 7), entry(2, joined, 0)];
    state.apply(&Record::StoryRestated(StoryRestated { holder: "anna".into(), entries }));
    let (pool, holder) = ("p".into(), "anna".into());
    state.apply(&Record::Granted(Granted {
        pool,
        holder,
        grant: 8,
        units: 1,
        event: 3,
        ..Granted::default()
    }));
    let told = |state: &State| -> Vec<u64> {
        state.holder("anna").expect("it has a grant").story.iter().map(|entry| entry.number).collect()
    };
    assert_eq!(told(&state), [1, 2, 3]);
    state.finish_replay();
    assert_eq!(told(&state), [2, 3], "there is room for one thing that is of the past");
}

/// The number is the one on disk, and stays it.
#[test]
fn a_story_tells_by_number_which_refusal_of_a_job_it_was() {
    let world = check_in(
        World::new(),
        "pool seats=2
         configure queue=q jobs_max=1
         enqueue queue=q
         transact take anna ; enqueue queue=q -> operation 1 refused queue_full 1
         transact take bert ; complete 9    -> operation 1 refused job_not_found",
    );
    let told = |holder| world.state.holder(holder).expect("it was refused").story[0].value;
    assert_eq!((told("anna"), told("bert")), (8, 1));
}
