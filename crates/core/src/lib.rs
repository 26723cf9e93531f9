//! The rules of Tidegate: what a job may do, and when.
//!
//! A shard's whole truth is a [`State`]. Three functions touch it:
//!
//! - [`State::begin_turn`] tells it the turn's number and time;
//! - [`State::decide`] judges one [`Command`], pushes the [`Record`]s that follow from it, applies each at once
//!   and returns the [`Outcome`]; [`State::expire`] does the same for what time alone has made due;
//! - [`State::apply`] is the only code that changes the truth. It cannot fail, and replaying a log is nothing
//!   but calling it again.
//!
//! What is deliberately absent: a clock (time is an argument), input and output, threads, chance (jitter is a hash of
//! ids and a seed that is in the log), and payload bytes (the state knows where a payload is and how long, no more).
//! The crate is `no_std`, so that the compiler says so.
#![no_std]

extern crate alloc;

pub mod answer;
pub mod command;
pub mod id;
pub mod limits;
pub mod outcome;
pub mod policy;
pub mod pool;
pub mod possible;
pub mod record;
pub mod sabotage;
pub mod state;
pub mod view;

pub use command::{Command, Request};
pub use id::{JobId, Time, Token};
pub use outcome::{Outcome, Refusal};
pub use record::Record;
pub use state::{Sink, State};
