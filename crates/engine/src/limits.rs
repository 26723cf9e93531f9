//! Every bound of the engine, beside the relation it must keep to the others.

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Shards of one engine.
pub const SHARDS_MAX: u16 = 256;

/// Calls that may wait in a shard's inbox. At 40,000 calls a second this is less than half a second of them:
/// a caller that would wait longer is better told at once.
pub const INBOX_CALLS: usize = 16_384;

/// Bytes of calls that may wait in a shard's inbox: several of the longest bodies.
pub const INBOX_BYTES: usize = 64 * MIB;

/// Callers one shard keeps waiting for jobs to lease or to end.
pub const WAITERS: usize = 10_000;

/// Bytes of one call, by [what it takes in the log](crate::CallError::CallTooLarge): the longest body that a
/// door takes, and what is written beside it.
pub const CALL_BYTES: usize = 20 * MIB;

/// Calls decided in one turn. A turn is short, so that what comes behind it is not kept waiting.
pub const TURN_CALLS: usize = 512;

/// Bytes of calls decided in one turn; a single longer call has a turn to itself. A turn of this size takes a
/// few milliseconds, and several of them share a sync.
pub const TURN_BYTES: usize = MIB;

/// Bytes submitted and not yet durable, above which a shard waits before its next turn. Two of the log's
/// batches: one is being synced while the next one gathers. More would only keep callers waiting longer.
pub const IN_FLIGHT_BYTES: u64 = 8 * MIB as u64;

/// Bytes of free disk below which new work is refused: four segments of default size, so that accepted work
/// can be finished and cleaning has room to write before it can free.
pub const DISK_RESERVE_BYTES: u64 = 256 * MIB as u64;

/// How often a shard looks at its log and the log's disk, in ms, while there is work.
pub const LOG_LOOK_MS: u64 = 1_000;

/// The shortest time between two published snapshots, in ms; see also [`SNAPSHOT_QUEUES_PER_MS`].
pub const SNAPSHOT_MS: u64 = 20;

/// A shard with many queues publishes less often: one more millisecond between snapshots for so many queues.
pub const SNAPSHOT_QUEUES_PER_MS: u64 = 10;

/// Threads that read payloads which are no longer in memory.
pub const READERS: usize = 2;

/// Bytes a log may hold beyond twice what is alive in it before it is cleaned. Two segments of default size:
/// less could not be trimmed anyway.
pub const CLEANING_SLACK_BYTES: u64 = 128 * MIB as u64;

/// Bytes that one step of cleaning restates, so that it stays shorter than a turn. A shard makes one for
/// every two such lots that callers write, and one now and then if they write nothing.
pub const CLEANING_STEP_BYTES: usize = 64 * KIB;

/// The pause between two cleaning steps of an otherwise idle shard, in ms.
pub const CLEANING_PAUSE_MS: u64 = 10;

/// So many answers at most, of so many bytes together, leave the log's thread at leisure, or one that has read their payloads: single jobs, whose writing to
/// their sockets takes a fraction of a sync. Lists wake threads of their own, and the log goes on meanwhile.
pub const LEISURE_ANSWERS: usize = 4;
/// See [`LEISURE_ANSWERS`].
pub const LEISURE_BYTES: usize = 4 * KIB;

/// How long what needs a read waits after the disk has refused one, in ms: a job whose payload could not be read rests before it
/// is handed out again, and so does cleaning.
pub const READ_PAUSE_MS: u64 = 1_000;

/// The longest wait a caller may ask for, in ms.
pub const WAIT_MS_MAX: u64 = 60_000;

// Two log batches fit into what may be in flight, and a turn's frame is a part of one.
const _: () = assert!(IN_FLIGHT_BYTES >= 2 * tidegate_log::limits::BATCH_BYTES_MAX);
const _: () = assert!((TURN_BYTES as u64) < tidegate_log::limits::BATCH_BYTES_MAX);
// The longest call has a place in an empty inbox and, behind what a turn may hold already, in a frame.
const _: () = assert!(INBOX_BYTES >= 2 * CALL_BYTES);
const _: () = assert!(CALL_BYTES + 8 * TURN_BYTES <= tidegate_log::limits::FRAME_BYTES_MAX);
