//! How a pool is set up.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::object;
use crate::read::Wire;
use crate::refusal::Refusal;
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::time::Timestamp;
use crate::value::Metadata;
use crate::words::Opening;

/// A pool's whole configuration (`PUT /v1/pools/{pool}`); what is left out is the default. In answers every field is there,
/// except `if_version`, and moments, a queue and lists that do not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Units there are.
    pub capacity: u32,
    /// Units one holder may have and wait for together; 0 is no limit. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder_units_max: Option<u32>,
    /// Milliseconds of a hold whose request names none. Default 300,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<u64>,
    /// Milliseconds of a hold with all its extensions. Default 3,600,000, or `hold_ms` if that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_ms_max: Option<u64>,
    /// Milliseconds that an offer to the first in line stands. Default 300,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_ms: Option<u64>,
    /// Holders that may wait in line. Default 0: there is no line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waitlist_max: Option<u32>,
    /// When it opens, up to 366 days ahead. Default from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// When it closes, up to 366 days ahead. Default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// Who is first at the opening. Default `fifo`; `shuffle` needs `opens_at` and a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<Opening>,
    /// Each offer becomes a job of kind `offer` in this queue, so that somebody tells the holder. With several shards it lies where
    /// the pool lies: behind the same `@`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_queue: Option<String>,
    /// Groups of holders with a share of their own, at most 32.
    #[serde(
        default,
        deserialize_with = "object::optional_list::<{ *limits::QUOTAS.end() as usize }, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub quotas: Option<Vec<Quota>>,
    /// What the owner wants to have said, at most 16 names and 1 KiB each.
    #[serde(default, deserialize_with = "read_attributes", skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
    /// Only asked: configure the pool only if it is at this version; 0: only if there is none. Otherwise it is refused
    /// (`version_changed`, with the version that it has), unless the pool is configured so already. Default whatever it is at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<u64>,
}

/// At most so many units of a pool for one group of holders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// The group.
    pub group: String,
    /// Units its holders may have together.
    pub units_max: u32,
}

/// Changes a pool's capacity alone (`POST /v1/pools/{pool}/resize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ResizePool {
    /// Units there are from now on; not fewer than are granted.
    pub capacity: u32,
}

impl PoolConfig {
    /// A pool of so many units, and for the rest the defaults.
    pub fn of(capacity: u32) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Only over the pool of this version; 0: only if there is none.
    #[must_use]
    pub fn if_version(self, version: u64) -> Self {
        Self { if_version: Some(version), ..self }
    }
}

/// Reads attributes. A name that is there twice is refused, as any field is.
fn read_attributes<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let Some(attributes) = Option::<Metadata<'de>>::deserialize(deserializer)? else { return Ok(None) };
    if attributes.has_duplicates() {
        return Err(D::Error::custom("an attribute is there twice"));
    }
    let owned = attributes.into_entries().into_iter().map(|(name, value)| (name.into(), value.into()));
    Ok(Some(owned.collect()))
}

impl<'de> Wire<'de> for PoolConfig {
    const OBJECT: &'static Object = &POOL_CONFIG;

    fn check(&self) -> Checked {
        syntax::range("capacity", self.capacity.into(), &limits::CAPACITY)?;
        if let Some(units) = self.holder_units_max {
            syntax::range("holder_units_max", units.into(), &limits::CAPACITY)?;
        }
        for (name, ms) in
            [("hold_ms", self.hold_ms), ("hold_ms_max", self.hold_ms_max), ("offer_ms", self.offer_ms)]
        {
            if let Some(ms) = ms {
                syntax::range(name, ms, &limits::HOLD_MS)?;
            }
        }
        let hold_fits = self.hold_ms_max.is_none_or(|max| self.hold_ms.is_none_or(|hold_ms| hold_ms <= max));
        syntax::ensure(hold_fits, || {
            Refusal::contradiction("hold_ms", "`hold_ms` is more than `hold_ms_max`.")
        })?;
        if let Some(holders) = self.waitlist_max {
            syntax::range("waitlist_max", holders.into(), &limits::WAITLIST)?;
        }
        let draws = self.opening == Some(Opening::Shuffle);
        syntax::ensure(!draws || self.opens_at.is_some(), || {
            Refusal::contradiction("opening", "An `opening` that draws the order needs `opens_at`.")
        })?;
        syntax::ensure(!draws || self.waitlist_max.unwrap_or(0) > 0, || {
            Refusal::contradiction("opening", "An `opening` that draws the order needs a `waitlist_max`.")
        })?;
        if let Some(queue) = &self.offer_queue {
            syntax::name("offer_queue", queue)?;
        }
        if let Some(version) = self.if_version {
            syntax::range("if_version", version, &limits::VERSION)?;
        }
        if let Some(quotas) = &self.quotas {
            check_quotas(quotas)?;
        }
        match &self.attributes {
            Some(attributes) => syntax::attributes("attributes", &attributes.iter().map(text).collect()),
            None => Ok(()),
        }
    }
}

fn text<'a>((name, value): (&'a String, &'a String)) -> (&'a str, &'a str) {
    (name, value)
}

fn check_quotas(quotas: &[Quota]) -> Checked {
    syntax::items("quotas", quotas.len(), &limits::QUOTAS)?;
    let mut groups = BTreeSet::new();
    for (index, quota) in quotas.iter().enumerate() {
        let field = format!("quotas[{index}].group");
        syntax::name(&field, &quota.group)?;
        syntax::range(&format!("quotas[{index}].units_max"), quota.units_max.into(), &limits::CAPACITY)?;
        syntax::ensure(groups.insert(&quota.group), || {
            Refusal::contradiction(&field, format!("`{field}` is there twice; a group has one quota."))
        })?;
    }
    Ok(())
}

impl<'de> Wire<'de> for ResizePool {
    const OBJECT: &'static Object = &RESIZE;

    fn check(&self) -> Checked {
        syntax::range("capacity", self.capacity.into(), &limits::CAPACITY)
    }
}

/// The JSON of a [`PoolConfig`].
pub(crate) static POOL_CONFIG: Object = Object {
    name: "PoolConfig",
    fields: &[
        Field::required("capacity", Shape::Integer(&limits::CAPACITY)),
        Field::optional("holder_units_max", Shape::Integer(&limits::CAPACITY)),
        Field::optional("hold_ms", Shape::Integer(&limits::HOLD_MS)),
        Field::optional("hold_ms_max", Shape::Integer(&limits::HOLD_MS)),
        Field::optional("offer_ms", Shape::Integer(&limits::HOLD_MS)),
        Field::optional("waitlist_max", Shape::Integer(&limits::WAITLIST)),
        Field::optional("opens_at", Shape::Timestamp),
        Field::optional("closes_at", Shape::Timestamp),
        Field::optional("opening", Shape::Word(Opening::WORDS)),
        Field::optional("offer_queue", Shape::Name),
        Field::optional("quotas", Shape::List(&Shape::Object(&QUOTA), &limits::QUOTAS)),
        Field::optional("attributes", Shape::Attributes),
        Field::optional("if_version", Shape::Integer(&limits::VERSION)),
    ],
};

static QUOTA: Object = Object {
    name: "Quota",
    fields: &[
        Field::required("group", Shape::Name),
        Field::required("units_max", Shape::Integer(&limits::CAPACITY)),
    ],
};

/// The JSON of a [`ResizePool`].
pub(crate) static RESIZE: Object =
    Object { name: "ResizePool", fields: &[Field::required("capacity", Shape::Integer(&limits::CAPACITY))] };
