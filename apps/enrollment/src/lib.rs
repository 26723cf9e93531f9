//! An enrolment portal on Tidegate: who gets a seat is decided once, and whoever has one is enrolled everywhere.
//!
//! | room | what it is | what it never has |
//! |---|---|---|
//! | [`catalogue`] | courses, sections, students; made from a seed | seats that are taken |
//! | [`eligibility`] | the university's rules, pure | the state of anything |
//! | [`seats`] | the one door to what is scarce; one implementation a strategy | HTTP, words for people |
//! | [`app`] | what a student, a registrar and support can ask | HTTP |
//! | [`refusal`] | a refusal in words: what changed, what is still possible | deciding |
//! | [`board`] | how sections stand, read once for all who look | |
//! | [`pace`], [`room`], [`tally`] | estimates, the waiting room, the day's numbers | anything that must last |
//! | [`presses`] | presses that were refused, for support | what was done; the seats tell that |
//! | [`last_seen`] | what is shown while the seats cannot be asked | |
//! | [`university`] | of which university the data is | |
//! | [`web`] | routes, pages | rules |
//! | [`chain`] | what follows an enrolment or a drop, step by step | an opinion about who gets a seat |
//! | [`downstream`] | three systems of their own: mail, academic record, fee ledger | retries; the queue has them |
//!
//! It is an app on the public SDK: everything about pools and jobs is `tidegate`'s. What it shares with the other app is
//! `app_kit`'s.

pub mod app;
mod args;
pub mod board;
pub mod catalogue;
pub mod chain;
pub mod downstream;
pub mod eligibility;
pub mod last_seen;
pub mod pace;
pub mod presses;
pub mod refusal;
pub mod room;
pub mod seats;
pub mod serve;
pub mod tally;
pub mod university;
pub mod web;

pub use args::ServeArgs;
