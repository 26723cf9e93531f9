//! A day's report, from what was counted to what is said.

use super::*;
use crate::day::audit::Findings;
use crate::day::load::Waits;

const SECOND: Moment = 1_000_000;

fn timed(what: What, pressed: Moment, answered: Moment) -> Timed {
    Timed { what, pressed, answered, waits: Waits::default() }
}

fn events(kills: &[(u64, u64)]) -> Events {
    let kills = kills.iter().map(|(from, to)| (Duration::from_secs(*from), Duration::from_secs(*to)));
    Events { kills: kills.collect(), outage: None }
}

pub(crate) fn report(strategy: Strategy, verdict: Verdict) -> Report {
    let latency = Latency { count: 52_000, p50_us: 900, p95_us: 2_000, p99_us: 12_300, max_us: 1_400_000 };
    Report {
        strategy,
        servers: vec![],
        students: 10_000,
        sections: 300,
        seed: 7,
        cores: 2,
        figures: Figures {
            clicks: latency,
            clicks_outside_kills: latency,
            longest_outside_kills: Some(Longest {
                pressed_ms: 4_514,
                after_kill_ms: Some(14),
                took_ms: 1_400,
                stood_ms: 300,
                paused_ms: 1_010,
                again: 2,
            }),
            looks: latency,
            looks_outside_kills: Latency { p99_us: 44_000, ..latency },
            looks_given_up: 0,
            enrolments: 9_100,
            enrolments_per_s: 812.4,
            enrolments_per_s_max: 1_204,
            refused: 31_000,
        },
        retries: [("connection broke", 12)].into(),
        contention: Some(Contention { conflicts: 4_321, retries: 4_300 }),
        kills: vec![Span { at_ms: 4_200, for_ms: 300 }],
        outage: Some(Span { at_ms: 8_000, for_ms: 6_000 }),
        quiet_after_ms: Some(1_900),
        cpu: Cpu { load_cores: 0.4, portal_cores: 1.1, servers_cores: 0.0 },
        verdict: Some(verdict),
        failures: vec![],
        examples: vec![],
        chart: None,
    }
}

#[test]
fn quantiles_are_those_of_the_sorted_list() {
    let latency = Latency::of((1..=1_000).rev().collect());
    assert_eq!(latency, Latency { count: 1_000, p50_us: 500, p95_us: 950, p99_us: 990, max_us: 1_000 });
    assert_eq!(Latency::of(vec![7]), Latency { count: 1, p50_us: 7, p95_us: 7, p99_us: 7, max_us: 7 });
    assert_eq!(Latency::of(vec![]), Latency::default());
}

#[test]
fn what_was_under_way_during_a_kill_is_left_out() {
    let tally = Tally {
        timed: vec![
            timed(What::Enrol, SECOND, 2 * SECOND),
            // Pressed before the kill, answered after it.
            timed(What::Enrol, 3 * SECOND, 9 * SECOND),
            timed(What::Enrol, 5 * SECOND, 6 * SECOND),
            timed(What::Enrol, 8 * SECOND, 10 * SECOND),
            timed(What::Look, 8 * SECOND, 11 * SECOND),
        ],
        ..Tally::default()
    };
    let figures = Figures::of(&tally, &events(&[(4, 7)]), Duration::ZERO);
    assert_eq!((figures.clicks.count, figures.clicks.max_us), (4, 6 * SECOND));
    assert_eq!((figures.clicks_outside_kills.count, figures.clicks_outside_kills.max_us), (2, 2 * SECOND));
    assert_eq!(figures.looks.max_us, 3 * SECOND);
    let longest = figures.longest_outside_kills.expect("there are two");
    assert_eq!((longest.pressed_ms, longest.after_kill_ms, longest.took_ms), (8_000, Some(1_000), 2_000));
}

#[test]
fn a_rate_leaves_the_stragglers_out() {
    // Nine in the first three seconds after the opening, one much later.
    let mut enrolled: Vec<Moment> = (1..=9).map(|third| 2 * SECOND + third * SECOND / 3).collect();
    enrolled.push(90 * SECOND);
    let (rate, best) = rates(&enrolled, 2 * SECOND);
    assert!((rate - 3.0).abs() < 0.01, "{rate}");
    assert_eq!(best, 3);
    assert_eq!(rates(&[], 0), (0.0, 0));
}

#[test]
fn a_good_day_says_so_in_one_line() {
    let verdict =
        Verdict { seats: 9_000, enrolled: 9_100, sold_out: 30_000, not_eligible: 700, ..Verdict::default() };
    let report = report(Strategy::Tidegate, verdict);
    assert!(report.is_good());
    let text = report.text(Style::PLAIN);
    for part in [
        "enrol, outside the kills          52,000   0.90 ms   2.00 ms   12.3 ms    1.40 s\n",
        "the longest outside the kills was pressed at 4.5 s, 14 ms after a restart: 300 ms for a connection, \
         1010 ms before it was sent again 2 times, 90 ms for an answer\n",
        "9,100 enrolments: 812/s until nine in ten were made, 1,204 in the best second; 31,000 clicks refused",
        "conflicts 4,321, tried again 4,300",
        "sent again: connection broke 12",
        "killed at 4.2 s, away 0.3 s (--seed 7)",
        "the fee ledger was down from 8.0 s for 6.0 s",
        "all was done downstream 1.9 s after the last answer",
        "of 2 cores: load 0.40, portal 1.10, servers 0.00",
        "audit of 9,000 seats: 9,100 clicks enrolled, 30,000 rightly sold out, 700 rightly not eligible, 0 dropped, \
         0 unanswered; oversold 0, duplicates 0, half-enrolled 0, eligible but lost 0, unexplained 0\n",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_day_with_anything_wrong_is_not_good() {
    let oversold = Findings { count: 12, first: vec!["cs101-1 has 10 seats, and 22 are in it".into()] };
    let bad = report(Strategy::Naive, Verdict { oversold, ..Verdict::default() });
    assert!(!bad.is_good());
    let text = bad.text(Style::PLAIN);
    assert!(text.contains("oversold 12\n  cs101-1 has 10 seats, and 22 are in it\n"), "{text}");
    assert!(!Report { verdict: None, ..bad.clone() }.is_good());
    let failed = report(Strategy::Tidegate, Verdict::default());
    assert!(!Report { failures: vec!["x".into()], ..failed }.is_good());
}
