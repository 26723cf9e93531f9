//! The upload service.

mod surge;

use std::{io::Write, process::ExitCode};

use clap::Parser;

/// The upload service
#[derive(Debug, Parser)]
enum Cli {
    Surge(surge::Args),
}

fn main() -> ExitCode {
    let Cli::Surge(args) = Cli::parse();
    match surge::run(args) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "uploads: {error:#}");
            ExitCode::FAILURE
        }
    }
}
