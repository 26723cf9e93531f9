//! The one hash whose values are kept on disk: fingerprints of requests, and which shard a queue is in.
//!
//! It is XXH64 as its specification gives it, and must stay so: another hash would make every remembered
//! idempotency key a mismatch and lose every queue's shard. It is quick and well spread, and it is no
//! defence: a caller that makes two of its own requests collide fools only itself.

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

/// The fingerprint of a request given in parts (method, path, body): two chains of XXH64 that begin with the
/// seeds 0 and 1, where each part is hashed with the hash of the parts before it as the seed. So `["a", "b"]`
/// and `["ab"]` differ.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> [u64; 2] {
    [0, 1].map(|seed| parts.iter().fold(seed, |seed, part| xxh64(part, seed)))
}

/// The shard of a queue or a pool among `shards`: XXH64, with seed 0, of what is behind the name's `@`, or of the whole name if
/// it has none, modulo their number. So what is named with one place is in one shard.
#[must_use]
pub fn shard_of(name: &str, shards: u16) -> u16 {
    let place = tidegate_core::pool::place_of(name).unwrap_or(name);
    if shards <= 1 { 0 } else { (xxh64(place.as_bytes(), 0) % u64::from(shards)) as u16 }
}

fn xxh64(data: &[u8], seed: u64) -> u64 {
    let mut stripes = data.chunks_exact(32);
    let mut hash = if data.len() < 32 {
        seed.wrapping_add(P5)
    } else {
        let mut lanes =
            [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
        for stripe in &mut stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, u64_of(word));
            }
        }
        let [a, b, c, d] = lanes;
        let sum = a.rotate_left(1).wrapping_add(b.rotate_left(7));
        let sum = sum.wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18));
        lanes.iter().fold(sum, |sum, &lane| (sum ^ round(0, lane)).wrapping_mul(P1).wrapping_add(P4))
    };
    hash = hash.wrapping_add(data.len() as u64);
    let mut words = stripes.remainder().chunks_exact(8);
    for word in &mut words {
        hash = (hash ^ round(0, u64_of(word))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
    }
    let mut rest = words.remainder();
    if let Some((half, behind)) = rest.split_first_chunk::<4>() {
        let half = u64::from(u32::from_le_bytes(*half));
        hash = (hash ^ half.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = behind;
    }
    for &byte in rest {
        hash = (hash ^ u64::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

fn u64_of(word: &[u8]) -> u64 {
    u64::from_le_bytes(word.try_into().expect("a word has eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the reference implementation. They are on disks: a change here is data loss.
    #[test]
    fn the_hash_is_the_one_on_disk() {
        let long: Vec<u8> = (0..=255).collect();
        assert_eq!(xxh64(b"", 0), 0xEF46_DB37_51D8_E999);
        assert_eq!(xxh64(b"a", 0), 0xD24E_C4F1_A98C_6E5B);
        assert_eq!(xxh64(b"abc", 0), 0x44BC_2CF5_AD77_0999);
        assert_eq!(xxh64(&long, 0), LONG_0);
        assert_eq!(xxh64(&long[..61], 12_345), LONG_61);
    }
    const LONG_0: u64 = 0x1FAC_BE84_06CD_904B;
    const LONG_61: u64 = 0x3705_7283_EEAD_DF78;

    #[test]
    fn a_fingerprint_knows_where_its_parts_end() {
        assert_ne!(fingerprint(&[b"a", b"b"]), fingerprint(&[b"ab"]));
        assert_ne!(fingerprint(&[b"a", b""]), fingerprint(&[b"a"]));
        assert_eq!(fingerprint(&[b"POST", b"/v1"]), fingerprint(&[b"POST", b"/v1"]));
    }

    #[test]
    fn queues_spread_over_shards() {
        let mut counts = [0; 4];
        for n in 0..1_000 {
            counts[usize::from(shard_of(&format!("queue-{n}"), 4))] += 1;
        }
        assert!(counts.iter().all(|&count| count > 150), "{counts:?}");
        assert_eq!(shard_of("any", 1), 0);
    }

    #[test]
    fn names_with_one_place_are_in_one_shard() {
        let shards: Vec<u16> = (0..100).map(|n| shard_of(&format!("section-{n}@spring"), 64)).collect();
        assert!(shards.iter().all(|&shard| shard == shard_of("mail@spring", 64)));
        assert_eq!(shards[0], shard_of("spring", 64));
    }
}
