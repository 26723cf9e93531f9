//! Whether what is new must be refused because the disk is nearly full, judged from the disk itself.
//!
//! The rule (`Options::disk_reserve_bytes`): a shard looks once a second while it has turns, and before that if by its own count what it has
//! submitted since may have filled the disk. Below the reserve it says no; once it has, an eighth more must be free before it says yes
//! again. Left out: what the shard says about itself.

use tidegate_engine::limits::LOG_LOOK_MS;

/// What a shard must know of its disk.
#[derive(Debug, Default)]
pub(crate) struct Room {
    reserve: u64,
    look_at: u64,
    /// Free when it was looked at last, less what has been submitted since.
    left: u64,
    full: bool,
}

impl Room {
    /// A shard that has just been opened and has not looked yet.
    pub(crate) fn new(reserve: u64) -> Self {
        Self { reserve, ..Self::default() }
    }

    /// A turn begins at `time`, with so many bytes free. Whether what is new is refused in it.
    pub(crate) fn turn(&mut self, time: u64, free_bytes: u64) -> bool {
        let is_due = time >= self.look_at;
        if is_due {
            self.look_at = time + LOG_LOOK_MS;
        }
        if is_due || (!self.full && self.left < self.reserve) {
            let needed = if self.full { self.reserve + self.reserve / 8 } else { self.reserve };
            self.full = free_bytes < needed;
            self.left = free_bytes;
        }
        self.full
    }

    /// The turn has submitted so many bytes.
    pub(crate) fn submitted(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_below_the_reserve_and_has_room_above_an_eighth_more() {
        let mut room = Room::new(800);
        assert!(!room.turn(5, 800));
        assert!(!room.turn(900, 100), "nobody looks before the second is over");
        assert!(room.turn(1_005, 799));
        assert!(room.turn(2_005, 899));
        assert!(room.turn(3_004, 10_000), "nobody looks");
        assert!(!room.turn(3_005, 900));
        room.submitted(100);
        assert!(!room.turn(3_006, 100), "by its own count there are 800");
        room.submitted(1);
        assert!(room.turn(3_007, 100), "there may be less");
    }
}
