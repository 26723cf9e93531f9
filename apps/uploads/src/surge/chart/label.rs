//! Finds places for the names of lines: beside their line, and clear of everything else where there is room.

use app_kit::chart::text_width;

/// Between a label and what it must not touch.
const CLEARANCE: f64 = 7.0;
/// Between a label and its own line.
const GAP: f64 = 8.0;
/// A label is so much nearer to its own line than to any other.
const NEARER: f64 = 8.0;
/// Candidates along a line.
const CANDIDATES: usize = 120;

/// A rectangle; `top` is the smaller number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Area {
    fn contains(&self, other: &Area) -> bool {
        other.left >= self.left
            && other.right <= self.right
            && other.top >= self.top
            && other.bottom <= self.bottom
    }

    /// How far apart they are; 0 if they touch.
    fn distance(&self, other: &Area) -> f64 {
        let across = (other.left - self.right).max(self.left - other.right).max(0.0);
        let down = (other.top - self.bottom).max(self.top - other.bottom).max(0.0);
        across.hypot(down)
    }
}

/// Knows what is on the drawing already.
pub(super) struct Placer {
    frame: Area,
    /// With the number of the line, for a piece of one.
    taken: Vec<(Area, Option<usize>)>,
}

impl Placer {
    pub(super) fn new(frame: Area) -> Placer {
        Placer { frame, taken: Vec::new() }
    }

    pub(super) fn keep_clear_of(&mut self, taken: Area) {
        self.taken.push((taken, None));
    }

    /// A line is taken as the boxes around short pieces of it. Lines that get labels have numbers.
    pub(super) fn keep_clear_of_line(&mut self, points: &[(f64, f64)], number: Option<usize>) {
        for pair in points.windows(2) {
            let ((from_x, from_y), (to_x, to_y)) = (pair[0], pair[1]);
            let pieces = ((to_x - from_x).abs().max((to_y - from_y).abs()) / 6.0).ceil().max(1.0);
            for piece in 0..pieces as usize {
                let at = |share: f64| (from_x + (to_x - from_x) * share, from_y + (to_y - from_y) * share);
                let (a, b) = (at(piece as f64 / pieces), at((piece + 1) as f64 / pieces));
                let (left, right, top, bottom) = (a.0.min(b.0), a.0.max(b.0), a.1.min(b.1), a.1.max(b.1));
                self.taken.push((Area { left, right, top, bottom }, number));
            }
        }
    }

    /// A place for a line's name: where the text starts on its base line. It is clear of everything, nearer to its own
    /// line than to any other, and of such places the nearest to the line's highest point; where there is none, what
    /// comes closest to that. `None` for a line without points.
    pub(super) fn place(
        &mut self,
        number: usize,
        points: &[(f64, f64)],
        text: &str,
        size: f64,
    ) -> Option<(f64, f64)> {
        let peak = points.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let (width, height) = (text_width(text, size), size);
        let every = points.len().div_ceil(CANDIDATES).max(1);
        let anchors = points.iter().copied().step_by(every).chain([peak]);
        let candidates = anchors.flat_map(|(x, y)| {
            let at = |left: f64, top: f64| Area { left, right: left + width, top, bottom: top + height };
            [
                at(x + GAP, y - height - GAP),
                at(x - width - GAP, y - height - GAP),
                at(x + GAP, y - height / 2.0),
                at(x - width / 2.0, y - height - GAP),
                at(x + GAP, y + GAP),
                at(x - width - GAP, y - height / 2.0),
                at(x - width - GAP, y + GAP),
            ]
        });
        let best = candidates
            .filter(|candidate| self.frame.contains(candidate))
            .map(|candidate| {
                let (mut free, mut own, mut other) = (f64::MAX, f64::MAX, f64::MAX);
                for (taken, line) in &self.taken {
                    let distance = candidate.distance(taken);
                    free = free.min(distance);
                    match line {
                        Some(line) if *line == number => own = own.min(distance),
                        Some(_) => other = other.min(distance),
                        None => {}
                    }
                }
                let middle = (candidate.left + candidate.right) / 2.0;
                let away = (middle - peak.0).hypot(candidate.bottom - peak.1);
                let short = |has: f64, needs: f64| (needs - has).max(0.0);
                (candidate, [short(free, CLEARANCE), short(other - own, NEARER), away])
            })
            .min_by(|(_, a), (_, b)| a.partial_cmp(b).expect("distances are numbers"))
            .map(|(candidate, _)| candidate)?;
        self.taken.push((best, None));
        // The letters' base line is a little above their box's bottom.
        Some((best.left, best.bottom - size * 0.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Area {
        Area { left: 0.0, right: 400.0, top: 0.0, bottom: 200.0 }
    }

    fn hill(height: f64) -> Vec<(f64, f64)> {
        (0..=40)
            .map(|at| (f64::from(at) * 10.0, 200.0 - height * (1.0 - (f64::from(at) - 20.0).abs() / 20.0)))
            .collect()
    }

    #[test]
    fn names_keep_clear_of_lines_and_of_each_other() {
        let lines = [hill(180.0), hill(90.0), hill(5.0)];
        let mut placer = Placer::new(frame());
        for (number, line) in lines.iter().enumerate() {
            placer.keep_clear_of_line(line, Some(number));
        }
        let mut boxes: Vec<Area> = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let (x, y) = placer.place(number, line, "thumbnails", 10.0).expect("a place");
            let found =
                Area { left: x, right: x + text_width("thumbnails", 10.0), top: y - 8.0, bottom: y + 2.0 };
            let near = |line: &[(f64, f64)]| {
                let mut placer = Placer::new(frame());
                placer.keep_clear_of_line(line, None);
                placer.taken.iter().map(|(piece, _)| piece.distance(&found)).fold(f64::MAX, f64::min)
            };
            let others = lines.iter().filter(|other| *other != line);
            assert!(others.map(|other| near(other)).all(|other| other > near(line)), "{number} {found:?}");
            assert!(frame().contains(&found), "{found:?}");
            assert!(boxes.iter().all(|other| other.distance(&found) >= CLEARANCE), "{boxes:?} {found:?}");
            for other in lines.iter().flatten() {
                let point = Area { left: other.0, right: other.0, top: other.1, bottom: other.1 };
                assert!(point.distance(&found) >= CLEARANCE - 1e-9, "{other:?} {found:?}");
            }
            boxes.push(found);
        }
    }

    #[test]
    fn without_room_there_is_a_place_all_the_same() {
        let mut placer = Placer::new(frame());
        placer.keep_clear_of(frame());
        placer.place(0, &hill(100.0), "emails", 10.0).expect("a place");
        assert_eq!(placer.place(0, &[], "emails", 10.0), None);
    }
}
