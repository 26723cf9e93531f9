//! The portal: what a student, a registrar and support can ask of it.
//!
//! It decides nothing about seats: it asks the one door, adds words, and counts. What is not here: HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

use crate::board::Board;
use crate::catalogue::{Catalogue, Section, SectionId, Student, StudentId};
use crate::downstream::{Downstream, Fault, System, now};
use crate::eligibility::judge;
use crate::pace::{Estimate, Pace};
use crate::refusal::{Asked, Seen, Told};
use crate::room::WaitingRoom;
use crate::seats::{
    AnySeats, Door, Enrolment, Event, Free, Moment, Offer, Refused, Seats, Step, StepState, Story, Why,
};
use crate::tally::Tally;

/// What all that the portal does has in common.
#[derive(Debug)]
pub struct App {
    /// The university.
    pub catalogue: Arc<Catalogue>,
    /// The one door to its seats.
    pub seats: AnySeats,
    /// Mail, record and fee.
    pub downstream: Arc<Downstream>,
    /// How sections stand.
    pub board: Board,
    /// How fast lines move.
    pub pace: Arc<Pace>,
    /// Who waits for the opening.
    pub room: WaitingRoom,
    /// The numbers of the day.
    pub tally: Tally,
}

/// A line that a student stands in, with what can be said about it.
#[derive(Clone, Debug, Serialize)]
pub struct Waits {
    section: SectionId,
    title: String,
    /// How many are before.
    ahead: Option<u32>,
    since: Option<Moment>,
    gives: Option<SectionId>,
    estimate: Option<Estimate>,
}

impl App {
    /// Asks for a change: counts it, and says a refusal in words.
    ///
    /// # Errors
    /// The refusal, told.
    pub async fn change<T>(
        &self,
        what: &'static str,
        student: &StudentId,
        section: &SectionId,
        seen: Option<Seen>,
        asked: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Told> {
        let started = Instant::now();
        let answer = asked.await;
        match answer {
            Ok(done) => {
                self.tally.answered(what, None, started.elapsed(), now());
                Ok(done)
            }
            Err(refused) => {
                let told = self.tell(&refused, Some(student), Some(section), seen).await;
                self.tally.answered(what, Some(told.code), started.elapsed(), now());
                Err(told)
            }
        }
    }

    /// A refusal in words, with what is still possible as things stand now.
    pub async fn tell(
        &self,
        refused: &Refused,
        student: Option<&StudentId>,
        section: Option<&SectionId>,
        seen: Option<Seen>,
    ) -> Told {
        let student = student.and_then(|student| self.catalogue.student(student));
        let board = match self.board.look(&self.seats).await {
            Ok(board) => board,
            Err(_) => self.board.shown(),
        };
        let story = match student {
            // Who is told to come back need not be looked up.
            Some(student) if !matches!(refused.why, Why::Away(_) | Why::NotOpen(_)) => {
                self.seats.of_student(&student.id).await.ok()
            }
            _ => None,
        };
        let section = section.and_then(|section| self.catalogue.section(section));
        let asked = Asked {
            catalogue: &self.catalogue,
            board: &board,
            student,
            story: story.as_ref(),
            section,
            seen,
        };
        asked.tell(refused)
    }

    /// What a student's page shows.
    ///
    /// # Errors
    /// There is no such student, or the seats cannot be reached.
    pub async fn student(&self, id: &StudentId) -> Result<Value, Refused> {
        let student = self.known(id)?;
        let story = self.seats.of_student(id).await?;
        let section = |id: &SectionId| self.catalogue.section(id);
        let has: Vec<&Section> = story.enrolments.iter().filter_map(|one| section(&one.section)).collect();
        let kept: Vec<&Section> = story.offers.iter().filter_map(|one| section(&one.section)).collect();
        let counted: Vec<&Section> = has.iter().chain(&kept).copied().collect();
        let barred: BTreeMap<&str, Value> = self
            .catalogue
            .sections()
            .iter()
            .filter_map(|section| {
                let rule = judge(&self.catalogue, student, &counted, section).err()?;
                let told = json!({ "code": rule.code(), "words": rule.words(&self.catalogue) });
                Some((section.id.as_str(), told))
            })
            .collect();
        let credits = |sections: &[&Section]| sections.iter().map(|section| section.credits).sum::<u32>();
        Ok(json!({
            "student": student,
            "credits": credits(&has),
            "credits_kept": credits(&kept),
            "enrolments": story.enrolments.iter().map(|one| self.shown(one)).collect::<Vec<_>>(),
            "offers": story.offers,
            "places": self.waits(&story, now()),
            "barred": barred,
            "now": now(),
        }))
    }

    fn shown(&self, enrolment: &Enrolment) -> Value {
        let section = self.catalogue.section(&enrolment.section);
        json!({
            "enrolment": enrolment.id,
            "section": enrolment.section,
            "title": section.map(|section| &section.title),
            "credits": section.map(|section| section.credits),
            "meetings": section.map(|section| &section.meetings),
            "since": enrolment.since,
        })
    }

    /// The lines a student stands in, with an estimate for each.
    #[must_use]
    pub fn waits(&self, story: &Story, now: Moment) -> Vec<Waits> {
        let waits = |place: &crate::seats::Place| Waits {
            section: place.section.clone(),
            title: self.catalogue.section(&place.section).map_or_else(String::new, |it| it.title.clone()),
            ahead: place.ahead,
            since: place.since,
            gives: place.gives.clone(),
            estimate: place.ahead.map(|ahead| self.pace.estimate(&place.section, ahead, now)),
        };
        story.places.iter().map(waits).collect()
    }

    /// How the opening stands: before it the waiting room, after it the lines of a student.
    ///
    /// # Errors
    /// As [`App::student`].
    pub async fn opening(&self, student: Option<&StudentId>) -> Result<Value, Refused> {
        let board = self.board.look(&self.seats).await?;
        let now = now();
        let is = |door: Door| board.sections.iter().any(|section| section.door == door);
        let (state, opens_at) = match (is(Door::Open), is(Door::Upcoming)) {
            (true, _) => (Door::Open, None),
            (false, true) => {
                let next = board.sections.iter().filter(|section| section.door == Door::Upcoming);
                (Door::Upcoming, next.filter_map(|section| section.opens_at).min())
            }
            (false, false) => (Door::Closed, None),
        };
        let student = student.map(|student| self.known(student)).transpose()?;
        let (room, lines) = match student {
            Some(student) if state == Door::Upcoming => (Some(self.room.enter(&student.id, now)), Vec::new()),
            Some(student) => (None, self.waits(&self.seats.of_student(&student.id).await?, now)),
            None => (None, Vec::new()),
        };
        Ok(json!({ "now": now, "state": state, "opens_at": opens_at, "room": room, "lines": lines }))
    }

    /// One student's whole story, for support.
    ///
    /// # Errors
    /// As [`App::student`].
    pub async fn support(&self, id: &StudentId) -> Result<Value, Refused> {
        let student = self.known(id)?;
        let story = self.seats.of_student(id).await?;
        let steps = self.seats.steps(id).await?;
        let now = now();
        let told_steps: Vec<Value> = steps.iter().map(|step| told_step(step, now)).collect();
        let half_done = steps.iter().filter(|step| step.state != StepState::Done).count();
        let events: Vec<Value> = story.events.iter().map(|event| self.told_event(event)).collect();
        let mut books = BTreeMap::new();
        for system in System::ALL {
            let book = match self.downstream.rows(system, id).await {
                Ok(rows) => json!(rows),
                Err(fault) => json!(fault.to_string()),
            };
            books.insert(system.as_str(), book);
        }
        let notices = self.downstream.notices(id).await.unwrap_or_default();
        let notices: Vec<Value> =
            notices.iter().map(|(text, at)| json!({ "at": at, "text": text })).collect();
        let enrolments: Vec<Value> = story.enrolments.iter().map(|one| self.shown(one)).collect();
        Ok(json!({
            "student": student,
            "now": now,
            "summary": summary(&story.enrolments, &story.offers, half_done, &steps),
            "enrolments": enrolments,
            "offers": story.offers,
            "places": self.waits(&story, now),
            "steps": told_steps,
            "half_done": half_done,
            "events": events,
            "books": books,
            "notices": notices,
        }))
    }

    fn told_event(&self, event: &Event) -> Value {
        let section = event.section.as_ref();
        let title = section.and_then(|section| self.catalogue.section(section)).map(|section| &section.title);
        let name = match (section, title) {
            (Some(section), Some(title)) => format!("{title} ({section})"),
            (Some(section), None) => section.to_string(),
            _ => String::new(),
        };
        json!({
            "at": event.at,
            "what": event.what,
            "section": section,
            "version": event.version,
            "jobs": event.jobs,
            "words": words_of(event, &name),
        })
    }

    /// The registrar's picture of the day.
    ///
    /// # Errors
    /// The seats cannot be reached.
    pub async fn day(&self) -> Result<Value, Refused> {
        let board = self.board.look(&self.seats).await?;
        let sum =
            |number: fn(&Free) -> u32| board.sections.iter().map(|one| u64::from(number(one))).sum::<u64>();
        let full = board.sections.iter().filter(|section| section.free == 0).count();
        let systems: BTreeMap<&str, Value> = self
            .seats
            .backlog()
            .await?
            .into_iter()
            .map(|(system, backlog)| {
                let health = self.downstream.health(system);
                (system.as_str(), json!({ "health": health, "open": backlog.open, "dead": backlog.dead }))
            })
            .collect();
        Ok(json!({
            "now": now(),
            "as_of": board.as_of,
            "strategy": self.seats.strategy(),
            "sections": board.sections.len(),
            "full": full,
            "seats": sum(|one| one.capacity),
            "taken": sum(|one| one.taken),
            "offered": sum(|one| one.offered),
            "free": sum(|one| one.free),
            "waiting": sum(|one| one.waiting),
            "watching": self.board.listeners(),
            "systems": systems,
            "day": self.tally.picture(now()),
        }))
    }

    /// Everything that is known of enrolments, for an audit.
    ///
    /// # Errors
    /// The seats cannot be reached.
    pub async fn audit(&self) -> Result<Value, Refused> {
        let enrolments = self.seats.all().await?;
        let sections = self.seats.free(&[]).await?;
        let backlog = self.seats.backlog().await?;
        Ok(json!({
            "strategy": self.seats.strategy(),
            "enrolments": enrolments,
            "sections": sections,
            "open_jobs": backlog.iter().map(|(_, backlog)| backlog.open).sum::<u64>(),
            "dead_jobs": backlog.iter().map(|(_, backlog)| backlog.dead).sum::<u64>(),
        }))
    }

    /// Every line of the three systems, for an audit.
    ///
    /// # Errors
    /// A store cannot be read.
    pub async fn audit_downstream(&self) -> Result<Value, Fault> {
        let mut books = BTreeMap::new();
        for system in System::ALL {
            books.insert(system.as_str(), self.downstream.lines(system).await?);
        }
        Ok(json!(books))
    }

    fn known(&self, id: &StudentId) -> Result<&Student, Refused> {
        self.catalogue.student(id).ok_or_else(|| Refused::of(Why::NoStudent))
    }
}

/// What somebody who looks this student up should hear first.
fn summary(enrolments: &[Enrolment], offers: &[Offer], half_done: usize, steps: &[Step]) -> String {
    let seats = match enrolments.len() {
        0 => "No seat".to_owned(),
        1 => "One seat".to_owned(),
        seats => format!("{seats} seats"),
    };
    let offers = match offers.len() {
        0 => String::new(),
        1 => ", and one is kept for this student".to_owned(),
        offers => format!(", and {offers} are kept for this student"),
    };
    let dead = steps.iter().filter(|step| step.state == StepState::Dead).count();
    let rest = match (half_done, dead) {
        (0, _) => "everything that follows is done".to_owned(),
        (1, 0) => {
            "one of the things that follow is not done yet, and will be; see below when and why".to_owned()
        }
        (open, 0) => {
            format!("{open} of the things that follow are not done yet, and will be; see below when and why")
        }
        (_, 1) => "one of the things that follow was given up and waits for a person".to_owned(),
        (_, dead) => format!("{dead} of the things that follow were given up and wait for a person"),
    };
    format!("{seats}{offers}; {rest}.")
}

fn told_step(step: &Step, now: Moment) -> Value {
    let mut told = json!(step);
    told["words"] = json!(words_of_step(step, now));
    told
}

/// What a step is, and what will happen next: never a state that nobody can read.
fn words_of_step(step: &Step, now: Moment) -> String {
    let what = match (step.system, step.undoes) {
        (System::Mail, false) => "confirmation mail",
        (System::Mail, true) => "mail that says it is over",
        (System::Record, false) => "academic record",
        (System::Record, true) => "withdrawal from the academic record",
        (System::Fee, false) => "fee entry",
        (System::Fee, true) => "cancelling of the fee",
    };
    let next = match step.state {
        StepState::Done => "done".to_owned(),
        StepState::Running => format!("attempt {} is under way", step.attempt),
        StepState::Waiting => {
            "not tried yet; it is next as soon as what this student did before is done".to_owned()
        }
        StepState::Retrying => {
            let reason = step.reason.as_deref().unwrap_or("the last one failed");
            let when = match step.next_at.map(|at| at.saturating_sub(now).div_ceil(1_000)) {
                Some(seconds) if seconds > 0 => format!("in {seconds} s"),
                _ => "now".to_owned(),
            };
            format!("attempt {} {when}, because {reason}", step.attempt + 1)
        }
        StepState::Dead => {
            let reason = step.reason.as_deref().unwrap_or("no reason is known");
            format!("given up after {} attempts, because {reason}; “Try again” has it done", step.attempt)
        }
    };
    let then = match (step.undoes && step.state != StepState::Done, step.system) {
        (true, System::Fee) => "; then the academic record is undone, then a mail says so",
        (true, System::Record) => "; then a mail says so",
        _ => "",
    };
    format!("{what}: {next}{then}")
}

fn words_of(event: &Event, section: &str) -> String {
    let detail = event.detail.as_deref().unwrap_or_default();
    match event.what.as_str() {
        "enrolled" => format!("took a seat in {section}"),
        "accepted" => format!("accepted the seat in {section} that was kept"),
        "dropped" => format!("gave the seat in {section} back"),
        "swapped" => format!("gave the seat in {section} for another"),
        "offered" => format!("was offered a seat in {section}, {detail}"),
        "held" => format!("has a seat in {section} held, {detail}"),
        "declined" => format!("declined the seat in {section} that was kept"),
        "offer_lapsed" => format!("let the offer of {section} lapse; it went to the next in line"),
        "lapsed" => format!("let the hold of {section} lapse"),
        "joined" => format!("stands in line for {section}"),
        "left" => format!("left the line for {section}"),
        "dropped_from_line" => format!("was taken out of the line for {section}: has a seat there"),
        "line_closed" => format!("waits for {section} no more: it has closed"),
        "refused" if section.is_empty() => format!("was refused ({detail})"),
        "refused" => format!("was refused {section} ({detail})"),
        "jobs_begun" => format!("{} follow-up jobs were accepted with it", event.jobs.len()),
        "jobs_done" => format!("{} follow-up jobs were done with it", event.jobs.len()),
        other => format!("{other} {section}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_what_will_happen_next() {
        let step = |system, undoes, state, reason: Option<&str>| Step {
            job: "0-7".into(),
            system,
            undoes,
            section: None,
            state,
            attempt: 2,
            attempts_max: 100,
            next_at: (state == StepState::Retrying).then_some(13_000),
            reason: reason.map(str::to_owned),
            since: 0,
        };
        let down = Some("the fee ledger answers 503");
        let table = [
            (step(System::Mail, false, StepState::Done, None), "confirmation mail: done"),
            (
                step(System::Fee, false, StepState::Retrying, down),
                "fee entry: attempt 3 in 12 s, because the fee ledger answers 503",
            ),
            (
                step(System::Fee, true, StepState::Running, None),
                "cancelling of the fee: attempt 2 is under way; then the academic record is undone, then a mail says so",
            ),
            (
                step(System::Record, false, StepState::Dead, Some("no such book")),
                "academic record: given up after 2 attempts, because no such book; “Try again” has it done",
            ),
        ];
        for (step, words) in table {
            assert_eq!(words_of_step(&step, 1_000), words);
        }
    }
}
