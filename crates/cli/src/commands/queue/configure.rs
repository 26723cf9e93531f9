//! `tidegate queue configure`: a queue's settings.

use tidegate::{
    Client,
    api::{queue::QueueConfig, words::OnFailure},
};

use super::show::show;
use crate::{
    commands::{job::RetryArgs, word},
    duration::Millis,
    output::Out,
};

const EXAMPLES: &str = "\
Examples:
  tidegate queue configure mail --max-attempts 10 --retry-delay 5s
  tidegate queue configure orders --on-failure park
  tidegate queue configure mail --reset          back to the defaults

What is not said stays as it is. A queue that is not there is made.";

/// Configure a queue: retries, lease, limits, how long finished jobs are kept
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The queue
    queue: String,

    #[command(flatten)]
    retry: RetryArgs,

    /// Length of a lease whose worker names none [default: 30s]
    #[arg(long, alias = "lease-ms", value_name = "DURATION")]
    lease: Option<Millis>,

    /// What becomes of an ordering key's later jobs while one fails [default: block]
    #[arg(long, value_name = "WORD", value_parser = word(OnFailure::WORDS, OnFailure::from_word))]
    on_failure: Option<OnFailure>,

    /// Unfinished jobs it may hold; more are refused as queue_full
    #[arg(long, value_name = "N")]
    jobs_max: Option<u64>,

    /// How long completed and cancelled jobs can be asked for [default: 1h]
    #[arg(long, alias = "retain-ms", value_name = "DURATION")]
    retain: Option<Millis>,

    /// How many of them at most
    #[arg(long, value_name = "N")]
    retain_max: Option<u64>,

    /// Begin with the defaults instead of what is configured now
    #[arg(long)]
    reset: bool,
}

/// Sets what is said over what is there.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let now = match args.reset {
        true => QueueConfig::default(),
        false => current(client, &args.queue).await?,
    };
    let queue = client.configure(&args.queue, &over(now, &args)).await?;
    show(&queue, out)
}

/// The configuration now; the defaults for a queue that is not there yet.
async fn current(client: &Client, queue: &str) -> Result<QueueConfig, tidegate::Error> {
    use tidegate::api::refusal::Code;
    match client.show_queue(queue).await {
        Ok(queue) => Ok(queue.config),
        Err(error) if error.problem().is_some_and(|problem| problem.refusal.code == Code::QueueNotFound) => {
            Ok(QueueConfig::default())
        }
        Err(error) => Err(error),
    }
}

fn over(under: QueueConfig, args: &Args) -> QueueConfig {
    let said = args.retry.policy().unwrap_or_default();
    let mut retry = under.retry.unwrap_or_default();
    retry.max_attempts = said.max_attempts.or(retry.max_attempts);
    retry.delay_ms = said.delay_ms.or(retry.delay_ms);
    retry.factor = said.factor.or(retry.factor);
    retry.delay_max_ms = said.delay_max_ms.or(retry.delay_max_ms);
    retry.jitter_percent = said.jitter_percent.or(retry.jitter_percent);
    QueueConfig {
        retry: Some(retry),
        lease_ms: args.lease.map(|lease| lease.0).or(under.lease_ms),
        on_failure: args.on_failure.or(under.on_failure),
        jobs_max: args.jobs_max.or(under.jobs_max),
        retain_ms: args.retain.map(|retain| retain.0).or(under.retain_ms),
        retain_max: args.retain_max.or(under.retain_max),
    }
}
