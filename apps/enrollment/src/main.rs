//! The enrolment portal: runs it, or lives through an enrolment day with it.

mod day;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use enrollment::{ServeArgs, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  enrollment                                     everything in one process, on http://127.0.0.1:7422
  enrollment --server http://127.0.0.1:7420      with a Tidegate server that runs by itself
  enrollment --opens-in 2m                       a waiting room first: seats are given in two minutes
  enrollment day                                 ten thousand students at once, three crashes, and an audit

An enrolment is answered when the seat and its three follow-up jobs are on the disk, in one record. Everything else happens after the answer.";

/// An enrolment portal on Tidegate: seats that are given once, and nobody half enrolled
#[derive(Debug, Parser)]
#[command(name = "enrollment", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, once")]
enum Command {
    /// Run the portal; so does the program without a command
    Serve(ServeArgs),
    Day(day::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => run(args),
        Command::Day(args) => day::run(args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "enrollment: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse_lossy(std::env::var("ENROLLMENT_LOG").unwrap_or_else(|_| "info".into()));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve::run(args))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
