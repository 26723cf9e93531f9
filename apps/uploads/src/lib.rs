//! The rooms of the upload service.
//!
//! | room | what it is | what it never has |
//! |---|---|---|
//! | [`store`] | images, thumbnails and marks in append-only files, with group commit | jobs, HTTP |
//! | [`images`] | judging an image by its content, and its thumbnails | files, the network |
//! | [`pool`] | threads of low priority for what keeps a core busy | an opinion about the work |
//! | [`mail`] | delivering an email once, to a mailbox on disk or by SMTP | retries; the queue has them |

pub mod images;
pub mod mail;

pub mod pool;
pub mod store;
