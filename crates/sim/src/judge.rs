//! Judging a state: against the twin, and by itself.

use tidegate_core::State;
use tidegate_core::view::{JobFilter, JobState, JobView};

use crate::call::{SeenQueue, plain};
use crate::pools::judge::judge_pools;
use crate::twin::Twin;

/// More than any simulated shard holds.
const ALL: usize = 1_000;

/// Whether all that can be seen of a state is as the twin says, and sound in itself.
///
/// # Errors
/// The first thing that is not, in words.
pub(crate) fn judge(state: &State, twin: &Twin) -> Result<(), String> {
    let page = state.list(&JobFilter::default(), 0, ALL);
    if page.next.is_some() {
        return Err("the simulation holds more jobs than it can look at".into());
    }
    let jobs = page.jobs;
    is_sound(state, &jobs)?;
    let found: Vec<u64> = jobs.iter().map(|job| job.id.sequence()).collect();
    let expected: Vec<u64> = twin.jobs.keys().copied().collect();
    if found != expected {
        return Err(format!("the jobs there are\n  found    {found:?}\n  expected {expected:?}"));
    }
    let unlike: Vec<String> = jobs
        .iter()
        .zip(twin.jobs.values())
        .filter(|(job, expected)| plain((*job).clone()) != twin.view(expected))
        .map(|(job, _)| job.id.to_string())
        .collect();
    for (job, expected) in jobs.into_iter().zip(twin.jobs.values()) {
        let position = (job.position, twin.position(expected));
        let ready = twin
            .jobs
            .values()
            .filter(|other| other.queue == expected.queue && other.state == JobState::Ready)
            .count() as u64;
        match position {
            (None, None) => {}
            (Some(found), Some(exact)) if exact <= found && found <= ready => {}
            _ => {
                let expected = twin.view(expected);
                return Err(format!(
                    "the position (found, exact) {position:?}\n  found    {job:?}\n  expected {expected:?}"
                ));
            }
        }
        let (found, expected) = (plain(job), twin.view(expected));
        if found != expected {
            let others = match &unlike[1..] {
                [] => String::new(),
                others => format!(" (and {})", others.join(", ")),
            };
            return Err(format!("a job{others}\n  found    {found:?}\n  expected {expected:?}"));
        }
    }
    let mut queues = state.queues();
    queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let expected = twin.queues.keys().filter_map(|name| twin.seen_queue(name));
    let (found, expected): (Vec<SeenQueue>, Vec<SeenQueue>) =
        (queues.into_iter().map(SeenQueue::from).collect(), expected.collect());
    let names = |queues: &[SeenQueue]| queues.iter().map(|queue| queue.name.clone()).collect::<Vec<_>>();
    if names(&found) != names(&expected) {
        return Err(format!("the queues are {:?} and must be {:?}", names(&found), names(&expected)));
    }
    if let Some((found, expected)) = found.iter().zip(&expected).find(|(found, expected)| found != expected) {
        return Err(format!("a queue\n  found    {found:?}\n  expected {expected:?}"));
    }
    judge_pools(state, twin)?;
    let (found, expected) = (state.unseen(), twin.unseen());
    if found != expected {
        return Err(format!("what no view shows\n  found    {found:?}\n  expected {expected:?}"));
    }
    match twin.answers.keys().find(|key| !state.remembers(key)) {
        Some(key) => Err(format!("the answer to the idempotency key {key:?} is forgotten")),
        None => Ok(()),
    }
}

/// What holds whatever was asked.
fn is_sound(state: &State, jobs: &[JobView]) -> Result<(), String> {
    for queue in state.queues() {
        for of in JobState::ALL {
            let counted = jobs.iter().filter(|job| job.queue == queue.name && job.state == of).count() as u64;
            let says = queue.counts.of(of);
            if says != counted {
                return Err(format!("{} counts {says} {} jobs and has {counted}", queue.name, of.as_str()));
            }
        }
    }
    let leased: Vec<&JobView> = jobs.iter().filter(|job| job.state == JobState::Leased).collect();
    for (index, job) in leased.iter().enumerate() {
        for other in &leased[..index] {
            if job.token == other.token {
                return Err(format!("{} and {} are leased under one token", job.id, other.id));
            }
            if job.ordering_key.is_some()
                && (&job.queue, &job.ordering_key) == (&other.queue, &other.ordering_key)
            {
                return Err(format!("{} and {} have one ordering key and are both leased", job.id, other.id));
            }
        }
    }
    Ok(())
}
