//! The JSON of every request, told as data; and the explanation of what is wrong with a text that does not
//! fit.
//!
//! Reading is serde's work, and serde stops at the first thing it does not like with a sentence for programmers.
//! Only then, `explain` looks at the text again, slowly and side by side with its [`Shape`], and says by code
//! and path what it is: an unknown field, a missing one, a wrong type, a value out of range. Payloads are never looked
//! into, so their depth costs nothing. The OpenAPI document takes its constraints from the shapes too, and tests
//! hold them against serde in both directions.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::id::{CauseId, GrantId, JobId};
use crate::refusal::{Code, Refusal, Refused};
use crate::syntax;
use crate::time::Timestamp;
use crate::value::{Metadata, Text};

/// What a place in a request may hold.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Any JSON, kept as text; so many bytes at most.
    Any(usize),
    /// `true` or `false`.
    Boolean,
    /// An integer in a range.
    Integer(&'static RangeInclusive<u64>),
    /// A number in a range, decimals allowed.
    Number(&'static RangeInclusive<f64>),
    /// The name of a queue, a pool, a group, a kind or a dependency.
    Name,
    /// What stands behind the `@` of names.
    Place,
    /// Text without control characters, of so many bytes.
    Text(&'static RangeInclusive<u64>),
    /// Any text, of which so many bytes are kept.
    Message(usize),
    /// Bytes in base64; so many of them at most.
    Base64(usize),
    /// A W3C `traceparent`.
    Traceparent,
    /// A moment.
    Timestamp,
    /// The id of a job.
    JobId,
    /// The id of a grant.
    GrantId,
    /// The id of a cause of death.
    CauseId,
    /// One of a few words.
    Word(&'static [&'static str]),
    /// An object of texts.
    Metadata,
    /// An object of texts that a pool has.
    Attributes,
    /// A list of a number of items.
    List(&'static Shape, &'static RangeInclusive<u64>),
    /// An object with fields of its own.
    Object(&'static Object),
    /// An object with exactly one of these fields.
    OneOf(&'static Object),
}

/// An object's name in the OpenAPI document, and its fields.
#[derive(Debug)]
pub struct Object {
    /// The name of the Rust type that reads it.
    pub name: &'static str,
    /// Its fields, in the order of the documentation.
    pub fields: &'static [Field],
}

/// A field of an [`Object`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The field's name.
    pub name: &'static str,
    /// What it may hold. A field that is not required may also be `null`, which is the same as not there.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
}

impl Field {
    /// A field that may be left out.
    pub const fn optional(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, required: false }
    }

    /// A field that must be there.
    pub const fn required(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, required: true }
    }
}

/// Says what is wrong with a JSON text that could not be read as an `object`.
///
/// `error` is what serde said; it is repeated only when the text is not JSON at all, or names a field twice.
pub(crate) fn explain(text: &str, object: &'static Object, error: &serde_json::Error) -> Refused {
    explain_shape(text, &Shape::Object(object), error)
}

/// Says what is wrong with a JSON text that could not be read as a `shape`.
pub(crate) fn explain_shape(text: &str, shape: &Shape, error: &serde_json::Error) -> Refused {
    let looked_at = serde_json::from_str(text).ok().and_then(|raw| look_at(raw, shape, "").err());
    looked_at.unwrap_or_else(|| Box::new(invalid_json(error)))
}

/// The refusal of a text that is not JSON, in serde's words: they name line and column.
pub(crate) fn invalid_json(error: &serde_json::Error) -> Refusal {
    Refusal::new(Code::InvalidJson, format!("The JSON cannot be read: {error}."))
}

fn look_at(raw: &RawValue, shape: &Shape, path: &str) -> Result<(), Refused> {
    match *shape {
        Shape::Any(bytes_max) => syntax::json(path, &raw.into(), bytes_max),
        Shape::Boolean => typed::<bool>(raw, shape, path).map(drop),
        Shape::Integer(range) => integer(raw, range, path),
        Shape::Number(range) => syntax::range_f64(path, typed(raw, shape, path)?, range),
        Shape::Name => syntax::name(path, &text(raw, shape, path)?),
        Shape::Place => syntax::place(path, &text(raw, shape, path)?),
        Shape::Text(bytes) => syntax::text(path, &text(raw, shape, path)?, bytes),
        Shape::Message(_) => text(raw, shape, path).map(drop),
        Shape::Base64(bytes_max) => syntax::base64(path, &text(raw, shape, path)?, bytes_max),
        Shape::Traceparent => syntax::traceparent(path, &text(raw, shape, path)?),
        Shape::Timestamp => {
            syntax::parsed::<Timestamp>(path, &text(raw, shape, path)?, Timestamp::ALLOWED).map(drop)
        }
        Shape::JobId => syntax::parsed::<JobId>(path, &text(raw, shape, path)?, JobId::ALLOWED).map(drop),
        Shape::GrantId => {
            syntax::parsed::<GrantId>(path, &text(raw, shape, path)?, GrantId::ALLOWED).map(drop)
        }
        Shape::CauseId => {
            syntax::parsed::<CauseId>(path, &text(raw, shape, path)?, CauseId::ALLOWED).map(drop)
        }
        Shape::Word(words) => syntax::word(path, &text(raw, shape, path)?, words),
        Shape::Metadata => syntax::metadata(path, &typed::<Metadata<'_>>(raw, shape, path)?),
        Shape::Attributes => syntax::attributes(path, &typed::<Metadata<'_>>(raw, shape, path)?),
        Shape::List(item, count) => {
            let items: Vec<&RawValue> = typed(raw, shape, path)?;
            syntax::items(path, items.len(), count)?;
            items.iter().enumerate().try_for_each(|(i, raw)| look_at(raw, item, &format!("{path}[{i}]")))
        }
        Shape::Object(object) => look_at_object(raw, object, path),
        Shape::OneOf(object) => look_at_one_of(raw, object, path),
    }
}

fn look_at_object(raw: &RawValue, object: &Object, path: &str) -> Result<(), Refused> {
    let members = look_at_members(raw, object, path)?;
    let missing = |field: &&Field| field.required && !members.iter().any(|(name, _)| *name == field.name);
    match object.fields.iter().find(missing) {
        Some(field) => Err(Box::new(Refusal::missing_field(&below(path, field.name)))),
        None => Ok(()),
    }
}

fn look_at_one_of(raw: &RawValue, object: &Object, path: &str) -> Result<(), Refused> {
    let members = look_at_members(raw, object, path)?;
    syntax::ensure(members.len() == 1, || {
        let names: Vec<&str> = object.fields.iter().map(|field| field.name).collect();
        let allowed = format!("an object with exactly one of: {}", names.join(", "));
        Refusal::invalid_value(path, value_of(raw), allowed)
    })
}

/// The path of a member of the object at `path`.
fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// An object's members, each of which is known, there once, and what it should be.
fn look_at_members<'a>(
    raw: &'a RawValue,
    object: &Object,
    path: &str,
) -> Result<Vec<(Text<'a>, &'a RawValue)>, Refused> {
    let below = |name: &str| below(path, name);
    let Members(members) = serde_json::from_str(raw.get()).map_err(|_| wrong_type(raw, "an object", path))?;
    for (i, (name, raw)) in members.iter().enumerate() {
        let Some(field) = object.fields.iter().find(|field| *name == field.name) else {
            return Err(Box::new(Refusal::unknown_field(
                &below(name),
                object.fields.iter().map(|field| field.name),
            )));
        };
        if members[..i].iter().any(|(before, _)| before == name) {
            let detail = format!("`{}` is there twice.", below(name));
            return Err(Box::new(Refusal::new(Code::InvalidJson, detail)));
        }
        if field.required || raw.get() != "null" {
            look_at(raw, &field.shape, &below(name))?;
        }
    }
    Ok(members)
}

/// An integer of any size is of the right type; whether it is in its range is the next question.
fn integer(raw: &RawValue, range: &RangeInclusive<u64>, path: &str) -> Result<(), Refused> {
    if let Ok(value) = raw.get().parse::<u64>() {
        return syntax::range(path, value, range);
    }
    let digits = raw.get().strip_prefix('-').unwrap_or(raw.get());
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    Err(if is_integer {
        Box::new(Refusal::invalid_value(path, value_of(raw), syntax::range_allowed(range)))
    } else {
        wrong_type(raw, "an integer", path)
    })
}

fn text<'a>(raw: &'a RawValue, shape: &Shape, path: &str) -> Result<Text<'a>, Refused> {
    typed(raw, shape, path)
}

fn typed<'a, T: Deserialize<'a>>(raw: &'a RawValue, shape: &Shape, path: &str) -> Result<T, Refused> {
    serde_json::from_str(raw.get()).map_err(|_| wrong_type(raw, type_allowed(shape), path))
}

fn type_allowed(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any(_) => "JSON",
        Shape::Boolean => "true or false",
        Shape::Integer(_) => "an integer",
        Shape::Number(_) => "a number",
        Shape::Metadata | Shape::Attributes => "an object of texts",
        Shape::List(..) => "a list",
        Shape::Object(_) | Shape::OneOf(_) => "an object",
        Shape::Name
        | Shape::Place
        | Shape::Text(_)
        | Shape::Message(_)
        | Shape::Base64(_)
        | Shape::Traceparent
        | Shape::Timestamp
        | Shape::JobId
        | Shape::GrantId
        | Shape::CauseId
        | Shape::Word(_) => "a string",
    }
}

fn wrong_type(raw: &RawValue, allowed: &str, path: &str) -> Refused {
    Box::new(Refusal::wrong_type(path, type_found(raw), value_of(raw), allowed))
}

fn type_found(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The value for a refusal to repeat; one that is too deep or too large for that is repeated as (cut) text.
fn value_of(raw: &RawValue) -> serde_json::Value {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().into())
}

/// An object's names and values, duplicates and order included.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// The text of the member `name` of a JSON object, if both are what they should be.
pub(crate) fn text_member(raw: &RawValue, name: &str) -> Option<String> {
    let Members(members) = serde_json::from_str(raw.get()).ok()?;
    let (_, value) = members.iter().find(|(candidate, _)| *candidate == *name)?;
    serde_json::from_str(value.get()).ok()
}
