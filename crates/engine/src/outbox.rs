//! Where answers wait until what they saw is durable.
//!
//! One batch is held for each turn, with the sequence it depends on: the turn's own frame, or, if the turn
//! wrote nothing, the last frame before it. The log's writer thread lets batches go, without another thread
//! in between.
//!
//! Promises: nothing goes out before its sequence is durable; after a failure everything held, and everything
//! that comes later, hears that its outcome is unknown. An outbox serves one opening of a log; a restart
//! makes a new one.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_core::{Time, sabotage};
use tidegate_log::{LogFailure, Sequence};

use crate::availability::PoolChange;
use crate::delivery::Held;
use crate::inbox::Inbox;
use crate::limits::{LEISURE_ANSWERS, LEISURE_BYTES};
use crate::published::{Published, Snapshot};

/// What one turn has to say.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The sequence that must be durable first.
    pub(crate) after: Sequence,
    /// The turn's time.
    pub(crate) time: Time,
    /// The answers.
    pub(crate) answers: Vec<Held>,
    /// The shard's queues after the turn, if they are to be published.
    pub(crate) snapshot: Option<Arc<Snapshot>>,
    /// The pools that the turn has changed.
    pub(crate) pools: Vec<PoolChange>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbox {
    inside: Mutex<Inside>,
    inbox: Arc<Inbox>,
    published: Arc<Published>,
}

#[derive(Debug)]
struct Inside {
    held: VecDeque<Batch>,
    durable: Sequence,
    failure: Option<Arc<str>>,
}

impl Outbox {
    /// An outbox of a log that is durable up to `durable`.
    pub(crate) fn new(durable: Sequence, inbox: Arc<Inbox>, published: Arc<Published>) -> Self {
        let inside = Inside { held: VecDeque::new(), durable, failure: None };
        Self { inside: Mutex::new(inside), inbox, published }
    }

    /// Takes a turn's batch, and lets it go at once if nothing stands in its way.
    pub(crate) fn put(&self, batch: Batch) {
        let (mut batch, mut inside) = (batch, self.lock());
        if let Some(why) = inside.failure.clone() {
            drop(inside);
            fail(batch, &why);
        } else if batch.after <= inside.durable || sabotage::is("answer_before_durable") {
            self.show_pools(&mut batch);
            drop(inside);
            self.send(batch);
        } else {
            if sabotage::is("pool_shown_before_durable") {
                self.show_pools(&mut batch);
            }
            if sabotage::is("queue_shown_before_durable")
                && let Some(snapshot) = &batch.snapshot
            {
                self.published.set_snapshot(Arc::clone(snapshot));
            }
            inside.held.push_back(batch);
        }
    }

    /// What the log's listener hears.
    pub(crate) fn hear(&self, news: Result<Sequence, Arc<LogFailure>>) {
        match news {
            Ok(durable) => self.release(durable),
            Err(failure) => self.fail(&failure.to_string().into()),
        }
    }

    /// Lets everything go that depends on no more than `durable`.
    fn release(&self, durable: Sequence) {
        let mut inside = self.lock();
        inside.durable = inside.durable.max(durable);
        let ready = inside.held.partition_point(|batch| batch.after <= durable);
        let mut going: Vec<Batch> = inside.held.drain(..ready).collect();
        for batch in &mut going {
            self.show_pools(batch);
        }
        let _leisure = (inside.held.is_empty() && are_few(&going)).then(Leisure::begin);
        drop(inside);
        self.published.advanced(durable);
        for batch in going {
            self.send(batch);
        }
        if self.published.waits_for_log() {
            self.inbox.knock();
        }
    }

    /// Tells everybody that nobody knows, now and from now on. The first reason stays.
    pub(crate) fn fail(&self, why: &Arc<str>) {
        let mut inside = self.lock();
        let why = Arc::clone(inside.failure.get_or_insert_with(|| Arc::clone(why)));
        let going = std::mem::take(&mut inside.held);
        drop(inside);
        for batch in going {
            fail(batch, &why);
        }
        self.inbox.knock();
    }

    /// Why nothing goes out any more, if that is so.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.lock().failure.clone()
    }

    /// Shows what a turn has changed of pools. While the outbox is locked: turns are shown in their order.
    fn show_pools(&self, batch: &mut Batch) {
        let changes = std::mem::take(&mut batch.pools);
        if changes.is_empty() {
            self.published.pools().still_so(batch.time);
        } else {
            self.published.pools().show(changes, batch.time);
        }
    }

    fn send(&self, batch: Batch) {
        if let Some(snapshot) = batch.snapshot {
            self.published.set_snapshot(snapshot);
        }
        for held in batch.answers {
            held.send();
        }
    }

    /// A panic elsewhere leaves the outbox whole: nothing panics half-way through a change of it.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static AT_LEISURE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is the log's or one that reads payloads, lets a few short answers go, and has nothing else to do: no
/// frame waits for it, and no payload. Who is woken then may do here what is quickly done (write the answer to its socket, say) instead of waking a thread of his
/// own, which on a machine at rest takes longer than all the rest of an answer. He must not wait for anything, nor begin
/// anything new.
#[must_use]
pub fn at_leisure() -> bool {
    AT_LEISURE.get()
}

/// While it lives, its thread is [`at_leisure`].
pub(crate) struct Leisure;

impl Leisure {
    pub(crate) fn begin() -> Self {
        AT_LEISURE.set(true);
        Self
    }
}

impl Drop for Leisure {
    fn drop(&mut self) {
        AT_LEISURE.set(false);
    }
}

/// Whether these answers are soon written.
fn are_few(batches: &[Batch]) -> bool {
    let answers = || batches.iter().flat_map(|batch| &batch.answers);
    answers().take(LEISURE_ANSWERS + 1).count() <= LEISURE_ANSWERS
        && answers().map(Held::bytes).fold(0, usize::saturating_add) <= LEISURE_BYTES
}

fn fail(batch: Batch, why: &Arc<str>) {
    for held in batch.answers {
        held.outcome_unknown(why);
    }
}
