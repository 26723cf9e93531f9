//! Looks at the run five times a second, and says how it goes.
//!
//! A sample is what was accepted and what waits in each queue at one moment; the chart is drawn from them. While the
//! service is away or does not answer in time a sample has no backlog, and the chart a gap.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use app_kit::{
    program::note,
    words::{Style, thousands},
};
use serde::Serialize;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    admin::{Admin, Backlog},
    load::Load,
    plan::{Phase, Plan},
};

const EVERY: Duration = Duration::from_millis(200);
/// A backlog that comes later than this is left out.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two lines of progress, while uploads come in and afterwards.
const PROGRESS_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Sample {
    /// Milliseconds since the run began.
    pub(crate) at_ms: u64,
    /// Uploads accepted so far.
    pub(crate) accepted: u64,
    pub(crate) backlog: Option<Backlog>,
}

impl Sample {
    pub(crate) fn at(&self) -> Duration {
        Duration::from_millis(self.at_ms)
    }
}

/// Looks until it is told to stop.
pub(crate) struct Sampler {
    samples: Arc<Mutex<Vec<Sample>>>,
    latest: watch::Receiver<Option<Sample>>,
    task: JoinHandle<()>,
}

impl Sampler {
    /// Begins to look.
    pub(crate) fn start(admin: Admin, load: Load, plan: Plan, start: Instant) -> Sampler {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let (sender, latest) = watch::channel(None);
        let all = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            let mut progress = Progress::new(plan);
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let now = Instant::now();
                let (at_ms, accepted) =
                    (now.saturating_duration_since(start).as_millis() as u64, load.accepted());
                let backlog = timeout(PATIENCE, admin.backlog()).await.ok().and_then(Result::ok);
                let sample = Sample { at_ms, accepted, backlog };
                all.lock().expect("no holder panics").push(sample);
                progress.show(&sample, || load.waiting(now));
                if sender.send(Some(sample)).is_err() {
                    return;
                }
            }
        });
        Sampler { samples, latest, task }
    }

    /// Waits for a sample that was taken after this moment and has nothing waiting; returns when that was.
    pub(crate) async fn worked_off(&mut self, after: Duration) -> Duration {
        loop {
            let sample = *self.latest.borrow_and_update();
            if let Some(sample) = sample
                && let Some(backlog) = sample.backlog
                && sample.at() >= after
                && backlog.waiting() == [0; 3]
            {
                return sample.at();
            }
            if self.latest.changed().await.is_err() {
                // The sampler has been stopped; nobody will know.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops looking. All that was seen.
    pub(crate) fn stop(self) -> Vec<Sample> {
        self.task.abort();
        std::mem::take(&mut *self.samples.lock().expect("no holder panics"))
    }
}

/// The lines on standard error.
struct Progress {
    plan: Plan,
    style: Style,
    last: Option<Sample>,
}

impl Progress {
    fn new(plan: Plan) -> Progress {
        Progress { plan, style: Style::of_stderr(), last: None }
    }

    fn show(&mut self, sample: &Sample, waiting: impl FnOnce() -> u64) {
        let loaded = sample.at() > self.plan.span(Phase::After).1;
        let every = if loaded { PROGRESS_EVERY.1 } else { PROGRESS_EVERY.0 };
        // A tick falls a little before or after the full second.
        let due = |last: Sample| sample.at() + EVERY / 2 >= last.at() + every;
        if self.last.is_some_and(|last| !due(last)) {
            return;
        }
        let phase = if loaded { "drain" } else { self.plan.phase_at(sample.at()).name() };
        let text = line(sample, self.last, phase, waiting(), self.style);
        self.last = Some(*sample);
        note(&text);
    }
}

fn line(sample: &Sample, last: Option<Sample>, phase: &str, waiting: u64, style: Style) -> String {
    let last = last.unwrap_or(Sample { at_ms: 0, accepted: 0, backlog: None });
    let seconds = (sample.at_ms - last.at_ms) as f64 / 1_000.0;
    let rate = if seconds > 0.0 { (sample.accepted - last.accepted) as f64 / seconds } else { 0.0 };
    let phase = style.paint(if phase == "surge" { "1;33" } else { "1" }, &format!("{phase:<10}"));
    let accepted = format!(
        "accepted {:>9} {:>12}  unanswered {:>7}",
        thousands(sample.accepted),
        format!("(+{}/s)", thousands(rate.round() as u64)),
        thousands(waiting),
    );
    let backlog = match sample.backlog {
        None => style.bad("the service does not answer"),
        Some(backlog) => {
            let [thumbnails, emails, notifications] = backlog.waiting().map(thousands);
            let dead = backlog.thumbnails.dead + backlog.emails.dead + backlog.notifications.dead;
            let dead =
                if dead > 0 { style.bad(&format!("  dead {}", thousands(dead))) } else { String::new() };
            format!(
                "waiting: thumbnails {thumbnails:>9}  emails {emails:>9}  notifications {notifications:>9}{dead}"
            )
        }
    };
    format!("{:>7.1} s  {phase} {accepted}   {backlog}", sample.at_ms as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surge::admin::Queue;

    #[test]
    fn a_line_says_what_came_in_and_what_waits() {
        let waiting = |ready| Queue { ready, ..Queue::default() };
        let backlog = Backlog {
            thumbnails: waiting(18_000),
            emails: Queue { leased: 3, scheduled: 4, dead: 2, ready: 0 },
            notifications: waiting(0),
        };
        let sample = Sample { at_ms: 4_000, accepted: 20_150, backlog: Some(backlog) };
        let last = Sample { at_ms: 3_000, accepted: 10_150, backlog: None };
        assert_eq!(
            line(&sample, Some(last), "surge", 12, Style::PLAIN),
            "    4.0 s  surge      accepted    20,150  (+10,000/s)  unanswered      12   \
             waiting: thumbnails    18,000  emails         7  notifications         0  dead 2"
        );
        let away = line(&Sample { backlog: None, ..sample }, None, "surge", 9, Style::COLOURED);
        assert!(away.contains("\x1b[1;33msurge") && away.ends_with("does not answer\x1b[0m"), "{away}");
    }
}
