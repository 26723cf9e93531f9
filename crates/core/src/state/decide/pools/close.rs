//! A pool that has closed lets its line go: nobody who waits there will be offered anything.
//!
//! A long line goes over many turns, the first in line first, and each of them is told in his story. Until the last is gone the pool can
//! be opened again, by a new configuration; those who wait still do then.

use alloc::vec::Vec;

use super::super::super::{State, Turn};
use crate::limits::EXPIRE_PER_TURN;
use crate::pool::record::LeftLine;
use crate::record::Record;

impl State {
    /// Goes on with all lines of closed pools.
    pub(in super::super::super) fn let_lines_go(&mut self, turn: &mut Turn<'_>) {
        let mut budget = EXPIRE_PER_TURN;
        while budget > 0
            && let Some(name) = self.pools.closing.first().cloned()
            && let Some(pool) = self.pools.pools.find(0, &name)
        {
            let before = budget;
            self.let_line_go(pool, &mut budget, turn);
            if budget == before {
                // Only a log that nobody wrote counts more who wait than stand in line.
                self.pools.closing.remove(&name);
            }
        }
    }

    /// Lets go those in line, if the pool has closed, as far as the budget goes; the rest is for the next turns.
    pub(super) fn let_line_go(&mut self, pool: u32, budget: &mut usize, turn: &mut Turn<'_>) {
        let entry = self.pools.pools.get(pool);
        if !entry.closed {
            return;
        }
        let line: Vec<u32> = entry.in_order((0, 0)).take(*budget).collect();
        *budget -= line.len();
        for waiter in line {
            let record = LeftLine { closed: true, ..self.left_line(waiter) };
            self.emit(turn, Record::LeftLine(record));
        }
    }
}
