//! What a worker tells whoever listens: logs, metrics, tests.

use std::{fmt, sync::Arc, time::Duration};

use tidegate_api::{lease::LeasedJob, refusal::Refusal};

use super::outcome::Outcome;

/// Something that happened in a worker. Jobs come without their payloads.
///
/// A job that was begun is `Started`, then `Ended` or `Lost`; when the server has heard of its end it is `Completed`,
/// `Failed` or `Released`, or else `Refused`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// A handler begins.
    #[non_exhaustive]
    Started {
        /// Its job.
        job: Arc<LeasedJob>,
    },
    /// A handler has ended; the server does not know it yet.
    #[non_exhaustive]
    Ended {
        /// Its job.
        job: Arc<LeasedJob>,
        /// What it came to.
        outcome: Outcome,
        /// How long it ran.
        ran: Duration,
    },
    /// The server has taken a job's completion.
    #[non_exhaustive]
    Completed {
        /// The job.
        job: Arc<LeasedJob>,
    },
    /// The server has taken a job's failure.
    #[non_exhaustive]
    Failed {
        /// The job.
        job: Arc<LeasedJob>,
        /// What went wrong.
        failure: super::Failure,
    },
    /// The server has taken a job back.
    #[non_exhaustive]
    Released {
        /// The job.
        job: Arc<LeasedJob>,
    },
    /// The server did not take what a job came to: the lease was over.
    #[non_exhaustive]
    Refused {
        /// The job.
        job: Arc<LeasedJob>,
        /// What it came to.
        outcome: Outcome,
        /// Why not.
        refusal: Box<Refusal>,
        /// A call that said the same broke before; it may have been taken then.
        sent_before: bool,
    },
    /// A heartbeat was told that the lease is over. The handler's future is dropped, and nothing is reported.
    #[non_exhaustive]
    Lost {
        /// The job.
        job: Arc<LeasedJob>,
        /// What the server said.
        refusal: Box<Refusal>,
    },
    /// What a job came to cannot be reported, and will not be tried again.
    #[non_exhaustive]
    GivenUp {
        /// The job.
        job: Arc<LeasedJob>,
        /// Why not.
        why: String,
    },
    /// The server does not answer, or says that it cannot now. Said once, until it is back.
    #[non_exhaustive]
    ServerAway {
        /// What happened.
        why: String,
    },
    /// The server answers again.
    ServerBack,
    /// There are ready jobs of a kind that this worker has no handler for. They are left for others. Said once for each
    /// queue and kind.
    #[non_exhaustive]
    UnhandledKind {
        /// Their queue.
        queue: String,
        /// Their kind.
        kind: String,
    },
    /// A poll found nothing, and nothing runs.
    Idle,
    /// The worker was told to stop and takes nothing new.
    #[non_exhaustive]
    Stopping {
        /// Handlers that run, and may end within the grace.
        running: usize,
        /// How long they may.
        grace: Duration,
    },
    /// The worker is about to return.
    #[non_exhaustive]
    Stopped {
        /// Jobs whose end the server is not known to know. Their leases lapse.
        unreported: usize,
    },
}

type Hear = dyn Fn(&WorkerEvent) + Send + Sync;

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Listener(pub(crate) Option<Arc<Hear>>);

impl Listener {
    /// Tells an event, which is only made if somebody listens.
    pub(crate) fn tell(&self, event: impl FnOnce() -> WorkerEvent) {
        if let Some(listener) = &self.0 {
            listener(&event());
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "somebody" } else { "nobody" })
    }
}
