//! The upload service: runs it, or sends it a surge.

mod surge;

use std::process::ExitCode;

use app_kit::program;
use clap::{Parser, Subcommand};
use uploads::{ServeArgs, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  uploads                                   all in one process
  uploads --server http://127.0.0.1:7420    with a server that is there
  uploads --smtp smtp://127.0.0.1:25        mails by SMTP
  uploads surge                             100,000 uploads in ten seconds

The page is at http://127.0.0.1:7421. Without --smtp, mails go to uploads-data/mail, a Maildir.

An upload is answered when its image and its three jobs are on the disk. Everything else happens after the answer.";

/// An upload service on Tidegate: images in; thumbnails, emails and notifications out, through any flood
#[derive(Debug, Parser)]
#[command(name = "uploads", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, max_term_width = 110)]
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
        Command::Serve(args) => program::serve("UPLOADS_LOG", serve::run(args)),
        Command::Surge(args) => surge::run(args),
    };
    program::end("uploads", done)
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
    fn help_fits_a_narrow_terminal() {
        app_testkit::help::assert_fits(&Cli::command());
    }
}
