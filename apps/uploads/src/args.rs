//! The command line: what the service can be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  uploads                                        everything in one process, on http://127.0.0.1:7421
  uploads --server http://127.0.0.1:7420         with a Tidegate server that runs by itself
  uploads --smtp smtp://127.0.0.1:25             mails by SMTP; else they go to uploads-data/mail, a Maildir
  uploads surge                                  100,000 uploads in ten seconds, accounted for one by one

An upload is answered when its image and its three jobs are on the disk. Everything else happens after the answer.";

/// An upload service on Tidegate: images in; thumbnails, emails and notifications out, through any flood
#[derive(Debug, clap::Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; serve if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What the program can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the service (what happens if no command is given)
    Serve(ServeArgs),
    /// Send a surge of uploads, draw the backlog, and account for every one of them
    Surge(crate::surge::Args),
}

/// How to serve.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the page and the uploads are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7421", env = "UPLOADS_LISTEN")]
    pub listen: SocketAddr,

    /// Where images, mails and the embedded engine's log are kept
    #[arg(long, value_name = "DIR", default_value = "uploads-data", env = "UPLOADS_DATA")]
    pub data: PathBuf,

    /// A Tidegate server to use; without one the engine runs in this process
    #[arg(long, value_name = "URL", env = "UPLOADS_SERVER")]
    pub server: Option<String>,

    /// A mail server, as in smtp://user:password@mail.example.org:587; without one mails go to a Maildir in the data directory
    #[arg(long, value_name = "URL", env = "UPLOADS_SMTP", hide_env_values = true)]
    pub smtp: Option<String>,

    /// Whom mails are from
    #[arg(long, value_name = "ADDRESS", env = "UPLOADS_MAIL_FROM")]
    pub mail_from: Option<String>,

    /// Where the service is seen from outside, for links in mails [default: the address it listens at]
    #[arg(long, value_name = "URL", env = "UPLOADS_PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Make every mail take so long, as a slow provider would (Maildir only)
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "smtp", default_value = "0ms")]
    pub slow_email: Duration,

    /// Mails under way at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub emails_at_once: u16,

    /// Threads that make thumbnails [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub thumbnail_threads: Option<u16>,

    /// How often a step is tried before it counts as failed
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub max_attempts: u32,

    /// How long after its first failure a step is tried again; doubled after each further one
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub retry_delay: Duration,

    /// Serve the calls by which a load test looks behind the counter
    #[arg(long, hide = true)]
    pub admin: bool,

    /// Accept uploads and work none off
    #[arg(long)]
    pub no_workers: bool,
}

/// A span of time with its unit: `250ms`, `3s`, `5m`, `2h`.
///
/// # Errors
/// A sentence that says what would be right.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let ms = units.iter().find(|(name, _)| *name == unit).and_then(|(_, ms)| number.parse::<u64>().ok()?.checked_mul(*ms));
    ms.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is no span of time; write 250ms, 3s, 5m or 2h"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_span_of_time_has_its_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        for text in ["", "3", "s", "-1s", "1.5s", "3 s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
