//! Draws the backlog over time, and below it on the same axis how many uploads came in, as one SVG.
//!
//! The drawing needs nothing but its text: no script, no style sheet, no font of its own. It promises that every
//! point lies within its frame and that text keeps clear of the lines where there is room. It decides nothing about
//! the run; what is in the title is handed in.

mod label;

use std::time::Duration;

use app_kit::{
    chart::{
        FAINT_INK, INK, KILL, LEFT, RIGHT, Scale, Svg, WARM_INK, sheet, text_width, time_axis, value_axis,
    },
    words::thousands,
};

use self::label::{Area, Placer};
use super::{admin::Backlog, sample::Sample};

const HEIGHT: f64 = 640.0;
/// The backlog's frame, and that of the rate.
const BACKLOG: (f64, f64) = (112.0, 430.0);
const RATE: (f64, f64) = (478.0, 578.0);
/// More points than this in one line are not told apart.
const POINTS_MAX: usize = 1_200;

const SURGE_FILL: &str = "#fdf1dc";
const RATE_FILL: &str = "#a9bdd3";
const STEPS: [&str; 3] = ["#1f5fa8", "#c4541a", "#2a8256"];

/// What is to be drawn.
pub(crate) struct Drawing<'a> {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) samples: &'a [Sample],
    /// Where the offered rate bends, with the rate there.
    pub(crate) offered: Vec<(Duration, f64)>,
    pub(crate) surge: (Duration, Duration),
    /// What stands over the surge.
    pub(crate) surge_label: String,
    /// When the service was killed, and when it was back.
    pub(crate) kills: &'a [(Duration, Duration)],
    /// When nothing waited any more, and what to call that.
    pub(crate) worked_off: Option<(Duration, String)>,
}

/// The drawing as an SVG document.
pub(crate) fn draw(drawing: &Drawing<'_>) -> String {
    let samples = thin(drawing.samples);
    let last = samples.last().map_or(Duration::ZERO, Sample::at);
    let end = last.max(drawing.offered.last().map_or(Duration::ZERO, |(at, _)| *at));
    let time = Scale::time(end.as_secs_f64(), (LEFT, RIGHT));
    let mut svg = sheet(HEIGHT, &drawing.title, &drawing.subtitle);
    shade_surge(&mut svg, drawing, &time);
    kills(&mut svg, drawing, &time);
    backlog(&mut svg, drawing, &samples, &time);
    rate(&mut svg, drawing, &samples, &time);
    time_axis(&mut svg, &time, &[BACKLOG.1, RATE.1]);
    svg.end()
}

fn shade_surge(svg: &mut Svg, drawing: &Drawing<'_>, time: &Scale) {
    let (from, to) = (x(time, drawing.surge.0), x(time, drawing.surge.1));
    for (top, bottom) in [BACKLOG, RATE] {
        svg.rect((from, top), ((to - from).max(1.0), bottom - top), SURGE_FILL);
    }
    svg.text((from, BACKLOG.0 - 10.0), "start", 12.0, WARM_INK, "600", &drawing.surge_label);
}

fn backlog(svg: &mut Svg, drawing: &Drawing<'_>, samples: &[Sample], time: &Scale) {
    let known = samples.iter().filter_map(|sample| sample.backlog);
    let most = known.flat_map(|backlog| backlog.waiting()).max().unwrap_or(0);
    let jobs = Scale::count(most as f64, 6.0, (BACKLOG.1, BACKLOG.0));
    value_axis(svg, &jobs);
    svg.turned_text((22.0, (BACKLOG.0 + BACKLOG.1) / 2.0), 12.0, FAINT_INK, "jobs waiting");

    let lines: Vec<Vec<Vec<(f64, f64)>>> = (0..3).map(|step| step_line(samples, step, time, &jobs)).collect();
    // The tallest first, so that lower ones are seen before it.
    let peak =
        |step: usize| samples.iter().filter_map(|s| s.backlog).map(|b| b.waiting()[step]).max().unwrap_or(0);
    let mut order = [0, 1, 2];
    order.sort_by_key(|step| std::cmp::Reverse(peak(*step)));
    for step in order {
        for piece in &lines[step] {
            let (first, last) = (piece[0], piece[piece.len() - 1]);
            let base = [(last.0, BACKLOG.1), (first.0, BACKLOG.1)];
            svg.area(piece.iter().copied().chain(base), STEPS[step], 0.07);
        }
    }
    for step in order {
        for piece in &lines[step] {
            svg.line(piece, STEPS[step], 2.2);
        }
    }

    let mut placer = Placer::new(Area { left: LEFT, right: RIGHT, top: BACKLOG.0, bottom: BACKLOG.1 });
    for (step, pieces) in lines.iter().enumerate() {
        pieces.iter().for_each(|piece| placer.keep_clear_of_line(piece, Some(step)));
    }
    if let Some((at, text)) = &drawing.worked_off {
        let at = x(time, *at);
        svg.dashed((at, BACKLOG.0), (at, RATE.1), FAINT_INK);
        let anchor_end = at > (LEFT + RIGHT) / 2.0;
        let (anchor, text_x) = if anchor_end { ("end", at - 6.0) } else { ("start", at + 6.0) };
        svg.text((text_x, BACKLOG.0 + 18.0), anchor, 12.0, FAINT_INK, "400", text);
        let width = text_width(text, 12.0);
        let left = if anchor_end { text_x - width } else { text_x };
        let (top, bottom) = (BACKLOG.0 + 6.0, BACKLOG.0 + 22.0);
        placer.keep_clear_of(Area { left, right: left + width, top, bottom });
    }
    for (at, _) in drawing.kills {
        let at = x(time, *at);
        placer.keep_clear_of_line(&[(at, BACKLOG.0), (at, BACKLOG.1)], None);
    }
    for step in order {
        let points: Vec<(f64, f64)> = lines[step].iter().flatten().copied().collect();
        let text = format!("{}, peak {}", Backlog::STEPS[step], thousands(peak(step)));
        if let Some((at_x, at_y)) = placer.place(step, &points, &text, 13.0) {
            svg.text((at_x, at_y), "start", 13.0, STEPS[step], "600", &text);
        }
    }
}

/// One step's line, in pieces where the service did not answer.
fn step_line(samples: &[Sample], step: usize, time: &Scale, jobs: &Scale) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = vec![Vec::new()];
    for sample in samples {
        match sample.backlog {
            Some(backlog) => {
                let point = (x(time, sample.at()), jobs.at(backlog.waiting()[step] as f64));
                pieces.last_mut().expect("there is always a piece").push(point);
            }
            None => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn rate(svg: &mut Svg, drawing: &Drawing<'_>, samples: &[Sample], time: &Scale) {
    let stretches: Vec<(Duration, Duration, f64)> = samples
        .windows(2)
        .filter(|pair| pair[1].at_ms > pair[0].at_ms)
        .map(|pair| {
            let seconds = (pair[1].at_ms - pair[0].at_ms) as f64 / 1_000.0;
            (pair[0].at(), pair[1].at(), (pair[1].accepted - pair[0].accepted) as f64 / seconds)
        })
        .collect();
    let offered = drawing.offered.iter().map(|(_, rate)| *rate);
    let most = stretches.iter().map(|(_, _, rate)| *rate).chain(offered).fold(0.0, f64::max);
    let scale = Scale::count(most, 3.0, (RATE.1, RATE.0));
    value_axis(svg, &scale);

    let mut outline = Vec::new();
    for (from, to, rate) in &stretches {
        outline.extend([(x(time, *from), scale.at(*rate)), (x(time, *to), scale.at(*rate))]);
    }
    if let (Some(first), Some(last)) = (outline.first().copied(), outline.last().copied()) {
        let base = [(last.0, RATE.1), (first.0, RATE.1)];
        svg.area(outline.into_iter().chain(base), RATE_FILL, 0.85);
    }
    let offered: Vec<_> = drawing.offered.iter().map(|(at, rate)| (x(time, *at), scale.at(*rate))).collect();
    svg.dashed_line(&offered, INK);

    let key_y = RATE.0 - 12.0;
    svg.text((LEFT, key_y), "start", 12.0, FAINT_INK, "400", "uploads a second:");
    svg.rect((LEFT + 116.0, key_y - 9.0), (14.0, 10.0), RATE_FILL);
    svg.text((LEFT + 135.0, key_y), "start", 12.0, INK, "400", "accepted");
    svg.dashed_line(&[(LEFT + 204.0, key_y - 4.0), (LEFT + 226.0, key_y - 4.0)], INK);
    svg.text((LEFT + 231.0, key_y), "start", 12.0, INK, "400", "offered");
}

fn kills(svg: &mut Svg, drawing: &Drawing<'_>, time: &Scale) {
    for (killed, back) in drawing.kills {
        let (killed, back) = (x(time, *killed), x(time, *back));
        for (top, bottom) in [BACKLOG, RATE] {
            svg.pale_rect((killed, top), ((back - killed).max(1.0), bottom - top), KILL, 0.10);
            svg.segment((killed, top), (killed, bottom), KILL);
        }
        let top = BACKLOG.0;
        let left = (killed - 5.0).max(LEFT);
        svg.area([(left, top), (left + 10.0, top), (killed, top + 9.0)].into_iter(), KILL, 1.0);
    }
    if let Some((first, _)) = drawing.kills.first() {
        let times =
            if drawing.kills.len() == 1 { "once".into() } else { format!("{} times", drawing.kills.len()) };
        let text = format!("▼ service killed {times}");
        let after_surge = x(time, drawing.surge.0) + text_width(&drawing.surge_label, 12.0) + 24.0;
        let at = x(time, *first).max(after_surge).min(RIGHT - text_width(&text, 12.0));
        svg.text((at, BACKLOG.0 - 10.0), "start", 12.0, KILL, "600", &text);
    }
}

fn x(time: &Scale, at: Duration) -> f64 {
    time.at(at.as_secs_f64())
}

/// At most [`POINTS_MAX`] samples; the highest backlog of each step stays, and so does a sample without one.
fn thin(samples: &[Sample]) -> Vec<Sample> {
    let every = samples.len().div_ceil(POINTS_MAX).max(1);
    let highest = |step: usize| {
        let waiting = |at: &usize| samples[*at].backlog.map_or(0, |backlog| backlog.waiting()[step]);
        (0..samples.len()).max_by_key(waiting).unwrap_or(0)
    };
    let highest = [highest(0), highest(1), highest(2)];
    let stays = |at: usize| {
        at.is_multiple_of(every)
            || at + 1 == samples.len()
            || highest.contains(&at)
            || samples[at].backlog.is_none()
    };
    samples.iter().enumerate().filter(|(at, _)| stays(*at)).map(|(_, sample)| *sample).collect()
}

#[cfg(test)]
mod tests;
