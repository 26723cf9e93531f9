//! The upload service: runs it, or sends it a surge.

mod surge;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use uploads::{ServeArgs, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  uploads                                        everything in one process, on http://127.0.0.1:7421
  uploads --server http://127.0.0.1:7420         with a Tidegate server that runs by itself
  uploads --smtp smtp://127.0.0.1:25             mails by SMTP; else they go to uploads-data/mail, a Maildir
  uploads surge                                  100,000 uploads in ten seconds, accounted for one by one

An upload is answered when its image and its three jobs are on the disk. Everything else happens after the answer.";

/// An upload service on Tidegate: images in; thumbnails, emails and notifications out, through any flood
#[derive(Debug, Parser)]
#[command(name = "uploads", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service; so does the program without a command
    Serve(ServeArgs),
    Surge(surge::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => run(args),
        Command::Surge(args) => surge::run(args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "uploads: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse_lossy(std::env::var("UPLOADS_LOG").unwrap_or_else(|_| "info".into()));
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
