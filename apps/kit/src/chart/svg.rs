//! The few shapes a chart is made of, as SVG text.

use std::fmt::Write;

const FONT: &str =
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif";

/// Across and down.
pub type Point = (f64, f64);

/// A document that is being written.
#[derive(Debug)]
pub struct Svg {
    text: String,
}

impl Svg {
    /// A white one.
    #[must_use]
    pub fn new(width: f64, height: f64) -> Svg {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"{FONT}\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
        );
        Svg { text }
    }

    /// The document.
    #[must_use]
    pub fn end(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    /// A filled rectangle.
    pub fn rect(&mut self, at: Point, size: Point, fill: &str) {
        self.pale_rect(at, size, fill, 1.0);
    }

    /// One that can be looked through.
    pub fn pale_rect(&mut self, (x, y): Point, (width, height): Point, fill: &str, opacity: f64) {
        self.element(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
             fill-opacity=\"{opacity}\"/>"
        ));
    }

    /// A thin straight line.
    pub fn segment(&mut self, from: Point, to: Point, stroke: &str) {
        self.straight(from, to, stroke, "");
    }

    /// The same in dashes.
    pub fn dashed(&mut self, from: Point, to: Point, stroke: &str) {
        self.straight(from, to, stroke, " stroke-dasharray=\"3 4\"");
    }

    fn straight(&mut self, (x1, y1): Point, (x2, y2): Point, stroke: &str, more: &str) {
        self.element(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"{more}/>"
        ));
    }

    /// A line through points.
    pub fn line(&mut self, points: &[Point], stroke: &str, width: f64) {
        let points = places(points.iter().copied());
        self.element(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\"/>"
        ));
    }

    /// The same in dashes.
    pub fn dashed_line(&mut self, points: &[Point], stroke: &str) {
        let points = places(points.iter().copied());
        self.element(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.2\" \
             stroke-dasharray=\"5 4\"/>"
        ));
    }

    /// What lies within points.
    pub fn area(&mut self, points: impl Iterator<Item = Point>, fill: &str, opacity: f64) {
        let points = places(points);
        self.element(format_args!(
            "<polygon points=\"{points}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"
        ));
    }

    /// Text with a white rim, so that it can be read on a line.
    pub fn text(&mut self, (x, y): Point, anchor: &str, size: f64, fill: &str, weight: &str, text: &str) {
        let text = escaped(text);
        self.element(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" font-weight=\"{weight}\" \
             fill=\"{fill}\" stroke=\"#ffffff\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\">\
             {text}</text>"
        ));
    }

    /// Text that reads from bottom to top, around a place.
    pub fn turned_text(&mut self, (x, y): Point, size: f64, fill: &str, text: &str) {
        let text = escaped(text);
        self.element(format_args!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"{size}\" \
             fill=\"{fill}\">{text}</text>"
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
