//! What the run asks the service itself: the backlog, the workers, the account.
//!
//! These are few calls, so they use an ordinary HTTP client, one connection a call: a service that has just been
//! killed and started again answers them like any other.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, time::timeout};

use super::account::Entry;

/// A call, or the next piece of a long answer, may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The account is made from everything the service has; its first line may take longer.
const ACCOUNT_PATIENCE: Duration = Duration::from_secs(120);
const BODY_BYTES_MAX: usize = 64 * 1024;
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How many jobs of one queue are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) ready: u64,
    pub(crate) scheduled: u64,
    pub(crate) leased: u64,
    pub(crate) dead: u64,
}

impl Queue {
    /// Jobs that will still be worked on.
    pub(crate) fn waiting(&self) -> u64 {
        self.ready + self.scheduled + self.leased
    }
}

/// The queues of the three steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backlog {
    pub(crate) thumbnails: Queue,
    pub(crate) emails: Queue,
    pub(crate) notifications: Queue,
}

impl Backlog {
    pub(crate) const STEPS: [&str; 3] = ["thumbnails", "emails", "notifications"];

    /// Waiting jobs in the order of [`STEPS`](Self::STEPS).
    pub(crate) fn waiting(&self) -> [u64; 3] {
        [self.thumbnails, self.emails, self.notifications].map(|queue| queue.waiting())
    }
}

/// The service, as one who may ask it anything.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    host: String,
}

impl Admin {
    pub(crate) fn new(address: SocketAddr, host: String) -> Admin {
        Admin { address, host }
    }

    /// The name to call it by.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) async fn is_healthy(&self) -> bool {
        self.whole(Method::GET, "/healthz", "").await.is_ok()
    }

    pub(crate) async fn backlog(&self) -> anyhow::Result<Backlog> {
        let body = self.whole(Method::GET, "/admin/backlog", "").await?;
        serde_json::from_slice(&body).context("/admin/backlog answered something else")
    }

    /// Ends all workers as they stand, or starts them.
    pub(crate) async fn set_workers(&self, alive: bool) -> anyhow::Result<()> {
        self.whole(Method::POST, "/admin/workers", &format!(r#"{{"alive":{alive}}}"#)).await.map(drop)
    }

    /// Every upload the service knows, one by one.
    pub(crate) async fn account(&self, mut each: impl FnMut(Entry)) -> anyhow::Result<()> {
        let answer = timeout(ACCOUNT_PATIENCE, self.call(Method::GET, "/admin/account", ""));
        let mut body = answer.await.context("/admin/account took too long")??.into_body();
        let mut lines = Lines::default();
        while let Some(frame) =
            timeout(ACCOUNT_PATIENCE, body.frame()).await.context("/admin/account came to a halt")?
        {
            if let Ok(data) = frame.context("/admin/account broke off")?.into_data() {
                lines.take(&data, &mut each)?;
            }
        }
        lines.end(&mut each)
    }

    async fn whole(&self, method: Method, path: &str, body: &str) -> anyhow::Result<Bytes> {
        let call = async {
            let body = http_body_util::Limited::new(
                self.call(method, path, body).await?.into_body(),
                BODY_BYTES_MAX,
            );
            let body = body.collect().await.map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
            anyhow::Ok(body.to_bytes())
        };
        timeout(PATIENCE, call).await.with_context(|| format!("{path} took too long"))?
    }

    async fn call(&self, method: Method, path: &str, body: &str) -> anyhow::Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await.context("the service does not listen")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Its end, good or bad, is seen by the call.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", "application/json")
            .header("connection", "close")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
        let answer =
            sender.send_request(request).await.with_context(|| format!("{path} was not answered"))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status => bail!("{path} was answered {status}"),
        }
    }
}

/// Cuts what comes into lines, each an entry.
#[derive(Default)]
struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    fn take(&mut self, mut data: &[u8], each: &mut impl FnMut(Entry)) -> anyhow::Result<()> {
        while let Some(at) = memchr::memchr(b'\n', data) {
            self.unfinished.extend_from_slice(&data[..at]);
            self.line(each)?;
            data = &data[at + 1..];
        }
        self.unfinished.extend_from_slice(data);
        ensure!(self.unfinished.len() <= LINE_BYTES_MAX, "a line of /admin/account is too long");
        Ok(())
    }

    fn end(mut self, each: &mut impl FnMut(Entry)) -> anyhow::Result<()> {
        self.line(each)
    }

    fn line(&mut self, each: &mut impl FnMut(Entry)) -> anyhow::Result<()> {
        if !self.unfinished.trim_ascii().is_empty() {
            let entry = serde_json::from_slice(&self.unfinished).with_context(|| {
                format!("no line of an account: {}", String::from_utf8_lossy(&self.unfinished))
            })?;
            each(entry);
        }
        self.unfinished.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_however_they_were_cut() {
        let text = concat!(
            r#"{"id":"a","key":"k","thumbnails":3,"emails":["0-1"],"notifications":1}"#,
            "\n\n",
            r#"{"id":"b","key":null,"thumbnails":0,"emails":[],"notifications":0,"dead":{"thumbnail":"bad"}}"#,
        );
        for cut in [1, 7, text.len()] {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(cut) {
                lines.take(piece, &mut |entry| found.push(entry)).expect("lines");
            }
            lines.end(&mut |entry| found.push(entry)).expect("lines");
            assert_eq!(found.iter().map(|entry| &entry.id[..]).collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(found[1].dead["thumbnail"], "bad");
        }
        Lines { unfinished: b"<html>".to_vec() }.end(&mut |_| ()).expect_err("no JSON");
    }
}
