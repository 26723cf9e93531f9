//! `tidegate work`: a worker for any language.

use std::ffi::OsString;

use tidegate::{Client, Worker};

use crate::{
    duration::Millis,
    failure::Misuse,
    output::Style,
    worker::{self, Options, Program, Stdout, find_command},
};

const HELP: &str = "\
Examples:
  tidegate work mail -- ./send-mail.sh
  tidegate work thumbs --concurrency 8 -- convert - -resize 200 out.png
  tidegate work orders returns --result -- python3 handle.py
  tidegate work mail --until-empty -- cat       what is there now, and no more

The program runs once for each job, with the payload on standard input: the JSON, or the bytes of a job \
enqueued with bytes. It finds in its environment
  TIDEGATE_JOB_ID   TIDEGATE_QUEUE         TIDEGATE_KIND
  TIDEGATE_TOKEN    TIDEGATE_PRIORITY      TIDEGATE_ENQUEUED_AT
  TIDEGATE_ATTEMPT  TIDEGATE_MAX_ATTEMPTS  TIDEGATE_WORKER
  TIDEGATE_SERVER

and, where the job has them,
  TIDEGATE_ORDERING_KEY  TIDEGATE_FAIRNESS_KEY  TRACEPARENT
  TIDEGATE_DEPENDENCY    TIDEGATE_METADATA
  TIDEGATE_PROGRESS

Its exit code says how it went:
   0  completed; with --result, standard output is kept
  75  failed, try again after --retry-later
  65  failed for good: the job is dead at once
   *  failed; tried again as the job's retry policy says

The last 2 KiB of standard error become the error's message.

While the program runs, its lease is extended. If the server says that the job is no longer this worker's, \
the program gets TERM, and KILL five seconds later.

TERM or INT to the worker: nothing new is taken, programs may finish within --grace, the rest is stopped and given \
back uncounted. Sent twice, the grace is over at once. A server that is away is waited for, and finished jobs are reported when it is back.";

/// Work jobs off with any program
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Queues to take jobs from; each has the same chance to be looked at first
    #[arg(required = true, value_name = "QUEUE")]
    queues: Vec<String>,

    /// Programs at once
    #[arg(long, short = 'c', value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    concurrency: u16,

    /// How long a job is this worker's without a sign of life; extended at a third of it
    #[arg(long, alias = "lease-ms", value_name = "DURATION", default_value = "30s", value_parser = lease)]
    lease: Millis,

    /// How long programs may go on once the worker is told to stop
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    grace: Millis,

    /// How long a job is left alone whose program exited with 75
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    retry_later: Millis,

    /// Only jobs of this kind; may be repeated
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,

    /// Keep what the program writes to standard output as the job's result, if it is one JSON value of at most 64 KiB
    #[arg(long)]
    result: bool,

    /// End when there is nothing to do
    #[arg(long)]
    until_empty: bool,

    /// The worker's name, shown beside the jobs it has [default: HOST-PID]
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the worker.
pub(crate) async fn run(args: Args, client: Client, style: Style) -> anyhow::Result<()> {
    let mut command = args.command.into_iter();
    let program = command.next().expect("clap asks for at least one word");
    if find_command(&program).is_none() {
        return Err(Misuse::error(format!("there is no program {:?} to run", program.display())));
    }
    let stdout = match (args.result, style.is_json()) {
        (true, _) => Stdout::Result,
        (false, true) => Stdout::Stderr,
        (false, false) => Stdout::Inherit,
    };
    let options = Options {
        queues: args.queues,
        kinds: args.kinds,
        slots: args.concurrency.into(),
        lease: args.lease.as_duration(),
        grace: args.grace.as_duration(),
        retry_later: args.retry_later.as_duration(),
        until_empty: args.until_empty,
        name: args.worker.unwrap_or_else(Worker::default_name),
        program: Program { command: program, arguments: command.collect(), stdout },
    };
    worker::run(options, client, style).await
}

fn lease(text: &str) -> Result<Millis, String> {
    let lease: Millis = text.parse()?;
    match tidegate::api::limits::LEASE_MS.contains(&lease.0) {
        true => Ok(lease),
        false => Err("a lease is 1s to 12h long".into()),
    }
}
