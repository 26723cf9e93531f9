//! `tidegate pool configure` and `tidegate pool resize`: a pool's settings.

use tidegate::Client;
use tidegate::api::pool::config::{PoolConfig, Quota};
use tidegate::api::refusal::Code;
use tidegate::api::time::Timestamp;
use tidegate::api::words::Opening;

use super::show::show;
use crate::commands::{name_and_value, timestamp};
use crate::duration::Millis;
use crate::failure::Misuse;
use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  tidegate pool configure cs101-a@autumn --capacity 30 --waitlist-max 20 --offer-queue offers@autumn
  tidegate pool configure tickets --capacity 5000 --opens-at 2026-12-01T09:00:00Z --shuffle --waitlist-max 50000
  tidegate pool configure gpu --capacity 8 --holder-units-max 0          as many to one holder as it likes

What is not said stays as it is. A pool that is not there is made, and then --capacity must be said. Names that are to be changed together,
in one transaction, end in the same place: an @ and a word.";

/// Configure a pool: capacity, limits, holds, opening, waiting line
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pool
    pool: String,

    /// How many units there are
    #[arg(long, value_name = "N")]
    capacity: Option<u32>,

    /// Units one holder may have and wait for together; 0: no limit [default: 1]
    #[arg(long, value_name = "N")]
    holder_units_max: Option<u32>,

    /// How long a hold lasts that does not say [default: 5m]
    #[arg(long, alias = "hold-ms", value_name = "DURATION")]
    hold: Option<Millis>,

    /// How long a hold lasts at most, extensions included [default: 1h]
    #[arg(long, alias = "hold-ms-max", value_name = "DURATION")]
    hold_max: Option<Millis>,

    /// How long the first in line may think about an offer [default: 5m]
    #[arg(long, alias = "offer-ms", value_name = "DURATION")]
    offer: Option<Millis>,

    /// How many may wait in line; 0: nobody [default: 0]
    #[arg(long, value_name = "N")]
    waitlist_max: Option<u32>,

    /// Nothing is given before this time, such as 2026-12-01T09:00:00Z
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    opens_at: Option<Timestamp>,

    /// Nothing is given from this time on
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    closes_at: Option<Timestamp>,

    /// Draw the order of all who join before the opening, instead of first come first served
    #[arg(long)]
    shuffle: bool,

    /// Queue, of the pool's own place, that gets a job for each offer
    #[arg(long, value_name = "QUEUE")]
    offer_queue: Option<String>,

    /// Units that the holders of a group may have together; may be repeated
    #[arg(long = "quota", value_name = "GROUP=N", value_parser = quota)]
    quotas: Vec<Quota>,

    /// A name and a value that are shown with it; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = name_and_value)]
    attributes: Vec<(String, String)>,
}

/// Change a pool's capacity; never below what is granted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool resize cs101-a@autumn 32")]
pub(crate) struct ResizeArgs {
    /// The pool
    pool: String,
    /// How many units there are
    capacity: u32,
}

/// Sets what is said over what is there.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let now = match client.show_pool(&args.pool).await {
        Ok(pool) => pool.config,
        Err(error) if error.code() == Some(Code::PoolNotFound) => match args.capacity {
            Some(capacity) => PoolConfig::of(capacity),
            None => {
                let message = format!("there is no pool {} yet: say its --capacity", args.pool);
                return Err(Misuse::error(message));
            }
        },
        Err(error) => return Err(error.into()),
    };
    let pool = client.configure_pool(&args.pool, &over(now, &args)).await?;
    show(&pool, out)
}

/// Changes the capacity alone.
pub(super) async fn resize(args: ResizeArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let pool = client.resize_pool(&args.pool, args.capacity).await?;
    show(&pool, out)
}

fn over(under: PoolConfig, args: &Args) -> PoolConfig {
    let ms = |said: Option<Millis>| said.map(|said| said.0);
    PoolConfig {
        capacity: args.capacity.unwrap_or(under.capacity),
        holder_units_max: args.holder_units_max.or(under.holder_units_max),
        hold_ms: ms(args.hold).or(under.hold_ms),
        hold_ms_max: ms(args.hold_max).or(under.hold_ms_max),
        offer_ms: ms(args.offer).or(under.offer_ms),
        waitlist_max: args.waitlist_max.or(under.waitlist_max),
        opens_at: args.opens_at.or(under.opens_at),
        closes_at: args.closes_at.or(under.closes_at),
        opening: if args.shuffle { Some(Opening::Shuffle) } else { under.opening },
        offer_queue: args.offer_queue.clone().or(under.offer_queue),
        quotas: if args.quotas.is_empty() { under.quotas } else { Some(args.quotas.clone()) },
        attributes: match args.attributes.is_empty() {
            true => under.attributes,
            false => Some(args.attributes.iter().cloned().collect()),
        },
    }
}

fn quota(text: &str) -> Result<Quota, String> {
    let (group, units) = text.split_once('=').ok_or("write GROUP=N, such as honours=5")?;
    let units_max = units.parse().map_err(|_| format!("{units:?} is no number of units"))?;
    Ok(Quota { group: group.to_owned(), units_max })
}
