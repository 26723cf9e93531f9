//! Storage that grows a page at a time, so that no growth ever copies what is there: a shard with 100 million jobs
//! pauses no longer for its next one than a shard with ten.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Values in a page, where nobody chose another power of two.
const PAGE: usize = 512;

/// "Nothing": no index is ever this large.
pub(crate) const NONE: u32 = u32::MAX;

/// The values of one page. It is aligned as the system's pages are, and so should its size be: an allocator that is asked
/// for less alignment may take the next larger size to be able to give it (mimalloc does, and a fifth of all jobs' memory would lie
/// unused).
#[derive(Debug)]
#[repr(align(4096))]
pub(crate) struct Page<T, const N: usize>([T; N]);

impl<T, const N: usize> Page<T, N> {
    /// A page of values made one by one.
    pub(crate) fn filled(with: impl Fn() -> T) -> Box<Self> {
        const { assert!(N.is_power_of_two(), "an index is split without dividing") };
        Box::new(Self(core::array::from_fn(|_| with())))
    }

    /// The value at an index; only its place in the page counts.
    #[inline]
    pub(crate) const fn at(&self, index: usize) -> &T {
        &self.0[index % N]
    }

    #[inline]
    pub(crate) const fn at_mut(&mut self, index: usize) -> &mut T {
        &mut self.0[index % N]
    }

    /// The values from an index on to the page's end.
    pub(crate) fn from(&self, index: usize) -> &[T] {
        &self.0[index % N..]
    }
}

/// A growing array of plain values, addressed by index.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pages: Vec<Box<Page<T, PAGE>>>,
}

impl<T: Clone + Default> Paged<T> {
    pub(crate) const fn new() -> Self {
        Self { pages: Vec::new() }
    }

    /// Makes `index` addressable.
    pub(crate) fn reach(&mut self, index: u32) {
        while self.pages.len() <= index as usize / PAGE {
            self.pages.push(Page::filled(T::default));
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> &T {
        self.pages[index as usize / PAGE].at(index as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        self.pages[index as usize / PAGE].at_mut(index as usize)
    }
}

#[derive(Debug)]
enum Slot<T> {
    Free { next: u32 },
    Full(T),
}

/// Values with stable small indexes; a removed value's index is used again. A page has room for `N`.
#[derive(Debug)]
pub(crate) struct Slab<T, const N: usize> {
    pages: Vec<Box<Page<Slot<T>, N>>>,
    free: u32,
    len: u32,
    /// One above the highest index ever used.
    end: u32,
}

impl<T, const N: usize> Slab<T, N> {
    /// Bytes of a page.
    pub(crate) const PAGE_BYTES: usize = size_of::<Page<Slot<T>, N>>();

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

    #[inline]
    fn slot(&self, index: u32) -> &Slot<T> {
        self.pages[index as usize / N].at(index as usize)
    }

    #[inline]
    fn slot_mut(&mut self, index: u32) -> &mut Slot<T> {
        self.pages[index as usize / N].at_mut(index as usize)
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free != NONE {
            let index = self.free;
            let slot = self.slot_mut(index);
            let Slot::Free { next } = *slot else { unreachable!("the free list holds free slots") };
            *slot = Slot::Full(value);
            self.free = next;
            return index;
        }
        let index = self.end;
        if (index as usize).is_multiple_of(N) {
            self.pages.push(Page::filled(|| Slot::Free { next: NONE }));
        }
        *self.slot_mut(index) = Slot::Full(value);
        self.end += 1;
        index
    }

    pub(crate) fn remove(&mut self, index: u32) -> T {
        let free = Slot::Free { next: self.free };
        let Slot::Full(value) = core::mem::replace(self.slot_mut(index), free) else {
            unreachable!("slot {index} is removed twice")
        };
        self.free = index;
        self.len -= 1;
        value
    }

    pub(crate) fn try_get(&self, index: u32) -> Option<&T> {
        match self.pages.get(index as usize / N)?.at(index as usize) {
            Slot::Full(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> &T {
        match self.slot(index) {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("slot {index} is free"),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        match self.slot_mut(index) {
            Slot::Full(value) => value,
            Slot::Free { .. } => unreachable!("slot {index} is free"),
        }
    }
}
