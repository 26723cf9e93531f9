//! The generator's worker: leases, looks for marks, completes, all in one call a round.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::sync::Notify;

use super::{
    connection::{Connection, Good, Shape},
    marks::Marks,
    progress::Progress,
    request::{lease_part, work_request},
};

/// How long the server may wait for jobs; also the longest that a worker takes to notice the end.
const WAIT_MS: u64 = 200;

/// What the workers of one workload share.
#[derive(Default)]
pub(crate) struct Crew {
    /// Jobs whose completion was acknowledged.
    pub(crate) completed: AtomicU64,
    /// Set when no further jobs are wanted; those that a worker has, it still completes.
    pub(crate) stop: AtomicBool,
    /// Wakes whoever waits for the counters.
    pub(crate) changed: Notify,
}

/// One lease as the scan finds it: shard and sequence of the id, and the token.
type Lease = (u64, u64, u64);

/// Works jobs off until the crew is told to stop.
pub(crate) async fn work(
    server: SocketAddr,
    queue: String,
    max: usize,
    crew: Arc<Crew>,
    marks: Option<Arc<Marks>>,
    progress: Progress,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(server).await?;
    let lease = lease_part(&queue, max, WAIT_MS);
    let (mut request, mut scratch) = (Vec::new(), Vec::new());
    let mut held: Vec<Lease> = Vec::new();
    loop {
        let stopping = crew.stop.load(Relaxed);
        if stopping && held.is_empty() {
            return Ok(());
        }
        // The last round only completes: whatever it leased would be left behind.
        let (lease, shape) = if stopping { (None, Shape::Any) } else { (Some(lease.as_str()), Shape::Work) };
        work_request(&held, lease, &mut request, &mut scratch);
        let completed = held.len() as u64;
        held.clear();
        connection.send(&request).await?;
        loop {
            connection.receive().await?;
            if let Some(response) = connection.next(Good { status: 200, shape })? {
                if let Some(marks) = &marks {
                    marks.delivered(response.body, Instant::now());
                }
                if lease.is_some() {
                    scan(response.body, &mut held)?;
                }
                break;
            }
        }
        crew.completed.fetch_add(completed, Relaxed);
        crew.changed.notify_waiters();
        progress.add(completed);
    }
}

/// Finds ids and tokens in the answer to a round without reading the rest.
///
/// It relies on payloads that contain neither `"id":"` nor `"token":`, which those of the generator do not.
fn scan(body: &[u8], leases: &mut Vec<Lease>) -> anyhow::Result<()> {
    const ID: &[u8] = b"\"id\":\"";
    const TOKEN: &[u8] = b"\"token\":";
    leases.clear();
    let jobs = memmem::find(body, b"\"jobs\":[").context("the answer to a round has no jobs")?;
    let jobs = &body[jobs..];
    let mut tokens = memmem::find_iter(jobs, TOKEN).map(|at| number(&jobs[at + TOKEN.len()..]).0);
    for at in memmem::find_iter(jobs, ID) {
        let (shard, rest) = number(&jobs[at + ID.len()..]);
        let (sequence, _) = number(rest.strip_prefix(b"-").context("a job's id is not shard-sequence")?);
        let token = tokens.next().context("a job has no token")?;
        leases.push((shard, sequence, token));
    }
    if tokens.next().is_some() {
        bail!("there are more tokens than jobs in the answer to a round");
    }
    Ok(())
}

/// The decimal number that text begins with, and what follows it.
fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[..digits]
        .iter()
        .fold(0u64, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')));
    (value, &text[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<&[Lease], &str>) {
        let mut leases = vec![(9, 9, 9)];
        match (scan(body.as_bytes(), &mut leases), expected) {
            (Ok(()), Ok(expected)) => assert_eq!(leases, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (found, expected) => panic!("{body}: {found:?} {leases:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn leases_are_found_whatever_the_order_of_fields() {
        check(r#"{"complete":[{"id":"0-1","state":"completed"}],"jobs":[]}"#, Ok(&[]));
        check(
            r#"{"complete":[],"jobs":[{"id":"0-7","queue":"q","token":12,"payload":{}},{"token":13,"id":"2-8"}]}"#,
            Ok(&[(0, 7, 12), (2, 8, 13)]),
        );
    }

    #[test]
    fn an_answer_that_does_not_add_up_fails() {
        check("{}", Err("no jobs"));
        check(r#"{"jobs":[{"id":"0-7"}]}"#, Err("no token"));
        check(r#"{"jobs":[{"token":1}]}"#, Err("more tokens"));
        check(r#"{"jobs":[{"id":"7","token":1}]}"#, Err("not shard-sequence"));
    }
}
