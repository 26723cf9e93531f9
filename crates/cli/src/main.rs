//! The one binary, `tidegate`: serves, talks to a server, works jobs off, looks into a log, measures.
//!
//! Nothing here has logic about jobs. A command reads its arguments, makes one conversation through the client
//! library (or starts a server from its library), and shows what came of it.

mod args;
mod bench;
mod commands;
mod duration;
mod failure;
mod inspect;
mod output;
mod settings;
mod worker;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let is_json = cli.shared.json;
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if failure::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if is_json => {
            output::note(failure::as_json(&error).to_string());
            failure::exit_code(&error)
        }
        Err(error) => {
            output::note(format!("tidegate: {}", failure::in_one_line(&error)));
            if let Some(step) = failure::next_step(&error) {
                output::note(step);
            }
            failure::exit_code(&error)
        }
    }
}
