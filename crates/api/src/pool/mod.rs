//! Pools: what is scarce, who has it, who waits for it.
//!
//! | file | what it is |
//! |---|---|
//! | [`config`] | how a pool is set up |
//! | [`wish`] | what is asked of one pool or one grant, whose name or id is in the path |
//! | [`request`] | the same as steps of lists and transactions, which name pool and grant themselves |
//! | [`condition`] | what must be so for a transaction to be done |
//! | [`grant`] | answers: a grant, a place in line |
//! | [`view`] | how pools stand; who was in a drawn opening |
//! | [`holder`] | one holder's whole story |
//! | [`watch`] | what a watcher hears, and how it says what it has heard |
//! | [`query`] | query strings |
//!
//! What the words mean is in `docs/pools.md`.

pub mod condition;
pub mod config;
pub mod grant;
pub mod holder;
pub mod query;
pub mod request;
pub mod view;
pub mod watch;
pub mod wish;
