//! What is counted. A case does its rounds and as much before them as they need; that much must not depend on the number of
//! rounds.

mod api;
mod core;
mod engine;

/// Jobs of one round.
pub(crate) const JOBS_PER_ROUND: usize = 100;
/// Jobs that are there before a case's rounds begin, where it needs any: more than all rounds take.
const JOBS_BEFORE: usize = 20_000;
/// Bytes of a payload, as JSON.
const PAYLOAD_BYTES: usize = 256;
/// When everything happens, in ms since 1970.
const EPOCH_MS: u64 = 1_800_000_000_000;
/// Completed jobs that the queue keeps: few, so that from then on each completed job has another one forgotten.
const RETAIN_MAX: u64 = 1_000;

/// A thing to count.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Does so many rounds.
    pub(crate) run: fn(usize),
}

/// All of them.
pub(crate) const CASES: &[Case] = &[
    Case { name: "core_enqueue", what: "the rules alone, lists of 100, records encoded", run: core::enqueue },
    Case {
        name: "core_enqueue_single",
        what: "the same, one job a command and a turn",
        run: core::enqueue_single,
    },
    Case { name: "core_lease", what: "100 a command", run: core::lease },
    Case { name: "core_complete", what: "100 a command, and the oldest are forgotten", run: core::complete },
    Case {
        name: "engine_enqueue",
        what: "call to answer, one list of 100 a turn, log in memory",
        run: engine::enqueue,
    },
    Case {
        name: "engine_enqueue_single",
        what: "100 calls of one job in a turn",
        run: engine::enqueue_single,
    },
    Case { name: "engine_lease", what: "100 a call, payloads read", run: engine::lease },
    Case { name: "engine_complete", what: "100 a call, and the oldest are forgotten", run: engine::complete },
    Case { name: "api_enqueue", what: "JSON of a list of 100 to the engine's call", run: api::enqueue },
    Case {
        name: "api_enqueue_single",
        what: "JSON of one job to the engine's call",
        run: api::enqueue_single,
    },
    Case { name: "api_leased", what: "leased jobs to JSON", run: api::leased },
    Case { name: "api_complete", what: "JSON of a list of 100 to the engine's call", run: api::complete },
];

/// A JSON payload of the usual length.
fn payload() -> String {
    format!(r#"{{"to":"{}"}}"#, "a".repeat(PAYLOAD_BYTES - 9))
}
