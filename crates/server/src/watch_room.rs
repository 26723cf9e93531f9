//! The room that all who watch pools share, and what of it one of them may take.
//!
//! Promises: no address takes more than it leaves free for others, so that one of them alone has half at most, and whoever comes
//! from elsewhere finds room; no connection takes more than its own bound, which holds a proxy that puts many callers on one
//! HTTP/2 connection to a part of it; and the last places of an address are kept for those who watch a few pools. A refusal names the bound that was met.
//!
//! Left out: knowing whom a proxy speaks for. Its callers have one address, and share what that may take; the proxy sees them apart, and
//! can bound their connections.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_api::refusal::{Code, Refusal, Refused};

use crate::limits::{FEW_POOLS, WATCHED_POOLS, WATCHED_POOLS_KEPT, WATCHED_POOLS_OF_CONNECTION};

/// When asking again makes sense, in ms: whoever watches may go at any moment.
const RETRY_AFTER_MS: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct WatchRoom {
    taken: Mutex<Taken>,
    connections: AtomicU64,
}

/// Places taken: a pool once for each who watches it.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    by_connection: HashMap<u64, usize>,
}

/// Whose connection it is that somebody watches on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer {
    address: IpAddr,
    connection: u64,
}

/// Places of one watcher. They are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Places {
    room: Arc<WatchRoom>,
    viewer: Viewer,
    pools: usize,
}

impl WatchRoom {
    /// Somebody on a connection of its own. Whoever has a network of IPv6 has all its addresses, so a network counts as one.
    pub(crate) fn viewer(&self, address: IpAddr) -> Viewer {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address @ IpAddr::V4(_) => address,
        };
        Viewer { address, connection: self.connections.fetch_add(1, Ordering::Relaxed) }
    }

    /// Places for somebody who watches so many pools.
    ///
    /// # Errors
    /// `waiters_full`: the connection or its address has as many as it may. `value` is how many more there are for it.
    pub(crate) fn take(self: &Arc<Self>, viewer: Viewer, pools: usize) -> Result<Places, Refused> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.judge(viewer, pools)?;
        taken.all += pools;
        *taken.by_address.entry(viewer.address).or_default() += pools;
        *taken.by_connection.entry(viewer.connection).or_default() += pools;
        Ok(Places { room: Arc::clone(self), viewer, pools })
    }
}

impl Taken {
    fn judge(&self, viewer: Viewer, pools: usize) -> Result<(), Refused> {
        let full = |detail, left: usize| {
            let refusal = Refusal::new(Code::WaitersFull, detail).with_retry_after_ms(RETRY_AFTER_MS);
            Err(Box::new(Refusal { value: Some(left.into()), ..refusal }))
        };
        let of_connection = self.by_connection.get(&viewer.connection).copied().unwrap_or(0);
        let left = WATCHED_POOLS_OF_CONNECTION.saturating_sub(of_connection);
        if pools > left {
            let detail = format!(
                "One connection watches at most {WATCHED_POOLS_OF_CONNECTION} pools, each once for each watcher, and this one \
                 watches {of_connection}: {left} more are possible. Watch fewer, or on another connection."
            );
            return full(detail, left);
        }
        let of_address = self.by_address.get(&viewer.address).copied().unwrap_or(0);
        let left = |kept: usize| left_to(of_address, WATCHED_POOLS.saturating_sub(self.all), kept);
        let (few, many) = (left(0), left(WATCHED_POOLS_KEPT));
        let left = if pools <= FEW_POOLS { few } else { many };
        if pools > left {
            let address = viewer.address;
            let detail = format!(
                "One address watches at most as many pools as it leaves free for others, of {WATCHED_POOLS} in all, and {address} \
                 watches {of_address}: {many} more are possible, or {few} by who watches at most {FEW_POOLS}. Watch fewer, or \
                 ask again when other watchers have gone."
            );
            return full(detail, left);
        }
        Ok(())
    }
}

/// How many more an address may have that has `has`: as many as leave `kept` more than it then has, of those that are `free`.
fn left_to(has: usize, free: usize, kept: usize) -> usize {
    free.saturating_sub(has + kept) / 2
}

impl Drop for Places {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.pools;
        give_back(&mut taken.by_address, self.viewer.address, self.pools);
        give_back(&mut taken.by_connection, self.viewer.connection, self.pools);
    }
}

/// Whoever has none is not remembered.
fn give_back<K: Hash + Eq>(taken: &mut HashMap<K, usize>, whose: K, pools: usize) {
    if let Entry::Occupied(mut entry) = taken.entry(whose) {
        *entry.get_mut() -= pools;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Arc<WatchRoom> {
        Arc::default()
    }

    fn from(room: &WatchRoom, address: &str) -> Viewer {
        room.viewer(address.parse().expect("an address"))
    }

    /// As many watchers of so many pools as an address may have, each on a connection of its own.
    fn fill(room: &Arc<WatchRoom>, address: &str, pools: usize) -> (Vec<Places>, Refused) {
        let mut places = Vec::new();
        loop {
            match room.take(from(room, address), pools) {
                Ok(taken) => places.push(taken),
                Err(refusal) => return (places, refusal),
            }
        }
    }

    #[test]
    fn one_address_leaves_as_many_as_it_has() {
        let room = room();
        let (first, refusal) = fill(&room, "10.0.0.1", 1_000);
        assert_eq!(first.len(), 90, "half, but for what is kept for small watchers");
        assert_eq!((refusal.code, refusal.value), (Code::WaitersFull, Some(0.into())));
        for word in ["10.0.0.1 watches 90000", "0 more", "10000 by who watches at most 10", "Watch fewer"] {
            assert!(refusal.detail.contains(word), "{word}: {}", refusal.detail);
        }
        let (small, refusal) = fill(&room, "10.0.0.1", 10);
        assert_eq!((small.len(), refusal.value), (1_000, Some(0.into())), "a whole half");
        // Nobody else notices, however many come: each leaves as much as it takes.
        let others: Vec<_> = (2..6).map(|n| fill(&room, &format!("10.0.0.{n}"), 100).0).collect();
        assert_eq!(others.iter().map(Vec::len).collect::<Vec<_>>(), [400, 200, 100, 50]);
        assert!(room.take(from(&room, "10.0.0.9"), 1_000).is_ok());
    }

    #[test]
    fn one_connection_has_a_bound_of_its_own() {
        let room = room();
        let shared = from(&room, "10.0.0.1");
        let places: Vec<_> = (0..20).map(|_| room.take(shared, 1_000).expect("there is room")).collect();
        let refusal = room.take(shared, 1).expect_err("the connection is full");
        assert_eq!(refusal.value, Some(0.into()));
        assert!(refusal.detail.contains("on another connection"), "{}", refusal.detail);
        assert!(room.take(from(&room, "10.0.0.1"), 1_000).is_ok(), "another one is not");
        drop(places);
        assert!(room.take(shared, 1_000).is_ok());
    }

    #[test]
    fn a_network_is_one_address() {
        let room = room();
        let (_places, _) = fill(&room, "2001:db8::1", 1_000);
        assert!(room.take(from(&room, "2001:db8::2:0:0:7"), 1_000).is_err());
        assert!(room.take(from(&room, "2001:db8:0:1::1"), 1_000).is_ok());
        let (_places, _) = fill(&room, "::ffff:10.0.0.1", 1_000);
        assert!(room.take(from(&room, "10.0.0.1"), 1_000).is_err(), "one address written in two ways");
    }

    #[test]
    fn what_is_given_back_is_forgotten() {
        let room = room();
        let (places, _) = fill(&room, "10.0.0.1", 1_000);
        drop(places);
        let taken = room.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by_address.len(), taken.by_connection.len()), (0, 0, 0));
    }
}
