//! The portal: what a student, a registrar and support can ask of it.
//!
//! It decides nothing about seats: it asks the one door, adds words, and counts. What is not here: HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::board::Board;
use crate::catalogue::{Catalogue, Section, SectionId, Student, StudentId};
use crate::downstream::{Downstream, Fault, Row, System, now};
use crate::eligibility::{Ineligible, judge};
use crate::last_seen::{AWAY, LastSeen};
use crate::pace::{Estimate, Pace};
use crate::presses::{Press, Presses};
use crate::refusal::{Asked, Seen, Told};
use crate::room::WaitingRoom;
use crate::seats::{
    AnySeats, Backlog, Door, Enrolment, Event, Free, Moment, Offer, Refused, Seats, Step, StepState, Story,
    Why,
};
use crate::tally::Tally;

/// So long something may be looked up before what was last seen is shown.
const LOOK_PATIENCE: Duration = Duration::from_secs(3);
/// Looks for what was just decided to be shown, and the time after the first; it doubles after each.
const CATCH_UP: (usize, Duration) = (8, Duration::from_millis(5));
/// A refusal that the engine tells is one that the portal kept, if it was within this time of it; the engine tells less of it.
const SAME_REFUSAL_MS: u64 = 5_000;

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
    /// Presses that were refused.
    pub presses: Presses,
    /// What is shown while the seats do not answer.
    pub last_seen: LastSeen,
    /// So long a change may take before nobody knows what came of it.
    pub patience: Duration,
}

/// A change that a student asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'a> {
    /// What: `enrol`, `drop`, …
    pub what: &'static str,
    /// Who.
    pub student: &'a StudentId,
    /// For which section.
    pub section: &'a SectionId,
    /// With a swap: what is given.
    pub gives: Option<&'a SectionId>,
    /// The press's own key.
    pub key: &'a str,
    /// What the student saw.
    pub seen: Option<Seen>,
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
    /// Asks for a change: counts it, says a refusal in words, and keeps it for support.
    ///
    /// # Errors
    /// The refusal, told.
    pub async fn change<T>(
        &self,
        asks: Asks<'_>,
        asked: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Told> {
        let (started, at) = (Instant::now(), now());
        let nobody_knows = |_| {
            let why = format!("no answer within {} s", self.patience.as_secs());
            Err(Refused::of(Why::Away(why)))
        };
        match timeout(self.patience, asked).await.unwrap_or_else(nobody_knows) {
            Ok(done) => {
                self.tally.answered(asks.what, None, started.elapsed(), now());
                Ok(done)
            }
            Err(refused) => {
                let told = self.tell(&refused, Some(asks.student), Some(asks.section), asks.seen).await;
                self.keep(at, asks, &told).await;
                self.tally.answered(asks.what, Some(told.code), started.elapsed(), now());
                Err(told)
            }
        }
    }

    async fn keep(&self, at: Moment, asks: Asks<'_>, told: &Told) {
        if self.catalogue.student(asks.student).is_none() {
            return;
        }
        let changed = told.changed.as_deref().map_or_else(String::new, |changed| format!(" {changed}"));
        let press = Press {
            at,
            student: asks.student.clone(),
            action: asks.what.to_owned(),
            section: asks.section.clone(),
            gives: asks.gives.cloned(),
            code: told.code.to_owned(),
            message: format!("{}{changed}", told.message),
            version: told.version,
            key: asks.key.to_owned(),
        };
        self.presses.keep(press).await;
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
        let section = section.and_then(|section| self.catalogue.section(section));
        // Who is told to come back need not be looked up, and where nobody answers there is nothing to look at.
        let is_away = matches!(refused.why, Why::Away(_) | Why::NotReached(_) | Why::Busy(_));
        let board = match is_away {
            true => self.board.shown(),
            false => self.board.look(&self.seats).await.unwrap_or_else(|_| self.board.shown()),
        };
        let newer = match (section, refused.version) {
            (Some(section), Some(version)) if !board.away && !is_away => {
                let is_behind = board.section(&section.id).is_none_or(|free| free.version < version);
                if is_behind { self.stands(&section.id, version).await } else { None }
            }
            _ => None,
        };
        let is_early = matches!(refused.why, Why::NotOpen(_));
        let draws = section.and_then(|section| board.section(&section.id)).is_some_and(|free| free.draws);
        let story = match student {
            // Before an opening only a draw depends on what the student has.
            Some(student) if !is_away && (draws || !is_early) => {
                self.story(&student.id).await.ok().map(|(story, _)| story)
            }
            _ => None,
        };
        let asked = Asked {
            catalogue: &self.catalogue,
            board: &board,
            newer: newer.as_ref(),
            student,
            story: story.as_deref(),
            section,
            seen,
        };
        asked.tell(refused)
    }

    /// How a section stands at this version or later. What is shown follows a moment after what is decided.
    async fn stands(&self, section: &SectionId, version: u64) -> Option<Free> {
        let mut pause = CATCH_UP.1;
        for _ in 0..CATCH_UP.0 {
            let found = self.answers(self.seats.free(std::slice::from_ref(section))).await.ok()?.ok()?;
            if let Some(free) = found.into_iter().next().filter(|free| free.version >= version) {
                return Some(free);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        None
    }

    /// A student's story: as it is, or, while the seats do not answer, as it was last seen, and when that was.
    async fn story(&self, id: &StudentId) -> Result<(Arc<Story>, Option<Moment>), Refused> {
        let why = match self.answers(self.seats.of_student(id)).await? {
            Ok(story) => {
                let story = Arc::new(story);
                self.last_seen.saw(id, &story, now());
                return Ok((story, None));
            }
            Err(why) => why,
        };
        let (as_of, story) = self.last_seen.story(id).ok_or_else(|| Refused::of(Why::NotReached(why)))?;
        Ok((story, Some(as_of)))
    }

    /// What is to be done; as in [`App::story`].
    async fn backlog(&self) -> Result<(Vec<(System, Backlog)>, Option<Moment>), Refused> {
        let why = match self.answers(self.seats.backlog()).await? {
            Ok(backlog) => {
                self.last_seen.saw_backlog(&backlog, now());
                return Ok((backlog, None));
            }
            Err(why) => why,
        };
        let (as_of, backlog) = self.last_seen.backlog().ok_or_else(|| Refused::of(Why::NotReached(why)))?;
        Ok((backlog, Some(as_of)))
    }

    /// Looks something up; the inner error says why there is no answer. Where it was just seen that nobody answers, nobody is asked.
    async fn answers<T>(
        &self,
        asked: impl Future<Output = Result<T, Refused>>,
    ) -> Result<Result<T, String>, Refused> {
        if self.board.shown().away && self.board.look(&self.seats).await?.away {
            return Ok(Err("it did not answer a moment ago".to_owned()));
        }
        match timeout(LOOK_PATIENCE, asked).await {
            Ok(Ok(answer)) => Ok(Ok(answer)),
            Ok(Err(Refused { why: Why::Away(why), .. })) => Ok(Err(why)),
            Ok(Err(refused)) => Err(refused),
            Err(_) => Ok(Err(format!("no answer within {} s", LOOK_PATIENCE.as_secs()))),
        }
    }

    /// What a student's page shows.
    ///
    /// # Errors
    /// There is no such student, or the seats cannot be reached and were never seen.
    pub async fn student(&self, id: &StudentId) -> Result<Value, Refused> {
        let student = self.known(id)?;
        let (story, as_of) = self.story(id).await?;
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
                let kept: Vec<&SectionId> = story.offers.iter().map(|offer| &offer.section).collect();
                let words = rule.words_beside(&self.catalogue, &kept);
                let told = match rule {
                    Ineligible::HasSection if kept.contains(&&section.id) => {
                        json!({ "code": "already_offered", "words": "A seat in this section is kept for you." })
                    }
                    _ => json!({ "code": rule.code(), "words": words }),
                };
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
            "as_of": as_of.unwrap_or_else(now),
            "away": as_of.map(|_| AWAY),
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
            Some(student) => (None, self.waits(&self.story(&student.id).await?.0, now)),
            None => (None, Vec::new()),
        };
        let away = board.away.then_some(AWAY);
        Ok(json!({
            "now": now, "as_of": board.as_of, "away": away,
            "state": state, "opens_at": opens_at, "room": room, "lines": lines,
        }))
    }

    /// One student's whole story, for support.
    ///
    /// # Errors
    /// As [`App::student`].
    pub async fn support(&self, id: &StudentId) -> Result<Value, Refused> {
        let student = self.known(id)?;
        let (story, mut as_of) = self.story(id).await?;
        // What follows is not remembered: what is said of it is said of now, or not at all.
        let steps = match as_of {
            None => self.answers(self.seats.steps(id)).await?.ok(),
            Some(_) => None,
        };
        let now = now();
        if steps.is_none() {
            as_of.get_or_insert(now);
        }
        let steps = steps.unwrap_or_default();
        let refused = self.presses.of(id).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the refused presses cannot be read");
            Vec::new()
        });
        let told_steps: Vec<Value> = steps.iter().map(|step| told_step(step, now)).collect();
        let half_done = steps.iter().filter(|step| step.state != StepState::Done).count();
        let events = self.events(&story, &refused);
        let away = as_of.map(|_| AWAY);
        let mut books = BTreeMap::new();
        let mut missing = Vec::new();
        for system in System::ALL {
            let book = match self.downstream.rows(system, id).await {
                Ok(rows) => {
                    missing.extend(lacking(system, &story.enrolments, &steps, &rows));
                    json!(rows)
                }
                Err(fault) => json!(fault.to_string()),
            };
            books.insert(system.as_str(), book);
        }
        if as_of.is_some() {
            missing.clear();
        } else if !missing.is_empty() {
            // What was dropped while the books were read is no seat without its entry.
            let (story, _) = self.story(id).await?;
            missing.retain(|lacks| story.enrolments.iter().any(|one| one.id == lacks.enrolment));
        }
        let summary = match away {
            Some(_) => "The server that keeps the seats does not answer: what follows cannot be looked up, and the rest may have changed since.".to_owned(),
            None => summary(&story.enrolments, &story.offers, half_done, &steps, &missing),
        };
        let notices = self.downstream.notices(id).await.unwrap_or_default();
        let notices: Vec<Value> =
            notices.iter().map(|(text, at)| json!({ "at": at, "text": text })).collect();
        let enrolments: Vec<Value> = story.enrolments.iter().map(|one| self.shown(one)).collect();
        Ok(json!({
            "student": student,
            "now": now,
            "as_of": as_of.unwrap_or(now),
            "away": away,
            "summary": summary,
            "enrolments": enrolments,
            "offers": story.offers,
            "places": self.waits(&story, now),
            "steps": told_steps,
            "half_done": half_done,
            "missing": missing,
            "events": events,
            "books": books,
            "notices": notices,
        }))
    }

    /// What the seats tell and what the portal kept, in order of time.
    fn events(&self, story: &Story, refused: &[Press]) -> Vec<Value> {
        let is_kept = |event: &Event| {
            event.what == "refused"
                && refused.iter().any(|press| press.at.abs_diff(event.at) < SAME_REFUSAL_MS)
        };
        let told = story.events.iter().filter(|event| !is_kept(event));
        let told = told.map(|event| (event.at, self.told_event(event)));
        let mut events: Vec<(Moment, Value)> =
            told.chain(refused.iter().map(|press| (press.at, self.told_press(press)))).collect();
        events.sort_by_key(|(at, _)| *at);
        events.into_iter().map(|(_, event)| event).collect()
    }

    fn called(&self, section: &SectionId) -> String {
        match self.catalogue.section(section) {
            Some(known) => format!("{} ({section})", known.title),
            None => section.to_string(),
        }
    }

    fn told_press(&self, press: &Press) -> Value {
        let gives = press.gives.as_ref().map(|gives| self.called(gives));
        json!({
            "at": press.at,
            "what": "refused",
            "section": press.section,
            "version": press.version,
            "jobs": [],
            "action": press.action,
            "code": press.code,
            "words": words_of_press(press, &self.called(&press.section), gives.as_deref()),
        })
    }

    fn told_event(&self, event: &Event) -> Value {
        let section = event.section.as_ref();
        let name = section.map_or_else(String::new, |section| self.called(section));
        json!({
            "at": event.at,
            "what": event.what,
            "section": section,
            "version": event.version,
            "until": event.until,
            "because": event.because,
            "jobs": event.jobs,
            "words": words_of(event, &name),
        })
    }

    /// What came of a drop or a swap, with what was lost with the seat that was given up: a place in line or an offer that it
    /// was promised for.
    pub async fn with_lost(
        &self,
        done: impl Serialize,
        student: &StudentId,
        enrolment: &str,
        about: &[&SectionId],
    ) -> Value {
        let mut answer = json!(done);
        let lost = timeout(LOOK_PATIENCE, self.seats.lost_with(student, enrolment, about)).await;
        if let Some(lost) = lost.ok().filter(|lost| !lost.is_empty()) {
            answer["lost"] = json!(lost);
        }
        answer
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
        let (backlog, as_of) = self.backlog().await?;
        let healths = System::ALL.map(|system| self.downstream.looks(system));
        let healths = futures_util::future::join_all(healths).await;
        let systems: BTreeMap<&str, Value> = backlog
            .into_iter()
            .zip(healths)
            .map(|((system, backlog), health)| {
                (system.as_str(), json!({ "health": health, "open": backlog.open, "dead": backlog.dead }))
            })
            .collect();
        let is_old = board.away || as_of.is_some();
        Ok(json!({
            "now": now(),
            "as_of": as_of.map_or(board.as_of, |as_of| as_of.min(board.as_of)),
            "away": is_old.then_some(AWAY),
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

/// A seat without its entry in a system, and without a step that will write it: what must never be, and is said if it is.
#[derive(Debug, Serialize)]
struct Lacking {
    enrolment: String,
    section: SectionId,
    system: System,
}

/// Seats that a system's book says nothing of.
fn lacking(system: System, enrolments: &[Enrolment], steps: &[Step], book: &[Row]) -> Vec<Lacking> {
    let is_written =
        |section: &SectionId| book.iter().any(|row| row.section == *section && row.undone.is_none());
    let is_to_come = |section: &SectionId| {
        let writes =
            |step: &&Step| step.system == system && !step.undoes && step.section.as_ref() == Some(section);
        steps.iter().filter(writes).any(|step| step.state != StepState::Done)
    };
    let lacks = enrolments.iter().filter(|one| !is_written(&one.section) && !is_to_come(&one.section));
    lacks.map(|one| Lacking { enrolment: one.id.clone(), section: one.section.clone(), system }).collect()
}

/// What somebody who looks this student up should hear first.
fn summary(
    enrolments: &[Enrolment],
    offers: &[Offer],
    half_done: usize,
    steps: &[Step],
    missing: &[Lacking],
) -> String {
    if let Some(Lacking { section, system, .. }) = missing.first() {
        let more = match missing.len() {
            1 => String::new(),
            all => format!(" (and {} more such)", all - 1),
        };
        return format!(
            "There is a seat in {section}, {} knows nothing of it, and nothing is under way that would tell it{more}: a person must look.",
            system.title()
        );
    }
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

fn follow_ups(jobs: usize) -> String {
    match jobs {
        1 => "1 follow-up job was".to_owned(),
        _ => format!("{jobs} follow-up jobs were"),
    }
}

/// A press that was refused, and what was read then.
fn words_of_press(press: &Press, section: &str, gives: Option<&str>) -> String {
    let pressed = match (press.action.as_str(), gives) {
        ("enrol", _) => format!("pressed Enrol for {section}"),
        ("drop", _) => format!("pressed Drop for {section}"),
        ("swap", Some(gives)) => format!("pressed Swap of {gives} for {section}"),
        ("join", _) => format!("pressed Wait in line for {section}"),
        ("leave", _) => format!("pressed Leave the line for {section}"),
        ("accept", _) => format!("pressed Accept for {section}"),
        ("decline", _) => format!("pressed Decline for {section}"),
        (other, _) => format!("pressed {other} for {section}"),
    };
    let heard = if press.code == "away" { "and heard" } else { "and was refused" };
    format!("{pressed}, {heard}: “{}”", press.message)
}

fn words_of(event: &Event, section: &str) -> String {
    let detail = event.detail.as_deref().unwrap_or_default();
    let gave = event.because.as_ref().map_or("", SectionId::as_str);
    match event.what.as_str() {
        "enrolled" => format!("took a seat in {section}"),
        "accepted" => format!("accepted the seat in {section} that was kept"),
        "dropped" => format!("gave the seat in {section} back"),
        "swapped" => format!("gave the seat in {section} for another"),
        "offered" => format!("was offered a seat in {section}"),
        "held" => format!("has a seat in {section} held"),
        "declined" if event.because.is_some() => {
            format!(
                "lost the seat in {section} that was kept, because {gave} was given up, which was to be given for it"
            )
        }
        "declined" => format!("declined the seat in {section} that was kept"),
        "offer_lapsed" => format!("let the offer of {section} lapse"),
        "lapsed" => format!("let the hold of {section} lapse"),
        "joined" => format!("stands in line for {section}"),
        "left" => format!("left the line for {section}"),
        "dropped_from_line" if event.because.is_some() => {
            format!(
                "lost the place in line for {section}, because {gave} was given up, which was to be given for it"
            )
        }
        "dropped_from_line" => {
            format!("was taken out of the line for {section}: has a seat there, or nothing to give for one")
        }
        "line_closed" => format!("waits for {section} no more: it has closed"),
        "refused" if section.is_empty() => format!("was refused ({detail})"),
        "refused" => format!("was refused {section} ({detail})"),
        "jobs_begun" => format!("{} accepted with it", follow_ups(event.jobs.len())),
        "jobs_done" => format!("{} done with it", follow_ups(event.jobs.len())),
        other => format!("{other} {section}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_a_system_knows_nothing_of_is_said() {
        let enrolment = |id: &str, section: &str| Enrolment {
            id: id.into(),
            student: "s1".into(),
            section: section.into(),
            fence: 1,
            since: 0,
        };
        let row = |section: &str, undone: Option<Moment>| Row {
            section: section.into(),
            text: String::new(),
            at: 0,
            undone: undone.map(|at| (String::new(), at)),
        };
        let step = |section: &str, state, undoes| Step {
            job: "0-7".into(),
            system: System::Fee,
            undoes,
            section: Some(section.into()),
            state,
            attempt: 1,
            attempts_max: 100,
            next_at: None,
            reason: None,
            since: 0,
        };
        let has = [enrolment("e1", "a-1"), enrolment("e2", "b-1")];
        let lacks = |steps: &[Step], book: &[Row]| {
            lacking(System::Fee, &has, steps, book).into_iter().map(|one| one.enrolment).collect::<Vec<_>>()
        };
        assert_eq!(lacks(&[], &[row("a-1", None), row("b-1", None)]), [""; 0]);
        // An entry that was undone is none, and a step that is done or undoes writes none.
        assert_eq!(lacks(&[], &[row("a-1", Some(1)), row("b-1", None)]), ["e1"]);
        assert_eq!(lacks(&[step("b-1", StepState::Done, false)], &[row("a-1", None)]), ["e2"]);
        assert_eq!(lacks(&[step("b-1", StepState::Waiting, true)], &[row("a-1", None)]), ["e2"]);
        for state in [StepState::Waiting, StepState::Running, StepState::Retrying, StepState::Dead] {
            assert_eq!(lacks(&[step("b-1", state, false)], &[row("a-1", None)]), [""; 0]);
        }
        let said = summary(&has, &[], 0, &[], &lacking(System::Fee, &has, &[], &[]));
        assert_eq!(
            said,
            "There is a seat in a-1, the fee ledger knows nothing of it, and nothing is under way that would tell it (and 1 more such): a person must look."
        );
    }

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
