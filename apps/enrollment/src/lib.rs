//! An enrolment portal on Tidegate: who gets a seat is decided once, and whoever has one is enrolled everywhere.
//!
//! | room | what it is | what it never has |
//! |---|---|---|
//! | [`catalogue`] | courses, sections, students; made from a seed | seats that are taken |
//! | [`eligibility`] | the university's rules, pure | the state of anything |
//! | [`seats`] | the one door to what is scarce; one implementation a strategy | HTTP, words for people |
//! | [`chain`] | what follows an enrolment or a drop, step by step | an opinion about who gets a seat |
//! | [`downstream`] | three systems of their own: mail, academic record, fee ledger | retries; the queue has them |
//!
//! It is an app on the public SDK: everything about pools and jobs is `tidegate`'s.

mod args;
pub mod catalogue;
pub mod chain;
pub mod downstream;
pub mod duration;
pub mod eligibility;
pub mod seats;
pub mod serve;

pub use args::ServeArgs;
