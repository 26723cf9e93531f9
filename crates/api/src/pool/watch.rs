//! What a watcher hears, and how it says what it has heard.
//!
//! `GET /v1/pools/watch` answers with server-sent events. The data of each event named [`EVENT`] is one [`PoolNews`]; its
//! id says the version of each watched pool that was told last ([`Seen`]). Who comes again with that as `Last-Event-ID` hears of
//! what is newer, and how much it has missed.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::pool::view::Pool;
use crate::refusal::{Refusal, Refused};
use crate::syntax;

/// The name of the events.
pub const EVENT: &str = "pool";
/// The request's header.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// The media type of the answer.
pub const EVENT_STREAM: &str = "text/event-stream";

/// The latest about one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolNews {
    /// The pool's name.
    pub name: String,
    /// How many versions lie between this one and the last that this watcher heard of; it will not hear of those.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// How it stands; not there if there is no pool of this name (any more).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
}

fn is_zero(missed: &u64) -> bool {
    *missed == 0
}

/// The versions of pools that a watcher has heard of, written `seats@autumn=12,labs@autumn=3`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(pub Vec<(String, u64)>);

impl Seen {
    const ALLOWED: &'static str = "the id of an earlier event, as in \"seats@autumn=12,labs@autumn=3\"";

    /// Reads the header's value. An empty one says that nothing was heard.
    pub fn read(header: &str) -> Result<Self, Refused> {
        if header.is_empty() {
            return Ok(Self::default());
        }
        let refused = || Box::new(Refusal::invalid_value("Last-Event-ID", header, Self::ALLOWED));
        let mut seen = Vec::new();
        for pair in header.split(',') {
            let (name, version) = pair.split_once('=').ok_or_else(refused)?;
            syntax::name("Last-Event-ID", name).map_err(|_| refused())?;
            let is_version = version.bytes().all(|byte| byte.is_ascii_digit());
            let version = version.parse().ok().filter(|version| limits::VERSION.contains(version));
            seen.push((name.to_owned(), version.filter(|_| is_version).ok_or_else(refused)?));
            if seen.len() as u64 > *limits::WATCHED_POOLS.end() {
                return Err(refused());
            }
        }
        Ok(Self(seen))
    }

    /// The version of a pool that was heard of, if any was.
    pub fn of(&self, pool: &str) -> Option<u64> {
        self.0.iter().find(|(name, _)| name == pool).map(|(_, version)| *version)
    }

    /// Remembers the version of a pool.
    pub fn set(&mut self, pool: &str, version: u64) {
        match self.0.iter_mut().find(|(name, _)| name == pool) {
            Some((_, known)) => *known = version,
            None => self.0.push((pool.to_owned(), version)),
        }
    }

    /// Appends what [`read`](Self::read) reads.
    pub fn write(&self, out: &mut Vec<u8>) {
        for (i, (name, version)) in self.0.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(itoa::Buffer::new().format(*version).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_survives_being_written_and_read() {
        let mut seen = Seen::default();
        assert_eq!(Seen::read("").unwrap(), seen);
        for (pool, version) in [("seats@autumn", 1), ("labs", 7), ("seats@autumn", 12)] {
            seen.set(pool, version);
        }
        let mut written = Vec::new();
        seen.write(&mut written);
        assert_eq!(written, b"seats@autumn=12,labs=7");
        assert_eq!(Seen::read("seats@autumn=12,labs=7").unwrap(), seen);
        assert_eq!((seen.of("labs"), seen.of("other")), (Some(7), None));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let many = vec!["p=1"; 1_001].join(",");
        for header in [
            "7",
            "p",
            "p=",
            "p=-1",
            "p=+1",
            "p=x",
            "p q=1",
            "=1",
            "p=1,",
            ",p=1",
            "p=9007199254740992",
            &many,
        ] {
            let refused = Seen::read(header).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("Last-Event-ID"), "{header}");
        }
    }
}
