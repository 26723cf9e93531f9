//! Writes the first inputs of every target to `corpus/`: golden logs, the documented examples, and numbers from a fixed seed.
//!
//! The same sources give the same files. What fuzzing finds beside them is merged in by `make fuzz-corpus`. It is built as the
//! targets are, with libFuzzer in it, so that it needs no build of its own; it ends before there is anything to fuzz.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use tidegate_api::operations::{Body, OPERATIONS};
use tidegate_fuzz::bodies;
use tidegate_fuzz::record::Frame;

libfuzzer_sys::fuzz_target!(
    init: {
        write().expect("the seeds are written");
        std::process::exit(0);
    },
    |_data: &[u8]| {}
);

fn write() -> anyhow::Result<()> {
    let seeds: [(&str, Vec<Vec<u8>>); 7] = [
        ("frame", frames()?),
        ("record", records()?),
        ("segments", numbers(24, 120)),
        ("history", numbers(24, 700)),
        ("bodies", bodies()),
        ("door", requests()?),
        ("cli", files()?),
    ];
    for (target, inputs) in seeds {
        let directory = here("corpus").join(target);
        fs::create_dir_all(&directory)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(directory.join(format!("seed-{number:03}")), input)?;
        }
        eprintln!("{target}: {} seeds, {} bytes", inputs.len(), inputs.iter().map(Vec::len).sum::<usize>());
    }
    Ok(())
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn with(first: u8, rest: &[u8]) -> Vec<u8> {
    [&[first], rest].concat()
}

/// Bytes from a fixed seed (splitmix64), for targets whose inputs are choices.
fn numbers(inputs: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut state = 7u64;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as u8
    };
    let input = |number: usize| (0..bytes * (number + 1) / inputs).map(|_| next()).collect::<Vec<u8>>();
    (0..inputs).map(input).enumerate().map(|(number, bytes)| with(number as u8, &bytes)).collect()
}

/// The frames of the golden log, as they lie there and to be forged.
fn frames() -> anyhow::Result<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    let directory = here("../crates/log/tests/golden/format-1");
    let mut names: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    names.sort_by_key(fs::DirEntry::file_name);
    for file in names.iter().filter(|file| file.path().extension().is_some_and(|kind| kind == "segment")) {
        let bytes = fs::read(file.path())?;
        inputs.push(with(0, &bytes[..bytes.len().min(1_200)]));
        inputs.push(with(1, &bytes[..bytes.len().min(300)]));
    }
    inputs.extend(numbers(6, 400).into_iter().map(|bytes| with(2, &bytes)));
    Ok(inputs)
}

fn golden_frames(name: &str) -> anyhow::Result<Vec<Frame>> {
    let bytes = fs::read(here("../crates/core/tests/golden").join(name))?;
    let mut rest = bytes.as_slice();
    let mut frames = Vec::new();
    while !rest.is_empty() {
        frames.push(Frame::decode_length_delimited(&mut rest)?);
    }
    Ok(frames)
}

/// The golden records, whole and in runs of a few frames.
fn records() -> anyhow::Result<Vec<Vec<u8>>> {
    let written =
        |frames: &[Frame]| frames.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    for name in ["records-v1.bin", "records-pools-v1.bin"] {
        let frames = golden_frames(name)?;
        inputs.extend(frames.chunks(6).map(written));
        inputs.push(written(&frames));
    }
    Ok(inputs)
}

/// The bodies that the OpenAPI document shows, each for the parser of its operation, and a few of the smaller things.
fn bodies() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    // Those of pools have their ways behind those of jobs.
    let of_pools = [
        "PoolConfig",
        "ResizePool",
        "HoldWish",
        "TakeWish",
        "LeaveWish",
        "ExtendWish",
        "SwapWish",
        "PoolRequest",
    ];
    let way_of_pool = |name: &str| of_pools.iter().position(|way| *way == name).map(|way| way as u8 + 19);
    for operation in OPERATIONS {
        let (way, example) = match operation.body {
            Body::None => continue,
            Body::OneOrList(name, example, list) => {
                let way = way_of_pool(name).expect("every body has its way");
                inputs.push(with(way, list.as_bytes()));
                (way, example)
            }
            Body::List(name, example) => (way_of_pool(name).expect("every body has its way"), example),
            Body::Json(name, example) | Body::OptionalJson(name, example) if way_of_pool(name).is_some() => {
                (way_of_pool(name).expect("it has just been found"), example)
            }
            Body::Enqueue => (
                0,
                r#"[{"kind":"welcome","payload":{"to":"ada"},"priority":1,"unique":{"key":"u"}},{"priority":12}]"#,
            ),
            Body::Json(name, example) | Body::OptionalJson(name, example) => {
                let ways = [
                    "LeaseRequest",
                    "CompleteRequest",
                    "FailRequest",
                    "ExtendRequest",
                    "ReleaseRequest",
                    "WorkRequest",
                    "TransactionRequest",
                    "EditJob",
                    "QueueConfig",
                    "PauseRequest",
                    "RedriveRequest",
                    "DeleteDeadRequest",
                ];
                let way = ways.iter().position(|way| *way == name).expect("every body has its way");
                (way as u8 + 1, example)
            }
        };
        inputs.push(with(way, example.as_bytes()));
    }
    let whole = r#"{"kind":"k","payload":[1,{"a":[]}],"priority":0,"run_at":"2026-11-22T13:00:00Z","expires_at":"2027-01-01T00:00:00+01:00","ordering_key":"customer 7","on_failure":"park","fairness_key":"t","unique":{"key":"u","until":"duration","duration_ms":1,"on_conflict":"replace"},"retry":{"max_attempts":100,"delay_ms":0,"factor":1.5,"delay_max_ms":1,"jitter_percent":100},"dependency":"smtp","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","metadata":{"tenant":"t1"}}"#;
    let small: [(u8, &str); 10] = [
        (0, whole),
        (13, "queue=emails&state=scheduled&kind=k&ordering_key=a%20b&older_than_ms=5&limit=10&cursor=1f"),
        (14, "kind=k&cause=00c0ffee00c0ffee&reason=expired&limit=1"),
        (15, "wait_ms=1000"),
        (16, "0-42"),
        (16, "00c0ffee00c0ffee"),
        (17, "2026-11-22T13:00:00.123+01:00"),
        (18, "\"order-7\""),
        (27, "names=a,b%40x"),
        (27, "state=held&limit=10&cursor=1f"),
    ];
    inputs.extend(small.iter().map(|(way, text)| with(*way, text.as_bytes())));
    assert!(inputs.iter().all(|input| input[0] < bodies::WAYS));
    inputs
}

/// The conversations of the API's page, as long as one connection's may be, and each example of the table by itself.
fn requests() -> anyhow::Result<Vec<Vec<u8>>> {
    let page = fs::read_to_string(here("../docs/api.md"))?;
    let told: Vec<String> = page.lines().filter_map(request_of).collect();
    let mut inputs: Vec<Vec<u8>> =
        told.chunks(12).map(|requests| requests.join("\n===\n").into_bytes()).collect();
    for operation in OPERATIONS {
        let path = operation.path.replace("{queue}", "emails").replace("{id}", "0-1");
        let path = path.replace("{pool}", "seats").replace("{holder}", "anna");
        let body = match operation.body {
            Body::Json(_, example)
            | Body::OptionalJson(_, example)
            | Body::OneOrList(_, example, _)
            | Body::List(_, example) => example,
            Body::Enqueue => r#"{"payload":1}"#,
            Body::None => "",
        };
        let before = "POST /v1/queues/emails/jobs\n\n[{\"payload\":1,\"retry\":{\"max_attempts\":1}},{\"ordering_key\":\"k\"}]";
        let request = format!("{} {path}\ncontent-type: application/json\n\n{body}", operation.method);
        inputs.push(format!("{before}\n===\n{request}").into_bytes());
    }
    inputs.push(
        b"POST /v1/queues/q/jobs\ncontent-type: application/x-ndjson\n\n{\"payload\":1}\n{}\n{\n".to_vec(),
    );
    // Sent without waiting: the same page, enqueues that share a sync, and others between them that do not.
    inputs.extend(told.chunks(12).map(|requests| requests.join("\n+++\n").into_bytes()));
    let one = "POST /v1/queues/q/jobs\n\n{\"payload\":1}";
    let unique =
        "POST /v1/queues/q/jobs\nidempotency-key: \"k\"\n\n{\"kind\":\"k\",\"unique\":{\"key\":\"u\"}}";
    let elsewhere = "POST /v1/queues/r/jobs\n\n[{},{\"priority\":12}]";
    let wrong = "POST /v1/queues/q/jobs\n\n{";
    let stream = "POST /v1/queues/q/jobs\ncontent-type: application/x-ndjson\n\n{}\n{}";
    let lease = "POST /v1/leases\n\n{\"queues\":[\"q\"],\"max\":9,\"wait_ms\":500}";
    let look = "GET /v1/queues/q\n\n";
    for row in [
        vec![one, one, unique, unique, wrong, one, look],
        vec![one, elsewhere, one, look, lease, lease, one],
        vec![lease, one, unique, stream, one, lease],
    ] {
        inputs.push(row.join("\n+++\n").into_bytes());
    }
    inputs.push(
        b"!POST /v1/queues/q/jobs HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST /v1/leases HTTP/1.1\r\ncontent-length: 31\r\n\r\n{\"queues\":[\"r\"],\"wait_ms\":2000}GET /v1/jobs HTTP/1.1\r\n\r\nPOST /v1/queues/q/jobs HTTP/1.1\r\ncontent-length: 9\r\n\r\n{".to_vec(),
    );
    inputs.push(
        b"!POST /v1/queues/q/jobs HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}POST /v1/queues/q/jobs HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /v1/queues/q HTTP/1.1\r\nconnection: close\r\n\r\n".to_vec(),
    );
    inputs.push(b"!GET /v1/queues HTTP/1.1\r\nhost: t\r\n\r\nGET /readyz HTTP/1.1\r\n\r\n".to_vec());
    inputs.push(b"!PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec());
    Ok(inputs)
}

/// A line of the page that calls `curl`, as a request of the target's.
fn request_of(line: &str) -> Option<String> {
    let (_, arguments) = line.split_once("curl -s ")?;
    let after = |flag: &str| {
        let (_, rest) = arguments.split_once(flag)?;
        rest.split_once('\'').map(|(text, _)| text)
    };
    let (_, path) = arguments.split_once("$TIDEGATE")?;
    let path: String = path.chars().take_while(|c| !c.is_whitespace() && *c != '"').collect();
    let body = after("-d '").unwrap_or_default();
    let method = match arguments.split_once("-X ") {
        Some((_, rest)) => rest.split(' ').next()?,
        None if arguments.contains("-d ") => "POST",
        None => "GET",
    };
    let header = after("-H '").map(|header| format!("\n{header}")).unwrap_or_default();
    Some(format!("{method} {path}{header}\n\n{body}"))
}

/// Settings, lines of jobs, durations and records.
fn files() -> anyhow::Result<Vec<Vec<u8>>> {
    let settings = "listen = '0.0.0.0:1'\ndata = '/d'\nshards = 2\nlog = 'warn'\nlog_format = 'json'";
    let lines = "{\"kind\":\"k\",\"priority\":2,\"delay_ms\":5,\"ordering_key\":\"o\",\"on_failure\":\"skip\"}\n{\"payload\":1}\n\n{\"unique\":{\"key\":\"u\"},\"run_at\":\"2026-11-22T13:00:00Z\"}\n";
    let mut inputs = vec![with(0, settings.as_bytes()), with(0, b"lisen = 1"), with(1, lines.as_bytes())];
    inputs.extend(["250ms", "1500", "30s", "5m", "2h", "7d", "1w"].map(|text| with(2, text.as_bytes())));
    for frame in golden_frames("records-v1.bin")? {
        let mut delimited = Vec::new();
        for record in &frame.records {
            prost::encoding::encode_varint(record.len() as u64, &mut delimited);
            delimited.extend_from_slice(record);
        }
        inputs.push(with(3, &delimited));
    }
    Ok(inputs)
}
