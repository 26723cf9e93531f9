//! Seats in PostgreSQL: naively, with row locks, with versions, or behind locks in Redis.
//!
//! All four have the same tables, the same pools of connections, the same prepared statements, and the same outbox for
//! what follows; they differ in how a seat is decided, and each of those ways is a file. All of them but the naive one
//! keep the promises of [`Seats`]. Reads have connections of their own.
//!
//! What they do not have: lines. `join` and its kin answer `no_waitlist`, and only row locks can swap.

mod naive;
mod optimistic;
mod outbox;
mod pessimistic;
mod pool;
mod redis_lock;
mod schema;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_postgres::{NoTls, Row};

use self::pool::{Failed, Lease, Pool};
use self::redis_lock::Locks;
use self::schema::{at, read};
use super::{
    Backlog, Door, Dropped, Enrolled, Enrolment, Event, Free, Joined, Moment, Refused, Seats, Step,
    StepState, Story, Strategy, SwapWish, Swapped, Why, Wish,
};
use crate::catalogue::{Catalogue, Section, SectionId, Student, StudentId};
use crate::downstream::{System, now};
use crate::eligibility::judge;

/// Connections for changes: enough that their commits share syncs, not so many that they wait for each other's locks
/// with a connection in hand. Those for reading are apart.
const WRITERS: usize = 24;
const READERS: usize = 6;

/// How a seat is decided.
enum Decider {
    Naive,
    Pessimistic,
    Optimistic,
    RedisLock(Locks),
}

/// Seats in PostgreSQL.
pub struct PostgresSeats {
    catalogue: Arc<Catalogue>,
    decider: Decider,
    writers: Pool,
    readers: Pool,
    worker: Pool,
    /// Puts numbers of lock holders into rows, and does not wait for the disk: no answer rests on that alone. A seat is written on
    /// another connection, which does wait, under the condition that the number is there. The number is before the seat in one
    /// write-ahead log, so a seat that is durable has its number durable; and a number that a crash of the database took away is
    /// not there any more for its holder either, who then writes nothing. An older holder who writes after that
    /// decides on what it has read, which nobody has changed.
    fencer: Pool,
    contention: Contention,
}

/// What it cost that several wanted the same.
#[derive(Debug, Default)]
struct Contention {
    conflicts: AtomicU64,
    retries: AtomicU64,
}

impl Contention {
    /// A version had changed, a lock was taken, a deadlock was broken.
    fn conflict(&self) {
        self.conflicts.fetch_add(1, Ordering::Relaxed);
    }

    /// And it was tried again.
    fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a student asks, with what the catalogue knows of it.
struct Case<'a> {
    wish: &'a Wish,
    student: &'a Student,
    section: &'a Section,
}

/// A section's row.
#[derive(Debug, Clone, Copy)]
struct Stand {
    capacity: i32,
    taken: i32,
    version: i64,
    opens_at: Option<i64>,
}

/// An enrolment's row, dropped or not.
#[derive(Debug, Clone)]
struct Kept {
    id: i64,
    section: SectionId,
    key: String,
    since: i64,
    live: bool,
    drop_key: Option<String>,
}

impl PostgresSeats {
    /// Opens the tables, and makes them if they are not there.
    ///
    /// # Errors
    /// PostgreSQL is not there, or refuses; or Redis.
    pub async fn open(
        strategy: Strategy,
        url: &str,
        redis: Option<&str>,
        catalogue: Arc<Catalogue>,
    ) -> anyhow::Result<PostgresSeats> {
        let decider = match (strategy, redis) {
            (Strategy::Naive, _) => Decider::Naive,
            (Strategy::Pessimistic, _) => Decider::Pessimistic,
            (Strategy::Optimistic, _) => Decider::Optimistic,
            (Strategy::RedisLock, Some(redis)) => Decider::RedisLock(Locks::open(redis).await?),
            (Strategy::RedisLock, None) => anyhow::bail!("the strategy redis-lock needs --redis"),
            (Strategy::Tidegate, _) => {
                anyhow::bail!("the strategy tidegate does not keep seats in PostgreSQL")
            }
        };
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let connection = tokio::spawn(connection);
        client.batch_execute(schema::TABLES).await?;
        let constraints = match decider {
            Decider::Naive => schema::NO_CONSTRAINTS,
            _ => schema::CONSTRAINTS,
        };
        client.batch_execute(constraints).await?;
        let sections: Vec<&str> = catalogue.sections().iter().map(|section| section.id.as_str()).collect();
        let seats: Vec<i32> = catalogue.sections().iter().map(|section| section.capacity as i32).collect();
        client.execute(schema::ADD_SECTIONS, &[&sections, &seats]).await?;
        let students: Vec<&str> = catalogue.students().iter().map(|student| student.id.as_str()).collect();
        client.execute(schema::ADD_STUDENTS, &[&students]).await?;
        client.batch_execute(schema::UNCLAIM).await?;
        client.batch_execute("ANALYZE").await?;
        drop(client);
        let _ = connection.await;
        Ok(PostgresSeats {
            catalogue,
            decider,
            writers: Pool::new(url, WRITERS, "", schema::STATEMENTS),
            readers: Pool::new(url, READERS, "", schema::READS),
            worker: Pool::new(url, 1, "", schema::WORK),
            fencer: Pool::new(url, WRITERS, "SET synchronous_commit = off", schema::STATEMENTS),
            contention: Contention::default(),
        })
    }

    /// Conflicts, and how often something was tried again; row locks only wait, and nobody counts that.
    #[must_use]
    pub fn contention(&self) -> Option<(u64, u64)> {
        let counts = [&self.contention.conflicts, &self.contention.retries];
        let [conflicts, retries] = counts.map(|count| count.load(Ordering::Relaxed));
        matches!(self.decider, Decider::Optimistic | Decider::RedisLock(_)).then_some((conflicts, retries))
    }

    fn case<'a>(&'a self, wish: &'a Wish) -> Result<Case<'a>, Refused> {
        let student = self.catalogue.student(&wish.student).ok_or(Refused::of(Why::NoStudent))?;
        let section = self.catalogue.section(&wish.section).ok_or(Refused::of(Why::NoSection))?;
        Ok(Case { wish, student, section })
    }

    /// What can be said of a wish before seats are counted: that it was granted before, or breaks a rule. With a swap, `gives` is
    /// given for it. A key is one press: that of a drop enrols nobody, and that of an enrolment swaps nothing.
    fn judge(
        &self,
        case: &Case<'_>,
        kept: &[Kept],
        gives: Option<&SectionId>,
    ) -> Result<Option<Enrolled>, Refused> {
        let key = &case.wish.key;
        let known = kept.iter().find(|one| one.key == *key);
        let given = kept.iter().find(|one| one.drop_key.as_ref() == Some(key)).map(|one| &one.section);
        if known.is_some() || given.is_some() {
            let same = known.filter(|known| known.section == case.wish.section && given == gives);
            let known = same.ok_or(Refused::of(Why::KeyReused))?;
            return Ok(Some(Enrolled { enrolment: known.enrolment(&case.wish.student), version: None }));
        }
        let has: Vec<&Section> = kept
            .iter()
            .filter(|one| one.live)
            .filter_map(|one| self.catalogue.section(&one.section))
            .collect();
        match judge(&self.catalogue, case.student, &has, case.section) {
            Ok(()) => Ok(None),
            Err(rule) => Err(Refused::of(Why::Ineligible(rule))),
        }
    }
}

impl Case<'_> {
    /// The seat, once its row is written.
    fn enrolled(&self, row: &Row, since: Moment) -> Enrolled {
        let id: i64 = row.get(0);
        let version: i64 = row.get(1);
        Enrolled {
            enrolment: Enrolment {
                id: id.to_string(),
                student: self.wish.student.clone(),
                section: self.wish.section.clone(),
                fence: id as u64,
                since,
            },
            version: Some(version as u64),
        }
    }
}

impl Stand {
    fn of(row: &Row) -> Stand {
        Stand { capacity: row.get(0), taken: row.get(1), version: row.get(2), opens_at: row.get(3) }
    }

    /// A section that has no row is one that nobody added.
    fn of_some(row: Option<&Row>) -> Result<Stand, Refused> {
        row.map(Stand::of).ok_or(Refused::of(Why::NoSection))
    }

    /// Whether there is a seat now.
    fn check(&self, now: Moment) -> Result<(), Refused> {
        let refused = |why| Err(Refused { why, version: Some(self.version as u64) });
        match self.opens_at {
            Some(opens_at) if opens_at as u64 > now => refused(Why::NotOpen(opens_at as u64)),
            _ if self.taken >= self.capacity => refused(Why::SoldOut),
            _ => Ok(()),
        }
    }
}

impl Kept {
    fn of(row: &Row) -> Kept {
        Kept {
            id: row.get(0),
            section: SectionId::from(row.get::<_, &str>(1)),
            key: row.get(2),
            since: row.get(3),
            live: row.get(4),
            drop_key: row.get(5),
        }
    }

    fn enrolment(&self, student: &StudentId) -> Enrolment {
        Enrolment {
            id: self.id.to_string(),
            student: student.clone(),
            section: self.section.clone(),
            fence: self.id as u64,
            since: self.since as u64,
        }
    }
}

async fn kept_of(lease: &Lease, student: &StudentId) -> Result<Vec<Kept>, tokio_postgres::Error> {
    let rows = lease.client().query(lease.statement(at::OF_STUDENT), &[&student.as_str()]).await?;
    Ok(rows.iter().map(Kept::of).collect())
}

impl Seats for PostgresSeats {
    fn strategy(&self) -> Strategy {
        match self.decider {
            Decider::Naive => Strategy::Naive,
            Decider::Pessimistic => Strategy::Pessimistic,
            Decider::Optimistic => Strategy::Optimistic,
            Decider::RedisLock(_) => Strategy::RedisLock,
        }
    }

    async fn enrol(&self, wish: &Wish) -> Result<Enrolled, Refused> {
        let case = self.case(wish)?;
        match &self.decider {
            Decider::Naive => self.enrol_naively(&case).await,
            Decider::Pessimistic => self.enrol_with_locks(&case).await,
            Decider::Optimistic => self.enrol_if_unchanged(&case).await,
            Decider::RedisLock(locks) => self.enrol_behind(locks, &case).await,
        }
    }

    async fn drop_seat(&self, wish: &Wish) -> Result<Dropped, Refused> {
        let case = self.case(wish)?;
        let mut lease = self.writers.lease().await?;
        lease.begun();
        let (student, section) = (wish.student.as_str(), wish.section.as_str());
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&student, &section, &wish.key, &(now() as i64)];
        let rows = lease.client().query(lease.statement(at::DROP), &params).await?;
        lease.ended();
        if let Some(row) = rows.first() {
            let (id, version): (i64, i64) = (row.get(0), row.get(1));
            return Ok(Dropped {
                enrolment: id.to_string(),
                section: case.section.id.clone(),
                version: Some(version as u64),
            });
        }
        let kept = kept_of(&lease, &wish.student).await?;
        if kept.iter().any(|one| one.key == wish.key) {
            return Err(Refused::of(Why::KeyReused));
        }
        match kept.iter().find(|one| one.drop_key.as_ref() == Some(&wish.key)) {
            Some(one) if one.section == wish.section => {
                Ok(Dropped { enrolment: one.id.to_string(), section: one.section.clone(), version: None })
            }
            Some(_) => Err(Refused::of(Why::KeyReused)),
            None => Err(Refused::of(Why::NotEnrolled)),
        }
    }

    async fn swap(&self, wish: &SwapWish) -> Result<Swapped, Refused> {
        if wish.give == wish.want {
            return Err(Refused::of(Why::SameSection));
        }
        match self.decider {
            Decider::Pessimistic if !wish.when_offered => self.swap_with_locks(wish).await.map(Swapped::Now),
            Decider::Pessimistic => Err(Refused::of(Why::NoWaitlist)),
            _ => Err(Refused::of(Why::Unsupported("a swap; drop the one, and enrol in the other"))),
        }
    }

    async fn join(&self, _wish: &Wish) -> Result<Joined, Refused> {
        Err(Refused::of(Why::NoWaitlist))
    }

    async fn leave(&self, _wish: &Wish) -> Result<(), Refused> {
        Err(Refused::of(Why::NotWaiting))
    }

    async fn accept(&self, _wish: &Wish) -> Result<Enrolled, Refused> {
        Err(Refused::of(Why::NoOffer))
    }

    async fn decline(&self, _wish: &Wish) -> Result<(), Refused> {
        Err(Refused::of(Why::NoOffer))
    }

    async fn free(&self, sections: &[SectionId]) -> Result<Vec<Free>, Refused> {
        let lease = self.readers.lease().await?;
        let as_of = now();
        let rows = lease.client().query(lease.statement(read::SECTIONS), &[]).await?;
        let mut by_id: HashMap<String, Free> =
            rows.iter().map(|row| (row.get(0), shown(row, as_of))).collect();
        let mut take = |id: &SectionId| by_id.remove(id.as_str());
        Ok(match sections {
            // In the catalogue's order, as every answer is.
            [] => self.catalogue.sections().iter().filter_map(|section| take(&section.id)).collect(),
            some => some.iter().filter_map(take).collect(),
        })
    }

    async fn of_student(&self, student: &StudentId) -> Result<Story, Refused> {
        self.catalogue.student(student).ok_or(Refused::of(Why::NoStudent))?;
        let lease = self.readers.lease().await?;
        let rows = lease.client().query(lease.statement(read::OF_STUDENT), &[&student.as_str()]).await?;
        let mut story = Story::default();
        for row in &rows {
            let (id, since, dropped_at): (i64, i64, Option<i64>) = (row.get(0), row.get(2), row.get(3));
            let section = SectionId::from(row.get::<_, &str>(1));
            let event = |at: i64, what: &str| Event {
                at: at as u64,
                what: what.to_owned(),
                section: Some(section.clone()),
                version: None,
                detail: None,
                until: None,
                because: None,
                jobs: Vec::new(),
            };
            story.events.push(event(since, "enrolled"));
            match dropped_at {
                Some(at) => story.events.push(event(at, "dropped")),
                None => story.enrolments.push(Enrolment {
                    id: id.to_string(),
                    student: student.clone(),
                    section: section.clone(),
                    fence: id as u64,
                    since: since as u64,
                }),
            }
        }
        story.events.sort_by_key(|event| event.at);
        Ok(story)
    }

    async fn all(&self) -> Result<Vec<Enrolment>, Refused> {
        let lease = self.readers.lease().await?;
        let rows = lease.client().query(lease.statement(read::ALL), &[]).await?;
        let enrolment = |row: &Row| {
            let (id, since): (i64, i64) = (row.get(0), row.get(3));
            Enrolment {
                id: id.to_string(),
                student: row.get::<_, &str>(1).into(),
                section: row.get::<_, &str>(2).into(),
                fence: id as u64,
                since: since as u64,
            }
        };
        Ok(rows.iter().map(enrolment).collect())
    }

    async fn resize(&self, section: &SectionId, seats: u32) -> Result<Free, Refused> {
        let lease = self.writers.lease().await?;
        let resized = lease
            .client()
            .query_opt(
                "UPDATE sections SET capacity = $2, version = version + 1 WHERE id = $1 AND taken <= $2
                RETURNING id, capacity, taken, version, opens_at",
                &[&section.as_str(), &(seats as i32)],
            )
            .await?;
        if let Some(row) = resized {
            return Ok(shown(&row, now()));
        }
        let row = lease.client().query_opt(lease.statement(at::SECTION), &[&section.as_str()]).await?;
        let stand = Stand::of_some(row.as_ref())?;
        Err(Refused { why: Why::BelowGranted(stand.taken as u32), version: Some(stand.version as u64) })
    }

    async fn open_at(
        &self,
        sections: &[SectionId],
        opens_at: Moment,
        shuffle: bool,
    ) -> Result<Vec<SectionId>, Refused> {
        if shuffle {
            return Err(Refused::of(Why::Unsupported("an opening that draws the order")));
        }
        let sections: Vec<&str> = sections.iter().map(SectionId::as_str).collect();
        let lease = self.writers.lease().await?;
        let set = lease
            .client()
            .query(
                "UPDATE sections SET opens_at = $2, version = version + 1 WHERE cardinality($1::text[]) = 0 OR id = ANY($1)
                RETURNING id",
                &[&sections, &(opens_at as i64)],
            )
            .await?;
        Ok(set.iter().map(|row| row.get::<_, &str>(0).into()).collect())
    }

    async fn steps(&self, student: &StudentId) -> Result<Vec<Step>, Refused> {
        self.catalogue.student(student).ok_or(Refused::of(Why::NoStudent))?;
        let lease = self.readers.lease().await?;
        let rows = lease.client().query(lease.statement(read::STEPS), &[&student.as_str()]).await?;
        Ok(rows.iter().filter_map(step).collect())
    }

    /// The outbox gives nothing up.
    async fn retry(&self, _student: &StudentId) -> Result<u64, Refused> {
        Ok(0)
    }

    async fn backlog(&self) -> Result<Vec<(System, Backlog)>, Refused> {
        let lease = self.readers.lease().await?;
        let rows = lease.client().query(lease.statement(read::BACKLOG), &[]).await?;
        let open: BTreeMap<&str, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let of = |system: System| {
            let open = open.get(system.as_str()).copied().unwrap_or(0);
            (system, Backlog { open: open as u64, dead: 0 })
        };
        Ok(System::ALL.map(of).to_vec())
    }
}

impl fmt::Debug for PostgresSeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSeats").field("strategy", &self.strategy()).finish_non_exhaustive()
    }
}

/// What an outbox row is to do. A row is deleted when it is done, so what is done is not among them.
fn step(row: &Row) -> Option<Step> {
    let (id, undo, due_at, tries): (i64, bool, i64, i32) = (row.get(0), row.get(3), row.get(4), row.get(5));
    Some(Step {
        job: id.to_string(),
        system: System::from_name(row.get(2))?,
        undoes: undo,
        section: Some(row.get::<_, &str>(1).into()),
        state: if tries == 0 { StepState::Waiting } else { StepState::Retrying },
        attempt: tries as u32,
        attempts_max: u32::MAX,
        next_at: (tries > 0).then_some(due_at as u64),
        reason: None,
        since: row.get::<_, i64>(6) as u64,
    })
}

fn shown(row: &Row, as_of: Moment) -> Free {
    let (capacity, taken, version): (i32, i32, i64) = (row.get(1), row.get(2), row.get(3));
    let opens_at = row.get::<_, Option<i64>>(4).map(|at| at as u64);
    Free {
        section: row.get::<_, &str>(0).into(),
        capacity: capacity as u32,
        free: (capacity - taken).max(0) as u32,
        taken: taken.max(0) as u32,
        offered: 0,
        waiting: 0,
        version: version as u64,
        as_of,
        door: if opens_at.is_some_and(|at| at > as_of) { Door::Upcoming } else { Door::Open },
        opens_at,
        draws: false,
    }
}

/// A share of a wait, so that those who met do not meet again.
fn jitter() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    (RandomState::new().build_hasher().finish() >> 11) as f64 / (1u64 << 53) as f64
}

/// It is not known what PostgreSQL has done; with the same key it can be found out.
impl From<Failed> for Refused {
    fn from(failed: Failed) -> Self {
        Refused::of(Why::Away(failed.to_string()))
    }
}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Self {
        Failed::from(error).into()
    }
}

/// Both at once, so that they travel together; PostgreSQL answers in their order.
async fn both<A, B>(
    one: impl Future<Output = Result<A, tokio_postgres::Error>>,
    other: impl Future<Output = Result<B, tokio_postgres::Error>>,
) -> Result<(A, B), tokio_postgres::Error> {
    futures_util::future::try_join(one, other).await
}
