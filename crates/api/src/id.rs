//! Ids: of a job, of a grant, and of a cause of death.
//!
//! There is exactly one way to write an id (no signs, no leading zeros, no capitals), so that two texts name the same
//! thing only if they are equal.

use std::fmt;
use std::str::FromStr;

/// The id of a job, for example `0-42`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The shard that keeps the job.
    pub shard: u16,
    /// The job's number in its shard, rising from 1 in the order of acceptance; below 2^48.
    pub sequence: u64,
}

/// The id of a grant, for example `0-42`. Of two grants of a pool, the later one has the higher sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantId {
    /// The shard that keeps the grant.
    pub shard: u16,
    /// The grant's number in its shard, rising from 1; below 2^48.
    pub sequence: u64,
}

/// The id of a cause of death: sixteen hexadecimal digits, for example `00c0ffee00c0ffee`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseId(pub u64);

/// The text is not a cause's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotACauseId;

/// The text is not a grant's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAGrantId;

/// The text is not a job's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAJobId;

impl JobId {
    /// How an id is written, in words for a refusal.
    pub const ALLOWED: &'static str = "a job id, written {shard}-{sequence}, as in \"0-42\"";

    /// Appends the id's text to `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(self.shard).as_bytes());
        out.push(b'-');
        out.extend_from_slice(digits.format(self.sequence).as_bytes());
    }
}

impl FromStr for JobId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<Self, NotAJobId> {
        let (shard, sequence) = text.split_once('-').ok_or(NotAJobId)?;
        let shard = u16::try_from(canonical_number(shard)?).map_err(|_| NotAJobId)?;
        let sequence = canonical_number(sequence)?;
        if !SEQUENCES.contains(&sequence) {
            return Err(NotAJobId);
        }
        Ok(Self { shard, sequence })
    }
}

/// What a sequence can be. Shard and sequence together fit into 64 bits.
const SEQUENCES: std::ops::Range<u64> = 1..1 << 48;

/// Reads a number that has no sign and no leading zero; `u64::from_str` alone would let both pass.
fn canonical_number(text: &str) -> Result<u64, NotAJobId> {
    let written_once =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !written_once {
        return Err(NotAJobId);
    }
    text.parse().map_err(|_| NotAJobId)
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.sequence)
    }
}

impl fmt::Display for NotAJobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is not {}", JobId::ALLOWED)
    }
}

impl std::error::Error for NotAJobId {}

impl GrantId {
    /// How an id is written, in words for a refusal.
    pub const ALLOWED: &'static str = "a grant id, written {shard}-{sequence}, as in \"0-42\"";

    /// The grant's fencing number: who guards the thing itself refuses one that is lower than another it has seen.
    pub fn fence(self) -> u64 {
        self.sequence
    }

    /// Appends the id's text to `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        JobId { shard: self.shard, sequence: self.sequence }.write(out);
    }
}

/// Written as a job's id is.
impl FromStr for GrantId {
    type Err = NotAGrantId;

    fn from_str(text: &str) -> Result<Self, NotAGrantId> {
        let JobId { shard, sequence } = text.parse().map_err(|NotAJobId| NotAGrantId)?;
        Ok(Self { shard, sequence })
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.shard, self.sequence)
    }
}

impl fmt::Display for NotAGrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is not {}", GrantId::ALLOWED)
    }
}

impl std::error::Error for NotAGrantId {}

impl CauseId {
    /// How an id is written, in words for a refusal.
    pub const ALLOWED: &'static str = "a cause id: sixteen hexadecimal digits";
}

impl FromStr for CauseId {
    type Err = NotACauseId;

    fn from_str(text: &str) -> Result<Self, NotACauseId> {
        let written_once =
            text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !written_once {
            return Err(NotACauseId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotACauseId)
    }
}

impl fmt::Display for CauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for NotACauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is not {}", CauseId::ALLOWED)
    }
}

impl std::error::Error for NotACauseId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_being_written_and_read() {
        for id in [(0, 1), (0, 42), (7, 10), (u16::MAX, (1 << 48) - 1)] {
            let id = JobId { shard: id.0, sequence: id.1 };
            let mut written = Vec::new();
            id.write(&mut written);
            assert_eq!(written, id.to_string().as_bytes());
            assert_eq!(id.to_string().parse(), Ok(id));
            let grant = GrantId { shard: id.shard, sequence: id.sequence };
            assert_eq!((grant.to_string(), grant.to_string().parse()), (id.to_string(), Ok(grant)));
        }
        assert_eq!("0-0".parse::<GrantId>(), Err(NotAGrantId));
    }

    #[test]
    fn a_cause_survives_being_written_and_read() {
        for cause in [CauseId(0), CauseId(0x00c0_ffee_00c0_ffee), CauseId(u64::MAX)] {
            assert_eq!(cause.to_string().parse(), Ok(cause));
        }
        for text in ["", "0", "00C0FFEE00C0FFEE", "+0c0ffee00c0ffee", "00c0ffee00c0ffee0"] {
            assert_eq!(text.parse::<CauseId>(), Err(NotACauseId), "{text:?}");
        }
    }

    #[test]
    fn an_id_can_be_written_in_one_way_only() {
        for text in [
            "",
            "-",
            "0",
            "0-",
            "-1",
            "00-1",
            "0-01",
            "+0-1",
            "0-+1",
            "0-0",
            "0--1",
            "0-1 ",
            "0-281474976710656",
            "65536-1",
            "0-18446744073709551617",
            "0-1-2",
        ] {
            assert_eq!(text.parse::<JobId>(), Err(NotAJobId), "{text:?}");
        }
    }
}
