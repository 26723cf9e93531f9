//! The ledger by scripts: each test is a small story of calls, told in one line per step.

use tidegate_api::refusal::Code;

use super::*;

/// Progress: what was said, and how many wait for it.
#[derive(Debug, PartialEq, Eq)]
struct Said(&'static str, usize);

impl Progress for Said {
    fn after(self, older: Said) -> Said {
        Said(self.0, self.1 + older.1)
    }
}

type SceneRound = Round<&'static str, Said>;

/// A ledger with its clock and its room. Reports are plain words.
struct Scene {
    ledger: Ledger<&'static str, Said>,
    slots: usize,
    start: Instant,
    now: Instant,
}

impl Scene {
    /// Leases of 30 s, so heartbeats are due every 10 s.
    fn new(slots: usize) -> Scene {
        let start = Instant::now();
        Scene { ledger: Ledger::new(Duration::from_secs(30)), slots, start, now: start }
    }

    fn at(&mut self, seconds: u64) -> &mut Scene {
        self.now = self.start + Duration::from_secs(seconds);
        self
    }

    fn next(&mut self) -> Option<SceneRound> {
        let room = self.slots - self.ledger.held.len();
        let round = self.ledger.next_round(self.now, room);
        self.check_order();
        round
    }

    /// The heartbeats to come are those of all that is held, except what is lost or beats just now.
    #[track_caller]
    fn check_order(&self) {
        let to_come = self.ledger.held.iter().filter(|(_, held)| !held.lost && !held.beating);
        let to_come: BTreeSet<_> = to_come.map(|(key, held)| (held.heartbeat_due, *key)).collect();
        assert_eq!(self.ledger.beats, to_come);
    }

    #[track_caller]
    fn round(&mut self) -> SceneRound {
        self.next().expect("there is a reason for a call")
    }

    #[track_caller]
    fn silent(&mut self) {
        assert_eq!(self.next(), None);
    }

    fn finished(&mut self, key: LeaseKey, report: &'static str) -> bool {
        let reported = self.ledger.finished(key, report, 0);
        self.check_order();
        reported
    }

    /// Answers a round: its items in order, then the jobs that came.
    fn answer(&mut self, round: SceneRound, items: &[ItemAnswer], jobs: &[(&str, u64)]) -> Vec<String> {
        let mut items = items.iter().cloned();
        let answer = RoundAnswer {
            reports: items.by_ref().take(round.reports.len()).collect(),
            beats: items.collect(),
            jobs: jobs.iter().map(|(job, token)| (key(job, *token), ())).collect(),
        };
        let effects = self.ledger.answered(self.now, round, answer, |()| "release");
        self.check_order();
        effects.iter().map(line).collect()
    }

    /// Leases these jobs in one round.
    fn lease(&mut self, jobs: &[(&str, u64)]) {
        let round = self.round();
        let arrived = self.answer(round, &[], jobs);
        assert_eq!(arrived.len(), jobs.len());
    }
}

fn key(job: &str, token: u64) -> LeaseKey {
    LeaseKey { job: job.parse().expect("a job id"), token }
}

fn refused(code: Code) -> ItemAnswer {
    Err(Box::new(Refusal::new(code, "")))
}

/// An effect in one line, such as `refused 0-1 done stale_token again`.
fn line(effect: &Effect<(), &'static str, Said>) -> String {
    let again = |report: &Report<&str>| if report.sent_before { " again" } else { "" };
    match effect {
        Effect::Arrived(key, ()) => format!("arrived {}", key.job),
        Effect::Lost(key, refusal) => format!("lost {} {}", key.job, refusal.code),
        Effect::Kept(Said(progress, waiting)) => format!("kept {progress} for {waiting}"),
        Effect::Accepted(report) => format!("accepted {} {}{}", report.key.job, report.report, again(report)),
        Effect::Refused(report, refusal) => {
            format!("refused {} {} {}{}", report.key.job, report.report, refusal.code, again(report))
        }
        Effect::Busy(refusal) => format!("busy {}", refusal.code),
    }
}

/// A round in one line, such as `say 0-1=done beat 0-2 lease 1 main`.
#[track_caller]
fn check(round: &SceneRound, expected: &str) {
    let mut words = Vec::new();
    words.extend(round.reports.iter().map(|report| format!("say {}={}", report.key.job, report.report)));
    words.extend(round.beats.iter().map(|beat| match &beat.progress {
        Some(Said(progress, _)) => format!("beat {}={progress}", beat.key.job),
        None => format!("beat {}", beat.key.job),
    }));
    words.extend(round.lease.map(|jobs| format!("lease {jobs}{}", if round.main { " main" } else { "" })));
    assert_eq!(words.join(" "), expected);
}

#[test]
fn only_free_slots_are_asked_for() {
    let mut scene = Scene::new(3);
    let round = scene.round();
    check(&round, "lease 3 main");
    scene.silent();
    assert_eq!(scene.answer(round, &[], &[("0-1", 1), ("0-2", 2)]), ["arrived 0-1", "arrived 0-2"]);
    check(&scene.round(), "lease 1 main");
    scene.silent();
}

#[test]
fn a_full_worker_reports_and_leases_in_one_round() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    scene.silent();
    scene.finished(key("0-1", 1), "done");
    let round = scene.round();
    check(&round, "say 0-1=done lease 1 main");
    assert_eq!(scene.answer(round, &[Ok(())], &[("0-2", 2)]), ["accepted 0-1 done", "arrived 0-2"]);
}

#[test]
fn what_ends_while_a_round_waits_is_reported_by_a_quick_one() {
    let mut scene = Scene::new(2);
    scene.lease(&[("0-1", 1)]);
    check(&scene.round(), "lease 1 main");
    scene.finished(key("0-1", 1), "done");
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
    scene.finished(key("0-1", 1), "done");
    for _ in 0..3 {
        let round = scene.round();
        check(&round, "say 0-1=done lease 1 main");
        scene.ledger.unanswered(scene.now, round);
    }
    let round = scene.round();
    assert_eq!(
        scene.answer(round, &[refused(Code::StaleToken)], &[]),
        ["refused 0-1 done stale_token again"]
    );
    check(&scene.round(), "lease 1 main");
}

#[test]
fn a_server_too_busy_for_an_item_hears_it_again() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    scene.finished(key("0-1", 1), "done");
    for code in [Code::InboxFull, Code::OutcomeUnknown, Code::ShuttingDown, Code::Internal] {
        let round = scene.round();
        check(&round, "say 0-1=done lease 1 main");
        assert_eq!(scene.answer(round, &[refused(code)], &[]), [format!("busy {code}")]);
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
    assert_eq!(scene.ledger.next_heartbeat(), Some(scene.start + Duration::from_secs(20)));
}

#[test]
fn a_lease_runs_while_its_answer_is_on_its_way() {
    let mut scene = Scene::new(1);
    let round = scene.round();
    assert_eq!(scene.at(9).answer(round, &[], &[("0-1", 1)]), ["arrived 0-1"]);
    scene.silent();
    let round = scene.at(10).round();
    check(&round, "beat 0-1");
    // An answer later than the next heartbeat: that one goes out at once.
    scene.at(21).answer(round, &[Ok(())], &[]);
    let round = scene.round();
    check(&round, "beat 0-1");
    scene.at(22).answer(round, &[Ok(())], &[]);
    assert_eq!(scene.ledger.next_heartbeat(), Some(scene.start + Duration::from_secs(31)));
}

#[test]
fn a_broken_heartbeat_is_due_again_at_once() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    let round = scene.at(10).round();
    scene.ledger.unanswered(scene.now, round);
    check(&scene.round(), "beat 0-1");
}

#[test]
fn a_lost_lease_is_told_and_what_its_attempt_comes_to_is_not_reported() {
    for code in [Code::StaleToken, Code::JobEnded, Code::NotLeased, Code::JobNotFound] {
        let mut scene = Scene::new(1);
        scene.lease(&[("0-1", 1)]);
        let round = scene.at(10).round();
        assert_eq!(scene.answer(round, &[refused(code)], &[]), [format!("lost 0-1 {code}")]);
        assert!(!scene.ledger.holds(key("0-1", 1)));
        // Its room is taken until the attempt has really ended.
        scene.at(60).silent();
        assert!(!scene.finished(key("0-1", 1), "released"));
        check(&scene.round(), "lease 1 main");
    }
}

#[test]
fn a_job_may_come_back_under_a_new_token_while_the_old_attempt_is_stopped() {
    let mut scene = Scene::new(2);
    scene.lease(&[("0-1", 1)]);
    let round = scene.at(10).round();
    check(&round, "beat 0-1 lease 1 main");
    assert_eq!(
        scene.answer(round, &[refused(Code::StaleToken)], &[("0-1", 2)]),
        ["lost 0-1 stale_token", "arrived 0-1"]
    );
    scene.finished(key("0-1", 1), "old");
    scene.finished(key("0-1", 2), "new");
    check(&scene.round(), "say 0-1=new lease 2 main");
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
    // The attempt that runs keeps its lease, and its end is still reported.
    let round = scene.at(10).round();
    check(&round, "beat 0-1");
    scene.answer(round, &[Ok(())], &[]);
    assert!(!scene.ledger.is_idle());
    scene.finished(key("0-1", 1), "done");
    let round = scene.round();
    check(&round, "say 0-1=done");
    scene.answer(round, &[Ok(())], &[]);
    assert!(scene.ledger.is_idle());
}

#[test]
fn no_list_is_longer_than_the_server_takes() {
    let mut scene = Scene::new(2_500);
    let jobs: Vec<String> = (1..=2_000).map(|n| format!("0-{n}")).collect();
    let jobs: Vec<(&str, u64)> = jobs.iter().map(|job| (job.as_str(), 1)).collect();
    for jobs in jobs.chunks(1_000) {
        let round = scene.round();
        assert_eq!((round.lease, round.main), (Some(1_000), true));
        scene.answer(round, &[], jobs);
    }
    let round = scene.at(10).round();
    assert_eq!((round.beats.len(), round.lease), (1_000, Some(500)));
    assert_eq!(scene.round().beats.len(), 1_000);
    scene.silent();
}

#[test]
fn no_round_is_heavier_than_the_server_takes() {
    let mut scene = Scene::new(1_000);
    let jobs: Vec<String> = (1..=500).map(|n| format!("0-{n}")).collect();
    let jobs: Vec<(&str, u64)> = jobs.iter().map(|job| (job.as_str(), 1)).collect();
    scene.lease(&jobs);
    for (job, token) in &jobs {
        scene.ledger.finished(key(job, *token), "done", limits::RESULT_BYTES_MAX);
    }
    assert_eq!(scene.round().reports.len(), ROUND_BYTES_MAX / limits::RESULT_BYTES_MAX);
    assert_eq!(scene.ledger.owed(), 500);
}

#[test]
fn progress_goes_out_with_a_heartbeat_at_once() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    scene.at(3);
    scene.ledger.progressed(scene.now, key("0-1", 1), Said("half", 1));
    let round = scene.round();
    check(&round, "beat 0-1=half");
    assert_eq!(scene.answer(round, &[Ok(())], &[]), ["kept half for 1"]);
    assert_eq!(scene.ledger.next_heartbeat(), Some(scene.start + Duration::from_secs(13)));
}

#[test]
fn of_several_notes_the_last_is_sent_and_all_are_answered() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    let now = scene.now;
    let say = |scene: &mut Scene, note| scene.ledger.progressed(now, key("0-1", 1), Said(note, 1));
    say(&mut scene, "1");
    say(&mut scene, "2");
    let round = scene.round();
    check(&round, "beat 0-1=2");
    // More comes while the first is on its way, and that one breaks.
    say(&mut scene, "3");
    scene.silent();
    scene.ledger.unanswered(now, round);
    let round = scene.round();
    check(&round, "beat 0-1=3");
    say(&mut scene, "4");
    assert_eq!(scene.answer(round, &[Ok(())], &[]), ["kept 3 for 3"]);
    check(&scene.round(), "beat 0-1=4");
}

#[test]
fn progress_of_an_attempt_that_ended_or_was_lost_is_not_sent() {
    let mut scene = Scene::new(2);
    scene.lease(&[("0-1", 1), ("0-2", 2)]);
    let round = scene.at(10).round();
    check(&round, "beat 0-1 beat 0-2");
    scene.ledger.progressed(scene.now, key("0-1", 1), Said("half", 1));
    scene.ledger.progressed(scene.now, key("0-2", 2), Said("half", 1));
    scene.finished(key("0-2", 2), "done");
    assert_eq!(scene.answer(round, &[refused(Code::StaleToken), Ok(())], &[]), ["lost 0-1 stale_token"]);
    check(&scene.round(), "say 0-2=done lease 1 main");
    assert_eq!(scene.ledger.next_heartbeat(), None);
}

#[test]
fn an_answer_told_again_brings_no_job_twice() {
    let mut scene = Scene::new(2);
    scene.lease(&[("0-1", 1)]);
    let round = scene.round();
    assert_eq!(scene.answer(round, &[], &[("0-1", 1), ("0-2", 2)]), ["arrived 0-2"]);
}

#[test]
fn a_lost_job_that_never_began_leaves_nothing() {
    let mut scene = Scene::new(1);
    scene.lease(&[("0-1", 1)]);
    let round = scene.at(10).round();
    scene.answer(round, &[refused(Code::JobEnded)], &[]);
    scene.ledger.forget(key("0-1", 1));
    assert!(scene.ledger.is_idle() && scene.ledger.beats.is_empty());
}
