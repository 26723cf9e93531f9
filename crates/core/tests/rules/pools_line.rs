//! Lines: who waits is offered what becomes free, at once and in order; and the order that an opening draws.

use crate::support::World;
use crate::support::pools::SEED;
use crate::support::script::{check, check_in};
use tidegate_core::command::{Command, Request};
use tidegate_core::limits::{ENTRANTS_MS, EXPIRE_PER_TURN, PLACES_COUNTED};
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::order::rank;
use tidegate_core::pool::record::Granted;
use tidegate_core::pool::{GrantId, Opening, PoolConfig};
use tidegate_core::record::Record;
use tidegate_core::state::{PoolLimits, StateLimits};

#[test]
fn a_unit_that_is_given_back_is_offered_to_the_first_in_line() {
    check(
        "pool seats=1 waitlist=3 offer=60000 offers=tell
         take anna                          -> 1 taken
         join bert                          -> waits 1 behind 0
         join carl                          -> waits 2 behind 1
         join bert                          -> waits 1 behind 0     # said twice, the same place
         join carl                          -> waits 2 behind 1
         give_back 1                        -> 1 released
         show_grant 2 holder state offered until job -> bert, held, true, +60000, 1
         show_pool units waiting            -> 1 held 0 taken 0 free, 1
         queue queue=tell counts            -> 1 ready
         show 1 kind state                  -> offer, ready
         lease from=tell                    -> 1
         take dora                          -> refused sold_out 0
         confirm 2                          -> 2 taken
         holder carl waits                  -> p 2 behind 0",
    );
}

#[test]
fn an_offer_that_is_declined_or_lapses_goes_to_the_next() {
    check(
        "pool seats=1 waitlist=9 offer=1000
         take anna
         all join b ; join c ; join d       -> waits 1 behind 0, waits 2 behind 1, waits 3 behind 2
         give_back 1
         give_back 2                        -> 2 declined
         show_grant 3 holder until          -> c, +1000
         after 1000
         show_grant 3 state                 -> offer_lapsed
         show_grant 4 holder until          -> d, +1000
         confirm 3                          -> refused hold_lapsed
         confirm 4                          -> 4 taken
         holder b grants waits              -> none, none",
    );
}

/// It could be held for an hour by being extended, while its job had expired and the line waited.
#[test]
fn an_offer_that_a_job_tells_of_or_something_is_given_for_lasts_as_long_as_was_told() {
    check(
        "pool name=a seats=1 waitlist=3 offer=60000 offers=tell
         pool name=b seats=1 waitlist=3 offer=60000
         pool name=c seats=1
         join anna pool=a                   -> 1 held +60000
         show_grant 1 until ceiling         -> +60000, +60000
         hold_on 1                          -> refused is_offer +60000
         transact hold_on 1 for=100         -> operation 0 refused is_offer +60000
         after 20000
         swap 1 pool=c                      -> 2 held +40000
         show_grant 2 ceiling               -> +40000
         hold_on 2 for=300000               -> 2 held +40000
         join bert pool=b                   -> 3 held +60000
         hold_on 3 for=3600000              -> 3 held +3600000   # nobody was told: so locks take it up
         join carl pool=b                   -> waits 2 behind 0
         take carl pool=a                   -> 4 taken
         swap 4 pool=b when_offered         -> refused already_waiting 2
         leave carl pool=b
         swap 4 pool=b when_offered         -> waits 3 behind 0
         give_back 3
         show_grant 5 holder until ceiling gives -> carl, +60000, +60000, 4
         hold_on 5                          -> refused is_offer +60000
         confirm 5                          -> 5 taken
         hold_on 5                          -> refused not_held",
    );
}

/// No unit lies idle for somebody who cannot use it: docs/pools.md says so, and what it costs.
#[test]
fn what_nobody_in_line_can_use_now_is_anybodys() {
    check(
        "pool seats=2 limit=2 waitlist=9
         all take anna ; take emil          -> 1 taken, 2 taken
         all join bert units=2 ; join carl units=2
         give_back 1
         take dora                          -> 3 taken
         give_back 2
         join emma                          -> 4 held +300000   # passes them in line
         give_back 3
         holder bert waits                  -> p 1 behind 0
         give_back 4                        -> 4 declined
         holder bert grants                 -> 5",
    );
}

#[test]
fn a_hold_that_lapses_is_offered_in_the_same_turn() {
    check(
        "pool seats=1 waitlist=1 hold=1000
         hold anna                          -> 1 held +1000
         join bert                          -> waits 1 behind 0
         after 1000
         show_grant 2 holder state          -> bert, held
         hold carl                          -> refused sold_out 0",
    );
}

#[test]
fn the_first_who_fits_is_offered() {
    check(
        "pool seats=4 limit=4 waitlist=9 quotas=g:1
         all take a units=3 ; take b group=g -> 1 taken x3, 2 taken
         all join c units=3 ; join d group=g ; join e ; join f units=2 \
         -> waits 1 behind 0, waits 2 behind 1, waits 3 behind 2, waits 4 behind 3
         take g units=2                     -> refused sold_out 0
         give_back 2                                          # one unit, and one of the quota
         holder d grants                    -> 3
         give_back 3                        -> 3 declined     # one unit; c wants three
         holder e grants                    -> 4
         give_back 1                                          # three units: c comes first
         holder c grants                    -> 5
         holder f waits                     -> p 4 behind 0
         give_back 4
         holder f grants                    -> none           # it wants two
         take g                             -> 6 taken        # nobody in line wants one
         give_back 5
         holder f grants                    -> 7",
    );
}

#[test]
fn a_group_over_its_quota_is_passed_over_until_it_has_room() {
    check(
        "pool seats=2 waitlist=9 quotas=g:1
         all take a group=g ; take b        -> 1 taken, 2 taken
         all join c group=g ; join d        -> waits 1 behind 0, waits 2 behind 1
         give_back 2
         holder d grants                    -> 3
         give_back 1
         holder c grants                    -> 4",
    );
}

#[test]
fn who_joins_while_there_is_room_is_offered_at_once() {
    check(
        "pool seats=2 waitlist=9
         join anna                          -> 1 held +300000
         join anna                          -> refused limit_reached 1
         holder anna story                  -> joined p 1; offered 1 p +300000; refused join limit_reached p",
    );
    check(
        "pool seats=3 limit=3 waitlist=9
         pool name=b seats=3 limit=3 waitlist=9
         join anna pool=b                   -> 1 held +300000
         take anna                          -> 2 taken
         join anna                          -> 3 held +300000   # and not what it had before",
    );
}

#[test]
fn a_line_is_bounded_and_may_be_off() {
    check(
        "pool seats=1
         take anna
         join bert                          -> refused waitlist_off
         pool seats=1 waitlist=1
         join bert                          -> waits 1 behind 0
         join carl                          -> refused waitlist_full 1
         leave carl                         -> refused not_waiting
         leave bert                         -> left 1
         join carl                          -> waits 2 behind 0",
    );
}

#[test]
fn who_waits_counts_what_it_waits_for() {
    check(
        "pool seats=1 limit=2 waitlist=5
         take anna                          -> 1 taken
         join anna units=2                  -> refused limit_reached 2
         join anna                          -> waits 1 behind 0
         take anna                          -> refused limit_reached 2
         pool seats=1 limit=1 waitlist=5
         resize 2                                             # its limit is lower now
         holder anna grants waits           -> 1, none
         holder anna story                  -> taken 1 p; refused join limit_reached p; joined p 1; \
         refused take limit_reached p; dropped p 1",
    );
}

#[test]
fn more_units_go_to_the_line_first() {
    check(
        "pool seats=1 waitlist=9
         take anna
         all join b ; join c                -> waits 1 behind 0, waits 2 behind 1
         resize 4
         holder b grants                    -> 2
         holder c grants                    -> 3
         take d                             -> 4 taken",
    );
}

#[test]
fn a_swap_when_offered_keeps_what_it_gives_until_the_offer_is_confirmed() {
    check(
        "pool name=a seats=1 waitlist=5
         pool name=b seats=1 waitlist=5 offer=1000
         take anna pool=a                   -> 1 taken
         take bert pool=b                   -> 2 taken
         join carl pool=a                   -> waits 1 behind 0
         swap 1 pool=b when_offered         -> waits 1 behind 0
         swap 1 pool=b when_offered         -> waits 1 behind 0
         join anna pool=b                   -> waits 1 behind 0     # it is that place
         give_back 2
         show_grant 3 holder pool gives     -> anna, b, 1
         show_grant 1 state                 -> taken
         after 1000                                           # declined by silence: A is kept
         show_grant 1 state                 -> taken
         swap 1 pool=b when_offered         -> 4 taken        # there is room now
         show_grant 1 state                 -> swapped
         holder carl grants                 -> 5
         give_back 5
         join dora pool=b                   -> waits 2 behind 0
         hold dora pool=a                   -> 6 held +300000
         swap 6 pool=b when_offered         -> refused already_waiting 2
         leave dora pool=b                  -> left 2
         swap 6 pool=b when_offered         -> waits 3 behind 0
         give_back 4
         confirm 7                          -> 7 taken
         show_grant 6 state                 -> swapped
         holder dora grants                 -> 7",
    );
}

/// One seat was promised in two lines, and brought a seat in each.
#[test]
fn a_grant_is_promised_once() {
    check(
        "pool name=a waitlist=5
         pool name=b waitlist=5
         pool name=c waitlist=5
         all take anna pool=a ; take bert pool=b ; take carl pool=c -> 1 taken, 2 taken, 3 taken
         swap 1 pool=b when_offered         -> waits 1 behind 0
         swap 1 pool=c when_offered         -> refused already_waiting 1
         give_back 2
         show_grant 4 holder gives          -> anna, 1
         swap 1 pool=c when_offered         -> refused already_waiting 1
         swap 4 pool=c when_offered         -> refused already_waiting 1   # 1 would be kept
         give_back 3
         swap 4 pool=c                      -> refused already_waiting 1
         confirm 4                          -> 4 taken
         holder anna grants                 -> 4
         show_grant 4 gives                 -> -
         take emil pool=c
         swap 4 pool=c when_offered         -> waits 1 behind 0
         leave anna pool=c                  -> left 1
         swap 4 pool=c when_offered         -> waits 2 behind 0            # it is promised no more",
    );
}

#[test]
fn who_promises_a_grant_again_hears_which_joining_it_is_promised_for() {
    check(
        "pool name=a waitlist=5
         pool name=b waitlist=5
         pool name=c waitlist=5
         all take anna pool=a ; take bert pool=b ; take carl pool=c -> 1 taken, 2 taken, 3 taken
         join zoe pool=b                    -> waits 1 behind 0
         swap 1 pool=b when_offered         -> waits 2 behind 1
         swap 1 pool=c when_offered         -> refused already_waiting 2
         leave zoe pool=b
         give_back 2
         show_grant 4 holder gives          -> anna, 1
         swap 1 pool=c when_offered         -> refused already_waiting 2   # also when it is an offer",
    );
}

/// It was swapped, and what it had been promised for came besides.
#[test]
fn a_place_in_line_ends_with_the_grant_that_is_promised_for_it() {
    check(
        "pool name=a waitlist=5
         pool name=b waitlist=5
         pool name=c
         all take anna pool=a ; take bert pool=b -> 1 taken, 2 taken
         swap 1 pool=b when_offered         -> waits 1 behind 0
         swap 1 pool=c                      -> 3 taken
         holder anna grants waits           -> 3, none
         holder anna story                  -> taken 1 a; joined b 1; taken 3 c; swapped 1 a; dropped b 1
         give_back 2
         show_pool pool=b units             -> 0 held 0 taken 1 free",
    );
}

#[test]
fn an_offer_ends_with_the_grant_that_is_promised_for_it() {
    check(
        "pool name=a hold=1000
         pool name=b waitlist=5 offer=5000
         hold anna pool=a                   -> 1 held +1000
         take bert pool=b                   -> 2 taken
         swap 1 pool=b when_offered         -> waits 1 behind 0
         join carl pool=b                   -> waits 2 behind 1
         give_back 2
         show_grant 3 holder gives until    -> anna, 1, +5000
         after 1000
         show_grant 1 state                 -> lapsed
         show_grant 3 state gives           -> declined, -
         show_grant 4 holder                -> carl
         confirm 3                          -> refused grant_ended declined
         holder anna story                  -> held 1 a +0; joined b 1; offered 3 b +4000; lapsed 1 a; declined 3 b; \
         refused confirm grant_ended b",
    );
}

/// A log from before this rule may hold an offer that gives up what is not there.
#[test]
fn an_offer_that_gives_up_what_is_not_there_is_not_confirmed() {
    let mut world = check_in(World::new(), "pool seats=2 limit=2");
    let until = world.now.plus(1_000).0;
    let granted = Granted {
        pool: "p".into(),
        holder: "anna".into(),
        grant: 7,
        units: 1,
        deadline: until,
        ceiling: until,
        waiter: 1,
        gives: 3,
        version: 9,
        event: 9,
        ..Granted::default()
    };
    world.state.apply(&Record::Granted(granted));
    let confirm = Command::Pools(vec![PoolOperation::Confirm(GrantId::new(0, 7))]);
    let refused = format!("{:?}", world.decide(confirm));
    assert!(refused.contains("GrantUnknown"), "{refused}");
}

/// It was refused, though the same holder may join with nothing to give.
#[test]
fn a_swap_when_offered_takes_part_in_a_draw() {
    check(
        "pool name=a
         pool name=b waitlist=5 opens_in=1000 shuffle
         pool name=c waitlist=5 opens_in=1000
         take anna pool=a                   -> 1 taken
         swap 1 pool=b                      -> refused not_open +1000
         swap 1 pool=c when_offered         -> refused not_open +1000
         swap 1 pool=b when_offered         -> waits 1 behind ?
         swap 1 pool=b when_offered         -> waits 1 behind ?
         after 1000
         show_grant 2 holder gives          -> anna, 1
         confirm 2                          -> 2 taken
         show_grant 1 state                 -> swapped",
    );
}

/// Who wanted a hundred units of a pool of one waited for ever.
#[test]
fn who_wants_more_than_there_is_does_not_wait_for_it() {
    check(
        "pool seats=2 limit=0 waitlist=9 quotas=g:1
         join a units=3                     -> refused never_fits 2
         join a units=2 group=g             -> refused never_fits 1
         all take x ; take y                -> 1 taken, 2 taken
         all join a units=2 ; join b        -> waits 1 behind 0, waits 2 behind 1
         give_back 1
         holder b grants                    -> 3
         give_back 2
         resize 1                           -> done           # less than a waits for: others pass it
         join c units=2                     -> refused never_fits 1
         join c                             -> waits 3 behind 1
         give_back 3
         holder c grants                    -> 4
         holder a waits                     -> p 1 behind 0
         resize 3                           -> done
         holder a grants                    -> 5
         pool name=q seats=0 limit=0 waitlist=9
         join a pool=q units=5              -> waits 1 behind 0   # its units are still to come",
    );
}

#[test]
fn the_order_of_an_opening_is_drawn_and_can_be_drawn_again() {
    let names = ["anna", "bert", "carl", "dora", "emil"];
    let mut drawn = names;
    drawn.sort_by_key(|name| rank(&SEED, name));
    assert_ne!(drawn, names, "a seed whose order differs from that of the joins");
    let joins = names.map(|name| {
        format!("join {name} -> waits {} behind ?\n", 1 + names.iter().position(|n| *n == name).unwrap())
    });
    let world = check_in(
        World::new(),
        &format!(
            "pool seats=2 waitlist=9 opens_in=1000 shuffle
             show_pool open seed            -> not yet, secret
             take anna                      -> refused not_open +1000
             {}
             holder carl waits              -> p 3 behind ?
             entrants                       -> none
             after 1000
             show_pool seed units waiting   -> a seed that only the test knows., 2 held 0 taken 0 free, 3
             entrants                       -> {}
             show_grant 1 holder            -> {}
             show_grant 2 holder            -> {}
             holder {} waits                -> p {} behind 0
             join zoe                       -> waits 6 behind 3
             take zoe                       -> refused limit_reached 1
             give_back 1
             show_grant 3 holder            -> {}
             entrants                       -> {}",
            joins.join(""),
            drawn.join(" "),
            drawn[0],
            drawn[1],
            drawn[2],
            names.iter().position(|name| *name == drawn[2]).unwrap() + 1,
            drawn[2],
            drawn.join(" "),
        ),
    );
    let view = world.state.pool("p").expect("there is the pool");
    assert_eq!(view.commitment, Some(tidegate_core::pool::order::commitment(&SEED)));
}

#[test]
fn who_leaves_before_the_opening_was_not_in_the_draw() {
    check(
        "pool seats=1 waitlist=9 opens_in=1000 shuffle
         join anna                          -> waits 1 behind ?
         join bert                          -> waits 2 behind ?
         join bert                          -> waits 2 behind ?
         leave anna                         -> left 1
         pool seats=1 waitlist=9 opens_in=500 -> refused pool_in_use 0
         after 1000
         entrants                           -> bert
         give_back 1
         holder bert grants waits           -> none, none
         entrants                           -> bert
         pool seats=1 waitlist=9
         entrants                           -> none",
    );
}

#[test]
fn who_leaves_after_the_opening_was_in_the_draw() {
    check(
        "pool seats=0 waitlist=9 opens_in=1000 shuffle
         join anna                          -> waits 1 behind ?
         after 1000
         leave anna                         -> left 1
         entrants                           -> anna
         holder anna waits                  -> none
         join anna                          -> waits 2 behind 0
         leave anna                         -> left 2
         entrants                           -> anna",
    );
}

#[test]
fn who_was_in_the_draw_is_told_whatever_else_changes_of_the_pool() {
    check(
        "pool seats=0 waitlist=9 opens_in=1000 shuffle
         join anna                          -> waits 1 behind ?
         pool seats=0 waitlist=8 opens_in=1000 shuffle
         resize 1
         after 1000
         entrants                           -> anna
         pool seats=1 waitlist=7 opens_in=0 shuffle
         resize 2
         entrants                           -> anna
         holder anna grants                 -> 1",
    );
}

/// Whoever could draw again until the order suits could choose it.
#[test]
fn the_seed_of_an_opening_is_never_another_one() {
    let mut world = World::new();
    let configure = |world: &mut World, waitlist_max: u32, opens_in: u64, seed: u8| {
        let opens_at = world.now.plus(opens_in).0;
        let opening = Opening::Shuffle as i32;
        let config = PoolConfig { waitlist_max, opens_at, opening, ..PoolConfig::of(1) };
        world.decide(Command::ConfigurePool {
            pool: "p".into(),
            config: Box::new(config),
            if_version: None,
            seed: [seed; 32],
        });
        world.state.pool("p").unwrap().commitment
    };
    let of = |seed: u8| Some(tidegate_core::pool::order::commitment(&[seed; 32]));
    assert_eq!(configure(&mut world, 9, 1_000, 1), of(1));
    assert_eq!(configure(&mut world, 8, 1_000, 2), of(1));
    assert_eq!(configure(&mut world, 8, 2_000, 3), of(1));
    world.after(2_000);
    assert_eq!(configure(&mut world, 7, 0, 4), of(1), "it has opened");
    assert_eq!(configure(&mut world, 7, 1_000, 5), of(5), "another opening");
}

/// A turn is bounded, so a large opening is many turns; meanwhile nobody passes the line.
#[test]
fn a_large_line_is_served_over_several_turns_and_nobody_passes_it() {
    let mut world = World::new();
    let seats = EXPIRE_PER_TURN as u32 + 500;
    let config = PoolConfig {
        waitlist_max: seats,
        opens_at: world.now.plus(1_000).0,
        opening: Opening::Shuffle as i32,
        ..PoolConfig::of(seats + 1)
    };
    world.decide(Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config),
        if_version: None,
        seed: SEED,
    });
    let wish =
        |n: u32| Wish { pool: "p".into(), holder: format!("h-{n}"), units: 1, group: None, hold_ms: None };
    let joins = (0..seats).map(|n| PoolOperation::Join(wish(n)));
    world.decide(Command::Pools(joins.collect()));
    world.now = world.now.plus(1_000);
    let sequence = world.next_frame();
    world.state.begin_turn(sequence, world.now);
    let mut records = Vec::new();
    let mut turn = tidegate_core::state::Turn::new(&mut records);
    assert!(world.state.expire(&mut turn), "more is due");
    let waiting = world.state.pool("p").unwrap().waiting;
    assert!(waiting > 0 && waiting < seats, "{waiting} wait still");
    let command = Command::Pools(vec![PoolOperation::Take(wish(seats))]);
    let request = tidegate_core::Request { idempotency: None, command };
    let refused = world.state.decide(request, &mut turn).outcome;
    assert!(format!("{refused:?}").contains("SoldOut"), "{refused:?}");
    assert_eq!(world.state.next_deadline(), Some(world.now), "the next turn comes at once");
    world.state.begin_turn(sequence + 1, world.now);
    assert!(!world.state.expire(&mut turn));
    let view = world.state.pool("p").unwrap();
    assert_eq!((view.waiting, view.held), (0, u64::from(seats)));
}

/// Its queue was full, and so every offer of a whole line lapsed without anybody having been told of it.
#[test]
fn a_full_queue_takes_the_jobs_that_tell_of_offers() {
    check(
        "configure queue=tell jobs_max=1
         enqueue queue=tell                 -> 1 ready
         pool seats=1 waitlist=9 offers=tell offer=1000
         take anna
         all join b ; join c                -> waits 1 behind 0, waits 2 behind 1
         give_back 1
         show_grant 2 holder job            -> b, 2
         enqueue queue=tell                 -> refused queue_full 1
         after 1000
         show_grant 3 holder job            -> c, 3
         queue queue=tell counts            -> 2 ready 1 dead",
    );
}

/// It was handed out after the offer had lapsed: who was told of it came for nothing.
#[test]
fn a_job_that_tells_of_an_offer_expires_with_it() {
    check(
        "pool seats=1 waitlist=1 offers=tell offer=1000
         take anna
         join bert
         give_back 1
         show 1 state expires_in            -> ready, +1000
         after 999
         show 1 state                       -> ready
         after 1
         show_grant 2 state                 -> offer_lapsed
         show 1 state                       -> dead
         lease from=tell                    -> none",
    );
}

#[test]
fn an_offer_stands_although_the_shard_has_no_room_to_tell_of_it() {
    check_in(
        World::with_limits(StateLimits { jobs_max: 1, ..StateLimits::default() }),
        "enqueue queue=tell                 -> 1 ready
         pool seats=1 waitlist=1 offers=tell
         take anna
         join bert
         give_back 1
         show_grant 2 holder job            -> bert, -",
    );
}

/// The place is counted from whichever end is nearer, and no further than a bound.
#[test]
fn a_place_in_line_is_how_many_stand_before_it() {
    let mut world = World::new();
    let config = PoolConfig { waitlist_max: 100_000, holder_units_max: 0, ..PoolConfig::of(0) };
    world.decide(Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config),
        if_version: None,
        seed: SEED,
    });
    let wish = |n: u32| Wish {
        pool: "p".into(),
        holder: format!("h-{n}"),
        units: 1 + n % 3,
        group: None,
        hold_ms: None,
    };
    let count = PLACES_COUNTED as u32 + 300;
    for from in (0..count).step_by(100) {
        world.decide(Command::Pools((from..from + 100).map(|n| PoolOperation::Join(wish(n))).collect()));
    }
    let ahead = |world: &World, n: u32| world.state.holder(&format!("h-{n}")).unwrap().waiting[0].ahead;
    for n in
        [0, 1, 63, 64, 65, 5_000, PLACES_COUNTED as u32 - 1, PLACES_COUNTED as u32, count - 100, count - 1]
    {
        assert_eq!(ahead(&world, n), Some(n.min(PLACES_COUNTED as u32)), "of the {n}-th");
    }
    let leave = |n: u32| PoolOperation::Leave { pool: "p".into(), holder: format!("h-{n}") };
    world.decide(Command::Pools((0..1_000).map(leave).collect()));
    assert_eq!(ahead(&world, 1_000), Some(0));
    assert_eq!(ahead(&world, count - 1), Some(count - 1_001));
}

/// Nobody will be offered anything: who waited for ever kept the pool from being deleted.
#[test]
fn a_pool_that_closes_lets_its_line_go() {
    check(
        "pool seats=2 limit=2 waitlist=5 closes_in=5000
         take anna units=2                  -> 1 taken x2
         all join bert units=2 ; join carl  -> waits 1 behind 0, waits 2 behind 1
         after 4999
         show_pool open waiting             -> open, 2
         after 1
         show_pool open waiting             -> closed, 0
         holder bert waits story            -> none, joined p 1; line_closed p 1
         holder carl waits story            -> none, joined p 2; line_closed p 2
         delete_pool                        -> refused pool_in_use 2
         give_back 1
         delete_pool                        -> done",
    );
}

#[test]
fn a_line_is_let_go_by_closing_its_pool() {
    check(
        "pool seats=1 waitlist=5
         pool name=b seats=1
         take zoe                           -> 1 taken
         take anna pool=b                   -> 2 taken
         swap 2 when_offered                -> waits 1 behind 0
         delete_pool                        -> refused pool_in_use 1
         pool seats=9 waitlist=5 closes_in=0
         holder anna grants waits           -> 2, none         # what it would have given it keeps
         holder anna story                  -> taken 2 b; joined p 1; line_closed p 1
         pool seats=9 waitlist=5
         join bert                          -> 3 held +300000  # it is open again
         all give_back 3 ; give_back 1      -> 3 declined, 1 released
         delete_pool                        -> done",
    );
}

#[test]
fn a_pool_that_has_let_its_line_go_wakes_nobody() {
    let world = check_in(
        World::new(),
        "pool seats=1 waitlist=5
         take zoe                           -> 1 taken
         join anna                          -> waits 1 behind 0
         pool seats=1 waitlist=5 closes_in=0",
    );
    assert_eq!(world.state.next_deadline(), None);
}

#[test]
fn a_draw_that_nobody_wants_any_more_is_let_go_by_closing_its_pool() {
    check(
        "pool seats=1 waitlist=5 opens_in=9000 shuffle
         join anna                          -> waits 1 behind ?
         pool seats=1 waitlist=5 closes_in=0 shuffle
         show_pool waiting units            -> 0, 0 held 0 taken 1 free
         entrants                           -> anna
         delete_pool                        -> done
         holder anna story                  -> joined p 1; line_closed p 1",
    );
}

#[test]
fn a_long_line_is_let_go_over_several_turns() {
    let mut world = World::new();
    let config = PoolConfig { waitlist_max: 100_000, ..PoolConfig::of(1) };
    let configure = |config: &PoolConfig| Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config.clone()),
        if_version: None,
        seed: SEED,
    };
    world.decide(configure(&config));
    let wish =
        |n: usize| Wish { pool: "p".into(), holder: format!("h-{n}"), units: 1, group: None, hold_ms: None };
    let all = EXPIRE_PER_TURN + 7;
    world.decide(Command::Pools(vec![PoolOperation::Take(wish(all))]));
    world.decide(Command::Pools((0..all).map(|n| PoolOperation::Join(wish(n))).collect()));
    world.decide(configure(&PoolConfig { closes_at: world.now.0, ..config }));
    let waiting = |world: &World| world.state.pool("p").expect("there is the pool").waiting;
    assert_eq!(waiting(&world), 7);
    assert_eq!(world.state.next_deadline(), Some(world.now), "the next turn comes at once");
    let waits =
        |n: usize| !world.state.holder(&format!("h-{n}")).expect("its story is told").waiting.is_empty();
    assert_eq!((waits(0), waits(EXPIRE_PER_TURN)), (false, true), "the first in line goes first");
    let restarted = world.restarted().after(0).state.digest_text();
    world.after(0);
    assert_eq!((waiting(&world), world.state.next_deadline()), (0, None));
    assert_eq!(restarted, world.state.digest_text());
}

#[test]
fn a_draw_can_be_drawn_again_for_thirty_days() {
    let mut drawn = ["anna", "bert", "carl"];
    drawn.sort_by_key(|name| rank(&SEED, name));
    let [first, second, third] = drawn;
    check(&format!(
        "pool seats=1 waitlist=9 opens_in=1000 shuffle
         all join anna ; join bert ; join carl
         after 1000
         give_back 1                        -> 1 declined
         confirm 2                          -> 2 taken
         entrants                           -> {first} {second} {third}
         after {}
         entrants                           -> {first} {second} {third}
         holder {first} grants              -> none
         after 1
         entrants                           -> none
         holder {first}                     -> unknown         # its story was over long before
         holder {second} grants             -> 2
         show_pool waiting                  -> 1               # and the third waits still
         leave {third}
         entrants                           -> none
         holder {third} story               -> left p {}
         give_back 2
         delete_pool                        -> done",
        ENTRANTS_MS - 1,
        1 + ["anna", "bert", "carl"].iter().position(|name| *name == third).expect("it is one of them"),
    ));
}

/// It is remembered from its opening on, not from the moment at which it was configured.
#[test]
fn a_draw_that_is_more_than_thirty_days_away_is_not_forgotten_before_it() {
    check(&format!(
        "pool seats=0 waitlist=9 opens_in={} shuffle
         join anna                          -> waits 1 behind ?
         after {ENTRANTS_MS}
         after 1000
         entrants                           -> anna",
        ENTRANTS_MS + 1_000
    ));
}

/// The draw before is forgotten at once, and those who come in the same turn are not.
#[test]
fn who_comes_for_a_second_opening_is_in_its_draw() {
    let mut world = check_in(World::new(), "pool seats=0 waitlist=9 opens_in=1000 shuffle\nafter 1000");
    let (opens_at, opening) = (world.now.plus(1_000).0, Opening::Shuffle as i32);
    let config = Box::new(PoolConfig { opens_at, opening, waitlist_max: 9, ..PoolConfig::of(0) });
    let anna = Wish { pool: "p".into(), holder: "anna".into(), units: 1, group: None, hold_ms: None };
    let opens_again = Command::ConfigurePool { pool: "p".into(), config, seed: SEED, if_version: None };
    let joins = Command::Pools(vec![PoolOperation::Join(anna)]);
    world.turn(|state, turn| {
        for command in [opens_again, joins] {
            state.decide(Request { idempotency: None, command }, turn);
        }
    });
    world.after(1).after(999);
    let entrants = world.state.entrants("p", 0, 9).expect("there is the pool");
    assert_eq!(entrants.iter().map(|entrant| &*entrant.holder).collect::<Vec<_>>(), ["anna"]);
}

/// Else no line would take anybody after some large openings.
#[test]
fn who_was_in_a_draw_takes_no_place_in_line() {
    let pools = PoolLimits { waiters_max: 2, holders_max: 2, ..PoolLimits::default() };
    check_in(
        World::with_limits(StateLimits { pools, ..StateLimits::default() }),
        "pool seats=2 waitlist=9 opens_in=1000 shuffle
         all join anna ; join bert          -> waits 1 behind ?, waits 2 behind ?
         join carl                          -> refused too_many_holders 2
         after 1000
         all give_back 1 ; give_back 2      -> 1 declined, 2 declined
         pool name=b seats=2 waitlist=9 opens_in=1000 shuffle
         all join carl pool=b ; join dora pool=b -> waits 1 behind ?, waits 2 behind ?
         join anna pool=b                   -> refused too_many_holders 2
         after 1000
         show_pool pool=b units             -> 2 held 0 taken 0 free",
    );
}
