//! Holds what students did and heard against what the two ends have: the seats, and the systems downstream.
//!
//! One end is the list of seats as the portal has it. The other end trusts the portal in nothing: the confirmation
//! mails, academic records and fees that lie in stores of their own. Between them stand the clicks: who clicked for
//! what, when, and what the last answer was.
//!
//! What a student has at the end is judged anew by the university's rules: no two sections at one hour, and no more credits than
//! the student may have.
//!
//! This is a pure function of what is handed in; it asks nobody. Of what is wrong it counts everything and keeps the
//! first few in words. It never blames on suspicion: a refusal counts as wrong only if no order of events, however
//! unlucky, could have filled the section by then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use enrollment::{catalogue::Meeting, downstream::System};
use serde::Serialize;

/// Of each kind of fault so many are told in words.
const TOLD_MAX: usize = 10;

/// The number of a section in the world's list.
pub(crate) type Section = usize;
/// The number of a student in the world's list.
pub(crate) type Student = usize;
/// Microseconds since the run began.
pub(crate) type Moment = u64;

/// Everything that the audit looks at.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) sections: Vec<SectionFacts>,
    pub(crate) students: Vec<String>,
    /// How many credits each student may have.
    pub(crate) credits_max: Vec<u32>,
    /// What students did and heard, in any order.
    pub(crate) clicks: Vec<Click>,
    /// One end: who has which seat when all is quiet.
    pub(crate) seats: Vec<Seat>,
    /// The other end: what the systems downstream hold when all is quiet.
    pub(crate) rows: Vec<Row>,
}

/// What is known of a section beforehand, and what the portal counts at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SectionFacts {
    pub(crate) name: String,
    pub(crate) course: String,
    pub(crate) credits: u32,
    pub(crate) meetings: Vec<Meeting>,
    pub(crate) capacity: u32,
    /// Seats that are kept for somebody at the end: nobody's yet, and nothing is written for them.
    pub(crate) offered: u32,
    /// Free seats that the portal shows at the end.
    pub(crate) free_shown: Option<u32>,
}

/// One wish of one student, with one key, however often it was pressed and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Click {
    pub(crate) student: Student,
    pub(crate) section: Section,
    pub(crate) wish: Wish,
    /// With [`Wish::OneOfTwo`]: the other.
    pub(crate) rival: Option<Section>,
    /// When it was sent for the first time; before this it can have had no effect.
    pub(crate) sent: Moment,
    /// The answers to its presses; one that got none within all patience is not among them.
    pub(crate) heard: Vec<(Moment, Heard)>,
}

/// What a click was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A seat that the student may have, whatever else the student got.
    Seat,
    /// A seat, and at the same time another one: of the same course, at the same hours, or one too many for the credits. Beside
    /// the one the other may be refused.
    OneOfTwo,
    /// A seat that the student must not have.
    Forbidden,
    /// To be rid of a seat.
    Drop,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The seat is the student's; the enrolment's id.
    Enrolled(String),
    Dropped,
    SoldOut,
    /// Refused for what the student has or lacks: the code.
    NotEligible(String),
    /// The portal gave up, or says something that the day does not know.
    Other(String),
}

/// A seat that a student has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The enrolment's id.
    pub(crate) id: String,
    pub(crate) student: Student,
    pub(crate) section: Section,
}

/// Something a system downstream holds for an enrolment, and has not undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) system: System,
    /// The enrolment's name there, which need not be its id.
    pub(crate) enrolment: String,
    pub(crate) student: Student,
    pub(crate) section: Section,
}

/// Faults of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    pub(crate) count: u64,
    /// The first of them, in words.
    pub(crate) first: Vec<String>,
}

impl Findings {
    fn add(&mut self, count: u64, text: String) {
        self.count += count;
        if self.first.len() < TOLD_MAX {
            self.first.push(text);
        }
    }
}

/// What the audit came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// Seats that students have at the end.
    pub(crate) seats: u64,
    /// Clicks for a seat that were answered with one.
    pub(crate) enrolled: u64,
    /// Clicks that were refused because the section was full, rightly.
    pub(crate) sold_out: u64,
    /// Clicks that were refused for what the student has or lacks, rightly.
    pub(crate) not_eligible: u64,
    /// Seats that were given back.
    pub(crate) dropped: u64,
    /// Clicks that got no answer at all.
    pub(crate) unanswered: u64,
    /// More seats than a section has.
    pub(crate) oversold: Findings,
    /// Two of what can be one: a student twice in a course, a fee charged twice, a key answered with two enrolments.
    pub(crate) duplicates: Findings,
    /// A seat without its mail, record or fee; one of these without a seat.
    pub(crate) half_enrolled: Findings,
    /// Somebody who had a right to a seat or to an answer and did not get it.
    pub(crate) lost: Findings,
    /// What nobody asked for, nobody may have, or is counted wrongly.
    pub(crate) unexplained: Findings,
}

impl Verdict {
    /// True when there is nothing to complain about.
    pub(crate) fn is_clean(&self) -> bool {
        self.kinds().iter().all(|(_, findings)| findings.count == 0)
    }

    /// The kinds of faults by name.
    pub(crate) fn kinds(&self) -> [(&'static str, &Findings); 5] {
        [
            ("oversold", &self.oversold),
            ("duplicates", &self.duplicates),
            ("half-enrolled", &self.half_enrolled),
            ("eligible but lost", &self.lost),
            ("unexplained", &self.unexplained),
        ]
    }
}

/// Judges a world in which all is quiet: nothing is under way any more.
pub(crate) fn audit(world: &World) -> Verdict {
    let mut audit = Audit::new(world);
    audit.seats();
    audit.timetables();
    audit.downstream();
    audit.clicks();
    audit.counters();
    audit.verdict
}

struct Audit<'a> {
    world: &'a World,
    /// Seats by student and section.
    seats: HashMap<(Student, Section), Vec<&'a Seat>>,
    /// How full each section can have been.
    fills: Vec<Fill>,
    verdict: Verdict,
}

/// When seats of a section can have been taken and given back at the earliest and at the latest.
#[derive(Debug, Default)]
struct Fill {
    /// The moments before which a seat cannot have been taken, in order.
    taken_not_before: Vec<Moment>,
    /// The moments at which a seat had surely been given back, in order.
    given_back_by: Vec<Moment>,
    /// Seats taken at the end.
    at_end: usize,
}

impl Fill {
    /// The most seats that can have been taken at one moment between these two.
    fn most(&self, from: Moment, to: Moment) -> usize {
        let taken = self.taken_not_before.partition_point(|at| *at <= to);
        let back = self.given_back_by.partition_point(|at| *at < from);
        taken.saturating_sub(back)
    }
}

impl<'a> Audit<'a> {
    fn new(world: &'a World) -> Audit<'a> {
        let mut seats: HashMap<(Student, Section), Vec<&Seat>> = HashMap::new();
        for seat in &world.seats {
            seats.entry((seat.student, seat.section)).or_default().push(seat);
        }
        let fills = fills(world, &seats);
        let verdict = Verdict { seats: world.seats.len() as u64, ..Verdict::default() };
        Audit { world, seats, fills, verdict }
    }

    /// Oversold sections, and students who are twice in a section or in a course.
    fn seats(&mut self) {
        for (section, fill) in self.fills.iter().enumerate() {
            let facts = &self.world.sections[section];
            let kept = facts.offered as usize;
            if fill.at_end + kept > facts.capacity as usize {
                let over = (fill.at_end + kept) as u64 - u64::from(facts.capacity);
                let kept = if kept == 0 { String::new() } else { format!(", and {kept} are kept") };
                let text = format!(
                    "{} has {} seats, and {} are in it{kept}",
                    facts.name, facts.capacity, fill.at_end
                );
                self.verdict.oversold.add(over, text);
            }
        }
        let mut of_course: BTreeMap<(Student, &str), Vec<&Seat>> = BTreeMap::new();
        for seat in &self.world.seats {
            let course = &*self.world.sections[seat.section].course;
            of_course.entry((seat.student, course)).or_default().push(seat);
        }
        for ((student, course), seats) in of_course.into_iter().filter(|(_, seats)| seats.len() > 1) {
            let list: Vec<String> = seats
                .iter()
                .map(|seat| format!("{} ({})", self.world.sections[seat.section].name, seat.id))
                .collect();
            let text =
                format!("{} is {} times in {course}: {}", self.student(student), list.len(), list.join(", "));
            self.verdict.duplicates.add(list.len() as u64 - 1, text);
        }
    }

    /// What each student has at the end, by the university's rules.
    fn timetables(&mut self) {
        let mut of_student: BTreeMap<Student, BTreeSet<Section>> = BTreeMap::new();
        for seat in &self.world.seats {
            of_student.entry(seat.student).or_default().insert(seat.section);
        }
        for (student, has) in of_student {
            let facts = |section: &Section| &self.world.sections[*section];
            let credits: u32 = has.iter().map(|section| facts(section).credits).sum();
            let max = self.world.credits_max[student];
            if credits > max {
                let text = format!("{} has {credits} credits, and may have {max}", self.student(student));
                self.verdict.unexplained.add(1, text);
            }
            for (one, other) in has.iter().flat_map(|one| has.range(one + 1..).map(move |other| (one, other)))
            {
                // Two of one course are told as duplicates.
                let (one, other) = (facts(one), facts(other));
                let meets = |mine: &Meeting| other.meetings.iter().any(|its| mine.overlaps(its));
                if one.course != other.course && one.meetings.iter().any(meets) {
                    let who = self.student(student);
                    let text = format!("{who} is in {} and {}, which meet at one hour", one.name, other.name);
                    self.verdict.unexplained.add(1, text);
                }
            }
        }
    }

    /// Seats without their mail, record and fee, and these without a seat. A system knows an enrolment by student and
    /// section, as the people do who read its books.
    fn downstream(&mut self) {
        let mut rows: BTreeMap<(Student, Section, System), Vec<&Row>> = BTreeMap::new();
        for row in &self.world.rows {
            rows.entry((row.student, row.section, row.system)).or_default().push(row);
        }
        for ((student, section, system), rows) in &rows {
            // Two seats that are one too many are told as such; their fees only follow.
            let seats = self.seats.get(&(*student, *section)).map_or(1, Vec::len);
            if rows.len() > seats {
                let names: Vec<&str> = rows.iter().map(|row| &*row.enrolment).collect();
                let text = format!(
                    "{} has {} times a {} for {} (enrolments {})",
                    self.student(*student),
                    rows.len(),
                    words(*system),
                    self.section(*section),
                    names.join(", ")
                );
                self.verdict.duplicates.add((rows.len() - seats) as u64, text);
            }
        }
        for seat in &self.world.seats {
            let lacks: Vec<&str> = System::ALL
                .into_iter()
                .filter(|system| !rows.contains_key(&(seat.student, seat.section, *system)))
                .map(words)
                .collect();
            if !lacks.is_empty() {
                let text = format!(
                    "{} is in {} ({}) without {}",
                    self.student(seat.student),
                    self.section(seat.section),
                    seat.id,
                    lacks.join(", ")
                );
                self.verdict.half_enrolled.add(1, text);
            }
        }
        let mut without_seat: BTreeMap<(Student, Section), Vec<&str>> = BTreeMap::new();
        for (student, section, system) in rows.into_keys() {
            if !self.seats.contains_key(&(student, section)) {
                without_seat.entry((student, section)).or_default().push(words(system));
            }
        }
        for ((student, section), systems) in without_seat {
            let text = format!(
                "{} has {} for {} without a seat",
                self.student(student),
                systems.join(", "),
                self.section(section)
            );
            self.verdict.half_enrolled.add(1, text);
        }
    }

    /// What each click was told, against what came of it.
    fn clicks(&mut self) {
        let mut asked: BTreeSet<(Student, Section)> = BTreeSet::new();
        let mut drops: HashMap<(Student, Section), &Click> = HashMap::new();
        for click in &self.world.clicks {
            match click.wish {
                Wish::Drop => drops.insert((click.student, click.section), click).map_or((), drop),
                Wish::Seat | Wish::OneOfTwo | Wish::Forbidden => {
                    asked.insert((click.student, click.section));
                }
            }
        }
        for click in &self.world.clicks {
            match click.wish {
                Wish::Drop => self.drop_click(click),
                Wish::Seat | Wish::OneOfTwo | Wish::Forbidden => {
                    self.seat_click(click, drops.get(&(click.student, click.section)).copied());
                }
            }
        }
        for (student, section) in self.seats.keys() {
            if !asked.contains(&(*student, *section)) {
                let text =
                    format!("{} is in {} and never asked", self.student(*student), self.section(*section));
                self.verdict.unexplained.add(1, text);
            }
        }
    }

    fn seat_click(&mut self, click: &Click, drop: Option<&Click>) {
        let who = format!("{} and {}", self.student(click.student), self.section(click.section));
        let seats = self.seats.get(&(click.student, click.section)).map_or(&[][..], Vec::as_slice);
        let ids = click.enrolments();
        if ids.len() > 1 {
            let text = format!("{who}: one key was answered with {} enrolments", ids.len());
            self.verdict.duplicates.add(ids.len() as u64 - 1, text);
        }
        if !ids.is_empty() {
            self.verdict.enrolled += 1;
            if click.wish == Wish::Forbidden {
                self.verdict.unexplained.add(1, format!("{who}: enrolled without being eligible"));
            }
            // Whoever gave a seat back, or tried to and heard nothing, need not have it.
            if drop.is_none() {
                for id in ids.iter().filter(|id| !seats.iter().any(|seat| seat.id == **id)) {
                    let text = format!("{who}: told enrolled ({id}), and there is no such seat");
                    self.verdict.lost.add(1, text);
                }
            }
            return;
        }
        if click.heard.is_empty() {
            self.verdict.unanswered += 1;
        }
        if !seats.is_empty() {
            let told = click.heard.last().map_or("nothing".to_owned(), |(_, heard)| heard.words());
            self.verdict.lost.add(1, format!("{who}: has the seat and was told {told}"));
            return;
        }
        match click.wish {
            Wish::Forbidden => self.verdict.not_eligible += 1,
            Wish::Seat | Wish::OneOfTwo => self.refused(click, &who),
            Wish::Drop => unreachable!("a drop is no click for a seat"),
        }
    }

    /// A student who may have the seat, asked for it, and has not got it.
    fn refused(&mut self, click: &Click, who: &str) {
        let facts = &self.world.sections[click.section];
        let fill = &self.fills[click.section];
        let capacity = facts.capacity as usize;
        let free_at_end = capacity.saturating_sub(fill.at_end);
        // The last answer is what the student goes home with.
        let Some((at, heard)) = click.heard.last() else {
            if free_at_end > 0 {
                let text = format!("{who}: never answered, and {free_at_end} seats are free");
                self.verdict.lost.add(1, text);
            }
            return;
        };
        match heard {
            Heard::SoldOut => {
                let most = fill.most(click.sent, *at);
                if most < capacity {
                    let text =
                        format!("{who}: told sold out when at most {most} of {capacity} seats were taken");
                    self.verdict.lost.add(1, text);
                } else {
                    self.verdict.sold_out += 1;
                }
            }
            // The other of the two, if the student got that.
            Heard::NotEligible(_) if click.wish == Wish::OneOfTwo && self.had_one_of(click) => {
                self.verdict.not_eligible += 1;
            }
            Heard::NotEligible(code) => {
                self.verdict.lost.add(1, format!("{who}: refused as {code} though eligible"));
            }
            Heard::Other(words) if free_at_end > 0 => {
                let text = format!("{who}: turned away ({words}), and {free_at_end} seats are free");
                self.verdict.lost.add(1, text);
            }
            Heard::Other(_) => {}
            Heard::Enrolled(_) | Heard::Dropped => {
                self.verdict.unexplained.add(1, format!("{who}: told {}", heard.words()));
            }
        }
    }

    /// Whether the student had a seat in the other of the two.
    fn had_one_of(&self, click: &Click) -> bool {
        self.world.clicks.iter().any(|other| {
            other.student == click.student
                && Some(other.section) == click.rival
                && other.heard.iter().any(|(_, heard)| matches!(heard, Heard::Enrolled(_)))
        })
    }

    fn drop_click(&mut self, click: &Click) {
        let has = self.seats.contains_key(&(click.student, click.section));
        let told = click.heard.iter().any(|(_, heard)| *heard == Heard::Dropped);
        let who = format!("{} and {}", self.student(click.student), self.section(click.section));
        self.verdict.dropped += u64::from(!has);
        match (told, has) {
            (true, true) => {
                self.verdict.unexplained.add(1, format!("{who}: told dropped, and the seat is still there"));
            }
            (false, false) if !click.heard.is_empty() => {
                self.verdict.lost.add(1, format!("{who}: the seat is gone, and the drop was refused"));
            }
            _ => {}
        }
    }

    /// What the portal shows, against a count.
    fn counters(&mut self) {
        for (facts, fill) in self.world.sections.iter().zip(&self.fills) {
            let free = (facts.capacity as usize).saturating_sub(fill.at_end + facts.offered as usize);
            if let Some(shown) = facts.free_shown.filter(|shown| *shown as usize != free) {
                let text = format!("{} shows {shown} free seats, and {free} are", facts.name);
                self.verdict.unexplained.add(1, text);
            }
        }
    }

    fn student(&self, student: Student) -> &'a str {
        &self.world.students[student]
    }

    fn section(&self, section: Section) -> &'a str {
        &self.world.sections[section].name
    }
}

fn words(system: System) -> &'static str {
    match system {
        System::Mail => "confirmation mail",
        System::Record => "academic record",
        System::Fee => "fee",
    }
}

impl Click {
    /// The enrolments that its presses were answered with.
    fn enrolments(&self) -> BTreeSet<&str> {
        let mut ids = BTreeSet::new();
        for (_, heard) in &self.heard {
            if let Heard::Enrolled(id) = heard {
                ids.insert(&**id);
            }
        }
        ids
    }
}

impl Heard {
    fn words(&self) -> String {
        match self {
            Heard::Enrolled(id) => format!("enrolled ({id})"),
            Heard::Dropped => "dropped".into(),
            Heard::SoldOut => "sold out".into(),
            Heard::NotEligible(code) => code.clone(),
            Heard::Other(words) => words.clone(),
        }
    }
}

fn fills(world: &World, seats: &HashMap<(Student, Section), Vec<&Seat>>) -> Vec<Fill> {
    let mut fills: Vec<Fill> = world.sections.iter().map(|_| Fill::default()).collect();
    for seat in &world.seats {
        fills[seat.section].at_end += 1;
    }
    let mut explained: BTreeSet<(Student, Section)> = BTreeSet::new();
    for click in &world.clicks {
        let fill = &mut fills[click.section];
        if click.wish == Wish::Drop {
            let answers = click.heard.iter().filter(|(_, heard)| *heard == Heard::Dropped);
            fill.given_back_by.extend(answers.map(|(at, _)| *at).min());
            continue;
        }
        let has = seats.get(&(click.student, click.section)).map_or(0, Vec::len);
        // A key that was answered with two enrolments took two seats, if only for a while.
        let told = click.enrolments().len();
        // A click without an answer may have taken a seat, and the seat been lost since.
        let may_have_taken = has.max(told).max(usize::from(click.heard.is_empty()));
        if explained.insert((click.student, click.section)) || has == 0 {
            fill.taken_not_before.extend(std::iter::repeat_n(click.sent, may_have_taken));
        }
    }
    for seat in &world.seats {
        if !explained.contains(&(seat.student, seat.section)) {
            // Nobody knows since when.
            fills[seat.section].taken_not_before.push(0);
        }
    }
    for fill in &mut fills {
        fill.taken_not_before.sort_unstable();
        fill.given_back_by.sort_unstable();
    }
    fills
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
