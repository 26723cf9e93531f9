//! Says every two seconds how the day goes, and looks at what it costs the strategy.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use app_kit::{
    duration,
    program::note,
    words::{Style, thousands},
};
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    audit::Moment,
    load::{Load, Tally, What},
    portal::Caller,
    report::Latency,
};

const EVERY: Duration = Duration::from_secs(2);
/// Contention is looked at more often: what was counted since is lost with a killed process.
const LOOK_EVERY: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(1);

/// What it cost the strategy that several wanted the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contention {
    pub(crate) conflicts: u64,
    pub(crate) retries: u64,
}

/// Goes on until it is stopped.
pub(crate) struct Progress {
    contention: Arc<Mutex<Lives>>,
    task: JoinHandle<()>,
}

/// Counts over several lives of one process, each of which begins at nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lives {
    before: Contention,
    this: Option<Contention>,
}

impl Lives {
    fn take(&mut self, seen: Contention) {
        if let Some(last) = self.this
            && (seen.conflicts < last.conflicts || seen.retries < last.retries)
        {
            self.before = self.before.plus(last);
        }
        self.this = Some(seen);
    }

    fn total(&self) -> Option<Contention> {
        self.this.map(|this| self.before.plus(this))
    }
}

impl Contention {
    fn plus(self, other: Contention) -> Contention {
        Contention { conflicts: self.conflicts + other.conflicts, retries: self.retries + other.retries }
    }
}

impl Progress {
    /// Begins to look and to tell.
    pub(crate) fn start(name: &'static str, caller: Caller, load: Load, start: Instant) -> Progress {
        let contention = Arc::new(Mutex::new(Lives::default()));
        let lives = Arc::clone(&contention);
        let style = Style::of_stderr();
        let task = tokio::spawn(async move {
            let mut ticks = interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut told = Told::default();
            let mut tell_at = start + EVERY;
            loop {
                ticks.tick().await;
                let seen = timeout(PATIENCE, caller.get::<Option<Contention>>("/api/contention")).await;
                if let Ok(Ok(Some(seen))) = seen {
                    lives.lock().expect("no holder panics").take(seen);
                }
                let now = Instant::now();
                if now >= tell_at {
                    tell_at = now + EVERY;
                    let line = line(name, now - start, &load.tally(), &mut told);
                    note(&style.paint("2", &line));
                }
            }
        });
        Progress { contention, task }
    }

    /// Stops. What was seen of the contention, if the strategy tells of it.
    pub(crate) fn stop(self) -> Option<Contention> {
        self.task.abort();
        self.contention.lock().expect("no holder panics").total()
    }
}

/// What has been told already.
#[derive(Debug, Default)]
struct Told {
    timed: usize,
}

fn line(name: &str, at: Duration, tally: &Tally, told: &mut Told) -> String {
    let new = &tally.timed[told.timed.min(tally.timed.len())..];
    told.timed = tally.timed.len();
    let clicks: Vec<Moment> = new
        .iter()
        .filter(|timed| timed.what == What::Enrol)
        .map(|timed| timed.answered - timed.pressed)
        .collect();
    let looks = new.iter().filter(|timed| timed.what == What::Look).count();
    let latency = Latency::of(clicks);
    let p99 = match latency.count {
        0 => "none answered".to_owned(),
        _ => format!("p99 {}", duration::latency(latency.p99_us)),
    };
    let retries: u64 = tally.retries.values().sum();
    format!(
        "{name:<12} {:>6.1} s  arrived {:>7}  enrolled {:>7}  refused {:>7}  waiting {:>6}  sent again {:>6}  \
         clicks {:>6} ({p99})  looks {:>6}",
        at.as_secs_f64(),
        thousands(tally.arrived),
        thousands(tally.enrolled.len() as u64),
        thousands(tally.refused),
        thousands(tally.waiting),
        thousands(retries),
        thousands(latency.count),
        thousands(looks as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::day::load::{Timed, Waits};

    #[test]
    fn a_line_tells_what_is_new() {
        let timed = |what, pressed, answered| Timed { what, pressed, answered, waits: Waits::default() };
        let mut tally = Tally {
            timed: vec![timed(What::Enrol, 0, 90_000), timed(What::Look, 0, 5)],
            arrived: 1_234,
            waiting: 7,
            enrolled: vec![90_000],
            ..Tally::default()
        };
        let mut told = Told::default();
        let first = line("tidegate", EVERY, &tally, &mut told);
        assert!(first.starts_with("tidegate        2.0 s  arrived   1,234  enrolled       1"), "{first}");
        assert!(first.contains("clicks      1 (p99 90.0 ms)  looks      1"), "{first}");
        tally.timed.push(timed(What::Look, 1, 2));
        let second = line("tidegate", EVERY * 2, &tally, &mut told);
        assert!(second.contains("clicks      0 (none answered)  looks      1"), "{second}");
    }

    #[test]
    fn what_a_killed_process_had_counted_is_kept() {
        let seen = |conflicts, retries| Contention { conflicts, retries };
        let mut lives = Lives::default();
        assert_eq!(lives.total(), None);
        for (conflicts, retries) in [(1, 0), (10, 8), (0, 0), (4, 4), (2, 1)] {
            lives.take(seen(conflicts, retries));
        }
        assert_eq!(lives.total(), Some(seen(16, 13)));
    }
}
