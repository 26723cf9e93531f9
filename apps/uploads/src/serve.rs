//! `uploads serve`: puts the parts together, runs them, and takes them apart in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use app_kit::listen::{Listener, serve};
use app_kit::program::{note, stop_signal};
use tidegate::Client;

use crate::app::App;
use crate::args::ServeArgs;
use crate::hub::Hub;
use crate::mail::Mailer;
use crate::pool::Pool;
use crate::staff::Staff;
use crate::store::{Store, StoreOptions};
use crate::web::{BOUNDS, Reach, router};
use crate::work::Places;

/// Thumbnails under way for each thread that makes them: one in hand, some being read or written.
const THUMBNAILS_PER_THREAD: usize = 8;
const NOTIFICATIONS: usize = 256;

/// Runs the service until it is told to stop.
///
/// # Errors
/// What keeps it from starting, or from stopping well.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let stop = stop_signal().context("cannot listen for signals")?;
    // Listening comes first: an address that is taken is heard of before a large log is read.
    let listener = Listener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen at {}; --listen takes another address", args.listen))?;
    let address = listener.address()?;
    let public_url = args.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    let threads = args.thumbnail_threads.map_or_else(app_kit::cpu::cores, usize::from);

    let store = open_store(&args).await?;
    let client = open_engine(&args).await?;
    let mailer = open_mailer(&args)?;
    let app = Arc::new(App {
        store,
        client: client.clone(),
        mailer,
        pool: Pool::new(threads)?,
        hub: Hub::default(),
        public_url: public_url.trim_end_matches('/').to_owned(),
        max_attempts: args.max_attempts,
    });
    app.configure(args.retry_delay).await.context("cannot set the queues up")?;
    let places = Places {
        thumbnails: threads * THUMBNAILS_PER_THREAD,
        emails: usize::from(args.emails_at_once),
        notifications: NOTIFICATIONS,
        lease: args.lease,
    };
    let staff = Arc::new(Staff::new(Arc::clone(&app), places));
    if !args.no_workers {
        staff.revive();
    }
    let telling = tokio::spawn(Arc::clone(&app).tell_changes());
    let unfinished = Arc::clone(&app);
    let finishing = tokio::spawn(async move {
        match unfinished.finish_the_unfinished().await {
            0 => {}
            uploads => note(&format!("{uploads} uploads that were interrupted have their jobs now")),
        }
    });
    introduce(&args, &app, &format!("http://{address}"));

    let reach = Reach::new(Arc::clone(&app), Arc::clone(&staff));
    serve(listener, router(reach, address, args.admin), BOUNDS, stop).await;
    note("stopping: what is under way may end");
    staff.stop().await;
    telling.abort();
    finishing.abort();
    let store = app.store.clone();
    tokio::task::spawn_blocking(move || store.close()).await?;
    client.close().await.context("the engine did not close well")?;
    note("stopped; everything that was answered is on disk");
    Ok(())
}

async fn open_store(args: &ServeArgs) -> anyhow::Result<Store> {
    let directory = args.data.join("images");
    let opening = tokio::task::spawn_blocking(move || Store::open(&directory, StoreOptions::default()));
    let (store, report) = with_progress("reading the index of the images", opening).await??;
    if let Some(torn) = report.torn {
        note(&format!(
            "an unfinished write was cut off ({} bytes of {} at {}); a crash leaves such a tail, of uploads nobody was told of",
            torn.bytes, torn.file, torn.offset
        ));
    }
    Ok(store)
}

async fn open_engine(args: &ServeArgs) -> anyhow::Result<Client> {
    match &args.server {
        None => {
            let directory = args.data.join("engine");
            let opening = tokio::spawn(async move { Client::embedded(directory).await });
            Ok(with_progress("reading the engine's log", opening).await??)
        }
        Some(url) => {
            let client = Client::connect(url)?;
            note(&format!("asking the Tidegate server at {url} whether it is ready"));
            client.ready().await.with_context(|| {
                format!(
                    "no Tidegate server is ready at {url}; start one (tidegate serve), or leave --server away"
                )
            })?;
            Ok(client)
        }
    }
}

fn open_mailer(args: &ServeArgs) -> anyhow::Result<Mailer> {
    let mailer = match &args.smtp {
        Some(url) => Mailer::smtp(url).context("--smtp cannot be used")?,
        None => {
            let directory = args.data.join("mail");
            Mailer::maildir(&directory, args.slow_email)
                .with_context(|| format!("cannot make the mailbox in {}", directory.display()))?
        }
    };
    match &args.mail_from {
        Some(sender) => Ok(mailer.from(sender).context("--mail-from cannot be used")?),
        None => Ok(mailer),
    }
}

/// Waits, and says so every two seconds.
async fn with_progress<T>(doing: &str, mut task: tokio::task::JoinHandle<T>) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(2), &mut task).await {
            Ok(done) => return Ok(done?),
            Err(_) => note(&format!("{doing} … {} s so far", started.elapsed().as_secs())),
        }
    }
}

fn introduce(args: &ServeArgs, app: &App, url: &str) {
    note(&format!("listening on {url}"));
    let engine = match &args.server {
        None => "the engine is in this process".to_owned(),
        Some(server) => format!("the engine is {server}"),
    };
    note(&format!(
        "data in {}; {} uploads; {engine}; mails go to {}",
        args.data.display(),
        app.store.uploads(),
        app.mailer
    ));
    if !args.listen.ip().is_loopback() {
        note("warning: this address can be reached from other machines, and there is no authentication");
    }
}
