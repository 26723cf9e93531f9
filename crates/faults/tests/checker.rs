//! The checker against hand-made histories: good ones pass, and each kind of bad one is caught as what it is.

use tidegate::api::{refusal::Code, words::JobState};
use tidegate_faults::checker::{Kind, check};
use tidegate_faults::history::{Answer, Ask, Event, How, Leased, Line, NewJob, Settle};

/// A history in the making. Each step takes a millisecond.
#[derive(Default)]
struct Tale {
    lines: Vec<Line>,
    at: u64,
    calls: u64,
    found: Vec<(String, JobState)>,
}

impl Tale {
    fn line(&mut self, event: Event) {
        self.at += 1_000;
        self.lines.push(Line { at: self.at, who: "a".into(), event });
    }

    fn ask(&mut self, ask: Ask) -> u64 {
        self.calls += 1;
        self.line(Event::Ask { call: self.calls, ask });
        self.calls
    }

    fn hear(&mut self, call: u64, answer: Answer) {
        self.line(Event::Answer { call, answer });
    }

    fn wait(&mut self, ms: u64) -> &mut Self {
        self.at += ms * 1_000;
        self
    }

    /// A producer asks under `key` for jobs called `names`, with ordering keys as in `name@key`.
    fn enqueue(&mut self, key: &str, names: &[&str], answer: Option<Answer>) -> &mut Self {
        let jobs = names.iter().map(|name| new_job(name)).collect();
        let call = self.ask(Ask::Enqueue { key: key.into(), once: true, jobs });
        if let Some(answer) = answer {
            self.hear(call, answer);
        }
        self
    }

    /// One job, accepted.
    fn accept(&mut self, name: &str, id: &str) -> &mut Self {
        self.enqueue(&format!("key of {name}"), &[name], Some(ids(&[id])))
    }

    /// A worker gets a job for a second.
    fn lease(&mut self, name: &str, id: &str, token: u64) -> &mut Self {
        let call = self.ask(Ask::Lease { lease_ms: 1_000 });
        let NewJob { name, digest, ordering_key, .. } = new_job(name);
        let job = Leased { id: id.into(), name: Some(name), digest, ordering_key, token, attempt: 1 };
        self.hear(call, Answer::Leased(vec![job]));
        self
    }

    fn settle(&mut self, id: &str, token: u64, how: How, answer: Answer) -> &mut Self {
        let call = self.ask(Ask::Settle(vec![Settle { id: id.into(), token, how }]));
        self.hear(call, answer);
        self
    }

    fn complete(&mut self, id: &str, token: u64) -> &mut Self {
        self.settle(id, token, How::Complete, done())
    }

    /// A job's whole life.
    fn live(&mut self, name: &str, id: &str, token: u64) -> &mut Self {
        self.accept(name, id).lease(name, id, token).complete(id, token).find(id, JobState::Completed)
    }

    /// What the API will show at the end.
    fn find(&mut self, id: &str, state: JobState) -> &mut Self {
        self.found.push((id.into(), state));
        self
    }

    /// Ends with an audit, and expects these kinds of faults and no others.
    #[track_caller]
    fn check(&mut self, expected: &[Kind]) {
        let count = |wanted: JobState| self.found.iter().filter(|(_, state)| *state == wanted).count() as u64;
        let (completed, dead) = (count(JobState::Completed), count(JobState::Dead));
        let cancelled = count(JobState::Cancelled);
        let unfinished = self.found.len() as u64 - completed - dead - cancelled;
        for (id, state) in self.found.clone() {
            self.line(Event::Found { id, state });
        }
        self.line(Event::Audited { completed, dead, cancelled, unfinished });
        self.check_without_audit(expected);
    }

    #[track_caller]
    fn check_without_audit(&self, expected: &[Kind]) {
        let faults = check(&self.lines).faults;
        let kinds: Vec<Kind> = faults.iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, expected, "{faults:#?}");
    }
}

fn tale() -> Tale {
    Tale::default()
}

fn new_job(name: &str) -> NewJob {
    let (name, key) = name.split_once('@').map_or((name, None), |(name, key)| (name, Some(key)));
    NewJob { name: name.into(), digest: 7, ordering_key: key.map(Into::into), delay_ms: 0 }
}

fn ids(ids: &[&str]) -> Answer {
    Answer::Enqueued(ids.iter().map(|&id| Ok(id.to_owned())).collect())
}

fn done() -> Answer {
    Answer::Settled(vec![Ok(())])
}

fn no(code: Code) -> Answer {
    Answer::Settled(vec![Err(code)])
}

fn unknown() -> Answer {
    Answer::Unknown("silence".into())
}

#[test]
fn a_plain_life_passes() {
    tale().live("one", "0-1", 1).live("two", "0-2", 2).check(&[]);
}

#[test]
fn what_is_unknown_may_have_been_done_or_not() {
    // Not done, and nobody ever hears of it.
    tale().enqueue("k", &["one"], Some(unknown())).check(&[]);
    // Done, though its producer was killed before it heard.
    tale()
        .enqueue("k", &["one"], None)
        .lease("one", "0-1", 1)
        .complete("0-1", 1)
        .find("0-1", JobState::Completed)
        .check(&[]);
    // Asked again under the same key.
    tale()
        .enqueue("k", &["one"], Some(unknown()))
        .enqueue("k", &["one"], Some(ids(&["0-1"])))
        .enqueue("k", &["one"], Some(ids(&["0-1"])))
        .lease("one", "0-1", 1)
        .settle("0-1", 1, How::Complete, unknown())
        .find("0-1", JobState::Completed)
        .check(&[]);
    // A completion that was not done: the job goes to somebody else.
    tale()
        .accept("one", "0-1")
        .lease("one", "0-1", 1)
        .settle("0-1", 1, How::Complete, unknown())
        .wait(1_000)
        .lease("one", "0-1", 2)
        .complete("0-1", 2)
        .find("0-1", JobState::Completed)
        .check(&[]);
}

#[test]
fn a_refused_job_may_be_accepted_later_and_a_failed_one_tried_again() {
    tale()
        .enqueue("k", &["one"], Some(Answer::Refused(Code::DiskFull)))
        .enqueue("k", &["one"], Some(Answer::Enqueued(vec![Err(Code::DiskFull)])))
        .enqueue("k", &["one"], Some(ids(&["0-1"])))
        .lease("one", "0-1", 1)
        .settle("0-1", 1, How::Fail, done())
        .settle("0-1", 1, How::Complete, no(Code::StaleToken))
        .lease("one", "0-1", 2)
        .settle("0-1", 2, How::Release, done())
        .lease("one", "0-1", 3)
        .settle("0-1", 3, How::Fatal, done())
        .find("0-1", JobState::Dead)
        .check(&[]);
}

#[test]
fn an_accepted_job_that_is_not_there_is_lost() {
    tale().live("one", "0-1", 1).accept("two", "0-2").check(&[Kind::Lost]);
}

#[test]
fn a_job_that_has_not_ended_is_unfinished() {
    tale().accept("one", "0-1").find("0-1", JobState::Ready).check(&[Kind::Unfinished]);
}

#[test]
fn a_completion_that_was_acknowledged_does_not_vanish() {
    tale().accept("one", "0-1").lease("one", "0-1", 1).complete("0-1", 1).lease("two", "0-9", 2).check(&[
        Kind::MadeUp,
        Kind::Lost,
        Kind::Vanished,
    ]);
    let mut dead = tale();
    dead.accept("one", "0-1").lease("one", "0-1", 1).settle("0-1", 1, How::Fatal, unknown());
    dead.wait(1_000).lease("one", "0-1", 2).complete("0-1", 2).find("0-1", JobState::Dead);
    dead.check(&[Kind::Vanished]);
}

#[test]
fn a_job_that_nobody_asked_for_is_made_up() {
    tale().lease("ghost", "0-1", 1).check(&[Kind::MadeUp]);
    tale().find("0-1", JobState::Completed).check(&[Kind::MadeUp, Kind::MadeUp]);
}

#[test]
fn an_end_that_no_worker_reported_is_made_up() {
    tale().accept("one", "0-1").find("0-1", JobState::Completed).check(&[Kind::MadeUp]);
    tale().accept("one", "0-1").find("0-1", JobState::Dead).check(&[Kind::MadeUp]);
    tale().accept("one", "0-1").find("0-1", JobState::Cancelled).check(&[Kind::MadeUp]);
    // It failed for good under one token, and is said to be completed.
    tale()
        .accept("one", "0-1")
        .lease("one", "0-1", 1)
        .settle("0-1", 1, How::Fatal, done())
        .find("0-1", JobState::Completed)
        .check(&[Kind::MadeUp, Kind::Vanished]);
}

#[test]
fn counts_that_are_not_what_is_listed_are_made_up() {
    let mut tale = tale();
    tale.live("one", "0-1", 1);
    tale.line(Event::Found { id: "0-1".into(), state: JobState::Completed });
    tale.line(Event::Audited { completed: 2, dead: 0, cancelled: 0, unfinished: 0 });
    tale.check_without_audit(&[Kind::MadeUp]);
}

#[test]
fn a_refusal_is_not_done() {
    tale()
        .enqueue("k", &["one"], Some(Answer::Refused(Code::DiskFull)))
        .lease("one", "0-1", 1)
        .complete("0-1", 1)
        .find("0-1", JobState::Completed)
        .check(&[Kind::RefusedAndDone]);
}

#[test]
fn a_payload_or_key_that_is_not_what_was_sent_is_altered() {
    let mut tale = tale();
    tale.accept("one@k", "0-1").lease("one", "0-1", 1).complete("0-1", 1).find("0-1", JobState::Completed);
    tale.check(&[Kind::Altered]);
}

#[test]
fn one_job_has_one_id() {
    tale()
        .enqueue("k", &["one"], Some(unknown()))
        .enqueue("k", &["one"], Some(ids(&["0-1"])))
        .lease("one", "0-1", 1)
        .complete("0-1", 1)
        .lease("one", "0-2", 2)
        .complete("0-2", 2)
        .find("0-1", JobState::Completed)
        .find("0-2", JobState::Completed)
        .check(&[Kind::AcceptedTwice]);
}

/// A power cut took the first job, and the server, which knew nothing of it any more, gave its id to the next.
#[test]
fn one_id_has_one_job() {
    let mut told = tale();
    told.accept("one", "0-1").live("two", "0-1", 1).check(&[Kind::IdOfTwo]);
    // The first was handed out, though its producer heard nothing; the second's producer heard nothing either.
    let mut leased = tale();
    leased.enqueue("k", &["one"], Some(unknown())).lease("one", "0-1", 1);
    leased.enqueue("l", &["two"], None).lease("two", "0-1", 2).complete("0-1", 2);
    leased.lease("two", "0-1", 3);
    leased.find("0-1", JobState::Completed);
    leased.check(&[Kind::IdOfTwo, Kind::DeliveredAfterEnd, Kind::TwoLeases]);
    // Told by one call, and out of the order of acceptance besides.
    let mut keyed = tale();
    keyed.accept("one@k", "0-1").live("two@k", "0-1", 1).check(&[Kind::IdOfTwo, Kind::Reordered]);
    // The same job is told its id as often as it asks.
    let mut again = tale();
    again.live("one@k", "0-1", 1).accept("one@k", "0-1").check(&[]);
}

#[test]
fn one_key_has_one_answer() {
    let mut other = tale();
    other.accept("one", "0-1").accept("one", "0-2").lease("one", "0-1", 1).complete("0-1", 1);
    other.lease("one", "0-2", 2).complete("0-2", 2);
    other.find("0-1", JobState::Completed).find("0-2", JobState::Completed);
    other.check(&[Kind::TwoAnswers, Kind::AcceptedTwice]);
    let mut refused = tale();
    refused.live("one", "0-1", 1);
    refused.enqueue("key of one", &["one"], Some(Answer::Refused(Code::DiskFull)));
    refused.check(&[Kind::TwoAnswers]);
    // That the door was closed says nothing about the key.
    let mut closed = tale();
    closed.live("one", "0-1", 1);
    closed.enqueue("key of one", &["one"], Some(Answer::Refused(Code::Unavailable)));
    closed.check(&[]);
}

#[test]
fn a_dead_job_is_not_delivered_again_and_dies_once() {
    let dead = || {
        let mut dead = tale();
        dead.accept("one", "0-1").lease("one", "0-1", 1).settle("0-1", 1, How::Fatal, done());
        dead
    };
    dead().find("0-1", JobState::Dead).check(&[]);
    dead().lease("one", "0-1", 2).find("0-1", JobState::Dead).check(&[Kind::DeliveredAfterEnd]);
    dead()
        .lease("one", "0-1", 2)
        .settle("0-1", 2, How::Fatal, done())
        .find("0-1", JobState::Dead)
        .check(&[Kind::SettledTwice, Kind::DeliveredAfterEnd]);
    dead().settle("0-1", 1, How::Fatal, done()).find("0-1", JobState::Dead).check(&[Kind::SettledTwice]);
    // One that was given up, or of whose end nothing was heard, may come again.
    tale()
        .accept("one", "0-1")
        .lease("one", "0-1", 1)
        .settle("0-1", 1, How::Fatal, unknown())
        .wait(1_000)
        .lease("one", "0-1", 2)
        .settle("0-1", 2, How::Release, done())
        .lease("one", "0-1", 3)
        .settle("0-1", 3, How::Fatal, done())
        .settle("0-1", 3, How::Complete, no(Code::JobEnded))
        .find("0-1", JobState::Dead)
        .check(&[]);
}

#[test]
fn a_death_that_was_acknowledged_does_not_vanish() {
    let dead = || {
        let mut dead = tale();
        dead.accept("one", "0-1").lease("one", "0-1", 1).settle("0-1", 1, How::Fatal, done());
        dead
    };
    dead().check(&[Kind::Lost, Kind::Vanished]);
    dead().find("0-1", JobState::Ready).check(&[Kind::Unfinished, Kind::Vanished]);
    // Somebody completed it, perhaps: nothing is made up, but the acknowledged end is gone.
    dead()
        .settle("0-1", 1, How::Complete, unknown())
        .find("0-1", JobState::Completed)
        .check(&[Kind::Vanished]);
}

#[test]
fn a_completed_job_is_not_delivered_again() {
    tale()
        .accept("one", "0-1")
        .lease("one", "0-1", 1)
        .complete("0-1", 1)
        .lease("one", "0-1", 2)
        .find("0-1", JobState::Completed)
        .check(&[Kind::DeliveredAfterEnd]);
}

#[test]
fn a_job_is_settled_once() {
    tale()
        .accept("one", "0-1")
        .lease("one", "0-1", 1)
        .wait(1_000)
        .lease("one", "0-1", 2)
        .complete("0-1", 2)
        .complete("0-1", 1)
        .find("0-1", JobState::Completed)
        .check(&[Kind::SettledTwice, Kind::DeliveredAfterEnd]);
    tale()
        .accept("one", "0-1")
        .lease("one", "0-1", 1)
        .settle("0-1", 1, How::Fail, done())
        .complete("0-1", 1)
        .find("0-1", JobState::Completed)
        .check(&[Kind::SettledTwice]);
    // Given up in two ways under one token.
    tale()
        .accept("one", "0-1")
        .lease("one", "0-1", 1)
        .settle("0-1", 1, How::Release, done())
        .settle("0-1", 1, How::Fail, done())
        .lease("one", "0-1", 2)
        .complete("0-1", 2)
        .find("0-1", JobState::Completed)
        .check(&[Kind::SettledTwice]);
    // A completion may be said again.
    tale().live("one", "0-1", 1).complete("0-1", 1).check(&[]);
}

#[test]
fn a_key_is_accepted_in_order() {
    let mut later = tale();
    later.accept("one@k", "0-2").accept("two@k", "0-1");
    later.lease("two@k", "0-1", 1).complete("0-1", 1).lease("one@k", "0-2", 2).complete("0-2", 2);
    later.find("0-1", JobState::Completed).find("0-2", JobState::Completed);
    later.check(&[Kind::Reordered]);
    let mut in_a_list = tale();
    in_a_list.enqueue("k", &["one@k", "two@k"], Some(ids(&["0-2", "0-1"])));
    in_a_list.lease("two@k", "0-1", 1).complete("0-1", 1).lease("one@k", "0-2", 2).complete("0-2", 2);
    in_a_list.find("0-1", JobState::Completed).find("0-2", JobState::Completed);
    in_a_list.check(&[Kind::Reordered]);
}

#[test]
fn a_key_is_handed_out_in_order_retries_included() {
    let mut tale = tale();
    tale.accept("one@k", "0-1").accept("two@k", "0-2");
    tale.lease("one@k", "0-1", 1).settle("0-1", 1, How::Fail, done());
    tale.lease("two@k", "0-2", 2).complete("0-2", 2);
    tale.lease("one@k", "0-1", 3).complete("0-1", 3);
    tale.find("0-1", JobState::Completed).find("0-2", JobState::Completed);
    tale.check(&[Kind::Reordered]);
}

#[test]
fn two_leases_of_a_key_or_a_job_do_not_stand_at_once() {
    let mut of_key = tale();
    of_key.accept("one@k", "0-1").accept("two@k", "0-2");
    of_key.lease("one@k", "0-1", 1).lease("two@k", "0-2", 2).complete("0-1", 1).complete("0-2", 2);
    of_key.find("0-1", JobState::Completed).find("0-2", JobState::Completed);
    of_key.check(&[Kind::TwoLeases]);
    let mut of_job = tale();
    of_job.accept("one", "0-1").lease("one", "0-1", 1).wait(500).lease("one", "0-1", 2).complete("0-1", 2);
    of_job.find("0-1", JobState::Completed).check(&[Kind::TwoLeases]);
    // An extended lease stands longer.
    let mut extended = tale();
    extended.accept("one", "0-1").lease("one", "0-1", 1).settle("0-1", 1, How::Extend(9_000), done());
    extended.wait(5_000).lease("one", "0-1", 2).complete("0-1", 2).find("0-1", JobState::Completed);
    extended.check(&[Kind::TwoLeases]);
}

#[test]
fn a_lease_that_may_have_ended_is_not_held_against_another() {
    // By time; by a settlement of which nothing was heard; by the server's clock.
    tale()
        .accept("one", "0-1")
        .lease("one", "0-1", 1)
        .wait(1_000)
        .lease("one", "0-1", 2)
        .settle("0-1", 2, How::Release, unknown())
        .lease("one", "0-1", 3)
        .complete("0-1", 3)
        .find("0-1", JobState::Completed)
        .check(&[]);
    let mut clock = tale();
    clock.accept("one", "0-1").lease("one", "0-1", 1).line(Event::ClockSet);
    clock.lease("one", "0-1", 2).complete("0-1", 2).find("0-1", JobState::Completed).check(&[]);
}

#[test]
fn tokens_rise_and_are_given_once() {
    let mut fell = tale();
    fell.live("one", "0-1", 5).accept("two", "0-2").lease("two", "0-2", 4).complete("0-2", 4);
    fell.find("0-2", JobState::Completed).check(&[Kind::TokenFell]);
    let mut twice = tale();
    twice.live("one", "0-1", 5).accept("two", "0-2").lease("two", "0-2", 5).complete("0-2", 5);
    twice.find("0-2", JobState::Completed).check(&[Kind::TokenFell, Kind::TokenFell]);
}

#[test]
fn a_delayed_job_does_not_come_too_early() {
    let later = NewJob { delay_ms: 500, ..new_job("one") };
    let mut tale = tale();
    let call = tale.ask(Ask::Enqueue { key: "k".into(), once: true, jobs: vec![later] });
    tale.hear(call, ids(&["0-1"]));
    tale.lease("one", "0-1", 1).complete("0-1", 1).find("0-1", JobState::Completed);
    tale.check(&[Kind::TooEarly]);
}

#[test]
fn what_no_caller_should_hear_is_a_fault() {
    tale()
        .enqueue("k", &["one"], Some(Answer::Unreadable("200 and no JSON".into())))
        .check(&[Kind::NoAnswer]);
    tale().enqueue("k", &["one"], Some(Answer::Refused(Code::Internal))).check(&[Kind::NoAnswer]);
    tale().enqueue("k", &["one", "two"], Some(ids(&["0-1"]))).check(&[Kind::NoAnswer, Kind::Lost]);
}

#[test]
fn a_history_without_an_end_shows_nothing() {
    let mut tale = tale();
    tale.live("one", "0-1", 1);
    tale.check_without_audit(&[Kind::NoAudit]);
}
