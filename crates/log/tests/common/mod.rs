//! What the log's tests share: frames with known content, and a look at what a log holds.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_log::disk::simulated::SimulatedDisk;
use tidegate_log::{
    Epoch, Frame, FrameBuilder, LocalLog, LocalOptions, Log, OpenError, Opened, PayloadOffset, Sequence,
    Shard,
};

/// What was put into a frame: its records, and its payloads one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) records: Vec<u8>,
    pub(crate) payloads: Vec<Vec<u8>>,
}

impl Content {
    /// Content of about `bytes` bytes that differs from that of every other `sequence` and `variant`.
    pub(crate) fn new(sequence: u64, variant: u64, bytes: usize) -> Content {
        let records = format!("record {sequence} of variant {variant};").into_bytes();
        let byte = |index: usize| (sequence as usize * 31 + variant as usize * 7 + index) as u8;
        let half = (0..bytes / 2).map(byte).collect::<Vec<_>>();
        Content { records, payloads: vec![half.clone(), Vec::new(), half] }
    }

    pub(crate) fn frame(&self, epoch: Epoch, sequence: Sequence) -> Frame {
        let mut builder = FrameBuilder::new();
        builder.push_record(&self.records);
        for payload in &self.payloads {
            builder.push_payload(payload);
        }
        builder.finish(Shard(3), epoch, sequence, 1_000 + sequence.0)
    }

    pub(crate) fn addresses(&self) -> Vec<(PayloadOffset, u32)> {
        let mut at = 0;
        let address = |payload: &Vec<u8>| {
            let address = (PayloadOffset(at as u32), payload.len() as u32);
            at += FrameBuilder::payload_bytes(payload.len());
            address
        };
        self.payloads.iter().map(address).collect()
    }
}

/// Options small enough that a few frames fill a segment.
pub(crate) fn small() -> LocalOptions {
    LocalOptions { segment_bytes: 4_096, recent_bytes: 2_000, spares: 1, identity: Some(0x7469_6465) }
}

pub(crate) fn open(disk: &SimulatedDisk) -> Result<Opened<LocalLog>, OpenError> {
    LocalLog::open_stepped(Arc::new(disk.clone()), small())
}

/// Everything a log holds, durable and readable, payloads included.
pub(crate) fn contents(log: &dyn Log, expected: &BTreeMap<u64, Vec<Content>>) -> BTreeMap<u64, Content> {
    let mut reader = log.read(Sequence::ZERO).expect("a log is readable from its beginning");
    let mut found = BTreeMap::new();
    while let Some(view) = reader.next_frame().expect("every frame is sound") {
        let sequence = view.header.sequence;
        let candidates = &expected[&sequence.0];
        let written = candidates.iter().find(|content| content.records == view.records);
        let written = written.unwrap_or_else(|| panic!("frame {sequence} was never submitted like this"));
        let source = log.payload(sequence).expect("a frame that is held has payloads");
        let payloads = source.read_many(&written.addresses()).expect("every payload is sound");
        let payloads = payloads.into_iter().map(|payload| payload.to_vec()).collect();
        found.insert(sequence.0, Content { records: view.records.to_vec(), payloads });
    }
    found
}
