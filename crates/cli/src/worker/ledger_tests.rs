//! The ledger by scripts: each test is a small story of calls, told in one line per step.

use tidegate::api::refusal::Code;

use super::*;

/// A ledger with its clock. Reports are plain words.
struct Scene {
    ledger: Ledger<&'static str>,
    start: Instant,
    now: Instant,
}

impl Scene {
    /// Leases of 30 s, so heartbeats are due every 10 s.
    fn new(slots: usize) -> Scene {
        let start = Instant::now();
        Scene { ledger: Ledger::new(slots, Duration::from_secs(30)), start, now: start }
    }

    fn at(&mut self, seconds: u64) -> &mut Scene {
        self.now = self.start + Duration::from_secs(seconds);
        self
    }

    #[track_caller]
    fn round(&mut self) -> Round<&'static str> {
        self.ledger.next_round(self.now).expect("there is a reason for a call")
    }

    #[track_caller]
    fn silent(&mut self) {
        assert_eq!(self.ledger.next_round(self.now), None);
    }

    /// Answers a round: its items in order, then the jobs that came.
    fn answer(
        &mut self,
        round: Round<&'static str>,
        items: &[ItemAnswer],
        jobs: &[(&str, u64)],
    ) -> Vec<String> {
        let mut items = items.iter().cloned();
        let answer = RoundAnswer {
            reports: items.by_ref().take(round.reports.len()).collect(),
            heartbeats: items.collect(),
            jobs: jobs.iter().map(|(job, token)| key(job, *token)).collect(),
        };
        let effects = self.ledger.answered(self.now, round, answer, || "release");
        effects.iter().map(line).collect()
    }

    /// Leases these jobs in one round.
    fn lease(&mut self, jobs: &[(&str, u64)]) {
        let round = self.round();
        let started = self.answer(round, &[], jobs);
        assert_eq!(started.len(), jobs.len());
    }
}

fn key(job: &str, token: u64) -> LeaseKey {
    LeaseKey { job: job.parse().expect("a job id"), token }
}

fn refused(code: Code) -> ItemAnswer {
    Err(Box::new(Refusal::new(code, "")))
}

/// An effect in one line, such as `refused 0-1 done stale_token again`.
fn line(effect: &Effect<&'static str>) -> String {
    let again = |report: &Report<&str>| if report.sent_before { " again" } else { "" };
    match effect {
        Effect::Start(key) => format!("start {}", key.job),
        Effect::Stop(key, refusal) => format!("stop {} {}", key.job, refusal.code),
        Effect::Accepted(report) => format!("accepted {} {}{}", report.key.job, report.report, again(report)),
        Effect::Refused(report, refusal) => {
            format!("refused {} {} {}{}", report.key.job, report.report, refusal.code, again(report))
        }
    }
}

/// A round in one line, such as `say 0-1=done beat 0-2 lease 1 waiting`.
#[track_caller]
fn check(round: &Round<&'static str>, expected: &str) {
    let mut words = Vec::new();
    words.extend(round.reports.iter().map(|report| format!("say {}={}", report.key.job, report.report)));
    words.extend(round.heartbeats.iter().map(|key| format!("beat {}", key.job)));
    words.extend(
        round.lease.map(|ask| format!("lease {}{}", ask.max, if ask.wait { " waiting" } else { "" })),
    );
    assert_eq!(words.join(" "), expected);
}

#[test]
fn only_free_slots_are_asked_for() {
    let mut scene = Scene::new(3);
    let round = scene.round();
    check(&round, "lease 3 waiting");
    scene.silent();
    assert_eq!(scene.answer(round, &[], &[("0-1", 1), ("0-2", 2)]), ["start 0-1", "start 0-2"]);
    check(&scene.round(), "lease 1 waiting");
    scene.silent();
}

#[test]
fn a_full_worker_reports_and_leases_in_one_round() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    scene.silent();
    scene.ledger.finished(key("0-1", 1), "done");
    let round = scene.round();
    check(&round, "say 0-1=done lease 1 waiting");
    assert_eq!(scene.answer(round, &[Ok(())], &[("0-2", 2)]), ["accepted 0-1 done", "start 0-2"]);
}

#[test]
fn what_ends_while_a_round_waits_is_reported_by_a_quick_one() {
    let mut scene = Scene::new(2);
    scene.lease(&[("0-1", 1)]);
    check(&scene.round(), "lease 1 waiting");
    scene.ledger.finished(key("0-1", 1), "done");
    let quick = scene.round();
    check(&quick, "say 0-1=done lease 1");
    scene.silent();
    assert_eq!(scene.answer(quick, &[Ok(())], &[]), ["accepted 0-1 done"]);
    scene.silent();
}

#[test]
fn a_broken_round_is_said_again_until_it_is_answered() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    scene.ledger.finished(key("0-1", 1), "done");
    for _ in 0..3 {
        let round = scene.round();
        check(&round, "say 0-1=done lease 1 waiting");
        scene.ledger.unanswered(round);
    }
    let round = scene.round();
    assert_eq!(
        scene.answer(round, &[refused(Code::StaleToken)], &[]),
        ["refused 0-1 done stale_token again"]
    );
    check(&scene.round(), "lease 1 waiting");
}

#[test]
fn a_server_too_busy_for_an_item_hears_it_again() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    scene.ledger.finished(key("0-1", 1), "done");
    for code in [Code::InboxFull, Code::OutcomeUnknown, Code::ShuttingDown, Code::Internal] {
        let round = scene.round();
        check(&round, "say 0-1=done lease 1 waiting");
        assert_eq!(scene.answer(round, &[refused(code)], &[]), [""; 0]);
    }
}

#[test]
fn heartbeats_go_out_at_a_third_of_the_lease() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    scene.at(9).silent();
    let round = scene.at(10).round();
    check(&round, "beat 0-1");
    scene.at(11).silent();
    assert_eq!(scene.answer(round, &[Ok(())], &[]), [""; 0]);
    assert_eq!(scene.ledger.next_heartbeat(), Some(scene.start + Duration::from_secs(21)));
}

#[test]
fn a_broken_heartbeat_is_due_again_at_once() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    let round = scene.at(10).round();
    scene.ledger.unanswered(round);
    check(&scene.round(), "beat 0-1");
}

#[test]
fn a_lost_lease_stops_the_child_and_is_not_reported() {
    for code in [Code::StaleToken, Code::JobEnded, Code::NotLeased, Code::JobNotFound] {
        let mut scene = Scene::new(1);
        scene.lease(&[("0-1", 1)]);
        let round = scene.at(10).round();
        assert_eq!(scene.answer(round, &[refused(code)], &[]), [format!("stop 0-1 {code}")]);
        // Its slot is taken until the child has really ended.
        scene.at(60).silent();
        scene.ledger.finished(key("0-1", 1), "released");
        check(&scene.round(), "lease 1 waiting");
    }
}

#[test]
fn a_job_may_come_back_under_a_new_token_while_the_old_attempt_is_stopped() {
    let mut scene = Scene::new(2);
    scene.lease(&[("0-1", 1)]);
    let round = scene.at(10).round();
    check(&round, "beat 0-1 lease 1 waiting");
    assert_eq!(
        scene.answer(round, &[refused(Code::StaleToken)], &[("0-1", 2)]),
        ["stop 0-1 stale_token", "start 0-1"]
    );
    scene.ledger.finished(key("0-1", 1), "old");
    scene.ledger.finished(key("0-1", 2), "new");
    check(&scene.round(), "say 0-1=new lease 2 waiting");
}

#[test]
fn a_stopping_worker_asks_for_nothing_and_gives_back_what_still_comes() {
    let mut scene = Scene::new(2);
    scene.lease(&[("0-1", 1)]);
    let waiting = scene.round();
    scene.ledger.stop();
    assert_eq!(scene.answer(waiting, &[], &[("0-2", 2)]), [""; 0]);
    let round = scene.round();
    check(&round, "say 0-2=release");
    assert_eq!(scene.answer(round, &[Ok(())], &[]), ["accepted 0-2 release"]);
    scene.silent();
    // The child that runs keeps its lease, and its end is still reported.
    let round = scene.at(10).round();
    check(&round, "beat 0-1");
    scene.answer(round, &[Ok(())], &[]);
    assert!(!scene.ledger.is_idle());
    scene.ledger.finished(key("0-1", 1), "done");
    let round = scene.round();
    check(&round, "say 0-1=done");
    scene.answer(round, &[Ok(())], &[]);
    assert!(scene.ledger.is_idle());
}

#[test]
fn no_list_is_longer_than_the_server_takes() {
    let mut scene = Scene::new(2_500);
    let jobs: Vec<String> = (1..=1_000).map(|n| format!("0-{n}")).collect();
    let jobs: Vec<(&str, u64)> = jobs.iter().map(|job| (job.as_str(), 1)).collect();
    let round = scene.round();
    assert_eq!(round.lease, Some(LeaseAsk { max: 1_000, wait: true }));
    scene.answer(round, &[], &jobs);
    assert_eq!(scene.at(10).round().heartbeats.len(), 1_000);
}
