//! `tidegate pool list`: all pools at a glance.

use tidegate::Client;
use tidegate::api::pool::query::PoolsQuery;
use tidegate::api::pool::view::{Pool, PoolList};

use super::show::state_cell;
use crate::output::{Out, Table, plain, thousands};

const EXAMPLES: &str = "\
Examples:
  tidegate pool list
  tidegate pool list cs101-a@autumn cs101-b@autumn
  tidegate pool list --json | jq -r '.[] | select(.free == 0) | .name'";

/// List pools: how much is free, held, taken, and who waits
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only these
    pools: Vec<String>,
}

/// Shows them.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let (pools, missing) = match args.pools.is_empty() {
        true => (all(client).await?, Vec::new()),
        false => {
            let PoolList { pools, missing, .. } = client.pools(args.pools).await?;
            (pools, missing)
        }
    };
    show(&pools, out)?;
    anyhow::ensure!(missing.is_empty(), "there is no pool {}", missing.join(", "));
    Ok(())
}

fn show(pools: &[Pool], out: &mut Out) -> anyhow::Result<()> {
    if out.style().is_json() {
        out.json(&pools)?;
        return Ok(());
    }
    let heads = ["POOL", "STATE", ">CAPACITY", ">FREE", ">HELD", ">TAKEN", ">WAITING", ">VERSION"];
    let mut table = Table::new(&heads);
    for pool in pools {
        table.row([
            plain(&pool.name),
            state_cell(pool),
            plain(thousands(pool.config.capacity.into())),
            plain(thousands(pool.free)),
            plain(thousands(pool.held)),
            plain(thousands(pool.taken)),
            plain(thousands(pool.waiting.into())),
            plain(thousands(pool.version)),
        ]);
    }
    out.table(&table)?;
    Ok(())
}

async fn all(client: &Client) -> Result<Vec<Pool>, tidegate::Error> {
    let mut query = PoolsQuery { limit: Some(1_000), ..PoolsQuery::default() };
    let mut pools = Vec::new();
    loop {
        let page = client.list_pools(&query).await?;
        pools.extend(page.pools);
        query.cursor = page.cursor;
        if query.cursor.is_none() {
            return Ok(pools);
        }
    }
}
