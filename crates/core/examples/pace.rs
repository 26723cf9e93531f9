//! What the rules alone cost: enqueue, lease and complete in lists of 100, records encoded as a turn would.
//!
//! `cargo run --release -p tidegate-core --example pace [JOBS]`
#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::time::Instant;

use tidegate_core::command::{Command, Complete, Enqueue, Lease, NewJob, Request, Work};
use tidegate_core::id::Time;
use tidegate_core::outcome::Outcome;
use tidegate_core::record::Record;
use tidegate_core::state::{Sink, State, StateLimits, Turn};

/// Encodes as a turn does, and counts bytes.
struct Encode {
    buffer: Vec<u8>,
    bytes: usize,
}

impl Sink for Encode {
    fn record(&mut self, record: &Record) {
        self.buffer.clear();
        record.encode(&mut self.buffer);
        self.bytes += self.buffer.len();
    }
}

fn main() {
    let jobs: u64 = std::env::args().nth(1).map_or(2_000_000, |text| text.parse().expect("a number of jobs"));
    let mut state = State::new(0, StateLimits::default());
    let mut sink = Encode { buffer: Vec::new(), bytes: 0 };
    let mut frame = 0;
    let mut turn = |state: &mut State, sink: &mut Encode, command: Command| -> Outcome {
        frame += 1;
        state.begin_turn(frame, Time(1_700_000_000_000 + frame / 10));
        let mut turn = Turn::new(sink);
        state.expire(&mut turn);
        state.decide(Request { idempotency: None, command }, &mut turn).outcome
    };
    let started = Instant::now();
    for _ in 0..jobs / 100 {
        let mut enqueue = Enqueue::new("bench");
        let kind = enqueue.kind("work");
        enqueue.jobs = (0..100).map(|_| NewJob { kind, ..NewJob::new(260) }).collect();
        turn(&mut state, &mut sink, Command::Enqueue(enqueue));
    }
    report("enqueue", jobs, started, sink.bytes);
    let (mut started, mut leasing, mut completing) = (Instant::now(), 0.0, 0.0);
    sink.bytes = 0;
    for _ in 0..jobs / 100 {
        let lease = Lease {
            queues: vec!["bench".into()],
            max: 100,
            lease_ms: Some(30_000),
            worker: "w".into(),
            kinds: Vec::new(),
        };
        let Outcome::Worked(worked) =
            turn(&mut state, &mut sink, Command::Work(Work { lease: Some(lease), ..Work::default() }))
        else {
            unreachable!("work answers with its parts")
        };
        leasing += started.elapsed().as_secs_f64();
        started = Instant::now();
        let complete: Vec<Complete> = worked
            .leased
            .iter()
            .map(|job| Complete { id: job.id, token: job.token, result_len: 0 })
            .collect();
        turn(&mut state, &mut sink, Command::Work(Work { complete, ..Work::default() }));
        completing += started.elapsed().as_secs_f64();
        started = Instant::now();
    }
    println!("lease    {:>6.0} ns a job", leasing * 1e9 / jobs as f64);
    println!("complete {:>6.0} ns a job (with forgetting)", completing * 1e9 / jobs as f64);
    println!("records  {:>6.1} bytes a job", sink.bytes as f64 / jobs as f64);
}

fn report(what: &str, jobs: u64, started: Instant, bytes: usize) {
    let each = started.elapsed().as_secs_f64() * 1e9 / jobs as f64;
    println!("{what:<8} {each:>6.0} ns a job, {:>5.1} bytes of records", bytes as f64 / jobs as f64);
}
