//! What follows an enrolment or a drop, as applications with a database do it: a table that is written with the seat, and
//! a worker that looks into it.
//!
//! A step that is done is deleted, and the next step of a drop is written in the same statement. A step that fails is
//! tried again later; one whose worker died is anybody's after half a minute, or at the next start. So a step may run
//! more than once, and the systems downstream keep an entry once.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::Row;

use super::pool::Failed;
use super::schema::work;
use super::{PostgresSeats, now};
use crate::chain::{Entry, Revocation, Task, perform};
use crate::downstream::{Downstream, System};

/// Steps under way at once.
const AT_ONCE: i64 = 64;
/// Looking again after there was nothing to do.
const IDLE: Duration = Duration::from_millis(25);
/// Looking again after PostgreSQL was away.
const AWAY: Duration = Duration::from_millis(500);
/// The longest time between two tries of a step.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// A row of the outbox.
struct Step {
    id: i64,
    system: System,
    task: Task,
    tries: i32,
}

impl PostgresSeats {
    /// Works the outbox off, for ever.
    pub async fn work_off(&self, downstream: &Downstream, retry_delay: Duration) -> Infallible {
        loop {
            match self.work_a_while(downstream, retry_delay).await {
                Ok(0) => tokio::time::sleep(IDLE).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "the outbox could not be looked into");
                    tokio::time::sleep(AWAY).await;
                }
            }
        }
    }

    /// One handful; how many it was.
    async fn work_a_while(&self, downstream: &Downstream, retry_delay: Duration) -> Result<usize, Failed> {
        let lease = self.worker.lease().await?;
        let client = lease.client();
        let rows = client.query(lease.statement(work::CLAIM), &[&(now() as i64), &AT_ONCE]).await?;
        let mut steps: Vec<Step> = rows.iter().filter_map(|row| self.step(row)).collect();
        steps.sort_by_key(|step| step.id);
        let done =
            join_all(steps.iter().map(async |step| {
                (step, perform(downstream, step.system, step.id as u64, &step.task).await)
            }));
        let mut finished: Vec<i64> = Vec::with_capacity(steps.len());
        for (step, done) in done.await {
            match done {
                Ok(None) => finished.push(step.id),
                Ok(Some((next, _))) => {
                    client.execute(lease.statement(work::DONE_UNDO), &[&step.id, &next.as_str()]).await?;
                }
                Err(fault) => {
                    tracing::debug!(%fault, tries = step.tries, "a step is tried again later");
                    let doublings = (step.tries - 1).clamp(0, 10) as u32;
                    let delay = retry_delay.saturating_mul(1 << doublings).min(DELAY_MAX);
                    let due = now() as i64 + delay.as_millis() as i64;
                    client.execute(lease.statement(work::AGAIN), &[&step.id, &due]).await?;
                }
            }
        }
        client.execute(lease.statement(work::DONE), &[&finished]).await?;
        Ok(steps.len())
    }

    fn step(&self, row: &Row) -> Option<Step> {
        let (id, enrolment): (i64, i64) = (row.get(0), row.get(1));
        let (student, section) = (row.get::<_, &str>(2).into(), row.get::<_, &str>(3).into());
        let system = System::from_name(row.get(4))?;
        // A section that is not in the catalogue any more has nothing to be written about.
        self.catalogue.section(&section)?;
        let task = match row.get(5) {
            false => Task::Write(Entry::of(&self.catalogue, &student, &section, enrolment.to_string())),
            true => {
                let before = row.get::<_, Option<i64>>(6).map(|before| before as u64);
                Task::Undo(Revocation { student, section, before })
            }
        };
        Some(Step { id, system, task, tries: row.get(7) })
    }
}
