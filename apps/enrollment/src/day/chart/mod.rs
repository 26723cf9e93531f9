//! Draws a day as one SVG: who arrived and who was enrolled each second, and how long clicks waited, on one axis of time,
//! with the kills and the outage marked.
//!
//! The drawing needs nothing but its text: no script, no style sheet, no font of its own. Every point lies within its
//! frame. It decides nothing about the day.

use std::time::Duration;

use app_kit::chart::{FAINT_INK, INK, KILL, LEFT, RIGHT, Scale, Svg, WARM_INK, sheet, time_axis, value_axis};

use super::{
    act::Events,
    audit::Moment,
    load::{Timed, What},
    report::Latency,
};

const HEIGHT: f64 = 620.0;
/// The frames of people and of waiting.
const PEOPLE: (f64, f64) = (124.0, 320.0);
const WAITING: (f64, f64) = (378.0, 560.0);
/// Steps on the axis of people.
const STEPS_MAX: f64 = 4.0;
/// One point of a line.
const BUCKET: Duration = Duration::from_millis(500);

const ARRIVALS: &str = "#a9bdd3";
const ENROLMENTS: &str = "#2a8256";
const CLICKS: &str = "#1f5fa8";
const MEDIAN: &str = "#8fb3d9";
const OUTAGE: &str = "#e0a100";

/// What is to be drawn.
pub(crate) struct Drawing<'a> {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) arrivals: Vec<Duration>,
    pub(crate) enrolled: &'a [Moment],
    pub(crate) timed: &'a [Timed],
    pub(crate) opens: Duration,
    pub(crate) events: &'a Events,
}

/// The drawing as an SVG document.
pub(crate) fn draw(drawing: &Drawing<'_>) -> String {
    let last = drawing.timed.iter().map(|timed| timed.answered).max().unwrap_or(0);
    let end = Duration::from_micros(last).max(drawing.arrivals.iter().max().copied().unwrap_or_default());
    let buckets = (end.as_micros() / BUCKET.as_micros()) as usize + 1;
    let time = Scale::time((BUCKET * buckets as u32).as_secs_f64(), (LEFT, RIGHT));
    let mut svg = sheet(HEIGHT, &drawing.title, &drawing.subtitle);
    bands(&mut svg, drawing, &time);
    people(&mut svg, drawing, &time, buckets);
    waiting(&mut svg, drawing, &time, buckets);
    time_axis(&mut svg, &time, &[PEOPLE.1, WAITING.1]);
    svg.end()
}

/// What was done to the portal, behind the lines.
fn bands(svg: &mut Svg, drawing: &Drawing<'_>, time: &Scale) {
    let x = |at: Duration| time.at(at.as_secs_f64());
    let top = PEOPLE.0 - 12.0;
    if let Some((from, to)) = drawing.events.outage {
        for (top, bottom) in [PEOPLE, WAITING] {
            svg.pale_rect((x(from), top), ((x(to) - x(from)).max(1.0), bottom - top), OUTAGE, 0.16);
        }
        svg.text((x(from), WAITING.0 - 10.0), "start", 12.0, WARM_INK, "600", "fee ledger down");
    }
    for (killed, back) in &drawing.events.kills {
        for (top, bottom) in [PEOPLE, WAITING] {
            svg.pale_rect((x(*killed), top), ((x(*back) - x(*killed)).max(1.0), bottom - top), KILL, 0.14);
            svg.segment((x(*killed), top), (x(*killed), bottom), KILL);
        }
        let tip = PEOPLE.0 + 9.0;
        let corners = [(x(*killed) - 5.0, PEOPLE.0), (x(*killed) + 5.0, PEOPLE.0), (x(*killed), tip)];
        svg.area(corners.into_iter(), KILL, 1.0);
    }
    svg.segment((x(drawing.opens), PEOPLE.0 - 8.0), (x(drawing.opens), PEOPLE.1), FAINT_INK);
    svg.text((x(drawing.opens), top), "middle", 12.0, FAINT_INK, "600", "opening");
    if let Some((first, _)) = drawing.events.kills.first() {
        // Beside the word at the opening.
        let at = x(*first).max(x(drawing.opens) + 40.0);
        svg.text((at, top), "start", 12.0, KILL, "600", "▼ killed");
    }
}

fn people(svg: &mut Svg, drawing: &Drawing<'_>, time: &Scale, buckets: usize) {
    let arrivals = per_second(drawing.arrivals.iter().map(|at| at.as_micros() as Moment), buckets);
    let enrolled = per_second(drawing.enrolled.iter().copied(), buckets);
    let most = arrivals.iter().chain(&enrolled).copied().fold(0.0, f64::max);
    let scale = Scale::count(most, STEPS_MAX, (PEOPLE.1, PEOPLE.0));
    value_axis(svg, &scale);
    let mut outline = Vec::new();
    for (bucket, rate) in arrivals.iter().enumerate() {
        outline.extend([(edge(time, bucket), scale.at(*rate)), (edge(time, bucket + 1), scale.at(*rate))]);
    }
    let base = [(edge(time, buckets), PEOPLE.1), (edge(time, 0), PEOPLE.1)];
    svg.area(outline.into_iter().chain(base), ARRIVALS, 0.8);
    let line: Vec<_> =
        enrolled.iter().enumerate().map(|(bucket, rate)| (middle(time, bucket), scale.at(*rate))).collect();
    svg.line(&line, ENROLMENTS, 2.2);
    let key = PEOPLE.0 - 32.0;
    svg.text((LEFT, key), "start", 12.0, FAINT_INK, "400", "students a second:");
    svg.rect((LEFT + 122.0, key - 9.0), (14.0, 10.0), ARRIVALS);
    svg.text((LEFT + 141.0, key), "start", 12.0, INK, "400", "arriving");
    svg.line(&[(LEFT + 204.0, key - 4.0), (LEFT + 226.0, key - 4.0)], ENROLMENTS, 2.2);
    svg.text((LEFT + 231.0, key), "start", 12.0, INK, "400", "enrolled");
}

fn waiting(svg: &mut Svg, drawing: &Drawing<'_>, time: &Scale, buckets: usize) {
    let mut by_bucket: Vec<Vec<u64>> = vec![Vec::new(); buckets];
    for timed in drawing.timed.iter().filter(|timed| timed.what == What::Enrol) {
        let bucket = (u128::from(timed.pressed) / BUCKET.as_micros()) as usize;
        by_bucket[bucket].push(timed.answered - timed.pressed);
    }
    let known: Vec<(usize, Latency)> = by_bucket
        .into_iter()
        .enumerate()
        .filter(|(_, all)| !all.is_empty())
        .map(|(bucket, all)| (bucket, Latency::of(all)))
        .collect();
    let ms = |us: u64| us as f64 / 1_000.0;
    let least = known.iter().map(|(_, latency)| ms(latency.p50_us)).fold(f64::MAX, f64::min);
    let most = known.iter().map(|(_, latency)| ms(latency.p99_us)).fold(0.0, f64::max);
    let scale = Scale::latency(least, most, (WAITING.1, WAITING.0));
    value_axis(svg, &scale);
    for (colour, width, value) in [
        (MEDIAN, 1.6, (|latency: &Latency| latency.p50_us) as fn(&Latency) -> u64),
        (CLICKS, 2.2, |latency| latency.p99_us),
    ] {
        let line: Vec<_> = known
            .iter()
            .map(|(bucket, latency)| (middle(time, *bucket), scale.at(ms(value(latency)))))
            .collect();
        svg.line(&line, colour, width);
    }
    let key = WAITING.0 - 30.0;
    svg.text((LEFT, key), "start", 12.0, FAINT_INK, "400", "an enrol click's answer took:");
    svg.line(&[(LEFT + 188.0, key - 4.0), (LEFT + 210.0, key - 4.0)], CLICKS, 2.2);
    svg.text((LEFT + 215.0, key), "start", 12.0, INK, "400", "p99");
    svg.line(&[(LEFT + 252.0, key - 4.0), (LEFT + 274.0, key - 4.0)], MEDIAN, 1.6);
    svg.text((LEFT + 279.0, key), "start", 12.0, INK, "400", "p50, of those pressed in each half second");
}

fn per_second(moments: impl Iterator<Item = Moment>, buckets: usize) -> Vec<f64> {
    let mut counts = vec![0.0; buckets];
    for moment in moments {
        counts[(u128::from(moment) / BUCKET.as_micros()) as usize] += 1.0 / BUCKET.as_secs_f64();
    }
    counts
}

fn edge(time: &Scale, bucket: usize) -> f64 {
    time.at(BUCKET.as_secs_f64() * bucket as f64)
}

fn middle(time: &Scale, bucket: usize) -> f64 {
    time.at(BUCKET.as_secs_f64() * (bucket as f64 + 0.5))
}

#[cfg(test)]
mod tests {
    use app_kit::chart::WIDTH;

    use super::*;
    use crate::day::load::Waits;

    #[test]
    fn a_day_is_drawn_with_what_was_done_to_it() {
        let seconds = Duration::from_secs;
        let events = Events {
            kills: vec![(seconds(3), seconds(4)), (seconds(7), seconds(8))],
            outage: Some((seconds(5), seconds(9))),
        };
        let timed: Vec<Timed> = (0..200)
            .map(|n| Timed {
                what: What::Enrol,
                pressed: n * 50_000,
                answered: n * 50_000 + 900 + n * 40_000,
                waits: Waits::default(),
            })
            .collect();
        let enrolled: Vec<Moment> = timed.iter().map(|timed| timed.answered).collect();
        let svg = draw(&Drawing {
            title: "A day <of> 10".into(),
            subtitle: "nothing".into(),
            arrivals: (0..100).map(|n| Duration::from_millis(n * 100)).collect(),
            enrolled: &enrolled,
            timed: &timed,
            opens: seconds(2),
            events: &events,
        });
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(
            svg.contains("A day &lt;of&gt; 10")
                && svg.contains("fee ledger down")
                && svg.contains("▼ killed")
        );
        assert_eq!(svg.matches(&format!("stroke=\"{KILL}\"")).count(), 4, "two kills, in two frames");
        // Every point of a line is within the drawing.
        for points in svg.split("points=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            for point in points.split(' ') {
                let (x, y) = point.split_once(',').expect("two numbers");
                let (x, y): (f64, f64) = (x.parse().expect("x"), y.parse().expect("y"));
                assert!((0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y), "{point}");
            }
        }
    }

    #[test]
    fn a_day_without_anybody_is_drawn_as_well() {
        let svg = draw(&Drawing {
            title: String::new(),
            subtitle: String::new(),
            arrivals: vec![],
            enrolled: &[],
            timed: &[],
            opens: Duration::ZERO,
            events: &Events::default(),
        });
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"));
    }
}
