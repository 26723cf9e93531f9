//! What a blob in the log holds: a payload with the little that its worker needs to read it.
//!
//! The core knows only how long a stored blob is, the log only its bytes. The form is protobuf, so that a
//! blob written today is read for years; decoding borrows from the bytes that were read and copies no
//! payload.
//!
//! Left out: whether JSON is well formed. The door has looked.

use bytes::Bytes;
use prost::Message;
use tidegate_log::FrameBuilder;

/// A payload or a result, and how to read it. An empty envelope is stored as nothing.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Envelope {
    /// The bytes as the caller gave them. In an enqueue these may be a slice of the request's body.
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
    /// What the bytes are; read it with [`Envelope::content`].
    #[prost(enumeration = "Content", tag = "2")]
    pub content: i32,
    /// The caller's own names and values, handed to the worker.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Metadata>,
    /// The trace that the job continues, as the W3C writes it.
    #[prost(string, optional, tag = "4")]
    pub traceparent: Option<String>,
}

/// What an envelope's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Content {
    /// A JSON text.
    Json = 0,
    /// Any bytes.
    Bytes = 1,
}

/// One name and value that go with a payload.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Metadata {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

impl Envelope {
    /// An envelope around a JSON text.
    #[must_use]
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self { payload: text.into(), content: Content::Json as i32, ..Self::default() }
    }

    /// An envelope around any bytes.
    #[must_use]
    pub fn bytes(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), content: Content::Bytes as i32, ..Self::default() }
    }

    /// Bytes the envelope takes in the log, the log's own prefix included; 0 if it is empty.
    #[must_use]
    pub fn stored_len(&self) -> u32 {
        match self.encoded_len() {
            0 => 0,
            len => FrameBuilder::payload_bytes(len) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_comes_back_without_its_payload_being_copied() {
        let envelope = Envelope {
            metadata: vec![Metadata { name: "tenant".into(), value: "a".into() }],
            traceparent: Some("00-1-2-01".into()),
            ..Envelope::json(&b"{\"n\":1}"[..])
        };
        let stored = Bytes::from(envelope.encode_to_vec());
        assert_eq!(
            stored.len() + 8,
            envelope.stored_len() as usize,
            "the log adds its prefix of eight bytes"
        );
        let back = Envelope::decode(stored.clone()).expect("an envelope");
        assert_eq!(back, envelope);
        assert!(
            stored.as_ptr_range().contains(&back.payload.as_ptr()),
            "the payload is a slice of what was read"
        );
    }

    #[test]
    fn an_empty_envelope_takes_no_room() {
        assert_eq!(Envelope::default().stored_len(), 0);
        assert_ne!(Envelope::bytes("").stored_len(), 0, "that it is bytes and not JSON must not be lost");
    }
}
