//! What tells a worker to stop.

use std::{future, io, pin::Pin};

/// Tells once or more that it is time to stop.
pub(super) enum Stops<'a> {
    /// When this future ends.
    Until(Pin<Box<dyn Future<Output = ()> + Send + 'a>>),
    /// At every signal.
    Signals(Signals),
    /// Not any more.
    Told,
}

impl Stops<'_> {
    /// Waits until told so. Nothing is missed if this is dropped and called again.
    pub(super) async fn told(&mut self) {
        match self {
            Stops::Until(future) => {
                future.as_mut().await;
                *self = Stops::Told;
            }
            Stops::Signals(signals) => signals.told().await,
            Stops::Told => future::pending().await,
        }
    }
}

/// The signals that ask a process to stop: TERM and Ctrl-C.
#[cfg(unix)]
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The signal that asks a process to stop: Ctrl-C.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> io::Result<Signals> {
        Ok(Signals)
    }

    async fn told(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            future::pending::<()>().await;
        }
    }
}
