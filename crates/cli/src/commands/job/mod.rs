//! `tidegate job`: one job at a time, and lists of them.

mod cancel;
pub(crate) mod enqueue;
mod get;
mod list;

pub(crate) use self::{enqueue::RetryArgs, list::PageArgs};
use tidegate::{Client, api::job::Job};

use crate::{
    duration::rough,
    output::{Out, Style, Table, faint, plain, state},
};

/// Give jobs, look at them, take them back
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Enqueue(Box<enqueue::Args>),
    Get(get::Args),
    Cancel(cancel::Args),
    List(list::Args),
}

/// Runs one of them.
pub(crate) async fn run(command: Command, client: Client, style: Style) -> anyhow::Result<()> {
    let mut out = Out::new(style);
    let outcome = match command {
        Command::Enqueue(args) => enqueue::run(*args, &client, &mut out).await,
        Command::Get(args) => get::run(args, &client, &mut out).await,
        Command::Cancel(args) => cancel::run(args, &client, &mut out).await,
        Command::List(args) => list::run(args, &client, &mut out).await,
    };
    // What was already said is shown before the error.
    out.finish()?;
    outcome
}

/// Jobs as a table, for this list and that of dead jobs.
pub(crate) fn table(jobs: &[Job]) -> Table {
    let now = now_ms();
    let mut table = Table::new(&["ID", "QUEUE", "KIND", "STATE", ">PRIO", ">ATTEMPT", ">AGE", "WHY"]);
    for job in jobs {
        let why =
            job.waiting_for.map(|why| why.to_string()).or_else(|| job.reason.map(|why| why.to_string()));
        table.row([
            plain(job.id),
            plain(&job.queue),
            plain(&job.kind),
            state(job.state),
            plain(job.priority),
            plain(format!("{}/{}", job.attempt, job.max_attempts)),
            plain(rough(now.saturating_sub(job.enqueued_at.unix_ms()))),
            faint(why.unwrap_or_default()),
        ]);
    }
    table
}

/// This machine's clock, for ages; the server's own may differ a little.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// A page's end for people: how to ask for the next.
pub(crate) fn show_cursor(out: &mut Out, cursor: Option<&str>) -> std::io::Result<()> {
    match cursor {
        Some(cursor) => out.line(format!("more: --cursor {cursor}")),
        None => Ok(()),
    }
}
