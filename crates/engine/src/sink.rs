//! Where a turn's records and payloads go: straight into the buffers of the frame that will hold them.

use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};
use tidegate_core::{Record, Sink};
use tidegate_log::FrameBuilder;

use crate::envelope::Envelope;

/// A frame in the making.
#[derive(Debug, Default)]
pub(crate) struct FrameSink {
    builder: FrameBuilder,
}

impl FrameSink {
    /// The builder.
    pub(crate) fn builder(&mut self) -> &mut FrameBuilder {
        &mut self.builder
    }

    /// Where the next blob will lie.
    pub(crate) fn cursor(&self) -> u32 {
        self.builder.payload_cursor().0
    }

    /// Bytes of the frame so far.
    pub(crate) fn bytes(&self) -> usize {
        self.builder.frame_bytes()
    }

    /// Appends a blob. An empty one takes no room, as [`Envelope::stored_len`] says.
    pub(crate) fn push_envelope(&mut self, envelope: &Envelope) {
        if envelope.encoded_len() > 0 {
            self.builder.push_payload_with(|payloads| envelope.encode_raw(payloads));
        }
    }

    /// Appends a blob as it was read from an earlier frame.
    pub(crate) fn push_blob(&mut self, blob: &[u8]) {
        self.builder.push_payload(blob);
    }
}

impl Sink for FrameSink {
    /// Writes the record as the message around a choice would be written, length first, without making that
    /// message.
    fn record(&mut self, record: &Record) {
        let len = record.encoded_len();
        self.builder.with_record(|records| {
            records.reserve(len + encoded_len_varint(len as u64));
            encode_varint(len as u64, records);
            record.encode(records);
        });
    }

    fn made_len(&self, text: &str) -> u32 {
        Envelope::json(text.to_owned()).stored_len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::record::{RecordMessage, Released};

    #[test]
    fn a_record_is_written_as_a_delimited_message() {
        let record = Record::Released(Released { job: 300 });
        let mut sink = FrameSink::default();
        sink.record(&record);
        let expected = RecordMessage { record: Some(record) }.encode_length_delimited_to_vec();
        let bytes = sink.builder().with_record(|records| records.clone());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_blob_takes_the_room_that_its_envelope_promised() {
        let mut sink = FrameSink::default();
        for envelope in [Envelope::json("{}"), Envelope::default(), Envelope::bytes(vec![7; 300])] {
            let before = sink.cursor();
            sink.push_envelope(&envelope);
            assert_eq!(sink.cursor() - before, envelope.stored_len());
        }
    }
}
