//! What a worker holds, what it owes the server, and what it may ask for next.
//!
//! This is bookkeeping without a socket, a process or a clock: time is an argument, and everything that happens is a
//! call. It promises that a finished attempt is told to the server until the server accepts or refuses it, that no
//! more jobs are asked for than there are free slots, and that a job whose lease was lost is stopped and not
//! reported. It does not decide how long to wait after a failed call; `backoff.rs` does.
//!
//! A **round** is one call to the server. At most two are under way: one that waits for jobs, and one that does not
//! wait, so that an attempt which ends while the first one waits is reported at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tidegate::api::{
    id::JobId,
    refusal::{Refusal, Refused},
};

/// The server takes this many items in one list.
const ROUND_ITEMS_MAX: usize = 1_000;

/// One lease: a job may come back to the same worker under a new token while the old attempt is still being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeaseKey {
    pub(crate) job: JobId,
    pub(crate) token: u64,
}

/// A finished attempt that the server has not yet accepted. `R` is what is reported; the ledger does not look at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report<R> {
    pub(crate) key: LeaseKey,
    pub(crate) report: R,
    /// True when a call that carried it broke, so that the server may know it already.
    pub(crate) sent_before: bool,
}

/// One call to the server, from `next_round` to `answered` or `unanswered`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Round<R> {
    pub(crate) reports: Vec<Report<R>>,
    pub(crate) heartbeats: Vec<LeaseKey>,
    pub(crate) lease: Option<LeaseAsk>,
}

/// The lease part of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseAsk {
    pub(crate) max: usize,
    /// Whether the server may wait for jobs before it answers.
    pub(crate) wait: bool,
}

/// What the server said to one item.
pub(crate) type ItemAnswer = Result<(), Refused>;

/// True when the server did not judge the item but could not take it just now.
fn is_temporary(refusal: &Refusal) -> bool {
    let status = refusal.code.status();
    status == 429 || status >= 500
}

/// The server's answers, in the order of the round's items.
#[derive(Debug, Default)]
pub(crate) struct RoundAnswer {
    pub(crate) reports: Vec<ItemAnswer>,
    pub(crate) heartbeats: Vec<ItemAnswer>,
    pub(crate) jobs: Vec<LeaseKey>,
}

/// What follows from an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<R> {
    /// Start this job's child.
    Start(LeaseKey),
    /// Stop this job's child: the lease is lost, and what it does no longer counts.
    Stop(LeaseKey, Refused),
    /// The server knows this report.
    Accepted(Report<R>),
    /// The server will never take this report.
    Refused(Report<R>, Refused),
}

struct Running {
    heartbeat_due: Instant,
    /// Its heartbeat is on its way.
    beating: bool,
    /// The lease is gone; the child is being stopped.
    lost: bool,
}

/// See the file's head.
pub(crate) struct Ledger<R> {
    slots: usize,
    heartbeat_every: Duration,
    running: BTreeMap<LeaseKey, Running>,
    unsent: Vec<Report<R>>,
    /// Slots promised to rounds under way.
    promised: usize,
    waiting_round: bool,
    quick_round: bool,
    stopping: bool,
}

impl<R> Ledger<R> {
    /// A ledger for `slots` children at once under leases of this length.
    pub(crate) fn new(slots: usize, lease: Duration) -> Ledger<R> {
        Ledger {
            slots,
            heartbeat_every: lease / 3,
            running: BTreeMap::new(),
            unsent: Vec::new(),
            promised: 0,
            waiting_round: false,
            quick_round: false,
            stopping: false,
        }
    }

    /// From now on no jobs are asked for, and those that still arrive are given back.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// True when nothing runs, nothing is owed and no call is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.unsent.is_empty() && !self.waiting_round && !self.quick_round
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Finished attempts the server does not know of.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// When the next heartbeat is due, if one will be.
    pub(crate) fn next_heartbeat(&self) -> Option<Instant> {
        self.running.values().filter(|run| !run.beating && !run.lost).map(|run| run.heartbeat_due).min()
    }

    /// The next call to make now, if there is a reason for one. It counts as under way until it is given back to
    /// [`answered`](Self::answered) or [`unanswered`](Self::unanswered).
    pub(crate) fn next_round(&mut self, now: Instant) -> Option<Round<R>> {
        let free = self.slots.saturating_sub(self.running.len() + self.promised).min(ROUND_ITEMS_MAX);
        let may_lease = free > 0 && !self.stopping;
        let wait = may_lease && !self.waiting_round;
        let heartbeat_due =
            self.running.values().any(|run| !run.beating && !run.lost && run.heartbeat_due <= now);
        let something_to_say = !self.unsent.is_empty() || heartbeat_due;
        if !wait && (self.quick_round || !something_to_say) {
            return None;
        }

        let heartbeats: Vec<LeaseKey> = self
            .running
            .iter_mut()
            .filter(|(_, run)| !run.beating && !run.lost && run.heartbeat_due <= now)
            .take(ROUND_ITEMS_MAX)
            .map(|(key, run)| {
                run.beating = true;
                *key
            })
            .collect();
        let reports = self.unsent.drain(..self.unsent.len().min(ROUND_ITEMS_MAX)).collect();
        let lease = may_lease.then_some(LeaseAsk { max: free, wait });
        self.promised += lease.map_or(0, |lease| lease.max);
        match wait {
            true => self.waiting_round = true,
            false => self.quick_round = true,
        }
        Some(Round { reports, heartbeats, lease })
    }

    /// Takes in the answer to a round. `release` is the report that gives a job back.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        round: Round<R>,
        answer: RoundAnswer,
        release: impl Fn() -> R,
    ) -> Vec<Effect<R>> {
        self.close(&round);
        let mut effects = Vec::new();
        for (report, answer) in round.reports.into_iter().zip(answer.reports) {
            match answer {
                Ok(()) => effects.push(Effect::Accepted(report)),
                Err(refusal) if is_temporary(&refusal) => self.unsent.push(report),
                Err(refusal) => effects.push(Effect::Refused(report, refusal)),
            }
        }
        for (key, answer) in round.heartbeats.into_iter().zip(answer.heartbeats) {
            // The child may have ended while its heartbeat was on its way.
            let Some(run) = self.running.get_mut(&key) else { continue };
            run.beating = false;
            run.heartbeat_due = now + self.heartbeat_every;
            if let Err(refusal) = answer
                && !is_temporary(&refusal)
            {
                run.lost = true;
                effects.push(Effect::Stop(key, refusal));
            }
        }
        for key in answer.jobs {
            if self.stopping {
                self.unsent.push(Report { key, report: release(), sent_before: false });
                continue;
            }
            let run = Running { heartbeat_due: now + self.heartbeat_every, beating: false, lost: false };
            self.running.insert(key, run);
            effects.push(Effect::Start(key));
        }
        effects
    }

    /// Takes a round back whose call broke: everything it carried will be said again.
    pub(crate) fn unanswered(&mut self, round: Round<R>) {
        self.close(&round);
        for mut report in round.reports {
            report.sent_before = true;
            self.unsent.push(report);
        }
        for key in round.heartbeats {
            if let Some(run) = self.running.get_mut(&key) {
                run.beating = false;
            }
        }
    }

    /// Gives a round up whose call was refused as a whole: saying it again would be refused again. What it reported
    /// is lost to the server, which will let those leases lapse.
    pub(crate) fn given_up(&mut self, round: Round<R>) -> Vec<Report<R>> {
        self.close(&round);
        for key in &round.heartbeats {
            if let Some(run) = self.running.get_mut(key) {
                run.lost = true;
            }
        }
        round.reports
    }

    /// A child has ended. What it came to will be reported, unless its lease was lost before.
    pub(crate) fn finished(&mut self, key: LeaseKey, report: R) {
        if let Some(run) = self.running.remove(&key)
            && !run.lost
        {
            self.unsent.push(Report { key, report, sent_before: false });
        }
    }

    /// The round is no longer under way.
    fn close(&mut self, round: &Round<R>) {
        self.promised -= round.lease.map_or(0, |lease| lease.max);
        match round.lease {
            Some(LeaseAsk { wait: true, .. }) => self.waiting_round = false,
            _ => self.quick_round = false,
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
