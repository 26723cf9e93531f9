//! What a worker says: sentences on standard error for people, one JSON object a line on standard output for programs.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Value, json};
use tidegate::api::{lease::LeasedJob, refusal::Refusal};

use super::{Attempt, Options, verdict::Verdict};
use crate::{
    duration::rough,
    output::{Style, note},
};

/// Tells each thing once, where it happened.
pub(super) struct Journal {
    style: Style,
}

impl Journal {
    pub(super) fn new(style: Style) -> Journal {
        Journal { style }
    }

    pub(super) fn working(&self, options: &Options, server: &str) -> io::Result<()> {
        let queues = options.queues.join(", ");
        let slots = options.slots;
        let words = format!("{} works on {queues} at {server}, {slots} at a time", options.name);
        self.say(
            "working",
            words,
            json!({ "queues": options.queues, "server": server, "concurrency": slots }),
        )
    }

    pub(super) fn started(&self, job: &LeasedJob) -> io::Result<()> {
        let fields = json!({ "id": job.id, "token": job.token, "queue": job.queue, "kind": job.kind, "attempt": job.attempt });
        match self.style {
            Style::Json => self.say("started", String::new(), fields),
            Style::Human { .. } if job.attempt > 1 => self.say(
                "started",
                format!("{} attempt {} of {}", job.id, job.attempt, job.max_attempts),
                fields,
            ),
            // For people a first attempt's end says enough.
            Style::Human { .. } => Ok(()),
        }
    }

    /// A child has ended; the server does not know it yet.
    pub(super) fn ended(&self, (id, token): Attempt, ran: Duration, verdict: &Verdict) -> io::Result<()> {
        let ran_ms = ran.as_millis() as u64;
        let words = format!("{id} {} after {}", told(verdict), rough(ran_ms));
        self.say(
            "ended",
            words,
            json!({ "id": id, "token": token, "ran_ms": ran_ms, "outcome": told(verdict) }),
        )
    }

    /// The server has taken a report. People were told when the child ended.
    pub(super) fn accepted(&self, (id, token): Attempt, outcome: &str) -> io::Result<()> {
        match self.style {
            Style::Human { .. } => Ok(()),
            Style::Json => {
                self.say("accepted", String::new(), json!({ "id": id, "token": token, "outcome": outcome }))
            }
        }
    }

    pub(super) fn refused(
        &self,
        (id, token): Attempt,
        outcome: &str,
        sent_before: bool,
        refusal: &Refusal,
    ) -> io::Result<()> {
        let again = if sent_before { "; it was sent before and may have been taken then" } else { "" };
        let words = format!("{id} the server did not take that it {outcome}: {refusal}{again}");
        self.say(
            "refused",
            words,
            json!({
                "id": id, "token": token, "outcome": outcome, "code": refusal.code,
                "detail": refusal.detail, "sent_before": sent_before,
            }),
        )
    }

    pub(super) fn lost(&self, (id, token): Attempt, refusal: &Refusal) -> io::Result<()> {
        let words = format!("{id} is no longer this worker's and is stopped: {refusal}");
        self.say(
            "lost",
            words,
            json!({ "id": id, "token": token, "code": refusal.code, "detail": refusal.detail }),
        )
    }

    pub(super) fn given_up(&self, (id, token): Attempt, why: &str) -> io::Result<()> {
        let words = format!("{id} could not be reported: {why}");
        self.say("given_up", words, json!({ "id": id, "token": token, "detail": why }))
    }

    pub(super) fn cannot_run(&self, (id, token): Attempt, error: &io::Error) -> io::Result<()> {
        let words = format!("{id} the program cannot be run: {error}");
        self.say("cannot_run", words, json!({ "id": id, "token": token, "detail": error.to_string() }))
    }

    /// Said once until the server answers again.
    pub(super) fn server_away(&self, why: &str) -> io::Result<()> {
        self.say("server_away", format!("{why}; trying again"), json!({ "detail": why }))
    }

    pub(super) fn server_back(&self) -> io::Result<()> {
        self.say("server_back", "the server answers again".into(), json!({}))
    }

    pub(super) fn stopping(&self, running: usize, grace: Duration) -> io::Result<()> {
        let words = match running {
            0 => "stopping".to_owned(),
            1 => format!("stopping: one job may finish within {}", rough(grace.as_millis() as u64)),
            _ => format!("stopping: {running} jobs may finish within {}", rough(grace.as_millis() as u64)),
        };
        self.say("stopping", words, json!({ "running": running }))
    }

    pub(super) fn stopped(&self, unreported: usize) -> io::Result<()> {
        self.say("stopped", "stopped".into(), json!({ "unreported": unreported }))
    }

    fn say(&self, event: &str, words: String, mut fields: Value) -> io::Result<()> {
        match self.style {
            Style::Human { .. } => note(words),
            Style::Json => {
                fields["event"] = event.into();
                let mut stdout = io::stdout().lock();
                writeln!(stdout, "{fields}")?;
                stdout.flush()?;
            }
        }
        Ok(())
    }
}

/// A verdict in words.
pub(super) fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Completed { result_refused: None, .. } => "completed".into(),
        Verdict::Completed { result_refused: Some(why), .. } => format!("completed (no result kept: {why})"),
        Verdict::Failed { kind, fatal: true, .. } => format!("failed for good ({kind})"),
        Verdict::Failed { kind, retry_after_ms: Some(ms), .. } => {
            format!("failed ({kind}), again in {}", rough(*ms))
        }
        Verdict::Failed { kind, .. } => format!("failed ({kind})"),
        Verdict::Released => "was given back".into(),
    }
}
