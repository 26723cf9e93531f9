//! The store on a real disk: what was acknowledged survives SIGKILL, torn tails are cut and nothing else is, damage is
//! named, one key makes one upload.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use uploads::images::{Size, Thumbnail};
use uploads::store::{
    AppendError, Appended, Defect, Entry, NewImage, OpenError, ReadError, Report, Store, StoreOptions,
    UploadId,
};

/// Volumes of a few entries, so that every test has several.
const SMALL: StoreOptions = StoreOptions { volume_bytes: 16 << 10, allocate_bytes: 4 << 10 };
/// One volume for all.
const ONE: StoreOptions = StoreOptions { volume_bytes: 16 << 20, allocate_bytes: 64 << 10 };

fn open(directory: &Path, options: StoreOptions) -> (Store, Report) {
    Store::open(directory, options).unwrap_or_else(|error| panic!("the store opens: {error}"))
}

/// An image whose bytes follow from its id, so that whoever has the id can tell whether the bytes are right.
fn image(upload: UploadId, len: usize) -> NewImage {
    NewImage {
        upload,
        client_key: None,
        name: format!("{upload}.jpg"),
        content_type: "image/jpeg".to_owned(),
        email: "you@example.org".to_owned(),
        received_at_ms: 1_783_159_872_123,
        bytes: content(upload, len),
    }
}

fn content(upload: UploadId, len: usize) -> Bytes {
    upload.to_string().bytes().cycle().take(len).collect::<Vec<u8>>().into()
}

fn keyed(key: &str, bytes: &'static [u8], email: &str) -> (UploadId, Entry) {
    let upload = UploadId::random();
    let (client_key, bytes, email) = (Some(key.to_owned()), Bytes::from_static(bytes), email.to_owned());
    (upload, Entry::Image(NewImage { client_key, bytes, email, ..image(upload, 0) }))
}

fn thumbnails() -> [Thumbnail; 3] {
    [(96, &b"small one"[..]), (320, b"a medium one"), (1_024, b"the large one")].map(|(width, bytes)| {
        Thumbnail {
            width,
            height: width / 2,
            content_type: "image/jpeg".into(),
            bytes: Bytes::from_static(bytes),
        }
    })
}

async fn keep(store: &Store, len: usize) -> UploadId {
    let upload = UploadId::random();
    assert_eq!(store.append(Entry::Image(image(upload, len))).await.expect("it is kept"), Appended::Kept);
    upload
}

/// The first volume's file, and its length without the room behind the entries.
fn volume(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:06}.vol"))
}

#[tokio::test]
async fn everything_is_found_again_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("images");
    let (store, report) = open(&path, SMALL);
    assert_eq!((report.uploads, report.torn), (0, None));
    let mut ids = Vec::new();
    for len in [0, 1, 2_048, 5_000, 40_000, 7] {
        ids.push(keep(&store, len).await);
    }
    let [first, second, ..] = ids[..] else { unreachable!() };
    let jobs = ["0-1", "0-2", "0-3"].map(str::to_owned);
    let thumbs = Entry::Thumbnails { upload: first, thumbnails: thumbnails() };
    assert_eq!(store.append(thumbs.clone()).await.expect("kept"), Appended::Kept);
    store.append_lazily(Entry::Accepted { upload: first, jobs: jobs.clone() }).expect("taken");
    assert_eq!(store.append(Entry::Notified { upload: first }).await.expect("kept"), Appended::Kept);

    let check = |store: &Store| {
        assert_eq!(store.newest(10), ids.iter().rev().copied().collect::<Vec<_>>());
        assert_eq!(store.unaccepted(), ids[1..]);
        for (id, len) in ids.iter().zip([0, 1, 2_048, 5_000, 40_000, 7]) {
            let original = store.image(*id).expect("it can be read").expect("it is there");
            assert_eq!(original.bytes, content(*id, len));
            assert_eq!(original.content_type, "image/jpeg");
        }
        let upload = store.upload(first).expect("it can be read").expect("it is there");
        assert_eq!(upload.jobs, Some(jobs.clone()));
        assert_eq!(upload.thumbnails, Some([(96, 48), (320, 160), (1_024, 512)]));
        assert!(upload.notified);
        assert_eq!((upload.name, upload.bytes), (format!("{first}.jpg"), 0));
        let upload = store.upload(second).expect("it can be read").expect("it is there");
        assert_eq!((upload.jobs, upload.thumbnails, upload.notified), (None, None, false));
        for (size, expected) in Size::ALL.into_iter().zip(thumbnails()) {
            assert_eq!(store.thumbnail(first, size).expect("it can be read"), Some(expected));
            assert_eq!(store.thumbnail(second, size).expect("it can be read"), None);
        }
        assert_eq!(store.image(UploadId::random()).expect("nothing to read"), None);
    };
    check(&store);
    drop(store);
    let (store, report) = open(&path, SMALL);
    assert_eq!((report.uploads, report.torn.clone()), (ids.len(), None));
    assert!(report.volumes > 2, "{report:?}");
    check(&store);

    // Neither thumbnails nor notifications are made twice, and a restart does not forget that.
    assert_eq!(store.append(thumbs).await.expect("answered"), Appended::AlreadyThere);
    let again = store.append(Entry::Notified { upload: first }).await;
    assert_eq!(again.expect("answered"), Appended::AlreadyThere);
}

#[tokio::test]
async fn one_client_key_makes_one_upload() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(directory.path(), SMALL);
    // A hundred at once: one is kept, and all the others learn which.
    let tasks = (0..100).map(|_| {
        let (id, entry) = keyed("order-7", b"the same image", "a@example.org");
        let store = store.clone();
        tokio::spawn(async move { (id, store.append(entry).await.expect("answered")) })
    });
    let mut answers = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        answers.push(task.await.expect("the task ends"));
    }
    let kept = answers.iter().filter(|(_, answer)| *answer == Appended::Kept).collect::<Vec<_>>();
    let [(holder, _)] = kept[..] else { panic!("one is kept: {kept:?}") };
    assert!(answers.iter().all(|(id, answer)| id == holder || *answer == Appended::SameImage(*holder)));
    drop(store);

    let (store, report) = open(directory.path(), SMALL);
    assert_eq!(report.uploads, 1);
    for (bytes, email, expected) in [
        (&b"the same image"[..], "a@example.org", Appended::SameImage(*holder)),
        (b"the same imagf", "a@example.org", Appended::OtherImage(*holder)),
        (b"the same image!", "a@example.org", Appended::OtherImage(*holder)),
        (b"the same image", "b@example.org", Appended::OtherImage(*holder)),
    ] {
        assert_eq!(store.append(keyed("order-7", bytes, email).1).await.expect("answered"), expected);
    }
    let other = store.append(keyed("order-8", b"the same image", "a@example.org").1).await;
    assert_eq!(other.expect("answered"), Appended::Kept);
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_is_queued() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(directory.path(), ONE);
    let upload = UploadId::random();
    let long = NewImage { name: "n".repeat(20_000), ..image(upload, 10) };
    let error = store.append(Entry::Image(long)).await.expect_err("too long");
    assert_eq!(error.to_string(), "the entry is too long: its names and keys");
    let error = store.append(Entry::Image(image(upload, 17 << 20))).await.expect_err("too long");
    assert_eq!(error.to_string(), "the entry is too long: its content");
    assert_eq!(store.uploads(), 0);
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(directory.path(), ONE);
    let error = Store::open(directory.path(), ONE).expect_err("it is in use");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(store);
    open(directory.path(), ONE);
}

/// Every length that the last write can have had when the power failed.
#[tokio::test]
async fn a_torn_tail_is_cut_at_each_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(directory.path(), ONE);
    let first = keep(&store, 300).await;
    store.close();
    drop(store);
    let before = fs::read(volume(directory.path(), 1)).expect("the volume").len();
    // Opening cuts the room that was set aside, so the file's length is where the entries end.
    drop(open(directory.path(), ONE));
    let start = fs::metadata(volume(directory.path(), 1)).expect("the volume").len() as usize;
    assert!(start < before);
    let (store, _) = open(directory.path(), ONE);
    let last = keep(&store, 200).await;
    drop(store);
    drop(open(directory.path(), ONE));
    let whole = fs::read(volume(directory.path(), 1)).expect("the volume");

    for len in start..whole.len() {
        for zeros_behind in [false, true] {
            let mut torn = whole[..len].to_vec();
            if zeros_behind {
                torn.resize(whole.len() + 8_192, 0);
            }
            fs::write(volume(directory.path(), 1), &torn).expect("written");
            let (store, report) = open(directory.path(), ONE);
            let padding = whole[len..].iter().all(|&byte| byte == 0);
            if padding && zeros_behind {
                // Only zeros are missing, and zeros are there.
                assert_eq!((report.uploads, report.torn), (2, None), "{len}");
                continue;
            }
            assert_eq!(report.uploads, 1, "{len}");
            // Zeros at the end of what was written cannot be told from zeros that were there.
            let bytes = whole[start..len].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            assert_eq!(report.torn.as_ref().map_or(0, |torn| torn.bytes), bytes as u64, "{len}");
            if let Some(torn) = report.torn {
                assert_eq!((torn.file.as_str(), torn.offset), ("000001.vol", start as u64));
            }
            assert_eq!(store.image(last).expect("nothing to read"), None);
            assert!(store.image(first).expect("it can be read").is_some());
            // Life goes on, and nothing of the tail comes back.
            if len % 16 == 0 {
                let next = keep(&store, 10).await;
                drop(store);
                let (store, report) = open(directory.path(), ONE);
                assert_eq!((report.uploads, report.torn), (2, None));
                assert_eq!(store.newest(1), [next]);
            }
        }
    }
}

/// Damage in what a later entry calls durable: the start is refused, names the place, and changes nothing.
#[tokio::test]
async fn damage_elsewhere_is_refused_by_file_and_offset() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(directory.path(), ONE);
    for _ in 0..4 {
        // Each waits for its own sync, so that the next one knows it as durable.
        keep(&store, 100).await;
    }
    drop(store);
    drop(open(directory.path(), ONE));
    let whole = fs::read(volume(directory.path(), 1)).expect("the volume");
    let starts =
        (0..whole.len()).step_by(8).filter(|&at| whole[at..].starts_with(b"TGUE")).collect::<Vec<_>>();
    assert_eq!(starts.len(), 4);

    // Each bit of a header and its metadata counts; the image's bytes are looked at when they are read.
    for offset in starts[1]..starts[1] + 80 {
        let mut damaged = whole.clone();
        damaged[offset] ^= 0x10;
        fs::write(volume(directory.path(), 1), &damaged).expect("written");
        let error = Store::open(directory.path(), ONE).expect_err("it is damaged");
        let OpenError::Damaged { damage, .. } = &error else { panic!("{error}") };
        assert_eq!(
            (damage.file.as_str(), damage.offset),
            ("000001.vol", starts[1] as u64),
            "{offset}: {error}"
        );
        assert!(error.to_string().contains("000001.vol, byte "), "{error}");
        assert_eq!(fs::read(volume(directory.path(), 1)).expect("the volume"), damaged, "nothing is changed");
    }

    let mut damaged = whole.clone();
    damaged[starts[2] - 20] ^= 0x10;
    fs::write(volume(directory.path(), 1), &damaged).expect("written");
    let (store, report) = open(directory.path(), ONE);
    assert_eq!(report.uploads, 4);
    let outcomes = store.newest(4).into_iter().rev().map(|id| store.image(id)).collect::<Vec<_>>();
    let Err(ReadError::Damaged(damage)) = &outcomes[1] else { panic!("{outcomes:?}") };
    assert_eq!((damage.offset, damage.defect), (starts[1] as u64, Defect::Content));
    assert!([0, 2, 3].iter().all(|&other| outcomes[other].is_ok()));
}

#[tokio::test]
async fn a_volume_that_is_missing_cut_or_foreign_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(directory.path(), SMALL);
    for _ in 0..20 {
        keep(&store, 2_048).await;
    }
    drop(store);
    let second = volume(directory.path(), 2);
    let whole = fs::read(&second).expect("the second volume");
    let refusal = || {
        let error = Store::open(directory.path(), SMALL).expect_err("it is damaged");
        let OpenError::Damaged { damage, .. } = error else { panic!("{error}") };
        (damage.file, damage.offset, damage.defect)
    };
    let named = |offset, defect| ("000002.vol".to_owned(), offset, defect);

    fs::remove_file(&second).expect("removed");
    assert_eq!(refusal(), named(0, Defect::Missing));

    // Cut within its last entry, and cleanly before it.
    let last = (0..whole.len()).step_by(8).rfind(|&at| whole[at..].starts_with(b"TGUE")).expect("an entry");
    fs::write(&second, &whole[..last + 60]).expect("written");
    assert_eq!(refusal().1, last as u64);
    fs::write(&second, &whole[..last]).expect("written");
    assert_eq!(refusal(), named(last as u64, Defect::NotAnEntry));

    let other = tempfile::tempdir().expect("a directory");
    let (store, _) = open(other.path(), SMALL);
    for _ in 0..20 {
        keep(&store, 2_048).await;
    }
    drop(store);
    fs::copy(volume(other.path(), 2), &second).expect("copied");
    assert_eq!(refusal(), named(0, Defect::OtherStore));

    fs::write(&second, &whole).expect("written");
    let file = fs::File::options().write(true).open(&second).expect("it is there");
    file.write_all_at(&[0xff], 9).expect("written");
    assert_eq!(refusal(), named(0, Defect::VolumeHeader));

    fs::write(&second, &whole).expect("written");
    assert_eq!(open(directory.path(), SMALL).1.uploads, 20);
}

/// What an image would have to contain to be taken for an entry that says that everything before it is durable: all of it
/// right, the seed excepted, or not.
fn forged(seed: u32, offset: u32) -> Vec<u8> {
    let mut bytes = b"TGUE\x01\x04\0\0".to_vec();
    let meta = [&[10, 10][..], &[7; 10]].concat();
    for number in [meta.len() as u32, 0, 0, 1, offset, offset, 0] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed, &bytes), &meta);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&meta);
    bytes
}

/// A tail is torn, and the image whose header was lost contains what looks like an entry written after it. That would be
/// damage, and nobody may stop the service from starting by uploading a picture.
#[tokio::test]
async fn what_looks_like_an_entry_within_an_image_is_not_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (store, _) = open(directory.path(), ONE);
    keep(&store, 100).await;
    keep(&store, 4_000).await;
    drop(store);
    let path = volume(directory.path(), 1);
    let mut torn = fs::read(&path).expect("the volume");
    let start =
        (0..torn.len()).step_by(8).filter(|&at| torn[at..].starts_with(b"TGUE")).nth(1).expect("a second");
    torn[start..start + 40].fill(0);
    let inside = start + 2_000 - start % 8;
    let identity = &torn[8..16];
    let seed = crc32c::crc32c(identity);

    for (seed, damage) in [(0, false), (seed ^ 1, false), (seed, true)] {
        let forged = forged(seed, inside as u32);
        torn[inside..inside + forged.len()].copy_from_slice(&forged);
        fs::write(&path, &torn).expect("written");
        match Store::open(directory.path(), ONE) {
            Ok((store, report)) => {
                assert!(!damage, "an entry it is, if the seed is right");
                assert_eq!(store.uploads(), 1);
                assert_eq!(report.torn.expect("a torn tail").offset, start as u64);
            }
            Err(error) => assert!(damage, "{error}"),
        }
    }
}

const CHILD: &str = "UPLOADS_STORE_CHILD";

/// What the next test does in a process under a limit on the length of files, which the system treats as it does a full
/// disk.
async fn fill_the_disk(directory: &Path) {
    let (store, _) = open(directory, ONE);
    let mut kept = Vec::new();
    let refused = loop {
        let upload = UploadId::random();
        match store.append(Entry::Image(image(upload, 30_000))).await {
            Ok(_) => kept.push(upload),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::DiskFull), "{refused}");
    assert!(kept.len() > 10);
    // The store is well: it reads, and it takes what still fits.
    for upload in &kept {
        assert!(store.image(*upload).expect("it can be read").is_some());
    }
    assert_eq!(store.append(Entry::Notified { upload: kept[0] }).await.expect("it fits"), Appended::Kept);
    writeln!(std::io::stdout(), "kept {}", kept.len()).expect("the parent listens");
}

#[tokio::test]
async fn a_full_disk_is_a_refusal_and_not_the_end() {
    if let Some(directory) = std::env::var_os(CHILD) {
        return fill_the_disk(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().expect("a directory");
    // Two thousand blocks of 512 bytes; the signal that comes with the refusal is ignored.
    let script = r#"trap "" XFSZ; ulimit -f 2000; exec "$0" --exact a_full_disk_is_a_refusal_and_not_the_end --nocapture"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().expect("this test"))
        .env(CHILD, directory.path())
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let kept =
        text.split("kept ").nth(1).and_then(|text| text.split_whitespace().next()?.parse::<usize>().ok());

    // There is room again.
    let (store, report) = open(directory.path(), ONE);
    assert_eq!((Some(report.uploads), report.torn), (kept, None), "{text}");
    keep(&store, 30_000).await;
}

/// What the next test does in a process that it kills: appends for ever, and says what was acknowledged.
async fn append_for_ever(directory: &Path) {
    let (store, _) = open(directory, StoreOptions { volume_bytes: 1 << 20, ..SMALL });
    let (say, mut said) = tokio::sync::mpsc::channel::<String>(1_000);
    for _ in 0..32 {
        let (store, say) = (store.clone(), say.clone());
        tokio::spawn(async move {
            for len in (0..).map(|round| [2_048, 10, 700, 30_000][round % 4]) {
                let upload = keep(&store, len).await;
                say.send(format!("kept {upload} {len}")).await.expect("the printer lives");
                let entry = Entry::Thumbnails { upload, thumbnails: thumbnails() };
                store.append(entry).await.expect("they are kept");
                let _ = store.append_lazily(Entry::Notified { upload });
                say.send(format!("made {upload}")).await.expect("the printer lives");
            }
        });
    }
    while let Some(line) = said.recv().await {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    if let Some(directory) = std::env::var_os(CHILD) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        return runtime.expect("a runtime").block_on(append_for_ever(Path::new(&directory)));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mut kept = Vec::new();
    let mut made = Vec::new();
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "what_was_acknowledged_survives_sigkill", "--nocapture", "--test-threads=1"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let enough = kept.len() + 700 * round;
        let mut take = |line: &str, kept: &mut Vec<(UploadId, usize)>| {
            let mut words = line.split(' ').skip_while(|word| !matches!(*word, "kept" | "made"));
            let (Some(what), Some(Ok(id))) = (words.next(), words.next().map(str::parse::<UploadId>)) else {
                return;
            };
            match (what, words.next().map(str::parse)) {
                ("kept", Some(Ok(len))) => kept.push((id, len)),
                ("made", _) => made.push(id),
                _ => {}
            }
        };
        while kept.len() < enough {
            let line = lines.next().expect("the child goes on").expect("it is text");
            take(&line, &mut kept);
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it is gone");
        // What it said before it died counts too; the last line may be half.
        let rest = lines.map_while(Result::ok).collect::<Vec<_>>();
        for line in rest.iter().take(rest.len().saturating_sub(1)) {
            take(line, &mut kept);
        }

        let (store, report) = open(directory.path(), StoreOptions { volume_bytes: 1 << 20, ..SMALL });
        assert!(report.uploads >= kept.len(), "{report:?}, {} acknowledged", kept.len());
        for (id, len) in &kept {
            let original = store.image(*id).expect("it can be read").expect("it was acknowledged");
            assert_eq!(original.bytes, content(*id, *len), "{id}");
        }
        for id in &made {
            for (size, expected) in Size::ALL.into_iter().zip(thumbnails()) {
                assert_eq!(store.thumbnail(*id, size).expect("it can be read"), Some(expected));
            }
        }
    }
}
