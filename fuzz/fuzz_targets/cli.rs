//! What the program `tidegate` reads from files and standard input: settings, lines of jobs, durations, and a log's records
//! for `inspect`.
//!
//! The program is no library, so this target is the program with another beginning: the modules below are its own files. The
//! first byte of an input says what the rest is.
#![no_main]
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

#[path = "../../crates/cli/src/args.rs"]
mod args;
#[path = "../../crates/cli/src/bench/mod.rs"]
mod bench;
#[path = "../../crates/cli/src/commands/mod.rs"]
mod commands;
#[path = "../../crates/cli/src/duration.rs"]
mod duration;
#[path = "../../crates/cli/src/failure.rs"]
mod failure;
#[path = "../../crates/cli/src/inspect/mod.rs"]
mod inspect;
#[path = "../../crates/cli/src/output.rs"]
mod output;
#[path = "../../crates/cli/src/settings.rs"]
mod settings;
#[path = "../../crates/cli/src/worker/mod.rs"]
mod worker;

use commands::job::enqueue::filled;
use duration::{Millis, rough};
use tidegate_api::enqueue::NewJob;
use tidegate_api::read::{Wire, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

fn check(data: &[u8]) {
    let Some((&way, rest)) = data.split_first() else { return };
    let text = std::str::from_utf8(rest);
    match (way % 4, text) {
        (0, Ok(text)) => settings_file(text),
        (1, Ok(text)) => lines(text),
        (2, Ok(text)) => duration(text),
        (3, _) => records(rest),
        _ => {}
    }
}

/// A settings file is refused with a sentence, or read; and what is written of it is read the same.
fn settings_file(text: &str) {
    match settings::parse(text) {
        Ok(given) => {
            let settings = settings::join(settings::Given::default(), given);
            let written = toml::to_string(&settings).expect("settings are TOML");
            let again = settings::parse(&written).unwrap_or_else(|why| panic!("{why}: {written}"));
            assert_eq!(settings::join(settings::Given::default(), again), settings, "{written}");
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// The first line is what the options say, each other one a job. What a line says stays, what it does not say the options
/// do, and the job that comes of it is one that the server takes.
fn lines(text: &str) {
    let (options, lines) = text.split_once('\n').unwrap_or(("{}", text));
    let Ok(options) = read::<NewJob<'_>>(options) else { return };
    // Payloads come from lines alone.
    let options = NewJob { payload: None, payload_base64: None, ..options };
    for line in lines.lines() {
        let Ok(job) = read::<NewJob<'_>>(line) else { continue };
        let plain = filled(job.clone(), &NewJob::default());
        assert_eq!(plain, job, "without options a line is what it says");
        let filled = filled(job.clone(), &options);
        assert!(job.kind.is_none() || filled.kind == job.kind);
        assert!(job.priority.is_none() || filled.priority == job.priority);
        assert!(job.unique.is_none() || filled.unique == job.unique);
        assert!(job.metadata.is_none() || filled.metadata == job.metadata);
        assert_eq!((&filled.payload, &filled.payload_base64), (&job.payload, &job.payload_base64));
        if let Err(refused) = filled.check() {
            panic!("{line} is a job, {options:?} are options, and together: {refused:?}");
        }
    }
}

/// A duration is written as it can be read.
fn duration(text: &str) {
    let Ok(Millis(ms)) = text.parse::<Millis>() else { return };
    let written = Millis(ms).to_string();
    assert_eq!(written.parse::<Millis>(), Ok(Millis(ms)), "{text}");
    assert!(!rough(ms).is_empty());
}

/// `inspect` shows whatever records there are.
fn records(bytes: &[u8]) {
    let Ok(records) = inspect::records_of(bytes) else { return };
    for record in records.iter().flatten() {
        let json = inspect::to_json(0, record);
        assert!(json.is_object(), "{json}");
    }
}
