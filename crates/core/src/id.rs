//! Ids, times and places: small integers, each with a type of its own so that they cannot be mixed up.

use core::fmt;
use core::str::FromStr;

/// A job's id: the shard that owns it and its sequence within the shard.
///
/// Written `{shard}-{sequence}`, e.g. `0-42`. Sequences start at 1 and rise by one with every accepted job, so that a
/// paged table by sequence finds a job without hashing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobId(u64);

impl JobId {
    /// Bits of the sequence; the shard is above them.
    const SEQUENCE_BITS: u32 = 48;
    /// All sequences are below.
    pub(crate) const SEQUENCE_END: u64 = 1 << Self::SEQUENCE_BITS;

    /// The id of the `sequence`-th job of `shard`. `sequence` must be below 2^48.
    pub const fn new(shard: u16, sequence: u64) -> Self {
        assert!(sequence < 1 << Self::SEQUENCE_BITS, "a job's sequence has at most 48 bits");
        Self((shard as u64) << Self::SEQUENCE_BITS | sequence)
    }

    /// The shard that owns the job.
    pub const fn shard(self) -> u16 {
        (self.0 >> Self::SEQUENCE_BITS) as u16
    }

    /// The job's place among all jobs its shard has accepted, from 1.
    pub const fn sequence(self) -> u64 {
        self.0 & ((1 << Self::SEQUENCE_BITS) - 1)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard(), self.sequence())
    }
}

/// Why a text is not a job id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAJobId;

impl fmt::Display for NotAJobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a job id looks like 0-42: shard, hyphen, sequence")
    }
}

impl core::error::Error for NotAJobId {}

impl FromStr for JobId {
    type Err = NotAJobId;

    /// Accepts exactly what `Display` writes: no signs, no leading zeros.
    fn from_str(text: &str) -> Result<Self, NotAJobId> {
        let (shard, sequence) = text.split_once('-').ok_or(NotAJobId)?;
        let canonical =
            |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
        if !canonical(shard) || !canonical(sequence) {
            return Err(NotAJobId);
        }
        let shard: u16 = shard.parse().map_err(|_| NotAJobId)?;
        let sequence: u64 = sequence.parse().map_err(|_| NotAJobId)?;
        if sequence == 0 || sequence >= 1 << Self::SEQUENCE_BITS {
            return Err(NotAJobId);
        }
        Ok(Self::new(shard, sequence))
    }
}

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// The moment `ms` milliseconds later; stays at the end of time rather than wrapping.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A fencing token: every lease of a shard has a higher one than all before it.
///
/// Below 2^53, so that any JSON reader keeps it exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Token(pub u64);

/// Where a blob (a payload, a result) lies in the log: the frame that holds it, its offset in the frame's payload
/// area, and its stored length in bytes. The core never reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Blob {
    /// Sequence of the frame.
    pub frame: u64,
    /// Offset within the frame's payload area.
    pub offset: u32,
    /// Stored length, checksum included; 0 means there is none.
    pub len: u32,
}

/// A moment as callers give it: absolute, or counted from the turn that accepts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// At this moment.
    At(Time),
    /// This many milliseconds after acceptance.
    In(u64),
}

impl When {
    /// The moment meant, if accepted `now`.
    pub const fn resolve(self, now: Time) -> Time {
        match self {
            Self::At(time) => time,
            Self::In(ms) => now.plus(ms),
        }
    }
}
