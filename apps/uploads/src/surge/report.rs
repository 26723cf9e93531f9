//! What a run came to, for people and, with `--json`, for programs.

use std::{fmt::Write, time::Duration};

use app_kit::{
    duration,
    words::{Style, thousands},
};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    account::{Findings, Verdict},
    load::Tally,
    plan::{Phase, Plan},
    sample::Sample,
};

/// Everything about a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The name in all keys and addresses of the run.
    pub(crate) run: String,
    pub(crate) cores: usize,
    pub(crate) connections: usize,
    pub(crate) images: usize,
    /// With it the service is killed at the same moments again.
    pub(crate) seed: u64,
    pub(crate) phases: Vec<PhaseRow>,
    pub(crate) accepted: u64,
    pub(crate) retries: Vec<Retries>,
    /// Acceptances that the service had given before, and gave again for the same key.
    pub(crate) replayed: u64,
    /// Refusals and strange answers, the first few.
    pub(crate) examples: Vec<String>,
    pub(crate) kills: Vec<Kill>,
    pub(crate) workers_away_ms: Option<u64>,
    pub(crate) cpu: Cpu,
    pub(crate) drain: Drain,
    pub(crate) account: Option<Verdict>,
    /// Whatever else was wrong.
    pub(crate) failures: Vec<String>,
    pub(crate) chart: String,
    pub(crate) samples: Vec<Sample>,
}

/// One phase of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PhaseRow {
    pub(crate) phase: &'static str,
    pub(crate) seconds: f64,
    pub(crate) uploads: u64,
    pub(crate) offered_per_s: f64,
    /// Accepted while the phase lasted.
    pub(crate) achieved_per_s: f64,
    /// From the moment an upload was due until it was accepted.
    pub(crate) latency_us: Latency,
    /// Refused, or not answered at all.
    pub(crate) errors: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Retries {
    pub(crate) cause: &'static str,
    pub(crate) count: u64,
}

/// The service was killed, and how long it was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Kill {
    pub(crate) at_ms: u64,
    pub(crate) away_ms: u64,
}

/// Who used the machine while uploads came in. Shares are of one core.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub(crate) generator_cores: Option<f64>,
    /// Of the generator, for one upload.
    pub(crate) generator_us_per_upload: Option<f64>,
    pub(crate) generator_cores_in_surge: Option<f64>,
    pub(crate) service_cores: Option<f64>,
    pub(crate) service_cores_in_surge: Option<f64>,
}

/// How the backlog was worked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Drain {
    /// From the start of the run until nothing waited; `None` if that did not happen in time.
    pub(crate) worked_off_at_ms: Option<u64>,
    /// The same from the end of the surge; 0 if nothing waited even then.
    pub(crate) after_surge_ms: Option<u64>,
    /// The most jobs that waited at once, over all queues.
    pub(crate) waiting_max: u64,
}

impl Report {
    /// True when the run was all it should be.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty()
            && self.phases.iter().all(|phase| phase.errors == 0)
            && self.account.as_ref().is_some_and(Verdict::agrees)
    }

    /// The report in words and figures.
    pub(crate) fn text(&self, style: Style) -> String {
        let mut text = String::new();
        self.write(&mut text, style).expect("memory takes every write");
        text
    }

    fn write(&self, text: &mut String, style: Style) -> std::fmt::Result {
        writeln!(text, "{}", style.head("accepting, from the moment each upload was due"))?;
        writeln!(
            text,
            "{:<11} {:>8} {:>11} {:>11} {:>10} {:>9} {:>9} {:>9} {:>9} {:>7}",
            "phase", "seconds", "offered/s", "accepted/s", "uploads", "p50", "p95", "p99", "max", "errors"
        )?;
        for row in &self.phases {
            let latency = row.latency_us;
            let [p50, p95, p99, max] =
                [latency.p50, latency.p95, latency.p99, latency.max].map(|us| match latency.count {
                    0 => "-".to_owned(),
                    _ => duration::latency(us),
                });
            let errors = format!("{:>7}", thousands(row.errors));
            writeln!(
                text,
                "{:<11} {:>8.1} {:>11} {:>11} {:>10} {p50:>9} {p95:>9} {p99:>9} {max:>9} {}",
                row.phase,
                row.seconds,
                thousands(row.offered_per_s.round() as u64),
                thousands(row.achieved_per_s.round() as u64),
                thousands(row.uploads),
                if row.errors > 0 { style.bad(&errors) } else { errors },
            )?;
        }
        let retries: Vec<String> =
            self.retries.iter().map(|retry| format!("{} {}", retry.cause, thousands(retry.count))).collect();
        let sent_again: u64 = self.retries.iter().map(|retry| retry.count).sum();
        match sent_again {
            0 => writeln!(text, "sent again  0")?,
            _ => writeln!(
                text,
                "sent again  {} ({}); {} answers were those of an earlier try",
                thousands(sent_again),
                retries.join(", "),
                thousands(self.replayed)
            )?,
        }
        if !self.kills.is_empty() {
            let kill = |kill: &Kill| format!("at {}, away {}", seconds(kill.at_ms), seconds(kill.away_ms));
            let kills: Vec<String> = self.kills.iter().map(kill).collect();
            writeln!(text, "killed      {} (--seed {})", kills.join("; "), self.seed)?;
        }
        if let Some(away_ms) = self.workers_away_ms {
            writeln!(
                text,
                "workers     all ended as the peak began, started again {} later",
                seconds(away_ms)
            )?;
        }
        writeln!(text, "processor   {}", self.cpu.text(self.cores))?;
        writeln!(text, "backlog     {}", self.drain.text())?;
        writeln!(text, "chart       {}", self.chart)?;
        for example in &self.examples {
            writeln!(text, "{} {example}", style.bad("answer"))?;
        }
        for failure in &self.failures {
            writeln!(text, "{} {failure}", style.bad("wrong"))?;
        }
        match &self.account {
            Some(verdict) => write_verdict(text, verdict, style),
            None => writeln!(text, "{}", style.bad("nothing is accounted for")),
        }
    }
}

fn write_verdict(text: &mut String, verdict: &Verdict, style: Style) -> std::fmt::Result {
    let kinds = [("missing", &verdict.missing), ("doubled", &verdict.doubled), ("made up", &verdict.made_up)];
    for (name, Findings { count, first }) in kinds.into_iter().filter(|(_, findings)| findings.count > 0) {
        writeln!(text, "{} {}", style.bad(name), thousands(*count))?;
        for finding in first {
            writeln!(text, "  {finding}")?;
        }
        if *count > first.len() as u64 {
            writeln!(text, "  … and {} more", thousands(*count - first.len() as u64))?;
        }
    }
    for (step, causes) in &verdict.dead {
        for (cause, count) in causes {
            writeln!(text, "dead letters of {step}: {} × {cause}", thousands(*count))?;
        }
    }
    if verdict.accepted_unanswered > 0 {
        let count = thousands(verdict.accepted_unanswered);
        writeln!(
            text,
            "{count} uploads without an answer had been accepted, and are judged with the others"
        )?;
    }
    let line = summary(verdict);
    writeln!(text, "{}", if verdict.agrees() { style.good(&line) } else { style.bad(&line) })
}

/// The one line that says whether everything is there.
pub(crate) fn summary(verdict: &Verdict) -> String {
    let in_maildir = match verdict.mails {
        Some(mails) => format!(" ({} in the mailboxes)", thousands(mails)),
        None => " (mailboxes not looked into: no --data)".to_owned(),
    };
    let wrong = match verdict.agrees() {
        true => "nothing missing, doubled or made up".to_owned(),
        false => format!(
            "{} missing, {} doubled, {} made up",
            thousands(verdict.missing.count),
            thousands(verdict.doubled.count),
            thousands(verdict.made_up.count)
        ),
    };
    format!(
        "accounted for {} of {} uploads: {} thumbnails, {} emails{in_maildir}, {} notifications, {} dead letters; {wrong}",
        thousands(verdict.accounted),
        thousands(verdict.accepted),
        thousands(verdict.thumbnails),
        thousands(verdict.emails),
        thousands(verdict.notifications),
        thousands(verdict.dead_letters()),
    )
}

impl Cpu {
    fn text(&self, cores: usize) -> String {
        let share = |share: Option<f64>| share.map_or("?".to_owned(), |share| format!("{share:.2}"));
        let each = self.generator_us_per_upload.map_or(String::new(), |us| format!(", {us:.0} µs an upload"));
        format!(
            "of {cores} cores: in the surge generator {}, service {}; in the whole run {} and {}{each} of the generator",
            share(self.generator_cores_in_surge),
            share(self.service_cores_in_surge),
            share(self.generator_cores),
            share(self.service_cores),
        )
    }
}

impl Drain {
    fn text(&self) -> String {
        let most = format!("at most {} jobs waited", thousands(self.waiting_max));
        match self.after_surge_ms {
            Some(0) => format!("{most}; none when the surge was over"),
            Some(ms) => {
                format!("{most}; worked off {} after the surge", duration::span(Duration::from_millis(ms)))
            }
            None => format!("{most}; not worked off in time"),
        }
    }
}

/// The rows of a run.
pub(crate) fn rows(plan: &Plan, tally: &Tally) -> Vec<PhaseRow> {
    let row = |phase: Phase| {
        let (start, end) = plan.span(phase);
        let seconds = (end - start).as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let found = &tally.phases[phase as usize];
        let uploads = plan.uploads_in(phase) as u64;
        PhaseRow {
            phase: phase.name(),
            seconds,
            uploads,
            offered_per_s: rate(uploads),
            achieved_per_s: rate(found.accepted_meanwhile),
            latency_us: latency(&found.latency_us),
            errors: found.errors,
        }
    };
    Phase::ALL.into_iter().map(row).filter(|row| row.seconds > 0.0).collect()
}

fn latency(histogram: &Histogram<u32>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Latency { count: histogram.len(), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: histogram.max() }
}

fn seconds(ms: u64) -> String {
    duration::span(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Verdict {
        Verdict {
            accepted: 1_200,
            accounted: 1_200,
            thumbnails: 3_597,
            emails: 1_200,
            notifications: 1_200,
            mails: Some(1_200),
            dead: [("thumbnail", [("not an image".to_owned(), 1)].into())].into(),
            ..Verdict::default()
        }
    }

    fn report(account: Option<Verdict>) -> Report {
        let latency_us = Latency { count: 1_200, p50: 900, p95: 2_000, p99: 12_300, max: 1_400_000 };
        let row = PhaseRow {
            phase: "surge",
            seconds: 10.1,
            uploads: 1_200,
            offered_per_s: 118.8,
            achieved_per_s: 117.6,
            latency_us,
            errors: 0,
        };
        Report {
            run: "surge-00000001".into(),
            cores: 2,
            connections: 256,
            images: 64,
            seed: 7,
            phases: vec![row],
            accepted: 1_200,
            retries: vec![Retries { cause: "connection broke", count: 12 }],
            replayed: 3,
            examples: vec![],
            kills: vec![Kill { at_ms: 4_200, away_ms: 300 }],
            workers_away_ms: None,
            cpu: Cpu {
                generator_cores: Some(0.2),
                generator_us_per_upload: Some(21.4),
                generator_cores_in_surge: Some(0.25),
                service_cores: None,
                service_cores_in_surge: None,
            },
            drain: Drain { worked_off_at_ms: Some(90_000), after_surge_ms: Some(76_900), waiting_max: 2_000 },
            account,
            failures: vec![],
            chart: "surge.svg".into(),
            samples: vec![],
        }
    }

    #[test]
    fn a_good_run_says_so_in_one_line() {
        let report = report(Some(verdict()));
        let text = report.text(Style::PLAIN);
        assert!(report.is_good());
        for part in [
            "1.40 s       0\n",
            "sent again  12 (connection broke 12); 3 answers",
            "at 4.2 s, away 0.3 s (--seed 7)",
            "worked off 76.9 s after the surge",
            "generator 0.25, service ?",
            "dead letters of thumbnail: 1 × not an image",
            "accounted for 1,200 of 1,200 uploads: 3,597 thumbnails, 1,200 emails (1,200 in the mailboxes), \
             1,200 notifications, 1 dead letters; nothing missing, doubled or made up\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_run_with_anything_wrong_is_not_good() {
        let missing = Findings { count: 12, first: vec!["upload a is not in the account".into()] };
        let bad = Verdict { accounted: 1_188, missing, ..verdict() };
        let found = report(Some(bad));
        assert!(!found.is_good());
        let text = found.text(Style::PLAIN);
        assert!(text.contains("missing 12\n  upload a is not in the account\n  … and 11 more\n"), "{text}");
        assert!(text.ends_with("12 missing, 0 doubled, 0 made up\n"), "{text}");

        assert!(!report(None).is_good());
        let mut errors = report(Some(verdict()));
        errors.phases[0].errors = 1;
        assert!(!errors.is_good());
        assert!(!Report { failures: vec!["x".into()], ..report(Some(verdict())) }.is_good());
    }

    #[test]
    fn json_has_everything() {
        let json = serde_json::to_value(report(Some(verdict()))).expect("JSON");
        assert_eq!(json["phases"][0]["latency_us"]["p99"], 12_300);
        assert_eq!(json["account"]["dead"]["thumbnail"]["not an image"], 1);
        assert_eq!(json["kills"][0]["away_ms"], 300);
    }
}
