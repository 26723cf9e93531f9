//! `tidegate job enqueue`: one job from options, or many from lines.

use std::{
    io::{BufRead, IsTerminal, Read},
    path::PathBuf,
};

use anyhow::Context;
use tidegate::{
    Client,
    api::{
        enqueue::{EnqueueResult, NewJob, Retry, Unique},
        limits::LIST_ITEMS_MAX,
        read,
        time::Timestamp,
        value::{Metadata, RawJson, Text},
        words::{OnConflict, OnFailure, UniqueUntil},
    },
};

use crate::{
    commands::{self, name_and_value, word},
    duration::Millis,
    failure::{ItemsRefused, Misuse},
    output::{Out, Paint, paint_of_state},
};

/// Lists are sent when they have so many bytes, well below what one request may have.
const LIST_BYTES: usize = 4 << 20;

const EXAMPLES: &str = "\
Examples:
  tidegate job enqueue mail --payload '{\"to\":\"ann@example.com\"}'
  tidegate job enqueue thumbs --file photo.json --priority 0
  tidegate job enqueue mail --payload 1 --delay 10m --max-attempts 3
  tidegate job enqueue orders --payload 1 --ordering-key ann --on-failure park
  tidegate job enqueue sync --payload 1 --unique nightly
  jq -c '{payload: .}' people.json | tidegate job enqueue mail

Without --payload and --file, standard input is read: one job on each line, as a JSON object with \
the fields of the API, such as {\"payload\":{\"to\":\"ann\"},\"priority\":1}. Options fill in what a line leaves out. \
Lines are sent in lists of up to 1,000; what is refused is shown with its line, and the others go on.";

/// Give a queue a job, or a stream of them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The queue; made on first use
    queue: String,

    /// The payload: any JSON
    #[arg(long, value_name = "JSON", conflicts_with = "file")]
    payload: Option<String>,

    /// File whose content is the payload: JSON, or with --bytes anything
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Take --file as bytes, which reach the worker as they are
    #[arg(long, requires = "file")]
    bytes: bool,

    /// Name of what handles it [default: default]
    #[arg(long)]
    kind: Option<String>,

    /// 0 goes first, 9 last [default: 5]
    #[arg(long, value_name = "0..9")]
    priority: Option<u8>,

    /// Not before so long from now, such as 30s or 2h
    #[arg(long, alias = "delay-ms", value_name = "DURATION", conflicts_with = "run_at")]
    delay: Option<Millis>,

    /// Not before this time, such as 2026-11-22T13:00:00Z
    #[arg(long, value_name = "TIME", value_parser = commands::timestamp)]
    run_at: Option<Timestamp>,

    /// Dead as `expired` if not started in so long
    #[arg(long, alias = "expires-in-ms", value_name = "DURATION", conflicts_with = "expires_at")]
    expires_in: Option<Millis>,

    /// Dead as `expired` if not started by this time
    #[arg(long, value_name = "TIME", value_parser = commands::timestamp)]
    expires_at: Option<Timestamp>,

    /// Jobs with one key run one at a time, in order
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,

    /// What becomes of the key's later jobs while this one fails
    #[arg(long, value_name = "WORD", value_parser = word(OnFailure::WORDS, OnFailure::from_word))]
    on_failure: Option<OnFailure>,

    /// Whose job it is: kept and handed to workers; jobs of several keys do not take turns yet
    #[arg(long, value_name = "KEY")]
    fairness_key: Option<String>,

    /// At most one job with this key at a time
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,

    /// How long the unique key is held [default: completed]
    #[arg(long, value_name = "WORD", requires = "unique", value_parser = word(UniqueUntil::WORDS, UniqueUntil::from_word))]
    #[arg(requires_if("duration", "unique_duration"))]
    unique_until: Option<UniqueUntil>,

    /// With --unique-until duration, for how long
    #[arg(long, alias = "unique-duration-ms", value_name = "DURATION", requires = "unique")]
    unique_duration: Option<Millis>,

    /// If the unique key is held [default: return]
    #[arg(long, value_name = "WORD", requires = "unique", value_parser = word(OnConflict::WORDS, OnConflict::from_word))]
    on_conflict: Option<OnConflict>,

    #[command(flatten)]
    retry: RetryArgs,

    /// Name of what it needs to be up: kept and handed to workers, not acted upon yet
    #[arg(long, value_name = "NAME")]
    dependency: Option<String>,

    /// W3C trace that the worker goes on with
    #[arg(long, value_name = "TRACE", env = "TRACEPARENT")]
    traceparent: Option<String>,

    /// A name and a value that travel with the job; may be repeated
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = name_and_value)]
    metadata: Vec<(String, String)>,

    /// Sent again with the same key, the job is not enqueued twice; for one job
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// How a job is retried; `queue configure` takes the same.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct RetryArgs {
    /// All attempts, the first included [default: 5]
    #[arg(long, value_name = "N")]
    max_attempts: Option<u32>,

    /// Before the second attempt [default: 30s]
    #[arg(long, alias = "retry-delay-ms", value_name = "DURATION")]
    retry_delay: Option<Millis>,

    /// The delay is multiplied by this each time [default: 2]
    #[arg(long, value_name = "X")]
    retry_factor: Option<f64>,

    /// The longest delay [default: 1h]
    #[arg(long, alias = "retry-delay-max-ms", value_name = "DURATION")]
    retry_delay_max: Option<Millis>,

    /// How much chance lengthens a delay, at most
    #[arg(long, value_name = "PERCENT")]
    retry_jitter: Option<u8>,
}

impl RetryArgs {
    /// The policy, or `None` if nothing of it was said.
    pub(crate) fn policy(self) -> Option<Retry> {
        let retry = Retry {
            max_attempts: self.max_attempts,
            delay_ms: self.retry_delay.map(|delay| delay.0),
            factor: self.retry_factor,
            delay_max_ms: self.retry_delay_max.map(|delay| delay.0),
            jitter_percent: self.retry_jitter,
        };
        (retry != Retry::default()).then_some(retry)
    }
}

/// Enqueues what the arguments or the lines say.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let from_options = job(&args)?;
    if args.payload.is_some() || args.file.is_some() {
        return one(&args, from_options, client, out).await;
    }
    if args.idempotency_key.is_some() {
        return Err(Misuse::error("--idempotency-key is for one job; give it with --payload or --file"));
    }
    if std::io::stdin().is_terminal() {
        return Err(Misuse::error("give a payload with --payload or --file, or jobs on standard input"));
    }
    lines(&args.queue, &from_options, std::io::stdin().lock(), client, out).await
}

async fn one(args: &Args, job: NewJob<'_>, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let keyed = match &args.idempotency_key {
        Some(key) => client.with_idempotency_key(key).map_err(|error| Misuse(error.to_string()))?,
        None => client.clone(),
    };
    let enqueued = keyed.enqueue(&args.queue, &job).await?;
    if out.style().is_json() {
        out.json(&enqueued)?;
        return Ok(());
    }
    let word = enqueued.state.to_string();
    let word = out.style().paint(paint_of_state(&word), &word);
    let duplicate = if enqueued.duplicate { " (it was there already)" } else { "" };
    out.line(format!("{} {word}{duplicate}", enqueued.id))?;
    Ok(())
}

/// Reads jobs line by line and sends them in lists.
async fn lines(
    queue: &str,
    options: &NewJob<'_>,
    mut input: impl BufRead,
    client: &Client,
    out: &mut Out,
) -> anyhow::Result<()> {
    let mut batch = Batch::default();
    let mut done = Done::default();
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let length = input.read_line(&mut line).with_context(|| format!("cannot read line {number}"))?;
        if length == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        match read::read::<NewJob<'_>>(&line) {
            Ok(job) => batch.push(number, filled(job, options), length),
            Err(refusal) => {
                // Those before it go first, so that results come in the order of the lines.
                done.send(queue, &mut batch, client, out).await?;
                done.take(number, EnqueueResult::Refused { error: *refusal }, out)?;
            }
        }
        if batch.is_full() {
            done.send(queue, &mut batch, client, out).await?;
        }
    }
    done.send(queue, &mut batch, client, out).await?;
    out.line(format!("{} enqueued, {} there already, {} refused", done.new, done.duplicates, done.refused))?;
    match done.refused {
        0 => Ok(()),
        refused => Err(ItemsRefused { refused, all: done.new + done.duplicates + refused }.into()),
    }
}

/// Jobs that go out together, with the lines they came from.
#[derive(Default)]
struct Batch {
    jobs: Vec<NewJob<'static>>,
    lines: Vec<usize>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, line: usize, job: NewJob<'static>, bytes: usize) {
        self.jobs.push(job);
        self.lines.push(line);
        self.bytes += bytes;
    }

    fn is_full(&self) -> bool {
        self.jobs.len() == LIST_ITEMS_MAX || self.bytes >= LIST_BYTES
    }
}

/// What has come of the lines so far.
#[derive(Default)]
struct Done {
    new: usize,
    duplicates: usize,
    refused: usize,
}

impl Done {
    async fn send(
        &mut self,
        queue: &str,
        batch: &mut Batch,
        client: &Client,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let batch = std::mem::take(batch);
        if batch.jobs.is_empty() {
            return Ok(());
        }
        let first = batch.lines[0];
        let results = client
            .enqueue_list(queue, &batch.jobs)
            .await
            .with_context(|| format!("from line {first} on nothing is known to be enqueued"))?;
        for (line, result) in batch.lines.iter().zip(results) {
            self.take(*line, result, out)?;
        }
        Ok(())
    }

    fn take(&mut self, line: usize, result: EnqueueResult, out: &mut Out) -> std::io::Result<()> {
        show_result(out, line, &result)?;
        match result {
            EnqueueResult::Refused { .. } => self.refused += 1,
            EnqueueResult::Enqueued { duplicate: true, .. } => self.duplicates += 1,
            EnqueueResult::Enqueued { .. } => self.new += 1,
        }
        Ok(())
    }
}

/// For programs every result; for people only what went wrong, and the sum at the end.
fn show_result(out: &mut Out, line: usize, result: &EnqueueResult) -> std::io::Result<()> {
    if out.style().is_json() {
        return out.json(result);
    }
    if let EnqueueResult::Refused { error } = result {
        let word = out.style().paint(Paint::Bad, "refused");
        out.line(format!("line {line} {word}: {error}"))?;
    }
    Ok(())
}

/// The job that the options describe.
fn job(args: &Args) -> anyhow::Result<NewJob<'static>> {
    let (payload, payload_base64) = payload(args)?;
    let text = |text: &Option<String>| text.clone().map(Text::from);
    Ok(NewJob {
        kind: text(&args.kind),
        payload,
        payload_base64,
        priority: args.priority,
        run_at: args.run_at,
        delay_ms: args.delay.map(|delay| delay.0),
        expires_at: args.expires_at,
        expires_in_ms: args.expires_in.map(|span| span.0),
        ordering_key: text(&args.ordering_key),
        on_failure: args.on_failure,
        fairness_key: text(&args.fairness_key),
        unique: args.unique.clone().map(|key| Unique {
            key: key.into(),
            until: args.unique_until,
            duration_ms: args.unique_duration.map(|span| span.0),
            on_conflict: args.on_conflict,
        }),
        retry: args.retry.policy(),
        dependency: text(&args.dependency),
        traceparent: text(&args.traceparent),
        metadata: (!args.metadata.is_empty())
            .then(|| args.metadata.iter().cloned().collect::<Metadata<'_>>()),
    })
}

/// The payload in the field it belongs to.
fn payload(args: &Args) -> anyhow::Result<(Option<RawJson<'static>>, Option<Text<'static>>)> {
    let text = match (&args.payload, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => {
            let cannot = || format!("cannot read {}", path.display());
            let mut bytes = Vec::new();
            std::fs::File::open(path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .with_context(cannot)?;
            if args.bytes {
                return Ok((None, Some(tidegate::api::syntax::encode_base64(&bytes).into())));
            }
            String::from_utf8(bytes)
                .map_err(|_| Misuse(format!("{} is no text; use --bytes", path.display())))?
        }
        (None, None) => return Ok((None, None)),
    };
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&text).map_err(|error| {
        Misuse(format!("the payload is not JSON: {error} (text needs its quotes: '\"text\"')"))
    })?;
    Ok((Some(raw.into()), None))
}

/// A line's job with what the options say and it does not. What excludes each other stays as the line has it.
pub(crate) fn filled(job: NewJob<'_>, options: &NewJob<'_>) -> NewJob<'static> {
    let text =
        |own: Option<Text<'_>>, other: &Option<Text<'_>>| own.or_else(|| other.clone()).map(Text::into_owned);
    let when_said = job.run_at.is_some() || job.delay_ms.is_some();
    let expiry_said = job.expires_at.is_some() || job.expires_in_ms.is_some();
    NewJob {
        kind: text(job.kind, &options.kind),
        payload: job.payload.map(RawJson::into_owned),
        payload_base64: job.payload_base64.map(Text::into_owned),
        priority: job.priority.or(options.priority),
        run_at: if when_said { job.run_at } else { options.run_at },
        delay_ms: if when_said { job.delay_ms } else { options.delay_ms },
        expires_at: if expiry_said { job.expires_at } else { options.expires_at },
        expires_in_ms: if expiry_said { job.expires_in_ms } else { options.expires_in_ms },
        ordering_key: text(job.ordering_key, &options.ordering_key),
        on_failure: job.on_failure.or(options.on_failure),
        fairness_key: text(job.fairness_key, &options.fairness_key),
        unique: job.unique.or_else(|| options.unique.clone()).map(|unique| Unique {
            key: unique.key.into_owned(),
            until: unique.until,
            duration_ms: unique.duration_ms,
            on_conflict: unique.on_conflict,
        }),
        retry: job.retry.or(options.retry),
        dependency: text(job.dependency, &options.dependency),
        traceparent: text(job.traceparent, &options.traceparent),
        metadata: job.metadata.or_else(|| options.metadata.clone()).map(Metadata::into_owned),
    }
}
