//! Real faults: the real `tidegate serve` on real files is killed, stopped, starved of disk, lied to by its clock and cut
//! off from its disk, while producers and workers go on calling it. What they ask and hear is a history on disk, and a
//! checker reads it: nothing lost, nothing twice, nothing made up, nothing out of order.
//!
//! ```text
//!   producers ─┐                       ┌─ scenarios: what goes wrong, and when
//!              ├─ caller ──HTTP──▶ tidegate serve ──▶ a directory, an ext4 image, …
//!   workers ───┘    │
//!                   ▼ ask, answer                      audit: what the API shows at the end
//!               history ◀────────────────────────────────┘
//!                   │
//!                checker ──▶ verdict
//! ```
//!
//! Left out: the rules of jobs in full. That is the simulator's matter (`crates/sim`), which also finds things by seed; here
//! the same seed draws the same faults, and the machine decides the rest.

mod audit;
mod caller;
pub mod chance;
pub mod checker;
pub mod history;
mod load;
mod machine;
pub mod scenarios;
mod server;
mod stage;

pub use load::{WorkerSettings, work};
