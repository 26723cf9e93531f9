//! W3C trace context (level 1): the `traceparent` that ties a job to the request that wanted it.
//!
//! A worker runs each handler inside a scope that holds the attempt's place in the job's trace, so whatever the
//! handler enqueues can say where it came from. Here is that scope, and the text form.
//!
//! Left out: spans, sampling, `tracestate`, and any exporter. Whoever records spans takes the ids from here.

use std::{fmt, str::FromStr};

use crate::settings::random_bits;

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// A place in a trace: which trace, which span, and its flags.
///
/// ```
/// use tidegate::trace::TraceParent;
///
/// let parent: TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse()?;
/// let child = parent.child();
/// assert_eq!(child.trace_id(), parent.trace_id());
/// assert_ne!(child.parent_id(), parent.parent_id());
/// assert!(child.is_sampled());
/// # Ok::<(), tidegate::trace::NotATraceParent>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// The text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no W3C traceparent, as in \"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"")]
pub struct NotATraceParent;

/// Length of a `traceparent` of version 00; later versions may go on after a dash.
const BYTES: usize = 55;

impl TraceParent {
    /// The beginning of a new trace, sampled, with random ids.
    pub fn root() -> TraceParent {
        let trace_id = u128::from(random_id()) << 64 | u128::from(random_id());
        TraceParent { trace_id, parent_id: random_id(), flags: 1 }
    }

    /// A span of the same trace, with the same flags, under a new random id.
    #[must_use]
    pub fn child(&self) -> TraceParent {
        TraceParent { parent_id: random_id(), ..*self }
    }

    /// The trace; never 0.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The span, which is the parent of what it causes; never 0.
    pub fn parent_id(&self) -> u64 {
        self.parent_id
    }

    /// The flags; the lowest bit is "sampled".
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether whoever began the trace records it.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    /// Reads any version but the forbidden `ff`. Of a later version than 00 the parts known here are read.
    fn from_str(text: &str) -> Result<TraceParent, NotATraceParent> {
        let bytes = text.as_bytes();
        let dashes = bytes.len() >= BYTES && [2, 35, 52].iter().all(|&place| bytes[place] == b'-');
        let ends = match bytes.get(BYTES) {
            None => true,
            Some(byte) => *byte == b'-' && !text.starts_with("00"),
        };
        if !dashes || !ends || text.starts_with("ff") {
            return Err(NotATraceParent);
        }
        let hex = |range: std::ops::Range<usize>| -> Result<u128, NotATraceParent> {
            let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let digits = text.get(range).filter(|digits| digits.as_bytes().iter().all(lower));
            u128::from_str_radix(digits.ok_or(NotATraceParent)?, 16).map_err(|_| NotATraceParent)
        };
        hex(0..2)?;
        let (trace_id, parent_id, flags) = (hex(3..35)?, hex(36..52)? as u64, hex(53..55)? as u8);
        match trace_id == 0 || parent_id == 0 {
            true => Err(NotATraceParent),
            false => Ok(TraceParent { trace_id, parent_id, flags }),
        }
    }
}

/// Written as version 00, the one this crate knows.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

/// Where the running task is in its trace: inside a handler, the attempt's own span; elsewhere nothing, unless
/// [`scope`] said so.
///
/// A task that the handler spawns is outside again; wrap its future in a [`scope`] of its own to carry the trace on.
pub fn current() -> Option<TraceParent> {
    CURRENT.try_with(|current| *current).ok()
}

/// Runs a future at this place of a trace: [`current`] says so inside.
///
/// ```
/// use tidegate::trace::{self, TraceParent};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let here = TraceParent::root();
/// assert_eq!(trace::scope(here, async { trace::current() }).await, Some(here));
/// assert_eq!(trace::current(), None);
/// # }
/// ```
pub fn scope<F: Future>(parent: TraceParent, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(parent, future)
}

/// A random number that is not 0.
fn random_id() -> u64 {
    random_bits().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        let parsed: TraceParent = GOOD.parse().expect("a good one");
        assert_eq!(parsed.to_string(), GOOD);
        assert_eq!((parsed.parent_id(), parsed.flags()), (0xb7ad_6b71_6920_3331, 1));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}-what-comes", &GOOD[2..]);
        assert_eq!(later.parse::<TraceParent>().expect("read").to_string(), GOOD);
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        let zeros = |from: usize, to: usize| {
            let mut text = GOOD.to_owned();
            text.replace_range(from..to, &"0".repeat(to - from));
            text
        };
        for text in [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-more"),
            format!("cc{}.more", &GOOD[2..]),
            format!("ff{}", &GOOD[2..]),
            GOOD.to_uppercase(),
            GOOD.replace('-', "_"),
            zeros(3, 35),
            zeros(36, 52),
            GOOD.replace("0af", "+af"),
            format!("00-{}ä-b7ad6b7169203331-01", "0".repeat(30)),
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(NotATraceParent), "{text:?}");
        }
    }

    #[test]
    fn children_stay_in_the_trace_and_differ() {
        let parent = TraceParent { flags: 0, ..TraceParent::root() };
        let (one, other) = (parent.child(), parent.child());
        assert!(one.parent_id() != other.parent_id() && one.parent_id() != parent.parent_id());
        assert_eq!((one.trace_id(), one.flags()), (parent.trace_id(), 0));
    }
}
