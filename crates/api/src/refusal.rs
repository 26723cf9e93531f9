//! Refusals: every way in which the door says no, by a stable code.
//!
//! A [`Refusal`] says what is wrong with one request or one item of a list. As the answer to a whole request it
//! is a [`Problem`] (RFC 9457, `application/problem+json`); inside a list it is the item's `error`. Clients
//! decide by `code`, people read `detail`; titles, details and the set of codes may grow, a code's meaning never
//! changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Timestamp;

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Longer values are cut before they are repeated in a refusal.
const VALUE_CHARS_SHOWN: usize = 128;

/// Declares the codes with what belongs to each: its text, its HTTP status and its title.
macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// Why a request or an item was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])* $variant,)*
            /// A code that this version does not know; a newer server may say it.
            #[serde(other)]
            Unknown,
        }

        impl Code {
            /// Every code the door says.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it is written in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* Code::Unknown => "unknown" }
            }

            /// The HTTP status of an answer that consists of this refusal.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* Code::Unknown => 500 }
            }

            /// A short sentence that is the same for every refusal with this code.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* Code::Unknown => "Unknown" }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or names a field twice.
    InvalidJson = "invalid_json", 400, "The body is not valid JSON.";
    /// A field or query parameter that does not exist here.
    UnknownField = "unknown_field", 400, "There is no such field.";
    /// A field has a JSON type that it cannot have.
    WrongType = "wrong_type", 400, "A field has the wrong type.";
    /// A field that must be there is not.
    MissingField = "missing_field", 400, "A field is missing.";
    /// A field's value is out of its range or contradicts another field.
    InvalidValue = "invalid_value", 400, "A field has a value that is not allowed.";
    /// The request's body is longer than the door takes.
    BodyTooLarge = "body_too_large", 413, "The body is too large.";
    /// A payload, a result or a progress report is too long.
    PayloadTooLarge = "payload_too_large", 413, "The payload is too large.";
    /// A list has more items than one request may carry.
    TooManyItems = "too_many_items", 413, "The list has too many items.";
    /// The body, or the next piece of a stream, did not arrive in time.
    BodyTimeout = "body_timeout", 408, "The body did not arrive in time.";
    /// The body is of a media type that is not understood here.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body's media type is not supported.";
    /// Nothing is served at this path.
    NotFound = "not_found", 404, "Nothing is here.";
    /// The path exists and does not take this method; `Allow` names those it takes.
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here.";
    /// There is no job with this id, or it is no longer kept.
    JobNotFound = "job_not_found", 404, "There is no such job.";
    /// There is no queue of this name.
    QueueNotFound = "queue_not_found", 404, "There is no such queue.";
    /// The token belongs to an earlier attempt; the job is no longer this worker's.
    StaleToken = "stale_token", 409, "The token is stale.";
    /// The job is not leased by anybody.
    NotLeased = "not_leased", 409, "The job is not leased.";
    /// The job has ended and cannot be changed any more.
    JobEnded = "job_ended", 409, "The job has ended.";
    /// Another job holds the unique key.
    UniqueConflict = "unique_conflict", 409, "Another job holds the unique key.";
    /// The queue holds as many jobs as it may.
    QueueFull = "queue_full", 429, "The queue is full.";
    /// The shard holds as many jobs as it may.
    ShardFull = "shard_full", 429, "The shard is full.";
    /// More requests are waiting than the shard takes.
    InboxFull = "inbox_full", 429, "The shard is busy.";
    /// As many callers wait for something to happen as the shard keeps waiting.
    WaitersFull = "waiters_full", 429, "Too many callers wait.";
    /// The disk is nearly full; what was accepted can be finished and given back, what is new has to wait.
    DiskFull = "disk_full", 429, "The disk is nearly full.";
    /// The idempotency key was used with another body.
    IdempotencyMismatch = "idempotency_mismatch", 422, "The idempotency key belongs to another request.";
    /// The operations of a transaction concern queues or jobs of different shards.
    TransactionSpansShards = "transaction_spans_shards", 422, "The transaction spans shards.";
    /// As many idempotency keys are remembered as may be.
    IdempotencyFull = "idempotency_full", 429, "Too many idempotency keys are remembered.";
    /// Only a dead job can be edited.
    NotDead = "not_dead", 409, "The job is not dead.";
    /// There are as many queues as there may be.
    TooManyQueues = "too_many_queues", 429, "There are too many queues.";
    /// There are jobs of as many kinds as there may be.
    TooManyKinds = "too_many_kinds", 429, "There are too many kinds.";
    /// There is no pool of this name.
    PoolNotFound = "pool_not_found", 404, "There is no such pool.";
    /// There is no such grant, or it ended long ago.
    GrantUnknown = "grant_unknown", 404, "There is no such grant.";
    /// The hold's deadline came before.
    HoldLapsed = "hold_lapsed", 409, "The hold has lapsed.";
    /// The grant was given back, or swapped.
    GrantEnded = "grant_ended", 409, "The grant has ended.";
    /// The grant is taken, not held.
    NotHeld = "not_held", 409, "The grant is not held.";
    /// The grant is an offer that a job tells of, or that another grant is promised for; `value` says until when.
    IsOffer = "is_offer", 409, "The grant is an offer.";
    /// The pool is not open yet; `opens_at` says when it is.
    NotOpen = "not_open", 409, "The pool is not open yet.";
    /// The pool is closed; `value` says since when.
    Closed = "closed", 409, "The pool is closed.";
    /// There are not as many units that nobody has, or somebody in line is about to be offered of them; `value` is how many nobody has.
    SoldOut = "sold_out", 409, "The pool is sold out.";
    /// The holder has, or waits for, as many units as one may; `value` is the limit.
    LimitReached = "limit_reached", 409, "The holder has as many units as one may.";
    /// The holder's group has as many units as it may; `value` is its quota.
    QuotaFull = "quota_full", 409, "The group has as many units as it may.";
    /// As many holders wait as may; `value` is how many may.
    WaitlistFull = "waitlist_full", 409, "The waitlist is full.";
    /// The pool has no waitlist.
    WaitlistOff = "waitlist_off", 409, "The pool has no waitlist.";
    /// More units are granted than the capacity would have, or a group's quota; `value` is how many are, `field` names the quota.
    BelowGranted = "below_granted", 409, "More units are granted than that.";
    /// Somebody has units of the pool or waits in its line; `value` is how many units are granted.
    PoolInUse = "pool_in_use", 409, "The pool is in use.";
    /// The pool has no quota for this group.
    GroupUnknown = "group_unknown", 409, "The pool has no such group.";
    /// The holder does not wait in this line.
    NotWaiting = "not_waiting", 409, "The holder does not wait.";
    /// The holder waits in this line for another purpose, or with this grant in another line; `value` is the number of that joining.
    AlreadyWaiting = "already_waiting", 409, "The holder waits already.";
    /// It is more than the pool, or the quota of the group, has in all; `value` is how many units that is.
    NeverFits = "never_fits", 409, "There will never be so many units.";
    /// A grant cannot be swapped within its own pool.
    SamePool = "same_pool", 409, "It is the same pool.";
    /// There are as many pools as there may be.
    TooManyPools = "too_many_pools", 429, "There are too many pools.";
    /// As many holders are known as may be.
    TooManyHolders = "too_many_holders", 429, "There are too many holders.";
    /// There are as many grants, or holders in line, as there may be.
    TooManyGrants = "too_many_grants", 429, "There are too many grants.";
    /// A condition does not hold: the holder has units of a pool it must not; `value` names it.
    HasPool = "has_pool", 409, "The holder has units of the pool.";
    /// A condition does not hold: the holder has no units of a pool it must; `value` names it.
    LacksPool = "lacks_pool", 409, "The holder has no units of the pool.";
    /// A condition does not hold: the holder has too many units; `value` is how many.
    UnitsReached = "units_reached", 409, "The holder has too many units.";
    /// A condition does not hold: the pool has changed; `version` is the one it has.
    VersionChanged = "version_changed", 409, "The pool has changed.";
    /// A condition does not hold: the job is in another state; `value` is that.
    JobStateChanged = "job_state_changed", 409, "The job is in another state.";
    /// The pool would close before it opens.
    NeverOpen = "never_open", 400, "The pool would never be open.";
    /// A moment is further ahead than 366 days.
    TooFarAhead = "too_far_ahead", 400, "The time is too far ahead.";
    /// `expires_at` is not after now, or not after `run_at`.
    AlreadyExpired = "already_expired", 400, "The job could never start.";
    /// The server has as many connections as it takes.
    TooManyConnections = "too_many_connections", 503, "There are too many connections.";
    /// Whether the request took effect is not known; ask again with the same idempotency key.
    OutcomeUnknown = "outcome_unknown", 503, "The outcome is unknown.";
    /// The shard starts over after its log failed, or has given up; nothing was done.
    Unavailable = "unavailable", 503, "The shard is not serving.";
    /// The server is stopping; ask another one, or this one later.
    ShuttingDown = "shutting_down", 503, "The server is shutting down.";
    /// The server is up and cannot write; the detail says why.
    NotReady = "not_ready", 503, "The server is not ready.";
    /// A fault of the server's own; it has been logged.
    Internal = "internal", 500, "The server made a mistake.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request or one item of a list was refused. As an item's answer it is written as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Refusal {
    /// What to decide by.
    pub code: Code,
    /// What happened, in a sentence for people.
    pub detail: String,
    /// The path of the field that is meant, for example `retry.max_attempts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The value that was found there; long ones are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub value: Option<Value>,
    /// What would have been taken, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// The known name that is nearest to an unknown one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// Milliseconds after which asking again makes sense. `Retry-After` says the same in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Which operation of a transaction is refused, from 0, where one is to blame. None of the others was done either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<u32>,
    /// Which condition of a transaction does not hold, from 0, where one is to blame. Nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<u32>,
    /// The pool's version that was seen when it was refused: whoever knows a later one may ask again with better hope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// With `not_open`: when the pool opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
}

/// A refusal on the cold side of a `Result`: boxed, so that it costs the good side nothing.
pub type Refused = Box<Refusal>;

impl Refusal {
    /// A refusal with nothing but a code and a sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            field: None,
            value: None,
            allowed: None,
            nearest: None,
            retry_after_ms: None,
            operation: None,
            condition: None,
            version: None,
            opens_at: None,
        }
    }

    /// The value of `field` cannot be; `allowed` says what can.
    pub fn invalid_value(field: &str, value: impl Into<Value>, allowed: impl Into<String>) -> Self {
        let allowed = allowed.into();
        let value = shown(value.into());
        let detail = format!("`{field}` cannot be {value}; allowed: {allowed}.");
        Self::new(Code::InvalidValue, detail).at(field).with_value(value).with_allowed(allowed)
    }

    /// `field` contradicts another field; `detail` says which and why.
    pub fn contradiction(field: &str, detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidValue, detail).at(field)
    }

    /// `field` must be there and is not.
    pub fn missing_field(field: &str) -> Self {
        Self::new(Code::MissingField, format!("`{field}` is missing.")).at(field)
    }

    /// There is no `field`; `known` are the names there are.
    pub fn unknown_field<'a>(field: &str, known: impl Iterator<Item = &'a str> + Clone) -> Self {
        let allowed = known.clone().collect::<Vec<_>>().join(", ");
        let name = field.rsplit('.').next().unwrap_or(field);
        let nearest = crate::nearest::nearest(name, known).map(str::to_owned);
        let detail = match &nearest {
            Some(nearest) => format!("There is no field `{field}`; did you mean `{nearest}`?"),
            None => format!("There is no field `{field}`; there are: {allowed}."),
        };
        Self { nearest, ..Self::new(Code::UnknownField, detail).at(field).with_allowed(allowed) }
    }

    /// `field` holds `found`, which is of the wrong JSON type; `allowed` says the right one.
    pub fn wrong_type(field: &str, found: &str, value: impl Into<Value>, allowed: &str) -> Self {
        let place = if field.is_empty() { "The body".to_owned() } else { format!("`{field}`") };
        Self::new(Code::WrongType, format!("{place} must be {allowed}, not {found}."))
            .at(field)
            .with_value(shown(value.into()))
            .with_allowed(allowed)
    }

    /// `field` is `bytes` long, more than the `bytes_max` it may be.
    pub fn payload_too_large(field: &str, bytes: usize, bytes_max: usize) -> Self {
        let detail = format!("`{field}` has {bytes} bytes; at most {bytes_max} are taken.");
        Self::new(Code::PayloadTooLarge, detail).at(field).with_allowed(format!("at most {bytes_max} bytes"))
    }

    /// The list in `field` has `items` items, more than the `items_max` it may have.
    pub fn too_many_items(field: &str, items: usize, items_max: usize) -> Self {
        let place = if field.is_empty() { "The list".to_owned() } else { format!("`{field}`") };
        Self::new(Code::TooManyItems, format!("{place} has {items} items; at most {items_max} are taken."))
            .at(field)
            .with_allowed(format!("at most {items_max} items"))
    }

    /// The refusal of a request that is a part of a larger one: its fields are below `part`.
    pub fn below(self, part: &str) -> Self {
        let Some(field) = self.field else { return self };
        let path = format!("{part}.{field}");
        let detail = self.detail.replacen(&format!("`{field}`"), &format!("`{path}`"), 1);
        Self { detail, field: Some(path), ..self }
    }

    /// The refusal of a whole transaction for the sake of one of its operations.
    pub fn of_operation(self, operation: u32) -> Self {
        let detail = format!("`do[{operation}]` is refused, and nothing was done. {}", self.detail);
        Self { detail, operation: Some(operation), ..self }
    }

    /// The refusal of a whole transaction for the sake of one of its conditions.
    pub fn of_condition(self, condition: u32) -> Self {
        let detail = format!("`if[{condition}]` does not hold, and nothing was done. {}", self.detail);
        Self { detail, condition: Some(condition), ..self }
    }

    /// The refusal with the time after which asking again makes sense.
    pub fn with_retry_after_ms(self, retry_after_ms: u64) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..self }
    }

    /// The value of the `Retry-After` header: whole seconds, rounded up, at least one.
    ///
    /// Every 429 has one, whether or not a time was named.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self.retry_after_ms {
            Some(ms) => Some(ms.div_ceil(1_000).max(1)),
            None => (self.code.status() == 429).then_some(1),
        }
    }

    fn at(self, field: &str) -> Self {
        Self { field: (!field.is_empty()).then(|| field.to_owned()), ..self }
    }

    fn with_value(self, value: Value) -> Self {
        Self { value: Some(value), ..self }
    }

    fn with_allowed(self, allowed: impl Into<String>) -> Self {
        Self { allowed: Some(allowed.into()), ..self }
    }
}

/// Cuts a value that is too long to be repeated.
fn shown(value: Value) -> Value {
    let text = match &value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) => return value,
    };
    match text.char_indices().nth(VALUE_CHARS_SHOWN) {
        Some((end, _)) => Value::String(format!("{}…", &text[..end])),
        None => value,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

impl std::error::Error for Refusal {}

/// A refusal as the answer to a whole request: problem details as in RFC 9457.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `/problems/` and the code: a page about it.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short sentence that is the same for every problem of this type.
    pub title: String,
    /// The HTTP status, repeated for readers who only have the body.
    pub status: u16,
    /// What happened and where.
    #[serde(flatten)]
    pub refusal: Refusal,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self {
            kind: format!("/problems/{}", refusal.code),
            title: refusal.code.title().to_owned(),
            status: refusal.code.status(),
            refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_code_is_written_as_it_says() {
        for code in Code::ALL {
            assert_eq!(json!(code), json!(code.as_str()));
            assert_eq!(serde_json::from_value::<Code>(json!(code.as_str())).unwrap(), *code);
            assert!((400..=599).contains(&code.status()), "{code}");
        }
    }

    #[test]
    fn a_code_of_a_newer_server_is_read_as_unknown() {
        assert_eq!(serde_json::from_value::<Code>(json!("moon_too_full")).unwrap(), Code::Unknown);
    }

    #[test]
    fn a_problem_is_the_refusal_with_its_type_title_and_status() {
        let refusal = Refusal::invalid_value("priority", 12, "0 to 9");
        let problem = Problem::from(refusal);
        let written = json!(problem);
        assert_eq!(
            written,
            json!({
                "type": "/problems/invalid_value",
                "title": "A field has a value that is not allowed.",
                "status": 400,
                "code": "invalid_value",
                "detail": "`priority` cannot be 12; allowed: 0 to 9.",
                "field": "priority",
                "value": 12,
                "allowed": "0 to 9",
            })
        );
        assert_eq!(serde_json::from_value::<Problem>(written).unwrap(), problem);
    }

    #[test]
    fn a_429_always_says_when_to_come_back() {
        assert_eq!(Refusal::new(Code::QueueFull, "").retry_after_s(), Some(1));
        assert_eq!(Refusal::new(Code::QueueFull, "").with_retry_after_ms(0).retry_after_s(), Some(1));
        assert_eq!(Refusal::new(Code::QueueFull, "").with_retry_after_ms(2_001).retry_after_s(), Some(3));
        assert_eq!(Refusal::new(Code::JobNotFound, "").retry_after_s(), None);
    }

    #[test]
    fn a_long_value_is_cut_before_it_is_repeated() {
        let refusal = Refusal::invalid_value("kind", "ä".repeat(10_000), "short");
        assert!(refusal.detail.len() < 400, "{}", refusal.detail);
        assert_eq!(refusal.value.unwrap().as_str().unwrap().chars().count(), VALUE_CHARS_SHOWN + 1);
    }
}
