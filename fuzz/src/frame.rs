//! Frames by themselves.
//!
//! Random bytes never have a right checksum, so most inputs get one before they are looked at: what a forger who knows the
//! format could write. The rest is taken as it is.

use arbitrary::Arbitrary;
use tidegate_log::frame::{HEADER_BYTES, MAGIC, PAYLOAD_PREFIX_BYTES, field, walk_payloads};
use tidegate_log::limits::FRAME_BYTES_MAX;
use tidegate_log::{Epoch, FrameBuilder, FrameHeader, SealedFrame, Sequence, Shard};

/// Records that a frame may have here: a count is only a number, and each one is pushed anew.
const RECORDS_MAX: u32 = 4_096;

/// A frame of known content, and a bit of it to flip.
#[derive(Debug, Arbitrary)]
struct Built<'a> {
    shard: u16,
    epoch: u64,
    sequence: u64,
    time_ms: u64,
    durable: u64,
    identity: u64,
    previous: u32,
    records: Vec<&'a [u8]>,
    payloads: Vec<&'a [u8]>,
    bit: u32,
}

/// See the module.
pub fn check(data: &[u8]) {
    let Some((&way, rest)) = data.split_first() else { return };
    match way % 3 {
        0 => as_found(rest.to_vec()),
        1 => as_found(forged(rest.to_vec())),
        _ => {
            if let Ok(built) = Built::arbitrary(&mut arbitrary::Unstructured::new(rest)) {
                built_and_flipped(&built);
            }
        }
    }
}

/// Gives bytes the marks of a frame and a right checksum.
fn forged(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < HEADER_BYTES {
        bytes.resize(HEADER_BYTES, 0);
    }
    bytes[field::MAGIC].copy_from_slice(&MAGIC);
    bytes[field::VERSION].copy_from_slice(&1u16.to_le_bytes());
    bytes[field::FLAGS].fill(0);
    bytes[field::RESERVED].fill(0);
    // Lengths that fit: the low half of each as it is, the rest cut off.
    let room = (bytes.len() - HEADER_BYTES) as u32;
    let number = |at: std::ops::Range<usize>| u32::from_le_bytes(bytes[at].try_into().expect("four bytes"));
    let records = number(field::RECORDS_LEN) % (room + 1);
    let payloads = number(field::PAYLOADS_LEN) % (room - records + 1);
    bytes[field::RECORDS_LEN].copy_from_slice(&records.to_le_bytes());
    bytes[field::PAYLOADS_LEN].copy_from_slice(&payloads.to_le_bytes());
    let header = head(&bytes);
    let records = &bytes[HEADER_BYTES..HEADER_BYTES + records as usize];
    let decoded = FrameHeader::decode(&header).expect("it was given the form of a header");
    let Err(tidegate_log::frame::FrameDefect::Checksum { found, .. }) = decoded.verify(&header, records)
    else {
        return bytes;
    };
    bytes[field::CHECKSUM].copy_from_slice(&found.to_le_bytes());
    bytes
}

fn head(bytes: &[u8]) -> [u8; HEADER_BYTES] {
    bytes[..HEADER_BYTES].try_into().expect("as long as a header")
}

/// The header, records and payloads of sound bytes.
fn decoded(bytes: &[u8]) -> Option<(FrameHeader, &[u8], Vec<&[u8]>)> {
    let header_bytes = bytes.first_chunk::<HEADER_BYTES>()?;
    let header = FrameHeader::decode(header_bytes).ok()?;
    assert!(header.frame_bytes() <= FRAME_BYTES_MAX as u64 && header.frame_bytes().is_multiple_of(8));
    let payloads_at = header.payloads_at() as usize;
    let records = bytes.get(HEADER_BYTES..payloads_at)?;
    let area = bytes.get(payloads_at..payloads_at + header.payloads_len as usize)?;
    header.verify(header_bytes, records).ok()?;
    let mut places = Vec::new();
    let mut offset_expected = 0;
    let walked = walk_payloads(&header, area, |offset, payload| {
        let Ok(payload) = payload else { return };
        places.push((offset.0 as usize, payload.len()));
    });
    walked.ok()?;
    let mut payloads = Vec::new();
    for (offset, len) in places {
        assert_eq!(offset, offset_expected, "payloads lie one behind the other");
        let at = offset + PAYLOAD_PREFIX_BYTES;
        payloads.push(&area[at..at + len]);
        offset_expected = at + len;
    }
    assert_eq!(offset_expected, area.len(), "and fill their area");
    Some((header, records, payloads))
}

/// What is sound is built anew, from what was read of it, to the same bytes.
fn as_found(bytes: Vec<u8>) {
    let Some((header, records, payloads)) = decoded(&bytes) else { return };
    if header.record_count > RECORDS_MAX || (header.record_count == 0 && !records.is_empty()) {
        return;
    }
    let again = build(&header, &[records], &payloads);
    let used = (header.payloads_at() + u64::from(header.payloads_len)) as usize;
    assert_eq!(again.header(), &header);
    assert!(again.bytes()[..used] == bytes[..used], "what was read is not what was written");
}

fn build(header: &FrameHeader, records: &[&[u8]], payloads: &[&[u8]]) -> SealedFrame {
    let mut builder = FrameBuilder::new();
    let count = header.record_count as usize;
    for index in 0..count {
        builder.push_record(records.get(index).copied().unwrap_or_default());
    }
    for payload in payloads {
        builder.push_payload(payload);
    }
    builder.finish(header.shard, header.epoch, header.sequence, header.time_ms).seal(
        header.identity,
        header.previous,
        header.durable,
    )
}

/// What is built is read as it was built; with any one bit flipped it is not read at all.
fn built_and_flipped(built: &Built<'_>) {
    let header = FrameHeader {
        shard: Shard(built.shard),
        record_count: built.records.len() as u32,
        identity: built.identity,
        epoch: Epoch(built.epoch),
        sequence: Sequence(built.sequence),
        time_ms: built.time_ms,
        durable: Sequence(built.durable),
        records_len: 0,
        payloads_len: 0,
        payload_count: 0,
        payloads_digest: 0,
        previous: built.previous,
        checksum: 0,
    };
    let frame = build(&header, &built.records, &built.payloads);
    let mut bytes = frame.bytes().to_vec();
    let (found, records, payloads) = decoded(&bytes).expect("what was built is sound");
    assert_eq!(&found, frame.header());
    assert_eq!((records, &payloads), (built.records.concat().as_slice(), &built.payloads));
    let used = (found.payloads_at() + u64::from(found.payloads_len)) as usize;
    let (byte, bit) = (built.bit as usize / 8 % used, built.bit % 8);
    bytes[byte] ^= 1 << bit;
    assert!(decoded(&bytes).is_none(), "bit {bit} of byte {byte} is flipped and nobody sees it");
}
