//! How an upload stands: what is kept of it, and where its three jobs are in their lives.

use serde::Serialize;
use tidegate::api::job::Job;
use tidegate::api::time::Timestamp;
use tidegate::api::words::JobState;

use crate::images::Size;
use crate::store::Upload;

/// An upload, as JSON shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    id: String,
    name: String,
    content_type: String,
    bytes: u32,
    email: String,
    received_at: Timestamp,
    original_url: String,
    steps: Steps,
}

#[derive(Clone, Debug, Serialize)]
struct Steps {
    thumbnail: ThumbnailStep,
    email: Step,
    notification: Step,
}

#[derive(Clone, Debug, Serialize)]
struct ThumbnailStep {
    #[serde(flatten)]
    step: Step,
    thumbnails: Vec<ThumbnailLink>,
}

#[derive(Clone, Debug, Serialize)]
struct ThumbnailLink {
    size: &'static str,
    width: u32,
    height: u32,
    url: String,
}

/// One step's job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Where it is.
    pub state: StepState,
    /// Attempts so far.
    pub attempt: u32,
    /// Attempts there may be.
    pub max_attempts: u32,
    /// Why the last attempt failed, while that matters.
    pub reason: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<Timestamp>,
}

/// Where a step is, in a visitor's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not tried yet.
    Waiting,
    /// A worker is at it.
    Running,
    /// An attempt failed, another follows.
    Retrying,
    /// Done.
    Done,
    /// Given up, until somebody decides otherwise.
    Failed,
}

impl Step {
    /// The step whose job has ended so well and so long ago that the engine has forgotten it; or which is not known of.
    fn without_job(done: bool, max_attempts: u32) -> Self {
        let state = if done { StepState::Done } else { StepState::Waiting };
        Self { state, attempt: 0, max_attempts, reason: None, next_attempt_at: None }
    }

    /// The step as its job shows it.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        let failed_before = !job.errors.is_empty();
        let state = match job.state {
            JobState::Scheduled if failed_before => StepState::Retrying,
            JobState::Scheduled | JobState::Ready => StepState::Waiting,
            JobState::Leased => StepState::Running,
            JobState::Completed => StepState::Done,
            JobState::Dead | JobState::Cancelled => StepState::Failed,
        };
        let reason = match state {
            StepState::Done => None,
            _ => job.errors.last().map(|error| error.message.clone()),
        };
        let next_attempt_at = if state == StepState::Retrying { job.run_at } else { None };
        Self { state, attempt: job.attempt, max_attempts: job.max_attempts, reason, next_attempt_at }
    }
}

/// The status of an upload and its three jobs: thumbnail, email, notification. Of a job that has ended well and is no longer
/// kept there is none.
#[must_use]
pub fn status(upload: &Upload, jobs: &[Option<Job>; 3], max_attempts: u32) -> Status {
    let accepted = upload.jobs.is_some();
    let step = |job: &Option<Job>| match job {
        Some(job) => Step::of(job),
        None => Step::without_job(accepted, max_attempts),
    };
    let id = upload.id.to_string();
    let links = upload.thumbnails.iter().flat_map(|sizes| Size::ALL.into_iter().zip(sizes));
    let thumbnails = links
        .map(|(size, &(width, height))| ThumbnailLink {
            size: size.name(),
            width,
            height,
            url: format!("/uploads/{id}/thumbnails/{}", size.name()),
        })
        .collect();
    Status {
        name: upload.name.clone(),
        content_type: upload.content_type.clone(),
        bytes: upload.bytes,
        email: upload.email.clone(),
        received_at: Timestamp::from_unix_ms(upload.received_at_ms),
        original_url: format!("/uploads/{id}/original"),
        steps: Steps {
            thumbnail: ThumbnailStep { step: step(&jobs[0]), thumbnails },
            email: step(&jobs[1]),
            notification: step(&jobs[2]),
        },
        id,
    }
}
