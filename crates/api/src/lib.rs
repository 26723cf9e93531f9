//! The JSON types that Tidegate's server and clients share.
//!
//! What is said over HTTP is said in these types, and their documentation is the API's: the OpenAPI document is made
//! from it. The crate reads and checks **syntax and sizes** (names, ranges, lengths, fields that exclude each other) and
//! says what is wrong by code, field, value and what is allowed. It knows no meaning (whether a queue exists, a token
//! is stale), has no clock, and opens no connection.
//!
//! - Requests ([`enqueue`], [`lease`], [`settle`], [`work`], [`transaction`], [`queue`], [`dead`], [`pool`], [`query`]) borrow from the
//!   body they are read from, and are built and written by clients as the same types. [`read`] has the ways in.
//! - Answers are plain owned types for clients. The frequent ones are written by [`mod@write`] instead, straight from what
//!   the server has at hand; tests hold the two to the same bytes.
//! - Refusals ([`refusal`]) have stable codes. [`operations`] lists every call with every code it may be refused with.
//! - Every limit is in [`limits`].
//! - With the feature `engine`, `convert` is the one step from here to the engine and back.
//!
//! ```
//! use tidegate_api::enqueue::NewJob;
//! use tidegate_api::read::read;
//! use tidegate_api::refusal::Code;
//!
//! let job: NewJob<'_> = read(r#"{"kind": "welcome", "payload": {"to": "ada"}, "delay_ms": 5000}"#).unwrap();
//! assert_eq!(job.payload.unwrap().text(), r#"{"to": "ada"}"#);
//!
//! let refused = read::<NewJob<'_>>(r#"{"prioritty": 1}"#).unwrap_err();
//! assert_eq!(refused.code, Code::UnknownField);
//! assert_eq!(refused.nearest.as_deref(), Some("priority"));
//! ```

#![forbid(unsafe_code)]

mod as_text;
#[cfg(feature = "engine")]
pub mod convert;
pub mod dead;
pub mod enqueue;
pub mod id;
pub mod idempotency;
pub mod job;
pub mod lease;
pub mod limits;
pub mod nearest;
mod object;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod operations;
pub mod pool;
pub mod query;
pub mod queue;
pub mod read;
pub mod refusal;
pub mod settle;
pub mod shape;
pub mod syntax;
pub mod time;
pub mod transaction;
pub mod value;
pub mod words;
pub mod work;
pub mod write;
