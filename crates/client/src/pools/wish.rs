//! What a holder wants of a pool, put together step by step.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use tidegate_api::pool::grant::{Grant, PoolAnswer};
use tidegate_api::pool::request::{Hold, PoolRequest, Take};
use tidegate_api::pool::wish::{HoldWish, TakeWish};
use tidegate_api::value::Text;

use super::Pool;
use crate::queue::ms;
use crate::{Client, Error};

/// The kinds of wishes.
pub mod wanted {
    /// Units until a deadline.
    #[derive(Debug, Clone, Copy)]
    pub struct Hold;
    /// Units until they are given back.
    #[derive(Debug, Clone, Copy)]
    pub struct Take;
    /// A place in line.
    #[derive(Debug, Clone, Copy)]
    pub struct Join;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::wanted::Hold {}
    impl Sealed for super::wanted::Take {}
    impl Sealed for super::wanted::Join {}
}

/// A kind of wish, and what its answer is.
pub trait Wanted: sealed::Sealed + Send + Sync + Sized + 'static {
    /// What is answered.
    type Answer: Send;
    #[doc(hidden)]
    fn request(wish: Parts) -> PoolRequest<'static>;
    #[doc(hidden)]
    fn send(
        client: Client,
        pool: String,
        wish: Parts,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// What a wish says. Not for callers.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Parts {
    pool: String,
    holder: String,
    units: Option<u32>,
    group: Option<String>,
    hold_ms: Option<u64>,
}

/// A wish on its way: await it, [`send`](Self::send) it, or give it to a [`Transaction`](crate::Transaction).
///
/// ```
/// # tidegate::testing::example(async |engine, client| {
/// use std::time::Duration;
/// use tidegate::api::{pool::config::PoolConfig, refusal::Code};
///
/// let tables = client.pool("tables");
/// tables.configure(&PoolConfig { holder_units_max: Some(4), ..PoolConfig::of(20) }).await?;
/// let held = tables.hold("anna").units(3).hold_for(Duration::from_secs(60)).idempotency_key("order-7").await?;
/// assert_eq!((held.units, held.fence), (3, held.id.fence()));
/// assert!(tables.hold("anna").units(2).await.unwrap_err().code() == Some(Code::LimitReached));
/// # let _ = &engine;
/// # Ok(()) });
/// ```
#[derive(Debug, Clone)]
#[must_use = "a wish is sent when it is awaited"]
pub struct Wish<K> {
    client: Client,
    parts: Parts,
    idempotency_key: Option<String>,
    kind: PhantomData<K>,
}

impl<K: Wanted> Wish<K> {
    pub(super) fn new(pool: &Pool, holder: String) -> Self {
        let parts = Parts { pool: pool.name.clone(), holder, units: None, group: None, hold_ms: None };
        Wish { client: pool.client.clone(), parts, idempotency_key: None, kind: PhantomData }
    }

    /// So many units, at least 1, which is also the default.
    pub fn units(mut self, units: u32) -> Self {
        self.parts.units = Some(units);
        self
    }

    /// For the holder's group, which the pool must have a quota for.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.parts.group = Some(group.into());
        self
    }

    /// The caller's own name for this one intention: said again with the same key, it is not done twice.
    /// 1 to 255 printable ASCII characters. Without one, one is made, for the tries of this call.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Asks for it. Once this answers, it is on stable storage.
    ///
    /// # Errors
    /// A refusal (`sold_out`, `not_open`, `closed`, `limit_reached`, `quota_full`, …), or no answer.
    pub async fn send(self) -> Result<K::Answer, Error> {
        let client = match &self.idempotency_key {
            Some(key) => self.client.with_idempotency_key(key)?,
            None => self.client,
        };
        let pool = self.parts.pool.clone();
        K::send(client, pool, self.parts).await
    }

    /// The wish as an operation of a transaction, which has the only key.
    pub(crate) fn into_operation(self) -> Result<PoolRequest<'static>, Error> {
        if self.idempotency_key.is_some() {
            let why = "A wish in a transaction has no key of its own; give the transaction one.";
            return Err(tidegate_api::refusal::Refusal::contradiction("idempotency_key", why).into());
        }
        Ok(K::request(self.parts))
    }
}

impl Wish<wanted::Hold> {
    /// So long, at most the pool's ceiling; without it, the pool's hold time. At least a second.
    pub fn hold_for(mut self, hold: Duration) -> Self {
        self.parts.hold_ms = Some(ms(hold));
        self
    }
}

impl<K: Wanted> IntoFuture for Wish<K> {
    type Output = Result<K::Answer, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Parts {
    fn take(self) -> Take<'static> {
        Take {
            pool: Text::from(self.pool),
            holder: Text::from(self.holder),
            units: self.units,
            group: self.group.map(Text::from),
        }
    }

    fn take_wish(self) -> TakeWish<'static> {
        TakeWish { holder: Text::from(self.holder), units: self.units, group: self.group.map(Text::from) }
    }
}

impl Wanted for wanted::Hold {
    type Answer = Grant;

    fn request(wish: Parts) -> PoolRequest<'static> {
        PoolRequest::Hold(Hold {
            pool: Text::from(wish.pool),
            holder: Text::from(wish.holder),
            units: wish.units,
            group: wish.group.map(Text::from),
            hold_ms: wish.hold_ms,
        })
    }

    async fn send(client: Client, pool: String, wish: Parts) -> Result<Grant, Error> {
        let hold_ms = wish.hold_ms;
        let TakeWish { holder, units, group } = wish.take_wish();
        client.hold(&pool, &HoldWish { holder, units, group, hold_ms }).await
    }
}

impl Wanted for wanted::Take {
    type Answer = Grant;

    fn request(wish: Parts) -> PoolRequest<'static> {
        PoolRequest::Take(wish.take())
    }

    async fn send(client: Client, pool: String, wish: Parts) -> Result<Grant, Error> {
        client.take(&pool, &wish.take_wish()).await
    }
}

impl Wanted for wanted::Join {
    type Answer = PoolAnswer;

    fn request(wish: Parts) -> PoolRequest<'static> {
        PoolRequest::Join(wish.take())
    }

    async fn send(client: Client, pool: String, wish: Parts) -> Result<PoolAnswer, Error> {
        client.join(&pool, &wish.take_wish()).await
    }
}
