//! What can be said of a drawing without looking at it.

use app_kit::chart::WIDTH;

use super::*;
use crate::surge::admin::Queue;

/// A surge of ten seconds that is worked off in ninety; the service is away for a second in the middle.
fn samples() -> Vec<Sample> {
    let queue = |waiting: f64| Queue { ready: waiting.max(0.0) as u64, ..Queue::default() };
    let at = |tenth: u64| {
        let seconds = tenth as f64 / 5.0;
        let accepted = ((seconds - 3.0).clamp(0.0, 10.0) * 10_000.0) as u64;
        let left = |a_second: f64| accepted as f64 - (seconds - 3.0).max(0.0) * a_second;
        let backlog = Backlog {
            thumbnails: queue(left(1_100.0)),
            emails: queue(left(2_000.0)),
            notifications: queue(0.0),
        };
        Sample { at_ms: tenth * 200, accepted, backlog: (!(40..45).contains(&tenth)).then_some(backlog) }
    };
    (0..=500).map(at).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn drawn(samples: &[Sample]) -> String {
    draw(&Drawing {
        title: "100,000 uploads & \"more\" <fast>".into(),
        subtitle: "2 cores".into(),
        samples,
        offered: vec![
            (seconds(0), 50.0),
            (seconds(3), 50.0),
            (seconds(3), 10_000.0),
            (seconds(13), 10_000.0),
        ],
        surge: (seconds(3), seconds(13)),
        surge_label: "surge, 10,000/s".into(),
        kills: &[(seconds(8), seconds(9))],
        worked_off: Some((seconds(94), "worked off".into())),
    })
}

/// Every point of every shape.
fn points(document: &roxmltree::Document<'_>) -> Vec<(f64, f64)> {
    let mut found = Vec::new();
    for node in document.descendants().filter(|node| node.is_element()) {
        let number = |name: &str| node.attribute(name).and_then(|text| text.parse::<f64>().ok());
        for pair in node.attribute("points").unwrap_or_default().split_whitespace() {
            let (x, y) = pair.split_once(',').expect("a pair");
            found.push((x.parse().expect("x"), y.parse().expect("y")));
        }
        for (x, y) in [("x", "y"), ("x1", "y1"), ("x2", "y2")] {
            if let (Some(x), Some(y)) = (number(x), number(y)) {
                found.push((x, y));
                found.push((x + number("width").unwrap_or(0.0), y + number("height").unwrap_or(0.0)));
            }
        }
    }
    found
}

#[track_caller]
fn check_is_drawn_within_its_frame(samples: &[Sample]) -> String {
    let svg = drawn(samples);
    let document = roxmltree::Document::parse(&svg).expect("well-formed XML");
    for (x, y) in points(&document) {
        assert!((0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y), "{x},{y} is outside");
    }
    svg
}

#[test]
fn a_run_is_drawn_within_its_frame_with_every_name() {
    let svg = check_is_drawn_within_its_frame(&samples());
    let names = ["thumbnails, peak 89,", "emails, peak 80,", "notifications, peak 0", "service killed once"];
    for name in names.iter().chain(&["worked off", "&lt;fast&gt;", "surge, 10,000/s", "80,000"]) {
        assert!(svg.contains(name), "{name} is missing");
    }
}

#[test]
fn a_line_has_a_gap_where_the_service_was_away() {
    let svg = drawn(&samples());
    let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(STEPS[0]));
    assert_eq!(lines.count(), 2);
}

#[test]
fn a_long_run_keeps_its_peak_and_a_bounded_number_of_points() {
    let short = samples();
    let long: Vec<Sample> =
        (0..20_000).map(|at| Sample { at_ms: at as u64 * 200, ..short[(at / 40).min(500)] }).collect();
    let svg = check_is_drawn_within_its_frame(&long);
    assert!(svg.contains("thumbnails, peak 89,000"), "the peak is not rounded away");
    assert!(svg.len() < 300_000, "{} bytes", svg.len());
}

#[test]
fn nothing_at_all_is_drawn_too() {
    check_is_drawn_within_its_frame(&[]);
    check_is_drawn_within_its_frame(&[Sample { at_ms: 0, accepted: 0, backlog: None }]);
}
