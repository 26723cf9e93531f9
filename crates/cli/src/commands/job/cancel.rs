//! `tidegate job cancel`: takes jobs back.

use tidegate::{Client, api::id::JobId};

use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  tidegate job cancel 0-42
  tidegate job list --queue mail --state ready --json |
    jq -r '.jobs[].id' | xargs tidegate job cancel

A job that a worker has is cancelled too; what the worker then says about it is refused. \
The first refusal stops the command; the jobs named before it are cancelled.";

/// Take jobs back before their end
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The jobs' ids, such as 0-42
    #[arg(required = true, value_name = "ID")]
    ids: Vec<JobId>,
}

/// Cancels one after the other.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    for id in args.ids {
        let answer = client.cancel(id).await.map_err(|error| anyhow::Error::from(error).context(id))?;
        match out.style().is_json() {
            true => out.json(&answer)?,
            false => out.line(format!("{} {}", answer.id, answer.state))?,
        }
    }
    Ok(())
}
