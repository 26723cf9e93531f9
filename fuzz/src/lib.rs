//! What the fuzzers hold to what: one module for each target, each with one function that takes any bytes.
//!
//! Every function asserts a property and not only that nothing panics. None of them knows who made the bytes, so the same
//! function serves libFuzzer, the replay of a corpus, and the program that writes the first seeds.
//!
//! | target | what is read | what is held |
//! |---|---|---|
//! | [`frame`] | a frame's bytes | what is sound is built anew to the same bytes; no flipped bit stays unseen |
//! | [`record`] | the records of a log | they are applied to the same state whatever they say, and come out as they went in |
//! | [`segments`] | a log's directory | what was acknowledged is there as it was, or its loss is named; `inspect` sees what opening sees |
//! | [`history`] | commands and time | a replay, whole or behind a walk, gives the state that there was |
//! | [`bodies`] | bodies, queries, ids, times | what was read is written so that it reads the same; lists are read alike at both paces |
//! | [`door`] | HTTP requests | every answer is one the table of operations has; the log replays to the state |
//!
//! The seventh, `cli`, is in its own file, since it is built around the sources of the program.

pub mod bodies;
pub mod door;
pub mod frame;
pub mod history;
pub mod record;
pub mod segments;
