//! Queues: made by their first job or configured, bounded, and forgetful.

use crate::support::script::{check, check_in};
use crate::support::{World, accepted, job};
use tidegate_core::command::{Command, DeadFilter, Fail, Redrive, Request, Work};
use tidegate_core::id::JobId;
use tidegate_core::limits::{LIST_JOBS_MAX, LIST_VISITS_MAX};
use tidegate_core::outcome::Outcome;
use tidegate_core::policy::QueueConfig;
use tidegate_core::record::{EndReason, Record, RecordMessage, RedriveEnd};
use tidegate_core::state::State;
use tidegate_core::view::{JobFilter, JobState};

use prost::Message as _;

#[test]
fn a_queue_is_made_by_its_first_job() {
    check(
        "queue counts                       -> no such queue
         enqueue                            -> 1 ready
         queue counts lease_ms jobs_max     -> 1 ready, 30000, 0",
    );
}

#[test]
fn a_queue_is_not_made_by_a_job_that_is_refused() {
    check(
        "enqueue expires_in=0               -> refused already_expired
         queue counts                       -> no such queue",
    );
}

/// An upgrade may change the defaults; the queues of an old log keep those they were made with.
#[test]
fn the_defaults_are_written_into_the_log_with_the_queue() {
    let world = check_in(World::new(), "enqueue -> 1 ready");
    let written =
        world.frames.iter().flat_map(|frame| &frame.records).find_map(|record| match RecordMessage::decode(
            record.as_slice(),
        )
        .expect("a record")
        .record
        {
            Some(Record::QueueConfigured(configured)) => Some(configured),
            _ => None,
        });
    let configured = written.expect("the queue is written down before its first job");
    assert_eq!((&*configured.queue, configured.config), ("q", QueueConfig::DEFAULT));
}

#[test]
fn configuring_as_it_is_writes_nothing() {
    let mut world = World::new();
    let configure = || Command::ConfigureQueue { queue: "q".into(), config: QueueConfig::DEFAULT };
    assert_eq!(world.decide(configure()), Outcome::Done);
    let frames = world.frames.len();
    assert_eq!(world.decide(configure()), Outcome::Done);
    assert_eq!(world.frames.len(), frames);
}

#[test]
fn a_full_queue_refuses_by_name_until_a_job_ends() {
    check(
        "configure jobs_max=3
         enqueue times=2 | run_in=9000 | kind=work -> 1 ready, 2 ready, 3 scheduled +9000, refused queue_full 3
         lease                              -> 1
         enqueue                            -> refused queue_full 3   # leased ones count
         complete 1
         enqueue                            -> 4 ready
         lease                              -> 2
         fail 2 fatal
         enqueue                            -> 5 ready
         enqueue queue=other                -> 6 ready",
    );
}

#[test]
fn a_lower_bound_takes_nothing_away() {
    check(
        "enqueue times=3
         configure jobs_max=1
         queue counts                       -> 3 ready
         enqueue                            -> refused queue_full 1
         lease 9                            -> 1 2 3",
    );
}

#[test]
fn ended_jobs_are_kept_for_a_while() {
    check(
        "configure retain_ms=1000
         enqueue times=2
         lease
         complete 1
         after 500
         cancel 2
         after 499
         show 1 state                       -> completed
         after 1
         show 1                             -> not kept
         show 2 state                       -> cancelled
         after 500
         show 2                             -> not kept
         queue counts                       -> empty
         complete 1                         -> refused job_not_found",
    );
}

#[test]
fn each_queue_keeps_its_own_ended_jobs_for_its_own_while() {
    check(
        "configure queue=a retain_ms=1000
         configure queue=b retain_ms=9000
         enqueue queue=b times=2            -> 1 ready, 2 ready
         enqueue queue=a times=2            -> 3 ready, 4 ready
         lease from=b                       -> 1
         complete 1
         cancel 2
         lease from=a                       -> 3
         complete 3
         cancel 4
         after 1000
         show 1 state                       -> completed
         show 2 state                       -> cancelled
         show 3                             -> not kept
         show 4                             -> not kept",
    );
}

#[test]
fn at_most_so_many_ended_jobs_of_a_state_are_kept_the_latest() {
    check(
        "configure retain_max=2
         enqueue times=6
         lease 4
         complete 1 2 3 4
         cancel 5
         cancel 6
         after 0
         queue counts                       -> 2 completed 2 cancelled
         show 2                             -> not kept
         show 3 state                       -> completed",
    );
}

#[test]
fn a_state_with_too_many_takes_nothing_from_another() {
    check(
        "configure retain_max=2
         enqueue times=5
         cancel 5
         lease 4
         complete 1 2 3 4
         after 0
         queue counts                       -> 2 completed 1 cancelled
         show 2                             -> not kept
         show 3 state                       -> completed
         show 5 state                       -> cancelled",
    );
}

#[test]
fn a_shorter_retention_counts_for_what_has_ended_already() {
    check(
        "enqueue
         cancel 1
         after 5000
         configure retain_ms=1000
         after 0
         show 1                             -> not kept",
    );
}

#[test]
fn a_queue_shows_how_old_its_oldest_waiting_job_is() {
    check(
        "enqueue priority=9
         after 100
         enqueue priority=0
         after 100
         queue oldest_ready                 -> -200
         lease 1                            -> 2
         lease 1                            -> 1
         queue oldest_ready                 -> -",
    );
    check(
        "enqueue priority=0
         after 100
         enqueue priority=9
         queue oldest_ready                 -> -100",
    );
}

#[test]
fn a_queue_is_found_by_its_number() {
    let world = check_in(World::new(), "configure queue=a\nconfigure queue=b\nconfigure queue=c");
    for name in ["a", "b", "c"] {
        let index = world.state.queue_index(name).expect("it is there");
        assert_eq!(&**world.state.queue_name(index), name);
    }
    assert_eq!(world.state.queue_index("d"), None);
}

#[test]
fn a_queue_counts_what_arrived_and_what_was_completed() {
    let world = check_in(World::new(), "enqueue times=3\nlease 2\ncomplete 1\nfail 2 fatal\ncancel 3");
    let queue = world.state.queue("q").expect("the queue");
    assert_eq!((queue.arrived, queue.completed), (3, 1));
}

#[test]
fn a_listing_shows_what_all_its_parts_let_through() {
    let world = check_in(
        World::new(),
        "enqueue kind=a key=k | kind=a | kind=b key=k
         after 1000
         enqueue queue=other kind=a
         lease                              -> 1
         fail 1 fatal : it broke",
    );
    let filter = |change: fn(&mut JobFilter)| {
        let mut filter = JobFilter::default();
        change(&mut filter);
        filter
    };
    let cause = world.state.causes("q").expect("the queue")[0].cause;
    let by_cause = JobFilter { cause: Some(cause), ..JobFilter::default() };
    let before = JobFilter { enqueued_before: Some(world.now), ..JobFilter::default() };
    let died = |reason| JobFilter { reason: Some(reason), ..JobFilter::default() };
    let dead_of = |kind: &str| JobFilter {
        queue: Some("q".into()),
        state: Some(JobState::Dead),
        kind: Some(kind.into()),
        ..JobFilter::default()
    };
    let cases: [(JobFilter, &[u64]); 13] = [
        (died(EndReason::Fatal), &[1]),
        (died(EndReason::Expired), &[]),
        (dead_of("a"), &[1]),
        (dead_of("b"), &[]),
        (filter(|_| ()), &[1, 2, 3, 4]),
        (filter(|f| f.queue = Some("q".into())), &[1, 2, 3]),
        (filter(|f| f.queue = Some("nobody".into())), &[]),
        (filter(|f| f.kind = Some("a".into())), &[1, 2, 4]),
        (filter(|f| f.ordering_key = Some("k".into())), &[1, 3]),
        (filter(|f| (f.kind, f.ordering_key) = (Some("b".into()), Some("k".into()))), &[3]),
        (filter(|f| f.state = Some(JobState::Ready)), &[2, 3, 4]),
        (by_cause, &[1]),
        (before, &[1, 2, 3]),
    ];
    for (filter, expected) in cases {
        let page = world.state.list(&filter, 0, 100);
        let listed: Vec<u64> = page.jobs.iter().map(|job| job.id.sequence()).collect();
        assert_eq!(listed, expected, "{filter:?}");
        assert_eq!(page.next, None);
    }
}

#[test]
fn pages_of_a_listing_follow_one_another() {
    let world = check_in(World::new(), "enqueue times=5\ncancel 3");
    let filter = JobFilter { queue: Some("q".into()), ..JobFilter::default() };
    let (mut cursor, mut listed) = (Some(0), Vec::new());
    while let Some(at) = cursor {
        let page = world.state.list(&filter, at, 2);
        assert!(page.jobs.len() <= 2);
        listed.extend(page.jobs.iter().map(|job| job.id.sequence()));
        cursor = page.next;
    }
    assert_eq!(listed, [1, 2, 3, 4, 5]);
}

/// Looking takes time, and a shard has other things to do: a page ends after so many jobs, also when it found none.
#[test]
fn a_page_looks_at_a_bounded_number_of_jobs() {
    let mut world = World::new();
    let visits = LIST_VISITS_MAX as u64;
    for _ in 0..=LIST_VISITS_MAX / 1_000 {
        world.enqueue_all("q", (0..1_000).map(|_| ("a", job())).collect());
    }
    world.enqueue_all("q", vec![("b", job())]);
    let last = visits + 1_001;
    let filter = JobFilter { kind: Some("b".into()), ..JobFilter::default() };
    let page = world.state.list(&filter, 0, 10);
    assert_eq!((page.jobs.len(), page.next), (0, Some(visits + 1)));
    let page = world.state.list(&filter, visits + 1, 10);
    assert_eq!((page.jobs[0].id.sequence(), page.jobs.len(), page.next), (last, 1, None));
    let page = world.state.list(&JobFilter::default(), 0, usize::MAX);
    assert_eq!((page.jobs.len(), page.next), (LIST_JOBS_MAX, Some(LIST_JOBS_MAX as u64 + 1)));

    // Dead letters are listed by their deaths.
    loop {
        let leased = world.lease("q", 1_000);
        if leased.is_empty() {
            break;
        }
        let fail = leased.iter().map(|job| Fail {
            id: job.id,
            token: job.token,
            message: String::new(),
            kind: None,
            dependency: None,
            retry_after_ms: None,
            fatal: true,
        });
        let fail = fail.collect();
        world.work(Work { fail, ..Work::default() });
    }
    let dead = JobFilter { queue: Some("q".into()), state: Some(JobState::Dead), ..filter };
    let page = world.state.list(&dead, 0, 10);
    assert_eq!((page.jobs.len(), page.next), (0, Some(visits + 1)));
    let page = world.state.list(&dead, visits + 1, 10);
    assert_eq!((page.jobs[0].id.sequence(), page.jobs.len(), page.next), (last, 1, None));
    // A redrive looks at as many in a turn, and goes on in the next one where it was.
    let filter = DeadFilter { queue: "q".into(), kind: Some("b".into()), ..DeadFilter::default() };
    let redrive = Command::Redrive(Redrive { filter, rate_per_s: None, stop_after_dead: 0 });
    let Outcome::Redriving(redrive) = world.decide(redrive) else { panic!("a redrive is under way") };
    assert_eq!((redrive.moved, redrive.end), (0, None));
    world.after(0);
    let redrive = world.state.queue("q").and_then(|queue| queue.redrive).expect("it is remembered");
    assert_eq!((redrive.moved, redrive.end), (1, Some(RedriveEnd::Done)));
    // A bulk command does its share in one turn and says that there is more.
    let all = DeadFilter { queue: "q".into(), ..DeadFilter::default() };
    let deleted = world.decide(Command::DeleteDead(all));
    assert_eq!(deleted, Outcome::Deleted { deleted: 1_000, more: true });
}

/// Jobs are found by their sequences, of which thousands may be gone between two, or before the first.
#[test]
fn a_listing_finds_jobs_however_far_apart_they_are() {
    let mut world = check_in(World::new(), "configure retain_ms=0\nenqueue -> 1 ready");
    for _ in 0..5 {
        let items = world.enqueue_all("q", vec![("work", job()); 1_000]);
        world.turn(|state, turn| {
            for item in items {
                let command = Command::Cancel(accepted(item));
                state.decide(Request { idempotency: None, command }, turn);
            }
        });
    }
    // A walk writes the first anew when a replay that begins there has met the last already.
    let target = world.next_frame();
    let mut last = None;
    world.walk(target, |world| last = last.or_else(|| Some(world.add("q", job()))));
    world.after(1);
    let listed = |state: &State, cursor| -> Vec<u64> {
        let page = state.list(&JobFilter::default(), cursor, 10);
        assert_eq!(page.next, None);
        page.jobs.iter().map(|job| job.id.sequence()).collect()
    };
    let mut trimmed = World { state: world.replayed_from(target), ..world.restarted() };
    for world in [&mut world, &mut trimmed] {
        for (cursor, expected) in
            [(0, vec![1, 5_002]), (2, vec![5_002]), (5_003, vec![]), (9_999_999, vec![])]
        {
            assert_eq!(listed(&world.state, cursor), expected);
        }
        world.decide(Command::Cancel(JobId::new(0, 1)));
        world.after(1);
        assert_eq!(listed(&world.state, 0), [5_002]);
        assert_eq!(world.job(JobId::new(0, 5_002)).state, JobState::Ready);
    }
}
