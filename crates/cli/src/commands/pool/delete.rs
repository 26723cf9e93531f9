//! `tidegate pool delete`: an end to a pool.

use tidegate::Client;

use super::Keyed;
use crate::output::Out;

/// Delete a pool of which nobody has, or waits for, anything
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool delete cs101-a@autumn")]
pub(crate) struct Args {
    /// The pool
    pool: String,

    #[command(flatten)]
    keyed: Keyed,
}

/// Deletes it.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    args.keyed.client(client)?.delete_pool(&args.pool).await?;
    if out.style().is_json() {
        out.json(&serde_json::json!({ "deleted": args.pool }))?;
    }
    out.line(format!("{} is deleted", args.pool))?;
    Ok(())
}
