//! What callers say and hear, in a form that can be kept, said again, compared and told in words.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::damage::DAMAGED;
use crate::pools::call::{PoolCall, PoolReply, transacted};
use tidegate_core::command::{DeadFilter, Pause, Redrive};
use tidegate_core::id::Blob;
use tidegate_core::outcome::{Item, LeasedJob};
use tidegate_core::policy::QueueConfig;
use tidegate_core::pool::GrantId;
use tidegate_core::pool::view::PoolItem;
use tidegate_core::view::{Counts, JobFilter, JobView, RedriveView};
use tidegate_core::{JobId, Refusal};
use tidegate_engine::{
    Answer, CallError, Engine, Enqueue, Envelope, IdempotencyKey, Stored, Transaction, Work, fingerprint,
    limits,
};

/// A call.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Call {
    Enqueue { ask: Enqueue, key: Option<IdempotencyKey> },
    Work { ask: Work, wait_ms: u64, key: Option<IdempotencyKey> },
    Transact { ask: Transaction, key: Option<IdempotencyKey> },
    Cancel { id: JobId, key: Option<IdempotencyKey> },
    Edit { id: JobId, payload: Envelope, key: Option<IdempotencyKey> },
    Configure { queue: String, config: QueueConfig, key: Option<IdempotencyKey> },
    Pause { pause: Pause, key: Option<IdempotencyKey> },
    Redrive { redrive: Redrive, key: Option<IdempotencyKey> },
    DeleteDead { filter: DeadFilter, key: Option<IdempotencyKey> },
    Job { id: JobId, wait_ms: u64 },
    List { filter: JobFilter, cursor: u64, limit: usize },
    Queue { name: String },
    Causes { queue: String },
    Pools { ask: PoolCall, key: Option<IdempotencyKey> },
}

/// What a caller hears.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Reply {
    Items { items: Vec<Item>, replayed: bool },
    Worked(Box<Worked>),
    Item { item: Item, replayed: bool },
    Done { replayed: bool },
    Redriving { view: RedriveView, replayed: bool },
    Deleted { deleted: u64, more: bool, replayed: bool },
    Job(Option<Box<SeenJob>>),
    Page { jobs: Vec<JobView>, next: Option<u64> },
    Queue(Option<SeenQueue>),
    Causes(Option<Vec<SeenCause>>),
    Pools(Box<PoolReply>),
    Refused { refusal: Refusal, replayed: bool },
    OperationRefused { operation: u32, refusal: Refusal, replayed: bool },
    ConditionRefused { condition: u32, refusal: Refusal, replayed: bool },
    TooLarge,
    InboxFull,
    WaitersFull,
    DiskFull,
    Unknown,
    Unavailable,
    Other(String),
}

/// The parts of a round trip.
#[derive(Clone, Debug, PartialEq, Default)]
#[allow(missing_docs)]
pub struct Worked {
    pub complete: Vec<Item>,
    pub fail: Vec<Item>,
    pub extend: Vec<Item>,
    pub release: Vec<Item>,
    pub leased: Vec<(LeasedJob, Envelope)>,
    /// Leased, and failed because their payloads are damaged; and why.
    pub damaged: Vec<(JobId, String)>,
    /// Leased, and handed back because the disk refused to read their payloads; and what it said.
    pub unread: Vec<(JobId, String)>,
    pub replayed: bool,
}

/// A job with what it brings and has left. Where its blobs lie is not a caller's business, and its position is judged apart.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct SeenJob {
    pub view: JobView,
    pub payload: Option<Envelope>,
    pub result: Option<Envelope>,
}

/// A queue, as far as the twin knows.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct SeenQueue {
    pub name: String,
    pub config: QueueConfig,
    pub paused: bool,
    pub counts: Counts,
    pub keys_paused: u64,
    pub keys_parked: u64,
    pub redrive: Option<RedriveView>,
}

/// A cause of death and how many died of it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct SeenCause {
    pub cause: u64,
    pub kind: String,
    pub count: u64,
}

impl Reply {
    /// The grants that its caller has heard of.
    #[must_use]
    pub fn grants(&self) -> Vec<GrantId> {
        let Self::Pools(heard) = self else { return Vec::new() };
        let items: Vec<Item> = match &**heard {
            PoolReply::Answers { answers, .. } => answers.iter().map(|answer| answer.item).collect(),
            PoolReply::Transacted { items, .. } => items.clone(),
            _ => Vec::new(),
        };
        let grant = |item: Item| match item {
            Item::Pool(PoolItem::Grant { id, .. } | PoolItem::Ended { id, .. }) => Some(id),
            _ => None,
        };
        items.into_iter().filter_map(grant).collect()
    }
}

/// A call under way.
pub type Asked = Pin<Box<dyn Future<Output = Reply>>>;

impl Call {
    /// The idempotency key it comes with.
    #[must_use]
    pub fn key(&self) -> Option<&IdempotencyKey> {
        match self {
            Self::Enqueue { key, .. }
            | Self::Work { key, .. }
            | Self::Transact { key, .. }
            | Self::Cancel { key, .. }
            | Self::Edit { key, .. }
            | Self::Configure { key, .. }
            | Self::Pause { key, .. }
            | Self::Redrive { key, .. }
            | Self::DeleteDead { key, .. }
            | Self::Pools { key, .. } => key.as_ref(),
            Self::Job { .. } | Self::List { .. } | Self::Queue { .. } | Self::Causes { .. } => None,
        }
    }

    /// The same call under a key, if it is one that changes something. The fingerprint is that of all it asks for.
    #[must_use]
    pub fn keyed(mut self, name: &str) -> Self {
        if matches!(&self, Self::Pools { ask, .. } if !ask.changes()) {
            return self;
        }
        let body = fingerprint(&[format!("{self:?}").as_bytes()]);
        if let Self::Enqueue { key, .. }
        | Self::Work { key, .. }
        | Self::Transact { key, .. }
        | Self::Cancel { key, .. }
        | Self::Edit { key, .. }
        | Self::Configure { key, .. }
        | Self::Pause { key, .. }
        | Self::Redrive { key, .. }
        | Self::DeleteDead { key, .. }
        | Self::Pools { key, .. } = &mut self
        {
            *key = Some(IdempotencyKey { key: name.into(), fingerprint: body });
        }
        self
    }

    /// Whether no frame has room for it.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        let Self::Enqueue { ask, .. } = self else { return false };
        ask.payloads.iter().any(|payload| payload.payload.len() > limits::CALL_BYTES)
    }

    /// The command's name, for the table of what was reached.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Enqueue { .. } => "enqueue",
            Self::Work { .. } => "work",
            Self::Transact { .. } => "transaction",
            Self::Cancel { .. } => "cancel",
            Self::Edit { .. } => "edit",
            Self::Configure { .. } => "configure",
            Self::Pause { .. } => "pause",
            Self::Redrive { .. } => "redrive",
            Self::DeleteDead { .. } => "delete dead",
            Self::Job { .. } => "job",
            Self::List { .. } => "list",
            Self::Queue { .. } => "queue",
            Self::Causes { .. } => "causes",
            Self::Pools { ask, .. } => match ask {
                PoolCall::Configure { .. } => "configure pool",
                PoolCall::Resize { .. } => "resize pool",
                PoolCall::Delete { .. } => "delete pool",
                PoolCall::Operations(_) => "pools",
                PoolCall::Pool { .. } => "pool",
                PoolCall::Grant { .. } => "grant",
                PoolCall::Holder { .. } => "holder",
                PoolCall::Entrants { .. } => "entrants",
                PoolCall::Grants { .. } => "grants of a pool",
                PoolCall::Line { .. } => "line",
            },
        }
    }

    /// Makes the call; nothing happens before the future is polled.
    #[must_use]
    pub fn ask(&self, engine: &Engine) -> Asked {
        let engine = engine.clone();
        match self.clone() {
            Self::Enqueue { ask, key } => Box::pin(async move { items(engine.enqueue(ask, key).await) }),
            Self::Transact { ask, key } => {
                Box::pin(async move { transacted(engine.transact_and_show(ask, key).await) })
            }
            Self::Work { ask, wait_ms, key } => {
                Box::pin(async move { worked(engine.work(ask, Duration::from_millis(wait_ms), key).await) })
            }
            Self::Pools { ask, key } => ask.ask(engine, key),
            Self::Cancel { id, key } => Box::pin(async move { item(engine.cancel(id, key).await) }),
            Self::Edit { id, payload, key } => {
                Box::pin(async move { item(engine.edit(id, payload, key).await) })
            }
            Self::Configure { queue, config, key } => {
                Box::pin(async move { done(engine.configure_queue(&queue, config, key).await) })
            }
            Self::Pause { pause, key } => Box::pin(async move { done(engine.pause(pause, key).await) }),
            Self::Redrive { redrive, key } => Box::pin(async move {
                let answer = engine.redrive(redrive, key).await;
                reply(answer, |Answer { value, replayed }| Reply::Redriving { view: value, replayed })
            }),
            Self::DeleteDead { filter, key } => Box::pin(async move {
                let answer = engine.delete_dead(filter, key).await;
                reply(answer, |Answer { value, replayed }| Reply::Deleted {
                    deleted: value.deleted,
                    more: value.more,
                    replayed,
                })
            }),
            Self::Job { id, wait_ms } => Box::pin(async move {
                reply(engine.job(id, Duration::from_millis(wait_ms)).await, |job| {
                    Reply::Job(job.map(|job| {
                        let (payload, result) = (stored(job.payload), stored(job.result));
                        Box::new(SeenJob { view: plain(job.view), payload, result })
                    }))
                })
            }),
            Self::List { filter, cursor, limit } => Box::pin(async move {
                reply(engine.list(filter, cursor, limit).await, |page| Reply::Page {
                    jobs: page.jobs.into_iter().map(plain).collect(),
                    next: page.next,
                })
            }),
            Self::Queue { name } => Box::pin(async move {
                reply(engine.queue_now(&name).await, |queue| {
                    Reply::Queue(queue.map(|queue| SeenQueue::from(queue.view)))
                })
            }),
            Self::Causes { queue } => Box::pin(async move {
                reply(engine.causes(&queue).await, |causes| {
                    Reply::Causes(causes.map(|causes| {
                        let seen = causes.into_iter().map(|cause| SeenCause {
                            cause: cause.cause,
                            kind: cause.kind,
                            count: cause.count,
                        });
                        seen.collect()
                    }))
                })
            }),
        }
    }
}

impl From<tidegate_core::view::QueueView> for SeenQueue {
    fn from(view: tidegate_core::view::QueueView) -> Self {
        Self {
            name: (*view.name).into(),
            config: view.config,
            paused: view.paused,
            counts: view.counts,
            keys_paused: view.keys_paused,
            keys_parked: view.keys_parked,
            redrive: view.redrive.map(|redrive| *redrive),
        }
    }
}

/// A view without the places of its blobs and without its position.
#[must_use]
pub fn plain(view: JobView) -> JobView {
    JobView { payload: Blob::default(), result: Blob::default(), position: None, ..view }
}

fn stored(stored: Stored) -> Option<Envelope> {
    match stored {
        Stored::None => None,
        Stored::Here(envelope) => Some(envelope),
        Stored::Damaged(why) => Some(Envelope::bytes(format!("{DAMAGED}{why}"))),
    }
}

fn items(answer: Result<Answer<Vec<Item>>, CallError>) -> Reply {
    reply(answer, |Answer { value, replayed }| Reply::Items { items: value, replayed })
}

fn item(answer: Result<Answer<Item>, CallError>) -> Reply {
    reply(answer, |Answer { value, replayed }| Reply::Item { item: value, replayed })
}

fn done(answer: Result<Answer<()>, CallError>) -> Reply {
    reply(answer, |Answer { replayed, .. }| Reply::Done { replayed })
}

fn worked(answer: Result<Answer<tidegate_engine::Worked>, CallError>) -> Reply {
    reply(answer, |Answer { value, replayed }| {
        Reply::Worked(Box::new(Worked {
            complete: value.complete,
            fail: value.fail,
            extend: value.extend,
            release: value.release,
            leased: value
                .leased
                .into_iter()
                .map(|leased| (LeasedJob { blob: Blob::default(), ..leased.job }, leased.payload))
                .collect(),
            damaged: value.damaged.into_iter().map(|damaged| (damaged.id, damaged.why)).collect(),
            unread: value.unread.into_iter().map(|unread| (unread.id, unread.why)).collect(),
            replayed,
        }))
    })
}

pub(crate) fn reply<T>(answer: Result<T, CallError>, told: impl FnOnce(T) -> Reply) -> Reply {
    match answer {
        Ok(value) => told(value),
        Err(CallError::Refused { refusal, replayed }) => Reply::Refused { refusal, replayed },
        Err(CallError::OperationRefused { operation, refusal, replayed }) => {
            Reply::OperationRefused { operation, refusal, replayed }
        }
        Err(CallError::ConditionRefused { condition, refusal, replayed }) => {
            Reply::ConditionRefused { condition, refusal, replayed }
        }
        Err(CallError::CallTooLarge { .. }) => Reply::TooLarge,
        Err(CallError::InboxFull { .. }) => Reply::InboxFull,
        Err(CallError::WaitersFull { .. }) => Reply::WaitersFull,
        Err(CallError::DiskFull { .. }) => Reply::DiskFull,
        Err(CallError::OutcomeUnknown { .. }) => Reply::Unknown,
        Err(CallError::Unavailable { .. }) => Reply::Unavailable,
        Err(other) => Reply::Other(other.to_string()),
    }
}
