//! One at a time, or n: a pool whose units are held for as long as somebody works.
//!
//! A lock is a hold that is extended in the background. Whoever dies stops extending, and the unit is offered to the next in line
//! when the hold lapses.
//!
//! **What a lock cannot promise.** That its holder still has it at the moment of a write: between the look and the write a process can
//! be stopped for a minute, and wake up believing what was true before. Only the thing that is guarded can refuse a
//! late writer, and for that it is given the [fencing number](Held::fence), which is higher for each later holder: it
//! remembers the highest it has seen and refuses a lower one (Kleppmann's "fencing tokens"). Where the guarded thing cannot do that, a
//! lock avoids double work; it does not exclude it. Where what is guarded is itself a pool or a job, a
//! [transaction](crate::Transaction) needs no lock at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_api::id::GrantId;
use tidegate_api::pool::config::PoolConfig;
use tidegate_api::pool::grant::{Grant, PoolAnswer};
use tidegate_api::pool::wish::{LeaveWish, TakeWish};
use tidegate_api::refusal::Code;
use tidegate_api::value::Text;
use tidegate_api::words::GrantState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::watch::PoolWatch;
use crate::queue::ms;
use crate::settings::fresh_key;
use crate::{Client, Error};

/// How long a unit stays with a holder of whom nothing is heard, if nothing else is said.
const TIME_TO_LIVE: Duration = Duration::from_secs(30);
/// The shortest that pools know.
const TIME_TO_LIVE_MIN: Duration = Duration::from_secs(1);
/// So many wait for a lock at most.
const WAITLIST: u32 = 10_000;
/// How long a lock may be held with all its extensions: as long as pools know.
const CEILING_MS: u64 = *tidegate_api::limits::HOLD_MS.end();
/// Who waits looks again so often even if nothing is told.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A lock, or a semaphore; made by [`Client::lock`] and [`Client::semaphore`].
///
/// ```
/// # tidegate::testing::example(async |engine, client| {
/// let nightly = client.lock("nightly-report");
/// let held = nightly.acquire().await?;
/// assert!(nightly.try_acquire().await?.is_none());
///
/// // What is guarded is told the number, and refuses a lower one than it has seen.
/// let first = held.fence();
/// held.release().await?;
/// assert!(nightly.acquire().await?.fence() > first);
/// # let _ = &engine;
/// # Ok(()) });
/// ```
#[derive(Debug, Clone)]
pub struct Lock {
    client: Client,
    name: String,
    units: u32,
    time_to_live: Duration,
    names: Names,
}

/// Holders' names that nobody uses now. A name is used again, so that a pool's holders are as many as ever asked at a time.
type Names = Arc<Mutex<Vec<String>>>;

/// A holder who has, or waits for, a unit. Dropped, it gives up both in the background.
#[derive(Debug)]
struct Place {
    client: Client,
    pool: String,
    /// None once nothing is to be given up.
    holder: Option<String>,
    /// Whether anything was asked for.
    asked: bool,
    names: Names,
}

/// A unit in our hands, extended in the background until it is released, dropped or lost.
#[derive(Debug)]
pub struct Held {
    grant: Grant,
    /// Whether it is lost.
    lost: watch::Receiver<bool>,
    renewal: tokio::task::JoinHandle<()>,
    place: Place,
}

/// How long a unit is certainly ours.
#[derive(Debug, Clone, Copy)]
struct Term {
    /// Not beyond this, whatever is extended: the pool's ceiling.
    ceiling: Instant,
    /// Until then, if nothing more is heard.
    end: Instant,
}

impl Client {
    /// A lock of this name: a pool of one unit, made when it is first asked for. Its name must not be one of a pool that serves
    /// another purpose.
    pub fn lock(&self, name: impl Into<String>) -> Lock {
        self.semaphore(name, 1)
    }

    /// A semaphore of this name for so many at a time. If there is a pool of this name, it stays as it is; everybody should give
    /// the same number, since of two who make it at the same time the first one's counts.
    ///
    /// Every acquisition is a request of its own: an idempotency key of this client is not used.
    pub fn semaphore(&self, name: impl Into<String>, units: u32) -> Lock {
        let client = self.without_idempotency_key();
        Lock { client, name: name.into(), units, time_to_live: TIME_TO_LIVE, names: Names::default() }
    }
}

impl Lock {
    /// How long a unit stays with a holder of whom nothing is heard, 30 seconds if not said, at least one. Shorter: a dead holder
    /// is in the way for less long. Longer: a pause of the program or the network does not cost the lock.
    #[must_use]
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time.max(TIME_TO_LIVE_MIN);
        self
    }

    /// Waits in line, as long as it takes, first come first served. A future that is dropped leaves the line in the background, if
    /// the program lives that long; otherwise its turn passes to the next when the time to live is over.
    ///
    /// Who waits looks for itself whenever the pool changes: a line of thousands is better made of jobs with an ordering key.
    ///
    /// # Errors
    /// A refusal (`waitlist_full`), or no answer within the client's deadline.
    pub async fn acquire(&self) -> Result<Held, Error> {
        self.made().await?;
        // Watched before joining, so that no change falls between.
        let mut news = self.client.watch_pools([self.name.as_str()])?;
        let mut place = self.place();
        loop {
            let asked = Instant::now();
            let (grant, asked) = match place.join().await? {
                PoolAnswer::Grant(grant) => (Some(grant), asked),
                PoolAnswer::Waiting(_) => self.offered(&place, &mut news).await?,
            };
            // An offer that came and lapsed before it was seen: once more from the end of the line.
            let Some(grant) = grant else { continue };
            match self.term(&grant, asked).await {
                Err(error) if is_over(&error) => {}
                term => return Ok(self.held(place, grant, term?)),
            }
        }
    }

    /// Waits for an offer; none if it came and is over, or the place in line is. And when it was not there yet.
    async fn offered(&self, place: &Place, news: &mut PoolWatch) -> Result<(Option<Grant>, Instant), Error> {
        let mut looked = Instant::now();
        loop {
            // What was heard says only that it is worth a look.
            if let Ok(heard) = timeout(LOOK_AGAIN.min(self.time_to_live / 3), news.next()).await {
                heard?;
            }
            let before = Instant::now();
            let story = self.client.holder(place.holder()).await?;
            let ours = |grant: &Grant| grant.pool == self.name && grant.state == GrantState::Held;
            let offer = story.grants.into_iter().find(ours);
            if offer.is_some() || !story.waiting.iter().any(|waiting| waiting.pool == self.name) {
                return Ok((offer, looked));
            }
            looked = before;
        }
    }

    /// A unit, if there is one now.
    ///
    /// # Errors
    /// Any refusal but that there is none, or no answer.
    pub async fn try_acquire(&self) -> Result<Option<Held>, Error> {
        self.made().await?;
        let asked = Instant::now();
        let mut place = self.place();
        place.asked = true;
        match self.client.pool(&self.name).hold(place.holder()).hold_for(self.time_to_live).await {
            Ok(grant) => {
                let term = self.term(&grant, asked).await?;
                Ok(Some(self.held(place, grant, term)))
            }
            Err(error) if error.code() == Some(Code::SoldOut) => {
                place.over();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn place(&self) -> Place {
        let holder = lock(&self.names).pop().unwrap_or_else(fresh_key);
        let (client, pool) = (self.client.clone(), self.name.clone());
        Place { client, pool, holder: Some(holder), asked: false, names: Arc::clone(&self.names) }
    }

    /// Makes the pool if there is none. One that there is by now, whoever made it, is never made anew.
    async fn made(&self) -> Result<(), Error> {
        match self.client.show_pool(&self.name).await {
            Err(error) if error.code() == Some(Code::PoolNotFound) => {}
            shown => return shown.map(drop),
        }
        self.make().await
    }

    async fn make(&self) -> Result<(), Error> {
        let time_ms = ms(self.time_to_live);
        let config = PoolConfig {
            hold_ms: Some(time_ms),
            hold_ms_max: Some(CEILING_MS),
            offer_ms: Some(time_ms),
            waitlist_max: Some(WAITLIST),
            ..PoolConfig::of(self.units).if_version(0)
        };
        match self.client.configure_pool(&self.name, &config).await {
            Err(error) if error.code() == Some(Code::VersionChanged) => Ok(()),
            made => made.map(drop),
        }
    }

    /// How long a hold is ours that was granted at some time after `asked`: from its first extension on we know.
    async fn term(&self, grant: &Grant, asked: Instant) -> Result<Term, Error> {
        let time = self.time_to_live;
        let whole = match (grant.granted_at, grant.extendable_until) {
            (Some(from), Some(to)) => Duration::from_millis(to.unix_ms().saturating_sub(from.unix_ms())),
            _ => Duration::from_millis(CEILING_MS),
        };
        let mut term = Term { ceiling: asked + whole, end: asked };
        let before = Instant::now();
        self.client.grant(grant.id).extend(Some(time)).await?;
        term.extended(before, time);
        Ok(term)
    }

    fn held(&self, place: Place, grant: Grant, term: Term) -> Held {
        let (tell, lost) = watch::channel(false);
        let client = self.client.at_most(self.time_to_live);
        let renewal = tokio::spawn(renew(client, grant.id, self.time_to_live, term, tell));
        Held { grant, lost, renewal, place }
    }
}

/// Whether what was held is not held any more.
fn is_over(error: &Error) -> bool {
    matches!(error.code(), Some(Code::HoldLapsed | Code::GrantEnded))
}

fn lock(names: &Names) -> MutexGuard<'_, Vec<String>> {
    // Nothing panics half-way through a push or a pop.
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    fn holder(&self) -> &str {
        self.holder.as_deref().unwrap_or_default()
    }

    async fn join(&mut self) -> Result<PoolAnswer, Error> {
        self.asked = true;
        let wish = TakeWish { holder: Text::from(self.holder()), units: None, group: None };
        self.client.join(&self.pool, &wish).await
    }

    /// Nothing is left to be given up: the name is free.
    fn over(&mut self) {
        lock(&self.names).extend(self.holder.take());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.asked {
            return self.over();
        }
        let Some(holder) = self.holder.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (client, pool, names) = (self.client.clone(), self.pool.clone(), Arc::clone(&self.names));
        runtime.spawn(async move {
            if give_up(&client, &pool, &holder).await.is_ok() {
                lock(&names).push(holder);
            }
        });
    }
}

/// Gives up whatever a holder has of a pool, or waits for there.
async fn give_up(client: &Client, pool: &str, holder: &str) -> Result<(), Error> {
    match client.leave(pool, &LeaveWish { holder: Text::from(holder) }).await {
        Err(error) if error.code() != Some(Code::NotWaiting) => return Err(error),
        // Who had a place had no unit; who had none may have one.
        Ok(_) | Err(_) => {}
    }
    for grant in client.holder(holder).await?.grants.iter().filter(|grant| grant.pool == pool) {
        match client.grant(grant.id).release().await {
            Err(error) if !is_over(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

impl Term {
    /// An extension that was asked for at `asked` was granted.
    fn extended(&mut self, asked: Instant, time: Duration) {
        self.end = (asked + time).min(self.ceiling);
    }
}

/// Extends a hold at each third of its time, until that cannot be done any more.
async fn renew(client: Client, id: GrantId, time: Duration, mut term: Term, lost: watch::Sender<bool>) {
    let mut next = Instant::now() + time / 3;
    loop {
        sleep_until(next.min(term.end)).await;
        let asked = Instant::now();
        match timeout_at(term.end, client.grant(id).extend(Some(time))).await {
            Ok(Ok(_)) => term.extended(asked, time),
            Ok(Err(error)) if error.is_temporary() => {}
            Ok(Err(_)) | Err(_) => break,
        }
        if Instant::now() >= term.end {
            break;
        }
        next = asked + time / 3;
    }
    let _nobody_listens = lost.send(true);
}

impl Held {
    /// The fencing number, for whatever is guarded to refuse a lower one than it has seen.
    pub fn fence(&self) -> u64 {
        self.grant.fence
    }

    /// The hold.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether it is known to be lost: its time ran out before it could be extended, or somebody gave it back.
    /// "No" is what was so a moment ago.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Waits until it is lost. For a `select!` beside the work.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // The sender is gone only with the renewal, and then it is lost as well.
        let _gone = lost.wait_for(|lost| *lost).await;
    }

    /// Gives it back, and the next in line has it. One that is dropped is given back in the background, if the program lives
    /// that long.
    ///
    /// # Errors
    /// It was lost before (`hold_lapsed`), or no answer: then it lapses by itself.
    pub async fn release(mut self) -> Result<(), Error> {
        self.renewal.abort();
        let released = self.place.client.grant(self.grant.id).release().await;
        if released.is_ok() || released.as_ref().is_err_and(is_over) {
            self.place.over();
        }
        released.map(drop)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use crate::testing::Engine;

    /// Whoever saw no pool for a moment, or was overtaken by another maker, changes nothing of one that is there.
    #[tokio::test]
    async fn a_pool_that_is_there_is_never_made_anew() {
        let engine = Engine::new();
        let client = engine.client();
        let two = client.semaphore("gpus", 2);
        two.made().await.expect("made");
        let pool = client.pool("gpus");
        pool.resize(5).await.expect("resized");
        let before = pool.show().await.expect("it is there");
        for semaphore in [two, client.semaphore("gpus", 7)] {
            semaphore.make().await.expect("there is one");
        }
        let after = pool.show().await.expect("it is there");
        assert_eq!((after.config, after.version), (before.config, before.version));
    }
}
