//! What was reached, and how often: a simulator that never meets a refusal proves nothing about it.
//!
//! What there is to reach is taken from the types themselves: the matches here have no arm for the rest, and structures are
//! taken apart field by field, so the compiler asks whoever adds a command, an option or a refusal to give it its line.

use std::collections::BTreeMap;
use std::fmt;

use tidegate_core::command::{
    Command, Complete, DeadFilter, EnqueueOne, Extend, Fail, Lease, NewJob, NewJobMore, Operation, Pause,
    Redrive, Work,
};
use tidegate_core::id::When;
use tidegate_core::limits;
use tidegate_core::outcome::{Item, Refusal};
use tidegate_core::policy::{OnConflict, OnFailure, QueueConfig, Retry, Unique, UniqueUntil};
use tidegate_core::record::{EndReason, RedriveEnd};
use tidegate_core::view::{JobFilter, JobView, WaitingFor};
use tidegate_engine::{Content, Enqueue, Envelope};

use crate::call::{Call, Reply};
use crate::pools::coverage as pools;

/// Counts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(pub BTreeMap<String, u64>);

/// Names every variant of a type: a function that the compiler keeps complete, and the list of all names it gives.
macro_rules! names {
    ($(#[$doc:meta])* $list:ident, $function:ident, $type:ty { $($pattern:pat => $name:literal,)* }) => {
        $(#[$doc])*
        pub const $list: &[&str] = &[$($name),*];

        $(#[$doc])*
        #[must_use]
        pub const fn $function(value: &$type) -> &'static str {
            match value { $($pattern => $name,)* }
        }
    };
}

pub(crate) use names;

names! {
    /// Commands of the core.
    COMMANDS, command, Command {
        Command::Enqueue(_) => "enqueue",
        Command::Work(_) => "work",
        Command::Cancel(_) => "cancel",
        Command::Edit(_) => "edit",
        Command::ConfigureQueue { .. } => "configure",
        Command::Pause(_) => "pause",
        Command::Redrive(_) => "redrive",
        Command::DeleteDead(_) => "delete dead",
        Command::Transaction(_) => "transaction",
        Command::ConfigurePool { .. } => "configure pool",
        Command::ResizePool { .. } => "resize pool",
        Command::DeletePool { .. } => "delete pool",
        Command::Pools(_) => "pools",
    }
}

names! {
    /// Operations of a transaction.
    OPERATIONS, operation, Operation {
        Operation::Enqueue(_) => "transaction enqueues",
        Operation::Complete(_) => "transaction completes",
        Operation::Pool(_) => "transaction asks a pool",
    }
}

names! {
    /// Refusals of the rules.
    REFUSALS, refusal, Refusal {
        Refusal::JobNotFound => "job_not_found",
        Refusal::QueueNotFound => "queue_not_found",
        Refusal::StaleToken => "stale_token",
        Refusal::NotLeased(_) => "not_leased",
        Refusal::JobEnded(_) => "job_ended",
        Refusal::NotDead(_) => "not_dead",
        Refusal::UniqueConflict(_) => "unique_conflict",
        Refusal::QueueFull(_) => "queue_full",
        Refusal::ShardFull(_) => "shard_full",
        Refusal::TooManyQueues => "too_many_queues",
        Refusal::TooManyKinds => "too_many_kinds",
        Refusal::TooFarAhead => "too_far_ahead",
        Refusal::AlreadyExpired => "already_expired",
        Refusal::IdempotencyMismatch => "idempotency_mismatch",
        Refusal::IdempotencyFull(_) => "idempotency_full",
        // Said as `invalid_value`.
        Refusal::Contradicts(_) => "contradicts",
        Refusal::Pool(_) => "of a pool",
    }
}

names! {
    /// Answers of the engine; `other` may never come.
    REPLIES, reply, Reply {
        Reply::Items { .. } => "items",
        Reply::Worked(_) => "worked",
        Reply::Item { .. } => "item",
        Reply::Done { .. } => "done",
        Reply::Redriving { .. } => "redriving",
        Reply::Deleted { .. } => "deleted",
        Reply::Job(_) => "job",
        Reply::Page { .. } => "page",
        Reply::Queue(_) => "queue",
        Reply::Causes(_) => "causes",
        Reply::Pools(_) => "of pools",
        Reply::Refused { .. } => "refused",
        Reply::OperationRefused { .. } => "operation refused",
        Reply::ConditionRefused { .. } => "condition refused",
        Reply::TooLarge => "call_too_large",
        Reply::InboxFull => "inbox_full",
        Reply::WaitersFull => "waiters_full",
        Reply::DiskFull => "disk_full",
        Reply::Unknown => "outcome_unknown",
        Reply::Unavailable => "unavailable",
        Reply::Other(_) => "other",
    }
}

names! {
    /// Why a job ended.
    REASONS, reason, EndReason {
        EndReason::None => "completed",
        EndReason::AttemptsExhausted => "attempts_exhausted",
        EndReason::Fatal => "fatal",
        EndReason::Expired => "expired",
        EndReason::Cancelled => "cancelled",
        EndReason::Replaced => "replaced",
    }
}

names! {
    /// Why a job is not running.
    WAITING, waiting, WaitingFor {
        WaitingFor::RunAt => "run_at",
        WaitingFor::Retry => "retry",
        WaitingFor::Worker => "worker",
        WaitingFor::QueuePaused => "queue_paused",
        WaitingFor::KeyBusy => "key_busy",
        WaitingFor::KeyPaused => "key_paused",
        WaitingFor::KeyParked => "key_parked",
    }
}

names! {
    /// How a redrive ended, as far as anybody sees it: one that was taken over is seen no more.
    REDRIVE_ENDS, redrive_end, RedriveEnd {
        RedriveEnd::Done => "redrive done",
        RedriveEnd::DeadAgain => "redrive stopped as jobs died again",
        RedriveEnd::Superseded => "redrive taken over",
    }
}

names! {
    /// What a failure does to an ordering key.
    ON_FAILURE, on_failure, OnFailure {
        OnFailure::Block => "on_failure block",
        OnFailure::Skip => "on_failure skip",
        OnFailure::Park => "on_failure park",
    }
}

names! {
    /// How long a unique key is held.
    UNTIL, until, UniqueUntil {
        UniqueUntil::Completed => "unique until completed",
        UniqueUntil::Started => "unique until started",
        UniqueUntil::Duration => "unique for a duration",
    }
}

names! {
    /// What a second job with a unique key does.
    ON_CONFLICT, on_conflict, OnConflict {
        OnConflict::Return => "on_conflict return",
        OnConflict::Reject => "on_conflict reject",
        OnConflict::Replace => "on_conflict replace",
    }
}

names! {
    /// How a moment is said.
    MOMENTS, moment, When {
        When::At(_) => "a moment",
        When::In(_) => "a delay",
    }
}

/// Reads, which are no commands of the core.
const READS: &[&str] = &["job", "list", "queue", "causes"];

/// Options that are there or not.
const OPTIONS: &[&str] = &[
    "idempotency key",
    "wait for a lease",
    "wait for a job",
    "priority",
    "run_at",
    "expires_at",
    "ordering_key",
    "fairness_key",
    "retry",
    "dependency",
    "result",
    "metadata",
    "traceparent",
    "bytes",
    "lease_ms of a queue",
    "lease_ms of a queue, below the least",
    "on_failure of a queue",
    "jobs_max of a queue",
    "no jobs_max of a queue",
    "retain_max of a queue",
    "retain_max of none",
    "one attempt",
    "several attempts",
    "no delay of a retry",
    "delay of a retry",
    "a constant delay of retries",
    "a rising delay of retries",
    "jitter",
    "no jitter",
    "lease_ms of a lease",
    "kinds of a lease",
    "lease_ms of an extension",
    "progress",
    "kind of an error",
    "dependency of an error",
    "retry_after_ms",
    "fatal",
    "pause of a queue",
    "resumption of a queue",
    "pause of a key",
    "resumption of a key",
    "dead ids",
    "dead kind",
    "dead cause",
    "dead reason",
    "dead before",
    "rate_per_s",
    "stop_after_dead",
    "list queue",
    "list state",
    "list kind",
    "list ordering_key",
    "list cause",
    "list reason",
    "list enqueued_before",
    "list cursor",
];

/// What can happen to the house.
const FAULTS: &[&str] = &[
    "process dies",
    "process is stopped",
    "power fails",
    "power fails at an operation",
    "power fails in a recovery",
    "power fails while the meta file is written",
    "process dies at an operation",
    "process dies after a trim",
    "somebody looks at everything",
    "disk fills up",
    "what is new is refused for want of room",
    "there is room again",
    "reads fail",
    "sync is slow",
    "frames gather behind a slow sync",
    "clock set forward",
    "clock set back",
    "caller leaves",
    "answer not picked up",
];

/// What the disk does.
const DISK: &[&str] = &[
    "a write fails",
    "a write is short",
    "a write is lost",
    "a write is torn",
    "a write overtakes an earlier one",
    "a sync fails",
    "a read fails",
    "there is no room",
    "a name is lost",
    "a file cannot be made",
    "a name cannot be given",
    "room cannot be set aside",
    "the directory cannot be synced",
];

const FLIPS: &[&str] = &[
    "header",
    "records",
    "payload",
    "meta",
    "spare",
    "unused bytes",
    "in the last segment",
    "in a sealed segment",
];

const DAMAGE: &[&str] = &[
    "a start stops: header",
    "a start stops: records",
    "a start stops: meta",
    "the last frames are reported as torn",
    "a job is failed because its payload is damaged",
    "a read says that a payload is damaged",
    "a job goes back because the disk refuses to read",
    "a read says that the disk refuses",
];

const ANSWERS: &[&str] = &["duplicate", "replayed", "leased", "leased after waiting", "leased again"];

const RECOVERIES: &[&str] = &[
    "torn tail",
    "unacknowledged kept",
    "unacknowledged lost",
    "trimmed log",
    "closed log",
    "after a failed log",
    "a start stops as the disk refuses to read",
    "a log gets short",
];

const PUBLISHED: &[&str] = &["queues", "queues, and newer wait"];

/// What is named above and cannot be reached, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("answer: other", "it would be a bug"),
    ("redrive: redrive taken over", "whoever looks sees the one that took over"),
    ("refusal of pools: unknown", "only a later version's log can say it"),
];

/// Under a key, any command can be told these.
const KEYED: &[&str] = &["idempotency_full", "idempotency_mismatch"];
const OF_LEASES: &[&str] = &["job_ended", "job_not_found", "not_leased", "stale_token"];

/// Which refusals each part of a call is told; all of them must be reached. What is told beside these and [`SELDOM_REFUSED`] is a
/// rule that nobody has written down here.
pub const REFUSED: &[(&str, &[&str])] = &[
    ("complete refused", OF_LEASES),
    ("fail refused", OF_LEASES),
    ("extend refused", OF_LEASES),
    ("release refused", OF_LEASES),
    ("transaction completes refused", OF_LEASES),
    ("transaction completes refused", &["contradicts"]),
    ("work refused", KEYED),
    ("transaction refused", KEYED),
    ("pools refused", KEYED),
    ("enqueue refused", KEYED),
    (
        "enqueue refused",
        &[
            "already_expired",
            "queue_full",
            "shard_full",
            "too_far_ahead",
            "too_many_kinds",
            "too_many_queues",
            "unique_conflict",
        ],
    ),
    (
        "transaction enqueues refused",
        &[
            "already_expired",
            "contradicts",
            "queue_full",
            "shard_full",
            "too_far_ahead",
            "too_many_kinds",
            "too_many_queues",
            "unique_conflict",
        ],
    ),
    ("cancel refused", KEYED),
    ("cancel refused", &["job_ended", "job_not_found"]),
    ("edit refused", KEYED),
    ("edit refused", &["job_not_found", "not_dead"]),
    ("configure refused", KEYED),
    ("configure refused", &["too_many_queues"]),
    ("pause refused", KEYED),
    ("pause refused", &["queue_not_found"]),
    ("redrive refused", KEYED),
    ("redrive refused", &["queue_not_found"]),
    ("delete dead refused", KEYED),
    ("delete dead refused", &["queue_not_found"]),
    ("configure pool refused", KEYED),
    (
        "configure pool refused",
        &["below_granted", "never_open", "pool_in_use", "too_far_ahead", "too_many_pools", "version_changed"],
    ),
    ("resize pool refused", &["below_granted", "idempotency_full", "pool_not_found"]),
    ("delete pool refused", &["idempotency_full", "pool_in_use", "pool_not_found"]),
    (
        "hold of a pool refused",
        &[
            "closed",
            "group_unknown",
            "limit_reached",
            "not_open",
            "pool_not_found",
            "quota_full",
            "sold_out",
            "too_many_grants",
            "too_many_holders",
        ],
    ),
    (
        "take of a pool refused",
        &[
            "closed",
            "group_unknown",
            "limit_reached",
            "not_open",
            "pool_not_found",
            "quota_full",
            "sold_out",
            "too_many_grants",
            "too_many_holders",
        ],
    ),
    (
        "join of a pool refused",
        &[
            "closed",
            "group_unknown",
            "limit_reached",
            "never_fits",
            "not_open",
            "pool_not_found",
            "too_many_holders",
            "waitlist_full",
            "waitlist_off",
        ],
    ),
    (
        "swap of a pool refused",
        &[
            "already_waiting",
            "closed",
            "grant_ended",
            "grant_unknown",
            "group_unknown",
            "hold_lapsed",
            "limit_reached",
            "same_pool",
            "sold_out",
            "waitlist_off",
        ],
    ),
    ("confirm of a pool refused", &["grant_ended", "grant_unknown", "hold_lapsed"]),
    ("extend of a pool refused", &["grant_ended", "grant_unknown", "hold_lapsed", "is_offer", "not_held"]),
    ("release of a pool refused", &["grant_ended", "grant_unknown", "hold_lapsed"]),
    ("leave of a pool refused", &["not_waiting", "pool_not_found"]),
    ("a pool's version refused", &["pool_not_found", "version_changed"]),
    ("a holder has all refused", &["lacks_pool", "pool_not_found"]),
    ("a holder has none refused", &["has_pool", "pool_not_found"]),
    ("a holder's units are below refused", &["units_reached"]),
    ("a job's state refused", &["job_not_found", "job_state_changed"]),
];

/// What can be told too, and so seldom that no number of seeds for every day reaches it for sure.
pub const SELDOM_REFUSED: &[(&str, &[&str])] = &[
    ("configure pool refused", &["below_granted, of a quota", "group_unknown"]),
    ("resize pool refused", &["idempotency_mismatch", "pool_in_use"]),
    ("delete pool refused", &["idempotency_mismatch"]),
    ("hold of a pool refused", &["contradicts"]),
    ("take of a pool refused", &["contradicts"]),
    ("join of a pool refused", &["contradicts", "quota_full", "sold_out", "too_many_grants"]),
    (
        "swap of a pool refused",
        &[
            "contradicts",
            "never_fits",
            "not_open",
            "pool_not_found",
            "quota_full",
            "too_many_grants",
            "too_many_holders",
            "waitlist_full",
        ],
    ),
    ("confirm of a pool refused", &["closed", "contradicts", "not_held"]),
    ("extend of a pool refused", &["closed", "contradicts"]),
    ("release of a pool refused", &["contradicts"]),
    ("leave of a pool refused", &["contradicts"]),
];

/// What must be reached over enough seeds, by kind.
pub const MUST_BE_REACHED: &[(&str, &[&str])] = &[
    ("command", COMMANDS),
    ("command", READS),
    ("operation", OPERATIONS),
    ("option", OPTIONS),
    ("option", ON_FAILURE),
    ("option", UNTIL),
    ("option", ON_CONFLICT),
    ("option", MOMENTS),
    ("refusal", REFUSALS),
    ("answer", REPLIES),
    ("answer", ANSWERS),
    ("ended", REASONS),
    ("waits for", WAITING),
    ("redrive", REDRIVE_ENDS),
    ("fault", FAULTS),
    ("disk", DISK),
    ("flip", FLIPS),
    ("damage", DAMAGE),
    ("recovery", RECOVERIES),
    ("published", PUBLISHED),
    ("command", pools::POOL_READS),
    ("pool operation", pools::POOL_OPERATIONS),
    ("condition", pools::CONDITIONS),
    ("option of pools", pools::POOL_OPTIONS),
    ("refusal of pools", pools::WHYS),
    ("pool answer", pools::POOL_ITEMS),
    ("grant ended", pools::GRANT_ENDS),
    ("story", pools::HAPPENED),
    ("pools", pools::POOL_STATES),
];

impl Coverage {
    /// Counts one.
    pub fn note(&mut self, kind: &str, name: &str) {
        self.note_many(kind, name, 1);
    }

    /// Counts several.
    pub fn note_many(&mut self, kind: &str, name: &str, count: u64) {
        *self.0.entry(format!("{kind}: {name}")).or_default() += count;
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    /// What must be reached and was not.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let all = MUST_BE_REACHED.iter().chain(REFUSED);
        let names = all.flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind}: {name}")));
        let here = |name: &String| !ELSEWHERE.iter().any(|(elsewhere, _)| elsewhere == name);
        names.filter(here).filter(|name| !self.0.contains_key(name)).collect()
    }

    /// Refusals that were told and that no table names.
    #[must_use]
    pub fn unforeseen(&self) -> Vec<&str> {
        let tables = || REFUSED.iter().chain(SELDOM_REFUSED);
        let is_foreseen = |(asked, why): (&str, &str)| {
            tables().any(|(of, whys)| of.strip_suffix(" refused") == Some(asked) && whys.contains(&why))
        };
        let told = self.0.keys().map(String::as_str);
        told.filter(|name| name.split_once(" refused: ").is_some_and(|pair| !is_foreseen(pair))).collect()
    }

    fn options(&mut self, options: &[(&str, bool)]) {
        for (name, _) in options.iter().filter(|(_, is_there)| *is_there) {
            debug_assert!(OPTIONS.contains(name), "{name} is in the list of options");
            self.note("option", name);
        }
    }

    /// Counts what a caller asks, with all its options.
    pub fn note_call(&mut self, call: &Call) {
        self.note("command", call.name());
        self.options(&[("idempotency key", call.key().is_some())]);
        match call {
            Call::Enqueue { ask: Enqueue { command, payloads }, key: _ } => {
                command.jobs.iter().for_each(|job| self.note_job(job));
                payloads.iter().for_each(|payload| self.note_envelope(payload));
            }
            Call::Transact { ask, key: _ } => {
                for (one, blob) in ask.command.operations.iter().zip(&ask.blobs) {
                    self.note("operation", operation(one));
                    self.note_envelope(blob);
                    match one {
                        Operation::Enqueue(EnqueueOne { queue: _, kind: _, job }) => self.note_job(job),
                        Operation::Complete(Complete { id: _, token: _, result_len: _ }) => {
                            self.options(&[("result", blob.stored_len() > 0)]);
                        }
                        Operation::Pool(operation) => self.note_pool_operation(operation),
                    }
                }
                let of_pools = |one: &&Operation| matches!(one, Operation::Pool(_));
                let count = ask.command.operations.iter().filter(of_pools).count();
                self.pool_options(&[
                    ("conditions and operations on pools", count > 0 && !ask.command.conditions.is_empty()),
                    ("operations on pools beside jobs", count > 0 && count < ask.command.operations.len()),
                ]);
                ask.command.conditions.iter().for_each(|one| self.note("condition", pools::condition(one)));
            }
            Call::Work { ask, wait_ms, key: _ } => {
                self.options(&[
                    ("wait for a lease", *wait_ms > 0),
                    ("result", ask.results.iter().any(|result| result.stored_len() > 0)),
                ]);
                self.note_work(&ask.command);
                ask.results.iter().for_each(|result| self.note_envelope(result));
            }
            Call::Pause { pause: Pause { queue: _, ordering_key, paused }, key: _ } => self.options(&[
                ("pause of a queue", ordering_key.is_none() && *paused),
                ("resumption of a queue", ordering_key.is_none() && !paused),
                ("pause of a key", ordering_key.is_some() && *paused),
                ("resumption of a key", ordering_key.is_some() && !paused),
            ]),
            Call::Redrive { redrive: Redrive { filter, rate_per_s, stop_after_dead }, key: _ } => {
                self.note_dead_filter(filter);
                self.options(&[
                    ("rate_per_s", rate_per_s.is_some()),
                    ("stop_after_dead", *stop_after_dead > 0),
                ]);
            }
            Call::DeleteDead { filter, key: _ } => self.note_dead_filter(filter),
            Call::Pools { ask, key: _ } => self.note_pool_call(ask),
            Call::Job { id: _, wait_ms } => self.options(&[("wait for a job", *wait_ms > 0)]),
            Call::List { filter, cursor, limit: _ } => {
                let JobFilter { queue, state, kind, ordering_key, cause, reason, enqueued_before } = filter;
                self.options(&[
                    ("list queue", queue.is_some()),
                    ("list state", state.is_some()),
                    ("list kind", kind.is_some()),
                    ("list ordering_key", ordering_key.is_some()),
                    ("list cause", cause.is_some()),
                    ("list reason", reason.is_some()),
                    ("list enqueued_before", enqueued_before.is_some()),
                    ("list cursor", *cursor > 0),
                ]);
            }
            Call::Configure { queue: _, config, key: _ } => self.note_queue_config(config),
            Call::Edit { id: _, payload, key: _ } => self.note_envelope(payload),
            Call::Cancel { id: _, key: _ } | Call::Queue { name: _ } | Call::Causes { queue: _ } => {}
        }
    }

    fn note_queue_config(&mut self, config: &QueueConfig) {
        let QueueConfig { retry, lease_ms, on_failure: ends, jobs_max, retain_ms: _, retain_max } = config;
        self.note_retry(retry);
        let ends = OnFailure::try_from(*ends).unwrap_or(OnFailure::Block);
        self.options(&[
            ("lease_ms of a queue, below the least", *lease_ms < limits::LEASE_MS_MIN),
            ("lease_ms of a queue", *lease_ms >= limits::LEASE_MS_MIN),
            ("on_failure of a queue", ends != OnFailure::Block),
            ("jobs_max of a queue", *jobs_max > 0),
            ("no jobs_max of a queue", *jobs_max == 0),
            ("retain_max of a queue", *retain_max > 0),
            ("retain_max of none", *retain_max == 0),
        ]);
    }

    fn note_retry(&mut self, retry: &Retry) {
        let Retry { max_attempts, delay_ms, factor_permille, delay_ms_max: _, jitter_percent } = retry;
        self.options(&[
            ("one attempt", *max_attempts == 1),
            ("several attempts", *max_attempts > 1),
            ("no delay of a retry", *delay_ms == 0),
            ("delay of a retry", *delay_ms > 0),
            ("a constant delay of retries", *factor_permille == 1_000),
            ("a rising delay of retries", *factor_permille > 1_000),
            ("jitter", *jitter_percent > 0),
            ("no jitter", *jitter_percent == 0),
        ]);
    }

    fn note_envelope(&mut self, envelope: &Envelope) {
        let Envelope { payload: _, content, metadata, traceparent } = envelope;
        self.options(&[
            ("metadata", !metadata.is_empty()),
            ("traceparent", traceparent.is_some()),
            ("bytes", *content == Content::Bytes as i32),
        ]);
    }

    fn note_job(&mut self, job: &NewJob) {
        let NewJob { kind: _, priority, blob_len: _, run_at, more } = job;
        let usual = *priority == tidegate_core::limits::PRIORITY_DEFAULT;
        self.options(&[("priority", !usual), ("run_at", run_at.is_some())]);
        let more = more.as_deref().cloned().unwrap_or_default();
        let NewJobMore {
            expires_at,
            ordering_key,
            on_failure: ends,
            fairness_key,
            unique,
            retry,
            dependency,
        } = more;
        self.options(&[
            ("expires_at", expires_at.is_some()),
            ("ordering_key", ordering_key.is_some()),
            ("fairness_key", fairness_key.is_some()),
            ("retry", retry.is_some()),
            ("dependency", dependency.is_some()),
        ]);
        retry.iter().for_each(|retry| self.note_retry(retry));
        for when in run_at.iter().chain(&expires_at) {
            self.note("option", moment(when));
        }
        if let Some(ends) = ends {
            self.note("option", on_failure(&ends));
        }
        if let Some(Unique { key: _, until: span, duration_ms: _, on_conflict: conflict }) = unique {
            self.note("option", until(&span));
            self.note("option", on_conflict(&conflict));
        }
    }

    fn note_work(&mut self, work: &Work) {
        let Work { complete: _, fail, extend, release: _, lease } = work;
        for Fail { id: _, token: _, message: _, kind, dependency, retry_after_ms, fatal } in fail {
            self.options(&[
                ("kind of an error", kind.is_some()),
                ("dependency of an error", dependency.is_some()),
                ("retry_after_ms", retry_after_ms.is_some()),
                ("fatal", *fatal),
            ]);
        }
        for Extend { id: _, token: _, lease_ms, progress } in extend {
            self.options(&[
                ("lease_ms of an extension", lease_ms.is_some()),
                ("progress", progress.is_some()),
            ]);
        }
        if let Some(Lease { queues: _, max: _, lease_ms, worker: _, kinds }) = lease {
            self.options(&[
                ("lease_ms of a lease", lease_ms.is_some()),
                ("kinds of a lease", !kinds.is_empty()),
            ]);
        }
    }

    fn note_dead_filter(&mut self, filter: &DeadFilter) {
        let DeadFilter { queue: _, ids, kind, cause, reason, before } = filter;
        self.options(&[
            ("dead ids", !ids.is_empty()),
            ("dead kind", kind.is_some()),
            ("dead cause", cause.is_some()),
            ("dead reason", reason.is_some()),
            ("dead before", before.is_some()),
        ]);
    }

    /// Counts what a caller heard of what it asked.
    pub fn note_reply(&mut self, call: &Call, heard: &Reply) {
        self.note("answer", reply(heard));
        let replayed = match heard {
            Reply::Items { items, replayed } => {
                self.note_items(call.name(), items);
                *replayed
            }
            Reply::Item { item, replayed } => {
                self.note_items(call.name(), &[*item]);
                *replayed
            }
            Reply::Worked(worked) => {
                let parts = [
                    ("complete", &worked.complete),
                    ("fail", &worked.fail),
                    ("extend", &worked.extend),
                    ("release", &worked.release),
                ];
                for (asked, part) in parts {
                    self.note_items(asked, part);
                }
                if !worked.leased.is_empty() {
                    self.note("answer", if worked.replayed { "leased again" } else { "leased" });
                }
                worked.replayed
            }
            Reply::Redriving { view, replayed } => {
                self.note_redrive_end(view.end);
                *replayed
            }
            Reply::Done { replayed } | Reply::Deleted { replayed, .. } => *replayed,
            Reply::Refused { refusal: why, replayed } => {
                self.note_refusal(call.name(), why);
                *replayed
            }
            Reply::OperationRefused { operation: at, refusal: why, replayed } => {
                let asked = match call {
                    Call::Transact { ask, .. } => match ask.command.operations.get(*at as usize) {
                        Some(Operation::Pool(one)) => pools::asked_of_pool(one),
                        Some(one) => operation(one),
                        None => "an operation that is not there",
                    },
                    _ => "no transaction",
                };
                self.note_refusal(asked, why);
                *replayed
            }
            Reply::ConditionRefused { condition: at, refusal: why, replayed } => {
                let asked = match call {
                    Call::Transact { ask, .. } => ask.command.conditions.get(*at as usize),
                    _ => None,
                };
                self.note_refusal(asked.map_or("a condition that is not there", pools::condition), why);
                *replayed
            }
            Reply::Pools(heard) => self.note_pool_reply(call, heard),
            Reply::Job(job) => return job.iter().for_each(|job| self.note_view(&job.view)),
            Reply::Page { jobs, .. } => return jobs.iter().for_each(|job| self.note_view(job)),
            Reply::Queue(queue) => {
                let redrive = queue.as_ref().and_then(|queue| queue.redrive.as_ref());
                return self.note_redrive_end(redrive.and_then(|redrive| redrive.end));
            }
            Reply::TooLarge
            | Reply::InboxFull
            | Reply::WaitersFull
            | Reply::DiskFull
            | Reply::Unknown
            | Reply::Unavailable
            | Reply::Causes(_)
            | Reply::Other(_) => return,
        };
        if replayed {
            self.note("answer", "replayed");
        }
    }

    fn note_view(&mut self, view: &JobView) {
        if let Some(why) = &view.waiting_for {
            self.note("waits for", waiting(why));
        }
        if view.state.has_ended() {
            self.note("ended", reason(&view.reason));
        }
    }

    fn note_redrive_end(&mut self, end: Option<RedriveEnd>) {
        if let Some(end) = end {
            self.note("redrive", redrive_end(&end));
        }
    }

    fn note_refusal(&mut self, asked: &str, why: &Refusal) {
        self.note("refusal", refusal(why));
        let mut name = refusal(why);
        if let Refusal::Pool(refusal) = why {
            name = pools::why(&refusal.why);
            self.note("refusal of pools", name);
        }
        self.note(&format!("{asked} refused"), name);
    }

    /// Counts what came of each part of what was `asked`.
    pub(crate) fn note_items(&mut self, asked: &str, items: &[Item]) {
        items.iter().for_each(|item| self.note_item(asked, item));
    }

    pub(crate) fn note_item(&mut self, asked: &str, item: &Item) {
        match item {
            Item::Is { .. } => {}
            Item::Pool(item) => self.note_pool_item(item),
            Item::Duplicate { .. } => self.note("answer", "duplicate"),
            Item::Refused(why) => self.note_refusal(asked, why),
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in &self.0 {
            writeln!(f, "{count:>10}  {name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_elsewhere_is_named_and_nothing_else_is_missing_from_a_full_table() {
        let mut coverage = Coverage::default();
        let all = || MUST_BE_REACHED.iter().chain(REFUSED);
        let every: usize = all().map(|(_, names)| names.len()).sum();
        assert_eq!(coverage.missing().len(), every - ELSEWHERE.len());
        for (kind, names) in all() {
            names.iter().for_each(|name| coverage.note(kind, name));
        }
        assert_eq!(coverage.missing(), Vec::<String>::new());
        assert!(ELSEWHERE.iter().all(|(name, _)| coverage.0.contains_key(*name)));
        assert_eq!(coverage.unforeseen(), Vec::<&str>::new());
        coverage.note("cancel refused", "sold_out");
        assert_eq!(coverage.unforeseen(), ["cancel refused: sold_out"]);
    }
}
