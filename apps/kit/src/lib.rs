//! What the reference systems have in common and is not about either of them.
//!
//! | room | what it is |
//! |---|---|
//! | [`program`] | a program's beginning and end: its log, its signals, its exit code |
//! | [`listen`], [`page`], [`origin`] | the listener within bounds; files of a page; whose page asks |
//! | [`duration`], [`words`] | spans of time, numbers and colours, for people |
//! | [`process`], [`engine_server`] | a server as a child: started, killed, started again, ended |
//! | [`port`] | a port that stays ours while nobody listens on it |
//! | [`wire`] | one HTTP connection of a load: a request out, an answer in |
//! | [`chance`], [`cpu`] | chance that can be repeated; who used the processor |
//! | [`chart`] | the shapes and axes of a drawing |
//!
//! The first half serves, the second puts what serves under load. It knows no route, no job and no word of either
//! system, and nothing of the engine: what an app says to that goes through the public SDK.

pub mod chance;
pub mod chart;
pub mod cpu;
pub mod duration;
pub mod engine_server;
pub mod listen;
pub mod origin;
pub mod page;
pub mod port;
pub mod process;
pub mod program;
pub mod wire;
pub mod words;
