//! The portal's life: puts the parts together, runs them, and takes them apart in order.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use app_kit::listen::{Listener, serve};
use app_kit::program::{note, stop_signal};
use rustix::process::{Resource, getrlimit, setrlimit};
use tidegate::{Client, Worker};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ServeArgs;
use crate::app::App;
use crate::board::Board;
use crate::catalogue::Catalogue;
use crate::chain::{self, Office};
use crate::downstream::{Downstream, now};
use crate::last_seen::LastSeen;
use crate::pace::Pace;
use crate::presses::Presses;
use crate::room::WaitingRoom;
use crate::seats::postgres::PostgresSeats;
use crate::seats::tidegate::{Setup, TidegateSeats};
use crate::seats::{AnySeats, Strategy};
use crate::tally::Tally;
use crate::university::University;
use crate::web::{BOUNDS, Reach, router};

/// Students who may wait for one section.
const WAITLIST_MAX: u32 = 10_000;
/// So long a change may take before the student is told that nobody knows; a server that is away is noticed by then.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same where no server can be away: as long as the engine itself has patience.
const PATIENCE_AT_HOME: Duration = Duration::from_secs(30);
/// Between the end of a worker by an error and its next start.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the portal until it is told to stop.
///
/// # Errors
/// What keeps it from starting, or from stopping well.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let stop = stop_signal().context("cannot listen for signals")?;
    raise_the_limit_of_files();
    // Listening comes first: an address that is taken is heard of before a large log is read.
    let listener = Listener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen at {}; --listen takes another address", args.listen))?;
    let address = listener.address()?;
    let University { seed, sections } = University::of_data(&args.data, args.seed, args.sections)?;
    let catalogue = Arc::new(Catalogue::generate(seed, sections as usize, args.students as usize));
    let presses = Presses::open(&args.data)?;
    let downstream = Arc::new(Downstream::open(&args.downstream, &args.data).await?);
    let pace = Arc::new(Pace::default());
    let (stopping, _) = watch::channel(false);
    // A server of its own can be away; what is in this process, or has its own patience, is only slow at times.
    let patience = if args.server.is_some() { PATIENCE } else { PATIENCE_AT_HOME };

    let (seats, client, staff) = match args.strategy {
        Strategy::Tidegate => {
            let client = open_engine(&args).await?;
            chain::configure(&client, args.retry_delay).await.context("cannot set the queues up")?;
            let setup = Setup {
                opens_at: args.opens_in.map(|ahead| now() + ahead.as_millis() as u64),
                shuffle: args.shuffle,
                offer: args.offer,
                waitlist_max: WAITLIST_MAX,
            };
            let seats = TidegateSeats::open(client.clone(), Arc::clone(&catalogue), setup, patience)
                .await
                .context("cannot set the sections up")?;
            let office = Arc::new(Office { client: client.clone(), downstream: Arc::clone(&downstream) });
            let staff = match args.no_workers {
                true => Vec::new(),
                false => start_workers(&office, &pace, &stopping),
            };
            (AnySeats::Tidegate(Box::new(seats)), Some(client), staff)
        }
        strategy => {
            let url = args.postgres.as_deref();
            let url = url.context("this strategy keeps seats in PostgreSQL: --postgres says where")?;
            let seats =
                PostgresSeats::open(strategy, url, args.redis.as_deref(), Arc::clone(&catalogue)).await;
            let seats = Arc::new(seats.context("cannot set the sections up in PostgreSQL")?);
            let staff = match args.no_workers {
                true => Vec::new(),
                false => vec![start_outbox(&seats, &downstream, args.retry_delay, &stopping)],
            };
            (AnySeats::Postgres(seats), None, staff)
        }
    };
    let app = Arc::new(App {
        catalogue,
        seats,
        downstream,
        board: Board::default(),
        pace,
        room: WaitingRoom::default(),
        tally: Tally::new(now()),
        presses,
        last_seen: LastSeen::default(),
        patience,
    });
    let telling = {
        let app = Arc::clone(&app);
        tokio::spawn(async move { app.board.tell(&app.seats).await })
    };
    introduce(&args, &app, &format!("http://{address}"));

    serve(listener, router(Reach::new(Arc::clone(&app)), args.faults), BOUNDS, stop).await;
    note("stopping: what is under way may end");
    stopping.send_replace(true);
    for worker in staff {
        let _ = worker.await;
    }
    telling.abort();
    drop(app);
    if let Some(client) = client {
        client.close().await.context("the engine did not close well")?;
    }
    note("stopped; everything that was answered is on disk");
    Ok(())
}

fn start_workers(
    office: &Arc<Office>,
    pace: &Arc<Pace>,
    stopping: &watch::Sender<bool>,
) -> Vec<JoinHandle<()>> {
    let pace = Arc::clone(pace);
    let offered = move |offer: &chain::OfferMade| pace.offered(&chain::section_of(&offer.pool), now());
    let workers = chain::workers(office, offered);
    workers.into_iter().map(|worker| tokio::spawn(keep_running(worker, stopping.subscribe()))).collect()
}

/// The worker of what follows where seats are in PostgreSQL.
fn start_outbox(
    seats: &Arc<PostgresSeats>,
    downstream: &Arc<Downstream>,
    retry_delay: Duration,
    stopping: &watch::Sender<bool>,
) -> JoinHandle<()> {
    let (seats, downstream, mut told) = (Arc::clone(seats), Arc::clone(downstream), stopping.subscribe());
    tokio::spawn(async move {
        tokio::select! {
            never = seats.work_off(&downstream, retry_delay) => match never {},
            _ = told.wait_for(|stopping| *stopping) => {}
        }
    })
}

/// Runs a worker until it is told to stop. An engine that refuses what a worker asks may be mended while the portal runs.
async fn keep_running(worker: Worker<Arc<Office>>, stopping: watch::Receiver<bool>) {
    loop {
        let mut told = stopping.clone();
        let end = async move {
            let _ = told.wait_for(|stopping| *stopping).await;
        };
        match worker.run_until(end).await {
            Ok(()) => return,
            Err(error) => tracing::error!(%error, "a worker ended; it is started again"),
        }
        let mut told = stopping.clone();
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = told.wait_for(|stopping| *stopping) => return,
        }
    }
}

async fn open_engine(args: &ServeArgs) -> anyhow::Result<Client> {
    match &args.server {
        None => Ok(Client::embedded(args.data.join("engine")).await?),
        Some(url) => {
            let client = Client::connect(url)?;
            client.ready().await.with_context(|| {
                format!(
                    "no Tidegate server is ready at {url}; start one (tidegate serve), or leave --server away"
                )
            })?;
            Ok(client)
        }
    }
}

fn introduce(args: &ServeArgs, app: &App, url: &str) {
    note(&format!("listening on {url}"));
    let seats = match (&args.server, args.strategy) {
        (None, Strategy::Tidegate) => "the engine is in this process".to_owned(),
        (Some(server), Strategy::Tidegate) => format!("the engine is {server}"),
        (_, other) => format!("seats are kept by the strategy {other:?}"),
    };
    note(&format!(
        "{} sections, {} students; data in {}; {seats}",
        app.catalogue.sections().len(),
        app.catalogue.students().len(),
        args.data.display()
    ));
    note(&format!("students {url}/  registrar {url}/registrar  support {url}/support"));
    if !args.listen.ip().is_loopback() {
        note("warning: this address can be reached from other machines, and there is no login");
    }
}

/// Every student's page has a connection, and a connection is a file.
fn raise_the_limit_of_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it there is room for fewer pages; nothing else.
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}
