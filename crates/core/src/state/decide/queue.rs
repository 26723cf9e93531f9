//! Configure, pause and resume.

use alloc::string::String;

use super::super::{State, Turn};
use crate::command::Pause;
use crate::limits;
use crate::outcome::{Outcome, Refusal};
use crate::policy::QueueConfig;
use crate::record::{KeyPaused, QueueConfigured, QueuePaused, Record};

impl State {
    pub(super) fn decide_configure(
        &mut self,
        queue: String,
        config: QueueConfig,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        match self.queues.find(0, &queue) {
            None if self.queues.len() as usize >= self.limits.queues_max => {
                return Outcome::Refused(Refusal::TooManyQueues);
            }
            Some(index) if self.queues.get(index).config == config => {}
            _ => self.emit(turn, Record::QueueConfigured(QueueConfigured { queue, config })),
        }
        Outcome::Done
    }

    pub(super) fn decide_pause(&mut self, pause: Pause, turn: &mut Turn<'_>) -> Outcome {
        let Pause { queue, ordering_key, paused } = pause;
        let Some(index) = self.queues.find(0, &queue) else {
            return Outcome::Refused(Refusal::QueueNotFound);
        };
        match ordering_key {
            Some(key) => {
                let is_full = self.paused_keys() >= limits::PAUSED_KEYS_MAX;
                if paused && is_full && self.keys.find(index, &key).is_none() {
                    return Outcome::Refused(Refusal::ShardFull(limits::PAUSED_KEYS_MAX));
                }
                self.pause_key(index, queue, key, paused, turn);
            }
            None => self.pause_queue(index, queue, paused, turn),
        }
        Outcome::Done
    }

    fn pause_queue(&mut self, index: u32, queue: String, paused: bool, turn: &mut Turn<'_>) {
        if self.queues.get(index).paused == paused {
            return;
        }
        self.emit(turn, Record::QueuePaused(QueuePaused { queue, paused }));
        if !paused && self.queues.get(index).mask() != 0 {
            turn.note_readied(index as u16);
        }
    }

    fn pause_key(&mut self, index: u32, queue: String, key: String, paused: bool, turn: &mut Turn<'_>) {
        let held =
            self.keys.find(index, &key).map(|key| self.keys.get(key)).map(|key| (key.paused, key.parked_by));
        let changes = match held {
            Some((was_paused, parked_by)) => was_paused != paused || (!paused && parked_by != 0),
            None => paused,
        };
        if !changes {
            return;
        }
        self.emit(turn, Record::KeyPaused(KeyPaused { queue, key: key.clone(), paused }));
        if let Some(key) = self.keys.find(index, &key) {
            self.advance_key(key, turn);
        }
    }

    /// Ordering keys of the shard that someone paused.
    fn paused_keys(&self) -> u64 {
        let queues = (0..self.queues.end()).filter_map(|index| self.queues.try_entry(index));
        queues.map(|entry| entry.value.keys_paused).sum()
    }

    /// Whether an ordering key is paused; none if nothing is known of it.
    pub fn key_is_paused(&self, queue: &str, key: &str) -> Option<bool> {
        let queue = self.queues.find(0, queue)?;
        self.keys.find(queue, key).map(|key| self.keys.get(key).paused)
    }
}
