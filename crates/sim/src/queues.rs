//! What is published of queues: at every moment the last snapshot that is due and whose frame is durable, to the letter.
//!
//! A shard makes a snapshot of what its log has brought back, another in its first turn, and after each frame in the first turn that comes no sooner than [`SNAPSHOT_MS`] after the last
//! one. Left out: rates, which fade with time and are means; they are held to scripts in the engine.

use std::collections::VecDeque;

use tidegate_engine::Engine;
use tidegate_engine::limits::SNAPSHOT_MS;

use crate::call::SeenQueue;
use crate::coverage::Coverage;
use crate::twin::Twin;

/// Queues as somebody may see them who asks no shard.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// What must be shown now.
    shown: Snapshot,
    /// What will be, each once its frame is durable.
    coming: VecDeque<(u64, Snapshot)>,
    due_at: Option<u64>,
    made_at: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Snapshot {
    /// 0 without queues: each says it for itself.
    as_of: u64,
    queues: Vec<SeenQueue>,
}

impl Snapshot {
    fn of(now: u64, twin: &Twin) -> Self {
        let queues: Vec<SeenQueue> = twin.queues.keys().filter_map(|name| twin.seen_queue(name)).collect();
        Self { as_of: if queues.is_empty() { 0 } else { now }, queues }
    }
}

impl Queues {
    /// The shard has gone. What was shown last is shown until there is another.
    ///
    /// # Errors
    /// If something else is shown than what was, or what was coming: it may have been synced last.
    pub(crate) fn before_recovery(&mut self, engine: &Engine) -> Result<(), String> {
        let shown = look(engine);
        let is_coming = self.coming.iter().any(|(_, snapshot)| *snapshot == shown);
        if shown != self.shown && !is_coming {
            return Err(format!("queues are published when the shard went as they never were: {shown:?}"));
        }
        self.coming.clear();
        Ok(())
    }

    /// A log was replayed: what it brought back is shown at once, and what the first turn makes of it likewise.
    pub(crate) fn replayed(&mut self, now: u64, twin: &Twin) {
        (self.shown, self.due_at, self.made_at) = (Snapshot::of(now, twin), Some(0), now);
    }

    /// A turn at `now` has ended; its frame, or the one before it if it wrote none, is `last`.
    pub(crate) fn turned(&mut self, now: u64, last: u64, wrote: bool, twin: &Twin) {
        if wrote {
            self.due_at.get_or_insert(self.made_at + SNAPSHOT_MS);
        }
        if self.due_at.is_some_and(|at| at <= now) {
            (self.due_at, self.made_at) = (None, now);
            self.coming.push_back((last, Snapshot::of(now, twin)));
        }
    }

    /// When a shard must publish again, whoever calls.
    pub(crate) const fn next_due(&self) -> Option<u64> {
        self.due_at
    }

    /// Looks, with frames durable up to `durable`.
    ///
    /// # Errors
    /// What may not be seen, in words.
    pub(crate) fn look(
        &mut self,
        engine: &Engine,
        durable: u64,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let mut is_new = false;
        while self.coming.front().is_some_and(|(frame, _)| *frame <= durable) {
            self.shown = self.coming.pop_front().expect("it was there just now").1;
            is_new = true;
        }
        let shown = look(engine);
        if shown != self.shown {
            return Err(format!(
                "queues are published at frame {durable}\n  found    {shown:?}\n  expected {:?}",
                self.shown
            ));
        }
        if is_new {
            coverage
                .note("published", if self.coming.is_empty() { "queues" } else { "queues, and newer wait" });
            for expected in &self.shown.queues {
                let one = engine.queue(&expected.name).map(|queue| SeenQueue::from(queue.view));
                if one.as_ref() != Some(expected) {
                    return Err(format!("queue {} is published as {one:?} by its name", expected.name));
                }
            }
            if let Some(queue) = engine.queue("nowhere") {
                return Err(format!("a queue that is not there is published: {queue:?}"));
            }
        }
        Ok(())
    }
}

fn look(engine: &Engine) -> Snapshot {
    let queues = engine.queues();
    let as_of = queues.first().map_or(0, |queue| queue.as_of.0);
    Snapshot { as_of, queues: queues.into_iter().map(|queue| SeenQueue::from(queue.view)).collect() }
}
