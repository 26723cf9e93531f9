//! Looking into a data directory: which logs it has, and what their records say, as JSON.

mod pools;
mod record_json;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context;
use prost::Message;
use tidegate_core::record::RecordMessage;
use tidegate_core::state::{State, StateLimits};
use tidegate_core::{Record, Time};
use tidegate_log::Sequence;
use tidegate_log::inspect::{FoundFrame, Inspector, Report};

use crate::failure::Misuse;

pub(crate) use record_json::to_json;

/// One shard's log in a data directory.
pub(crate) struct ShardLog {
    pub(crate) shard: u16,
    pub(crate) directory: PathBuf,
}

/// The logs of a data directory, or the one log if the directory is one.
pub(crate) fn logs_of(directory: &Path) -> anyhow::Result<Vec<ShardLog>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
    let mut logs = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", directory.display()))?;
        let name = entry.file_name();
        if let Some(shard) = name.to_str().and_then(|name| name.strip_prefix("shard-")?.parse().ok()) {
            logs.push(ShardLog { shard, directory: entry.path() });
        }
    }
    if logs.is_empty() {
        let shard =
            directory.file_name().and_then(|name| name.to_str()?.strip_prefix("shard-")?.parse().ok());
        logs.push(ShardLog { shard: shard.unwrap_or(0), directory: directory.to_owned() });
    }
    if let Some(shards) = tidegate_engine::shards_in(directory)
        && let Some(missing) =
            (0..shards).find(|shard| logs.iter().all(|log| log.shard != *shard || !log.directory.is_dir()))
    {
        anyhow::bail!(
            "{} was made with {shards} shard(s) and shard-{missing} is missing",
            directory.display()
        );
    }
    logs.sort_unstable_by_key(|log| log.shard);
    Ok(logs)
}

impl ShardLog {
    /// Goes through the log's frames and verifies each; see [`Inspector::walk`].
    pub(crate) fn walk(
        &self,
        from: Sequence,
        each: impl FnMut(FoundFrame<'_>) -> ControlFlow<()>,
    ) -> anyhow::Result<Report> {
        let inspector = Inspector::open(&self.directory).map_err(|error| {
            Misuse(format!("{} is no data directory of Tidegate: {error}", self.directory.display()))
        })?;
        Ok(inspector.walk(from, each)?)
    }

    /// What a server would know after opening this log.
    pub(crate) fn replay(&self) -> anyhow::Result<(State, Report)> {
        let mut state = State::new(self.shard, StateLimits::default());
        let mut unreadable: Option<(Sequence, String)> = None;
        let report = self.walk(Sequence::ZERO, |frame| {
            state.begin_turn(frame.header.sequence.0, Time(frame.header.time_ms));
            match records_of(frame.records) {
                Ok(records) => match records.iter().flatten().try_for_each(Record::possible) {
                    Ok(()) => records.iter().flatten().for_each(|record| state.apply(record)),
                    Err(impossible) => {
                        unreadable = Some((frame.header.sequence, impossible.to_string()));
                        return ControlFlow::Break(());
                    }
                },
                Err(error) => {
                    unreadable = Some((frame.header.sequence, error.to_string()));
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some((sequence, error)) = unreadable {
            anyhow::bail!("frame {sequence} of {} has unreadable records: {error}", self.directory.display());
        }
        state.finish_replay();
        Ok((state, report))
    }
}

/// The records of a frame; none for a kind that a newer version wrote.
pub(crate) fn records_of(mut bytes: &[u8]) -> Result<Vec<Option<Record>>, prost::DecodeError> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        records.push(RecordMessage::decode_length_delimited(&mut bytes)?.record);
    }
    Ok(records)
}
