//! The shapes and axes of a drawing: one SVG that needs nothing but its text, no script, no style sheet, no font of its own.
//!
//! A drawing is a sheet with a head, an axis of time from [`LEFT`] to [`RIGHT`], and frames above each other that share it.
//! What is in them is the caller's.

mod scale;
mod svg;

pub use scale::Scale;
pub use svg::{Point, Svg};

/// How wide a sheet is.
pub const WIDTH: f64 = 1_000.0;
/// Where every frame begins.
pub const LEFT: f64 = 84.0;
/// Where every frame ends.
pub const RIGHT: f64 = 972.0;
const MARGIN: f64 = 28.0;

/// Text, and lines that are looked at for themselves.
pub const INK: &str = "#1d2733";
/// What is read after them.
pub const FAINT_INK: &str = "#5b6775";
/// Something was killed.
pub const KILL: &str = "#c62828";
/// What a warm fill is named in.
pub const WARM_INK: &str = "#8a5a00";
const GRID: &str = "#e3e7ec";

/// A sheet so high with its head.
#[must_use]
pub fn sheet(height: f64, title: &str, subtitle: &str) -> Svg {
    let mut svg = Svg::new(WIDTH, height);
    svg.text((MARGIN, 38.0), "start", fitting(title, 20.0), INK, "600", title);
    svg.text((MARGIN, 62.0), "start", fitting(subtitle, 13.0), FAINT_INK, "400", subtitle);
    svg
}

/// The axis of values of a frame whose scale this is.
pub fn value_axis(svg: &mut Svg, scale: &Scale) {
    for (value, text) in scale.ticks() {
        let y = scale.at(value);
        svg.segment((LEFT, y), (RIGHT, y), if y == scale.begin() { FAINT_INK } else { GRID });
        svg.text((LEFT - 8.0, y + 4.0), "end", 12.0, FAINT_INK, "400", &text);
    }
}

/// The axis of time below frames that end at these heights, the last of them the lowest.
pub fn time_axis(svg: &mut Svg, time: &Scale, ends: &[f64]) {
    let lowest = ends.last().copied().unwrap_or_default();
    for (value, text) in time.ticks() {
        let x = time.at(value);
        for end in ends {
            svg.segment((x, *end), (x, end + 4.0), FAINT_INK);
        }
        svg.text((x, lowest + 20.0), "middle", 12.0, FAINT_INK, "400", &text);
    }
    svg.text((RIGHT, lowest + 42.0), "end", 12.0, FAINT_INK, "400", "time since the start of the run");
}

/// About how wide a text is; fonts differ, so this is rather too wide.
#[must_use]
pub fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * 0.6
}

/// The size in which a text goes from margin to margin, but not more than `most`.
fn fitting(text: &str, most: f64) -> f64 {
    let size = most * (WIDTH - 2.0 * MARGIN) / text_width(text, most).max(1.0);
    (size.min(most) * 10.0).floor() / 10.0
}
