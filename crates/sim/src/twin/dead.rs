//! Dead letters: redrive and delete.

use tidegate_core::command::{DeadFilter, Redrive};
use tidegate_core::outcome::Refusal;
use tidegate_core::policy::UniqueUntil;
use tidegate_core::record::{EndReason, RedriveEnd};
use tidegate_core::view::{JobState, RedriveView};
use tidegate_core::{Time, limits};

use super::{Job, Redriving, Said, Twin, UniqueHolder};

impl Redriving {
    fn due(&self, now: u64) -> u64 {
        match self.rate_per_s {
            0 => u64::MAX,
            rate => now.saturating_sub(self.started_at) * u64::from(rate) / 1_000 + 1,
        }
    }

    pub(super) fn next_at(&self) -> u64 {
        match self.rate_per_s {
            0 => self.started_at,
            rate => self.started_at + (self.moved * 1_000).div_ceil(u64::from(rate)),
        }
    }
}

impl Twin {
    pub(super) fn redrive(&mut self, ask: &Redrive) -> Said {
        let name = &ask.filter.queue;
        let number = self.next_redrive;
        let now = self.now;
        let Some(queue) = self.queues.get_mut(name) else { return Said::Refused(Refusal::QueueNotFound) };
        let mut ids: Vec<u64> = ask.filter.ids.iter().map(|id| id.sequence()).collect();
        ids.sort_unstable();
        ids.dedup();
        queue.redrive = Some(Redriving {
            number,
            filter: ask.filter.clone(),
            ids,
            rate_per_s: ask.rate_per_s.unwrap_or(0).min(limits::REDRIVE_RATE_MAX),
            stop_after_dead: ask.stop_after_dead,
            started_at: now,
            until: queue.next_death - 1,
            cursor: 0,
            moved: 0,
            dead_again: 0,
            end: None,
        });
        self.next_redrive += 1;
        self.step_redrive(name);
        Said::Redriving(number)
    }

    pub(super) fn redrive_view(&self, number: u64) -> RedriveView {
        let all = self.queues.values().filter_map(|queue| queue.redrive.as_ref());
        let found = all.filter(|redrive| redrive.number >= number).min_by_key(|redrive| redrive.number);
        view(found.expect("a queue keeps its last redrive"))
    }

    /// Moves what is due of the queue's redrive.
    pub(super) fn step_redrive(&mut self, name: &str) {
        let Some(redrive) = self.queues[name].redrive.clone().filter(|redrive| redrive.end.is_none()) else {
            return;
        };
        if redrive.stop_after_dead > 0 && redrive.dead_again >= u64::from(redrive.stop_after_dead) {
            return self.end_redrive(name, RedriveEnd::DeadAgain);
        }
        let max =
            redrive.due(self.now).saturating_sub(redrive.moved).min(limits::REDRIVE_PER_TURN as u64) as usize;
        let (chosen, cursor, done) = if redrive.ids.is_empty() {
            self.next_dead(name, &redrive, max)
        } else {
            self.next_named(name, &redrive, max)
        };
        let takers = self.takers(&chosen);
        let entry = self.queues.get_mut(name).and_then(|queue| queue.redrive.as_mut()).expect("it is there");
        entry.cursor = entry.cursor.max(cursor);
        entry.moved += chosen.len() as u64;
        let now = self.now;
        for &sequence in &chosen {
            self.unpark(sequence);
            let stamp = self.next_stamp();
            let job = self.job_mut(sequence);
            job.state = JobState::Scheduled;
            job.time = now;
            (job.timer_due, job.timer_stamp) = (now, stamp);
            job.reason = EndReason::None;
            job.forgiven = job.attempt;
            job.redrive = redrive.number;
            job.expires_at = 0;
            if takers.contains(&sequence)
                && let Some((key, _)) = job.unique.clone()
            {
                let holder = UniqueHolder { job: sequence, expires_at: 0, ended: None };
                self.uniques.insert((name.into(), key), holder);
            }
        }
        self.promote(&chosen);
        if done {
            self.end_redrive(name, RedriveEnd::Done);
        }
    }

    /// A redrive that has nothing left to move may be found at its end whenever its queue is attended to, for whatever reason.
    pub fn adopt_end_of_redrive(&mut self, name: &str) {
        let under_way = self.queues.get(name).and_then(|queue| queue.redrive.clone());
        if let Some(redrive) = under_way.filter(|redrive| redrive.end.is_none() && redrive.ids.is_empty())
            && let (chosen, _, true) = self.next_dead(name, &redrive, 1)
            && chosen.is_empty()
        {
            self.end_redrive(name, RedriveEnd::Done);
        }
    }

    fn end_redrive(&mut self, name: &str, end: RedriveEnd) {
        if let Some(redrive) = self.queues.get_mut(name).and_then(|queue| queue.redrive.as_mut()) {
            redrive.end = Some(end);
        }
    }

    /// Dead letters of a queue in the order of their deaths.
    pub(super) fn dead_of(&self, queue: &str) -> Vec<&Job> {
        let mut dead: Vec<&Job> =
            self.jobs.values().filter(|job| job.queue == queue && job.state == JobState::Dead).collect();
        dead.sort_unstable_by_key(|job| job.death);
        dead
    }

    /// In the order of their deaths, but before each those of its ordering key that were accepted before it.
    fn next_dead(&self, queue: &str, redrive: &Redriving, max: usize) -> (Vec<u64>, u64, bool) {
        let (mut chosen, mut cursor) = (Vec::new(), redrive.cursor);
        for job in self.dead_of(queue) {
            if job.death > redrive.until {
                return (chosen, cursor, true);
            }
            if chosen.len() >= max {
                return (chosen, cursor, false);
            }
            if job.death > redrive.cursor && self.is_meant(job, &redrive.filter) {
                let elders = job.key.iter().flat_map(|key| self.of_key(queue, key)).filter(|elder| {
                    elder.state == JobState::Dead
                        && elder.sequence < job.sequence
                        && elder.death <= redrive.until
                        && self.is_meant(elder, &redrive.filter)
                });
                for sequence in elders.map(|elder| elder.sequence).chain([job.sequence]) {
                    if chosen.contains(&sequence) {
                        continue;
                    }
                    if chosen.len() >= max {
                        return (chosen, cursor, false);
                    }
                    chosen.push(sequence);
                }
            }
            cursor = cursor.max(job.death);
        }
        (chosen, cursor, true)
    }

    fn next_named(&self, queue: &str, redrive: &Redriving, max: usize) -> (Vec<u64>, u64, bool) {
        let rest = &redrive.ids[redrive.cursor as usize..];
        let looked_at = &rest[..max.min(rest.len())];
        let dead = |sequence: &&u64| {
            self.jobs.get(sequence).is_some_and(|job| {
                job.state == JobState::Dead && job.queue == queue && self.is_meant(job, &redrive.filter)
            })
        };
        let chosen = looked_at.iter().filter(dead).copied().collect();
        let cursor = redrive.cursor + looked_at.len() as u64;
        (chosen, cursor, cursor >= redrive.ids.len() as u64)
    }

    /// Those that take their unique key again: nobody holds it, and none before them takes it.
    fn takers(&self, chosen: &[u64]) -> Vec<u64> {
        let mut taken: Vec<(String, String)> = Vec::new();
        let mut takers = Vec::new();
        for &sequence in chosen {
            let job = self.job(sequence);
            let Some((key, until)) = job.unique.clone() else { continue };
            let place = (job.queue.clone(), key);
            if until != UniqueUntil::Duration && !self.uniques.contains_key(&place) && !taken.contains(&place)
            {
                taken.push(place);
                takers.push(sequence);
            }
        }
        takers
    }

    /// Whether a dead job is among those that a filter means, its ids and its queue apart.
    fn is_meant(&self, job: &Job, filter: &DeadFilter) -> bool {
        filter.kind.as_ref().is_none_or(|kind| *kind == job.kind)
            && filter.cause.is_none_or(|cause| self.cause_of(job) == cause)
            && filter.reason.is_none_or(|reason| reason == job.reason)
            && filter.before.is_none_or(|before| job.time < before.0)
    }

    pub(super) fn delete_dead(&mut self, filter: &DeadFilter) -> Said {
        if !self.queues.contains_key(&filter.queue) {
            return Said::Refused(Refusal::QueueNotFound);
        }
        let named =
            |job: &Job| filter.ids.is_empty() || filter.ids.iter().any(|id| id.sequence() == job.sequence);
        let dead = self.dead_of(&filter.queue).into_iter();
        let mut meant: Vec<u64> =
            dead.filter(|job| named(job) && self.is_meant(job, filter)).map(|job| job.sequence).collect();
        if !filter.ids.is_empty() {
            meant.sort_unstable();
        }
        self.forget(&meant);
        Said::Deleted { deleted: meant.len() as u64, more: false }
    }

    /// Ended jobs are no longer kept; ordering keys that one of them had parked go on.
    pub(super) fn forget(&mut self, sequences: &[u64]) {
        let keys: Vec<_> = sequences.iter().map(|&sequence| self.key_of(sequence)).collect();
        for &sequence in sequences {
            self.unpark(sequence);
            let Some(job) = self.jobs.remove(&sequence) else { continue };
            if let Some((key, _)) = job.unique
                && let Some(holder) = self.uniques.get_mut(&(job.queue, key))
                && holder.job == sequence
            {
                holder.ended = Some(job.state);
            }
        }
        for key in keys {
            self.advance_key_of(key);
        }
    }

    /// The decision that a parked key has waited for.
    fn unpark(&mut self, sequence: u64) {
        if let Some(key) = self.key_of(sequence)
            && let Some(held) = self.keys.get_mut(&key)
            && held.parked_by == sequence
        {
            held.parked_by = 0;
        }
    }
}

pub(super) fn view(redrive: &Redriving) -> RedriveView {
    RedriveView {
        redrive: redrive.number,
        end: redrive.end,
        started_at: Time(redrive.started_at),
        moved: redrive.moved,
        dead_again: redrive.dead_again,
        rate_per_s: redrive.rate_per_s,
        stop_after_dead: redrive.stop_after_dead,
    }
}
