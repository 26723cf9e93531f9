//! `tidegate queue show`: how one queue stands.

use tidegate::{Client, api::queue::Queue};

use crate::{
    duration::{Millis, rough},
    output::{Out, Paint, paint_of_state, thousands},
};

const EXAMPLES: &str = "\
Examples:
  tidegate queue show mail
  watch -n1 tidegate queue show mail";

/// Show how a queue stands: counts, rates, time to drain, configuration
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The queue
    queue: String,
}

/// Shows it.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let queue = client.show_queue(&args.queue).await?;
    show(&queue, out)
}

/// The queue, for this command and all that change one.
pub(super) fn show(queue: &Queue, out: &mut Out) -> anyhow::Result<()> {
    if out.style().is_json() {
        out.json(queue)?;
        return Ok(());
    }
    let style = out.style();
    let word = if queue.paused { "paused" } else { "open" };
    out.line(format!(
        "{}  {}",
        style.paint(Paint::Head, &queue.name),
        style.paint(paint_of_state(word), word)
    ))?;

    let counts = queue.counts;
    let states = [
        ("scheduled", counts.scheduled),
        ("ready", counts.ready),
        ("leased", counts.leased),
        ("completed", counts.completed),
        ("dead", counts.dead),
        ("cancelled", counts.cancelled),
    ];
    for (name, count) in states {
        let paint = if count > 0 { paint_of_state(name) } else { Paint::Faint };
        out.line(format!("  {name:10} {}", style.paint(paint, &format!("{:>14}", thousands(count)))))?;
    }
    let span = |ms: Option<u64>| ms.map_or_else(|| "-".into(), rough);
    if let Some(age) = queue.oldest_ready_age_ms {
        out.line(format!("  oldest ready job accepted {} ago", rough(age)))?;
    }
    out.line(format!(
        "  arriving {:.1}/s, completed {:.1}/s, drained in {}",
        queue.arrival_per_s,
        queue.completion_per_s,
        span(queue.drain_ms)
    ))?;
    if queue.keys_paused + queue.keys_parked > 0 {
        out.line(format!("  ordering keys: {} paused, {} parked", queue.keys_paused, queue.keys_parked))?;
    }
    if let Some(redrive) = &queue.redrive {
        let word = redrive.state.to_string();
        let word = style.paint(paint_of_state(&word), &word);
        out.line(format!("  redrive {word}: {} moved, {} died again", redrive.moved, redrive.dead_again))?;
    }
    show_config(queue, out)
}

fn show_config(queue: &Queue, out: &mut Out) -> anyhow::Result<()> {
    let config = &queue.config;
    let retry = config.retry.unwrap_or_default();
    let span = |ms: Option<u64>| ms.map(|ms| Millis(ms).to_string());
    let settings = [
        ("max-attempts", retry.max_attempts.map(|count| count.to_string())),
        ("retry-delay", span(retry.delay_ms)),
        ("retry-factor", retry.factor.map(|factor| factor.to_string())),
        ("retry-delay-max", span(retry.delay_max_ms)),
        ("retry-jitter", retry.jitter_percent.map(|percent| percent.to_string())),
        ("lease", span(config.lease_ms)),
        ("on-failure", config.on_failure.map(|word| word.to_string())),
        ("jobs-max", config.jobs_max.map(|count| count.to_string())),
        ("retain", span(config.retain_ms)),
        ("retain-max", config.retain_max.map(|count| count.to_string())),
    ];
    // In the words of `queue configure`, so that a line can be changed and given back.
    let words: Vec<String> =
        settings.into_iter().filter_map(|(name, value)| Some(format!("--{name} {}", value?))).collect();
    let line = format!("  configured {}", words.join(" "));
    out.line(out.style().paint(Paint::Faint, &line))?;
    Ok(())
}
