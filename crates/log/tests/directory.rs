//! The local engine on a real directory, with its threads.

mod common;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Content, small};
use tidegate_log::inspect::Inspector;
use tidegate_log::{LocalLog, LocalOptions, Log, OpenError, Opened, ReadError, Sequence};

fn open(directory: &Path) -> Opened<LocalLog> {
    LocalLog::open(directory, small()).expect("the log opens")
}

fn write(opened: &Opened<LocalLog>, frames: u64) {
    let mut last = opened.log.status().last;
    for _ in 0..frames {
        let next = last.next();
        let frame = Content::new(next.0, 1, 500).frame(opened.recovery.epoch, next);
        opened.log.submit(last, frame).expect("the log takes it");
        last = next;
    }
    opened.log.wait_durable(last).expect("durable");
}

fn check_payloads(log: &dyn Log, at: Sequence) -> Result<(), ReadError> {
    let content = Content::new(at.0, 1, 500);
    let found = log.payload(at)?.read_many(&content.addresses())?;
    assert!(found.iter().zip(&content.payloads).all(|(found, written)| found == written), "frame {at}");
    Ok(())
}

#[test]
fn a_directory_in_use_is_refused_with_its_name_and_owner() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = open(directory.path());
    let refused = LocalLog::open(directory.path(), small()).map(|opened| opened.recovery);
    let Err(OpenError::InUse { directory: named, pid }) = &refused else { panic!("{refused:?}") };
    assert_eq!((named.as_path(), *pid), (directory.path(), Some(std::process::id())));
    first.log.close().expect("it closes");
    let second = open(directory.path());
    assert!(second.recovery.closed, "a closed log gives its directory back");
}

#[test]
fn a_path_that_cannot_be_a_directory_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("occupied");
    std::fs::write(&file, "something else").expect("written");
    let refused = LocalLog::open(&file.join("log"), small()).map(|opened| opened.recovery);
    let message = refused.expect_err("a file is no directory").to_string();
    assert!(message.contains("occupied"), "{message}");
}

#[test]
fn what_is_written_is_there_after_dropping_and_after_closing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("made/on/the/way");
    for round in 0..4 {
        let opened = open(&path);
        assert_eq!((opened.recovery.last, opened.recovery.torn.is_none()), (Sequence(round * 50), true));
        assert_eq!(opened.recovery.epoch.0, round + 1);
        write(&opened, 50);
        (1..=opened.log.status().last.0)
            .for_each(|at| check_payloads(&opened.log, Sequence(at)).expect("sound"));
        if round % 2 == 0 {
            opened.log.close().expect("it closes");
        }
    }
}

#[test]
fn spares_are_filled_ahead_and_trimmed_segments_are_reused() {
    let directory = tempfile::tempdir().expect("a directory");
    let opened =
        LocalLog::open(directory.path(), LocalOptions { spares: 2, ..small() }).expect("the log opens");
    while opened.log.status().spares < 2 {
        std::thread::yield_now();
    }
    write(&opened, 200);
    opened.log.trim(Sequence(200));
    while opened.log.status().segments.len() > 1 {
        std::thread::yield_now();
    }
    write(&opened, 200);
    opened.log.close().expect("it closes");
    let names = std::fs::read_dir(directory.path()).expect("listed");
    let spares = names.filter(|entry| {
        let name = entry.as_ref().expect("listed").file_name();
        name.to_string_lossy().starts_with("spare-")
    });
    assert!(spares.count() <= tidegate_log::limits::SPARES_MAX, "spares are bounded");
}

#[test]
fn readers_see_sound_frames_while_others_write_and_trim() {
    let directory = tempfile::tempdir().expect("a directory");
    let opened = open(directory.path());
    let (done, read) = (AtomicBool::new(false), AtomicU64::new(0));
    let read_along = || {
        while !done.load(Ordering::Relaxed) || read.load(Ordering::Relaxed) == 0 {
            let mut reader = opened.log.read(Sequence::ZERO).expect("the log is readable from its beginning");
            loop {
                match reader.next_frame() {
                    Ok(Some(view)) => {
                        read.fetch_add(1, Ordering::Relaxed);
                        match check_payloads(&opened.log, view.header.sequence) {
                            Ok(()) | Err(ReadError::Trimmed { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    Ok(None) | Err(ReadError::Trimmed { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    let inspect_along = || {
        let inspector = Inspector::open(directory.path()).expect("there is a directory");
        while !done.load(Ordering::Relaxed) {
            let report =
                inspector.walk(Sequence::ZERO, |_| ControlFlow::Continue(())).expect("it can be looked at");
            assert_eq!(report.damage, [], "a live log is not damaged");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(read_along);
        scope.spawn(inspect_along);
        for _ in 0..60 {
            write(&opened, 20);
            let status = opened.log.status();
            opened.log.trim(Sequence(status.durable.0.saturating_sub(40)));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(opened.log.status().first > Sequence(1_000), "it was trimmed meanwhile");
}
