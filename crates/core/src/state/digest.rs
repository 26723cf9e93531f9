//! A digest of all that can be seen: two states with the same digest answer alike.
//!
//! It is made by walking in canonical orders (sequences, places, names), so it does not depend on slots, hash seeds or on
//! whether the state grew live, was replayed, or was replayed from a trimmed log. It takes time with the shard's size: it is
//! for tests, the simulator and `inspect`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::State;
use super::jobs::Slot;
use super::queue::PRIORITIES;
use super::wheel::WHEEL_LISTS;
use crate::id::Time;
use crate::view::{JobState, JobView};

/// FNV-1a over text.
struct Digest(u64);

impl core::fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

/// The order of things whose moments are the same. No rule decides it, and a replay of a trimmed log may end in another one;
/// whoever foretells what a recovered state will do must know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Jobs that are scheduled or leased, in the order in which their timers will fire.
    pub timers: Vec<u64>,
    /// Jobs that have not started, in the order in which they will expire.
    pub expiries: Vec<u64>,
    /// Completed and cancelled jobs, those that will be forgotten first in front.
    pub ended: Vec<u64>,
    /// Idempotency keys, those whose answers go first in front.
    pub answers: Vec<String>,
}

/// What no view shows: counters, and what other things are kept for. A replay must end with the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// The next job's sequence.
    pub next_job: u64,
    /// The next lease's token.
    pub next_token: u64,
    /// The next redrive's number.
    pub next_redrive: u64,
    /// Jobs that have not ended since a redrive brought them back, and the redrive's number.
    pub redriven: Vec<(u64, u64)>,
    /// Names of workers that are kept, in their order.
    pub workers: Vec<String>,
}

impl State {
    /// See [`Unseen`]. Takes time with the shard's size.
    pub fn unseen(&self) -> Unseen {
        let mut redriven = Vec::new();
        let mut at = 0;
        while let (Some(slot), _) = self.jobs.at_or_after(at) {
            let job = self.jobs.get(slot);
            at = job.sequence.get() + 1;
            let redrive = self.jobs.extra_of(slot).map_or(0, |extra| extra.redrive);
            if redrive > 0 && !job.state.has_ended() {
                redriven.push((job.sequence.get(), redrive));
            }
        }
        let workers = (0..self.workers.end()).filter_map(|index| self.workers.try_entry(index));
        let mut workers: Vec<String> = workers.map(|entry| (*entry.name).into()).collect();
        workers.sort_unstable();
        Unseen {
            next_job: self.next_job,
            next_token: self.next_token,
            next_redrive: self.next_redrive,
            redriven,
            workers,
        }
    }

    /// See [`Places`]. Takes time with the shard's size.
    pub fn places(&self) -> Places {
        let due = WHEEL_LISTS - 1;
        let lists = || core::iter::once(due).chain(0..due);
        let jobs: Vec<Slot> = lists().flat_map(|list| self.job_lists.iter(list)).collect();
        let extras: Vec<u32> = lists().flat_map(|list| self.expiry_lists.iter(list)).collect();
        let at = |time: Time| time.max(self.now);
        let sequence = |slot: Slot| self.jobs.get(slot).sequence.get();
        let mut timers = jobs;
        timers.sort_by_key(|&slot| at(self.jobs.get(slot).time));
        let mut expiries = extras;
        expiries.sort_by_key(|&extra| at(self.jobs.extra(extra).expires_at));
        let queues = (0..self.queues.end()).filter_map(|index| self.queues.try_entry(index));
        let ended = queues.flat_map(|entry| [entry.value.completed_list(), entry.value.cancelled_list()]);
        Places {
            timers: timers.into_iter().map(sequence).collect(),
            expiries: expiries.into_iter().map(|extra| sequence(self.jobs.extra(extra).slot)).collect(),
            ended: ended.flat_map(|list| self.job_lists.iter(list)).map(sequence).collect(),
            answers: self.answer_list.iter(0).map(|index| (**self.answers.name(index)).into()).collect(),
        }
    }

    /// See the module. Places of blobs, counters of what happened since the start, estimates, and the next place in a line
    /// (which only has to be behind all others) are not part of it.
    pub fn digest(&self) -> u64 {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        self.write_digest(&mut digest);
        digest.0
    }

    /// What the digest is made of, as text; to see where two states differ.
    pub fn digest_text(&self) -> alloc::string::String {
        let mut text = alloc::string::String::new();
        self.write_digest(&mut text);
        text
    }

    fn write_digest(&self, out: &mut dyn core::fmt::Write) {
        // Writing to memory cannot fail.
        let _ = writeln!(out, "{:?} {} {} {}", self.seed, self.next_job, self.next_token, self.next_redrive);
        let mut at = 0;
        while let (Some(slot), _) = self.jobs.at_or_after(at) {
            at = self.jobs.get(slot).sequence.get() + 1;
            let view = self.job(self.id_of(slot));
            let view = view.map(|view| JobView {
                payload: crate::id::Blob { frame: 0, offset: 0, len: view.payload.len },
                result: crate::id::Blob { frame: 0, offset: 0, len: view.result.len },
                position: None,
                ..view
            });
            let _ = writeln!(out, "{view:?} {}", self.jobs.get(slot).order);
        }
        self.write_queues(out);
        let mut rest: Vec<_> = (0..self.keys.end())
            .filter_map(|index| self.keys.try_entry(index).map(|entry| (index, entry)))
            .map(|(index, entry)| {
                let line: Vec<u64> = self
                    .lines
                    .iter(index)
                    .map(|extra| self.jobs.get(self.jobs.extra(extra).slot).sequence.get())
                    .collect();
                let key = &entry.value;
                let queue = self.queues.name(entry.scope);
                let active = self.jobs.try_get(key.active).map(|job| job.sequence);
                format!(
                    "key {queue} {} {active:?} {} {} {line:?} {:?}",
                    entry.name, key.paused, key.parked_by, key.dead
                )
            })
            .collect();
        rest.extend((0..self.uniques.end()).filter_map(|index| self.uniques.try_entry(index)).map(|entry| {
            let queue = self.queues.name(entry.scope);
            format!("unique {queue} {} {} {:?}", entry.name, entry.value.job, entry.value.expires_at)
        }));
        rest.extend((0..self.answers.end()).filter_map(|index| self.answers.try_entry(index)).map(|entry| {
            let kept = &entry.value;
            format!("answer {} {:?} {:?} {:?}", entry.name, kept.fingerprint, kept.expires_at, kept.answer)
        }));
        rest.extend(self.pool_lines());
        rest.sort_unstable();
        for line in rest {
            let _ = writeln!(out, "{line}");
        }
    }

    fn write_queues(&self, out: &mut dyn core::fmt::Write) {
        let mut queues = self.queues();
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for view in queues {
            let Some(index) = self.queues.find(0, &view.name) else { continue };
            let queue = self.queues.get(index);
            let _ = writeln!(
                out,
                "{} {:?} {} {:?} {} {} {:?}",
                view.name,
                view.config,
                view.paused,
                view.counts,
                view.keys_paused,
                view.keys_parked,
                view.redrive.as_deref().map(|redrive| (
                    redrive.redrive,
                    redrive.end,
                    redrive.moved,
                    redrive.dead_again
                )),
            );
            for priority in 0..PRIORITIES as u32 {
                let mut ready: Vec<(u64, u64)> = queue
                    .lanes
                    .iter()
                    .flat_map(|lane| self.job_lists.iter(lane.lists + priority))
                    .map(|slot| (self.jobs.get(slot).order, self.jobs.get(slot).sequence.get()))
                    .collect();
                ready.sort_unstable();
                let _ = writeln!(out, "ready {priority} {ready:?}");
            }
            let dead: Vec<u64> = self
                .job_lists
                .iter(queue.dead_list())
                .map(|slot| self.jobs.get(slot).sequence.get())
                .collect();
            let _ = writeln!(out, "dead {dead:?} {}", view.counts.of(JobState::Dead));
        }
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::super::{State, StateLimits};
    use super::Digest;

    fn digest_of(text: &str) -> u64 {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        digest.write_str(text).expect("writing to memory cannot fail");
        digest.0
    }

    /// By the vectors of who made the hash, so that digests can be compared between versions.
    #[test]
    fn the_digest_of_a_text_is_its_fnv_1a() {
        for (text, digest) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(digest_of(text), digest, "{text}");
        }
    }

    #[test]
    fn the_digest_of_a_state_is_that_of_its_text() {
        let state = State::new(0, StateLimits::default());
        assert_eq!(state.digest(), digest_of(&state.digest_text()));
    }
}
