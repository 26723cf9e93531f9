//! `tidegate queue pause` and `resume`: holding back a queue, or one ordering key of it.

use tidegate::{Client, api::queue::KeyAnswer};

use super::show::show;
use crate::output::Out;

const PAUSE_EXAMPLES: &str = "\
Examples:
  tidegate queue pause mail
  tidegate queue pause orders --ordering-key customer-7

Jobs are still accepted; those that a worker has go on.";

const RESUME_EXAMPLES: &str = "\
Examples:
  tidegate queue resume mail
  tidegate queue resume orders --ordering-key customer-7    parked keys, too";

/// Hold a queue's jobs back, or those of one ordering key
#[derive(Debug, clap::Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    target: Target,
}

/// End the pause of a queue, or of one ordering key
#[derive(Debug, clap::Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    target: Target,
}

/// What is held back.
#[derive(Debug, clap::Args)]
struct Target {
    /// The queue
    queue: String,

    /// Only this key of it
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,
}

/// Pauses.
pub(super) async fn pause(args: PauseArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let Target { queue, ordering_key } = args.target;
    match ordering_key {
        Some(key) => show_key(&client.pause_key(&queue, &key).await?, out),
        None => show(&client.pause(&queue).await?, out),
    }
}

/// Resumes.
pub(super) async fn resume(args: ResumeArgs, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let Target { queue, ordering_key } = args.target;
    match ordering_key {
        Some(key) => show_key(&client.resume_key(&queue, &key).await?, out),
        None => show(&client.resume(&queue).await?, out),
    }
}

fn show_key(key: &KeyAnswer, out: &mut Out) -> anyhow::Result<()> {
    match out.style().is_json() {
        true => out.json(key)?,
        false => {
            let word = if key.paused { "paused" } else { "open" };
            out.line(format!("{} key {} is {word}", key.queue, key.ordering_key))?;
        }
    }
    Ok(())
}
