//! Query strings of calls about pools.

use std::borrow::Cow;

use crate::limits;
use crate::query::{Parameters, Written};
use crate::refusal::{Refusal, Refused};
use crate::syntax;
use crate::words::GrantState;

/// Which pools are shown (`GET /v1/pools`): those named, or a page of all by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolsQuery {
    /// These, at most 1,000. Excludes the others.
    pub names: Option<Vec<String>>,
    /// At most so many on a page, 1 to 1,000. Default 100.
    pub limit: Option<u32>,
    /// The page after the one that named this cursor.
    pub cursor: Option<String>,
}

/// Which pools are watched (`GET /v1/pools/watch`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchQuery {
    /// These, 1 to 1,000.
    pub names: Vec<String>,
}

/// Which grants of a pool are shown (`GET /v1/pools/{pool}/grants`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrantsQuery {
    /// In this state: `held` or `taken`. Others are over, and of no pool any more.
    pub state: Option<GrantState>,
    /// At most so many on a page, 1 to 1,000. Default 100.
    pub limit: Option<u32>,
    /// The page after the one that named this cursor.
    pub cursor: Option<String>,
}

/// Which of those in line, or of the entrants, are shown (`GET /v1/pools/{pool}/line` and `…/entrants`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// At most so many on a page, 1 to 1,000. Default 100.
    pub limit: Option<u32>,
    /// The page after the one that named this cursor.
    pub cursor: Option<String>,
}

impl PoolsQuery {
    /// The parameters it has.
    pub const PARAMETERS: &'static [&'static str] = &["names", "limit", "cursor"];

    /// Reads a query string (without its question mark).
    pub fn read(query: &str) -> Result<Self, Refused> {
        let mut parameters = Parameters::read(query, Self::PARAMETERS)?;
        let query = Self {
            names: names(&mut parameters, &limits::POOL_NAMES)?,
            limit: parameters.integer("limit", &limits::PAGE_JOBS)?.map(|limit| limit as u32),
            cursor: parameters.text("cursor", &limits::CURSOR_BYTES)?,
        };
        let pages = query.limit.is_some() || query.cursor.is_some();
        syntax::ensure(query.names.is_none() || !pages, || {
            Refusal::contradiction(
                "names",
                "`names` excludes `limit` and `cursor`: all that are named are shown.",
            )
        })?;
        if let Some(cursor) = &query.cursor {
            let allowed = "a cursor that an earlier page named";
            syntax::name("cursor", cursor)
                .map_err(|_| Box::new(Refusal::invalid_value("cursor", &**cursor, allowed)))?;
        }
        Ok(query)
    }

    /// Writes the query string (without a question mark); empty if nothing is asked for.
    pub fn write(&self) -> String {
        Written::default()
            .with("names", self.names.as_ref().map(|names| names.join(",")))
            .with("limit", self.limit)
            .with("cursor", self.cursor.as_ref())
            .finish()
    }
}

impl WatchQuery {
    /// The parameters it has.
    pub const PARAMETERS: &'static [&'static str] = &["names"];

    /// Reads a query string (without its question mark).
    pub fn read(query: &str) -> Result<Self, Refused> {
        let mut parameters = Parameters::read(query, Self::PARAMETERS)?;
        let names = names(&mut parameters, &limits::WATCHED_POOLS)?;
        Ok(Self { names: names.ok_or_else(|| Refusal::missing_field("names"))? })
    }

    /// Writes the query string (without a question mark).
    pub fn write(&self) -> String {
        Written::default().with("names", Some(self.names.join(","))).finish()
    }
}

impl GrantsQuery {
    /// The parameters it has.
    pub const PARAMETERS: &'static [&'static str] = &["state", "limit", "cursor"];
    /// The words of its state.
    pub const STATES: &'static [&'static str] = &[GrantState::Held.as_str(), GrantState::Taken.as_str()];

    /// Reads a query string (without its question mark).
    pub fn read(query: &str) -> Result<Self, Refused> {
        let mut parameters = Parameters::read(query, Self::PARAMETERS)?;
        Ok(Self {
            state: parameters.word("state", Self::STATES)?.as_deref().and_then(GrantState::from_word),
            limit: parameters.integer("limit", &limits::PAGE_JOBS)?.map(|limit| limit as u32),
            cursor: parameters.text("cursor", &limits::CURSOR_BYTES)?,
        })
    }

    /// Writes the query string (without a question mark); empty if nothing is asked for.
    pub fn write(&self) -> String {
        Written::default()
            .with("state", self.state)
            .with("limit", self.limit)
            .with("cursor", self.cursor.as_ref())
            .finish()
    }
}

impl PageQuery {
    /// The parameters it has.
    pub const PARAMETERS: &'static [&'static str] = &["limit", "cursor"];

    /// Reads a query string (without its question mark).
    pub fn read(query: &str) -> Result<Self, Refused> {
        let mut parameters = Parameters::read(query, Self::PARAMETERS)?;
        Ok(Self {
            limit: parameters.integer("limit", &limits::PAGE_JOBS)?.map(|limit| limit as u32),
            cursor: parameters.text("cursor", &limits::CURSOR_BYTES)?,
        })
    }

    /// Writes the query string (without a question mark); empty if nothing is asked for.
    pub fn write(&self) -> String {
        Written::default().with("limit", self.limit).with("cursor", self.cursor.as_ref()).finish()
    }
}

/// The parameter `names`: names of pools, commas between them, none twice.
fn names(
    parameters: &mut Parameters<'_>,
    count: &std::ops::RangeInclusive<u64>,
) -> Result<Option<Vec<String>>, Refused> {
    let Some(value): Option<Cow<'_, str>> = parameters.take("names") else { return Ok(None) };
    syntax::text("names", &value, &limits::POOL_NAMES_BYTES)?;
    let names: Vec<String> = value.split(',').map(str::to_owned).collect();
    syntax::items("names", names.len(), count)?;
    let mut seen = std::collections::HashSet::with_capacity(names.len());
    for name in &names {
        syntax::name("names", name)?;
        syntax::ensure(seen.insert(&**name), || {
            Refusal::contradiction("names", format!("`names` has {name} twice."))
        })?;
    }
    Ok(Some(names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;

    #[test]
    fn a_query_survives_being_written_and_read() {
        let named = PoolsQuery { names: Some(vec!["a@x".into(), "b:1".into()]), ..PoolsQuery::default() };
        let page = PoolsQuery { names: None, limit: Some(5), cursor: Some("a@x".into()) };
        for query in [named, page, PoolsQuery::default()] {
            assert_eq!(PoolsQuery::read(&query.write()), Ok(query));
        }
        let watch = WatchQuery { names: vec!["a@x".into()] };
        assert_eq!(WatchQuery::read(&watch.write()), Ok(watch));
        assert_eq!(WatchQuery::read("names=a,b@x").unwrap().names, ["a", "b@x"]);
        let page = PageQuery { limit: Some(1_000), cursor: Some("1f".into()) };
        assert_eq!(PageQuery::read(&page.write()), Ok(page));
        let grants = GrantsQuery { state: Some(GrantState::Held), limit: None, cursor: Some("1f".into()) };
        assert_eq!(GrantsQuery::read(&grants.write()), Ok(grants));
    }

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        let many = format!("names={}", (0..1_001).map(|n| format!("p{n}")).collect::<Vec<_>>().join(","));
        let long = format!("names={}", vec!["a".repeat(128); 200].join(","));
        for (query, code, field) in [
            ("name=a", Code::UnknownField, "name"),
            ("names=", Code::InvalidValue, "names"),
            ("names=a,,b", Code::InvalidValue, "names"),
            ("names=a,a", Code::InvalidValue, "names"),
            ("names=a&limit=5", Code::InvalidValue, "names"),
            ("cursor=a%20b", Code::InvalidValue, "cursor"),
            ("limit=0", Code::InvalidValue, "limit"),
            (&many, Code::TooManyItems, "names"),
            (&long, Code::InvalidValue, "names"),
        ] {
            let refusal = PoolsQuery::read(query).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (code, Some(field)), "{query}");
        }
        assert_eq!(WatchQuery::read("").unwrap_err().code, Code::MissingField);
        let over = GrantsQuery::read("state=released").unwrap_err();
        assert_eq!((over.code, over.allowed.as_deref()), (Code::InvalidValue, Some("held, taken")));
    }
}
