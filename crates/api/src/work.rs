//! The combined call (`POST /v1/work`): a worker in full run settles what it has done and asks for more in one
//! round trip.
//!
//! The parts are settled in the order complete, fail, extend, release, and then the lease is tried, so that what was
//! settled makes room for what is leased.

use serde::{Deserialize, Serialize};

use crate::lease::{LEASE, LeaseRequest, LeasedJob};
use crate::limits;
use crate::object;
use crate::read::{self, Brisk, Item, Items, Pace, Patient, Wire};
use crate::refusal::Refused;
use crate::settle::{COMPLETE, Complete, EXTEND, Extend, FAIL, Fail, RELEASE, Release, SettleResult};
use crate::shape::{Field, Object, Shape};

/// Everything a worker says and asks at once, as a client writes it. Only the parts that are there are answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkRequest<'a> {
    /// Attempts that did what they should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<Vec<Complete<'a>>>,
    /// Attempts that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<Vec<Fail<'a>>>,
    /// Attempts that go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend: Option<Vec<Extend<'a>>>,
    /// Jobs that are given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Vec<Release>>,
    /// What is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseRequest<'a>>,
}

/// A [`WorkRequest`] as the door reads it: every item of the lists is good or bad by itself.
#[derive(Debug, Default)]
pub struct WorkBody<'a> {
    /// Attempts that did what they should.
    pub complete: Option<Vec<Item<Complete<'a>>>>,
    /// Attempts that failed.
    pub fail: Option<Vec<Item<Fail<'a>>>>,
    /// Attempts that go on.
    pub extend: Option<Vec<Item<Extend<'a>>>>,
    /// Jobs that are given back.
    pub release: Option<Vec<Item<Release>>>,
    /// What is asked for.
    pub lease: Option<LeaseRequest<'a>>,
}

impl<'a> WorkBody<'a> {
    /// Reads a body. A lease request that is wrong refuses the whole, and nothing is done.
    pub fn read(text: &'a str) -> Result<Self, Refused> {
        read::read_envelope(text, &WORK, Envelope::<'a, Brisk>::checked, Envelope::<'a, Patient>::checked)
    }
}

/// The body at one of the two paces of reading.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "'de: 'a, P: Pace"))]
struct Envelope<'a, P> {
    #[serde(default)]
    complete: Option<Items<Complete<'a>, P>>,
    #[serde(default)]
    fail: Option<Items<Fail<'a>, P>>,
    #[serde(default)]
    extend: Option<Items<Extend<'a>, P>>,
    #[serde(default)]
    release: Option<Items<Release, P>>,
    #[serde(borrow, default, deserialize_with = "object::optional")]
    lease: Option<LeaseRequest<'a>>,
}

impl<'a, P> Envelope<'a, P> {
    fn checked(self) -> Result<WorkBody<'a>, Refused> {
        if let Some(lease) = &self.lease {
            lease.check().map_err(|refused| Box::new(refused.below("lease")))?;
        }
        Ok(WorkBody {
            complete: self.complete.map(|items| items.within_limit("complete")).transpose()?,
            fail: self.fail.map(|items| items.within_limit("fail")).transpose()?,
            extend: self.extend.map(|items| items.within_limit("extend")).transpose()?,
            release: self.release.map(|items| items.within_limit("release")).transpose()?,
            lease: self.lease,
        })
    }
}

/// The JSON of a [`WorkRequest`].
pub(crate) static WORK: Object = Object {
    name: "WorkRequest",
    fields: &[
        Field::optional("complete", Shape::List(&Shape::Object(&COMPLETE), &limits::LIST_ITEMS)),
        Field::optional("fail", Shape::List(&Shape::Object(&FAIL), &limits::LIST_ITEMS)),
        Field::optional("extend", Shape::List(&Shape::Object(&EXTEND), &limits::LIST_ITEMS)),
        Field::optional("release", Shape::List(&Shape::Object(&RELEASE), &limits::LIST_ITEMS)),
        Field::optional("lease", Shape::Object(&LEASE)),
    ],
};

/// The answers to the parts that were asked, each in its list's order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkAnswer {
    /// What became of the completions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Vec<SettleResult>>,
    /// What became of the failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<Vec<SettleResult>>,
    /// What became of the extensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extend: Option<Vec<SettleResult>>,
    /// What became of the releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Vec<SettleResult>>,
    /// The jobs that were leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Vec<LeasedJob>>,
}
