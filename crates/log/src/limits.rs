//! Every limit of the log in one place, each beside the relation it must keep to the others.

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The longest frame, header and padding included, in bytes. Twice the longest HTTP body, so that a turn of
/// one body always fits, restated and escaped as it may be.
pub const FRAME_BYTES_MAX: usize = (32 * MIB) as usize;

/// How many bytes an owner should have submitted and not yet durable before it waits. The log does not
/// enforce it: the owner asks [`Log::in_flight_bytes`](crate::Log::in_flight_bytes). At least two of the
/// longest frames.
pub const IN_FLIGHT_BYTES_MAX: u64 = 64 * MIB;

/// The most bytes written before one sync. A batch this long takes some ten milliseconds on an ordinary disk;
/// a longer one would save nothing and keep its first frame waiting for its last. A longer frame goes alone.
pub const BATCH_BYTES_MAX: u64 = 4 * MIB;

/// The most slices handed to one vectored write (Linux takes 1,024).
pub const WRITE_SLICES_MAX: usize = 1_024;

/// The default size of a segment file, in bytes.
pub const SEGMENT_BYTES: u64 = 64 * MIB;

/// The smallest segment size that may be asked for, in bytes: one block. Only tests want it.
pub const SEGMENT_BYTES_MIN: u64 = 4 * KIB;

/// The largest segment size that may be asked for, in bytes. Offsets in a segment are kept in 32 bits, and a
/// segment that one longest frame has overshot must still be addressable.
pub const SEGMENT_BYTES_MAX: u64 = 1_024 * MIB;

/// The default bound on recent frames kept in memory for payload reads, in bytes. Frames not yet durable are
/// always kept and count towards it.
pub const RECENT_BYTES: u64 = 32 * MIB;

/// The default number of spare segments kept ready, filled and waiting.
pub const SPARES: usize = 2;

/// The most spare segments kept, filled or recycled. Trimming gives many at once; what is over is deleted.
pub const SPARES_MAX: usize = 8;

/// Segments behind the active one whose pages stay in the system's memory. Older ones are let go when the log rolls:
/// so their pages serve the next segment's, and a long log does not take the machine's memory page by page. (The
/// first touch of a page costs a virtual machine ten times what its copying costs.) Enough that a segment trimmed
/// soon after it was written is overwritten in memory.
pub const CACHED_SEGMENTS: usize = 4;

/// How far a reader reads ahead, in bytes. Small enough to stay in a core's cache, large enough that
/// thousands of small frames share one system call.
pub const READ_AHEAD_BYTES: usize = (256 * KIB) as usize;

/// Two payloads of a frame that lie no further apart than this, in bytes, are read in one system call.
pub const PAYLOAD_GAP_BYTES: u64 = 16 * KIB;

/// The longest coalesced payload read, in bytes. A single longer payload is read alone and whole.
pub const PAYLOAD_READ_BYTES_MAX: u64 = MIB;

/// How far ahead of those who read payloads in a row the system is told to read, in bytes: a quarter of a millisecond of the
/// disk, not the many that its own habit may take (8 MiB at once on some machines), for which a flush would have to wait.
pub const AHEAD_BYTES: u64 = MIB / 4;

/// How much of a spare is zero-filled between two pauses, in bytes.
pub const FILL_CHUNK_BYTES: u64 = MIB / 4;

/// Spares are not filled while fewer free bytes than this many segments would remain: the last space of a
/// full disk belongs to the frames.
pub const FILL_FREE_SEGMENTS_MIN: u64 = 4;

const _: () = {
    assert!(IN_FLIGHT_BYTES_MAX >= 2 * FRAME_BYTES_MAX as u64);
    assert!(BATCH_BYTES_MAX < IN_FLIGHT_BYTES_MAX);
    assert!(SEGMENT_BYTES_MIN <= SEGMENT_BYTES && SEGMENT_BYTES <= SEGMENT_BYTES_MAX);
    assert!(SEGMENT_BYTES_MAX + FRAME_BYTES_MAX as u64 <= u32::MAX as u64);
    assert!(SPARES <= SPARES_MAX);
    assert!(PAYLOAD_GAP_BYTES < PAYLOAD_READ_BYTES_MAX);
};

/// Buffers of forgotten frames kept for new ones. A frame is forgotten for each one that is added, so few are enough.
pub const SPARE_BUFFERS_MAX: usize = 16;

/// Room of the largest buffer kept so, in bytes: one long frame must not stay in memory for ever.
pub const SPARE_BUFFER_BYTES_MAX: usize = MIB as usize;
