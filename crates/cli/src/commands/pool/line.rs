//! `tidegate pool line`: who waits for a pool.

use tidegate::Client;

use crate::output::{Out, Table, faint, plain, thousands};

const EXAMPLES: &str = "\
Examples:
  tidegate pool line cs101-a@autumn
  tidegate pool line cs101-a@autumn --json | jq -r '.[0].holder'

Whoever has an offer waits no more: `tidegate pool grants --held` lists it. Before an opening that draws the order \
nobody's place is known, and the line is as its holders joined.";

/// List who waits for a pool, the first in line in front
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pool
    pool: String,
}

/// Lists them.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let line = client.pool(&args.pool).line().await?;
    if out.style().is_json() {
        out.json(&line)?;
        return Ok(());
    }
    let mut table = Table::new(&[">AHEAD", "HOLDER", ">UNITS", "GROUP", "SINCE", ">JOINING", "GIVES"]);
    for waiting in &line {
        table.row([
            plain(waiting.ahead.map(|ahead| thousands(ahead.into())).unwrap_or_default()),
            plain(&waiting.holder),
            plain(waiting.units.map(|units| thousands(units.into())).unwrap_or_default()),
            plain(waiting.group.as_deref().unwrap_or_default()),
            faint(waiting.joined_at.map(|at| at.to_string()).unwrap_or_default()),
            plain(waiting.number),
            plain(waiting.gives.map(|grant| grant.to_string()).unwrap_or_default()),
        ]);
    }
    out.table(&table)?;
    Ok(())
}
