//! The workers as running tasks: started, told to stop, or ended without a farewell.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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
        Self { app, places, running: Mutex::default(), stop: watch::channel(false).0 }
    }

    /// Starts them, unless they run.
    pub fn revive(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|worker| !worker.is_finished());
        if !running.is_empty() {
            return;
        }
        for worker in workers(&self.app, self.places) {
            let mut stop = self.stop.subscribe();
            running.push(tokio::spawn(async move {
                let stopped = async move {
                    // The sender lives as long as the workers' owner.
                    let _ = stop.wait_for(|stop| *stop).await;
                };
                if let Err(error) = worker.run_until(stopped).await {
                    tracing::error!(%error, "a worker has ended");
                }
            }));
        }
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
