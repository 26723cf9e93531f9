//! Pools: from requests to commands, and from what became of them to answers.
//!
//! What the engine says of a step is short: an id, a state, numbers, moments. The rest of the answer is what the request named
//! ([`Named`]) and what is known of the grant. So an answer that is repeated under its idempotency key is the first one, however
//! the grant has fared since; only names that the request did not say are left out when nobody remembers the grant any more, and what goes
//! with an offer when it is no offer any more.

use tidegate_core::outcome::{self, Item};
use tidegate_core::pool::command::{self, PoolOperation, Wish};
use tidegate_core::pool::refusal::{PoolRefusal, Why};
use tidegate_core::pool::view::{self, GrantView, HolderPlace, LinePlace, PoolItem, PoolView, Verb};
use tidegate_core::pool::{self, GrantEnd};
use tidegate_core::view::JobState as CoreJobState;
use tidegate_core::{Time, limits as core_limits};
use tidegate_engine::{CallError, HolderFrom, HolderParts, PoolSeen, Transacted};

use crate::convert::answer::{call_error, refusal};
use crate::convert::command::{cursor, unknown_cursor};
use crate::id::{GrantId, JobId};
use crate::limits;
use crate::pool::condition::Condition;
use crate::pool::config::{PoolConfig, Quota};
use crate::pool::grant::{GrantParts, PoolAnswer, PoolResult, Waiting};
use crate::pool::holder::{HolderStory, StoryEntry};
use crate::pool::request::{Hold, Leave, PoolRequest, Swap, Take};
use crate::pool::view::{Entrant, EntrantPage, GrantPage, LinePage, Pool, PoolGroup};
use crate::pool::wish::{ExtendWish, HoldWish, LeaveWish, SwapWish, TakeWish};
use crate::refusal::{Code, Refusal, Refused};
use crate::time::Timestamp;
use crate::transaction::{JobResult, OperationResult, TransactionAnswer};
use crate::value::Text;
use crate::words::{Asked, GrantState, Happened, JobState, Opening, PoolState, WaitingState};
use crate::write;

impl From<GrantId> for pool::GrantId {
    fn from(id: GrantId) -> Self {
        pool::GrantId::new(id.shard, id.sequence)
    }
}

impl From<pool::GrantId> for GrantId {
    fn from(id: pool::GrantId) -> Self {
        Self { shard: id.shard(), sequence: id.sequence() }
    }
}

impl From<pool::GrantState> for GrantState {
    fn from(state: pool::GrantState) -> Self {
        match state {
            pool::GrantState::Held => Self::Held,
            pool::GrantState::Taken => Self::Taken,
        }
    }
}

impl From<GrantEnd> for GrantState {
    fn from(end: GrantEnd) -> Self {
        match end {
            GrantEnd::Released => Self::Released,
            GrantEnd::Declined => Self::Declined,
            GrantEnd::Lapsed => Self::Lapsed,
            GrantEnd::OfferLapsed => Self::OfferLapsed,
            GrantEnd::Swapped => Self::Swapped,
        }
    }
}

/// What a request said of its pool and holder, for its answer to say again. What it did not say is not there.
#[derive(Debug, Clone, Default)]
pub struct Named<'a> {
    pool: Option<Text<'a>>,
    holder: Option<Text<'a>>,
    group: Option<Text<'a>>,
}

/// A pool's configuration, defaults resolved.
pub fn pool_config(config: PoolConfig) -> pool::PoolConfig {
    let hold_ms = config.hold_ms.unwrap_or(limits::HOLD_MS_DEFAULT);
    let quota = |quota: Quota| pool::Quota { group: quota.group, units_max: quota.units_max };
    let attribute = |(name, value)| pool::Attribute { name, value };
    pool::PoolConfig {
        capacity: config.capacity,
        holder_units_max: config.holder_units_max.unwrap_or(limits::HOLDER_UNITS_DEFAULT),
        hold_ms,
        hold_ms_max: config.hold_ms_max.unwrap_or(limits::HOLD_MS_MAX_DEFAULT.max(hold_ms)),
        offer_ms: config.offer_ms.unwrap_or(limits::HOLD_MS_DEFAULT),
        waitlist_max: config.waitlist_max.unwrap_or(0),
        opens_at: config.opens_at.map_or(0, Timestamp::unix_ms),
        closes_at: config.closes_at.map_or(0, Timestamp::unix_ms),
        opening: match config.opening.unwrap_or(Opening::Fifo) {
            Opening::Fifo => pool::Opening::Fifo as i32,
            Opening::Shuffle => pool::Opening::Shuffle as i32,
        },
        offer_queue: config.offer_queue,
        quotas: config.quotas.unwrap_or_default().into_iter().map(quota).collect(),
        attributes: config.attributes.unwrap_or_default().into_iter().map(attribute).collect(),
    }
}

fn shown_config(config: &pool::PoolConfig) -> PoolConfig {
    let moment = |ms: u64| (ms > 0).then(|| Timestamp::from_unix_ms(ms));
    let quota = |quota: &pool::Quota| Quota { group: quota.group.clone(), units_max: quota.units_max };
    let attribute = |attribute: &pool::Attribute| (attribute.name.clone(), attribute.value.clone());
    PoolConfig {
        capacity: config.capacity,
        holder_units_max: Some(config.holder_units_max),
        hold_ms: Some(config.hold_ms),
        hold_ms_max: Some(config.hold_ms_max),
        offer_ms: Some(config.offer_ms),
        waitlist_max: Some(config.waitlist_max),
        opens_at: moment(config.opens_at),
        closes_at: moment(config.closes_at),
        opening: Some(match config.opening() {
            pool::Opening::Fifo => Opening::Fifo,
            pool::Opening::Shuffle => Opening::Shuffle,
        }),
        offer_queue: config.offer_queue.clone(),
        quotas: (!config.quotas.is_empty()).then(|| config.quotas.iter().map(quota).collect()),
        attributes: (!config.attributes.is_empty())
            .then(|| config.attributes.iter().map(attribute).collect()),
        if_version: None,
    }
}

/// A hold of a pool whose name is in the path.
pub fn hold<'a>(pool: &'a str, wish: HoldWish<'a>) -> (PoolOperation, Named<'a>) {
    let HoldWish { holder, units, group, hold_ms } = wish;
    request(PoolRequest::Hold(Hold { pool: pool.into(), holder, units, group, hold_ms }))
}

/// A take, likewise.
pub fn take<'a>(pool: &'a str, wish: TakeWish<'a>) -> (PoolOperation, Named<'a>) {
    let TakeWish { holder, units, group } = wish;
    request(PoolRequest::Take(Take { pool: pool.into(), holder, units, group }))
}

/// A place in line, likewise.
pub fn join<'a>(pool: &'a str, wish: TakeWish<'a>) -> (PoolOperation, Named<'a>) {
    let TakeWish { holder, units, group } = wish;
    request(PoolRequest::Join(Take { pool: pool.into(), holder, units, group }))
}

/// An end to waiting, likewise.
pub fn leave<'a>(pool: &'a str, wish: LeaveWish<'a>) -> (PoolOperation, Named<'a>) {
    request(PoolRequest::Leave(Leave { pool: pool.into(), holder: wish.holder }))
}

/// A confirmation of the grant whose id is in the path.
pub fn confirm(id: GrantId) -> (PoolOperation, Named<'static>) {
    (PoolOperation::Confirm(id.into()), Named::default())
}

/// A release, likewise.
pub fn release(id: GrantId) -> (PoolOperation, Named<'static>) {
    (PoolOperation::Release(id.into()), Named::default())
}

/// A later deadline, likewise.
pub fn extend(id: GrantId, wish: ExtendWish) -> (PoolOperation, Named<'static>) {
    (PoolOperation::Extend(id.into(), wish.hold_ms), Named::default())
}

/// One grant for another, likewise.
pub fn swap(id: GrantId, wish: SwapWish<'_>) -> (PoolOperation, Named<'_>) {
    let SwapWish { pool, units, group, when_offered } = wish;
    request(PoolRequest::Swap(Swap { id, pool, units, group, when_offered }))
}

/// A step that names its pool or grant itself.
pub fn request(request: PoolRequest<'_>) -> (PoolOperation, Named<'_>) {
    let wish = |pool: &Text<'_>, holder: &Text<'_>, units: Option<u32>, group: &Option<Text<'_>>| Wish {
        pool: pool.to_string(),
        holder: holder.to_string(),
        units: units.unwrap_or(1),
        group: group.as_deref().map(str::to_owned),
        hold_ms: None,
    };
    let named = |pool, holder, group| Named { pool: Some(pool), holder: Some(holder), group };
    match request {
        PoolRequest::Hold(Hold { pool, holder, units, group, hold_ms }) => {
            let wish = Wish { hold_ms, ..wish(&pool, &holder, units, &group) };
            (PoolOperation::Hold(wish), named(pool, holder, group))
        }
        PoolRequest::Take(Take { pool, holder, units, group }) => {
            (PoolOperation::Take(wish(&pool, &holder, units, &group)), named(pool, holder, group))
        }
        PoolRequest::Join(Take { pool, holder, units, group }) => {
            (PoolOperation::Join(wish(&pool, &holder, units, &group)), named(pool, holder, group))
        }
        PoolRequest::Leave(Leave { pool, holder }) => {
            let operation = PoolOperation::Leave { pool: pool.to_string(), holder: holder.to_string() };
            (operation, named(pool, holder, None))
        }
        PoolRequest::Confirm(grant) => confirm(grant.id),
        PoolRequest::Release(grant) => release(grant.id),
        PoolRequest::Extend(extended) => extend(extended.id, ExtendWish { hold_ms: extended.hold_ms }),
        PoolRequest::Swap(Swap { id, pool, units, group, when_offered }) => {
            let swap = command::Swap {
                give: id.into(),
                pool: pool.to_string(),
                units,
                group: group.as_deref().map(str::to_owned),
                when_offered: when_offered.unwrap_or(false),
            };
            (PoolOperation::Swap(swap), Named { pool: Some(pool), holder: None, group })
        }
    }
}

/// A transaction's condition.
pub(super) fn condition(condition: &Condition<'_>) -> command::Condition {
    let pools = |pools: &[Text<'_>]| pools.iter().map(|pool| pool.to_string()).collect();
    match condition {
        Condition::PoolVersion(is) => {
            command::Condition::PoolVersion { pool: is.pool.to_string(), version: is.version }
        }
        Condition::HasAll(has) => {
            command::Condition::HasAll { holder: has.holder.to_string(), pools: pools(&has.pools) }
        }
        Condition::HasNone(has) => {
            command::Condition::HasNone { holder: has.holder.to_string(), pools: pools(&has.pools) }
        }
        Condition::UnitsBelow(below) => command::Condition::UnitsBelow {
            holder: below.holder.to_string(),
            place: below.place.as_deref().map(str::to_owned),
            units: below.units,
        },
        Condition::JobIs(is) => command::Condition::Job { id: is.id.into(), state: is.state.into() },
    }
}

/// What a transaction's request said, for its answer to say again.
#[derive(Debug, Default)]
pub struct Said<'a> {
    /// For each operation.
    pub(super) operations: Vec<SaidOf<'a>>,
    /// Its conditions.
    pub(super) conditions: Vec<Condition<'a>>,
}

/// What one operation said.
#[derive(Debug)]
pub(super) enum SaidOf<'a> {
    /// The queue, if it enqueues.
    Job(Option<String>),
    /// A pool and a holder.
    Pool(Named<'a>),
}

/// What the operations of a transaction did.
pub fn transaction(said: &Said<'_>, transacted: Transacted) -> TransactionAnswer {
    let Transacted { items, grants } = transacted;
    let mut grants = grants.into_iter();
    let result = |(said, item): (&SaidOf<'_>, Item)| {
        let grant = grants.next().flatten();
        let queue = match said {
            SaidOf::Job(queue) => queue.clone(),
            SaidOf::Pool(_) => None,
        };
        match item {
            Item::Is { id, state, .. } => Some(OperationResult::Job(JobResult {
                id: id.into(),
                queue,
                state: state.into(),
                duplicate: false,
            })),
            Item::Duplicate { id, state } => Some(OperationResult::Job(JobResult {
                id: id.into(),
                queue,
                state: state.into(),
                duplicate: true,
            })),
            Item::Pool(item) => {
                let nothing = Named::default();
                let named = if let SaidOf::Pool(named) = said { named } else { &nothing };
                Some(OperationResult::from(answer(named, item, grant.as_ref())))
            }
            // One that is refused refuses all, and then there is no list.
            Item::Refused(_) => None,
        }
    };
    TransactionAnswer { results: said.operations.iter().zip(items).filter_map(result).collect() }
}

/// The refusal for a transaction that brought no answer: as [`call_error`], and a condition about pools names the one.
pub fn transaction_error(error: &CallError, said: &Said<'_>, now: Time) -> Refusal {
    let CallError::ConditionRefused { condition, refusal: outcome::Refusal::Pool(refused), .. } = *error
    else {
        return call_error(error, now);
    };
    let pools = match said.conditions.get(condition as usize) {
        Some(Condition::HasAll(has) | Condition::HasNone(has)) => &*has.pools,
        _ => &[],
    };
    let refusal = match (refused.why, pools.get(refused.value as usize)) {
        (Why::HasPool, Some(pool)) => Refusal {
            value: Some(String::from(pool.clone()).into()),
            detail: format!("The holder has units of {pool}."),
            ..pool_refusal(refused)
        },
        (Why::LacksPool, Some(pool)) => Refusal {
            value: Some(String::from(pool.clone()).into()),
            detail: format!("The holder has no units of {pool}."),
            ..pool_refusal(refused)
        },
        (Why::PoolNotFound, Some(pool)) => Refusal {
            value: Some(String::from(pool.clone()).into()),
            detail: format!("There is no pool {pool}."),
            ..pool_refusal(refused)
        },
        _ => pool_refusal(refused),
    };
    refusal.of_condition(condition)
}

/// The code of a reason.
fn code(why: Why) -> Code {
    match why {
        // A reason that only a newer program knows, out of a log that it wrote; and what is no reason of a pool's.
        Why::Unknown | Why::Elsewhere => Code::Unknown,
        Why::PoolNotFound => Code::PoolNotFound,
        Why::GrantUnknown => Code::GrantUnknown,
        Why::HoldLapsed => Code::HoldLapsed,
        Why::GrantEnded => Code::GrantEnded,
        Why::NotHeld => Code::NotHeld,
        Why::NotOpen => Code::NotOpen,
        Why::Closed => Code::Closed,
        Why::SoldOut => Code::SoldOut,
        Why::LimitReached => Code::LimitReached,
        Why::QuotaFull => Code::QuotaFull,
        Why::WaitlistFull => Code::WaitlistFull,
        Why::WaitlistOff => Code::WaitlistOff,
        Why::BelowGranted | Why::QuotaBelowGranted => Code::BelowGranted,
        Why::PoolInUse => Code::PoolInUse,
        Why::GroupUnknown => Code::GroupUnknown,
        Why::NotWaiting => Code::NotWaiting,
        Why::SamePool => Code::SamePool,
        Why::TooManyPools => Code::TooManyPools,
        Why::TooManyHolders => Code::TooManyHolders,
        Why::TooManyGrants => Code::TooManyGrants,
        Why::HasPool => Code::HasPool,
        Why::LacksPool => Code::LacksPool,
        Why::UnitsReached => Code::UnitsReached,
        Why::VersionChanged => Code::VersionChanged,
        Why::JobStateChanged => Code::JobStateChanged,
        Why::NeverOpen => Code::NeverOpen,
        Why::AlreadyWaiting => Code::AlreadyWaiting,
        Why::TooFarAhead => Code::TooFarAhead,
        Why::NeverFits => Code::NeverFits,
        Why::IsOffer => Code::IsOffer,
    }
}

/// When asking again makes sense where a shard has as many pools, holders or grants as it can, in ms: room comes when somebody gives
/// something back, which may be long.
const POOLS_FULL_RETRY_AFTER_MS: u64 = 60_000;

/// The refusal of the rules about a pool, with its sentence.
pub(super) fn pool_refusal(refused: PoolRefusal) -> Refusal {
    let PoolRefusal { why, version, value } = refused;
    let moment = Timestamp::from_unix_ms(value);
    let number = serde_json::Value::from(value);
    let mut field = None;
    let (detail, value) = match why {
        Why::Unknown => ("Why is not known here; a newer server would know.".to_owned(), None),
        Why::PoolNotFound => ("There is no such pool.".to_owned(), None),
        Why::GrantUnknown => ("There is no such grant, or it ended long ago.".to_owned(), None),
        Why::HoldLapsed => ("The hold's deadline came before.".to_owned(), None),
        Why::GrantEnded => {
            let end = i32::try_from(value).ok().and_then(|value| GrantEnd::try_from(value).ok());
            let word = end.map(|end| GrantState::from(end).as_str());
            (format!("The grant is over: {}.", word.unwrap_or("ended")), word.map(Into::into))
        }
        Why::NotHeld => ("The grant is taken, not held.".to_owned(), None),
        Why::IsOffer => {
            let detail =
                format!("The grant is an offer until {moment}: it is confirmed or declined, not extended.");
            (detail, Some(moment.to_string().into()))
        }
        Why::NotOpen => (format!("The pool opens at {moment}."), None),
        Why::Closed => (format!("The pool is closed since {moment}."), Some(moment.to_string().into())),
        Why::SoldOut => {
            let detail = match value {
                0 => "No unit is free.".to_owned(),
                free => format!("Units free: {free}; too few, or kept for those who wait in line."),
            };
            (detail, Some(number))
        }
        Why::LimitReached => (
            format!("The holder has, or waits for, as many units as one may; the limit is {value}."),
            Some(number),
        ),
        Why::QuotaFull => {
            (format!("The group has as many units as it may; its quota is {value}."), Some(number))
        }
        Why::WaitlistFull => (format!("As many holders wait as may; the bound is {value}."), Some(number)),
        Why::WaitlistOff => ("The pool has no line to wait in.".to_owned(), None),
        Why::BelowGranted => (format!("Units granted: {value}; the capacity cannot be less."), Some(number)),
        Why::QuotaBelowGranted => {
            let (quota, units) = (value >> 32, value & u64::from(u32::MAX));
            field = Some(format!("quotas[{quota}].units_max"));
            let detail = format!("Units its group has: {units}; `quotas[{quota}].units_max` cannot be less.");
            (detail, Some(units.into()))
        }
        Why::PoolInUse => {
            let detail =
                format!("Somebody has units of the pool, or waits in its line; units granted: {value}.");
            (detail, Some(number))
        }
        Why::GroupUnknown => ("The pool has no quota for this group.".to_owned(), None),
        Why::NotWaiting => ("The holder does not wait in this line.".to_owned(), None),
        Why::SamePool => ("A grant cannot be given for another one of its own pool.".to_owned(), None),
        Why::TooManyPools => (format!("The shard has the {value} pools that it can."), None),
        Why::TooManyHolders => {
            let detail = format!("The shard has the {value} holders with grants, or in a line, that it can.");
            (detail, None)
        }
        Why::TooManyGrants => {
            (format!("The shard has the {value} grants, or holders in line, that it can."), None)
        }
        Why::HasPool => ("The holder has units of one of the pools.".to_owned(), Some(number)),
        Why::LacksPool => ("The holder has no units of one of the pools.".to_owned(), Some(number)),
        Why::UnitsReached => (format!("Units the holder has: {value}."), Some(number)),
        Why::VersionChanged if version == 0 => ("There is no such pool.".to_owned(), None),
        Why::VersionChanged => (format!("The pool is at version {version}."), None),
        Why::JobStateChanged => {
            let is = CoreJobState::ALL.iter().find(|state| **state as u64 == value);
            let word = is.map(|state| JobState::from(*state).as_str());
            (format!("The job is {}.", word.unwrap_or("in another state")), word.map(Into::into))
        }
        Why::NeverOpen => ("`closes_at` is not after `opens_at`.".to_owned(), None),
        Why::AlreadyWaiting => {
            let detail =
                "The holder waits in this line for another purpose, or with this grant in another line.";
            (detail.to_owned(), Some(number))
        }
        Why::TooFarAhead => ("`opens_at` or `closes_at` is further ahead than 366 days.".to_owned(), None),
        Why::NeverFits => {
            (format!("There are never more units than {value} for this wish to wait for."), Some(number))
        }
        Why::Elsewhere => {
            let code = refusal(outcome::Refusal::from_number(value as u32), Time(0)).code;
            return Refusal::new(code, code.title());
        }
    };
    let refusal = Refusal {
        field,
        value,
        version: (version > 0).then_some(version),
        opens_at: (why == Why::NotOpen).then_some(moment),
        ..Refusal::new(code(why), detail)
    };
    if why.says_not_now() { refusal.with_retry_after_ms(POOLS_FULL_RETRY_AFTER_MS) } else { refusal }
}

/// What became of one step, or why it was refused.
pub fn result(
    named: &Named<'_>,
    item: Item,
    grant: Option<&GrantView>,
    now: Time,
) -> Result<PoolAnswer, Refused> {
    let refused = match item {
        Item::Pool(item) => return Ok(answer(named, item, grant)),
        Item::Refused(refused) => refused,
        // What an earlier request with this key did to a job.
        Item::Is { .. } | Item::Duplicate { .. } => outcome::Refusal::IdempotencyMismatch,
    };
    Err(Box::new(refusal(refused, now)))
}

/// The same for an item of a list.
pub fn item_result(named: &Named<'_>, item: Item, grant: Option<&GrantView>, now: Time) -> PoolResult {
    result(named, item, grant, now)
        .map_or_else(|refused| PoolResult::Refused { error: *refused }, PoolResult::from)
}

/// Writes what [`item_result`] says.
pub fn write_item_result(
    out: &mut Vec<u8>,
    named: &Named<'_>,
    item: Item,
    grant: Option<&GrantView>,
    now: Time,
) {
    let parts = match item {
        Item::Pool(item) => parts(named, item, grant),
        _ => None,
    };
    match parts {
        Some(parts) => parts.write(out),
        None => match item_result(named, item, grant, now) {
            PoolResult::Refused { error } => write::refused_item(out, None, &error),
            other => {
                serde_json::to_writer(out, &other).expect("an answer is JSON, and a Vec always takes it")
            }
        },
    }
}

fn answer(named: &Named<'_>, item: PoolItem, grant: Option<&GrantView>) -> PoolAnswer {
    let text = |text: &Option<Text<'_>>| text.as_deref().unwrap_or_default().to_owned();
    let waiting = |state, number, ahead, version| Waiting {
        pool: text(&named.pool),
        holder: named.holder.as_deref().or(grant.map(|grant| &*grant.holder)).unwrap_or_default().to_owned(),
        state,
        number,
        ahead,
        units: None,
        group: None,
        joined_at: None,
        gives: None,
        version: Some(version),
    };
    match item {
        PoolItem::Waits { number, ahead, version } => {
            PoolAnswer::Waiting(waiting(WaitingState::Waiting, number, ahead, version))
        }
        PoolItem::Left { number, version } => {
            PoolAnswer::Waiting(waiting(WaitingState::Left, number, None, version))
        }
        PoolItem::Grant { .. } | PoolItem::Ended { .. } => {
            let parts = parts(named, item, grant).expect("it is about a grant");
            PoolAnswer::Grant(parts.to_grant())
        }
    }
}

/// A grant as a step has left it; none if the step was about a line.
fn parts<'a>(named: &'a Named<'_>, item: PoolItem, grant: Option<&'a GrantView>) -> Option<GrantParts<'a>> {
    let (id, state, units, granted_at, (expires_at, extendable_until), version) = match item {
        PoolItem::Grant { id, state, units, granted_at, expires_at, extendable_until, version } => {
            (id, GrantState::from(state), units, granted_at, (expires_at, extendable_until), version)
        }
        PoolItem::Ended { id, end, units, granted_at, version } => {
            (id, GrantState::from(end), units, granted_at, (None, None), version)
        }
        PoolItem::Waits { .. } | PoolItem::Left { .. } => return None,
    };
    // More is said only while the grant is as the step left it: an answer is not to change when it is repeated.
    let as_left = grant.filter(|grant| grant.state.map(GrantState::from) == Some(state));
    let of_request = |text: &'a Option<Text<'_>>| text.as_deref();
    Some(GrantParts {
        id: id.into(),
        pool: of_request(&named.pool).or(grant.map(|grant| &*grant.pool)).unwrap_or_default(),
        holder: of_request(&named.holder).or(grant.map(|grant| &*grant.holder)).unwrap_or_default(),
        units,
        group: of_request(&named.group).or(as_left.and_then(|grant| grant.group.as_deref())),
        state,
        granted_at: granted_at.map(Into::into),
        expires_at: expires_at.map(Into::into),
        extendable_until: extendable_until.map(Into::into),
        offered: as_left.is_some_and(|grant| grant.offered),
        gives: as_left.and_then(|grant| grant.gives).map(Into::into),
        offer_job: as_left.and_then(|grant| grant.offer_job).map(Into::into),
        version: Some(version),
    })
}

/// Everything about one grant, as it is.
pub fn grant(grant: &GrantView) -> crate::pool::grant::Grant {
    shown_grant(grant).to_grant()
}

fn shown_grant(grant: &GrantView) -> GrantParts<'_> {
    let end = grant.end.map_or(GrantState::Released, GrantState::from);
    GrantParts {
        id: grant.id.into(),
        pool: &grant.pool,
        holder: &grant.holder,
        units: grant.units,
        group: grant.group.as_deref(),
        state: grant.state.map_or(end, GrantState::from),
        granted_at: Some(grant.granted_at.into()),
        expires_at: grant.expires_at.map(Into::into),
        extendable_until: grant.extendable_until.map(Into::into),
        offered: grant.offered,
        gives: grant.gives.map(Into::into),
        offer_job: grant.offer_job.map(Into::into),
        version: None,
    }
}

/// How a pool stands, as it was seen.
pub fn pool_seen(seen: &PoolSeen) -> Pool {
    pool(&seen.view, seen.as_of)
}

/// How a pool stands.
pub fn pool(view: &PoolView, as_of: Time) -> Pool {
    Pool {
        name: view.name.to_string(),
        state: match (view.opened, view.closed) {
            (_, true) => PoolState::Closed,
            (true, false) => PoolState::Open,
            (false, false) => PoolState::Upcoming,
        },
        free: view.free(),
        held: view.held,
        taken: view.taken,
        waiting: view.waiting,
        groups: groups(view),
        config: shown_config(&view.config),
        version: view.version,
        commitment: view.commitment.map(hex),
        seed: view.seed.map(hex),
        as_of: as_of.into(),
    }
}

/// Groups with a quota, in its order, and then those that have units without one.
fn groups(view: &PoolView) -> Vec<PoolGroup> {
    let units_of =
        |group: &str| view.groups.iter().find(|(name, _)| **name == *group).map_or(0, |(_, units)| *units);
    let with_quota = view.config.quotas.iter().map(|quota| PoolGroup {
        group: quota.group.clone(),
        units: units_of(&quota.group),
        units_max: Some(quota.units_max),
    });
    let without = view.groups.iter().filter(|(name, units)| *units > 0 && view.config.quota(name).is_none());
    let without =
        without.map(|(name, units)| PoolGroup { group: name.to_string(), units: *units, units_max: None });
    with_quota.chain(without).collect()
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The rules' word for a state that a grant is in.
pub fn standing(state: GrantState) -> Option<pool::GrantState> {
    match state {
        GrantState::Held => Some(pool::GrantState::Held),
        GrantState::Taken => Some(pool::GrantState::Taken),
        GrantState::Released
        | GrantState::Declined
        | GrantState::Lapsed
        | GrantState::OfferLapsed
        | GrantState::Swapped => None,
    }
}

/// A page of who has units of a pool.
pub fn grant_page(page: &view::GrantPage) -> GrantPage {
    let cursor = page.next.map(|next| format!("{next:x}"));
    GrantPage { grants: page.grants.iter().map(grant).collect(), cursor }
}

/// A page of who waits for a pool.
pub fn line_page(page: view::LinePage) -> LinePage {
    let cursor = page.next.map(|next| format!("{:x}-{:x}", next.rank, next.number));
    let waiting = |view::InLine { holder, wait }| waiting_of(&holder, wait);
    LinePage { line: page.line.into_iter().map(waiting).collect(), cursor }
}

/// The place in line of a page's cursor; the beginning if there is none.
///
/// # Errors
/// A cursor that no page has named.
pub fn line_cursor(text: Option<&str>) -> Result<LinePlace, Refused> {
    let Some(text) = text else { return Ok(LinePlace::default()) };
    let part = |part| cursor(Some(part)).ok();
    let place = text
        .split_once('-')
        .and_then(|(rank, number)| Some(LinePlace { rank: part(rank)?, number: part(number)? }));
    place.ok_or_else(|| unknown_cursor(text))
}

/// A page of at most `limit` entrants, of which one more was asked for.
pub fn entrants(mut entrants: Vec<view::Entrant>, limit: usize) -> EntrantPage {
    let next = entrants.get(limit).map(|next| format!("{:x}", next.number));
    entrants.truncate(limit);
    let entrant = |entrant: view::Entrant| Entrant {
        holder: entrant.holder.to_string(),
        number: entrant.number,
        rank: format!("{:016x}", entrant.rank),
        waiting: entrant.waiting,
    };
    EntrantPage { entrants: entrants.into_iter().map(entrant).collect(), cursor: next }
}

/// A page of what is known of a holder, of the parts that the shards know. What happened in one shard is in its order; what happened in
/// two is in the order of the moments.
pub fn holder(name: &str, HolderParts { parts, next }: HolderParts) -> HolderStory {
    let cursor =
        next.map(|HolderFrom { shard, place }| format!("{shard:x}-{:x}-{:x}", place.grant, place.pool));
    let (grants, waiting, story) = (Vec::new(), Vec::new(), Vec::new());
    let mut whole = HolderStory { holder: name.to_owned(), grants, waiting, story, cursor };
    for (shard, part) in parts {
        whole.grants.extend(part.grants.iter().map(grant));
        whole.waiting.extend(part.waiting.into_iter().map(|wait| waiting_of(name, wait)));
        whole.story.extend(part.story.into_iter().map(|entry| story_entry(shard, entry)));
    }
    whole.waiting.sort_by(|a, b| a.pool.cmp(&b.pool));
    // Stable: within a shard moments never go back.
    whole.story.sort_by_key(|entry| entry.at);
    whole
}

/// Where the page of a holder begins that a cursor names; the first if there is none.
///
/// # Errors
/// A cursor that no page has named.
pub fn holder_cursor(text: Option<&str>) -> Result<HolderFrom, Refused> {
    let Some(text) = text else { return Ok(HolderFrom::default()) };
    let mut parts = text.split('-').map(|part| cursor(Some(part)).ok());
    let mut part = || parts.next().flatten();
    let from = part().zip(part()).zip(part()).and_then(|((shard, grant), pool)| {
        let place = HolderPlace { grant, pool: pool.try_into().ok()? };
        Some(HolderFrom { shard: shard.try_into().ok()?, place })
    });
    from.filter(|_| parts.next().is_none()).ok_or_else(|| unknown_cursor(text))
}

/// How many grants, and places in line, a page of a holder has at most: as many as can be, if nothing is said.
pub fn holder_page(limit: Option<u32>) -> usize {
    limit.map_or(*limits::PAGE_JOBS.end() as usize, |limit| limit as usize)
}

fn waiting_of(holder: &str, wait: view::WaitView) -> Waiting {
    Waiting {
        pool: wait.pool.to_string(),
        holder: holder.to_owned(),
        state: WaitingState::Waiting,
        number: wait.number,
        ahead: wait.ahead,
        units: Some(wait.units),
        group: wait.group.as_deref().map(str::to_owned),
        joined_at: Some(wait.joined_at.into()),
        gives: wait.gives.map(Into::into),
        version: None,
    }
}

fn story_entry(shard: u16, entry: view::StoryEntry) -> StoryEntry {
    use view::Happened as Core;
    let value = entry.value;
    let (mut expires_at, mut asked, mut error) = (None, None, None);
    let mut joining = None;
    let what = match entry.happened {
        Core::Held(until) => {
            expires_at = Some(until.into());
            Happened::Held
        }
        Core::Taken => Happened::Taken,
        Core::Offered(until) => {
            expires_at = Some(until.into());
            Happened::Offered
        }
        Core::Confirmed => Happened::Confirmed,
        Core::Ended(GrantEnd::Released) => Happened::Released,
        Core::Ended(GrantEnd::Declined) => Happened::Declined,
        Core::Ended(GrantEnd::Lapsed) => Happened::Lapsed,
        Core::Ended(GrantEnd::OfferLapsed) => Happened::OfferLapsed,
        Core::Ended(GrantEnd::Swapped) => Happened::Swapped,
        Core::Joined | Core::Left | Core::DroppedFromLine | Core::LineClosed => {
            joining = Some(value).filter(|number| *number > 0);
            match entry.happened {
                Core::Joined => Happened::Joined,
                Core::Left => Happened::Left,
                Core::LineClosed => Happened::LineClosed,
                _ => Happened::DroppedFromLine,
            }
        }
        Core::Refused(verb, why) => {
            asked = self::asked(verb);
            error = Some(pool_refusal(PoolRefusal { why, version: entry.version, value }));
            Happened::Refused
        }
        Core::Enqueued => Happened::Enqueued,
        Core::Completed => Happened::Completed,
    };
    let of_shard = |sequence: u64| JobId { shard, sequence };
    StoryEntry {
        at: entry.at.into(),
        what,
        pool: Some(entry.pool.to_string()).filter(|pool| !pool.is_empty()),
        grant: (entry.grant > 0).then_some(GrantId { shard, sequence: entry.grant }),
        units: (entry.units > 0).then_some(entry.units),
        expires_at,
        joining,
        asked,
        error,
        jobs: entry.jobs.into_iter().map(of_shard).collect(),
        version: (entry.version > 0).then_some(entry.version),
        number: entry.number,
    }
}

/// What was asked; none for what only a newer program asks.
fn asked(verb: Verb) -> Option<Asked> {
    match verb {
        Verb::None => None,
        Verb::Hold => Some(Asked::Hold),
        Verb::Take => Some(Asked::Take),
        Verb::Confirm => Some(Asked::Confirm),
        Verb::Extend => Some(Asked::Extend),
        Verb::Release => Some(Asked::Release),
        Verb::Swap => Some(Asked::Swap),
        Verb::Join => Some(Asked::Join),
        Verb::Leave => Some(Asked::Leave),
        Verb::Condition => Some(Asked::Condition),
        Verb::Transaction => Some(Asked::Transaction),
    }
}

/// What the wire lets through, the core can keep.
const _: () = {
    use crate::limits as wire;
    use core_limits as kept;
    assert!(wire::LIST_ITEMS_MAX == kept::POOL_OPERATIONS_MAX);
    assert!(*wire::CAPACITY.end() == kept::CAPACITY_MAX as u64);
    assert!(*wire::UNITS.end() == kept::UNITS_MAX as u64);
    assert!(*wire::HOLD_MS.start() == kept::HOLD_MS_MIN && *wire::HOLD_MS.end() == kept::HOLD_MS_MAX);
    assert!(wire::HOLD_MS_DEFAULT == kept::HOLD_MS_DEFAULT);
    assert!(wire::HOLD_MS_MAX_DEFAULT == kept::HOLD_MS_MAX_DEFAULT);
    assert!(*wire::WAITLIST.end() == kept::WAITLIST_MAX as u64);
    assert!(*wire::QUOTAS.end() == kept::QUOTAS_MAX as u64);
    assert!(wire::ATTRIBUTES_MAX == kept::ATTRIBUTES_MAX && wire::ATTRIBUTE_BYTES_MAX == kept::ATTRIBUTE_MAX);
    assert!(*wire::CONDITIONS.end() == kept::CONDITIONS_MAX as u64);
    assert!(*wire::CONDITION_POOLS.end() == kept::CONDITION_POOLS_MAX as u64);
};
