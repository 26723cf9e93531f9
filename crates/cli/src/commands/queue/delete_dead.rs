//! `tidegate queue delete-dead`: dead jobs away for good.

use tidegate::{Client, api::dead::DeleteDeadRequest};

use super::DeadFilter;
use crate::{failure::Misuse, output::Out};

const EXAMPLES: &str = "\
Examples:
  tidegate queue delete-dead mail --cause 00c0ffee00c0ffee
  tidegate queue delete-dead mail --before 2026-11-01T00:00:00Z
  tidegate queue delete-dead mail --all

This cannot be taken back, so all of them have to be asked for by --all.";

/// Delete dead jobs for good
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The queue
    queue: String,

    #[command(flatten)]
    filter: DeadFilter,

    /// All dead jobs of the queue
    #[arg(long, conflicts_with_all = ["ids", "kind", "cause", "reason", "before"])]
    all: bool,
}

/// Deletes them and says how many they were.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let filter = &args.filter;
    let names_some = filter.ids().is_some() || filter.kind().is_some() || filter.cause.is_some();
    if !(args.all || names_some || filter.reason.is_some() || filter.before.is_some()) {
        return Err(Misuse::error(
            "say which dead jobs are meant (--id, --kind, --cause, --reason, --before), or --all",
        ));
    }
    let request = DeleteDeadRequest {
        ids: args.filter.ids(),
        kind: args.filter.kind(),
        cause: args.filter.cause,
        reason: args.filter.reason,
        before: args.filter.before,
        all: args.all.then_some(true),
    };
    let deleted = client.delete_dead(&args.queue, &request).await?;
    match out.style().is_json() {
        true => out.json(&serde_json::json!({ "deleted": deleted }))?,
        false => out.line(format!("{deleted} deleted"))?,
    }
    Ok(())
}
