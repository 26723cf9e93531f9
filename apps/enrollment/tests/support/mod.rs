//! What the tests have in common: the portal as a process, and PostgreSQL.

#![allow(dead_code, reason = "each test target uses its own part")]

pub(crate) mod portal;
pub(crate) mod postgres;
