//! Every bound of the door, beside the relation it must keep to the others. What a request may say is bounded in
//! [`tidegate_api::limits`].

use std::time::Duration;

use tidegate_api::limits::{
    BODY_BYTES_MAX, LINE_BYTES_MAX, LIST_ITEMS_MAX, POOL_NAMES_BYTES, WAIT_MS, WATCHED_POOLS as WATCHED_NAMES,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Connections that are served at a time, when the options do not say.
pub const CONNECTIONS: usize = 10_000;

/// Bytes of all request bodies that are held at a time: what is over is refused before it is read. Enough for a few
/// of the longest at once and for thousands of usual ones.
pub const BODIES_BYTES: usize = 256 * MIB;

/// Bytes one connection's read buffer may grow to, and with it the head of an HTTP/1.1 request. A list of 100 usual jobs lies in it in one piece and is not copied.
pub const CONNECTION_BUFFER_BYTES: usize = 128 * KIB;

/// Bytes read at once on the short way, when no more are known to come; also the longest head that is waited for
/// there. A usual single job fits in with its head.
pub const LANE_READ_BYTES: usize = 8 * KIB;

/// Headers of a request on the short way. Clients send about ten.
pub const LANE_HEADERS: usize = 32;

/// Enqueues of one connection that become one call on the short way, and beyond which no more are begun. The others wait in its
/// buffer.
pub const LANE_ENQUEUES: usize = 64;

/// How long the rest of a request may take to come on the short way, before the general server goes on waiting for it.
pub const LANE_REST_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes of the head of an HTTP/2 request: path and headers. (HTTP/1.1's is bounded by the connection's buffer.) Who resumes watching
/// has the longest: the names twice, in the path and in the last event's id.
pub const HEAD_BYTES: u32 = 128 * KIB as u32;

/// Streams of one HTTP/2 connection at a time.
pub const HTTP2_STREAMS: u32 = 256;

/// Bytes of one HTTP/2 stream's body on their way.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = MIB as u32;

/// Bytes of all bodies of one HTTP/2 connection on their way.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 4 * MIB as u32;

/// Lines of an NDJSON stream that become one command.
pub const CHUNK_LINES: usize = LIST_ITEMS_MAX;

/// Bytes of lines that become one command, however few they are; the line that reaches the bound is still in it.
pub const CHUNK_BYTES: usize = 2 * MIB;

/// Bytes that one NDJSON stream is reckoned with among the bodies: a chunk, a line that is not whole yet, and answers.
pub const STREAM_BYTES: usize = 2 * (CHUNK_BYTES + LINE_BYTES_MAX);

/// Answers to chunks that wait for a client to read them, before the stream is read on.
pub const STREAM_ANSWERS: usize = 4;

/// Pools that are watched at a time, each counted once for each watcher: some 300 bytes each. One address has at most as many as it
/// leaves free for others.
pub const WATCHED_POOLS: usize = 200_000;

/// Of these, on one connection. One of HTTP/1.1 has one watcher; this is for HTTP/2, where a proxy may have many callers on one.
pub const WATCHED_POOLS_OF_CONNECTION: usize = 20_000;

/// Of those that an address may have, so many are kept for watchers of [`FEW_POOLS`]: large ones do not crowd them out.
pub const WATCHED_POOLS_KEPT: usize = 20_000;

/// Pools that a small watcher has at most.
pub const FEW_POOLS: usize = 10;

/// How long a watcher hears nothing after it has heard something. What changes meanwhile it hears of at once, as it is then.
pub const WATCH_PAUSE: Duration = Duration::from_millis(100);

/// How long a watcher hears nothing when nothing happens: then a comment says that the connection lives.
pub const WATCH_HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a watcher may take to read what it was sent before it is let go.
pub const WATCH_PATIENCE: Duration = Duration::from_secs(60);

/// How long a client may take for a request's head, and may leave a connection idle.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may take from one piece of a body to the next.
pub const BODY_PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long what is written to a connection may go nowhere before the connection is given up: its caller does not read, or is gone.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// An answer of so many bytes is long: it is counted while it is in memory.
pub const LONG_ANSWER_BYTES: usize = 64 * KIB;

/// Bytes of all long answers that are in memory; beyond it further long reads are refused until some are read.
pub const ANSWERS_BYTES: usize = 256 * MIB;

/// A write that became durable within this time shows that writing works.
pub const READY_WITHIN: Duration = Duration::from_secs(10);

/// How long the probe write of a readiness check may take.
pub const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long requests that were begun may take to end when the server stops, when the options do not say.
pub const GRACE: Duration = Duration::from_secs(30);

// The longest body is admitted by itself, and so is a stream.
const _: () = assert!(BODY_BYTES_MAX < BODIES_BYTES && STREAM_BYTES < BODIES_BYTES);
// The largest watcher comes back: in the path up to three bytes stand for one, the id has a version with each name, and
// there is room for the other headers.
const _: () = assert!(
    4 * *POOL_NAMES_BYTES.end() + 18 * *WATCHED_NAMES.end() + 8 * (KIB as u64) < HEAD_BYTES as u64
        && HEAD_BYTES as usize <= CONNECTION_BUFFER_BYTES
);
// The largest watcher finds room, and so do many.
const _: () = assert!(100 * (*WATCHED_NAMES.end() as usize) < WATCHED_POOLS);
const _: () = assert!(10 * (*WATCHED_NAMES.end() as usize) < WATCHED_POOLS_OF_CONNECTION);
// No connection has what an address may have, and large watchers have most of that.
const _: () = assert!(2 * WATCHED_POOLS_OF_CONNECTION + WATCHED_POOLS_KEPT < WATCHED_POOLS / 2);
// A list on the short way finds room where the general server would.
const _: () = assert!(LANE_READ_BYTES <= CONNECTION_BUFFER_BYTES);
// A readiness check that asks for a probe does not outlast the wait of an impatient prober, nor a long poll's.
const _: () = assert!((READY_TIMEOUT.as_millis() as u64) < *WAIT_MS.end());
