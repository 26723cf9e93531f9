//! Tidegate's HTTP door: the engine's calls as JSON over HTTP/1.1 and HTTP/2.
//!
//! | file | what it is |
//! |---|---|
//! | `serve` | listening, connections, the graceful end |
//! | `lane` | the short way of plain HTTP/1.1 requests; hyper has the rest |
//! | `row` | single jobs that follow each other without waiting: one call of the engine |
//! | `anywhere` | a connection goes on where its answer comes from, when the machine is at rest |
//! | `door` | what is behind every request; the dispatch |
//! | `route` | from method and path to a call |
//! | `body` | request bodies, bounded before memory is taken |
//! | `written` | pools that have been written as JSON |
//! | `watch_room` | how many pools may be watched, and by whom |
//! | `reply` | answers, problems, streams of results |
//! | `calls/` | a file for each room of the API |
//! | [`limits`] | every bound |
//!
//! The door parses syntax and sizes (with `tidegate-api`), makes one command of a request, and writes what the engine
//! answers. It holds no state of its own and judges no meaning.
//!
//! Left out: rules about jobs, TLS, authentication, the console.

#![forbid(unsafe_code)]

mod anywhere;
mod body;
mod calls;
mod door;
mod lane;
pub mod limits;
mod reply;
mod route;
mod row;
mod serve;
mod unread;
mod watch_room;
mod written;

pub use serve::{Options, ServeError, Server};
