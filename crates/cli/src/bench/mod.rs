//! The load generator: named workloads against a real server over HTTP.
//!
//! It shares its machine with the server it measures, so it is built to cost little: one thread, requests built
//! beforehand, answers looked at and not read. It promises that a figure it shows was earned: every answer is checked
//! for its status and for refused items, some are read in full, and at the end the server must have exactly what it
//! acknowledged. A run in which anything was otherwise fails and says so.
//!
//! It compares nothing with other systems and keeps no history; `--json` is for those who do.

mod connection;
mod flood;
mod machine;
mod marks;
mod progress;
mod report;
mod request;
mod response;
mod server;
mod worker;
mod workloads;

use std::path::PathBuf;

use anyhow::Context;

pub(crate) use workloads::Workload;

use self::{
    machine::Machine,
    report::{Report, Row},
    server::{Server, Source},
};
use crate::output::Out;

/// How a run is to be.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) workloads: Vec<Workload>,
    /// A server that is already there; else each workload gets its own.
    pub(crate) server: Option<String>,
    /// Directory for the data of own servers.
    pub(crate) data: PathBuf,
    pub(crate) scale: Scale,
}

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    /// Seconds of each workload that runs for a time.
    pub(crate) seconds: f64,
    /// Waiting jobs of `backlog`.
    pub(crate) backlog_jobs: u64,
    /// Waiting jobs of `priority`.
    pub(crate) priority_jobs: u64,
}

impl Scale {
    /// What the project's aims are stated for.
    pub(crate) const FULL: Scale =
        Scale { seconds: 10.0, backlog_jobs: 10_000_000, priority_jobs: 1_000_000 };
    /// Enough to see that everything works; the figures are rough.
    pub(crate) const QUICK: Scale = Scale { seconds: 2.0, backlog_jobs: 200_000, priority_jobs: 700_000 };
}

/// What a workload has to work with.
struct Bench {
    server: Server,
    scale: Scale,
    /// Distinguishes the queues of this run on a server that has seen others.
    run: String,
    failures: Vec<String>,
}

impl Bench {
    /// The name of a workload's queue in this run.
    fn queue(&self, workload: &str) -> String {
        format!("bench-{workload}-{}", self.run)
    }
}

/// Runs the workloads one after the other and shows what came out. Fails if any answer was wrong.
pub(crate) async fn run(options: Options, out: &mut Out) -> anyhow::Result<()> {
    let own = options.server.is_none();
    let data = match own {
        true => options.data.display().to_string(),
        false => "the server's disk".to_owned(),
    };
    let file_system = own.then(|| machine::file_system(&options.data)).flatten();
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::look(),
        durability: match own {
            true => "fsync before every answer",
            false => "as the server given keeps it",
        }
        .to_owned(),
        data: match &file_system {
            Some(kind) => format!("{data} ({kind})"),
            None => data,
        },
        payload_bytes: request::PAYLOAD_BYTES,
        rows: Vec::new(),
        failures: Vec::new(),
    };
    if file_system.as_deref() == Some("tmpfs") {
        crate::output::note(
            "note: the data is in memory (tmpfs), where a sync costs nothing; choose a disk with --data",
        );
    }
    let source = match options.server {
        Some(url) => Source::Given { url },
        None => Source::Own { below: options.data },
    };
    for workload in workloads::plan(&options.workloads) {
        match measure(workload, &source, options.scale).await {
            Ok((rows, failures)) => {
                report.rows.extend(rows);
                report.failures.extend(failures.into_iter().map(|failure| format!("{workload}: {failure}")));
            }
            Err(error) => report.failures.push(format!("{workload}: {error:#}")),
        }
    }
    report.show(out)?;
    match report.failures.len() {
        0 => Ok(()),
        count => anyhow::bail!("{count} of the checks failed; these figures are worth nothing"),
    }
}

async fn measure(
    workload: Workload,
    source: &Source,
    scale: Scale,
) -> anyhow::Result<(Vec<Row>, Vec<String>)> {
    let server = source.open().await.context("no server to measure")?;
    let run = format!("{:x}", std::process::id());
    let mut bench = Bench { server, scale, run, failures: Vec::new() };
    let rows = workload.measure(&mut bench).await?;
    Ok((rows, bench.failures))
}
