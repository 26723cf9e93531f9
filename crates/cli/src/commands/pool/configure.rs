//! `tidegate pool configure` and `tidegate pool resize`: a pool's settings.

use std::collections::BTreeMap;

use tidegate::Client;
use tidegate::api::pool::config::{PoolConfig, Quota};
use tidegate::api::refusal::Code;
use tidegate::api::time::Timestamp;
use tidegate::api::words::Opening;

use super::Keyed;
use super::show::show;
use crate::commands::{OrNone, name_and_value, timestamp_or_none};
use crate::duration::Millis;
use crate::failure::Misuse;
use crate::output::Out;

const EXAMPLES: &str = "\
Examples:
  tidegate pool configure cs101@autumn --capacity 30 --waitlist-max 20
  tidegate pool configure cs101@autumn --offer-queue offers@autumn
  tidegate pool configure cs101@autumn --quota honours=5
  tidegate pool configure drop --opens-at 2026-12-01T09:00:00Z --shuffle
  tidegate pool configure drop --opens-at none         no opening after all
  tidegate pool configure gpu --holder-units-max 0     as many as one likes

What is not said stays as it is. A pool that is not there is made, and then --capacity must be said. Names that are to be changed together, in one transaction, end in the same place: an @ and a word.";

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

    /// Nothing is given before this time, such as 2026-12-01T09:00:00Z; or none
    #[arg(long, value_name = "TIME", value_parser = timestamp_or_none)]
    opens_at: Option<OrNone<Timestamp>>,

    /// Nothing is given from this time on; or none
    #[arg(long, value_name = "TIME", value_parser = timestamp_or_none)]
    closes_at: Option<OrNone<Timestamp>>,

    /// Draw the order of all who join before the opening, instead of first come first served
    #[arg(long)]
    shuffle: bool,

    /// First come first served: takes --shuffle back
    #[arg(long, conflicts_with = "shuffle")]
    first_come: bool,

    /// Queue, of the pool's own place, that gets a job for each offer
    #[arg(long, value_name = "QUEUE")]
    offer_queue: Option<String>,

    /// No queue gets jobs for offers any more
    #[arg(long, conflicts_with = "offer_queue")]
    no_offer_queue: bool,

    /// Units that the holders of a group may have together; may be repeated, and other groups' stay
    #[arg(long = "quota", value_name = "GROUP=N", value_parser = quota)]
    quotas: Vec<Quota>,

    /// A group that has no quota any more; may be repeated
    #[arg(long = "no-quota", value_name = "GROUP")]
    no_quotas: Vec<String>,

    /// A name and a value that are shown with it; may be repeated, and others stay
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = name_and_value)]
    attributes: Vec<(String, String)>,

    /// An attribute that is shown no more; may be repeated
    #[arg(long = "no-attribute", value_name = "NAME")]
    no_attributes: Vec<String>,

    /// Only over the pool of this version, as `pool show` tells it; 0: only if there is none
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,

    #[command(flatten)]
    keyed: Keyed,
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

    #[command(flatten)]
    keyed: Keyed,
}

/// Sets what is said over what is there.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let now = match client.show_pool(&args.pool).await {
        Ok(pool) => pool.config,
        Err(error) if error.code() == Some(Code::PoolNotFound) => match args.capacity {
            // Never over one that somebody makes at the same moment.
            Some(capacity) => PoolConfig::of(capacity).if_version(0),
            None => {
                let message = format!("there is no pool {} yet: say its --capacity", args.pool);
                return Err(Misuse::error(message));
            }
        },
        Err(error) => return Err(error.into()),
    };
    let pool = args.keyed.client(client)?.configure_pool(&args.pool, &over(now, &args)).await?;
    show(&pool, out)
}

/// Changes the capacity alone.
pub(super) async fn resize(args: ResizeArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let pool = args.keyed.client(client)?.resize_pool(&args.pool, args.capacity).await?;
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
        opens_at: OrNone::over(args.opens_at, under.opens_at),
        closes_at: OrNone::over(args.closes_at, under.closes_at),
        opening: match (args.shuffle, args.first_come) {
            (true, _) => Some(Opening::Shuffle),
            (_, true) => None,
            _ => under.opening,
        },
        offer_queue: args.offer_queue.clone().or(under.offer_queue).filter(|_| !args.no_offer_queue),
        quotas: Some(quotas_over(under.quotas.unwrap_or_default(), args)),
        attributes: Some(attributes_over(under.attributes.unwrap_or_default(), args)),
        if_version: args.if_version.or(under.if_version),
    }
}

fn quotas_over(mut quotas: Vec<Quota>, args: &Args) -> Vec<Quota> {
    let is_said = |group: &str| {
        args.quotas.iter().any(|said| said.group == group) || args.no_quotas.iter().any(|no| no == group)
    };
    quotas.retain(|quota| !is_said(&quota.group));
    quotas.extend(args.quotas.iter().cloned());
    quotas
}

fn attributes_over(mut attributes: BTreeMap<String, String>, args: &Args) -> BTreeMap<String, String> {
    attributes.retain(|name, _| !args.no_attributes.contains(name));
    attributes.extend(args.attributes.iter().cloned());
    attributes
}

fn quota(text: &str) -> Result<Quota, String> {
    let (group, units) = text.split_once('=').ok_or("write GROUP=N, such as honours=5")?;
    let units_max = units.parse().map_err(|_| format!("{units:?} is no number of units"))?;
    Ok(Quota { group: group.to_owned(), units_max })
}
