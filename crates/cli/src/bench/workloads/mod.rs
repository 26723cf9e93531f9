//! The workloads by name. Each is a file: what is sent, what is measured, what must be true at the end.

mod backlog;
mod ingest;
mod latency;
mod life;
mod pools;
mod priority;

use std::{fmt, time::Duration};

use anyhow::Context;
use clap::ValueEnum;

use super::{Bench, report::Row};

/// Between two looks at a queue whose published counts may be a moment old.
const COUNTS_EVERY: Duration = Duration::from_millis(20);
/// How long published counts may take to show what was acknowledged.
const COUNTS_PATIENCE: Duration = Duration::from_secs(5);

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Lists of 100 jobs as fast as they are taken
    Ingest,
    /// Single jobs, 1,024 under way on 64 connections; in turns with `bare`
    IngestSingle,
    /// The same requests to a handler that does nothing: what HTTP alone costs
    Bare,
    /// Enqueue, lease, complete: producers and 4 workers at once, in lists of 100
    Life,
    /// 2,000 single jobs a second: from sending to a waiting worker
    Latency,
    /// Ten million waiting jobs: memory, rate at the end against the beginning, restart after a crash
    Backlog,
    /// 200 urgent jobs into a queue of a million that is being drained
    Priority,
    /// One hot pool: grants in lists and alone, readers beside them, 1,000 watchers, offers after releases
    Pools,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("every workload has a name");
        f.write_str(value.get_name())
    }
}

impl Workload {
    /// Runs the workload.
    pub(super) async fn measure(self, bench: &mut Bench) -> anyhow::Result<Vec<Row>> {
        match self {
            Workload::Ingest => ingest::lists(bench).await,
            Workload::IngestSingle => ingest::singles_against_bare(bench).await,
            Workload::Bare => ingest::bare(bench).await,
            Workload::Life => life::measure(bench).await,
            Workload::Latency => latency::measure(bench).await,
            Workload::Backlog => backlog::measure(bench).await,
            Workload::Priority => priority::measure(bench).await,
            Workload::Pools => pools::measure(bench).await,
        }
    }
}

/// What to run for what was asked: everything for nothing, each once, and `bare` not by itself where
/// `ingest-single` measures it anyway.
pub(super) fn plan(asked: &[Workload]) -> Vec<Workload> {
    let asked = if asked.is_empty() { Workload::value_variants() } else { asked };
    let mut plan: Vec<Workload> = Vec::new();
    for workload in asked {
        let within_another = *workload == Workload::Bare && asked.contains(&Workload::IngestSingle);
        if !within_another && !plan.contains(workload) {
            plan.push(*workload);
        }
    }
    plan
}

impl Bench {
    /// Sees to it that the queue has so many jobs left to do, no fewer and no more.
    async fn check_left(&mut self, queue: &str, expected: u64) -> anyhow::Result<()> {
        let start = std::time::Instant::now();
        loop {
            let counts =
                self.server.client.show_queue(queue).await.context("cannot count what is there")?.counts;
            let left = counts.scheduled + counts.ready + counts.leased;
            if left == expected && counts.dead == 0 {
                return Ok(());
            }
            if start.elapsed() > COUNTS_PATIENCE {
                let dead = counts.dead;
                self.failures.push(format!(
                    "{queue} has {left} jobs left and {dead} dead; {expected} were to be left"
                ));
                return Ok(());
            }
            tokio::time::sleep(COUNTS_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_is_everything_but_bare_by_itself() {
        let all = plan(&[]);
        assert_eq!(all.len(), Workload::value_variants().len() - 1);
        assert!(!all.contains(&Workload::Bare));
    }

    #[test]
    fn each_workload_runs_once_in_the_order_asked() {
        use Workload::{Bare, Ingest, Life};
        assert_eq!(plan(&[Life, Bare, Life, Ingest]), [Life, Bare, Ingest]);
    }

    #[test]
    fn workloads_go_by_the_names_of_the_documentation() {
        let names: Vec<String> = Workload::value_variants().iter().map(Workload::to_string).collect();
        assert_eq!(
            names,
            ["ingest", "ingest-single", "bare", "life", "latency", "backlog", "priority", "pools"]
        );
    }
}
