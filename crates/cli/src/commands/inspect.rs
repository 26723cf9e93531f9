//! `tidegate inspect`: reads a data directory without a server.
//!
//! It never writes and takes no lock, so it may look at a directory that a server is using. The tail of a live log
//! moves while it is read; what is unfinished there is shown as such and is no damage.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::json;
use tidegate::api::time::Timestamp;
use tidegate_core::view::JobState;
use tidegate_log::Sequence;
use tidegate_log::inspect::Report;

use crate::failure::Misuse;
use crate::inspect::{self, ShardLog};
use crate::output::{Out, Paint, Style, Table, plain, thousands};

const EXAMPLES: &str = "\
Examples:
  tidegate inspect verify ./tidegate-data     is every byte what was written?
  tidegate inspect records ./tidegate-data    every record as a line of JSON
  tidegate inspect records ./tidegate-data --job 0-42
  tidegate inspect state ./tidegate-data      what a server would find there";

const VERIFY_EXAMPLES: &str = "\
Examples:
  tidegate inspect verify ./tidegate-data
  tidegate inspect verify ./tidegate-data/shard-0 --json

Ends with 1 if anything is damaged. What an unfinished write left at the end is shown and is no damage.";

const RECORDS_EXAMPLES: &str = "\
Examples:
  tidegate inspect records ./tidegate-data
  tidegate inspect records ./tidegate-data --job 0-42
  tidegate inspect records ./tidegate-data --from 1000 | head";

const STATE_EXAMPLES: &str = "\
Examples:
  tidegate inspect state ./tidegate-data
  tidegate inspect state ./tidegate-data --json";

/// Read a data directory without a server: verify it, print its records, see what it holds
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    /// Check every frame and payload; name file and offset of whatever is damaged
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Place),
    /// Print the records, one JSON value a line
    #[command(after_help = RECORDS_EXAMPLES)]
    Records(Records),
    /// Replay the log and show its queues
    #[command(after_help = STATE_EXAMPLES)]
    State(Place),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The data directory, or one shard's directory in it
    #[arg(value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Records {
    #[command(flatten)]
    place: Place,

    /// Begin at this frame of each shard
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    from: u64,

    /// Only records that name this job
    #[arg(long, value_name = "ID")]
    job: Option<String>,
}

/// Runs one of the three.
pub(crate) fn run(command: Command, style: Style) -> anyhow::Result<()> {
    match command {
        Command::Verify(place) => verify(&place, style),
        Command::Records(records) => print_records(&records, style),
        Command::State(place) => state(&place, style),
    }
}

fn verify(place: &Place, style: Style) -> anyhow::Result<()> {
    let mut out = Out::new(style);
    let mut damaged = 0;
    for log in inspect::logs_of(&place.data)? {
        let report = log.walk(Sequence::ZERO, |_| ControlFlow::Continue(()))?;
        damaged += report.damage.len();
        show_report(&mut out, &log, &report)?;
    }
    out.finish()?;
    if damaged > 0 {
        anyhow::bail!("{damaged} damaged place(s) in {}", place.data.display());
    }
    Ok(())
}

fn show_report(out: &mut Out, log: &ShardLog, report: &Report) -> anyhow::Result<()> {
    let style = out.style();
    if style.is_json() {
        let damage: Vec<_> = report
            .damage
            .iter()
            .map(|d| json!({ "file": d.file, "offset": d.offset, "what": d.defect.to_string() }))
            .collect();
        let tail = report
            .tail
            .as_ref()
            .map(|d| json!({ "file": d.file, "offset": d.offset, "what": d.defect.to_string() }));
        return Ok(out.json(&json!({
            "shard": log.shard, "segments": report.segments.len(), "frames": report.frames,
            "payloads": report.payloads, "last_sequence": report.last.0, "damage": damage, "tail": tail,
        }))?);
    }
    out.line(format!(
        "shard {}: {} segments, {} frames, {} payloads, the last frame is {}",
        log.shard,
        report.segments.len(),
        thousands(report.frames),
        thousands(report.payloads),
        report.last,
    ))?;
    if let Some(tail) = &report.tail {
        out.line(format!("  an unfinished write ends it: {tail}"))?;
        out.line("  a crash leaves such a tail, of writes nobody was told of; if there was no crash, suspect the disk")?;
    }
    for damage in &report.damage {
        out.line(style.paint(Paint::Bad, &format!("  damaged: {damage}")))?;
    }
    if report.damage.is_empty() {
        let before = if report.tail.is_some() { " before that" } else { "" };
        out.line(style.paint(Paint::Good, &format!("  every byte{before} is what was written")))?;
    }
    Ok(())
}

fn print_records(records: &Records, style: Style) -> anyhow::Result<()> {
    let job = match &records.job {
        Some(text) => Some(
            text.parse::<tidegate_core::JobId>().map_err(|error| Misuse(format!("--job {text}: {error}")))?,
        ),
        None => None,
    };
    let mut out = Out::new(style);
    let mut failed = None;
    for log in inspect::logs_of(&records.place.data)? {
        if job.is_some_and(|job| job.shard() != log.shard) {
            continue;
        }
        log.walk(Sequence(records.from), |frame| {
            let wrote = (|| -> anyhow::Result<()> {
                for record in inspect::records_of(frame.records)? {
                    let mut value = match &record {
                        Some(record) => inspect::to_json(log.shard, record),
                        None => json!({ "record": "unknown", "content": "written by a newer version" }),
                    };
                    if job.is_some_and(|job| !names(&value, &job.to_string())) {
                        continue;
                    }
                    value["shard"] = log.shard.into();
                    value["sequence"] = frame.header.sequence.0.into();
                    value["time"] = Timestamp::from_unix_ms(frame.header.time_ms).to_string().into();
                    value["file"] = frame.file.into();
                    value["offset"] = frame.offset.into();
                    out.json(&value)?;
                }
                Ok(())
            })();
            match wrote {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(out.finish()?)
}

/// Whether a value says `id` somewhere.
fn names(value: &serde_json::Value, id: &str) -> bool {
    match value {
        serde_json::Value::String(text) => text == id,
        serde_json::Value::Array(items) => items.iter().any(|item| names(item, id)),
        serde_json::Value::Object(fields) => fields.values().any(|field| names(field, id)),
        _ => false,
    }
}

fn state(place: &Place, style: Style) -> anyhow::Result<()> {
    let mut out = Out::new(style);
    let mut table = Table::new(&[
        ">SHARD",
        "QUEUE",
        "PAUSED",
        ">SCHEDULED",
        ">READY",
        ">LEASED",
        ">COMPLETED",
        ">DEAD",
        ">CANCELLED",
    ]);
    let mut any = false;
    for log in inspect::logs_of(&place.data)? {
        let (state, report) = log.replay()?;
        if let Some(damage) = report.damage.first() {
            anyhow::bail!(
                "shard {} is damaged: {damage}; `tidegate inspect verify` shows all of it",
                log.shard
            );
        }
        let mut queues = state.queues();
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for queue in queues {
            any = true;
            if style.is_json() {
                let counts: serde_json::Map<String, serde_json::Value> = JobState::ALL
                    .into_iter()
                    .map(|state| (state.as_str().to_owned(), queue.counts.of(state).into()))
                    .collect();
                out.json(&json!({ "shard": log.shard, "queue": &*queue.name, "paused": queue.paused, "counts": counts }))?;
                continue;
            }
            let count = |state| plain(thousands(queue.counts.of(state)));
            table.row([
                plain(log.shard),
                plain(&queue.name),
                plain(if queue.paused { "yes" } else { "no" }),
                count(JobState::Scheduled),
                count(JobState::Ready),
                count(JobState::Leased),
                count(JobState::Completed),
                count(JobState::Dead),
                count(JobState::Cancelled),
            ]);
        }
    }
    if any {
        out.table(&table)?;
    } else {
        out.line("no queues")?;
    }
    Ok(out.finish()?)
}
