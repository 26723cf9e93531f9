//! The job table: 64 bytes a job, a page of indexes by sequence, and a side table for what most jobs do not have.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU64;

use super::paged::{NONE, Page, Slab};
use crate::id::{Blob, Time};
use crate::policy::{OnFailure, Retry, UniqueUntil};
use crate::record::{EndReason, Failure};
use crate::view::JobState;

/// Index of a job in the table; below 2^31.
pub(crate) type Slot = u32;

/// A job. Exactly 64 bytes: ten million of them are 610 MiB.
#[derive(Debug)]
pub(crate) struct Job {
    /// Its sequence. Never 0, which gives a free slot somewhere to say so.
    pub(crate) sequence: NonZeroU64,
    /// The frame that holds its own record and its payload.
    pub(crate) home: u64,
    /// Where the payload lies in that frame.
    pub(crate) offset: u32,
    /// The payload's stored length; 0 if it is no longer kept.
    pub(crate) len: u32,
    /// Scheduled: when it may start. Leased: when the lease lapses. Ended: when it ended.
    pub(crate) time: Time,
    /// Ready: place in the ready list, 0 if it is in none. Leased and completed: the token. Dead: death number.
    pub(crate) order: u64,
    /// When it was accepted.
    pub(crate) enqueued_at: Time,
    /// Index of the queue.
    pub(crate) queue: u16,
    /// Index of the kind.
    pub(crate) kind: u16,
    /// Attempts so far.
    pub(crate) attempt: u16,
    pub(crate) priority: u8,
    pub(crate) state: JobState,
    /// Leased: index of the worker.
    pub(crate) worker: u32,
    /// Index of what most jobs do not have.
    pub(crate) extra: u32,
}

const _: () = assert!(size_of::<Job>() == 64, "a job is 64 bytes");
const _: () = assert!(Slab::<Job, JOBS_PAGE>::PAGE_BYTES == 64 * JOBS_PAGE, "and so is the slot it lies in");

/// What most jobs do not have.
#[derive(Debug)]
pub(crate) struct Extra {
    /// The job it belongs to.
    pub(crate) slot: Slot,
    /// Index of the ordering key.
    pub(crate) key: u32,
    pub(crate) on_failure: OnFailure,
    pub(crate) reason: EndReason,
    /// Attempts that a redrive has forgiven.
    pub(crate) forgiven: u16,
    /// Index of the cause, if dead.
    pub(crate) cause: u32,
    /// The redrive that moved it last; 0 for none.
    pub(crate) redrive: u64,
    /// 0 means never.
    pub(crate) expires_at: Time,
    pub(crate) result: Blob,
    /// The frame of the payload, if it was edited after the job's own record was written; else 0.
    pub(crate) edited_in: u64,
    pub(crate) retry: Option<Box<Retry>>,
    pub(crate) unique: Option<Box<JobUnique>>,
    pub(crate) fairness_key: Option<Box<str>>,
    pub(crate) dependency: Option<Box<str>>,
    pub(crate) progress: Option<Box<[u8]>>,
    pub(crate) failures: Vec<Failure>,
}

/// A job's unique key. Whether it holds it is the unique table's to say.
#[derive(Debug)]
pub(crate) struct JobUnique {
    pub(crate) key: Box<str>,
    pub(crate) until: UniqueUntil,
    pub(crate) expires_at: Time,
}

impl Extra {
    pub(crate) const fn new(slot: Slot) -> Self {
        Self {
            slot,
            key: NONE,
            on_failure: OnFailure::Block,
            reason: EndReason::None,
            forgiven: 0,
            cause: NONE,
            redrive: 0,
            expires_at: Time(0),
            result: Blob { frame: 0, offset: 0, len: 0 },
            edited_in: 0,
            retry: None,
            unique: None,
            fairness_key: None,
            dependency: None,
            progress: None,
            failures: Vec::new(),
        }
    }

    /// Bytes it takes in memory, texts included; an estimate that the shard's bound is kept with.
    pub(crate) fn bytes(&self) -> u64 {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len() as u64 + 16);
        let failures: usize = self.failures.iter().map(failure_bytes).sum();
        size_of::<Self>() as u64
            + text(&self.fairness_key)
            + text(&self.dependency)
            + self.unique.as_ref().map_or(0, |unique| unique.key.len() as u64 + 64)
            + self.progress.as_ref().map_or(0, |progress| progress.len() as u64 + 16)
            + failures as u64
    }
}

fn failure_bytes(failure: &Failure) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    size_of::<Failure>()
        + failure.message.len()
        + failure.worker.len()
        + text(&failure.kind)
        + text(&failure.dependency)
}

/// Sequences in a page of the index: 8 KiB.
const PAGE: usize = 2_048;
const PAGE_BITS: u32 = PAGE.ilog2();
/// Jobs in a page of the table: 64 KiB.
const JOBS_PAGE: usize = 1_024;
/// Extras in a page.
const EXTRAS_PAGE: usize = 256;

/// Slots by sequence, and how many there are.
struct IndexPage {
    slots: Box<Page<Slot, PAGE>>,
    len: u32,
}

/// All jobs of a shard.
pub(crate) struct Jobs {
    slots: Slab<Job, JOBS_PAGE>,
    /// Slot by sequence. A page whose jobs are all gone is given back.
    pages: VecDeque<Option<IndexPage>>,
    /// Number of the first page.
    first_page: u64,
    extras: Slab<Extra, EXTRAS_PAGE>,
    /// Bytes of all extras.
    extra_bytes: u64,
}

impl Jobs {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Slab::new(),
            pages: VecDeque::new(),
            first_page: 0,
            extras: Slab::new(),
            extra_bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        u64::from(self.slots.len())
    }

    /// Bytes of all extras.
    pub(crate) const fn extra_bytes(&self) -> u64 {
        self.extra_bytes
    }

    /// Estimate of the memory all of it takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.len() * 76 + self.extra_bytes
    }

    #[inline]
    pub(crate) fn find(&self, sequence: u64) -> Option<Slot> {
        let page = (sequence >> PAGE_BITS).checked_sub(self.first_page)?;
        let page = self.pages.get(usize::try_from(page).ok()?)?.as_ref()?;
        let slot = *page.slots.at(sequence as usize);
        (slot != NONE).then_some(slot)
    }

    /// Adds a job whose sequence is not there.
    pub(crate) fn insert(&mut self, job: Job) -> Slot {
        let sequence = job.sequence.get();
        let slot = self.slots.insert(job);
        let number = sequence >> PAGE_BITS;
        if self.pages.is_empty() {
            self.first_page = number;
        }
        // Only a replay of a trimmed log, or a job written anew, meets a page before the first.
        while number < self.first_page {
            self.pages.push_front(None);
            self.first_page -= 1;
        }
        while number - self.first_page >= self.pages.len() as u64 {
            self.pages.push_back(None);
        }
        let page = self.pages[(number - self.first_page) as usize]
            .get_or_insert_with(|| IndexPage { slots: Page::filled(|| NONE), len: 0 });
        debug_assert!(*page.slots.at(sequence as usize) == NONE, "job {sequence} is there already");
        *page.slots.at_mut(sequence as usize) = slot;
        page.len += 1;
        slot
    }

    /// Removes a job and what it had beside.
    pub(crate) fn remove(&mut self, slot: Slot) -> Job {
        let job = self.slots.remove(slot);
        if job.extra != NONE {
            let extra = self.extras.remove(job.extra);
            self.extra_bytes -= extra.bytes();
        }
        let sequence = job.sequence.get();
        let index = ((sequence >> PAGE_BITS) - self.first_page) as usize;
        if let Some(page) = &mut self.pages[index] {
            *page.slots.at_mut(sequence as usize) = NONE;
            page.len -= 1;
            if page.len == 0 {
                self.pages[index] = None;
            }
        }
        while let Some(None) = self.pages.front() {
            self.pages.pop_front();
            self.first_page += 1;
        }
        job
    }

    /// The job in a slot that may be free.
    pub(crate) fn try_get(&self, slot: Slot) -> Option<&Job> {
        self.slots.try_get(slot)
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> &Job {
        self.slots.get(slot)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut Job {
        self.slots.get_mut(slot)
    }

    /// Where the job's payload is.
    pub(crate) fn payload(&self, slot: Slot) -> Blob {
        let job = self.get(slot);
        let edited_in = self.extra_of(slot).map_or(0, |extra| extra.edited_in);
        Blob { frame: if edited_in > 0 { edited_in } else { job.home }, offset: job.offset, len: job.len }
    }

    /// What the job has beside, if anything.
    #[inline]
    pub(crate) fn extra_of(&self, slot: Slot) -> Option<&Extra> {
        let extra = self.get(slot).extra;
        (extra != NONE).then(|| self.extras.get(extra))
    }

    pub(crate) fn extra(&self, index: u32) -> &Extra {
        self.extras.get(index)
    }

    /// Changes what the job has beside, making it first if there is none, and keeps count of its bytes.
    /// Returns its index and whether it is new.
    pub(crate) fn change_extra(&mut self, slot: Slot, change: impl FnOnce(&mut Extra)) -> (u32, bool) {
        let job = self.slots.get_mut(slot);
        let new = job.extra == NONE;
        if new {
            job.extra = self.extras.insert(Extra::new(slot));
        }
        let index = job.extra;
        let extra = self.extras.get_mut(index);
        let before = if new { 0 } else { extra.bytes() };
        change(extra);
        self.extra_bytes = self.extra_bytes + extra.bytes() - before;
        (index, new)
    }

    /// The first job whose sequence is at least `sequence`, and how many empty places were passed on the way
    /// (a page that is gone counts as one).
    pub(crate) fn at_or_after(&self, sequence: u64) -> (Option<Slot>, usize) {
        let mut passed = 0;
        let mut at = sequence.max(self.first_page << PAGE_BITS);
        loop {
            let index = (at >> PAGE_BITS) - self.first_page;
            let Some(page) = self.pages.get(index as usize) else { return (None, passed) };
            if let Some(page) = page {
                for &slot in page.slots.from(at as usize) {
                    if slot != NONE {
                        return (Some(slot), passed);
                    }
                    passed += 1;
                }
            }
            passed += 1;
            at = ((at >> PAGE_BITS) + 1) << PAGE_BITS;
        }
    }
}
