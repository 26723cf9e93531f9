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
mod memory;
mod ordering;
mod queue;
mod records;
mod regressions;
mod retry;
mod transaction;
mod unique;
