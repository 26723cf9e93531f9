//! What the tests of the reference systems have in common and is not about either of them.
//!
//! | room | what it is |
//! |---|---|
//! | [`program`] | the binary under test as a process: started, killed, started again |
//! | [`http`] | one request, one connection, nothing retried: a test knows what was asked |
//! | [`browser`] | headless Chromium for a scene |
//! | [`help`] | what a command line says of itself, in a narrow terminal |
//!
//! It is a crate of its own so that a browser's driver is nobody's dependency but the tests'. Everything in it panics where
//! something is not as it must be, with words for whoever reads the test's output.

use std::time::Duration;

pub mod browser;
pub mod help;
pub mod http;
pub mod program;

/// Patience with a machine that is slow, or busy with other tests; nothing is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(240);
/// Between two looks at something that is waited for.
pub const POLL_EVERY: Duration = Duration::from_millis(20);
