//! `tidegate job list`: a page of jobs.

use tidegate::{
    Client,
    api::{query::JobsQuery, words::JobState},
};

use super::{show_cursor, table};
use crate::{commands::word, duration::Millis, output::Out};

const EXAMPLES: &str = "\
Examples:
  tidegate job list --queue mail
  tidegate job list --state leased --older-than 1h
  tidegate job list --queue orders --ordering-key ann --limit 1000 --json";

/// List jobs by queue, state, kind, key and age
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// In this queue
    #[arg(long)]
    queue: Option<String>,

    /// In this state
    #[arg(long, value_parser = word(JobState::WORDS, JobState::from_word))]
    state: Option<JobState>,

    /// Of this kind
    #[arg(long)]
    kind: Option<String>,

    /// With this ordering key
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,

    /// Enqueued longer ago than this
    #[arg(long, alias = "older-than-ms", value_name = "DURATION")]
    older_than: Option<Millis>,

    #[command(flatten)]
    page: PageArgs,
}

/// Which page of a list.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PageArgs {
    /// At most so many, 1 to 1000 [default: 100]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,

    /// The page after the one that named this cursor
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

/// Shows a page.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let query = JobsQuery {
        queue: args.queue,
        state: args.state,
        kind: args.kind,
        ordering_key: args.ordering_key,
        older_than_ms: args.older_than.map(|age| age.0),
        limit: args.page.limit,
        cursor: args.page.cursor,
    };
    let page = client.jobs(&query).await?;
    if out.style().is_json() {
        out.json(&page)?;
        return Ok(());
    }
    out.table(&table(&page.jobs))?;
    show_cursor(out, page.cursor.as_deref())?;
    Ok(())
}
