//! What was last seen of students and of what is to be done: what is answered while the seats cannot be asked, with its time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::catalogue::StudentId;
use crate::downstream::System;
use crate::seats::{Backlog, Moment, Story};

/// What goes with everything that is shown of an earlier time.
pub const AWAY: &str =
    "The server that keeps the seats does not answer. This is how it stood when it last did.";

/// Students who are remembered; of more, somebody is forgotten.
const STUDENTS_MAX: usize = 10_000;

type Stories = HashMap<StudentId, (Moment, Arc<Story>)>;
type Backlogs = Vec<(System, Backlog)>;

/// The memory.
#[derive(Debug, Default)]
pub struct LastSeen {
    stories: Mutex<Stories>,
    backlog: Mutex<Option<(Moment, Backlogs)>>,
}

impl LastSeen {
    /// A student's story, as it is now.
    pub fn saw(&self, student: &StudentId, story: &Arc<Story>, now: Moment) {
        let mut stories = self.stories.lock().unwrap_or_else(PoisonError::into_inner);
        if stories.len() >= STUDENTS_MAX && !stories.contains_key(student) {
            let somebody = stories.keys().next().cloned();
            somebody.and_then(|somebody| stories.remove(&somebody));
        }
        stories.insert(student.clone(), (now, Arc::clone(story)));
    }

    /// A student's story, and as of when.
    #[must_use]
    pub fn story(&self, student: &StudentId) -> Option<(Moment, Arc<Story>)> {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner).get(student).cloned()
    }

    /// What is to be done now.
    pub fn saw_backlog(&self, backlog: &[(System, Backlog)], now: Moment) {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, backlog.to_vec()));
    }

    /// What was to be done, and as of when.
    #[must_use]
    pub fn backlog(&self) -> Option<(Moment, Backlogs)> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
