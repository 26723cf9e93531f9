//! `tidegate queue list`: all queues at a glance.

use tidegate::Client;

use crate::{
    duration::rough,
    output::{Out, Table, plain, state, thousands},
};

const EXAMPLES: &str = "\
Examples:
  tidegate queue list
  tidegate queue list --json | jq -r '.[] | select(.paused) | .name'";

/// List all queues with their counts
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

/// Shows them.
pub(super) async fn run(Args {}: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let queues = client.queues().await?;
    if out.style().is_json() {
        out.json(&queues)?;
        return Ok(());
    }
    let heads = [
        "QUEUE",
        "STATE",
        ">READY",
        ">SCHEDULED",
        ">LEASED",
        ">DEAD",
        ">OLDEST",
        ">IN/S",
        ">DONE/S",
        ">DRAINS IN",
    ];
    let mut table = Table::new(&heads);
    for queue in queues {
        let span = |ms: Option<u64>| plain(ms.map(rough).unwrap_or_default());
        let counts = queue.counts;
        let dead = if counts.dead > 0 { crate::output::Paint::Bad } else { crate::output::Paint::Plain };
        table.row([
            plain(&queue.name),
            state(if queue.paused { "paused" } else { "open" }),
            plain(thousands(counts.ready)),
            plain(thousands(counts.scheduled)),
            plain(thousands(counts.leased)),
            (thousands(counts.dead), dead),
            span(queue.oldest_ready_age_ms),
            plain(format!("{:.1}", queue.arrival_per_s)),
            plain(format!("{:.1}", queue.completion_per_s)),
            span(queue.drain_ms),
        ]);
    }
    out.table(&table)?;
    Ok(())
}
