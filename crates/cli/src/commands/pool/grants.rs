//! `tidegate pool grants`: who has units of a pool.

use tidegate::Client;
use tidegate::api::pool::grant::Grant;
use tidegate::api::pool::query::GrantsQuery;
use tidegate::api::words::GrantState;

use super::grant::paint_of;
use crate::output::{Out, Table, faint, plain, thousands};

const EXAMPLES: &str = "\
Examples:
  tidegate pool grants cs101-a@autumn
  tidegate pool grants cs101-a@autumn --held    not confirmed yet; offers, too
  tidegate pool grants cs101-a@autumn --json | jq -r '.[].holder'";

/// List who has units of a pool, held or taken, the oldest grant first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pool
    pool: String,

    /// Only what is held until a deadline
    #[arg(long, conflicts_with = "taken")]
    held: bool,

    /// Only what is taken
    #[arg(long)]
    taken: bool,
}

/// Lists them.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let grants = match (args.held, args.taken) {
        (true, _) => of_state(client, &args.pool, GrantState::Held).await?,
        (_, true) => of_state(client, &args.pool, GrantState::Taken).await?,
        _ => client.pool(&args.pool).grants().await?,
    };
    if out.style().is_json() {
        out.json(&grants)?;
        return Ok(());
    }
    let mut table =
        Table::new(&["GRANT", "HOLDER", ">UNITS", "GROUP", "STATE", ">FENCE", "SINCE", "UNTIL", ""]);
    for grant in &grants {
        let moment = |at: Option<_>| {
            faint(at.map(|at: tidegate::api::time::Timestamp| at.to_string()).unwrap_or_default())
        };
        table.row([
            plain(grant.id),
            plain(&grant.holder),
            plain(thousands(grant.units.into())),
            plain(grant.group.as_deref().unwrap_or_default()),
            (grant.state.to_string(), paint_of(grant.state)),
            plain(grant.fence),
            moment(grant.granted_at),
            moment(grant.expires_at),
            faint(if grant.offered { "offered" } else { "" }),
        ]);
    }
    out.table(&table)?;
    Ok(())
}

async fn of_state(client: &Client, pool: &str, state: GrantState) -> Result<Vec<Grant>, tidegate::Error> {
    let mut query = GrantsQuery { state: Some(state), limit: Some(1_000), cursor: None };
    let mut grants = Vec::new();
    loop {
        let page = client.list_grants(pool, &query).await?;
        grants.extend(page.grants);
        query.cursor = page.cursor;
        if query.cursor.is_none() {
            return Ok(grants);
        }
    }
}
