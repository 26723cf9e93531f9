//! Stories: what happened to each holder, in order, for as long as there is room.
//!
//! A story is in three parts, so that what costs nothing to bring about cannot drive out what somebody has:
//!
//! - what it tells of grants that have not ended stays as long as they do (of one holder with very many, of the latest);
//! - whatever else happened: the latest, of a holder and of the shard;
//! - refusals: the same, with smaller bounds of their own.
//!
//! An entry has a number that rises over the whole shard. From a part with too many entries the lowest number goes, and from the last
//! two what has been told long enough. So what is kept follows from the numbers alone, in whatever order a replay brings the entries
//! in. For the same reason a grant counts as one that has not ended until its end is told: a replay from the middle of a log
//! may hear of what happened to a grant before it hears of the grant.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Pools;
use crate::id::Time;
use crate::limits::{STORY_JOBS_MAX, STORY_MS, STORY_REPEAT_MS};
use crate::pool::GrantEnd;
use crate::pool::record::StoryEntryRestated;
use crate::pool::refusal::Why;
use crate::pool::view::{Happened, StoryEntry, Verb};

/// What an entry takes in memory with its place in the indexes, in bytes, without the jobs it names.
const ENTRY_BYTES: u64 = 224;

/// An entry, and the frame that holds its record.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) entry: StoryEntry,
    pub(crate) home: u64,
}

impl Entry {
    fn bytes(&self) -> u64 {
        ENTRY_BYTES + (self.entry.jobs.len() * size_of::<u64>()) as u64
    }
}

fn is_kept(entry: &StoryEntry, now: Time) -> bool {
    entry.at.plus(STORY_MS) > now
}

/// A part of a story; see the module.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Of grants that have not ended.
    Living,
    /// Whatever else but refusals.
    Past,
    Refused,
}

/// Of these what has been told long enough goes.
const AGING: [Part; 2] = [Part::Past, Part::Refused];

/// Entries of a part of a story that get no more room than they need: most stories are short.
const SHORT: usize = 4;

/// One holder's story; see the module.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Each by number.
    parts: [VecDeque<Entry>; 3],
}

impl Story {
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.iter().all(VecDeque::is_empty)
    }

    /// What of it is to be told, in order.
    pub(crate) fn in_order(&self, now: Time) -> Vec<&StoryEntry> {
        let [living, past, refused] = &self.parts;
        let aging = past.iter().chain(refused).map(|known| &known.entry);
        let kept = aging.filter(|entry| is_kept(entry, now));
        let mut entries: Vec<&StoryEntry> = living.iter().map(|known| &known.entry).chain(kept).collect();
        entries.sort_unstable_by_key(|entry| entry.number);
        entries
    }

    /// All of it in an order in which it can be told again one by one: a grant's end comes before what else is told of it, or that
    /// would take the place of what is told of others for a while.
    pub(crate) fn ends_first(&self) -> impl Iterator<Item = &Entry> {
        let [living, past, refused] = &self.parts;
        past.iter().rev().chain(living).chain(refused)
    }

    fn find_mut(&mut self, number: u64) -> Option<&mut Entry> {
        self.parts.iter_mut().find_map(|entries| {
            let index = place_of(entries, number).ok()?;
            entries.get_mut(index)
        })
    }

    /// Whether an end of the grant is told behind this number.
    fn has_ended(&self, grant: u64, number: u64) -> bool {
        let past = self.parts[Part::Past as usize].iter().rev();
        let mut later = past.take_while(|known| known.entry.number > number);
        later.any(|known| known.entry.grant == grant && is_end(&known.entry))
    }
}

fn is_end(entry: &StoryEntry) -> bool {
    matches!(entry.happened, Happened::Ended(_))
}

/// Where an entry is, or would be.
fn place_of(entries: &VecDeque<Entry>, number: u64) -> Result<usize, usize> {
    entries.binary_search_by_key(&number, |known| known.entry.number)
}

/// What all stories tell.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The entries of each part by number: whose they are.
    parts: [BTreeMap<u64, u32>; 3],
    /// What the entries take in memory, by estimate.
    pub(crate) bytes: u64,
}

impl Pools {
    /// Adds an entry to a holder's story; one that is there already only moves to another home.
    pub(crate) fn tell(&mut self, holder: u32, mut entry: StoryEntry, home: u64) {
        entry.jobs.truncate(STORY_JOBS_MAX);
        let (number, grant) = (entry.number, entry.grant);
        let story = &mut self.holders.get_mut(holder).story;
        if let Some(known) = story.find_mut(number) {
            known.home = home;
            return;
        }
        let part = match entry.happened {
            Happened::Refused(..) => Part::Refused,
            Happened::Ended(_) => Part::Past,
            _ if grant > 0 && !story.has_ended(grant, number) => Part::Living,
            _ => Part::Past,
        };
        let (ends, at) = (is_end(&entry), entry.at);
        let entry = Entry { entry, home };
        self.told.bytes += entry.bytes();
        self.add_entry(holder, part, entry);
        if ends {
            self.end_living(holder, grant, at);
        }
    }

    /// Entries of one holder and of all that a part may have.
    const fn room_of(&self, part: Part) -> (usize, usize) {
        let limits = &self.limits;
        match part {
            Part::Living => (limits.story_living_per_holder, usize::MAX),
            Part::Past => (limits.story_entries_per_holder, limits.story_entries_max),
            Part::Refused => (limits.story_refusals_per_holder, limits.story_refusals_max),
        }
    }

    fn add_entry(&mut self, holder: u32, part: Part, entry: Entry) {
        let number = entry.entry.number;
        let (of_holder_max, of_all_max) = self.room_of(part);
        let entries = &mut self.holders.get_mut(holder).story.parts[part as usize];
        if entries.len() == entries.capacity() && entries.len() < SHORT {
            entries.reserve_exact(1);
        }
        let at = place_of(entries, number).unwrap_or_else(|at| at);
        entries.insert(at, entry);
        let first = entries.front().map(|first| first.entry.number);
        let first = first.filter(|_| entries.len() > of_holder_max);
        self.told.parts[part as usize].insert(number, holder);
        if let Some(first) = first {
            self.drop_entry(holder, part, first);
        }
        let of_all = &self.told.parts[part as usize];
        if of_all.len() > of_all_max
            && let Some((&first, &holder)) = of_all.first_key_value()
        {
            self.drop_entry(holder, part, first);
        }
    }

    /// What was told of a grant is of the past from its end on, and over if it was told long before.
    fn end_living(&mut self, holder: u32, grant: u64, ended_at: Time) {
        let Some(entry) = self.holders.try_entry(holder) else { return };
        let living = entry.value.story.parts[Part::Living as usize].iter().map(|known| &known.entry);
        let of_grant = living.filter(|entry| entry.grant == grant).map(|entry| entry.number);
        let numbers: Vec<u64> = of_grant.collect();
        for number in numbers {
            if let Some(entry) = self.take_entry(holder, Part::Living, number) {
                match is_kept(&entry.entry, ended_at) {
                    true => self.add_entry(holder, Part::Past, entry),
                    false => self.told.bytes -= entry.bytes(),
                }
            }
        }
    }

    /// After a replay: what is told of grants whose end is told no more. The end had its number later than all else of its grant and
    /// went with the rest for want of room, but a record from before may have brought the rest back.
    pub(super) fn end_told(&mut self) {
        let living = self.told.parts[Part::Living as usize].iter();
        let grants = living.filter_map(|(&number, &holder)| {
            let entries = &self.holders.try_entry(holder)?.value.story.parts[Part::Living as usize];
            let grant = entries.get(place_of(entries, number).ok()?)?.entry.grant;
            self.find_grant(grant).is_none().then_some((holder, grant))
        });
        let ended: BTreeSet<(u32, u64)> = grants.collect();
        for (holder, grant) in ended {
            self.end_living(holder, grant, Time(0));
        }
    }

    fn take_entry(&mut self, holder: u32, part: Part, number: u64) -> Option<Entry> {
        self.told.parts[part as usize].remove(&number);
        self.holders.try_entry(holder)?;
        let entries = &mut self.holders.get_mut(holder).story.parts[part as usize];
        let entry = entries.remove(place_of(entries, number).ok()?);
        if entries.is_empty() {
            *entries = VecDeque::new();
        }
        entry
    }

    fn drop_entry(&mut self, holder: u32, part: Part, number: u64) {
        if let Some(entry) = self.take_entry(holder, part, number) {
            self.told.bytes -= entry.bytes();
        }
        self.drop_unused_holder(holder);
    }

    pub(super) fn drop_old_stories(&mut self, now: Time, budget: usize) {
        for part in AGING {
            for _ in 0..budget {
                let Some((&number, &holder)) = self.told.parts[part as usize].first_key_value() else {
                    break;
                };
                let oldest = self.holders.try_entry(holder).and_then(|entry| {
                    let entries = &entry.value.story.parts[part as usize];
                    entries.get(place_of(entries, number).ok()?)
                });
                if oldest.is_some_and(|oldest| is_kept(&oldest.entry, now)) {
                    break;
                }
                self.drop_entry(holder, part, number);
            }
        }
    }

    /// Whether a holder was refused the same for the same reason a short time ago. Then saying so again would only
    /// make a panic of clicks a flood of records.
    pub(crate) fn is_told(&self, holder: u32, pool: &str, verb: Verb, why: Why, now: Time) -> bool {
        let refused = self.holders.get(holder).story.parts[Part::Refused as usize].iter().rev();
        refused
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
            Happened::LineClosed => (12, 0, Verb::None, Why::Unknown),
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

impl StoryEntry {
    /// An entry as it was written anew; `pool` is its pool's name, which entries share.
    pub(crate) fn restated(entry: &StoryEntryRestated, pool: Arc<str>) -> Self {
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
                12 => Happened::LineClosed,
                _ => Happened::Refused(
                    Verb::try_from(entry.verb).unwrap_or(Verb::None),
                    Why::try_from(entry.why).unwrap_or(Why::Unknown),
                ),
            },
            pool,
            grant: entry.grant,
            units: entry.units,
            version: entry.version,
            value: entry.value,
            jobs: Vec::clone(&entry.jobs),
        }
    }
}
