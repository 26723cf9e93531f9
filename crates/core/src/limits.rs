//! Every bound the rules keep, beside the relation it must keep to the others.
//!
//! Syntax and sizes of single values (names, payloads, bodies) are the door's to check, from the numbers here.

/// Jobs in one enqueue command, and settlements of one kind in one work command.
pub const BATCH_JOBS_MAX: usize = 1_000;
/// Operations in one transaction. Each is held against all before it, and all of them are one frame.
pub const TRANSACTION_OPERATIONS_MAX: usize = 100;
/// Queues in one lease command.
pub const LEASE_QUEUES_MAX: usize = 64;
/// Jobs in one lease. Not above [`BATCH_JOBS_MAX`], so that a lease can be settled in one call.
pub const LEASE_JOBS_MAX: usize = 1_000;
/// Bytes of payloads after which a lease takes no further job: an answer is held in memory whole.
pub const LEASE_BYTES_MAX: u64 = 16 * 1_024 * 1_024;
/// Shortest lease, in ms.
pub const LEASE_MS_MIN: u64 = 1_000;
/// Longest lease, in ms (12 h).
pub const LEASE_MS_MAX: u64 = 43_200_000;
/// Lease when neither the call nor the queue says, in ms.
pub const LEASE_MS_DEFAULT: u64 = 30_000;
/// Lowest priority; 0 is the highest.
pub const PRIORITY_MAX: u8 = 9;
/// Priority of a job that names none.
pub const PRIORITY_DEFAULT: u8 = 5;
/// How far ahead `run_at` and `expires_at` may lie, in ms (366 days). Below the span of the timer wheel (2^36 ms).
pub const AHEAD_MS_MAX: u64 = 366 * 24 * 3_600_000;
/// Attempts a policy may allow.
pub const ATTEMPTS_MAX: u16 = 100;
/// Errors a job remembers. Twice [`ATTEMPTS_MAX`]: every error is kept until a job has been redriven more than once; then the
/// first and the latest are, and the middle gives way.
pub const FAILURES_MAX: usize = 200;
/// Ordering keys of one shard that may be paused at a time.
pub const PAUSED_KEYS_MAX: u64 = 100_000;
/// Bytes kept of an error message.
pub const ERROR_MESSAGE_MAX: usize = 1_024;
/// Bytes of a progress value; it is kept in memory.
pub const PROGRESS_MAX: usize = 4_096;
/// Bytes of a result.
pub const RESULT_MAX: usize = 64 * 1_024;
/// Bytes of a payload.
pub const PAYLOAD_MAX: usize = 1_024 * 1_024;
/// Bytes of a queue, kind, worker or dependency name.
pub const NAME_MAX: usize = 128;
/// Bytes of an ordering, fairness or unique key.
pub const KEY_MAX: usize = 256;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;
/// Queues of one shard.
pub const QUEUES_MAX: usize = 10_000;
/// Distinct kinds with jobs in one shard.
pub const KINDS_MAX: usize = 10_000;
/// Jobs one shard holds, finished ones included. Ids within the job table have 31 bits.
pub const JOBS_MAX: u64 = 100_000_000;
/// Idempotency records one shard keeps.
pub const IDEMPOTENCY_RECORDS_MAX: usize = 4_000_000;
/// Bytes of keys and answers those records may take together.
pub const IDEMPOTENCY_BYTES_MAX: usize = 512 * 1_024 * 1_024;
/// How long a key's answer is kept, in ms (24 h), while there is room.
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600_000;
/// How long a key's answer is kept even when there is no room, in ms (5 min): then new keys are refused.
pub const IDEMPOTENCY_MS_MIN: u64 = 5 * 60_000;
/// How long a unique key may be taken and an answer be kept, in ms (100 years): who asks for longer means for ever. Far below
/// what the timer wheel covers (2^48 ms).
pub const KEPT_MS_MAX: u64 = 100 * 366 * 24 * 3_600_000;
/// Distinct causes counted apart among one shard's dead letters; the rest count as `other`.
pub const CAUSES_MAX: usize = 10_000;
/// What time has made due that one turn handles: a million timers at one instant are many short turns, not a pause.
pub const EXPIRE_PER_TURN: usize = 2_048;
/// Jobs that one page of a listing looks at: a listing of a large shard is many short reads.
pub const LIST_VISITS_MAX: usize = 20_000;
/// Jobs in one page of a listing.
pub const LIST_JOBS_MAX: usize = 1_000;
/// Dead letters one turn moves or deletes for a bulk command.
pub const REDRIVE_PER_TURN: usize = 1_000;
/// Redrives per second that may be asked for.
pub const REDRIVE_RATE_MAX: u32 = 100_000;
/// Jobs that may be named one by one in a bulk command.
pub const BULK_IDS_MAX: usize = 1_000;
/// Pools of one shard.
pub const POOLS_MAX: u32 = 100_000;
/// Operations on pools in one command.
pub const POOL_OPERATIONS_MAX: usize = 1_000;
/// Units a pool can have.
pub const CAPACITY_MAX: u32 = 1_000_000_000;
/// Units one request can want. Holders in line are sorted by how many they want, so this bounds the sorts.
pub const UNITS_MAX: u32 = 100;
/// Groups with a quota in one pool. Holders in line are sorted by group too.
pub const QUOTAS_MAX: usize = 32;
/// Attributes of one pool.
pub const ATTRIBUTES_MAX: usize = 16;
/// Bytes of an attribute's value.
pub const ATTRIBUTE_MAX: usize = 1_024;
/// Shortest hold, in ms.
pub const HOLD_MS_MIN: u64 = 1_000;
/// Longest hold, extensions included, that a pool may allow, in ms. As far ahead as any timer.
pub const HOLD_MS_MAX: u64 = AHEAD_MS_MAX;
/// How long a hold, and an offer, lasts when nobody says, in ms (5 min).
pub const HOLD_MS_DEFAULT: u64 = 300_000;
/// How long a hold can last with all extensions when the pool does not say, in ms (1 h).
pub const HOLD_MS_MAX_DEFAULT: u64 = 3_600_000;
/// Holders in one pool's line.
pub const WAITLIST_MAX: u32 = 100_000;
/// Holders in all lines of one shard.
pub const WAITERS_MAX: u32 = 2_000_000;
/// How long after an opening it can be drawn again, in ms (30 days): as long as those who joined before it are remembered,
/// whether they wait still or not.
pub const ENTRANTS_MS: u64 = 30 * 24 * 3_600_000;
/// Grants of one shard.
pub const GRANTS_MAX: u32 = 10_000_000;
/// Holders of one shard who have a grant or wait in a line. Of whom no more than a story is known does not count: stories have
/// bounds of their own.
pub const HOLDERS_MAX: u32 = 2_000_000;
/// Places counted to say how many are before a holder in line.
pub const PLACES_COUNTED: usize = 10_000;
/// The same for all lines of a page of one holder. Of places beyond that it is not said how many are before them.
pub const PLACES_COUNTED_OF_PAGE: usize = 100_000;
/// Conditions of one transaction.
pub const CONDITIONS_MAX: usize = 100;
/// Pools named by one condition.
pub const CONDITION_POOLS_MAX: usize = 100;
/// Things a holder's story tells, the latest of them, beside refusals and what it tells of grants that have not ended.
pub const STORY_ENTRIES_PER_HOLDER: usize = 200;
/// The same of all stories of one shard together.
pub const STORY_ENTRIES_MAX: usize = 2_000_000;
/// Refusals a holder's story tells, the latest of them.
pub const STORY_REFUSALS_PER_HOLDER: usize = 50;
/// Refusals all stories of one shard tell together. They cost who asks nothing, so they take room from each other alone.
pub const STORY_REFUSALS_MAX: usize = 500_000;
/// Things a holder's story tells of grants that have not ended, the latest of them. A grant has two, how it was given and that it
/// was confirmed, so a shard has twice [`GRANTS_MAX`] at most.
pub const STORY_LIVING_PER_HOLDER: usize = 1_000;
/// Jobs that one entry of a story names, the first of those that went with it.
pub const STORY_JOBS_MAX: usize = 16;
/// How long a story tells of anything but grants that have not ended, in ms (7 days), while there is room.
pub const STORY_MS: u64 = 7 * 24 * 3_600_000;
/// Being refused the same for the same reason again within this time, in ms, is not told again.
pub const STORY_REPEAT_MS: u64 = 60_000;
/// Ended grants that are remembered, so that who comes too late hears why.
pub const ENDED_GRANTS_MAX: usize = 200_000;
/// How long they are, in ms (1 h), while there is room.
pub const ENDED_GRANTS_MS: u64 = 3_600_000;
