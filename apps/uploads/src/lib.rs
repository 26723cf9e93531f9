//! An upload service on Tidegate: accepting an image is separated from working on it.
//!
//! | room | what it is | what it never has |
//! |---|---|---|
//! | [`app`] | what an upload is: from its first byte to its three jobs | HTTP, the work itself |
//! | [`work`], [`staff`] | the three workers, and their running | HTTP |
//! | [`web`], [`problem`] | routes, forms, the page | rules about uploads |
//! | [`hub`], [`status`] | what pages that look on are told | |
//! | [`store`] | images, thumbnails and marks in append-only files, with group commit | jobs, HTTP |
//! | [`images`] | judging an image by its content, and its thumbnails | files, the network |
//! | [`pool`] | threads of low priority for what keeps a core busy | an opinion about the work |
//! | [`mail`] | delivering an email once, to a mailbox on disk or by SMTP | retries; the queue has them |
//!
//! It is an app on the public SDK: everything about jobs is `tidegate`'s. What it shares with the other app is `app_kit`'s.

pub mod app;
mod args;
pub mod hub;
pub mod images;
pub mod mail;
pub mod pool;
pub mod problem;
pub mod serve;
pub mod staff;
pub mod status;
pub mod store;
pub mod web;
pub mod work;

pub use args::ServeArgs;
