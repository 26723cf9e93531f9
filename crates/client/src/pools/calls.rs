//! The calls about pools, one for each endpoint, in the order of the API's documentation.
//!
//! They fail alike: [`Error::Refused`] with the engine's problem, or one of the others when there is no answer.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tidegate_api::id::GrantId;
use tidegate_api::pool::config::{PoolConfig, ResizePool};
use tidegate_api::pool::grant::{Grant, PoolAnswer, PoolResult, PoolResults, Waiting};
use tidegate_api::pool::holder::HolderStory;
use tidegate_api::pool::query::{GrantsQuery, PageQuery, PoolsQuery};
use tidegate_api::pool::request::PoolRequest;
use tidegate_api::pool::view::{EntrantPage, GrantPage, LinePage, Pool, PoolDeleted, PoolList};
use tidegate_api::pool::wish::{ExtendWish, HoldWish, LeaveWish, SwapWish, TakeWish};
use tidegate_api::refusal::Code;
use tidegate_api::syntax;

use crate::calls::{either, with_query};
use crate::transport::{Again, Call, Nothing, encode};
use crate::{Client, Error, Link};

const AT_ONCE: Duration = Duration::ZERO;
const REQUESTS: &str = "/v1/pools/requests";

impl Client {
    /// Makes a pool, or gives it another configuration.
    pub async fn configure_pool(&self, pool: &str, config: &PoolConfig) -> Result<Pool, Error> {
        let (settings, path) = (&self.settings, own_path(pool)?);
        either!(self,
            http => http.put(settings, &path, config).await,
            engine => engine.configure_pool(settings, &path, pool, config).await)
    }

    /// How a pool stands.
    pub async fn show_pool(&self, pool: &str) -> Result<Pool, Error> {
        let (settings, path) = (&self.settings, own_path(pool)?);
        either!(self,
            http => http.get(settings, &path, AT_ONCE).await,
            engine => engine.show_pool(pool))
    }

    /// Deletes a pool of which nobody has or waits for anything.
    pub async fn delete_pool(&self, pool: &str) -> Result<(), Error> {
        let (settings, path) = (&self.settings, own_path(pool)?);
        either!(self,
            http => {
                let (method, again) = (Method::DELETE, Again::UnderKey);
                let call = Call { method, path: &path, body: Bytes::new(), wait: AT_ONCE, again };
                http.read::<PoolDeleted>(settings, call).await.map(drop)
            },
            engine => engine.delete_pool(settings, &path, pool).await)
    }

    /// Changes a pool's capacity alone.
    pub async fn resize_pool(&self, pool: &str, capacity: u32) -> Result<Pool, Error> {
        let (settings, path) = (&self.settings, pool_path(pool, "/resize"));
        let resize = ResizePool { capacity };
        either!(self,
            http => http.post(settings, &path, &resize, AT_ONCE).await,
            engine => engine.resize_pool(settings, &path, pool, &resize).await)
    }

    /// How these pools stand, at most 1,000 of them. Those that are not there are named in the answer's `missing`.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::pool::config::PoolConfig;
    ///
    /// client.pool("seats-101").configure(&PoolConfig::of(30)).await?;
    /// let seen = client.pools(["seats-101", "seats-102"]).await?;
    /// assert_eq!((seen.pools[0].free, seen.missing), (30, vec!["seats-102".to_owned()]));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn pools<N: Into<String>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<PoolList, Error> {
        let names = Some(names.into_iter().map(Into::into).collect());
        self.list_pools(&PoolsQuery { names, ..PoolsQuery::default() }).await
    }

    /// How pools stand: those named, or a page of all by name.
    pub async fn list_pools(&self, query: &PoolsQuery) -> Result<PoolList, Error> {
        let settings = &self.settings;
        either!(self,
            http => http.get(settings, &with_query("/v1/pools".to_owned(), query.write()), AT_ONCE).await,
            engine => engine.list_pools(query))
    }

    /// A page of who has units of a pool, by rising fencing number.
    pub async fn list_grants(&self, pool: &str, query: &GrantsQuery) -> Result<GrantPage, Error> {
        let settings = &self.settings;
        either!(self,
            http => http.get(settings, &with_query(pool_path(pool, "/grants"), query.write()), AT_ONCE).await,
            engine => engine.grants(settings, pool, query).await)
    }

    /// A page of who waits for a pool, the first in line in front.
    pub async fn list_line(&self, pool: &str, query: &PageQuery) -> Result<LinePage, Error> {
        let settings = &self.settings;
        either!(self,
            http => http.get(settings, &with_query(pool_path(pool, "/line"), query.write()), AT_ONCE).await,
            engine => engine.line(settings, pool, query).await)
    }

    /// A page of those who took part in the draw of a pool's opening.
    pub async fn entrants(&self, pool: &str, query: &PageQuery) -> Result<EntrantPage, Error> {
        let settings = &self.settings;
        either!(self,
            http => http.get(settings, &with_query(pool_path(pool, "/entrants"), query.write()), AT_ONCE).await,
            engine => engine.entrants(settings, pool, query).await)
    }

    /// Units until a deadline.
    pub async fn hold(&self, pool: &str, wish: &HoldWish<'_>) -> Result<Grant, Error> {
        let (settings, path) = (&self.settings, pool_path(pool, "/hold"));
        either!(self,
            http => http.post(settings, &path, wish, AT_ONCE).await,
            engine => engine.hold(settings, &path, pool, wish).await)
    }

    /// Units until they are given back.
    pub async fn take(&self, pool: &str, wish: &TakeWish<'_>) -> Result<Grant, Error> {
        let (settings, path) = (&self.settings, pool_path(pool, "/take"));
        either!(self,
            http => http.post(settings, &path, wish, AT_ONCE).await,
            engine => engine.take(settings, &path, pool, wish).await)
    }

    /// A place in line, or the offer if there is room.
    pub async fn join(&self, pool: &str, wish: &TakeWish<'_>) -> Result<PoolAnswer, Error> {
        let (settings, path) = (&self.settings, pool_path(pool, "/join"));
        either!(self,
            http => http.post(settings, &path, wish, AT_ONCE).await,
            engine => engine.join(settings, &path, pool, wish).await)
    }

    /// An end to waiting in line.
    pub async fn leave(&self, pool: &str, wish: &LeaveWish<'_>) -> Result<Waiting, Error> {
        let (settings, path) = (&self.settings, pool_path(pool, "/leave"));
        either!(self,
            http => http.post(settings, &path, wish, AT_ONCE).await,
            engine => engine.leave(settings, &path, pool, wish).await)
    }

    /// Up to 1,000 steps over any pools and grants, each for itself. The results are in the order of the steps; one that
    /// is refused does not keep the others out.
    ///
    /// Where all of them lie in one shard, as they do on a server that has one, the call has an idempotency key and is tried again like any other. Over several
    /// shards there is no key that holds for all: each shard does its part, and the call is said once. It is tried again only
    /// if nothing was done for certain; else the error ([`Error::Timeout`], [`Error::Transport`]) leaves open which steps were done. What a single shard
    /// refuses or does not know stands in the places of its steps (`inbox_full`, `outcome_unknown`). Whoever needs to say such steps
    /// again makes a list of each place, with a key each. Under a key of the caller's own
    /// ([`Client::with_idempotency_key`]) a list over several shards is refused (`transaction_spans_shards`), and nothing is done.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::pool::{config::PoolConfig, grant::PoolResult, request::{PoolRequest, Take}};
    ///
    /// client.pool("seats-101").configure(&PoolConfig::of(1)).await?;
    /// let take = |holder: &'static str| {
    ///     PoolRequest::Take(Take { pool: "seats-101".into(), holder: holder.into(), units: None, group: None })
    /// };
    /// let results = client.pool_requests(&[take("anna"), take("bert")]).await?;
    /// assert!(matches!(results[..], [PoolResult::Grant(_), PoolResult::Refused { .. }]));
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn pool_requests(&self, requests: &[PoolRequest<'_>]) -> Result<Vec<PoolResult>, Error> {
        let settings = &self.settings;
        either!(self,
            http => {
                let answer: PoolResults = match http.post(settings, REQUESTS, requests, AT_ONCE).await {
                    // The server knows what lies where. It has done nothing, and takes such a list without a key.
                    Err(Error::Refused(problem))
                        if problem.refusal.code == Code::TransactionSpansShards
                            && settings.idempotency_key.is_none() =>
                    {
                        http.once(settings, REQUESTS, requests).await?
                    }
                    answered => answered?,
                };
                self.one_each(answer.results, requests.len())
            },
            engine => engine.pool_requests(settings, REQUESTS, requests).await)
    }

    /// Everything about one grant.
    pub async fn show_grant(&self, id: GrantId) -> Result<Grant, Error> {
        let settings = &self.settings;
        either!(self,
            http => http.get(settings, &grant_path(id, ""), AT_ONCE).await,
            engine => engine.show_grant(settings, id).await)
    }

    /// Takes what is held.
    pub async fn confirm_grant(&self, id: GrantId) -> Result<Grant, Error> {
        let (settings, path) = (&self.settings, grant_path(id, "/confirm"));
        either!(self,
            http => http.post(settings, &path, &Nothing {}, AT_ONCE).await,
            engine => engine.confirm_grant(settings, &path, id).await)
    }

    /// Holds for longer. Needs no idempotency key: said twice, it holds from the second time on.
    pub async fn extend_grant(&self, id: GrantId, wish: &ExtendWish) -> Result<Grant, Error> {
        let (settings, path) = (&self.settings, grant_path(id, "/extend"));
        either!(self,
            http => http.repeat(settings, &path, wish).await,
            engine => engine.extend_grant(settings, &path, id, wish).await)
    }

    /// Gives units back, or declines an offer.
    pub async fn release_grant(&self, id: GrantId) -> Result<Grant, Error> {
        let (settings, path) = (&self.settings, grant_path(id, "/release"));
        either!(self,
            http => http.post(settings, &path, &Nothing {}, AT_ONCE).await,
            engine => engine.release_grant(settings, &path, id).await)
    }

    /// One grant for another, or a place in line for it.
    pub async fn swap_grant(&self, id: GrantId, wish: &SwapWish<'_>) -> Result<PoolAnswer, Error> {
        let (settings, path) = (&self.settings, grant_path(id, "/swap"));
        either!(self,
            http => http.post(settings, &path, wish, AT_ONCE).await,
            engine => engine.swap_grant(settings, &path, id, wish).await)
    }

    /// One holder's whole story, in order: what was granted, offered, refused, and which jobs came of it. Of a holder whom nobody knows,
    /// all lists are empty. Who has more than 1,000 grants, or waits in more than 1,000 lines, is read page by page, between
    /// which it may change; [`holder_page`](Self::holder_page) reads one.
    ///
    /// ```
    /// # tidegate::testing::example(async |engine, client| {
    /// use tidegate::api::{pool::config::PoolConfig, words::Happened};
    ///
    /// let seats = client.pool("seats-101");
    /// seats.configure(&PoolConfig::of(1)).await?;
    /// seats.take("anna").await?;
    /// seats.take("bert").await.unwrap_err();
    /// let bert = client.holder("bert").await?;
    /// assert_eq!(bert.story[0].what, Happened::Refused);
    /// # let _ = &engine;
    /// # Ok(()) });
    /// ```
    pub async fn holder(&self, holder: &str) -> Result<HolderStory, Error> {
        let mut whole = self.holder_page(holder, &PageQuery::default()).await?;
        while let Some(cursor) = whole.cursor.take() {
            let query = PageQuery { cursor: Some(cursor), ..PageQuery::default() };
            let page = self.holder_page(holder, &query).await?;
            whole.grants.extend(page.grants);
            whole.waiting.extend(page.waiting);
            whole.cursor = page.cursor;
            if whole.cursor.is_none() {
                whole.waiting.sort_by(|a, b| a.pool.cmp(&b.pool));
            }
        }
        Ok(whole)
    }

    /// A page of what a holder has and waits for, at most 1,000 of each; what happened to it is on the first.
    pub async fn holder_page(&self, holder: &str, query: &PageQuery) -> Result<HolderStory, Error> {
        let settings = &self.settings;
        let path = with_query(format!("/v1/holders/{}", encode(holder)), query.write());
        either!(self,
            http => http.get(settings, &path, AT_ONCE).await,
            engine => engine.holder(settings, holder, query).await)
    }

    /// An answer of the right shape that says something else than was asked for.
    pub(crate) fn unexpected(&self, found: &str, wanted: &str) -> Error {
        let why = format!("it has {found} where {wanted} was expected");
        Error::Unreadable { server: self.server().to_owned(), status: 200, why }
    }
}

/// A pool's own path. Where a name is a word of a path, this would be the path of another call.
fn own_path(pool: &str) -> Result<String, Error> {
    syntax::pool_name(pool)?;
    Ok(pool_path(pool, ""))
}

fn pool_path(pool: &str, below: &str) -> String {
    format!("/v1/pools/{}{below}", encode(pool))
}

fn grant_path(id: GrantId, below: &str) -> String {
    format!("/v1/grants/{id}{below}")
}
