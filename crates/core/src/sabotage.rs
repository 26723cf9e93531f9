//! Deliberate bugs, one at a time, for the simulator's proof that it finds such (those of the rules, and of the engine around them).
//!
//! Without the feature `sabotage` there are none: [`is`] is `false` for the compiler, and nothing of them is in the program.

#[cfg(feature = "sabotage")]
use core::sync::atomic::{AtomicUsize, Ordering};

/// Every bug here, and what it does.
pub const BUGS: &[(&str, &str)] = &[
    ("stale_token_accepted", "a lease that is over still settles its job"),
    ("answer_lost_on_restate", "a kept answer is not written anew, and a key does its work twice"),
    ("fingerprint_ignored", "an idempotency key answers whatever request it comes with"),
    ("key_reordered_on_retry", "a job that comes back goes to the end of its ordering key's line"),
    ("attempts_off_by_one", "a job has one attempt more than its policy says"),
    ("timer_lost_on_recovery", "a scheduled job that a replay brings in never starts"),
    ("expired_handed_out", "a job that was given back too late is handed out all the same"),
    ("unique_not_freed", "a job that has ended keeps its unique key"),
    ("transaction_half_done", "a transaction enqueues and does not complete"),
    ("release_counts_attempt", "a lease that was given back counts as an attempt"),
    ("redrive_breaks_order", "a redrive does not bring earlier jobs of an ordering key first"),
    ("counts_wrong_after_cancel", "a cancelled job is counted twice"),
    ("dead_job_parks_nothing", "a dead job does not park its ordering key"),
    ("pause_lost_on_restate", "a paused ordering key is not written anew"),
    ("leased_job_not_restated", "a walk passes over leased jobs, and trimming loses them"),
    ("answer_before_durable", "an answer goes out before its frame is durable"),
    ("leases_not_given_back", "jobs leased for a caller who has gone are not given back"),
    ("unread_job_failed", "a job whose payload the disk refuses to read is failed as if it were damaged"),
    ("disk_full_for_ever", "a disk that was nearly full is taken for full though there is room again"),
    ("damaged_job_forgotten", "a job whose payload is damaged is neither handed out nor failed"),
    ("pool_oversold", "a pool gives one unit more than it has"),
    ("pool_claims_ignored", "what a transaction takes of a pool first is free for it once more"),
    ("lapse_lost_on_recovery", "a hold that a replay brings in never lapses"),
    ("line_reordered_on_restate", "those in line who are written anew are served the last first"),
    ("condition_skipped", "a transaction is done though its holder has what it must not"),
    ("retry_grants_again", "a key that has brought a grant brings another"),
    ("offer_not_made_on_release", "what is given back is offered to nobody"),
    ("fence_reused", "a grant that is given back gives its number to the next"),
    ("quota_not_counted_on_restate", "a grant that is written anew is no longer its group's"),
    ("limit_ignores_line", "what a holder waits for does not count against its limit"),
    ("draw_ignored", "who joins before the opening is served in the order of joining"),
    ("swap_keeps_both", "an offer that is confirmed does not give up the grant it was for"),
    ("promised_twice", "a grant that is promised for one thing is promised for another too"),
    ("promise_outlives_grant", "what a grant is promised for stands when the grant has ended"),
    ("swap_renews_hold", "a hold that is swapped can be held for as long as a new one"),
    ("confirm_keeps_version", "a pool has the same version after a hold was taken"),
    ("pool_shown_before_durable", "a pool is published before its frame is durable"),
    ("queue_shown_before_durable", "a queue is published before its frame is durable"),
    ("cleaner_stops", "a log that was cleaned once is not cleaned again"),
    ("trace_lost", "a job's payload comes to its worker without the trace that it continues"),
    ("payload_lost_on_restate", "a payload is written anew as something else"),
    ("redrive_of_job_lost", "a replay of a trimmed log forgets which redrive brought a job back"),
    ("roster_left_disordered", "a replay of a trimmed log lists the grants of a pool in another order"),
    ("line_listed_by_joining", "a line is listed in the order of joining, whatever was drawn"),
    ("worker_names_leak", "a worker's name is kept for ever"),
    ("next_job_lost", "a replay of a trimmed log gives the id of a forgotten job once more"),
];

/// The index of the bug that is in, for the whole process.
#[cfg(feature = "sabotage")]
static CHOSEN: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Puts one bug in, and takes every other out; a name that is not here only takes out.
#[cfg(feature = "sabotage")]
pub fn choose(name: &str) {
    let index = BUGS.iter().position(|(known, _)| *known == name);
    CHOSEN.store(index.unwrap_or(usize::MAX), Ordering::Relaxed);
}

/// Whether this bug is in.
#[cfg(feature = "sabotage")]
pub fn is(name: &str) -> bool {
    let bug = BUGS.get(CHOSEN.load(Ordering::Relaxed));
    bug.is_some_and(|(known, _)| *known == name)
}

/// No bug is in.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub const fn is(_name: &str) -> bool {
    false
}
