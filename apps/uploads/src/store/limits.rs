//! Every bound of the store, each beside the relation it must keep to the others.

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The length at which a volume is closed and the next one begun, in bytes. Offsets in a volume are 32 bits.
pub const VOLUME_BYTES: u32 = 256 * MIB as u32;

/// How much room a volume takes from the disk at a time, in bytes. A full disk is met here, before anything is
/// written, so that it is a refusal and not a failure.
pub const ALLOCATE_BYTES: u32 = 16 * MIB as u32;

/// The most bytes of content (an image, three thumbnails) of one entry. The front door takes images up to 10 MiB.
pub const CONTENT_BYTES_MAX: usize = 16 * MIB;

/// The most bytes of an entry's metadata: names, an address, a key.
pub const META_BYTES_MAX: usize = 16 * KIB;

/// The most bytes written under one sync, unless a single entry is longer.
pub const BATCH_BYTES_MAX: usize = 4 * MIB;

/// The most bytes waiting for the writer; beyond, the store is busy. Several of the longest entries fit.
pub const QUEUE_BYTES_MAX: usize = 64 * MIB;

/// The most entries waiting for the writer; beyond, the store is busy.
pub const QUEUE_ENTRIES_MAX: usize = 16_384;

/// The most volumes kept open for reading. Well below the 1,024 open files that many systems allow.
pub const OPEN_VOLUMES_MAX: usize = 64;

/// How much recovery reads at a time, in bytes: dozens of small entries share one read, and little is read in vain
/// between long ones.
pub const SCAN_BYTES: usize = 16 * KIB;

const _: () = {
    assert!(CONTENT_BYTES_MAX + META_BYTES_MAX + KIB < VOLUME_BYTES as usize);
    assert!(CONTENT_BYTES_MAX * 4 <= QUEUE_BYTES_MAX);
    assert!(ALLOCATE_BYTES < VOLUME_BYTES);
};
