//! A refusal as a person needs it: what is so, what changed since they looked, and what is still possible. Never "error".
//!
//! What is not here: deciding. Whoever decided says why, as a value; the words and the ways out are made from it and from how
//! the sections stand now.

use serde::{Deserialize, Serialize};

use crate::board::Snapshot;
use crate::catalogue::{Catalogue, Section, SectionId, Student};
use crate::eligibility::{Ineligible, judge};
use crate::seats::{Door, Free, Moment, Refused, Story, Why};

/// Ways out that one refusal names at most.
const POSSIBLE_MAX: usize = 4;

/// What a student saw when they pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The section's version.
    pub version: u64,
    /// Free seats then.
    pub free: u32,
}

/// A refusal, told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The stable code.
    pub code: &'static str,
    /// What is so, for the student.
    pub message: String,
    /// What changed since the student looked, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
    /// The version of the section that decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The version that the student saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// What can be done instead, the best first.
    pub possible: Vec<Possible>,
    /// Whether the same request, with the same key, is the thing to do.
    #[serde(skip)]
    pub again: bool,
    /// The HTTP status.
    #[serde(skip)]
    pub status: u16,
}

/// Something that can be done instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Possible {
    /// What: `enrol`, `join`, `swap`, `swap_when_offered`, `accept`, `decline`, `leave`, `drop`, `wait`, `again`.
    pub action: &'static str,
    /// For which section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section: Option<SectionId>,
    /// With a swap: what is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give: Option<SectionId>,
    /// With `wait`: until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// The same, for the student.
    pub words: String,
}

impl Possible {
    fn of(action: &'static str, section: &SectionId, words: String) -> Self {
        Self { action, section: Some(section.clone()), give: None, until: None, words }
    }
}

/// What somebody who was refused is told.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The university.
    pub catalogue: &'a Catalogue,
    /// How sections stand now.
    pub board: &'a Snapshot,
    /// Who, if known.
    pub student: Option<&'a Student>,
    /// What the student has, if it could be found out.
    pub story: Option<&'a Story>,
    /// Which section was meant, if there is such a one.
    pub section: Option<&'a Section>,
    /// What the student saw.
    pub seen: Option<Seen>,
}

impl Asked<'_> {
    /// The refusal in words.
    #[must_use]
    pub fn tell(&self, refused: &Refused) -> Told {
        let version = refused.version.filter(|version| *version > 0);
        let (code, status, message) = self.say(&refused.why);
        let mut possible = self.possible(&refused.why);
        possible.truncate(POSSIBLE_MAX);
        let about_seats = matches!(refused.why, Why::SoldOut | Why::OfferLapsed | Why::WaitlistFull(_));
        Told {
            code,
            message,
            changed: self.changed(version).filter(|_| about_seats),
            version,
            seen: self.seen.map(|seen| seen.version),
            possible,
            again: matches!(refused.why, Why::Away(_)),
            status,
        }
    }

    fn now(&self) -> Option<&Free> {
        self.board.section(&self.section?.id)
    }

    fn say(&self, why: &Why) -> (&'static str, u16, String) {
        let section =
            self.section.map_or_else(String::new, |section| format!("{} ({})", section.title, section.id));
        let conflict = |code, words: String| (code, 409, words);
        match why {
            Why::NoStudent => ("no_student", 404, "There is no student of this number.".into()),
            Why::NoSection => ("no_section", 404, "There is no section of this name.".into()),
            Why::Ineligible(Ineligible::HasSection) if self.is_offered() => {
                conflict("already_offered", format!("A seat in {section} is kept for you already. Accept it, and it is yours."))
            }
            Why::Ineligible(rule) => conflict(rule.code(), rule.words(self.catalogue)),
            Why::SoldOut => conflict("sold_out", match self.now() {
                Some(now) if now.waiting > 0 => {
                    format!("{section} has no free seat: all {} are taken, and {} wait in line.", now.capacity, many(now.waiting, "student"))
                }
                Some(now) => format!("{section} has no free seat: all {} are taken or kept for somebody.", now.capacity),
                None => format!("{section} has no free seat."),
            }),
            Why::NotOpen(_) => conflict("not_open", "The enrolment has not opened yet. Nobody has a seat before, and being early is no advantage.".into()),
            Why::Closed(_) => conflict("closed", "The enrolment is closed.".into()),
            Why::NotEnrolled => conflict("not_enrolled", format!("You have no seat in {section}; there is nothing to give back.")),
            Why::AlreadyWaiting => conflict("already_waiting", format!("You stand in line for {section} already. Its next seats go to the line, in order.")),
            Why::NotWaiting => conflict("not_waiting", format!("You do not stand in line for {section}.")),
            Why::WaitlistFull(places) => conflict("waitlist_full", format!("The line for {section} is full: {} wait.", many(*places, "student"))),
            Why::NoWaitlist => conflict("no_waitlist", format!("{section} has no line to wait in.")),
            Why::NoOffer => conflict("no_offer", format!("No seat in {section} is kept for you.")),
            Why::OfferLapsed => conflict("offer_lapsed", format!("The seat in {section} was kept for you, and its time is over. It went to the next in line.")),
            Why::BelowGranted(seats) => conflict("below_granted", format!("{} are taken or kept; a section cannot have fewer.", many(*seats, "seat"))),
            Why::LineInTheWay(section) => conflict("line_in_the_way", format!("Somebody stands in line for {section}; its opening cannot be moved away from under them. The sections before it in the catalogue have the new opening.")),
            Why::KeyReused => ("key_reused", 422, "This key belongs to another request. Load the page again and press once more.".into()),
            Why::Unsupported(what) => conflict("unsupported", format!("The way in which seats are kept here cannot do this: {what}.")),
            Why::Away(what) => {
                tracing::warn!(%what, "the seats cannot be reached");
                ("away", 503, "We could not find out whether this was done. Press again: it will not be done twice.".into())
            }
        }
    }

    /// What changed between what the student saw and what decided.
    fn changed(&self, version: Option<u64>) -> Option<String> {
        let (seen, version) = (self.seen?, version?);
        let changes = version.checked_sub(seen.version)?;
        Some(match (seen.free, changes) {
            (free, 0) => format!("Nothing has changed since you looked (version {version}, {free} free)."),
            (0, _) => {
                format!("You saw no free seat at version {}; it is at version {version} now.", seen.version)
            }
            (free, _) => format!(
                "When you looked, at version {}, {} free. It has changed {} since: at version {version}, when you pressed, there was none.",
                seen.version,
                if free == 1 { "1 seat was".to_owned() } else { format!("{free} seats were") },
                if changes == 1 { "once".to_owned() } else { format!("{changes} times") },
            ),
        })
    }

    fn is_offered(&self) -> bool {
        let section = self.section.map(|section| &section.id);
        self.story.is_some_and(|story| story.offers.iter().any(|offer| Some(&offer.section) == section))
    }

    fn possible(&self, why: &Why) -> Vec<Possible> {
        let Some(section) = self.section else { return Vec::new() };
        let id = &section.id;
        match why {
            Why::SoldOut | Why::Closed(_) => [self.siblings(section), self.line(section)].concat(),
            Why::OfferLapsed | Why::NoOffer => {
                [self.free_here(section), self.line(section), self.siblings(section)].concat()
            }
            Why::WaitlistFull(_) | Why::NoWaitlist => self.siblings(section),
            Why::AlreadyWaiting => {
                let leave =
                    Possible::of("leave", id, "Leave the line, if you do not want it any more.".into());
                [vec![leave], self.siblings(section)].concat()
            }
            Why::NotOpen(opens_at) => {
                let words = "Wait here: the page opens by itself.".to_owned();
                vec![Possible { until: Some(*opens_at), ..Possible::of("wait", id, words) }]
            }
            Why::Ineligible(Ineligible::HasSection) if self.is_offered() => vec![
                Possible::of("accept", id, "Accept the seat that is kept for you.".into()),
                Possible::of("decline", id, "Decline it; the next in line gets it.".into()),
            ],
            Why::Ineligible(Ineligible::SameCourse { section: has }) => vec![self.swap(has, section)],
            Why::Ineligible(Ineligible::Clash { section: has, .. }) => {
                [self.siblings(section), vec![self.swap(has, section)]].concat()
            }
            Why::Ineligible(Ineligible::Credits { have, wants, max }) => {
                let too_many = (have + wants).saturating_sub(*max);
                let enough = |one: &&Section| one.credits >= too_many;
                self.has().into_iter().filter(enough).map(|one| self.swap(&one.id, section)).collect()
            }
            Why::Away(_) => vec![Possible::of("again", id, "Press again; it is the same request.".into())],
            _ => Vec::new(),
        }
    }

    fn has(&self) -> Vec<&Section> {
        let story = self.story.into_iter().flat_map(|story| &story.enrolments);
        story.filter_map(|enrolment| self.catalogue.section(&enrolment.section)).collect()
    }

    fn may_have(&self, section: &Section) -> bool {
        self.student.is_some_and(|student| judge(self.catalogue, student, &self.has(), section).is_ok())
    }

    /// Other sections of the course that have a seat which the student may have.
    fn siblings(&self, section: &Section) -> Vec<Possible> {
        let siblings = self.catalogue.siblings(section).filter(|other| self.may_have(other));
        siblings.flat_map(|other| self.free_here(other)).collect()
    }

    fn free_here(&self, section: &Section) -> Vec<Possible> {
        let now = self.board.section(&section.id).filter(|now| now.free > 0 && now.door == Door::Open);
        let words = |now: &Free| {
            let when: Vec<_> = section.meetings.iter().map(ToString::to_string).collect();
            format!("{} has {} free ({}).", section.id, many(now.free, "seat"), when.join(", "))
        };
        now.map(|now| Possible::of("enrol", &section.id, words(now))).into_iter().collect()
    }

    fn line(&self, section: &Section) -> Vec<Possible> {
        let now = self.board.section(&section.id).filter(|now| now.door == Door::Open && now.free == 0);
        let words = |now: &Free| match now.waiting {
            0 => format!("Wait in line for {}: you would be the first.", section.id),
            waiting => format!("Wait in line for {}: {} before you.", section.id, many_are(waiting)),
        };
        now.map(|now| Possible::of("join", &section.id, words(now))).into_iter().collect()
    }

    fn swap(&self, give: &SectionId, want: &Section) -> Possible {
        let free = self.board.section(&want.id).is_some_and(|now| now.free > 0);
        let (action, words) = match free {
            true => (
                "swap",
                format!("Give {give} for {}. If its last seat goes first, you keep {give}.", want.id),
            ),
            false => (
                "swap_when_offered",
                format!("Wait in line for {}, and give {give} only when you accept its seat.", want.id),
            ),
        };
        Possible { give: Some(give.clone()), ..Possible::of(action, &want.id, words) }
    }
}

fn many(count: u32, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn many_are(count: u32) -> String {
    match count {
        1 => "1 student is".to_owned(),
        _ => format!("{count} students are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Course, Day, Meeting};
    use crate::seats::Enrolment;

    /// Three sections of one course, and one of another at the hours of the second.
    fn university() -> Catalogue {
        let course = |id: &str| Course {
            id: id.into(),
            title: format!("Course {id}"),
            credits: 3,
            prerequisites: Vec::new(),
            fee_cents: 0,
        };
        let section = |id: &str, course: &str, from: u16| Section {
            id: id.into(),
            course: course.into(),
            title: format!("Course {course}"),
            credits: 3,
            meetings: vec![Meeting { day: Day::Monday, from, to: from + 60 }],
            capacity: 10,
        };
        let sections = vec![
            section("a-1", "a", 540),
            section("a-2", "a", 660),
            section("a-3", "a", 780),
            section("b-1", "b", 660),
        ];
        let student = Student { id: "s1".into(), name: "Anna".into(), completed: [].into(), credits_max: 9 };
        Catalogue::new(vec![course("a"), course("b")], sections, vec![student])
    }

    fn stands(section: &str, free: u32, waiting: u32) -> Free {
        Free {
            section: section.into(),
            capacity: 10,
            free,
            taken: 10 - free,
            offered: 0,
            waiting,
            version: 15,
            as_of: 0,
            door: Door::Open,
            opens_at: None,
            draws: false,
        }
    }

    /// What Anna, who has `has`, is told when she is refused `wants` for `why`.
    fn told(has: &[&str], wants: &str, why: Why, seen: Option<Seen>) -> Told {
        let catalogue = university();
        let sections = [("a-1", 0, 4), ("a-2", 3, 0), ("a-3", 1, 0), ("b-1", 0, 0)];
        let board =
            Snapshot::new(sections.map(|(section, free, waiting)| stands(section, free, waiting)).to_vec());
        let enrolment = |section: &&str| Enrolment {
            id: "0-1".into(),
            student: "s1".into(),
            section: (*section).into(),
            fence: 1,
            since: 0,
        };
        let story = Story { enrolments: has.iter().map(enrolment).collect(), ..Story::default() };
        let asked = Asked {
            catalogue: &catalogue,
            board: &board,
            student: catalogue.student(&"s1".into()),
            story: Some(&story),
            section: catalogue.section(&wants.into()),
            seen,
        };
        asked.tell(&Refused { why, version: Some(15) })
    }

    fn ways(told: &Told) -> Vec<String> {
        let way = |it: &Possible| {
            let give = it.give.as_ref().map_or_else(String::new, |give| format!("{give}>"));
            format!("{} {give}{}", it.action, it.section.as_ref().expect("a section"))
        };
        told.possible.iter().map(way).collect()
    }

    #[test]
    fn what_is_possible_is_what_the_student_may_have() {
        // Both other sections have seats; with b-1, the second is at the same hours.
        assert_eq!(ways(&told(&[], "a-1", Why::SoldOut, None)), ["enrol a-2", "enrol a-3", "join a-1"]);
        assert_eq!(ways(&told(&["b-1"], "a-1", Why::SoldOut, None)), ["enrol a-3", "join a-1"]);
        // Where a rule is in the way, what one has can be given for it; where there is a seat, at once.
        let clash = |section: &str| {
            let meeting = Meeting { day: Day::Monday, from: 660, to: 720 };
            Why::Ineligible(Ineligible::Clash { section: section.into(), meeting })
        };
        assert_eq!(ways(&told(&["b-1"], "a-2", clash("b-1"), None)), ["enrol a-3", "swap b-1>a-2"]);
        assert_eq!(ways(&told(&["a-2"], "b-1", clash("a-2"), None)), ["swap_when_offered a-2>b-1"]);
        let same = Why::Ineligible(Ineligible::SameCourse { section: "a-2".into() });
        assert_eq!(ways(&told(&["a-2"], "a-1", same, None)), ["swap_when_offered a-2>a-1"]);
        assert_eq!(ways(&told(&[], "a-1", Why::AlreadyWaiting, None))[0], "leave a-1");
    }

    #[test]
    fn what_changed_since_one_looked_is_said() {
        let changed = |free, version| {
            told(&[], "a-1", Why::SoldOut, Some(Seen { version, free })).changed.expect("it is known")
        };
        assert_eq!(
            changed(1, 12),
            "When you looked, at version 12, 1 seat was free. It has changed 3 times since: at version 15, when you pressed, there was none."
        );
        assert_eq!(changed(0, 14), "You saw no free seat at version 14; it is at version 15 now.");
        assert_eq!(told(&[], "a-1", Why::SoldOut, None).changed, None);
        // A version of the future, which only somebody who makes it up can have seen, explains nothing.
        assert_eq!(told(&[], "a-1", Why::SoldOut, Some(Seen { version: 99, free: 1 })).changed, None);
    }

    #[test]
    fn no_refusal_says_just_error() {
        let every = [
            Why::NoStudent,
            Why::NoSection,
            Why::SoldOut,
            Why::NotOpen(1),
            Why::Closed(1),
            Why::NotEnrolled,
            Why::AlreadyWaiting,
            Why::NotWaiting,
            Why::WaitlistFull(3),
            Why::NoWaitlist,
            Why::NoOffer,
            Why::OfferLapsed,
            Why::BelowGranted(3),
            Why::LineInTheWay("a-1".into()),
            Why::KeyReused,
            Why::Unsupported("lines"),
            Why::Away("connection refused".into()),
        ];
        for why in every {
            let told = told(&["a-2"], "a-1", why.clone(), None);
            assert!(told.message.len() > 20 && !told.message.to_lowercase().contains("error"), "{why:?}");
            assert_eq!(told.again, told.status == 503, "{why:?}");
        }
    }
}
