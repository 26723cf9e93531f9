//! What a worker holds, what it owes the server, and what it may ask for next.
//!
//! This is bookkeeping without a socket, a task or a clock: time is an argument, and everything that happens is a
//! call. It promises that a finished attempt is told to the server until the server accepts or refuses it, that no
//! more jobs are asked for than there is room, and that a job whose lease was lost is not reported. No call looks at
//! more than what it is about: heartbeats stand in the order in which they are due. It does not decide how long to
//! wait after a failed call, nor which job starts when (`line.rs`). Heartbeats are counted from when a call was made, not from when its answer came.
//!
//! A **round** is one call to the server. At most two are under way: the main one, which may wait for jobs, and a side
//! one, which does not, so that an attempt which ends while the first one waits is reported at once.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry},
    time::{Duration, Instant},
};

use tidegate_api::{
    id::JobId,
    limits,
    refusal::{Refusal, Refused},
};

/// The server takes this many items in one list.
const ROUND_ITEMS_MAX: usize = limits::LIST_ITEMS_MAX;
/// What reports may weigh in one round; with heartbeats and the names around them it stays below a request's limit.
const ROUND_BYTES_MAX: usize = limits::BODY_BYTES_MAX / 2;
const _: () = assert!(
    ROUND_ITEMS_MAX * (limits::PROGRESS_BYTES_MAX + 256) + ROUND_BYTES_MAX < limits::BODY_BYTES_MAX,
    "a round is a request the server takes"
);

/// One lease: a job may come back to the same worker under a new token while the old attempt is still being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LeaseKey {
    pub(crate) job: JobId,
    pub(crate) token: u64,
}

/// A finished attempt that the server has not yet accepted. `R` is what is reported; the ledger does not look at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report<R> {
    pub(crate) key: LeaseKey,
    pub(crate) report: R,
    /// What it weighs in a request, about.
    pub(crate) bytes: usize,
    /// True when a call that carried it broke, so that the server may know it already.
    pub(crate) sent_before: bool,
}

/// A heartbeat, with the progress to be kept with the job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beat<P> {
    pub(crate) key: LeaseKey,
    pub(crate) progress: Option<P>,
}

/// Progress that was not yet told when more came.
pub(crate) trait Progress {
    /// The newer of two; whoever waits for the older waits for it from now on.
    fn after(self, older: Self) -> Self;
}

/// One call to the server, from `next_round` to `answered` or `unanswered`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Round<R, P> {
    pub(crate) reports: Vec<Report<R>>,
    pub(crate) beats: Vec<Beat<P>>,
    /// How many jobs it asks for; none on a round that only says something.
    pub(crate) lease: Option<usize>,
    /// Whether it is the main round, the one that may wait.
    pub(crate) main: bool,
    /// When it was made: the leases of its answer run from then, at the earliest.
    pub(crate) since: Instant,
}

/// What the server said to one item.
pub(crate) type ItemAnswer = Result<(), Refused>;

/// True when the server did not judge the item but could not take it just now.
fn is_temporary(refusal: &Refusal) -> bool {
    let status = refusal.code.status();
    status == 429 || status >= 500
}

/// The server's answers, in the order of the round's items, and the jobs that came.
#[derive(Debug)]
pub(crate) struct RoundAnswer<J> {
    pub(crate) reports: Vec<ItemAnswer>,
    pub(crate) beats: Vec<ItemAnswer>,
    pub(crate) jobs: Vec<(LeaseKey, J)>,
}

/// What follows from an answer.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect<J, R, P> {
    /// This job is the worker's now.
    Arrived(LeaseKey, J),
    /// The lease is lost: what the attempt does no longer counts.
    Lost(LeaseKey, Refused),
    /// The server keeps this progress.
    Kept(P),
    /// The server knows this report.
    Accepted(Report<R>),
    /// The server will never take this report.
    Refused(Report<R>, Refused),
    /// The server could not take an item just now; it will be said again.
    Busy(Refused),
}

struct Held<P> {
    heartbeat_due: Instant,
    /// Its heartbeat is on its way.
    beating: bool,
    /// The lease is gone; the attempt is being stopped.
    lost: bool,
    /// To be told with the next heartbeat.
    progress: Option<P>,
}

impl<P> Held<P> {
    /// The lease is over, and so is the wait for its progress to be kept. Its heartbeat is out of the order of those to
    /// come: it was on its way.
    fn lose(&mut self) {
        self.beating = false;
        self.lost = true;
        self.progress = None;
    }
}

/// See the file's head.
pub(crate) struct Ledger<R, P> {
    heartbeat_every: Duration,
    held: HashMap<LeaseKey, Held<P>>,
    /// Heartbeats to come, the next first: of all that are held, not lost, and not beating.
    beats: BTreeSet<(Instant, LeaseKey)>,
    unsent: VecDeque<Report<R>>,
    /// Reports of rounds under way.
    sent: usize,
    /// Room promised to rounds under way.
    promised: usize,
    main_round: bool,
    side_round: bool,
    stopping: bool,
}

impl<R, P: Progress> Ledger<R, P> {
    /// A ledger for leases of this length.
    pub(crate) fn new(lease: Duration) -> Ledger<R, P> {
        Ledger {
            heartbeat_every: lease / 3,
            held: HashMap::new(),
            beats: BTreeSet::new(),
            unsent: VecDeque::new(),
            sent: 0,
            promised: 0,
            main_round: false,
            side_round: false,
            stopping: false,
        }
    }

    /// From now on no jobs are asked for, and those that still arrive are given back.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// True when nothing is held, nothing is owed and no call is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.unsent.is_empty() && !self.main_round && !self.side_round
    }

    /// Whether the lease still stands, as far as is known.
    pub(crate) fn holds(&self, key: LeaseKey) -> bool {
        self.held.get(&key).is_some_and(|held| !held.lost)
    }

    /// Finished attempts of which the server is not known to know.
    pub(crate) fn owed(&self) -> usize {
        self.unsent.len() + self.sent
    }

    /// When the next heartbeat is due, if one will be.
    pub(crate) fn next_heartbeat(&self) -> Option<Instant> {
        self.beats.first().map(|(due, _)| *due)
    }

    /// The next call to make now, if there is a reason for one, when there is room for so many more jobs. It counts as
    /// under way until it is given back to [`answered`](Self::answered), [`unanswered`](Self::unanswered) or
    /// [`given_up`](Self::given_up).
    pub(crate) fn next_round(&mut self, now: Instant, room: usize) -> Option<Round<R, P>> {
        let free = room.saturating_sub(self.promised).min(ROUND_ITEMS_MAX);
        let may_lease = free > 0 && !self.stopping;
        let main = may_lease && !self.main_round;
        let something_to_say = !self.unsent.is_empty() || self.next_heartbeat().is_some_and(|due| due <= now);
        if !main && (self.side_round || !something_to_say) {
            return None;
        }
        let lease = may_lease.then_some(free);
        self.promised += lease.unwrap_or(0);
        match main {
            true => self.main_round = true,
            false => self.side_round = true,
        }
        Some(Round { reports: self.take_reports(), beats: self.take_beats(now), lease, main, since: now })
    }

    fn take_reports(&mut self) -> Vec<Report<R>> {
        let mut bytes = 0;
        let fits = |report: &&Report<R>| {
            bytes += report.bytes;
            bytes <= ROUND_BYTES_MAX
        };
        let count = self.unsent.iter().take(ROUND_ITEMS_MAX).take_while(fits).count();
        self.sent += count;
        self.unsent.drain(..count).collect()
    }

    fn take_beats(&mut self, now: Instant) -> Vec<Beat<P>> {
        let mut beats = Vec::new();
        while let Some(&(due, key)) = self.beats.first().filter(|(due, _)| *due <= now)
            && beats.len() < ROUND_ITEMS_MAX
        {
            self.beats.remove(&(due, key));
            let held = self.held.get_mut(&key).expect("only what is held has a heartbeat");
            held.beating = true;
            beats.push(Beat { key, progress: held.progress.take() });
        }
        beats
    }

    /// Takes in the answer to a round. `release` is the report that gives a job back.
    pub(crate) fn answered<J>(
        &mut self,
        now: Instant,
        round: Round<R, P>,
        answer: RoundAnswer<J>,
        release: impl Fn(J) -> R,
    ) -> Vec<Effect<J, R, P>> {
        self.close(&round);
        // However long the answer was on its way, leases run from the server's turn.
        let heartbeat_due = round.since + self.heartbeat_every;
        let mut effects = Vec::with_capacity(round.reports.len() + answer.jobs.len());
        for (report, answer) in round.reports.into_iter().zip(answer.reports) {
            match answer {
                Ok(()) => effects.push(Effect::Accepted(report)),
                Err(refusal) if is_temporary(&refusal) => {
                    self.unsent.push_back(report);
                    effects.push(Effect::Busy(refusal));
                }
                Err(refusal) => effects.push(Effect::Refused(report, refusal)),
            }
        }
        for (beat, answer) in round.beats.into_iter().zip(answer.beats) {
            match answer {
                Ok(()) => {
                    self.beat_again(beat.key, heartbeat_due, None);
                    effects.extend(beat.progress.map(Effect::Kept));
                }
                Err(refusal) if is_temporary(&refusal) => {
                    self.beat_again(beat.key, now, beat.progress);
                    effects.push(Effect::Busy(refusal));
                }
                Err(refusal) => {
                    // The attempt may have ended while its heartbeat was on its way.
                    if let Some(held) = self.held.get_mut(&beat.key) {
                        held.lose();
                        effects.push(Effect::Lost(beat.key, refusal));
                    }
                }
            }
        }
        for (key, job) in answer.jobs {
            if self.stopping {
                let report = Report { key, report: release(job), bytes: 0, sent_before: false };
                self.unsent.push_back(report);
                continue;
            }
            // An answer that is told again brings what is here already.
            let Entry::Vacant(place) = self.held.entry(key) else { continue };
            place.insert(Held { heartbeat_due, beating: false, lost: false, progress: None });
            self.beats.insert((heartbeat_due, key));
            effects.push(Effect::Arrived(key, job));
        }
        effects
    }

    /// Takes a round back whose call broke: everything it carried will be said again.
    pub(crate) fn unanswered(&mut self, now: Instant, round: Round<R, P>) {
        self.close(&round);
        // They come before what ended later: the oldest lease is the first to lapse.
        for mut report in round.reports.into_iter().rev() {
            report.sent_before = true;
            self.unsent.push_front(report);
        }
        for beat in round.beats {
            self.beat_again(beat.key, now, beat.progress);
        }
    }

    /// Gives a round up whose call was refused as a whole: saying it again would be refused again. What it reported
    /// is lost to the server, which will let those leases lapse.
    pub(crate) fn given_up(&mut self, round: Round<R, P>) -> Vec<Report<R>> {
        self.close(&round);
        for beat in &round.beats {
            if let Some(held) = self.held.get_mut(&beat.key) {
                held.lose();
            }
        }
        round.reports
    }

    /// An attempt wants this kept with its job; it goes out with a heartbeat as soon as one can.
    pub(crate) fn progressed(&mut self, now: Instant, key: LeaseKey, progress: P) {
        let Some(held) = self.held.get_mut(&key).filter(|held| !held.lost) else { return };
        held.progress = Some(match held.progress.take() {
            Some(older) => progress.after(older),
            None => progress,
        });
        if !held.beating {
            self.beats.remove(&(held.heartbeat_due, key));
            held.heartbeat_due = held.heartbeat_due.min(now);
            self.beats.insert((held.heartbeat_due, key));
        }
    }

    /// An attempt has ended, or will not begin. What it came to will be reported, unless its lease was lost before;
    /// says whether it will.
    pub(crate) fn finished(&mut self, key: LeaseKey, report: R, bytes: usize) -> bool {
        let Some(held) = self.held.remove(&key) else { return false };
        if held.lost {
            return false;
        }
        self.beats.remove(&(held.heartbeat_due, key));
        self.unsent.push_back(Report { key, report, bytes, sent_before: false });
        true
    }

    /// An attempt whose lease was lost will not begin.
    pub(crate) fn forget(&mut self, key: LeaseKey) {
        if let Some(held) = self.held.remove(&key) {
            self.beats.remove(&(held.heartbeat_due, key));
        }
    }

    /// The heartbeat's round is over; the next one is due at this time, or now if there is progress to tell.
    fn beat_again(&mut self, key: LeaseKey, due: Instant, untold: Option<P>) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.beating = false;
        held.progress = match (held.progress.take(), untold) {
            (Some(newer), Some(older)) => Some(newer.after(older)),
            (newer, older) => newer.or(older),
        };
        // While the heartbeat was on its way more progress may have come: then it is due as it was.
        if held.progress.is_none() {
            held.heartbeat_due = due;
        }
        self.beats.insert((held.heartbeat_due, key));
    }

    /// The round is no longer under way.
    fn close(&mut self, round: &Round<R, P>) {
        self.promised -= round.lease.unwrap_or(0);
        self.sent -= round.reports.len();
        match round.main {
            true => self.main_round = false,
            false => self.side_round = false,
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
