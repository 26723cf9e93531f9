//! Stories: what happened to each holder, in order, for as long as there is room.
//!
//! An entry has a number that rises over the whole shard, and entries go by number: the oldest first, when a holder has too
//! many, when the shard has, or when their time is over. So what is kept follows from the numbers alone, in whatever order a
//! replay brings the entries in.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Pools;
use crate::id::Time;
use crate::limits::{STORY_MS, STORY_REPEAT_MS};
use crate::pool::GrantEnd;
use crate::pool::record::StoryEntryRestated;
use crate::pool::refusal::Why;
use crate::pool::view::{Happened, StoryEntry, Verb};

/// An entry, and the frame that holds its record.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) entry: StoryEntry,
    pub(crate) home: u64,
}

pub(crate) fn is_kept(entry: &StoryEntry, now: Time) -> bool {
    entry.at.plus(STORY_MS) > now
}

impl Pools {
    /// Adds an entry to a holder's story; one that is there already only moves to another home.
    pub(crate) fn tell(&mut self, holder: u32, entry: StoryEntry, home: u64) {
        let number = entry.number;
        let story = &mut self.holders.get_mut(holder).story;
        match story.binary_search_by_key(&number, |known| known.entry.number) {
            Ok(index) => {
                story[index].home = home;
                return;
            }
            Err(index) => story.insert(index, Entry { entry, home }),
        }
        self.story_index.insert(number, holder);
        if story.len() > self.limits.story_entries_per_holder
            && let Some(oldest) = story.pop_front()
        {
            self.story_index.remove(&oldest.entry.number);
        }
        if self.story_index.len() > self.limits.story_entries_max {
            self.drop_first_entry();
        }
    }

    pub(super) fn drop_old_stories(&mut self, now: Time, budget: usize) {
        for _ in 0..budget {
            let Some((_, &holder)) = self.story_index.first_key_value() else { return };
            let oldest = self.holders.get(holder).story.front();
            if oldest.is_some_and(|oldest| is_kept(&oldest.entry, now)) {
                return;
            }
            self.drop_first_entry();
        }
    }

    /// The entry with the lowest number of all is its holder's first.
    fn drop_first_entry(&mut self) {
        if let Some((_, holder)) = self.story_index.pop_first() {
            let story: &mut VecDeque<Entry> = &mut self.holders.get_mut(holder).story;
            story.pop_front();
            self.drop_unused_holder(holder);
        }
    }

    /// Whether a holder was refused the same for the same reason a short time ago. Then saying so again would only
    /// make a panic of clicks a flood of records.
    pub(crate) fn is_told(&self, holder: u32, pool: &str, verb: Verb, why: Why, now: Time) -> bool {
        let story = self.holders.get(holder).story.iter().rev();
        story
            .take_while(|known| known.entry.at.plus(STORY_REPEAT_MS) > now)
            .any(|known| known.entry.happened == Happened::Refused(verb, why) && *known.entry.pool == *pool)
    }
}

impl From<&StoryEntry> for StoryEntryRestated {
    fn from(entry: &StoryEntry) -> Self {
        let (happened, detail, verb, why) = match entry.happened {
            Happened::Held(until) => (1, until.0, Verb::None, Why::Unknown),
            Happened::Taken => (2, 0, Verb::None, Why::Unknown),
            Happened::Offered(until) => (3, until.0, Verb::None, Why::Unknown),
            Happened::Confirmed => (4, 0, Verb::None, Why::Unknown),
            Happened::Ended(end) => (5, end as u64, Verb::None, Why::Unknown),
            Happened::Joined => (6, 0, Verb::None, Why::Unknown),
            Happened::Left => (7, 0, Verb::None, Why::Unknown),
            Happened::DroppedFromLine => (8, 0, Verb::None, Why::Unknown),
            Happened::Refused(verb, why) => (9, 0, verb, why),
            Happened::Enqueued => (10, 0, Verb::None, Why::Unknown),
            Happened::Completed => (11, 0, Verb::None, Why::Unknown),
        };
        Self {
            number: entry.number,
            at: entry.at.0,
            happened,
            detail,
            verb: verb as i32,
            why: why as i32,
            pool: String::from(&*entry.pool),
            grant: entry.grant,
            units: entry.units,
            version: entry.version,
            value: entry.value,
            jobs: entry.jobs.clone(),
        }
    }
}

impl From<&StoryEntryRestated> for StoryEntry {
    fn from(entry: &StoryEntryRestated) -> Self {
        let detail = Time(entry.detail);
        Self {
            number: entry.number,
            at: Time(entry.at),
            happened: match entry.happened {
                1 => Happened::Held(detail),
                2 => Happened::Taken,
                3 => Happened::Offered(detail),
                4 => Happened::Confirmed,
                5 => Happened::Ended(GrantEnd::try_from(entry.detail as i32).unwrap_or(GrantEnd::Released)),
                6 => Happened::Joined,
                7 => Happened::Left,
                8 => Happened::DroppedFromLine,
                10 => Happened::Enqueued,
                11 => Happened::Completed,
                _ => Happened::Refused(
                    Verb::try_from(entry.verb).unwrap_or(Verb::None),
                    Why::try_from(entry.why).unwrap_or(Why::Unknown),
                ),
            },
            pool: Arc::from(entry.pool.as_str()),
            grant: entry.grant,
            units: entry.units,
            version: entry.version,
            value: entry.value,
            jobs: Vec::clone(&entry.jobs),
        }
    }
}
