//! Listening, connections, and the graceful end.
//!
//! One loop accepts; every connection is a task. It begins on the short way (`lane`); hyper takes over what is not plain. At the bound of connections a newcomer is told so and let go. When the
//! server stops it takes no new connections, closes the engine (which answers those who wait), lets requests that were
//! begun end, and after a grace period goes anyway.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tidegate_api::refusal::{Code, PROBLEM_MEDIA_TYPE, Problem, Refusal};
use tidegate_engine::{CloseError, Engine};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::anywhere::anywhere;
use crate::body::RequestBody;
use crate::door::Door;
use crate::lane::{Lane, Left, Stream};
use crate::limits;
use crate::unread::Patient;

/// How a server is set up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections that are served at a time.
    pub connections_max: usize,
    /// Bytes of all request bodies that are held at a time; at least 32 MiB.
    pub bodies_bytes_max: usize,
    /// How long a client may take from one piece of a body to the next.
    pub body_piece_timeout: Duration,
    /// Bytes of all long answers (64 KiB or more) that are in memory because their callers have not read them yet. Beyond it
    /// long reads are refused.
    pub answers_bytes_max: usize,
    /// How long what is written to a connection may go nowhere before the connection is given up.
    pub answer_patience: Duration,
    /// How long requests that were begun may take to end when the server stops.
    pub grace: Duration,
    /// Answers `POST /bench/bare` without asking the engine, for measuring what HTTP alone costs.
    pub bench: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS,
            bodies_bytes_max: limits::BODIES_BYTES,
            body_piece_timeout: limits::BODY_PIECE_TIMEOUT,
            answers_bytes_max: limits::ANSWERS_BYTES,
            answer_patience: limits::ANSWER_PATIENCE,
            grace: limits::GRACE,
            bench: false,
        }
    }
}

/// Why a server did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened at: it is in use, or not this machine's.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The engine's last frames are not known to be durable. Their callers have heard so.
    #[error(transparent)]
    Close(#[from] CloseError),
}

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local_address: SocketAddr,
    options: Options,
}

impl Server {
    /// Listens at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub async fn listen(address: SocketAddr, options: Options) -> Result<Self, ServeError> {
        let listen = async {
            let listener = TcpListener::bind(address).await?;
            let local_address = listener.local_addr()?;
            Ok((listener, local_address))
        };
        let (listener, local_address) =
            listen.await.map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { listener, local_address, options })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Serves the engine until `stop` is ready, then closes it and ends.
    ///
    /// # Errors
    /// [`ServeError::Close`].
    pub async fn serve(self, engine: Engine, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (stopping, stopped) = watch::channel(false);
        let door = Door::new(engine.clone(), &self.options, stopped.clone());
        // On a thread of the runtime, where a new connection is served by the thread that has accepted it. This future is
        // more likely on one that only waits, and waking that takes longer than accepting.
        let accepting = tokio::spawn(accept(self.listener, self.options, door, stopped));
        stop.await;
        stopping.send_replace(true);
        let graceful = accepting.await.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
        let ends = async {
            // Closing answers those who wait, and only then can their connections end.
            let (closed, ()) = tokio::join!(engine.close(), graceful.shutdown());
            closed
        };
        match tokio::time::timeout(self.options.grace, ends).await {
            Ok(closed) => Ok(closed?),
            Err(_) => {
                tracing::warn!(grace = ?self.options.grace, "some requests did not end in time and are cut off");
                Ok(engine.close().await?)
            }
        }
    }
}

#[cfg(feature = "testing")]
impl Server {
    /// Serves one connection that needs no socket, as any other, until it ends. For fuzzers and tests.
    pub async fn serve_stream<S>(engine: Engine, options: Options, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (_going_on, stop) = watch::channel(false);
        let door = Door::new(engine, &options, stop.clone());
        let lane = Lane::new(Patient::new(stream, options.answer_patience), door.clone(), stop);
        let graceful = GracefulShutdown::new();
        if let Err(error) = connection(lane, &Builders::new(), door, graceful.watcher()).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Accepts connections until the server stops, or is no more. Then they are asked to end, by what this gives back.
async fn accept(
    listener: TcpListener,
    options: Options,
    door: Door,
    stop: watch::Receiver<bool>,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let builders = Arc::new(Builders::new());
    let room = Arc::new(Semaphore::new(options.connections_max));
    let mut stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return graceful,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // A connection that was gone before it was taken, or no file descriptors left: neither is helped by
                // trying again in a tight loop.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%peer, connections = options.connections_max, "a connection was refused: there are too many");
            turn_away(&stream, options.connections_max);
            continue;
        };
        // Answers are written in one piece each; waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection was gone before it was served");
            continue;
        }
        let (builders, watcher) = (Arc::clone(&builders), graceful.watcher());
        let door = door.of_connection(peer.ip());
        let lane = Lane::new(Patient::new(stream, options.answer_patience), door.clone(), stop.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(lane, &builders, door, watcher).await {
                // A client that goes away in the middle, or does not speak HTTP, is no event.
                tracing::debug!(%peer, %error, "a connection ended early");
            }
            drop(permit);
        });
    }
}

/// Why a connection ended early: its own way of failing, or the general server's.
type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

/// Serves one connection until it ends: on the short way as long as that goes.
async fn connection<S: Stream>(
    lane: Lane<S>,
    builders: &Builders,
    door: Door,
    watcher: Watcher,
) -> Result<(), ConnectionError> {
    match anywhere(lane.run()).await? {
        Left::Ended => Ok(()),
        // Apart, since few connections need the room that a general server's state takes.
        Left::ForHyper { stream, read, is_http1 } => {
            // A connection does not change to HTTP/2 after it has spoken HTTP/1.1: a proxy may share it among its callers.
            let builder = if is_http1 { &builders.http1 } else { &builders.auto };
            Box::pin(general(builder, stream, read, door, watcher)).await
        }
    }
}

/// Serves what is left of a connection by the general server. `read` was read from it already.
async fn general<S: Stream>(
    builder: &auto::Builder<TokioExecutor>,
    stream: S,
    read: Bytes,
    door: Door,
    watcher: Watcher,
) -> Result<(), ConnectionError> {
    let service = service_fn(move |request: Request<Incoming>| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(request.map(RequestBody::Incoming)).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(Rewound { read, stream }), service).into_owned();
    watcher.watch(connection).await
}

/// A connection of which something was read already; that is read again first.
#[derive(Debug)]
struct Rewound<S> {
    read: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, room);
        }
        let bytes = self.read.len().min(room.remaining());
        room.put_slice(&self.read.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The general server, for connections that have not begun and for those that speak HTTP/1.1.
struct Builders {
    auto: auto::Builder<TokioExecutor>,
    http1: auto::Builder<TokioExecutor>,
}

impl Builders {
    fn new() -> Self {
        Self { auto: connection_builder(), http1: connection_builder().http1_only() }
    }
}

fn connection_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIMEOUT)
        .max_buf_size(limits::CONNECTION_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::HEAD_TIMEOUT)
        .max_concurrent_streams(limits::HTTP2_STREAMS)
        .max_header_list_size(limits::HEAD_BYTES)
        .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES);
    builder
}

/// Tells a connection that there are too many, as well as one can without serving it: whatever fits into its send
/// buffer at once.
fn turn_away(stream: &TcpStream, connections_max: usize) {
    let detail = format!("The server has the {connections_max} connections that it takes.");
    let problem = Problem::from(Refusal::new(Code::TooManyConnections, detail).with_retry_after_ms(1_000));
    let body = serde_json::to_string(&problem).expect("a problem is always JSON");
    let answer = format!(
        "HTTP/1.1 {} Service Unavailable\r\ncontent-type: {PROBLEM_MEDIA_TYPE}\r\nretry-after: 1\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        problem.status,
        body.len(),
    );
    if let Err(error) = stream.try_write(answer.as_bytes()) {
        tracing::debug!(%error, "a connection that was turned away did not hear why");
    }
}
