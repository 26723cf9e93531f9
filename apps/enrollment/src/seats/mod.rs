//! The one door to what is scarce. Whoever asks for a seat asks here, and one implementation decides.
//!
//! Promises of every honest implementation: a section never has more students than seats; a student has a section at most
//! once; the same key is the same request, and gets the same answer; an answer `Ok` is durable, and so are the jobs that
//! follow from it. [`Strategy::Naive`] keeps none of them, on purpose.
//!
//! What is not here: HTTP, and words for people. A refusal is a value; [`crate::refusal`] says it.

pub mod postgres;
pub mod tidegate;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalogue::{SectionId, StudentId};
use crate::downstream::System;
use crate::eligibility::Ineligible;

/// What decides who gets a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// PostgreSQL: read, check, write, without a lock. It oversells; that is what it is here for.
    Naive,
    /// PostgreSQL: a lock on the section's row.
    Pessimistic,
    /// PostgreSQL: a version that must not have changed; tried again if it has.
    Optimistic,
    /// PostgreSQL behind a lock in Redis, with a fencing number checked at the write.
    RedisLock,
    /// Tidegate's pools: seat, record and jobs are one record in one log.
    Tidegate,
}

/// Milliseconds since 1970.
pub type Moment = u64;

/// A student asks something about one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who.
    pub student: StudentId,
    /// Which section.
    pub section: SectionId,
    /// The client's own name for this one intention: a second press and a reload have the same.
    pub key: String,
}

/// A student asks to give one section for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapWish {
    /// Who.
    pub student: StudentId,
    /// What is given up, if the other can be had.
    pub give: SectionId,
    /// What is wanted.
    pub want: SectionId,
    /// If there is no seat now: wait in line, and give the old one up when the offer is accepted.
    pub when_offered: bool,
    /// As in [`Wish`].
    pub key: String,
}

/// A student has a seat in a section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Its name: with Tidegate, the grant's.
    pub id: String,
    /// Who.
    pub student: StudentId,
    /// In which section.
    pub section: SectionId,
    /// Rises: of two enrolments in a section, the later has the higher.
    pub fence: u64,
    /// Since when.
    pub since: Moment,
}

/// The seat is the student's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Which.
    pub enrolment: Enrolment,
    /// The section's version after it, if the strategy has versions.
    pub version: Option<u64>,
}

/// The seat was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The enrolment that has ended.
    pub enrolment: String,
    /// In which section.
    pub section: SectionId,
    /// The section's version after it.
    pub version: Option<u64>,
}

/// What came of a swap. If there is neither now, nothing happened and it is a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Swapped {
    /// The new seat instead of the old one.
    Now(Enrolled),
    /// The old seat still, and a place in line for the new one.
    WhenOffered(Place),
}

/// What came of joining a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joined {
    /// A place in line.
    Waits(Place),
    /// There was room: an offer at once.
    Offered(Offer),
}

/// A place in a section's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Which section.
    pub section: SectionId,
    /// How many are before; none while an opening that draws the order lies ahead.
    pub ahead: Option<u32>,
    /// Since when; the answer to joining does not say, so that the same request has the same answer.
    pub since: Option<Moment>,
    /// The section that is given up when the offer is accepted.
    pub gives: Option<SectionId>,
}

/// A seat that is kept for the first in line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Which section.
    pub section: SectionId,
    /// Until when.
    pub until: Moment,
    /// The section that is given up when it is accepted.
    pub gives: Option<SectionId>,
}

/// What went with a seat that was given up: it was promised for this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// What it was.
    pub what: LostWhat,
    /// For which section.
    pub section: SectionId,
}

/// What can be lost with a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostWhat {
    /// A place in line.
    Place,
    /// A seat that was kept.
    Offer,
}

/// Whether a section gives seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// Not yet.
    Upcoming,
    /// Now.
    Open,
    /// No more.
    Closed,
}

/// A section as it is in what was last made durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Free {
    /// Which section.
    pub section: SectionId,
    /// Its seats.
    pub capacity: u32,
    /// Seats that nobody has and that are kept for nobody.
    pub free: u32,
    /// Seats taken.
    pub taken: u32,
    /// Seats kept for somebody in line who was told.
    pub offered: u32,
    /// Students in line.
    pub waiting: u32,
    /// Rises with every change.
    pub version: u64,
    /// When this was so.
    pub as_of: Moment,
    /// Whether it gives seats.
    pub door: Door,
    /// When it opens or has opened, if that was set.
    pub opens_at: Option<Moment>,
    /// Whether the order of those who wait before the opening is drawn.
    pub draws: bool,
}

/// One student's whole story.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// Seats the student has.
    pub enrolments: Vec<Enrolment>,
    /// Seats kept for the student.
    pub offers: Vec<Offer>,
    /// Lines the student stands in.
    pub places: Vec<Place>,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

/// One thing that happened to a student.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// What, as a word: `enrolled`, `dropped`, `offered`, `offer_lapsed`, `joined`, `left`, `refused`, …
    pub what: String,
    /// In which section.
    pub section: Option<SectionId>,
    /// The section's version, if the strategy has versions.
    pub version: Option<u64>,
    /// Why it was refused, as a code.
    pub detail: Option<String>,
    /// Until when it is kept.
    pub until: Option<Moment>,
    /// With a place in line or an offer that is gone: the section that was to be given for it, and was given up.
    pub because: Option<SectionId>,
    /// Jobs that were accepted or done with it.
    pub jobs: Vec<String>,
}

/// One job that follows from what a student did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub job: String,
    /// In which system.
    pub system: System,
    /// Whether it undoes.
    pub undoes: bool,
    /// For which section.
    pub section: Option<SectionId>,
    /// Where it is in its life.
    pub state: StepState,
    /// How many attempts were begun.
    pub attempt: u32,
    /// How many there may be.
    pub attempts_max: u32,
    /// When the next one is, if it is tried again.
    pub next_at: Option<Moment>,
    /// What the last one that failed says.
    pub reason: Option<String>,
    /// When it was accepted.
    pub since: Moment,
}

/// Where a step is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not tried yet.
    Waiting,
    /// Under way.
    Running,
    /// Failed, and tried again at a time that is known.
    Retrying,
    /// Done.
    Done,
    /// Given up; a person decides.
    Dead,
}

/// How much there is to do still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Jobs that are not done.
    pub open: u64,
    /// Those of them that were given up.
    pub dead: u64,
}

/// Why not. Nothing happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// The version of the section that decided it, if the strategy has versions.
    pub version: Option<u64>,
}

impl Refused {
    /// A refusal that no version of a section decided.
    #[must_use]
    pub fn of(why: Why) -> Self {
        Self { why, version: None }
    }
}

/// The reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No such student.
    NoStudent,
    /// No such section.
    NoSection,
    /// The university's rules.
    Ineligible(Ineligible),
    /// Every seat is taken or kept for somebody in line.
    SoldOut,
    /// The enrolment has not opened; when it does.
    NotOpen(Moment),
    /// The enrolment has closed; since when.
    Closed(Moment),
    /// The student has no seat there.
    NotEnrolled,
    /// The student stands in this line already, for another purpose.
    AlreadyWaiting,
    /// The student does not stand in this line.
    NotWaiting,
    /// The line is as long as it may be.
    WaitlistFull(u32),
    /// The section, or the strategy, has no line.
    NoWaitlist,
    /// Nothing is kept for the student there, or no more.
    NoOffer,
    /// The offer's time was over before it was accepted.
    OfferLapsed,
    /// Fewer seats than are taken and kept; so many are.
    BelowGranted(u32),
    /// The opening cannot be moved while somebody stands in line for these sections. None was changed.
    LineInTheWay(Vec<SectionId>),
    /// Somebody came in between while openings were set: these have the new one.
    OpeningHalfSet {
        /// Those that have it.
        set: Vec<SectionId>,
        /// The first one that has it not.
        stopped_at: SectionId,
        /// What was said there.
        because: String,
    },
    /// The student has no seat in this section to give for another.
    NothingToGive(SectionId),
    /// A section cannot be swapped for itself.
    SameSection,
    /// What it was judged by changed at the same moment.
    Changed,
    /// There is no room for it just now; nothing was done, and the same key may be sent again.
    Busy(String),
    /// The engine says no for a reason that no student can do anything about.
    EngineRefused(String),
    /// The key came before with another request.
    KeyReused,
    /// The strategy cannot do this.
    Unsupported(&'static str),
    /// It is not known whether it was done; the same key may be sent again.
    Away(String),
    /// It cannot be looked up: the seats do not answer.
    NotReached(String),
}

/// The door. Every call that changes something is safe to repeat under its key.
pub trait Seats: Send + Sync + 'static {
    /// Which implementation this is.
    fn strategy(&self) -> Strategy;

    /// A seat for the student, with everything that follows from it, or nothing.
    fn enrol(&self, wish: &Wish) -> impl Future<Output = Result<Enrolled, Refused>> + Send;

    /// Gives the seat back, and begins to undo what followed from it.
    fn drop_seat(&self, wish: &Wish) -> impl Future<Output = Result<Dropped, Refused>> + Send;

    /// One seat for another, or nothing: the old one is never lost.
    fn swap(&self, wish: &SwapWish) -> impl Future<Output = Result<Swapped, Refused>> + Send;

    /// Waits in line.
    fn join(&self, wish: &Wish) -> impl Future<Output = Result<Joined, Refused>> + Send;

    /// Waits no more.
    fn leave(&self, wish: &Wish) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Takes the seat that is kept for the student; an enrolment like any other.
    fn accept(&self, wish: &Wish) -> impl Future<Output = Result<Enrolled, Refused>> + Send;

    /// Lets the next in line have it.
    fn decline(&self, wish: &Wish) -> impl Future<Output = Result<(), Refused>> + Send;

    /// What was lost with a seat that was given up. `enrolment` is what the drop ended, or what the swap gave; `about` are the
    /// sections that the student pressed for.
    fn lost_with(
        &self,
        _student: &StudentId,
        _enrolment: &str,
        _about: &[&SectionId],
    ) -> impl Future<Output = Vec<Lost>> + Send {
        std::future::ready(Vec::new())
    }

    /// How sections stand; those that are unknown are left out. An empty list asks for all.
    fn free(&self, sections: &[SectionId]) -> impl Future<Output = Result<Vec<Free>, Refused>> + Send;

    /// One student's whole story.
    fn of_student(&self, student: &StudentId) -> impl Future<Output = Result<Story, Refused>> + Send;

    /// Every enrolment, for the audit.
    fn all(&self) -> impl Future<Output = Result<Vec<Enrolment>, Refused>> + Send;

    /// So many seats from now on.
    fn resize(&self, section: &SectionId, seats: u32) -> impl Future<Output = Result<Free, Refused>> + Send;

    /// When sections open; an empty list means all. All of them are looked at before the first is changed. Which were changed.
    fn open_at(
        &self,
        sections: &[SectionId],
        opens_at: Moment,
        shuffle: bool,
    ) -> impl Future<Output = Result<Vec<SectionId>, Refused>> + Send;

    /// What follows from what a student did, oldest first: done, under way and to come.
    fn steps(&self, student: &StudentId) -> impl Future<Output = Result<Vec<Step>, Refused>> + Send;

    /// Has what was given up for this student tried again. How many jobs.
    fn retry(&self, student: &StudentId) -> impl Future<Output = Result<u64, Refused>> + Send;

    /// How much there is to do, by system.
    fn backlog(&self) -> impl Future<Output = Result<Vec<(System, Backlog)>, Refused>> + Send;

    /// Ends when a section may have changed; whoever shows sections looks again then.
    fn changed(&self) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(LOOK_EVERY)
    }
}

/// How often sections are looked at where nobody says that they change.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The one that was chosen.
#[derive(Debug)]
pub enum AnySeats {
    /// [`Strategy::Tidegate`].
    Tidegate(Box<tidegate::TidegateSeats>),
    /// The others.
    Postgres(Arc<postgres::PostgresSeats>),
}

impl AnySeats {
    /// What it cost so far that several wanted the same: conflicts, and how often something was tried again. None if the
    /// strategy has neither.
    #[must_use]
    pub fn contention(&self) -> Option<(u64, u64)> {
        match self {
            Self::Tidegate(_) => None,
            Self::Postgres(seats) => seats.contention(),
        }
    }
}

macro_rules! forward {
    ($self:ident, $seats:ident => $call:expr) => {
        match $self {
            AnySeats::Tidegate($seats) => $call,
            AnySeats::Postgres($seats) => $call,
        }
    };
}

impl Seats for AnySeats {
    fn strategy(&self) -> Strategy {
        forward!(self, seats => seats.strategy())
    }

    async fn enrol(&self, wish: &Wish) -> Result<Enrolled, Refused> {
        forward!(self, seats => seats.enrol(wish).await)
    }

    async fn drop_seat(&self, wish: &Wish) -> Result<Dropped, Refused> {
        forward!(self, seats => seats.drop_seat(wish).await)
    }

    async fn swap(&self, wish: &SwapWish) -> Result<Swapped, Refused> {
        forward!(self, seats => seats.swap(wish).await)
    }

    async fn join(&self, wish: &Wish) -> Result<Joined, Refused> {
        forward!(self, seats => seats.join(wish).await)
    }

    async fn leave(&self, wish: &Wish) -> Result<(), Refused> {
        forward!(self, seats => seats.leave(wish).await)
    }

    async fn accept(&self, wish: &Wish) -> Result<Enrolled, Refused> {
        forward!(self, seats => seats.accept(wish).await)
    }

    async fn decline(&self, wish: &Wish) -> Result<(), Refused> {
        forward!(self, seats => seats.decline(wish).await)
    }

    async fn lost_with(&self, student: &StudentId, enrolment: &str, about: &[&SectionId]) -> Vec<Lost> {
        forward!(self, seats => seats.lost_with(student, enrolment, about).await)
    }

    async fn free(&self, sections: &[SectionId]) -> Result<Vec<Free>, Refused> {
        forward!(self, seats => seats.free(sections).await)
    }

    async fn of_student(&self, student: &StudentId) -> Result<Story, Refused> {
        forward!(self, seats => seats.of_student(student).await)
    }

    async fn all(&self) -> Result<Vec<Enrolment>, Refused> {
        forward!(self, seats => seats.all().await)
    }

    async fn resize(&self, section: &SectionId, seats: u32) -> Result<Free, Refused> {
        forward!(self, these => these.resize(section, seats).await)
    }

    async fn open_at(
        &self,
        sections: &[SectionId],
        opens_at: Moment,
        shuffle: bool,
    ) -> Result<Vec<SectionId>, Refused> {
        forward!(self, seats => seats.open_at(sections, opens_at, shuffle).await)
    }

    async fn steps(&self, student: &StudentId) -> Result<Vec<Step>, Refused> {
        forward!(self, seats => seats.steps(student).await)
    }

    async fn retry(&self, student: &StudentId) -> Result<u64, Refused> {
        forward!(self, seats => seats.retry(student).await)
    }

    async fn backlog(&self) -> Result<Vec<(System, Backlog)>, Refused> {
        forward!(self, seats => seats.backlog().await)
    }

    async fn changed(&self) {
        forward!(self, seats => seats.changed().await);
    }
}
