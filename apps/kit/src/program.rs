//! A program's beginning and end: its log, its signals, its exit code, and what it says to whoever started it.

use std::io::{self, Write};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::words::Style;

/// Runs a service to its end, with its log on standard error as the variable `log` of the environment asks for.
///
/// # Errors
/// The service's own, and that there are no threads for it.
pub fn serve(log: &str, service: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse_lossy(std::env::var(log).unwrap_or_else(|_| "info".into()));
    let colours = Style::of_stderr().has_colours();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(service)?;
    Ok(ExitCode::SUCCESS)
}

/// The exit code; an error is told under the program's name.
pub fn end(name: &str, done: anyhow::Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        note(&format!("{name}: {error:#}"));
        ExitCode::FAILURE
    })
}

/// The first signal stops a service in order; at the second, the process ends as by a crash, which loses nothing either.
///
/// # Errors
/// The system's.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new()?;
    Ok(async move {
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            std::process::exit(130)
        });
    })
}

/// Does something that a signal interrupts: whatever it started ends as it is dropped.
///
/// # Errors
/// Its own, and that it was interrupted.
pub async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut signals = Signals::new()?;
    tokio::select! {
        done = work => done,
        () = signals.next() => anyhow::bail!("interrupted"),
    }
}

/// Says something to whoever started the program.
pub fn note(text: &str) {
    // Words that cannot be shown are no reason to stop.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Those by which one is asked to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
