//! The picture: a panel for each figure, a bar for each system.
//!
//! Plain SVG with its own colours for light and dark. Bars are to scale within a panel, but for those that would make
//! all others vanish: they are cut and marked, and every bar has its number beside it.

use std::fmt::Write;

use crate::{
    report::{Better, Figure, Metric, Report},
    stats::number,
};

const PANEL_WIDTH: f64 = 440.0;
const NAMES_WIDTH: f64 = 104.0;
const BARS_WIDTH: f64 = 230.0;
const LINE: f64 = 19.0;
const HEAD: f64 = 42.0;
const GAP: f64 = 18.0;
const TITLE: f64 = 58.0;
/// Of what is better when it is less, bars longer than so many times Tidegate's are cut.
const TIMES_MAX: f64 = 12.0;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2933}\
.back{fill:#ffffff}.title{font-size:17px;font-weight:600}.head{font-weight:600;font-size:13px}\
.soft{fill:#52606d}.own{fill:#0f766e}.other{fill:#9fb3c8}.best{font-weight:700}\
@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.back{fill:#11181f}.soft{fill:#9aa5b1}\
.own{fill:#2dd4bf}.other{fill:#52667a}}";

/// Draws a report.
pub(crate) fn svg(report: &Report) -> String {
    let metrics: Vec<&Metric> = report.metrics().filter(|metric| metric.in_chart).collect();
    let peers = report.peers();
    let panel_height = HEAD + LINE * peers.len() as f64 + GAP;
    let lines = metrics.len().div_ceil(2) as f64;
    let (width, height) = (2.0 * PANEL_WIDTH + 3.0 * GAP, TITLE + lines * panel_height + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"Tidegate beside other queues\">\n<style>{STYLE}</style>\n<rect class=\"back\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n"
    );
    text(
        &mut out,
        GAP,
        28.0,
        "title",
        "start",
        "Tidegate beside other queues, every acknowledgement synced to disk",
    );
    let machine = format!(
        "{} cores, generator on the same machine, payloads of {} bytes; medians",
        report.machine.cores, report.payload_bytes
    );
    text(&mut out, GAP, 46.0, "soft", "start", &machine);
    for (at, metric) in metrics.into_iter().enumerate() {
        let x = GAP + (at % 2) as f64 * (PANEL_WIDTH + GAP);
        let y = TITLE + (at / 2) as f64 * panel_height;
        panel(&mut out, report, metric, x, y);
    }
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, report: &Report, metric: &Metric, x: f64, y: f64) {
    let better = if metric.better == Better::More { "more is better" } else { "less is better" };
    text(out, x, y + 16.0, "head", "start", metric.title);
    text(out, x, y + 31.0, "soft", "start", &format!("{}, {better}", metric.unit));
    let figures: Vec<(crate::peers::Name, Option<Figure>)> =
        report.peers().into_iter().map(|peer| (peer, report.figure(metric, peer))).collect();
    let full = full_scale(metric, &figures);
    for (at, (peer, figure)) in figures.into_iter().enumerate() {
        let base = y + HEAD + LINE * at as f64;
        let own = peer == crate::peers::Name::Tidegate;
        let best = figure.is_some_and(|figure| figure.first);
        text(
            out,
            x + NAMES_WIDTH - 8.0,
            base + 11.0,
            if own { "best" } else { "" },
            "end",
            &peer.to_string(),
        );
        let Some(figure) = figure else {
            text(out, x + NAMES_WIDTH, base + 11.0, "soft", "start", "–");
            continue;
        };
        let cut = figure.median > full;
        let length = (figure.median.min(full) / full * BARS_WIDTH).max(1.5);
        let class = if own { "own" } else { "other" };
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"14\" rx=\"2\"/>",
            x + NAMES_WIDTH,
            base
        );
        let label = format!("{}{}", if cut { "» " } else { "" }, number(figure.median));
        text(
            out,
            x + NAMES_WIDTH + length + 6.0,
            base + 11.0,
            if best { "best" } else { "" },
            "start",
            &label,
        );
    }
}

/// The value whose bar is as long as bars get.
fn full_scale(metric: &Metric, figures: &[(crate::peers::Name, Option<Figure>)]) -> f64 {
    let greatest = figures.iter().filter_map(|(_, figure)| Some(figure.as_ref()?.median)).fold(0.0, f64::max);
    let own = figures.iter().find(|(peer, _)| *peer == crate::peers::Name::Tidegate);
    let own = own.and_then(|(_, figure)| Some(figure.as_ref()?.median));
    let full = match (metric.better, own) {
        (Better::Less, Some(own)) if own > 0.0 => greatest.min(TIMES_MAX * own),
        _ => greatest,
    };
    if full > 0.0 { full } else { 1.0 }
}

fn text(out: &mut String, x: f64, y: f64, class: &str, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        peers::Name,
        report::tests::{report, sample},
        rows::Row,
    };

    /// Widths of the bars in their order.
    fn bars(svg: &str) -> Vec<f64> {
        let rects = svg.lines().filter(|line| line.starts_with("<rect class=\"o"));
        let width = |line: &str| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok();
        rects.map(|line| width(line).expect("a width")).collect()
    }

    #[test]
    fn bars_are_to_scale_and_have_their_numbers() {
        let lists = |peer, value| sample(Row::Lists, peer, "jobs_per_s", value);
        let svg = svg(&report(vec![lists(Name::Tidegate, 500_000.0), lists(Name::Nats, 50_000.0)]));
        assert_eq!(bars(&svg), [230.0, 23.0]);
        assert!(svg.contains(">500,000</text>") && svg.contains(">50,000</text>"), "{svg}");
        assert!(svg.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn a_bar_that_would_dwarf_all_others_is_cut_and_marked() {
        let latency = |peer, us| sample(Row::Latency, peer, "p99_us", us);
        let svg = svg(&report(vec![latency(Name::Tidegate, 1_000.0), latency(Name::Beanstalkd, 900_000.0)]));
        let last = &bars(&svg)[..2];
        assert!((last[0] - 230.0 / 12.0).abs() < 0.1 && last[1] == 230.0, "{last:?}");
        assert!(svg.contains(">» 900</text>"), "{svg}");
    }

    #[test]
    fn every_element_is_closed() {
        let svg = svg(&report(vec![sample(Row::Life, Name::Postgres, "jobs_per_s", 1.0)]));
        for name in ["svg", "text", "style"] {
            assert_eq!(svg.matches(&format!("<{name}")).count(), svg.matches(&format!("</{name}>")).count());
        }
    }
}
