//! A lock on the student's row, then one on the section's: whoever has both decides alone.
//!
//! The order is the same for everybody, so nobody waits in a circle. The student's lock makes a second press wait for the
//! first and then find it. The section's lock is taken as late as possible and not at all when the section is visibly
//! full, because it is what everybody waits for: it is held for one round trip and one commit. Statements travel
//! together where one does not need the other's answer.

use tokio_postgres::{Error, Row};

use super::pool::Lease;
use super::{
    Case, Enrolled, Kept, PostgresSeats, Refused, Stand, SwapWish, Why, Wish, at, both, kept_of, now,
};

impl PostgresSeats {
    pub(super) async fn enrol_with_locks(&self, case: &Case<'_>) -> Result<Enrolled, Refused> {
        let mut lease = self.writers.lease().await?;
        lease.begun();
        let done = self.decide(&lease, case).await;
        end(&mut lease, done).await
    }

    async fn decide(&self, lease: &Lease, case: &Case<'_>) -> Result<Enrolled, Refused> {
        let (kept, stand) = begin(lease, case).await?;
        match self.judge(case, &kept, None)? {
            Some(known) => {
                lease.client().batch_execute("COMMIT").await?;
                Ok(known)
            }
            None => {
                Stand::of_some(stand.as_ref())?.check(now())?;
                lock_section(lease, case.wish.section.as_str()).await?.check(now())?;
                enrol_and_commit(lease, case).await
            }
        }
    }

    /// Gives one seat for another, or nothing.
    pub(super) async fn swap_with_locks(&self, wish: &SwapWish) -> Result<Enrolled, Refused> {
        let wanted =
            Wish { student: wish.student.clone(), section: wish.want.clone(), key: wish.key.clone() };
        let case = self.case(&wanted)?;
        let mut lease = self.writers.lease().await?;
        lease.begun();
        let done = self.decide_swap(&lease, wish, &case).await;
        end(&mut lease, done).await
    }

    async fn decide_swap(
        &self,
        lease: &Lease,
        wish: &SwapWish,
        case: &Case<'_>,
    ) -> Result<Enrolled, Refused> {
        let (mut kept, _) = begin(lease, case).await?;
        let is_known = kept.iter().any(|one| one.key == wish.key);
        if !is_known {
            let gives = kept.iter_mut().find(|one| one.live && one.section == wish.give);
            gives.ok_or_else(|| Refused::of(Why::NothingToGive(wish.give.clone())))?.live = false;
        }
        if let Some(known) = self.judge(case, &kept, Some(&wish.give))? {
            lease.client().batch_execute("COMMIT").await?;
            return Ok(known);
        }
        // Two who swap with each other lock in one order.
        let mut both_sections = [wish.give.as_str(), wish.want.as_str()];
        both_sections.sort_unstable();
        for section in both_sections {
            lock_section(lease, section).await?;
        }
        lease
            .client()
            .query(
                lease.statement(at::DROP),
                &[&wish.student.as_str(), &wish.give.as_str(), &wish.key, &(now() as i64)],
            )
            .await?;
        lock_section(lease, wish.want.as_str()).await?.check(now())?;
        enrol_and_commit(lease, case).await
    }
}

/// Begins, and waits until nobody else decides for this student; what the student has, and the section's row, unlocked.
async fn begin(lease: &Lease, case: &Case<'_>) -> Result<(Vec<Kept>, Option<Row>), Error> {
    let (student, section) = (case.wish.student.as_str(), case.wish.section.as_str());
    let begin = lease.client().batch_execute("BEGIN");
    let lock = async { lease.client().query(lease.statement(at::LOCK_STUDENT), &[&student]).await };
    let stand = async { lease.client().query_opt(lease.statement(at::SECTION), &[&section]).await };
    // Each statement sees what was committed when it began, and the last two begin when the lock is there.
    let (_, (_, found)) = both(begin, both(lock, both(kept_of(lease, &case.wish.student), stand))).await?;
    Ok(found)
}

async fn lock_section(lease: &Lease, section: &str) -> Result<Stand, Refused> {
    let row = lease.client().query_opt(lease.statement(at::LOCK_SECTION), &[&section]).await?;
    Stand::of_some(row.as_ref())
}

async fn enrol_and_commit(lease: &Lease, case: &Case<'_>) -> Result<Enrolled, Refused> {
    let (student, section, since) = (case.wish.student.as_str(), case.wish.section.as_str(), now());
    let enrol = async {
        lease
            .client()
            .query_one(
                lease.statement(at::ENROL_LOCKED),
                &[&student, &section, &case.wish.key, &(since as i64)],
            )
            .await
    };
    // If the first fails, PostgreSQL makes the second a rollback.
    let (row, ()) = both(enrol, lease.client().batch_execute("COMMIT")).await?;
    Ok(case.enrolled(&row, since))
}

/// What went well has been committed; the rest is rolled back.
async fn end(lease: &mut Lease, done: Result<Enrolled, Refused>) -> Result<Enrolled, Refused> {
    match &done {
        Ok(_) => lease.ended(),
        // The connection may be the very thing that failed; then it is not kept.
        Err(Refused { why: Why::Away(_), .. }) => {}
        Err(_) => {
            lease.client().batch_execute("ROLLBACK").await?;
            lease.ended();
        }
    }
    done
}
