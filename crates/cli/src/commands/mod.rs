//! One file per command. A new command is a new file, a variant of [`Command`] and a line in [`run`].

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod inspect;
pub(crate) mod job;
pub(crate) mod pool;
pub(crate) mod queue;
pub(crate) mod serve;
pub(crate) mod transaction;
pub(crate) mod work;

use std::future::Future;

use tidegate::{Client, api::time::Timestamp};

use crate::{
    args::{Cli, Command, Shared},
    output::Style,
};

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    let style = Style::choose(cli.shared.json);
    let shared = cli.shared;
    match cli.command {
        Command::Serve(args) => serve::run(args, style),
        Command::Job(command) => block_on(job::run(command, connect(&shared)?, style)),
        Command::Queue(command) => block_on(queue::run(command, connect(&shared)?, style)),
        Command::Pool(command) => block_on(pool::run(command, connect(&shared)?, style)),
        Command::Transaction(args) => block_on(transaction::run(args, connect(&shared)?, style)),
        Command::Work(args) => block_on(work::run(args, connect(&shared)?, style)),
        Command::Inspect(command) => inspect::run(command, style),
        Command::Bench(args) => bench::run(args, shared.server, style),
        Command::Completions(args) => completions::run(args, style),
    }
}

/// Somebody waits at the terminal: what went wrong is said at once.
fn connect(shared: &Shared) -> Result<Client, tidegate::Error> {
    Ok(Client::connect(&shared.server())?.without_retries())
}

/// Runs a command's conversation with the server on this thread; none of them needs a second one.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// A value parser for the API's words, which names all of them when another one is given.
pub(crate) fn word<T: Clone + Send + Sync + 'static>(
    words: &'static [&'static str],
    from_word: fn(&str) -> Option<T>,
) -> impl clap::builder::TypedValueParser<Value = T> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(words).map(move |word| from_word(&word).expect("only known words get here"))
}

/// A value parser for times.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("it must be {}", Timestamp::ALLOWED))
}

/// What is set, or set no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrNone<T> {
    Some(T),
    None,
}

impl<T> OrNone<T> {
    /// What is so after this was said over `under`.
    pub(crate) fn over(said: Option<Self>, under: Option<T>) -> Option<T> {
        match said {
            Some(Self::Some(value)) => Some(value),
            Some(Self::None) => None,
            None => under,
        }
    }
}

/// A value parser for times, and for none at all.
pub(crate) fn timestamp_or_none(text: &str) -> Result<OrNone<Timestamp>, String> {
    match text {
        "none" => Ok(OrNone::None),
        text => timestamp(text).map(OrNone::Some).map_err(|why| format!("{why}; or none")),
    }
}

/// A value parser for what travels or is shown by name.
pub(crate) fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
