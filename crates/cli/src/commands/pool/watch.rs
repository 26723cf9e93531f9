//! `tidegate pool watch`: changes as they happen.

use tidegate::Client;

use crate::output::{Out, Style, note, thousands};

/// Follow pools: a line for each change, until interrupted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool watch cs101-a@autumn cs101-b@autumn
  tidegate pool watch tickets --json | jq -r '.pool.free'

A server that goes away is waited for, half a minute at most; what was missed meanwhile is counted.")]
pub(crate) struct Args {
    /// The pools
    #[arg(required = true)]
    pools: Vec<String>,

    /// End after so many changes
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// Follows them. Each line is written at once.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    // Whoever watches wants to go on; other commands say at once what went wrong.
    let client = Client::connect(client.server())?;
    let mut watch = client.watch_pools(args.pools)?;
    for _ in 0..args.count.unwrap_or(u64::MAX) {
        let news = watch.next().await?;
        if out.style() == Style::Json {
            out.json(&news)?;
        }
        if news.missed > 0 {
            note(format!("{}: {} versions were missed", news.name, thousands(news.missed)));
        }
        let line = match &news.pool {
            None => format!("{}: there is no such pool", news.name),
            Some(pool) => format!(
                "{}  {}: version {}, {} free, {} held, {} taken, {} waiting",
                pool.as_of, pool.name, pool.version, pool.free, pool.held, pool.taken, pool.waiting
            ),
        };
        out.line(line)?;
        out.flush()?;
    }
    Ok(())
}
