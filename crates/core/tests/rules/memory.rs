//! The estimate of what a shard holds in memory: the bounds on it are only as good as it is. It is not held to the byte, but
//! each text must count once, and go when it goes.

use crate::support::World;
use crate::support::script::check_in;
use tidegate_core::command::{Command, IdempotencyKey, Request};
use tidegate_core::id::JobId;
use tidegate_core::limits::{IDEMPOTENCY_MS, STORY_MS};

/// A text as long as none of the constants in the estimate.
const LONG: u64 = 1_000;

fn long() -> String {
    "x".repeat(LONG as usize)
}

/// How much more memory a shard takes after both scripts than after the first alone. All of it is of jobs.
fn growth(before: &str, script: &str) -> (World, u64) {
    let without = check_in(World::new(), before);
    let world = check_in(World::new(), &format!("{before}\n{script}"));
    assert_eq!(world.state.answer_bytes(), 0, "there are no answers");
    let grown = world.state.memory_bytes() - without.state.memory_bytes();
    (world, grown)
}

/// That something takes about its texts' length, and not much more.
fn check_about(what: &str, grown: u64, texts: u64) {
    assert!(grown >= texts, "{what}: {grown} bytes for texts of {texts}");
    assert!(grown <= texts + 900, "{what}: {grown} bytes for texts of {texts}");
}

#[test]
fn each_text_of_a_job_counts_once() {
    let long = long();
    for what in [
        format!("enqueue fairness_key={long}"),
        format!("enqueue dependency={long}"),
        format!("enqueue unique={long}"),
    ] {
        let (world, grown) = growth("configure", &what);
        check_about(&what[..20], grown, LONG);
        // A plain job takes 76 bytes; the rest is counted as what it has beside, but for a key's place in its table.
        assert!(world.state.extra_bytes() >= LONG, "{}", world.state.extra_bytes());
        assert!(world.state.extra_bytes() + 76 <= grown, "{}", world.state.extra_bytes());
    }
    let both = format!("enqueue fairness_key={long} dependency={long} unique={long}");
    check_about("all three", growth("configure", &both).1, 3 * LONG);
    check_about("progress", growth("enqueue\nlease", &format!("extend 1 progress={long}")).1, LONG);
}

#[test]
fn each_text_of_an_error_counts_once() {
    let long = long();
    let failed = "enqueue attempts=9\nlease worker=w";
    // The message and its cause are kept.
    let (_, plain) = growth(failed, "fail 1 : x");
    for more in [
        format!("fail 1 : {long}"),
        format!("fail 1 kind={long} : x"),
        format!("fail 1 dependency={long} : x"),
    ] {
        let (_, grown) = growth(failed, &more);
        assert!(grown > plain + LONG - 10 && grown < plain + LONG + 10, "{}: {grown}, {plain}", &more[..12]);
    }
    let by_anna = growth(&format!("enqueue attempts=9\nlease worker={long}"), "fail 1 : x").1;
    assert!(by_anna > plain + LONG - 10 && by_anna < plain + LONG + 10, "{by_anna}, {plain}");
    let all = format!("fail 1 kind={long} dependency={long} : {long}");
    let all = growth(&format!("enqueue attempts=9\nlease worker={long}"), &all).1;
    assert!(all > plain + 4 * LONG - 10 && all < plain + 4 * LONG + 10, "{all}, {plain}");
    // Errors add up.
    let (_, two) = growth(failed, "fail 1 : x\nafter 1000\nlease worker=w\nfail 1 : x");
    assert_eq!(two, 2 * plain);
}

#[test]
fn a_key_counts_though_its_job_is_small() {
    let (_, plain) = growth("configure", "enqueue fairness_key=a");
    for keyed in ["enqueue key=a", "enqueue unique=a"] {
        let (_, grown) = growth("configure", keyed);
        assert!(grown > plain + 100 && grown < plain + 400, "{keyed}: {grown}, {plain}");
    }
    let (_, both) = growth("configure", "enqueue key=a unique=a");
    assert!(both > plain + 250 && both < plain + 600, "{both}, {plain}");
}

#[test]
fn a_plain_job_takes_76_bytes() {
    let (world, one) = growth("configure", "enqueue");
    assert_eq!((one, world.state.extra_bytes()), (76, 0));
    assert_eq!(growth("configure", "enqueue times=10").1, 760);
    let (world, done) = growth("configure", "enqueue\nlease\ncomplete 1");
    assert_eq!((done, world.state.extra_bytes()), (76, 0), "also when it is done and left no result");
}

#[test]
fn what_is_forgotten_takes_nothing() {
    let (world, grown) = growth(
        "configure retain_max=0",
        "enqueue key=a unique=b dependency=c fairness_key=d attempts=9
         lease
         extend 1 progress=half
         fail 1 kind=io : it broke
         after 1000
         lease
         complete 1 result=50
         after 1
         show 1 state                       -> not kept",
    );
    assert_eq!((grown, world.state.extra_bytes(), world.state.job_count()), (0, 0, 0));
}

/// By how much memory grows when an answer is kept under this key.
fn kept(world: &mut World, key: &str) -> u64 {
    let before = world.state.memory_bytes();
    let idempotency = Some(IdempotencyKey { key: key.into(), fingerprint: [1, 2] });
    let request = Request { idempotency, command: Command::Cancel(JobId::new(0, 9)) };
    world.turn(|state, turn| state.decide(request, turn));
    assert_eq!(world.state.memory_bytes(), world.state.answer_bytes(), "there are only answers");
    world.state.memory_bytes() - before
}

#[test]
fn an_answer_takes_its_key_and_its_bytes_and_gives_them_back() {
    let mut world = World::new();
    let short = kept(&mut world, "a");
    assert!(short > 100 && short < 300, "{short}");
    world.after(1);
    let long = kept(&mut world, &long());
    assert_eq!(long, short - 1 + LONG);
    world.after(IDEMPOTENCY_MS - 1);
    assert_eq!(world.state.memory_bytes(), long, "the first one's time is over");
    world.after(1);
    assert_eq!(world.state.memory_bytes(), 0);
}

/// Of pools each thing counts by its kind, whatever its texts are: a pool, a grant, a place in line, a holder, what a story tells
/// and a grant that has ended.
#[test]
fn each_thing_of_pools_counts_and_goes_when_it_goes() {
    let mut world = World::new();
    assert_eq!(world.state.pool_bytes(), 0);
    for (script, things) in [
        ("pool seats=9 limit=9", 1),
        ("pool name=b seats=0 waitlist=9", 1),
        // A grant, its holder, and a line in the holder's story.
        ("take anna", 3),
        ("take anna", 2),
        ("join bert pool=b", 3),
        ("hold carl", 3),
        // It is remembered beside the story that tells of it.
        ("give_back 2", 1),
        ("give_back 3", 1),
    ] {
        let before = world.state.pool_bytes();
        world = check_in(world, script);
        assert_eq!(world.state.memory_bytes(), world.state.pool_bytes(), "there are no jobs");
        let grown = world.state.pool_bytes() - before;
        assert!((180 * things..1_100 * things).contains(&grown), "{script}: {grown}");
    }
    // Of the stories and of those who have nothing, nothing is left.
    world.after(STORY_MS);
    let left = world.state.pool_bytes();
    let fresh = check_in(
        World::new(),
        "pool seats=9
         pool name=b waitlist=9",
    );
    let grown = left - fresh.state.pool_bytes();
    assert!((180 * 4..400 * 4).contains(&grown), "a grant, a place in line and two holders: {grown}");
    assert!(world.state.holder("carl").is_none());
}
