//! When each upload is due: a pure function of the settings.
//!
//! A run is calm, then a surge (a short ramp and the peak), then calm again. The plan promises that upload `n` is
//! due at one moment only, whatever happens to the uploads before it: the load is open-loop, and a slow answer makes
//! the next upload late, never absent. It has no clock and no chance; moments count from the start of the run.

use std::time::Duration;

use app_kit::chance::Chance;

/// From the base rate to the peak in this time.
pub(crate) const RAMP: Duration = Duration::from_millis(100);

/// Uploads in one run; each costs some 150 bytes of memory until it is accounted for.
pub(crate) const UPLOADS_MAX: u64 = 4_000_000;

/// The parts of a run that are told apart in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Before,
    Surge,
    After,
}

impl Phase {
    pub(crate) const ALL: [Phase; 3] = [Phase::Before, Phase::Surge, Phase::After];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Before => "calm",
            Phase::Surge => "surge",
            Phase::After => "calm again",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Uploads a second when it is calm.
    pub(crate) base: u32,
    /// Uploads a second in the surge.
    pub(crate) peak: u32,
    /// How long it is calm before the surge, and again after it.
    pub(crate) calm: Duration,
    pub(crate) length: Length,
}

/// How long the surge is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// The peak lasts so long.
    Lasting(Duration),
    /// The peak lasts until so many uploads are due in the whole run.
    Until(u64),
}

/// A plan that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Impossible {
    #[error("--base {base} is more than --peak {peak}")]
    BaseOverPeak { base: u32, peak: u32 },
    #[error("--count {count} leaves nothing for the peak: calm and ramp alone are {least} uploads")]
    CountTooSmall { count: u64, least: u64 },
    #[error(
        "{uploads} uploads are more than the {UPLOADS_MAX} that one run keeps records of; make it shorter or lower"
    )]
    TooMany { uploads: u64 },
}

/// The moments of all uploads.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    segments: [Segment; 4],
    uploads: usize,
}

/// A stretch in which the rate goes evenly from one value to another. Times are seconds, rates uploads a second.
#[derive(Debug, Clone, Copy)]
struct Segment {
    phase: Phase,
    start: f64,
    length: f64,
    rate_from: f64,
    rate_to: f64,
    /// Uploads that are due before it begins.
    before: f64,
}

impl Segment {
    fn end(&self) -> f64 {
        self.start + self.length
    }

    /// Uploads due in its first `seconds`.
    fn due_within(&self, seconds: f64) -> f64 {
        let x = seconds.clamp(0.0, self.length);
        self.rate_from * x + self.bend() * x * x
    }

    /// When this many of its uploads are due: the positive root of `bend x² + rate_from x = uploads`, in the form
    /// that does not divide by a bend of zero.
    fn moment_of(&self, uploads: f64) -> f64 {
        if uploads <= 0.0 {
            return self.start;
        }
        let root = (self.rate_from * self.rate_from + 4.0 * self.bend() * uploads).sqrt();
        self.start + 2.0 * uploads / (self.rate_from + root)
    }

    fn bend(&self) -> f64 {
        if self.length > 0.0 { (self.rate_to - self.rate_from) / (2.0 * self.length) } else { 0.0 }
    }
}

impl Plan {
    pub(crate) fn new(shape: Shape) -> Result<Plan, Impossible> {
        let (base, peak) = (f64::from(shape.base), f64::from(shape.peak));
        if shape.base > shape.peak {
            return Err(Impossible::BaseOverPeak { base: shape.base, peak: shape.peak });
        }
        let (calm, ramp) = (shape.calm.as_secs_f64(), RAMP.as_secs_f64());
        let least = 2.0 * calm * base + ramp * (base + peak) / 2.0;
        let at_peak = match shape.length {
            Length::Lasting(length) => length.as_secs_f64(),
            Length::Until(count) if count as f64 > least => (count as f64 - least) / peak,
            Length::Until(count) => {
                return Err(Impossible::CountTooSmall { count, least: least.ceil() as u64 });
            }
        };
        let parts = [
            (Phase::Before, calm, base, base),
            (Phase::Surge, ramp, base, peak),
            (Phase::Surge, at_peak, peak, peak),
            (Phase::After, calm, base, base),
        ];
        let (mut start, mut before) = (0.0, 0.0);
        let segments = parts.map(|(phase, length, rate_from, rate_to)| {
            let segment = Segment { phase, start, length, rate_from, rate_to, before };
            before += segment.due_within(length);
            start = segment.end();
            segment
        });
        // A moment that falls on the end by a rounding error is not one more upload.
        let uploads = (before - 1e-6).ceil().max(0.0) as u64;
        match uploads {
            uploads if uploads > UPLOADS_MAX => Err(Impossible::TooMany { uploads }),
            uploads => Ok(Plan { segments, uploads: uploads as usize }),
        }
    }

    /// Uploads in the whole run.
    pub(crate) fn uploads(&self) -> usize {
        self.uploads
    }

    /// When this upload is due.
    pub(crate) fn due(&self, upload: usize) -> Duration {
        let segment = self.segment_of(upload);
        let moment = segment.moment_of(upload as f64 - segment.before);
        Duration::from_secs_f64(moment.clamp(segment.start, segment.end()))
    }

    /// The phase in which an upload is due.
    pub(crate) fn phase_of(&self, upload: usize) -> Phase {
        self.segment_of(upload).phase
    }

    /// The phase at a moment; the last one goes on after its end.
    pub(crate) fn phase_at(&self, moment: Duration) -> Phase {
        let in_surge = moment < self.span(Phase::Surge).1;
        match moment < self.span(Phase::Surge).0 {
            true => Phase::Before,
            false if in_surge => Phase::Surge,
            false => Phase::After,
        }
    }

    /// When a phase begins and ends.
    pub(crate) fn span(&self, phase: Phase) -> (Duration, Duration) {
        let mut segments = self.segments.iter().filter(|segment| segment.phase == phase);
        let first = segments.next().expect("every phase has a segment");
        let last = segments.next_back().unwrap_or(first);
        (Duration::from_secs_f64(first.start), Duration::from_secs_f64(last.end()))
    }

    /// How many uploads are due in a phase.
    pub(crate) fn uploads_in(&self, phase: Phase) -> usize {
        let due = |moment: f64| {
            let due: f64 = self.segments.iter().map(|part| part.due_within(moment - part.start)).sum();
            ((due - 1e-6).ceil().max(0.0) as usize).min(self.uploads)
        };
        let (start, end) = self.span(phase);
        due(end.as_secs_f64()) - due(start.as_secs_f64())
    }

    /// The moments at which the offered rate bends, with the rate there, for a drawing.
    pub(crate) fn rates(&self) -> Vec<(Duration, f64)> {
        let ends = |part: &Segment| [(part.start, part.rate_from), (part.end(), part.rate_to)];
        self.segments.iter().flat_map(ends).map(|(at, rate)| (Duration::from_secs_f64(at), rate)).collect()
    }

    fn segment_of(&self, upload: usize) -> &Segment {
        let begins_at_or_before = |segment: &&Segment| segment.before <= upload as f64 + 1e-6;
        // An empty segment begins with the same upload as the one after it, and has none itself.
        let mut found = self.segments.iter().rev().filter(begins_at_or_before);
        found.next().unwrap_or(&self.segments[0])
    }
}

/// So many moments within a span, in order; the same seed gives the same moments.
pub(crate) fn chance_moments(seed: u64, count: usize, (from, to): (Duration, Duration)) -> Vec<Duration> {
    let mut chance = Chance::from_number(seed);
    let mut moments: Vec<Duration> = (0..count).map(|_| chance.span(from, to)).collect();
    moments.sort();
    moments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn lasting(base: u32, peak: u32, length: f64) -> Shape {
        Shape { base, peak, calm: seconds(3.0), length: Length::Lasting(seconds(length)) }
    }

    #[test]
    fn a_calm_upload_is_due_at_the_base_rate_and_one_in_the_surge_at_the_peak() {
        let plan = Plan::new(lasting(50, 10_000, 10.0)).expect("a plan");
        assert_eq!(plan.due(0), seconds(0.0));
        assert_eq!(plan.due(50), seconds(1.0));
        // 150 calm uploads, 502.5 in the ramp, 100,000 at the peak, 150 calm ones.
        assert_eq!(plan.uploads(), 100_803);
        let gap = plan.due(50_001) - plan.due(50_000);
        assert!((gap.as_secs_f64() - 0.0001).abs() < 1e-7, "{gap:?}");
        assert_eq!([plan.phase_of(149), plan.phase_of(150)], [Phase::Before, Phase::Surge]);
        assert_eq!([plan.phase_of(100_652), plan.phase_of(100_653)], [Phase::Surge, Phase::After]);
        assert_eq!(plan.span(Phase::Surge), (seconds(3.0), seconds(13.1)));
        assert_eq!(plan.phase_at(seconds(2.9)), Phase::Before);
        assert_eq!(plan.phase_at(seconds(3.05)), Phase::Surge);
        assert_eq!(plan.phase_at(seconds(99.0)), Phase::After);
    }

    #[test]
    fn a_count_makes_the_surge_as_long_as_it_takes() {
        let shape = Shape { length: Length::Until(100_000), ..lasting(50, 10_000, 0.0) };
        let plan = Plan::new(shape).expect("a plan");
        assert_eq!(plan.uploads(), 100_000);
        let by_phase: usize = Phase::ALL.map(|phase| plan.uploads_in(phase)).into_iter().sum();
        assert_eq!(by_phase, 100_000);
    }

    #[test]
    fn a_plan_that_cannot_be_is_refused_by_name() {
        let refused = |shape| Plan::new(shape).expect_err("no plan");
        assert_eq!(refused(lasting(60, 50, 1.0)), Impossible::BaseOverPeak { base: 60, peak: 50 });
        let few = Shape { length: Length::Until(352), ..lasting(50, 1_000, 0.0) };
        assert_eq!(refused(few), Impossible::CountTooSmall { count: 352, least: 353 });
        assert!(matches!(refused(lasting(50, 100_000, 3_600.0)), Impossible::TooMany { .. }));
    }

    #[test]
    fn the_same_seed_gives_the_same_moments_within_the_span() {
        let span = (seconds(3.0), seconds(13.0));
        let moments = chance_moments(7, 20, span);
        assert_eq!(moments, chance_moments(7, 20, span));
        assert_ne!(moments, chance_moments(8, 20, span));
        assert!(moments.is_sorted() && moments.iter().all(|moment| (span.0..span.1).contains(moment)));
    }

    proptest! {
        #[test]
        fn uploads_are_due_in_order_each_in_its_phase(
            base in 0u32..200,
            above in 1u32..20_000,
            calm_ms in 0u64..3_000,
            length_ms in 0u64..1_500,
        ) {
            let shape = Shape {
                base,
                peak: base + above,
                calm: Duration::from_millis(calm_ms),
                length: Length::Lasting(Duration::from_millis(length_ms)),
            };
            let plan = Plan::new(shape).expect("a plan");
            let mut last = Duration::ZERO;
            let mut in_phase = [0; 3];
            for upload in 0..plan.uploads() {
                let due = plan.due(upload);
                prop_assert!(due >= last, "upload {} goes back", upload);
                let (start, end) = plan.span(plan.phase_of(upload));
                prop_assert!(due >= start && due <= end, "upload {} is outside of its phase", upload);
                in_phase[plan.phase_of(upload) as usize] += 1;
                last = due;
            }
            prop_assert_eq!(in_phase, Phase::ALL.map(|phase| plan.uploads_in(phase)));
        }
    }
}
