//! Plays scenarios and says how they went.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use tidegate_faults::checker::{self, Verdict};
use tidegate_faults::history;
use tidegate_faults::scenarios::{self, Ending, Report, Run, Scenario};
use tidegate_faults::{WorkerSettings, work};
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  tidegate-faults                              everything, as continuous integration does
  tidegate-faults kills --rounds 2000          the whole night
  tidegate-faults power --seed 7 --keep        one scenario, and its history stays
  tidegate-faults --check DIR                  only check a history that was kept

Ends with 0 if everything held, 1 if something did not, 3 if a scenario could not run here.

Mounting, tracing and disk images need root; nothing outside of the scenario's own folder and processes is touched.";

/// Kills, stops, starves and deceives a real tidegate server on real files, and checks what its callers heard
#[derive(Debug, Parser)]
#[command(name = "tidegate-faults", version, after_help = EXAMPLES, max_term_width = 110)]
struct Asked {
    /// What goes wrong; everything, one after another, if none is named
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,

    /// What the draws follow from: moments, payloads, who fails
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How often `kills` kills the server
    #[arg(long, default_value_t = 50)]
    rounds: u32,

    /// The server's binary [default: `tidegate` beside this program]
    #[arg(long, value_name = "FILE", env = "TIDEGATE_BINARY")]
    server: Option<PathBuf>,

    /// Where the scenarios' folders are made [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Keep the folders, with histories and the server's log; those of failed scenarios stay anyway
    #[arg(long)]
    keep: bool,

    /// Do not fail because a scenario cannot run on this machine
    #[arg(long)]
    allow_missing: bool,

    /// The reports as JSON on standard output, one a line
    #[arg(long)]
    json: bool,

    /// Play nothing: check the histories in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "scenarios")]
    check: Option<PathBuf>,

    /// Be a worker, with these settings
    #[arg(long, hide = true, value_name = "JSON")]
    worker: Option<String>,
}

fn main() -> ExitCode {
    let asked = Asked::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.context("starting").and_then(|runtime| runtime.block_on(run(asked)));
    ended.unwrap_or_else(|error| {
        tell(&format!("{error:#}"));
        ExitCode::from(2)
    })
}

async fn run(asked: Asked) -> anyhow::Result<ExitCode> {
    if let Some(settings) = &asked.worker {
        work(serde_json::from_str::<WorkerSettings>(settings)?).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(directory) = &asked.check {
        return check(directory, asked.json);
    }
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Whoever stops this leaves no server and no mount behind: dropping the scenario ends them.
    tokio::select! {
        played = play(asked) => played,
        _ = interrupted.recv() => Ok(ExitCode::from(130)),
        _ = terminated.recv() => Ok(ExitCode::from(143)),
    }
}

async fn play(asked: Asked) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("finding this program's own file")?;
    let run = Run {
        server: server(asked.server.as_deref(), &program)?,
        program,
        seed: asked.seed,
        rounds: asked.rounds,
        tell,
    };
    let scenarios = if asked.scenarios.is_empty() { Scenario::value_variants() } else { &asked.scenarios };
    let since = Instant::now();
    let mut reports = Vec::new();
    for &scenario in scenarios {
        tell(&format!("── {}", scenario.name()));
        let mut folder = tempfile::Builder::new();
        folder.prefix("tidegate-faults-");
        let folder = match &asked.dir {
            Some(dir) => folder.tempdir_in(dir),
            None => folder.tempdir(),
        };
        let mut folder = folder.context("making a folder")?;
        let report = scenarios::play(scenario, &run, folder.path()).await;
        if asked.keep || report.ending == Ending::Failed {
            folder.disable_cleanup(true);
            tell(&format!("its folder stays: {}", folder.path().display()));
        }
        show(&report, &run, asked.json)?;
        reports.push(report);
    }
    let count = |ending| reports.iter().filter(|report| report.ending == ending).count();
    let (failed, missing) = (count(Ending::Failed), count(Ending::NotRun));
    tell(&format!(
        "{} passed, {failed} failed, {missing} NOT RUN, in {:.0} s",
        count(Ending::Passed),
        since.elapsed().as_secs_f64()
    ));
    Ok(match (failed, missing) {
        (1.., _) => ExitCode::FAILURE,
        (0, 1..) if !asked.allow_missing => {
            tell("what was not run shows nothing; --allow-missing lets that pass");
            ExitCode::from(3)
        }
        _ => ExitCode::SUCCESS,
    })
}

/// The server's binary.
fn server(given: Option<&Path>, program: &Path) -> anyhow::Result<PathBuf> {
    let beside = program.with_file_name("tidegate");
    let server = given.unwrap_or(&beside);
    if !server.is_file() {
        anyhow::bail!(
            "there is no {}; build it (cargo build -p tidegate-cli) or name it by --server",
            server.display()
        );
    }
    Ok(server.canonicalize()?)
}

fn show(report: &Report, run: &Run, json: bool) -> anyhow::Result<()> {
    let name = report.scenario.name();
    if json {
        writeln!(io::stdout(), "{}", serde_json::to_string(report)?)?;
    }
    let seconds = report.seconds;
    match report.ending {
        Ending::Passed => tell(&format!("{name}: passed in {seconds:.0} s")),
        Ending::NotRun => tell(&format!("{name}: NOT RUN: {}", report.why.as_deref().unwrap_or_default())),
        Ending::Failed => {
            tell(&format!(
                "{name}: FAILED after {seconds:.0} s: {}",
                report.why.as_deref().unwrap_or_default()
            ));
            for fault in report.faults.iter().take(20) {
                tell(&format!("  {fault}"));
            }
            let rounds = if report.scenario == Scenario::Kills {
                format!(" --rounds {}", run.rounds)
            } else {
                String::new()
            };
            tell(&format!("again: tidegate-faults {name} --seed {}{rounds}", run.seed));
        }
    }
    if let Some(figures) = &report.figures {
        tell(&format!("  {}", serde_json::to_string(figures)?));
    }
    Ok(())
}

fn check(directory: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let verdict = checker::check(&history::read(directory)?);
    let mut out = io::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&verdict)?)?;
    } else {
        let Verdict { faults, figures } = &verdict;
        for fault in faults {
            writeln!(out, "{fault}")?;
        }
        writeln!(out, "{} faults in {} calls", faults.len(), figures.calls)?;
    }
    Ok(if verdict.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Progress and results for people go to standard error.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
