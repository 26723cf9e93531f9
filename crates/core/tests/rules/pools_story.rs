//! A holder's story: all that happened to it, in order, bounded.

use crate::support::World;
use crate::support::script::check;
use tidegate_core::command::Command;
use tidegate_core::limits::{STORY_ENTRIES_PER_HOLDER, STORY_MS};
use tidegate_core::pool::PoolConfig;
use tidegate_core::pool::command::{PoolOperation, Wish};

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
    world.decide(Command::ConfigurePool { pool, config: Box::new(PoolConfig::of(1)), seed });
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
