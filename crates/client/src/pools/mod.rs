//! Pools: what is scarce, given out exactly once.
//!
//! [`Client::pool`] is a pool by its name, [`Client::grant`] a grant by its id; their methods are one call each, and every call
//! that would do something else the second time carries an idempotency key, so that a lost answer does not become a second seat. What several pools and
//! queues do together is a [`Transaction`](crate::Transaction). [`Client::watch_pools`] follows changes, [`Client::lock`] is a pool of one
//! unit that is held for as long as somebody works.
//!
//! Lists of wishes are here too ([`Client::pool_requests`]); single wishes are not gathered into lists.

mod calls;
mod lock;
mod watch;
mod wish;

use std::time::Duration;

use tidegate_api::id::GrantId;
use tidegate_api::pool::config::PoolConfig;
use tidegate_api::pool::grant::{Grant, PoolAnswer, Waiting};
use tidegate_api::pool::query::{GrantsQuery, PageQuery};
use tidegate_api::pool::view::{Entrant, Pool as PoolView};
use tidegate_api::pool::wish::{ExtendWish, LeaveWish, SwapWish};
use tidegate_api::value::Text;

pub use lock::{Held, Lock};
pub use watch::PoolWatch;
pub use wish::{Wanted, Wish, wanted};

use crate::{Client, Error};

/// A pool, by its name. Making one asks nobody.
///
/// ```
/// # tidegate::testing::example(async |engine, client| {
/// use tidegate::api::{pool::config::PoolConfig, refusal::Code};
///
/// let seats = client.pool("seats-101");
/// seats.configure(&PoolConfig { waitlist_max: Some(10), ..PoolConfig::of(1) }).await?;
///
/// let anna = seats.hold("anna").await?;
/// assert!(seats.take("bert").await.unwrap_err().code() == Some(Code::SoldOut));
/// seats.join("bert").await?;
///
/// // Given back, it is offered to the first in line at once.
/// client.grant(anna.id).release().await?;
/// let offer = client.holder("bert").await?.grants.remove(0);
/// assert!(offer.offered);
/// client.grant(offer.id).confirm().await?;
/// assert_eq!(seats.show().await?.taken, 1);
/// # let _ = &engine;
/// # Ok(()) });
/// ```
#[derive(Debug, Clone)]
pub struct Pool {
    client: Client,
    name: String,
}

/// A grant, by its id. Making one asks nobody.
#[derive(Debug, Clone)]
pub struct GrantHandle {
    client: Client,
    id: GrantId,
}

impl Client {
    /// The pool of this name, whether or not there is one yet.
    pub fn pool(&self, name: impl Into<String>) -> Pool {
        Pool { client: self.clone(), name: name.into() }
    }

    /// The grant with this id.
    pub fn grant(&self, id: GrantId) -> GrantHandle {
        GrantHandle { client: self.clone(), id }
    }
}

impl Pool {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes the pool, or gives it another configuration. It is never made smaller than what is granted
    /// (`below_granted`). With [`PoolConfig::if_version`], only if nobody has changed it since
    /// (`version_changed`):
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::{pool::config::PoolConfig, refusal::Code};
    ///
    /// let seats = client.pool("seats-101");
    /// // 0: only if there is none.
    /// let seen = seats.configure(&PoolConfig::of(30).if_version(0)).await?;
    /// seats.resize(40).await?;
    /// let config = PoolConfig { waitlist_max: Some(10), ..seen.config }.if_version(seen.version);
    /// assert_eq!(seats.configure(&config).await.unwrap_err().code(), Some(Code::VersionChanged));
    /// assert_eq!(seats.show().await?.config.capacity, 40);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// A refusal by name, or no answer.
    pub async fn configure(&self, config: &PoolConfig) -> Result<PoolView, Error> {
        self.client.configure_pool(&self.name, config).await
    }

    /// How it stands, as it last became durable; `version` and `as_of` say when that was.
    ///
    /// # Errors
    /// `pool_not_found`, or no answer.
    pub async fn show(&self) -> Result<PoolView, Error> {
        self.client.show_pool(&self.name).await
    }

    /// Changes its capacity alone.
    ///
    /// # Errors
    /// `pool_not_found`, `below_granted`, or no answer.
    pub async fn resize(&self, capacity: u32) -> Result<PoolView, Error> {
        self.client.resize_pool(&self.name, capacity).await
    }

    /// Deletes it, if nobody has or waits for any of it.
    ///
    /// # Errors
    /// `pool_not_found`, `pool_in_use`, or no answer.
    pub async fn delete(&self) -> Result<(), Error> {
        self.client.delete_pool(&self.name).await
    }

    /// Wants units until a deadline: [`hold_for`](Wish::hold_for), or the pool's hold time. Await it, or [`Wish::send`] it.
    pub fn hold(&self, holder: impl Into<String>) -> Wish<wanted::Hold> {
        Wish::new(self, holder.into())
    }

    /// Wants units until they are given back.
    pub fn take(&self, holder: impl Into<String>) -> Wish<wanted::Take> {
        Wish::new(self, holder.into())
    }

    /// Wants to wait in line. If there is room, the answer is the offer; said twice, it is the same place.
    pub fn join(&self, holder: impl Into<String>) -> Wish<wanted::Join> {
        Wish::new(self, holder.into())
    }

    /// Waits in line no more.
    ///
    /// # Errors
    /// `not_waiting`, or no answer.
    pub async fn leave(&self, holder: &str) -> Result<Waiting, Error> {
        self.client.leave(&self.name, &LeaveWish { holder: Text::from(holder) }).await
    }

    /// Who has units of it: all its grants, held and taken, by rising fencing number. They are asked for page by page, so what
    /// changes meanwhile may be seen or not; [`Client::list_grants`] is one page, or those of one state.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::{pool::config::PoolConfig, words::GrantState};
    ///
    /// let seats = client.pool("seats-101");
    /// seats.configure(&PoolConfig { waitlist_max: Some(10), ..PoolConfig::of(2) }).await?;
    /// seats.take("anna").await?;
    /// seats.hold("bert").await?;
    /// seats.join("carl").await?;
    /// let who: Vec<_> = seats.grants().await?.into_iter().map(|grant| (grant.holder, grant.state)).collect();
    /// assert_eq!(who, [("anna".to_owned(), GrantState::Taken), ("bert".to_owned(), GrantState::Held)]);
    /// assert_eq!(seats.line().await?[0].holder, "carl");
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `pool_not_found`, or no answer.
    pub async fn grants(&self) -> Result<Vec<Grant>, Error> {
        let mut query = GrantsQuery { limit: Some(1_000), ..GrantsQuery::default() };
        let mut grants = Vec::new();
        loop {
            let page = self.client.list_grants(&self.name, &query).await?;
            grants.extend(page.grants);
            query.cursor = page.cursor;
            if query.cursor.is_none() {
                return Ok(grants);
            }
        }
    }

    /// Who waits for it, the first in line in front; before an opening that draws the order, as they joined. Whoever has an offer waits
    /// no more: it is among the [`grants`](Self::grants). Asked for page by page likewise.
    ///
    /// # Errors
    /// `pool_not_found`, or no answer.
    pub async fn line(&self) -> Result<Vec<Waiting>, Error> {
        let mut query = PageQuery { limit: Some(1_000), ..PageQuery::default() };
        let mut line = Vec::new();
        loop {
            let page = self.client.list_line(&self.name, &query).await?;
            line.extend(page.line);
            query.cursor = page.cursor;
            if query.cursor.is_none() {
                return Ok(line);
            }
        }
    }

    /// All who took part in the draw of its opening, in the order of their joining; empty before the opening.
    ///
    /// # Errors
    /// `pool_not_found`, or no answer.
    pub async fn entrants(&self) -> Result<Vec<Entrant>, Error> {
        let mut query = PageQuery { limit: Some(1_000), ..PageQuery::default() };
        let mut entrants = Vec::new();
        loop {
            let page = self.client.entrants(&self.name, &query).await?;
            entrants.extend(page.entrants);
            query.cursor = page.cursor;
            if query.cursor.is_none() {
                return Ok(entrants);
            }
        }
    }
}

impl GrantHandle {
    /// Its id.
    pub fn id(&self) -> GrantId {
        self.id
    }

    /// Everything about it. One that has ended is known for an hour.
    ///
    /// # Errors
    /// `grant_unknown`, or no answer.
    pub async fn show(&self) -> Result<Grant, Error> {
        self.client.show_grant(self.id).await
    }

    /// Takes what is held. Said twice, it is the same.
    ///
    /// # Errors
    /// `hold_lapsed`, `grant_ended`, `grant_unknown`, or no answer.
    pub async fn confirm(&self) -> Result<Grant, Error> {
        self.client.confirm_grant(self.id).await
    }

    /// Holds for longer: so long from now, or the pool's hold time; never beyond the ceiling, which the answer's
    /// `extendable_until` says.
    ///
    /// # Errors
    /// `hold_lapsed`, `not_held`, `grant_ended`, `grant_unknown`, or no answer.
    pub async fn extend(&self, hold: Option<Duration>) -> Result<Grant, Error> {
        self.client.extend_grant(self.id, &ExtendWish { hold_ms: hold.map(crate::queue::ms) }).await
    }

    /// Gives it back; an offer is declined.
    ///
    /// # Errors
    /// `hold_lapsed`, `grant_ended`, `grant_unknown`, or no answer.
    pub async fn release(&self) -> Result<Grant, Error> {
        self.client.release_grant(self.id).await
    }

    /// Gives it for one of another pool; if that cannot be had, this one is kept.
    ///
    /// # Errors
    /// Why it cannot be had, or no answer.
    pub async fn swap(&self, pool: &str) -> Result<Grant, Error> {
        let wish = SwapWish { pool: Text::from(pool), units: None, group: None, when_offered: None };
        match self.client.swap_grant(self.id, &wish).await? {
            PoolAnswer::Grant(grant) => Ok(grant),
            PoolAnswer::Waiting(_) => Err(self.client.unexpected("a place in line", "a grant")),
        }
    }

    /// The same, and if there is nothing now, waits in line: this one is given up when the offer is confirmed.
    ///
    /// # Errors
    /// As [`swap`](Self::swap), and those of joining.
    pub async fn swap_when_offered(&self, pool: &str) -> Result<PoolAnswer, Error> {
        let wish = SwapWish { pool: Text::from(pool), units: None, group: None, when_offered: Some(true) };
        self.client.swap_grant(self.id, &wish).await
    }
}
