//! What is free, for everybody who looks: each pool as it was when it last became durable, taken without asking the shard and
//! without a lock.
//!
//! A turn says which pools it has changed; when the turn is durable, their new views take the place of the old ones. A reader
//! takes the view that is there: it never waits for a writer, and a flood of readers costs the shard's thread nothing.
//!
//! Promises: a view never shows what a crash could take back; of one pool, no reader sees a version go back. Left out: every
//! version in between. Who watches hears of the latest, and how many it has missed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::{Future, poll_fn};
use std::ops::{Bound, Deref};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use arc_swap::{ArcSwap, ArcSwapOption};
use tidegate_core::Time;
use tidegate_core::pool::view::PoolView;
use tokio::sync::watch;

use crate::fingerprint::fingerprint;

/// Making or deleting a pool copies the names of one part, so there are many.
const PARTS: usize = 256;

/// A pool as it is shown to all who look: its view, and beside it how somebody has written it for them.
#[derive(Debug)]
pub struct PoolShown {
    view: PoolView,
    written: OnceLock<Box<[u8]>>,
}

impl PoolShown {
    /// A view that nobody has written yet.
    #[must_use]
    pub const fn new(view: PoolView) -> Self {
        Self { view, written: OnceLock::new() }
    }

    /// What `write` makes of the view. It is written by who looks first, and kept as long as the view; who looks at the same
    /// time writes it too and waits for nobody. Everybody must write it alike.
    pub fn written(&self, write: impl FnOnce(&PoolView) -> Vec<u8>) -> &[u8] {
        if self.written.get().is_none() {
            // One that was slower has written the same.
            let _known = self.written.set(write(&self.view).into_boxed_slice());
        }
        self.written.get().expect("it is there by now")
    }
}

impl Deref for PoolShown {
    type Target = PoolView;

    fn deref(&self) -> &PoolView {
        &self.view
    }
}

impl PartialEq for PoolShown {
    fn eq(&self, other: &Self) -> bool {
        self.view == other.view
    }
}

impl Eq for PoolShown {}

/// A pool and the moment of which that is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSeen {
    /// The pool.
    pub view: Arc<PoolShown>,
    /// The moment this describes.
    pub as_of: Time,
}

/// A pool as a turn has left it; without a view, it was deleted.
#[derive(Debug)]
pub(crate) struct PoolChange {
    pub(crate) name: Arc<str>,
    pub(crate) view: Option<PoolView>,
}

type Names = BTreeMap<Arc<str>, Arc<Slot>>;

/// Where one pool's view lies.
#[derive(Debug)]
struct Slot {
    /// None once the pool is deleted.
    view: ArcSwapOption<PoolShown>,
    /// Counts changes, so that a watcher wakes up.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Part {
    names: ArcSwap<Names>,
    /// Counts pools made.
    made: watch::Sender<u64>,
}

/// See the module. One for each shard; it outlives restarts.
#[derive(Debug)]
pub(crate) struct Availability {
    parts: Vec<Part>,
    as_of: AtomicU64,
}

impl Availability {
    pub(crate) fn new() -> Self {
        let part = |_| Part { names: ArcSwap::from_pointee(Names::new()), made: watch::Sender::new(0) };
        Self { parts: (0..PARTS).map(part).collect(), as_of: AtomicU64::new(0) }
    }

    fn part_of(name: &str) -> usize {
        fingerprint(&[name.as_bytes()])[0] as usize % PARTS
    }

    /// Shows what a turn has changed. Turns must come in their order, one at a time; the outbox sees to that.
    pub(crate) fn show(&self, changes: Vec<PoolChange>, time: Time) {
        let mut copies: BTreeMap<usize, Names> = BTreeMap::new();
        let mut woken: Vec<Arc<Slot>> = Vec::new();
        for PoolChange { name, view } in changes {
            let part = Self::part_of(&name);
            let known = match copies.get(&part) {
                Some(copy) => copy.get(&name).cloned(),
                None => self.parts[part].names.load().get(&name).cloned(),
            };
            let is_there = view.is_some();
            let view = view.map(PoolShown::new).map(Arc::new);
            let slot = match known {
                Some(slot) => {
                    slot.view.store(view);
                    slot
                }
                None if is_there => {
                    Arc::new(Slot { view: ArcSwapOption::new(view), changes: watch::Sender::new(0) })
                }
                None => continue,
            };
            let copy = || Names::clone(&self.parts[part].names.load());
            if !is_there {
                copies.entry(part).or_insert_with(copy).remove(&name);
            } else if !self.parts[part].names.load().contains_key(&name) {
                copies.entry(part).or_insert_with(copy).insert(name, Arc::clone(&slot));
            }
            woken.push(slot);
        }
        self.as_of.fetch_max(time.0, Ordering::AcqRel);
        for (part, names) in copies {
            self.parts[part].names.store(Arc::new(names));
            self.parts[part].made.send_modify(|made| *made += 1);
        }
        // Everything is in its place before anybody is woken to look at it.
        for slot in woken {
            slot.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// A turn is durable that has changed no pool: what is shown is true of this moment too.
    pub(crate) fn still_so(&self, time: Time) {
        self.as_of.fetch_max(time.0, Ordering::AcqRel);
    }

    /// One pool.
    pub(crate) fn get(&self, name: &str) -> Option<PoolSeen> {
        // The moment first: the view is at least as new.
        let as_of = Time(self.as_of.load(Ordering::Acquire));
        let slot = self.slot(name)?;
        slot.view.load_full().map(|view| PoolSeen { view, as_of })
    }

    fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.parts[Self::part_of(name)].names.load().get(name).cloned()
    }

    /// All pools, in no order.
    pub(crate) fn all(&self) -> Vec<PoolSeen> {
        let as_of = Time(self.as_of.load(Ordering::Acquire));
        let slots =
            self.parts.iter().flat_map(|part| part.names.load().values().cloned().collect::<Vec<_>>());
        slots.filter_map(|slot| slot.view.load_full()).map(|view| PoolSeen { view, as_of }).collect()
    }
}

/// The pools of several shards whose names come after `after`, by name, at most `limit`; and whether there are more. Looks at no
/// more of them than it returns, and at one of each part.
pub(crate) fn page(all: &[&Availability], after: &str, limit: usize) -> (Vec<PoolSeen>, bool) {
    let parts_of = |shown: &&Availability| {
        let as_of = Time(shown.as_of.load(Ordering::Acquire));
        shown.parts.iter().map(move |part| (as_of, part.names.load_full())).collect::<Vec<_>>()
    };
    let parts: Vec<(Time, Arc<Names>)> = all.iter().flat_map(parts_of).collect();
    let from = (Bound::Excluded(after), Bound::Unbounded);
    let mut rests: Vec<_> = parts.iter().map(|(_, names)| names.range::<str, _>(from)).collect();
    // The next of each part, the first name on top.
    let mut slots: Vec<Option<&Arc<Slot>>> = vec![None; parts.len()];
    let mut heads: BinaryHeap<Reverse<(&str, usize)>> = BinaryHeap::with_capacity(parts.len());
    let mut page = Vec::with_capacity(limit.min(1_000));
    let mut looked_at: Vec<usize> = (0..parts.len()).collect();
    loop {
        for part in looked_at.drain(..) {
            if let Some((name, slot)) = rests[part].next() {
                slots[part] = Some(slot);
                heads.push(Reverse((&**name, part)));
            }
        }
        let Some(Reverse((_, part))) = heads.pop() else { break };
        if let Some(view) = slots[part].and_then(|slot| slot.view.load_full()) {
            if page.len() == limit {
                return (page, true);
            }
            page.push(PoolSeen { view, as_of: parts[part].0 });
        }
        looked_at.push(part);
    }
    (page, false)
}

/// What a watcher hears of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolNews {
    /// The pool's name.
    pub name: Arc<str>,
    /// The pool as it is; none if there is none of this name (any more).
    pub seen: Option<PoolSeen>,
    /// Versions between this one and the last that this watcher knew, which it will not hear of.
    pub missed: u64,
}

/// Somebody who wants to hear of changes of some pools; made by [`Engine::watch_pools`](crate::Engine::watch_pools).
#[derive(Debug)]
pub struct PoolWatch {
    watched: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    availability: Arc<Availability>,
    name: Arc<str>,
    /// The version that was told last; none if nothing was.
    told: Option<u64>,
    /// Whether it was told last that there is no such pool.
    told_gone: bool,
    slot: Option<(Arc<Slot>, watch::Receiver<u64>)>,
    made: watch::Receiver<u64>,
}

impl PoolWatch {
    /// Watches these pools, each from a version on that is known already, or from now.
    pub(crate) fn new(pools: impl Iterator<Item = (Arc<Availability>, String, Option<u64>)>) -> Self {
        let watched = pools.map(|(availability, name, told)| {
            let made = availability.parts[Availability::part_of(&name)].made.subscribe();
            Watched { availability, name: name.into(), told, told_gone: false, slot: None, made }
        });
        Self { watched: watched.collect() }
    }

    /// Waits until at least one of the pools is not as it was last told, and tells of all that are not. Of each it tells the
    /// latest, and how many versions lie between. At first that is every pool whose version is not known already.
    pub async fn next(&mut self) -> Vec<PoolNews> {
        loop {
            let news: Vec<PoolNews> = self.watched.iter_mut().filter_map(Watched::news).collect();
            if !news.is_empty() {
                return news;
            }
            self.changed().await;
        }
    }

    /// The version of each pool that was told last, in the order in which they were named; none of one of which nothing was.
    pub fn told(&self) -> impl ExactSizeIterator<Item = Option<u64>> {
        self.watched.iter().map(|watched| watched.told)
    }

    /// Waits for anything to look at. Every receiver has been marked as seen before its pool was looked at.
    async fn changed(&mut self) {
        type Change<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
        let mut changes: Vec<Change<'_>> = Vec::with_capacity(self.watched.len());
        for watched in &mut self.watched {
            let (made, slot) = (&mut watched.made, &mut watched.slot);
            changes.push(Box::pin(async move {
                let mut made = pin!(made.changed());
                match slot {
                    Some((_, changes)) => {
                        let mut changed = pin!(changes.changed());
                        poll_fn(|context| {
                            let either = made.as_mut().poll(context).is_ready()
                                || changed.as_mut().poll(context).is_ready();
                            if either { Poll::Ready(()) } else { Poll::Pending }
                        })
                        .await;
                    }
                    None => drop(made.await),
                }
            }));
        }
        poll_fn(|context| {
            let any = changes.iter_mut().any(|change| change.as_mut().poll(context).is_ready());
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Watched {
    /// What there is to tell.
    fn news(&mut self) -> Option<PoolNews> {
        self.made.mark_unchanged();
        // A pool that was deleted and made again lies elsewhere.
        let slot = self.availability.slot(&self.name);
        let same = match (&slot, &self.slot) {
            (Some(now), Some((then, _))) => Arc::ptr_eq(now, then),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.slot = slot.map(|slot| {
                let changes = slot.changes.subscribe();
                (slot, changes)
            });
        }
        if let Some((_, changes)) = &mut self.slot {
            changes.mark_unchanged();
        }
        let seen = self.availability.get(&self.name);
        match &seen {
            Some(seen) => {
                let version = seen.view.version;
                let was_gone = std::mem::replace(&mut self.told_gone, false);
                let told = self.told.replace(version);
                match told {
                    Some(told) if told >= version && !was_gone => {
                        // Whoever claims to know a later version than there is hears of the next one.
                        self.told = Some(told);
                        return None;
                    }
                    // Who was told that it is gone hears of it again, should it be there as it was.
                    Some(told) => Some(version.saturating_sub(told + 1)),
                    None => Some(0),
                }
            }
            None if self.told_gone => return None,
            None => {
                self.told_gone = true;
                Some(0)
            }
        }
        .map(|missed| PoolNews { name: Arc::clone(&self.name), seen, missed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};
    use tidegate_core::pool::PoolConfig;

    fn change(name: &str, version: u64) -> PoolChange {
        let view = PoolView {
            name: name.into(),
            config: Arc::new(PoolConfig::of(5)),
            version,
            held: 0,
            taken: 0,
            waiting: 0,
            opened: true,
            closed: false,
            groups: Vec::new(),
            commitment: None,
            seed: None,
        };
        PoolChange { name: name.into(), view: (version > 0).then_some(view) }
    }

    fn heard(watch: &mut PoolWatch) -> Vec<(String, u64, u64)> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(watch.next()).poll(&mut context) {
            Poll::Pending => Vec::new(),
            Poll::Ready(news) => {
                let version = |news: &PoolNews| news.seen.as_ref().map_or(0, |seen| seen.view.version);
                news.iter().map(|news| (news.name.to_string(), version(news), news.missed)).collect()
            }
        }
    }

    fn watch(shown: &Arc<Availability>, names: &[(&str, Option<u64>)]) -> PoolWatch {
        PoolWatch::new(names.iter().map(|&(name, told)| (Arc::clone(shown), name.to_owned(), told)))
    }

    #[test]
    fn a_reader_sees_what_was_shown_last() {
        let shown = Availability::new();
        assert_eq!(shown.get("p"), None);
        shown.show(vec![change("p", 1), change("q", 2)], Time(5));
        shown.show(vec![change("p", 3)], Time(7));
        let seen = shown.get("p").expect("it is shown");
        assert_eq!((seen.view.version, seen.as_of), (3, Time(7)));
        assert_eq!(shown.get("q").map(|seen| (seen.view.version, seen.as_of)), Some((2, Time(7))));
        assert_eq!(shown.all().len(), 2);
        shown.show(vec![change("p", 0)], Time(8));
        assert_eq!(shown.get("p"), None);
        shown.show(vec![change("p", 0), change("p", 9)], Time(9));
        assert_eq!(shown.get("p").map(|seen| seen.view.version), Some(9));
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended() {
        let (one, other) = (Availability::new(), Availability::new());
        let names: Vec<String> = (0..300).map(|n| format!("p{n:03}")).collect();
        for (shown, odd) in [(&one, 0), (&other, 1)] {
            let of_it = names.iter().enumerate().filter(|(n, _)| n % 2 == odd);
            shown.show(of_it.map(|(n, name)| change(name, n as u64 + 1)).collect(), Time(9));
        }
        other.show(vec![change("p007", 0)], Time(10));
        let (mut listed, mut after) = (Vec::new(), String::new());
        loop {
            let (page, more) = page(&[&one, &other], &after, 13);
            listed.extend(page.iter().map(|seen| seen.view.name.to_string()));
            if !more {
                break;
            }
            assert_eq!(page.len(), 13);
            after = listed.last().expect("a page is not empty").clone();
        }
        let expected: Vec<_> = names.iter().filter(|name| **name != "p007").cloned().collect();
        assert_eq!(listed, expected);
        let (rest, more) = page(&[&one, &other], "p297", 2);
        assert_eq!((rest.len(), more), (2, false), "a page that takes the last ones is the last");
        assert_eq!((rest[0].as_of, rest[1].as_of), (Time(9), Time(10)), "each is as of its own shard");
    }

    #[test]
    fn what_is_written_beside_a_view_is_written_once_and_goes_with_it() {
        let shown = Availability::new();
        shown.show(vec![change("p", 1)], Time(1));
        let write = |seen: &PoolSeen, text: &str| seen.view.written(|_| text.into()).to_vec();
        let seen = shown.get("p").expect("it is shown");
        assert_eq!(write(&seen, "first"), b"first");
        let again = shown.get("p").expect("it is shown");
        assert_eq!(write(&again, "second"), b"first", "who comes later finds it");
        shown.show(vec![change("p", 2)], Time(2));
        let newer = shown.get("p").expect("it is shown");
        assert_eq!(write(&newer, "third"), b"third");
        assert_eq!(write(&seen, "fourth"), b"first", "who holds the older one has its own");
    }

    #[test]
    fn a_watcher_hears_the_latest_and_how_many_it_missed() {
        let shown = Arc::new(Availability::new());
        shown.show(vec![change("p", 4)], Time(1));
        let mut fresh = watch(&shown, &[("p", None), ("q", None)]);
        assert_eq!(heard(&mut fresh), [("p".into(), 4, 0), ("q".into(), 0, 0)]);
        assert_eq!(fresh.told().collect::<Vec<_>>(), [Some(4), None]);
        assert_eq!(heard(&mut fresh), []);
        let mut resumed = watch(&shown, &[("p", Some(4))]);
        assert_eq!(heard(&mut resumed), []);
        for version in [5, 6, 9] {
            shown.show(vec![change("p", version)], Time(version));
        }
        assert_eq!(heard(&mut fresh), [("p".into(), 9, 4)]);
        assert_eq!(fresh.told().collect::<Vec<_>>(), [Some(9), None]);
        assert_eq!(heard(&mut resumed), [("p".into(), 9, 4)]);
        assert_eq!(heard(&mut resumed), []);
    }

    #[test]
    fn a_watcher_hears_of_pools_that_come_and_go() {
        let shown = Arc::new(Availability::new());
        let mut watch = watch(&shown, &[("p", None)]);
        assert_eq!(heard(&mut watch), [("p".into(), 0, 0)]);
        shown.show(vec![change("p", 1)], Time(1));
        assert_eq!(heard(&mut watch), [("p".into(), 1, 0)]);
        shown.show(vec![change("p", 0)], Time(2));
        assert_eq!(heard(&mut watch), [("p".into(), 0, 0)]);
        shown.show(vec![change("p", 7)], Time(3));
        assert_eq!(heard(&mut watch), [("p".into(), 7, 5)]);
        shown.show(vec![change("p", 0)], Time(3));
        assert_eq!(heard(&mut watch), [("p".into(), 0, 0)]);
        shown.show(vec![change("p", 7)], Time(3));
        assert_eq!(heard(&mut watch), [("p".into(), 7, 0)], "it is there again, as it was");
        shown.show(vec![change("p", 8)], Time(4));
        assert_eq!(heard(&mut watch), [("p".into(), 8, 0)]);
    }

    #[test]
    fn a_watcher_that_waits_is_woken() {
        let shown = Arc::new(Availability::new());
        let mut watch = watch(&shown, &[("a", None), ("p", None)]);
        assert_eq!(heard(&mut watch).len(), 2, "there are no such pools");
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut next = pin!(watch.next());
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        shown.show(vec![change("p", 1)], Time(1));
        assert!(woken.0.load(Ordering::SeqCst) > 0, "the watcher was woken");
        let Poll::Ready(news) = next.poll(&mut Context::from_waker(&waker)) else { panic!("there is news") };
        assert_eq!(news.len(), 1);
    }

    #[derive(Default)]
    struct Woken(AtomicU64);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}
