//! What came out: one row per measurement, as a table and as JSON.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{machine::Machine, request::PAYLOAD_BYTES};
use crate::output::{Out, Paint, Table, plain, thousands};

/// Everything a run has to say.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    pub(crate) machine: Machine,
    /// What an acknowledgement meant in this run.
    pub(crate) durability: String,
    /// Where the data was, and on what file system.
    pub(crate) data: String,
    pub(crate) payload_bytes: usize,
    pub(crate) rows: Vec<Row>,
    /// What went wrong; a run with any of these is worth nothing.
    pub(crate) failures: Vec<String>,
}

/// One measurement.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: &'static str,
    /// What exactly was done, in a few words.
    pub(crate) what: String,
    pub(crate) jobs: u64,
    pub(crate) seconds: f64,
    pub(crate) jobs_per_s: f64,
    /// What the times are of, such as `answer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_of: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times_us: Option<Times>,
    /// Further figures by name, with their unit last in the name.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub(crate) facts: serde_json::Map<String, serde_json::Value>,
    /// Ratios and figures in words, for people.
    #[serde(skip)]
    pub(crate) note: Vec<String>,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Times {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Times {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Times> {
        let at = |quantile| histogram.value_at_quantile(quantile);
        (!histogram.is_empty()).then(|| Times {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
        })
    }
}

impl Row {
    /// A row of so many jobs in so many seconds.
    pub(crate) fn new(workload: &'static str, what: impl Into<String>, jobs: u64, seconds: f64) -> Row {
        let jobs_per_s = if seconds > 0.0 { jobs as f64 / seconds } else { 0.0 };
        Row { workload, what: what.into(), jobs, seconds, jobs_per_s, ..Row::default() }
    }

    pub(crate) fn times(mut self, of: &'static str, histogram: &Histogram<u64>) -> Row {
        self.times_us = Times::of(histogram);
        self.time_of = self.times_us.map(|_| of);
        self
    }

    /// A figure for programs, and the words for it in the table.
    pub(crate) fn fact(
        mut self,
        name: &str,
        value: impl Into<serde_json::Value>,
        words: impl Into<String>,
    ) -> Row {
        self.facts.insert(name.to_owned(), value.into());
        self.note.push(words.into());
        self
    }
}

impl Report {
    /// Shows the report.
    pub(crate) fn show(&self, out: &mut Out) -> anyhow::Result<()> {
        if out.style().is_json() {
            out.json(self)?;
            return Ok(());
        }
        let machine = &self.machine;
        out.line("")?;
        out.line(format!(
            "tidegate {} on {} cores ({}), Linux {}; generator and server share the machine",
            self.version, machine.cores, machine.cpu, machine.kernel
        ))?;
        out.line(format!("durability: {}; data on {}", self.durability, self.data))?;
        out.line(format!("payload: {PAYLOAD_BYTES} bytes of JSON"))?;
        out.line("")?;
        out.table(&self.table())?;
        out.line("")?;
        for row in &self.rows {
            let words = [std::slice::from_ref(&row.what), &row.note].concat().join("; ");
            out.line(format!("{:14} {words}", row.workload))?;
        }
        for failure in &self.failures {
            let line = out.style().paint(Paint::Bad, &format!("FAILED  {failure}"));
            out.line(line)?;
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let heads = ["WORKLOAD", ">JOBS/S", ">JOBS", "TIME OF", ">P50", ">P90", ">P99", ">P99.9", ">MAX"];
        let mut table = Table::new(&heads);
        for row in &self.rows {
            let time = |pick: fn(&Times) -> u64| {
                plain(row.times_us.as_ref().map(pick).map(time).unwrap_or_default())
            };
            table.row([
                (row.workload.to_owned(), Paint::Head),
                plain(thousands(row.jobs_per_s.round() as u64)),
                plain(thousands(row.jobs)),
                plain(row.time_of.unwrap_or_default()),
                time(|times| times.p50),
                time(|times| times.p90),
                time(|times| times.p99),
                time(|times| times.p999),
                time(|times| times.max),
            ]);
        }
        table
    }
}

/// Microseconds in three digits with their unit.
fn time(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{ms:.2} ms"),
        10_000..100_000 => format!("{ms:.1} ms"),
        100_000..10_000_000 => format!("{ms:.0} ms"),
        _ => format!("{:.0} s", ms / 1_000.0),
    }
}

/// A part of a whole as whole percent.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 100.0).round() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let found: Vec<String> = [7, 999, 1_449, 23_456, 234_567, 61_000_000].map(time).into();
        assert_eq!(found, ["7 µs", "999 µs", "1.45 ms", "23.5 ms", "235 ms", "61 s"]);
    }

    #[test]
    fn a_row_without_times_says_nothing_about_them() {
        let row = Row::new("backlog", "x", 10, 2.0).times("answer", &super::super::flood::histogram());
        assert_eq!(row.jobs_per_s, 5.0);
        let json = serde_json::to_value(&row).expect("JSON");
        assert_eq!((json.get("times_us"), json.get("time_of")), (None, None));
    }
}
