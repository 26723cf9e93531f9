//! One connection of the generator: bytes out, answers in, each of them checked.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::response::{Response, Responses};

/// Every so many answers one is read in full, to see that the cheap look at the others does not deceive.
const FULL_READ_EVERY: u64 = 64;

/// A connection with what it has received.
pub(crate) struct Connection {
    stream: TcpStream,
    responses: Responses,
    answers: u64,
}

/// What a good answer looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Good {
    pub(crate) status: u16,
    /// The answer's shape, for those that are read in full.
    pub(crate) shape: Shape,
}

/// The shapes of answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Any body.
    Any,
    /// One job with its id and state.
    Job,
    /// `results` with so many items, each with its id and state.
    Results(usize),
    /// What a worker's round brings.
    Work,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> anyhow::Result<Connection> {
        let stream =
            TcpStream::connect(server).await.with_context(|| format!("cannot connect to {server}"))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, responses: Responses::default(), answers: 0 })
    }

    /// A second handle on the same connection, for a thread that only writes. It never blocks.
    pub(crate) fn writer(self) -> anyhow::Result<(Connection, std::net::TcpStream)> {
        let stream = self.stream.into_std()?;
        let writer = stream.try_clone()?;
        Ok((Connection { stream: TcpStream::from_std(stream)?, ..self }, writer))
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream
            .write_all(bytes)
            .await
            .context("the server closed the connection while a request was sent")
    }

    /// Waits for bytes. Call [`next`](Self::next) until it has none left.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<()> {
        match self.stream.read_buf(self.responses.space()).await.context("the connection broke")? {
            0 => bail!("the server closed the connection before it had answered"),
            _ => Ok(()),
        }
    }

    /// The next whole answer, checked.
    pub(crate) fn next(&mut self, good: Good) -> anyhow::Result<Option<Response<'_>>> {
        let Some(response) = self.responses.next()? else { return Ok(None) };
        self.answers += 1;
        check(&response, good, self.answers % FULL_READ_EVERY == 1)?;
        Ok(Some(response))
    }

    /// One request, one answer.
    pub(crate) async fn exchange(&mut self, request: &[u8], good: Good) -> anyhow::Result<Vec<u8>> {
        self.send(request).await?;
        loop {
            self.receive().await?;
            if let Some(response) = self.next(good)? {
                return Ok(response.body.to_vec());
            }
        }
    }
}

/// Looks at an answer: cheaply, or in full.
fn check(response: &Response<'_>, good: Good, in_full: bool) -> anyhow::Result<()> {
    let body = || String::from_utf8_lossy(&response.body[..response.body.len().min(400)]);
    if response.status != good.status {
        bail!("answered {} where {} was expected: {}", response.status, good.status, body());
    }
    if memmem::find(response.body, b"\"error\"").is_some() {
        bail!("an item was refused: {}", body());
    }
    if in_full && !has_shape(response.body, good.shape) {
        bail!("the answer is not what it should be ({:?}): {}", good.shape, body());
    }
    Ok(())
}

fn has_shape(body: &[u8], shape: Shape) -> bool {
    if let Shape::Any = shape {
        return true;
    }
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(body) else { return false };
    let is_job = |job: &serde_json::Value| job["id"].is_string() && job["state"].is_string();
    match shape {
        Shape::Any => true,
        Shape::Job => is_job(&answer),
        Shape::Results(count) => {
            answer["results"].as_array().is_some_and(|items| items.len() == count && items.iter().all(is_job))
        }
        Shape::Work => {
            answer["jobs"].as_array().is_some_and(|jobs| jobs.iter().all(|job| job["token"].is_u64()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_answer(status: u16, body: &str, shape: Shape, expected: Result<(), &str>) {
        let response = Response { status, body: body.as_bytes() };
        let found = check(&response, Good { status: 200, shape }, true).map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(part)) => assert!(message.contains(part), "{message:?} does not say {part:?}"),
            (found, expected) => panic!("{body}: found {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_good_answer_passes() {
        check_answer(200, "", Shape::Any, Ok(()));
        check_answer(200, r#"{"id":"0-1","state":"ready"}"#, Shape::Job, Ok(()));
        check_answer(200, r#"{"results":[{"id":"0-1","state":"ready"}]}"#, Shape::Results(1), Ok(()));
        check_answer(200, r#"{"complete":[],"jobs":[{"id":"0-1","token":3}]}"#, Shape::Work, Ok(()));
    }

    #[test]
    fn a_wrong_answer_fails_the_run() {
        check_answer(429, r#"{"code":"inbox_full"}"#, Shape::Job, Err("answered 429"));
        check_answer(
            200,
            r#"{"results":[{"error":{"code":"queue_full"}}]}"#,
            Shape::Results(1),
            Err("refused"),
        );
        check_answer(200, r#"{"results":[]}"#, Shape::Results(1), Err("not what it should be"));
        check_answer(200, r#"{"results":[{"id":7}]}"#, Shape::Results(1), Err("not what it should be"));
        check_answer(200, "<html>", Shape::Job, Err("not what it should be"));
        check_answer(200, r#"{"jobs":[{"id":"0-1"}]}"#, Shape::Work, Err("not what it should be"));
    }
}
