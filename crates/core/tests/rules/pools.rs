//! Pools and grants: who gets units, for how long, and what is said to who does not.

use crate::support::World;
use crate::support::script::{check, check_in};
use tidegate_core::command::Command;
use tidegate_core::outcome::{Item, Outcome};
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::view::PoolItem;
use tidegate_core::state::{PoolLimits, StateLimits};

#[test]
fn units_are_held_and_taken_as_long_as_there_are_some() {
    check(
        "pool seats=2                       -> done
         hold anna                          -> 1 held +300000
         take bert                          -> 2 taken
         take carl                          -> refused sold_out 0
         show_pool units                    -> 1 held 1 taken 0 free
         show_grant 1 state holder until ceiling -> held, anna, +300000, +3600000
         show_grant 2 state holder until    -> taken, bert, -",
    );
}

#[test]
fn what_is_held_can_be_confirmed_once_and_given_back_once() {
    check(
        "pool seats=1
         hold anna                          -> 1 held +300000
         confirm 1                          -> 1 taken
         confirm 1                          -> 1 taken
         hold_on 1                          -> refused not_held
         after 400000
         show_grant 1 state                 -> taken
         give_back 1                        -> 1 released
         give_back 1                        -> refused grant_ended released
         confirm 1                          -> refused grant_ended released
         confirm 9                          -> refused grant_unknown
         confirm 3-1                        -> refused grant_unknown
         take bert                          -> 2 taken",
    );
}

#[test]
fn a_hold_lapses_at_its_deadline_to_the_millisecond() {
    check(
        "pool seats=1 hold=1000
         hold anna                          -> 1 held +1000
         after 999
         show_pool units                    -> 1 held 0 taken 0 free
         hold bert                          -> refused sold_out 0
         after 1
         show_pool units                    -> 0 held 0 taken 1 free
         confirm 1                          -> refused hold_lapsed
         show_grant 1 state since           -> lapsed, -1000
         hold bert for=50                   -> 2 held +50
         after 3600000
         confirm 1                          -> refused grant_unknown
         show_grant 1 state                 -> not kept",
    );
}

#[test]
fn a_hold_is_extended_up_to_its_ceiling_and_never_shortened() {
    check(
        "pool seats=1 hold=1000 hold_max=2500
         hold anna for=9000                 -> 1 held +2500
         give_back 1
         hold anna                          -> 2 held +1000
         after 600
         hold_on 2                          -> 2 held +1000
         hold_on 2 for=100                  -> 2 held +1000
         after 900
         hold_on 2 for=5000                 -> 2 held +1000   # 2500 after it was given
         after 1000
         hold_on 2                          -> refused hold_lapsed",
    );
}

#[test]
fn every_grant_has_a_higher_fencing_number() {
    check(
        "pool seats=1
         pool name=other seats=5
         hold anna                          -> 1 held +300000
         hold anna pool=other               -> 2 held +300000
         give_back 1
         hold bert                          -> 3 held +300000
         give_back 2
         give_back 3
         delete_pool                        -> done
         pool seats=1
         hold carl                          -> 4 held +300000",
    );
}

#[test]
fn a_holder_has_no_more_than_its_limit() {
    check(
        "pool seats=10 limit=3
         hold anna units=2                  -> 1 held x2 +300000
         hold anna units=2                  -> refused limit_reached 3
         take anna                          -> 2 taken
         hold anna                          -> refused limit_reached 3
         give_back 1
         hold anna units=2                  -> 3 held x2 +300000
         pool name=free seats=9 limit=0
         all take anna pool=free units=4 ; take anna pool=free units=4 -> 4 taken x4, 5 taken x4",
    );
}

#[test]
fn a_double_click_is_told_what_it_has() {
    check(
        "pool seats=5
         as click/1 take anna               -> 1 taken
         as click/1 take anna               -> again: 1 taken
         as click/2 take anna               -> refused idempotency_mismatch
         take anna                          -> refused limit_reached 1
         as late/1 hold anna                -> refused limit_reached 1
         give_back 1
         as late/1 hold anna                -> again: refused limit_reached 1
         show_pool units                    -> 0 held 0 taken 5 free",
    );
}

#[test]
fn every_operation_is_answered_again() {
    check(
        "as a/1 pool seats=2 waitlist=5     -> done
         as a/1 pool seats=2 waitlist=5     -> again: done
         as b/1 hold anna                   -> 1 held +300000
         as c/1 hold_on 1 for=400000        -> 1 held +400000
         as d/1 confirm 1                   -> 1 taken
         as b/1 hold anna                   -> again: 1 held +300000
         as c/1 hold_on 1 for=400000        -> again: 1 held +400000
         pool name=b
         as e/1 swap 1 pool=b               -> 2 taken
         as e/1 swap 1 pool=b               -> again: 2 taken
         as f/1 all take a ; take b ; take c -> 3 taken, 4 taken, refused sold_out 0
         as g/1 join d                      -> waits 1 behind 0
         as h/1 give_back 3                 -> 3 released
         as h/1 give_back 3                 -> again: 3 released
         as g/1 join d                      -> again: waits 1 behind 0
         as f/1 all take a ; take b ; take c -> again: 3 taken, 4 taken, refused sold_out 0
         as i/1 join e                      -> waits 2 behind 0
         as j/1 leave e                     -> left 2
         as j/1 leave e                     -> again: left 2
         as k/1 resize 9                    -> done
         as k/1 resize 9                    -> again: done
         as l/1 delete_pool                 -> refused pool_in_use 2
         as l/1 delete_pool                 -> again: refused pool_in_use 2
         show_pool units waiting            -> 1 held 1 taken 7 free, 0",
    );
}

#[test]
fn a_group_has_no_more_than_its_quota() {
    check(
        "pool seats=5 quotas=local:2,guest:4
         take a group=local                 -> 1 taken
         hold b group=local                 -> 2 held +300000
         take c group=local                 -> refused quota_full 2
         take c group=staff                 -> refused group_unknown
         take c group=guest                 -> 3 taken
         take d                             -> 4 taken
         show_pool groups                   -> guest 1 local 2
         give_back 2
         take c2 group=local                -> 5 taken
         take e group=guest                 -> 6 taken
         take f group=guest                 -> refused sold_out 0",
    );
}

#[test]
fn a_pool_opens_and_closes_at_its_time() {
    check(
        "pool seats=2 waitlist=2 opens_in=1000 closes_in=5000
         show_pool open version             -> not yet, 1
         take anna                          -> refused not_open +1000
         join anna                          -> refused not_open +1000
         after 999
         take anna                          -> refused not_open +1
         after 1
         show_pool open version             -> open, 2
         hold anna                          -> 1 held +300000
         after 3999
         take bert                          -> 2 taken
         after 1
         show_pool open                     -> closed
         take carl                          -> refused closed +0
         join carl                          -> refused closed +0
         confirm 1                          -> 1 taken        # it was given in time
         give_back 2                        -> 2 released
         pool seats=2 waitlist=2 closes_in=0
         take carl                          -> refused closed +0
         pool seats=2 opens_in=5 closes_in=5 -> refused never_open
         pool seats=2 opens_in=31622400001  -> refused too_far_ahead
         pool seats=2 closes_in=31622400001 -> refused too_far_ahead
         pool seats=2 opens_in=31622400000  -> done
         pool seats=2 waitlist=2
         take carl                          -> 3 taken",
    );
}

#[test]
fn a_pool_is_never_made_smaller_than_what_is_granted() {
    check(
        "pool seats=3 limit=2
         take anna units=2                  -> 1 taken x2
         resize 1                           -> refused below_granted 2
         pool seats=1 limit=2               -> refused below_granted 2
         resize 2                           -> done
         take bert                          -> refused sold_out 0
         resize 4                           -> done
         take bert                          -> 2 taken
         resize 4                           -> done
         resize 1 pool=none                 -> refused pool_not_found",
    );
}

/// A quota could be cut below what its group had, and taking it away let all of the group in who waited.
#[test]
fn a_quota_is_never_made_smaller_than_what_its_group_has() {
    check(
        "pool seats=5 limit=5 waitlist=9 quotas=g:2,h:1
         all take a group=g ; take b group=g -> 1 taken, 2 taken
         join c group=g                     -> waits 1 behind 0
         pool seats=5 limit=5 waitlist=9 quotas=h:1,g:1 -> refused below_granted quota 1: 2
         pool seats=5 limit=5 waitlist=9    -> done           # the group has no quota any more
         show_pool groups                   -> g 2
         holder c grants waits              -> none, p 1 behind 0
         take d group=g                     -> refused group_unknown
         give_back 1
         holder c grants                    -> none
         take e                             -> 3 taken        # nobody who fits waits
         pool seats=5 limit=5 waitlist=9 quotas=g:1 -> done
         holder c grants                    -> none
         pool seats=5 limit=5 waitlist=9 quotas=g:2 -> done
         holder c grants                    -> 4",
    );
}

#[test]
fn a_pool_is_deleted_when_nobody_has_any_of_it() {
    check(
        "pool seats=1 waitlist=1
         take anna
         join bert
         delete_pool                        -> refused pool_in_use 1
         give_back 1
         delete_pool                        -> refused pool_in_use 1
         give_back 2
         delete_pool                        -> done
         delete_pool                        -> refused pool_not_found
         take anna                          -> refused pool_not_found
         show_pool                          -> no such pool
         holder bert grants waits           -> none, none
         pool seats=0 waitlist=1
         join anna
         delete_pool                        -> refused pool_in_use 0
         leave anna
         delete_pool                        -> done",
    );
}

#[test]
fn a_version_rises_with_every_change_and_stays_above_a_deleted_pools() {
    check(
        "pool seats=2 waitlist=1
         show_pool version                  -> 1
         pool seats=2 waitlist=1
         show_pool version                  -> 1              # nothing has changed
         hold anna
         show_pool version                  -> 2
         hold_on 1
         show_pool version                  -> 2              # the same units are free
         confirm 1
         show_pool version                  -> 3
         take anna                          -> refused limit_reached 1
         show_pool version                  -> 3
         give_back 1
         show_pool version                  -> 4
         delete_pool
         pool seats=9
         show_pool version                  -> 6",
    );
}

#[test]
fn a_version_rises_when_the_line_changes() {
    check(
        "pool seats=0 waitlist=2
         show_pool version                  -> 1
         join anna
         show_pool version                  -> 2
         join anna
         show_pool version                  -> 2
         leave anna
         show_pool version                  -> 3
         join bert
         resize 1                                             # and it is offered
         show_pool version                  -> 6
         give_back 1
         show_pool version                  -> 7",
    );
}

#[test]
fn a_swap_never_loses_what_it_gives() {
    check(
        "pool name=a seats=1
         pool name=b seats=1
         take anna pool=a                   -> 1 taken
         take bert pool=b                   -> 2 taken
         swap 1 pool=b                      -> refused sold_out 0
         show_grant 1 state                 -> taken
         swap 1 pool=a                      -> refused same_pool
         swap 1 pool=c                      -> refused pool_not_found
         give_back 2
         swap 1 pool=b                      -> 3 taken
         show_grant 1 state                 -> swapped
         swap 1 pool=b                      -> refused grant_ended swapped
         holder anna grants                 -> 3
         hold carl pool=a                   -> 4 held +300000
         give_back 3
         swap 4 pool=b                      -> 5 held +300000
         show_pool pool=a units             -> 0 held 0 taken 1 free",
    );
}

/// Each swap gave a new ceiling, and so a unit could be held to and fro for ever.
#[test]
fn a_hold_is_not_held_for_longer_by_being_swapped() {
    check(
        "pool name=a hold=1000 hold_max=2500
         pool name=b hold=1000 hold_max=2500
         pool name=c hold=100 hold_max=200
         hold anna pool=a                   -> 1 held +1000
         after 900
         swap 1 pool=b                      -> 2 held +1000
         show_grant 2 ceiling               -> +1600
         after 900
         swap 2 pool=a                      -> 3 held +700
         hold_on 3                          -> 3 held +700
         swap 3 pool=c                      -> 4 held +100
         show_grant 4 ceiling               -> +200
         swap 4 pool=b                      -> 5 held +200
         after 200
         show_grant 5 state                 -> lapsed",
    );
}

#[test]
fn what_a_pool_says_of_itself_is_kept() {
    check(
        "pool seats=2 says=room:A1,day:mon
         show_pool says                     -> room A1 day mon",
    );
}

#[test]
fn a_line_that_finds_no_room_for_grants_is_served_when_there_is() {
    let pools = PoolLimits { grants_max: 1, ..PoolLimits::default() };
    check_in(
        World::with_limits(StateLimits { pools, ..StateLimits::default() }),
        "pool seats=0 waitlist=5
         pool name=b
         join a
         take b pool=b                      -> 1 taken
         resize 2
         holder a grants                    -> none
         take c                             -> refused sold_out 2
         give_back 1
         after 0
         holder a grants                    -> 2",
    );
}

#[test]
fn an_answer_that_only_says_that_a_shard_is_full_is_not_kept() {
    let pools = PoolLimits { pools_max: 2, grants_max: 1, ..PoolLimits::default() };
    check_in(
        World::with_limits(StateLimits { pools, ..StateLimits::default() }),
        "pool seats=5
         pool name=b
         take a                             -> 1 taken
         as k/1 take b                      -> refused too_many_grants 1
         as l/1 transact take b             -> operation 0 refused too_many_grants 1
         as m/1 pool name=c                 -> refused too_many_pools 2
         delete_pool pool=b
         as m/1 pool name=c                 -> done
         give_back 1
         as k/1 take b                      -> 2 taken
         give_back 2
         as l/1 transact take b             -> 3 taken",
    );
}

/// The log does not say whose line could not be served: a restart has to find out.
#[test]
fn a_line_that_found_no_room_before_a_restart_is_served_after_it() {
    let pools = PoolLimits { grants_max: 1, ..PoolLimits::default() };
    let world = check_in(
        World::with_limits(StateLimits { pools, ..StateLimits::default() }),
        "pool seats=0 waitlist=5
         pool name=b
         join a
         take b pool=b                      -> 1 taken
         resize 2",
    );
    check_in(
        world.restarted(),
        "holder a grants                    -> none
         give_back 1
         after 0
         holder a grants                    -> 2",
    );
}

/// Who starts with the walk's frames never hears of the pool, only that it is no more; and a version must not be used again.
#[test]
fn a_pool_that_is_deleted_during_a_walk_keeps_its_version_from_the_next() {
    let mut world = check_in(World::new(), "pool seats=1");
    let target = world.next_frame();
    let mut is_deleted = false;
    world.walk(target, |world| {
        if !std::mem::replace(&mut is_deleted, true) {
            world.decide(Command::DeletePool { pool: "p".into() });
        }
    });
    let trimmed = world.replayed_from(target);
    assert_eq!(trimmed.digest_text(), world.state.digest_text());
    world.state = trimmed;
    check_in(world, "pool\n show_pool version -> 3");
}

#[test]
fn a_pool_that_opens_at_this_moment_is_open_and_has_nothing_to_draw() {
    check(
        "pool seats=0 waitlist=5 opens_in=0 shuffle
         show_pool open commitment          -> open, -
         join anna                          -> waits 1 behind 0
         pool seats=0 waitlist=5 opens_in=0 closes_in=1 shuffle -> done     # it does not open again
         pool seats=0 waitlist=5 opens_in=1 shuffle -> refused pool_in_use 0",
    );
}

#[test]
fn a_pool_that_closes_at_this_moment_is_closed_also_to_its_line() {
    check(
        "pool seats=0 waitlist=5
         join anna
         pool seats=1 waitlist=5 closes_in=0
         show_pool open units               -> closed, 0 held 0 taken 1 free
         holder anna grants waits           -> none, none
         holder anna story                  -> joined p 1; line_closed p 1
         after 1
         pool seats=1 waitlist=5 closes_in=1
         holder anna grants                 -> none",
    );
}

#[test]
fn an_extension_that_changes_nothing_is_not_written_down() {
    let world = check_in(World::new(), "pool seats=1 hold=1000\n hold anna");
    let frames = world.frames.len();
    let world = check_in(
        world,
        "hold_on 1 -> 1 held +1000\n hold_on 1 for=500 -> 1 held +1000\n confirm 1 -> 1 taken",
    );
    assert_eq!(world.frames.len(), frames + 1, "only that it is taken");
}

#[test]
fn what_is_held_is_answered_with_how_long_it_can_be_and_what_is_taken_is_not() {
    let mut world = check_in(World::new(), "pool seats=2 hold=1000 hold_max=5000");
    let wish =
        |holder: &str| Wish { pool: "p".into(), holder: holder.into(), units: 1, group: None, hold_ms: None };
    let operations = vec![PoolOperation::Hold(wish("anna")), PoolOperation::Take(wish("bert"))];
    let Outcome::Pooled(items) = world.decide(Command::Pools(operations)) else { panic!("items") };
    let until = |item: &Item| match item {
        Item::Pool(PoolItem::Grant { expires_at, extendable_until, .. }) => (*expires_at, *extendable_until),
        other => panic!("a grant, not {other:?}"),
    };
    let ahead = |ms| Some(world.now.plus(ms));
    assert_eq!(items.iter().map(until).collect::<Vec<_>>(), [(ahead(1_000), ahead(5_000)), (None, None)]);
}

#[test]
fn a_pool_is_configured_only_over_the_version_that_was_seen() {
    check(
        "pool seats=2 if_version=1          -> refused version_changed
         show_pool units                    -> no such pool
         pool seats=2 if_version=0          -> done
         show_pool version                  -> 1
         # Not over one that is there, unless it is so already.
         pool seats=5 if_version=0          -> refused version_changed
         pool seats=2 if_version=0          -> done
         show_pool units version            -> 0 held 0 taken 2 free, 1
         # Somebody else was faster.
         resize 3                           -> done
         pool seats=9 if_version=1          -> refused version_changed
         show_pool units version            -> 0 held 0 taken 3 free, 2
         pool seats=9 if_version=2          -> done
         show_pool units version            -> 0 held 0 taken 9 free, 3
         # Also by a grant, and by whoever deleted it and made it anew.
         take anna                          -> 1 taken
         pool seats=8 if_version=3          -> refused version_changed
         give_back 1                        -> 1 released
         delete_pool                        -> done
         pool seats=8 if_version=5          -> refused version_changed
         pool seats=9 if_version=0          -> done
         pool seats=8 if_version=3          -> refused version_changed
         pool seats=8                       -> done
         show_pool units                    -> 0 held 0 taken 8 free",
    );
}
