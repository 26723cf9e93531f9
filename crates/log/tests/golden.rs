//! Logs of every released format are opened and read to the same content, and today's program writes the
//! newest one byte for byte. `TIDEGATE_GOLDEN_WRITE=1 cargo test -p tidegate-log --test golden` writes it
//! anew; do so only for a new format, under a new name.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Content, contents, small};
use tidegate_log::disk::RealDisk;
use tidegate_log::{LocalLog, LocalOptions, Log, Sequence};

const FRAMES_PER_OWNER: u64 = 6;

fn golden(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/format-{format}"))
}

fn content(sequence: u64) -> Content {
    Content::new(sequence, 1, sequence as usize * 150)
}

/// Two owners, six frames each, every one durable before the next; closed twice.
fn write_log(directory: &Path) {
    for _ in 0..2 {
        let disk = Arc::new(RealDisk::create(directory).expect("a directory"));
        let options = LocalOptions { spares: 0, ..small() };
        let opened = LocalLog::open_stepped(disk, options).expect("the log opens");
        let mut last = opened.recovery.last;
        for _ in 0..FRAMES_PER_OWNER {
            let frame = content(last.0 + 1).frame(opened.recovery.epoch, last.next());
            opened.log.submit(last, frame).expect("the log takes it");
            last = last.next();
            opened.log.wait_durable(last).expect("durable");
        }
        opened.log.close().expect("it closes");
    }
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries =
        fs::read_dir(directory).expect("the directory is there").map(|entry| entry.expect("listed"));
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("a plain name");
        (name, fs::read(entry.path()).expect("readable"))
    };
    entries.map(file).collect()
}

#[test]
fn a_log_of_format_1_reads_as_it_was_written() {
    if std::env::var_os("TIDEGATE_GOLDEN_WRITE").is_some() {
        write_log(&golden(1));
    }
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in files(&golden(1)) {
        fs::write(directory.path().join(name), bytes).expect("copied");
    }
    let opened = LocalLog::open(directory.path(), small()).expect("the log opens");
    let recovery = &opened.recovery;
    assert_eq!((recovery.first, recovery.last), (Sequence(1), Sequence(2 * FRAMES_PER_OWNER)));
    assert_eq!((recovery.epoch.0, recovery.closed, recovery.last_time_ms), (3, true, 1_012));
    let expected = (1..=2 * FRAMES_PER_OWNER).map(|sequence| (sequence, content(sequence)));
    let written = expected.clone().map(|(sequence, content)| (sequence, vec![content])).collect();
    assert_eq!(contents(&opened.log, &written), expected.collect());
}

#[test]
fn todays_program_writes_format_1_byte_for_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    write_log(directory.path());
    let (written, golden) = (files(directory.path()), files(&golden(1)));
    assert!(written.keys().eq(golden.keys()), "{:?}, {:?}", written.keys(), golden.keys());
    for (name, bytes) in written {
        let difference = bytes.iter().zip(&golden[&name]).position(|(ours, theirs)| ours != theirs);
        assert_eq!((bytes.len(), difference), (golden[&name].len(), None), "{name}");
    }
}
