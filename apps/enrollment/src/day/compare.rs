//! The strategies beside each other, in one table.

use std::fmt::Write;

use app_kit::{
    duration,
    words::{Style, thousands},
};
use enrollment::seats::Strategy;

use super::{audit::Verdict, progress::Contention, report::Report};

/// Every strategy, ours last.
pub(crate) const ALL: [Strategy; 5] =
    [Strategy::Naive, Strategy::Pessimistic, Strategy::Optimistic, Strategy::RedisLock, Strategy::Tidegate];

/// A strategy's name, as on the command line.
pub(crate) fn name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Naive => "naive",
        Strategy::Pessimistic => "pessimistic",
        Strategy::Optimistic => "optimistic",
        Strategy::RedisLock => "redis-lock",
        Strategy::Tidegate => "tidegate",
    }
}

const HEADS: [&str; 14] = [
    "strategy",
    "enrolments",
    "/s",
    "best second",
    "click p50",
    "click p99",
    "looks p99",
    "conflicts",
    "retries",
    "oversold",
    "duplicates",
    "half-enrolled",
    "lost",
    "cores",
];

/// The table, in columns for the eye.
pub(crate) fn table(reports: &[Report], style: Style) -> String {
    let rows: Vec<[String; 14]> = reports.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADS[column].len()]).max().unwrap_or(0)
    };
    let line = |cells: &[String; 14]| {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let pad = width(column) - cell.chars().count();
            let space = " ".repeat(pad);
            match column {
                0 => write!(line, "{cell}{space}"),
                _ => write!(line, "  {space}{cell}"),
            }
            .expect("memory takes every write");
        }
        line
    };
    let mut text = style.head(&line(&HEADS.map(String::from))) + "\n";
    for (report, row) in reports.iter().zip(&rows) {
        let line = line(row);
        let good = report.is_good();
        writeln!(text, "{}", if good { line } else { style.bad(&line) }).expect("memory takes every write");
    }
    text
}

fn row(report: &Report) -> [String; 14] {
    let figures = &report.figures;
    let clicks = &figures.clicks_outside_kills;
    let count = |of: fn(&Verdict) -> u64| {
        report.verdict.as_ref().map_or("?".to_owned(), |verdict| thousands(of(verdict)))
    };
    let contention = |of: fn(&Contention) -> u64| {
        report.contention.as_ref().map_or("–".to_owned(), |contention| thousands(of(contention)))
    };
    [
        name(report.strategy).to_owned(),
        thousands(figures.enrolments),
        thousands(figures.enrolments_per_s.round() as u64),
        thousands(figures.enrolments_per_s_max),
        duration::latency(clicks.p50_us),
        duration::latency(clicks.p99_us),
        duration::latency(figures.looks_outside_kills.p99_us),
        contention(|contention| contention.conflicts),
        contention(|contention| contention.retries),
        count(|verdict| verdict.oversold.count),
        count(|verdict| verdict.duplicates.count),
        count(|verdict| verdict.half_enrolled.count),
        count(|verdict| verdict.lost.count),
        format!("{:.2}", report.cpu.portal_cores + report.cpu.servers_cores),
    ]
}

/// Whether the comparison shows what it is for: ours is clean, and the naive one is seen to oversell.
pub(crate) fn is_good(reports: &[Report]) -> bool {
    reports.iter().all(|report| match report.strategy {
        Strategy::Tidegate => report.is_good(),
        Strategy::Naive => report.verdict.as_ref().is_some_and(|verdict| verdict.oversold.count > 0),
        _ => report.verdict.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::day::{audit::Findings, report::tests::report};

    #[test]
    fn names_are_those_of_the_command_line() {
        for strategy in ALL {
            let value = strategy.to_possible_value().expect("a name");
            assert_eq!(value.get_name(), name(strategy));
        }
        assert_eq!(Strategy::value_variants().len(), ALL.len());
    }

    #[test]
    fn the_table_has_a_line_for_each() {
        let oversold = Findings { count: 1_204, first: vec![] };
        let naive = report(Strategy::Naive, Verdict { oversold, ..Verdict::default() });
        let mut ours = report(Strategy::Tidegate, Verdict::default());
        ours.contention = None;
        let reports = [naive, ours];
        let text = table(&reports, Style::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let heads = "strategy  enrolments   /s  best second  click p50  click p99  looks p99  conflicts";
        assert!(lines[0].starts_with(heads), "{text}");
        // In the best second; and the looks have a figure of their own.
        assert!(
            lines[1].starts_with("naive          9,100  812        1,204    0.90 ms    12.3 ms    44.0 ms"),
            "{text}"
        );
        assert!(lines[1].starts_with("naive") && lines[1].contains("1,204"), "{text}");
        assert!(lines[2].starts_with("tidegate") && lines[2].contains('–'), "{text}");
        assert!(is_good(&reports));
    }

    #[test]
    fn a_naive_strategy_that_is_not_seen_to_oversell_is_no_comparison() {
        assert!(!is_good(&[report(Strategy::Naive, Verdict::default())]));
        let lost = Findings { count: 1, first: vec![] };
        assert!(!is_good(&[report(Strategy::Tidegate, Verdict { lost, ..Verdict::default() })]));
    }
}
