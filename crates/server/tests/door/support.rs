//! A server and its engine in a directory of their own, and a client that shows every byte.
//!
//! Every answer that a test hears is held against the table of operations: its status must be announced, and if it is a
//! refusal, its code and its form.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tidegate_api::operations::Operation;
use tidegate_api::refusal::{Code, PROBLEM_MEDIA_TYPE, Problem};
use tidegate_engine::Engine;
use tidegate_server::{Options, ServeError, Server};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server. It stops, and its directory goes, when it is dropped.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) address: SocketAddr,
    directory: Option<TempDir>,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<Result<(), ServeError>>>,
}

impl House {
    /// A server with default options on a new directory.
    pub(crate) fn open() -> Self {
        Self::with(tidegate_engine::Options::default(), Options::default())
    }

    /// A server on a new directory.
    pub(crate) fn with(engine: tidegate_engine::Options, options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path(), engine).unwrap();
        Self::over(engine, options, Some(directory))
    }

    /// A server over an engine that is open already.
    pub(crate) fn over(engine: Engine, options: Options, directory: Option<TempDir>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = runtime.block_on(Server::listen("127.0.0.1:0".parse().unwrap(), options)).unwrap();
        let address = server.local_address();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving_engine = engine.clone();
        let serving = runtime.spawn(async move {
            let stopped = async { drop(stopped.await) };
            server.serve(serving_engine, stopped).await
        });
        Self { engine, address, directory, runtime, stop: Some(stop), serving: Some(serving) }
    }

    /// Stops the server and its engine, gracefully, and starts both over on the same directory.
    pub(crate) fn restart(mut self) -> Self {
        self.stop().unwrap();
        let directory = self.directory.take();
        drop(self);
        let directory = directory.expect("a house on a disk");
        let engine = Engine::open(directory.path(), tidegate_engine::Options::default()).unwrap();
        Self::over(engine, Options::default(), Some(directory))
    }

    /// Stops the server gracefully, and says how that went.
    pub(crate) fn stop(&mut self) -> Result<(), ServeError> {
        drop(self.stop.take());
        self.serving.take().map_or(Ok(()), |serving| self.runtime.block_on(serving).unwrap())
    }

    /// Waits for something of the engine's.
    pub(crate) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn get(&self, path: &str) -> Said {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: impl AsRef<str>) -> Said {
        self.ask("POST", path, &[JSON], body)
    }

    pub(crate) fn put(&self, path: &str, body: impl AsRef<str>) -> Said {
        self.ask("PUT", path, &[JSON], body)
    }

    /// Asks on a connection of its own.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<str>,
    ) -> Said {
        let mut connection = self.connect();
        connection.send(method, path, headers, body.as_ref().as_bytes());
        connection.hear(method, path)
    }

    /// A connection, for tests that ask more than once on it.
    pub(crate) fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// Enqueues a job and says its id.
    pub(crate) fn enqueue(&self, queue: &str, job: &str) -> String {
        let said = self.post(&format!("/v1/queues/{queue}/jobs"), job);
        assert_eq!(said.status, 201, "{said:?}");
        said.json["id"].as_str().unwrap().to_owned()
    }

    /// Leases one job; its id and token.
    pub(crate) fn lease(&self, queue: &str) -> (String, u64) {
        let said = self.post("/v1/leases", format!(r#"{{"queues":["{queue}"],"wait_ms":60000}}"#));
        let job = &said.json["jobs"][0];
        (job["id"].as_str().expect("a job").to_owned(), job["token"].as_u64().unwrap())
    }

    /// The state of a job.
    pub(crate) fn state(&self, id: &str) -> String {
        self.get(&format!("/v1/jobs/{id}")).json["state"].as_str().unwrap().to_owned()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Some tests break the log on purpose; those that care how the end was ask before.
        let _ = self.stop();
    }
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

/// One connection that speaks HTTP/1.1.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) heard: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        // Far beyond every wait of a test: it fails then instead of hanging.
        stream.set_read_timeout(Some(Duration::from_secs(100))).unwrap();
        Self { stream, heard: Vec::new() }
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.write(&request(method, path, headers, body));
    }

    /// Sends bytes. That the server has closed already is no failure here: it may have answered first.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Hears an answer to its end and checks it against the table.
    pub(crate) fn hear(&mut self, method: &str, path: &str) -> Said {
        let said = self.hear_unchecked(method == "HEAD");
        said.check(method, path);
        said
    }

    pub(crate) fn hear_unchecked(&mut self, no_body: bool) -> Said {
        let head_end = loop {
            if let Some(place) = find(&self.heard, b"\r\n\r\n") {
                break place + 4;
            }
            assert!(
                self.hear_more(),
                "the connection ended before an answer: {:?}",
                String::from_utf8_lossy(&self.heard)
            );
        };
        let head = String::from_utf8(self.heard.drain(..head_end).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut said = Said { status, headers, text: String::new(), json: Value::Null };
        let body = match (no_body, said.header("content-length"), said.header("transfer-encoding")) {
            (true, ..) => Vec::new(),
            (_, Some(length), _) => self.take(length.parse().unwrap()),
            (_, None, Some("chunked")) => self.take_chunks(),
            other => panic!("an answer without a length: {other:?}"),
        };
        said.text = String::from_utf8(body).unwrap();
        said.json = serde_json::from_str(&said.text).unwrap_or_default();
        said
    }

    /// Hears that the body may be sent.
    pub(crate) fn hear_continue(&mut self) {
        let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
        let heard = self.take(expected.len());
        assert_eq!(heard, expected);
    }

    /// The next chunk of an answer that comes in pieces; empty at its end.
    pub(crate) fn hear_chunk(&mut self) -> Vec<u8> {
        let line_end = loop {
            if let Some(place) = find(&self.heard, b"\r\n") {
                break place;
            }
            assert!(self.hear_more(), "the connection ended in the middle of an answer");
        };
        let line: Vec<u8> = self.heard.drain(..line_end + 2).collect();
        let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
        let mut chunk = self.take(length + 2);
        chunk.truncate(length);
        chunk
    }

    fn take_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.hear_chunk();
            if chunk.is_empty() {
                return body;
            }
            body.extend(chunk);
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.heard.len() < length {
            assert!(self.hear_more(), "the connection ended in the middle of an answer");
        }
        self.heard.drain(..length).collect()
    }

    /// What was heard and not yet understood.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.heard
    }

    /// Reads whatever comes next; false at the end.
    pub(crate) fn hear_more(&mut self) -> bool {
        let mut piece = [0; 64 << 10];
        let length = loop {
            match self.stream.read(&mut piece) {
                // A read with a timeout is cut off when the process is stopped and goes on; the answer is yet to come.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read.unwrap_or(0),
            }
        };
        self.heard.extend_from_slice(&piece[..length]);
        length > 0
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: tidegate\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !body.is_empty() || method != "GET" {
        bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    /// The body, if it is JSON.
    pub(crate) json: Value,
}

impl Said {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| &**value)
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> &str {
        self.json["code"].as_str().unwrap_or_else(|| panic!("no refusal: {self:?}"))
    }

    /// The lines of an NDJSON answer.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    fn check(&self, method: &str, path: &str) {
        let operation = Operation::of_request(method, path);
        if self.status < 400 {
            let operation = operation.unwrap_or_else(|| panic!("{method} {path} is in no table"));
            let announced = operation.answers.iter().any(|answer| answer.status == self.status);
            assert!(announced, "{} does not announce {}", operation.id, self.status);
            return self.check_items(operation);
        }
        let media_type = self.header("content-type");
        assert_eq!(media_type, Some(PROBLEM_MEDIA_TYPE));
        if method == "HEAD" {
            return;
        }
        let problem: Problem = serde_json::from_str(&self.text).unwrap();
        let code = problem.refusal.code;
        assert_ne!(code, Code::Unknown, "{}", self.text);
        assert_eq!((problem.status, code.status()), (self.status, self.status), "{}", self.text);
        assert_eq!(problem.kind, format!("/problems/{code}"));
        assert_eq!(problem.title, code.title());
        assert!(!problem.refusal.detail.is_empty());
        assert!(
            self.status != 429 || self.header("retry-after").is_some(),
            "a 429 says when to come back: {self:?}"
        );
        match operation {
            Some(operation) => {
                assert!(
                    operation.codes().any(|announced| announced == code),
                    "{} does not announce {code}",
                    operation.id
                );
            }
            None => {
                assert!(matches!(code, Code::NotFound | Code::MethodNotAllowed), "{method} {path}: {code}")
            }
        }
    }

    /// The refusals of items are announced too.
    fn check_items(&self, operation: &Operation) {
        let lists =
            ["results", "complete", "fail", "extend", "release"].map(|name| self.json[name].as_array());
        for item in lists.into_iter().flatten().flatten() {
            if let Some(code) = item["error"]["code"].as_str() {
                let announced = operation.item_codes().any(|announced| announced.as_str() == code);
                assert!(announced, "{} does not announce {code} for an item", operation.id);
            }
        }
    }
}

/// Waits until something holds; what it waits for is an event of the server's that has no other sign.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
