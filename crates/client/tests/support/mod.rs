//! A server with its engine in this process, on a loopback port and a temporary directory: real sockets, a real log.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tidegate::{
    Client, Worker, WorkerError, WorkerEvent,
    api::{
        enqueue::NewJob, enqueue::Retry, id::JobId, job::Job, queue::QueueConfig, value::RawJson,
        words::JobState,
    },
};
use tidegate_engine::Engine;
use tidegate_server::{Options, Server};
use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Far beyond every wait of a test: it fails then instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. It stops, and its directory goes, when it is dropped.
pub(crate) struct House {
    pub(crate) client: Client,
    pub(crate) address: SocketAddr,
    /// Bound and never listened on: nobody else has the port while the server is away, and the server may listen on it.
    _port: TcpSocket,
    directory: TempDir,
    shards: u16,
    serving: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl House {
    pub(crate) async fn open() -> House {
        House::with_shards(1).await
    }

    pub(crate) async fn with_shards(shards: u16) -> House {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, address) = own_port();
        let serving = serve(&directory, shards, address).await;
        let client = Client::connect(&format!("http://{address}")).expect("an address");
        House { client, address, _port: port, directory, shards, serving: Some(serving) }
    }

    /// Stops the server and its engine.
    pub(crate) async fn stop(&mut self) {
        if let Some((stop, serving)) = self.serving.take() {
            drop(stop);
            serving.await.expect("the server ends well");
        }
    }

    /// Starts it again: the same port, the same data.
    pub(crate) async fn start(&mut self) {
        self.serving = Some(serve(&self.directory, self.shards, self.address).await);
    }

    pub(crate) async fn enqueue(&self, queue: &str, kind: &str, payload: serde_json::Value) -> JobId {
        let payload = RawJson::of(&payload).expect("JSON");
        let job = NewJob { kind: Some(kind.into()), payload: Some(payload), ..NewJob::default() };
        self.client.enqueue(queue, &job).await.expect("accepted").id
    }

    /// Enqueues jobs whose payloads are the numbers from 0.
    pub(crate) async fn enqueue_many(&self, queue: &str, kind: &str, count: usize) -> Vec<JobId> {
        let job = |number: usize| NewJob {
            kind: Some(kind.to_owned().into()),
            payload: Some(RawJson::of(&number).expect("JSON")),
            ..NewJob::default()
        };
        let mut ids = Vec::with_capacity(count);
        for chunk in (0..count).collect::<Vec<_>>().chunks(1_000) {
            let jobs: Vec<NewJob<'_>> = chunk.iter().map(|number| job(*number)).collect();
            for result in self.client.enqueue_list(queue, &jobs).await.expect("accepted") {
                match serde_json::to_value(&result).expect("JSON")["id"].as_str() {
                    Some(id) => ids.push(id.parse().expect("an id")),
                    None => panic!("{result:?}"),
                }
            }
        }
        ids
    }

    /// Failed attempts are tried again at once, up to so many in all.
    pub(crate) async fn retries(&self, queue: &str, max_attempts: u32) {
        let retry = Retry {
            max_attempts: Some(max_attempts),
            delay_ms: Some(0),
            factor: None,
            delay_max_ms: None,
            jitter_percent: None,
        };
        let config = QueueConfig { retry: Some(retry), ..QueueConfig::default() };
        self.client.configure(queue, &config).await.expect("configured");
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.client.job(id, Duration::ZERO).await.expect("the job is known")
    }

    /// The job once it has ended.
    pub(crate) async fn ended(&self, id: JobId) -> Job {
        let job = self.client.job(id, PATIENCE).await.expect("the job is known");
        let ended = matches!(job.state, JobState::Completed | JobState::Dead | JobState::Cancelled);
        assert!(ended, "{job:?} has not ended");
        job
    }
}

/// A port that is nobody else's as long as the socket is there.
pub(crate) fn own_port() -> (TcpSocket, SocketAddr) {
    let port = TcpSocket::new_v4().expect("a socket");
    port.set_reuseaddr(true).expect("a socket's setting");
    port.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = port.local_addr().expect("an address");
    (port, address)
}

async fn serve(
    directory: &TempDir,
    shards: u16,
    address: SocketAddr,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let server = Server::listen(address, Options::default()).await.expect("our own port");
    let path = directory.path().to_owned();
    let options = tidegate_engine::Options { shards, ..tidegate_engine::Options::default() };
    let open = move || Engine::open(path, options);
    let engine = tokio::task::spawn_blocking(open).await.expect("no panic").expect("an engine");
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = tokio::spawn(async move { server.serve(engine, stopped).await.expect("it ends well") });
    (stop, serving)
}

/// A worker that runs in a task of its own.
pub(crate) struct Working {
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), WorkerError>>,
    events: Events,
}

/// What a worker has told, and is yet to tell.
pub(crate) struct Events {
    all: Arc<Mutex<Vec<String>>>,
    coming: mpsc::UnboundedReceiver<String>,
}

impl Working {
    pub(crate) fn start<S: Clone + Send + Sync + 'static>(worker: Worker<S>) -> Working {
        let (tell, coming) = mpsc::unbounded_channel();
        let all = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&all);
        let worker = worker.on_event(move |event| {
            let line = line(event);
            kept.lock().expect("no panic").push(line.clone());
            // Nobody may listen any more.
            let _ = tell.send(line);
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move { worker.run_until(async { drop(stopped.await) }).await });
        Working { stop: Some(stop), running, events: Events { all, coming } }
    }

    /// Waits until the worker has told this.
    pub(crate) async fn tells(&mut self, expected: &str) {
        self.tells_any(|line| line == expected, expected).await;
    }

    pub(crate) async fn tells_any(&mut self, right: impl Fn(&str) -> bool, what: &str) -> String {
        let wait = async {
            loop {
                let line = self.events.coming.recv().await.expect("the worker runs");
                if right(&line) {
                    return line;
                }
            }
        };
        let told = tokio::time::timeout(PATIENCE, wait).await;
        told.unwrap_or_else(|_| panic!("never told {what:?}, but {:#?}", self.told()))
    }

    /// Everything that was told.
    pub(crate) fn told(&self) -> Vec<String> {
        self.events.all.lock().expect("no panic").clone()
    }

    /// Tells the worker to stop, without waiting for it.
    pub(crate) fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Tells the worker to stop, and says how it ended.
    pub(crate) async fn stop(mut self) -> (Result<(), WorkerError>, Vec<String>) {
        self.tell_to_stop();
        let ended = tokio::time::timeout(PATIENCE, &mut self.running).await;
        let ended = ended.unwrap_or_else(|_| panic!("it does not end: {:#?}", self.told()));
        (ended.expect("no panic"), self.told())
    }
}

/// An event in one line.
fn line(event: &WorkerEvent) -> String {
    match event {
        WorkerEvent::Started { job, .. } => format!("started {}", job.id),
        WorkerEvent::Ended { job, .. } => format!("ended {}", job.id),
        WorkerEvent::Completed { job, .. } => format!("completed {}", job.id),
        WorkerEvent::Failed { job, failure, .. } => format!("failed {} {failure}", job.id),
        WorkerEvent::Released { job, .. } => format!("released {}", job.id),
        WorkerEvent::Refused { job, refusal, .. } => format!("refused {} {}", job.id, refusal.code),
        WorkerEvent::Lost { job, refusal, .. } => format!("lost {} {}", job.id, refusal.code),
        WorkerEvent::GivenUp { job, .. } => format!("given up {}", job.id),
        WorkerEvent::ServerAway { .. } => "server away".to_owned(),
        WorkerEvent::ServerBack => "server back".to_owned(),
        WorkerEvent::UnhandledKind { queue, kind, .. } => format!("unhandled {queue} {kind}"),
        WorkerEvent::Idle => "idle".to_owned(),
        WorkerEvent::Stopping { running, .. } => format!("stopping {running}"),
        WorkerEvent::Stopped { unreported, .. } => format!("stopped {unreported}"),
        other => format!("{other:?}"),
    }
}

/// One whole message, by its content-length.
pub(crate) async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
            if bytes.len() == head + 4 + length {
                return Some(bytes);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
