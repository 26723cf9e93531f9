//! Turns by script: one shard over the memory log, whose durability a script holds back, and whose turns it
//! runs.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use prost::Message;
use tidegate_core::outcome::Item;
use tidegate_core::record::RecordMessage;
use tidegate_core::view::{JobFilter, JobState};
use tidegate_core::{JobId, Refusal, command};
use tidegate_engine::{CallError, Clock, Engine, Options, Solo, Stored};
use tidegate_log::{FrameBuilder, Log, MemoryLog, Opened, Sequence, Shard};

/// A shard, its log and its clock, in the hands of a script.
struct World {
    engine: Engine,
    solo: Solo,
    log: MemoryLog,
    clock: Arc<HandClock>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let clock = Arc::new(HandClock::new());
        let mut options = Options { clock: clock.clone(), readers: 0, ..options() };
        change(&mut options);
        let Opened { log, recovery } = MemoryLog::open();
        let opened = Opened { log: Arc::new(log.clone()) as Arc<dyn Log>, recovery };
        let (engine, solo) = Engine::solo(opened, options).expect("a new shard");
        let mut world = Self { engine, solo, log, clock };
        // The seed of a new log.
        world.turn();
        world
    }

    /// Runs turns until there is nothing more to do.
    fn turn(&mut self) {
        while self.solo.turn(self.clock.now()).expect("the log takes frames").more {}
    }

    fn last(&self) -> Sequence {
        self.log.status().last
    }

    fn reopen(&mut self) {
        let Opened { log, recovery } = self.log.reopen();
        self.log = log.clone();
        self.solo.reopen(Opened { log: Arc::new(log), recovery }).expect("a replay");
        self.turn();
    }

    /// Enqueues and makes it durable.
    fn enqueue(&mut self, queue: &str, payloads: &[&str]) -> Vec<JobId> {
        let engine = self.engine.clone();
        let asked = Asked::new(engine.enqueue(jobs(queue, payloads), None));
        self.turn();
        ids(&asked.answer().expect("enqueued").value)
    }

    fn leased(&mut self, queue: &str, max: u32) -> tidegate_engine::Worked {
        let engine = self.engine.clone();
        let asked = Asked::new(engine.lease(wish(&[queue], max), NO_WAIT, None));
        self.turn();
        asked.answer().expect("leased").value
    }
}

#[test]
fn an_answer_waits_until_its_frame_is_durable() {
    let mut world = World::new();
    world.log.hold();
    let engine = world.engine.clone();
    let mut asked = Asked::new(engine.enqueue(jobs("a", &["1", "2"]), None));
    world.turn();
    asked.waits("its frame is in flight");
    world.log.release();
    assert_eq!(asked.answer().expect("enqueued").value.len(), 2);
}

#[test]
fn reads_and_refusals_wait_for_what_they_saw() {
    let mut world = World::new();
    world.log.hold();
    let engine = world.engine.clone();
    let enqueued = Asked::new(engine.enqueue(jobs("a", &["1"]), key("k", 1)));
    world.turn();
    let id = JobId::new(0, 1);
    let mut job = Asked::new(engine.job(id, NO_WAIT));
    let mut page = Asked::new(engine.list(JobFilter::default(), 0, 10));
    let mut queue = Asked::new(engine.queue_now("a"));
    let mut refused = Asked::new(engine.enqueue(jobs("a", &["2"]), key("k", 2)));
    let mut nothing = Asked::new(engine.lease(wish(&["elsewhere"], 1), NO_WAIT, None));
    let frames = world.last();
    // Long enough for a snapshot to be due.
    world.clock.pass(1_000);
    world.turn();
    assert_eq!(world.last(), frames, "reads and refusals write nothing");
    job.waits("the job may be lost yet");
    page.waits("the job may be lost yet");
    queue.waits("the job may be lost yet");
    refused.waits("the key may be lost yet");
    nothing.waits("whatever it saw may be lost yet");
    assert!(engine.queue("a").is_none(), "a snapshot shows what is durable");
    world.log.release();
    assert!(engine.queue("a").is_some(), "and is published when it is");
    assert_eq!(enqueued.answer().expect("enqueued").value.len(), 1);
    assert!(job.answer().expect("a read").is_some());
    assert_eq!(page.answer().expect("a read").jobs.len(), 1);
    assert_eq!(queue.answer().expect("a read").expect("a queue").view.counts.of(JobState::Ready), 1);
    let refusal = refused.answer().expect_err("another body");
    assert_eq!(refusal, CallError::Refused { refusal: Refusal::IdempotencyMismatch, replayed: false });
    assert_eq!(nothing.answer().expect("a lease").value.leased, []);
}

#[test]
fn answers_go_out_in_the_order_of_durability() {
    let mut world = World::new();
    world.log.hold();
    let engine = world.engine.clone();
    let first = Asked::new(engine.enqueue(jobs("a", &["1"]), None));
    world.turn();
    let durable = world.last();
    let mut second = Asked::new(engine.enqueue(jobs("a", &["2"]), None));
    world.turn();
    world.log.release_to(durable);
    first.answer().expect("enqueued");
    second.waits("its frame is still in flight");
    world.log.release();
    second.answer().expect("enqueued");
}

#[test]
fn a_failed_log_leaves_outcomes_unknown_and_a_fresh_start_tells() {
    let mut world = World::new();
    let kept = world.enqueue("a", &["kept"]);
    world.log.hold();
    let engine = world.engine.clone();
    let lost = Asked::new(engine.enqueue(jobs("a", &["lost"]), key("k", 1)));
    let waiting = Asked::new(engine.lease(wish(&["b"], 1), LONG, None));
    world.turn();
    world.log.fail("no such luck");
    let undecided = Asked::new(engine.cancel(kept[0], None));
    world.solo.turn(world.clock.now()).expect_err("the log has failed");
    assert!(matches!(lost.answer(), Err(CallError::OutcomeUnknown { .. })));
    assert!(matches!(undecided.answer(), Err(CallError::Unavailable { .. })), "nothing was done");
    assert!(matches!(waiting.answer(), Err(CallError::Unavailable { .. })), "nothing was done");
    let refused = wait(engine.enqueue(jobs("a", &["while it is down"]), None));
    assert!(matches!(refused, Err(CallError::Unavailable { .. })));

    world.reopen();
    let again = Asked::new(engine.enqueue(jobs("a", &["lost"]), key("k", 1)));
    world.turn();
    assert!(!again.answer().expect("asked again").replayed, "it had been lost");
    assert_eq!(texts(&world.leased("a", 10)), ["kept", "lost"]);
}

#[test]
fn an_unknown_outcome_that_was_durable_after_all_is_replayed() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let asked = Asked::new(engine.enqueue(jobs("a", &["1"]), key("k", 1)));
    // Durable, and the caller never hears it.
    world.turn();
    drop(asked);
    world.solo.crash();
    world.reopen();
    let again = Asked::new(engine.enqueue(jobs("a", &["1"]), key("k", 1)));
    world.turn();
    let again = again.answer().expect("asked again");
    assert!(again.replayed);
    assert_eq!(ids(&again.value), [JobId::new(0, 1)]);
    assert_eq!(world.leased("a", 10).leased.len(), 1);
}

#[test]
fn a_long_poll_is_served_in_the_turn_that_makes_a_job_ready() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let mut first = Asked::new(engine.lease(wish(&["x", "a"], 1), LONG, None));
    let mut second = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    first.waits("there is nothing");
    second.waits("there is nothing");
    let frames = world.last();
    let enqueued = Asked::new(engine.enqueue(jobs("a", &["1"]), None));
    world.turn();
    assert_eq!(world.last(), frames.next(), "accepting and leasing were one frame");
    enqueued.answer().expect("enqueued");
    let worked = first.answer().expect("leased").value;
    assert_eq!(texts(&worked), ["1"], "the payload was read from the frame that enqueued it");
    second.waits("there was one job, and the first in line has it");
    world.enqueue("a", &["2"]);
    assert_eq!(texts(&second.answer().expect("leased").value), ["2"]);
}

#[test]
fn a_long_poll_wakes_for_retries_releases_and_resumes() {
    let mut world = World::new();
    let engine = world.engine.clone();
    world.enqueue("a", &["1"]);
    let held = world.leased("a", 1);
    let waiting = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    let released = Asked::new(engine.work(release(&held.leased), NO_WAIT, None));
    world.turn();
    ids(&released.answer().expect("released").value.release);
    let held = waiting.answer().expect("leased").value;
    assert_eq!(texts(&held), ["1"]);

    let pause = |paused| command::Pause { queue: "a".into(), ordering_key: None, paused };
    let paused = Asked::new(engine.pause(pause(true), None));
    let mut waiting = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    paused.answer().expect("paused");
    world.enqueue("a", &["2"]);
    waiting.waits("the queue is paused");
    let resumed = Asked::new(engine.pause(pause(false), None));
    world.turn();
    resumed.answer().expect("resumed");
    assert_eq!(texts(&waiting.answer().expect("leased").value), ["2"]);

    let waiting = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    world.clock.pass(30_000);
    world.turn();
    drop(waiting);
    let scheduled = Asked::new(engine.job(held.leased[0].job.id, NO_WAIT));
    world.turn();
    let view = scheduled.answer().expect("a read").expect("a job").view;
    assert_eq!((view.state, view.attempt), (JobState::Scheduled, 1), "the lease lapsed");
}

#[test]
fn a_long_poll_ends_empty_at_its_deadline() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let mut waiting = Asked::new(engine.lease(wish(&["a"], 1), Duration::from_millis(500), None));
    world.turn();
    world.clock.pass(499);
    world.turn();
    waiting.waits("its time is not over");
    assert_eq!(world.solo.sleep_ms(world.clock.now()), Some(1));
    world.clock.pass(1);
    world.turn();
    assert_eq!(waiting.answer().expect("an answer").value.leased, []);
}

#[test]
fn a_long_poll_waits_on_when_all_that_came_back_had_expired() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let enqueued = Asked::new(engine.enqueue(short_lived("a", &["late", "late too"], 1_000), None));
    world.turn();
    enqueued.answer().expect("enqueued");
    let mut held = world.leased("a", 2).leased;
    let mut first = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    let mut second = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    world.clock.pass(2_000);
    // One comes back while two wait, the other one in the turn in which a third one asks.
    let released = Asked::new(engine.work(release(&held.split_off(1)), NO_WAIT, None));
    world.turn();
    released.answer().expect("released");
    first.waits("it was given back too late");
    let released = Asked::new(engine.work(release(&held), NO_WAIT, None));
    let mut third = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    released.answer().expect("released");
    second.waits("nothing came for him");
    third.waits("it was given back too late");
    world.enqueue("a", &["1", "2", "3"]);
    assert_eq!(texts(&first.answer().expect("leased").value), ["1"], "he kept his place");
    assert_eq!(texts(&second.answer().expect("leased").value), ["2"]);
    assert_eq!(texts(&third.answer().expect("leased").value), ["3"]);
}

#[test]
fn a_long_poll_gets_what_lies_behind_more_expired_jobs_than_a_turn_ends() {
    let mut world = World::new();
    let engine = world.engine.clone();
    for _ in 0..9 {
        let enqueued = Asked::new(engine.enqueue(short_lived("a", &["late"; 1_000], 1_000), None));
        world.turn();
        enqueued.answer().expect("enqueued");
    }
    world.enqueue("a", &["lives"]);
    world.clock.pass(2_000);
    let asked = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    assert_eq!(texts(&asked.answer().expect("leased").value), ["lives"]);
}

/// Found by the simulator (seed 20033): the job behind an expired one was left for the turn after, and whoever asked in that turn
/// got it before those who had waited.
#[test]
fn a_long_poll_gets_what_an_expired_job_has_held_up_before_anybody_who_asks_later() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let mut line = short_lived("a", &["late", "lives"], 1_000);
    for job in &mut line.command.jobs {
        job.more.as_mut().expect("it is short-lived").ordering_key = Some("k".into());
    }
    line.command.jobs[1].more.as_mut().expect("it is short-lived").expires_at = None;
    let enqueued = Asked::new(engine.enqueue(line, None));
    world.turn();
    enqueued.answer().expect("enqueued");
    let held = world.leased("a", 1).leased;
    let first = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    let mut second = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    world.clock.pass(2_000);
    let released = Asked::new(engine.work(release(&held), NO_WAIT, None));
    world.solo.turn(world.clock.now()).expect("the log takes frames");
    released.answer().expect("released");
    let later = Asked::new(engine.lease(wish(&["a"], 1), NO_WAIT, None));
    world.turn();
    assert_eq!(texts(&later.answer().expect("an answer").value), Vec::<String>::new());
    assert_eq!(texts(&first.answer().expect("leased").value), ["lives"]);
    second.waits("there was only one");
}

/// A turn may bring jobs to several queues. Whoever waits for both of two queues must not be given what somebody has waited for
/// longer, in whichever of them it is.
#[test]
fn whoever_came_first_is_served_first_whichever_queue_has_got_something() {
    let mut world = World::new();
    let engine = world.engine.clone();
    // Which queue a lease of both begins with is drawn anew each time.
    for round in 0..16 {
        let queues = if round % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
        let first = Asked::new(engine.lease(wish(&[queues[0]], 1), LONG, None));
        let second = Asked::new(engine.lease(wish(&["a", "b"], 1), LONG, None));
        world.turn();
        let a = Asked::new(engine.enqueue(jobs("a", &["1"]), None));
        let b = Asked::new(engine.enqueue(jobs("b", &["1"]), None));
        world.turn();
        a.answer().expect("enqueued");
        b.answer().expect("enqueued");
        let got = |worked: &tidegate_engine::Worked| {
            worked.leased.iter().map(|leased| leased.job.queue.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(got(&first.answer().expect("leased").value), [queues[0]], "round {round}");
        assert_eq!(got(&second.answer().expect("leased").value), [queues[1]], "round {round}");
    }
}

#[test]
fn a_deadline_comes_although_the_clock_is_set_back() {
    let mut world = World::new();
    let engine = world.engine.clone();
    world.enqueue("a", &["1"]);
    let held = world.leased("a", 1);
    let waiting = Asked::new(engine.lease(wish(&["b"], 1), Duration::from_millis(500), None));
    world.turn();
    world.clock.set_back(900_000);
    world.clock.pass(30_000);
    world.turn();
    assert_eq!(waiting.answer().expect("an answer").value.leased, []);
    let late = Asked::new(engine.work(complete(&held.leased), NO_WAIT, None));
    world.turn();
    let refused = late.answer().expect("an answer").value.complete;
    assert_eq!(refused, [Item::Refused(Refusal::StaleToken)], "the lease lapsed in its time");
}

#[test]
fn settling_does_not_wait_for_the_lease_behind_it() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let job = world.enqueue("a", &["1"])[0];
    let held = world.leased("a", 1);
    let mut round = complete(&held.leased);
    round.command.lease = Some(wish(&["a"], 1));
    let mut round = Asked::new(engine.work(round, LONG, None));
    let done = Asked::new(engine.job(job, LONG));
    world.turn();
    assert_eq!(done.answer().expect("a read").expect("a job").view.state, JobState::Completed);
    round.waits("there is nothing to lease");
    world.enqueue("a", &["2"]);
    let worked = round.answer().expect("worked").value;
    assert_eq!(ids(&worked.complete), [job]);
    assert_eq!(texts(&worked), ["2"]);
}

#[test]
fn a_repeated_round_trip_settles_once_and_brings_the_same_jobs() {
    let mut world = World::new();
    let engine = world.engine.clone();
    world.enqueue("a", &["1"]);
    let held = world.leased("a", 1);
    let round = || {
        let mut round = complete(&held.leased);
        round.command.lease = Some(wish(&["a"], 1));
        round
    };
    let first = Asked::new(engine.work(round(), LONG, key("k", 1)));
    world.turn();
    world.enqueue("a", &["2", "3"]);
    let first = first.answer().expect("worked").value;
    assert_eq!(texts(&first), ["2"]);
    let again = Asked::new(engine.work(round(), LONG, key("k", 1)));
    world.turn();
    let again = again.answer().expect("worked");
    assert!(again.replayed);
    assert_eq!(again.value, first, "the same jobs under the same tokens");
}

#[test]
fn jobs_leased_for_a_caller_who_went_away_are_given_back() {
    let mut world = World::new();
    let engine = world.engine.clone();
    world.enqueue("a", &["1"]);
    // Gone after the answer was sent, before it was picked up.
    let asked = Asked::new(engine.lease(wish(&["a"], 1), NO_WAIT, None));
    world.turn();
    drop(asked);
    world.turn();
    let back = world.leased("a", 1);
    assert_eq!(texts(&back), ["1"]);
    assert_eq!(back.leased[0].job.attempt, 1, "no attempt was burned");

    // Gone before the answer was sent.
    let released = Asked::new(engine.work(release(&back.leased), NO_WAIT, None));
    world.turn();
    released.answer().expect("released");
    world.log.hold();
    let asked = Asked::new(engine.lease(wish(&["a"], 1), NO_WAIT, None));
    world.turn();
    drop(asked);
    world.log.release();
    world.turn();
    assert_eq!(world.leased("a", 1).leased.len(), 1);
}

#[test]
fn a_caller_who_went_away_while_he_waited_is_passed_over() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let gone = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    let here = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    drop(gone);
    world.enqueue("a", &["1"]);
    let worked = here.answer().expect("leased").value;
    assert_eq!((texts(&worked), worked.leased[0].job.token), (vec!["1".to_owned()], tidegate_core::Token(1)));
}

#[test]
fn a_caller_who_went_away_has_settled_and_leases_nothing() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let both = world.enqueue("a", &["1", "2"]);
    let held = world.leased("a", 1);
    let mut round = complete(&held.leased);
    round.command.lease = Some(wish(&["a"], 1));
    drop(Asked::new(engine.work(round, LONG, None)));
    world.turn();
    let states = both.into_iter().map(|id| {
        let asked = Asked::new(engine.job(id, NO_WAIT));
        world.turn();
        let view = asked.answer().expect("a read").expect("a job").view;
        (view.state, view.attempt)
    });
    assert_eq!(states.collect::<Vec<_>>(), [(JobState::Completed, 1), (JobState::Ready, 0)]);
}

#[test]
fn waiting_for_a_job_ends_with_the_job() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let job = world.enqueue("a", &["1"])[0];
    let mut end = Asked::new(engine.job(job, LONG));
    let mut soon = Asked::new(engine.job(job, Duration::from_millis(10)));
    world.turn();
    end.waits("the job has not ended");
    soon.waits("its time is not over");
    world.clock.pass(10);
    world.turn();
    let seen = soon.answer().expect("a read").expect("a job");
    assert_eq!(seen.view.state, JobState::Ready);
    assert!(matches!(seen.payload, Stored::Here(envelope) if envelope.payload == "1"));
    let held = world.leased("a", 1);
    let mut work = complete(&held.leased);
    work.results = vec![tidegate_engine::Envelope::json("{\"ok\":true}")];
    let done = Asked::new(engine.work(work, NO_WAIT, None));
    world.turn();
    done.answer().expect("completed");
    let seen = end.answer().expect("a read").expect("a job");
    assert_eq!(seen.view.state, JobState::Completed);
    assert_eq!(seen.payload, Stored::None, "a completed job's payload is not kept");
    assert!(matches!(seen.result, Stored::Here(envelope) if envelope.payload == "{\"ok\":true}"));
}

#[test]
fn there_is_room_for_so_many_who_wait() {
    let mut world = World::with(|options| options.waiters_max = 1);
    let engine = world.engine.clone();
    let _first = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    let second = Asked::new(engine.lease(wish(&["a"], 1), LONG, None));
    world.turn();
    assert!(matches!(second.answer(), Err(CallError::WaitersFull { waiters: 1, .. })));
    let now = Asked::new(engine.lease(wish(&["a"], 1), NO_WAIT, None));
    world.turn();
    now.answer().expect("who does not wait is served");
}

#[test]
fn a_full_inbox_refuses_at_once() {
    let mut world = World::with(|options| options.inbox_calls_max = 2);
    let engine = world.engine.clone();
    let first = Asked::new(engine.enqueue(jobs("a", &["1"]), None));
    let second = Asked::new(engine.enqueue(jobs("a", &["2"]), None));
    let refused = wait(engine.enqueue(jobs("a", &["3"]), None));
    assert!(matches!(refused, Err(CallError::InboxFull { calls: 2, .. })), "{refused:?}");
    world.turn();
    first.answer().expect("enqueued");
    second.answer().expect("enqueued");
}

#[test]
fn a_call_that_no_frame_could_hold_is_refused_and_a_long_one_is_taken() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let (long, too_long) = ("x".repeat(15 << 20), "x".repeat(21 << 20));
    let refused = wait(engine.enqueue(jobs("a", &[&too_long]), None));
    assert!(matches!(refused, Err(CallError::CallTooLarge { .. })));
    world.enqueue("a", &[&long]);
    let held = world.leased("a", 1);
    let mut work = complete(&held.leased);
    work.results = vec![tidegate_engine::Envelope::json(too_long)];
    assert!(matches!(wait(engine.work(work, NO_WAIT, None)), Err(CallError::CallTooLarge { .. })));
    assert_eq!(held.leased[0].payload.payload.len(), long.len());
}

#[test]
fn a_turn_is_bounded_and_the_rest_follows() {
    let mut world = World::new();
    let engine = world.engine.clone();
    let big = "x".repeat(700_000);
    let asked: Vec<_> = (0..3).map(|_| Asked::new(engine.enqueue(jobs("a", &[&big]), None))).collect();
    let before = world.last();
    world.turn();
    assert_eq!(world.last().0 - before.0, 3, "each was a turn of its own");
    for asked in asked {
        asked.answer().expect("enqueued");
    }
}

#[test]
fn a_turn_without_anything_to_write_writes_nothing() {
    let mut world = World::new();
    let before = world.last();
    world.turn();
    world.clock.pass(1_000);
    world.turn();
    assert_eq!(world.last(), before);
    let engine = world.engine.clone();
    let probe = Asked::new(engine.readiness(NO_WAIT));
    world.turn();
    assert!(probe.answer().expect("ready").probed);
    assert_eq!(world.last(), before.next(), "a probe writes a frame");
}

#[test]
fn the_same_calls_and_clock_give_the_same_bytes() {
    let run = || {
        let mut world = World::new();
        world.enqueue("a", &["1", "2"]);
        let held = world.leased("a", 2);
        let engine = world.engine.clone();
        let done = Asked::new(engine.work(complete(&held.leased[..1]), NO_WAIT, key("k", 9)));
        world.clock.pass(40_000);
        world.turn();
        done.answer().expect("completed");
        let mut reader = world.log.read(Sequence::ZERO).expect("a reader");
        let mut bytes = Vec::new();
        while let Some(frame) = reader.next_frame().expect("a frame") {
            bytes.extend_from_slice(frame.records);
        }
        bytes
    };
    assert_eq!(run(), run());
}

#[test]
fn an_idle_shard_sleeps_until_something_is_due() {
    let mut world = World::new();
    world.enqueue("a", &["1"]);
    let held = world.leased("a", 1);
    let mut wakes = Vec::new();
    while world.clock.now().wall < held.leased[0].job.lease_expires_at {
        let ms = world.solo.sleep_ms(world.clock.now()).expect("the lease will lapse");
        assert!(ms > 0, "it was awake just now: {wakes:?}");
        world.clock.pass(ms);
        world.turn();
        wakes.push(ms);
    }
    assert!(wakes.len() < 12, "a look at the log, a snapshot, and a few for the lease: {wakes:?}");
    let frames = world.last();
    let engine = world.engine.clone();
    let lapsed = Asked::new(engine.job(held.leased[0].job.id, NO_WAIT));
    world.turn();
    assert_eq!(lapsed.answer().expect("a read").expect("a job").view.failures.len(), 1);
    assert_eq!(world.last(), frames);
}

/// What owners and callers may ask for must not be what a replay refuses.
#[test]
fn a_shard_that_keeps_keys_for_ever_opens_again() {
    let mut world = World::with(|options| options.state.idempotency_ms = u64::MAX);
    let enqueue = || {
        let mut enqueue = jobs("a", &["1"]);
        let unique = tidegate_core::policy::Unique {
            key: "u".into(),
            until: tidegate_core::policy::UniqueUntil::Duration,
            duration_ms: u64::MAX,
            on_conflict: tidegate_core::policy::OnConflict::Reject,
        };
        let more = command::NewJobMore { unique: Some(unique), ..Default::default() };
        enqueue.command.jobs[0].more = Some(Box::new(more));
        enqueue
    };
    let engine = world.engine.clone();
    let asked = Asked::new(engine.enqueue(enqueue(), key("k", 1)));
    world.turn();
    let first = asked.answer().expect("enqueued").value;
    let id = ids(&first)[0];
    world.reopen();
    let again = Asked::new(engine.enqueue(enqueue(), key("k", 1)));
    let other = Asked::new(engine.enqueue(enqueue(), None));
    world.turn();
    let again = again.answer().expect("asked again");
    assert!(again.replayed && again.value == first, "the answer is kept");
    let other = other.answer().expect("judged").value;
    assert_eq!(other, [Item::Refused(Refusal::UniqueConflict(id))]);
}

/// A start that stops at a record is logged: it must not carry what callers wrote into the log, nor megabytes.
#[test]
fn a_record_that_cannot_be_is_told_without_what_callers_wrote() {
    let secret = "sk-live".repeat(10_000);
    let failure = tidegate_core::record::Failure { message: secret.clone(), ..Default::default() };
    let failed = tidegate_core::record::Failed { job: 1, failure, death: u64::MAX, ..Default::default() };
    let message = RecordMessage { record: Some(tidegate_core::Record::Failed(failed)) };
    let Opened { log, recovery } = MemoryLog::open();
    let mut builder = FrameBuilder::new();
    builder.push_record(&message.encode_length_delimited_to_vec());
    let frame = builder.finish(Shard(0), recovery.epoch, Sequence(1), 1);
    log.submit(Sequence::ZERO, frame).expect("the log takes it");
    log.wait_durable(Sequence(1)).expect("it is durable");
    let Opened { log, recovery } = log.reopen();
    let opened = Opened { log: Arc::new(log) as Arc<dyn Log>, recovery };
    let error = Engine::solo(opened, Options { readers: 0, ..options() }).map(|_| ()).expect_err("it stops");
    let wrong = format!("frame 1 holds a record that cannot be: `death` of `failed` is {}", u64::MAX);
    assert!(error.to_string().ends_with(&wrong), "{error}");
    assert!(!format!("{error:?}").contains("sk-live"));
}
