//! `tidegate bench`: measures a server.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};

use super::block_on;
use crate::{
    bench::{self, Options, Scale, Workload},
    output::{Out, Style},
};

const EXAMPLES: &str = "\
Examples:
  tidegate bench --quick                      everything, small: does it work?
  tidegate bench ingest life                  two workloads, 10 s each
  tidegate bench latency --seconds 60 --json  for a machine to read
  tidegate bench backlog --data /mnt/fast     ten million jobs, 5 GB of disk
  tidegate bench life --server http://10.0.0.7:7420

Without --server each workload gets a server of its own in a fresh directory, which is removed afterwards. \
With --server the jobs of the workloads stay in that server, in queues named bench-…; do not use it where it matters.

Every answer is checked and what was acknowledged is counted at the end; if anything was wrong, the exit code is 1.";

/// Measure how fast a server is: workloads by name, all of them if none is named
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to measure
    #[arg(value_name = "WORKLOAD", value_enum)]
    workloads: Vec<Workload>,

    /// Directory below which own servers keep their data; put it on the disk to be measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,

    /// Seconds of each workload that runs for a time [default: 10, with --quick 2]
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,

    /// Waiting jobs of `backlog` [default: 10000000, with --quick 200000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..))]
    backlog_jobs: Option<u64>,

    /// Do little of everything; the figures are rough
    #[arg(long)]
    quick: bool,
}

/// Runs the workloads. `server` is the one given on the command line, if one was.
pub(crate) fn run(args: Args, server: Option<String>, style: Style) -> anyhow::Result<()> {
    let base = if args.quick { Scale::QUICK } else { Scale::FULL };
    let scale = Scale {
        seconds: args.seconds.unwrap_or(base.seconds),
        backlog_jobs: args.backlog_jobs.unwrap_or(base.backlog_jobs),
        ..base
    };
    let options = Options { workloads: args.workloads, server, data: args.data, scale };
    let mut out = Out::new(style);
    let outcome = block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        // Whatever ends the run, the servers it started and their directories go with it.
        tokio::select! {
            outcome = bench::run(options, &mut out) => outcome,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("interrupted"),
        }
    });
    // The table is worth seeing even if a check failed.
    out.finish()?;
    outcome
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    if (0.1..=3_600.0).contains(&seconds) { Ok(seconds) } else { Err("from 0.1 to 3600".into()) }
}
