//! Requests through the whole server, on a connection in memory, with an engine whose log and clock are in this file's hands.
//!
//! An input is text: requests on one connection, each with its head as in HTTP/1.1 and its body behind an empty line. Behind a
//! line `===` the next one is sent when those before it are answered, behind a line `+++` at once. The length of a body is
//! counted here. Every request is answered, and by an answer that the table of operations has: its status, its type, its
//! refusal's code, those of its items, and a body that the client's own types read. None may be a 5xx. A connection ends
//! only behind an answer that says so.
//!
//! The same requests are then sent to a second server, one by one, with a header that keeps them from the short way. All of it,
//! to the byte and to the engine's state, must come out the same.
//!
//! An input that begins with `!` is sent as it is instead, byte for byte, and the connection is closed when nothing has been
//! heard for a while: then there is nothing to hold the answers to but that the server survives, and answers no 5xx.
//!
//! Left out: watching pools, whose answer has no end.
//!
//! At the end each engine starts over from its log, and must be in the state in which it was.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_api::operations::Operation;
use tidegate_api::refusal::{Code, PROBLEM_MEDIA_TYPE, Problem};
use tidegate_api::{dead, enqueue, job, lease, pool, queue, settle, transaction, work};
use tidegate_core::Time;
use tidegate_engine::{Clock, Engine, Now, Options, Solo};
use tidegate_log::{Log, MemoryLog, Opened};
use tidegate_server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

/// Where the clock begins.
const START_MS: u64 = 1_700_000_000_000;
/// Rounds without an answer after which time goes on to when something is due.
const PATIENCE: u32 = 40;
/// Rounds without an answer after which there will be none.
const ROUNDS_MAX: u32 = 20_000;
/// Rounds without an answer after which bytes that are no whole request are taken to be all.
const QUIET_ROUNDS: u32 = 10 * PATIENCE;
/// Longer than the short way waits for the rest of a request.
const REST: Duration = Duration::from_secs(2);
/// Requests of one conversation.
const REQUESTS_MAX: usize = 24;
/// What both ends of a connection hold; a longer input is not sent, so that a row of requests is written at once.
const PIPE_BYTES: usize = 256 << 10;
/// Takes a request off the short way, and means nothing to the door.
const GENERAL: &str = "te: trailers\r\n";

/// See the module.
pub fn check(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads");
    runtime.block_on(converse(data));
}

/// The engine's log and clock, and whoever runs its turns.
struct House {
    log: MemoryLog,
    solo: Solo,
    clock: Arc<StoppedClock>,
    idle: u32,
}

/// A clock that stands until it is set: milliseconds since it began.
#[derive(Debug, Default)]
struct StoppedClock(AtomicU64);

impl Clock for StoppedClock {
    fn now(&self) -> Now {
        let steady_ms = self.0.load(Ordering::Relaxed);
        Now { wall: Time(START_MS + steady_ms), steady_ms }
    }
}

fn opened(opened: Opened<MemoryLog>) -> (MemoryLog, Opened<Arc<dyn Log>>) {
    let log = opened.log.clone();
    (log, Opened { log: Arc::new(opened.log) as Arc<dyn Log>, recovery: opened.recovery })
}

impl House {
    /// One round: a turn, and if nothing has happened for a while, time.
    fn round(&mut self) {
        let now = self.clock.now();
        self.solo.turn(now).expect("a log in memory does not fail");
        self.idle += 1;
        if self.idle.is_multiple_of(PATIENCE) {
            let passes = self.solo.sleep_ms(now).unwrap_or(1_000).clamp(1, 60_000);
            self.clock.0.fetch_add(passes, Ordering::Relaxed);
        }
        assert!(self.idle < ROUNDS_MAX, "a request is never answered");
    }

    fn rest(&mut self) {
        let now = self.clock.now();
        while self.solo.turn(now).expect("a log in memory does not fail").more {}
    }

    /// The state, as its digest's text.
    fn digest(&mut self) -> String {
        self.rest();
        self.solo.state().expect("it is open").digest_text()
    }
}

async fn converse(data: &[u8]) {
    if data.len() > PIPE_BYTES / 4 {
        return;
    }
    if let Some(raw) = data.strip_prefix(b"!") {
        let mut called = Called::new();
        called.throw(raw).await;
        called.hang_up().await;
        return;
    }
    let text = String::from_utf8_lossy(data);
    let rows: Vec<Vec<_>> =
        text.split("\n===\n").map(|row| row.split("\n+++\n").filter_map(Request::read).collect()).collect();
    let mut short = Called::new();
    let mut asked = 0;
    let mut said: Vec<Said> = Vec::new();
    for row in &rows {
        let row = &row[..row.len().min(REQUESTS_MAX - asked)];
        asked += row.len();
        let answers = short.ask(row, "").await;
        answers.iter().zip(row).for_each(|(said, request)| said.hold_to_the_table(request));
        said.extend(answers);
        if said.last().is_some_and(Said::is_last) {
            break;
        }
    }
    let state = short.hang_up().await;

    let mut general = Called::new();
    for (request, short) in rows.iter().flatten().zip(&said) {
        let long = general.ask(std::slice::from_ref(request), GENERAL).await.remove(0);
        let asked = format!("{} {}", request.method, request.target);
        assert_eq!(short.compared(), long.compared(), "{asked}: the short way, and the general one");
        if long.is_last() {
            assert!(short.is_last(), "{asked}: the general way ends the connection");
        }
    }
    let general = general.hang_up().await;
    assert!(state == general, "the short way:\n{state}\nthe general one:\n{general}");
}

/// A server of its own, and the connection to it.
struct Called {
    house: House,
    client: DuplexStream,
    served: JoinHandle<()>,
}

impl Called {
    fn new() -> Self {
        let (log, opening) = opened(MemoryLog::open());
        let clock = Arc::new(StoppedClock::default());
        // What is published is as new as the last turn, or it would hang on how requests share turns.
        let options =
            Options { readers: 0, seed: Some(7), clock: clock.clone(), snapshot_ms: 0, ..Options::default() };
        let (engine, solo) = Engine::solo(opening, options).expect("an engine in memory");
        let house = House { log, solo, clock, idle: 0 };
        let (client, stream) = tokio::io::duplex(PIPE_BYTES);
        let served = tokio::spawn(Server::serve_stream(engine, tidegate_server::Options::default(), stream));
        Self { house, client, served }
    }

    /// Sends requests at once, each with `header`, and hears all their answers, or those up to one that ends the connection.
    async fn ask(&mut self, row: &[Request<'_>], header: &str) -> Vec<Said> {
        let Self { house, client, .. } = self;
        let bytes: Vec<u8> = row.iter().flat_map(|request| request.bytes(header)).collect();
        // The pipe has room, so this fails only if the server has gone; then the first answer is missing.
        let _ = during(house, client.write_all(&bytes)).await;
        let mut answers = Vec::new();
        for request in row {
            let heard = during(house, hear(client, request.method == "HEAD")).await;
            let said =
                heard.unwrap_or_else(|| panic!("{} {} is not answered", request.method, request.target));
            let is_last = said.is_last();
            answers.push(said);
            if is_last {
                break;
            }
        }
        answers
    }

    /// Sends bytes, and waits as long as something is heard; so long that the rest of a request is no longer waited for, too.
    async fn throw(&mut self, bytes: &[u8]) {
        let Self { house, client, .. } = self;
        let _ = during(house, client.write_all(bytes)).await;
        let mut heard = Vec::new();
        let mut is_open = unless_quiet(house, client, &mut heard).await;
        if is_open {
            tokio::time::advance(REST).await;
            is_open = unless_quiet(house, client, &mut heard).await;
        }
        if is_open {
            let _ = during(house, client.shutdown()).await;
            let _ = during(house, client.read_to_end(&mut heard)).await;
        }
        for refusal in heard.windows(12).filter(|window| window.starts_with(b"HTTP/1.1 5")) {
            panic!("{}", String::from_utf8_lossy(refusal));
        }
    }

    /// Ends the connection, and starts the engine over. Its state.
    async fn hang_up(mut self) -> String {
        drop(self.client);
        during(&mut self.house, self.served).await.expect("the connection's task does not panic");
        starts_over(self.house)
    }
}

/// Reads until nothing has come for a while. False if the server has closed the connection.
async fn unless_quiet(house: &mut House, client: &mut DuplexStream, heard: &mut Vec<u8>) -> bool {
    house.idle = 0;
    while house.idle < QUIET_ROUNDS {
        tokio::select! {
            biased;
            read = client.read_buf(heard) => match read {
                Ok(0) | Err(_) => return false,
                Ok(_) => house.idle = 0,
            },
            () = tokio::task::yield_now() => house.round(),
        }
    }
    true
}

/// Runs the engine until something has come to its end.
async fn during<T>(house: &mut House, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    house.idle = 0;
    loop {
        tokio::select! {
            biased;
            done = &mut future => return done,
            () = tokio::task::yield_now() => house.round(),
        }
    }
}

/// A replay of the log gives the state there was. That state.
fn starts_over(mut house: House) -> String {
    let before = house.digest();
    let (log, opening) = opened(house.log.reopen());
    house.log = log;
    house.solo.crash();
    house.solo.reopen(opening).expect("its own log");
    let after = house.digest();
    assert!(before == after, "before:\n{before}\nafter:\n{after}");
    after
}

/// A request, as the input has it.
struct Request<'a> {
    method: &'a str,
    target: &'a str,
    headers: Vec<&'a str>,
    body: &'a str,
}

impl<'a> Request<'a> {
    /// Reads a request if it can be sent as one.
    fn read(text: &'a str) -> Option<Self> {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let (method, target) = lines.next()?.split_once(' ')?;
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // What is no URI is no HTTP, and does not come to the door: the general server closes the connection.
        let is_graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        // Who watches hears without end, and there is no answer to wait for.
        let is_watch = |target: &http::Uri| target.path() == "/v1/pools/watch";
        let plain =
            |text: &str| is_graphic(text) && text.parse::<http::Uri>().is_ok_and(|target| !is_watch(&target));
        if !is_token(method) || method == "CONNECT" || !target.starts_with('/') || !plain(target) {
            return None;
        }
        // What says how long the body is, or that the connection is something else, is not the input's to say.
        let sayable = |line: &&str| {
            let Some((name, value)) = line.split_once(':') else { return false };
            let name = name.to_ascii_lowercase();
            let name_fits =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            let framing = ["content-length", "transfer-encoding", "connection", "upgrade", "expect", "host"];
            let value_fits = value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            name_fits && value_fits && !framing.contains(&name.as_str())
        };
        Some(Self { method, target, headers: lines.filter(sayable).take(16).collect(), body })
    }

    /// As it is sent, with one more header, which ends its line itself.
    fn bytes(&self, header: &str) -> Vec<u8> {
        let Self { method, target, headers, body } = self;
        let length = body.len();
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nhost: tidegate\r\n{header}content-length: {length}\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body.as_bytes());
        bytes
    }
}

/// An answer.
struct Said {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Hears an answer to its end; none if the connection ends before.
async fn hear(stream: &mut (impl AsyncReadExt + Unpin), no_body: bool) -> Option<Said> {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(heard).expect("a head is text");
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut said = Said { status, headers, body: Vec::new() };
    if no_body {
        return Some(said);
    }
    if let Some(length) = said.header("content-length") {
        let length: usize = length.parse().expect("a length");
        said.body = vec![0; length];
        stream.read_exact(&mut said.body).await.expect("an answer is whole");
        return Some(said);
    }
    assert_eq!(said.header("transfer-encoding"), Some("chunked"), "an answer without a length: {head}");
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.expect("an answer is whole"));
        }
        let line = std::str::from_utf8(&line).expect("a chunk's length").trim();
        let length = usize::from_str_radix(line, 16).expect("a chunk's length");
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk).await.expect("an answer is whole");
        if length == 0 {
            return Some(said);
        }
        said.body.extend_from_slice(&chunk[..length]);
    }
}

impl Said {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }

    /// Whether the server closes the connection behind it.
    fn is_last(&self) -> bool {
        self.header("connection") == Some("close")
    }

    /// What is the same whoever wrote it: not the date, and not how its length is told.
    fn compared(&self) -> (u16, Vec<&(String, String)>, Cow<'_, str>) {
        let framing = ["connection", "content-length", "date", "transfer-encoding"];
        let mut headers: Vec<_> =
            self.headers.iter().filter(|(name, _)| !framing.contains(&name.as_str())).collect();
        headers.sort();
        (self.status, headers, String::from_utf8_lossy(&self.body))
    }

    fn hold_to_the_table(&self, request: &Request<'_>) {
        let text = String::from_utf8_lossy(&self.body);
        let asked = format!("{} {}", request.method, request.target);
        assert!(self.status < 500, "{asked} is answered {}: {text}", self.status);
        let operation = Operation::of_request(request.method, request.target);
        if self.status < 400 {
            let operation = operation.unwrap_or_else(|| panic!("{asked} is in no table"));
            let answers: Vec<_> =
                operation.answers.iter().filter(|answer| answer.status == self.status).collect();
            assert!(!answers.is_empty(), "{asked}: {} does not announce {}", operation.id, self.status);
            if request.method != "HEAD" {
                self.hold_body(operation, answers[0].schema, &asked);
            }
            return;
        }
        if self.status == 400 && self.body.is_empty() && self.header("content-type").is_none() {
            // What is no HTTP at all does not come to the door.
            return;
        }
        assert_eq!(self.header("content-type"), Some(PROBLEM_MEDIA_TYPE), "{asked}");
        if request.method == "HEAD" {
            return;
        }
        let problem: Problem = serde_json::from_slice(&self.body).expect("a problem");
        let code = problem.refusal.code;
        assert_ne!(code, Code::Unknown, "{asked}: {text}");
        assert_eq!((problem.status, code.status()), (self.status, self.status), "{asked}: {text}");
        assert!(self.status != 429 || self.header("retry-after").is_some(), "{asked}: {text}");
        match operation {
            Some(operation) => {
                let announced = operation.codes().any(|announced| announced == code);
                assert!(announced, "{asked}: {} does not announce {code}: {text}", operation.id);
            }
            None => assert!(matches!(code, Code::NotFound | Code::MethodNotAllowed), "{asked}: {code}"),
        }
    }

    fn hold_body(&self, operation: &Operation, schema: &str, asked: &str) {
        let body = &self.body;
        if self.header("content-type") == Some("application/x-ndjson") {
            for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                reads::<enqueue::EnqueueResult>(line, asked);
                hold_items(operation, &[serde_json::from_slice(line).expect("JSON")], asked);
            }
            return;
        }
        match schema {
            "Enqueued" => reads::<enqueue::Enqueued>(body, asked),
            "EnqueueAnswer" if body.starts_with(b"{\"results\"") => {
                reads::<enqueue::EnqueueResults>(body, asked);
            }
            "EnqueueAnswer" => reads::<enqueue::Enqueued>(body, asked),
            "LeaseAnswer" => reads::<lease::LeaseAnswer>(body, asked),
            "SettleResults" => reads::<settle::SettleResults>(body, asked),
            "WorkAnswer" => reads::<work::WorkAnswer>(body, asked),
            "TransactionAnswer" => reads::<transaction::TransactionAnswer>(body, asked),
            "Job" => reads::<job::Job>(body, asked),
            "JobPage" => reads::<job::JobPage>(body, asked),
            "JobStateAnswer" => reads::<job::JobStateAnswer>(body, asked),
            "Queue" => reads::<queue::Queue>(body, asked),
            "QueueList" => reads::<queue::QueueList>(body, asked),
            "PauseAnswer" if body.starts_with(b"{\"queue\"") => reads::<queue::KeyAnswer>(body, asked),
            "PauseAnswer" => reads::<queue::Queue>(body, asked),
            "CauseList" => reads::<dead::CauseList>(body, asked),
            "RedriveAnswer" => reads::<dead::RedriveAnswer>(body, asked),
            "DeletedAnswer" => reads::<dead::DeletedAnswer>(body, asked),
            "Pool" => reads::<pool::view::Pool>(body, asked),
            "PoolList" => reads::<pool::view::PoolList>(body, asked),
            "PoolDeleted" => reads::<pool::view::PoolDeleted>(body, asked),
            "EntrantPage" => reads::<pool::view::EntrantPage>(body, asked),
            "GrantPage" => reads::<pool::view::GrantPage>(body, asked),
            "LinePage" => reads::<pool::view::LinePage>(body, asked),
            "HolderStory" => reads::<pool::holder::HolderStory>(body, asked),
            "PoolResults" => reads::<pool::grant::PoolResults>(body, asked),
            // Of one, or of a list.
            "Grant" | "Waiting" | "LeaveAnswer" if body.starts_with(b"{\"results\"") => {
                reads::<pool::grant::PoolResults>(body, asked);
            }
            "Grant" => reads::<pool::grant::Grant>(body, asked),
            "Waiting" | "LeaveAnswer" => reads::<pool::grant::Waiting>(body, asked),
            "" => return,
            other => panic!("nobody reads a {other}"),
        }
        let json: Value = serde_json::from_slice(body).expect("JSON");
        for list in ["results", "complete", "fail", "extend", "release"] {
            hold_items(operation, json[list].as_array().map_or(&[], Vec::as_slice), asked);
        }
    }
}

/// The refusals of items are announced too.
fn hold_items(operation: &Operation, items: &[Value], asked: &str) {
    for code in items.iter().filter_map(|item| item["error"]["code"].as_str()) {
        let announced = operation.item_codes().any(|announced| announced.as_str() == code);
        assert!(announced, "{asked}: {} does not announce {code} for an item", operation.id);
    }
}

/// The client's type reads the body.
fn reads<T: DeserializeOwned>(body: &[u8], asked: &str) {
    if let Err(error) = serde_json::from_slice::<T>(body) {
        panic!("{asked}: {error}: {}", String::from_utf8_lossy(body));
    }
}
