//! Cancel a job that has not ended; give a dead one another payload.

use super::super::{State, Turn};
use crate::command::Edit;
use crate::id::JobId;
use crate::outcome::{Item, Outcome, Refusal};
use crate::record::{Cancelled, Edited, EndReason, Record};
use crate::view::JobState;

impl State {
    pub(super) fn decide_cancel(&mut self, id: JobId, turn: &mut Turn<'_>) -> Outcome {
        let Some(slot) = self.find(id) else { return Outcome::Refused(Refusal::JobNotFound) };
        let state = self.jobs.get(slot).state;
        match state {
            JobState::Cancelled => {}
            _ if state.has_ended() => return Outcome::Refused(Refusal::JobEnded(state)),
            _ => {
                let record = Cancelled { job: id.sequence(), reason: EndReason::Cancelled as i32 };
                self.end_in_turn(slot, Record::Cancelled(record), turn);
            }
        }
        Outcome::Settled(Item::Is { id, state: JobState::Cancelled, at: None })
    }

    pub(super) fn decide_edit(&mut self, edit: Edit, turn: &mut Turn<'_>) -> Outcome {
        let Some(slot) = self.find(edit.id) else { return Outcome::Refused(Refusal::JobNotFound) };
        let state = self.jobs.get(slot).state;
        if state != JobState::Dead {
            return Outcome::Refused(Refusal::NotDead(state));
        }
        let offset = turn.place(0, edit.blob_len);
        let record = Edited { job: edit.id.sequence(), offset, len: edit.blob_len };
        self.emit(turn, Record::Edited(record));
        Outcome::Settled(Item::Is { id: edit.id, state, at: None })
    }
}
