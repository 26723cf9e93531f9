//! The enrolment day: everyone arrives at the opening.

use std::process::ExitCode;

/// Live through an enrolment day: load, crashes, an outage, and an audit
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Students who arrive at the opening
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    students: u32,
}

/// Lives through it.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("a day of {} students is not built yet", args.students)
}
