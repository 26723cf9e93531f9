//! Single jobs on their way into lists.
//!
//! Whoever enqueues one job over HTTP waits for one request; a thousand who do so at the same time need not make a
//! thousand. Jobs for one queue that come while a request is under way gather, and go together with the next. Nothing
//! waits for a timer: a job that finds nothing under way goes at once and alone.
//!
//! A caller writes its job's JSON at the end of the list that gathers and gets a place in it; one task for each queue
//! takes whole lists and sends them, and an answer fills all places of its list and wakes their callers. So what a job
//! costs here is its bytes and one wake-up, and the task is woken once a list.
//!
//! Promises: every job is answered once, with its own outcome; a list that gets no answer is sent again under the same
//! idempotency key; no job waits longer than its deadline. Jobs of one list are accepted in the order they came.
//! Bounded: [`WAITING_MAX`] jobs wait for each queue and [`WAITING_BYTES`] in all, more callers wait outside;
//! [`UNDER_WAY_MAX`] lists are under way. A queue for which nothing comes for a while costs nothing any more.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tidegate_api::enqueue::{EnqueueResult, EnqueueResults, Enqueued};
use tidegate_api::id::JobId;
use tidegate_api::limits::LIST_ITEMS_MAX;
use tidegate_api::words::JobState;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::Error;
use crate::settings::Settings;
use crate::transport::{Again, Call, Transport, enqueue_path};

/// Jobs that wait for each queue.
const WAITING_MAX: usize = 4 * LIST_ITEMS_MAX;
/// Bytes of jobs that wait or are under way, over all queues of a client.
const WAITING_BYTES: usize = 64 << 20;
/// A queue's gathering ends when nothing has come for so long.
const IDLE: Duration = Duration::from_secs(5);
/// Lists of one queue under way at once: while the server syncs one, it can read the next.
const UNDER_WAY_MAX: usize = 2;
/// A list may always have so many jobs; a shorter one is not worth its request while others are under way.
const SHARE_MIN: usize = 64;
/// A list is closed when it has so many bytes. One job more fits into the largest body the server takes.
const LIST_BYTES: usize = 4 << 20;

/// Where jobs gather, for each queue of one server.
#[derive(Debug)]
pub(crate) struct Coalescers {
    queues: Arc<Queues>,
    room: Arc<Semaphore>,
}

type Queues = Mutex<HashMap<String, Arc<Gathering>>>;

impl Default for Coalescers {
    fn default() -> Self {
        Self { queues: Arc::default(), room: Arc::new(Semaphore::new(WAITING_BYTES)) }
    }
}

impl Transport {
    /// Enqueues one job, written as JSON, together with others if there are any.
    pub(crate) async fn enqueue_coalesced(
        &self,
        settings: &Settings,
        queue: &str,
        json: Vec<u8>,
    ) -> Result<Enqueued, Error> {
        let due = Instant::now() + settings.deadline;
        let too_late = || Error::Timeout { server: self.base().to_owned(), waited: settings.deadline };
        let bytes = u32::try_from(json.len().min(WAITING_BYTES)).expect("the room is small");
        let room = acquire(&self.coalescers.room, bytes, due).await.ok_or_else(too_late)?;
        let mut job = Job { json, due, answer_timeout: settings.answer_timeout, room };
        // A gathering that has just ended, for want of jobs or with its runtime, gives the job back; the next one is new.
        let place = loop {
            let gathering = self.gathering(queue);
            let seat = acquire(&gathering.seats, 1, due).await.ok_or_else(too_late)?;
            match gathering.put(job, seat) {
                Ok(place) => break place,
                Err(given_back) => job = given_back,
            }
            // A runtime that goes down ends every gathering at once, and this caller here.
            tokio::task::yield_now().await;
        };
        match tokio::time::timeout_at(due, place).await.map_err(|_| too_late())? {
            Some(Answer::Enqueued { id, state, duplicate }) => {
                Ok(Enqueued { id, queue: queue.to_owned(), state, duplicate })
            }
            Some(Answer::Failed(error)) => Err(*error),
            None => Err(too_late()),
        }
    }

    /// Where the queue's jobs gather.
    fn gathering(&self, queue: &str) -> Arc<Gathering> {
        let mut queues = lock(&self.coalescers.queues);
        if let Some(gathering) = queues.get(queue).filter(|gathering| !gathering.is_closed()) {
            return Arc::clone(gathering);
        }
        let gathering = Arc::<Gathering>::default();
        let sender = Sender { transport: Arc::new(self.without_coalescers()), path: enqueue_path(queue) };
        let (all, name) = (Arc::downgrade(&self.coalescers.queues), queue.to_owned());
        let closing = Closing(Arc::clone(&gathering));
        tokio::spawn(async move {
            sender.run(closing).await;
            forget(&all, &name);
        });
        queues.insert(queue.to_owned(), Arc::clone(&gathering));
        gathering
    }
}

/// So many permits, before it is too late.
async fn acquire(of: &Arc<Semaphore>, count: u32, due: Instant) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(of).try_acquire_many_owned(count) {
        return Some(permit);
    }
    let permit = tokio::time::timeout_at(due, Arc::clone(of).acquire_many_owned(count)).await.ok()?;
    Some(permit.expect("nobody closes it"))
}

/// Forgets where a queue's jobs gathered, unless they gather anew.
fn forget(queues: &Weak<Queues>, name: &str) {
    let Some(queues) = queues.upgrade() else { return };
    let mut queues = lock(&queues);
    if queues.get(name).is_some_and(|gathering| gathering.is_closed()) {
        queues.remove(name);
    }
}

/// Nobody panics while holding a lock of these, and if somebody did, nothing would be half done.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One job on its way into a list.
#[derive(Debug)]
struct Job {
    json: Vec<u8>,
    /// The caller has given up by then.
    due: Instant,
    /// How long the caller lets one try take.
    answer_timeout: Duration,
    /// Its part of [`WAITING_BYTES`].
    room: OwnedSemaphorePermit,
}

/// The jobs of one queue that wait.
#[derive(Debug)]
struct Gathering {
    waiting: Mutex<Waiting>,
    /// There is a list where there was none.
    came: Notify,
    /// Of [`WAITING_MAX`].
    seats: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The last one gathers, the others are full.
    lists: VecDeque<List>,
    /// Jobs that wait or are under way.
    unanswered: usize,
    /// Nobody sends any more.
    closed: bool,
}

impl Default for Gathering {
    fn default() -> Self {
        Self { waiting: Mutex::default(), came: Notify::new(), seats: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

impl Gathering {
    fn is_closed(&self) -> bool {
        lock(&self.waiting).closed
    }

    /// Puts a job into the list that gathers, and gives it back if nobody sends any more.
    fn put(&self, job: Job, seat: OwnedSemaphorePermit) -> Result<Place, Job> {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return Err(job);
        }
        let none_waited = waiting.lists.is_empty();
        waiting.unanswered += 1;
        // If one list took all, here and the server would take turns; each list has its share, and both have work.
        let jobs_max = (waiting.unanswered / UNDER_WAY_MAX).clamp(SHARE_MIN, LIST_ITEMS_MAX);
        let place = match waiting.lists.back_mut().filter(|list| list.takes(&job, jobs_max)) {
            Some(list) => list.put(job, seat),
            None => {
                let (list, place) = List::of(job, seat);
                waiting.lists.push_back(list);
                place
            }
        };
        drop(waiting);
        if none_waited {
            self.came.notify_one();
        }
        Ok(place)
    }

    /// So many jobs are not under way any more.
    fn answered(&self, jobs: usize) {
        lock(&self.waiting).unanswered -= jobs;
    }

    /// The next list, waiting for it; nothing, and never again, if none comes for a while.
    async fn next(&self) -> Option<List> {
        loop {
            if let Some(list) = lock(&self.waiting).lists.pop_front() {
                return Some(list);
            }
            if tokio::time::timeout(IDLE, self.came.notified()).await.is_ok() {
                continue;
            }
            let mut waiting = lock(&self.waiting);
            // Whoever came at the last moment is still taken; whoever comes later finds it closed.
            if waiting.lists.is_empty() {
                waiting.closed = true;
                return None;
            }
        }
    }
}

/// Closes a gathering when the task that sends its lists ends, however it ends.
struct Closing(Arc<Gathering>);

impl Drop for Closing {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.closed = true;
        let lists = mem::take(&mut waiting.lists);
        // Their callers are woken without the lock.
        drop(waiting);
        drop(lists);
    }
}

/// Jobs that go together. Whoever is still without an answer when it ends hears that there is none.
#[derive(Debug)]
struct List {
    /// `[`, and the jobs with commas between them.
    body: Vec<u8>,
    /// Of each job: where its JSON ends in the body, and when its caller gives up.
    jobs: Vec<(usize, Instant)>,
    places: Arc<Places>,
    /// It is as patient as the most patient of its callers.
    answer_timeout: Duration,
    room: OwnedSemaphorePermit,
    /// Given back when it is taken to be sent.
    seats: Option<OwnedSemaphorePermit>,
}

impl List {
    /// A list with its first job.
    fn of(job: Job, seat: OwnedSemaphorePermit) -> (List, Place) {
        let Job { json, due, answer_timeout, room } = job;
        let mut body = Vec::with_capacity(json.len() + 2);
        body.push(b'[');
        body.extend_from_slice(&json);
        let (jobs, places) = (vec![(body.len(), due)], Arc::<Places>::default());
        let place = Place { places: Arc::clone(&places), at: 0 };
        (List { body, jobs, places, answer_timeout, room, seats: Some(seat) }, place)
    }

    /// Whether it has room for the job, if it may have so many.
    fn takes(&self, job: &Job, jobs_max: usize) -> bool {
        self.jobs.len() < jobs_max && self.body.len() + job.json.len() <= LIST_BYTES
    }

    fn put(&mut self, job: Job, seat: OwnedSemaphorePermit) -> Place {
        self.body.push(b',');
        self.body.extend_from_slice(&job.json);
        self.jobs.push((self.body.len(), job.due));
        self.answer_timeout = self.answer_timeout.max(job.answer_timeout);
        self.room.merge(job.room);
        if let Some(seats) = &mut self.seats {
            seats.merge(seat);
        }
        Place { places: Arc::clone(&self.places), at: self.jobs.len() - 1 }
    }

    /// Which jobs are to be sent. Whoever has gone or whose time is over is not to have a job accepted that nobody knows of.
    fn still_wanted(&self, now: Instant) -> Vec<usize> {
        let mut places = lock(&self.places.0);
        let wanted = |at: &usize| !matches!(places.at(*at), Asked::Gone) && self.jobs[*at].1 > now;
        (0..self.jobs.len()).filter(wanted).collect()
    }

    /// The jobs at these places as a JSON list.
    fn body_of(&mut self, wanted: &[usize]) -> Bytes {
        let all = mem::take(&mut self.body);
        if wanted.len() == self.jobs.len() {
            let mut body = all;
            body.push(b']');
            return body.into();
        }
        let mut body = Vec::with_capacity(all.len());
        for &at in wanted {
            body.push(if body.is_empty() { b'[' } else { b',' });
            let start = 1 + at.checked_sub(1).map_or(0, |before| self.jobs[before].0);
            body.extend_from_slice(&all[start..self.jobs[at].0]);
        }
        body.push(b']');
        body.into()
    }
}

impl Drop for List {
    fn drop(&mut self) {
        self.places.answer((0..self.jobs.len()).map(|at| (at, None)));
    }
}

/// The callers of a list, in its order.
#[derive(Debug, Default)]
struct Places(Mutex<Asking>);

/// Where each caller stands; those at the end who have not asked yet have no entry.
#[derive(Debug, Default)]
struct Asking(Vec<Asked>);

/// Where one caller stands.
#[derive(Debug, Default)]
enum Asked {
    #[default]
    NotYet,
    Waits(Waker),
    /// There is an answer, or it is certain that none comes.
    Answered(Option<Answer>),
    /// Nobody waits here any more.
    Gone,
}

/// What a caller is told.
#[derive(Debug)]
enum Answer {
    Enqueued { id: JobId, state: JobState, duplicate: bool },
    Failed(Box<Error>),
}

impl From<EnqueueResult> for Answer {
    fn from(result: EnqueueResult) -> Answer {
        match result {
            EnqueueResult::Enqueued { id, state, duplicate } => Answer::Enqueued { id, state, duplicate },
            EnqueueResult::Refused { error } => Answer::Failed(Box::new(error.into())),
        }
    }
}

impl Asking {
    fn at(&mut self, at: usize) -> &mut Asked {
        if self.0.len() <= at {
            self.0.resize_with(at + 1, Asked::default);
        }
        &mut self.0[at]
    }
}

impl Places {
    /// Tells callers, but those who were told before or have gone.
    fn answer(&self, answers: impl Iterator<Item = (usize, Option<Answer>)>) {
        let mut woken = Vec::with_capacity(answers.size_hint().0);
        let mut asking = lock(&self.0);
        for (at, answer) in answers {
            let asked = asking.at(at);
            match asked {
                Asked::Answered(_) | Asked::Gone => {}
                Asked::NotYet => *asked = Asked::Answered(answer),
                Asked::Waits(_) => {
                    if let Asked::Waits(waker) = mem::replace(asked, Asked::Answered(answer)) {
                        woken.push(waker);
                    }
                }
            }
        }
        // A waker is somebody else's code.
        drop(asking);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A caller's place in a list. Gives its answer, or nothing if none will come.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    at: usize,
}

impl Future for Place {
    type Output = Option<Answer>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer>> {
        let mut asking = lock(&self.places.0);
        let asked = asking.at(self.at);
        let before = match asked {
            Asked::Answered(answer) => {
                let answer = answer.take();
                *asked = Asked::Gone;
                return Poll::Ready(answer);
            }
            Asked::Waits(waker) if waker.will_wake(context.waker()) => return Poll::Pending,
            _ => mem::replace(asked, Asked::Waits(context.waker().clone())),
        };
        // A waker is somebody else's code, its end too.
        drop(asking);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let before = mem::replace(lock(&self.places.0).at(self.at), Asked::Gone);
        drop(before);
    }
}

/// Sends what has gathered for one queue.
#[derive(Clone)]
struct Sender {
    transport: Arc<Transport>,
    path: String,
}

impl Sender {
    async fn run(self, gathered: Closing) {
        let slots = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes it");
            let Some(mut list) = gathered.0.next().await else { return };
            list.seats = None;
            let (sender, gathering) = (self.clone(), Arc::clone(&gathered.0));
            tokio::spawn(async move {
                let jobs = list.jobs.len();
                sender.send(list).await;
                gathering.answered(jobs);
                drop(slot);
            });
        }
    }

    async fn send(&self, mut list: List) {
        let now = Instant::now();
        let wanted = list.still_wanted(now);
        // Whoever waits less long than the others stops waiting by itself.
        let Some(due) = wanted.iter().map(|at| list.jobs[*at].1).max() else { return };
        let settings = Settings {
            deadline: due - now,
            answer_timeout: list.answer_timeout,
            retries: true,
            idempotency_key: None,
        };
        let (body, wait) = (list.body_of(&wanted), Duration::ZERO);
        let call = Call { method: Method::POST, path: &self.path, body, wait, again: Again::UnderKey };
        let results = self.transport.send(&settings, call).await.and_then(|answer| {
            let results =
                serde_json::from_slice::<EnqueueResults>(&answer).map_err(|error| error.to_string());
            results
                .and_then(|EnqueueResults { results }| {
                    let (sent, answered) = (wanted.len(), results.len());
                    let why = format!("{sent} items were sent and {answered} answered");
                    if sent == answered { Ok(results) } else { Err(why) }
                })
                .map_err(|why| self.transport.unreadable(200, why))
        });
        let places = wanted.into_iter();
        match results {
            Ok(results) => {
                list.places.answer(places.zip(results.into_iter().map(|result| Some(result.into()))))
            }
            Err(error) => {
                list.places.answer(places.map(|at| (at, Some(Answer::Failed(Box::new(error.clone()))))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use tokio::net::TcpListener;

    use super::*;

    impl Coalescers {
        fn names(&self) -> Vec<String> {
            self.queues.lock().expect("no panic").keys().cloned().collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_without_jobs_costs_nothing_after_a_while() {
        let transport = Transport::new("http://127.0.0.1:1").expect("an address");
        let gathering = transport.gathering("q");
        assert_eq!(transport.coalescers.names(), ["q"]);
        closed(&gathering).await;
        // Whoever had it and comes now finds a new one.
        assert!(!transport.gathering("q").is_closed());
        closed(&transport.gathering("q")).await;
        tokio::time::sleep(IDLE).await;
        assert_eq!(transport.coalescers.names(), [""; 0]);
    }

    /// Time is paused and goes on while everybody waits.
    async fn closed(gathering: &Gathering) {
        while !gathering.is_closed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn permit() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it is new")
    }

    /// A job that is this JSON.
    fn job(json: &str, due: Instant) -> Job {
        // Permits are joined only with those of the same semaphore, and none is always there.
        static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(0)));
        let room = Arc::clone(&ROOM).try_acquire_many_owned(0).expect("nothing is always there");
        Job { json: json.into(), due, answer_timeout: IDLE, room }
    }

    impl Gathering {
        fn put_now(&self, json: &str, due: Instant) -> Place {
            let seat = Arc::clone(&self.seats).try_acquire_owned().expect("there is a seat");
            self.put(job(json, due), seat).expect("it is open")
        }
    }

    fn later() -> Instant {
        Instant::now() + 2 * IDLE
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_comes_as_the_gathering_ends_is_not_lost() {
        let gathering = Gathering::default();
        let comes = async {
            tokio::time::sleep(IDLE).await;
            gathering.put(job("{}", later()), permit()).is_ok()
        };
        // Both timers are due at the same time, and it does not matter who comes first.
        let (next, taken) = tokio::join!(gathering.next(), comes);
        assert_eq!(next.is_some(), taken, "it is taken, or it is given back");
        assert_eq!(gathering.is_closed(), !taken);
        // Whoever comes after the end is given back.
        assert!(gathering.next().await.is_none());
        assert!(gathering.put(job("{}", later()), permit()).is_err());
    }

    #[tokio::test]
    async fn a_list_is_what_is_still_wanted_in_the_order_it_came() {
        let gathering = Gathering::default();
        let places = ["1", "22", "333", "4"].map(|json| gathering.put_now(json, later()));
        let late = gathering.put_now("5", Instant::now());
        let [first, second, third, fourth] = places;
        drop(second);
        let mut list = gathering.next().await.expect("a list");
        let wanted = list.still_wanted(Instant::now());
        assert_eq!(wanted, [0, 2, 3]);
        assert_eq!(list.body_of(&wanted), "[1,333,4]");
        let answered = |sequence| {
            Some(Answer::Enqueued {
                id: JobId { shard: 0, sequence },
                state: JobState::Ready,
                duplicate: false,
            })
        };
        list.places.answer([(0, answered(7)), (3, answered(8))].into_iter());
        drop(list);
        let told = |answer| match answer {
            Some(Answer::Enqueued { id, .. }) => Some(id.sequence),
            _ => None,
        };
        let heard = [first.await, third.await, fourth.await, late.await].map(told);
        assert_eq!(heard, [Some(7), None, Some(8), None], "who is not answered is told so");
    }

    #[tokio::test]
    async fn a_list_has_its_share_of_what_is_unanswered_and_no_more_than_the_server_takes() {
        let gathering = Gathering::default();
        let mut places = Vec::new();
        let mut lengths = async |coming: usize, unanswered_before: usize| {
            lock(&gathering.waiting).unanswered = unanswered_before;
            places.extend((0..coming).map(|_| gathering.put_now("{}", later())));
            let mut lengths = Vec::new();
            while !lock(&gathering.waiting).lists.is_empty() {
                let mut list = gathering.next().await.expect("a list");
                list.seats = None;
                lengths.push(list.jobs.len());
            }
            lengths
        };
        assert_eq!(lengths(3, 0).await, [3]);
        assert_eq!(lengths(SHARE_MIN, 0).await, [SHARE_MIN]);
        assert_eq!(lengths(2 * SHARE_MIN, 0).await, [SHARE_MIN, SHARE_MIN]);
        assert_eq!(lengths(512, 1_024 - 512).await, [512]);
        assert_eq!(lengths(LIST_ITEMS_MAX + 1, 5 * LIST_ITEMS_MAX).await, [LIST_ITEMS_MAX, 1]);
    }

    #[tokio::test]
    async fn when_the_sender_ends_its_callers_are_woken() {
        let gathering = Arc::<Gathering>::default();
        let waits = tokio::spawn(gathering.put_now("{}", later()));
        tokio::task::yield_now().await;
        drop(Closing(Arc::clone(&gathering)));
        assert!(waits.await.expect("no panic").is_none());
        assert!(gathering.put(job("{}", later()), permit()).is_err(), "it is given back");
    }

    #[tokio::test]
    async fn jobs_that_wait_have_a_bounded_weight() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let transport = Arc::new(Transport::new(&url).expect("an address"));
        let heavy = tokio::spawn({
            let transport = Arc::clone(&transport);
            async move {
                let heavy = vec![b'1'; WAITING_BYTES];
                transport.enqueue_coalesced(&Settings::default(), "heavy", heavy).await
            }
        });
        let silent = listener.accept().await.expect("it is on its way");
        let hurried = Settings { deadline: Duration::from_millis(10), ..Settings::default() };
        let late = transport.enqueue_coalesced(&hurried, "light", b"{}".to_vec()).await;
        assert!(matches!(late, Err(Error::Timeout { .. })), "{late:?}");
        assert_eq!(transport.coalescers.names(), ["heavy"], "there was no room for more");
        heavy.abort();
        drop(silent);
    }
}
