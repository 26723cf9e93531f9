//! The few shapes a chart is made of, as SVG text.

use std::fmt::Write;

const FONT: &str =
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif";

type Point = (f64, f64);

/// A document that is being written.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64) -> Svg {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"{FONT}\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        Svg { text }
    }

    pub(super) fn end(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    pub(super) fn rect(&mut self, at: Point, size: Point, fill: &str) {
        self.pale_rect(at, size, fill, 1.0);
    }

    pub(super) fn pale_rect(&mut self, (x, y): Point, (width, height): Point, fill: &str, opacity: f64) {
        self.element(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
             fill-opacity=\"{opacity}\"/>"
        ));
    }

    pub(super) fn segment(&mut self, from: Point, to: Point, stroke: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.element(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"
        ));
    }

    pub(super) fn line(&mut self, points: &[Point], stroke: &str, width: f64) {
        let points = places(points.iter().copied());
        self.element(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>"
        ));
    }

    pub(super) fn area(&mut self, points: impl Iterator<Item = Point>, fill: &str, opacity: f64) {
        let points = places(points);
        self.element(format_args!(
            "<polygon points=\"{points}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"
        ));
    }

    /// Text with a white rim, so that it can be read on a line.
    pub(super) fn text(
        &mut self,
        (x, y): Point,
        anchor: &str,
        size: f64,
        fill: &str,
        weight: &str,
        text: &str,
    ) {
        let text = escaped(text);
        self.element(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" font-weight=\"{weight}\" \
             fill=\"{fill}\" stroke=\"#ffffff\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\">\
             {text}</text>"
        ));
    }

    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{element}").expect("memory takes every write");
    }
}

fn places(points: impl Iterator<Item = Point>) -> String {
    let places: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    places.join(" ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
