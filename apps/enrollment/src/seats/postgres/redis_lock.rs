//! A lock in Redis before anything is read in PostgreSQL, and a fencing number that is checked when it is written.
//!
//! A lock with a time to live promises little: its holder may be paused for longer than that, and go on. So each lock comes
//! with a number that rises, and the holder first writes that number to the rows that it is about to read. Whoever held the
//! lock before and still means to write finds a higher number there, and writes nothing. Without that first write the check
//! would come too late: the old holder would write between the new one's reading and writing.
//!
//! Student and section are locked, in this order. Who finds a lock taken asks again a little later; Redis has no line.

use std::time::{Duration, Instant};

use redis::{Script, aio::MultiplexedConnection};
use tokio::time::sleep;

use super::{Case, Contention, Enrolled, PostgresSeats, Refused, Stand, Why, at, both, jitter, kept_of, now};

/// A lock that nobody gives back is anybody's after this long.
const LIFE: Duration = Duration::from_secs(3);
/// So long somebody asks for a lock.
const PATIENCE: Duration = Duration::from_secs(8);
/// Between two askings, up to the second value.
const WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));
/// So often a lock may be lost in the middle of an enrolment.
const TRIES: u32 = 5;

/// The lock, if it is free, and its number: one step, so that numbers are given in the order of the locks.
const LOCK: &str = "
    if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
        return redis.call('INCR', KEYS[2])
    end
    return 0";
/// Gives it back, if it is still one's own.
const UNLOCK: &str = "
    if redis.call('GET', KEYS[1]) == ARGV[1] then
        return redis.call('DEL', KEYS[1])
    end
    return 0";

/// Locks in Redis.
pub(super) struct Locks {
    connection: MultiplexedConnection,
    lock: Script,
    unlock: Script,
}

/// A lock in somebody's hands, as far as anybody knows.
struct Held {
    name: String,
    token: String,
    fence: i64,
}

impl Locks {
    pub(super) async fn open(url: &str) -> anyhow::Result<Locks> {
        // One connection carries everybody's commands at once, as this client does it.
        let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        Ok(Locks { connection, lock: Script::new(LOCK), unlock: Script::new(UNLOCK) })
    }

    async fn lock(&self, name: String, contention: &Contention) -> Result<Held, Refused> {
        let token = format!("{:016x}{:016x}", chance(), chance());
        let start = Instant::now();
        let mut wait = WAIT.0;
        loop {
            let fence: i64 = self
                .lock
                .key(&name)
                .key(format!("{name}:fence"))
                .arg(&token)
                .arg(LIFE.as_millis() as u64)
                .invoke_async(&mut self.connection.clone())
                .await?;
            if fence > 0 {
                return Ok(Held { name, token, fence });
            }
            contention.conflict();
            if start.elapsed() > PATIENCE {
                return Err(Refused::of(Why::Away(format!(
                    "{name} was locked for {} s",
                    PATIENCE.as_secs()
                ))));
            }
            contention.retry();
            sleep(wait.mul_f64(0.5 + jitter())).await;
            wait = (wait * 2).min(WAIT.1);
        }
    }

    async fn unlock(&self, held: Held) {
        let unlocked: Result<i64, _> =
            self.unlock.key(&held.name).arg(&held.token).invoke_async(&mut self.connection.clone()).await;
        if let Err(error) = unlocked {
            // Nothing depends on it but those who wait until its time is over.
            tracing::warn!(%error, name = held.name, "a lock could not be given back");
        }
    }
}

impl PostgresSeats {
    pub(super) async fn enrol_behind(&self, locks: &Locks, case: &Case<'_>) -> Result<Enrolled, Refused> {
        for _ in 0..TRIES {
            let student = locks.lock(format!("student:{}", case.wish.student), &self.contention).await?;
            let done = self.enrol_behind_student(locks, case, &student).await;
            locks.unlock(student).await;
            if let Some(enrolled) = done? {
                return Ok(enrolled);
            }
            // The lock was somebody else's before the seat was written.
            self.contention.conflict();
            self.contention.retry();
        }
        Err(Refused::of(Why::Away(format!("the lock was lost {TRIES} times"))))
    }

    /// `None` if a lock was lost.
    async fn enrol_behind_student(
        &self,
        locks: &Locks,
        case: &Case<'_>,
        student: &Held,
    ) -> Result<Option<Enrolled>, Refused> {
        // What is visibly so needs no second lock: a repeated key, a broken rule, a full section.
        let (kept, row) = {
            let lease = self.writers.lease().await?;
            let section = case.wish.section.as_str();
            let row = async { lease.client().query_opt(lease.statement(at::SECTION), &[&section]).await };
            both(kept_of(&lease, &case.wish.student), row).await?
        };
        if let Some(known) = self.judge(case, &kept, None)? {
            return Ok(Some(known));
        }
        Stand::of_some(row.as_ref())?.check(now())?;
        let section = locks.lock(format!("section:{}", case.wish.section), &self.contention).await?;
        let done = self.enrol_behind_both(case, student.fence, section.fence).await;
        locks.unlock(section).await;
        done
    }

    async fn enrol_behind_both(
        &self,
        case: &Case<'_>,
        student_fence: i64,
        section_fence: i64,
    ) -> Result<Option<Enrolled>, Refused> {
        let (student, section) = (case.wish.student.as_str(), case.wish.section.as_str());
        let (kept, row) = {
            let lease = self.fencer.lease().await?;
            let (client, fences) = (lease.client(), [student_fence, section_fence]);
            let fence_student =
                async { client.execute(lease.statement(at::FENCE_STUDENT), &[&student, &fences[0]]).await };
            let fence_section =
                async { client.query_opt(lease.statement(at::FENCE_SECTION), &[&section, &fences[1]]).await };
            let kept = kept_of(&lease, &case.wish.student);
            let (fenced, (row, kept)) = both(fence_student, both(fence_section, kept)).await?;
            match row {
                Some(row) if fenced == 1 => (kept, row),
                _ => return Ok(None),
            }
        };
        if let Some(known) = self.judge(case, &kept, None)? {
            return Ok(Some(known));
        }
        let since = now();
        Stand::of(&row).check(since)?;
        let mut lease = self.writers.lease().await?;
        lease.begun();
        let row = lease
            .client()
            .query_opt(
                lease.statement(at::ENROL_FENCED),
                &[&student, &section, &case.wish.key, &(since as i64), &student_fence, &section_fence],
            )
            .await?;
        lease.ended();
        Ok(row.map(|row| case.enrolled(&row, since)))
    }
}

fn chance() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

impl From<redis::RedisError> for Refused {
    fn from(error: redis::RedisError) -> Self {
        Refused::of(Why::Away(format!("Redis: {error}")))
    }
}
