//! Causes: dead letters that died alike are counted together.
//!
//! Two are alike if reason, job kind, error kind and message agree once every run of digits in the message is
//! blanked: `user 17 not found` and `user 4 not found` are one cause. Counted as jobs die, so that asking is cheap.
//! What is shown of a cause follows from the dead letters that are there now, not from those that were: so a replay of a
//! trimmed log shows the same, and the sample is a job that can be looked at.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt::Write as _;

use crate::id::Time;
use crate::record::{EndReason, Failure};

/// Bytes of a message that make the cause.
const MESSAGE_BYTES: usize = 200;

/// One cause of a queue. Its name in the table is the fingerprint's text.
#[derive(Debug)]
pub(crate) struct CauseEntry {
    pub(crate) id: u64,
    pub(crate) reason: EndReason,
    pub(crate) kind: Box<str>,
    pub(crate) error_kind: Option<Box<str>>,
    /// Those that died of it: when, and their sequences. Never empty.
    pub(crate) dead: BTreeSet<(Time, u64)>,
}

/// The text that alike dead letters share.
pub(crate) fn fingerprint(reason: EndReason, kind: &str, last: Option<&Failure>) -> String {
    let mut text = String::new();
    let _ = write!(text, "{}\n{kind}\n", reason.as_str());
    if let Some(failure) = last {
        let _ = writeln!(text, "{}", failure.kind.as_deref().unwrap_or(""));
        let mut in_digits = false;
        let start = text.len();
        for c in failure.message.chars() {
            if text.len() - start >= MESSAGE_BYTES {
                break;
            }
            if c.is_ascii_digit() {
                if !in_digits {
                    text.push('#');
                }
                in_digits = true;
            } else {
                text.push(c);
                in_digits = false;
            }
        }
    }
    text
}

/// The cause's id: FNV-1a of its fingerprint, so that it is the same in every shard and version.
pub(crate) fn id(fingerprint: &str) -> u64 {
    fingerprint.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
