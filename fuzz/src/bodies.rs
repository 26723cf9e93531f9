//! What the door reads: bodies, query strings, headers, ids and times, each by the parser that its operation has.
//!
//! The first byte says which. What was read keeps its limits, becomes the engine's command without a complaint, and is written,
//! as a client would, so that it reads the same. A list is read a second time item by item: each must be good or bad as it
//! would be by itself, and bad for the same reason.

use std::fmt::Debug;

use bytes::Bytes;
use serde_json::value::RawValue;
use tidegate_api::convert::command::{self as convert, Body};
use tidegate_api::convert::pool as convert_pool;
use tidegate_api::dead::{DeleteDeadRequest, RedriveRequest};
use tidegate_api::enqueue::{EnqueueBody, NewJob};
use tidegate_api::id::{CauseId, JobId};
use tidegate_api::idempotency::read_idempotency_key;
use tidegate_api::job::EditJob;
use tidegate_api::lease::LeaseRequest;
use tidegate_api::limits;
use tidegate_api::pool::config::{PoolConfig, ResizePool};
use tidegate_api::pool::query::{GrantsQuery, PageQuery, PoolsQuery, WatchQuery};
use tidegate_api::pool::request::PoolRequest;
use tidegate_api::pool::wish::{ExtendWish, HoldWish, LeaveWish, SwapWish, TakeWish};
use tidegate_api::query::{DeadQuery, JobsQuery, WaitQuery, read_no_query};
use tidegate_api::queue::{PauseRequest, QueueConfig};
use tidegate_api::read::{Item, Wire, is_list, read, read_list, read_utf8};
use tidegate_api::refusal::Code;
use tidegate_api::settle::{Complete, Extend, Fail, Jobs, Release, read_jobs};
use tidegate_api::time::Timestamp;
use tidegate_api::transaction::TransactionRequest;
use tidegate_api::work::WorkBody;
use tidegate_engine::Enqueue;

/// Reads a text as a type, gives it on, and reads again what is written of it.
macro_rules! one {
    ($type:ty, $text:expr, $then:expr) => {
        match read::<$type>($text) {
            Ok(request) => {
                let written = serde_json::to_string(&request).expect("a request is JSON");
                let again =
                    read::<$type>(&written).unwrap_or_else(|refused| panic!("{refused:?}: {written}"));
                assert_eq!(again, request, "what was read is not what was written");
                $then(request);
            }
            Err(refusal) => refused(&refusal),
        }
    };
}

/// Reads `{"jobs": […]}` as items of a type.
macro_rules! list {
    ($type:ty, $text:expr, $then:expr) => {
        match read_jobs::<$type>($text) {
            Ok(items) => {
                same_as_alone::<$type>($text, "jobs", &items);
                let jobs: Vec<_> = items.into_iter().filter_map(Result::ok).collect();
                let written = serde_json::to_string(&Jobs { jobs: jobs.clone() }).expect("a request is JSON");
                let again = read_jobs::<$type>(&written).expect("what was written is read");
                assert_eq!(again.into_iter().map(Result::unwrap).collect::<Vec<_>>(), jobs);
                jobs.into_iter().for_each($then);
            }
            Err(refusal) => refused(&refusal),
        }
    };
}

/// Reads one of a type, or a list of it.
macro_rules! one_or_list {
    ($type:ty, $text:expr, $then:expr) => {
        match is_list($text).then(|| read_list::<$type>($text)) {
            None => one!($type, $text, $then),
            Some(Ok(items)) => {
                same_as_alone::<$type>($text, "", &items);
                let good: Vec<_> = items.into_iter().filter_map(Result::ok).collect();
                let written = serde_json::to_string(&good).expect("a request is JSON");
                let again = read_list::<$type>(&written).expect("what was written is read");
                assert_eq!(again.into_iter().map(Result::unwrap).collect::<Vec<_>>(), good);
                good.into_iter().for_each($then);
            }
            Some(Err(refusal)) => refused(&refusal),
        }
    };
}

/// How many ways in there are.
pub const WAYS: u8 = 28;

/// See the module.
pub fn check(data: &[u8]) {
    let Some((&way, body)) = data.split_first() else { return };
    if way % WAYS == 18 {
        return header(body);
    }
    let bytes = Bytes::copy_from_slice(body);
    let text = match read_utf8(&bytes) {
        Ok(text) => text,
        Err(refusal) => return refused(&refusal),
    };
    match way % WAYS {
        0 => enqueue(text, &bytes),
        1 => one!(LeaseRequest<'_>, text, |request: LeaseRequest<'_>| {
            assert!(limits::LEASE_JOBS.contains(&u64::from(request.max())));
            assert!(limits::WAIT_MS.contains(&request.wait_ms()));
            let lease = convert::lease(request);
            assert!(limits::LEASE_QUEUES.contains(&(lease.queues.len() as u64)));
        }),
        2 => list!(Complete<'_>, text, |item: Complete<'_>| {
            let result = item.result.as_ref().map_or(0, |result| result.text().len());
            assert!(result <= limits::RESULT_BYTES_MAX);
            let _ = convert::complete(item, Body::Shared(&bytes));
        }),
        3 => list!(Fail<'_>, text, |item: Fail<'_>| {
            let fail = convert::fail(item);
            assert!(fail.message.len() <= limits::ERROR_MESSAGE_BYTES_KEPT);
        }),
        4 => list!(Extend<'_>, text, |item: Extend<'_>| {
            let extend = convert::extend(item);
            assert!(extend.progress.is_none_or(|progress| progress.len() <= limits::PROGRESS_BYTES_MAX));
        }),
        5 => list!(Release, text, |item: Release| {
            let _ = convert::release(item);
        }),
        6 => work(text),
        7 => one_transaction(text, &bytes),
        8 => one!(EditJob<'_>, text, |request: EditJob<'_>| {
            convert::edit(&request, Body::Shared(&bytes)).expect("a request that was checked");
        }),
        9 => one!(QueueConfig, text, |request: QueueConfig| {
            let config = convert::queue_config(request);
            assert!((1_000..=10_000).contains(&config.retry.factor_permille), "{config:?}");
        }),
        10 => one!(PauseRequest<'_>, text, |request| drop(convert::pause("q", request, true))),
        11 => one!(RedriveRequest<'_>, text, |request| {
            assert!(convert::redrive("q", request).filter.ids.len() <= limits::LIST_ITEMS_MAX);
        }),
        12 => one!(DeleteDeadRequest<'_>, text, |request| {
            assert!(convert::delete_dead("q", request).ids.len() <= limits::LIST_ITEMS_MAX);
        }),
        13 => query(text, JobsQuery::read, JobsQuery::write),
        14 => query(text, DeadQuery::read, DeadQuery::write),
        15 => {
            query(text, WaitQuery::read, WaitQuery::write);
            if let Err(refusal) = read_no_query(text) {
                refused(&refusal);
            }
        }
        16 => {
            parsed::<JobId>(text, true);
            parsed::<CauseId>(text, false);
            if let Ok(place) = convert::cursor(Some(text)) {
                assert_eq!(convert::cursor(Some(&format!("{place:x}"))).expect("a cursor"), place);
            }
        }
        17 => parsed::<Timestamp>(text, false),
        19 => one!(PoolConfig, text, |request: PoolConfig| {
            let config = convert_pool::pool_config(request);
            assert!(config.hold_ms <= config.hold_ms_max, "{config:?}");
        }),
        20 => one!(ResizePool, text, |_| ()),
        21 => one_or_list!(HoldWish<'_>, text, |wish: HoldWish<'_>| drop(convert_pool::hold("p", wish))),
        22 => one_or_list!(TakeWish<'_>, text, |wish: TakeWish<'_>| drop(convert_pool::take("p", wish))),
        23 => one_or_list!(LeaveWish<'_>, text, |wish: LeaveWish<'_>| drop(convert_pool::leave("p", wish))),
        24 => one!(ExtendWish, text, |_| ()),
        25 => one!(SwapWish<'_>, text, |_| ()),
        26 => one_or_list!(PoolRequest<'_>, text, |request: PoolRequest<'_>| {
            drop(convert_pool::request(request));
        }),
        _ => {
            query(text, PoolsQuery::read, PoolsQuery::write);
            query(text, WatchQuery::read, WatchQuery::write);
            query(text, GrantsQuery::read, GrantsQuery::write);
            query(text, PageQuery::read, PageQuery::write);
        }
    }
}

/// A refusal says what it must, whatever was refused.
fn refused(refusal: &tidegate_api::refusal::Refusal) {
    assert!(!refusal.detail.is_empty());
    assert!((400..500).contains(&refusal.code.status()), "{refusal:?}");
    assert!(refusal.detail.len() < 4_096, "a refusal does not repeat a body: {} bytes", refusal.detail.len());
    let value = refusal.value.as_ref().map_or(0, |value| value.to_string().len());
    assert!(value < 4_096, "a refusal does not repeat a body: {value} bytes");
    assert_ne!(refusal.code, Code::Internal);
    serde_json::to_string(refusal).expect("a refusal is JSON");
}

/// Items of a list are what they are by themselves.
fn same_as_alone<'a, T: Wire<'a> + PartialEq + Debug>(text: &'a str, list: &str, items: &[Item<T>]) {
    assert!(items.len() <= limits::LIST_ITEMS_MAX);
    let alone: Vec<&'a RawValue> = if list.is_empty() {
        serde_json::from_str(text).expect("a list was read")
    } else {
        let members: Vec<(String, &'a RawValue)> = members(text);
        let list = members.into_iter().find(|(name, _)| name == list).expect("the list was read").1;
        if list.get() == "null" {
            return;
        }
        serde_json::from_str(list.get()).expect("a list was read")
    };
    assert_eq!(alone.len(), items.len());
    for (alone, item) in alone.iter().zip(items) {
        match (read::<T>(alone.get()), item) {
            (Ok(alone), Ok(item)) => assert_eq!(&alone, item),
            (Err(alone), Err(item)) => {
                refused(&item.refusal);
                assert_eq!(*alone, item.refusal, "another reason in a list");
            }
            (alone, item) => panic!("alone it is {alone:?}, in a list {item:?}"),
        }
    }
}

/// The members of an object, in order.
fn members(text: &str) -> Vec<(String, &RawValue)> {
    struct Members<'a>(Vec<(String, &'a RawValue)>);
    impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Vec<(String, &'de RawValue)>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Self::Value, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(members)
                }
            }
            deserializer.deserialize_map(Visitor).map(Members)
        }
    }
    serde_json::from_str::<Members<'_>>(text).expect("an object was read").0
}

fn enqueue(text: &str, bytes: &Bytes) {
    let add = |batch: &mut Enqueue, job: NewJob<'_>| {
        let payload = job.payload().expect("a job that was checked");
        let len = match payload {
            tidegate_api::enqueue::NewPayload::Json(text) => text.len(),
            tidegate_api::enqueue::NewPayload::Bytes(bytes) => bytes.len(),
        };
        assert!(len <= limits::PAYLOAD_BYTES_MAX);
        convert::add_job(batch, job, Body::Shared(bytes)).expect("a job that was checked");
    };
    match EnqueueBody::read(text) {
        Ok(EnqueueBody::One(_)) => {
            let mut batch = Enqueue::default();
            one!(NewJob<'_>, text, |job| add(&mut batch, job));
            assert_eq!((batch.command.jobs.len(), batch.payloads.len()), (1, 1));
        }
        Ok(EnqueueBody::List(items)) => {
            same_as_alone(text, "", &items);
            let good: Vec<_> = items.into_iter().filter_map(Result::ok).collect();
            let written = serde_json::to_string(&good).expect("a request is JSON");
            let Ok(EnqueueBody::List(again)) = EnqueueBody::read(&written) else {
                panic!("a list was written: {written}")
            };
            assert_eq!(again.into_iter().map(Result::unwrap).collect::<Vec<_>>(), good);
            let mut batch = Enqueue::default();
            let count = good.len();
            good.into_iter().for_each(|job| add(&mut batch, job));
            assert_eq!((batch.command.jobs.len(), batch.payloads.len()), (count, count));
            assert!(batch.command.kinds.len() <= count);
        }
        Err(refusal) => refused(&refusal),
    }
}

fn work(text: &str) {
    let body = match WorkBody::read(text) {
        Ok(body) => body,
        Err(refusal) => return refused(&refusal),
    };
    if let Some(items) = &body.complete {
        same_as_alone(text, "complete", items);
    }
    if let Some(items) = &body.fail {
        same_as_alone(text, "fail", items);
    }
    if let Some(items) = &body.extend {
        same_as_alone(text, "extend", items);
    }
    if let Some(items) = &body.release {
        same_as_alone(text, "release", items);
    }
    body.lease.into_iter().for_each(|lease| drop(convert::lease(lease)));
}

fn one_transaction(text: &str, bytes: &Bytes) {
    let request = match TransactionRequest::read(text) {
        Ok(request) => request,
        Err(refusal) => return refused(&refusal),
    };
    assert!(limits::TRANSACTION_OPERATIONS.contains(&(request.operations.len() as u64)));
    let written = serde_json::to_string(&request).expect("a request is JSON");
    let again = TransactionRequest::read(&written).unwrap_or_else(|why| panic!("{why:?}: {written}"));
    assert_eq!(again, request);
    let count = request.operations.len();
    let (transaction, _said) = convert::transaction(request, Body::Shared(bytes)).expect("it was checked");
    assert_eq!((transaction.command.operations.len(), transaction.blobs.len()), (count, count));
}

fn query<T: PartialEq + Debug>(
    text: &str,
    read: impl Fn(&str) -> Result<T, tidegate_api::refusal::Refused>,
    write: impl Fn(&T) -> String,
) {
    match read(text) {
        Ok(query) => {
            let written = write(&query);
            let again = read(&written).unwrap_or_else(|why| panic!("{why:?}: {written}"));
            assert_eq!(again, query, "{written}");
        }
        Err(refusal) => refused(&refusal),
    }
}

/// A text that is read as a small value is written so that it reads the same; with `exact`, to the same text.
fn parsed<T>(text: &str, exact: bool)
where
    T: std::str::FromStr + std::fmt::Display + PartialEq + Debug,
    T::Err: Debug,
{
    let Ok(value) = text.parse::<T>() else { return };
    let written = value.to_string();
    assert_eq!(written.parse::<T>().expect("what was written is read"), value);
    assert!(!exact || written == text, "{text} is written {written}");
}

fn header(bytes: &[u8]) {
    match read_idempotency_key(bytes) {
        Ok(key) => {
            assert!(limits::IDEMPOTENCY_KEY_BYTES.contains(&(key.len() as u64)));
            assert!(key.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{key:?}");
        }
        Err(refusal) => refused(&refusal),
    }
}
