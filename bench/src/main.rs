//! Tidegate beside its peers: the same workloads, on the same disk, in the same run, everything synced.
//!
//! Each system is a child of this program with its data below one directory; while one is measured the others are
//! frozen. Runs take turns, so that a slow minute of the machine hits all alike, and a figure is the median of them.
//! The generator's processor time counts for all alike: it runs on the same machine.
//!
//! It promises that a figure it shows was earned: settings are read back from the running server, and every run counts
//! at its end what was acknowledged, delivered, completed and left. It tunes no system beyond what
//! the report says, and it compares single machines only.

mod calls;
mod chart;
mod floor;
mod intake;
mod jobs;
mod machine;
mod peers;
mod process;
mod report;
mod rows;
mod stats;
mod wire;

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::Context;
use clap::{Parser, ValueEnum};

use machine::Machine;
use peers::{Name, Peer, Programs, Setting};
use report::Report;
use rows::{Row, Sample, Scale};

const EXAMPLES: &str = "\
Examples:
  make peers                                       installs what is missing, builds, runs everything (15 minutes)
  tidegate-peers --quick                           everything, small, to see that it works
  tidegate-peers --only latency --peers tidegate,redis-stream
  tidegate-peers --only life --json life.json      one row now …
  tidegate-peers --merge lists.json life.json --markdown all.md --svg all.svg      … and later all of them together

bench/install.sh installs the peers. If any run lost or doubled a job, or a setting is not in force, the exit code is 1.";

/// Measure Tidegate beside Redis, RabbitMQ, PostgreSQL, beanstalkd and NATS JetStream
#[derive(Debug, Parser)]
#[command(name = "tidegate-peers", version, after_help = EXAMPLES)]
struct Args {
    /// Directory below which all systems keep their data; put it on the disk to be measured
    #[arg(long, value_name = "DIR", default_value = "target/peers/data")]
    data: PathBuf,

    /// Only these workloads
    #[arg(long, value_name = "ROW", value_enum, value_delimiter = ',')]
    only: Vec<Row>,

    /// Only these systems
    #[arg(long, value_name = "PEER", value_enum, value_delimiter = ',')]
    peers: Vec<Name>,

    /// Do little of everything once; the figures are rough
    #[arg(long)]
    quick: bool,

    /// Runs of each system in each workload [default: 3, with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..100))]
    runs: Option<u64>,

    /// Seconds of each run that goes by time [default: 5, with --quick 1.5]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,

    /// Waiting jobs of `backlog` [default: 2000000, with --quick 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..100_000_000))]
    backlog_jobs: Option<u64>,

    /// Threads of the generator
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..64))]
    threads: u64,

    /// Measure nothing; join the JSON of earlier runs
    #[arg(long, value_name = "FILE", num_args = 1..)]
    merge: Vec<PathBuf>,

    /// Write everything as JSON to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the tables as Markdown to a file, not to standard output
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Draw the picture
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Tidegate's program
    #[arg(long, value_name = "FILE", default_value = "target/release/tidegate")]
    tidegate: PathBuf,

    /// NATS's program; if it is not there, the one on the path
    #[arg(long, value_name = "FILE", default_value = "target/peers/nats/bin/nats-server")]
    nats: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegate-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let report = match args.merge.is_empty() {
        true => measure(args)?,
        false => {
            let read = |file: &PathBuf| -> anyhow::Result<Report> {
                let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                serde_json::from_slice(&text).with_context(|| format!("{} is no report", file.display()))
            };
            let reports = args.merge.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
            Report::merge(reports).context("nothing to merge")?
        }
    };
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(file) = &args.svg {
        std::fs::write(file, chart::svg(&report))?;
    }
    match &args.markdown {
        Some(file) => std::fs::write(file, report.markdown())?,
        None => std::io::stdout().write_all(report.markdown().as_bytes())?,
    }
    let faults = report.faults();
    for fault in &faults {
        eprintln!("wrong: {fault}");
    }
    anyhow::ensure!(faults.is_empty(), "{} runs went wrong; they are not in the figures", faults.len());
    Ok(())
}

fn measure(args: &Args) -> anyhow::Result<Report> {
    let base = if args.quick { Scale::QUICK } else { Scale::FULL };
    let scale = Scale {
        runs: args.runs.map_or(base.runs, |runs| runs as usize),
        seconds: args.seconds.unwrap_or(base.seconds),
        backlog_jobs: args.backlog_jobs.unwrap_or(base.backlog_jobs),
        ..base
    };
    let all = |asked: &[Row]| if asked.is_empty() { Row::value_variants().to_vec() } else { asked.to_vec() };
    let names = if args.peers.is_empty() { Name::value_variants() } else { &args.peers[..] };
    std::fs::create_dir_all(&args.data)
        .with_context(|| format!("cannot make the data directory {}", args.data.display()))?;
    let programs = Programs { tidegate: absolute(&args.tidegate)?, nats: absolute(&args.nats)? };
    let data = args.data.canonicalize()?;
    let machine = Machine::look(&data)?;
    if machine.file_system == "tmpfs" {
        note("the data is in memory (tmpfs), where a sync costs nothing; choose a disk with --data");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads as usize)
        .enable_all()
        .build()?;
    let mut bench = Bench {
        programs,
        data,
        scale,
        settings: BTreeMap::new(),
        samples: Vec::new(),
        start: Instant::now(),
    };
    runtime.block_on(async {
        // Whatever ends the run, the servers it started and their directories go with it.
        let work = async {
            for row in all(&args.only) {
                bench.row(row, names).await?;
            }
            Ok(())
        };
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("interrupted"),
        }
    })?;
    let Bench { scale, settings, samples, .. } = bench;
    Ok(Report { machine, payload_bytes: jobs::PAYLOAD_BYTES, scale, settings, samples })
}

/// How long a server runs before it is stopped to wait for its turn.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(3);

struct Bench {
    programs: Programs,
    data: PathBuf,
    scale: Scale,
    settings: BTreeMap<Name, Setting>,
    samples: Vec<Sample>,
    start: Instant,
}

/// A system that runs, and its directory.
struct Running {
    name: Name,
    peer: Box<dyn Peer>,
    // After the peer, which still writes there until it ends.
    _data: tempfile::TempDir,
}

impl Bench {
    /// Runs a row: all systems in turns; `backlog`, which is about memory too, one system after the other.
    async fn row(&mut self, row: Row, names: &[Name]) -> anyhow::Result<()> {
        let names: Vec<Name> = names.iter().copied().filter(|name| row.is_of(*name)).collect();
        if row == Row::Backlog {
            for name in names {
                let mut running = [self.begin(name).await?];
                self.turn(row, &mut running, 0, 0).await?;
            }
            return Ok(());
        }
        let mut running = Vec::new();
        for name in names {
            running.push(self.begin(name).await?);
        }
        for run in 0..self.scale.runs {
            for at in 0..running.len() {
                // Nobody always comes after the same neighbour's leavings first.
                let at = (at + run) % running.len();
                self.turn(row, &mut running, at, run).await?;
            }
        }
        Ok(())
    }

    async fn begin(&mut self, name: Name) -> anyhow::Result<Running> {
        self.note(&format!("starting {name}"));
        let data = tempfile::Builder::new().prefix("peer-").tempdir_in(&self.data)?;
        // PostgreSQL may run as another user and has to find its way in.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(data.path(), open)?;
        let peer = peers::start(name, &self.programs, data.path()).await?;
        let setting = peer.in_force().await.with_context(|| format!("{name} would answer before a sync"))?;
        self.settings.insert(name, setting);
        // What a young server still prepares is not part of a measurement.
        tokio::time::sleep(SETTLE).await;
        peer.freeze();
        Ok(Running { name, peer, _data: data })
    }

    async fn turn(&mut self, row: Row, running: &mut [Running], at: usize, run: usize) -> anyhow::Result<()> {
        let Running { name, peer, .. } = &mut running[at];
        peer.thaw();
        // What another one left to be written is not this one's burden.
        let directory = std::fs::File::open(&self.data)?;
        tokio::task::spawn_blocking(move || rustix::fs::syncfs(&directory)).await??;
        let queue = format!("{row}-{run}");
        let sample = row.measure(*name, peer.as_mut(), &queue, &self.scale).await;
        peer.freeze();
        self.note(&format!("{row} {}/{}: {name}: {}", run + 1, self.scale.runs, brief(&sample)));
        self.samples.push(sample);
        Ok(())
    }

    fn note(&self, words: &str) {
        note(&format!("[{:4.0} s] {words}", self.start.elapsed().as_secs_f64()));
    }
}

/// A sample in a line.
fn brief(sample: &Sample) -> String {
    let values = sample.values.iter().map(|(name, value)| format!("{name} {}", stats::number(*value)));
    let faults = sample.faults.iter().map(|fault| format!("WRONG: {fault}"));
    values.chain(faults).collect::<Vec<_>>().join(", ")
}

/// Progress goes to standard error, the result to standard output.
fn note(words: &str) {
    let mut stderr = std::io::stderr();
    let dim = stderr.is_terminal();
    // A progress line that cannot be written is no reason to lose the run.
    let _ = match dim {
        true => writeln!(stderr, "\x1b[2m{words}\x1b[0m"),
        false => writeln!(stderr, "{words}"),
    };
}

fn absolute(file: &Path) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(file)?)
}
