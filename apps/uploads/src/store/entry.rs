//! The form of an entry on the disk.
//!
//! ```text
//!  0  "TGUE"                       magic
//!  4  u8   version, 1
//!  5  u8   kind: 1 image, 2 thumbnails, 3 accepted, 4 notified, 5 let go
//!  6  u16  0
//!  8  u32  length of the metadata
//! 12  u32  length of the content
//! 16  u32  CRC-32C of the content
//! 20  u32  number of the volume
//! 24  u32  offset of this entry in it
//! 28  u32  durable: up to this offset the volume was synced before this entry was written
//! 32  u32  0
//! 36  u32  CRC-32C of the bytes 0..36 and the metadata, begun with the store's seed
//! 40  metadata, content, zeros up to a multiple of 8
//! ```
//!
//! Numbers are little-endian. The metadata is protobuf, as everything else this project keeps: a reader skips fields
//! that it does not know, so that a later version may add some. The header is fixed, so that a scan finds the next
//! entry without understanding this one. The seed is a secret of the store: nobody can upload an image that contains
//! what looks like one of its entries.

use bytes::Bytes;
use prost::Message;

use super::error::{AppendError, Defect};
use super::id::UploadId;
use super::limits::{CONTENT_BYTES_MAX, META_BYTES_MAX};
use crate::images::Thumbnail;

pub(super) const HEADER_BYTES: usize = 40;
pub(super) const MAGIC: [u8; 4] = *b"TGUE";
const VERSION: u8 = 1;
/// Entries begin at multiples of this.
pub(super) const ALIGNMENT: u32 = 8;

/// Something to be kept.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An image that was uploaded.
    Image(NewImage),
    /// The three thumbnails of an upload, in the order of [`Size::ALL`](crate::images::Size::ALL). The first ones stay.
    Thumbnails {
        /// Whose.
        upload: UploadId,
        /// Small, medium, large.
        thumbnails: [Thumbnail; 3],
    },
    /// The jobs of an upload are in the engine.
    Accepted {
        /// Whose.
        upload: UploadId,
        /// The ids of its three jobs: thumbnail, email, notification.
        jobs: [String; 3],
    },
    /// The notification of an upload went out.
    Notified {
        /// Whose.
        upload: UploadId,
    },
    /// An upload whose jobs were refused, and which nobody can come back to: it is as if it had never been sent.
    LetGo {
        /// Which.
        upload: UploadId,
    },
}

/// An image that was uploaded, and what came with it.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Its new name.
    pub upload: UploadId,
    /// The key that the client chose for this request, if it did.
    pub client_key: Option<String>,
    /// The file's name.
    pub name: String,
    /// Its media type, as judged by its content.
    pub content_type: String,
    /// Whom to tell.
    pub email: String,
    /// When it was received, in milliseconds since 1970.
    pub received_at_ms: u64,
    /// The file.
    pub bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Image = 1,
    Thumbnails = 2,
    Accepted = 3,
    Notified = 4,
    LetGo = 5,
}

impl Kind {
    fn from_number(number: u8) -> Option<Kind> {
        [Kind::Image, Kind::Thumbnails, Kind::Accepted, Kind::Notified, Kind::LetGo]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ImageMeta {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) upload: Vec<u8>,
    #[prost(string, optional, tag = "2")]
    pub(super) client_key: Option<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) content_type: String,
    #[prost(string, tag = "5")]
    pub(super) email: String,
    #[prost(uint64, tag = "6")]
    pub(super) received_at_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ThumbnailsMeta {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) upload: Vec<u8>,
    /// Small, medium, large; their contents follow one another in this order.
    #[prost(message, repeated, tag = "2")]
    pub(super) thumbnails: Vec<ThumbnailMeta>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ThumbnailMeta {
    #[prost(uint32, tag = "1")]
    pub(super) width: u32,
    #[prost(uint32, tag = "2")]
    pub(super) height: u32,
    #[prost(string, tag = "3")]
    pub(super) content_type: String,
    #[prost(uint32, tag = "4")]
    pub(super) length: u32,
    /// Its own checksum, so that one size can be read without the others.
    #[prost(fixed32, tag = "5")]
    pub(super) crc: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AcceptedMeta {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) upload: Vec<u8>,
    #[prost(string, repeated, tag = "2")]
    pub(super) jobs: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MarkMeta {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) upload: Vec<u8>,
}

/// The one field that all kinds have, under one number.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyMeta {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) upload: Vec<u8>,
}

/// An entry that lacks only its place. What costs time (encoding, checksums) is done; the caller did it.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) kind: Kind,
    pub(super) upload: UploadId,
    pub(super) client_key: Option<String>,
    pub(super) meta: Vec<u8>,
    pub(super) content: Vec<Bytes>,
    content_len: u32,
    content_crc: u32,
}

impl Prepared {
    pub(super) fn new(entry: Entry) -> Result<Prepared, AppendError> {
        let mut client_key = None;
        let (kind, upload, meta, content) = match entry {
            Entry::Image(image) => {
                client_key.clone_from(&image.client_key);
                let meta = ImageMeta {
                    upload: image.upload.bytes().to_vec(),
                    client_key: image.client_key,
                    name: image.name,
                    content_type: image.content_type,
                    email: image.email,
                    received_at_ms: image.received_at_ms,
                };
                (Kind::Image, image.upload, meta.encode_to_vec(), vec![image.bytes])
            }
            Entry::Thumbnails { upload, thumbnails } => {
                let metas = thumbnails.iter().map(|thumbnail| ThumbnailMeta {
                    width: thumbnail.width,
                    height: thumbnail.height,
                    content_type: thumbnail.content_type.clone().into_owned(),
                    length: thumbnail.bytes.len() as u32,
                    crc: crc32c::crc32c(&thumbnail.bytes),
                });
                let meta = ThumbnailsMeta { upload: upload.bytes().to_vec(), thumbnails: metas.collect() };
                let content = thumbnails.into_iter().map(|thumbnail| thumbnail.bytes).collect();
                (Kind::Thumbnails, upload, meta.encode_to_vec(), content)
            }
            Entry::Accepted { upload, jobs } => {
                let meta = AcceptedMeta { upload: upload.bytes().to_vec(), jobs: jobs.to_vec() };
                (Kind::Accepted, upload, meta.encode_to_vec(), Vec::new())
            }
            Entry::Notified { upload } => {
                let meta = MarkMeta { upload: upload.bytes().to_vec() };
                (Kind::Notified, upload, meta.encode_to_vec(), Vec::new())
            }
            Entry::LetGo { upload } => {
                let meta = MarkMeta { upload: upload.bytes().to_vec() };
                (Kind::LetGo, upload, meta.encode_to_vec(), Vec::new())
            }
        };
        if meta.len() > META_BYTES_MAX {
            return Err(AppendError::TooLong("its names and keys"));
        }
        let content_len = content.iter().map(Bytes::len).sum::<usize>();
        if content_len > CONTENT_BYTES_MAX {
            return Err(AppendError::TooLong("its content"));
        }
        let content_crc = content.iter().fold(0, |crc, piece| crc32c::crc32c_append(crc, piece));
        let content_len = content_len as u32;
        Ok(Prepared { kind, upload, client_key, meta, content, content_len, content_crc })
    }

    /// What it takes on the disk.
    pub(super) fn entry_bytes(&self) -> u32 {
        entry_bytes(self.meta.len() as u32, self.content_len)
    }

    /// Writes it to the end of `buffer` as it will stand at `place`.
    pub(super) fn write(&self, place: &Place, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.extend_from_slice(&MAGIC);
        buffer.extend_from_slice(&[VERSION, self.kind as u8, 0, 0]);
        let numbers = [
            self.meta.len() as u32,
            self.content_len,
            self.content_crc,
            place.volume,
            place.offset,
            place.durable,
            0,
        ];
        for number in numbers {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(place.seed, &buffer[start..]), &self.meta);
        buffer.extend_from_slice(&crc.to_le_bytes());
        buffer.extend_from_slice(&self.meta);
        for piece in &self.content {
            buffer.extend_from_slice(piece);
        }
        buffer.resize(start + self.entry_bytes() as usize, 0);
    }
}

fn entry_bytes(meta_len: u32, content_len: u32) -> u32 {
    (HEADER_BYTES as u32 + meta_len + content_len).next_multiple_of(ALIGNMENT)
}

/// Where an entry stands, and what was known when it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) seed: u32,
    pub(super) volume: u32,
    pub(super) offset: u32,
    pub(super) durable: u32,
}

/// The header of an entry, read back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    kind: u8,
    pub(super) meta_len: u32,
    pub(super) content_len: u32,
    pub(super) content_crc: u32,
    volume: u32,
    offset: u32,
    pub(super) durable: u32,
    crc: u32,
}

impl Header {
    /// Reads what may be a header. Its checksum is held against it by [`check`](Header::check).
    pub(super) fn read(bytes: &[u8; HEADER_BYTES]) -> Result<Header, Defect> {
        let number =
            |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("a header has 40 bytes"));
        if bytes[..4] != MAGIC {
            return Err(Defect::NotAnEntry);
        }
        let header = Header {
            kind: bytes[5],
            meta_len: number(8),
            content_len: number(12),
            content_crc: number(16),
            volume: number(20),
            offset: number(24),
            durable: number(28),
            crc: number(36),
        };
        // Lengths are believed by those who read on, so they are held to their bounds first.
        let sane =
            header.meta_len as usize <= META_BYTES_MAX && header.content_len as usize <= CONTENT_BYTES_MAX;
        if bytes[4] == VERSION && sane { Ok(header) } else { Err(Defect::Header) }
    }

    /// Whether header and metadata are what was written at this place.
    pub(super) fn check(
        &self,
        seed: u32,
        volume: u32,
        offset: u32,
        bytes: &[u8; HEADER_BYTES],
        meta: &[u8],
    ) -> Result<Kind, Defect> {
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &bytes[..HEADER_BYTES - 4]), meta);
        if crc != self.crc || self.volume != volume || self.offset != offset {
            return Err(Defect::Header);
        }
        Kind::from_number(self.kind).ok_or(Defect::UnknownKind)
    }

    pub(super) fn entry_bytes(&self) -> u32 {
        entry_bytes(self.meta_len, self.content_len)
    }

    /// Where the content begins, counted from the entry's beginning.
    pub(super) fn content_at(&self) -> u32 {
        HEADER_BYTES as u32 + self.meta_len
    }
}
