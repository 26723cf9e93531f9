//! What `uploads surge` can be told, and whether it makes sense together.

use std::{path::PathBuf, time::Duration};

use app_kit::duration;

use super::plan::{Length, Shape};

const EXAMPLES: &str = "\
Examples:
  uploads surge                                100,000 uploads in ten seconds
  uploads surge --slow-email 3s --kill-workers no mail for 3 s, workers die
  uploads surge --kill 3 --seed 7              the service is killed as well
  uploads surge --split --kill 6               and the server, by itself
  uploads surge --peak 500 --seconds 5 --json  small, for a machine to read
  uploads surge --url http://127.0.0.1:7421    to a service that is there

Without --url the surge goes to a service of its own; with it, nobody else may upload meanwhile.

Every upload that was answered 202 is accounted for at the end: three thumbnails, exactly one email, exactly one \
notification, or a dead letter with its cause. If one is missing, doubled or made up, the exit code is 1.";

/// Mails under way at once where each takes its time.
const SLOW_EMAILS_AT_ONCE: u16 = 5_000;

/// Send a surge of uploads, draw the backlog, and account for every one of them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory with the images to upload, taken in turn [default: small JPEGs are made]
    #[arg(long, value_name = "DIR")]
    pub(crate) images: Option<PathBuf>,

    /// Uploads a second while it is calm
    #[arg(long, value_name = "RATE", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) base: u32,

    /// Uploads a second in the surge
    #[arg(long, value_name = "RATE", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) peak: u32,

    /// How many seconds the peak lasts
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) seconds: f64,

    /// How many seconds it is calm before the surge, and again after it
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    pub(crate) calm: f64,

    /// How many uploads in all; the peak then lasts as long as they take
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    pub(crate) count: Option<u64>,

    /// The mail server answers only after this time
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "url")]
    pub(crate) slow_email: Option<Duration>,

    /// End all workers as the peak begins, and start them again when the surge is over
    #[arg(long)]
    pub(crate) kill_workers: bool,

    /// Kill the service so often at random moments of the surge, and start it again
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1_000), conflicts_with = "url")]
    pub(crate) kill: u16,

    /// Chooses the moments of --kill [default: another one each time]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// A service that runs already [default: one is started]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,

    /// The queue server that the service is to use; may be given more than once [default: one of its own]
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    pub(crate) server: Vec<String>,

    /// Run the queue server as a process of its own; with --kill, it and the service die in turn
    #[arg(long, conflicts_with_all = ["url", "server"])]
    pub(crate) split: bool,

    /// The queue server's program, for --split [default: `tidegate` beside this program, or on the path]
    #[arg(long, value_name = "FILE", requires = "split")]
    pub(crate) tidegate: Option<PathBuf>,

    /// The service's data directory, which is kept; with --url, where to find its mails
    /// [default: a directory that is removed afterwards]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Connections to send over
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) connections: u16,

    /// Where to draw the backlog over time
    #[arg(long, value_name = "FILE", default_value = "surge.svg")]
    pub(crate) out: PathBuf,

    /// How long a job of a killed service waits until it is anybody's again [default: the service's, 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "url")]
    pub(crate) lease: Option<Duration>,

    /// How long a failed job waits until it is tried again [default: the service's, 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "url")]
    pub(crate) retry_delay: Option<Duration>,

    /// How long to wait until the backlog is worked off
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse)]
    pub(crate) drain_timeout: Duration,

    /// Print everything as one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    /// Start this program instead of this one, to try another version of the service
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "url")]
    pub(crate) program: Option<PathBuf>,
}

impl Args {
    /// The shape of the load.
    pub(crate) fn shape(&self) -> Shape {
        let length = match self.count {
            Some(count) => Length::Until(count),
            None => Length::Lasting(Duration::from_secs_f64(self.seconds)),
        };
        Shape { base: self.base, peak: self.peak, calm: Duration::from_secs_f64(self.calm), length }
    }

    /// Arguments of the service that is started.
    pub(crate) fn service_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--admin".to_owned()];
        if let Some(slow) = self.slow_email {
            arguments.extend(["--slow-email".to_owned(), duration::write(slow)]);
            // A slow provider is used by many at once; else a hundred thousand mails of 3 s each would take hours.
            arguments.extend(["--emails-at-once".to_owned(), SLOW_EMAILS_AT_ONCE.to_string()]);
        }
        for (name, span) in [("--lease", self.lease), ("--retry-delay", self.retry_delay)] {
            arguments.extend(span.into_iter().flat_map(|span| [name.to_owned(), duration::write(span)]));
        }
        for server in &self.server {
            arguments.extend(["--server".to_owned(), server.clone()]);
        }
        arguments
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    if (0.0..=3_600.0).contains(&seconds) { Ok(seconds) } else { Err("from 0 to 3600".into()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::surge::plan::Plan;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Cli::try_parse_from(std::iter::once("surge").chain(line.split_whitespace())).map(|cli| cli.args)
    }

    #[test]
    fn without_arguments_it_is_a_hundred_thousand_in_ten_seconds() {
        let args = parse("").expect("arguments");
        let uploads = Plan::new(args.shape()).expect("a plan").uploads();
        assert!((100_000..101_000).contains(&uploads), "{uploads}");
        assert_eq!(args.service_arguments(), ["--admin"]);
    }

    #[test]
    fn what_the_service_needs_to_know_is_passed_on() {
        let args = parse("--slow-email 3s --server http://a --server http://b").expect("arguments");
        let mails = ["--admin", "--slow-email", "3s", "--emails-at-once", "5000"];
        let expected = [&mails[..], &["--server", "http://a", "--server", "http://b"]].concat();
        assert_eq!(args.service_arguments(), expected);
    }

    #[test]
    fn a_count_is_the_number_of_uploads() {
        let args = parse("--count 5000 --peak 1000").expect("arguments");
        assert_eq!(Plan::new(args.shape()).expect("a plan").uploads(), 5_000);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--peak 0",
            "--peak 100001",
            "--seconds -1",
            "--seconds NaN",
            "--seconds 4000",
            "--count 10 --seconds 3",
            "--slow-email 3",
            "--connections 0",
            "--url http://x --kill 1",
            "--url http://x --slow-email 3s",
            "--url http://x --server http://y",
            "--split --server http://y",
            "--tidegate x",
        ] {
            parse(line).expect_err(line);
        }
        parse("--url http://x --kill-workers --data d").expect("workers of any service can be ended");
    }
}
