//! A refusal as a person needs it: what is so, what changed since they looked, and what is still possible. Never "error".
//!
//! What is not here: deciding. Whoever decided says why, as a value; the words and the ways out are made from it and from how
//! the sections stand now.

use serde::{Deserialize, Serialize};

use crate::board::Snapshot;
use crate::catalogue::{Catalogue, Section, SectionId, Student};
use crate::eligibility::{Ineligible, judge, judge_alone};
use crate::seats::{Door, Free, Moment, Refused, Story, Why};

/// Ways out that one refusal names at most.
const POSSIBLE_MAX: usize = 4;

/// Sections that one sentence names.
const NAMED_MAX: usize = 100;

/// What a student saw when they pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `version` and `free`")]
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
    /// How sections stand now, or a moment ago.
    pub board: &'a Snapshot,
    /// How the section stands that was meant, where the board is behind what was decided about it.
    pub newer: Option<&'a Free>,
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
        // How the section stood before it was decided is no news, and might be a lie by now.
        let now = self.newer.or_else(|| self.board.section(&self.section?.id));
        let now = now.filter(|now| version.is_none_or(|version| now.version >= version) && !self.board.away);
        let (code, status, message) = self.say(&refused.why, now);
        let mut possible = self.possible(&refused.why, now);
        possible.truncate(POSSIBLE_MAX);
        let about_seats = matches!(refused.why, Why::SoldOut | Why::OfferLapsed | Why::WaitlistFull(_));
        Told {
            code,
            message,
            changed: self.changed(version).filter(|_| about_seats),
            version,
            seen: self.seen.map(|seen| seen.version),
            possible,
            again: status == 503,
            status,
        }
    }

    fn say(&self, why: &Why, now: Option<&Free>) -> (&'static str, u16, String) {
        let named = |section: &Section| format!("{} ({})", section.title, section.id);
        let section = self.section.map_or_else(String::new, named);
        let called = |id: &SectionId| self.catalogue.section(id).map_or_else(|| id.to_string(), named);
        let conflict = |code, words: String| (code, 409, words);
        match why {
            Why::NoStudent => ("no_student", 404, "There is no student of this number.".into()),
            Why::NoSection => ("no_section", 404, "There is no section of this name.".into()),
            Why::Ineligible(Ineligible::HasSection) if self.is_offered() => {
                conflict("already_offered", format!("A seat in {section} is kept for you already. Accept it, and it is yours."))
            }
            Why::Ineligible(rule) => conflict(rule.code(), rule.words_beside(self.catalogue, &self.kept())),
            Why::SoldOut => conflict("sold_out", match now {
                Some(now) if now.capacity == 0 => format!("{section} has no seats."),
                Some(now) => {
                    let all = match now.capacity {
                        1 => "its only seat is".to_owned(),
                        all => format!("all {all} are"),
                    };
                    let line = match now.waiting {
                        0 => String::new(),
                        1 => ", and 1 student waits in line".to_owned(),
                        waiting => format!(", and {waiting} students wait in line"),
                    };
                    format!("{section} has no free seat: {all} taken or kept for somebody{line}.")
                }
                None => format!("{section} has no free seat."),
            }),
            Why::NotOpen(_) => conflict("not_open", "The enrolment has not opened yet. Nobody has a seat before, and being early is no advantage.".into()),
            Why::Closed(_) => conflict("closed", "The enrolment is closed.".into()),
            Why::NotEnrolled if self.is_offered() => {
                conflict("not_enrolled", format!("You have no seat in {section} to give back; one is kept for you, which you can accept or decline."))
            }
            Why::NotEnrolled => conflict("not_enrolled", format!("You have no seat in {section}; there is nothing to give back.")),
            Why::AlreadyWaiting if self.promised().is_some_and(|_| !self.waits()) => {
                let for_what = self.promised().map_or_else(String::new, |(_, id)| called(id));
                conflict("already_waiting", format!("What you would give for {section} is promised for {for_what} already. What you have, you keep."))
            }
            Why::AlreadyWaiting => conflict("already_waiting", format!("You stand in line for {section} already. Its next seats go to the line, in order.")),
            Why::NotWaiting => conflict("not_waiting", format!("You do not stand in line for {section}.")),
            Why::WaitlistFull(places) => conflict("waitlist_full", format!("The line for {section} is full: {} wait.", many(*places, "student"))),
            Why::NoWaitlist => conflict("no_waitlist", format!("{section} has no line to wait in.")),
            Why::NoOffer => conflict("no_offer", match self.given_up() {
                Some(gave) => format!("No seat in {section} is kept for you any more: you gave {} up, which was to be given for it, and your place or offer went with it.", called(gave)),
                None => format!("No seat in {section} is kept for you."),
            }),
            Why::OfferLapsed => conflict("offer_lapsed", {
                let since = match now {
                    Some(now) if now.free > 0 => " It is free again, for whoever is first.",
                    Some(now) if now.offered > 0 => " It is kept for the next in line now.",
                    Some(_) => " Somebody else has it now.",
                    None => "",
                };
                format!("The seat in {section} was kept for you, and its time is over.{since}")
            }),
            Why::BelowGranted(seats) => conflict("below_granted", format!("{} are taken or kept; a section cannot have fewer.", many(*seats, "seat"))),
            Why::LineInTheWay(sections) => conflict("line_in_the_way", format!("Somebody stands in line for {}; an opening cannot be moved away from under them. No section was changed.", list(sections))),
            Why::OpeningHalfSet { set, stopped_at, because } => conflict("opening_half_set", format!("The opening could not be set for {stopped_at}: {because}. It was set before that for {}, and for no other section.", list(set))),
            Why::NothingToGive(give) => conflict("not_enrolled", format!("You have no seat in {} that you could give for {section}.", called(give))),
            Why::SameSection => conflict("same_section", format!("{section} cannot be swapped for itself. What you have, you keep.")),
            Why::Changed => conflict("changed", "Something that this depends on changed while you pressed, and nothing was done. Look again, and press again if you still want it.".into()),
            Why::Busy(what) => {
                tracing::warn!(%what, "the engine has no room just now");
                ("busy", 503, "There is too much to do just now, and nothing was done. Press again in a moment: it is the same request.".into())
            }
            Why::EngineRefused(what) => {
                tracing::warn!(%what, "the engine refuses what the portal asks");
                conflict("refused", format!("This was refused, and nothing was done: {what}"))
            }
            Why::KeyReused => ("key_reused", 422, "This key belongs to another request. Load the page again and press once more.".into()),
            Why::Unsupported(what) => conflict("unsupported", format!("The way in which seats are kept here cannot do this: {what}.")),
            Why::Away(what) => {
                tracing::warn!(%what, "the seats cannot be reached");
                ("away", 503, "We could not find out whether this was done: the seats do not answer. Press again: it will not be done twice.".into())
            }
            Why::NotReached(what) => {
                tracing::warn!(%what, "the seats cannot be looked at");
                ("away", 503, "This cannot be looked up just now: the seats do not answer. Ask again in a moment.".into())
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

    /// Sections of which a seat is kept for the student.
    fn kept(&self) -> Vec<&SectionId> {
        self.story.into_iter().flat_map(|story| &story.offers).map(|offer| &offer.section).collect()
    }

    fn waits(&self) -> bool {
        let section = self.section.map(|section| &section.id);
        self.story.is_some_and(|story| story.places.iter().any(|place| Some(&place.section) == section))
    }

    /// What something that the student has is promised for: by `decline` or `leave` it is promised no more.
    fn promised(&self) -> Option<(&'static str, &SectionId)> {
        let story = self.story?;
        let offer = story.offers.iter().find(|offer| offer.gives.is_some());
        let place = || story.places.iter().find(|place| place.gives.is_some());
        offer.map(|it| ("decline", &it.section)).or_else(|| place().map(|it| ("leave", &it.section)))
    }

    /// The section that the student gave up, and with it the place in line or the offer that there was of this one.
    fn given_up(&self) -> Option<&SectionId> {
        let section = self.section.map(|section| &section.id);
        let events = || self.story.into_iter().flat_map(|story| &story.events);
        let of_place = |event: &&crate::seats::Event| {
            event.section.as_ref() == section
                && matches!(
                    event.what.as_str(),
                    "joined" | "offered" | "declined" | "dropped_from_line" | "offer_lapsed" | "left"
                )
        };
        events().rfind(of_place)?.because.as_ref()
    }

    fn possible(&self, why: &Why, now: Option<&Free>) -> Vec<Possible> {
        let Some(section) = self.section else { return Vec::new() };
        let id = &section.id;
        let line = || if self.may_join(section) { line(section, now) } else { Vec::new() };
        let seat = || if self.may_have(section) { free(section, now) } else { Vec::new() };
        let answer_offer = || {
            vec![
                Possible::of("accept", id, "Accept the seat that is kept for you.".into()),
                Possible::of("decline", id, "Decline it; the next in line gets it.".into()),
            ]
        };
        match why {
            Why::SoldOut => {
                // Who has another section of the course can wait only with a swap.
                let has = self.has().into_iter().filter(|one| one.course == section.course && one.id != *id);
                let swaps = has.flat_map(|one| self.swaps(&one.id, section)).collect();
                [self.siblings(section), line(), swaps].concat()
            }
            Why::Closed(_) => self.siblings(section),
            Why::OfferLapsed | Why::NoOffer => [seat(), line(), self.siblings(section)].concat(),
            Why::NothingToGive(_) => [seat(), line()].concat(),
            Why::WaitlistFull(_) | Why::NoWaitlist => self.siblings(section),
            Why::AlreadyWaiting if self.waits() || self.promised().is_none() => {
                let leave =
                    Possible::of("leave", id, "Leave the line, if you do not want it any more.".into());
                [vec![leave], self.siblings(section)].concat()
            }
            Why::AlreadyWaiting => {
                let promised = self.promised().into_iter();
                let words =
                    |id: &SectionId| format!("Give up what you have of {id} first, if you want this more.");
                promised.map(|(action, id)| Possible::of(action, id, words(id))).collect()
            }
            Why::NotOpen(opens_at) => {
                let words = "Wait here: the page opens by itself.".to_owned();
                let wait = Possible { until: Some(*opens_at), ..Possible::of("wait", id, words) };
                let draws = now.is_some_and(|now| now.draws) && !self.waits() && self.may_join(section);
                let words = || {
                    format!(
                        "Take part in the draw of {id}: who does before the opening is put in an order by lot."
                    )
                };
                let join = draws.then(|| Possible::of("join", id, words()));
                join.into_iter().chain([wait]).collect()
            }
            Why::NotEnrolled if self.is_offered() => answer_offer(),
            Why::Ineligible(Ineligible::HasSection) if self.is_offered() => answer_offer(),
            Why::Ineligible(Ineligible::SameCourse { section: has }) => self.swaps(has, section),
            Why::Ineligible(Ineligible::Clash { section: has, .. }) => {
                [self.siblings(section), self.swaps(has, section)].concat()
            }
            Why::Ineligible(Ineligible::Credits { have, wants, max }) => {
                let too_many = (have + wants).saturating_sub(*max);
                let enough = |one: &&Section| one.credits >= too_many;
                let has = self.counted().into_iter().filter(enough);
                has.flat_map(|one| self.swaps(&one.id, section)).collect()
            }
            Why::Away(_) => vec![Possible::of("again", id, "Press again; it is the same request.".into())],
            _ => Vec::new(),
        }
    }

    fn has(&self) -> Vec<&Section> {
        let story = self.story.into_iter().flat_map(|story| &story.enrolments);
        story.filter_map(|enrolment| self.catalogue.section(&enrolment.section)).collect()
    }

    /// What counts for the rules: what the student has, and what is kept.
    fn counted(&self) -> Vec<&Section> {
        let kept = self.kept().into_iter().filter_map(|id| self.catalogue.section(id));
        self.has().into_iter().chain(kept).collect()
    }

    fn may_have(&self, section: &Section) -> bool {
        self.may_have_without(&[], section)
    }

    /// Whether the rules allow the section to the student when these are given up.
    fn may_have_without(&self, gone: &[&SectionId], section: &Section) -> bool {
        let mut counted = self.counted();
        counted.retain(|one| !gone.contains(&&one.id));
        self.student.is_some_and(|student| judge(self.catalogue, student, &counted, section).is_ok())
    }

    /// Whether the student may stand in its line with nothing to give.
    fn may_join(&self, section: &Section) -> bool {
        let may = |student: &Student| judge_alone(self.catalogue, student, section).is_ok();
        self.student.is_some_and(may) && self.counted().iter().all(|one| one.course != section.course)
    }

    /// Other sections of the course that have a seat which the student may have.
    fn siblings(&self, section: &Section) -> Vec<Possible> {
        let siblings = self.catalogue.siblings(section).filter(|other| self.may_have(other));
        siblings.flat_map(|other| free(other, self.board.section(&other.id))).collect()
    }

    /// How to come to `want` where `give` is in the way, with what would be done now and not only looks so.
    fn swaps(&self, give: &SectionId, want: &Section) -> Vec<Possible> {
        let now = self.board.section(&want.id);
        if now.is_some_and(|now| now.door != Door::Open) {
            return Vec::new();
        }
        let decline = |kept: &SectionId, then: String| {
            Possible::of("decline", kept, format!("Decline the seat in {kept} that is kept for you; {then}."))
        };
        let kept = self.kept();
        let is_kept = kept.contains(&give);
        if !self.may_have_without(&[give], want) {
            // What is kept stands in the way as well: it is declined first, and then something else can be given.
            let has: Vec<&SectionId> = self.has().into_iter().map(|one| &one.id).collect();
            let with = |kept: &&SectionId| {
                let helps = |other: &SectionId| self.may_have_without(&[*kept, other], want);
                if *kept == give { has.iter().copied().any(helps) } else { helps(give) }
            };
            let first = kept.iter().copied().find(with);
            let then = format!("then something can be given for {}", want.id);
            return first.map(|kept| decline(kept, then)).into_iter().collect();
        }
        let is_free = now.is_some_and(|now| now.free > 0);
        if is_free {
            let words = format!("Give {give} for {}. If its last seat goes first, you keep {give}.", want.id);
            return vec![Possible { give: Some(give.clone()), ..Possible::of("swap", &want.id, words) }];
        }
        if is_kept {
            return vec![decline(give, format!("then you can wait in line for {}", want.id))];
        }
        let story = self.story.into_iter();
        let promised = story.flat_map(|story| &story.places).find(|place| place.gives.as_ref() == Some(give));
        if let Some(place) = promised {
            let line = &place.section;
            let words = format!(
                "Leave the line for {line}, for which {give} is promised; then you can wait for {} with it.",
                want.id
            );
            return vec![Possible::of("leave", line, words)];
        }
        let words = format!("Wait in line for {}, and give {give} only when you accept its seat.", want.id);
        vec![Possible { give: Some(give.clone()), ..Possible::of("swap_when_offered", &want.id, words) }]
    }
}

/// A seat of the section, if there is one.
fn free(section: &Section, now: Option<&Free>) -> Vec<Possible> {
    let words = |now: &Free| {
        let when: Vec<_> = section.meetings.iter().map(ToString::to_string).collect();
        format!("{} has {} free ({}).", section.id, many(now.free, "seat"), when.join(", "))
    };
    let now = now.filter(|now| now.free > 0 && now.door == Door::Open);
    now.map(|now| Possible::of("enrol", &section.id, words(now))).into_iter().collect()
}

/// A place in its line, if all seats are taken; how long it is, only if that is known.
fn line(section: &Section, now: Option<&Free>) -> Vec<Possible> {
    let id = &section.id;
    let words = match now {
        Some(now) if now.door != Door::Open || now.free > 0 => return Vec::new(),
        Some(now) if now.waiting == 0 => format!("Wait in line for {id}: you would be the first."),
        Some(now) => format!("Wait in line for {id}: {} before you.", many_are(now.waiting)),
        None => format!("Wait in line for {id}."),
    };
    vec![Possible::of("join", id, words)]
}

/// The first of some sections by name, and how many more there are.
fn list(sections: &[SectionId]) -> String {
    let names: Vec<&str> = sections.iter().take(NAMED_MAX).map(SectionId::as_str).collect();
    match sections.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
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
            newer: None,
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
    fn what_is_not_known_is_not_said() {
        let catalogue = university();
        let (student, section) = (catalogue.student(&"s1".into()), catalogue.section(&"a-1".into()));
        let tell = |free: u32, waiting: u32, why: Why, version: u64| {
            let board = Snapshot::new(vec![stands("a-1", free, waiting)]);
            let asked = Asked {
                catalogue: &catalogue,
                board: &board,
                newer: None,
                student,
                story: None,
                section,
                seen: None,
            };
            asked.tell(&Refused { why, version: Some(version) })
        };
        // The board is of version 15. Two have come to stand in line by the version that decided.
        let told = tell(0, 0, Why::SoldOut, 17);
        assert_eq!(
            (told.message.as_str(), told.possible[0].words.as_str()),
            ("Course a (a-1) has no free seat.", "Wait in line for a-1.")
        );
        assert!(tell(0, 2, Why::SoldOut, 15).possible[0].words.contains("2 students are before you"));
        // Nobody was in line when the offer lapsed.
        let told = tell(1, 0, Why::OfferLapsed, 15);
        assert!(
            told.message.ends_with("It is free again, for whoever is first.")
                && !told.message.contains("next in line")
        );
        assert_eq!(ways(&told), ["enrol a-1"]);
    }

    #[test]
    fn a_swap_of_what_one_does_not_have_names_that() {
        let told = told(&[], "a-2", Why::NothingToGive("b-1".into()), None);
        assert_eq!(
            told.message,
            "You have no seat in Course b (b-1) that you could give for Course a (a-2)."
        );
        assert_eq!(ways(&told), ["enrol a-2"]);
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
            Why::LineInTheWay(vec!["a-1".into()]),
            Why::OpeningHalfSet {
                set: vec!["a-2".into()],
                stopped_at: "a-1".into(),
                because: "somebody came".into(),
            },
            Why::NothingToGive("a-2".into()),
            Why::SameSection,
            Why::Changed,
            Why::Busy("the inbox is full".into()),
            Why::EngineRefused("there are too many pools".into()),
            Why::NotReached("connection refused".into()),
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
