//! The enrolment portal: runs it, or lives through an enrolment day with it.

mod day;

use std::process::ExitCode;

use app_kit::program;
use clap::{Parser, Subcommand};
use enrollment::{ServeArgs, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EXAMPLES: &str = "\
Examples:
  enrollment                                   all in one process
  enrollment --server http://127.0.0.1:7420    with a server that is there
  enrollment --opens-in 2m                     a waiting room first
  enrollment day                               everyone at once, and an audit

The pages are at http://127.0.0.1:7422: students at /, the registrar at /registrar, support at /support.

An enrolment is answered when the seat and its three follow-up jobs are on the disk, in one record. \
Everything else happens after the answer.

Exit codes: 0 it was told to stop, or the day was good; 1 it could not be done, or the day's audit found something; 2 the arguments make no sense.";

/// An enrolment portal on Tidegate: seats that are given once, and nobody half enrolled
#[derive(Debug, Parser)]
#[command(name = "enrollment", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true, max_term_width = 110)]
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
        Command::Serve(args) => program::serve("ENROLLMENT_LOG", serve::run(args)),
        Command::Day(args) => day::run(args),
    };
    program::end("enrollment", done)
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
    fn systems_in_a_place_that_there_is_not_are_arguments_that_make_no_sense() {
        for place in ["mysql://x", "sqlite3", ""] {
            let refused = Cli::try_parse_from(["enrollment", "--downstream", place]).expect_err(place);
            assert_eq!(refused.exit_code(), 2, "{refused}");
            assert!(refused.to_string().contains("postgres://user@host/database"), "{refused}");
        }
        Cli::try_parse_from(["enrollment", "--downstream", "postgres://u@h/d"]).expect("it is one");
    }

    #[test]
    fn help_fits_a_narrow_terminal() {
        app_testkit::help::assert_fits(&Cli::command());
    }
}
