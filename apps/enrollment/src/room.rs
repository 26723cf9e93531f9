//! The waiting room: who is here before the opening. Being here early is no advantage, and the room says so; its numbers are
//! for patience, not for order.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::catalogue::StudentId;
use crate::seats::Moment;

/// Who was not heard of for so long has left the room.
const HERE_MS: u64 = 20_000;
/// How often those who are here are counted.
const COUNTED_MS: u64 = 1_000;

/// What somebody in the room is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// How many are here.
    pub here: usize,
    /// As which of them this one came, from 1.
    pub arrived_as: usize,
}

/// Who is here. It holds students of the catalogue, and so no more than there are.
#[derive(Debug, Default)]
pub struct WaitingRoom(Mutex<Guests>);

#[derive(Debug, Default)]
struct Guests {
    /// As which one each came, and when it was last heard of.
    seen: HashMap<StudentId, (usize, Moment)>,
    here: usize,
    counted_at: Moment,
}

impl WaitingRoom {
    /// A student is here.
    pub fn enter(&self, student: &StudentId, now: Moment) -> Room {
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = guests.seen.len() + 1;
        let (arrived_as, last) = guests.seen.entry(student.clone()).or_insert((next, now));
        *last = now;
        let arrived_as = *arrived_as;
        if arrived_as == next || guests.counted_at + COUNTED_MS <= now {
            guests.here = guests.seen.values().filter(|(_, last)| last + HERE_MS > now).count();
            guests.counted_at = now;
        }
        Room { here: guests.here, arrived_as }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_is_not_counted_and_keeps_their_number() {
        let room = WaitingRoom::default();
        let [anna, bert] = ["s1", "s2"].map(StudentId::from);
        assert_eq!(room.enter(&anna, 0), Room { here: 1, arrived_as: 1 });
        assert_eq!(room.enter(&bert, 1), Room { here: 2, arrived_as: 2 });
        assert_eq!(room.enter(&bert, HERE_MS + 1), Room { here: 1, arrived_as: 2 });
        assert_eq!(
            room.enter(&anna, HERE_MS + 2),
            Room { here: 1, arrived_as: 1 },
            "not counted anew at once"
        );
        assert_eq!(room.enter(&anna, HERE_MS + COUNTED_MS + 1), Room { here: 2, arrived_as: 1 });
    }
}
