//! What callers do: one file for each family of calls. Each knows how to make one that fits what its caller has seen: mostly
//! sensible, sometimes late, wrong or forged. What must come of it is the twin's to say.

mod dead;
mod enqueue;
mod pools;
mod queue;
mod read;
mod transaction;
mod work;

use tidegate_core::view::JobState;
use tidegate_core::{JobId, Token};
use tidegate_engine::{Envelope, Metadata};

use crate::call::Call;
use crate::chance::Chance;
use crate::plan::Plan;
use crate::twin::Twin;

pub use pools::POOL_FAMILIES;

/// What a caller looks at when it makes a call.
pub struct Scene<'a> {
    /// Chance.
    pub chance: &'a mut Chance,
    /// What kind of a world it is.
    pub plan: &'a Plan,
    /// Ids and states to choose from.
    pub twin: &'a Twin,
    /// Leases that workers were told of, those that are over included.
    pub held: &'a [(JobId, Token)],
    /// Rises with every payload, so that each is told from all others. It begins with the step, so that leaving out others does
    /// not change it.
    pub payloads: &'a mut u64,
}

/// A family of operations.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// How often it is chosen in a usual world.
    pub usual: u64,
    /// Makes one; none if there is nothing to do it to.
    pub make: fn(&mut Scene<'_>) -> Option<Call>,
}

/// All families. The first two are in every world.
pub const FAMILIES: [Family; 18] = [
    Family { name: "enqueue", usual: 12, make: enqueue::enqueue },
    Family { name: "lease", usual: 12, make: work::lease },
    Family { name: "complete", usual: 8, make: work::complete },
    Family { name: "fail", usual: 6, make: work::fail },
    Family { name: "extend", usual: 3, make: work::extend },
    Family { name: "release", usual: 3, make: work::release },
    Family { name: "round trip", usual: 6, make: work::round_trip },
    Family { name: "transaction", usual: 5, make: transaction::transaction },
    Family { name: "cancel", usual: 3, make: read::cancel },
    Family { name: "edit", usual: 2, make: dead::edit },
    Family { name: "configure", usual: 4, make: queue::configure },
    Family { name: "pause queue", usual: 2, make: queue::pause_queue },
    Family { name: "pause key", usual: 3, make: queue::pause_key },
    Family { name: "redrive", usual: 4, make: dead::redrive },
    Family { name: "delete dead", usual: 2, make: dead::delete },
    Family { name: "read a job", usual: 4, make: read::job },
    Family { name: "list", usual: 2, make: read::list },
    Family { name: "read a queue", usual: 2, make: read::queue },
];

impl Scene<'_> {
    fn queue(&mut self) -> String {
        format!("queue-{}", self.chance.below(self.plan.queues))
    }

    /// A queue, now and then one that nobody has made.
    fn any_queue(&mut self) -> String {
        if self.chance.percent(4) { "nowhere".into() } else { self.queue() }
    }

    fn kind(&mut self) -> String {
        format!("kind-{}", self.chance.below(3))
    }

    fn ordering_key(&mut self) -> String {
        format!("key-{}", self.chance.below(self.plan.ordering_keys))
    }

    /// A payload unlike any other.
    fn payload(&mut self) -> Envelope {
        *self.payloads += 1;
        let size = self.chance.below(self.plan.payload_max) as usize;
        let number = *self.payloads;
        let text = format!("\"{number} {}\"", "x".repeat(size));
        let mut more = Chance::of_step(number, self.plan.with_metadata);
        if !more.percent(self.plan.with_metadata) {
            return Envelope::json(text);
        }
        let envelope = if more.percent(40) { Envelope::bytes(text) } else { Envelope::json(text) };
        let metadata = (0..more.below(4)).map(|at| Metadata {
            name: format!("name-{at}"),
            value: format!("{number} {}", "v".repeat(more.below(30) as usize)),
        });
        let metadata = metadata.collect();
        let traceparent = more.percent(60).then(|| format!("00-{number:032x}-{at:016x}-01", at = number + 1));
        Envelope { metadata, traceparent, ..envelope }
    }

    /// Any job, mostly one that is there.
    fn job(&mut self, like: impl Fn(&crate::twin::Job) -> bool) -> JobId {
        let jobs: Vec<(u64, u64)> =
            self.twin.jobs.values().filter(|job| like(job)).map(|job| (job.sequence, job.born)).collect();
        match self.chance.pick_named(&jobs, |&(_, born)| born) {
            Some(&(sequence, _)) if !self.chance.percent(5) => JobId::new(0, sequence),
            _ => JobId::new(0, self.chance.between(1, 400)),
        }
    }

    /// What some dead letter died of.
    fn cause(&mut self) -> Option<u64> {
        let dead: Vec<&crate::twin::Job> =
            self.twin.jobs.values().filter(|job| job.state == JobState::Dead).collect();
        self.chance.pick_named(&dead, |job| job.born).and_then(|job| self.twin.view(job).cause)
    }

    /// A lease as its worker knows it: one that stands, that is over, or that never was.
    fn lease(&mut self) -> Option<(JobId, Token)> {
        let live = self
            .held
            .iter()
            .filter(|(id, token)| self.twin.jobs.get(&id.sequence()).is_some_and(|job| job.token == token.0));
        let live: Vec<(JobId, Token)> = live.copied().collect();
        let list = if self.chance.percent(80) && !live.is_empty() { &live[..] } else { self.held };
        let jobs = &self.twin.jobs;
        let name = |id: JobId| jobs.get(&id.sequence()).map_or(id.sequence(), |job| job.born);
        let &(id, token) = self.chance.pick_named(list, |&(id, _)| name(id))?;
        if self.chance.percent(self.plan.forged) {
            let id = self.job(|_| true);
            // Far from every token that will be given.
            return Some((id, Token(token.0 + 1_000_000 * self.chance.between(1, 9))));
        }
        Some((id, token))
    }

    /// Several leases, each once.
    fn leases(&mut self, most: u64) -> Vec<(JobId, Token)> {
        let count = self.chance.between(1, most);
        let mut leases: Vec<(JobId, Token)> = Vec::new();
        for _ in 0..count {
            if let Some(lease) = self.lease()
                && !leases.iter().any(|(id, _)| *id == lease.0)
            {
                leases.push(lease);
            }
        }
        leases
    }
}
