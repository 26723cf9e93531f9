//! Pools: showing, configuring, deleting; and what holders ask of them, alone or in lists.
//!
//! How pools stand is read from what was published last: no shard is asked. It is published before the answer to whoever
//! changed it is given, so everybody sees what they did themselves. Who configures a pool is answered with what that has left.

use http::StatusCode;
use tidegate_api::convert::answer::list_error;
use tidegate_api::convert::command::{cursor, page_jobs};
use tidegate_api::convert::pool::{self as convert, Named};
use tidegate_api::pool::config::{PoolConfig, ResizePool};
use tidegate_api::pool::query::{GrantsQuery, PageQuery, PoolsQuery};
use tidegate_api::pool::request::PoolRequest;
use tidegate_api::pool::view::PoolDeleted;
use tidegate_api::pool::wish::{HoldWish, LeaveWish, TakeWish};
use tidegate_api::read::{Item, OneOrList, read, read_list, read_one_or_list, read_utf8};
use tidegate_api::refusal::{Refusal, Refused};
use tidegate_api::{syntax, write};
use tidegate_core::outcome;
use tidegate_core::pool::command::PoolOperation;
use tidegate_core::pool::refusal::{PoolRefusal, Why};
use tidegate_core::pool::view::PoolItem;
use tidegate_engine::{Answer, CallError, Engine, IdempotencyKey, PoolSeen};

use crate::calls::items::Bad;
use crate::door::{Asked, Refusing, now};
use crate::reply::{Reply, json, json_bytes, marked};
use crate::written;

/// About how many bytes a grant takes in JSON.
const GRANT_BYTES: usize = 240;

/// A pool's name in a path. A few words stand where a name could, and are none however they are encoded.
pub(crate) fn pool_name(variable: &str) -> Result<&str, Refused> {
    syntax::pool_name(variable)?;
    Ok(variable)
}

pub(crate) fn get(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let seen = asked.door.engine().pool(name).ok_or_else(not_found)?;
    let mut out = Vec::with_capacity(512);
    written::write(&mut out, &seen);
    Ok(json_bytes(StatusCode::OK, out))
}

/// Those that are named, or a page of all.
pub(crate) fn list(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let query = PoolsQuery::read(asked.query())?;
    let engine = asked.door.engine();
    let is_page = query.names.is_none();
    let mut missing = Vec::new();
    let (pools, next): (Vec<PoolSeen>, Option<String>) = match query.names {
        Some(names) => {
            let seen = names.into_iter().filter_map(|name| {
                let seen = engine.pool(&name);
                if seen.is_none() {
                    missing.push(name);
                }
                seen
            });
            (seen.collect(), None)
        }
        None => {
            let limit = page_jobs(query.limit);
            let after = query.cursor.unwrap_or_default();
            let (page, more) = engine.pool_page(&after, limit);
            let next = page.last().filter(|_| more).map(|last| last.view.name.to_string());
            (page, next)
        }
    };
    let mut out = Vec::with_capacity(16 + pools.len() * 512);
    let write_pool = if is_page { written::write_once } else { written::write };
    write::object_of_list(&mut out, "pools", pools, |out, seen| write_pool(out, &seen));
    let _closing = out.pop();
    if !missing.is_empty() {
        out.extend_from_slice(b",\"missing\":");
        write::list(&mut out, &missing, |out, name| write::text(out, name));
    }
    if let Some(next) = next {
        out.extend_from_slice(b",\"cursor\":");
        write::text(&mut out, &next);
    }
    out.push(b'}');
    Ok(json_bytes(StatusCode::OK, out))
}

pub(crate) async fn configure(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let config: PoolConfig = read(read_utf8(&body.bytes)?)?;
    let if_version = config.if_version;
    match engine.configure_pool_if(name, convert::pool_config(config), if_version, key).await {
        Ok(configured) => Ok(as_configured(&configured)),
        Err(CallError::SpansShards { .. }) => {
            let detail = "`offer_queue` lies in another shard than the pool: an offer and the job that tells of it are one write. \
                          Give both names the same place behind an `@`.";
            Err(Refusal::contradiction("offer_queue", detail).into())
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn resize(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let resize: ResizePool = read(read_utf8(&body.bytes)?)?;
    Ok(as_configured(&engine.resize_pool(name, resize.capacity, key).await?))
}

/// The pool as its configuration has left it. A repeated answer is the first one, whatever has become of the pool since.
fn as_configured(configured: &Answer<PoolSeen>) -> Reply {
    let mut out = Vec::with_capacity(512);
    written::write_once(&mut out, &configured.value);
    marked(json_bytes(StatusCode::OK, out), configured.replayed)
}

pub(crate) async fn delete(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (_body, key) = asked.optional_json().await?;
    let replayed = engine.delete_pool(name, key).await?.replayed;
    Ok(marked(json(StatusCode::OK, &PoolDeleted { deleted: name.to_owned() }), replayed))
}

pub(crate) async fn grants(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let query = GrantsQuery::read(asked.query())?;
    let (limit, from) = (page_jobs(query.limit), cursor(query.cursor.as_deref())?);
    let state = query.state.and_then(convert::standing);
    match asked.door.engine().grants(name, state, from, limit).await? {
        Some(page) => Ok(json(StatusCode::OK, &convert::grant_page(&page))),
        None => Err(not_found().into()),
    }
}

pub(crate) async fn line(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let query = PageQuery::read(asked.query())?;
    let (limit, from) = (page_jobs(query.limit), convert::line_cursor(query.cursor.as_deref())?);
    match asked.door.engine().line(name, from, limit).await? {
        Some(page) => Ok(json(StatusCode::OK, &convert::line_page(page))),
        None => Err(not_found().into()),
    }
}

pub(crate) async fn entrants(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let query = PageQuery::read(asked.query())?;
    let (limit, from) = (page_jobs(query.limit), cursor(query.cursor.as_deref())?);
    match asked.door.engine().entrants(name, from, limit + 1).await? {
        Some(entrants) => Ok(json(StatusCode::OK, &convert::entrants(entrants, limit))),
        None => Err(not_found().into()),
    }
}

pub(crate) async fn hold(asked: Asked<'_>, pool: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let wishes = read_one_or_list::<HoldWish<'_>>(read_utf8(&body.bytes)?)?;
    grant(engine, wishes, |wish| convert::hold(pool, wish), key).await
}

pub(crate) async fn take(asked: Asked<'_>, pool: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let wishes = read_one_or_list::<TakeWish<'_>>(read_utf8(&body.bytes)?)?;
    grant(engine, wishes, |wish| convert::take(pool, wish), key).await
}

pub(crate) async fn join(asked: Asked<'_>, pool: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let wishes = read_one_or_list::<TakeWish<'_>>(read_utf8(&body.bytes)?)?;
    grant(engine, wishes, |wish| convert::join(pool, wish), key).await
}

pub(crate) async fn leave(asked: Asked<'_>, pool: &str) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    match read_one_or_list::<LeaveWish<'_>>(read_utf8(&body.bytes)?)? {
        OneOrList::One(wish) => one(engine, convert::leave(pool, wish), key, StatusCode::OK).await,
        OneOrList::List(wishes) => many(engine, wishes, |wish| convert::leave(pool, wish), key).await,
    }
}

/// A list of things to do with any pools and grants, each for itself.
pub(crate) async fn requests(asked: Asked<'_>) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let requests = read_list::<PoolRequest<'_>>(read_utf8(&body.bytes)?)?;
    many(engine, requests, convert::request, key).await
}

/// What one wish or a list of wishes is answered, where a wish may end in a grant.
async fn grant<'a, T>(
    engine: &Engine,
    wishes: OneOrList<T>,
    mut operation: impl FnMut(T) -> (PoolOperation, Named<'a>),
    key: Option<IdempotencyKey>,
) -> Result<Reply, Refusing> {
    match wishes {
        OneOrList::One(wish) => one(engine, operation(wish), key, StatusCode::CREATED).await,
        OneOrList::List(wishes) => many(engine, wishes, operation, key).await,
    }
}

/// Does one thing. `done` is the status of an answer that is about a grant, or an end to waiting.
pub(crate) async fn one(
    engine: &Engine,
    (operation, named): (PoolOperation, Named<'_>),
    key: Option<IdempotencyKey>,
    done: StatusCode,
) -> Result<Reply, Refusing> {
    let Answer { mut value, replayed } = engine.pools(vec![operation], key).await?;
    let answer = value.pop().expect("one operation has one answer");
    let status = match answer.item {
        outcome::Item::Pool(PoolItem::Waits { .. }) => StatusCode::ACCEPTED,
        outcome::Item::Pool(_) => done,
        outcome::Item::Refused(refusal) => return Err(Refusing::item(refusal, replayed)),
        outcome::Item::Is { .. } | outcome::Item::Duplicate { .. } => {
            return Err(Refusing::item(outcome::Refusal::IdempotencyMismatch, replayed));
        }
    };
    let mut out = Vec::with_capacity(GRANT_BYTES);
    convert::write_item_result(&mut out, &named, answer.item, answer.grant.as_ref(), now());
    Ok(marked(json_bytes(status, out), replayed))
}

/// Does what a list says, each item for itself.
async fn many<'a, T>(
    engine: &Engine,
    items: Vec<Item<T>>,
    mut operation: impl FnMut(T) -> (PoolOperation, Named<'a>),
    key: Option<IdempotencyKey>,
) -> Result<Reply, Refusing> {
    let (mut operations, mut named) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    let bad = Bad::sort(items, |item| {
        let (operation, of_it) = operation(item);
        operations.push(operation);
        named.push(of_it);
    });
    // A list of which nothing is good asks for nothing.
    let Answer { value, replayed } = match operations.is_empty() {
        true => Answer { value: Vec::new(), replayed: false },
        false => match engine.pools_each(operations, key).await {
            Err(error @ CallError::SpansShards { .. }) => return Err(list_error(&error, now()).into()),
            done => done?,
        },
    };
    let now = now();
    let mut out = Vec::with_capacity(16 + value.len() * GRANT_BYTES);
    out.extend_from_slice(b"{\"results\":");
    bad.write(&mut out, named.iter().zip(value), |out, (named, answer)| match answer {
        Ok(answer) => convert::write_item_result(out, named, answer.item, answer.grant.as_ref(), now),
        // Of several shards, one that did nothing, or does not know, says so for its items alone.
        Err(error) => write::refused_item(out, None, &list_error(&error, now)),
    });
    out.push(b'}');
    Ok(marked(json_bytes(StatusCode::OK, out), replayed))
}

fn not_found() -> Refusal {
    let refusal = outcome::Refusal::Pool(PoolRefusal::of(Why::PoolNotFound, 0));
    tidegate_api::convert::answer::refusal(refusal, now())
}
