//! The scenarios. Each is a file: what goes wrong, when, and what its callers must hear meanwhile.
//!
//! All end alike: the faults stop, everything must be worked off, the API is asked what is there, `tidegate inspect verify`
//! reads every byte, and the checker reads the history.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::checker::{self, Fault, Figures, Kind, Verdict};
use crate::history;
use crate::load::Demand;
use crate::machine::Missing;
use crate::stage::HISTORY;
pub use crate::stage::Run;

mod clock;
mod full_disk;
mod kills;
mod power;
mod read_only;
mod stopped;
mod sync_faults;
mod two_servers;

/// No scenario takes longer than this and the time of its rounds.
const LONGEST: Duration = Duration::from_secs(300);

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Server and workers are killed under load, also while the server recovers
    Kills,
    /// The power fails: what was not synced is gone
    Power,
    /// The disk is filled, to the last byte
    FullDisk,
    /// The file system becomes read-only under the running server
    ReadOnly,
    /// Syncs and writes are slow, or fail
    SyncFaults,
    /// Workers and the server are stopped for longer than a lease, and go on
    Stopped,
    /// The server's wall clock is set forward and back
    Clock,
    /// Other servers are started on the same directory
    TwoServers,
}

impl Scenario {
    /// Its name, as it is written on the command line.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self)
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// How a scenario went.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which.
    pub scenario: Scenario,
    /// How it ended.
    pub ending: Ending,
    /// Why, if it did not pass.
    pub why: Option<String>,
    /// What the history shows that cannot be.
    pub faults: Vec<Fault>,
    /// What was seen.
    pub figures: Option<Figures>,
    /// How long it took.
    pub seconds: f64,
}

/// The ways a scenario ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// What must hold held.
    Passed,
    /// It did not.
    Failed,
    /// The machine lacks something; nothing was shown.
    NotRun,
}

/// Plays a scenario in a folder of its own.
pub async fn play(scenario: Scenario, run: &Run, folder: &Path) -> Report {
    let since = Instant::now();
    let limit = LONGEST + Duration::from_secs(10) * run.rounds;
    let played = tokio::time::timeout(limit, stage(scenario, run, folder)).await;
    let seconds = since.elapsed().as_secs_f64();
    let report = |ending, why, faults, figures| Report { scenario, ending, why, faults, figures, seconds };
    match played {
        Ok(Ok(Verdict { faults, figures })) if faults.is_empty() => {
            report(Ending::Passed, None, faults, Some(figures))
        }
        Ok(Ok(Verdict { faults, figures })) => {
            let why = format!("the checker found {} faults", faults.len());
            report(Ending::Failed, Some(why), faults, Some(figures))
        }
        Ok(Err(error)) if error.is::<Missing>() => {
            report(Ending::NotRun, Some(format!("{error:#}")), Vec::new(), None)
        }
        Ok(Err(error)) => {
            let so_far = so_far(folder);
            report(Ending::Failed, Some(format!("{error:#}")), so_far.faults, Some(so_far.figures))
        }
        Err(_) => {
            let why = format!("it did not end within {} s", limit.as_secs());
            let so_far = so_far(folder);
            report(Ending::Failed, Some(why), so_far.faults, Some(so_far.figures))
        }
    }
}

/// What the history shows of a scenario that did not come to its end: often the reason.
fn so_far(folder: &Path) -> Verdict {
    let lines = history::read(&folder.join(HISTORY)).unwrap_or_default();
    let mut verdict = checker::check(&lines);
    verdict.faults.retain(|fault| fault.kind != Kind::NoAudit);
    verdict
}

async fn stage(scenario: Scenario, run: &Run, folder: &Path) -> anyhow::Result<Verdict> {
    std::fs::create_dir_all(folder)?;
    match scenario {
        Scenario::Kills => kills::play(run, folder).await,
        Scenario::Power => power::play(run, folder).await,
        Scenario::FullDisk => full_disk::play(run, folder).await,
        Scenario::ReadOnly => read_only::play(run, folder).await,
        Scenario::SyncFaults => sync_faults::play(run, folder).await,
        Scenario::Stopped => stopped::play(run, folder).await,
        Scenario::Clock => clock::play(run, folder).await,
        Scenario::TwoServers => two_servers::play(run, folder).await,
    }
}

/// The load of most scenarios.
const DEMAND: Demand =
    Demand { producers: 3, workers: 3, lease_ms: 2_000, work_ms: 0, payload_bytes: 2_048, pause_ms: 5 };

/// Says what must have happened in a scenario, or else shows nothing.
fn expect(happened: bool, what: &str) -> anyhow::Result<()> {
    if happened { Ok(()) } else { Err(anyhow::anyhow!("this should have happened and did not: {what}")) }
}
