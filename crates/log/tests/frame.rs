//! Frames by themselves: what is built is what is read, and no bytes whatever make the reading panic.

use proptest::prelude::*;
use tidegate_log::frame::{Chain, FrameDefect, HEADER_BYTES, MAGIC, field, verify_payload, walk_payloads};
use tidegate_log::limits::FRAME_BYTES_MAX;
use tidegate_log::{Epoch, FrameBuilder, FrameHeader, PayloadOffset, SealedFrame, Sequence, Shard};

fn sealed(records: &[Vec<u8>], payloads: &[Vec<u8>]) -> SealedFrame {
    let mut builder = FrameBuilder::new();
    records.iter().for_each(|record| builder.push_record(record));
    for payload in payloads {
        builder.push_payload(payload);
    }
    builder.finish(Shard(9), Epoch(3), Sequence(7), 1_234).seal(5, 6, Sequence(4))
}

fn header_bytes(frame: &SealedFrame) -> [u8; HEADER_BYTES] {
    frame.bytes()[..HEADER_BYTES].try_into().expect("a frame begins with a header")
}

#[test]
fn every_byte_of_the_header_belongs_to_a_field() {
    let fields = [
        field::MAGIC,
        field::VERSION,
        field::FLAGS,
        field::SHARD,
        field::RESERVED,
        field::RECORD_COUNT,
        field::IDENTITY,
        field::EPOCH,
        field::SEQUENCE,
        field::TIME_MS,
        field::DURABLE,
        field::RECORDS_LEN,
        field::PAYLOADS_LEN,
        field::PAYLOAD_COUNT,
        field::PAYLOADS_DIGEST,
        field::PREVIOUS,
        field::CHECKSUM,
    ];
    let end = fields.into_iter().fold(0, |end, field| {
        assert_eq!(field.start, end, "no gap and no overlap");
        field.end
    });
    assert_eq!(end, HEADER_BYTES);
}

#[test]
fn the_builder_is_empty_again_after_each_frame() {
    let mut builder = FrameBuilder::new();
    builder.push_record(b"one");
    builder.push_payload(b"two");
    let first = builder.finish(Shard(0), Epoch(1), Sequence(1), 0);
    assert!(builder.is_empty() && builder.frame_bytes() == HEADER_BYTES);
    let second = builder.finish(Shard(0), Epoch(1), Sequence(2), 0);
    assert_eq!((first.header().record_count, second.header().record_count), (1, 0));
    assert_eq!((second.header().payloads_len, second.len()), (0, HEADER_BYTES));
}

#[test]
#[should_panic(expected = "longer than frames may be")]
fn a_frame_over_the_limit_is_a_bug_of_its_builder() {
    let mut builder = FrameBuilder::new();
    builder.push_payload(&vec![0; FRAME_BYTES_MAX]);
    builder.finish(Shard(0), Epoch(1), Sequence(1), 0);
}

#[test]
fn lengths_are_judged_before_they_are_believed() {
    let mut bytes = header_bytes(&sealed(&[], &[]));
    bytes[field::RECORDS_LEN].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes[field::PAYLOADS_LEN].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(FrameHeader::decode(&bytes), Err(FrameDefect::Length { .. })));
}

#[test]
fn the_chain_takes_the_next_frame_only() {
    let frame = sealed(&[], &[]);
    let right = Chain { identity: 5, next: Sequence(7), epoch: Epoch(3), previous: Some(6) };
    let wrong = [
        Chain { identity: 6, ..right },
        Chain { next: Sequence(6), ..right },
        Chain { next: Sequence(8), ..right },
        Chain { epoch: Epoch(4), ..right },
        Chain { previous: Some(7), ..right },
    ];
    for before in wrong {
        let mut chain = before;
        chain.step(frame.header()).expect_err("it is not the next one");
        assert_eq!(chain, before, "the chain stays where it was");
    }
    let mut chain = right;
    chain.step(frame.header()).expect("it is the next one");
    let checksum = frame.header().checksum;
    assert_eq!(chain, Chain { next: Sequence(8), previous: Some(checksum), ..right });
}

proptest! {
    #[test]
    fn what_is_built_is_what_is_read(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8),
    ) {
        let frame = sealed(&records, &payloads);
        let header = FrameHeader::decode(&header_bytes(&frame)).expect("a header");
        prop_assert_eq!(&header, frame.header());
        header.verify(&header_bytes(&frame), frame.records()).expect("sound");
        prop_assert_eq!(frame.records(), records.concat());
        prop_assert_eq!(frame.bytes().len() as u64, header.frame_bytes());
        prop_assert_eq!(frame.bytes().len() % 8, 0);
        let mut found = Vec::new();
        let walked = walk_payloads(&header, &frame.payloads(), |_, payload| found.push(payload.expect("sound").to_vec()));
        prop_assert!(walked.is_ok());
        prop_assert_eq!(found, payloads);
    }

    #[test]
    fn any_flipped_bit_is_found(at in 0..400usize, bit in 0..8u8, payload in prop::collection::vec(any::<u8>(), 300)) {
        let frame = sealed(&[vec![1; 30]], &[payload]);
        let mut bytes = frame.bytes().to_vec();
        let used = (frame.header().payloads_at() + u64::from(frame.header().payloads_len)) as usize;
        let at = at % used;
        bytes[at] ^= 1 << bit;
        let head: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().expect("as long as a header");
        let area_at = frame.header().payloads_at() as usize;
        let sound = FrameHeader::decode(&head).is_ok_and(|header| {
            header.verify(&head, &bytes[HEADER_BYTES..area_at]).is_ok()
                && walk_payloads(&header, &bytes[area_at..used], |_, _| {}).is_ok()
        });
        prop_assert!(!sound);
    }

    #[test]
    fn no_bytes_make_the_reading_panic(mut bytes in prop::collection::vec(any::<u8>(), 80..300), magic: bool) {
        if magic {
            bytes[field::MAGIC].copy_from_slice(&MAGIC);
            bytes[field::VERSION].copy_from_slice(&1u16.to_le_bytes());
            bytes[field::FLAGS].fill(0);
            bytes[field::RESERVED].fill(0);
        }
        let head: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().expect("as long as a header");
        if let Ok(header) = FrameHeader::decode(&head) {
            prop_assert!(header.frame_bytes() <= FRAME_BYTES_MAX as u64);
            let _ = header.verify(&head, &bytes[HEADER_BYTES..]);
        }
        let header = *sealed(&[], &[]).header();
        let _ = walk_payloads(&header, &bytes, |_, _| {});
        let _ = verify_payload(PayloadOffset(0), bytes.len() as u32, &bytes);
    }
}
