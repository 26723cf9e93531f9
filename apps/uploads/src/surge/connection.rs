//! One connection of the load: a request out, an answer in.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::response::{self, Malformed, Response};

/// Room for an answer, which is some 300 bytes.
const ANSWER_BYTES: usize = 4 * 1024;

/// An open connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// Why a request that was sent has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the service closed the connection before it had answered")]
    Closed,
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::with_capacity(ANSWER_BYTES) })
    }

    /// True if the service has closed it while nothing was under way. This asks the system only if the system has
    /// said that there is something to know.
    pub(crate) fn is_closed(&self) -> bool {
        let nothing = self.stream.try_read(&mut [0]);
        !matches!(nothing, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// One request in two pieces, one answer. After an error the connection is of no more use.
    pub(crate) async fn exchange(&mut self, head: &[u8], tail: &[u8]) -> Result<Response<'_>, Broken> {
        self.send(head, tail).await?;
        self.received.clear();
        let (head, body_length) = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(Broken::Closed);
            }
            if let Some(answer) = response::read(&self.received)? {
                break (answer.head, answer.body.len());
            }
        };
        Ok(Response { head, body: &self.received[self.received.len() - body_length..] })
    }

    async fn send(&mut self, head: &[u8], tail: &[u8]) -> io::Result<()> {
        let mut pieces = [IoSlice::new(head), IoSlice::new(tail)];
        let mut pieces = &mut pieces[..];
        while !pieces.is_empty() {
            match self.stream.write_vectored(pieces).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut pieces, written),
            }
        }
        Ok(())
    }
}
