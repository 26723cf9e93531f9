//! The writer when the disk fails, and the queue when it is full: things that need a hand inside.

use std::fs::OpenOptions;

use super::super::entry::{Entry, NewImage};
use super::super::volume::Readers;
use super::super::{limits, recovery};
use super::*;

fn image(bytes: usize) -> Prepared {
    let image = NewImage {
        upload: UploadId::random(),
        client_key: None,
        name: "cat.png".to_owned(),
        content_type: "image/png".to_owned(),
        email: "you@example.org".to_owned(),
        received_at_ms: 1,
        bytes: vec![7; bytes].into(),
    };
    Prepared::new(Entry::Image(image)).expect("it is not too long")
}

/// A writer that is not running.
fn writer(directory: &std::path::Path) -> Writer {
    let recovered = recovery::recover(directory, 7).expect("a new store");
    let seed = recovery::seed_of(recovered.identity);
    Writer {
        directory: directory.to_owned(),
        queue: Arc::default(),
        index: Arc::new(RwLock::new(recovered.index)),
        reader: Arc::new(Reader { files: Readers::new(directory.to_owned()), seed }),
        identity: recovered.identity,
        seed,
        volume_bytes: limits::VOLUME_BYTES,
        allocate_bytes: 1 << 16,
        volume: recovered.volume,
        file: recovered.file,
        end: recovered.end,
        durable: recovered.end,
        allocated: recovered.end,
        buffer: Vec::new(),
        broken: None,
    }
}

#[test]
fn a_full_queue_says_busy_and_keeps_what_it_has() {
    let queue = Queue::default();
    let mut taken = 0;
    while queue.push(image(1 << 20)).is_ok() {
        taken += 1;
    }
    assert!(matches!(queue.push(image(1 << 20)), Err(AppendError::Busy)));
    assert_eq!(taken, limits::QUEUE_BYTES_MAX / (1 << 20) - 1, "a little of each goes to its header");
    // Marks still find their place, and they are bounded too.
    queue.push_lazily(image(0)).expect("there is room for a mark");
    while queue.push_lazily(image(1 << 20)).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, LAZY_TIMES * limits::QUEUE_BYTES_MAX / (1 << 20) - 1);
    // What waits leaves in batches, and there is room again.
    for _ in 0..taken {
        assert!(!queue.take().expect("there is a batch").is_empty());
        if queue.push(image(1 << 20)).is_ok() {
            break;
        }
    }
    assert!(queue.push(image(0)).is_ok());

    let queue = Queue::default();
    for _ in 0..limits::QUEUE_ENTRIES_MAX {
        queue.push(image(0)).expect("there is room");
    }
    assert!(matches!(queue.push(image(0)), Err(AppendError::Busy)));
}

#[test]
fn a_batch_is_bounded_and_a_longer_entry_goes_alone() {
    let queue = Queue::default();
    for bytes in [limits::BATCH_BYTES_MAX + 1, 10, limits::BATCH_BYTES_MAX / 2, limits::BATCH_BYTES_MAX / 2] {
        queue.push_lazily(image(bytes)).expect("there is room");
    }
    queue.close();
    let batches = std::iter::from_fn(|| queue.take()).map(|batch| batch.len()).collect::<Vec<_>>();
    assert_eq!(batches, [1, 2, 1]);
}

/// The file is open for reading only: each write fails, as it would on a disk that has gone away.
#[test]
fn after_a_failed_write_everybody_hears_of_it_and_nothing_is_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut writer = writer(directory.path());
    let queue = Arc::clone(&writer.queue);
    let index = Arc::clone(&writer.index);
    // There is room, so that it comes to a write.
    allocate(&writer.file, 1 << 20).expect("there is room");
    writer.allocated = 1 << 20;
    writer.file =
        OpenOptions::new().read(true).open(directory.path().join(volume_name(1))).expect("it is there");
    let answers = (0..3).map(|_| queue.push(image(100)).expect("it is taken")).collect::<Vec<_>>();
    writer.run();
    for answer in answers {
        let error = answer.blocking_recv().expect("an answer").expect_err("it is not kept");
        assert!(matches!(error, AppendError::Broken(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("writing 000001.vol") && text.contains("restart the service"), "{text}");
    }
    assert!(matches!(queue.push(image(100)), Err(AppendError::Broken(_))));
    assert!(matches!(queue.push_lazily(image(100)), Err(AppendError::Broken(_))));
    assert_eq!(index.read().expect("unpoisoned").len(), 0, "what is not known to be kept is not shown");
}
