//! Deliberate bugs, one at a time, for the simulator's proof that it finds such (those of the log).
//!
//! Without the feature `sabotage` there are none: [`is`] is `false` for the compiler, and nothing of them is in the program.

#[cfg(feature = "sabotage")]
use core::sync::atomic::{AtomicUsize, Ordering};

/// Every bug here, and what it does.
pub const BUGS: &[(&str, &str)] = &[
    ("sync_skipped", "frames are said to be durable that were never synced"),
    ("directory_sync_skipped", "a new segment's name is not made durable"),
    ("torn_payload_accepted", "recovery takes a frame whose payload is torn"),
    ("tail_not_rewritten", "recovery trusts what only the page cache holds"),
    ("failed_sync_tried_again", "after a sync that failed the next one is believed"),
    ("checksum_ignored", "nobody looks whether records are what was written"),
    ("payload_checksum_ignored", "nobody looks whether a payload is what was written"),
    ("claims_ignored", "acknowledged frames that are damaged are taken for a torn tail"),
    ("trim_before_note", "segments go before the meta file says so"),
    (
        "meta_closed_of_one_slot",
        "a log is taken for closed though the slot that may say otherwise cannot be read",
    ),
    ("recovery_no_dirsync", "a recovery does not make the names durable that it has found"),
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
