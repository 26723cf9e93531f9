//! What is published of pools: that of a durable frame, whole, and never an earlier one than before.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tidegate_core::pool::view::PoolView;
use tidegate_engine::{Engine, PoolNews, PoolWatch};

use crate::coverage::Coverage;
use crate::twin::Twin;

/// Somebody who looks at all pools and watches them.
pub(crate) struct Published {
    names: Vec<String>,
    watch: PoolWatch,
    /// The version of each pool that the watch told of last.
    told: BTreeMap<Arc<str>, u64>,
    versions: BTreeMap<Arc<str>, u64>,
    as_of: u64,
    /// The latest moment that any turn has had; after a crash the shard's time may be an earlier one.
    latest: u64,
    /// What was seen last.
    shown: Vec<PoolView>,
    /// After a recovery: the frame from which on what is published is new; none while there is no shard.
    fresh_from: Option<u64>,
}

impl Published {
    pub(crate) fn new(engine: &Engine, pools: u64) -> Self {
        let names: Vec<String> =
            (0..pools).flat_map(|number| [format!("pool-{number}"), format!("pool-{number}@here")]).collect();
        let watch = watch(engine, &names);
        Self {
            names,
            watch,
            told: BTreeMap::new(),
            versions: BTreeMap::new(),
            as_of: 0,
            latest: 0,
            shown: Vec::new(),
            fresh_from: Some(0),
        }
    }

    /// A log was replayed up to `last`, and what it brought back is shown at once.
    pub(crate) fn recovered(&mut self, last: u64) {
        self.fresh_from = Some(last);
    }

    /// Looks. `twin` is that of the last durable frame, `durable`.
    ///
    /// # Errors
    /// What may not be seen, in words.
    pub(crate) fn look(
        &mut self,
        engine: &Engine,
        durable: u64,
        now: u64,
        twin: &Twin,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let is_fresh = self.fresh_from.is_some_and(|from| from <= durable);
        let expected = if is_fresh { views(twin) } else { self.shown.clone() };
        self.latest = self.latest.max(now);
        let all = engine.all_pools();
        // What is still that of before a recovery was looked at then, and may be later than what comes next: the disk may have lost it.
        for seen in all.iter().filter(|_| is_fresh) {
            if seen.as_of.0 < self.as_of || seen.as_of.0 > self.latest {
                return Err(format!(
                    "{} is shown as of {}, after {}",
                    seen.view.name, seen.as_of.0, self.as_of
                ));
            }
            let (name, version) = (Arc::clone(&seen.view.name), seen.view.version);
            if self.versions.insert(name, version).is_some_and(|before| before > version) {
                return Err(format!(
                    "{} is published with version {version} after a later one",
                    seen.view.name
                ));
            }
        }
        if is_fresh {
            self.as_of = all.iter().map(|seen| seen.as_of.0).max().unwrap_or(0).max(self.as_of);
        }
        let shown: Vec<PoolView> = all.iter().map(|seen| PoolView::clone(&seen.view)).collect();
        if shown != expected {
            let both = shown.iter().zip(&expected);
            let wrong = both.into_iter().find(|(shown, expected)| shown != expected);
            let lens = (shown.len(), expected.len());
            return Err(format!("published at frame {durable}: {wrong:?} (shown, expected), {lens:?} pools"));
        }
        self.shown = shown;
        if is_fresh && self.fresh_from.replace(0).is_some_and(|from| from > 0) {
            coverage.note_pool_state("published after a recovery");
        }
        if is_fresh { self.hear(coverage) } else { Ok(()) }
    }

    /// What is published when the shard goes is that of some frame no older than `durable`: it may have been synced last.
    ///
    /// # Errors
    /// What may not be seen, in words.
    pub(crate) fn before_recovery<'a>(
        &mut self,
        engine: &Engine,
        durable: u64,
        frames: impl Iterator<Item = (u64, &'a Twin)>,
    ) -> Result<(), String> {
        let shown: Vec<PoolView> =
            engine.all_pools().iter().map(|seen| PoolView::clone(&seen.view)).collect();
        let mut later = frames.filter(|(frame, _)| *frame >= durable).map(|(_, twin)| views(twin));
        if shown != self.shown && !later.any(|views| views == shown) {
            return Err(format!(
                "published when the shard went, and of no frame from {durable} on: {shown:?}"
            ));
        }
        self.shown = shown;
        self.fresh_from = None;
        Ok(())
    }

    /// The disk has lost what was durable: what was shown will go back.
    pub(crate) fn lost(&mut self, engine: &Engine) {
        self.versions.clear();
        self.told.clear();
        self.as_of = 0;
        self.watch = watch(engine, &self.names);
    }

    /// What a watcher hears is what is published, and nothing older than what it has heard.
    fn hear(&mut self, coverage: &mut Coverage) -> Result<(), String> {
        let polled = pin!(self.watch.next()).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(news) = polled else { return Ok(()) };
        for PoolNews { name, seen, missed } in news {
            let known = self.shown.iter().find(|view| view.name == name);
            if seen.as_ref().map(|seen| &**seen.view) != known {
                return Err(format!("a watcher of {name} hears {seen:?}, and {known:?} is published"));
            }
            let Some(seen) = seen else {
                coverage.note_pool_state("a watcher hears of a deletion");
                continue;
            };
            let version = seen.view.version;
            let told = self.told.insert(Arc::clone(&name), version);
            let rises = told.is_none_or(|told| told < version && missed == version - told - 1);
            if !rises {
                return Err(format!(
                    "a watcher of {name} hears version {version} after {told:?}, {missed} missed"
                ));
            }
            coverage.note_pool_state(if missed > 0 { "a watcher missed some" } else { "a watcher hears" });
        }
        Ok(())
    }
}

fn watch(engine: &Engine, names: &[String]) -> PoolWatch {
    engine.watch_pools(names.iter().map(|name| (name.clone(), None)).collect())
}

fn views(twin: &Twin) -> Vec<PoolView> {
    twin.pools.pools.keys().filter_map(|name| twin.pool_view(name)).collect()
}
