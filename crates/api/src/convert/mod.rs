//! The one step from the wire's types to the engine's, and back.
//!
//! Whoever has a request in these types, from HTTP or in the same process, takes this step and no other. Going in
//! ([`command`]) nothing can fail that [`Wire::check`](crate::read::Wire::check) has let through. Coming back
//! ([`answer`]), outcomes and views become answers, and refusals of the rules and of the engine get their sentences.

pub mod answer;
pub mod command;
pub mod pool;

use tidegate_core as core;

use crate::id::{CauseId, JobId};
use crate::time::Timestamp;
use crate::words::{EndReason, JobState, OnConflict, OnFailure, UniqueUntil, WaitingFor};

/// What the wire lets through, the core can keep.
const _: () = {
    use crate::limits as wire;
    use core::limits as kept;
    assert!(wire::LIST_ITEMS_MAX == kept::BATCH_JOBS_MAX && wire::LIST_ITEMS_MAX == kept::BULK_IDS_MAX);
    assert!(*wire::TRANSACTION_OPERATIONS.end() == kept::TRANSACTION_OPERATIONS_MAX as u64);
    assert!(*wire::LEASE_QUEUES.end() == kept::LEASE_QUEUES_MAX as u64);
    assert!(*wire::LEASE_JOBS.end() == kept::LEASE_JOBS_MAX as u64);
    assert!(*wire::LEASE_MS.start() == kept::LEASE_MS_MIN && *wire::LEASE_MS.end() == kept::LEASE_MS_MAX);
    assert!(wire::LEASE_MS_DEFAULT == kept::LEASE_MS_DEFAULT);
    assert!(
        *wire::PRIORITY.end() == kept::PRIORITY_MAX as u64
            && wire::PRIORITY_DEFAULT == kept::PRIORITY_DEFAULT
    );
    assert!(
        *wire::DELAY_MS.end() == kept::AHEAD_MS_MAX && *wire::ATTEMPTS.end() == kept::ATTEMPTS_MAX as u64
    );
    assert!(wire::ERROR_MESSAGE_BYTES_KEPT == kept::ERROR_MESSAGE_MAX);
    assert!(wire::PROGRESS_BYTES_MAX == kept::PROGRESS_MAX && wire::RESULT_BYTES_MAX == kept::RESULT_MAX);
    assert!(wire::PAYLOAD_BYTES_MAX == kept::PAYLOAD_MAX);
    assert!(
        *wire::NAME_BYTES.end() == kept::NAME_MAX as u64 && *wire::KEY_BYTES.end() == kept::KEY_MAX as u64
    );
    assert!(*wire::WORKER_BYTES.end() == kept::NAME_MAX as u64);
    assert!(*wire::IDEMPOTENCY_KEY_BYTES.end() == kept::IDEMPOTENCY_KEY_MAX as u64);
    assert!(*wire::PAGE_JOBS.end() == kept::LIST_JOBS_MAX as u64);
    assert!(*wire::REDRIVE_PER_S.end() == kept::REDRIVE_RATE_MAX as u64);
    assert!(*wire::WAIT_MS.end() == tidegate_engine::limits::WAIT_MS_MAX);
};

impl From<JobId> for core::JobId {
    fn from(id: JobId) -> Self {
        core::JobId::new(id.shard, id.sequence)
    }
}

impl From<core::JobId> for JobId {
    fn from(id: core::JobId) -> Self {
        Self { shard: id.shard(), sequence: id.sequence() }
    }
}

impl From<Timestamp> for core::Time {
    fn from(time: Timestamp) -> Self {
        core::Time(time.unix_ms())
    }
}

impl From<core::Time> for Timestamp {
    fn from(time: core::Time) -> Self {
        Self::from_unix_ms(time.0)
    }
}

impl From<CauseId> for u64 {
    fn from(cause: CauseId) -> Self {
        cause.0
    }
}

/// Pairs the values of an enum of the wire with those of the core, both ways.
macro_rules! same_words {
    ($wire:ident, $core:path: $($variant:ident),*) => {
        impl From<$wire> for $core {
            fn from(value: $wire) -> Self {
                match value { $($wire::$variant => Self::$variant,)* }
            }
        }

        impl From<$core> for $wire {
            fn from(value: $core) -> Self {
                match value { $(<$core>::$variant => Self::$variant,)* }
            }
        }
    };
}

same_words!(JobState, core::view::JobState: Scheduled, Ready, Leased, Completed, Dead, Cancelled);
same_words!(OnFailure, core::policy::OnFailure: Block, Skip, Park);
same_words!(UniqueUntil, core::policy::UniqueUntil: Started, Completed, Duration);
same_words!(OnConflict, core::policy::OnConflict: Return, Reject, Replace);
same_words!(WaitingFor, core::view::WaitingFor:
    RunAt, Retry, Worker, QueuePaused, KeyBusy, KeyPaused, KeyParked);

impl From<EndReason> for core::record::EndReason {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::AttemptsExhausted => Self::AttemptsExhausted,
            EndReason::Fatal => Self::Fatal,
            EndReason::Expired => Self::Expired,
            EndReason::Cancelled => Self::Cancelled,
            EndReason::Replaced => Self::Replaced,
        }
    }
}

impl EndReason {
    /// The reason the core gives; none for a job that did not end in one of these ways.
    pub fn from_core(reason: core::record::EndReason) -> Option<Self> {
        use core::record::EndReason as Core;
        match reason {
            Core::None => None,
            Core::AttemptsExhausted => Some(Self::AttemptsExhausted),
            Core::Fatal => Some(Self::Fatal),
            Core::Expired => Some(Self::Expired),
            Core::Cancelled => Some(Self::Cancelled),
            Core::Replaced => Some(Self::Replaced),
        }
    }
}
