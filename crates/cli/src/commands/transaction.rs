//! `tidegate transaction`: several operations, all of them or none.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tidegate::Client;
use tidegate::api::read::read_utf8;
use tidegate::api::refusal::Refused;
use tidegate::api::transaction::{OperationResult, TransactionRequest};

use super::pool::{Keyed, grant};
use crate::failure::Misuse;
use crate::output::{Out, Paint, Style};

const EXAMPLES: &str = "\
Examples:
  tidegate transaction enrol.json
  tidegate transaction enrol.json --idempotency-key anna-1
  tidegate transaction <<'END'
  {\"if\": [{\"has_none\": {\"holder\": \"anna\", \"pools\": [\"cs101-b@autumn\"]}}],
   \"do\": [{\"take\": {\"pool\": \"cs101-a@autumn\", \"holder\": \"anna\"}},
          {\"enqueue\": {\"queue\": \"mail@autumn\", \"payload\": \"anna\"}}]}
  END

What is in the file is what POST /v1/transactions takes. If an operation is refused or a condition does not hold, nothing was done, and the message says which one it was.";

/// Do several things to pools and jobs, all of them or none
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A file of JSON; standard input if there is none
    file: Option<PathBuf>,

    #[command(flatten)]
    keyed: Keyed,
}

/// Does it.
pub(crate) async fn run(args: Args, client: Client, style: Style) -> anyhow::Result<()> {
    let body = read(args.file.as_deref())?;
    let misuse = |refused: Refused| Misuse::error(refused.to_string());
    let request = TransactionRequest::read(read_utf8(&body).map_err(misuse)?).map_err(misuse)?;
    let done = args.keyed.client(&client)?.transact(&request).await?;
    let mut out = Out::new(style);
    for result in &done.results {
        match result {
            _ if style.is_json() => out.json(result)?,
            OperationResult::Grant(granted) => grant::show(granted, &mut out)?,
            OperationResult::Waiting(waiting) => grant::show_waiting(waiting, &mut out)?,
            OperationResult::Job(job) => {
                let id = style.paint(Paint::Head, &job.id.to_string());
                let queue = job.queue.as_ref().map(|queue| format!(" in {queue}")).unwrap_or_default();
                let duplicate = if job.duplicate { ", which was there already" } else { "" };
                out.line(format!("{id}  {}{queue}{duplicate}", job.state))?;
            }
        }
    }
    out.finish()?;
    Ok(())
}

fn read(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    match file {
        Some(file) => {
            body = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Misuse::error("say a file, or give the transaction on standard input"));
        }
        None => {
            std::io::stdin().lock().read_to_end(&mut body).context("standard input cannot be read")?;
        }
    }
    Ok(body)
}
