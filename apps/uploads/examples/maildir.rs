//! Measures the mailbox: `cargo run --release -p uploads --example maildir -- [DIR]`.

#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use uploads::mail::{Mail, Mailer, Outcome};

const RUN: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let root = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    for in_flight in [1, 8, 64, 512] {
        let directory = root.join(format!("uploads-maildir-{}", std::process::id()));
        let mailer = Mailer::maildir(&directory, Duration::ZERO).expect("the mailbox opens");
        let start = Instant::now();
        let tasks = (0..in_flight).map(|task| {
            let mailer = mailer.clone();
            tokio::spawn(async move {
                let mut delivered = 0;
                while start.elapsed() < RUN {
                    let id = format!("{task}-{delivered}");
                    let mail = Mail::about_upload(
                        &id,
                        "ann@example.org",
                        "cat.jpg",
                        "http://localhost/",
                        SystemTime::now(),
                    );
                    assert_eq!(mailer.deliver(&mail).await, Outcome::Delivered);
                    delivered += 1;
                }
                delivered
            })
        });
        let mut delivered = 0;
        for task in tasks.collect::<Vec<_>>() {
            delivered += task.await.expect("the task ends");
        }
        println!(
            "{in_flight:>4} in flight: {:>6.0} mails/s",
            f64::from(delivered) / start.elapsed().as_secs_f64()
        );
        drop(mailer);
        std::fs::remove_dir_all(&directory).expect("it was made here");
    }
}
