//! No lock: what was read is written with the condition that it has not changed since.
//!
//! The student and the section each have a version. Both are read; the rules are judged on what was read; and one
//! statement writes everything, or nothing if either version has moved. Then it is tried again after a short wait of
//! random length, so that those who met do not meet again. Whoever fails [`TRIES`] times is told to come back.

use std::time::Duration;

use tokio::time::sleep;

use super::{Case, Enrolled, PostgresSeats, Refused, Stand, Why, at, both, jitter, kept_of, now};

const TRIES: u32 = 30;
/// Waits grow with each try up to this.
const WAIT_MAX: Duration = Duration::from_millis(100);

impl PostgresSeats {
    pub(super) async fn enrol_if_unchanged(&self, case: &Case<'_>) -> Result<Enrolled, Refused> {
        for attempt in 0..TRIES {
            if attempt > 0 {
                self.contention.retry();
                let most = Duration::from_millis(2 << attempt.min(6)).min(WAIT_MAX);
                sleep(most.mul_f64(jitter())).await;
            }
            if let Some(enrolled) = self.try_to_enrol(case).await? {
                return Ok(enrolled);
            }
            self.contention.conflict();
        }
        Err(Refused::of(Why::Away(format!("somebody else was faster {TRIES} times"))))
    }

    /// One try; `None` if something had changed.
    async fn try_to_enrol(&self, case: &Case<'_>) -> Result<Option<Enrolled>, Refused> {
        let mut lease = self.writers.lease().await?;
        let (student, section) = (case.wish.student.as_str(), case.wish.section.as_str());
        let (student_version, stand, kept) = {
            let version = async { lease.client().query_one(lease.statement(at::STUDENT), &[&student]).await };
            let stand = async { lease.client().query_opt(lease.statement(at::SECTION), &[&section]).await };
            // The student's version is read before what it is the version of.
            let (version, (stand, kept)) =
                both(version, both(stand, kept_of(&lease, &case.wish.student))).await?;
            (version.get::<_, i64>(0), Stand::of_some(stand.as_ref())?, kept)
        };
        if let Some(known) = self.judge(case, &kept, None)? {
            return Ok(Some(known));
        }
        let since = now();
        stand.check(since)?;
        lease.begun();
        let row = lease
            .client()
            .query_opt(
                lease.statement(at::ENROL_UNCHANGED),
                &[&student, &section, &case.wish.key, &(since as i64), &student_version, &stand.version],
            )
            .await?;
        lease.ended();
        Ok(row.map(|row| case.enrolled(&row, since)))
    }
}
