//! Many doubly linked lists over small node indexes, with the links kept beside the nodes.
//!
//! A node is in at most one list of a `Lists`. The ends of a list point back to its head (by a set top bit), so that a
//! node leaves whichever list it is in without anyone knowing which: O(1), no search, 8 bytes a node.

use alloc::vec::Vec;

use super::paged::{NONE, Paged};

/// Names a list within a [`Lists`].
pub(crate) type ListId = u32;

/// Set in a link that points to a list's head instead of to a node.
const HEAD: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self { prev: NONE, next: NONE }
    }
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Lists {
    heads: Vec<Ends>,
    links: Paged<Link>,
}

impl Lists {
    /// `count` empty lists, numbered from 0.
    pub(crate) fn new(count: u32) -> Self {
        let mut lists = Self { heads: Vec::new(), links: Paged::new() };
        lists.add(count);
        lists
    }

    /// Adds `count` empty lists and returns the number of the first.
    pub(crate) fn add(&mut self, count: u32) -> ListId {
        let first = self.heads.len() as u32;
        for id in first..first + count {
            self.heads.push(Ends { first: HEAD | id, last: HEAD | id });
        }
        first
    }

    /// Lists there are.
    pub(crate) fn count(&self) -> u32 {
        self.heads.len() as u32
    }

    /// Makes `node` usable.
    pub(crate) fn reach(&mut self, node: u32) {
        debug_assert!(node < HEAD, "a node index has at most 31 bits");
        self.links.reach(node);
    }

    fn real(end: u32) -> Option<u32> {
        (end & HEAD == 0).then_some(end)
    }

    pub(crate) fn first(&self, list: ListId) -> Option<u32> {
        Self::real(self.heads[list as usize].first)
    }

    pub(crate) fn last(&self, list: ListId) -> Option<u32> {
        Self::real(self.heads[list as usize].last)
    }

    /// The node after `node` in its list.
    pub(crate) fn next(&self, node: u32) -> Option<u32> {
        Self::real(self.links.get(node).next)
    }

    /// The node before `node` in its list.
    pub(crate) fn prev(&self, node: u32) -> Option<u32> {
        Self::real(self.links.get(node).prev)
    }

    pub(crate) fn is_empty(&self, list: ListId) -> bool {
        self.first(list).is_none()
    }

    /// Whether the node is in some list.
    pub(crate) fn is_linked(&self, node: u32) -> bool {
        self.links.get(node).prev != NONE
    }

    fn set_next(&mut self, place: u32, next: u32) {
        if place & HEAD != 0 {
            self.heads[(place & !HEAD) as usize].first = next;
        } else {
            self.links.get_mut(place).next = next;
        }
    }

    fn set_prev(&mut self, place: u32, prev: u32) {
        if place & HEAD != 0 {
            self.heads[(place & !HEAD) as usize].last = prev;
        } else {
            self.links.get_mut(place).prev = prev;
        }
    }

    fn link_between(&mut self, prev: u32, node: u32, next: u32) {
        debug_assert!(!self.is_linked(node), "a node is in one list at a time");
        *self.links.get_mut(node) = Link { prev, next };
        self.set_next(prev, node);
        self.set_prev(next, node);
    }

    pub(crate) fn push_back(&mut self, list: ListId, node: u32) {
        let last = self.heads[list as usize].last;
        self.link_between(last, node, HEAD | list);
    }

    pub(crate) fn push_front(&mut self, list: ListId, node: u32) {
        let first = self.heads[list as usize].first;
        self.link_between(HEAD | list, node, first);
    }

    pub(crate) fn insert_after(&mut self, place: u32, node: u32) {
        let next = self.links.get(place).next;
        self.link_between(place, node, next);
    }

    /// Takes the node out of its list; nothing happens if it is in none.
    pub(crate) fn unlink(&mut self, node: u32) {
        let Link { prev, next } = *self.links.get(node);
        if prev == NONE {
            return;
        }
        self.set_next(prev, next);
        self.set_prev(next, prev);
        *self.links.get_mut(node) = Link::default();
    }

    pub(crate) fn pop_front(&mut self, list: ListId) -> Option<u32> {
        let node = self.first(list)?;
        self.unlink(node);
        Some(node)
    }

    /// Moves all of `from` behind `to`, in order, in O(1).
    pub(crate) fn append(&mut self, to: ListId, from: ListId) {
        let Some(first) = self.first(from) else { return };
        let last = self.heads[from as usize].last;
        let end = self.heads[to as usize].last;
        self.links.get_mut(first).prev = end;
        self.set_next(end, first);
        self.links.get_mut(last).next = HEAD | to;
        self.heads[to as usize].last = last;
        self.heads[from as usize] = Ends { first: HEAD | from, last: HEAD | from };
    }

    /// Brings a list into the order of `key`. For the end of a replay; takes time with the list's length.
    pub(crate) fn sort<K: Ord>(&mut self, list: ListId, key: impl Fn(u32) -> K) {
        let mut nodes: Vec<u32> = self.iter(list).collect();
        nodes.sort_by_key(|&node| key(node));
        while self.pop_front(list).is_some() {}
        for node in nodes {
            self.push_back(list, node);
        }
    }

    pub(crate) fn iter(&self, list: ListId) -> impl Iterator<Item = u32> + '_ {
        core::iter::successors(self.first(list), |&node| self.next(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn a_node_leaves_whichever_list_it_is_in() {
        let mut lists = Lists::new(2);
        (0..4).for_each(|node| lists.reach(node));
        lists.push_back(0, 0);
        lists.push_back(0, 1);
        lists.push_back(1, 2);
        lists.push_front(1, 3);
        lists.unlink(0);
        lists.unlink(2);
        assert_eq!(lists.iter(0).collect::<Vec<_>>(), [1]);
        assert_eq!(lists.iter(1).collect::<Vec<_>>(), [3]);
        lists.append(0, 1);
        assert_eq!(lists.iter(0).collect::<Vec<_>>(), [1, 3]);
        assert!(lists.is_empty(1));
    }

    proptest! {
        #[test]
        fn lists_agree_with_plain_queues(ops in proptest::collection::vec((0u8..6, 0u32..3, 0u32..16), 0..200)) {
            let mut lists = Lists::new(3);
            lists.reach(15);
            let mut twin: Vec<VecDeque<u32>> = vec![VecDeque::new(); 3];
            for (op, list, node) in ops {
                let inside = twin.iter().any(|queue| queue.contains(&node));
                match op {
                    0 if !inside => { lists.push_back(list, node); twin[list as usize].push_back(node); }
                    1 if !inside => { lists.push_front(list, node); twin[list as usize].push_front(node); }
                    2 => { lists.unlink(node); twin.iter_mut().for_each(|queue| queue.retain(|&n| n != node)); }
                    3 => { prop_assert_eq!(lists.pop_front(list), twin[list as usize].pop_front()); }
                    4 => {
                        let to = (list + 1) % 3;
                        lists.append(to, list);
                        let moved = core::mem::take(&mut twin[list as usize]);
                        twin[to as usize].extend(moved);
                    }
                    5 => { lists.sort(list, |n| n); twin[list as usize].make_contiguous().sort_unstable(); }
                    _ => {}
                }
                for (id, queue) in twin.iter().enumerate() {
                    prop_assert_eq!(lists.iter(id as u32).collect::<Vec<_>>(), queue.iter().copied().collect::<Vec<_>>());
                    prop_assert_eq!(lists.last(id as u32), queue.back().copied());
                    let back = core::iter::successors(lists.last(id as u32), |&node| lists.prev(node));
                    prop_assert_eq!(back.collect::<Vec<_>>(), queue.iter().rev().copied().collect::<Vec<_>>());
                }
            }
        }
    }
}
