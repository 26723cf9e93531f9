//! Who has units of a pool and who waits for it: in order, in pages, each page of bounded cost.

use crate::support::World;
use crate::support::pools::SEED;
use crate::support::script::{check, check_in};
use tidegate_core::command::Command;
use tidegate_core::limits::{LIST_VISITS_MAX, PLACES_COUNTED, PLACES_COUNTED_OF_PAGE};
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::order::rank;
use tidegate_core::pool::view::{HolderPlace, LinePlace};
use tidegate_core::pool::{GrantState, PoolConfig};

#[test]
fn the_grants_of_a_pool_are_those_that_stand_by_rising_fencing_number() {
    check(
        "grants                             -> no such pool
         pool seats=9
         pool name=b seats=9
         grants                             -> none
         all take a ; hold b ; take c pool=b ; take d ; hold e pool=b ; hold f
         grants                             -> 1 a, 2 b, 4 d, 6 f
         grants pool=b                      -> 3 c, 5 e
         give_back 4
         swap 3                             -> 7 taken
         confirm 6
         grants                             -> 1 a, 2 b, 6 f, 7 c
         grants held                        -> 2 b
         grants taken                       -> 1 a, 6 f, 7 c
         after 300000
         grants                             -> 1 a, 6 f, 7 c          # the hold has lapsed
         grants held                        -> none",
    );
}

#[test]
fn grants_come_in_pages_and_a_page_goes_on_though_its_first_has_ended() {
    check(
        "pool seats=9
         pool name=b seats=9
         all take a ; take b ; hold c ; take x pool=b ; take d
         grants most=2                      -> 1 a, 2 b, from 3
         grants most=2 from=3               -> 3 c, 5 d
         grants taken most=2                -> 1 a, 2 b, from 3       # whoever is next may be no such one
         grants held most=1                 -> 3 c, from 5
         give_back 3
         grants most=2 from=3               -> 5 d
         give_back 5
         grants most=2 from=3               -> none
         grants most=2 from=99              -> none",
    );
}

/// A page that finds little costs no more than one that finds much.
#[test]
fn a_page_of_grants_looks_at_so_many_and_no_more() {
    let mut world = World::new();
    for name in ["p", "b"] {
        let config = PoolConfig { holder_units_max: 0, ..PoolConfig::of(100_000) };
        world.decide(Command::ConfigurePool {
            pool: name.into(),
            config: Box::new(config),
            if_version: None,
            seed: SEED,
        });
    }
    let wish =
        |pool: &str| Wish { pool: pool.into(), holder: "h".into(), units: 1, group: None, hold_ms: None };
    let many = LIST_VISITS_MAX + 1_000;
    world.decide(Command::Pools(vec![PoolOperation::Take(wish("p"))]));
    for _ in 0..many / 1_000 {
        world.decide(Command::Pools(vec![PoolOperation::Take(wish("b")); 1_000]));
    }
    world.decide(Command::Pools(vec![PoolOperation::Hold(wish("b")), PoolOperation::Hold(wish("p"))]));
    let (max, last) = (LIST_VISITS_MAX as u64, many as u64 + 3);
    let page = |state: Option<GrantState>, pool: &str, from: u64| {
        let page = world.state.grants_of(pool, state, from, 10).expect("there is the pool");
        (page.grants.iter().map(|grant| grant.id.sequence()).collect::<Vec<_>>(), page.next)
    };
    // Of a small pool beside a large one only its own are looked at.
    assert_eq!(page(None, "p", 0), (vec![1, last], None));
    assert_eq!(page(Some(GrantState::Held), "p", 0), (vec![last], None));
    // Of the large one so many; whoever asks on finds the rest.
    assert_eq!(page(Some(GrantState::Held), "b", 0), (vec![], Some(max + 2)));
    assert_eq!(page(Some(GrantState::Held), "b", max + 2), (vec![last - 1], None));
    // The page begins at a grant that is no more: its pool's next one is looked for among so many of all.
    assert_eq!(page(None, "p", 2), (vec![], Some(max + 2)));
    assert_eq!(page(None, "p", max + 2), (vec![last], None));
}

#[test]
fn a_line_is_listed_in_its_order_whatever_each_wants() {
    check(
        "line                               -> no such pool
         pool seats=0 limit=0 waitlist=9 quotas=g:2
         line                               -> none
         all join a units=3 ; join b group=g ; join c ; join d units=3 ; join e group=g units=2
         line                               -> 1 a behind 0, 2 b behind 1, 3 c behind 2, 4 d behind 3, 5 e behind 4
         leave b
         line                               -> 1 a behind 0, 3 c behind 1, 4 d behind 2, 5 e behind 3
         line most=2                        -> 1 a behind 0, 3 c behind 1, from 9223372036854775808:4
         line from=9223372036854775808:4    -> 4 d behind 2, 5 e behind 3
         line from=9223372036854775808:2    -> 3 c behind 1, 4 d behind 2, 5 e behind 3",
    );
}

/// Whoever is offered something waits no more: it is among the grants.
#[test]
fn an_offer_is_listed_with_the_grants_and_not_in_the_line() {
    check(
        "pool seats=1 waitlist=9
         take a
         all join b ; join c
         give_back 1
         line                               -> 2 c behind 0
         grants                             -> 2 b
         show_grant 2 state offered         -> held, true",
    );
}

#[test]
fn before_a_draw_a_line_is_as_its_holders_joined_and_after_it_as_they_were_drawn() {
    let names = ["anna", "bert", "carl", "dora"];
    let mut drawn = names;
    drawn.sort_by_key(|name| rank(&SEED, name));
    assert_ne!(drawn, names, "the draw changes something");
    let number = |name: &str| 1 + names.iter().position(|known| *known == name).expect("it joined") as u64;
    let in_order = |before: u32| {
        let line =
            (before..).zip(drawn).map(|(ahead, name)| format!("{} {name} behind {ahead}", number(name)));
        line.collect::<Vec<_>>().join(", ")
    };
    let world = check_in(
        World::new(),
        &format!(
            "pool seats=0 waitlist=9 opens_in=1000 shuffle
             all join anna ; join bert ; join x ; leave x
             all join carl ; join dora
             line                           -> 1 anna behind ?, 2 bert behind ?, 4 carl behind ?, 5 dora behind ?
             line most=2                    -> 1 anna behind ?, 2 bert behind ?, from 0:4
             line most=2 from=0:4           -> 4 carl behind ?, 5 dora behind ?
             after 1000
             line                           -> {}
             join zoe                       -> waits 6 behind 4
             line                           -> {}, 6 zoe behind 4",
            in_order(0).replace("4 dora", "5 dora").replace("3 carl", "4 carl"),
            in_order(0).replace("4 dora", "5 dora").replace("3 carl", "4 carl"),
        ),
    );
    // Page by page it is the same line, and each place is where the next page begins.
    let (mut from, mut holders) = (LinePlace::default(), Vec::new());
    loop {
        let page = world.state.line("p", from, 1).expect("there is the pool");
        holders.extend(page.line.iter().map(|one| one.holder.to_string()));
        let Some(next) = page.next else { break };
        assert!(next > from, "{next:?} after {from:?}");
        from = next;
    }
    assert_eq!(holders, [&drawn[..], &["zoe"]].concat());
}

/// The place is counted once a page, and no further than for anybody else.
#[test]
fn places_on_a_page_are_what_each_holder_is_told() {
    let mut world = World::new();
    let config = PoolConfig { waitlist_max: 100_000, holder_units_max: 0, ..PoolConfig::of(0) };
    world.decide(Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config),
        if_version: None,
        seed: SEED,
    });
    let count = PLACES_COUNTED as u32 + 1_500;
    for from in (0..count).step_by(100) {
        let join = |n: u32| {
            let (pool, holder, units) = ("p".into(), format!("h-{n}"), 1 + n % 3);
            PoolOperation::Join(Wish { pool, holder, units, group: None, hold_ms: None })
        };
        world.decide(Command::Pools((from..from + 100).map(join).collect()));
    }
    let mut from = LinePlace::default();
    let mut seen = 0;
    loop {
        let page = world.state.line("p", from, 700).expect("there is the pool");
        for one in &page.line {
            let told = &world.state.holder(&one.holder).expect("it waits").waiting[0];
            // Who is among the last is counted from the end, which is exact up to the same bound.
            assert_eq!(one.wait.ahead, Some(seen.min(PLACES_COUNTED as u32)));
            if seen % 97 == 0 {
                assert_eq!(&one.wait, told);
            }
            seen += 1;
        }
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(seen, count);
}

/// A holder with a million grants stopped its shard for seconds.
#[test]
fn what_a_holder_has_and_waits_for_comes_in_pages_and_each_thing_once() {
    let mut world = World::new();
    let wish = |pool: String, holder: &str| Wish {
        pool,
        holder: holder.into(),
        units: 1,
        group: None,
        hold_ms: None,
    };
    let config = PoolConfig { holder_units_max: 0, ..PoolConfig::of(100_000) };
    world.decide(Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config),
        seed: SEED,
        if_version: None,
    });
    world.decide(Command::Pools((0..2_500).map(|_| PoolOperation::Take(wish("p".into(), "w"))).collect()));
    for n in 0..1_200 {
        let config = PoolConfig { waitlist_max: 9, ..PoolConfig::of(0) };
        world.decide(Command::ConfigurePool {
            pool: format!("q-{n}"),
            config: Box::new(config),
            seed: SEED,
            if_version: None,
        });
    }
    world.decide(Command::Pools(
        (0..1_200).map(|n| PoolOperation::Join(wish(format!("q-{n}"), "w"))).collect(),
    ));
    let whole = world.state.holder("w").expect("it has something");
    assert_eq!((whole.grants.len(), whole.waiting.len(), whole.next), (2_500, 1_200, None));
    for (max, sizes) in
        [(9_999, &[(1_000, 1_000), (1_000, 200), (500, 0)][..]), (1_250, &[(1_000, 1_000); 1]), (700, &[])]
    {
        let (mut from, mut pages) = (HolderPlace::default(), Vec::new());
        loop {
            let page = world.state.holder_page("w", from, max).expect("it has something");
            assert!(page.waiting.is_sorted_by(|a, b| a.pool < b.pool));
            pages.push(page.clone());
            match page.next {
                Some(next) => from = next,
                None => break,
            }
        }
        for (page, &size) in pages.iter().zip(sizes) {
            assert_eq!((page.grants.len(), page.waiting.len()), size);
        }
        assert!(pages.iter().all(|page| page.grants.len().max(page.waiting.len()) <= max));
        let grants: Vec<_> = pages.iter().flat_map(|page| page.grants.clone()).collect();
        assert_eq!(grants, whole.grants);
        let mut waiting: Vec<_> = pages.iter().flat_map(|page| page.waiting.clone()).collect();
        waiting.sort_by(|a, b| a.pool.cmp(&b.pool));
        assert_eq!(waiting, whole.waiting);
        assert_eq!(pages[0].story, whole.story);
        assert!(pages[1..].iter().all(|page| page.story.is_empty()), "it is told once");
    }
    let nothing = world.state.holder_page("w", HolderPlace::default(), 0).expect("it has something");
    assert_eq!((nothing.grants, nothing.waiting.len(), nothing.story), (vec![], 0, whole.story));
    assert!(nothing.next.is_some(), "there is more than nothing");
    assert_eq!(world.state.holder_page("nobody", HolderPlace::default(), 9), None);
}

#[test]
fn a_page_of_a_holder_counts_so_many_places_in_line_and_no_more() {
    let mut world = World::new();
    let before = PLACES_COUNTED as u32 - 400;
    let lines = PLACES_COUNTED_OF_PAGE / before as usize + 2;
    for line in 0..lines {
        let pool = format!("p-{line:02}");
        let config = PoolConfig { waitlist_max: 100_000, holder_units_max: 0, ..PoolConfig::of(0) };
        world.decide(Command::ConfigurePool {
            pool: pool.clone(),
            config: Box::new(config),
            seed: SEED,
            if_version: None,
        });
        let join = |n: u32| {
            let holder = if n == before { String::from("w") } else { format!("h-{n}") };
            PoolOperation::Join(Wish { pool: pool.clone(), holder, units: 1, group: None, hold_ms: None })
        };
        world.decide(Command::Pools((0..before + 100).map(join).collect()));
    }
    let page = world.state.holder_page("w", HolderPlace::default(), 1_000).expect("it waits");
    let ahead: Vec<Option<u32>> = page.waiting.iter().map(|wait| wait.ahead).collect();
    let counted = ahead.iter().flatten().count();
    assert_eq!((ahead.len(), counted), (lines, lines - 2), "{ahead:?}");
    assert!(ahead.iter().flatten().all(|&ahead| ahead == before));
}

/// Which of two is first is a matter of their names, and of nothing that a restart does not know.
#[test]
fn of_pools_that_open_at_one_moment_the_first_by_name_is_served_first_also_after_a_walk() {
    let mut world = check_in(
        World::new(),
        "pool name=a seats=1 waitlist=9 opens_in=1000 shuffle
         pool name=c seats=1 waitlist=9 opens_in=1000 shuffle
         pool name=b seats=1 waitlist=9 opens_in=1000 shuffle
         all join x pool=b ; join x pool=a ; join x pool=c
         resize 2 pool=a",
    );
    let target = world.next_frame();
    world.walk(target, |_| ());
    let mut again = world.restarted_from(target);
    for world in [&mut world, &mut again] {
        world.after(1_000);
        assert_eq!(
            ["a", "b", "c"].map(|pool| world.state.grants_of(pool, None, 0, 9).unwrap().grants[0].id.fence()),
            [1, 2, 3]
        );
    }
    assert_eq!(world.state.digest_text(), again.state.digest_text());
}
