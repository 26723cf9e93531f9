//! The students of a day: each arrives when the plan says, looks, clicks, and acts on what it is answered.
//!
//! Arrivals and looks are an open loop: they come when they are due, whatever became of those before. Within one
//! student's visit a click follows the answer to the one before, after a thought. A click's latency runs from the moment
//! the student pressed until the answer was there, all waiting for a connection and all repeating included. What gets no
//! answer is sent again with the same key; it is given up after [`PATIENCE`].
//!
//! All students live on one thread, so locks here are never contended.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use enrollment::catalogue::Catalogue;
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::{
    answer::{Meaning, meaning},
    audit::{Click, Heard, Moment, Section, Student, Wish},
    lines::Lines,
    plan::{Plan, Try, Visit},
};

/// So long a click is sent again and again before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// A look at the seats is given up earlier; the next one comes soon.
const LOOK_PATIENCE: Duration = Duration::from_secs(20);
/// Before a request is sent again after its connection broke: doubled each time up to the second value.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Surprising answers that are kept as examples.
const EXAMPLES_MAX: usize = 10;

/// One press of a button or one look, and how long its answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timed {
    pub(crate) what: What,
    pub(crate) pressed: Moment,
    pub(crate) answered: Moment,
    pub(crate) waits: Waits,
}

/// What of that time went by before the request was sent for the last time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// For a connection, in all tries together.
    pub(crate) stood: Duration,
    /// Between tries: the student, or the page, lets some time pass before the same is sent again.
    pub(crate) paused: Duration,
    /// How often it was sent again.
    pub(crate) again: u32,
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Enrol,
    Drop,
    Look,
}

/// What the load came to so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) clicks: Vec<Click>,
    /// Everything that was answered, in the order of the answers.
    pub(crate) timed: Vec<Timed>,
    pub(crate) arrived: u64,
    /// Presses and looks that wait for their answer.
    pub(crate) waiting: u64,
    /// When a click was first answered with a seat.
    pub(crate) enrolled: Vec<Moment>,
    pub(crate) refused: u64,
    /// How often a click was sent again, by cause.
    pub(crate) retries: BTreeMap<&'static str, u64>,
    /// Looks that were not answered in time.
    pub(crate) looks_given_up: u64,
    /// The first strange answers, in words.
    pub(crate) examples: Vec<String>,
}

/// A load that is under way. A clone is the same load.
#[derive(Clone)]
pub(crate) struct Load {
    shared: Arc<Shared>,
}

struct Shared {
    plan: Plan,
    students: Vec<String>,
    sections: Vec<String>,
    /// In all keys, so that no two runs share one.
    run: String,
    host: String,
    start: Instant,
    lines: Lines,
    tally: Mutex<Tally>,
}

impl Load {
    /// A load that starts at `start`.
    pub(crate) fn new(
        plan: Plan,
        catalogue: &Catalogue,
        run: String,
        address: SocketAddr,
        connections: usize,
        start: Instant,
    ) -> Load {
        Load {
            shared: Arc::new(Shared {
                plan,
                students: catalogue.students().iter().map(|student| student.id.to_string()).collect(),
                sections: catalogue.sections().iter().map(|section| section.id.to_string()).collect(),
                run,
                host: address.to_string(),
                start,
                lines: Lines::new(address, connections),
                tally: Mutex::default(),
            }),
        }
    }

    /// Lives all visits; ends when everybody has gone home.
    pub(crate) async fn run(&self) {
        let mut visits = JoinSet::new();
        for student in 0..self.shared.plan.visits.len() {
            visits.spawn(Arc::clone(&self.shared).visit(student));
        }
        while let Some(ended) = visits.join_next().await {
            ended.expect("a visit does not panic");
        }
    }

    /// What it came to so far.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.shared.tally()
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no holder panics")
    }

    fn now(&self) -> Moment {
        self.start.elapsed().as_micros() as Moment
    }

    async fn visit(self: Arc<Self>, student: Student) {
        let visit = &self.plan.visits[student];
        sleep_until((self.start + visit.arrives).into()).await;
        self.tally().arrived += 1;
        tokio::join!(self.look_around(visit), self.act(student, visit));
    }

    /// Everything a student looks at, whether clicks are under way or not.
    async fn look_around(&self, visit: &Visit) {
        self.look("/api/catalogue").await;
        if visit.arrives < self.plan.shape.opens {
            self.look("/api/opening").await;
        }
        let sections: Vec<&str> =
            visit.aims.iter().flat_map(|aim| &aim.tries).map(|one| &*self.sections[one.section]).collect();
        let path = format!("/api/seats?sections={}", sections.join(","));
        let mut moments: Vec<Duration> = visit.refreshes.iter().map(|after| visit.arrives + *after).collect();
        moments.sort_unstable();
        // Who presses F5 does not wait for the page before.
        let looks = moments.into_iter().map(async |at| {
            sleep_until((self.start + at).into()).await;
            self.look(&path).await;
        });
        futures_util::future::join_all(looks).await;
    }

    async fn look(&self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        let (pressed, by) = (self.now(), Instant::now() + LOOK_PATIENCE);
        self.tally().waiting += 1;
        let mut wait = RETRY.0;
        let mut waits = Waits::default();
        let answered = loop {
            let answer =
                self.lines.call(request.as_bytes(), by, &mut waits.stood, |answer| answer.head.status);
            match answer.await {
                Ok(200 | 304) => break true,
                Ok(429 | 503) | Err(_) if Instant::now() + wait < by => {}
                Ok(status) => {
                    self.example(format!("GET {path} was answered {status}"));
                    break false;
                }
                Err(_) => break false,
            }
            waits.pause(wait).await;
            wait = (wait * 2).min(RETRY.1);
        };
        let mut tally = self.tally();
        tally.waiting -= 1;
        match answered {
            true => tally.timed.push(Timed { what: What::Look, pressed, answered: self.now(), waits }),
            false => tally.looks_given_up += 1,
        }
    }

    async fn act(&self, student: Student, visit: &Visit) {
        let ready = visit.arrives.max(self.plan.shape.opens) + visit.first_thought;
        sleep_until((self.start + ready).into()).await;
        let mut has = None;
        for aim in &visit.aims {
            let mut tries = &aim.tries[..];
            if let (Wish::OneOfTwo, [one, other, rest @ ..]) = (aim.wish, tries) {
                sleep(one.thought).await;
                let (one, other) = tokio::join!(
                    self.click(student, *one, Wish::OneOfTwo, Some(other.section)),
                    self.click(student, *other, Wish::OneOfTwo, Some(one.section)),
                );
                has = has.or(one).or(other);
                tries = if one.is_some() || other.is_some() { &[] } else { rest };
            }
            let wish = if aim.wish == Wish::Forbidden { Wish::Forbidden } else { Wish::Seat };
            for one in tries {
                sleep(one.thought).await;
                if let Some(section) = self.click(student, *one, wish, None).await {
                    has = has.or(Some(section));
                    break;
                }
            }
        }
        if let (Some(after), Some(section)) = (visit.drops_after, has) {
            sleep(after).await;
            let one = Try { section, thought: Duration::ZERO, pressed_again: None };
            self.click(student, one, Wish::Drop, None).await;
        }
    }

    /// A click, pressed once or twice; the section, if the student has a seat in it now.
    async fn click(&self, student: Student, one: Try, wish: Wish, rival: Option<Section>) -> Option<Section> {
        let click = {
            let mut tally = self.tally();
            let (sent, heard) = (self.now(), Vec::new());
            let click = Click { student, section: one.section, wish, rival, sent, heard };
            tally.clicks.push(click);
            tally.clicks.len() - 1
        };
        let request = self.request(click, student, one.section, wish);
        let what = if wish == Wish::Drop { What::Drop } else { What::Enrol };
        let again = async {
            if let Some(after) = one.pressed_again {
                sleep(after).await;
                self.press(click, what, &request).await;
            }
        };
        tokio::join!(self.press(click, what, &request), again);
        let tally = self.tally();
        let enrolled = |(_, heard): &(Moment, Heard)| matches!(heard, Heard::Enrolled(_));
        tally.clicks[click].heard.iter().any(enrolled).then_some(one.section)
    }

    fn request(&self, click: usize, student: Student, section: Section, wish: Wish) -> Vec<u8> {
        let verb = if wish == Wish::Drop { "drop" } else { "enrol" };
        let (student, section) = (&self.students[student], &self.sections[section]);
        let (run, host) = (&self.run, &self.host);
        let body = format!("{{\"section\":\"{section}\"}}");
        format!(
            "POST /api/students/{student}/{verb} HTTP/1.1\r\nhost: {host}\r\nidempotency-key: {run}-{click}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    /// One press of the button: sent until it is answered.
    async fn press(&self, click: usize, what: What, request: &[u8]) {
        let (pressed, by) = (self.now(), Instant::now() + PATIENCE);
        self.tally().waiting += 1;
        let mut wait = RETRY.0;
        let mut waits = Waits::default();
        let heard = loop {
            let (after, cause) = match self.lines.call(request, by, &mut waits.stood, meaning).await {
                Ok(Meaning::Final(heard)) => break Some(heard),
                Ok(Meaning::Again(after, cause)) => (after, cause),
                Err(_) => {
                    wait = (wait * 2).min(RETRY.1);
                    (wait, "connection broke")
                }
            };
            // Those that are told the same time come back one after the other.
            let after = after + after.mul_f64((click % 64) as f64 / 256.0);
            if Instant::now() + after >= by {
                break None;
            }
            *self.tally().retries.entry(cause).or_default() += 1;
            waits.pause(after).await;
        };
        let answered = self.now();
        let mut tally = self.tally();
        tally.waiting -= 1;
        let Some(heard) = heard else { return };
        tally.timed.push(Timed { what, pressed, answered, waits });
        let first = tally.clicks[click].heard.is_empty();
        match &heard {
            Heard::Enrolled(_) if first => tally.enrolled.push(answered),
            Heard::SoldOut | Heard::NotEligible(_) if first => tally.refused += 1,
            Heard::Other(words) => {
                let text = format!("{} was answered {words}", self.words(&tally.clicks[click]));
                tally.example(text);
            }
            _ => {}
        }
        tally.clicks[click].heard.push((answered, heard));
    }

    fn words(&self, click: &Click) -> String {
        format!("{}'s click for {}", self.students[click.student], self.sections[click.section])
    }

    fn example(&self, text: String) {
        self.tally().example(text);
    }
}

impl Waits {
    /// Some time passes before it is sent again.
    async fn pause(&mut self, pause: Duration) {
        let from = Instant::now();
        sleep(pause).await;
        self.paused += from.elapsed();
        self.again += 1;
    }
}

impl Tally {
    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }
}
