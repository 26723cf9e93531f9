//! The embeddable engine: shards, their threads and logs, and the calls that go through them.
//!
//! ```text
//!   Engine ──ask──▶ Inbox ──drain──▶ Shard::turn ──submit──▶ Log ──durable──▶ Outbox ──▶ caller
//!   (any task)      (bounded)        (one thread)            (its writer)     (by sequence)
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `engine`, `worker` | the typed calls; opening, closing, routing |
//! | `transact` | a transaction, which is in one shard |
//! | `pools`, `availability` | calls about pools; what is free, for everybody who looks |
//! | `scatter` | a worker's round trip over several shards |
//! | `inbox`, `outbox` | the two places where a call rests, before its turn and after it |
//! | `delivery` | an answer on its way, and what becomes of leased jobs if nobody takes it |
//! | `shard`, `turn`, `sink` | one turn: decide, frame, submit; no thread, no clock, no file of its own |
//! | `waiters`, `serve` | long polls |
//! | `cleaner` | when to restate and trim |
//! | `thread`, `solo` | who runs the turns: a thread that starts over after a failure, or a test |
//! | `payloads`, `envelope` | what jobs carry, and reading it off the shard's thread |
//! | `published`, `rates` | snapshots and figures that readers take without asking |
//! | `clock`, `fingerprint`, `layout` | the one reading of time, the one hash on disk, the data directory |
//!
//! Promises: an answer goes out when everything it saw is durable, refusals and reads included. What waits is
//! bounded, and at the bound a call is refused by name. A failed append ends in `OutcomeUnknown` for those
//! who wait and a fresh start from the log.
//!
//! Left out: rules about jobs (the core has them), the form of files (the log has it), HTTP, and an async
//! runtime: calls are futures that any executor can wait for.

mod availability;
mod calls;
mod cleaner;
mod clock;
mod delivery;
mod engine;
mod envelope;
mod error;
mod fingerprint;
mod inbox;
mod layout;
pub mod limits;
mod options;
mod outbox;
mod payloads;
mod pools;
mod published;
mod rates;
mod scatter;
mod serve;
mod shard;
mod sink;
mod solo;
mod thread;
mod transact;
mod turn;
mod waiters;
mod worker;

pub use availability::{PoolNews, PoolSeen, PoolShown, PoolWatch};
pub use calls::{
    Answer, DamagedJob, Deleted, Enqueue, IdempotencyKey, Job, Leased, Page, Queue, Redriving, Stored,
    Transacted, Transaction, UnreadJob, Work, Worked,
};
pub use clock::{Clock, Now, SystemClock};
pub use engine::{Engine, LogSource, Readiness};
pub use envelope::{Content, Envelope, Metadata};
pub use error::{CallError, CloseError, OpenError, Place, ReplayError};
pub use fingerprint::{fingerprint, shard_of};
pub use layout::shards_in;
pub use options::{Cleaning, Options, Restart};
pub use outbox::at_leisure;
pub use pools::{HolderFrom, HolderParts, PoolAnswer};
pub use published::{ShardState, ShardStatus, Status};
pub use shard::Turned;
pub use solo::Solo;

/// The error kind of a job whose stored payload is not what was written.
pub const PAYLOAD_DAMAGED: &str = "payload_damaged";
