//! Steps that name their pool or grant themselves: items of `POST /v1/pools/requests`, and operations of transactions.

use serde::{Deserialize, Serialize};

use crate::id::GrantId;
use crate::object;
use crate::pool::wish::{
    GROUP, HOLD_MS, HOLDER, POOL, UNITS, WHEN_OFFERED, check_hold_ms, check_holder, check_units,
};
use crate::read::Wire;
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::value::Text;

/// One thing to do with a pool: an object with exactly one member, which says what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PoolRequest<'a> {
    /// Gives a holder units until a deadline.
    #[serde(borrow, deserialize_with = "object::required")]
    Hold(Hold<'a>),
    /// Gives a holder units until it gives them back.
    #[serde(borrow, deserialize_with = "object::required")]
    Take(Take<'a>),
    /// Waits in line.
    #[serde(borrow, deserialize_with = "object::required")]
    Join(Take<'a>),
    /// Waits no more.
    #[serde(borrow, deserialize_with = "object::required")]
    Leave(Leave<'a>),
    /// Takes what is held.
    #[serde(deserialize_with = "object::required")]
    Confirm(OfGrant),
    /// Holds for longer.
    #[serde(deserialize_with = "object::required")]
    Extend(ExtendGrant),
    /// Gives units back.
    #[serde(deserialize_with = "object::required")]
    Release(OfGrant),
    /// Gives one grant for another, or keeps it.
    #[serde(borrow, deserialize_with = "object::required")]
    Swap(Swap<'a>),
}

/// Units of a pool until a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Hold<'a> {
    /// The pool.
    #[serde(borrow)]
    pub pool: Text<'a>,
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

/// Units of a pool until they are given back, or a place in line for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Take<'a> {
    /// The pool.
    #[serde(borrow)]
    pub pool: Text<'a>,
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

/// An end to waiting for a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Leave<'a> {
    /// The pool.
    #[serde(borrow)]
    pub pool: Text<'a>,
    /// Who waits no more.
    #[serde(borrow)]
    pub holder: Text<'a>,
}

/// A grant to be confirmed or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OfGrant {
    /// The grant's id.
    pub id: GrantId,
}

/// A later deadline for a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ExtendGrant {
    /// The grant's id.
    pub id: GrantId,
    /// It now ends in so many milliseconds; never earlier than it would have, and never beyond its ceiling. Default the pool's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
}

/// One grant for another, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Swap<'a> {
    /// The id of the grant that is given up, if the other can be had.
    pub id: GrantId,
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

impl PoolRequest<'_> {
    /// The name of its member.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hold(_) => "hold",
            Self::Take(_) => "take",
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Confirm(_) => "confirm",
            Self::Extend(_) => "extend",
            Self::Release(_) => "release",
            Self::Swap(_) => "swap",
        }
    }

    /// Checks what serde does not. The fields of a refusal are those of the member's object.
    pub(crate) fn check_member(&self) -> Checked {
        match self {
            Self::Hold(hold) => {
                syntax::pool_name(&hold.pool)?;
                check_holder(&hold.holder)?;
                check_units(hold.units, hold.group.as_ref())?;
                check_hold_ms(hold.hold_ms)
            }
            Self::Take(take) | Self::Join(take) => {
                syntax::pool_name(&take.pool)?;
                check_holder(&take.holder)?;
                check_units(take.units, take.group.as_ref())
            }
            Self::Leave(leave) => {
                syntax::pool_name(&leave.pool)?;
                check_holder(&leave.holder)
            }
            Self::Confirm(_) | Self::Release(_) => Ok(()),
            Self::Extend(extend) => check_hold_ms(extend.hold_ms),
            Self::Swap(swap) => {
                syntax::pool_name(&swap.pool)?;
                check_units(swap.units, swap.group.as_ref())
            }
        }
    }
}

impl<'de: 'a, 'a> Wire<'de> for PoolRequest<'a> {
    const OBJECT: &'static Object = &POOL_REQUEST;
    const SHAPE: Shape = Shape::OneOf(&POOL_REQUEST);

    fn check(&self) -> Checked {
        self.check_member().map_err(|refused| Box::new(refused.below(self.name())))
    }
}

const ID: Field = Field::required("id", Shape::GrantId);

/// The JSON of a [`PoolRequest`]; it has exactly one of the fields.
pub(crate) static POOL_REQUEST: Object = Object { name: "PoolRequest", fields: POOL_REQUEST_FIELDS };

/// The members that a [`PoolRequest`] may be; a transaction's operation may be each of them too.
pub(crate) const POOL_REQUEST_FIELDS: &[Field] = &[
    Field::required("hold", Shape::Object(&HOLD)),
    Field::required("take", Shape::Object(&TAKE)),
    Field::required("join", Shape::Object(&TAKE)),
    Field::required("leave", Shape::Object(&LEAVE)),
    Field::required("confirm", Shape::Object(&OF_GRANT)),
    Field::required("extend", Shape::Object(&EXTEND_GRANT)),
    Field::required("release", Shape::Object(&OF_GRANT)),
    Field::required("swap", Shape::Object(&SWAP)),
];

static HOLD: Object = Object { name: "Hold", fields: &[POOL, HOLDER, UNITS, GROUP, HOLD_MS] };
static TAKE: Object = Object { name: "Take", fields: &[POOL, HOLDER, UNITS, GROUP] };
static LEAVE: Object = Object { name: "Leave", fields: &[POOL, HOLDER] };
static OF_GRANT: Object = Object { name: "OfGrant", fields: &[ID] };
static EXTEND_GRANT: Object = Object { name: "ExtendGrant", fields: &[ID, HOLD_MS] };
static SWAP: Object = Object { name: "Swap", fields: &[ID, POOL, UNITS, GROUP, WHEN_OFFERED] };
