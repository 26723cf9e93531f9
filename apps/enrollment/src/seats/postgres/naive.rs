//! Read, check, write, each by itself: what everybody writes first, and what passes every test of one student.
//!
//! Two who read before either writes both get the last seat; the second press of a double click reads before the first
//! has written, and is enrolled as well; a crash between two writes leaves somebody without fee. It is here to be seen.

use super::{Case, Enrolled, Enrolment, PostgresSeats, Refused, Stand, at, kept_of, now};

impl PostgresSeats {
    pub(super) async fn enrol_naively(&self, case: &Case<'_>) -> Result<Enrolled, Refused> {
        let lease = self.writers.lease().await?;
        let client = lease.client();
        let (student, section) = (case.wish.student.as_str(), case.wish.section.as_str());
        if let Some(known) = self.judge(case, &kept_of(&lease, &case.wish.student).await?, None)? {
            return Ok(known);
        }
        let row = client.query_opt(lease.statement(at::SECTION), &[&section]).await?;
        let stand = Stand::of_some(row.as_ref())?;
        let count: i64 = client.query_one(lease.statement(at::COUNT), &[&section]).await?.get(0);
        let since = now();
        Stand { taken: count as i32, ..stand }.check(since)?;

        let row = client
            .query_one(
                lease.statement(at::ENROL_NAIVELY),
                &[&student, &section, &case.wish.key, &(since as i64)],
            )
            .await?;
        let id: i64 = row.get(0);
        let row = client.query_one(lease.statement(at::SET_TAKEN), &[&section, &(count as i32 + 1)]).await?;
        let version: i64 = row.get(0);
        client.execute(lease.statement(at::ADD_JOBS), &[&student, &section, &id]).await?;
        Ok(Enrolled {
            enrolment: Enrolment {
                id: id.to_string(),
                student: case.wish.student.clone(),
                section: case.wish.section.clone(),
                fence: id as u64,
                since,
            },
            version: Some(version as u64),
        })
    }
}
