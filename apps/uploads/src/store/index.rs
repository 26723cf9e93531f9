//! What is where: the store's whole memory, 36 bytes an upload and about ten more for finding it.
//!
//! Names, addresses and keys stay on the disk. The index has only what is durable, or, for marks that nobody waits
//! for, written.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::entry::Kind;
use super::id::UploadId;
use super::volume::Location;

struct Slot {
    upload: UploadId,
    notified: bool,
    let_go: bool,
    image: Location,
    thumbnails: Location,
    accepted: Location,
}

/// A client key in the index is 32 bits of its hash; who finds one compares the key itself, on the disk.
struct KeySlot {
    hash: u32,
    slot: u32,
}

/// See the file's head.
pub(super) struct Index {
    /// In the order of their images.
    slots: Vec<Slot>,
    by_id: HashTable<u32>,
    by_key: HashTable<KeySlot>,
    key_hash: RandomState,
}

/// What is known of an upload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) upload: UploadId,
    pub(super) notified: bool,
    pub(super) let_go: bool,
    pub(super) image: Location,
    pub(super) thumbnails: Location,
    pub(super) accepted: Location,
}

impl Index {
    pub(super) fn new() -> Index {
        Index {
            slots: Vec::new(),
            by_id: HashTable::new(),
            by_key: HashTable::new(),
            key_hash: RandomState::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// An entry is at `location`. A mark for an upload that is not here says nothing.
    pub(super) fn insert(
        &mut self,
        kind: Kind,
        upload: UploadId,
        client_key: Option<&str>,
        location: Location,
    ) {
        if kind == Kind::Image {
            if self.find(upload).is_none() {
                self.insert_image(upload, client_key, location);
            }
            return;
        }
        let Some(slot) = self.find(upload) else { return };
        let slot = &mut self.slots[slot as usize];
        match kind {
            Kind::Image => unreachable!("seen to above"),
            Kind::Thumbnails => slot.thumbnails = location,
            Kind::Accepted => slot.accepted = location,
            Kind::Notified => slot.notified = true,
            Kind::LetGo => slot.let_go = true,
        }
    }

    fn insert_image(&mut self, upload: UploadId, client_key: Option<&str>, image: Location) {
        let (thumbnails, accepted) = (Location::NOWHERE, Location::NOWHERE);
        let slot = u32::try_from(self.slots.len()).expect("four thousand million uploads do not fit");
        self.slots.push(Slot { upload, notified: false, let_go: false, image, thumbnails, accepted });
        let slots = &self.slots;
        self.by_id.insert_unique(upload.hash(), slot, |&other| slots[other as usize].upload.hash());
        if let Some(key) = client_key {
            let hash = self.hash_of(key);
            self.by_key.insert_unique(spread(hash), KeySlot { hash, slot }, |other| spread(other.hash));
        }
    }

    /// What is known of an upload that was not let go.
    pub(super) fn get(&self, upload: UploadId) -> Option<Known> {
        self.find(upload).map(|slot| self.known(slot as usize)).filter(|known| !known.let_go)
    }

    /// The uploads that may have this client key; almost always none or one.
    pub(super) fn candidates(&self, client_key: &str) -> Vec<Known> {
        let hash = self.hash_of(client_key);
        let found = self.by_key.iter_hash(spread(hash)).filter(|other| other.hash == hash);
        found.map(|found| self.known(found.slot as usize)).collect()
    }

    /// From the newest to the oldest, without those that were let go.
    pub(super) fn newest(&self) -> impl Iterator<Item = Known> {
        (0..self.slots.len()).rev().map(|slot| self.known(slot)).filter(|known| !known.let_go)
    }

    fn find(&self, upload: UploadId) -> Option<u32> {
        self.by_id.find(upload.hash(), |&slot| self.slots[slot as usize].upload == upload).copied()
    }

    fn known(&self, slot: usize) -> Known {
        let Slot { upload, notified, let_go, image, thumbnails, accepted } = self.slots[slot];
        Known { upload, notified, let_go, image, thumbnails, accepted }
    }

    fn hash_of(&self, key: &str) -> u32 {
        self.key_hash.hash_one(key) as u32
    }
}

/// The table wants its bits spread over all 64.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
