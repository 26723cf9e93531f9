//! Listening, connections, and the graceful end.
//!
//! One loop accepts; every connection is a task. At the bound of connections a newcomer is told so and let go. When the
//! server stops it takes no new connections, closes the engine (which answers those who wait), lets requests that were
//! begun end, and after a grace period goes anyway.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tidegate_api::refusal::{Code, PROBLEM_MEDIA_TYPE, Problem, Refusal};
use tidegate_engine::{CloseError, Engine};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::door::Door;
use crate::limits;
use crate::reply::Reply;

/// How a server is set up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections that are served at a time.
    pub connections_max: usize,
    /// Bytes of all request bodies that are held at a time; at least 32 MiB.
    pub bodies_bytes_max: usize,
    /// How long a client may take from one piece of a body to the next.
    pub body_piece_timeout: Duration,
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
        let door = Door::new(engine.clone(), &self.options);
        let graceful = GracefulShutdown::new();
        tokio::select! {
            () = accept(&self.listener, self.options, &door, &graceful) => {}
            () = stop => {}
        }
        drop(self.listener);
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
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let door = Door::new(engine, &options);
        if let Err(error) = connection_builder().serve_connection(TokioIo::new(stream), service(door)).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// Accepts connections for ever.
async fn accept(listener: &TcpListener, options: Options, door: &Door, graceful: &GracefulShutdown) {
    let builder = Arc::new(connection_builder());
    let room = Arc::new(Semaphore::new(options.connections_max));
    loop {
        let (stream, peer) = match listener.accept().await {
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
        let connection = builder.serve_connection(TokioIo::new(stream), service(door.clone())).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // A client that goes away in the middle, or does not speak HTTP, is no event.
                tracing::debug!(%peer, %error, "a connection ended early");
            }
            drop(permit);
        });
    }
}

/// What a connection asks: the door.
fn service(
    door: Door,
) -> impl Service<Request<Incoming>, Response = Reply, Error = Infallible, Future: Send + 'static> {
    service_fn(move |request: Request<Incoming>| {
        let door = door.clone();
        async move { Ok(door.answer(request).await) }
    })
}

fn connection_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIMEOUT)
        .max_buf_size(limits::CONNECTION_BUFFER_BYTES)
        // Requests that come together are answered together, in one write. Two things follow: who pipelines should not do
        // so behind a request that waits, and a head that is not HTTP ends the connection without a word.
        .pipeline_flush(true);
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
