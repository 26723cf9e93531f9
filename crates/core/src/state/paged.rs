//! Storage that grows a page at a time, so that no growth ever copies what is there: a shard with 100 million jobs
//! pauses no longer for its next one than a shard with ten.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// Small pages: allocators round what is larger than a few of their own pages up by as much as a quarter.
const PAGE_BITS: u32 = 8;
/// Items in a page.
pub(crate) const PAGE: usize = 1 << PAGE_BITS;

/// "Nothing": no index is ever this large.
pub(crate) const NONE: u32 = u32::MAX;

/// A growing array of plain values, addressed by index.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Box<[T]>>,
}

impl<T: Clone + Default> Paged<T> {
    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    /// Makes `index` addressable.
    pub(crate) fn reach(&mut self, index: u32) {
        while self.pages.len() <= (index >> PAGE_BITS) as usize {
            self.pages.push(vec![T::default(); PAGE].into_boxed_slice());
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> &T {
        &self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE - 1)]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE - 1)]
    }
}

#[derive(Debug)]
enum Slot<T> {
    Free { next: u32 },
    Full(T),
}

/// Values with stable small indexes; a removed value's index is used again.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    pages: Vec<Box<[Slot<T>]>>,
    free: u32,
    len: u32,
    /// One above the highest index ever used.
    end: u32,
}

impl<T> Slab<T> {
    /// Bytes a value takes with the means to tell a free slot.
    pub(crate) const SLOT_BYTES: usize = size_of::<Slot<T>>();

    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new(), free: NONE, len: 0, end: 0 }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// One above the highest index in use, for walks by index.
    pub(crate) const fn end(&self) -> u32 {
        self.end
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free != NONE {
            let index = self.free;
            let slot = &mut self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE - 1)];
            let Slot::Free { next } = *slot else { unreachable!("the free list holds free slots") };
            self.free = next;
            *slot = Slot::Full(value);
            return index;
        }
        let index = self.end;
        if index as usize & (PAGE - 1) == 0 {
            self.pages.push((0..PAGE).map(|_| Slot::Free { next: NONE }).collect());
        }
        self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE - 1)] = Slot::Full(value);
        self.end += 1;
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        let slot = &mut self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE - 1)];
        let Slot::Full(value) = core::mem::replace(slot, Slot::Free { next: self.free }) else {
            unreachable!("slot {index} is removed twice")
        };
        self.free = index;
        self.len -= 1;
        value
    }

    pub(crate) fn try_get(&self, index: u32) -> Option<&T> {
        match self.pages.get((index >> PAGE_BITS) as usize)?.get(index as usize & (PAGE - 1))? {
            Slot::Full(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> &T {
        match &self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE - 1)] {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("slot {index} is free"),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        match &mut self.pages[(index >> PAGE_BITS) as usize][index as usize & (PAGE - 1)] {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("slot {index} is free"),
        }
    }
}
