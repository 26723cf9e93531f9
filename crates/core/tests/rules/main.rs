//! The rules by small scripts, one file per area. `support/script.rs` says how to read them.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod dead;
mod expiry;
mod idempotency;
mod ids;
mod lease;
mod life;
mod limits;
mod memory;
mod ordering;
mod places;
mod pools;
mod pools_bounds;
mod pools_line;
mod pools_listed;
mod pools_room;
mod pools_seen;
mod pools_story;
mod pools_transaction;
mod possible;
mod queue;
mod records;
mod regressions;
mod retry;
mod transaction;
mod unique;
