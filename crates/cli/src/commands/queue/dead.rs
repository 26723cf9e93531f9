//! `tidegate queue dead`: a queue's dead jobs, one by one or by what they died of.

use tidegate::{
    Client,
    api::{id::CauseId, query::DeadQuery, words::EndReason},
};

use crate::{
    commands::{
        job::{PageArgs, show_cursor, table},
        word,
    },
    output::{Out, Table, faint, plain},
};

const EXAMPLES: &str = "\
Examples:
  tidegate queue dead mail --causes        what they died of, most often first
  tidegate queue dead mail --reason fatal
  tidegate job get 0-42                    one of them with all its errors";

/// List a queue's dead jobs, or group them by cause
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The queue
    queue: String,

    /// Group them by cause
    #[arg(long, conflicts_with_all = ["kind", "cause", "reason", "limit", "cursor"])]
    causes: bool,

    /// Only jobs of this kind
    #[arg(long)]
    kind: Option<String>,

    /// Only jobs that died of this cause
    #[arg(long)]
    cause: Option<CauseId>,

    /// Only jobs that died for this reason
    #[arg(long, value_parser = word(EndReason::WORDS, EndReason::from_word))]
    reason: Option<EndReason>,

    #[command(flatten)]
    page: PageArgs,
}

/// Shows them.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    if args.causes {
        return causes(&args.queue, client, out).await;
    }
    let query = DeadQuery {
        kind: args.kind,
        cause: args.cause,
        reason: args.reason,
        limit: args.page.limit,
        cursor: args.page.cursor,
    };
    let page = client.dead(&args.queue, &query).await?;
    if out.style().is_json() {
        out.json(&page)?;
        return Ok(());
    }
    out.table(&table(&page.jobs))?;
    show_cursor(out, page.cursor.as_deref())?;
    Ok(())
}

async fn causes(queue: &str, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let causes = client.dead_causes(queue).await?;
    if out.style().is_json() {
        out.json(&causes)?;
        return Ok(());
    }
    let mut table = Table::new(&["CAUSE", ">JOBS", "KIND", "REASON", "ERROR", "LAST", "SAMPLE", "MESSAGE"]);
    for cause in causes {
        table.row([
            plain(cause.cause),
            plain(cause.count),
            plain(&cause.kind),
            plain(cause.reason),
            plain(cause.error_kind.unwrap_or_default()),
            faint(cause.last_at),
            plain(cause.sample_id),
            plain(cause.message.lines().last().unwrap_or_default()),
        ]);
    }
    out.table(&table)?;
    Ok(())
}
