//! What the service can be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use app_kit::duration;

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

    /// A mail server, as in smtp://user:password@mail.example.org:587?tls=required; without one mails go to a Maildir in the data directory
    #[arg(long, value_name = "URL", env = "UPLOADS_SMTP", hide_env_values = true)]
    pub smtp: Option<String>,

    /// Whom mails are from
    #[arg(long, value_name = "ADDRESS", env = "UPLOADS_MAIL_FROM")]
    pub mail_from: Option<String>,

    /// Where the service is seen from outside, for links in mails [default: the address it listens at]
    #[arg(long, value_name = "URL", env = "UPLOADS_PUBLIC_URL")]
    pub public_url: Option<String>,

    /// Make every mail take so long, as a slow provider would (Maildir only)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "smtp", default_value = "0ms")]
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
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    pub retry_delay: Duration,

    /// How long a job is a worker's without a sign of life: so long after a crash its jobs are anybody's again
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    pub lease: Duration,

    /// Serve the calls by which a load test looks behind the counter
    #[arg(long, hide = true)]
    pub admin: bool,

    /// Accept uploads and work none off
    #[arg(long)]
    pub no_workers: bool,
}
