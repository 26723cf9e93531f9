//! What follows an enrolment: a mail, the academic record, the fee; and what follows a drop: the same in reverse.
//!
//! ```text
//!   enrolment ── one record: seat + three jobs ──▶  write mail   write record   write fee        (in any order)
//!
//!   drop ─────── one record: seat back + one job ─▶ undo fee ──▶ undo record ──▶ undo mail       (one after the other)
//! ```
//!
//! Nobody is half enrolled: the seat and the three jobs are one record, so there is no moment with one and without the
//! others; and a job that cannot be done is tried again until it can. A step of a drop that is done and the next step's job are
//! one record too. A job may run more than once, since a worker can die between its effect and its report:
//! [`crate::downstream`] keeps an entry once, and knows it by its job: two enrolments never share one, whatever their keys.
//!
//! **Drop and enrolment may overtake each other**: a drop's first job can be there while the enrolment's fee waits for a
//! ledger that is down. Within a system, jobs of one student run in order, by their ordering key; and an undo carries a
//! number, so that even an entry that comes too late stays out.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate::api::enqueue::Retry;
use tidegate::api::queue::QueueConfig;
use tidegate::{Client, Failure, Job, JobBuilder, Worker, WorkerEvent};

use crate::catalogue::{Catalogue, CourseId, SectionId, StudentId};
use crate::downstream::{Downstream, Fault, System};

/// Where everything of the portal lives: a transaction is in one shard, and the names behind the `@` are in one.
pub const PLACE: &str = "fall";
/// The queue of the jobs by which lines tell of an offer.
pub const OFFER_QUEUE: &str = "offers@fall";
/// A job that writes an entry.
pub const WRITE: &str = "write";
/// A job that undoes one.
pub const UNDO: &str = "undo";
/// The kind of the jobs by which pools tell of offers.
pub const OFFER: &str = "offer";

/// Attempts that a step has: with the delays below, some hours of a system that is down.
const ATTEMPTS_MAX: u32 = 100;
/// The longest time between two of them.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// How long what is done can be told of: as long as a student's story.
const RETAIN: Duration = Duration::from_secs(7 * 24 * 3_600);
/// A step takes milliseconds; one whose worker died is somebody else's soon.
const LEASE: Duration = Duration::from_secs(5);
/// Steps under way at once in one system.
const AT_ONCE: usize = 16;

/// What an enrolment's follow-up jobs know: the payload of each of the three.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The entry's name downstream; whoever writes it twice finds it there. A job carries the name of the press, which may
    /// come again once its key is forgotten; it is written with the job's own number behind it, which does not.
    pub enrolment: String,
    /// Who.
    pub student: StudentId,
    /// In which section.
    pub section: SectionId,
    /// Of which course.
    pub course: CourseId,
    /// What it counts.
    pub credits: u32,
    /// What it costs, in cents.
    pub fee_cents: u32,
}

impl Entry {
    /// The entry of a student in a section, under a name of the enrolment.
    ///
    /// # Panics
    /// If there is no such section.
    #[must_use]
    pub fn of(catalogue: &Catalogue, student: &StudentId, section: &SectionId, enrolment: String) -> Self {
        let section = catalogue.section(section).expect("a section of this catalogue");
        let course = catalogue.course_of(section);
        Self {
            enrolment,
            student: student.clone(),
            section: section.id.clone(),
            course: course.id.clone(),
            credits: course.credits,
            fee_cents: course.fee_cents,
        }
    }
}

/// What a drop's follow-up jobs know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Who.
    pub student: StudentId,
    /// Which section was dropped.
    pub section: SectionId,
    /// Entries with a lower number are undone, and not written if they come later. The first job of a drop does not
    /// say: it means its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// One thing to do in one system: what a job's kind and payload come to, or a row of an outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Write this.
    Write(Entry),
    /// Undo this.
    Undo(Revocation),
}

/// Does one thing, whoever keeps the list of what is to be done. `number` is the task's own and rises with each. What is
/// to be done next, and where, is the answer.
///
/// # Errors
/// The system's fault; doing it again is right.
pub async fn perform(
    downstream: &Downstream,
    system: System,
    number: u64,
    task: &Task,
) -> Result<Option<(System, Revocation)>, Fault> {
    match task {
        Task::Write(entry) => downstream.write(system, number, entry).await.map(|_| None),
        Task::Undo(revocation) => {
            let before = revocation.before.unwrap_or(number);
            downstream.undo(system, revocation, before).await?;
            let next = Revocation { before: Some(before), ..revocation.clone() };
            Ok(system.before().map(|system| (system, next)))
        }
    }
}

/// The queue of a system's jobs.
#[must_use]
pub fn queue(system: System) -> &'static str {
    match system {
        System::Mail => "mail@fall",
        System::Record => "record@fall",
        System::Fee => "fee@fall",
    }
}

/// The three jobs of an enrolment, for its transaction.
pub fn writes(client: &Client, entry: &Entry) -> [JobBuilder; 3] {
    System::ALL.map(|system| {
        let job = client.queue(queue(system)).job(WRITE, entry);
        about(job, system, &entry.student, &entry.section)
    })
}

/// The first job of a drop, for its transaction: it begins where the enrolment ended.
pub fn undo(client: &Client, student: &StudentId, section: &SectionId) -> JobBuilder {
    step_back(
        client,
        System::Fee,
        &Revocation { student: student.clone(), section: section.clone(), before: None },
    )
}

fn step_back(client: &Client, system: System, revocation: &Revocation) -> JobBuilder {
    let job = client.queue(queue(system)).job(UNDO, revocation);
    about(job, system, &revocation.student, &revocation.section)
}

fn about(job: JobBuilder, system: System, student: &StudentId, section: &SectionId) -> JobBuilder {
    job.ordering_key(student.as_str()).dependency(system.as_str()).metadata("section", section.as_str())
}

/// Makes the queues as they should be.
///
/// # Errors
/// The engine is away.
pub async fn configure(client: &Client, retry_delay: Duration) -> Result<(), tidegate::Error> {
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let retry = Retry {
        max_attempts: Some(ATTEMPTS_MAX),
        delay_ms: Some(ms(retry_delay)),
        delay_max_ms: Some(ms(DELAY_MAX.max(retry_delay))),
        ..Retry::default()
    };
    let config = QueueConfig { retry: Some(retry), retain_ms: Some(ms(RETAIN)), ..QueueConfig::default() };
    for queue in System::ALL.map(queue).into_iter().chain([OFFER_QUEUE]) {
        client.configure(queue, &config).await?;
    }
    Ok(())
}

/// What the workers need.
#[derive(Debug)]
pub struct Office {
    /// Where their jobs come from.
    pub client: Client,
    /// Where their work goes.
    pub downstream: Arc<Downstream>,
}

/// The four workers, ready to run: one a system, so that one that is down holds up nobody else's work, and one that tells
/// of offers. `offered` hears of each offer.
pub fn workers(
    office: &Arc<Office>,
    offered: impl Fn(&OfferMade) + Send + Sync + 'static,
) -> Vec<Worker<Arc<Office>>> {
    let mut workers: Vec<_> = System::ALL
        .into_iter()
        .map(|system| {
            Worker::new(&office.client)
                .queue(queue(system))
                .name(system.as_str())
                .concurrency(AT_ONCE)
                .prefetch(AT_ONCE)
                .lease(LEASE)
                .on_event(show)
                .state(Arc::clone(office))
                .handle(WRITE, move |job, office| write(system, job, office))
                .handle(UNDO, move |job, office| undo_one(system, job, office))
        })
        .collect();
    let offered = Arc::new(offered);
    let teller = Worker::new(&office.client)
        .queue(OFFER_QUEUE)
        .name("offers")
        .concurrency(AT_ONCE)
        .on_event(show)
        .state(Arc::clone(office))
        .handle(OFFER, move |job, office| {
            let offered = Arc::clone(&offered);
            async move { tell(&job, &office, &*offered).await }
        });
    workers.push(teller);
    workers
}

/// What a step's job leaves behind: which section it was about, for whoever reads the student's story later.
async fn write(system: System, job: Job<Entry>, office: Arc<Office>) -> Result<SectionId, Failure> {
    let (entry, number) = (job.payload().clone(), job.id().sequence);
    let enrolment = format!("{}#{number}", entry.enrolment);
    let task = Task::Write(Entry { enrolment, ..entry });
    perform(&office.downstream, system, number, &task).await.map_err(failed)?;
    Ok(job.into_payload().section)
}

async fn undo_one(system: System, job: Job<Revocation>, office: Arc<Office>) -> Result<SectionId, Failure> {
    let task = Task::Undo(job.payload().clone());
    let next = perform(&office.downstream, system, job.id().sequence, &task).await.map_err(failed)?;
    if let Some((system, revocation)) = next {
        // This step is done and the next is to do, in one record: a crash cannot be between them.
        office
            .client
            .transaction()
            .complete_with(job.id(), job.token(), &job.payload().section)
            .enqueue(step_back(&office.client, system, &revocation))
            .commit()
            .await?;
    }
    Ok(job.into_payload().section)
}

fn failed(fault: Fault) -> Failure {
    let failure = if fault.is_final() { Failure::fatal(&fault) } else { Failure::retry(&fault) };
    failure.kind(fault.kind).dependency(fault.system.as_str())
}

/// A line's job that tells of an offer, as the engine writes it.
#[derive(Clone, Debug, Deserialize)]
pub struct OfferMade {
    /// Of which pool.
    pub pool: String,
    /// To whom.
    pub holder: String,
    /// The grant's name.
    pub grant: String,
}

async fn tell(
    job: &Job<OfferMade>,
    office: &Office,
    offered: &(impl Fn(&OfferMade) + Send + Sync),
) -> Result<(), Failure> {
    let offer = job.payload();
    offered(offer);
    let student = StudentId::from(offer.holder.as_str());
    let section = section_of(&offer.pool);
    let text = format!(
        "A seat in {section} is kept for you. Accept or decline it on your page; it does not wait for ever."
    );
    office.downstream.notify(&format!("offer:{}", offer.grant), &student, &text).await.map_err(failed)
}

/// The section that a pool's name speaks of.
#[must_use]
pub fn section_of(pool: &str) -> SectionId {
    let name = pool.strip_prefix("seats-").unwrap_or(pool);
    name.split('@').next().unwrap_or_default().into()
}

/// The name of a section's pool.
#[must_use]
pub fn pool_of(section: &SectionId) -> String {
    format!("seats-{section}@{PLACE}")
}

fn show(event: &WorkerEvent) {
    match event {
        WorkerEvent::ServerAway { why, .. } => tracing::warn!(%why, "the engine is away"),
        WorkerEvent::ServerBack => tracing::info!("the engine is back"),
        _ => {}
    }
}
