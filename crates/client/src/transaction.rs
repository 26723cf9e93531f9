//! Several operations, all of them or none: one record in one log.

use serde::Serialize;
use tidegate_api::id::{GrantId, JobId};
use tidegate_api::pool::condition::Condition;
use tidegate_api::pool::request::{OfGrant, PoolRequest};
use tidegate_api::settle::Complete;
use tidegate_api::transaction::{EnqueueOperation, Operation, OperationResult, TransactionRequest};
use tidegate_api::value::RawJson;

use crate::pools::{Wanted, Wish, wanted};
use crate::{Client, Error, JobBuilder};

/// Operations on their way to be done together; [`commit`](Self::commit) does them.
///
/// All are judged against the state as it was before the first of them. If one is refused, none is done, and the refusal's
/// `operation` says which. Everything is in one shard: with a server of several shards, queues that transactions
/// join must be in the same one.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let engine = tidegate::testing::Engine::new();
/// # let client = engine.client();
/// let (thumbnails, mail) = (client.queue("thumbnails"), client.queue("mail"));
/// let done = client
///     .transaction()
///     .enqueue(thumbnails.job("thumbnail", &"cat.jpg"))
///     .enqueue(mail.job("receipt", &"ann@example.org"))
///     .idempotency_key("upload-7")
///     .commit()
///     .await?;
/// assert_eq!(done.len(), 2);
///
/// // One that cannot be keeps the other out.
/// let refused = client
///     .transaction()
///     .enqueue(thumbnails.job("thumbnail", &"dog.jpg"))
///     .enqueue(mail.job("receipt", &"ben@example.org").priority(12))
///     .commit()
///     .await
///     .unwrap_err();
/// assert_eq!(refused.refusal().unwrap().operation, Some(1));
/// assert_eq!(client.show_queue("thumbnails").await?.counts.ready, 1);
/// # Ok::<(), tidegate::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
#[must_use = "a transaction is done by `commit`"]
pub struct Transaction {
    client: Client,
    conditions: Vec<Condition<'static>>,
    operations: Vec<Operation<'static>>,
    idempotency_key: Option<String>,
    /// What cannot be; told at the commit.
    defect: Option<Error>,
}

impl Client {
    /// Begins a transaction. Nothing is sent before its commit.
    pub fn transaction(&self) -> Transaction {
        Transaction {
            client: self.clone(),
            conditions: Vec::new(),
            operations: Vec::new(),
            idempotency_key: None,
            defect: None,
        }
    }
}

impl Transaction {
    /// Accepts a job. The transaction's idempotency key covers it; one of its own is refused.
    pub fn enqueue(mut self, job: JobBuilder) -> Self {
        match job.into_operation() {
            Ok((queue, job)) => {
                let operation = EnqueueOperation { queue: queue.into(), job };
                self.operations.push(Operation::Enqueue(Box::new(operation)));
            }
            Err(error) => self.fails_with(error),
        }
        self
    }

    /// Says that an attempt did what it should, under the token of its lease: so a handler's follow-up jobs are there if
    /// and only if its own job is done.
    ///
    /// A [`Worker`](crate::Worker)'s handler that has completed its own job in this way returns `Ok(())`: the worker says
    /// "completed" again under the same token, which changes nothing, and a result it returns is not kept. A failure it
    /// returns after that is refused, since the job has ended.
    pub fn complete(mut self, id: JobId, token: u64) -> Self {
        self.operations.push(Operation::Complete(Complete { id, token, result: None }));
        self
    }

    /// [`complete`](Self::complete) with a result to keep, at most 64 KiB of JSON.
    pub fn complete_with<R: Serialize + ?Sized>(mut self, id: JobId, token: u64, result: &R) -> Self {
        match RawJson::of(result) {
            Ok(json) => {
                self.operations.push(Operation::Complete(Complete { id, token, result: Some(json) }));
            }
            Err(error) => {
                self.fails_with(Error::Payload { kind: "result".into(), why: error.to_string() });
            }
        }
        self
    }

    /// Done only if this holds, as things are before the first operation. At most 100; the first that does not hold is named by
    /// the refusal's `condition`.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::pool::{condition::Condition, config::PoolConfig};
    /// use tidegate::api::refusal::Code;
    ///
    /// let (morning, evening) = (client.pool("cs101-a@autumn"), client.pool("cs101-b@autumn"));
    /// for section in [&morning, &evening] {
    ///     section.configure(&PoolConfig::of(30)).await?;
    /// }
    /// let mails = client.queue("mails@autumn");
    /// let enrol = async |section: &tidegate::Pool| {
    ///     let enrolled = client
    ///         .transaction()
    ///         .when(Condition::has_none("anna", [morning.name(), evening.name()]))
    ///         .take(section.take("anna"))
    ///         .enqueue(mails.job("enrolled", &"anna"));
    ///     enrolled.commit().await
    /// };
    /// enrol(&morning).await?;
    /// let refused = enrol(&evening).await.unwrap_err();
    /// assert_eq!((refused.code(), refused.refusal().unwrap().condition), (Some(Code::HasPool), Some(0)));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub fn when(mut self, condition: Condition<'static>) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Holds units of a pool.
    pub fn hold(self, wish: Wish<wanted::Hold>) -> Self {
        self.wish(wish)
    }

    /// Takes units of a pool.
    pub fn take(self, wish: Wish<wanted::Take>) -> Self {
        self.wish(wish)
    }

    /// Waits in a pool's line.
    pub fn join(self, wish: Wish<wanted::Join>) -> Self {
        self.wish(wish)
    }

    /// Takes what is held.
    pub fn confirm(self, id: GrantId) -> Self {
        self.pool(PoolRequest::Confirm(OfGrant { id }))
    }

    /// Gives units back, or declines an offer.
    pub fn release(self, id: GrantId) -> Self {
        self.pool(PoolRequest::Release(OfGrant { id }))
    }

    /// Any other step on a pool or a grant.
    pub fn pool(mut self, request: PoolRequest<'static>) -> Self {
        self.operations.push(Operation::Pool(request));
        self
    }

    fn wish<K: Wanted>(mut self, wish: Wish<K>) -> Self {
        match wish.into_operation() {
            Ok(request) => return self.pool(request),
            Err(error) => self.fails_with(error),
        }
        self
    }

    /// The caller's own name for this one intention: said again with the same key, it is not done twice.
    /// 1 to 255 printable ASCII characters.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Does all operations. Once this answers, all are on stable storage; the results are in their order.
    ///
    /// # Errors
    /// A refusal of one operation, and then nothing was done; or no answer within the client's deadline.
    pub async fn commit(self) -> Result<Vec<OperationResult>, Error> {
        if let Some(defect) = self.defect {
            return Err(defect);
        }
        let client = match &self.idempotency_key {
            Some(key) => self.client.with_idempotency_key(key)?,
            None => self.client,
        };
        let request = TransactionRequest { conditions: self.conditions, operations: self.operations };
        Ok(client.transact(&request).await?.results)
    }

    /// The first thing that cannot be is what is told.
    fn fails_with(&mut self, error: Error) {
        self.defect.get_or_insert(error);
    }
}
