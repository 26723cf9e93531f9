//! The three workers. Each has its own queue and its own places, so that a slow mail provider slows nobody but mail.
//!
//! Every job may run more than once: a worker can die between its effect and its report. So each handler makes its
//! effect happen once by itself, each in its own way:
//!
//! | step | what makes a second run harmless |
//! |---|---|
//! | thumbnail | the store keeps an upload's first thumbnails and drops others |
//! | email | the mailbox: the file's name, or the `Message-ID`, is made from what the job is about |
//! | notification | the mark in the store says whether this one is the first, before anybody is told |

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::json;
use tidegate::{Failure, Job, Worker, WorkerEvent};

use crate::app::{App, KINDS, QUEUES, Work};
use crate::hub::Event;
use crate::images;
use crate::mail::{Mail, Outcome, Refusal, Verdict};
use crate::store::{Appended, Entry, ReadError, Upload, UploadId};

/// How many of each step are under way at once, and for how long unheard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Thumbnails; a little more than there are threads for them.
    pub thumbnails: usize,
    /// Mails; as many as the mail server likes.
    pub emails: usize,
    /// Notifications.
    pub notifications: usize,
    /// How long a job is a worker's without a sign of life.
    pub lease: Duration,
}

/// Jobs that a worker has ahead, at most: they hide the way to an engine elsewhere.
const PREFETCH_MAX: usize = 64;

/// The workers, ready to run.
#[must_use]
pub fn workers(app: &Arc<App>, places: Places) -> [Worker<Arc<App>>; 3] {
    let lease = places.lease;
    let worker = |step: usize, places: usize| {
        let pages = Arc::clone(app);
        Worker::new(&app.client)
            .queue(QUEUES[step])
            .concurrency(places)
            .prefetch(places.min(PREFETCH_MAX))
            .lease(lease)
            .on_event(move |event| show(&pages, event))
            .state(Arc::clone(app))
    };
    [
        worker(0, places.thumbnails).handle(KINDS[0], thumbnail),
        worker(1, places.emails).handle(KINDS[1], email),
        worker(2, places.notifications).handle(KINDS[2], notification),
    ]
}

/// Makes the three thumbnails.
async fn thumbnail(job: Job<Work>, app: Arc<App>) -> Result<(), Failure> {
    let upload = find(&app, &job)?;
    if upload.thumbnails.is_some() {
        return Ok(());
    }
    // The image is read there too: the runtime's threads do not wait for the disk.
    let store = app.store.clone();
    let made = app.pool.run(move || {
        let original = store.image(upload.id)?;
        Ok::<_, ReadError>(original.map(|original| images::thumbnails(&original.bytes)))
    });
    // Work that cannot succeed another time is not tried another time.
    let thumbnails = made
        .await
        .map_err(|panic| Failure::fatal(panic).kind("panic"))??
        .ok_or_else(|| gone(&job))?
        .map_err(|error| Failure::fatal(&error).kind(error.kind()))?;
    app.store.append(Entry::Thumbnails { upload: upload.id, thumbnails }).await?;
    Ok(())
}

/// Delivers one mail.
async fn email(job: Job<Work>, app: Arc<App>) -> Result<(), Failure> {
    let upload = find(&app, &job)?;
    // The mail's name is made from what the job is about: one mail an upload. So whoever has the mail sees a second delivery,
    // whether this job runs twice or, its idempotency key long forgotten, the upload were to get a second job.
    let name = upload.id.to_string();
    let status_url = format!("{}/#{}", app.public_url, upload.id);
    let received_at = UNIX_EPOCH + Duration::from_millis(upload.received_at_ms);
    let mail = Mail::about_upload(&name, &upload.email, &upload.name, &status_url, received_at);
    match app.mailer.deliver(&mail).await {
        Outcome::Delivered | Outcome::AlreadyThere => Ok(()),
        Outcome::Refused(Refusal { code, kind, text, verdict }) => {
            // As the mail server said it: its code, then its words.
            let text = code.map_or_else(|| text.clone(), |code| format!("{code} {text}"));
            let failure = match verdict {
                Verdict::Retry => Failure::retry(text),
                Verdict::RetryAfter(wait) => Failure::retry_after(wait, text),
                Verdict::Fatal => Failure::fatal(text),
            };
            Err(failure.kind(kind).dependency("mail"))
        }
    }
}

/// Tells the pages that the upload has been taken in hand, once.
async fn notification(job: Job<Work>, app: Arc<App>) -> Result<(), Failure> {
    let upload = find(&app, &job)?;
    if app.store.append(Entry::Notified { upload: upload.id }).await? == Appended::Kept {
        let text = format!("{} was received", upload.name);
        let data = json!({ "upload": upload.id.to_string(), "text": text });
        app.hub.tell(Event { name: "notification", data: Bytes::from(data.to_string()) });
    }
    Ok(())
}

/// The upload that a job is about: some hundred bytes, read where they were just written.
fn find(app: &App, job: &Job<Work>) -> Result<Upload, Failure> {
    let id: UploadId =
        job.payload().upload.parse().map_err(|error| Failure::fatal(error).kind("no_upload"))?;
    app.store.upload(id)?.ok_or_else(|| gone(job))
}

fn gone(job: &Job<Work>) -> Failure {
    Failure::fatal(format!("there is no upload {}", job.payload().upload)).kind("no_upload")
}

/// What happens to a job changes how its upload stands.
fn show(app: &App, event: &WorkerEvent) {
    let job = match event {
        WorkerEvent::Started { job, .. }
        | WorkerEvent::Completed { job, .. }
        | WorkerEvent::Failed { job, .. }
        | WorkerEvent::Released { job, .. }
        | WorkerEvent::Refused { job, .. }
        | WorkerEvent::Lost { job, .. } => job,
        WorkerEvent::ServerAway { why, .. } => return tracing::warn!(%why, "the engine is away"),
        WorkerEvent::ServerBack => return tracing::info!("the engine is back"),
        _ => return,
    };
    let upload = job.metadata.as_ref().and_then(|metadata| metadata.get("upload")?.parse().ok());
    if let Some(upload) = upload {
        app.hub.changed(upload);
    }
}
