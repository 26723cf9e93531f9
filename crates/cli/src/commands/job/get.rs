//! `tidegate job get`: everything about one job.

use std::time::{Duration, Instant};

use tidegate::{
    Client,
    api::{id::JobId, job::Job, words::JobState},
};

use super::now_ms;
use crate::{
    duration::{Millis, rough},
    output::{Out, Paint, paint_of_state},
};

/// One question may wait this long; a longer wait is several.
const WAIT_PER_CALL: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  tidegate job get 0-42
  tidegate job get 0-42 --wait       until it is completed, dead or cancelled
  tidegate job get 0-42 --wait=90s --json";

/// Show a job, and why it is not running yet
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The job's id, such as 0-42
    id: JobId,

    /// Wait for the job's end, at most so long if a duration is given
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "3650d")]
    wait: Option<Millis>,
}

/// Asks until the job has ended or the wait is over.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let deadline = args.wait.map(|wait| Instant::now() + wait.as_duration());
    let job = loop {
        let left =
            deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()));
        let job = client.job(args.id, left.min(WAIT_PER_CALL)).await?;
        if has_ended(job.state) || left.is_zero() {
            break job;
        }
    };
    match out.style().is_json() {
        true => out.json(&job)?,
        false => show(&job, out)?,
    }
    Ok(())
}

fn has_ended(state: JobState) -> bool {
    matches!(state, JobState::Completed | JobState::Dead | JobState::Cancelled)
}

/// The job for people: what is known, one thing a line.
fn show(job: &Job, out: &mut Out) -> std::io::Result<()> {
    let style = out.style();
    let word = job.state.to_string();
    let because = job.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    out.line(format!(
        "{}  {}{because}",
        style.paint(Paint::Head, &job.id.to_string()),
        style.paint(paint_of_state(&word), &word)
    ))?;
    let optional = |value: &Option<String>| value.clone().unwrap_or_default();
    let time =
        |time: Option<tidegate::api::time::Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let json = |value: &Option<Box<serde_json::value::RawValue>>| {
        value.as_ref().map(|value| value.get().to_owned()).unwrap_or_default()
    };
    let waiting = job.waiting_for.map(|why| match (job.position, job.estimated_wait_ms) {
        (Some(position), Some(wait)) => format!("{why}; number {position} in line, about {}", rough(wait)),
        (Some(position), None) => format!("{why}; number {position} in line"),
        (None, _) => why.to_string(),
    });
    let ago = rough(now_ms().saturating_sub(job.enqueued_at.unix_ms()));
    let lines = [
        ("queue", job.queue.clone()),
        ("kind", job.kind.clone()),
        ("waits for", waiting.unwrap_or_default()),
        ("priority", job.priority.to_string()),
        ("attempt", format!("{} of {}", job.attempt, job.max_attempts)),
        ("enqueued", format!("{} ({ago} ago)", job.enqueued_at)),
        ("not before", time(job.run_at)),
        ("expires", time(job.expires_at)),
        ("ended", time(job.ended_at)),
        ("worker", optional(&job.worker)),
        ("leased until", time(job.lease_expires_at)),
        ("ordering key", optional(&job.ordering_key)),
        ("on failure", job.on_failure.map(|word| word.to_string()).unwrap_or_default()),
        ("fairness key", optional(&job.fairness_key)),
        ("unique key", optional(&job.unique_key)),
        ("dependency", optional(&job.dependency)),
        ("traceparent", optional(&job.traceparent)),
        ("metadata", job.metadata.as_ref().map(|map| serde_json::json!(map).to_string()).unwrap_or_default()),
        ("progress", json(&job.progress)),
        ("result", json(&job.result)),
        ("payload", json(&job.payload)),
        ("payload (base64)", optional(&job.payload_base64)),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        out.line(format!("  {}  {value}", style.paint(Paint::Faint, &format!("{name:16}"))))?;
    }
    for error in &job.errors {
        let by = error.worker.as_ref().map(|worker| format!(" by {worker}")).unwrap_or_default();
        let kind = error.kind.as_ref().map(|kind| format!(" [{kind}]")).unwrap_or_default();
        out.line(
            style.paint(Paint::Bad, &format!("  attempt {} failed {}{by}{kind}", error.attempt, error.at)),
        )?;
        for line in error.message.lines() {
            out.line(format!("    {line}"))?;
        }
    }
    Ok(())
}
