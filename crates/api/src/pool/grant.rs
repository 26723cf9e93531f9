//! Answers: a grant, a place in line, and what became of each step of a list.
//!
//! Grants are given a hundred thousand times a second, so a server writes them from what it has at hand
//! ([`GrantParts::write`]); a test holds that to the type that clients read.

use serde::{Deserialize, Serialize};

use crate::id::{GrantId, JobId};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::words::{GrantState, WaitingState};
use crate::write;

/// Units of a pool in a holder's hands.
///
/// As the answer to a change it says how the grant was after that; said again under the same idempotency key, it says that
/// again. `GET /v1/grants/{id}` says how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The pool. Left out, as the holder, only where a step that named nothing but the grant's id is answered again, and the grant has been
    /// forgotten: an hour after its end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pool: String,
    /// Who has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub holder: String,
    /// How many units. Left out only of an answer that was kept without them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub units: u32,
    /// The group it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What it is, or how it ended.
    pub state: GrantState,
    /// The fencing number: of two grants of a pool, the later one has the higher. Who guards the thing itself refuses one that is
    /// lower than another it has seen.
    pub fence: u64,
    /// When it was given, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Timestamp>,
    /// While held: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// While held: how far it can be extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extendable_until: Option<Timestamp>,
    /// Whether it came as an offer to the first in line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offered: bool,
    /// The grant that is given up when this offer is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives: Option<GrantId>,
    /// The job that tells of the offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_job: Option<JobId>,
    /// In an answer to a change: the pool's version after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

fn is_zero(units: &u32) -> bool {
    *units == 0
}

/// A holder's place in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Waiting {
    /// The pool.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pool: String,
    /// Who waits. Left out only where the answer to a swap is repeated for a grant that has been forgotten.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub holder: String,
    /// Whether it waits, or waits no more.
    pub state: WaitingState,
    /// The number of its joining, rising with each.
    pub number: u64,
    /// How many are before it. Counted up to 10,000, which then means "or more". Left out before an opening that draws the order:
    /// nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u32>,
    /// In a story and in a line: units it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// In a story and in a line: the group it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// In a story and in a line: since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Timestamp>,
    /// In a story and in a line: the grant that is given up when the offer is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives: Option<GrantId>,
    /// In an answer to a change: the pool's version after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// What became of one step: a grant, or a place in line. The words of their `state` tell them apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, try_from = "Fields")]
pub enum PoolAnswer {
    /// A grant: given, changed, or over.
    Grant(Grant),
    /// A place in line: had, or given up.
    Waiting(Waiting),
}

/// What became of one step of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, try_from = "Fields")]
pub enum PoolResult {
    /// It was refused.
    Refused {
        /// Why.
        error: Refusal,
    },
    /// A grant: given, changed, or over.
    Grant(Grant),
    /// A place in line: had, or given up.
    Waiting(Waiting),
}

/// The answer to a list of steps: what became of each, in the list's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolResults {
    /// One result for every item.
    pub results: Vec<PoolResult>,
}

impl PoolAnswer {
    /// The grant, if it is one.
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Grant(grant) => Some(grant),
            Self::Waiting(_) => None,
        }
    }

    /// The place in line, if it is one.
    pub fn waiting(&self) -> Option<&Waiting> {
        match self {
            Self::Waiting(waiting) => Some(waiting),
            Self::Grant(_) => None,
        }
    }
}

impl From<PoolAnswer> for PoolResult {
    fn from(answer: PoolAnswer) -> Self {
        match answer {
            PoolAnswer::Grant(grant) => Self::Grant(grant),
            PoolAnswer::Waiting(waiting) => Self::Waiting(waiting),
        }
    }
}

/// An answer as it is read: in one pass, where trying one shape after the other would read every item twice.
#[derive(Deserialize)]
pub(crate) struct Fields {
    error: Option<Refusal>,
    pub(crate) id: Option<GrantId>,
    #[serde(default)]
    pool: String,
    #[serde(default)]
    holder: String,
    #[serde(default)]
    units: u32,
    group: Option<String>,
    pub(crate) state: Option<String>,
    fence: Option<u64>,
    granted_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    extendable_until: Option<Timestamp>,
    #[serde(default)]
    offered: bool,
    gives: Option<GrantId>,
    offer_job: Option<JobId>,
    number: Option<u64>,
    ahead: Option<u32>,
    joined_at: Option<Timestamp>,
    version: Option<u64>,
    pub(crate) queue: Option<String>,
    #[serde(default)]
    pub(crate) duplicate: bool,
}

impl TryFrom<Fields> for PoolAnswer {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        const NEITHER: &str = "a grant, or a place in line";
        let state = fields.state.as_deref().ok_or(NEITHER)?;
        if let Some(state) = WaitingState::from_word(state) {
            return Ok(Self::Waiting(Waiting {
                pool: fields.pool,
                holder: fields.holder,
                state,
                number: fields.number.ok_or(NEITHER)?,
                ahead: fields.ahead,
                units: (fields.units > 0).then_some(fields.units),
                group: fields.group,
                joined_at: fields.joined_at,
                gives: fields.gives,
                version: fields.version,
            }));
        }
        Ok(Self::Grant(Grant {
            id: fields.id.ok_or(NEITHER)?,
            pool: fields.pool,
            holder: fields.holder,
            units: fields.units,
            group: fields.group,
            state: GrantState::from_word(state).ok_or(NEITHER)?,
            fence: fields.fence.ok_or(NEITHER)?,
            granted_at: fields.granted_at,
            expires_at: fields.expires_at,
            extendable_until: fields.extendable_until,
            offered: fields.offered,
            gives: fields.gives,
            offer_job: fields.offer_job,
            version: fields.version,
        }))
    }
}

impl TryFrom<Fields> for PoolResult {
    type Error = &'static str;

    fn try_from(mut fields: Fields) -> Result<Self, &'static str> {
        match fields.error.take() {
            Some(error) => Ok(Self::Refused { error }),
            None => PoolAnswer::try_from(fields).map(Self::from),
        }
    }
}

/// A [`Grant`] in borrowed pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of `Grant`")]
pub struct GrantParts<'a> {
    pub id: GrantId,
    pub pool: &'a str,
    pub holder: &'a str,
    pub units: u32,
    pub group: Option<&'a str>,
    pub state: GrantState,
    pub granted_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub extendable_until: Option<Timestamp>,
    pub offered: bool,
    pub gives: Option<GrantId>,
    pub offer_job: Option<JobId>,
    pub version: Option<u64>,
}

impl GrantParts<'_> {
    /// Writes the grant as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":\"");
        self.id.write(out);
        out.push(b'"');
        for (name, value) in [("pool", self.pool), ("holder", self.holder)] {
            if !value.is_empty() {
                write::member(out, name);
                write::text(out, value);
            }
        }
        if self.units > 0 {
            write::number_member(out, "units", self.units.into());
        }
        if let Some(group) = self.group {
            write::member(out, "group");
            write::text(out, group);
        }
        write::name_member(out, "state", self.state.as_str());
        write::number_member(out, "fence", self.id.fence());
        for (name, time) in [
            ("granted_at", self.granted_at),
            ("expires_at", self.expires_at),
            ("extendable_until", self.extendable_until),
        ] {
            if let Some(time) = time {
                write::time_member(out, name, time);
            }
        }
        if self.offered {
            out.extend_from_slice(b",\"offered\":true");
        }
        if let Some(gives) = self.gives {
            out.extend_from_slice(b",\"gives\":\"");
            gives.write(out);
            out.push(b'"');
        }
        if let Some(job) = self.offer_job {
            out.extend_from_slice(b",\"offer_job\":\"");
            job.write(out);
            out.push(b'"');
        }
        if let Some(version) = self.version {
            write::number_member(out, "version", version);
        }
        out.push(b'}');
    }

    /// The grant as a value.
    pub fn to_grant(&self) -> Grant {
        Grant {
            id: self.id,
            pool: self.pool.to_owned(),
            holder: self.holder.to_owned(),
            units: self.units,
            group: self.group.map(str::to_owned),
            state: self.state,
            fence: self.id.fence(),
            granted_at: self.granted_at,
            expires_at: self.expires_at,
            extendable_until: self.extendable_until,
            offered: self.offered,
            gives: self.gives,
            offer_job: self.offer_job,
            version: self.version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    const BARE: GrantParts<'_> = GrantParts {
        id: GrantId { shard: 3, sequence: 42 },
        pool: "seats@autumn",
        holder: "Bänke \"7\"\n",
        units: 2,
        group: None,
        state: GrantState::Taken,
        granted_at: None,
        expires_at: None,
        extendable_until: None,
        offered: false,
        gives: None,
        offer_job: None,
        version: None,
    };

    fn full() -> GrantParts<'static> {
        GrantParts {
            group: Some("first-years"),
            state: GrantState::Held,
            granted_at: Some(Timestamp::from_unix_ms(0)),
            expires_at: Some(Timestamp::from_unix_ms(1_795_352_400_123)),
            extendable_until: Some(Timestamp::from_unix_ms(1_795_352_400_124)),
            offered: true,
            gives: Some(GrantId { shard: 3, sequence: 7 }),
            offer_job: Some(JobId { shard: 3, sequence: 9 }),
            version: Some((1 << 53) - 1),
            ..BARE
        }
    }

    #[test]
    fn a_grant_is_written_as_its_type() {
        for parts in [BARE, full(), GrantParts { pool: "", holder: "", units: 0, ..BARE }] {
            let mut written = Vec::new();
            parts.write(&mut written);
            let text = String::from_utf8(written).unwrap();
            let read: Grant = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(read, parts.to_grant());
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }

    #[test]
    fn a_result_is_read_as_what_it_is() {
        let waiting = Waiting {
            pool: "p".into(),
            holder: "h".into(),
            state: WaitingState::Waiting,
            number: 7,
            ahead: Some(3),
            units: Some(2),
            group: Some("g".into()),
            joined_at: Some(Timestamp::from_unix_ms(1)),
            gives: Some(GrantId { shard: 0, sequence: 1 }),
            version: Some(9),
        };
        let results = PoolResults {
            results: vec![
                PoolResult::Refused { error: Refusal::new(Code::SoldOut, "") },
                PoolResult::Grant(full().to_grant()),
                PoolResult::Grant(BARE.to_grant()),
                PoolResult::Waiting(waiting.clone()),
            ],
        };
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<PoolResults>(&text).unwrap(), results);
        let text = serde_json::to_string(&waiting).unwrap();
        assert_eq!(serde_json::from_str::<PoolAnswer>(&text).unwrap(), PoolAnswer::Waiting(waiting));
        for neither in ["{}", r#"{"state":"waiting"}"#, r#"{"state":"ready","id":"0-1"}"#] {
            assert!(serde_json::from_str::<PoolResult>(neither).is_err(), "{neither}");
        }
    }
}
