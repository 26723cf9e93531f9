//! `tidegate serve`: the server.
//!
//! This file turns flags, environment and file into settings and hands them on; the server itself is a library.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tidegate_engine::Engine;
use tidegate_server::Server;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    output::{Out, Style, note, thousands},
    settings::{self, Given, LogFormat, Settings},
};

const EXAMPLES: &str = "\
Examples:
  tidegate serve
  tidegate serve --data /var/lib/tidegate --listen 0.0.0.0:7420
  tidegate serve --config /etc/tidegate.toml --check

A settings file has the names of the flags as its keys:
  listen = \"127.0.0.1:7420\"
  data = \"/var/lib/tidegate\"
  shards = 1
  log = \"info\"
  log_format = \"text\"

A flag is stronger than the environment, and the environment than the file.

Every answer is on stable storage before it is given; there is no setting that changes this.";

/// Run the server: accept jobs, keep them, hand them out
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    given: Given,

    /// TOML file with settings
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,

    /// Print the settings that would count, and stop
    #[arg(long)]
    check: bool,

    /// Serve a bare POST at /bench/bare, against which `tidegate bench` compares
    #[arg(long, hide = true)]
    bench: bool,
}

/// Runs the server until it is told to stop.
pub(crate) fn run(args: Args, style: Style) -> anyhow::Result<()> {
    let settings = settings::resolve(args.given, args.config.as_deref())?;
    if args.check {
        return show(&settings, style);
    }
    start(&settings, args.bench)
}

fn show(settings: &Settings, style: Style) -> anyhow::Result<()> {
    let mut out = Out::new(style);
    match style.is_json() {
        true => out.json(settings)?,
        false => out.raw(toml::to_string(settings)?.as_bytes())?,
    }
    Ok(out.finish()?)
}

/// Opens the engine and serves it until a signal says stop.
fn start(settings: &Settings, bench: bool) -> anyhow::Result<()> {
    log_to_stderr(settings);
    allow_many_files();
    #[cfg(feature = "sabotage")]
    sabotage();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = Stop::listen()?;
        // Listening comes first: an address that is taken is heard of before a large log is read.
        let options = tidegate_server::Options { bench, ..tidegate_server::Options::default() };
        let server = Server::listen(settings.listen, options).await?;
        let address = server.local_address();
        let engine = open(settings).await?;
        introduce(settings, address, &engine);
        server.serve(engine, stop.first()).await?;
        note("stopped; everything that was answered is on disk");
        Ok(())
    })
}

/// Opens the engine, and says so if that takes a while: a large log is read whole.
async fn open(settings: &Settings) -> anyhow::Result<Engine> {
    let shards = settings.shards.map(NonZeroU16::get).or_else(|| tidegate_engine::shards_in(&settings.data));
    let options =
        tidegate_engine::Options { shards: shards.unwrap_or(1), ..tidegate_engine::Options::default() };
    let data = settings.data.clone();
    let started = Instant::now();
    let mut opening = tokio::task::spawn_blocking(move || Engine::open(data, options));
    loop {
        match tokio::time::timeout(Duration::from_secs(2), &mut opening).await {
            Ok(opened) => return Ok(opened??),
            Err(_) => note(format!(
                "reading the log in {} … {} s so far",
                settings.data.display(),
                started.elapsed().as_secs()
            )),
        }
    }
}

/// Says where everything is.
fn introduce(settings: &Settings, address: SocketAddr, engine: &Engine) {
    let status = engine.status();
    let jobs: u64 = status.shards.iter().map(|shard| shard.jobs).sum();
    note(format!("tidegate {} listens on http://{address}", env!("CARGO_PKG_VERSION")));
    note(format!(
        "data in {} ({} shard{}, {} job{}); every answer is on disk before it is given",
        settings.data.display(),
        status.shards.len(),
        if status.shards.len() == 1 { "" } else { "s" },
        thousands(jobs),
        if jobs == 1 { "" } else { "s" },
    ));
    for (number, shard) in status.shards.iter().enumerate() {
        if let Some(recovery) =
            shard.recovery.as_ref().filter(|recovery| !recovery.closed && recovery.last.0 > 0)
        {
            note(format!(
                "shard {number}: the last run was cut short; the log was read up to frame {}",
                recovery.last
            ));
        }
        if let Some(torn) = shard.recovery.as_ref().and_then(|recovery| recovery.torn.as_ref()) {
            note(format!(
                "shard {number}: an unfinished write was cut off ({} bytes of {} at {}); a crash leaves such a tail, of writes nobody was told of. If there was no crash, suspect the disk",
                torn.bytes, torn.file, torn.offset
            ));
        }
    }
    if !address.ip().is_loopback() {
        note("warning: this address can be reached from other machines, and there is no authentication");
    }
}

/// The server's own log goes to standard error.
fn log_to_stderr(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(&settings.log);
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match settings.log_format {
        LogFormat::Text => subscriber.with_ansi(colours).init(),
        LogFormat::Json => subscriber.json().init(),
    }
}

/// A large log has many segment files and a busy server many connections; the usual soft limit of 1,024 files is for
/// neither. What the system allows is taken; if it allows no more, the limits are met one by one and by name.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Puts a deliberate bug in, if one is asked for.
#[cfg(feature = "sabotage")]
fn sabotage() {
    if let Ok(bug) = std::env::var("TIDEGATE_SABOTAGE") {
        tidegate_core::sabotage::choose(&bug);
        tidegate_log::sabotage::choose(&bug);
        note(format!("sabotaged: {bug}"));
    }
}

/// The signals that end the server: the first gracefully, the second at once.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the first, and sees to it that the second is obeyed.
    async fn first(mut self) {
        self.next().await;
        note("stopping: requests that were begun may end; a second signal stops at once");
        tokio::spawn(async move {
            self.next().await;
            // What was answered is on disk; what was not, nobody was told.
            std::process::exit(130);
        });
    }
}
