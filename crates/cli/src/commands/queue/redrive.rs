//! `tidegate queue redrive`: dead jobs back to work.

use tidegate::{Client, api::dead::RedriveRequest};

use super::DeadFilter;
use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  tidegate queue redrive mail
  tidegate queue redrive mail --cause 00c0ffee00c0ffee --rate 50
  tidegate queue redrive mail --id 0-42 --id 0-43

The redrive goes on by itself; `tidegate queue show` says how. It stops when too many of the moved jobs die again.";

/// Move dead jobs back to work, at a rate
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The queue
    queue: String,

    #[command(flatten)]
    filter: DeadFilter,

    /// At most so many a second [default: as fast as it goes]
    #[arg(long, value_name = "N")]
    rate: Option<u32>,

    /// Stop when so many have died again; 0 never stops [default: 10]
    #[arg(long, value_name = "N")]
    stop_after_dead: Option<u32>,
}

/// Begins it.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let request = RedriveRequest {
        ids: args.filter.ids(),
        kind: args.filter.kind(),
        cause: args.filter.cause,
        reason: args.filter.reason,
        before: args.filter.before,
        rate_per_s: args.rate,
        stop_after_dead: args.stop_after_dead,
    };
    let redrive = client.redrive(&args.queue, &request).await?;
    match out.style().is_json() {
        true => out.json(&redrive)?,
        false => out.line(format!(
            "redrive of {} {}, {} moved so far",
            redrive.queue, redrive.state, redrive.moved
        ))?,
    }
    Ok(())
}
