//! What a day came to, for people and, with `--json`, for programs.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use app_kit::{
    duration,
    words::{Style, thousands},
};
use enrollment::seats::Strategy;
use serde::Serialize;

use super::{
    act::Events,
    audit::{Moment, Verdict},
    load::{Tally, Timed, What},
    progress::Contention,
};

/// Everything about a day.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) strategy: Strategy,
    /// The servers that decide, with the settings that were read back from them.
    pub(crate) servers: Vec<String>,
    pub(crate) students: u32,
    pub(crate) sections: u32,
    pub(crate) seed: u64,
    pub(crate) cores: usize,
    pub(crate) figures: Figures,
    /// How often a request was sent again, by cause.
    pub(crate) retries: BTreeMap<&'static str, u64>,
    pub(crate) contention: Option<Contention>,
    pub(crate) kills: Vec<Span>,
    pub(crate) outage: Option<Span>,
    /// From the last answer until nothing was left to do downstream; `None` if that did not happen in time.
    pub(crate) quiet_after_ms: Option<u64>,
    pub(crate) cpu: Cpu,
    pub(crate) verdict: Option<Verdict>,
    /// Whatever else was wrong.
    pub(crate) failures: Vec<String>,
    /// The first strange answers.
    pub(crate) examples: Vec<String>,
    pub(crate) chart: Option<String>,
}

/// A time in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Span {
    pub(crate) at_ms: u64,
    pub(crate) for_ms: u64,
}

impl Span {
    pub(crate) fn of((from, to): (Duration, Duration)) -> Span {
        Span { at_ms: from.as_millis() as u64, for_ms: (to - from).as_millis() as u64 }
    }
}

/// What can be counted and timed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Presses of the enrol button, and how long each waited for its answer.
    pub(crate) clicks: Latency,
    /// Those of them during which nothing was being killed or started.
    pub(crate) clicks_outside_kills: Latency,
    /// The longest of these, and what it waited for.
    pub(crate) longest_outside_kills: Option<Longest>,
    pub(crate) looks: Latency,
    pub(crate) looks_outside_kills: Latency,
    pub(crate) looks_given_up: u64,
    pub(crate) enrolments: u64,
    /// From the opening until nine in ten of all enrolments were made.
    pub(crate) enrolments_per_s: f64,
    /// In the best second.
    pub(crate) enrolments_per_s_max: u64,
    pub(crate) refused: u64,
}

/// How long something took, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p95_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

impl Latency {
    /// The exact quantiles of these.
    pub(crate) fn of(mut all: Vec<u64>) -> Latency {
        all.sort_unstable();
        let at = |quantile: f64| {
            let rank = (quantile * all.len() as f64).ceil() as usize;
            all.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        Latency {
            count: all.len() as u64,
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            max_us: at(1.0),
        }
    }
}

/// One press, taken apart: what is neither for a connection nor between two tries was waiting for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Longest {
    pub(crate) pressed_ms: u64,
    /// From the portal's being back from the kill before; none if there was no kill before.
    pub(crate) after_kill_ms: Option<u64>,
    pub(crate) took_ms: u64,
    /// For a connection.
    pub(crate) stood_ms: u64,
    /// Between two tries.
    pub(crate) paused_ms: u64,
    /// How often it was sent again.
    pub(crate) again: u32,
}

impl Longest {
    fn of(timed: &Timed, kills: &[(Moment, Moment)]) -> Longest {
        let back = kills.iter().map(|(_, back)| *back).filter(|back| *back <= timed.pressed).max();
        let ms = |us: Moment| us / 1_000;
        Longest {
            pressed_ms: ms(timed.pressed),
            after_kill_ms: back.map(|back| ms(timed.pressed - back)),
            took_ms: ms(timed.answered - timed.pressed),
            stood_ms: timed.waits.stood.as_millis() as u64,
            paused_ms: timed.waits.paused.as_millis() as u64,
            again: timed.waits.again,
        }
    }

    fn words(&self) -> String {
        let Longest { pressed_ms, after_kill_ms, took_ms, stood_ms, paused_ms, again } = *self;
        let after = after_kill_ms.map_or_else(String::new, |after| format!(", {after} ms after a restart"));
        let answer_ms = took_ms.saturating_sub(stood_ms + paused_ms);
        format!(
            "the longest outside the kills was pressed at {}{after}: {stood_ms} ms for a connection, \
             {paused_ms} ms before it was sent again {again} times, {answer_ms} ms for an answer",
            ms(pressed_ms)
        )
    }
}

/// Who used the machine from the first arrival to the last answer. Shares are of one core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) load_cores: f64,
    pub(crate) portal_cores: f64,
    /// PostgreSQL, Redis, or the queue server.
    pub(crate) servers_cores: f64,
}

impl Figures {
    pub(crate) fn of(tally: &Tally, events: &Events, opens: Duration) -> Figures {
        let kills: Vec<(Moment, Moment)> = events
            .kills
            .iter()
            .map(|(from, to)| (from.as_micros() as Moment, to.as_micros() as Moment))
            .collect();
        let outside =
            |timed: &&Timed| kills.iter().all(|(from, to)| timed.answered < *from || timed.pressed > *to);
        let of = |what: What| tally.timed.iter().filter(move |timed| timed.what == what);
        let latency = |timed: &Timed| timed.answered - timed.pressed;
        let (enrolments_per_s, enrolments_per_s_max) = rates(&tally.enrolled, opens.as_micros() as Moment);
        Figures {
            clicks: Latency::of(of(What::Enrol).map(latency).collect()),
            clicks_outside_kills: Latency::of(of(What::Enrol).filter(outside).map(latency).collect()),
            longest_outside_kills: of(What::Enrol)
                .filter(outside)
                .max_by_key(|timed| latency(timed))
                .map(|timed| Longest::of(timed, &kills)),
            looks: Latency::of(of(What::Look).map(latency).collect()),
            looks_outside_kills: Latency::of(of(What::Look).filter(outside).map(latency).collect()),
            looks_given_up: tally.looks_given_up,
            enrolments: tally.enrolled.len() as u64,
            enrolments_per_s,
            enrolments_per_s_max,
            refused: tally.refused,
        }
    }
}

/// Enrolments a second until nine in ten were made, and in the best second.
fn rates(enrolled: &[Moment], opens: Moment) -> (f64, u64) {
    const SECOND: Moment = 1_000_000;
    let mut moments: Vec<Moment> = enrolled.to_vec();
    moments.sort_unstable();
    let most = moments.len() * 9 / 10;
    let Some(end) = most.checked_sub(1).map(|last| moments[last]) else { return (0.0, 0) };
    let seconds = (end.saturating_sub(opens) as f64 / SECOND as f64).max(1e-3);
    let best = (0..moments.len())
        .map(|first| moments[first..].partition_point(|at| *at < moments[first] + SECOND))
        .max();
    (most as f64 / seconds, best.unwrap_or(0) as u64)
}

impl Report {
    /// True when the day was all it should be.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty() && self.verdict.as_ref().is_some_and(Verdict::is_clean)
    }

    /// The report in words and figures.
    pub(crate) fn text(&self, style: Style) -> String {
        let mut text = String::new();
        self.write(&mut text, style).expect("memory takes every write");
        text
    }

    fn write(&self, text: &mut String, style: Style) -> std::fmt::Result {
        let Figures { clicks, clicks_outside_kills, looks, looks_outside_kills, .. } = &self.figures;
        for server in &self.servers {
            writeln!(text, "{server}")?;
        }
        let head = format!(
            "{:<30} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "from press to answer", "number", "p50", "p95", "p99", "max"
        );
        writeln!(text, "{}", style.head(&head))?;
        for (name, latency) in [
            ("enrol, outside the kills", clicks_outside_kills),
            ("enrol, all", clicks),
            ("look, outside the kills", looks_outside_kills),
            ("look, all", looks),
        ] {
            let [p50, p95, p99, max] =
                [latency.p50_us, latency.p95_us, latency.p99_us, latency.max_us].map(duration::latency);
            writeln!(text, "{name:<30} {:>9} {p50:>9} {p95:>9} {p99:>9} {max:>9}", thousands(latency.count))?;
        }
        let figures = &self.figures;
        if let Some(longest) = &figures.longest_outside_kills {
            writeln!(text, "{}", longest.words())?;
        }
        writeln!(
            text,
            "{} enrolments: {:.0}/s until nine in ten were made, {} in the best second; {} clicks refused",
            thousands(figures.enrolments),
            figures.enrolments_per_s,
            thousands(figures.enrolments_per_s_max),
            thousands(figures.refused),
        )?;
        if let Some(Contention { conflicts, retries }) = self.contention {
            writeln!(text, "conflicts {}, tried again {}", thousands(conflicts), thousands(retries))?;
        }
        if !self.retries.is_empty() {
            let causes: Vec<String> =
                self.retries.iter().map(|(cause, count)| format!("{cause} {}", thousands(*count))).collect();
            writeln!(text, "sent again: {}", causes.join(", "))?;
        }
        if figures.looks_given_up > 0 {
            writeln!(text, "{} looks were given up", thousands(figures.looks_given_up))?;
        }
        for kill in &self.kills {
            writeln!(text, "killed at {}, away {} (--seed {})", ms(kill.at_ms), ms(kill.for_ms), self.seed)?;
        }
        if let Some(outage) = self.outage {
            writeln!(text, "the fee ledger was down from {} for {}", ms(outage.at_ms), ms(outage.for_ms))?;
        }
        match self.quiet_after_ms {
            Some(after) => writeln!(text, "all was done downstream {} after the last answer", ms(after))?,
            None => writeln!(text, "{}", style.bad("not all was done downstream in time"))?,
        }
        writeln!(
            text,
            "of {} cores: load {:.2}, portal {:.2}, servers {:.2}",
            self.cores, self.cpu.load_cores, self.cpu.portal_cores, self.cpu.servers_cores
        )?;
        if let Some(chart) = &self.chart {
            writeln!(text, "chart in {chart}")?;
        }
        for example in &self.examples {
            writeln!(text, "{} {example}", style.bad("strange"))?;
        }
        for failure in &self.failures {
            writeln!(text, "{} {failure}", style.bad("wrong"))?;
        }
        match &self.verdict {
            Some(verdict) => write_verdict(text, verdict, style),
            None => writeln!(text, "{}", style.bad("there was no audit")),
        }
    }
}

fn write_verdict(text: &mut String, verdict: &Verdict, style: Style) -> std::fmt::Result {
    for (kind, findings) in verdict.kinds().into_iter().filter(|(_, findings)| findings.count > 0) {
        writeln!(text, "{} {}", style.bad(kind), thousands(findings.count))?;
        for finding in &findings.first {
            writeln!(text, "  {finding}")?;
        }
    }
    let kinds: Vec<String> =
        verdict.kinds().iter().map(|(kind, found)| format!("{kind} {}", thousands(found.count))).collect();
    let line = format!(
        "audit of {} seats: {} clicks enrolled, {} rightly sold out, {} rightly not eligible, {} dropped, {} unanswered; {}",
        thousands(verdict.seats),
        thousands(verdict.enrolled),
        thousands(verdict.sold_out),
        thousands(verdict.not_eligible),
        thousands(verdict.dropped),
        thousands(verdict.unanswered),
        kinds.join(", "),
    );
    writeln!(text, "{}", if verdict.is_clean() { style.good(&line) } else { style.bad(&line) })
}

fn ms(ms: u64) -> String {
    duration::span(Duration::from_millis(ms))
}

#[cfg(test)]
#[path = "report_tests.rs"]
pub(crate) mod tests;
