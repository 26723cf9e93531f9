//! The door: what is behind every request, and the dispatch.
//!
//! The door parses syntax and sizes, asks the engine, and writes down what it answers. It judges no meaning.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use tidegate_api::convert::{answer, pool};
use tidegate_api::id::{GrantId, JobId};
use tidegate_api::idempotency::{IDEMPOTENCY_KEY, read_idempotency_key};
use tidegate_api::refusal::{Code, Refusal, Refused};
use tidegate_api::{limits, query, syntax};
use tidegate_core::Time;
use tidegate_engine::{CallError, Engine, IdempotencyKey, fingerprint};
use tokio::sync::watch;

use crate::Options;
use crate::body::{self, Intake, Media, RequestBody, Whole};
use crate::calls::pools::pool_name;
use crate::calls::watch::{self as watching, Watchers};
use crate::calls::{dead, enqueue, grants, health, jobs, pools, queues, stream, transactions, work};
use crate::reply::{Reply, ReplyBody, marked, problem};
use crate::route::{Call, nowhere, route};
use crate::row::{Answers, Row};
use crate::unread::Unread;
use crate::watch_room::Viewer;

/// What every request of a connection needs. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Door(Arc<OfConnection>);

#[derive(Debug)]
struct OfConnection {
    shared: Arc<Shared>,
    viewer: Viewer,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    engine: Engine,
    intake: Intake,
    unread: Unread,
    openapi: Bytes,
    watchers: Watchers,
    bench: bool,
}

impl Door {
    /// A door to the engine, for a connection that comes from nowhere. `stop` says when whoever watches is to go.
    pub(crate) fn new(engine: Engine, options: &Options, stop: watch::Receiver<bool>) -> Self {
        // Made once: it takes some milliseconds, and whoever opens many doors would feel it.
        static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| {
            let document = tidegate_api::openapi::document(env!("CARGO_PKG_VERSION"));
            serde_json::to_vec(&document).expect("the document is JSON").into()
        });
        let openapi = OPENAPI.clone();
        let intake = Intake::new(options.bodies_bytes_max, options.body_piece_timeout);
        let unread = Unread::new(options.answers_bytes_max);
        let watchers = Watchers::new(stop);
        let viewer = watchers.viewer(Ipv4Addr::UNSPECIFIED.into());
        let shared = Arc::new(Shared { engine, intake, unread, openapi, watchers, bench: options.bench });
        Self(Arc::new(OfConnection { shared, viewer }))
    }

    /// The same door, for another connection.
    pub(crate) fn of_connection(&self, from: IpAddr) -> Self {
        let (shared, viewer) = (Arc::clone(&self.0.shared), self.watchers().viewer(from));
        Self(Arc::new(OfConnection { shared, viewer }))
    }

    /// Answers a request. A bug that panics is answered too, and logged.
    pub(crate) async fn answer(&self, request: Request<RequestBody>) -> Reply {
        caught(self.answer_or_panic(request)).await.unwrap_or_else(|()| problem(mistake()))
    }

    /// Answers requests that enqueue one job each, likewise.
    pub(crate) async fn answer_row(&self, row: Row) -> Answers {
        let jobs = caught(row.answer(self)).await;
        let jobs = jobs.unwrap_or_else(|()| vec![Err(mistake().into()); row.jobs()]);
        Answers { queue: row.into_queue(), jobs }
    }

    async fn answer_or_panic(&self, request: Request<RequestBody>) -> Reply {
        let (head, body) = request.into_parts();
        let Some((call, variable)) = route(&head.method, head.uri.path()) else {
            if self.0.shared.bench && head.uri.path() == "/bench/bare" {
                return health::bare(self, body).await;
            }
            return nowhere(&head.method, head.uri.path());
        };
        let asked = Asked { door: self, head: &head, body };
        let answer = self.dispatch(call, &variable, asked).await;
        // That document is there once, however many read it.
        let is_shared = matches!(call, Call::OpenApi);
        answer
            .and_then(
                |reply| if is_shared { Ok(reply) } else { self.counted(reply, head.method == Method::GET) },
            )
            .unwrap_or_else(Refusing::into_reply)
    }

    /// The reply, counted while it is in memory if it is long; or a refusal if it may be refused and there are too many.
    fn counted(&self, reply: Reply, may_be_refused: bool) -> Result<Reply, Refusing> {
        let (head, body) = reply.into_parts();
        let body = match body {
            ReplyBody::Whole(Some(answer)) => {
                ReplyBody::Whole(Some(self.0.shared.unread.count(answer, may_be_refused)?))
            }
            other => other,
        };
        Ok(Reply::from_parts(head, body))
    }

    async fn dispatch(&self, call: Call, variable: &str, asked: Asked<'_>) -> Result<Reply, Refusing> {
        // Probes may add what they like; everywhere else a parameter that means nothing is a mistake somebody should hear of.
        let takes_any = matches!(call, Call::Live | Call::Ready | Call::OpenApi);
        let takes_some = matches!(
            call,
            Call::GetJob
                | Call::ListJobs
                | Call::ListDead
                | Call::ListPools
                | Call::WatchPools
                | Call::ListGrants
                | Call::ListLine
                | Call::GetHolder
                | Call::ListEntrants
        );
        if !takes_any && !takes_some {
            query::read_no_query(asked.query())?;
        }
        match call {
            Call::Enqueue => match asked.media()? {
                Media::Json => enqueue::enqueue(asked, queue_name(variable)?).await,
                Media::Ndjson => stream::enqueue(asked, queue_name(variable)?).await,
            },
            Call::Lease => work::lease(asked).await,
            Call::Complete => work::complete(asked).await,
            Call::Fail => work::fail(asked).await,
            Call::Extend => work::extend(asked).await,
            Call::Release => work::release(asked).await,
            Call::Work => work::work(asked).await,
            Call::Transact => transactions::transact(asked).await,
            Call::GetJob => jobs::get(asked, job_id(variable)?).await,
            Call::ListJobs => jobs::list(asked).await,
            Call::CancelJob => jobs::cancel(asked, job_id(variable)?).await,
            Call::EditJob => jobs::edit(asked, job_id(variable)?).await,
            Call::ListQueues => Ok(queues::list(asked)),
            Call::GetQueue => queues::get(asked, queue_name(variable)?).await,
            Call::ConfigureQueue => queues::configure(asked, queue_name(variable)?).await,
            Call::PauseQueue => queues::pause(asked, queue_name(variable)?, true).await,
            Call::ResumeQueue => queues::pause(asked, queue_name(variable)?, false).await,
            Call::ListDead => dead::list(asked, queue_name(variable)?).await,
            Call::ListCauses => dead::causes(asked, queue_name(variable)?).await,
            Call::RedriveDead => dead::redrive(asked, queue_name(variable)?).await,
            Call::DeleteDead => dead::delete(asked, queue_name(variable)?).await,
            Call::ConfigurePool => pools::configure(asked, pool_name(variable)?).await,
            Call::GetPool => pools::get(asked, pool_name(variable)?),
            Call::DeletePool => pools::delete(asked, pool_name(variable)?).await,
            Call::ListPools => pools::list(asked),
            Call::WatchPools => watching::pools(asked),
            Call::ResizePool => pools::resize(asked, pool_name(variable)?).await,
            Call::ListGrants => pools::grants(asked, pool_name(variable)?).await,
            Call::ListLine => pools::line(asked, pool_name(variable)?).await,
            Call::ListEntrants => pools::entrants(asked, pool_name(variable)?).await,
            Call::Hold => pools::hold(asked, pool_name(variable)?).await,
            Call::Take => pools::take(asked, pool_name(variable)?).await,
            Call::Join => pools::join(asked, pool_name(variable)?).await,
            Call::Leave => pools::leave(asked, pool_name(variable)?).await,
            Call::RequestPools => pools::requests(asked).await,
            Call::GetGrant => grants::get(asked, grant_id(variable)?).await,
            Call::ConfirmGrant => grants::confirm(asked, grant_id(variable)?).await,
            Call::ExtendGrant => grants::extend(asked, grant_id(variable)?).await,
            Call::ReleaseGrant => grants::release(asked, grant_id(variable)?).await,
            Call::SwapGrant => grants::swap(asked, grant_id(variable)?).await,
            Call::GetHolder => grants::holder(asked, holder_name(variable)?).await,
            Call::Live => Ok(health::live()),
            Call::Ready => health::ready(asked).await,
            Call::OpenApi => Ok(health::openapi(asked)),
        }
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Engine {
        &self.0.shared.engine
    }

    /// How bodies are taken in.
    pub(crate) fn intake(&self) -> &Intake {
        &self.0.shared.intake
    }

    /// The room that all who watch share.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.0.shared.watchers
    }

    /// Whose connection it is, for those who watch.
    pub(crate) fn viewer(&self) -> Viewer {
        self.0.viewer
    }

    /// The OpenAPI document's text.
    pub(crate) fn openapi(&self) -> Bytes {
        self.0.shared.openapi.clone()
    }
}

/// What a future comes to; nothing if it panics, which is logged.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, ()> {
    let mut future = pin!(future);
    let ended = std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_panic) => Poll::Ready(Err(())),
        }
    });
    ended.await.inspect_err(|()| {
        tracing::error!("a request made the server panic; the panic's own message says where");
    })
}

/// What is said of a request that made the server panic.
fn mistake() -> Refusal {
    Refusal::new(Code::Internal, "The server made a mistake; its log says more.")
}

/// A request whose call is known.
pub(crate) struct Asked<'a> {
    /// Who answers.
    pub(crate) door: &'a Door,
    /// Method, path, headers.
    pub(crate) head: &'a Parts,
    /// The body, not yet read.
    pub(crate) body: RequestBody,
}

impl Asked<'_> {
    /// The query string; empty if there is none.
    pub(crate) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The media type of the body.
    pub(crate) fn media(&self) -> Result<Media, Refused> {
        body::media(self.head)
    }

    /// Reads a body that must be JSON, and the idempotency key that covers it.
    pub(crate) async fn json(self) -> Result<(Whole, Option<IdempotencyKey>), Refused> {
        if self.media()? == Media::Ndjson {
            return Err(body::unsupported(b"application/x-ndjson"));
        }
        let body = self.door.intake().read(self.body).await?;
        let key = idempotency_key(self.head, &body.bytes)?;
        Ok((body, key))
    }

    /// Reads a body that must be JSON or nothing; nothing is the same as `{}`.
    pub(crate) async fn optional_json(self) -> Result<(Whole, Option<IdempotencyKey>), Refused> {
        let (mut body, key) = self.json().await?;
        if body.bytes.is_empty() {
            body.bytes = Bytes::from_static(b"{}");
        }
        Ok((body, key))
    }
}

/// The idempotency key of a request, if it has one. What it covers is method, path and body.
pub(crate) fn idempotency_key(head: &Parts, body: &[u8]) -> Result<Option<IdempotencyKey>, Refused> {
    let Some(header) = head.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = read_idempotency_key(header.as_bytes())?;
    let fingerprint = fingerprint(&[head.method.as_str().as_bytes(), head.uri.path().as_bytes(), body]);
    Ok(Some(IdempotencyKey { key, fingerprint }))
}

/// A refusal of a whole request, and whether it repeats what an earlier request was told.
#[derive(Debug, Clone)]
pub(crate) struct Refusing {
    refusal: Refused,
    replayed: bool,
}

impl From<Refused> for Refusing {
    fn from(refused: Refused) -> Self {
        Self { refusal: refused, replayed: false }
    }
}

impl From<Refusal> for Refusing {
    fn from(refusal: Refusal) -> Self {
        Self { refusal: Box::new(refusal), replayed: false }
    }
}

impl From<CallError> for Refusing {
    fn from(error: CallError) -> Self {
        Self { refusal: Box::new(answer::call_error(&error, now())), replayed: is_replayed(&error) }
    }
}

/// Whether an error is what an earlier call with the same key was told.
fn is_replayed(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Refused { replayed: true, .. }
            | CallError::OperationRefused { replayed: true, .. }
            | CallError::ConditionRefused { replayed: true, .. }
    )
}

impl Refusing {
    /// The refusal of a transaction, whose request said this.
    pub(crate) fn of_transaction(error: &CallError, said: &pool::Said<'_>) -> Self {
        let refusal = pool::transaction_error(error, said, now());
        Self { refusal: Box::new(refusal), replayed: is_replayed(error) }
    }

    /// What its caller hears.
    pub(crate) fn into_reply(self) -> Reply {
        marked(problem(*self.refusal), self.replayed)
    }

    /// The refusal of one item that is the whole request.
    pub(crate) fn item(refusal: tidegate_core::Refusal, replayed: bool) -> Self {
        Self { refusal: Box::new(answer::refusal(refusal, now())), replayed }
    }
}

fn queue_name(variable: &str) -> Result<&str, Refused> {
    syntax::name("queue", variable)?;
    Ok(variable)
}

fn holder_name(variable: &str) -> Result<&str, Refused> {
    syntax::text("holder", variable, &limits::HOLDER_BYTES)?;
    Ok(variable)
}

fn grant_id(variable: &str) -> Result<GrantId, Refused> {
    syntax::parsed("id", variable, GrantId::ALLOWED)
}

fn job_id(variable: &str) -> Result<JobId, Refused> {
    syntax::parsed("id", variable, JobId::ALLOWED)
}

/// The wall clock, for saying how long until something; nothing is decided by it.
pub(crate) fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64)
}
