//! Names to small indexes and back: queues, kinds, ordering keys, unique keys, idempotency keys.
//!
//! A name lives in a scope (a queue's index, or 0), so that two queues may use the same key. The hash table is in 256
//! parts that grow one at a time: growing costs a 256th of what one table's growth would, and never a pause
//! that people feel. It is never iterated; walks go by index.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::paged::Slab;

const PARTS: usize = 256;
/// Entries in a page.
const PAGE: usize = 256;

#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) scope: u32,
    pub(crate) name: Arc<str>,
    hash: u64,
    pub(crate) value: T,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Table<T> {
    parts: Box<[HashTable<u32>]>,
    entries: Slab<Entry<T>, PAGE>,
    hasher: FixedState,
}

impl<T> Table<T> {
    /// A table whose hash is seeded with `seed`, which comes from the log: replayable, and not guessable from outside.
    pub(crate) fn new(seed: u64) -> Self {
        let parts: Vec<HashTable<u32>> = (0..PARTS).map(|_| HashTable::new()).collect();
        Self { parts: parts.into_boxed_slice(), entries: Slab::new(), hasher: FixedState::with_seed(seed) }
    }

    fn hash(&self, scope: u32, name: &str) -> u64 {
        self.hasher.hash_one((scope, name))
    }

    /// The part that holds `hash`. Its middle bits: the table itself uses the low and the top ones.
    fn part(hash: u64) -> usize {
        (hash >> 24) as usize & (PARTS - 1)
    }

    pub(crate) fn len(&self) -> u32 {
        self.entries.len()
    }

    /// One above the highest index in use, for walks by index.
    pub(crate) fn end(&self) -> u32 {
        self.entries.end()
    }

    pub(crate) fn find(&self, scope: u32, name: &str) -> Option<u32> {
        let hash = self.hash(scope, name);
        let same = |&index: &u32| {
            let entry = self.entries.get(index);
            entry.hash == hash && entry.scope == scope && *entry.name == *name
        };
        self.parts[Self::part(hash)].find(hash, same).copied()
    }

    /// Adds a name that is not there.
    pub(crate) fn insert(&mut self, scope: u32, name: &str, value: T) -> u32 {
        debug_assert!(self.find(scope, name).is_none(), "{name} is there already");
        let hash = self.hash(scope, name);
        let index = self.entries.insert(Entry { scope, name: name.into(), hash, value });
        let entries = &self.entries;
        self.parts[Self::part(hash)].insert_unique(hash, index, |&index| entries.get(index).hash);
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        let entry = self.entries.remove(index);
        if let Ok(found) = self.parts[Self::part(entry.hash)].find_entry(entry.hash, |&other| other == index)
        {
            found.remove();
        }
        entry.value
    }

    pub(crate) fn entry(&self, index: u32) -> &Entry<T> {
        self.entries.get(index)
    }

    pub(crate) fn try_entry(&self, index: u32) -> Option<&Entry<T>> {
        self.entries.try_get(index)
    }

    pub(crate) fn name(&self, index: u32) -> &Arc<str> {
        &self.entries.get(index).name
    }

    pub(crate) fn get(&self, index: u32) -> &T {
        &self.entries.get(index).value
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.entries.get_mut(index).value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    /// Each part grows by itself, so no growth is long: if the parts have their shares.
    #[test]
    fn names_are_spread_over_all_parts() {
        let mut table = Table::new(7);
        for n in 0..256 * 40 {
            table.insert(n % 3, &format!("name-{n}"), n);
        }
        let shares: Vec<usize> = table.parts.iter().map(HashTable::len).collect();
        assert!(shares.iter().all(|share| (10..100).contains(share)), "{shares:?}");
    }

    /// There are 2^15 ways for a hash to choose a part and what the part looks at: among so many names some share theirs.
    #[test]
    fn one_name_is_another_in_each_scope() {
        let mut table = Table::new(7);
        let indexes: Vec<u32> = (0..40_000).map(|scope| table.insert(scope, "name", ())).collect();
        for scope in 0..50_000 {
            assert_eq!(table.find(scope, "name"), indexes.get(scope as usize).copied());
        }
    }

    #[test]
    fn a_name_is_found_in_its_scope_until_it_is_removed() {
        let mut table = Table::new(7);
        let first = table.insert(1, "a", 'x');
        let second = table.insert(2, "a", 'y');
        assert_eq!(
            (table.find(1, "a"), table.find(2, "a"), table.find(3, "a")),
            (Some(first), Some(second), None)
        );
        assert_eq!(table.remove(first), 'x');
        assert_eq!((table.find(1, "a"), table.find(2, "a"), table.len()), (None, Some(second), 1));
        assert_eq!(table.parts.iter().map(HashTable::len).sum::<usize>(), 1, "its hash is gone too");
    }
}
