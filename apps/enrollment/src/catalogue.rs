//! Courses, sections and students: what the university knows before the day, and what does not change during it.
//!
//! A catalogue is made from a seed, so that everybody who knows the seed has the same one. Seats that are taken, and the
//! capacity that a registrar changes, are not here; they are behind the door of [`crate::seats`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The name as it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name)
            }
        }
    )*};
}

names! {
    /// A course, as in `cs101`.
    CourseId;
    /// A section of a course, as in `cs101-2`.
    SectionId;
    /// A student, as in `s00042`.
    StudentId;
}

/// A day of the week on which there are classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are the days of the week")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monday => "Monday",
            Self::Tuesday => "Tuesday",
            Self::Wednesday => "Wednesday",
            Self::Thursday => "Thursday",
            Self::Friday => "Friday",
        })
    }
}

/// When a section meets, once a week, in minutes since midnight; it ends before `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "what they are is said above")]
pub struct Meeting {
    pub day: Day,
    pub from: u16,
    pub to: u16,
}

impl Meeting {
    /// Whether nobody can be at both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.day == other.day && self.from < other.to && other.from < self.to
    }
}

impl fmt::Display for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from, self.to);
        write!(f, "{} {}:{:02}–{}:{:02}", self.day, from / 60, from % 60, to / 60, to % 60)
    }
}

/// What is taught.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Its name.
    pub id: CourseId,
    /// What it is about.
    pub title: String,
    /// What it counts.
    pub credits: u32,
    /// What must have been completed before.
    pub prerequisites: Vec<CourseId>,
    /// What it costs, in cents.
    pub fee_cents: u32,
}

/// A course at certain hours, with so many seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its name.
    pub id: SectionId,
    /// Of which course.
    pub course: CourseId,
    /// The course's title.
    pub title: String,
    /// The course's credits.
    pub credits: u32,
    /// When it meets.
    pub meetings: Vec<Meeting>,
    /// Seats at first; a registrar may change them later.
    pub capacity: u32,
}

impl Section {
    /// The first meeting of this section that falls into one of the other's, with that one.
    #[must_use]
    pub fn clash(&self, other: &Self) -> Option<(Meeting, Meeting)> {
        let pairs = self.meetings.iter().flat_map(|mine| other.meetings.iter().map(move |its| (mine, its)));
        pairs.into_iter().find(|(mine, its)| mine.overlaps(its)).map(|(mine, its)| (*mine, *its))
    }
}

/// Who wants a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Student {
    /// The name in the system.
    pub id: StudentId,
    /// The name in life.
    pub name: String,
    /// What the student has completed.
    pub completed: BTreeSet<CourseId>,
    /// How many credits the student may have this term.
    pub credits_max: u32,
}

/// A university's term.
#[derive(Clone, Debug)]
pub struct Catalogue {
    courses: BTreeMap<CourseId, Course>,
    sections: Vec<Section>,
    students: Vec<Student>,
    section_at: HashMap<SectionId, usize>,
    student_at: HashMap<StudentId, usize>,
    /// For each section: the others that nobody may have beside it, because they clash or are of the same course.
    excluded: Vec<Vec<usize>>,
}

/// What subjects are called.
const SUBJECTS: [(&str, &str); 12] = [
    ("cs", "Computing"),
    ("math", "Mathematics"),
    ("phys", "Physics"),
    ("chem", "Chemistry"),
    ("bio", "Biology"),
    ("econ", "Economics"),
    ("hist", "History"),
    ("phil", "Philosophy"),
    ("lit", "Literature"),
    ("psy", "Psychology"),
    ("art", "Art"),
    ("geo", "Geography"),
];
/// What is taught of them, from the first course on; each but the first two needs the one two before it.
const TOPICS: [&str; 10] = [
    "Foundations of",
    "Methods in",
    "History and Ideas of",
    "Models in",
    "Laboratory in",
    "Topics in",
    "Theory of",
    "Advanced",
    "Seminar in",
    "Project in",
];
const FIRST_NAMES: [&str; 24] = [
    "Anna", "Bert", "Carla", "Dora", "Emil", "Farid", "Grace", "Hana", "Ivo", "Jun", "Kofi", "Lena", "Mira",
    "Noor", "Otto", "Pia", "Quinn", "Rosa", "Sami", "Tara", "Uma", "Viktor", "Wanda", "Yusuf",
];
const LAST_NAMES: [&str; 20] = [
    "Adler", "Bauer", "Castro", "Diaz", "Eriksen", "Fischer", "Gupta", "Haddad", "Ito", "Jensen", "Kowalski",
    "Lopez", "Meyer", "Novak", "Okafor", "Petrov", "Rossi", "Silva", "Tanaka", "Weber",
];
/// First minutes of the day's classes: three short ones a week, or two long ones.
const SHORT: [u16; 8] = [480, 540, 600, 660, 720, 840, 900, 960];
const LONG: [u16; 5] = [480, 570, 660, 780, 870];
const SECTIONS_PER_COURSE: usize = 3;

impl Catalogue {
    /// A university from a seed.
    #[must_use]
    pub fn generate(seed: u64, sections: usize, students: usize) -> Self {
        let mut dice = Dice(seed);
        let courses = courses(&mut dice, sections.div_ceil(SECTIONS_PER_COURSE));
        let sections =
            (0..sections).map(|at| section(&mut dice, &courses[at / SECTIONS_PER_COURSE], at)).collect();
        let students = (0..students).map(|at| student(&mut dice, &courses, at)).collect();
        Self::new(courses, sections, students)
    }

    /// A university as it is given.
    ///
    /// # Panics
    /// If a section's course is not among the courses.
    #[must_use]
    pub fn new(courses: Vec<Course>, sections: Vec<Section>, students: Vec<Student>) -> Self {
        let courses: BTreeMap<_, _> = courses.into_iter().map(|course| (course.id.clone(), course)).collect();
        assert!(
            sections.iter().all(|section| courses.contains_key(&section.course)),
            "a section has a course"
        );
        let excluded = sections
            .iter()
            .enumerate()
            .map(|(at, section)| {
                let beside = |(other_at, other): &(usize, &Section)| {
                    *other_at != at && (other.course == section.course || section.clash(other).is_some())
                };
                sections.iter().enumerate().filter(beside).map(|(other_at, _)| other_at).collect()
            })
            .collect();
        let section_at = sections.iter().enumerate().map(|(at, section)| (section.id.clone(), at)).collect();
        let student_at = students.iter().enumerate().map(|(at, student)| (student.id.clone(), at)).collect();
        Self { courses, sections, students, section_at, student_at, excluded }
    }

    /// Every section, in the order of the catalogue.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Every student.
    #[must_use]
    pub fn students(&self) -> &[Student] {
        &self.students
    }

    /// Every course.
    pub fn courses(&self) -> impl Iterator<Item = &Course> {
        self.courses.values()
    }

    /// A section by its name.
    #[must_use]
    pub fn section(&self, id: &SectionId) -> Option<&Section> {
        self.section_at.get(id).map(|&at| &self.sections[at])
    }

    /// A student by name.
    #[must_use]
    pub fn student(&self, id: &StudentId) -> Option<&Student> {
        self.student_at.get(id).map(|&at| &self.students[at])
    }

    /// A section's course.
    ///
    /// # Panics
    /// If the section is of another catalogue.
    #[must_use]
    pub fn course_of(&self, section: &Section) -> &Course {
        &self.courses[&section.course]
    }

    /// A course by its name.
    #[must_use]
    pub fn course(&self, id: &CourseId) -> Option<&Course> {
        self.courses.get(id)
    }

    /// The sections that nobody may have beside this one: of the same course, or at the same hours.
    pub fn excluded_by(&self, section: &SectionId) -> impl Iterator<Item = &Section> {
        let at = self.section_at.get(section);
        at.into_iter().flat_map(|&at| self.excluded[at].iter().map(|&other| &self.sections[other]))
    }

    /// The other sections of the same course.
    pub fn siblings(&self, section: &Section) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|other| other.course == section.course && other.id != section.id)
    }
}

fn courses(dice: &mut Dice, count: usize) -> Vec<Course> {
    let mut courses: Vec<Course> = Vec::with_capacity(count);
    for at in 0..count {
        let (subject, subject_title) = SUBJECTS[at % SUBJECTS.len()];
        let level = at / SUBJECTS.len();
        let number = 101 + 100 * (level / TOPICS.len()) + 10 * (level % TOPICS.len());
        let topic = TOPICS[level % TOPICS.len()];
        let title = match level / TOPICS.len() {
            0 => format!("{topic} {subject_title}"),
            round => format!("{topic} {subject_title} {}", round + 1),
        };
        // The first two courses of a subject are open to everybody.
        let prerequisites = match level.checked_sub(2) {
            Some(_) if dice.below(2) == 0 => vec![courses[at - 2 * SUBJECTS.len()].id.clone()],
            _ => Vec::new(),
        };
        let credits = 2 + dice.below(3) as u32;
        courses.push(Course {
            id: CourseId(format!("{subject}{number}")),
            title,
            credits,
            prerequisites,
            fee_cents: credits * 4_500,
        });
    }
    courses
}

fn section(dice: &mut Dice, course: &Course, at: usize) -> Section {
    use Day::{Friday, Monday, Thursday, Tuesday, Wednesday};
    let meetings = match dice.below(2) {
        0 => {
            let from = SHORT[dice.below(SHORT.len())];
            [Monday, Wednesday, Friday].map(|day| Meeting { day, from, to: from + 50 }).to_vec()
        }
        _ => {
            let from = LONG[dice.below(LONG.len())];
            [Tuesday, Thursday].map(|day| Meeting { day, from, to: from + 80 }).to_vec()
        }
    };
    Section {
        id: SectionId(format!("{}-{}", course.id, at % SECTIONS_PER_COURSE + 1)),
        course: course.id.clone(),
        title: course.title.clone(),
        credits: course.credits,
        meetings,
        capacity: 10 + 5 * dice.below(9) as u32,
    }
}

fn student(dice: &mut Dice, courses: &[Course], at: usize) -> Student {
    let name = format!(
        "{} {}",
        FIRST_NAMES[dice.below(FIRST_NAMES.len())],
        LAST_NAMES[dice.below(LAST_NAMES.len())]
    );
    // Half of the first third of the courses, with everything that those need.
    let mut completed = BTreeSet::new();
    for course in courses.iter().take(courses.len() / 3) {
        if course.prerequisites.iter().all(|needed| completed.contains(needed)) && dice.below(2) == 0 {
            completed.insert(course.id.clone());
        }
    }
    Student {
        id: StudentId(format!("s{:05}", at + 1)),
        name,
        completed,
        credits_max: 12 + 3 * dice.below(4) as u32,
    }
}

/// Chance from a seed (splitmix64).
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_university() {
        let [one, again, other] = [7, 7, 8].map(|seed| Catalogue::generate(seed, 300, 1_000));
        assert_eq!((one.sections(), one.students()), (again.sections(), again.students()));
        assert_ne!(one.sections(), other.sections());
    }

    #[test]
    fn a_university_makes_sense() {
        let catalogue = Catalogue::generate(1, 300, 1_000);
        let names: BTreeSet<_> = catalogue.sections().iter().map(|section| &section.id).collect();
        assert_eq!(names.len(), 300, "no two sections have one name");
        assert_eq!(catalogue.courses().count(), 100);
        for course in catalogue.courses() {
            assert!(
                course
                    .prerequisites
                    .iter()
                    .all(|needed| catalogue.course(needed).is_some_and(|it| it.id != course.id))
            );
        }
        for student in catalogue.students() {
            let complete = |id| {
                let course = catalogue.course(id).expect("a course that is taught");
                course.prerequisites.iter().all(|needed| student.completed.contains(needed))
            };
            assert!(student.completed.iter().all(complete), "{} skipped something", student.id);
        }
        for section in catalogue.sections() {
            for other in catalogue.excluded_by(&section.id) {
                assert!(other.course == section.course || section.clash(other).is_some());
                assert!(
                    catalogue.excluded_by(&other.id).any(|back| back.id == section.id),
                    "it goes both ways"
                );
            }
        }
    }

    #[test]
    fn what_ends_when_the_other_begins_does_not_clash() {
        let meeting = |from, to| Meeting { day: Day::Monday, from, to };
        assert!(meeting(480, 530).overlaps(&meeting(529, 600)));
        assert!(!meeting(480, 530).overlaps(&meeting(530, 600)));
        assert!(!meeting(480, 530).overlaps(&Meeting { day: Day::Friday, ..meeting(480, 530) }));
        assert_eq!(meeting(485, 530).to_string(), "Monday 8:05–8:50");
    }
}
