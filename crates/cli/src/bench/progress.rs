//! What the generator says while it works: one line on a terminal, rewritten a few times a second.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::output::thousands;

/// Between two rewritings.
const EVERY: Duration = Duration::from_millis(250);

/// A counter that is shown. A clone counts into the same.
#[derive(Clone)]
pub(crate) struct Progress {
    jobs: Arc<AtomicU64>,
}

/// The line on the terminal; it goes away when this is dropped.
pub(crate) struct Line {
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    /// A counter with its line, which says what is measured.
    pub(crate) fn show(what: &str) -> (Progress, Line) {
        let progress = Progress { jobs: Arc::default() };
        if !io::stderr().is_terminal() {
            crate::output::note(format!("{what} …"));
            return (progress, Line { task: None });
        }
        let (counter, what) = (progress.clone(), what.to_owned());
        let task = tokio::spawn(async move {
            let start = Instant::now();
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                let (seconds, jobs) = (start.elapsed().as_secs_f64(), counter.jobs.load(Relaxed));
                rewrite(&format!("{what} … {seconds:5.1} s  {} jobs", thousands(jobs)));
            }
        });
        (progress, Line { task: Some(task) })
    }

    pub(crate) fn add(&self, jobs: u64) {
        self.jobs.fetch_add(jobs, Relaxed);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            rewrite("");
        }
    }
}

fn rewrite(text: &str) {
    let mut stderr = io::stderr().lock();
    // Progress that cannot be shown is no reason to stop measuring.
    let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
}
