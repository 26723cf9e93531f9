//! Deciding: what follows from a command. One file per area; this one dispatches and keeps the answers of keyed requests.

mod cancel;
mod dead;
mod enqueue;
mod lease;
mod pools;
mod queue;
mod settle;
mod transaction;

use alloc::string::String;
use alloc::vec::Vec;

use prost::Message as _;

use super::{Decided, Kept, State, Turn, answer_bytes};
use crate::answer::{Answer, Recalled};
use crate::command::{Command, IdempotencyKey, Request, Work};
use crate::id::Time;
use crate::limits;
use crate::outcome::{Item, Outcome, Refusal, Worked};
use crate::record::{AnswerKept, Record};

impl State {
    /// Judges a command at the turn's time. What follows is applied and handed to the turn; the answer may go out once the
    /// turn's frame is durable.
    ///
    /// With an idempotency key: the first answer is kept in the same frame as the effect, and a later request with this
    /// key gets it back (or is refused, if it asks for something else). Answers that only say "not now" are not kept; nor, in a
    /// [sparing](Turn::sparing) turn, are those that go with no change: asking again is as good as having asked later.
    pub fn decide(&mut self, request: Request, turn: &mut Turn<'_>) -> Decided {
        let Some(key) = request.idempotency else {
            return Decided { outcome: self.decide_command(request.command, turn), replayed: false };
        };
        if let Some(answered) = self.recall(&key)
            && !(crate::sabotage::is("retry_grants_again") && matches!(answered.outcome, Outcome::Pooled(_)))
        {
            return answered;
        }
        let dropped = match self.make_room_for_answer() {
            Ok(dropped) => dropped,
            Err(refusal) => return Decided { outcome: Outcome::Refused(refusal), replayed: false },
        };
        let records = turn.records;
        let outcome = self.decide_command(request.command, turn);
        let is_spared = turn.sparing && turn.records == records;
        if !says_not_now(&outcome) && !is_spared {
            let kept = AnswerKept {
                key: key.key,
                fingerprint_0: key.fingerprint[0],
                fingerprint_1: key.fingerprint[1],
                kept_at: self.now.0,
                expires_at: self.now.plus(self.limits.idempotency_ms.min(limits::KEPT_MS_MAX)).0,
                answer: Answer::of(&outcome, self.now).encode_to_vec(),
                dropped,
            };
            self.emit(turn, Record::AnswerKept(kept));
        }
        Decided { outcome, replayed: false }
    }

    fn decide_command(&mut self, command: Command, turn: &mut Turn<'_>) -> Outcome {
        match command {
            Command::Enqueue(enqueue) => self.decide_enqueue(enqueue, turn),
            Command::Work(work) => self.decide_work(work, turn),
            Command::Cancel(id) => self.decide_cancel(id, turn),
            Command::Edit(edit) => self.decide_edit(edit, turn),
            Command::ConfigureQueue { queue, config } => self.decide_configure(queue, config, turn),
            Command::Pause(pause) => self.decide_pause(pause, turn),
            Command::Redrive(redrive) => self.decide_redrive(redrive, turn),
            Command::DeleteDead(filter) => self.decide_delete_dead(&filter, turn),
            Command::Transaction(transaction) => self.decide_transaction(transaction, turn),
            Command::ConfigurePool { pool, config, if_version, seed } => {
                self.decide_configure_pool(pool, *config, if_version, seed, turn)
            }
            Command::ResizePool { pool, capacity } => self.decide_resize_pool(&pool, capacity, turn),
            Command::DeletePool { pool } => self.decide_delete_pool(pool, turn),
            Command::Pools(operations) => self.decide_pools(operations, turn),
        }
    }

    fn decide_work(&mut self, work: Work, turn: &mut Turn<'_>) -> Outcome {
        Outcome::Worked(Worked {
            complete: self.decide_complete(&work.complete, turn),
            fail: work.fail.into_iter().map(|fail| self.decide_fail(fail, turn)).collect(),
            extend: work.extend.into_iter().map(|extend| self.decide_extend(extend, turn)).collect(),
            release: self.decide_release(&work.release, turn),
            leased: work.lease.map_or_else(Vec::new, |lease| self.decide_lease(&lease, turn)),
        })
    }

    /// What is kept under a key, unless its time is over.
    fn kept(&self, key: &str) -> Option<&Kept> {
        let index = self.answers.find(0, key)?;
        Some(self.answers.get(index)).filter(|kept| kept.expires_at > self.now)
    }

    /// Whether a request with this key was answered before: it would get that answer again (or a refusal, if it asks for
    /// something else), and nothing new would be done.
    pub fn remembers(&self, key: &str) -> bool {
        self.kept(key).is_some()
    }

    /// The answer that was given to this key before, if one is kept.
    fn recall(&self, key: &IdempotencyKey) -> Option<Decided> {
        let kept = self.kept(&key.key)?;
        if kept.fingerprint != key.fingerprint && !crate::sabotage::is("fingerprint_ignored") {
            return Some(Decided {
                outcome: Outcome::Refused(Refusal::IdempotencyMismatch),
                replayed: false,
            });
        }
        let answer = Answer::decode(&*kept.answer).unwrap_or_default();
        let outcome = match answer.recall(kept.kept_at) {
            Recalled::Whole(outcome) => outcome,
            Recalled::Worked(worked, leased) => {
                // A job is shown again only while this very lease stands.
                let leased = leased
                    .into_iter()
                    .filter_map(|(sequence, token)| {
                        let slot = self.find_leased_by(self.id(sequence), crate::id::Token(token)).ok()?;
                        Some(self.leased_job(slot))
                    })
                    .collect();
                Outcome::Worked(Worked { leased, ..worked })
            }
            Recalled::Redriving(number) => self.redriving(number),
        };
        Some(Decided { outcome, replayed: true })
    }

    /// Sees to it that one more answer can be kept. Returns the keys whose answers must go before their time; refuses
    /// if even the oldest is younger than what is always kept.
    fn make_room_for_answer(&self) -> Result<Vec<String>, Refusal> {
        let mut records = self.answers.len() as usize;
        let mut bytes = self.answer_bytes;
        let mut dropped = Vec::new();
        for index in self.answer_list.iter(0) {
            if records < self.limits.idempotency_records_max && bytes < limits::IDEMPOTENCY_BYTES_MAX {
                break;
            }
            let entry = self.answers.entry(index);
            let free_at = Time(entry.value.kept_at.0).plus(limits::IDEMPOTENCY_MS_MIN);
            if free_at > self.now {
                return Err(Refusal::IdempotencyFull(free_at));
            }
            records -= 1;
            bytes -= answer_bytes(&entry.name, &entry.value.answer);
            dropped.push((*entry.name).into());
        }
        Ok(dropped)
    }
}

/// Whether the answer only says that there was no room or no work: a caller who asks again wants another answer.
fn says_not_now(outcome: &Outcome) -> bool {
    let not_now = |refusal: &Refusal| match refusal {
        Refusal::QueueFull(_) | Refusal::ShardFull(_) | Refusal::TooManyQueues | Refusal::TooManyKinds => {
            true
        }
        Refusal::Pool(refusal) => refusal.why.says_not_now(),
        _ => false,
    };
    match outcome {
        Outcome::Refused(refusal) | Outcome::TransactionRefused { refusal, .. } => not_now(refusal),
        Outcome::Enqueued(items) | Outcome::Pooled(items) => {
            items.iter().all(|item| matches!(item, Item::Refused(refusal) if not_now(refusal)))
        }
        Outcome::Worked(worked) => *worked == Worked::default(),
        _ => false,
    }
}
