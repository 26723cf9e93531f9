//! What is told to the pages that look on: which uploads changed, and notifications.
//!
//! A change is a mark, not a message: an upload that changes ten times in a moment is told once, as it then is. Nobody
//! who uploads waits for anybody who looks on: marks are bounded, and beyond the bound the pages are told to read the
//! list anew (`resync`). With no page open, a change costs one load.

use std::collections::HashSet;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, broadcast};

use crate::store::UploadId;

/// Uploads marked as changed before pages are told to read anew.
const MARKS_MAX: usize = 500;
/// Events a page may lag behind before it is told to read anew.
const EVENTS_MAX: usize = 1_024;
/// Marks gather so long before the changed uploads are looked up.
const GATHER: Duration = Duration::from_millis(40);

/// One server-sent event; its text is made once for all pages.
#[derive(Clone, Debug)]
pub struct Event {
    /// `upload`, `notification` or `resync`.
    pub name: &'static str,
    /// JSON on one line.
    pub data: Bytes,
}

/// See the file's head.
#[derive(Debug)]
pub struct Hub {
    events: broadcast::Sender<Event>,
    marks: Mutex<Marks>,
    marked: Notify,
}

#[derive(Debug, Default)]
struct Marks {
    uploads: HashSet<UploadId>,
    too_many: bool,
}

/// What has changed since the last look.
#[derive(Debug, PartialEq, Eq)]
pub enum Changes {
    /// These uploads.
    Uploads(Vec<UploadId>),
    /// More than can be told one by one.
    TooMany,
}

impl Default for Hub {
    fn default() -> Self {
        Self { events: broadcast::channel(EVENTS_MAX).0, marks: Mutex::default(), marked: Notify::new() }
    }
}

impl Hub {
    /// A page that looks on from now.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Whether anybody looks on.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        self.events.receiver_count() > 0
    }

    /// Tells every page.
    pub fn tell(&self, event: Event) {
        // Nobody may be looking on.
        let _ = self.events.send(event);
    }

    /// An upload is no longer as it was.
    pub fn changed(&self, upload: UploadId) {
        if !self.has_listeners() {
            return;
        }
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.uploads.len() < MARKS_MAX {
            marks.uploads.insert(upload);
        } else {
            marks.too_many |= !marks.uploads.contains(&upload);
        }
        drop(marks);
        self.marked.notify_one();
    }

    /// Waits until something has changed, and a moment more.
    pub async fn changes(&self) -> Changes {
        self.marked.notified().await;
        tokio::time::sleep(GATHER).await;
        self.take()
    }

    fn take(&self) -> Changes {
        let marks = mem::take(&mut *self.marks.lock().unwrap_or_else(PoisonError::into_inner));
        match marks.too_many {
            true => Changes::TooMany,
            false => Changes::Uploads(marks.uploads.into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_changes_often_is_told_once() {
        let hub = Hub::default();
        let _page = hub.listen();
        let upload = UploadId::random();
        for _ in 0..10 {
            hub.changed(upload);
        }
        assert_eq!(hub.take(), Changes::Uploads(vec![upload]));
        assert_eq!(hub.take(), Changes::Uploads(vec![]));
    }

    #[test]
    fn more_than_can_be_told_is_told_as_such_and_bounded() {
        let hub = Hub::default();
        let _page = hub.listen();
        for _ in 0..2 * MARKS_MAX {
            hub.changed(UploadId::random());
        }
        assert_eq!(hub.marks.lock().expect("not poisoned").uploads.len(), MARKS_MAX);
        assert_eq!(hub.take(), Changes::TooMany);
    }

    #[test]
    fn with_nobody_looking_on_nothing_is_kept() {
        let hub = Hub::default();
        hub.changed(UploadId::random());
        assert_eq!(hub.take(), Changes::Uploads(vec![]));
    }
}
