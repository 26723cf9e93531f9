//! A worker's round trip with one shard, seen from the worker's side: ask, wait, read the payloads of what
//! was leased.
//!
//! Promise: a job that was leased is in the answer, given back, or failed with a reason that says what is
//! wrong with its payload. None is forgotten in between, wherever the future is dropped. A disk that refuses to read costs no
//! attempt: nothing is wrong with the job, and its worker has never seen it.

use std::time::Duration;

use tidegate_core::command::{self, IdempotencyKey, Release};
use tidegate_core::outcome::{LeasedJob, Outcome};
use tidegate_core::{Command, sabotage};

use crate::PAYLOAD_DAMAGED;
use crate::calls::{Answer, Ask, DamagedJob, Leased, UnreadJob, Work, Worked};
use crate::delivery::Delivery;
use crate::engine::{Engine, outcome_of, unexpected, wait_ms};
use crate::error::CallError;
use crate::payloads::{Read, Unreadable};

/// What a shard has answered to a round trip, with the payloads of what it leased, and not picked up yet: if
/// it is dropped, its jobs go back.
pub(crate) struct Brought {
    shard: u16,
    delivery: Delivery,
    read: Vec<Read>,
}

impl Brought {
    /// Jobs that its worker will get.
    pub(crate) fn leased(&self) -> usize {
        self.read.iter().filter(|read| read.is_ok()).count()
    }
}

impl Engine {
    /// A round trip with one shard: the outcome, then the payloads of what was leased.
    pub(crate) async fn work_at(
        &self,
        shard: u16,
        work: Work,
        wait: Duration,
        key: Option<IdempotencyKey>,
    ) -> Result<Answer<Worked>, CallError> {
        let brought = self.bring(shard, work, wait, key).await?;
        self.pick_up(brought)
    }

    /// [`work_at`](Self::work_at), up to where everything is there and nothing is picked up.
    pub(crate) async fn bring(
        &self,
        shard: u16,
        work: Work,
        wait: Duration,
        key: Option<IdempotencyKey>,
    ) -> Result<Brought, CallError> {
        let mut work = work;
        let bytes = work.measure();
        let Work { command, results } = work;
        let command = Box::new(Command::Work(command));
        let ask = Ask::Decide { key, command, blobs: results, wait_ms: wait_ms(wait) };
        let mut delivery = self.ask(shard, ask, bytes).await?;
        // The delivery is held while its payloads are read: if this future is dropped here, its jobs go back.
        let read = match delivery.leased() {
            [] => Vec::new(),
            _ => self.readers().read(delivery.take_pinned()).await,
        };
        Ok(Brought { shard, delivery, read })
    }

    /// From here on the jobs are the caller's.
    pub(crate) fn pick_up(&self, brought: Brought) -> Result<Answer<Worked>, CallError> {
        let Brought { shard, delivery, read } = brought;
        match outcome_of(delivery)? {
            (Outcome::Worked(worked), replayed) => {
                let value = Worked {
                    complete: worked.complete,
                    fail: worked.fail,
                    extend: worked.extend,
                    release: worked.release,
                    ..self.sort_out(shard, worked.leased, read)
                };
                Ok(Answer { value, replayed })
            }
            other => unexpected(other),
        }
    }

    /// Puts payloads to their jobs. A job whose payload is damaged is failed: it is not lost, and says why. One whose payload the disk
    /// does not give is handed back.
    fn sort_out(&self, shard: u16, jobs: Vec<LeasedJob>, read: Vec<Read>) -> Worked {
        let mut sorted = Worked { leased: Vec::with_capacity(jobs.len()), ..Worked::default() };
        let (mut fail, mut release) = (Vec::new(), Vec::new());
        for (job, read) in jobs.into_iter().zip(read) {
            match read {
                Ok(payload) => sorted.leased.push(Leased { job, payload }),
                Err(Unreadable { damaged: false, why }) if !sabotage::is("unread_job_failed") => {
                    release.push(Release { id: job.id, token: job.token });
                    sorted.unread.push(UnreadJob { id: job.id, why });
                }
                Err(Unreadable { why, .. }) => {
                    tracing::error!(job = %job.id, why, "a payload is damaged; its job is failed");
                    fail.push(command::Fail {
                        id: job.id,
                        token: job.token,
                        message: why.clone(),
                        kind: Some(PAYLOAD_DAMAGED.into()),
                        dependency: None,
                        retry_after_ms: None,
                        fatal: true,
                    });
                    sorted.damaged.push(DamagedJob { id: job.id, why });
                }
            }
        }
        let doors = self.doors(shard);
        if !fail.is_empty() && !sabotage::is("damaged_job_forgotten") {
            doors.inbox.offer_own(command::Work { fail, ..Default::default() });
        }
        // Whole frames lie beside one another, so that one line tells of all.
        if let Some(UnreadJob { id, why }) = sorted.unread.first() {
            let jobs = sorted.unread.len();
            tracing::error!(shard, jobs, first = %id, why, "the disk refuses to read payloads; their jobs go back untried");
            doors.published.reads_refused(jobs as u64);
            doors.inbox.hand_back(release);
        }
        sorted
    }
}
