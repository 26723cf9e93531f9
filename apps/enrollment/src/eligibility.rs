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
                format!("You have another section of this course: {section}.")
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

impl Ineligible {
    /// The same where seats in `kept` are not the student's yet, but kept.
    #[must_use]
    pub fn words_beside(&self, catalogue: &Catalogue, kept: &[&SectionId]) -> String {
        match self {
            Self::SameCourse { section } if kept.contains(&section) => {
                format!("A seat in another section of this course is kept for you: {section}.")
            }
            Self::Clash { section, .. } if kept.contains(&section) => {
                format!("{} A seat there is kept for you; you have not accepted it.", self.words(catalogue))
            }
            _ => self.words(catalogue),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Course, Day, StudentId};

    fn course(id: &str, credits: u32, prerequisites: &[&str]) -> Course {
        Course {
            id: id.into(),
            title: format!("Course {id}"),
            credits,
            prerequisites: prerequisites.iter().map(|&id| id.into()).collect(),
            fee_cents: 0,
        }
    }

    fn section(id: &str, credits: u32, day: Day, from: u16) -> Section {
        let course = id.split('-').next().expect("a course");
        Section {
            id: id.into(),
            course: course.into(),
            title: format!("Course {course}"),
            credits,
            meetings: vec![Meeting { day, from, to: from + 60 }],
            capacity: 10,
        }
    }

    /// a101 (3 credits) twice, b101 (4) at a101-1's hours, c201 (3) that needs a101 and b101, d101 (6) by itself.
    fn university() -> Catalogue {
        let courses = vec![
            course("a101", 3, &[]),
            course("b101", 4, &[]),
            course("c201", 3, &["a101", "b101"]),
            course("d101", 6, &[]),
        ];
        let sections = vec![
            section("a101-1", 3, Day::Monday, 540),
            section("a101-2", 3, Day::Tuesday, 540),
            section("b101-1", 4, Day::Monday, 570),
            section("c201-1", 3, Day::Wednesday, 540),
            section("d101-1", 6, Day::Thursday, 540),
        ];
        Catalogue::new(courses, sections, Vec::new())
    }

    /// completed, has, wants → the code, or `ok`. The limit is 9 credits.
    #[test]
    fn the_rules_as_a_table() {
        let table: [(&[&str], &[&str], &str, &str); 16] = [
            (&[], &[], "a101-1", "ok"),
            (&[], &["d101-1"], "a101-1", "ok"),
            (&[], &["a101-1"], "a101-1", "already_enrolled"),
            (&[], &["a101-1"], "a101-2", "same_course"),
            (&["a101"], &[], "a101-1", "already_completed"),
            (&["a101"], &["a101-1"], "a101-2", "same_course"),
            (&[], &[], "c201-1", "prerequisites"),
            (&["a101"], &[], "c201-1", "prerequisites"),
            (&["a101", "b101"], &[], "c201-1", "ok"),
            (&[], &["a101-1"], "b101-1", "time_conflict"),
            (&[], &["b101-1"], "a101-1", "time_conflict"),
            (&[], &["a101-2"], "b101-1", "ok"),
            (&[], &["a101-2", "b101-1"], "d101-1", "credit_limit"),
            (&[], &["d101-1"], "b101-1", "credit_limit"),
            // What can never be is said before what could be otherwise.
            (&[], &["d101-1", "a101-2"], "c201-1", "prerequisites"),
            (&[], &["d101-1", "a101-1"], "b101-1", "time_conflict"),
        ];
        let university = university();
        for (completed, has, wants, expected) in table {
            let student = Student {
                id: StudentId::from("s1"),
                name: "Anna".into(),
                completed: completed.iter().map(|&id| id.into()).collect(),
                credits_max: 9,
            };
            let find = |id: &str| university.section(&id.into()).expect("a section");
            let has: Vec<&Section> = has.iter().map(|id| find(id)).collect();
            let verdict = judge(&university, &student, &has, find(wants));
            let code = verdict.as_ref().err().map_or("ok", Ineligible::code);
            let names: Vec<_> = has.iter().map(|section| section.id.as_str()).collect();
            assert_eq!(code, expected, "completed {completed:?}, has {names:?}, wants {wants}");
        }
    }

    #[test]
    fn a_reason_names_what_it_is_about() {
        let university = university();
        let table = [
            (
                Ineligible::Prerequisites { missing: vec!["b101".into()] },
                "You need to complete Course b101 (b101) before.",
            ),
            (
                Ineligible::Clash {
                    section: "a101-1".into(),
                    meeting: Meeting { day: Day::Monday, from: 570, to: 630 },
                },
                "It meets Monday 9:30–10:30, when you are in Course a101 (a101-1).",
            ),
            (
                Ineligible::Credits { have: 6, wants: 4, max: 9 },
                "You have 6 of 9 credits, and this section counts 4. A seat that is kept for you counts too.",
            ),
        ];
        for (reason, words) in table {
            assert_eq!(reason.words(&university), words);
        }
    }
}
