//! The simulator: the real engine in a world that crashes, tears, delays and lies, and a naive twin that must agree.
//!
//! Everything follows from one seed: which calls come, when a turn runs, when the disk syncs, what a crash leaves, how the
//! clocks go. There is one thread, and a second only where a sync is slow: the log's step stands still on it, inside the disk,
//! until the seed lets it go. `docs/testing.md` tells how to use it and what it does not cover.
//!
//! | file | what it is |
//! |---|---|
//! | `run` | one seed from its beginning to its end |
//! | `world` | the disk, the clock, the callers, and what happens between them |
//! | `plan` | how often each thing happens in a seed's world |
//! | `operations/` | what callers do, one file for each family |
//! | `call` | what is said and heard |
//! | `pools/` | what is said, heard, judged and reached of pools |
//! | `twin/` | the rules once more, naively |
//! | `judge` | a state against the twin, and by itself |
//! | `damage` | bits that flip on the platter, and what must come of it |
//! | `coverage` | what was reached |
//! | `difference` | where two things differ, field by field |
//! | `shrink` | from a long history that shows something to a short one |
//! | `sabotage` | deliberate bugs, behind a feature: the proof that such are found |
//!
//! Left out: threads that race, several shards, HTTP, and speed.

pub mod call;
mod chance;
mod clock;
pub mod coverage;
mod damage;
pub mod difference;
mod judge;
pub mod operations;
pub mod plan;
pub mod pools;
mod queues;
mod room;
pub mod run;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod shrink;
pub mod twin;
pub mod world;

pub use chance::Chance;
pub use clock::SimulatedClock;
pub use coverage::Coverage;
pub use run::{Found, Ran, jobs, run, run_many, run_steps};

/// Steps of a seed unless somebody says otherwise.
pub const STEPS: u64 = 4_000;
/// No history has more.
pub const STEPS_MAX: u64 = 10_000_000;
/// The last seed.
pub const SEED_MAX: u64 = u64::MAX >> 1;
