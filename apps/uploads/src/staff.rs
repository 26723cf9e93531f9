//! The workers as running tasks: started, told to stop, or ended without a farewell.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tidegate::Worker;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::work::{Places, workers};

/// The three workers of this process.
pub struct Staff {
    app: Arc<App>,
    places: Places,
    running: Mutex<Vec<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
    failing: Arc<AtomicUsize>,
}

/// Between the end of a worker by an error and its next start.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Runs a worker until it is told to stop. An engine that refuses what a worker asks, or something in between that answers
/// in its place, may be mended while the service runs.
async fn keep_running(worker: Worker<Arc<App>>, stop: watch::Receiver<bool>, failing: Arc<AtomicUsize>) {
    let mut pause = PAUSE;
    loop {
        let mut told = stop.clone();
        let started = Instant::now();
        // The sender lives as long as the workers' owner.
        let ended = worker.run_until(async move { drop(told.wait_for(|stop| *stop).await) }).await;
        let Err(error) = ended else { return };
        if *stop.borrow() {
            return tracing::error!(%error, "a worker has ended");
        }
        if started.elapsed() > PAUSE_MAX {
            pause = PAUSE;
        }
        tracing::error!(%error, "a worker has ended; it starts again in {} s", pause.as_secs());
        failing.fetch_add(1, Ordering::Relaxed);
        let mut told = stop.clone();
        let _ = tokio::time::timeout(pause, told.wait_for(|stop| *stop)).await;
        failing.fetch_sub(1, Ordering::Relaxed);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

impl fmt::Debug for Staff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staff").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Staff {
    /// Workers that do not run yet.
    #[must_use]
    pub fn new(app: Arc<App>, places: Places) -> Self {
        Self {
            app,
            places,
            running: Mutex::default(),
            stop: watch::channel(false).0,
            failing: Arc::default(),
        }
    }

    /// Starts them, unless they run.
    pub fn revive(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|worker| !worker.is_finished());
        if !running.is_empty() {
            return;
        }
        for worker in workers(&self.app, self.places) {
            running.push(tokio::spawn(keep_running(
                worker,
                self.stop.subscribe(),
                Arc::clone(&self.failing),
            )));
        }
    }

    /// How many of the workers have ended by an error and wait to be started again.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.failing.load(Ordering::Relaxed)
    }

    /// Ends them where they stand: nothing is finished, given back or reported, as if their machine had lost its power.
    pub fn kill(&self) {
        for worker in self.running.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            worker.abort();
        }
    }

    /// Has them take nothing new, finish what runs, and give the rest back.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for worker in running {
            // A worker that was killed has nothing to say.
            let _ = worker.await;
        }
    }
}
