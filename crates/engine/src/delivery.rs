//! An answer on its way to its caller.
//!
//! Promise: jobs that were leased for a caller who went away are given back, wherever the answer was when he
//! went: not yet sent, sent and not picked up, or picked up while its payloads were being read. It works by
//! ownership: whoever drops a delivery without taking what is in it gives its jobs back.

use std::sync::Arc;

use tidegate_core::command::Release;
use tidegate_core::outcome::{LeasedJob, Outcome};
use tidegate_core::pool::view::GrantView;
use tidegate_core::view::{Cause, JobPage, JobView};
use tidegate_log::Log;
use tokio::sync::oneshot;

use crate::calls::Queue;
use crate::error::CallError;
use crate::inbox::Inbox;
use crate::payloads::{Pinned, Readers};

/// What a shard tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// A command's outcome. `pinned` are the payloads of the jobs it leased, in their order; `grants` are what its items are
    /// about, one for each, where any is about pools.
    Decided { outcome: Outcome, replayed: bool, pinned: Pinned, grants: Vec<Option<GrantView>> },
    /// A job. `pinned` are its payload and its result.
    Job(Option<(Box<JobView>, Pinned)>),
    /// A page of a listing.
    Page(JobPage),
    /// A queue.
    Queue(Option<Box<Queue>>),
    /// Causes of dead letters.
    Causes(Option<Vec<Cause>>),
    /// Whether there is something to hand out.
    Watched(bool),
    /// Something about pools.
    Pool(crate::pools::PoolTold),
    /// The probe is durable.
    Probed,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Delivery {
    told: Option<Told>,
    /// Where leased jobs go back to; none if there are none of this delivery's own.
    home: Option<Arc<Inbox>>,
}

impl Delivery {
    /// A delivery of anything but fresh leases.
    pub(crate) fn new(told: Told) -> Self {
        Self { told: Some(told), home: None }
    }

    /// A delivery whose leased jobs go back to `home` if it is not picked up.
    pub(crate) fn of_leases(told: Told, home: &Arc<Inbox>) -> Self {
        Self { told: Some(told), home: Some(Arc::clone(home)) }
    }

    /// The payloads to be read, taken out.
    pub(crate) fn take_pinned(&mut self) -> Pinned {
        match &mut self.told {
            Some(Told::Decided { pinned, .. } | Told::Job(Some((_, pinned)))) => std::mem::take(pinned),
            _ => Pinned::default(),
        }
    }

    /// The leased jobs.
    pub(crate) fn leased(&self) -> &[LeasedJob] {
        match &self.told {
            Some(Told::Decided { outcome: Outcome::Worked(worked), .. }) => &worked.leased,
            _ => &[],
        }
    }

    /// Picks it up.
    pub(crate) fn take(mut self) -> Told {
        self.told.take().expect("a delivery is taken once, by value")
    }

    /// Lets go of it without giving anything back: whether the leases exist is not known.
    fn forget(mut self) {
        self.home = None;
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let release: Vec<Release> =
            self.leased().iter().map(|job| Release { id: job.id, token: job.token }).collect();
        if !release.is_empty() && !tidegate_core::sabotage::is("leases_not_given_back") {
            home.give_back(release);
        }
    }
}

/// The caller's end of a call, in the shard's hands.
#[derive(Debug)]
pub(crate) struct Reply(oneshot::Sender<Result<Delivery, CallError>>);

impl Reply {
    /// Both ends.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Result<Delivery, CallError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    /// Answers. If nobody waits, the delivery is dropped, and gives back what it holds.
    pub(crate) fn answer(self, answer: Result<Delivery, CallError>) {
        drop(self.0.send(answer));
    }

    /// Says no.
    pub(crate) fn refuse(self, error: CallError) {
        self.answer(Err(error));
    }
}

/// An answer that waits for what it saw to be durable.
#[derive(Debug)]
pub(crate) struct Held {
    reply: Reply,
    answer: Result<Delivery, CallError>,
}

impl Held {
    /// Holds `answer` for `reply`.
    pub(crate) fn new(reply: Reply, answer: Result<Delivery, CallError>) -> Self {
        Self { reply, answer }
    }

    /// Pins the payloads that the answer speaks of, and has those read that are not in memory.
    pub(crate) fn pin(&mut self, log: &dyn Log, readers: &Readers) {
        let pinned = match self.answer.as_mut().ok().and_then(|delivery| delivery.told.as_mut()) {
            Some(Told::Decided { outcome: Outcome::Worked(worked), pinned, .. })
                if !worked.leased.is_empty() =>
            {
                *pinned = Pinned::pin(log, worked.leased.iter().map(|job| job.blob));
                pinned
            }
            Some(Told::Job(Some((view, pinned)))) => {
                *pinned = Pinned::pin(log, [view.payload, view.result].into_iter());
                pinned
            }
            _ => return,
        };
        readers.begin(pinned);
    }

    /// About how many bytes it will take to tell, listings aside: those are long.
    pub(crate) fn bytes(&self) -> usize {
        const ITEM_BYTES: usize = 64;
        match self.answer.as_ref().ok().and_then(|delivery| delivery.told.as_ref()) {
            Some(Told::Decided { outcome: Outcome::Worked(worked), .. }) => {
                let items = [&worked.complete, &worked.fail, &worked.extend, &worked.release];
                let leased = worked.leased.iter().map(|job| ITEM_BYTES + job.blob.len as usize);
                items.iter().map(|items| items.len() * ITEM_BYTES).sum::<usize>() + leased.sum::<usize>()
            }
            Some(Told::Decided {
                outcome: Outcome::Enqueued(items) | Outcome::Transacted(items) | Outcome::Pooled(items),
                ..
            }) => items.len() * ITEM_BYTES,
            Some(Told::Job(Some((view, _)))) => (view.payload.len + view.result.len) as usize,
            Some(Told::Page(_) | Told::Causes(_) | Told::Pool(_)) => usize::MAX,
            _ => 0,
        }
    }

    /// Lets it go.
    pub(crate) fn send(self) {
        self.reply.answer(self.answer);
    }

    /// Tells the caller that nobody knows.
    pub(crate) fn outcome_unknown(self, why: &Arc<str>) {
        if let Ok(delivery) = self.answer {
            delivery.forget();
        }
        self.reply.refuse(CallError::OutcomeUnknown { why: Arc::clone(why) });
    }
}
