//! Reading what is kept: positioned reads with a checksum over each, from any thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::entry::{AcceptedMeta, HEADER_BYTES, Header, ImageMeta, Kind, ThumbnailsMeta};
use super::error::{Damage, Defect, ReadError};
use super::volume::{Location, Readers, read_up_to, volume_name};
use crate::images::{Size, Thumbnail};

/// Header and metadata are this long at most, almost always: one read gets both.
const HEAD_BYTES: usize = 512;

/// Reads entries by their places.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) files: Readers,
    pub(super) seed: u32,
}

impl Reader {
    /// An image's header and metadata.
    pub(super) fn image_meta(&self, at: Location) -> Result<(Header, ImageMeta), ReadError> {
        self.meta(at, Kind::Image)
    }

    pub(super) fn thumbnails_meta(&self, at: Location) -> Result<(Header, ThumbnailsMeta), ReadError> {
        self.meta(at, Kind::Thumbnails)
    }

    pub(super) fn accepted_meta(&self, at: Location) -> Result<(Header, AcceptedMeta), ReadError> {
        self.meta(at, Kind::Accepted)
    }

    /// An image's content.
    pub(super) fn content(&self, at: Location, header: &Header) -> Result<Bytes, ReadError> {
        self.checked(at, header.content_at(), header.content_len, header.content_crc)
    }

    /// One thumbnail of a thumbnails entry.
    pub(super) fn thumbnail(&self, at: Location, size: Size) -> Result<Thumbnail, ReadError> {
        let (header, meta) = self.thumbnails_meta(at)?;
        let before =
            meta.thumbnails.iter().take(size as usize).map(|thumbnail| thumbnail.length).sum::<u32>();
        let found = meta.thumbnails.into_iter().nth(size as usize);
        let thumbnail = found.ok_or_else(|| damaged(at, Defect::Header))?;
        let bytes = self.checked(at, header.content_at() + before, thumbnail.length, thumbnail.crc)?;
        let (width, height) = (thumbnail.width, thumbnail.height);
        Ok(Thumbnail { width, height, content_type: thumbnail.content_type.into(), bytes })
    }

    fn meta<M: Message + Default>(&self, at: Location, kind: Kind) -> Result<(Header, M), ReadError> {
        let file = self.file(at)?;
        let mut bytes = vec![0; HEAD_BYTES];
        let read = read_up_to(&file, &mut bytes, at.offset.into()).map_err(|error| io_error(at, error))?;
        bytes.truncate(read);
        let Some(&header_bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(damaged(at, Defect::EndsWithin));
        };
        let header = Header::read(&header_bytes).map_err(|defect| damaged(at, defect))?;
        let end = HEADER_BYTES + header.meta_len as usize;
        if end > bytes.len() {
            bytes.resize(end, 0);
            file.read_exact_at(&mut bytes, at.offset.into()).map_err(|error| io_error(at, error))?;
        }
        let meta = &bytes[HEADER_BYTES..end];
        match header.check(self.seed, at.volume, at.offset, &header_bytes, meta) {
            Ok(found) if found == kind => {}
            Ok(_) => return Err(damaged(at, Defect::Header)),
            Err(defect) => return Err(damaged(at, defect)),
        }
        let meta = M::decode(meta).map_err(|_| damaged(at, Defect::Header))?;
        Ok((header, meta))
    }

    fn checked(&self, at: Location, from: u32, len: u32, crc: u32) -> Result<Bytes, ReadError> {
        let mut bytes = vec![0; len as usize];
        let offset = u64::from(at.offset) + u64::from(from);
        let read = read_up_to(&*self.file(at)?, &mut bytes, offset).map_err(|error| io_error(at, error))?;
        if read < bytes.len() {
            return Err(damaged(at, Defect::EndsWithin));
        }
        if crc32c::crc32c(&bytes) != crc {
            return Err(damaged(at, Defect::Content));
        }
        Ok(bytes.into())
    }

    fn file(&self, at: Location) -> Result<Arc<File>, ReadError> {
        self.files.get(at.volume).map_err(|error| io_error(at, error))
    }
}

fn damaged(at: Location, defect: Defect) -> ReadError {
    ReadError::Damaged(Damage { file: volume_name(at.volume), offset: at.offset.into(), defect })
}

fn io_error(at: Location, source: io::Error) -> ReadError {
    ReadError::Io { file: volume_name(at.volume), offset: at.offset.into(), source: Arc::new(source) }
}
