//! Pools of the engine in this process.

use std::time::Duration;

use serde::Serialize;
use tidegate_api::convert::answer::list_error;
use tidegate_api::convert::command::{cursor, page_jobs};
use tidegate_api::convert::pool as convert;
use tidegate_api::id::GrantId;
use tidegate_api::pool::config::{PoolConfig, ResizePool};
use tidegate_api::pool::grant::{Grant, PoolAnswer, PoolResult, Waiting};
use tidegate_api::pool::holder::HolderStory;
use tidegate_api::pool::query::{GrantsQuery, PageQuery, PoolsQuery};
use tidegate_api::pool::request::PoolRequest;
use tidegate_api::pool::view::{EntrantPage, GrantPage, LinePage, Pool, PoolList};
use tidegate_api::pool::watch::PoolNews;
use tidegate_api::pool::wish::{ExtendWish, HoldWish, LeaveWish, SwapWish, TakeWish, check_holder};
use tidegate_api::read::Wire;
use tidegate_api::syntax;
use tidegate_core::outcome;
use tidegate_core::pool::command::PoolOperation;
use tidegate_core::pool::refusal::{PoolRefusal, Why};
use tidegate_engine::{CallError, PoolWatch};

use super::{Embedded, Sorted, too_many};
use crate::Error;
use crate::settings::Settings;
use crate::transport::Nothing;

impl Embedded {
    pub(crate) async fn configure_pool(
        &self,
        settings: &Settings,
        path: &str,
        pool: &str,
        config: &PoolConfig,
    ) -> Result<Pool, Error> {
        syntax::pool_name(pool)?;
        config.check()?;
        let key = Self::key(settings, "PUT", path, config);
        let wanted = convert::pool_config(config.clone());
        let ask = || self.engine.configure_pool_if(pool, wanted.clone(), config.if_version, key.clone());
        Ok(convert::pool_seen(&self.ask(settings, Duration::ZERO, ask).await?.value))
    }

    fn pool_refused(&self, why: Why) -> Error {
        self.refused(outcome::Refusal::Pool(PoolRefusal::of(why, 0)))
    }

    /// The pool as it was published last, which is before whoever changed it was answered.
    pub(crate) fn show_pool(&self, pool: &str) -> Result<Pool, Error> {
        syntax::pool_name(pool)?;
        let seen = self.engine.pool(pool).ok_or_else(|| self.pool_refused(Why::PoolNotFound))?;
        Ok(convert::pool_seen(&seen))
    }

    pub(crate) async fn delete_pool(&self, settings: &Settings, path: &str, pool: &str) -> Result<(), Error> {
        syntax::pool_name(pool)?;
        let key = Self::key_of(settings, "DELETE", path, &[]);
        let ask = || self.engine.delete_pool(pool, key.clone());
        self.ask(settings, Duration::ZERO, ask).await.map(drop)
    }

    pub(crate) async fn resize_pool(
        &self,
        settings: &Settings,
        path: &str,
        pool: &str,
        resize: &ResizePool,
    ) -> Result<Pool, Error> {
        syntax::pool_name(pool)?;
        resize.check()?;
        let key = Self::key(settings, "POST", path, resize);
        let ask = || self.engine.resize_pool(pool, resize.capacity, key.clone());
        Ok(convert::pool_seen(&self.ask(settings, Duration::ZERO, ask).await?.value))
    }

    pub(crate) fn list_pools(&self, query: &PoolsQuery) -> Result<PoolList, Error> {
        // Written and read again, a query is checked as the door checks it.
        let query = PoolsQuery::read(&query.write())?;
        let mut list = PoolList { pools: Vec::new(), missing: Vec::new(), cursor: None };
        let Some(names) = query.names else {
            let limit = page_jobs(query.limit);
            let after = query.cursor.unwrap_or_default();
            let (page, more) = self.engine.pool_page(&after, limit);
            list.pools = page.iter().map(convert::pool_seen).collect();
            list.cursor = page.last().filter(|_| more).map(|last| last.view.name.to_string());
            return Ok(list);
        };
        for name in names {
            match self.engine.pool(&name) {
                Some(seen) => list.pools.push(convert::pool_seen(&seen)),
                None => list.missing.push(name),
            }
        }
        Ok(list)
    }

    pub(crate) async fn grants(
        &self,
        settings: &Settings,
        pool: &str,
        query: &GrantsQuery,
    ) -> Result<GrantPage, Error> {
        syntax::pool_name(pool)?;
        let query = GrantsQuery::read(&query.write())?;
        let (limit, from) = (page_jobs(query.limit), cursor(query.cursor.as_deref())?);
        let state = query.state.and_then(convert::standing);
        let ask = || self.engine.grants(pool, state, from, limit);
        match self.ask(settings, Duration::ZERO, ask).await? {
            Some(page) => Ok(convert::grant_page(&page)),
            None => Err(self.pool_refused(Why::PoolNotFound)),
        }
    }

    pub(crate) async fn line(
        &self,
        settings: &Settings,
        pool: &str,
        query: &PageQuery,
    ) -> Result<LinePage, Error> {
        syntax::pool_name(pool)?;
        let query = PageQuery::read(&query.write())?;
        let (limit, from) = (page_jobs(query.limit), convert::line_cursor(query.cursor.as_deref())?);
        let ask = || self.engine.line(pool, from, limit);
        match self.ask(settings, Duration::ZERO, ask).await? {
            Some(page) => Ok(convert::line_page(page)),
            None => Err(self.pool_refused(Why::PoolNotFound)),
        }
    }

    pub(crate) async fn entrants(
        &self,
        settings: &Settings,
        pool: &str,
        query: &PageQuery,
    ) -> Result<EntrantPage, Error> {
        syntax::pool_name(pool)?;
        let query = PageQuery::read(&query.write())?;
        let (limit, from) = (page_jobs(query.limit), cursor(query.cursor.as_deref())?);
        let ask = || self.engine.entrants(pool, from, limit + 1);
        match self.ask(settings, Duration::ZERO, ask).await? {
            Some(entrants) => Ok(convert::entrants(entrants, limit)),
            None => Err(self.pool_refused(Why::PoolNotFound)),
        }
    }

    pub(crate) async fn hold(
        &self,
        settings: &Settings,
        path: &str,
        pool: &str,
        wish: &HoldWish<'_>,
    ) -> Result<Grant, Error> {
        syntax::pool_name(pool)?;
        wish.check()?;
        self.granted(settings, path, wish, convert::hold(pool, wish.clone())).await
    }

    pub(crate) async fn take(
        &self,
        settings: &Settings,
        path: &str,
        pool: &str,
        wish: &TakeWish<'_>,
    ) -> Result<Grant, Error> {
        syntax::pool_name(pool)?;
        wish.check()?;
        self.granted(settings, path, wish, convert::take(pool, wish.clone())).await
    }

    pub(crate) async fn join(
        &self,
        settings: &Settings,
        path: &str,
        pool: &str,
        wish: &TakeWish<'_>,
    ) -> Result<PoolAnswer, Error> {
        syntax::pool_name(pool)?;
        wish.check()?;
        self.step(settings, path, wish, convert::join(pool, wish.clone())).await
    }

    pub(crate) async fn leave(
        &self,
        settings: &Settings,
        path: &str,
        pool: &str,
        wish: &LeaveWish<'_>,
    ) -> Result<Waiting, Error> {
        syntax::pool_name(pool)?;
        wish.check()?;
        match self.step(settings, path, wish, convert::leave(pool, wish.clone())).await? {
            PoolAnswer::Waiting(waiting) => Ok(waiting),
            PoolAnswer::Grant(_) => Err(self.refused(outcome::Refusal::IdempotencyMismatch)),
        }
    }

    pub(crate) async fn pool_requests(
        &self,
        settings: &Settings,
        path: &str,
        requests: &[PoolRequest<'_>],
    ) -> Result<Vec<PoolResult>, Error> {
        too_many("", requests.len())?;
        let mut operations = Vec::with_capacity(requests.len());
        let sorted = Sorted::of(requests, |request| {
            let (operation, named) = convert::request(request);
            operations.push(operation);
            Ok(named)
        });
        let key = Self::key(settings, "POST", path, requests);
        let answers = match sorted.any_good() {
            true => {
                let ask = || self.engine.pools_each(operations.clone(), key.clone());
                let say = |error: &CallError| list_error(error, self.now());
                self.ask_and_say(settings, Duration::ZERO, ask, say).await?.value
            }
            false => Vec::new(),
        };
        let now = self.now();
        Ok(sorted.answered(
            answers,
            |named, answer| match answer {
                Ok(answer) => convert::item_result(&named, answer.item, answer.grant.as_ref(), now),
                Err(error) => PoolResult::Refused { error: list_error(&error, now) },
            },
            |bad| PoolResult::Refused { error: bad.refusal },
        ))
    }

    pub(crate) async fn show_grant(&self, settings: &Settings, id: GrantId) -> Result<Grant, Error> {
        let ask = || self.engine.grant(id.into());
        match self.ask(settings, Duration::ZERO, ask).await? {
            Some(grant) => Ok(convert::grant(&grant)),
            None => Err(self.pool_refused(Why::GrantUnknown)),
        }
    }

    pub(crate) async fn confirm_grant(
        &self,
        settings: &Settings,
        path: &str,
        id: GrantId,
    ) -> Result<Grant, Error> {
        self.granted(settings, path, &Nothing {}, convert::confirm(id)).await
    }

    pub(crate) async fn release_grant(
        &self,
        settings: &Settings,
        path: &str,
        id: GrantId,
    ) -> Result<Grant, Error> {
        self.granted(settings, path, &Nothing {}, convert::release(id)).await
    }

    pub(crate) async fn extend_grant(
        &self,
        settings: &Settings,
        path: &str,
        id: GrantId,
        wish: &ExtendWish,
    ) -> Result<Grant, Error> {
        wish.check()?;
        self.granted(settings, path, wish, convert::extend(id, *wish)).await
    }

    pub(crate) async fn swap_grant(
        &self,
        settings: &Settings,
        path: &str,
        id: GrantId,
        wish: &SwapWish<'_>,
    ) -> Result<PoolAnswer, Error> {
        wish.check()?;
        self.step(settings, path, wish, convert::swap(id, wish.clone())).await
    }

    pub(crate) async fn holder(
        &self,
        settings: &Settings,
        holder: &str,
        query: &PageQuery,
    ) -> Result<HolderStory, Error> {
        check_holder(holder)?;
        let query = PageQuery::read(&query.write())?;
        let (limit, from) =
            (convert::holder_page(query.limit), convert::holder_cursor(query.cursor.as_deref())?);
        let ask = || self.engine.holder_parts(holder, from, limit);
        Ok(convert::holder(holder, self.ask(settings, Duration::ZERO, ask).await?))
    }

    pub(crate) fn watch_pools(&self, names: Vec<String>) -> PoolWatch {
        self.engine.watch_pools(names.into_iter().map(|name| (name, None)).collect())
    }

    /// A step whose answer is a grant.
    async fn granted(
        &self,
        settings: &Settings,
        path: &str,
        body: &impl Serialize,
        step: (PoolOperation, convert::Named<'_>),
    ) -> Result<Grant, Error> {
        match self.step(settings, path, body, step).await? {
            PoolAnswer::Grant(grant) => Ok(grant),
            PoolAnswer::Waiting(_) => Err(self.refused(outcome::Refusal::IdempotencyMismatch)),
        }
    }

    /// One step on a pool or a grant.
    async fn step(
        &self,
        settings: &Settings,
        path: &str,
        body: &impl Serialize,
        (operation, named): (PoolOperation, convert::Named<'_>),
    ) -> Result<PoolAnswer, Error> {
        let key = Self::key(settings, "POST", path, body);
        let ask = || self.engine.pools(vec![operation.clone()], key.clone());
        let answers = self.ask(settings, Duration::ZERO, ask).await?.value;
        let answer = answers.into_iter().next().expect("one operation has one answer");
        convert::result(&named, answer.item, answer.grant.as_ref(), self.now()).map_err(Error::from)
    }
}

/// What a watcher hears, as it is said over HTTP.
pub(crate) fn news(news: tidegate_engine::PoolNews) -> PoolNews {
    let tidegate_engine::PoolNews { name, seen, missed } = news;
    PoolNews { name: name.to_string(), missed, pool: seen.as_ref().map(convert::pool_seen) }
}
