//! `tidegate pool hold|take|join|leave`: what a holder wants of a pool.

use tidegate::api::pool::grant::PoolAnswer;
use tidegate::{Client, Wanted, Wish};

use super::Keyed;
use super::grant::{show, show_waiting};
use crate::duration::Millis;
use crate::output::Out;

/// Who wants how much of what.
#[derive(Debug, clap::Args)]
struct Wanting {
    /// The pool
    pool: String,
    /// Who wants it: a name of your own choosing
    holder: String,

    /// How many units [default: 1]
    #[arg(long, value_name = "N")]
    units: Option<u32>,

    /// The holder's group, if the pool has a quota for it
    #[arg(long)]
    group: Option<String>,

    #[command(flatten)]
    keyed: Keyed,
}

/// Give a holder units until a deadline
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool hold cs101-a@autumn anna
  tidegate pool hold tickets anna --units 4 --hold 2m
  tidegate pool confirm 0-42                      takes what is held")]
pub(crate) struct HoldArgs {
    #[command(flatten)]
    wanting: Wanting,

    /// For how long [default: the pool's]
    #[arg(long = "hold", alias = "hold-ms", value_name = "DURATION")]
    hold: Option<Millis>,
}

/// Give a holder units until it gives them back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool take cs101-a@autumn anna
  tidegate pool take cs101-a@autumn anna --idempotency-key anna-cs101-1")]
pub(crate) struct TakeArgs {
    #[command(flatten)]
    wanting: Wanting,
}

/// Let a holder wait in line; if there is room, it has the offer at once
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool join cs101-a@autumn bert")]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    wanting: Wanting,
}

/// Let a holder wait no more
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool leave cs101-a@autumn bert")]
pub(crate) struct LeaveArgs {
    /// The pool
    pool: String,
    /// Who waits
    holder: String,

    #[command(flatten)]
    keyed: Keyed,
}

/// Holds.
pub(super) async fn hold(args: HoldArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let client = args.wanting.keyed.client(client)?;
    let mut wish = client.pool(&args.wanting.pool).hold(&args.wanting.holder);
    if let Some(hold) = args.hold {
        wish = wish.hold_for(hold.as_duration());
    }
    show(&of(wish, args.wanting).await?, out)
}

/// Takes.
pub(super) async fn take(args: TakeArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let client = args.wanting.keyed.client(client)?;
    let wish = client.pool(&args.wanting.pool).take(&args.wanting.holder);
    show(&of(wish, args.wanting).await?, out)
}

/// Joins.
pub(super) async fn join(args: JoinArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let client = args.wanting.keyed.client(client)?;
    let wish = client.pool(&args.wanting.pool).join(&args.wanting.holder);
    match of(wish, args.wanting).await? {
        PoolAnswer::Grant(offer) => show(&offer, out),
        PoolAnswer::Waiting(waiting) => show_waiting(&waiting, out),
    }
}

/// Leaves.
pub(super) async fn leave(args: LeaveArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let client = args.keyed.client(client)?;
    show_waiting(&client.pool(args.pool).leave(&args.holder).await?, out)
}

/// The wish with the rest of what was said.
fn of<K: Wanted>(mut wish: Wish<K>, said: Wanting) -> Wish<K> {
    if let Some(units) = said.units {
        wish = wish.units(units);
    }
    match said.group {
        Some(group) => wish.group(group),
        None => wish,
    }
}
