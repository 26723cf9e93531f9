//! The university's rules: who may have a section beside what they have already. Pure: the same facts, the same verdict.
//!
//! What is not here: whether there is a seat. And what a strategy must do by itself: see to it that the facts are still so
//! at the moment it writes. Tidegate's transaction has them as conditions.

use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, CourseId, Meeting, Section, SectionId, Student};

/// Why a student may not have a section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Ineligible {
    /// The student has this section already.
    HasSection,
    /// The student has another section of the course.
    SameCourse {
        /// That one.
        section: SectionId,
    },
    /// The student has completed the course.
    Completed,
    /// Something must be completed before.
    Prerequisites {
        /// What is missing.
        missing: Vec<CourseId>,
    },
    /// It would be too many credits.
    Credits {
        /// What the student has, offers included.
        have: u32,
        /// What the section counts.
        wants: u32,
        /// What the student may have.
        max: u32,
    },
    /// Nobody can be at two places.
    Clash {
        /// The section that the student has.
        section: SectionId,
        /// When this section meets then.
        meeting: Meeting,
    },
}

impl Ineligible {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::HasSection => "already_enrolled",
            Self::SameCourse { .. } => "same_course",
            Self::Completed => "already_completed",
            Self::Prerequisites { .. } => "prerequisites",
            Self::Credits { .. } => "credit_limit",
            Self::Clash { .. } => "time_conflict",
        }
    }

    /// As a student understands it.
    #[must_use]
    pub fn words(&self, catalogue: &Catalogue) -> String {
        let title = |section: &SectionId| match catalogue.section(section) {
            Some(found) => format!("{} ({section})", found.title),
            None => section.to_string(),
        };
        match self {
            Self::HasSection => "You are enrolled in this section already.".into(),
            Self::SameCourse { section } => {
                format!("You have another section of this course: {section}. You can swap it for this one.")
            }
            Self::Completed => "You have completed this course.".into(),
            Self::Prerequisites { missing } => {
                let missing: Vec<_> = missing
                    .iter()
                    .map(|id| {
                        catalogue
                            .course(id)
                            .map_or_else(|| id.to_string(), |it| format!("{} ({id})", it.title))
                    })
                    .collect();
                format!("You need to complete {} before.", missing.join(" and "))
            }
            Self::Credits { have, wants, max } => format!(
                "You have {have} of {max} credits, and this section counts {wants}. A seat that is kept for you counts too."
            ),
            Self::Clash { section, meeting } => {
                format!("It meets {meeting}, when you are in {}.", title(section))
            }
        }
    }
}

/// What must hold whatever else the student has: facts that do not change during the day.
///
/// # Errors
/// The rule that is broken.
pub fn judge_alone(catalogue: &Catalogue, student: &Student, section: &Section) -> Result<(), Ineligible> {
    if student.completed.contains(&section.course) {
        return Err(Ineligible::Completed);
    }
    let needed = &catalogue.course_of(section).prerequisites;
    let missing: Vec<_> = needed.iter().filter(|id| !student.completed.contains(id)).cloned().collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Ineligible::Prerequisites { missing }),
    }
}

/// Whether a student may have `section` beside `has`: seats that the student has, and those kept for the student.
///
/// # Errors
/// The first rule that is broken: what can never be before what could be otherwise.
pub fn judge(
    catalogue: &Catalogue,
    student: &Student,
    has: &[&Section],
    section: &Section,
) -> Result<(), Ineligible> {
    if has.iter().any(|one| one.id == section.id) {
        return Err(Ineligible::HasSection);
    }
    if let Some(one) = has.iter().find(|one| one.course == section.course) {
        return Err(Ineligible::SameCourse { section: one.id.clone() });
    }
    judge_alone(catalogue, student, section)?;
    if let Some((one, (meeting, _))) = has.iter().find_map(|one| Some((one, section.clash(one)?))) {
        return Err(Ineligible::Clash { section: one.id.clone(), meeting });
    }
    let have: u32 = has.iter().map(|one| one.credits).sum();
    match have + section.credits > student.credits_max {
        true => Err(Ineligible::Credits { have, wants: section.credits, max: student.credits_max }),
        false => Ok(()),
    }
}
