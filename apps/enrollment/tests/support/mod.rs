//! What the tests have in common: the portal as a process, PostgreSQL, and plain HTTP.

#![allow(dead_code, reason = "each test target uses its own part")]

pub(crate) mod http;
pub(crate) mod portal;
pub(crate) mod postgres;
