//! Pools in this world: what callers say and hear of them, how often, what must hold whatever was asked, what was reached.
//!
//! What must come of a call is the twin's to say (`twin/pools`); how calls are made is in `operations/pools`.
//!
//! | file | what it is |
//! |---|---|
//! | `call` | calls and answers |
//! | `plan` | how narrow pools are in a seed's world, and how often anybody asks for one |
//! | `judge` | promises held against what is seen, with the twin and without it |
//! | `published` | what is published and what a watcher hears |
//! | `coverage` | what was reached |

pub mod call;
pub mod coverage;
pub(crate) mod judge;
pub mod plan;
pub(crate) mod published;
