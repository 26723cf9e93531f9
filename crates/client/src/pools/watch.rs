//! Following pools: what has changed, in order, across lost connections.
//!
//! Over HTTP it is a stream of server-sent events (the WHATWG's HTML standard, section 9.2) that is opened again from the versions heard
//! last. A version is never told twice and never an older one after a newer; whoever is slow hears the latest, and how many were
//! left out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use tidegate_api::pool::query::WatchQuery;
use tidegate_api::pool::watch::{PoolNews, Seen};
use tokio::time::timeout;

use crate::calls::with_query;
use crate::retry::Tries;
use crate::settings::Settings;
use crate::transport::{Stream, Transport};
use crate::{Client, Error, Link};

/// A stream that is silent for so long is broken: the server says something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(40);
/// No event is longer: a pool's configuration is bounded far below.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Somebody who hears of changes of some pools; made by [`Client::watch_pools`].
#[derive(Debug)]
pub struct PoolWatch {
    source: Source,
    /// Heard and not yet told.
    heard: VecDeque<PoolNews>,
}

#[derive(Debug)]
enum Source {
    Http(Box<Remote>),
    #[cfg(feature = "embedded")]
    Embedded(tidegate_engine::PoolWatch),
}

#[derive(Debug)]
struct Remote {
    transport: Arc<Transport>,
    settings: Settings,
    path: String,
    names: Vec<String>,
    seen: Seen,
    stream: Option<Stream>,
    text: BytesMut,
}

impl Client {
    /// Follows these pools, 1 to 1,000 of them. The first news are how all of them stand; of one that is not there, that
    /// it is not. Nothing is asked before [`next`](PoolWatch::next).
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::pool::config::PoolConfig;
    ///
    /// let seats = client.pool("seats-101");
    /// seats.configure(&PoolConfig::of(2)).await?;
    /// let mut watch = client.watch_pools(["seats-101"])?;
    /// assert_eq!(watch.next().await?.pool.unwrap().free, 2);
    /// seats.take("anna").await?;
    /// let news = watch.next().await?;
    /// assert_eq!((news.pool.unwrap().free, news.missed), (1, 0));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// Names that are no names, or too many of them.
    pub fn watch_pools<N: Into<String>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<PoolWatch, Error> {
        let query = WatchQuery { names: names.into_iter().map(Into::into).collect() };
        // Written and read again, a query is checked as the door checks it.
        let query = WatchQuery::read(&query.write())?;
        let source = match &self.link {
            Link::Http(transport) => Source::Http(Box::new(Remote {
                transport: Arc::clone(transport),
                settings: self.settings.clone(),
                path: with_query("/v1/pools/watch".to_owned(), query.write()),
                seen: Seen::nothing(&query.names),
                names: query.names,
                stream: None,
                text: BytesMut::new(),
            })),
            #[cfg(feature = "embedded")]
            Link::Embedded(embedded) => Source::Embedded(embedded.watch_pools(query.names)),
        };
        Ok(PoolWatch { source, heard: VecDeque::new() })
    }
}

impl PoolWatch {
    /// Waits for the next change, as long as it takes. Safe to drop and to call again.
    ///
    /// # Errors
    /// A refusal, or nobody who answers within the client's deadline; the next call tries again from where this one was.
    pub async fn next(&mut self) -> Result<PoolNews, Error> {
        loop {
            if let Some(news) = self.heard.pop_front() {
                return Ok(news);
            }
            match &mut self.source {
                Source::Http(remote) => return remote.hear().await,
                #[cfg(feature = "embedded")]
                Source::Embedded(watch) => {
                    self.heard.extend(watch.next().await.into_iter().map(crate::embedded::news));
                }
            }
        }
    }
}

impl Remote {
    /// Reads on until something new has been heard, over as many connections as that takes.
    async fn hear(&mut self) -> Result<PoolNews, Error> {
        let mut tries = Tries::new(&self.settings, Duration::ZERO);
        loop {
            let read =
                match self.whole_event().and_then(|event| event.map(|event| self.new_in(&event)).transpose())
                {
                    Ok(Some(Some(news))) => return Ok(news),
                    // A comment, or something known: somebody is there.
                    Ok(Some(None)) => {
                        tries = Tries::new(&self.settings, Duration::ZERO);
                        continue;
                    }
                    Ok(None) => self.read_on(tries.time()).await,
                    Err(error) => Err(error),
                };
            if let Err(error) = read {
                self.stream = None;
                self.text.clear();
                tries.after(error).await?;
            }
        }
    }

    /// Reads some bytes more, of a new stream if need be.
    async fn read_on(&mut self, time: Duration) -> Result<(), Error> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let mut seen = Vec::new();
                if !self.seen.is_nothing() {
                    self.seen.write(&mut seen);
                }
                self.stream.insert(self.transport.stream(&self.path, &seen, time).await?)
            }
        };
        let silent = || Error::Timeout { server: self.transport.base().to_owned(), waited: SILENCE };
        let frame = timeout(SILENCE, stream.frame()).await.map_err(|_| silent())?;
        let frame = frame.ok_or_else(|| self.transport.broken("the stream has ended".into()))?;
        let frame = frame.map_err(|error| self.transport.broken(error.into()))?;
        if let Ok(data) = frame.into_data() {
            self.text.extend_from_slice(&data);
        }
        if self.text.len() > EVENT_BYTES_MAX {
            let why = format!("an event has more than {EVENT_BYTES_MAX} bytes");
            return Err(self.transport.unreadable(200, why));
        }
        Ok(())
    }

    /// Takes a whole event out of what was read: the lines up to an empty one. Lines end in LF, as our server writes them.
    fn whole_event(&mut self) -> Result<Option<String>, Error> {
        let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") else { return Ok(None) };
        let event = self.text.split_to(end);
        self.text.advance(2);
        let event = String::from_utf8(event.to_vec());
        event.map(Some).map_err(|error| self.transport.unreadable(200, error.to_string()))
    }

    /// What an event tells, unless it is known already or it is a comment.
    fn new_in(&mut self, event: &str) -> Result<Option<PoolNews>, Error> {
        let Some(data) = event.lines().find_map(|line| line.strip_prefix("data:")) else { return Ok(None) };
        let news: PoolNews = serde_json::from_str(data.trim_start())
            .map_err(|error| self.transport.unreadable(200, error.to_string()))?;
        if let Some(pool) = &news.pool {
            let Some(place) = self.names.iter().position(|name| *name == news.name) else {
                let why = format!("it tells of {}, which is not watched", news.name);
                return Err(self.transport.unreadable(200, why));
            };
            if self.seen.versions()[place].is_some_and(|seen| seen >= pool.version) {
                return Ok(None);
            }
            self.seen.set(place, pool.version);
        }
        Ok(Some(news))
    }
}
