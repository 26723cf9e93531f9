//! What a watcher hears, and how it says what it has heard.
//!
//! `GET /v1/pools/watch` answers with server-sent events. The data of each event named [`EVENT`] is one [`PoolNews`]; its
//! id says the version of each watched pool that was told last ([`Seen`]). Who comes again with that as `Last-Event-ID` hears of
//! what is newer, and how much it has missed.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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

/// The versions of pools that a watcher has heard of, in the order in which it names the pools.
///
/// Written it is `{names}.{versions}`: 16 digits that follow from the names, and in base64 the lowest of the versions and how
/// far each is above it. The names themselves are in the request that it comes back with. So it has about two bytes for a pool, and
/// needs no memory of the server's: it is as good after a restart, and with another number of shards. Who comes with the id of
/// a watch of other pools has heard nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    names: u64,
    versions: Vec<Option<u64>>,
}

impl Seen {
    const ALLOWED: &'static str = "the id of an earlier event, as it was";

    /// What a watcher of these pools has heard before it has heard anything.
    pub fn nothing(names: &[String]) -> Self {
        Self { names: digest(names), versions: vec![None; names.len()] }
    }

    /// Reads what a watcher of these pools says in the header. An empty one says that nothing was heard.
    pub fn read(header: &str, names: &[String]) -> Result<Self, Refused> {
        let nothing = Self::nothing(names);
        if header.is_empty() {
            return Ok(nothing);
        }
        let refused = || Box::new(Refusal::invalid_value("Last-Event-ID", header, Self::ALLOWED));
        if header.contains('=') {
            return nothing.with_named(header, names).ok_or_else(refused);
        }
        let (of, written) = header.split_once('.').ok_or_else(refused)?;
        let is_digest = of.len() == 16 && of.bytes().all(|byte| byte.is_ascii_hexdigit());
        let of = u64::from_str_radix(of, 16).ok().filter(|_| is_digest).ok_or_else(refused)?;
        let bytes = URL_SAFE_NO_PAD.decode(written).map_err(|_| refused())?;
        let versions = unpacked(&bytes).ok_or_else(refused)?;
        let is_of_these = of == nothing.names && versions.len() == names.len();
        Ok(if is_of_these { Self { versions, ..nothing } } else { nothing })
    }

    /// The versions in `seats@autumn=12,labs@autumn=3`, as a person can write them. Pools that are not watched are passed over.
    fn with_named(mut self, header: &str, names: &[String]) -> Option<Self> {
        let places: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        for (count, pair) in (1..).zip(header.split(',')) {
            let (name, version) = pair.split_once('=')?;
            syntax::name("Last-Event-ID", name).ok()?;
            let is_version = version.bytes().all(|byte| byte.is_ascii_digit());
            let version =
                version.parse().ok().filter(|version| is_version && limits::VERSION.contains(version))?;
            if count > *limits::WATCHED_POOLS.end() {
                return None;
            }
            if let Some(&place) = places.get(name) {
                self.versions[place] = Some(version);
            }
        }
        Some(self)
    }

    /// The version of each pool that was heard of, if any was.
    pub fn versions(&self) -> &[Option<u64>] {
        &self.versions
    }

    /// Remembers a version of the pool that was named in this place, from 0.
    ///
    /// # Panics
    /// There is no such place.
    pub fn set(&mut self, place: usize, version: u64) {
        self.versions[place] = Some(version);
    }

    /// Remembers the version of each pool, in the order in which they are named.
    pub fn tell(&mut self, versions: impl Iterator<Item = Option<u64>>) {
        self.versions.clear();
        self.versions.extend(versions);
    }

    /// Whether nothing was heard.
    pub fn is_nothing(&self) -> bool {
        self.versions.iter().all(Option::is_none)
    }

    /// Appends what [`read`](Self::read) reads.
    pub fn write(&self, out: &mut Vec<u8>) {
        // About two bytes a pool, and a third more in base64.
        let mut packed = Vec::with_capacity(8 + 2 * self.versions.len());
        pack(&self.versions, &mut packed);
        out.extend_from_slice(format!("{:016x}.", self.names).as_bytes());
        out.extend_from_slice(URL_SAFE_NO_PAD.encode(packed).as_bytes());
    }
}

/// Which names in which order: FNV-1a of 64 bits. It need not be hard to forge: whoever does deceives nobody else.
fn digest(names: &[String]) -> u64 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([b',']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The lowest version, and then for each pool 0, or how far its version is above the lowest, and one more.
fn pack(versions: &[Option<u64>], out: &mut Vec<u8>) {
    let lowest = versions.iter().flatten().copied().min().unwrap_or(0);
    put(lowest, out);
    for version in versions {
        put(version.map_or(0, |version| version - lowest + 1), out);
    }
}

/// What [`pack`] has written; nothing if it has not.
fn unpacked(mut bytes: &[u8]) -> Option<Vec<Option<u64>>> {
    let lowest = take(&mut bytes)?;
    let mut versions = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        versions.push(match take(&mut bytes)?.checked_sub(1) {
            None => None,
            Some(above) => {
                Some(lowest.checked_add(above).filter(|version| limits::VERSION.contains(version))?)
            }
        });
    }
    Some(versions)
}

/// Appends a number, seven bits a byte, the lowest first; every byte but the last has its highest bit set.
fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes such a number off the front.
fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.into()).collect()
    }

    fn written(seen: &Seen) -> String {
        let mut out = Vec::new();
        seen.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_was_seen_survives_being_written_and_read() {
        let names = names(&["seats@autumn", "labs", "rooms"]);
        let mut seen = Seen::nothing(&names);
        assert!(seen.is_nothing());
        assert_eq!(Seen::read("", &names).unwrap(), seen);
        assert_eq!(Seen::read(&written(&seen), &names).unwrap(), seen);
        for (place, version) in [(0, 1), (2, 7), (0, 12)] {
            seen.set(place, version);
            assert_eq!(Seen::read(&written(&seen), &names).unwrap(), seen);
        }
        assert!(!seen.is_nothing());
        assert_eq!(seen.versions(), [Some(12), None, Some(7)]);
        // It is written down by browsers and programs: what it looks like is for ever.
        assert_eq!(written(&seen), "0bd57aceb26fef4d.BwYAAQ");
        seen.set(1, *limits::VERSION.end());
        seen.set(2, 0);
        assert_eq!(Seen::read(&written(&seen), &names).unwrap(), seen);
    }

    #[test]
    fn who_watches_other_pools_has_heard_nothing_of_these() {
        let these = names(&["a", "b"]);
        let mut seen = Seen::nothing(&these);
        seen.set(0, 5);
        for others in [&["b", "a"][..], &["a"], &["a", "b", "c"], &["a,b"]] {
            let others = names(others);
            assert_eq!(Seen::read(&written(&seen), &others).unwrap(), Seen::nothing(&others), "{others:?}");
        }
    }

    #[test]
    fn versions_can_be_named() {
        let these = names(&["seats@autumn", "labs"]);
        let seen = Seen::read("labs=3,seats@autumn=12,other=4", &these).unwrap();
        assert_eq!(seen.versions(), [Some(12), Some(3)]);
        assert_eq!(Seen::read("other=4", &these).unwrap(), Seen::nothing(&these));
    }

    #[test]
    fn the_id_of_many_pools_is_short() {
        let many: Vec<String> = (0..1_000).map(|n| format!("pool-number-{n:04}@autumn")).collect();
        let mut seen = Seen::nothing(&many);
        for place in 0..1_000 {
            seen.set(place, 900 + place as u64);
        }
        let id = written(&seen);
        assert!(id.len() < 2_700, "{} bytes", id.len());
        assert_eq!(Seen::read(&id, &many).unwrap(), seen);
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
            ".",
            "0.",
            "0123456789abcdef",
            "0123456789abcdef.",
            "+123456789abcdef.AA",
            "0123456789abcdef.A",
            "0123456789abcdef.A A",
            // A number that does not end, one of 65 bits, and a version beyond the last.
            "0123456789abcdef.gA",
            "0123456789abcdef.____________AwE",
            "0123456789abcdef._________w8C",
        ] {
            let refused = Seen::read(header, &names(&["p"])).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("Last-Event-ID"), "{header}");
        }
    }
}
