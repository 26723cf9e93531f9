//! The command line as a whole: what every command shares, and the list of commands.

use clap::{Parser, Subcommand};

use crate::{commands, failure};

/// Where commands look for the server unless told otherwise.
const SERVER_DEFAULT: &str = "http://127.0.0.1:7420";

const EXAMPLES: &str = "\
First steps:
  tidegate serve                                       start a server here
  tidegate job enqueue mail --payload '{\"to\":\"ann\"}'   give it a job
  tidegate work mail -- ./send-mail.sh                 with any program
  tidegate queue show mail                             see how it goes

Durations are written 250ms, 30s, 5m, 2h; a bare number counts milliseconds.
";

/// Tidegate, a surge engine: durable intake, exact allocation, paced work, one log
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n{}", failure::EXIT_CODES_HELP))]
#[command(max_term_width = 110, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) shared: Shared,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Shared {
    /// Address of the server [env: TIDEGATE_SERVER=] [default: http://127.0.0.1:7420]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    pub(crate) server: Option<String>,

    /// Answer in JSON, one value a line
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
}

impl Shared {
    /// The server to talk to: the flag, else the environment, else the default.
    ///
    /// The variable is not read by clap, so that a command which must not fall upon somebody's server by accident
    /// (`bench`) can tell what was written on the command line.
    pub(crate) fn server(&self) -> String {
        let from_environment = || std::env::var("TIDEGATE_SERVER").ok().filter(|url| !url.is_empty());
        self.server.clone().or_else(from_environment).unwrap_or_else(|| SERVER_DEFAULT.to_owned())
    }
}

/// The commands. Each is a file under `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(commands::serve::Args),
    #[command(subcommand)]
    Job(commands::job::Command),
    #[command(subcommand)]
    Queue(commands::queue::Command),
    #[command(subcommand)]
    Pool(commands::pool::Command),
    Transaction(commands::transaction::Args),
    Work(commands::work::Args),
    #[command(subcommand)]
    Inspect(commands::inspect::Command),
    Bench(commands::bench::Args),
    Completions(commands::completions::Args),
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;
