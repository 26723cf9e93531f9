//! What is shown of pools: pages, those who were in a draw, places in line, and what the digest says.

use crate::support::World;
use crate::support::script::{check, check_in};
use tidegate_core::pool::GrantId;
use tidegate_core::state::StateLimits;

#[test]
fn a_page_of_pools_goes_by_name() {
    let world = check_in(
        World::new(),
        "pool name=c
         pool name=a
         pool name=d
         pool name=b
         delete_pool pool=d",
    );
    let page = |after: &str, max| {
        let page = world.state.pool_page(after, max);
        (page.pools.iter().map(|pool| pool.name.to_string()).collect::<Vec<_>>().join(" "), page.next)
    };
    assert_eq!(page("", 9), ("a b c".into(), None));
    assert_eq!(page("", 3), ("a b c".into(), None));
    assert_eq!(page("", 2), ("a b".into(), Some("b".into())));
    assert_eq!(page("a", 1), ("b".into(), Some("b".into())));
    assert_eq!(page("b", 1), ("c".into(), None));
    assert_eq!(world.state.pools().len(), 3);
}

#[test]
fn pools_that_have_changed_are_named_once() {
    let mut world = check_in(
        World::new(),
        "pool name=a
         pool name=b
         take anna pool=b",
    );
    let names = |world: &mut World| world.state.take_changed_pools().join(" ");
    assert_eq!(names(&mut world), "a b");
    assert_eq!(names(&mut world), "");
    let mut world = check_in(world, "give_back 1\n delete_pool pool=a");
    assert_eq!(names(&mut world), "a b");
}

#[test]
fn entrants_are_told_by_number_a_bounded_number_of_them() {
    let world = check_in(
        World::new(),
        "pool seats=1 waitlist=9 opens_in=1000 shuffle
         all join a ; join b ; join c ; join d
         leave b
         after 1000
         join e",
    );
    let told = |from, max| -> Vec<u64> {
        world.state.entrants("p", from, max).unwrap().iter().map(|entrant| entrant.number).collect()
    };
    assert_eq!(told(0, 9), [1, 3, 4]);
    assert_eq!(told(2, 1), [3]);
    assert_eq!(told(3, 9), [3, 4]);
    assert_eq!(told(5, 9), []);
    let waiting = world.state.entrants("p", 0, 9).unwrap().iter().filter(|entrant| entrant.waiting).count();
    assert_eq!(waiting, 2, "one was offered the unit");
    assert!(world.state.entrants("q", 0, 9).is_none());
}

#[test]
fn a_grant_says_what_it_is_and_what_it_is_not() {
    let world = check_in(
        World::new(),
        "pool seats=2 waitlist=2
         pool name=b seats=0 waitlist=2
         hold anna
         show_grant 1 offered gives job     -> false, -, -
         show_grant 3-1                     -> not kept
         swap 1 pool=b when_offered         -> waits 1 behind 0
         join bert pool=b                   -> waits 2 behind 1",
    );
    let gives = |holder: &str| world.state.holder(holder).unwrap().waiting[0].gives;
    assert_eq!((gives("anna"), gives("bert")), (Some(GrantId::new(0, 1)), None));
    assert_eq!(world.state.holder("bert").unwrap().waiting[0].joined_at, world.now);
    check_in(
        world,
        "give_back 1
         show_grant 1 state offered gives job until -> released, false, -, -, -
         holder anna waits                  -> none",
    );
}

#[test]
fn where_somebody_waits_is_told_by_pool() {
    check(
        "pool name=c seats=0 waitlist=2
         pool name=a seats=0 waitlist=2 opens_in=1000 shuffle
         pool name=b seats=0 waitlist=2
         join anna pool=c
         join bert pool=b
         join anna pool=b
         join anna pool=a
         holder anna waits                  -> a 1 behind ? b 2 behind 1 c 1 behind 0",
    );
}

#[test]
fn the_digest_tells_everything_of_pools() {
    let empty = World::new().state.digest_text();
    assert!(!empty.contains("pool"), "{empty}");
    let world = check_in(
        World::with_limits(StateLimits::default()),
        "pool seats=2 waitlist=9
         all take anna ; take bert
         join carl
         give_back 1",
    );
    let text = world.state.digest_text();
    let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    let lines = ["pool counters ", "pool PoolView", "grant ", "waiter ", "ended ", "story ", "stake "];
    let counts: Vec<usize> = lines.into_iter().map(count).collect();
    assert_eq!(counts, [1, 1, 2, 0, 1, 5, 2], "{text}");
    let world = check_in(world, "join dora");
    assert!(world.state.digest_text().contains("waiter dora "), "a place in line");
}
