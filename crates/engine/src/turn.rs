//! What each call means to a shard.
//!
//! Left out: rules about jobs. A command goes to the core as it came; this file only sees to what the core
//! does not know: that blobs follow their records into the frame, that what is new is refused on a full disk,
//! and that a lease may wait.

use tidegate_core::command::{IdempotencyKey, Lease, Pause, Work};
use tidegate_core::outcome::{Outcome, Worked};
use tidegate_core::pool::GrantId;
use tidegate_core::pool::command::PoolOperation;
use tidegate_core::state::{Decided, MADE};
use tidegate_core::{Command, JobId, Request, Time};

use crate::calls::Ask;
use crate::delivery::{Delivery, Held, Reply, Told};
use crate::envelope::Envelope;
use crate::error::CallError;
use crate::fingerprint::fingerprint;
use crate::inbox::Call;
use crate::limits::WAIT_MS_MAX;
use crate::payloads::Pinned;
use crate::pools::given_by;
use crate::shard::Shard;
use crate::waiters::{Waiter, Waiting, WaitingLease};

/// When a caller may come back who found too many waiting, in ms.
const WAITERS_FULL_RETRY_AFTER_MS: u64 = 1_000;

/// Set behind the key of a round trip to remember its lease, which is decided later than the rest. Callers
/// cannot send it: it is no printable character.
const LEASE_KEY_MARK: char = '\u{1}';

impl Shard {
    /// Decides or reads, and answers at the end of the turn, unless the caller wants to wait.
    pub(crate) fn call(&mut self, call: Call, time: Time) {
        let Call { ask, reply, .. } = call;
        match ask {
            Ask::Decide { key, command, blobs, wait_ms } => match *command {
                command
                    if self.needs_room(&command)
                        && self.disk_full().is_some()
                        && !self.remembers(key.as_ref()) =>
                {
                    let refusal = self.disk_full().expect("it was full just now");
                    self.answer(reply, Err(refusal));
                }
                Command::Work(Work { lease: Some(lease), complete, fail, extend, release })
                    if wait_ms > 0 =>
                {
                    let settle = Work { lease: None, complete, fail, extend, release };
                    self.work_with_wait(settle, lease, blobs, key, deadline(time, wait_ms), reply);
                }
                command => {
                    let gives = given_by(&command);
                    let Decided { outcome, replayed } = self.decide(key, command, &blobs);
                    self.answer_outcome(reply, outcome, replayed, !replayed, &gives);
                }
            },
            Ask::Job { id, wait_ms } => self.job(id, deadline(time, wait_ms), time, reply),
            Ask::List { filter, cursor, limit } => {
                let page = self.state.list(&filter, cursor, limit);
                self.tell(reply, Told::Page(page));
            }
            Ask::Queue { name } => {
                let queue = self.queue_now(&name, time).map(Box::new);
                self.tell(reply, Told::Queue(queue));
            }
            Ask::Causes { queue } => {
                let causes = self.state.causes(&queue);
                self.tell(reply, Told::Causes(causes));
            }
            Ask::Watch { queues, kinds, wait_ms } => {
                if self.can_lease(&queues, &kinds) || wait_ms == 0 {
                    let found = self.can_lease(&queues, &kinds);
                    self.tell(reply, Told::Watched(found));
                } else {
                    self.wait(reply, deadline(time, wait_ms), Waiting::Watch { queues, kinds });
                }
            }
            Ask::Pool(ask) => {
                let told = self.tell_pools(ask);
                self.tell(reply, told);
            }
            Ask::HandBack { release } => self.hand_back_later(release, time),
            Ask::Probe => {
                self.probed = true;
                self.tell(reply, Told::Probed);
            }
        }
    }

    /// Whether a call with this key was answered before: it is told the same again, which takes no room.
    fn remembers(&self, key: Option<&IdempotencyKey>) -> bool {
        key.is_some_and(|key| self.state.remembers(&key.key))
    }

    /// Whether a command may add what must be kept, which a full disk has no room for: jobs, payloads, grants, places in line,
    /// configurations. What is left are those that end something or free room by it, those that change what is there, and
    /// configurations that are so already: a worker that starts says them again.
    fn needs_room(&self, command: &Command) -> bool {
        let config_of = |pool: &str| self.state.pool(pool).map(|view| view.config);
        match command {
            Command::Enqueue(_) | Command::Edit(_) => true,
            Command::ConfigureQueue { queue, config } => {
                self.state.queue(queue).is_none_or(|view| view.config != *config)
            }
            Command::ConfigurePool { pool, config, .. } => config_of(pool).is_none_or(|is| *is != **config),
            Command::ResizePool { pool, capacity } => {
                config_of(pool).is_some_and(|config| config.capacity != *capacity)
            }
            Command::Transaction(transaction) => transaction.enqueues(),
            Command::Pools(operations) => operations.iter().any(PoolOperation::takes),
            // A key is remembered as long as it is paused.
            Command::Pause(Pause { ordering_key, paused, .. }) => *paused && ordering_key.is_some(),
            Command::Work(_)
            | Command::Cancel(_)
            | Command::Redrive(_)
            | Command::DeleteDead(_)
            | Command::DeletePool { .. } => false,
        }
    }

    /// Lets the core decide, and puts the blobs it accepted into the frame in the order it wants them.
    pub(crate) fn decide(
        &mut self,
        idempotency: Option<IdempotencyKey>,
        command: Command,
        blobs: &[Envelope],
    ) -> Decided {
        let mut command = command;
        if let Command::ConfigurePool { seed, .. } = &mut command {
            *seed = self.draw_seed();
        }
        let sparing = self.disk_full().is_some();
        let mut turn = self.gathered.turn(&mut self.sink);
        turn.sparing = sparing;
        let decided = self.state.decide(Request { idempotency, command }, &mut turn);
        let blob_cursor = turn.blob_cursor;
        self.gathered.absorb(turn);
        self.place_blobs(blobs);
        assert_eq!(self.sink.cursor(), blob_cursor, "the blobs in the frame are those the records speak of");
        decided
    }

    /// 32 bytes that nobody could have guessed; where chance is given from outside, they follow from that.
    fn draw_seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        match self.options.seed {
            Some(given) => {
                let last = self.last().0;
                let halves = [0u64, 1].map(|half| {
                    fingerprint(&[&given.to_le_bytes(), &last.to_le_bytes(), &half.to_le_bytes()])
                });
                for (bytes, word) in seed.chunks_exact_mut(8).zip(halves.as_flattened()) {
                    bytes.copy_from_slice(&word.to_le_bytes());
                }
            }
            None => getrandom::fill(&mut seed).expect("the system has random bytes"),
        }
        seed
    }

    /// Puts what the core accepted into the frame, in the order it wants it: the command's blobs, and texts that it made.
    pub(crate) fn place_blobs(&mut self, blobs: &[Envelope]) {
        for index in self.gathered.placed.drain(..) {
            if let Some(made) = index.checked_sub(MADE) {
                let text = std::mem::take(&mut self.gathered.made[made as usize]);
                self.sink.push_envelope(&Envelope::json(text));
            } else if let Some(envelope) = blobs.get(index as usize) {
                // A job to complete may have no result; then its length was zero and nothing is placed.
                self.sink.push_envelope(envelope);
            }
        }
        self.gathered.made.clear();
    }

    /// Settles at once, and leases now if there is something, else when there is.
    ///
    /// With a key, both halves are remembered: the settling, or a lease that stands alone, under the key
    /// itself, the lease of a round trip under the key and a mark. So a repeated call neither settles twice
    /// nor gets other jobs.
    fn work_with_wait(
        &mut self,
        settle: Work,
        lease: Lease,
        blobs: Vec<Envelope>,
        key: Option<IdempotencyKey>,
        deadline: Time,
        reply: Option<Reply>,
    ) {
        let settles = settle != Work::default();
        let (settled, lease_key) = if settles {
            let lease_key = key.as_ref().map(lease_key);
            let decided = self.decide(key, Command::Work(settle), &blobs);
            let Decided { outcome: Outcome::Worked(worked), replayed } = decided else {
                return self.answer_decided(reply, decided);
            };
            (Some((worked, replayed)), lease_key)
        } else {
            (None, key)
        };
        // What was done is done, but whoever has gone needs no more jobs.
        if reply.as_ref().is_some_and(Reply::is_gone) {
            return;
        }
        let waiting = WaitingLease { lease, key: lease_key, settled };
        // A lease with a key is asked for at once even if there is nothing: its answer may be known from an
        // earlier call. If it is not, an empty answer is not kept, and the wait begins.
        let asks = waiting.key.is_some() || self.can_lease(&waiting.lease.queues, &waiting.lease.kinds);
        match asks.then(|| self.try_lease(&waiting)).flatten() {
            Some(decided) => self.answer_lease(decided, waiting.settled, reply),
            None => {
                let waiting = Waiting::Lease(Box::new(waiting));
                self.look_again(&waiting);
                self.wait(reply, deadline, waiting);
            }
        }
    }

    /// Leases for someone who would rather wait than go away with nothing: there is no answer if all that was
    /// ready had expired.
    pub(crate) fn try_lease(&mut self, waiting: &WaitingLease) -> Option<Decided> {
        let work = Work { lease: Some(waiting.lease.clone()), ..Work::default() };
        let decided = self.decide(waiting.key.clone(), Command::Work(work), &[]);
        let empty = !decided.replayed && decided.outcome == Outcome::Worked(Worked::default());
        // Who wants none has what he wants.
        (!empty || waiting.lease.max == 0).then_some(decided)
    }

    /// Sees to it that who waits for jobs is served as soon as may be, if there are more than one lease went
    /// through: they lie behind more expired ones than one turn ends. Returns whether there are.
    pub(crate) fn look_again(&mut self, waiting: &Waiting) -> bool {
        let before = self.gathered.readied.len();
        if let Some((queues, kinds)) = waiting.wish() {
            let ready = queues.iter().filter(|queue| self.state.can_lease(queue, kinds));
            self.gathered.readied.extend(ready.filter_map(|queue| self.state.queue_index(queue)));
        }
        self.gathered.readied.len() > before
    }

    /// Answers with what was leased, together with what the same call has settled before.
    pub(crate) fn answer_lease(
        &mut self,
        decided: Decided,
        settled: Option<(Worked, bool)>,
        reply: Option<Reply>,
    ) {
        let Decided { outcome, replayed: leased_before } = decided;
        let (outcome, replayed) = match (settled, outcome) {
            (None, outcome) => (outcome, leased_before),
            (Some((worked, replayed)), Outcome::Worked(Worked { leased, .. })) => {
                (Outcome::Worked(Worked { leased, ..worked }), replayed)
            }
            // What was settled stands, whatever the lease was told.
            (Some((worked, replayed)), _) => (Outcome::Worked(worked), replayed),
        };
        self.answer_outcome(reply, outcome, replayed, !leased_before, &[]);
    }

    /// Answers with a job, or waits for its end.
    fn job(&mut self, id: JobId, deadline: Time, time: Time, reply: Option<Reply>) {
        let waits = deadline > time && self.state.job(id).is_some_and(|view| !view.state.has_ended());
        if waits {
            self.wait(reply, deadline, Waiting::Job(id));
        } else {
            self.tell_job(reply, id);
        }
    }

    pub(crate) fn tell_job(&mut self, reply: Option<Reply>, id: JobId) {
        let job = self.state.job(id).map(|view| (Box::new(view), Pinned::default()));
        self.tell(reply, Told::Job(job));
    }

    /// Keeps a caller waiting if there is room.
    fn wait(&mut self, reply: Option<Reply>, deadline: Time, waiting: Waiting) {
        let Some(reply) = reply else { return };
        let Some(waiter) = self.waiters.add(Waiter { deadline, reply, waiting }) else { return };
        match &waiter.waiting {
            // What was settled was settled, and must be told.
            Waiting::Lease(lease) if lease.settled.is_some() => self.lapse(waiter),
            _ => {
                let waiters = self.waiters.len();
                let refusal = CallError::WaitersFull { waiters, retry_after_ms: WAITERS_FULL_RETRY_AFTER_MS };
                self.answer(Some(waiter.reply), Err(refusal));
            }
        }
    }

    /// Whether a lease would find something now.
    pub(crate) fn can_lease(&self, queues: &[String], kinds: &[String]) -> bool {
        queues.iter().any(|queue| self.state.can_lease(queue, kinds))
    }

    fn answer_decided(&mut self, reply: Option<Reply>, decided: Decided) {
        self.answer_outcome(reply, decided.outcome, decided.replayed, !decided.replayed, &[]);
    }

    /// Answers with an outcome. Jobs that were leased just now go back if the caller does not pick them up;
    /// jobs of a repeated answer may be in somebody's hands. `gives` is what [`given_by`] says of the command.
    pub(crate) fn answer_outcome(
        &mut self,
        reply: Option<Reply>,
        outcome: Outcome,
        replayed: bool,
        leased_now: bool,
        gives: &[Option<GrantId>],
    ) {
        let leases = matches!(&outcome, Outcome::Worked(worked) if !worked.leased.is_empty());
        if let Outcome::Worked(worked) = &outcome
            && leases
            && !leased_now
        {
            self.keep_leased(&worked.leased);
        }
        let grants = self.grants_of(&outcome, gives);
        let told = Told::Decided { outcome, replayed, pinned: Pinned::default(), grants };
        let delivery = if leases && leased_now {
            Delivery::of_leases(told, &self.doors.inbox)
        } else {
            Delivery::new(told)
        };
        self.answer(reply, Ok(delivery));
    }

    pub(crate) fn tell(&mut self, reply: Option<Reply>, told: Told) {
        self.answer(reply, Ok(Delivery::new(told)));
    }

    fn answer(&mut self, reply: Option<Reply>, answer: Result<Delivery, CallError>) {
        if let Some(reply) = reply {
            self.answers.push(Held::new(reply, answer));
        }
    }
}

/// The key under which the lease of a round trip with this key is remembered.
pub(crate) fn lease_key(key: &IdempotencyKey) -> IdempotencyKey {
    IdempotencyKey { key: format!("{}{LEASE_KEY_MARK}", key.key), ..*key }
}

fn deadline(time: Time, wait_ms: u64) -> Time {
    time.plus(wait_ms.min(WAIT_MS_MAX))
}
