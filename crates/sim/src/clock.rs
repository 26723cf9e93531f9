//! The simulated clocks: a wall clock that people set, and a steady one that only goes on.

use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_core::Time;
use tidegate_engine::{Clock, Now};

/// See the module.
#[derive(Debug)]
pub struct SimulatedClock {
    wall: AtomicU64,
    steady: AtomicU64,
}

impl SimulatedClock {
    /// Where the wall clock begins, in ms: far from 0, so that it can be set back.
    const START: u64 = 1_000_000_000_000;

    /// Both clocks at their beginning.
    #[must_use]
    pub fn new() -> Self {
        Self { wall: AtomicU64::new(Self::START), steady: AtomicU64::new(0) }
    }

    /// Time passes.
    pub fn pass(&self, ms: u64) {
        self.wall.fetch_add(ms, Ordering::Relaxed);
        self.steady.fetch_add(ms, Ordering::Relaxed);
    }

    /// Somebody sets the wall clock forward.
    pub fn set_forward(&self, ms: u64) {
        self.wall.fetch_add(ms, Ordering::Relaxed);
    }

    /// Somebody sets the wall clock back.
    pub fn set_back(&self, ms: u64) {
        self.wall.fetch_sub(ms, Ordering::Relaxed);
    }
}

impl Default for SimulatedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Now {
        Now { wall: Time(self.wall.load(Ordering::Relaxed)), steady_ms: self.steady.load(Ordering::Relaxed) }
    }
}
