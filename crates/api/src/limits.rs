//! Every size and range the wire has, in one place.
//!
//! The checks, the refusals' sentences and the OpenAPI document all read these constants, so a limit changes
//! here and nowhere else. The relations the limits must keep to each other are asserted at the end, when
//! the crate is compiled.

use std::ops::RangeInclusive;

/// Bytes of a name (queue, pool, group, kind, dependency): characters of `[A-Za-z0-9._:-]`, one byte each, and one `@`
/// at most.
pub const NAME_BYTES: RangeInclusive<u64> = 1..=128;
/// Bytes of an ordering key, a fairness key or a unique key: UTF-8 without control characters.
pub const KEY_BYTES: RangeInclusive<u64> = 1..=256;
/// Bytes of a holder's name: UTF-8 without control characters.
pub const HOLDER_BYTES: RangeInclusive<u64> = KEY_BYTES;
/// Bytes of a worker's name: UTF-8 without control characters.
pub const WORKER_BYTES: RangeInclusive<u64> = 1..=128;
/// Bytes of an `Idempotency-Key`: printable ASCII.
pub const IDEMPOTENCY_KEY_BYTES: RangeInclusive<u64> = 1..=255;
/// Bytes of a `traceparent`. Version 00 has exactly 55; later versions may append.
pub const TRACEPARENT_BYTES: RangeInclusive<u64> = 55..=256;
/// Bytes of a list cursor, which only the server reads.
pub const CURSOR_BYTES: RangeInclusive<u64> = 1..=512;

/// Bytes of a payload: of its JSON text as sent, or of what `payload_base64` decodes to. 1 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Bytes of a result's JSON text. 64 KiB.
pub const RESULT_BYTES_MAX: usize = 64 << 10;
/// Bytes of a progress report's JSON text. 4 KiB: it is kept in memory.
pub const PROGRESS_BYTES_MAX: usize = 4 << 10;
/// Bytes of an attempt's error message that are kept; the rest is cut, for a worker that fails must be
/// able to say so however long its stack trace is. 1 KiB.
pub const ERROR_MESSAGE_BYTES_KEPT: usize = 1 << 10;
/// Entries of a job's metadata.
pub const METADATA_ENTRIES_MAX: usize = 64;
/// Bytes of a job's metadata: names and values together. 8 KiB.
pub const METADATA_BYTES_MAX: usize = 8 << 10;

/// Bytes of a request's body, NDJSON streams excepted. 16 MiB.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Bytes of one line of an NDJSON stream. 2 MiB: a payload in base64 with everything else about it.
pub const LINE_BYTES_MAX: usize = 2 << 20;
/// Items of one list: jobs to enqueue, complete, fail, extend or release, and ids of a filter.
pub const LIST_ITEMS_MAX: usize = 1_000;
/// The same as a range: an empty list asks for nothing, and is answered with nothing.
pub const LIST_ITEMS: RangeInclusive<u64> = 0..=LIST_ITEMS_MAX as u64;
/// Operations of one transaction: each is held against all the others, and all of them are decided in one turn.
pub const TRANSACTION_OPERATIONS: RangeInclusive<u64> = 1..=100;

/// A job's priority; 0 goes first.
pub const PRIORITY: RangeInclusive<u64> = 0..=9;
/// Queues of one lease request.
pub const LEASE_QUEUES: RangeInclusive<u64> = 1..=64;
/// Kinds of one lease request.
pub const LEASE_KINDS: RangeInclusive<u64> = 1..=64;
/// Jobs of one lease request.
pub const LEASE_JOBS: RangeInclusive<u64> = 1..=1_000;
/// Milliseconds of a lease: one second to twelve hours.
pub const LEASE_MS: RangeInclusive<u64> = 1_000..=43_200_000;
/// Milliseconds that a request may wait for something to happen: up to a minute.
pub const WAIT_MS: RangeInclusive<u64> = 0..=60_000;
/// Milliseconds of a delay (`delay_ms`, `retry_after_ms`, a retry's delay): up to 366 days.
pub const DELAY_MS: RangeInclusive<u64> = 0..=YEAR_MS;
/// Milliseconds of a span that must not be empty (`expires_in_ms`, a unique key's `duration_ms`).
pub const SPAN_MS: RangeInclusive<u64> = 1..=YEAR_MS;
/// Attempts of a job, the first included. Every attempt's error is kept, so this bounds a job's history too.
pub const ATTEMPTS: RangeInclusive<u64> = 1..=100;
/// What a retry's delay is multiplied by from attempt to attempt; three decimals count.
pub const RETRY_FACTOR: RangeInclusive<f64> = 1.0..=10.0;
/// How much of a retry's delay is left to chance, in percent.
pub const JITTER_PERCENT: RangeInclusive<u64> = 0..=100;
/// Unfinished jobs that a queue may be limited to.
pub const QUEUE_JOBS: RangeInclusive<u64> = 1..=100_000_000;
/// Completed and cancelled jobs that a queue may keep.
pub const RETAIN_JOBS: RangeInclusive<u64> = 0..=100_000_000;
/// Jobs a second that a redrive may be held to.
pub const REDRIVE_PER_S: RangeInclusive<u64> = 1..=100_000;
/// Redriven jobs that may die again before a redrive stops; 0 never stops.
pub const REDRIVE_STOP_AFTER: RangeInclusive<u64> = 0..=1_000_000;
/// Milliseconds of an age that a list may ask for.
pub const AGE_MS: RangeInclusive<u64> = 0..=100 * YEAR_MS;
/// Jobs of one page of a list.
pub const PAGE_JOBS: RangeInclusive<u64> = 1..=1_000;
/// A lease's token: positive, and exact in every language's numbers (less than 2^53).
pub const TOKEN: RangeInclusive<u64> = 1..=(1 << 53) - 1;

/// Units of a pool, of a quota, and of what one holder may have (where 0 means as many as it likes).
pub const CAPACITY: RangeInclusive<u64> = 0..=1_000_000_000;
/// Units that one request may want.
pub const UNITS: RangeInclusive<u64> = 1..=100;
/// Milliseconds of a hold or an offer: one second to 366 days.
pub const HOLD_MS: RangeInclusive<u64> = 1_000..=YEAR_MS;
/// Holders that may wait in one line; 0 is no line.
pub const WAITLIST: RangeInclusive<u64> = 0..=100_000;
/// Groups of a pool that have a quota.
pub const QUOTAS: RangeInclusive<u64> = 0..=32;
/// Attributes of a pool.
pub const ATTRIBUTES_MAX: usize = 16;
/// Bytes of an attribute's value.
pub const ATTRIBUTE_BYTES_MAX: usize = 1 << 10;
/// Conditions of one transaction.
pub const CONDITIONS: RangeInclusive<u64> = 0..=100;
/// Pools that one condition names.
pub const CONDITION_POOLS: RangeInclusive<u64> = 1..=100;
/// A pool's version; exact in every language's numbers.
pub const VERSION: RangeInclusive<u64> = 0..=(1 << 53) - 1;
/// Units that a condition may ask for fewer than.
pub const UNITS_BELOW: RangeInclusive<u64> = 1..=(1 << 53) - 1;
/// Pools that one reading of many may name.
pub const POOL_NAMES: RangeInclusive<u64> = 1..=1_000;
/// Bytes of all names together that a query names, with the commas: they fit into the head of a request.
pub const POOL_NAMES_BYTES: RangeInclusive<u64> = 1..=24_576;
/// Pools that one caller may watch: each event names the version of each of them, to go on from.
pub const WATCHED_POOLS: RangeInclusive<u64> = 1..=1_000;

/// A job's priority when the request names none.
pub const PRIORITY_DEFAULT: u8 = 5;
/// A job's kind when the request names none.
pub const KIND_DEFAULT: &str = "default";
/// Milliseconds of a lease when neither the request nor the queue says.
pub const LEASE_MS_DEFAULT: u64 = 30_000;
/// Jobs of a page when the request does not say.
pub const PAGE_JOBS_DEFAULT: u32 = 100;
/// Redriven jobs that may die again before a redrive stops, when the request does not say.
pub const REDRIVE_STOP_AFTER_DEFAULT: u32 = 10;

/// Milliseconds of a hold when neither the request nor the pool says, and of an offer when the pool does not.
pub const HOLD_MS_DEFAULT: u64 = 300_000;
/// Milliseconds of a hold with all its extensions when the pool does not say.
pub const HOLD_MS_MAX_DEFAULT: u64 = 3_600_000;
/// Units one holder may have of a pool when the pool does not say.
pub const HOLDER_UNITS_DEFAULT: u32 = 1;

const YEAR_MS: u64 = 366 * 86_400_000;

// A payload in base64 and everything else about its job fit into one line.
const _: () = assert!(
    PAYLOAD_BYTES_MAX / 3 * 4 + METADATA_BYTES_MAX * 6 + 16 * 1024 < LINE_BYTES_MAX,
    "a line holds the largest job"
);
// A line fits into a body.
const _: () = assert!(LINE_BYTES_MAX < BODY_BYTES_MAX, "a body holds the largest line");
// What a worker leased in one call, it can settle in one call.
const _: () = assert!(*LEASE_JOBS.end() as usize <= LIST_ITEMS_MAX, "a whole lease can be settled at once");

/// Objects and lists within one another in a payload, a result or a progress value. Below the 128 at which common
/// parsers give up, with room for the answer's own levels.
pub const JSON_DEPTH_MAX: usize = 100;
