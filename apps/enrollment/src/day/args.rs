//! What `enrollment day` can be told.

use std::{path::PathBuf, time::Duration};

use app_kit::duration;
use enrollment::seats::Strategy;

use super::plan::Shape;

const EXAMPLES: &str = "\
Examples:
  enrollment day                               ten thousand students
  enrollment day --students 300 --sections 12  a small one
  enrollment day --strategy pessimistic        with seats in PostgreSQL
  enrollment day --compare --students 3000     every strategy, and one table
  enrollment day --split                       the server by itself, killed too

Everyone arrives at the opening, looks again and again, and clicks twice; the portal is killed three times, and the fee \
ledger is down for a while. When all is quiet, what students were told is held against the seats, the mails, the records \
and the fees. If somebody is oversold, doubled, half enrolled or lost, the exit code is 1; with --compare only what Tidegate did counts, and naive must be seen to oversell. \
It is 2 if the arguments make no sense, and 0 otherwise.";

/// When the run begins, the opening is so far away.
const OPENS: Duration = Duration::from_secs(2);

/// Live through an enrolment day: everyone at once, crashes, an outage, and an audit from both ends
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Students who arrive
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub(crate) students: u32,

    /// Sections they arrive for
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) sections: u32,

    /// How much of the clicks are pressed twice
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = share)]
    pub(crate) double_clicks: f64,

    /// How often a student looks again, on average
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = refreshes)]
    pub(crate) refresh: f64,

    /// How often the portal is killed in the rush, and started again
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(..=100))]
    pub(crate) kill: u16,

    /// How long the fee ledger is down in the rush
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "6s")]
    pub(crate) outage: Duration,

    /// All students arrive within this time of the opening, half of them in the first sixth of it
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    pub(crate) within: Duration,

    /// What decides who gets a seat; those that need PostgreSQL or Redis get one of their own
    #[arg(long, value_enum, default_value_t = Strategy::Tidegate, conflicts_with = "compare")]
    pub(crate) strategy: Strategy,

    /// Every strategy in turn with the same students, and one table
    #[arg(long)]
    pub(crate) compare: bool,

    /// Run the queue server as a process of its own; with --kill, it and the portal die in turn
    #[arg(long)]
    pub(crate) split: bool,

    /// The queue server's program, for --split [default: `tidegate` beside this program, or on the path]
    #[arg(long, value_name = "FILE", requires = "split")]
    pub(crate) tidegate: Option<PathBuf>,

    /// Chooses students, wishes, and the moments of crashes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Connections that the browsers share
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) connections: u16,

    /// Where to keep everything of the day [default: a directory that is removed afterwards]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Draw the day; with --compare, each strategy's into a file of its own, as day-naive.svg for day.svg
    #[arg(long, value_name = "FILE")]
    pub(crate) chart: Option<PathBuf>,

    /// Wait at most so long until everything that follows the enrolments is done
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "5m")]
    pub(crate) quiet_timeout: Duration,

    /// Print everything as one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// The shape of the day.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            opens: OPENS,
            within: self.within,
            double_clicks: self.double_clicks,
            refreshes: self.refresh,
            seed: self.seed,
        }
    }

    /// Where this strategy's day is drawn.
    pub(crate) fn chart_of(&self, strategy: Strategy) -> Option<PathBuf> {
        let chart = self.chart.as_ref()?;
        if !self.compare {
            return Some(chart.clone());
        }
        let stem = chart.file_stem().unwrap_or_default().to_string_lossy();
        let ending = chart.extension().map_or_else(String::new, |it| format!(".{}", it.to_string_lossy()));
        Some(chart.with_file_name(format!("{stem}-{}{ending}", super::compare::name(strategy))))
    }

    /// Arguments of the portal, whatever decides.
    pub(crate) fn portal_arguments(&self, strategy: Strategy) -> Vec<String> {
        let name = clap::ValueEnum::to_possible_value(&strategy).expect("every strategy has a name");
        let mut arguments = vec!["--faults".to_owned()];
        for (option, value) in [
            ("--strategy", name.get_name().to_owned()),
            ("--students", self.students.to_string()),
            ("--sections", self.sections.to_string()),
            ("--seed", self.seed.to_string()),
            // A drill's outage is short.
            ("--retry-delay", "500ms".to_owned()),
        ] {
            arguments.extend([option.to_owned(), value]);
        }
        arguments
    }
}

fn share(text: &str) -> Result<f64, String> {
    between(text, 0.0, 1.0)
}

fn refreshes(text: &str) -> Result<f64, String> {
    between(text, 0.0, 100.0)
}

fn between(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("from {least} to {most}")) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Cli::try_parse_from(std::iter::once("day").chain(line.split_whitespace())).map(|cli| cli.args)
    }

    #[test]
    fn without_arguments_it_is_the_day_of_ten_thousand() {
        let args = parse("").expect("arguments");
        assert_eq!((args.students, args.sections, args.kill), (10_000, 300, 3));
        let portal = args.portal_arguments(Strategy::RedisLock);
        assert!(portal.windows(2).any(|pair| pair == ["--strategy", "redis-lock"]), "{portal:?}");
    }

    #[test]
    fn a_comparison_draws_each_strategy_into_a_file_of_its_own() {
        let charts = |line: &str| {
            let args = parse(line).expect("arguments");
            [Strategy::Naive, Strategy::RedisLock].map(|strategy| args.chart_of(strategy))
        };
        let paths = |paths: [&str; 2]| paths.map(|path| Some(PathBuf::from(path)));
        assert_eq!(charts("--chart out/day.svg"), paths(["out/day.svg"; 2]));
        let each = charts("--compare --chart out/day.svg");
        assert_eq!(each, paths(["out/day-naive.svg", "out/day-redis-lock.svg"]));
        assert_eq!(charts("--compare"), [None, None]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--students 0",
            "--double-clicks 1.5",
            "--double-clicks NaN",
            "--refresh -1",
            "--outage 3",
            "--compare --strategy naive",
            "--tidegate x",
            "--connections 0",
        ] {
            parse(line).expect_err(line);
        }
    }
}
