//! Records about pools in any order and with any numbers: what no log can say is named, and what one can say is applied. Then
//! the shard can be looked at, goes on, is walked through and rests, whether or not the records fit together.
//!
//! Left out: what the state then is. Records that contradict each other were written by nobody.

mod support;

use proptest::prelude::*;
use prost::Message as _;
use support::{Frame, START, World};
use tidegate_core::answer::{Answer, AnswerItem, AnswerPool};
use tidegate_core::command::{Command, IdempotencyKey, Request};
use tidegate_core::id::{JobId, Time};
use tidegate_core::pool::command::{PoolOperation, Swap, Wish};
use tidegate_core::pool::order::AFTER_OPENING;
use tidegate_core::pool::record::{
    EndedRestated, GrantConfirmed, GrantEnded, GrantRestated, Granted, HoldExtended, JobsLinked, Joined,
    LeftLine, PoolConfigured, PoolDeleted, PoolRefused, PoolRestated, PoolTurned, StoryEntryRestated,
    StoryRestated,
};
use tidegate_core::pool::view::LinePlace;
use tidegate_core::pool::{GrantId, PoolConfig, Quota};
use tidegate_core::record::{AnswerKept, Record, Shard};
use tidegate_core::state::{PoolLimits, State, StateLimits, Turn};

const POOLS: [&str; 3] = ["a", "b", "c@d"];
const HOLDERS: [&str; 3] = ["h", "i", "j"];
/// Turns that time alone may bring: more than that is a state that never rests.
const EXPIRE_TURNS_MAX: usize = 100;

/// Where numbers run out.
const EDGES: [u64; 11] = [
    (1 << 46) - 1,
    1 << 46,
    1 << 48,
    (1 << 52) - 1,
    1 << 52,
    AFTER_OPENING - 1,
    AFTER_OPENING,
    AFTER_OPENING + 1,
    u64::MAX - 1,
    u64::MAX,
    START.0,
];

/// Few numbers, so that records meet; now and then one at an edge.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![30 => 0..6u64, 1 => prop::sample::select(EDGES.as_slice())]
}

fn moment() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0), 10 => START.0..START.0 + 5_000, 1 => prop::sample::select(EDGES.as_slice())]
}

fn units() -> impl Strategy<Value = u32> {
    prop_oneof![1 => Just(0), 20 => 1..4u32, 1 => Just(u32::MAX)]
}

fn rank() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..3u64, 5 => Just(AFTER_OPENING), 1 => number()]
}

fn pool() -> impl Strategy<Value = String> {
    prop::sample::select(POOLS.as_slice()).prop_map(String::from)
}

fn holder() -> impl Strategy<Value = String> {
    prop::sample::select(HOLDERS.as_slice()).prop_map(String::from)
}

fn group() -> impl Strategy<Value = Option<String>> {
    prop::option::of(Just("g".to_string()))
}

prop_compose! {
    fn configured()(
        pool in pool(), capacity in prop_oneof![5 => 0..6u32, 1 => Just(u32::MAX)], waitlist_max in 0..3u32,
        holder_units_max in 0..3u32, (hold_ms, offer_ms) in (number(), number()), has_quota in any::<bool>(),
        (opens_at, closes_at) in (moment(), moment()), opening in 0..3, tells in any::<bool>(),
        version in number(), (opened, closed, new_opening) in any::<(bool, bool, bool)>(),
        seed in prop_oneof![Just(0), Just(32), Just(5)],
    ) -> PoolConfigured {
        let quotas = if has_quota { vec![Quota { group: "g".into(), units_max: 2 }] } else { Vec::new() };
        let offer_queue = tells.then(|| "offers".into());
        let config = PoolConfig {
            holder_units_max, waitlist_max, hold_ms, offer_ms, opens_at, closes_at, opening, quotas, offer_queue,
            ..PoolConfig::of(capacity)
        };
        PoolConfigured { pool, config, version, opened, closed, seed: vec![7; seed], new_opening }
    }
}

prop_compose! {
    fn granted()(
        pool in pool(), holder in holder(), grant in number(), units in units(), group in group(), state in 0..3,
        (deadline, ceiling) in (moment(), moment()), (waiter, gives, job) in (number(), number(), number()),
        (version, event) in (number(), number()),
    ) -> Granted {
        Granted {
            pool, holder, grant, units, group, state, deadline, ceiling, waiter, gives, job, version, event,
        }
    }
}

prop_compose! {
    fn ended()(
        pool in pool(), holder in holder(), grant in number(), units in units(), end in 0..6,
        (granted_at, ended_at) in (moment(), moment()), (version, event) in (number(), number()),
    ) -> GrantEnded {
        GrantEnded { pool, holder, grant, units, end, granted_at, ended_at, version, event }
    }
}

prop_compose! {
    fn joined()(
        pool in pool(), holder in holder(), units in units(), group in group(), rank in rank(),
        (number, gives) in (number(), number()), joined_at in moment(), (version, event) in (number(), number()),
        left in any::<bool>(),
    ) -> Joined {
        Joined { pool, holder, units, group, rank, number, gives, joined_at, version, event, left }
    }
}

prop_compose! {
    fn told()(
        (entry, at, happened, detail) in (number(), moment(), 0..13u32, number()), (verb, why) in (0..11, 0..40),
        pool in pool(), (grant, units) in (number(), units()), (version, value) in (number(), number()),
        jobs in prop::collection::vec(number(), 0..3),
    ) -> StoryEntryRestated {
        StoryEntryRestated {
            number: entry, at, happened, detail, verb, why, pool, grant, units, version, value, jobs,
        }
    }
}

prop_compose! {
    fn kept()(
        kind in 0..13u32, of_pool in 0..7u32, (value, version, deadline, ceiling, age) in (number(), number(), number(), number(), number()),
        (what, count, further) in (0..8u32, 0..4u32, 0..3u32), job in prop_oneof![3 => Just(0), 1 => number()],
        refusal in prop_oneof![0..18u32, 1_000..1_040u32],
    ) -> AnswerKept {
        let pool = AnswerPool { kind: of_pool, number: value, what, count, deadline, version, ceiling, age };
        let item = AnswerItem { shard: 0, job, what: refusal, value, further, pool: Some(pool) };
        let answer = Answer { kind, items: vec![item], ..Answer::default() };
        AnswerKept {
            key: "k".into(), fingerprint_0: 1, fingerprint_1: 2, kept_at: START.0, expires_at: u64::MAX,
            answer: answer.encode_to_vec(), dropped: Vec::new(),
        }
    }
}

fn record() -> impl Strategy<Value = Record> {
    let event = || (number(), number());
    prop_oneof![
        1 => event().prop_map(|(next_grant, next_event)| {
            Record::Shard(Shard { next_grant, next_event, ..Shard::default() })
        }),
        3 => configured().prop_map(Record::PoolConfigured),
        1 => (pool(), number())
            .prop_map(|(pool, version)| Record::PoolDeleted(PoolDeleted { pool, version })),
        1 => (pool(), any::<(bool, bool)>(), number()).prop_map(|(pool, (opened, closed), version)| {
            Record::PoolTurned(PoolTurned { pool, opened, closed, version })
        }),
        4 => granted().prop_map(Record::Granted),
        1 => (pool(), holder(), number(), units(), event()).prop_map(|(pool, holder, grant, units, (version, event))| {
            Record::GrantConfirmed(GrantConfirmed { pool, holder, grant, units, version, event })
        }),
        1 => (number(), moment()).prop_map(|(grant, deadline)| {
            Record::HoldExtended(HoldExtended { grant, deadline })
        }),
        3 => ended().prop_map(Record::GrantEnded),
        4 => joined().prop_map(|joined| Record::Joined(Joined { left: false, ..joined })),
        3 => (pool(), holder(), number(), any::<bool>(), event()).prop_map(
            |(pool, holder, number, dropped, (version, event))| {
                let closed = dropped && number % 2 == 0;
                Record::LeftLine(LeftLine { pool, holder, number, dropped, version, event, closed })
            }
        ),
        1 => (pool(), holder(), 0..11, 0..40, number(), event()).prop_map(
            |(pool, holder, verb, why, value, (version, event))| {
                Record::PoolRefused(PoolRefused { pool, holder, verb, why, value, version, event })
            }
        ),
        1 => (holder(), prop::collection::vec(number(), 0..3), any::<bool>(), number()).prop_map(
            |(holder, jobs, completed, event)| {
                Record::JobsLinked(JobsLinked { holder, jobs, completed, event })
            }
        ),
        2 => (configured(), number(), moment()).prop_map(|(pool, next_number, drawn_until)| {
            Record::PoolRestated(PoolRestated { pool, next_number, drawn_until })
        }),
        2 => (granted(), moment()).prop_map(|(grant, granted_at)| {
            Record::GrantRestated(GrantRestated { grant, granted_at })
        }),
        4 => joined().prop_map(Record::WaiterRestated),
        2 => (holder(), prop::collection::vec(told(), 0..4)).prop_map(|(holder, entries)| {
            Record::StoryRestated(StoryRestated { holder, entries })
        }),
        2 => ended().prop_map(|ended| Record::EndedRestated(EndedRestated { ended })),
        1 => kept().prop_map(Record::AnswerKept),
    ]
}

fn limits(is_tight: bool) -> StateLimits {
    let tight = PoolLimits {
        pools_max: 2,
        grants_max: 3,
        waiters_max: 3,
        holders_max: 2,
        story_entries_max: 5,
        story_entries_per_holder: 2,
        story_refusals_max: 3,
        story_refusals_per_holder: 1,
        story_living_per_holder: 2,
        ended_grants_max: 2,
    };
    StateLimits { pools: if is_tight { tight } else { PoolLimits::default() }, ..StateLimits::default() }
}

fn replayed(frames: &[Vec<Record>], limits: StateLimits) -> State {
    let mut state = State::new(0, limits);
    for (sequence, records) in (1..).zip(frames) {
        state.begin_turn(sequence, START.plus(sequence * 400));
        let possible = records.iter().filter(|record| record.is_possible());
        possible.for_each(|record| state.apply(record));
    }
    state.finish_replay();
    state
}

fn look(state: &State) {
    let pools = state.pools();
    assert_eq!(state.pool_page("", 2).pools.len(), pools.len().min(2));
    for pool in &pools {
        assert_eq!(state.pool(&pool.name).as_ref(), Some(pool));
        assert!(state.entrants(&pool.name, 0, 10).is_some());
        let grants = state.grants_of(&pool.name, None, 0, 1_000).expect("there is the pool").grants;
        assert!(grants.is_sorted_by_key(|grant| grant.id), "{grants:?}");
        let units: u64 = grants.iter().map(|grant| u64::from(grant.units)).sum();
        assert_eq!(units, pool.held + pool.taken, "{grants:?}");
        let line = state.line(&pool.name, LinePlace::default(), 1_000).expect("there is the pool").line;
        assert!(!pool.opened || line.len() as u32 == pool.waiting, "{line:?}");
    }
    for sequence in (0..12).chain(EDGES.into_iter().filter(|&edge| edge < 1 << 46)) {
        let _ = state.grant(GrantId::new(0, sequence));
    }
    HOLDERS.iter().for_each(|holder| drop(state.holder(holder)));
    let _ = (state.pool_bytes(), state.grant_deadlines(), state.next_deadline());
}

/// What time has made due, until nothing is.
fn rest(state: &mut State, sequence: u64, now: Time) {
    let mut records = Vec::new();
    let mut turn = Turn::new(&mut records);
    state.begin_turn(sequence, now);
    let mut turns = 0;
    while state.expire(&mut turn) {
        state.begin_turn(sequence, now);
        turns += 1;
        assert!(turns < EXPIRE_TURNS_MAX, "time brings something without end");
    }
}

fn ask(world: &mut World) {
    let wish = |pool: &str, holder: &str, units| Wish {
        pool: pool.into(),
        holder: holder.into(),
        units,
        group: None,
        hold_ms: None,
    };
    let mut operations = Vec::new();
    for (pool, holder) in POOLS.into_iter().flat_map(|pool| HOLDERS.map(|holder| (pool, holder))) {
        operations.push(PoolOperation::Hold(wish(pool, holder, 1)));
        operations.push(PoolOperation::Take(wish(pool, holder, 2)));
        operations.push(PoolOperation::Join(wish(pool, holder, 1)));
        operations.push(PoolOperation::Leave { pool: pool.into(), holder: holder.into() });
    }
    for sequence in 0..8 {
        let id = GrantId::new(0, sequence);
        let pool = POOLS[sequence as usize % POOLS.len()].into();
        operations.push(PoolOperation::Extend(id, None));
        operations.push(PoolOperation::Swap(Swap {
            give: id,
            pool,
            units: None,
            group: None,
            when_offered: sequence % 2 == 0,
        }));
        operations.push(PoolOperation::Confirm(id));
        operations.push(PoolOperation::Release(id));
    }
    for operation in operations {
        world.decide(Command::Pools(vec![operation]));
    }
    for pool in POOLS {
        world.decide(Command::ResizePool { pool: pool.into(), capacity: 5 });
        world.decide(Command::DeletePool { pool: pool.into() });
    }
    let key = IdempotencyKey { key: "k".into(), fingerprint: [1, 2] };
    let again = Request { idempotency: Some(key), command: Command::Cancel(JobId::new(0, 1)) };
    world.turn(|state, turn| state.decide(again, turn));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1_000), ..ProptestConfig::default() })]

    #[test]
    fn a_shard_goes_on_after_whatever_a_log_can_say_of_pools(
        frames in prop::collection::vec(prop::collection::vec(record(), 1..6), 1..12),
        is_tight in any::<bool>(),
    ) {
        let limits = limits(is_tight);
        let mut state = replayed(&frames, limits);
        let other = replayed(&frames, StateLimits { hash_seed: 99, ..limits });
        prop_assert_eq!(state.digest_text(), other.digest_text());
        look(&state);
        let last = frames.len() as u64 + 1;
        for (sequence, ms) in (last..).zip([6_000, 10_000]) {
            rest(&mut state, sequence, START.plus(ms));
            look(&state);
        }
        // What went on beside is in no frame of this world: the log is only walked here, and read by nobody.
        let frame = Frame { sequence: last + 2, time: state.now(), records: Vec::new() };
        let now = state.now();
        let mut world = World { state, limits, frames: vec![frame], now, readied: Vec::new() };
        world.walk(last + 3, |_| ());
        ask(&mut world);
        look(&world.state);
        let sequence = world.next_frame();
        rest(&mut world.state, sequence, now.plus(8 * 24 * 3_600_000));
        let sequence = world.next_frame();
        world.walk(sequence, |_| ());
    }
}

/// Every number that is looked at, one below its end and at it; and where none is not possible, none.
#[test]
fn what_no_log_can_say_of_pools_is_named_by_field_and_number() {
    const SEQUENCES: u64 = 1 << 46;
    const NUMBERS: u64 = 1 << 52;
    let granted = || Granted { units: 1, ..Granted::default() };
    let joined = || Joined { units: 1, number: 1, ..Joined::default() };
    let told = |entry| Record::StoryRestated(StoryRestated { holder: "h".into(), entries: vec![entry] });
    let answered = |pool| {
        let items = vec![AnswerItem { pool: Some(pool), ..AnswerItem::default() }];
        let answer = Answer { kind: 10, items, ..Answer::default() }.encode_to_vec();
        Record::AnswerKept(AnswerKept { answer, ..AnswerKept::default() })
    };
    type Says<'a> = &'a dyn Fn(u64) -> Record;
    let table: [(&str, u64, Says<'_>); 30] = [
        ("next_grant", SEQUENCES, &|n| Record::Shard(Shard { next_grant: n, ..Shard::default() })),
        ("next_event", NUMBERS, &|n| Record::Shard(Shard { next_event: n, ..Shard::default() })),
        ("version", NUMBERS, &|n| {
            Record::PoolConfigured(PoolConfigured { version: n, ..PoolConfigured::default() })
        }),
        ("config.opens_at", NUMBERS, &|n| {
            let config = PoolConfig { opens_at: n, ..PoolConfig::default() };
            Record::PoolConfigured(PoolConfigured { config, ..PoolConfigured::default() })
        }),
        ("config.closes_at", NUMBERS, &|n| {
            let config = PoolConfig { closes_at: n, ..PoolConfig::default() };
            let pool = PoolConfigured { config, ..PoolConfigured::default() };
            Record::PoolRestated(PoolRestated { pool, next_number: 1, drawn_until: 0 })
        }),
        ("next_number", NUMBERS, &|n| {
            Record::PoolRestated(PoolRestated { next_number: n, ..PoolRestated::default() })
        }),
        ("drawn_until", NUMBERS, &|n| {
            Record::PoolRestated(PoolRestated { drawn_until: n, ..PoolRestated::default() })
        }),
        ("version", NUMBERS, &|n| Record::PoolDeleted(PoolDeleted { version: n, ..PoolDeleted::default() })),
        ("version", NUMBERS, &|n| Record::PoolTurned(PoolTurned { version: n, ..PoolTurned::default() })),
        ("grant", SEQUENCES, &|n| Record::Granted(Granted { grant: n, ..granted() })),
        ("deadline", NUMBERS, &|n| Record::Granted(Granted { deadline: n, ..granted() })),
        ("ceiling", NUMBERS, &|n| Record::Granted(Granted { ceiling: n, ..granted() })),
        ("waiter", NUMBERS, &|n| Record::Granted(Granted { waiter: n, ..granted() })),
        ("gives", SEQUENCES, &|n| Record::Granted(Granted { gives: n, ..granted() })),
        ("job", SEQUENCES, &|n| Record::Granted(Granted { job: n, ..granted() })),
        ("event", NUMBERS, &|n| {
            let grant = Granted { event: n, ..granted() };
            Record::GrantRestated(GrantRestated { grant, granted_at: 0 })
        }),
        ("granted_at", NUMBERS, &|n| {
            Record::GrantRestated(GrantRestated { grant: granted(), granted_at: n })
        }),
        ("grant", SEQUENCES, &|n| {
            Record::GrantConfirmed(GrantConfirmed { grant: n, ..GrantConfirmed::default() })
        }),
        ("deadline", NUMBERS, &|n| {
            Record::HoldExtended(HoldExtended { deadline: n, ..HoldExtended::default() })
        }),
        ("grant", SEQUENCES, &|n| Record::GrantEnded(GrantEnded { grant: n, ..GrantEnded::default() })),
        ("ended_at", NUMBERS, &|n| {
            let ended = GrantEnded { ended_at: n, ..GrantEnded::default() };
            Record::EndedRestated(EndedRestated { ended })
        }),
        ("number", NUMBERS, &|n| Record::Joined(Joined { number: n, ..joined() })),
        ("rank", AFTER_OPENING + 1, &|n| Record::WaiterRestated(Joined { rank: n, ..joined() })),
        ("rank", AFTER_OPENING, &|n| Record::WaiterRestated(Joined { rank: n, left: true, ..joined() })),
        ("number", NUMBERS, &|n| Record::LeftLine(LeftLine { number: n, ..LeftLine::default() })),
        ("event", NUMBERS, &|n| Record::PoolRefused(PoolRefused { event: n, ..PoolRefused::default() })),
        ("jobs", SEQUENCES, &|n| Record::JobsLinked(JobsLinked { jobs: vec![n], ..JobsLinked::default() })),
        ("entries.number", NUMBERS, &|n| {
            told(StoryEntryRestated { number: n, ..StoryEntryRestated::default() })
        }),
        ("answer.pool.number", SEQUENCES, &|n| {
            answered(AnswerPool { kind: 1, number: n, ..AnswerPool::default() })
        }),
        ("answer.pool.version", NUMBERS, &|n| answered(AnswerPool { version: n, ..AnswerPool::default() })),
    ];
    for (field, end, says) in table {
        assert_eq!(says(end - 1).possible(), Ok(()), "{field}");
        for number in [end, u64::MAX] {
            let wrong = says(number).possible().expect_err("no log says so");
            assert_eq!((wrong.field, wrong.number), (field, number), "{wrong}");
        }
    }
    for (field, none) in [
        ("units", Record::Granted(Granted::default())),
        ("units", Record::Joined(Joined { number: 1, ..Joined::default() })),
        ("number", Record::WaiterRestated(Joined { units: 1, ..Joined::default() })),
    ] {
        let wrong = none.possible().expect_err("no log says so");
        assert_eq!((wrong.field, wrong.number), (field, 0), "{wrong}");
    }
}
