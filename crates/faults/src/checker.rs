//! The checker of a total queue: reads a history and says what in it cannot be.
//!
//! Its rules hold whatever was killed, stopped or refused meanwhile. A call whose outcome is unknown may have been done or
//! not; nothing is concluded from it. Where an order in time is needed, only what is certain counts: a call has its effect
//! somewhere between ask and answer.
//!
//! | fault | what the history shows |
//! |---|---|
//! | lost | a job was accepted, and at the end it is not there |
//! | unfinished | the faults have ended, workers were there, and a job still has not ended |
//! | vanished | a job's end was acknowledged, and at the end the job is not completed, or not dead, as was said |
//! | made up | a job nobody asked for, or an end that no worker reported |
//! | refused and done | a job that was only ever refused is there all the same |
//! | altered | a payload, a name or an ordering key that is not what was sent |
//! | accepted twice | one job has two ids |
//! | id of two | one id was given to two jobs, told by an acceptance or a lease: the first of them is lost |
//! | two answers | one idempotency key was answered in two ways |
//! | delivered after end | a lease with a higher token than the one under which the job was completed or failed for good |
//! | settled twice | two ends of a job, or of a lease, were acknowledged; a completion may be said again under its token |
//! | reordered | within an ordering key: ids against the order of acceptance, or leases against that of ids |
//! | two leases | of one job or ordering key, at one moment |
//! | token fell | a token that is not higher than one that had been heard before it was asked for, or one given twice |
//! | too early | a delayed job was handed out before its time |
//! | no answer | something that no caller should hear |
//! | no audit | the history has no end, and so shows nothing |
//!
//! Left out: what an attempt's number or a retry's delay must be (`crates/core/tests`, the simulator).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::Serialize;
use tidegate::api::{refusal::Code, words::JobState};

use crate::history::{Answer, Ask, Event, How, Leased, Line, NewJob, place};

/// The server counts whole milliseconds; a lease may end so many microseconds before its time as seen from here.
const GRAIN_US: u64 = 5_000;

/// What a history shows.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// What cannot be.
    pub faults: Vec<Fault>,
    /// What was seen, so that a history in which nothing happened is told from one in which nothing went wrong.
    pub figures: Figures,
}

/// Something that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its kind.
    pub kind: Kind,
    /// The evidence, in words.
    pub what: String,
}

/// The kinds of faults; the table at the head of this file says what each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the table has them")]
pub enum Kind {
    Lost,
    Unfinished,
    Vanished,
    MadeUp,
    RefusedAndDone,
    Altered,
    AcceptedTwice,
    IdOfTwo,
    TwoAnswers,
    DeliveredAfterEnd,
    SettledTwice,
    Reordered,
    TwoLeases,
    TokenFell,
    TooEarly,
    NoAnswer,
    NoAudit,
}

/// Counts of what was seen.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Calls made.
    pub calls: u64,
    /// Calls of which nobody knows whether they were done.
    pub unknown: u64,
    /// Jobs whose acceptance was acknowledged.
    pub accepted: u64,
    /// Jobs whose acceptance is not known.
    pub accepted_perhaps: u64,
    /// Keys that were answered more than once.
    pub answered_again: u64,
    /// Jobs handed out, each as often as it was.
    pub leases: u64,
    /// Completions that were acknowledged.
    pub completed: u64,
    /// Jobs that died as their workers said.
    pub dead: u64,
    /// Refusals by name, of calls and of items.
    pub refused: BTreeMap<String, u64>,
    /// Why outcomes are unknown.
    pub unknown_by: BTreeMap<String, u64>,
}

/// Reads a history and says what in it cannot be.
pub fn check(lines: &[Line]) -> Verdict {
    let mut reading = Reading::default();
    for line in lines {
        reading.read(line);
    }
    reading.judge()
}

/// A call, as far as it is known.
struct Call<'a> {
    at: u64,
    ask: &'a Ask,
    answer: Option<(u64, &'a Answer)>,
    /// The highest token anybody had heard of when it was asked.
    token_heard: u64,
}

/// A lease that somebody heard of.
struct Lease<'a> {
    job: &'a Leased,
    who: &'a str,
    /// It began between these two.
    asked: u64,
    heard: u64,
    lease_ms: u64,
}

/// What was said about one lease.
#[derive(Default)]
struct Said {
    /// When its end was first asked for.
    end_asked: Option<u64>,
    /// When it lasts until, if extended.
    extended_to: u64,
    /// The end of it that was acknowledged. If several were, which cannot be, it is one that also ends the job.
    ended: Option<How>,
}

impl Said {
    /// How it ended the job, if it did.
    fn ended_job(&self) -> Option<How> {
        self.ended.filter(|&how| ends_job(how))
    }
}

/// A job by its name.
#[derive(Default)]
struct Wanted<'a> {
    job: Option<&'a NewJob>,
    first_asked: u64,
    ids: BTreeSet<&'a str>,
    /// Some call for it ended without saying whether it was done.
    perhaps: bool,
    acknowledged: bool,
}

#[derive(Default)]
struct Reading<'a> {
    calls: Vec<Call<'a>>,
    open: HashMap<(&'a str, u64), usize>,
    callers: Vec<&'a str>,
    token_heard: u64,
    clock_set: Vec<u64>,
    /// The names of the jobs that each id was given to, as acceptances and leases tell.
    names: HashMap<&'a str, BTreeSet<&'a str>>,
    found: Vec<(&'a str, JobState)>,
    audited: Option<(u64, u64, u64, u64)>,
    verdict: Verdict,
}

impl<'a> Reading<'a> {
    fn fault(&mut self, kind: Kind, what: impl fmt::Display) {
        self.verdict.faults.push(Fault { kind, what: what.to_string() });
    }

    /// Somebody heard that this job has this id. An id that is given again hides that its first job is gone: it is there, and
    /// completed, and is another one.
    fn heard_of(&mut self, id: &'a str, name: &'a str) {
        let names = self.names.entry(id).or_default();
        if names.insert(name) && names.len() > 1 {
            let what = format!("{id} is of {names:?}");
            self.fault(Kind::IdOfTwo, what);
        }
    }

    fn read(&mut self, line: &'a Line) {
        match &line.event {
            Event::Ask { call, ask } => {
                self.open.insert((&line.who, *call), self.calls.len());
                let token_heard = self.token_heard;
                self.calls.push(Call { at: line.at, ask, answer: None, token_heard });
                self.callers.push(&line.who);
            }
            Event::Answer { call, answer } => {
                let Some(index) = self.open.remove(&(line.who.as_str(), *call)) else {
                    return self
                        .fault(Kind::NoAnswer, format_args!("{} hears what it never asked", line.who));
                };
                self.calls[index].answer = Some((line.at, answer));
                if let Answer::Leased(jobs) = answer {
                    let highest = jobs.iter().map(|job| job.token).max().unwrap_or(0);
                    self.token_heard = self.token_heard.max(highest);
                }
            }
            Event::Note(_) => {}
            Event::ClockSet => self.clock_set.push(line.at),
            Event::Found { id, state } => self.found.push((id, *state)),
            Event::Audited { completed, dead, cancelled, unfinished } => {
                self.audited = Some((*completed, *dead, *cancelled, *unfinished));
            }
        }
    }

    fn judge(mut self) -> Verdict {
        let calls = std::mem::take(&mut self.calls);
        self.count(&calls);
        let mut wanted = self.acceptance(&calls);
        let leases = self.leases(&calls, &mut wanted);
        let said = self.settlements(&calls);
        self.tokens(&calls);
        self.after_end(&leases, &said);
        self.order(&leases, &calls);
        self.exclusion(&leases, &said);
        self.end(&wanted, &said, &calls);
        self.verdict.figures.accepted = wanted.values().filter(|job| job.acknowledged).count() as u64;
        self.verdict.figures.accepted_perhaps =
            wanted.values().filter(|job| !job.acknowledged && job.perhaps).count() as u64;
        self.verdict
    }

    /// Counts, and refuses what no caller should hear.
    fn count(&mut self, calls: &[Call<'a>]) {
        let mut refused: BTreeMap<String, u64> = BTreeMap::new();
        let mut unknown_by: BTreeMap<String, u64> = BTreeMap::new();
        for (call, who) in calls.iter().zip(self.callers.clone()) {
            let codes: Vec<Code> = match call.answer.map(|(_, answer)| answer) {
                Some(Answer::Refused(code)) => vec![*code],
                Some(Answer::Enqueued(results)) => {
                    results.iter().filter_map(|item| item.as_ref().err().copied()).collect()
                }
                Some(Answer::Settled(results)) => results.iter().filter_map(|item| item.err()).collect(),
                Some(Answer::Unreadable(why)) => {
                    self.fault(Kind::NoAnswer, format_args!("{who} heard: {why}"));
                    vec![]
                }
                Some(Answer::Unknown(why)) => {
                    *unknown_by.entry(why.clone()).or_default() += 1;
                    vec![]
                }
                Some(Answer::Leased(_)) => vec![],
                None => {
                    *unknown_by.entry("caller killed".into()).or_default() += 1;
                    vec![]
                }
            };
            for code in codes {
                *refused.entry(code.to_string()).or_default() += 1;
                if matches!(code, Code::Internal | Code::Unknown) || code.status() == 400 {
                    self.fault(Kind::NoAnswer, format_args!("{who} was refused as {code}"));
                }
            }
            let (asked, answered) = match (call.ask, call.answer.map(|(_, answer)| answer)) {
                (Ask::Enqueue { jobs, .. }, Some(Answer::Enqueued(results))) => (jobs.len(), results.len()),
                (Ask::Settle(items), Some(Answer::Settled(results))) => (items.len(), results.len()),
                _ => continue,
            };
            if asked != answered {
                self.fault(
                    Kind::NoAnswer,
                    format_args!("{who} said {asked} things and heard {answered} answers"),
                );
            }
        }
        let figures = &mut self.verdict.figures;
        figures.calls = calls.len() as u64;
        figures.unknown = unknown_by.values().sum();
        (figures.refused, figures.unknown_by) = (refused, unknown_by);
    }

    /// What was to be accepted: one name, one id; one key, one answer.
    fn acceptance(&mut self, calls: &[Call<'a>]) -> HashMap<&'a str, Wanted<'a>> {
        let mut wanted: HashMap<&str, Wanted<'_>> = HashMap::new();
        let mut answers: HashMap<&str, &Vec<Result<String, Code>>> = HashMap::new();
        let mut again = HashSet::new();
        for call in calls {
            let Ask::Enqueue { key, once, jobs } = call.ask else { continue };
            for job in jobs {
                let entry = wanted.entry(&job.name).or_default();
                if entry.job.is_none() {
                    (entry.job, entry.first_asked) = (Some(job), call.at);
                }
                entry.perhaps |= match call.answer.map(|(_, answer)| answer) {
                    None | Some(Answer::Unknown(_) | Answer::Unreadable(_)) => true,
                    // Behind it there may be tries of which nothing was heard.
                    Some(Answer::Refused(_)) => !once,
                    Some(_) => false,
                };
            }
            let Some((_, answer)) = call.answer else { continue };
            let results = match answer {
                Answer::Enqueued(results) => results,
                Answer::Refused(code) if answers.contains_key(key.as_str()) && !is_passing(*code) => {
                    self.fault(
                        Kind::TwoAnswers,
                        format_args!("key {key} was answered, and then refused: {code}"),
                    );
                    continue;
                }
                _ => continue,
            };
            for (job, result) in jobs.iter().zip(results) {
                if let Ok(id) = result {
                    let entry = wanted.get_mut(job.name.as_str()).expect("it was entered above");
                    entry.ids.insert(id);
                    entry.acknowledged = true;
                    self.heard_of(id, &job.name);
                }
            }
            match answers.insert(key, results) {
                // What was refused may be accepted later; what was accepted stays so, under its id.
                Some(before) if before.iter().zip(results).any(|(then, now)| then.is_ok() && then != now) => {
                    self.fault(Kind::TwoAnswers, format_args!("key {key}: {before:?}, then {results:?}"));
                }
                Some(_) => drop(again.insert(key)),
                None => {}
            }
        }
        self.verdict.figures.answered_again = again.len() as u64;
        wanted
    }

    /// Every lease that was heard of, and whether it is of a job that somebody wanted.
    fn leases(&mut self, calls: &[Call<'a>], wanted: &mut HashMap<&'a str, Wanted<'a>>) -> Vec<Lease<'a>> {
        let mut leases = Vec::new();
        for (call, who) in calls.iter().zip(self.callers.clone()) {
            let (Ask::Lease { lease_ms }, Some((heard, Answer::Leased(jobs)))) = (call.ask, call.answer)
            else {
                continue;
            };
            for job in jobs {
                leases.push(Lease { job, who, asked: call.at, heard, lease_ms: *lease_ms });
                let Some(name) = &job.name else {
                    self.fault(Kind::Altered, format_args!("{} came with a payload nobody can read", job.id));
                    continue;
                };
                let Some(known) = wanted.get_mut(name.as_str()) else {
                    self.fault(Kind::MadeUp, format_args!("{} is {name}, and nobody asked for it", job.id));
                    continue;
                };
                known.ids.insert(&job.id);
                self.heard_of(&job.id, name);
                let Some(sent) = known.job else { continue };
                let early = self.clock_set.iter().all(|&set| !(known.first_asked..=heard).contains(&set))
                    && heard + GRAIN_US < known.first_asked + sent.delay_ms * 1_000;
                if sent.digest != job.digest || sent.ordering_key != job.ordering_key {
                    self.fault(Kind::Altered, format_args!("{} ({name}) is not what was sent", job.id));
                }
                if early {
                    let ms = (heard - known.first_asked) / 1_000;
                    self.fault(
                        Kind::TooEarly,
                        format_args!("{name} came after {ms} ms, not {} ms", sent.delay_ms),
                    );
                }
            }
        }
        self.verdict.figures.leases = leases.len() as u64;
        leases
    }

    /// What was said about each lease, and that at most one end of it was heard.
    fn settlements(&mut self, calls: &[Call<'a>]) -> BTreeMap<(&'a str, u64), Said> {
        let mut said: BTreeMap<(&str, u64), Said> = BTreeMap::new();
        for call in calls {
            let Ask::Settle(items) = call.ask else { continue };
            for (index, item) in items.iter().enumerate() {
                let taken = match call.answer {
                    Some((_, Answer::Settled(results))) => results.get(index).is_some_and(Result::is_ok),
                    _ => false,
                };
                let entry = said.entry((&item.id, item.token)).or_default();
                if let How::Extend(lease_ms) = item.how {
                    if taken {
                        entry.extended_to = entry.extended_to.max(call.at + lease_ms * 1_000);
                    }
                    continue;
                }
                entry.end_asked = Some(entry.end_asked.map_or(call.at, |before| before.min(call.at)));
                if !taken {
                    continue;
                }
                let before = entry.ended;
                if !before.is_some_and(ends_job) {
                    entry.ended = Some(item.how);
                }
                // Only a completion may be said again: the others have keys, and a second call has another one.
                if let Some(before) =
                    before.filter(|&before| (before, item.how) != (How::Complete, How::Complete))
                {
                    let (id, token, how) = (&item.id, item.token, item.how);
                    self.fault(
                        Kind::SettledTwice,
                        format_args!("{id} under {token} ended by {before:?}, and by {how:?}"),
                    );
                }
            }
        }
        said
    }

    /// Tokens rise: a lease has a higher one than all that were heard of before it was asked for.
    fn tokens(&mut self, calls: &[Call<'a>]) {
        let mut given: HashMap<u64, &str> = HashMap::new();
        for call in calls {
            let Some((_, Answer::Leased(jobs))) = call.answer else { continue };
            for job in jobs {
                if job.token <= call.token_heard {
                    let (id, token, before) = (&job.id, job.token, call.token_heard);
                    self.fault(Kind::TokenFell, format_args!("{id} has token {token}, after {before}"));
                }
                if let Some(other) = given.insert(job.token, &job.id) {
                    let token = job.token;
                    self.fault(
                        Kind::TokenFell,
                        format_args!("token {token} is of {other} and of {}", job.id),
                    );
                }
            }
        }
    }

    /// A job that was completed or failed for good is never handed out again, and ended by one lease.
    fn after_end(&mut self, leases: &[Lease<'a>], said: &BTreeMap<(&'a str, u64), Said>) {
        // The first end is the one after which nothing may come; tokens come in their order.
        let mut ended: BTreeMap<&str, (u64, How)> = BTreeMap::new();
        for (&(id, token), said) in said {
            let Some(how) = said.ended_job() else { continue };
            if let Some((first, by)) = ended.get(id) {
                self.fault(
                    Kind::SettledTwice,
                    format_args!("{id} ended by {by:?} under {first}, and by {how:?} under {token}"),
                );
            } else {
                ended.insert(id, (token, how));
            }
        }
        for lease in leases {
            let (id, token) = (lease.job.id.as_str(), lease.job.token);
            if let Some((last, how)) = ended.get(id).filter(|&&(last, _)| token > last) {
                let who = lease.who;
                self.fault(
                    Kind::DeliveredAfterEnd,
                    format_args!("{id} ended by {how:?} under {last}, and {who} got it under {token}"),
                );
            }
        }
        let completed = ended.values().filter(|&&(_, how)| how == How::Complete);
        self.verdict.figures.completed = completed.count() as u64;
    }

    /// Within an ordering key, ids follow the order of acceptance and leases follow that of ids.
    fn order(&mut self, leases: &[Lease<'a>], calls: &[Call<'a>]) {
        // Acceptance: what was answered before the next was asked has a lower id; so has what stands before it in a list.
        let mut accepted: HashMap<&str, Vec<(u64, u64, &str)>> = HashMap::new();
        let mut seen = HashSet::new();
        for call in calls {
            let (Ask::Enqueue { jobs, .. }, Some((heard, Answer::Enqueued(results)))) =
                (call.ask, call.answer)
            else {
                continue;
            };
            let mut before: HashMap<&str, &str> = HashMap::new();
            for (job, result) in jobs.iter().zip(results) {
                let (Some(key), Ok(id)) = (&job.ordering_key, result) else { continue };
                if let Some(before) = before.insert(key, id).filter(|before| place(before) >= place(id)) {
                    self.fault(Kind::Reordered, format_args!("{key}: {before} stood before {id} in a list"));
                }
                // A key's first answer counts: by a later one it may have been accepted long ago.
                if seen.insert((&job.name, id)) {
                    accepted.entry(key).or_default().push((call.at, heard, id));
                }
            }
        }
        for (key, mut of_key) in accepted {
            of_key.sort_by_key(|&(asked, ..)| asked);
            // The latest id among those heard of before an ask: in the order of hearing, beside the order of asking.
            let mut heard: Vec<(u64, &str)> = of_key.iter().map(|&(_, heard, id)| (heard, id)).collect();
            heard.sort_unstable_by_key(|&(heard, _)| heard);
            let (mut next, mut latest) = (0, None);
            for (asked, _, id) in of_key {
                while let Some(&(_, id)) = heard.get(next).filter(|&&(heard, _)| heard < asked) {
                    latest = latest.max(place(id));
                    next += 1;
                }
                if latest >= place(id) && latest.is_some() {
                    self.fault(Kind::Reordered, format_args!("{key}: {id} was accepted after {latest:?}"));
                }
            }
        }
        let mut of_key: BTreeMap<&str, Vec<&Leased>> = BTreeMap::new();
        for lease in leases {
            if let Some(key) = &lease.job.ordering_key {
                of_key.entry(key).or_default().push(lease.job);
            }
        }
        for (key, mut jobs) in of_key {
            jobs.sort_by_key(|job| job.token);
            for pair in jobs.windows(2) {
                let (first, second) = (pair[0], pair[1]);
                if place(&first.id) > place(&second.id) {
                    self.fault(
                        Kind::Reordered,
                        format_args!(
                            "{key}: {} under {}, and then {} under {}",
                            first.id, first.token, second.id, second.token
                        ),
                    );
                }
            }
        }
    }

    /// No two leases of one job, or of one ordering key, are certain to stand at one moment.
    fn exclusion(&mut self, leases: &[Lease<'a>], said: &BTreeMap<(&'a str, u64), Said>) {
        let mut of_one: BTreeMap<&str, Vec<(u64, u64, &Lease<'_>)>> = BTreeMap::new();
        for lease in leases {
            let said = said.get(&(lease.job.id.as_str(), lease.job.token));
            let lasts = (lease.asked + lease.lease_ms * 1_000).max(said.map_or(0, |said| said.extended_to));
            let set = self.clock_set.iter().find(|&&set| set > lease.asked).copied();
            let end = lasts
                .saturating_sub(GRAIN_US)
                .min(said.and_then(|said| said.end_asked).unwrap_or(u64::MAX))
                .min(set.unwrap_or(u64::MAX));
            if lease.heard < end {
                let name = lease.job.ordering_key.as_deref().unwrap_or(&lease.job.id);
                of_one.entry(name).or_default().push((lease.heard, end, lease));
            }
        }
        for (name, mut stand) in of_one {
            stand.sort_by_key(|&(from, ..)| from);
            for pair in stand.windows(2) {
                let ((_, until, first), (from, _, second)) = (&pair[0], &pair[1]);
                if from < until {
                    let (one, other) = (first.job, second.job);
                    self.fault(
                        Kind::TwoLeases,
                        format_args!(
                            "{name}: {} under {} with {}, and {} under {} with {}, {} ms long",
                            one.id,
                            one.token,
                            first.who,
                            other.id,
                            other.token,
                            second.who,
                            (until - from) / 1_000
                        ),
                    );
                }
            }
        }
    }

    /// What is there at the end is what must be.
    fn end(
        &mut self,
        wanted: &HashMap<&'a str, Wanted<'a>>,
        said: &BTreeMap<(&'a str, u64), Said>,
        calls: &[Call<'a>],
    ) {
        let Some(audited) = self.audited else {
            return self.fault(Kind::NoAudit, "nobody looked what is there at the end");
        };
        let mut ended: HashMap<&str, How> = HashMap::new();
        for call in calls {
            let Ask::Settle(items) = call.ask else { continue };
            for item in items {
                // A job that may have been given up for good may be dead; only one that nobody completed cannot be completed.
                if ends_job(item.how) {
                    ended
                        .entry(&item.id)
                        .and_modify(|how| *how = if *how == item.how { *how } else { How::Extend(0) })
                        .or_insert(item.how);
                }
            }
        }
        let found = std::mem::take(&mut self.found);
        let mut states: HashMap<&str, JobState> = HashMap::new();
        let known: HashSet<&str> = wanted.values().flat_map(|job| job.ids.iter().copied()).collect();
        let mut counted = (0, 0, 0, 0);
        for (id, state) in found {
            if states.insert(id, state).is_some() {
                self.fault(Kind::MadeUp, format_args!("{id} is there twice at the end"));
            }
            // Who was told of an acceptance or got a lease knows the job by its id, and it must have had a lease to end.
            if !known.contains(id) {
                self.fault(Kind::MadeUp, format_args!("{id} is there, and nobody knows of it"));
            }
            let by = ended.get(id);
            match state {
                JobState::Completed => {
                    counted.0 += 1;
                    if !matches!(by, Some(How::Complete | How::Extend(_))) {
                        self.fault(Kind::MadeUp, format_args!("{id} is completed, and no worker said so"));
                    }
                }
                JobState::Dead => {
                    counted.1 += 1;
                    self.verdict.figures.dead += 1;
                    if !matches!(by, Some(How::Fatal | How::Extend(_))) {
                        self.fault(Kind::MadeUp, format_args!("{id} is dead, and no worker said so"));
                    }
                }
                JobState::Cancelled => {
                    counted.2 += 1;
                    self.fault(Kind::MadeUp, format_args!("{id} is cancelled, and nobody said so"));
                }
                JobState::Scheduled | JobState::Ready | JobState::Leased => {
                    counted.3 += 1;
                    self.fault(Kind::Unfinished, format_args!("{id} is {state}"));
                }
            }
        }
        if counted != audited {
            let what = format!(
                "counted {audited:?} (completed, dead, cancelled, unfinished) and listed {counted:?}"
            );
            self.fault(Kind::MadeUp, what);
        }
        for (name, job) in wanted {
            let ids = &job.ids;
            if ids.len() > 1 {
                self.fault(Kind::AcceptedTwice, format_args!("{name} is {ids:?}"));
            }
            if job.acknowledged && !job.ids.iter().any(|id| states.contains_key(id)) {
                self.fault(Kind::Lost, format_args!("{name} was accepted as {:?} and is not there", job.ids));
            }
            if !job.acknowledged && !job.perhaps && !ids.is_empty() {
                self.fault(Kind::RefusedAndDone, format_args!("{name} was refused and is {ids:?}"));
            }
        }
        for (&(id, token), said) in said {
            let (how, state) = match said.ended_job() {
                Some(How::Complete) => (How::Complete, JobState::Completed),
                Some(how) => (how, JobState::Dead),
                None => continue,
            };
            match states.get(id) {
                Some(found) if *found == state => {}
                Some(found) => self.fault(
                    Kind::Vanished,
                    format_args!("{id} ended by {how:?} under {token} and is {found}"),
                ),
                None => self.fault(
                    Kind::Vanished,
                    format_args!("{id} ended by {how:?} under {token} and is not there"),
                ),
            }
        }
    }
}

/// Whether it ends the job, and not only the lease.
fn ends_job(how: How) -> bool {
    matches!(how, How::Complete | How::Fatal)
}

/// Refusals that say nothing about the request: it may come again, and may have been done before.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::InboxFull
            | Code::Unavailable
            | Code::ShuttingDown
            | Code::TooManyConnections
            | Code::BodyTimeout
            | Code::NotReady
    )
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = serde_json::to_value(self.kind).expect("a kind is JSON");
        write!(f, "{}: {}", kind.as_str().unwrap_or_default().replace('_', " "), self.what)
    }
}
