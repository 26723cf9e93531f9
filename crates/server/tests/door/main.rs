//! The door over real sockets, in front of the real engine on a real disk.

mod bodies;
mod connections;
mod docs;
mod idempotency;
mod jobs;
mod lane;
mod pools;
mod queues;
mod refusals;
mod streams;
mod support;
mod transactions;
mod watch;
mod work;
