//! What must be so for a transaction to be done: the items of its `if`.

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::limits;
use crate::object;
use crate::pool::wish::{HOLDER, POOL, check_holder};
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::value::Text;
use crate::words::JobState;

/// What must be so: an object with exactly one member, which says what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Condition<'a> {
    /// The pool has not changed since this version.
    #[serde(borrow, deserialize_with = "object::required")]
    PoolVersion(PoolVersion<'a>),
    /// The holder has units of each of these pools.
    #[serde(borrow, deserialize_with = "object::required")]
    HasAll(HolderPools<'a>),
    /// The holder has units of none of these pools.
    #[serde(borrow, deserialize_with = "object::required")]
    HasNone(HolderPools<'a>),
    /// The units a holder has are fewer than this.
    #[serde(borrow, deserialize_with = "object::required")]
    UnitsBelow(UnitsBelow<'a>),
    /// The job is in this state.
    #[serde(deserialize_with = "object::required")]
    JobIs(JobIs),
}

/// A pool, and the version it must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolVersion<'a> {
    /// The pool.
    #[serde(borrow)]
    pub pool: Text<'a>,
    /// The version.
    pub version: u64,
}

/// A holder, and pools that it must have units of, or must not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HolderPools<'a> {
    /// The holder.
    #[serde(borrow)]
    pub holder: Text<'a>,
    /// The pools, 1 to 100. One that does not exist is refused (`pool_not_found`).
    #[serde(borrow)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub pools: Vec<Text<'a>>,
}

/// A holder, and how many units are too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UnitsBelow<'a> {
    /// The holder.
    #[serde(borrow)]
    pub holder: Text<'a>,
    /// So many are too many.
    pub units: u64,
    /// Only units of pools whose name ends in `@` and this. Default all pools.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Text<'a>>,
}

/// A job, and the state it must be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JobIs {
    /// The job's id.
    pub id: JobId,
    /// The state.
    pub state: JobState,
}

impl Condition<'static> {
    /// The pool has not changed since this version.
    pub fn pool_version(pool: impl Into<String>, version: u64) -> Self {
        Self::PoolVersion(PoolVersion { pool: Text::from(pool.into()), version })
    }

    /// The holder has units of each of these pools.
    pub fn has_all<N: Into<String>>(holder: impl Into<String>, pools: impl IntoIterator<Item = N>) -> Self {
        Self::HasAll(HolderPools::of(holder.into(), pools))
    }

    /// The holder has units of none of these pools. One that does not exist is refused (`pool_not_found`): a name with a typing
    /// mistake guards nothing.
    pub fn has_none<N: Into<String>>(holder: impl Into<String>, pools: impl IntoIterator<Item = N>) -> Self {
        Self::HasNone(HolderPools::of(holder.into(), pools))
    }

    /// The units a holder has, of all pools, are fewer than this.
    pub fn units_below(holder: impl Into<String>, units: u64) -> Self {
        Self::UnitsBelow(UnitsBelow { holder: Text::from(holder.into()), units, place: None })
    }

    /// The job is in this state.
    pub fn job_is(id: JobId, state: JobState) -> Self {
        Self::JobIs(JobIs { id, state })
    }
}

impl HolderPools<'static> {
    fn of<N: Into<String>>(holder: String, pools: impl IntoIterator<Item = N>) -> Self {
        let pools = pools.into_iter().map(|pool| Text::from(pool.into())).collect();
        Self { holder: Text::from(holder), pools }
    }
}

impl Condition<'_> {
    /// The name of its member.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PoolVersion(_) => "pool_version",
            Self::HasAll(_) => "has_all",
            Self::HasNone(_) => "has_none",
            Self::UnitsBelow(_) => "units_below",
            Self::JobIs(_) => "job_is",
        }
    }

    /// Checks what serde does not. The fields of a refusal are those of the member's object.
    pub(crate) fn check_member(&self) -> Checked {
        match self {
            Self::PoolVersion(condition) => {
                syntax::pool_name(&condition.pool)?;
                syntax::range("version", condition.version, &limits::VERSION)
            }
            Self::HasAll(condition) | Self::HasNone(condition) => {
                check_holder(&condition.holder)?;
                syntax::items("pools", condition.pools.len(), &limits::CONDITION_POOLS)?;
                syntax::names("pools", &condition.pools)
            }
            Self::UnitsBelow(condition) => {
                check_holder(&condition.holder)?;
                syntax::range("units", condition.units, &limits::UNITS_BELOW)?;
                match &condition.place {
                    Some(place) => syntax::place("place", place),
                    None => Ok(()),
                }
            }
            Self::JobIs(_) => Ok(()),
        }
    }
}

/// The JSON of a [`Condition`]; it has exactly one of the fields.
pub(crate) static CONDITION: Object = Object {
    name: "Condition",
    fields: &[
        Field::required("pool_version", Shape::Object(&POOL_VERSION)),
        Field::required("has_all", Shape::Object(&HOLDER_POOLS)),
        Field::required("has_none", Shape::Object(&HOLDER_POOLS)),
        Field::required("units_below", Shape::Object(&UNITS_BELOW)),
        Field::required("job_is", Shape::Object(&JOB_IS)),
    ],
};

static POOL_VERSION: Object = Object {
    name: "PoolVersion",
    fields: &[POOL, Field::required("version", Shape::Integer(&limits::VERSION))],
};

static HOLDER_POOLS: Object = Object {
    name: "HolderPools",
    fields: &[HOLDER, Field::required("pools", Shape::List(&Shape::Name, &limits::CONDITION_POOLS))],
};

static UNITS_BELOW: Object = Object {
    name: "UnitsBelow",
    fields: &[
        HOLDER,
        Field::required("units", Shape::Integer(&limits::UNITS_BELOW)),
        Field::optional("place", Shape::Place),
    ],
};

static JOB_IS: Object = Object {
    name: "JobIs",
    fields: &[Field::required("id", Shape::JobId), Field::required("state", Shape::Word(JobState::WORDS))],
};
