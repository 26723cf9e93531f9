//! Query strings: the filters of lists, and waiting for a job's end.
//!
//! The door reads them and clients write them, so both directions are here. A parameter that does not exist is
//! refused as an unknown field is, and so is one that is there twice.

use std::borrow::Cow;

use form_urlencoded::Serializer;

use crate::id::CauseId;
use crate::limits;
use crate::refusal::{Code, Refusal, Refused};
use crate::syntax;
use crate::words::{EndReason, JobState};

/// Which jobs a list shows (`GET /v1/jobs`). All parts must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsQuery {
    /// In this queue.
    pub queue: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<String>,
    /// With this ordering key.
    pub ordering_key: Option<String>,
    /// Accepted more than so many milliseconds ago.
    pub older_than_ms: Option<u64>,
    /// At most so many on a page, 1 to 1,000. Default 100.
    pub limit: Option<u32>,
    /// The page after the one that named this cursor.
    pub cursor: Option<String>,
}

/// Which dead jobs of a queue a list shows (`GET /v1/queues/{queue}/dead`). All parts must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadQuery {
    /// Of this kind.
    pub kind: Option<String>,
    /// That died of this cause.
    pub cause: Option<CauseId>,
    /// That died for this reason.
    pub reason: Option<EndReason>,
    /// At most so many on a page, 1 to 1,000. Default 100.
    pub limit: Option<u32>,
    /// The page after the one that named this cursor.
    pub cursor: Option<String>,
}

/// How long an answer may wait for the job's end (`GET /v1/jobs/{id}`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitQuery {
    /// Up to 60,000 ms. Default 0.
    pub wait_ms: Option<u64>,
}

impl JobsQuery {
    /// The parameters it has.
    pub const PARAMETERS: &'static [&'static str] =
        &["queue", "state", "kind", "ordering_key", "older_than_ms", "limit", "cursor"];

    /// Reads a query string (without its question mark).
    pub fn read(query: &str) -> Result<Self, Refused> {
        let mut parameters = Parameters::read(query, Self::PARAMETERS)?;
        Ok(Self {
            queue: parameters.name("queue")?,
            state: parameters.word("state", JobState::WORDS)?.as_deref().and_then(JobState::from_word),
            kind: parameters.name("kind")?,
            ordering_key: parameters.text("ordering_key", &limits::KEY_BYTES)?,
            older_than_ms: parameters.integer("older_than_ms", &limits::AGE_MS)?,
            limit: parameters.integer("limit", &limits::PAGE_JOBS)?.map(|limit| limit as u32),
            cursor: parameters.text("cursor", &limits::CURSOR_BYTES)?,
        })
    }

    /// Writes the query string (without a question mark); empty if nothing is asked for.
    pub fn write(&self) -> String {
        Written::default()
            .with("queue", self.queue.as_ref())
            .with("state", self.state)
            .with("kind", self.kind.as_ref())
            .with("ordering_key", self.ordering_key.as_ref())
            .with("older_than_ms", self.older_than_ms)
            .with("limit", self.limit)
            .with("cursor", self.cursor.as_ref())
            .finish()
    }
}

impl DeadQuery {
    /// The parameters it has.
    pub const PARAMETERS: &'static [&'static str] = &["kind", "cause", "reason", "limit", "cursor"];

    /// Reads a query string (without its question mark).
    pub fn read(query: &str) -> Result<Self, Refused> {
        let mut parameters = Parameters::read(query, Self::PARAMETERS)?;
        Ok(Self {
            kind: parameters.name("kind")?,
            cause: match parameters.take("cause") {
                Some(cause) => Some(syntax::parsed("cause", &cause, CauseId::ALLOWED)?),
                None => None,
            },
            reason: parameters.word("reason", EndReason::WORDS)?.as_deref().and_then(EndReason::from_word),
            limit: parameters.integer("limit", &limits::PAGE_JOBS)?.map(|limit| limit as u32),
            cursor: parameters.text("cursor", &limits::CURSOR_BYTES)?,
        })
    }

    /// Writes the query string (without a question mark); empty if nothing is asked for.
    pub fn write(&self) -> String {
        Written::default()
            .with("kind", self.kind.as_ref())
            .with("cause", self.cause)
            .with("reason", self.reason)
            .with("limit", self.limit)
            .with("cursor", self.cursor.as_ref())
            .finish()
    }
}

impl WaitQuery {
    /// The parameters it has.
    pub const PARAMETERS: &'static [&'static str] = &["wait_ms"];

    /// Reads a query string (without its question mark).
    pub fn read(query: &str) -> Result<Self, Refused> {
        let mut parameters = Parameters::read(query, Self::PARAMETERS)?;
        Ok(Self { wait_ms: parameters.integer("wait_ms", &limits::WAIT_MS)? })
    }

    /// Writes the query string (without a question mark); empty if nothing is asked for.
    pub fn write(&self) -> String {
        Written::default().with("wait_ms", self.wait_ms).finish()
    }
}

/// Reads a query string where no parameter is known.
pub fn read_no_query(query: &str) -> Result<(), Refused> {
    Parameters::read(query, &[]).map(drop)
}

/// The parameters of a query string, each known and there once.
pub(crate) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    pub(crate) fn read(query: &'a str, known: &[&str]) -> Result<Self, Refused> {
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            syntax::ensure(known.contains(&&*name), || unknown_parameter(&name, known))?;
            syntax::ensure(parameters.iter().all(|(before, _)| *before != name), || {
                Refusal::contradiction(&name, format!("`{name}` is there twice."))
            })?;
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let place = self.0.iter().position(|(candidate, _)| candidate == name)?;
        Some(self.0.swap_remove(place).1)
    }

    fn name(&mut self, name: &str) -> Result<Option<String>, Refused> {
        let Some(value) = self.take(name) else { return Ok(None) };
        syntax::name(name, &value)?;
        Ok(Some(value.into_owned()))
    }

    pub(crate) fn text(
        &mut self,
        name: &str,
        bytes: &std::ops::RangeInclusive<u64>,
    ) -> Result<Option<String>, Refused> {
        let Some(value) = self.take(name) else { return Ok(None) };
        syntax::text(name, &value, bytes)?;
        Ok(Some(value.into_owned()))
    }

    pub(crate) fn word(&mut self, name: &str, words: &[&str]) -> Result<Option<Cow<'a, str>>, Refused> {
        let Some(value) = self.take(name) else { return Ok(None) };
        syntax::word(name, &value, words)?;
        Ok(Some(value))
    }

    pub(crate) fn integer(
        &mut self,
        name: &str,
        range: &std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Refused> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = syntax::parsed(name, &value, &syntax::range_allowed(range))?;
        syntax::range(name, number, range)?;
        Ok(Some(number))
    }
}

fn unknown_parameter(name: &str, known: &[&str]) -> Refusal {
    if known.is_empty() {
        return Refusal::new(Code::UnknownField, "This path takes no query parameters.");
    }
    Refusal::unknown_field(name, known.iter().copied())
}

/// A query string in the making.
pub(crate) struct Written(Serializer<'static, String>);

impl Default for Written {
    fn default() -> Self {
        Written(Serializer::new(String::new()))
    }
}

impl Written {
    pub(crate) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.0.append_pair(name, &value.to_string());
        }
        self
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_being_written_and_read() {
        let jobs = JobsQuery {
            queue: Some("emails".into()),
            state: Some(JobState::Ready),
            kind: Some("welcome".into()),
            ordering_key: Some("customer 7 & söhne=?+%".into()),
            older_than_ms: Some(60_000),
            limit: Some(10),
            cursor: Some("abc".into()),
        };
        assert_eq!(JobsQuery::read(&jobs.write()), Ok(jobs));
        let dead = DeadQuery {
            kind: Some("welcome".into()),
            cause: Some(CauseId(7)),
            reason: Some(EndReason::Fatal),
            limit: Some(1_000),
            cursor: Some("abc".into()),
        };
        assert_eq!(DeadQuery::read(&dead.write()), Ok(dead));
        assert_eq!(JobsQuery::default().write(), "");
        assert_eq!(WaitQuery::read("wait_ms=60000"), Ok(WaitQuery { wait_ms: Some(60_000) }));
    }

    #[test]
    fn what_is_wrong_with_a_query_is_named() {
        for (query, code, field, nearest) in [
            ("stat=ready", Code::UnknownField, "stat", Some("state")),
            ("state=awake", Code::InvalidValue, "state", None),
            ("state=ready&state=dead", Code::InvalidValue, "state", None),
            ("limit=0", Code::InvalidValue, "limit", None),
            ("limit=1001", Code::InvalidValue, "limit", None),
            ("limit=ten", Code::InvalidValue, "limit", None),
            ("queue=a%20b", Code::InvalidValue, "queue", None),
            ("ordering_key=%00", Code::InvalidValue, "ordering_key", None),
        ] {
            let refusal = JobsQuery::read(query).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (code, Some(field)), "{query}");
            assert_eq!(refusal.nearest.as_deref(), nearest, "{query}");
        }
        assert_eq!(WaitQuery::read("wait_ms=60001").unwrap_err().code, Code::InvalidValue);
        assert_eq!(read_no_query("a=b").unwrap_err().code, Code::UnknownField);
        assert_eq!(read_no_query(""), Ok(()));
    }
}
