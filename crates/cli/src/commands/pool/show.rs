//! `tidegate pool show`: how one pool stands.

use tidegate::Client;
use tidegate::api::pool::view::Pool;
use tidegate::api::words::{Opening, PoolState};

use crate::duration::Millis;
use crate::output::{Out, Paint, thousands};

const EXAMPLES: &str = "\
Examples:
  tidegate pool show cs101-a@autumn
  tidegate pool show cs101-a@autumn --json | jq .free";

/// Show how a pool stands: free, held, taken, waiting, configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The pool
    pool: String,
}

/// Shows it.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let pool = client.show_pool(&args.pool).await?;
    show(&pool, out)
}

/// A pool's state for a table.
pub(super) fn state_cell(pool: &Pool) -> (String, Paint) {
    let paint = match pool.state {
        PoolState::Open => Paint::Good,
        PoolState::Upcoming => Paint::Busy,
        PoolState::Closed => Paint::Faint,
    };
    (pool.state.to_string(), paint)
}

/// The pool, for this command and all that change one.
pub(super) fn show(pool: &Pool, out: &mut Out) -> anyhow::Result<()> {
    if out.style().is_json() {
        out.json(pool)?;
        return Ok(());
    }
    let style = out.style();
    let (word, paint) = state_cell(pool);
    out.line(format!("{}  {}", style.paint(Paint::Head, &pool.name), style.paint(paint, &word)))?;
    let counts = [
        ("capacity", pool.config.capacity.into()),
        ("free", pool.free),
        ("held", pool.held),
        ("taken", pool.taken),
        ("waiting", pool.waiting.into()),
    ];
    for (name, count) in counts {
        let paint = if count > 0 { Paint::Plain } else { Paint::Faint };
        out.line(format!("  {name:10} {}", style.paint(paint, &format!("{:>14}", thousands(count)))))?;
    }
    for group in &pool.groups {
        let of = group.units_max.map(|most| format!(" of {}", thousands(most.into()))).unwrap_or_default();
        out.line(format!("  group {}: {}{of}", group.group, thousands(group.units)))?;
    }
    if let Some(commitment) = &pool.commitment {
        out.line(format!("  drawn by a seed whose SHA-256 is {commitment}"))?;
    }
    if let Some(seed) = &pool.seed {
        out.line(format!("  the seed was {seed}; `tidegate pool verify-opening` draws again"))?;
    }
    out.line(format!("  version {}, as of {}", pool.version, pool.as_of))?;
    show_config(pool, out)
}

/// A word that a shell reads as it is.
fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-+=:,./@%".contains(char);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn show_config(pool: &Pool, out: &mut Out) -> anyhow::Result<()> {
    let config = &pool.config;
    let span = |ms: Option<u64>| ms.map(|ms| Millis(ms).to_string());
    let settings = [
        ("capacity", Some(config.capacity.to_string())),
        ("holder-units-max", config.holder_units_max.map(|units| units.to_string())),
        ("hold", span(config.hold_ms)),
        ("hold-max", span(config.hold_ms_max)),
        ("offer", span(config.offer_ms)),
        ("waitlist-max", config.waitlist_max.map(|most| most.to_string())),
        ("opens-at", config.opens_at.map(|at| at.to_string())),
        ("closes-at", config.closes_at.map(|at| at.to_string())),
        ("offer-queue", config.offer_queue.clone()),
    ];
    // In the words of `pool configure`, so that a line can be changed and given back.
    let mut words: Vec<String> =
        settings.into_iter().filter_map(|(name, value)| Some(format!("--{name} {}", value?))).collect();
    if config.opening == Some(Opening::Shuffle) {
        words.push("--shuffle".to_owned());
    }
    for quota in config.quotas.iter().flatten() {
        words.push(format!("--quota {}", quoted(&format!("{}={}", quota.group, quota.units_max))));
    }
    for (name, value) in config.attributes.iter().flatten() {
        words.push(format!("--attribute {}", quoted(&format!("{name}={value}"))));
    }
    let line = format!("  configured {}", words.join(" "));
    out.line(out.style().paint(Paint::Faint, &line))?;
    Ok(())
}
