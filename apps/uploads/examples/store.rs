//! Measures the store: `cargo run --release -p uploads --example store -- [DIR]`.
//!
//! First, images of 2 KiB at a fixed rate and as fast as they go, with the time from `append` to its answer. Then a
//! million uploads: what the index takes, and how long the start takes.

#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use uploads::store::{AppendError, Entry, NewImage, Store, StoreOptions, UploadId};

const RUN: Duration = Duration::from_secs(5);
const IMAGE_BYTES: usize = 2 << 10;
const UPLOADS: usize = 1_000_000;

#[tokio::main]
async fn main() {
    let root = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = root.join(format!("uploads-store-{}", std::process::id()));
    for rate in [1_000, 10_000, 20_000] {
        at_rate(&directory, rate).await;
    }
    at_once(&directory, 1_000).await;
    million(&directory).await;
}

fn open(directory: &Path) -> Store {
    Store::open(directory, StoreOptions::default()).expect("the store opens").0
}

fn image(bytes: Bytes) -> Entry {
    Entry::Image(NewImage {
        upload: UploadId::random(),
        client_key: None,
        name: "IMG_20260704_101112.jpg".to_owned(),
        content_type: "image/jpeg".to_owned(),
        email: "somebody@example.org".to_owned(),
        received_at_ms: 1_783_159_872_000,
        bytes,
    })
}

async fn at_rate(directory: &Path, rate: u64) {
    let store = open(directory);
    let (waits, mut waited) = tokio::sync::mpsc::unbounded_channel();
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < RUN {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
        for _ in sent..due {
            let (store, waits) = (store.clone(), waits.clone());
            tokio::spawn(async move {
                let since = Instant::now();
                store.append(image(Bytes::from(vec![7; IMAGE_BYTES]))).await.expect("it is kept");
                let _ = waits.send(since.elapsed());
            });
        }
        sent = due;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(waits);
    let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
    while let Some(wait) = waited.recv().await {
        histogram.record(wait.as_micros() as u64).expect("it grows");
    }
    let came = histogram.len() as f64 / start.elapsed().as_secs_f64();
    print_waits(&format!("{rate}/s"), came, &histogram);
    drop(store);
    std::fs::remove_dir_all(directory).expect("it was made here");
}

async fn at_once(directory: &Path, callers: usize) {
    let store = open(directory);
    let start = Instant::now();
    let tasks = (0..callers).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut waits = Vec::new();
            while start.elapsed() < RUN {
                let since = Instant::now();
                store.append(image(Bytes::from(vec![7; IMAGE_BYTES]))).await.expect("it is kept");
                waits.push(since.elapsed());
            }
            waits
        })
    });
    let mut histogram = Histogram::<u64>::new(3).expect("a histogram");
    for task in tasks.collect::<Vec<_>>() {
        for wait in task.await.expect("the task ends") {
            histogram.record(wait.as_micros() as u64).expect("it grows");
        }
    }
    let came = histogram.len() as f64 / start.elapsed().as_secs_f64();
    print_waits(&format!("{callers} callers"), came, &histogram);
    drop(store);
    std::fs::remove_dir_all(directory).expect("it was made here");
}

fn print_waits(what: &str, came: f64, waits: &Histogram<u64>) {
    let ms = |quantile| waits.value_at_quantile(quantile) as f64 / 1_000.0;
    println!(
        "{what:>14}: {came:>7.0}/s   p50 {:>6.2} ms   p99 {:>6.2} ms   p99.9 {:>6.2} ms   max {:>6.2} ms",
        ms(0.5),
        ms(0.99),
        ms(0.999),
        ms(1.0)
    );
}

async fn million(directory: &Path) {
    let store = open(directory);
    let before = resident_bytes();
    for _ in 0..UPLOADS {
        // Small images: the index does not see their size, and the disk is spared.
        let mut entry = image(Bytes::from_static(b"an image"));
        while let Err(AppendError::Busy) = store.append_lazily(entry) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            entry = image(Bytes::from_static(b"an image"));
        }
    }
    store.close();
    drop(store);
    let start = Instant::now();
    let store = open(directory);
    println!(
        "{:>14}: {} uploads, {} bytes of memory each, opened in {:.2} s",
        "a million",
        store.uploads(),
        (resident_bytes().saturating_sub(before)) / store.uploads() as u64,
        start.elapsed().as_secs_f64()
    );
    drop(store);
    std::fs::remove_dir_all(directory).expect("it was made here");
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}
