//! Bounds of pools: how much one turn does, how much is remembered, and what a walk writes.

use crate::support::World;
use crate::support::pools::SEED;
use crate::support::script::check_in;
use prost::Message as _;
use tidegate_core::command::{Command, Request};
use tidegate_core::limits::{ENTRANTS_MS, EXPIRE_PER_TURN, STORY_MS};
use tidegate_core::pool::command::{PoolOperation, Wish};
use tidegate_core::pool::{Opening, PoolConfig};
use tidegate_core::record::{Record, RecordMessage};
use tidegate_core::state::{MADE, PoolLimits, StateLimits, Step, Turn};

fn limited(pools: PoolLimits) -> World {
    World::with_limits(StateLimits { pools, ..StateLimits::default() })
}

/// Runs turns at the world's time until nothing is due; returns how many records each wrote that wrote any.
fn turns(world: &mut World) -> Vec<usize> {
    let mut written = Vec::new();
    for _ in 0..10 {
        let mut records: Vec<Record> = Vec::new();
        world.state.begin_turn(world.next_frame(), world.now);
        let more = world.state.expire(&mut Turn::new(&mut records));
        written.push(records.len());
        if !more {
            // Some only bring the timers nearer.
            written.retain(|&records| records > 0);
            return written;
        }
    }
    panic!("there is no end to what is due: {written:?}")
}

fn wish(pool: &str, holder: u32) -> Wish {
    Wish { pool: pool.into(), holder: format!("h-{holder}"), units: 1, group: None, hold_ms: None }
}

#[test]
fn pools_that_open_at_once_are_many_short_turns() {
    let mut world = World::new();
    let opens_at = world.now.plus(1_000).0;
    for n in 0..EXPIRE_PER_TURN + 10 {
        let config = PoolConfig { opens_at, ..PoolConfig::of(1) };
        world.decide(Command::ConfigurePool {
            pool: format!("p-{n}"),
            config: Box::new(config),
            if_version: None,
            seed: SEED,
        });
    }
    world.now = world.now.plus(1_000);
    assert_eq!(turns(&mut world), [EXPIRE_PER_TURN, 10]);
    assert!(world.state.pools().iter().all(|pool| pool.opened));
}

/// Its opening has come, though the turn has not come to it.
#[test]
fn nobody_passes_the_line_of_a_pool_that_a_full_turn_has_not_opened() {
    let mut world = World::new();
    let opens_at = world.now.plus(1_000).0;
    let last = EXPIRE_PER_TURN as u32 + 9;
    for n in 0..=last {
        let opening = Opening::Shuffle as i32;
        let config = PoolConfig { opens_at, opening, waitlist_max: 1, ..PoolConfig::of(2) };
        world.decide(Command::ConfigurePool {
            pool: format!("p-{n}"),
            config: Box::new(config),
            if_version: None,
            seed: SEED,
        });
    }
    let names: Vec<String> = (0..=last).map(|n| format!("p-{n}")).collect();
    let with_line = |n: usize| n.is_multiple_of(2);
    for name in names.iter().step_by(2) {
        world.decide(Command::Pools(vec![PoolOperation::Join(wish(name, 1))]));
    }
    world.now = world.now.plus(1_000);
    let (sequence, now) = (world.next_frame(), world.now);
    let mut records: Vec<Record> = Vec::new();
    let mut turn = Turn::new(&mut records);
    world.state.begin_turn(sequence, now);
    while world.state.pools().iter().all(|pool| !pool.opened) {
        assert!(world.state.expire(&mut turn), "more is due");
        world.state.begin_turn(sequence, now);
    }
    let unopened = |n: &usize| !world.state.pool(&names[*n]).unwrap().opened;
    let unopened: Vec<usize> = (0..names.len()).filter(unopened).collect();
    assert!(
        unopened.iter().any(|n| with_line(*n)) && unopened.iter().any(|n| !with_line(*n)),
        "{unopened:?}"
    );
    for n in unopened {
        let command = Command::Pools(vec![PoolOperation::Take(wish(&names[n], 2))]);
        let said = world.state.decide(Request { idempotency: None, command }, &mut turn).outcome;
        assert_eq!(format!("{said:?}").contains("SoldOut"), with_line(n), "{n}: {said:?}");
    }
}

#[test]
fn holds_that_lapse_at_once_are_many_short_turns() {
    let mut world = World::new();
    let holds = EXPIRE_PER_TURN as u32 + 10;
    let config = PoolConfig { hold_ms: 1_000, ..PoolConfig::of(holds) };
    world.decide(Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config),
        if_version: None,
        seed: SEED,
    });
    world.decide(Command::Pools((0..holds).map(|n| PoolOperation::Hold(wish("p", n))).collect()));
    world.now = world.now.plus(1_000);
    assert_eq!(turns(&mut world), [EXPIRE_PER_TURN, 10]);
    assert_eq!(world.state.pool("p").unwrap().held, 0);
}

/// An offer is a part of a turn as a lapse is.
#[test]
fn a_lapse_and_the_offers_that_it_makes_share_a_turn() {
    let mut world = World::new();
    let holds = EXPIRE_PER_TURN as u32;
    let config = PoolConfig { hold_ms: 1_000, waitlist_max: holds, ..PoolConfig::of(holds) };
    world.decide(Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config),
        if_version: None,
        seed: SEED,
    });
    world.decide(Command::Pools((0..holds).map(|n| PoolOperation::Hold(wish("p", n))).collect()));
    world.decide(Command::Pools((holds..2 * holds).map(|n| PoolOperation::Join(wish("p", n))).collect()));
    world.now = world.now.plus(1_000);
    assert_eq!(turns(&mut world), [EXPIRE_PER_TURN; 2], "first they lapse, then it is offered");
    assert_eq!(world.state.holder("h-2048").unwrap().grants.len(), 1);
    let view = world.state.pool("p").unwrap();
    assert_eq!((view.held, view.waiting), (u64::from(holds), 0));
}

/// What is left of it must be found by the next turn.
#[test]
fn a_line_that_is_longer_than_a_turn_is_let_go_in_several_when_its_pool_closes() {
    let mut world = World::new();
    let line = EXPIRE_PER_TURN as u32 + 10;
    let closes_at = world.now.plus(1_000).0;
    let config = PoolConfig { closes_at, waitlist_max: line, ..PoolConfig::of(0) };
    world.decide(Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config),
        seed: SEED,
        if_version: None,
    });
    world.decide(Command::Pools((0..line).map(|n| PoolOperation::Join(wish("p", n))).collect()));
    world.now = world.now.plus(1_000);
    assert_eq!(turns(&mut world), [1 + EXPIRE_PER_TURN, 10], "it closes, and lets the first ones go");
    assert_eq!(world.state.pool("p").unwrap().waiting, 0);
}

#[test]
fn a_large_draw_is_forgotten_over_several_turns() {
    let mut world = World::new();
    let all = 1_000..1_010 + EXPIRE_PER_TURN as u32;
    let (opens_at, opening) = (world.now.plus(1_000), Opening::Shuffle as i32);
    let config = PoolConfig { opens_at: opens_at.0, opening, waitlist_max: 10_000, ..PoolConfig::of(0) };
    world.decide(Command::ConfigurePool {
        pool: "p".into(),
        config: Box::new(config),
        seed: SEED,
        if_version: None,
    });
    world.decide(Command::Pools(all.clone().map(|n| PoolOperation::Join(wish("p", n))).collect()));
    world.after(1_000);
    let leave = |n| PoolOperation::Leave { pool: "p".into(), holder: format!("h-{n}") };
    world.decide(Command::Pools(all.map(leave).collect()));
    // Their stories are over long before.
    world.after(STORY_MS);
    (0..3).for_each(|_| _ = world.after(0));
    let entrants = |world: &World| world.state.entrants("p", 0, 10_000).expect("there is the pool").len();
    assert_eq!(entrants(&world), EXPIRE_PER_TURN + 10);
    assert!(world.state.digest_text().contains("\nwaiter "));
    world.now = opens_at.plus(ENTRANTS_MS);
    let sequence = world.next_frame();
    let forgotten = [(); 3].map(|()| {
        let before = world.state.pool_bytes();
        world.state.begin_turn(sequence, world.now);
        assert_eq!(entrants(&world), 0, "none is shown, though some are still there");
        assert!(!world.state.digest_text().contains("\nwaiter "), "nor is it in the digest");
        before - world.state.pool_bytes()
    });
    let each = forgotten[1] / 10;
    assert!(each > 0);
    assert_eq!(forgotten, [EXPIRE_PER_TURN as u64 * each, 10 * each, 0]);
}

#[test]
fn so_many_grants_that_have_ended_are_remembered_for_an_hour() {
    let world = limited(PoolLimits { ended_grants_max: 2, ..PoolLimits::default() });
    check_in(
        world,
        "pool seats=9 limit=9
         all take a ; take b ; take c       -> 1 taken, 2 taken, 3 taken
         give_back 1
         give_back 3
         show_grant 1 state                 -> released
         show_grant 3 state pool holder units since -> released, p, c, 1, +0
         after 1
         give_back 2
         show_grant 1                       -> not kept
         show_grant 3 state                 -> released
         show_grant 2 state                 -> released
         after 3599999
         show_grant 3                       -> not kept
         show_grant 2 state                 -> released
         after 1
         show_grant 2                       -> not kept",
    );
}

#[test]
fn stories_of_a_shard_tell_so_many_things_and_the_oldest_are_forgotten() {
    let world = limited(PoolLimits { story_entries_max: 3, ..PoolLimits::default() });
    check_in(
        world,
        "pool seats=9 limit=9
         pool name=b waitlist=9 seats=0
         take a
         all join b pool=b ; leave b pool=b ; join c pool=b
         holder b story                     -> joined b 1; left b 1
         all leave c pool=b
         holder b story                     -> left b 1
         all join d pool=b ; leave d pool=b
         holder b                           -> unknown
         holder c story                     -> left b 2
         holder d story                     -> joined b 3; left b 3
         holder a story                     -> taken 1 p",
    );
}

/// A log in which one thing of each kind of pools lies before the target, and one in the frame of the target.
fn two_of_each() -> (World, u64) {
    let before = check_in(
        World::new(),
        "pool seats=9 limit=9
         pool name=b seats=0 waitlist=9
         all take a ; take a2
         give_back 2
         join b pool=b",
    );
    let target = before.next_frame();
    let mut world = before;
    let ended = tidegate_core::pool::GrantId::new(0, 1);
    let operations = vec![
        PoolOperation::Take(wish("p", 1)),
        PoolOperation::Release(ended),
        PoolOperation::Join(wish("b", 2)),
    ];
    world.decide(Command::Pools(operations));
    assert_eq!(world.next_frame(), target + 1, "it is one frame");
    (world, target)
}

fn written(world: &mut World, target: u64) -> Vec<String> {
    let before = world.frames.len();
    world.walk(target, |_| ());
    let records = world.frames[before..].iter().flat_map(|frame| &frame.records);
    let read =
        records.map(|record| RecordMessage::decode(record.as_slice()).expect("a record reads back").record);
    read.flatten()
        .filter_map(|record| match record {
            Record::Shard(_) => None,
            Record::PoolRestated(pool) => Some(format!("pool {}", pool.pool.pool)),
            Record::GrantRestated(grant) => Some(format!("grant {}", grant.grant.grant)),
            Record::WaiterRestated(waiter) => Some(format!("waiter {}", waiter.holder)),
            Record::EndedRestated(ended) => Some(format!("ended {}", ended.ended.grant)),
            Record::StoryRestated(story) => Some(format!("story {} {}", story.holder, story.entries.len())),
            other => panic!("nobody needs {other:?}"),
        })
        .collect()
}

#[test]
fn a_walk_writes_of_pools_what_lies_before_its_target_and_no_more() {
    let (mut world, target) = two_of_each();
    let pools = ["pool p", "pool b"];
    let before = ["waiter b", "story a 1", "story a2 2", "story b 1", "ended 2"];
    assert_eq!(written(&mut world, target), [&pools[..], &before[..]].concat());
    // They lie behind the old target now, and so does what the frame of the target had.
    assert_eq!(written(&mut world, target), pools);
    let trimmed = world.replayed_from(target);
    assert_eq!(trimmed.digest_text(), world.state.digest_text());
    // Of what is restated, every thing once.
    let all = written(&mut world, 1_000);
    assert_eq!(all.len(), 2 + 1 + 2 + 5 + 2, "{all:?}");
}

#[test]
fn a_step_of_a_walk_through_ended_grants_writes_so_many_bytes_and_one() {
    let mut script = String::from("pool seats=9 limit=0\n");
    for n in 1..=9 {
        script += &format!("take a\ngive_back {n}\n");
    }
    for (bytes_max, at_once) in [(1, 1), (40, 2), (1 << 20, 9)] {
        let mut world = check_in(World::new(), &script);
        let target = world.next_frame();
        let mut walk = world.state.walk(target);
        let mut ended = Vec::new();
        loop {
            let before = world.frames.len();
            let step = world.turn(|state, turn| state.walk_step(&mut walk, 10, bytes_max, turn));
            let records: Vec<_> = world.frames[before..].iter().flat_map(|frame| &frame.records).collect();
            let read = records.iter().map(|record| RecordMessage::decode(record.as_slice()).unwrap().record);
            let of_ended: Vec<_> =
                read.filter(|record| matches!(record, Some(Record::EndedRestated(_)))).collect();
            if !of_ended.is_empty() {
                ended.push(of_ended.len());
            }
            if step == Step::Done {
                break;
            }
        }
        assert_eq!(ended.iter().sum::<usize>(), 9);
        assert_eq!(ended[0], at_once, "{bytes_max}: {ended:?}");
        let trimmed = world.replayed_from(target);
        assert_eq!(trimmed.digest_text(), world.state.digest_text());
    }
}

#[test]
fn an_offer_finds_no_queue_or_no_kind_for_its_job_where_there_is_no_room_for_one() {
    let script = |before: &str, job: &str| {
        format!(
            "{before}\npool seats=0 waitlist=1 offers=tell\njoin anna\nresize 1\nshow_grant 1 holder job -> anna, {job}"
        )
    };
    let limits = StateLimits::default();
    let queues = || World::with_limits(StateLimits { queues_max: 1, ..limits });
    check_in(queues(), &script("enqueue", "-"));
    check_in(queues(), &script("enqueue queue=tell", "2"));
    let kinds = || World::with_limits(StateLimits { kinds_max: 1, ..limits });
    check_in(kinds(), &script("enqueue queue=tell", "-"));
    check_in(kinds(), &script("enqueue queue=tell kind=offer", "2"));
}

#[test]
fn a_pool_without_a_limit_drops_nobody_from_its_line() {
    check_in(
        World::new(),
        "pool seats=0 limit=0 waitlist=1
         join anna units=2
         resize 2
         holder anna grants waits           -> 1, none",
    );
}

/// Whoever appends the frame finds the texts by these numbers.
#[test]
fn the_texts_of_a_turns_offers_are_placed_one_after_the_other() {
    let mut world = check_in(
        World::new(),
        "pool seats=2 waitlist=2 offers=tell
         all take a ; take b
         all join c ; join d",
    );
    let releases = [1, 2].map(|grant| PoolOperation::Release(tidegate_core::pool::GrantId::new(0, grant)));
    let request = Request { idempotency: None, command: Command::Pools(releases.into()) };
    let (placed, made) = world.turn(|state, turn| {
        state.decide(request, turn);
        (turn.placed.clone(), turn.made.len())
    });
    assert_eq!((placed, made), (vec![MADE, MADE + 1], 2));
}
