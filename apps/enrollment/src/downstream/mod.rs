//! Three systems of their own: confirmation mail, academic record, fee ledger.
//!
//! Each has its own store, can be slow or down by itself, and keeps an entry once however often it is told:
//!
//! - **An entry is there once**: it is known by its enrolment's name, and whoever writes it again finds it. Who finds another
//!   student's, another section's, or another number's entry under that name is refused, loudly: a person must look.
//! - **An undo beats what is older**: it undoes the student's entries for the section with a lower number than its own
//!   `before`, and leaves a fence, so that an entry that was on its way all the time is not written after its undoing.
//!   Numbers rise with the jobs that carry them.
//!
//! What is not here: retries and their delays, which the queue has; and real mail, which `apps/uploads` has: a letter that is
//! "sent" here is a row with the letter's text.

mod postgres;
mod sqlite;
mod statements;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::catalogue::{SectionId, StudentId};
use crate::chain::{Entry, Revocation};
use crate::seats::Moment;

/// One of the three, in the order in which an enrolment reaches them; a drop goes backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    /// The mail that confirms.
    Mail,
    /// What the student is enrolled in, as the examination office knows it.
    Record,
    /// What the student owes.
    Fee,
}

impl System {
    /// All three, in the order of an enrolment.
    pub const ALL: [Self; 3] = [Self::Mail, Self::Record, Self::Fee];

    /// The word for it everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Record => "record",
            Self::Fee => "fee",
        }
    }

    /// As a person calls it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Mail => "the mail system",
            Self::Record => "the academic record",
            Self::Fee => "the fee ledger",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.as_str() == name)
    }

    /// Where a drop goes on after this one.
    #[must_use]
    pub fn before(self) -> Option<Self> {
        match self {
            Self::Fee => Some(Self::Record),
            Self::Record => Some(Self::Mail),
            Self::Mail => None,
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a system is, for drills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It answers.
    Up,
    /// It answers 503.
    Down,
    /// It answers so many milliseconds late.
    SlowMs(u64),
    /// Its store cannot be reached: no drill.
    Away,
}

/// What came of writing an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there now.
    New,
    /// This very entry was there before, and was perhaps undone since.
    AlreadyThere,
    /// It was undone before it came, and is not written.
    Overtaken,
}

/// An entry that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The enrolment's name downstream.
    pub enrolment: String,
    /// Whose.
    pub student: StudentId,
    /// In which section.
    pub section: SectionId,
    /// Its number.
    pub number: u64,
}

/// A row of a system's book, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Which section it is about.
    pub section: SectionId,
    /// What was written.
    pub text: String,
    /// When.
    pub at: Moment,
    /// What its undoing says, and when it was undone.
    pub undone: Option<(String, Moment)>,
}

/// Why a system did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {text}", system.title())]
pub struct Fault {
    /// Which one.
    pub system: System,
    /// What it says.
    pub text: String,
    /// The name for errors of this sort.
    pub kind: &'static str,
}

impl Fault {
    fn new(system: System, kind: &'static str, text: impl fmt::Display) -> Self {
        Self { system, text: text.to_string(), kind }
    }

    /// Whether doing it again comes to the same: a person must look.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.kind == ANOTHER_ENTRY
    }
}

/// The three of them.
#[derive(Debug)]
pub struct Downstream {
    store: Store,
    health: [AtomicU64; 3],
}

#[derive(Debug)]
enum Store {
    Sqlite(sqlite::Files),
    Postgres(Box<postgres::Schemas>),
}

macro_rules! either {
    ($self:ident, $store:ident => $call:expr) => {
        match &$self.store {
            Store::Sqlite($store) => $call,
            Store::Postgres($store) => $call,
        }
    };
}

/// The kind of the fault that another entry has the name.
const ANOTHER_ENTRY: &str = "another_entry";
/// A store that takes longer to say that it is there is away.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// `SlowMs` beyond this is "down".
const SLOW_MS_MAX: u64 = 3_600_000;

const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

/// Whether this says where the three are.
#[must_use]
pub fn is_place(text: &str) -> bool {
    text == "sqlite" || POSTGRES.iter().any(|scheme| text.starts_with(scheme))
}

impl Downstream {
    /// Opens them: `sqlite` for three files under `data`, or a PostgreSQL address for three schemas.
    ///
    /// # Errors
    /// They cannot be opened.
    pub async fn open(place: &str, data: &Path) -> anyhow::Result<Self> {
        let store = match place {
            "sqlite" => {
                let folder = data.join("downstream");
                std::fs::create_dir_all(&folder)
                    .with_context(|| format!("{} cannot be made", folder.display()))?;
                Store::Sqlite(
                    sqlite::Files::open(&folder).context("the downstream systems cannot be opened")?,
                )
            }
            url if is_place(url) => Store::Postgres(Box::new(
                postgres::Schemas::open(url).await.context("PostgreSQL for the downstream systems")?,
            )),
            other => {
                anyhow::bail!("--downstream is `sqlite` or postgres://user@host/database, not {other:?}")
            }
        };
        Ok(Self { store, health: Default::default() })
    }

    /// Makes a system slow, down or well. It is forgotten with the process.
    pub fn set(&self, system: System, health: Health) {
        let value = match health {
            Health::Up => 0,
            Health::Down | Health::Away => u64::MAX,
            Health::SlowMs(ms) => ms.min(SLOW_MS_MAX),
        };
        self.health[system as usize].store(value, Ordering::Relaxed);
    }

    /// How a system was told to be.
    #[must_use]
    pub fn health(&self, system: System) -> Health {
        match self.health[system as usize].load(Ordering::Relaxed) {
            0 => Health::Up,
            u64::MAX => Health::Down,
            ms => Health::SlowMs(ms),
        }
    }

    /// How a system is: as its drill has it, or away if its store does not answer.
    pub async fn looks(&self, system: System) -> Health {
        let told = self.health(system);
        if told == Health::Down {
            return told;
        }
        let asked = async { either!(self, store => store.answers(system).await) };
        match tokio::time::timeout(ANSWER_TIME, asked).await {
            Ok(Ok(())) => told,
            Ok(Err(_)) | Err(_) => Health::Away,
        }
    }

    /// Writes an entry, once.
    ///
    /// # Errors
    /// The system is down; it is not known whether the entry is there, and writing it again is right. Or another entry is there
    /// under its name, and it is not written.
    pub async fn write(&self, system: System, number: u64, entry: &Entry) -> Result<Written, Fault> {
        self.reach(system).await?;
        let text = words(system, entry);
        let written = either!(self, store => store.write(system, number, entry, &text).await)?;
        if written == Written::AlreadyThere {
            // Whose, where and which number never change, and no row is deleted: what is there now was there then.
            let there = either!(self, store => store.named(system, &entry.enrolment).await)?;
            let Entry { enrolment, student, section, .. } = entry;
            if (&there.student, &there.section, there.number) != (student, section, number) {
                let text = format!(
                    "has an entry {enrolment} already, of {} in {} and with the number {}: that of {student} in {section}, number \
                     {number}, was not written",
                    there.student, there.section, there.number
                );
                return Err(Fault::new(system, ANOTHER_ENTRY, text));
            }
        }
        Ok(written)
    }

    /// Undoes what an enrolment wrote, and keeps out what is older and comes later. How many entries it undid.
    ///
    /// # Errors
    /// As [`Downstream::write`].
    pub async fn undo(&self, system: System, revocation: &Revocation, before: u64) -> Result<u64, Fault> {
        self.reach(system).await?;
        let text = undoing(system);
        either!(self, store => store.undo(system, revocation, before, text).await)
    }

    /// Tells a student something by mail, once for each `id`.
    ///
    /// # Errors
    /// The mail system is down.
    pub async fn notify(&self, id: &str, student: &StudentId, text: &str) -> Result<(), Fault> {
        self.reach(System::Mail).await?;
        either!(self, store => store.notify(id, student, text).await)
    }

    /// Every entry that is there and was not undone. It asks the store, also of a system that plays down.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn lines(&self, system: System) -> Result<Vec<Line>, Fault> {
        either!(self, store => store.lines(system).await)
    }

    /// How many there are.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn count(&self, system: System) -> Result<u64, Fault> {
        either!(self, store => store.count(system).await)
    }

    /// What a system's book says about a student, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn rows(&self, system: System, student: &StudentId) -> Result<Vec<Row>, Fault> {
        either!(self, store => store.rows(system, student).await)
    }

    /// What a student was told beside confirmations, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn notices(&self, student: &StudentId) -> Result<Vec<(String, Moment)>, Fault> {
        either!(self, store => store.notices(student).await)
    }

    /// The way to a system, as its drill has it.
    async fn reach(&self, system: System) -> Result<(), Fault> {
        match self.health(system) {
            Health::Up => Ok(()),
            Health::Down | Health::Away => Err(Fault::new(system, "http_503", "answers 503")),
            Health::SlowMs(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(())
            }
        }
    }
}

fn words(system: System, entry: &Entry) -> String {
    let Entry { section, course, credits, fee_cents, .. } = entry;
    match system {
        System::Mail => format!("You are enrolled in {section} ({course}, {credits} credits)."),
        System::Record => format!("enrolled in {section}, {credits} credits"),
        System::Fee => format!("{section}: {}.{:02} EUR due", fee_cents / 100, fee_cents % 100),
    }
}

fn undoing(system: System) -> &'static str {
    match system {
        // A letter that was sent cannot be unsent; its undoing is another letter.
        System::Mail => "a second letter says that it is over",
        System::Record => "withdrawn",
        System::Fee => "cancelled, nothing due",
    }
}

/// Now.
pub(crate) fn now() -> Moment {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
