//! The service: what an upload is, from the image's first byte to its three jobs.
//!
//! **Accepting** is three steps, and the answer waits for all of them: the image is judged by its first bytes, its bytes are
//! made durable in the store, and one transaction gives the engine the three jobs. Nothing else happens before the
//! answer, so nothing that is slow or down later can slow it.
//!
//! **A crash in between**, or an engine that is away, leaves an image without jobs. Whoever sent it has no answer and sends it again, under the same
//! key; and at the next start the service finishes what is unfinished ([`App::finish_the_unfinished`]). Both say the same
//! transaction under the same idempotency key, so the jobs are there once however often it is said. A client that goes
//! away in the middle changes nothing: what it began is finished.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tidegate::Client;
use tidegate::api::dead::RedriveRequest;
use tidegate::api::enqueue::Retry;
use tidegate::api::id::JobId;
use tidegate::api::job::Job;
use tidegate::api::queue::QueueConfig;
use tidegate::api::refusal::Code as Refused;

use crate::hub::{Changes, Event, Hub};
use crate::images::judge;
use crate::mail::Mailer;
use crate::pool::Pool;
use crate::problem::{Code, Problem};
use crate::status::{Status, Step, StepState, status};
use crate::store::{AppendError, Appended, Entry, NewImage, ReadError, Store, Upload, UploadId};

/// The queues of the three steps, in the order in which an upload's jobs are kept.
pub const QUEUES: [&str; 3] = ["thumbnails", "emails", "notifications"];
/// The kinds of their jobs.
pub const KINDS: [&str; 3] = ["thumbnail", "email", "notification"];
/// Ended jobs are kept so long, and so many of them in each queue: a day of looking up how an upload went.
const RETAIN: Duration = Duration::from_secs(24 * 3_600);
const RETAIN_MAX: u64 = 1_000_000;

/// Between two tries to finish what was interrupted.
const FINISH_PAUSE: Duration = Duration::from_secs(1);
const FINISH_PAUSE_MAX: Duration = Duration::from_secs(60);

/// What every job of an upload brings: everything else is in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The upload's id.
    pub upload: String,
}

/// The parts of the service.
#[derive(Debug)]
pub struct App {
    /// Images, thumbnails and marks.
    pub store: Store,
    /// The engine, in this process or elsewhere.
    pub client: Client,
    /// Who delivers mail.
    pub mailer: Mailer,
    /// Threads for thumbnails.
    pub pool: Pool,
    /// Pages that look on.
    pub hub: Hub,
    /// Where the service is seen from outside, for links in mails; without a slash at the end.
    pub public_url: String,
    /// How often a step is tried.
    pub max_attempts: u32,
}

/// An image that somebody sends.
#[derive(Debug)]
pub struct Sent {
    /// The client's own name for this one intention.
    pub key: Option<String>,
    /// The file's name.
    pub name: String,
    /// Whom to tell.
    pub email: String,
    /// The file.
    pub image: Bytes,
}

/// An upload that was accepted, now or before under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The upload.
    pub upload: UploadId,
    /// Whether this answers a request that came before.
    pub replayed: bool,
}

impl App {
    /// Sets the three queues up.
    ///
    /// # Errors
    /// The client's.
    pub async fn configure(&self, retry_delay: Duration) -> Result<(), tidegate::Error> {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let retry = Retry {
            max_attempts: Some(self.max_attempts),
            delay_ms: Some(ms(retry_delay)),
            ..Retry::default()
        };
        let config = QueueConfig {
            retry: Some(retry),
            retain_ms: Some(ms(RETAIN)),
            retain_max: Some(RETAIN_MAX),
            ..QueueConfig::default()
        };
        for queue in QUEUES {
            self.client.configure(queue, &config).await?;
        }
        Ok(())
    }

    /// Accepts an image. When this answers, the image and its three jobs are on stable storage. Whoever stops waiting for the
    /// answer stops nothing.
    ///
    /// # Errors
    /// Why it is not accepted. If the answer is `busy` and the request had a key, saying it again goes on from there.
    pub async fn accept(self: &Arc<Self>, sent: Sent) -> Result<Accepted, Problem> {
        let app = Arc::clone(self);
        let accepting = tokio::spawn(async move { app.accept_to_the_end(sent).await });
        accepting.await.unwrap_or_else(|_panic| {
            Err(Problem::new(Code::Internal, "The service made a mistake; its log says more."))
        })
    }

    async fn accept_to_the_end(&self, sent: Sent) -> Result<Accepted, Problem> {
        let Some(format) = judge(&sent.image) else {
            let detail = "The file does not begin like a JPEG, PNG or WebP; send one of these.";
            return Err(Problem::new(Code::UnsupportedImage, detail));
        };
        let new = UploadId::random();
        let keyed = sent.key.is_some();
        let image = NewImage {
            upload: new,
            client_key: sent.key,
            name: sent.name,
            content_type: format.content_type().into(),
            email: sent.email,
            received_at_ms: now_ms(),
            bytes: sent.image,
        };
        let (upload, replayed) = match self.store.append(Entry::Image(image)).await.map_err(unkept)? {
            Appended::Kept | Appended::AlreadyThere => (new, false),
            Appended::SameImage(before) => (before, true),
            Appended::OtherImage(_) => {
                let detail =
                    "This key came before with another image or address; take a new key for a new upload.";
                return Err(Problem::new(Code::IdempotencyMismatch, detail));
            }
        };
        // The store remembers keys for longer than the engine: an upload that has its jobs is not given others.
        let has_jobs = replayed && self.store.is_accepted(upload);
        if !has_jobs && let Err(error) = self.enqueue(upload).await {
            if !keyed && was_judged(&error) {
                // Nobody can come back to this image, so it is let go.
                let _ = self.store.append_lazily(Entry::LetGo { upload });
            }
            return Err(not_enqueued(&error, keyed));
        }
        self.hub.changed(upload);
        Ok(Accepted { upload, replayed })
    }

    /// Gives the engine the upload's three jobs, all or none. Said again, it is what it was.
    async fn enqueue(&self, upload: UploadId) -> Result<(), tidegate::Error> {
        let id = upload.to_string();
        let work = Work { upload: id.clone() };
        let job = |step: usize| {
            self.client.queue(QUEUES[step]).job(KINDS[step], &work).metadata("upload", id.as_str())
        };
        let transaction = self.client.transaction().enqueue(job(0)).enqueue(job(1)).enqueue(job(2));
        let outcome = transaction.idempotency_key(format!("upload:{id}")).commit().await?;
        let id_of = |step: usize| outcome[step].job().expect("each operation is a job's").id.to_string();
        let jobs = [0, 1, 2].map(id_of);
        // A crash may lose this mark; the next start says the transaction again and gets the same ids.
        if let Err(error) = self.store.append_lazily(Entry::Accepted { upload, jobs }) {
            tracing::warn!(%upload, %error, "the ids of an upload's jobs are not noted until the next start");
        }
        Ok(())
    }

    /// Says the transaction of every upload whose jobs are not known to be there, and again until the engine has taken
    /// it; how many there were. For the start.
    pub async fn finish_the_unfinished(&self) -> usize {
        let unfinished = self.store.unaccepted();
        for &upload in &unfinished {
            let mut pause = FINISH_PAUSE;
            while let Err(error) = self.enqueue(upload).await {
                tracing::warn!(%upload, %error, "an upload that was interrupted still waits for its jobs");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(FINISH_PAUSE_MAX);
            }
            self.hub.changed(upload);
        }
        unfinished.len()
    }

    /// What is kept of an upload.
    ///
    /// # Errors
    /// `not_found`; `internal` if it cannot be read.
    pub fn upload(&self, id: &str) -> Result<Upload, Problem> {
        let upload = id.parse().ok().and_then(|id| self.store.upload(id).transpose());
        let upload = upload.ok_or_else(|| Problem::new(Code::NotFound, "There is no such upload."))?;
        upload.map_err(|error| unreadable(&error))
    }

    /// How an upload stands.
    ///
    /// # Errors
    /// The client's, as a problem.
    pub async fn status(&self, upload: &Upload) -> Result<Status, Problem> {
        let jobs = self.jobs(upload).await?;
        Ok(status(upload, &jobs, self.max_attempts))
    }

    async fn jobs(&self, upload: &Upload) -> Result<[Option<Job>; 3], Problem> {
        let mut jobs = [None, None, None];
        for (job, id) in jobs.iter_mut().zip(upload.jobs.iter().flatten()) {
            let id: JobId = id.parse().expect("the store keeps what the engine named");
            *job = match self.client.job(id, Duration::ZERO).await {
                Ok(job) => Some(job),
                // It ended well and is no longer kept: dead letters are never forgotten.
                Err(error) if error.code() == Some(Refused::JobNotFound) => None,
                Err(error) => return Err(away(&error)),
            };
        }
        Ok(jobs)
    }

    /// The newest uploads, the newest first.
    ///
    /// # Errors
    /// As [`status`](Self::status).
    pub async fn newest(&self, limit: usize) -> Result<Vec<Status>, Problem> {
        let mut list = Vec::with_capacity(limit);
        for id in self.store.newest(limit) {
            if let Some(upload) = self.store.upload(id).map_err(|error| unreadable(&error))? {
                list.push(self.status(&upload).await?);
            }
        }
        Ok(list)
    }

    /// Has the upload's failed steps tried again.
    ///
    /// # Errors
    /// `not_dead` if none has failed.
    pub async fn retry(&self, upload: &Upload) -> Result<Status, Problem> {
        let jobs = self.jobs(upload).await?;
        let failed = |job: &Option<Job>| {
            job.as_ref().filter(|job| Step::of(job).state == StepState::Failed).map(|job| job.id)
        };
        let mut redriven = false;
        for (queue, id) in QUEUES.into_iter().zip(jobs.iter().map(failed)) {
            let Some(id) = id else { continue };
            let request = RedriveRequest { ids: Some(vec![id]), ..RedriveRequest::default() };
            self.client.redrive(queue, &request).await.map_err(|error| away(&error))?;
            redriven = true;
        }
        if !redriven {
            return Err(Problem::new(
                Code::NotDead,
                "No step of this upload has failed; there is nothing to retry.",
            ));
        }
        self.hub.changed(upload.id);
        self.status(upload).await
    }

    /// Tells the pages what changed, for as long as it is awaited.
    pub async fn tell_changes(self: Arc<Self>) {
        loop {
            let uploads = match self.hub.changes().await {
                Changes::Uploads(uploads) => uploads,
                Changes::TooMany => {
                    self.hub.tell(Event { name: "resync", data: Bytes::from_static(b"{}") });
                    continue;
                }
            };
            for upload in uploads {
                let Ok(Some(upload)) = self.store.upload(upload) else { continue };
                if let Ok(status) = self.status(&upload).await {
                    let data = serde_json::to_vec(&status).expect("a status is JSON").into();
                    self.hub.tell(Event { name: "upload", data });
                }
            }
        }
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Why an image was not kept.
fn unkept(error: AppendError) -> Problem {
    match error {
        AppendError::Busy => {
            Problem::new(Code::Busy, "Too many uploads wait for the disk; come back in a moment.")
        }
        AppendError::DiskFull => Problem::new(Code::Busy, "The disk is full; come back later."),
        AppendError::Closed => {
            Problem::new(Code::Busy, "The service is about to stop; come back in a moment.")
        }
        AppendError::TooLong(what) => Problem::new(Code::InvalidForm, format!("{what}.")),
        AppendError::Broken(_) | AppendError::Read(_) => {
            tracing::error!(%error, "an image could not be kept");
            Problem::new(Code::Internal, "The image could not be kept; the service's log says why.")
        }
    }
}

/// Whether the engine has considered the jobs and said no: then they are not there. Whatever is tried again may have had its
/// effect at an earlier try, and the idempotency key brings that to light only if it is said once more.
fn was_judged(error: &tidegate::Error) -> bool {
    matches!(
        error.code(),
        Some(Refused::QueueFull | Refused::ShardFull | Refused::TooManyQueues | Refused::TooManyKinds)
    )
}

/// Why the three jobs were not accepted.
fn not_enqueued(error: &tidegate::Error, keyed: bool) -> Problem {
    tracing::warn!(%error, "an upload's jobs were not accepted");
    let what_next = match keyed {
        true => "Send the same again, under the same key.",
        false => "Come back in a moment.",
    };
    Problem::new(Code::Busy, format!("The work could not be taken on just now: {error}. {what_next}"))
}

/// The engine does not answer.
pub(crate) fn away(error: &tidegate::Error) -> Problem {
    Problem::new(Code::Busy, format!("How the upload stands cannot be said just now: {error}."))
}

/// Something that is kept cannot be read.
pub(crate) fn unreadable(error: &ReadError) -> Problem {
    tracing::error!(%error, "something that is kept cannot be read");
    Problem::new(Code::Internal, "It is kept and cannot be read; the service's log says why.")
}
