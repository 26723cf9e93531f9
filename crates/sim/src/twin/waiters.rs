//! Long polls: served in the turn that brings what they wait for, whoever came first first.

use tidegate_core::JobId;
use tidegate_core::command::{IdempotencyKey, Lease, Work as WorkCommand};
use tidegate_core::limits;
use tidegate_engine::Work;

use super::{CallNumber, Said, Twin};
use crate::call::{Call, Reply, Worked};

/// Behind the key of a round trip, for the lease that is decided later than the rest.
const LEASE_KEY_MARK: char = '\u{1}';
/// The longest wait, in ms.
const WAIT_MS_MAX: u64 = tidegate_engine::limits::WAIT_MS_MAX;
const _: () = assert!(WAIT_MS_MAX < limits::AHEAD_MS_MAX);

/// Who waits.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// Which call.
    pub number: CallNumber,
    /// When it hears something whatever has happened.
    pub deadline: u64,
    /// Whether its caller has gone.
    pub gone: bool,
    /// Whether it has settled something.
    pub settled: Option<(Worked, bool)>,
    wish: Wish,
}

#[derive(Clone, Debug)]
enum Wish {
    Lease { lease: Lease, key: Option<IdempotencyKey> },
    Job(u64),
}

impl Twin {
    /// A caller has gone.
    pub fn gone(&mut self, number: CallNumber) {
        for waiter in self.waiters.iter_mut().filter(|waiter| waiter.number == number) {
            waiter.gone = true;
        }
    }

    pub(super) fn ask_job(&mut self, number: Option<CallNumber>, id: JobId, wait_ms: u64) {
        let waits = wait_ms > 0 && self.jobs.get(&id.sequence()).is_some_and(|job| !job.state.has_ended());
        if !waits {
            let reply = Reply::Job(self.seen_job(id.sequence()));
            return self.tell(number, reply, Vec::new());
        }
        let Some(number) = number else { return };
        self.wait(number, wait_ms, None, Wish::Job(id.sequence()));
    }

    /// Settles at once, and leases now if there is something, else when there is.
    pub(super) fn work_with_wait(
        &mut self,
        number: Option<CallNumber>,
        ask: &Work,
        wait_ms: u64,
        key: Option<&IdempotencyKey>,
        gone: bool,
    ) {
        let Some(number) = number else { return };
        let lease = ask.command.lease.clone().expect("a call that waits has a lease");
        let settle = Work {
            command: WorkCommand { lease: None, ..ask.command.clone() },
            results: ask.results.clone(),
        };
        let (settled, lease_key) = if settle.command == WorkCommand::default() {
            (None, key.cloned())
        } else {
            let call = Call::Work { ask: settle, wait_ms: 0, key: None };
            match self.decide(&call, key) {
                (Said::Worked(worked, _), replayed) => {
                    let key = key.map(|key| IdempotencyKey {
                        key: format!("{}{LEASE_KEY_MARK}", key.key),
                        fingerprint: key.fingerprint,
                    });
                    (Some((worked, replayed)), key)
                }
                (said, replayed) => return self.tell_said(Some(number), said, replayed, false),
            }
        };
        if gone {
            return;
        }
        let asks =
            lease_key.is_some() || lease.queues.iter().any(|queue| self.can_lease(queue, &lease.kinds));
        if asks && let Some((said, leased_before)) = self.try_lease(&lease, lease_key.as_ref()) {
            return self.tell_lease(number, said, leased_before, settled);
        }
        self.look_again(&lease);
        self.wait(number, wait_ms, settled, Wish::Lease { lease, key: lease_key });
    }

    fn try_lease(&mut self, lease: &Lease, key: Option<&IdempotencyKey>) -> Option<(Said, bool)> {
        let command = WorkCommand { lease: Some(lease.clone()), ..WorkCommand::default() };
        let call = Call::Work { ask: command.into(), wait_ms: 0, key: None };
        let (said, replayed) = self.decide(&call, key);
        let empty = !replayed
            && matches!(&said, Said::Worked(worked, leases) if *worked == Worked::default() && leases.is_empty());
        (!empty).then_some((said, replayed))
    }

    /// If there is more after expired jobs were ended, the next ones of their ordering keys, those who wait are looked at again.
    fn look_again(&mut self, lease: &Lease) {
        for queue in lease
            .queues
            .iter()
            .filter(|queue| self.can_lease(queue, &lease.kinds))
            .cloned()
            .collect::<Vec<_>>()
        {
            self.note_readied(&queue);
        }
    }

    fn tell_lease(
        &mut self,
        number: CallNumber,
        said: Said,
        leased_before: bool,
        settled: Option<(Worked, bool)>,
    ) {
        let (said, replayed) = match (settled, said) {
            (None, said) => (said, leased_before),
            (Some((worked, replayed)), Said::Worked(_, leases)) => (Said::Worked(worked, leases), replayed),
            (Some((worked, replayed)), _) => (Said::Worked(worked, Vec::new()), replayed),
        };
        self.tell_said(Some(number), said, replayed, !leased_before);
    }

    fn wait(&mut self, number: CallNumber, wait_ms: u64, settled: Option<(Worked, bool)>, wish: Wish) {
        let deadline = self.now + wait_ms.min(WAIT_MS_MAX);
        let waiter = Waiter { number, deadline, gone: false, settled, wish };
        if self.waiters.len() < self.waiters_max {
            self.waiters.push(waiter);
        } else if waiter.settled.is_some() {
            self.lapse_waiter(waiter);
        } else {
            self.tell(Some(number), Reply::WaitersFull, Vec::new());
        }
    }

    /// Answers a waiter for whom nothing has come.
    fn lapse_waiter(&mut self, waiter: Waiter) {
        match waiter.wish {
            Wish::Lease { .. } => {
                let (worked, replayed) = waiter.settled.unwrap_or_default();
                self.tell_said(Some(waiter.number), Said::Worked(worked, Vec::new()), replayed, false);
            }
            Wish::Job(sequence) => {
                let reply = Reply::Job(self.seen_job(sequence));
                self.tell(Some(waiter.number), reply, Vec::new());
            }
        }
    }

    pub(super) fn serve_waiters(&mut self) {
        self.tell_of_ended();
        while let Some((number, queue)) = self.next_to_serve() {
            self.readied.insert(queue.clone(), number);
            self.serve(number, &queue);
        }
        while let Some(index) = (0..self.waiters.len())
            .filter(|&index| self.waiters[index].deadline <= self.now)
            .min_by_key(|&index| (self.waiters[index].deadline, index))
        {
            let waiter = self.waiters.remove(index);
            self.lapse_waiter(waiter);
        }
        self.tell_of_ended();
    }

    /// Of all that wait for queues that have got something, who came first; and by way of which queue.
    fn next_to_serve(&self) -> Option<(CallNumber, String)> {
        let next = |queue: &String, behind: CallNumber| {
            let waits = |waiter: &&Waiter| {
                waiter.number > behind
                    && matches!(&waiter.wish, Wish::Lease { lease, .. } if lease.queues.contains(queue))
            };
            self.waiters.iter().find(waits).map(|waiter| (waiter.number, queue.clone()))
        };
        self.readied.iter().filter_map(|(queue, &behind)| next(queue, behind)).min()
    }

    fn serve(&mut self, number: CallNumber, queue: &str) {
        let index = self.waiters.iter().position(|waiter| waiter.number == number);
        let index = index.expect("he was found a moment ago");
        let Wish::Lease { lease, key } = self.waiters[index].wish.clone() else { return };
        if self.waiters[index].gone {
            self.waiters.remove(index);
        } else if !self.can_lease(queue, &[]) {
            self.readied.remove(queue);
        } else if self.can_lease(queue, &lease.kinds) {
            match self.try_lease(&lease, key.as_ref()) {
                Some((said, leased_before)) => {
                    let waiter = self.waiters.remove(index);
                    self.tell_lease(waiter.number, said, leased_before, waiter.settled);
                }
                None => self.look_again(&lease),
            }
        }
    }

    fn tell_of_ended(&mut self) {
        for sequence in std::mem::take(&mut self.ended) {
            while let Some(index) = self
                .waiters
                .iter()
                .position(|waiter| matches!(waiter.wish, Wish::Job(job) if job == sequence))
            {
                let waiter = self.waiters.remove(index);
                let reply = Reply::Job(self.seen_job(sequence));
                self.tell(Some(waiter.number), reply, Vec::new());
            }
        }
    }
}
