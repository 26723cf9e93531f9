//! Measures appending with every frame made durable: `cargo run --release --example append -- [DIR]`.
//!
//! For each frame size and each number of frames in flight, one submitter keeps that many frames submitted
//! and not yet durable, and the table says what came through. Reopening and reading the log are measured at
//! the end.

#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tidegate_log::{FrameBuilder, LocalLog, LocalOptions, Log, PayloadOffset, Sequence, Shard};

const RUN: Duration = Duration::from_secs(2);

fn main() {
    let root = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    println!(
        "{:>10} {:>9} {:>12} {:>9} {:>10} {:>10}",
        "frame", "in flight", "frames/s", "MB/s", "p50 ms", "p99 ms"
    );
    for (jobs, payload_bytes) in [(1, 220), (100, 256), (1_000, 256)] {
        for in_flight in [1, 2, 8, 64, 512] {
            let directory = root.join(format!("tidegate-append-{}", std::process::id()));
            append(&directory, jobs, payload_bytes, in_flight);
            std::fs::remove_dir_all(&directory).expect("the directory was made here");
        }
    }
    let directory = root.join(format!("tidegate-append-{}", std::process::id()));
    recover(&directory);
    std::fs::remove_dir_all(&directory).expect("the directory was made here");
}

fn append(directory: &std::path::Path, jobs: usize, payload_bytes: usize, in_flight: u64) {
    let opened = LocalLog::open(directory, LocalOptions::default()).expect("the log opens");
    let log = opened.log;
    while log.status().spares < LocalOptions::default().spares {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut builder = FrameBuilder::new();
    let (mut last, mut bytes) = (Sequence::ZERO, 0);
    let mut submitted = std::collections::VecDeque::new();
    let mut waits = Vec::new();
    let start = Instant::now();
    while start.elapsed() < RUN {
        fill(&mut builder, jobs, payload_bytes);
        bytes += builder.frame_bytes() as u64;
        let frame = builder.finish(Shard(0), opened.recovery.epoch, last.next(), 1);
        log.submit(last, frame).expect("the log takes the frame");
        last = last.next();
        submitted.push_back((last, Instant::now()));
        if submitted.len() as u64 >= in_flight {
            let oldest = submitted.front().expect("there is one").0;
            let durable = log.wait_durable(oldest).expect("the disk works");
            while let Some((_, since)) = submitted.pop_front_if(|(sequence, _)| *sequence <= durable) {
                waits.push(since.elapsed());
            }
        }
    }
    log.wait_durable(last).expect("the disk works");
    let seconds = start.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{:>10} {in_flight:>9} {:>12.0} {:>9.1} {:>10.3} {:>10.3}",
        bytes / last.0,
        last.0 as f64 / seconds,
        bytes as f64 / seconds / 1e6,
        at(0.5),
        at(0.99)
    );
}

fn recover(directory: &std::path::Path) {
    const FRAMES: u64 = 2_000_000;
    let opened = LocalLog::open(directory, LocalOptions::default()).expect("the log opens");
    let mut builder = FrameBuilder::new();
    for sequence in 1..=FRAMES {
        fill(&mut builder, 1, 220);
        while opened.log.in_flight_bytes() > tidegate_log::limits::IN_FLIGHT_BYTES_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
        let frame = builder.finish(Shard(0), opened.recovery.epoch, Sequence(sequence), 1);
        opened.log.submit(Sequence(sequence - 1), frame).expect("the log takes the frame");
    }
    opened.log.wait_durable(Sequence(FRAMES)).expect("the disk works");
    drop(opened);
    let start = Instant::now();
    let opened = LocalLog::open(directory, LocalOptions::default()).expect("the log opens");
    let open = start.elapsed().as_secs_f64();
    let mut reader = opened.log.read(Sequence::ZERO).expect("the log is readable");
    let mut records = 0;
    while let Some(view) = reader.next_frame().expect("the log is readable") {
        records += u64::from(view.header.record_count);
    }
    let read = start.elapsed().as_secs_f64() - open;
    println!("reopening {FRAMES} frames of one job: {open:.3} s ({:.0} frames/s)", FRAMES as f64 / open);
    println!("reading them, {records} records: {read:.3} s ({:.0} frames/s)", FRAMES as f64 / read);
    let start = Instant::now();
    let reads = 100_000;
    for index in 0..reads {
        let at = Sequence(1 + (index * 7_919) % 1_000_000);
        let source = opened.log.payload(at).expect("the frame is held");
        source.read(PayloadOffset(0), 220).expect("the payload is sound");
    }
    println!("payloads from segments, scattered: {:.0}/s", reads as f64 / start.elapsed().as_secs_f64());
}

fn fill(builder: &mut FrameBuilder, jobs: usize, payload_bytes: usize) {
    let payload = [b'x'; 256];
    for _ in 0..jobs {
        builder.push_record(&[7; 44]);
        builder.push_payload(&payload[..payload_bytes]);
    }
}
