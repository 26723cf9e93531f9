//! The calls, a file for each room of the API. Each reads its request, asks the engine, and writes the answer.

pub(crate) mod dead;
pub(crate) mod enqueue;
pub(crate) mod grants;
pub(crate) mod health;
pub(crate) mod items;
pub(crate) mod jobs;
pub(crate) mod lines;
pub(crate) mod pools;
pub(crate) mod queues;
pub(crate) mod stream;
pub(crate) mod transactions;
pub(crate) mod watch;
pub(crate) mod work;
