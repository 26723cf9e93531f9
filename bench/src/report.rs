//! What came out: as JSON that can be merged, and as tables.

use std::{collections::BTreeMap, fmt::Write};

use serde::{Deserialize, Serialize};

use crate::{
    machine::Machine,
    peers::{Name, Setting},
    rows::{Row, Sample, Scale},
    stats::{median, number, range},
};

/// Everything of one run, or of several that were merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) payload_bytes: usize,
    pub(crate) scale: Scale,
    pub(crate) settings: BTreeMap<Name, Setting>,
    pub(crate) samples: Vec<Sample>,
}

/// What is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// One figure of a row.
pub(crate) struct Metric {
    pub(crate) row: Row,
    /// Its name in the samples.
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    /// What the samples' values are divided by.
    pub(crate) scale: f64,
    pub(crate) better: Better,
    /// Whether it is in the picture.
    pub(crate) in_chart: bool,
}

const fn metric(
    row: Row,
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    in_chart: bool,
) -> Metric {
    let (scale, better) = match unit.as_bytes() {
        b"ms" => (1_000.0, Better::Less),
        b"bytes" => (1.0, Better::Less),
        _ => (1.0, Better::More),
    };
    Metric { row, key, title, unit, scale, better, in_chart }
}

/// All figures that are shown, in their order.
pub(crate) const METRICS: [Metric; 13] = [
    metric(Row::Lists, "jobs_per_s", "Ingest in lists of 100", "jobs/s", true),
    metric(Row::Singles, "jobs_per_s", "Single ingest, 1,024 under way", "jobs/s", true),
    metric(Row::Plain, "jobs_per_s", "Single ingest, Tidegate without its client", "jobs/s", true),
    metric(Row::Life, "jobs_per_s", "Whole life: enqueue, lease, complete", "jobs/s", true),
    metric(Row::Latency, "p50_us", "Latency at 2,000/s, p50", "ms", true),
    metric(Row::Latency, "p99_us", "Latency at 2,000/s, p99", "ms", true),
    metric(Row::Backlog, "last_tenth_jobs_per_s", "Long queue: ingest of its last tenth", "jobs/s", true),
    metric(Row::Backlog, "resident_bytes_per_job", "Long queue: memory per waiting job", "bytes", true),
    metric(Row::Backlog, "first_us", "Long queue: until a worker that asks has a job", "ms", false),
    metric(Row::Backlog, "drain_jobs_per_s", "Long queue: worked off", "jobs/s", false),
    metric(Row::Priority, "p50_us", "Urgent job while the queue is worked off, p50", "ms", false),
    metric(Row::Priority, "p99_us", "Urgent job while the queue is worked off, p99", "ms", true),
    metric(Row::Priority, "drain_jobs_per_s", "Worked off meanwhile", "jobs/s", false),
];

/// A figure of one system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    /// Its median divided by Tidegate's.
    pub(crate) ratio: Option<f64>,
    pub(crate) first: bool,
}

impl Report {
    /// The systems that were measured, in a fixed order.
    pub(crate) fn peers(&self) -> Vec<Name> {
        let mut peers: Vec<Name> = self.samples.iter().map(|sample| sample.peer).collect();
        peers.sort();
        peers.dedup();
        peers
    }

    /// The values of good runs.
    fn values(&self, metric: &Metric, peer: Name) -> Vec<f64> {
        // What everybody else does in `plain` is what they do in `singles`.
        let row = if metric.row.is_of(peer) { metric.row } else { Row::Singles };
        let of = |sample: &&Sample| sample.row == row && sample.peer == peer && sample.faults.is_empty();
        let samples = self.samples.iter().filter(of);
        samples.filter_map(|sample| sample.values.get(metric.key)).map(|value| value / metric.scale).collect()
    }

    pub(crate) fn figure(&self, metric: &Metric, peer: Name) -> Option<Figure> {
        let middle = |peer| median(&self.values(metric, peer));
        let own = middle(peer)?;
        let (least, greatest) = range(&self.values(metric, peer))?;
        let mut others = self.peers().into_iter().filter_map(middle);
        let first = match metric.better {
            Better::More => others.all(|other| own >= other),
            Better::Less => others.all(|other| own <= other),
        };
        let ratio = middle(Name::Tidegate).filter(|tidegate| *tidegate > 0.0).map(|tidegate| own / tidegate);
        Some(Figure { median: own, least, greatest, ratio, first })
    }

    /// Metrics of which anything was measured.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &'static Metric> + '_ {
        METRICS.iter().filter(|metric| self.samples.iter().any(|sample| sample.row == metric.row))
    }

    /// Runs in which something was wrong.
    pub(crate) fn faults(&self) -> Vec<String> {
        let lines = self.samples.iter().flat_map(|sample| {
            sample.faults.iter().map(move |fault| format!("{} in {}: {fault}", sample.peer, sample.row))
        });
        lines.collect()
    }

    /// Joins reports of the same machine, as the rows of one run.
    pub(crate) fn merge(reports: Vec<Report>) -> Option<Report> {
        let mut reports = reports.into_iter();
        let mut all = reports.next()?;
        for report in reports {
            // The last one says how the machine was and what the settings are.
            all.machine = report.machine;
            all.scale = report.scale;
            all.settings.extend(report.settings);
            all.samples.extend(report.samples);
        }
        Some(all)
    }

    /// Everything as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        self.write_figures(&mut out);
        self.write_runs(&mut out);
        self.write_settings(&mut out);
        out
    }

    fn write_figures(&self, out: &mut String) {
        let peers = self.peers();
        out.push_str("| |");
        for peer in &peers {
            let _ = write!(out, " {peer} |");
        }
        out.push_str("\n|---|");
        out.push_str(&"--:|".repeat(peers.len()));
        out.push('\n');
        for metric in self.metrics() {
            let better = if metric.better == Better::More { "more" } else { "less" };
            let _ = write!(out, "| {}, {} ({better} is better) |", metric.title, metric.unit);
            for peer in &peers {
                let _ = write!(out, " {} |", self.figure(metric, *peer).map_or("–".into(), cell));
            }
            out.push('\n');
        }
    }

    /// How far the runs lay apart.
    fn write_runs(&self, out: &mut String) {
        let (sizes, peers) = (self.sizes(), self.peers());
        if !sizes.is_empty() {
            let _ = write!(out, "\nJobs in the long queues: {sizes}.\n");
        }
        out.push_str("\nFrom the least to the greatest of the runs:\n\n| |");
        for peer in &peers {
            let _ = write!(out, " {peer} |");
        }
        out.push_str("\n|---|");
        out.push_str(&"--:|".repeat(peers.len()));
        out.push('\n');
        for metric in self.metrics() {
            let _ = write!(out, "| {}, {} |", metric.title, metric.unit);
            for peer in &peers {
                let text = self.figure(metric, *peer).map_or("–".into(), |figure| {
                    format!("{} – {}", number(figure.least), number(figure.greatest))
                });
                let _ = write!(out, " {text} |");
            }
            out.push('\n');
        }
    }

    /// How long the queues became where filling them was cut off by time.
    fn sizes(&self) -> String {
        let mut parts = Vec::new();
        for (row, goal) in
            [(Row::Backlog, self.scale.backlog_jobs), (Row::Priority, self.scale.priority_jobs)]
        {
            let mut shorter = BTreeMap::new();
            for sample in self.samples.iter().filter(|sample| sample.row == row) {
                if let Some(jobs) = sample.values.get("jobs").filter(|jobs| **jobs < goal as f64) {
                    shorter.insert(sample.peer, *jobs);
                }
            }
            if self.samples.iter().any(|sample| sample.row == row) {
                let mut part = format!("{} in `{row}`", number(goal as f64));
                if !shorter.is_empty() {
                    let shorter: Vec<String> =
                        shorter.iter().map(|(peer, jobs)| format!("{peer} {}", number(*jobs))).collect();
                    let _ = write!(
                        part,
                        " (as many as came in {} s: {})",
                        self.scale.fill_seconds,
                        shorter.join(", ")
                    );
                }
                parts.push(part);
            }
        }
        parts.join("; ")
    }

    fn write_settings(&self, out: &mut String) {
        out.push_str("\n| | version | what makes “acknowledged” mean “synced” | a list of 100 | a single job | taking and completing | urgent |\n|---|---|---|---|---|---|---|\n");
        for (name, setting) in &self.settings {
            let Setting { version, durability, list, single, working, urgent } = setting;
            let _ = writeln!(
                out,
                "| {name} | {version} | {durability} | {list} | {single} | {working} | {urgent} |"
            );
        }
        let Machine { cores, cpu, kernel, memory_mib, file_system, syncs_per_s, write_mib_per_s } =
            &self.machine;
        let _ = write!(
            out,
            "\nMachine: {cores} cores ({cpu}), {} GiB of memory, Linux {kernel}, {file_system}; the disk syncs {} writes of 4 KiB a second one after the other, and writes {} MiB/s in sequence. Payloads of {} bytes; runs of {} s, medians.\n",
            memory_mib.div_ceil(1024),
            number(*syncs_per_s),
            number(*write_mib_per_s),
            self.payload_bytes,
            self.scale.seconds,
        );
    }
}

fn cell(figure: Figure) -> String {
    let ratio = figure.ratio.map_or(String::new(), |ratio| format!(" ({})", short(ratio)));
    match figure.first {
        true => format!("**{}**{ratio}", number(figure.median)),
        false => format!("{}{ratio}", number(figure.median)),
    }
}

/// A ratio in two digits that count.
fn short(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 10.0 => format!("{ratio:.0}"),
        ratio if ratio >= 0.1 => format!("{ratio:.1}"),
        ratio if ratio >= 0.01 => format!("{ratio:.2}"),
        ratio => format!("{ratio:.3}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample(row: Row, peer: Name, key: &str, value: f64) -> Sample {
        Sample { row, peer, values: BTreeMap::from([(key.to_owned(), value)]), faults: Vec::new() }
    }

    pub(crate) fn report(samples: Vec<Sample>) -> Report {
        let machine = Machine {
            cores: 2,
            cpu: "A CPU".into(),
            kernel: "6".into(),
            memory_mib: 2_000,
            file_system: "ext4".into(),
            syncs_per_s: 1_234.0,
            write_mib_per_s: 500.0,
        };
        Report { machine, payload_bytes: 256, scale: Scale::QUICK, settings: BTreeMap::new(), samples }
    }

    fn lists(peer: Name, value: f64) -> Sample {
        sample(Row::Lists, peer, "jobs_per_s", value)
    }

    #[test]
    fn a_figure_is_the_median_with_its_ratio_to_tidegate() {
        let values = [100.0, 300.0, 200.0].map(|value| lists(Name::Tidegate, value));
        let report = report(values.into_iter().chain([lists(Name::Nats, 50.0)]).collect());
        let nats = report.figure(&METRICS[0], Name::Nats).expect("a figure");
        assert_eq!((nats.median, nats.ratio, nats.first), (50.0, Some(0.25), false));
        let tidegate = report.figure(&METRICS[0], Name::Tidegate).expect("a figure");
        assert_eq!((tidegate.least, tidegate.greatest, tidegate.first), (100.0, 300.0, true));
        assert_eq!(report.figure(&METRICS[1], Name::Nats), None);
    }

    #[test]
    fn of_times_the_shortest_is_first_and_shown_in_milliseconds() {
        let latency = |peer, us| sample(Row::Latency, peer, "p50_us", us);
        let report = report(vec![latency(Name::Tidegate, 900.0), latency(Name::RedisList, 600.0)]);
        let metric = METRICS.iter().find(|metric| metric.key == "p50_us").expect("a metric");
        let redis = report.figure(metric, Name::RedisList).expect("a figure");
        assert!(redis.first);
        assert_eq!(redis.median, 0.6);
    }

    #[test]
    fn a_run_with_a_fault_gives_no_figure_and_is_told() {
        let mut bad = lists(Name::Beanstalkd, 9e9);
        bad.faults.push("3 jobs were delivered twice".into());
        let report = report(vec![lists(Name::Tidegate, 1.0), bad]);
        assert_eq!(report.figure(&METRICS[0], Name::Beanstalkd), None);
        assert_eq!(report.faults(), ["beanstalkd in lists: 3 jobs were delivered twice"]);
        assert!(report.markdown().contains("| **1** (1.0) | – |"), "{}", report.markdown());
    }

    #[test]
    fn reports_merge_into_one_and_survive_json() {
        let one = report(vec![lists(Name::Tidegate, 100.0)]);
        let two =
            report(vec![lists(Name::Tidegate, 300.0), sample(Row::Life, Name::Nats, "jobs_per_s", 7.0)]);
        let json = serde_json::to_string(&two).expect("JSON");
        let two: Report = serde_json::from_str(&json).expect("the same report");
        let all = Report::merge(vec![one, two]).expect("two reports");
        assert_eq!(all.samples.len(), 3);
        assert_eq!(all.figure(&METRICS[0], Name::Tidegate).expect("a figure").median, 200.0);
    }

    #[test]
    fn a_queue_that_could_not_be_filled_is_told() {
        let report = report(vec![sample(Row::Backlog, Name::Rabbitmq, "jobs", 40_000.0)]);
        let text = report.markdown();
        assert!(text.contains("100,000 in `backlog` (as many as came in 6 s: RabbitMQ 40,000)"), "{text}");
    }
}
