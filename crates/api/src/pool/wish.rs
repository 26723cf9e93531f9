//! What is asked of one pool or one grant, whose name or id is in the path.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::read::Wire;
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::value::Text;

/// Units until a deadline (`POST /v1/pools/{pool}/hold`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HoldWish<'a> {
    /// Who wants them: a name of the caller's own choosing.
    #[serde(borrow)]
    pub holder: Text<'a>,
    /// How many units. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// The holder's group, which the pool must have a quota for.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Text<'a>>,
    /// For how many milliseconds; the pool's ceiling is kept. Default the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
}

/// Units until they are given back, or a place in line for them (`POST /v1/pools/{pool}/take` and `…/join`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TakeWish<'a> {
    /// Who wants them: a name of the caller's own choosing.
    #[serde(borrow)]
    pub holder: Text<'a>,
    /// How many units. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// The holder's group, which the pool must have a quota for.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Text<'a>>,
}

/// An end to waiting (`POST /v1/pools/{pool}/leave`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaveWish<'a> {
    /// Who waits no more.
    #[serde(borrow)]
    pub holder: Text<'a>,
}

/// A later deadline for a hold (`POST /v1/grants/{id}/extend`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExtendWish {
    /// It now ends in so many milliseconds; never earlier than it would have, and never beyond its ceiling. Default the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
}

/// One grant for another, or nothing (`POST /v1/grants/{id}/swap`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SwapWish<'a> {
    /// The pool wanted.
    #[serde(borrow)]
    pub pool: Text<'a>,
    /// How many of its units. Default as many as are given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// The holder's group in it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Text<'a>>,
    /// If there is nothing to be had now: wait in line, and give the old grant up when the offer is confirmed. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_offered: Option<bool>,
}

/// Checks a holder's name under the field `holder`.
pub fn check_holder(holder: &str) -> Checked {
    syntax::text("holder", holder, &limits::HOLDER_BYTES)
}

/// Checks how many units are wanted, and for which group.
pub(crate) fn check_units(units: Option<u32>, group: Option<&Text<'_>>) -> Checked {
    if let Some(units) = units {
        syntax::range("units", units.into(), &limits::UNITS)?;
    }
    match group {
        Some(group) => syntax::name("group", group),
        None => Ok(()),
    }
}

/// Checks how long something is held.
pub(crate) fn check_hold_ms(hold_ms: Option<u64>) -> Checked {
    match hold_ms {
        Some(hold_ms) => syntax::range("hold_ms", hold_ms, &limits::HOLD_MS),
        None => Ok(()),
    }
}

impl<'de: 'a, 'a> Wire<'de> for HoldWish<'a> {
    const OBJECT: &'static Object = &HOLD_WISH;

    fn check(&self) -> Checked {
        check_holder(&self.holder)?;
        check_units(self.units, self.group.as_ref())?;
        check_hold_ms(self.hold_ms)
    }
}

impl<'de: 'a, 'a> Wire<'de> for TakeWish<'a> {
    const OBJECT: &'static Object = &TAKE_WISH;

    fn check(&self) -> Checked {
        check_holder(&self.holder)?;
        check_units(self.units, self.group.as_ref())
    }
}

impl<'de: 'a, 'a> Wire<'de> for LeaveWish<'a> {
    const OBJECT: &'static Object = &LEAVE_WISH;

    fn check(&self) -> Checked {
        check_holder(&self.holder)
    }
}

impl<'de> Wire<'de> for ExtendWish {
    const OBJECT: &'static Object = &EXTEND_WISH;

    fn check(&self) -> Checked {
        check_hold_ms(self.hold_ms)
    }
}

impl<'de: 'a, 'a> Wire<'de> for SwapWish<'a> {
    const OBJECT: &'static Object = &SWAP_WISH;

    fn check(&self) -> Checked {
        syntax::pool_name(&self.pool)?;
        check_units(self.units, self.group.as_ref())
    }
}

pub(super) const HOLDER: Field = Field::required("holder", Shape::Text(&limits::HOLDER_BYTES));
pub(super) const UNITS: Field = Field::optional("units", Shape::Integer(&limits::UNITS));
pub(super) const GROUP: Field = Field::optional("group", Shape::Name);
pub(super) const HOLD_MS: Field = Field::optional("hold_ms", Shape::Integer(&limits::HOLD_MS));
pub(super) const POOL: Field = Field::required("pool", Shape::Name);
pub(super) const WHEN_OFFERED: Field = Field::optional("when_offered", Shape::Boolean);

/// The JSON of a [`HoldWish`].
pub(crate) static HOLD_WISH: Object = Object { name: "HoldWish", fields: &[HOLDER, UNITS, GROUP, HOLD_MS] };

/// The JSON of a [`TakeWish`].
pub(crate) static TAKE_WISH: Object = Object { name: "TakeWish", fields: &[HOLDER, UNITS, GROUP] };

/// The JSON of a [`LeaveWish`].
pub(crate) static LEAVE_WISH: Object = Object { name: "LeaveWish", fields: &[HOLDER] };

/// The JSON of an [`ExtendWish`].
pub(crate) static EXTEND_WISH: Object = Object { name: "ExtendWish", fields: &[HOLD_MS] };

/// The JSON of a [`SwapWish`].
pub(crate) static SWAP_WISH: Object =
    Object { name: "SwapWish", fields: &[POOL, UNITS, GROUP, WHEN_OFFERED] };
