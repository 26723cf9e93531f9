//! What follows an enrolment: mail, record, fee; and a drop: the same in reverse.

use serde::{Deserialize, Serialize};

use crate::catalogue::{CourseId, SectionId, StudentId};

/// What an enrolment's follow-up jobs know: the payload of each of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The enrolment's name downstream; whoever writes it twice finds it there.
    pub enrolment: String,
    /// Who.
    pub student: StudentId,
    /// In which section.
    pub section: SectionId,
    /// Of which course.
    pub course: CourseId,
    /// What it counts.
    pub credits: u32,
    /// What it costs, in cents.
    pub fee_cents: u32,
}

/// What a drop's follow-up jobs know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Who.
    pub student: StudentId,
    /// Which section was dropped.
    pub section: SectionId,
    /// Entries with a lower number are undone; one that comes later still is not written.
    pub before: u64,
}
