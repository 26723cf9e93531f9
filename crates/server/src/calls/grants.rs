//! Grants: showing, confirming, extending, releasing, swapping. And holders: one's whole story.

use http::StatusCode;
use tidegate_api::convert::pool as convert;
use tidegate_api::id::GrantId;
use tidegate_api::pool::query::PageQuery;
use tidegate_api::pool::wish::{ExtendWish, SwapWish};
use tidegate_api::read::{read, read_utf8};
use tidegate_core::outcome::Refusal;
use tidegate_core::pool::refusal::{PoolRefusal, Why};

use crate::calls::pools::one;
use crate::door::{Asked, Refusing};
use crate::reply::{Reply, json};

pub(crate) async fn get(asked: Asked<'_>, id: GrantId) -> Result<Reply, Refusing> {
    match asked.door.engine().grant(id.into()).await? {
        Some(grant) => Ok(json(StatusCode::OK, &convert::grant(&grant))),
        None => {
            let refusal = Refusal::Pool(PoolRefusal::of(Why::GrantUnknown, 0));
            Err(Refusing::item(refusal, false))
        }
    }
}

pub(crate) async fn confirm(asked: Asked<'_>, id: GrantId) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (_body, key) = asked.optional_json().await?;
    one(engine, convert::confirm(id), key, StatusCode::OK).await
}

pub(crate) async fn release(asked: Asked<'_>, id: GrantId) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (_body, key) = asked.optional_json().await?;
    one(engine, convert::release(id), key, StatusCode::OK).await
}

pub(crate) async fn extend(asked: Asked<'_>, id: GrantId) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.optional_json().await?;
    let wish: ExtendWish = read(read_utf8(&body.bytes)?)?;
    one(engine, convert::extend(id, wish), key, StatusCode::OK).await
}

pub(crate) async fn swap(asked: Asked<'_>, id: GrantId) -> Result<Reply, Refusing> {
    let engine = asked.door.engine();
    let (body, key) = asked.json().await?;
    let wish: SwapWish<'_> = read(read_utf8(&body.bytes)?)?;
    one(engine, convert::swap(id, wish), key, StatusCode::CREATED).await
}

/// Of a holder that nobody has heard of there is nothing to tell, which is an answer.
pub(crate) async fn holder(asked: Asked<'_>, name: &str) -> Result<Reply, Refusing> {
    let query = PageQuery::read(asked.query())?;
    let (limit, from) = (convert::holder_page(query.limit), convert::holder_cursor(query.cursor.as_deref())?);
    let page = asked.door.engine().holder_parts(name, from, limit).await?;
    Ok(json(StatusCode::OK, &convert::holder(name, page)))
}
