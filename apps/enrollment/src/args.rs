//! What the portal can be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use app_kit::duration;

use crate::seats::Strategy;

/// How to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the pages are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7422", env = "ENROLLMENT_LISTEN")]
    pub listen: SocketAddr,

    /// Where the embedded engine's log and the downstream systems are kept
    #[arg(long, value_name = "DIR", default_value = "enrollment-data", env = "ENROLLMENT_DATA")]
    pub data: PathBuf,

    /// A Tidegate server to use; without one the engine runs in this process
    #[arg(long, value_name = "URL", env = "ENROLLMENT_SERVER")]
    pub server: Option<String>,

    /// Where mail, academic record and fee ledger are: `sqlite` for files in the data directory, or postgres://user@host/database
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "sqlite",
        value_parser = downstream,
        env = "ENROLLMENT_DOWNSTREAM",
        hide_env_values = true
    )]
    pub downstream: String,

    /// What decides who gets a seat
    #[arg(long, value_enum, default_value_t = Strategy::Tidegate)]
    pub strategy: Strategy,

    /// PostgreSQL for the strategies that keep seats there
    #[arg(long, value_name = "URL", env = "ENROLLMENT_POSTGRES", hide_env_values = true)]
    pub postgres: Option<String>,

    /// Redis for the strategy that locks there
    #[arg(long, value_name = "URL", env = "ENROLLMENT_REDIS", hide_env_values = true)]
    pub redis: Option<String>,

    /// The seed of courses and students; the same seed makes the same university [default: what the data was made with, or 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Sections of courses [default: what the data was made with, or 120]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub sections: Option<u32>,

    /// Students
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub students: u32,

    /// Open the enrolment so long after the first start; until then there is a waiting room [default: it is open]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub opens_in: Option<Duration>,

    /// Draw the order of those who join a line before the opening, rather than first come, first served
    #[arg(long)]
    pub shuffle: bool,

    /// How long an offer to the first in line is kept for them
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "10m")]
    pub offer: Duration,

    /// How long after its first failure a step is tried again; doubled after each further one
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "2s")]
    pub retry_delay: Duration,

    /// Serve the calls that make a downstream system slow or down, for drills
    #[arg(long)]
    pub faults: bool,

    /// Enrol, and leave the follow-up jobs for another process
    #[arg(long)]
    pub no_workers: bool,
}

/// What [`crate::downstream::Downstream::open`] can open.
fn downstream(text: &str) -> Result<String, String> {
    match crate::downstream::is_place(text) {
        true => Ok(text.to_owned()),
        false => Err("it is `sqlite` or postgres://user@host/database".to_owned()),
    }
}
