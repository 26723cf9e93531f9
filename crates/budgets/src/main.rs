//! Counts the instructions that one job takes on its way, and compares them with `docs/budgets.toml`.
//!
//! Time depends on the machine and on its other tenants; instructions hardly do. So what a change costs is seen in the
//! change itself, also on a busy machine. Each case runs twice under valgrind's callgrind, with few and with many rounds
//! of a hundred jobs, and the difference is what the rounds cost: starting, filling and stopping cancel out.
//!
//! It promises to fail when a count leaves its budget by more than the tolerance, in either direction: what has become
//! cheaper is written down too, or the next one would spend it unseen. Left out: caches, branches, the kernel, the
//! disk and other threads; `tidegate bench` measures with all of them.
#![allow(clippy::print_stdout, reason = "it is what this program is for")]

mod cases;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use cases::{CASES, JOBS_PER_ROUND};

/// The rounds of the two runs of a case.
const ROUNDS: [usize; 2] = [40, 140];

/// What `docs/budgets.toml` says.
#[derive(Deserialize)]
struct Budgets {
    tolerance_percent: f64,
    /// Instructions a job, by case.
    instructions: BTreeMap<String, u64>,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["--write"] => write(),
        // What runs under callgrind.
        ["--run", case, rounds] => {
            let case = CASES.iter().find(|known| known.name == case).context("there is no such case")?;
            (case.run)(rounds.parse()?);
            Ok(())
        }
        _ => bail!("usage: tidegate-budgets [--write]"),
    }
}

fn budget_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/budgets.toml")
}

fn compare() -> Result<()> {
    let file = budget_file();
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let budgets: Budgets = toml::from_str(&text).context("docs/budgets.toml")?;
    let counted = count_all()?;
    println!("{:<24} {:>8} {:>8} {:>8}", "instructions a job", "budget", "counted", "");
    let mut off = 0;
    for case in CASES {
        let count = counted[case.name];
        let Some(&budget) = budgets.instructions.get(case.name) else {
            println!("{:<24} {:>8} {count:>8} has no budget", case.name, "-");
            off += 1;
            continue;
        };
        let percent = (count as f64 / budget as f64 - 1.0) * 100.0;
        let verdict = if percent.abs() <= budgets.tolerance_percent {
            ""
        } else {
            off += 1;
            if percent > 0.0 { "over the budget" } else { "far below it: lower the budget" }
        };
        println!("{:<24} {budget:>8} {count:>8} {percent:>+7.1}% {verdict}", case.name);
    }
    for name in budgets.instructions.keys().filter(|name| !counted.contains_key(name.as_str())) {
        println!("{name:<24} is no case");
        off += 1;
    }
    ensure!(
        off == 0,
        "{off} of the counts are more than {} % off; find out why, then `make budgets WRITE=1`",
        budgets.tolerance_percent
    );
    Ok(())
}

/// Writes down what is counted now.
fn write() -> Result<()> {
    let counted = count_all()?;
    let mut text = String::from(
        "# Instructions that one job takes, counted by `make budgets`; docs/performance.md says what the cases are.\n\
         # `make budgets WRITE=1` writes this file anew. A change that does so says why.\n\
         tolerance_percent = 3\n\n[instructions]\n",
    );
    for case in CASES {
        let count = counted[case.name];
        writeln!(text, "{:<21} = {count:>5} # {}", case.name, case.what)?;
        println!("{:<24} {count:>8}", case.name);
    }
    fs::write(budget_file(), text).context("writing docs/budgets.toml")
}

/// Counts every case; a case's two runs go side by side.
fn count_all() -> Result<BTreeMap<&'static str, u64>> {
    let scratch = tempfile::tempdir()?;
    let mut counted = BTreeMap::new();
    for case in CASES {
        let [few, many] = thread::scope(|scope| {
            let runs = ROUNDS.map(|rounds| {
                scope.spawn({
                    let scratch = scratch.path();
                    move || count(case.name, rounds, scratch)
                })
            });
            runs.map(|run| run.join().expect("a run's thread ends by itself"))
        });
        let (few, many) = (few?, many?);
        let jobs = ((ROUNDS[1] - ROUNDS[0]) * JOBS_PER_ROUND) as u64;
        counted.insert(case.name, many.saturating_sub(few) / jobs);
    }
    Ok(counted)
}

/// Instructions of one run of a case, as callgrind counts them.
fn count(case: &str, rounds: usize, scratch: &Path) -> Result<u64> {
    let file = scratch.join(format!("{case}-{rounds}"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["--run", case, &rounds.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("starting valgrind; `make prepare` installs it")?;
    ensure!(output.status.success(), "{case}: {}", String::from_utf8_lossy(&output.stderr));
    let profile = fs::read_to_string(&file)?;
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: "));
    total.context("callgrind wrote no summary")?.trim().parse().context("callgrind's summary")
}
