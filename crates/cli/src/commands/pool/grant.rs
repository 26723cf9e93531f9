//! `tidegate pool confirm|extend|release|swap`: what becomes of a grant.

use tidegate::Client;
use tidegate::api::id::GrantId;
use tidegate::api::pool::grant::{Grant, PoolAnswer, Waiting};
use tidegate::api::pool::wish::SwapWish;
use tidegate::api::value::Text;
use tidegate::api::words::{GrantState, WaitingState};

use super::Keyed;
use crate::duration::Millis;
use crate::output::{Out, Paint};

/// Take what is held
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool confirm 0-42")]
pub(crate) struct ConfirmArgs {
    /// The grant
    id: GrantId,

    #[command(flatten)]
    keyed: Keyed,
}

/// Hold for longer, up to the pool's ceiling
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool extend 0-42
  tidegate pool extend 0-42 --hold 10m")]
pub(crate) struct ExtendArgs {
    /// The grant
    id: GrantId,

    /// For so long from now [default: the pool's hold time]
    #[arg(long = "hold", alias = "hold-ms", value_name = "DURATION")]
    hold: Option<Millis>,

    #[command(flatten)]
    keyed: Keyed,
}

/// Give units back, or decline an offer
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool release 0-42")]
pub(crate) struct ReleaseArgs {
    /// The grant
    id: GrantId,

    #[command(flatten)]
    keyed: Keyed,
}

/// Give one grant for one of another pool; if that cannot be had, it is kept
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool swap 0-42 cs101-b@autumn
  tidegate pool swap 0-42 cs101-b@autumn --when-offered")]
pub(crate) struct SwapArgs {
    /// The grant that is given
    id: GrantId,
    /// The pool wanted
    pool: String,

    /// How many units of it [default: as many as are given]
    #[arg(long, value_name = "N")]
    units: Option<u32>,

    /// The holder's group in it, if it has a quota for it
    #[arg(long)]
    group: Option<String>,

    /// If there is nothing now, wait in line; the old one is given up when the offer is confirmed
    #[arg(long)]
    when_offered: bool,

    #[command(flatten)]
    keyed: Keyed,
}

/// Confirms.
pub(super) async fn confirm(args: ConfirmArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    show(&args.keyed.client(client)?.grant(args.id).confirm().await?, out)
}

/// Extends.
pub(super) async fn extend(args: ExtendArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let client = args.keyed.client(client)?;
    show(&client.grant(args.id).extend(args.hold.map(Millis::as_duration)).await?, out)
}

/// Releases.
pub(super) async fn release(args: ReleaseArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    show(&args.keyed.client(client)?.grant(args.id).release().await?, out)
}

/// Swaps.
pub(super) async fn swap(args: SwapArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let wish = SwapWish {
        pool: Text::from(args.pool.as_str()),
        units: args.units,
        group: args.group.as_deref().map(Text::from),
        when_offered: args.when_offered.then_some(true),
    };
    let answer = args.keyed.client(client)?.swap_grant(args.id, &wish).await?;
    match answer {
        PoolAnswer::Grant(grant) => show(&grant, out),
        PoolAnswer::Waiting(waiting) => show_waiting(&waiting, out),
    }
}

/// How the state of a grant looks.
pub(super) fn paint_of(state: GrantState) -> Paint {
    match state {
        GrantState::Held => Paint::Busy,
        GrantState::Taken => Paint::Good,
        _ => Paint::Faint,
    }
}

/// A grant, for all commands that end in one.
pub(crate) fn show(grant: &Grant, out: &mut Out) -> anyhow::Result<()> {
    if out.style().is_json() {
        out.json(grant)?;
        return Ok(());
    }
    let style = out.style();
    let state = style.paint(paint_of(grant.state), grant.state.as_str());
    let Grant { id, pool, holder, units, .. } = grant;
    let offer = if grant.offered { ", an offer" } else { "" };
    let until = grant.expires_at.map(|at| format!(" until {at}")).unwrap_or_default();
    let what = format!(
        "{}  {state}{until}{offer}: {units} of {pool} for {holder}",
        style.paint(Paint::Head, &id.to_string())
    );
    out.line(what)?;
    Ok(())
}

/// A place in line, likewise.
pub(crate) fn show_waiting(waiting: &Waiting, out: &mut Out) -> anyhow::Result<()> {
    if out.style().is_json() {
        out.json(waiting)?;
        return Ok(());
    }
    let Waiting { pool, holder, .. } = waiting;
    let line = match (waiting.state, waiting.ahead) {
        (WaitingState::Left, _) => format!("{holder} waits for {pool} no more"),
        (WaitingState::Waiting, Some(0)) => format!("{holder} is the first in line for {pool}"),
        (WaitingState::Waiting, Some(ahead)) => format!("{holder} waits for {pool}, {ahead} ahead"),
        (WaitingState::Waiting, None) => format!("{holder} waits for {pool}"),
    };
    out.line(line)?;
    Ok(())
}
