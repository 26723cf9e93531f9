//! A disk that keeps its promises and not one more, for tests and simulations.
//!
//! What has not been synced may survive a crash in whole, in part or not at all, sector by sector and in any
//! order; now and then a sector is torn as well, and holds the new bytes up to somewhere. A name is durable after `sync_dir`; of the changes since then a crash leaves the first few, as a
//! journalling file system does. A sync that fails leaves its file's unsynced bytes to chance, and they stay
//! so: a later sync that succeeds does not bring them back.
//!
//! The same seed makes the same accidents. Left out: time. Slowness is the simulation's to add.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// What a disk mostly writes whole or not at all, in bytes.
pub const SECTOR_BYTES: usize = 512;

/// What is noted when a read fails.
const READ_FAILS: &str = "a read fails";

/// One sector of so many that a crash leaves is torn.
const TORN_SECTORS: usize = 8;

/// A disk in memory. Clones share it.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    world: Arc<Mutex<World>>,
    /// Syncs may go on.
    released: Arc<Condvar>,
}

/// What a crash leaves of what had not been synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survival {
    /// Nothing: the machine lost power at once.
    Nothing,
    /// Everything: only the process died. What it had not synced still is not: a second crash may take it.
    Everything,
    /// Some sectors, some names, by this seed.
    Some(u64),
}

#[derive(Debug, Default)]
struct World {
    files: Vec<File>,
    /// Names as the running process sees them.
    names: BTreeMap<String, usize>,
    /// Names as of the last sync of the directory, and what has changed since.
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<NameChange>,
    /// How many operations that change something have been tried.
    operations: u64,
    crash_at: Option<u64>,
    /// The machine crashes at the next write or sync of this file.
    crash_in: Option<String>,
    fail_at: Option<(u64, io::ErrorKind)>,
    /// A write that is to fail does so after its first half.
    fails_half_way: bool,
    fail_next_sync: bool,
    /// Reads that still go well, and how many fail then.
    fail_reads: Option<(u64, u64)>,
    syncs_held: bool,
    /// Syncs that block because of it.
    syncs_waiting: usize,
    crashed: bool,
    /// What has gone wrong so far, and how often.
    happened: BTreeMap<&'static str, u64>,
    bytes_max: Option<u64>,
}

/// A file's bytes, as the process sees them and as the platter holds them.
#[derive(Clone, Debug, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write { at: usize, bytes: Vec<u8> },
}

#[derive(Clone, Debug)]
enum NameChange {
    Given(String, usize),
    Renamed(String, String),
    Removed(String),
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        SimulatedDisk::new()
    }
}

impl SimulatedDisk {
    /// An empty disk without limits.
    #[must_use]
    pub fn new() -> SimulatedDisk {
        SimulatedDisk { world: Arc::default(), released: Arc::default() }
    }

    /// How many operations that change something have been tried: creating, writing, allocating, syncing,
    /// renaming, removing.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The `operation`th operation from the disk's beginning, and everything after it, will not happen. A
    /// write at which the machine crashes has begun: its bytes are among those that may survive.
    pub fn crash_at(&self, operation: u64) {
        self.lock().crash_at = Some(operation);
    }

    /// The next write or sync of the file `name`, and everything after it, will not happen; as [`crash_at`](Self::crash_at).
    pub fn crash_in(&self, name: &str) {
        self.lock().crash_in = Some(name.to_owned());
    }

    /// The `operation`th operation from the disk's beginning will fail, once.
    pub fn fail_at(&self, operation: u64, kind: io::ErrorKind) {
        let mut world = self.lock();
        world.fail_at = Some((operation, kind));
        world.fails_half_way = false;
    }

    /// The same, but if it is a write, its first half is written.
    pub fn fail_half_way_at(&self, operation: u64, kind: io::ErrorKind) {
        let mut world = self.lock();
        world.fail_at = Some((operation, kind));
        world.fails_half_way = true;
    }

    /// The next sync of a file's data will fail.
    pub fn fail_next_sync(&self) {
        self.lock().fail_next_sync = true;
    }

    /// After `well` more reads of file data the next `count` will fail; with a `count` of 0 all go well from now on.
    pub fn fail_reads(&self, well: u64, count: u64) {
        self.lock().fail_reads = Some((well, count));
    }

    /// Reads of file data that have failed so far, over all crashes.
    #[must_use]
    pub fn failed_reads(&self) -> u64 {
        self.lock().happened.get(READ_FAILS).copied().unwrap_or(0)
    }

    /// Syncs of file data block from now on (true), or go on (false).
    pub fn hold_syncs(&self, held: bool) {
        self.lock().syncs_held = held;
        self.released.notify_all();
    }

    /// How many syncs block just now.
    #[must_use]
    pub fn syncs_waiting(&self) -> usize {
        self.lock().syncs_waiting
    }

    /// The machine is dead from now on: every operation fails, those that block included.
    pub fn die(&self) {
        self.lock().crashed = true;
        self.released.notify_all();
    }

    /// What has gone wrong so far and how often, over all crashes: operations that failed, bytes and names that a crash took.
    #[must_use]
    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.lock().happened.clone()
    }

    /// All files together may have this many bytes from now on.
    pub fn limit(&self, bytes_max: Option<u64>) {
        self.lock().bytes_max = bytes_max;
    }

    /// The disk as the next process finds it. This one stays as it is, so that one crash can be tried in many
    /// ways.
    #[must_use]
    pub fn after_crash(&self, survival: Survival) -> SimulatedDisk {
        let world = self.lock();
        let mut happened = world.happened.clone();
        let mut world = match survival {
            Survival::Nothing => World::holding(
                world.files.iter().map(|file| file.durable.clone()),
                world.durable_names.clone(),
            ),
            Survival::Everything => World {
                files: world.files.clone(),
                names: world.names.clone(),
                durable_names: world.durable_names.clone(),
                unsynced_names: world.unsynced_names.clone(),
                ..World::default()
            },
            Survival::Some(seed) => {
                let mut chance = Chance(seed);
                let kept = chance.below(world.unsynced_names.len() + 1);
                let mut names = world.durable_names.clone();
                world.unsynced_names[..kept].iter().for_each(|change| change.apply(&mut names));
                if kept < world.unsynced_names.len() {
                    *happened.entry("a name is lost").or_default() += 1;
                }
                World::holding(world.files.iter().map(|file| file.torn(&mut chance, &mut happened)), names)
            }
        };
        world.happened = happened;
        SimulatedDisk { world: Arc::new(Mutex::new(world)), released: Arc::default() }
    }

    /// Whether a byte of a file is on the platter as it is in sight: nothing that was written to it waits for a sync.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn is_at_rest(&self, name: &str, offset: u64) -> bool {
        let world = self.lock();
        let file = &world.files[world.names[name]];
        let waits = |change: &Change| match change {
            Change::Length(_) => false,
            Change::Write { at, bytes } => (*at..at + bytes.len()).contains(&(offset as usize)),
        };
        file.durable.len() as u64 > offset && !file.unsynced.iter().any(waits)
    }

    /// Flips the bits of `mask` in one byte of a file, on the platter and in sight.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) {
        let mut world = self.lock();
        let id = world.names[name];
        world.files[id].seen[offset as usize] ^= mask;
        world.files[id].durable[offset as usize] ^= mask;
    }

    /// A file's bytes as the running process sees them.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn bytes_of(&self, name: &str) -> Vec<u8> {
        let world = self.lock();
        world.files[world.names[name]].seen.clone()
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operation meets.
#[derive(PartialEq, Eq)]
enum Fate {
    Happens,
    /// The machine crashes at it.
    Crashes,
    Fails(io::ErrorKind),
}

impl World {
    /// A world in which all this is durable.
    fn holding(files: impl Iterator<Item = Vec<u8>>, names: BTreeMap<String, usize>) -> World {
        let file = |bytes: Vec<u8>| File { seen: bytes.clone(), durable: bytes, unsynced: Vec::new() };
        World { files: files.map(file).collect(), durable_names: names.clone(), names, ..World::default() }
    }

    /// Counts an operation and decides its fate.
    fn operation(&mut self) -> io::Result<Fate> {
        self.alive()?;
        self.operations += 1;
        if self.crash_at == Some(self.operations) {
            self.crashed = true;
            return Ok(Fate::Crashes);
        }
        match self.fail_at {
            Some((at, kind)) if at == self.operations => Ok(Fate::Fails(kind)),
            _ => Ok(Fate::Happens),
        }
    }

    /// The fate of an operation with a file.
    fn operation_with(&mut self, id: usize) -> io::Result<Fate> {
        let fate = self.operation()?;
        let file = self.crash_in.as_ref().and_then(|name| self.names.get(name));
        if file == Some(&id) {
            self.crashed = true;
            return Ok(Fate::Crashes);
        }
        Ok(fate)
    }

    /// An operation that happens whole or not at all; `fails` says in words that it does not.
    fn simple_operation(&mut self, fails: &'static str) -> io::Result<()> {
        match self.operation()? {
            Fate::Happens => Ok(()),
            Fate::Crashes => Err(crashed()),
            Fate::Fails(kind) => {
                self.note(fails);
                Err(kind.into())
            }
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(crashed()) } else { Ok(()) }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn grow(&mut self, id: usize, len: usize) -> io::Result<()> {
        let more = len.saturating_sub(self.files[id].seen.len()) as u64;
        if self.bytes_max.is_some_and(|most| self.bytes_used() + more > most) {
            self.note("there is no room");
            return Err(io::ErrorKind::StorageFull.into());
        }
        if more > 0 {
            self.files[id].seen.resize(len, 0);
            self.files[id].unsynced.push(Change::Length(len));
        }
        Ok(())
    }

    fn bytes_used(&self) -> u64 {
        self.names.values().map(|&id| self.files[id].seen.len() as u64).sum()
    }
}

impl File {
    /// The durable bytes with some sectors of the unsynced changes.
    fn torn(&self, chance: &mut Chance, happened: &mut BTreeMap<&'static str, u64>) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mut lost_before = false;
        for change in &self.unsynced {
            match change {
                Change::Length(len) => {
                    if chance.coin() && bytes.len() < *len {
                        bytes.resize(*len, 0);
                    }
                }
                Change::Write { at, bytes: written } => {
                    let mut from = 0;
                    let (mut kept, mut lost) = (false, false);
                    while from < written.len() {
                        let sector_end = ((at + from) / SECTOR_BYTES + 1) * SECTOR_BYTES;
                        let to = written.len().min(sector_end - at);
                        // Bytes beyond a length that did not survive are nowhere.
                        let survives = chance.coin() && at + to <= bytes.len();
                        let end = match survives {
                            true if chance.below(TORN_SECTORS) == 0 => from + chance.below(to - from),
                            true => to,
                            false => from,
                        };
                        if end > from {
                            bytes[at + from..at + end].copy_from_slice(&written[from..end]);
                        }
                        kept |= end > from;
                        lost |= end < to;
                        from = to;
                    }
                    let mut note = |what| *happened.entry(what).or_default() += 1;
                    match (kept, lost) {
                        (true, true) => note("a write is torn"),
                        (false, true) => note("a write is lost"),
                        _ => {}
                    }
                    if kept && lost_before {
                        note("a write overtakes an earlier one");
                    }
                    lost_before |= lost;
                }
            }
        }
        bytes
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Given(name, id) => {
                names.insert(name.clone(), *id);
            }
            NameChange::Renamed(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
            NameChange::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl Disk for SimulatedDisk {
    fn directory(&self) -> String {
        "simulated".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let world = self.lock();
        world.alive()?;
        Ok(world.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.lock();
        world.simple_operation("a file cannot be made")?;
        if world.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = world.files.len();
        world.files.push(File::default());
        world.change_name(NameChange::Given(name.to_owned(), id));
        drop(world);
        Ok(Arc::new(SimulatedFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let world = self.lock();
        world.alive()?;
        let id = *world.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        drop(world);
        Ok(Arc::new(SimulatedFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.lock();
        world.simple_operation("a name cannot be given")?;
        if !world.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.change_name(NameChange::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.lock();
        world.simple_operation("a name cannot be taken")?;
        if !world.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        world.change_name(NameChange::Removed(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut world = self.lock();
        world.simple_operation("the directory cannot be synced")?;
        world.durable_names = world.names.clone();
        world.unsynced_names.clear();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let world = self.lock();
        world.alive()?;
        Ok(world.bytes_max.map_or(u64::MAX, |most| most.saturating_sub(world.bytes_used())))
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    id: usize,
}

impl DiskFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        let world = self.disk.lock();
        world.alive()?;
        Ok(world.files[self.id].seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.lock();
        world.alive()?;
        match &mut world.fail_reads {
            Some((0, 0)) | None => {}
            Some((0, count)) => {
                *count -= 1;
                world.note(READ_FAILS);
                return Err(io::Error::other("the simulated disk refuses to read"));
            }
            Some((well, _)) => *well -= 1,
        }
        let bytes = world.files[self.id].seen.get(offset as usize..).unwrap_or_default();
        let len = buffer.len().min(bytes.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut world = self.disk.lock();
        let fate = world.operation_with(self.id)?;
        let mut bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<_>>();
        if let Fate::Fails(kind) = fate {
            if !world.fails_half_way {
                world.note("a write fails");
                return Err(kind.into());
            }
            world.note("a write is short");
            bytes.truncate(bytes.len() / 2);
        }
        let at = offset as usize;
        world.grow(self.id, at + bytes.len())?;
        let file = &mut world.files[self.id];
        file.seen[at..at + bytes.len()].copy_from_slice(&bytes);
        file.unsynced.push(Change::Write { at, bytes });
        match fate {
            Fate::Happens => Ok(()),
            Fate::Crashes => Err(crashed()),
            Fate::Fails(kind) => Err(kind.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.disk.lock();
        world.syncs_waiting += 1;
        while world.syncs_held && !world.crashed {
            world = self.disk.released.wait(world).unwrap_or_else(PoisonError::into_inner);
        }
        world.syncs_waiting -= 1;
        let operations = world.operations;
        let mut fate = world.operation_with(self.id)?;
        if std::mem::take(&mut world.fail_next_sync) {
            fate = Fate::Fails(io::ErrorKind::Other);
        }
        if matches!(fate, Fate::Fails(_)) {
            world.note("a sync fails");
        }
        let World { files, happened, .. } = &mut *world;
        let file = &mut files[self.id];
        match fate {
            Fate::Happens => {
                // The length goes with the bytes, also one whose own sync failed.
                if !file.unsynced.is_empty() {
                    file.durable.resize(file.seen.len(), 0);
                }
                for change in std::mem::take(&mut file.unsynced) {
                    if let Change::Write { at, bytes } = change {
                        file.durable[at..at + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                Ok(())
            }
            Fate::Crashes => Err(crashed()),
            Fate::Fails(kind) => {
                // The pages count as clean now, and what reached the platter is anybody's guess.
                file.durable = file.torn(&mut Chance(operations), happened);
                file.unsynced.clear();
                Err(kind.into())
            }
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.lock();
        world.simple_operation("room cannot be set aside")?;
        world.grow(self.id, len as usize)
    }
}

fn crashed() -> io::Error {
    io::Error::other("the simulated machine has crashed")
}

/// A small generator of numbers (splitmix64): the same seed, the same numbers.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
