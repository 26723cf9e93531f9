//! Seats in Tidegate's pools: an enrolment is one transaction, and so one record in one log.
//!
//! ```text
//!   if   the student has none of the sections of the same course or at the same hours   (has_none)
//!        and fewer credits than would be too many with this section                     (units_below)
//!   do   take the section's seat, and enqueue mail, record and fee                      (take, 3 × enqueue)
//! ```
//!
//! All of it happens or nothing, judged at one moment by the one writer of the shard, and the client's key is kept with
//! it. There is no lock, no second read, and no moment in between.
//!
//! **A seat is as many units as the section has credits.** So a student's units over all sections are the student's credits,
//! and the credit limit is the condition "fewer units than …" on them; a count of seats would need a second thing to be
//! kept in step. A section of 30 seats and 3 credits is a pool of 90 units of which everybody takes 3, and everything
//! that is shown is divided by 3 here.
//!
//! **A drop** gives the grant back and enqueues the undoing. It names the grant, which the student does not know; it is found
//! in the student's story, also after it has ended, so that the same press said again is the same request.
//!
//! **A seat kept for somebody in line** counts: for its hours, its course and its credits. Accepting it is an enrolment like
//! any other, under the same conditions. Nothing was written for it, so nothing is undone when it is given back, and in a swap it
//! is declined and the wanted seat taken. Both hold only while it is kept: what gives it back names the version of its pool
//! that was seen with it, so that it is never given back as a seat that was accepted in between.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tidegate::api::dead::RedriveRequest;
use tidegate::api::id::{GrantId, JobId};
use tidegate::api::job::Job;
use tidegate::api::pool::condition::{Condition, UnitsBelow};
use tidegate::api::pool::config::PoolConfig;
use tidegate::api::pool::grant::Grant;
use tidegate::api::pool::holder::{HolderStory, StoryEntry};
use tidegate::api::pool::request::{ExtendGrant, Leave, PoolRequest, Swap};
use tidegate::api::pool::view::Pool;
use tidegate::api::query::JobsQuery;
use tidegate::api::refusal::Code;
use tidegate::api::time::Timestamp;
use tidegate::api::transaction::OperationResult;
use tidegate::api::words::{Asked, GrantState, Happened, JobState, Opening, PoolState};
use tidegate::{Client, PoolWatch, Transaction};
use tokio::sync::Mutex;

use super::{
    Backlog, Door, Dropped, Enrolled, Enrolment, Event, Free, Joined, Lost, LostWhat, Moment, Offer, Place,
    Refused, Seats, Step, StepState, Story, Strategy, SwapWish, Swapped, Why, Wish,
};
use crate::catalogue::{Catalogue, Section, SectionId, Student, StudentId};
use crate::chain::{self, Entry, PLACE, pool_of, section_of};
use crate::downstream::System;
use crate::eligibility::{Ineligible, judge_alone};

/// Pools that one condition may name.
const CONDITION_POOLS_MAX: usize = 100;
/// Pools that one reading, or one watcher, may name.
const NAMED_MAX: usize = 1_000;
/// How often a kept seat is looked at again that is to be given back, when its section changed between looking and giving.
const KEPT_ROUNDS: u32 = 32;
/// The shortest time that a hold can be asked to last.
const HOLD_MS_MIN: u64 = 1_000;
/// How often an opening is set anew over a section that changed between looking and setting.
const OPENING_ROUNDS: usize = 16;
/// How often a swap that waits looks again, when the section changed between looking and waiting.
const SWAP_ROUNDS: u32 = 8;
/// Students asked about at once, for the audit.
const ASKED_AT_ONCE: usize = 64;
/// Jobs that one page of a listing has.
const PAGE: u32 = 1_000;

/// How sections are made at the first start.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// When they open; from the start if none.
    pub opens_at: Option<Moment>,
    /// Whether the order of those who come before is drawn.
    pub shuffle: bool,
    /// How long an offer stands.
    pub offer: Duration,
    /// How many may wait for a section.
    pub waitlist_max: u32,
}

/// The sections' pools.
#[derive(Debug)]
pub struct TidegateSeats {
    client: Client,
    catalogue: Arc<Catalogue>,
    pools: Vec<String>,
    /// Hears of changes; none where there are more pools than one watcher may name.
    watch: Option<Mutex<PoolWatch>>,
}

impl TidegateSeats {
    /// The seats of a catalogue. Pools that there are not yet are made, within `client`'s own patience; those that there are stay
    /// as they are. From then on a call has `patience`.
    ///
    /// # Errors
    /// The engine is away, or has no room.
    pub async fn open(
        client: Client,
        catalogue: Arc<Catalogue>,
        setup: Setup,
        patience: Duration,
    ) -> Result<Self, tidegate::Error> {
        let pools: Vec<_> = catalogue.sections().iter().map(|section| pool_of(&section.id)).collect();
        let in_time = client.with_deadline(patience);
        let watch = match pools.len() <= NAMED_MAX {
            true => Some(Mutex::new(in_time.watch_pools(pools.iter().map(String::as_str))?)),
            false => None,
        };
        let mut seats = Self { client, catalogue, pools, watch };
        let there: Vec<String> = seats.seen(&seats.pools).await?.into_iter().map(|pool| pool.name).collect();
        seats.make(setup, |pool| !there.contains(pool)).await?;
        seats.client = in_time;
        Ok(seats)
    }

    /// Makes the sections' pools that are missing, as far as is known; those that there are stay as they are all the same.
    async fn make(&self, setup: Setup, is_missing: impl Fn(&String) -> bool) -> Result<(), tidegate::Error> {
        let sections = self.catalogue.sections().iter().zip(&self.pools);
        let missing = sections.filter(|(_, pool)| is_missing(pool)).map(|(section, pool)| {
            let config = config(section, setup).if_version(0);
            let pool = self.client.pool(pool);
            async move {
                match pool.configure(&config).await {
                    // It is there by now: another portal was faster, or it was not to be seen for a moment.
                    Err(error) if error.code() == Some(Code::VersionChanged) => Ok(()),
                    made => made.map(drop),
                }
            }
        });
        stream::iter(missing).buffer_unordered(ASKED_AT_ONCE).try_collect::<()>().await
    }

    /// How pools stand, in whatever order; those that there are not are left out.
    async fn seen(&self, names: &[String]) -> Result<Vec<Pool>, tidegate::Error> {
        let mut seen = Vec::with_capacity(names.len());
        for names in names.chunks(NAMED_MAX) {
            seen.extend(self.client.pools(names.iter().map(String::as_str)).await?.pools);
        }
        Ok(seen)
    }

    fn known(&self, student: &StudentId, section: &SectionId) -> Result<(&Student, &Section), Refused> {
        let student = self.catalogue.student(student).ok_or_else(|| Refused::of(Why::NoStudent))?;
        let section = self.catalogue.section(section).ok_or_else(|| Refused::of(Why::NoSection))?;
        Ok((student, section))
    }

    /// Under the conditions of the university's rules: what the student may have beside `section`, when `gives` is given
    /// for it. `holds` is whether a seat of it is kept for the student, which counts already.
    fn within_the_rules(
        &self,
        transaction: Transaction,
        student: &Student,
        section: &Section,
        gives: Option<&Section>,
        holds: bool,
    ) -> Transaction {
        let own = (!holds).then_some(section);
        let excluded: Vec<String> = own
            .into_iter()
            .chain(self.catalogue.excluded_by(&section.id))
            .filter(|other| gives.is_none_or(|gives| gives.id != other.id))
            .map(|other| pool_of(&other.id))
            .collect();
        let mut transaction = transaction;
        for pools in excluded.chunks(CONDITION_POOLS_MAX) {
            transaction =
                transaction.when(Condition::has_none(student.id.as_str(), pools.iter().map(String::as_str)));
        }
        let counted = if holds { 0 } else { section.credits };
        let given = gives.map_or(0, |gives| gives.credits);
        let too_many = u64::from((student.credits_max + given + 1).saturating_sub(counted));
        transaction.when(Condition::UnitsBelow(UnitsBelow {
            holder: student.id.to_string().into(),
            units: too_many,
            place: Some(PLACE.into()),
        }))
    }

    fn with_writes(&self, transaction: Transaction, wish: &Wish) -> Transaction {
        let entry = Entry::of(&self.catalogue, &wish.student, &wish.section, key_of(wish));
        chain::writes(&self.client, &entry).into_iter().fold(transaction, Transaction::enqueue)
    }

    fn refused(&self, error: &tidegate::Error, student: &Student, wanted: &Section) -> Refused {
        // A server that is stopping does not say whether it was done.
        let Some(refusal) = error.refusal().filter(|refusal| refusal.code.status() < 500) else {
            return away(error);
        };
        let number = || refusal.value.as_ref().and_then(serde_json::Value::as_u64).unwrap_or(0);
        let seats = |units: u64| (units / u64::from(wanted.credits)) as u32;
        let mut version = refusal.version;
        let why = match refusal.code.as_str() {
            "sold_out" | "quota_full" => Why::SoldOut,
            "not_open" => Why::NotOpen(refusal.opens_at.map_or(0, Timestamp::unix_ms)),
            "closed" => Why::Closed(moment_of(refusal.value.as_ref())),
            "has_pool" => {
                let pool = refusal.value.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
                // The version is that pool's, which says nothing about another.
                version = version.filter(|_| pool == pool_of(&wanted.id));
                Why::Ineligible(self.broken(wanted, section_of(pool)))
            }
            "units_reached" => Why::Ineligible(Ineligible::Credits {
                have: number() as u32,
                wants: wanted.credits,
                max: student.credits_max,
            }),
            "limit_reached" => Why::AlreadyWaiting,
            "already_waiting" => Why::AlreadyWaiting,
            "not_waiting" => Why::NotWaiting,
            "waitlist_full" => Why::WaitlistFull(number() as u32),
            "waitlist_off" => Why::NoWaitlist,
            "pool_not_found" => Why::NoSection,
            "grant_unknown" | "grant_ended" => Why::NotEnrolled,
            "hold_lapsed" => Why::OfferLapsed,
            "not_held" => Why::Ineligible(Ineligible::HasSection),
            "below_granted" => Why::BelowGranted(seats(number())),
            "idempotency_mismatch" => Why::KeyReused,
            "same_pool" => Why::SameSection,
            "version_changed" | "lacks_pool" | "job_state_changed" => Why::Changed,
            _ if error.is_temporary() => Why::Busy(refusal.to_string()),
            _ => Why::EngineRefused(refusal.to_string()),
        };
        Refused { why, version }
    }

    /// The rule that forbids `wanted` beside `has`.
    fn broken(&self, wanted: &Section, has: SectionId) -> Ineligible {
        match self.catalogue.section(&has) {
            _ if has == wanted.id => Ineligible::HasSection,
            Some(other) if other.course != wanted.course => match wanted.clash(other) {
                Some((meeting, _)) => Ineligible::Clash { section: has, meeting },
                None => Ineligible::SameCourse { section: has },
            },
            _ => Ineligible::SameCourse { section: has },
        }
    }

    async fn story(&self, student: &StudentId) -> Result<HolderStory, Refused> {
        self.client.holder(student.as_str()).await.map_err(|error| away(&error))
    }

    /// The student's grants of a section: the one that is, then those that were and are remembered, the latest first.
    fn grants_of(story: &HolderStory, section: &SectionId) -> Vec<GrantId> {
        let pool = pool_of(section);
        let now = story.grants.iter().filter(|grant| grant.pool == pool).map(|grant| grant.id);
        let before = story.story.iter().rev().filter(|entry| entry.pool.as_ref() == Some(&pool));
        let mut grants: Vec<GrantId> = Vec::new();
        for id in now.chain(before.filter_map(|entry| entry.grant)) {
            if !grants.contains(&id) {
                grants.push(id);
            }
        }
        grants
    }

    fn enrolled(&self, wish: &Wish, grant: &Grant) -> Enrolled {
        let enrolment = Enrolment {
            id: grant.id.to_string(),
            student: wish.student.clone(),
            section: wish.section.clone(),
            fence: grant.fence,
            since: grant.granted_at.map_or_else(crate::downstream::now, Timestamp::unix_ms),
        };
        Enrolled { enrolment, version: grant.version }
    }
}

impl Seats for TidegateSeats {
    fn strategy(&self) -> Strategy {
        Strategy::Tidegate
    }

    async fn enrol(&self, wish: &Wish) -> Result<Enrolled, Refused> {
        let (student, section) = self.known(&wish.student, &wish.section)?;
        judge_alone(&self.catalogue, student, section).map_err(|rule| Refused::of(Why::Ineligible(rule)))?;
        let seat = self.client.pool(pool_of(&section.id)).take(student.id.as_str()).units(section.credits);
        let transaction = self.within_the_rules(self.client.transaction(), student, section, None, false);
        let transaction = self.with_writes(transaction.take(seat), wish).idempotency_key(key_of(wish));
        let done = transaction.commit().await.map_err(|error| self.refused(&error, student, section))?;
        let grant = done.iter().find_map(|result| result.grant()).expect("a seat that was taken is a grant");
        Ok(self.enrolled(wish, grant))
    }

    async fn drop_seat(&self, wish: &Wish) -> Result<Dropped, Refused> {
        let (student, section) = self.known(&wish.student, &wish.section)?;
        let story = self.story(&wish.student).await?;
        let held = |grant: &&Grant| grant.state == GrantState::Held;
        let offers: Vec<GrantId> = story.grants.iter().filter(held).map(|grant| grant.id).collect();
        let mut refused = Refused::of(Why::NotEnrolled);
        for id in Self::grants_of(&story, &section.id).into_iter().filter(|id| !offers.contains(id)) {
            let transaction = self
                .client
                .transaction()
                .release(id)
                .enqueue(chain::undo(&self.client, &student.id, &section.id))
                .idempotency_key(key_of(wish));
            match transaction.commit().await {
                Ok(done) => {
                    let version = done.iter().find_map(|result| result.grant()?.version);
                    return Ok(Dropped { enrolment: id.to_string(), section: section.id.clone(), version });
                }
                Err(error) => refused = self.refused(&error, student, section),
            }
            // The key was for another grant: an earlier one of this section, perhaps.
            if refused.why != Why::KeyReused {
                break;
            }
        }
        Err(refused)
    }

    async fn swap(&self, wish: &SwapWish) -> Result<Swapped, Refused> {
        let (student, want) = self.known(&wish.student, &wish.want)?;
        let (_, give) = self.known(&wish.student, &wish.give)?;
        if give.id == want.id {
            return Err(Refused::of(Why::SameSection));
        }
        judge_alone(&self.catalogue, student, want).map_err(|rule| Refused::of(Why::Ineligible(rule)))?;
        let story = self.story(&wish.student).await?;
        let mut refused = Refused::of(Why::NothingToGive(give.id.clone()));
        for id in Self::grants_of(&story, &give.id) {
            // The same press said again finds what it did then, whatever has become of the grant since.
            let was_kept = is_or_was_kept(&story, id);
            for as_kept in [was_kept, !was_kept] {
                let swapped = match as_kept {
                    true => self.swap_kept(wish, student, id, give, want).await,
                    false => self.swap_grant(wish, student, id, give, want).await,
                };
                match swapped {
                    Err(Refused { why: Why::KeyReused, version }) => {
                        refused = Refused { why: Why::KeyReused, version }
                    }
                    // It is the old seat that is not there, or no more; and the version is its section's.
                    Err(Refused { why: Why::NotEnrolled | Why::OfferLapsed, .. }) => {
                        return Err(Refused::of(Why::NothingToGive(give.id.clone())));
                    }
                    done => return done,
                }
            }
        }
        Err(refused)
    }

    async fn join(&self, wish: &Wish) -> Result<Joined, Refused> {
        let (student, section) = self.known(&wish.student, &wish.section)?;
        judge_alone(&self.catalogue, student, section).map_err(|rule| Refused::of(Why::Ineligible(rule)))?;
        // Hours and credits are judged when the offer is accepted: by then the student may have dropped something. Who has another
        // section of the course waits with a swap, which gives that one up: an offer could not be accepted beside it.
        let pool = pool_of(&section.id);
        let siblings = self.catalogue.siblings(section).map(|other| pool_of(&other.id));
        let none_of: Vec<String> = std::iter::once(pool.clone()).chain(siblings).collect();
        let place = self.client.pool(&pool).join(student.id.as_str()).units(section.credits);
        let transaction = self
            .client
            .transaction()
            .when(Condition::has_none(student.id.as_str(), none_of))
            .join(place)
            .idempotency_key(key_of(wish));
        let done = transaction.commit().await.map_err(|error| self.refused(&error, student, section))?;
        let offer = done.iter().find_map(|result| result.grant());
        if let Some(grant) = offer {
            let until = grant.expires_at.map_or(0, Timestamp::unix_ms);
            return Ok(Joined::Offered(Offer { section: section.id.clone(), until, gives: None }));
        }
        let waiting = done.iter().find_map(|result| result.waiting()).expect("who joins is offered or waits");
        Ok(Joined::Waits(Place {
            section: section.id.clone(),
            ahead: waiting.ahead,
            since: None,
            gives: None,
        }))
    }

    async fn leave(&self, wish: &Wish) -> Result<(), Refused> {
        let (student, section) = self.known(&wish.student, &wish.section)?;
        let transaction = self
            .client
            .transaction()
            .pool(PoolRequest::Leave(Leave {
                pool: pool_of(&section.id).into(),
                holder: student.id.to_string().into(),
            }))
            .idempotency_key(key_of(wish));
        transaction.commit().await.map(drop).map_err(|error| self.refused(&error, student, section))
    }

    async fn accept(&self, wish: &Wish) -> Result<Enrolled, Refused> {
        let (student, section) = self.known(&wish.student, &wish.section)?;
        let story = self.story(&wish.student).await?;
        let mut refused = Refused::of(Why::NoOffer);
        for id in Self::grants_of(&story, &section.id) {
            let gives = given_for(&story, id).and_then(|gives| self.catalogue.section(&gives));
            let transaction = self.within_the_rules(self.client.transaction(), student, section, gives, true);
            let mut transaction = self.with_writes(transaction.confirm(id), wish);
            if let Some(gives) = gives {
                // The rules allow for what is given up, so it must be there to be given.
                transaction = transaction
                    .when(Condition::has_all(student.id.as_str(), [pool_of(&gives.id)]))
                    .enqueue(chain::undo(&self.client, &student.id, &gives.id));
            }
            match transaction.idempotency_key(key_of(wish)).commit().await {
                Ok(done) => {
                    let grant =
                        done.iter().find_map(|result| result.grant()).expect("what is confirmed is a grant");
                    return Ok(self.enrolled(wish, grant));
                }
                Err(error) => refused = self.refused(&error, student, section),
            }
            if refused.why != Why::KeyReused {
                break;
            }
        }
        if refused.why == Why::NotEnrolled {
            refused.why = Why::NoOffer;
        }
        Err(refused)
    }

    async fn decline(&self, wish: &Wish) -> Result<(), Refused> {
        let (student, section) = self.known(&wish.student, &wish.section)?;
        let story = self.story(&wish.student).await?;
        let taken = |grant: &&Grant| grant.state == GrantState::Taken;
        let seats: Vec<GrantId> = story.grants.iter().filter(taken).map(|grant| grant.id).collect();
        let mut refused = Refused::of(Why::NoOffer);
        for id in Self::grants_of(&story, &section.id).into_iter().filter(|id| !seats.contains(id)) {
            match self.decline_kept(wish, &section.id, id, self.client.transaction()).await {
                Ok(_) => return Ok(()),
                Err(error) => refused = self.refused(&error, student, section),
            }
            if refused.why != Why::KeyReused {
                break;
            }
        }
        if refused.why == Why::NotEnrolled {
            refused.why = Why::NoOffer;
        }
        Err(refused)
    }

    async fn lost_with(&self, student: &StudentId, enrolment: &str, about: &[&SectionId]) -> Vec<Lost> {
        let Ok(story) = self.story(student).await else { return Vec::new() };
        let is_it = |entry: &&StoryEntry| entry.grant.is_some_and(|grant| grant.to_string() == enrolment);
        let ends = |entry: &&StoryEntry| entry.what == Happened::Released;
        // A seat that was given back, or else one that was taken for another.
        let entries = || story.story.iter().filter(is_it);
        let Some(at) = entries().find(ends).or_else(|| entries().next()).map(|entry| entry.at) else {
            return Vec::new();
        };
        let lost = |entry: &StoryEntry| {
            let section = section_of(entry.pool.as_deref()?);
            let what = match entry.what {
                Happened::Declined => LostWhat::Offer,
                Happened::DroppedFromLine => LostWhat::Place,
                _ => return None,
            };
            (entry.at == at && !about.contains(&&section)).then_some(Lost { what, section })
        };
        story.story.iter().filter_map(lost).collect()
    }

    async fn free(&self, sections: &[SectionId]) -> Result<Vec<Free>, Refused> {
        let names: Vec<String> = sections.iter().map(pool_of).collect();
        let names = if sections.is_empty() { &self.pools } else { &names };
        let seen = self.seen(names).await.map_err(|error| away(&error))?;
        Ok(seen.iter().filter_map(|pool| self.section_as(pool)).collect())
    }

    async fn of_student(&self, student: &StudentId) -> Result<Story, Refused> {
        if self.catalogue.student(student).is_none() {
            return Err(Refused::of(Why::NoStudent));
        }
        Ok(told(student, &self.story(student).await?))
    }

    async fn all(&self) -> Result<Vec<Enrolment>, Refused> {
        let students: Vec<StudentId> =
            self.catalogue.students().iter().map(|student| student.id.clone()).collect();
        let stories = stream::iter(students).map(|student| async move {
            let story = self.story(&student).await?;
            Ok::<_, Refused>(told(&student, &story).enrolments)
        });
        let lists: Vec<Vec<Enrolment>> = stories.buffered(ASKED_AT_ONCE).try_collect().await?;
        Ok(lists.into_iter().flatten().collect())
    }

    async fn resize(&self, section: &SectionId, seats: u32) -> Result<Free, Refused> {
        let wanted = self.catalogue.section(section).ok_or_else(|| Refused::of(Why::NoSection))?;
        let pool = self.client.pool(pool_of(section));
        let resized = pool.resize(seats.saturating_mul(wanted.credits)).await.map_err(|error| {
            let number = || error.refusal()?.value.as_ref()?.as_u64();
            match (error.refusal(), number()) {
                (Some(refusal), Some(units)) if refusal.code.as_str() == "below_granted" => Refused {
                    why: Why::BelowGranted((units / u64::from(wanted.credits)) as u32),
                    version: refusal.version,
                },
                (Some(refusal), _) if !error.is_temporary() => {
                    Refused { why: Why::EngineRefused(refusal.to_string()), version: refusal.version }
                }
                _ => away(&error),
            }
        })?;
        Ok(self.section_as(&resized).expect("a section that was resized is known"))
    }

    async fn open_at(
        &self,
        sections: &[SectionId],
        opens_at: Moment,
        shuffle: bool,
    ) -> Result<Vec<SectionId>, Refused> {
        let names: Vec<String> = sections.iter().map(pool_of).collect();
        let names = if sections.is_empty() { &self.pools } else { &names };
        let pools = self.seen(names).await.map_err(|error| away(&error))?;
        // One after the other is configured, so what would stop halfway is looked for first.
        let in_line = pools.iter().filter(|pool| pool.waiting > 0);
        let in_line: Vec<SectionId> = in_line.map(|pool| section_of(&pool.name)).collect();
        if !in_line.is_empty() {
            return Err(Refused::of(Why::LineInTheWay(in_line)));
        }
        let mut set = Vec::with_capacity(pools.len());
        for pool in pools {
            let section = section_of(&pool.name);
            if let Err(error) = self.set_opening(pool, opens_at, shuffle).await {
                let in_line = |code: Code| code == Code::PoolInUse;
                let why = match error.code() {
                    Some(code) if set.is_empty() && in_line(code) => Why::LineInTheWay(vec![section]),
                    None if set.is_empty() => return Err(away(&error)),
                    Some(code) if in_line(code) => {
                        let because = "somebody has come to stand in its line".to_owned();
                        Why::OpeningHalfSet { set, stopped_at: section, because }
                    }
                    Some(_) if set.is_empty() => Why::EngineRefused(error.to_string()),
                    _ => Why::OpeningHalfSet { set, stopped_at: section, because: error.to_string() },
                };
                return Err(Refused::of(why));
            }
            set.push(section);
        }
        Ok(set)
    }

    async fn steps(&self, student: &StudentId) -> Result<Vec<Step>, Refused> {
        let mut steps = Vec::new();
        // As for the backlog: a drop's next step is not missed between two looks.
        for system in System::ALL.into_iter().rev() {
            let query = JobsQuery {
                queue: Some(chain::queue(system).to_owned()),
                ordering_key: Some(student.to_string()),
                limit: Some(PAGE),
                ..JobsQuery::default()
            };
            for job in jobs(&self.client, query).await.map_err(|error| away(&error))? {
                // What went wrong, and what came of it, is told of a job alone.
                let job = self.client.job(job.id, Duration::ZERO).await.map_err(|error| away(&error))?;
                steps.push(step(system, &job));
            }
        }
        steps.sort_by_key(|step| (step.since, step.system as usize));
        Ok(steps)
    }

    async fn retry(&self, student: &StudentId) -> Result<u64, Refused> {
        let mut retried = 0;
        for system in System::ALL {
            let query = JobsQuery {
                queue: Some(chain::queue(system).to_owned()),
                ordering_key: Some(student.to_string()),
                state: Some(JobState::Dead),
                limit: Some(PAGE),
                ..JobsQuery::default()
            };
            let ids: Vec<JobId> = jobs(&self.client, query)
                .await
                .map_err(|error| away(&error))?
                .iter()
                .map(|job| job.id)
                .collect();
            if !ids.is_empty() {
                retried += ids.len() as u64;
                let request = RedriveRequest { ids: Some(ids), ..RedriveRequest::default() };
                self.client.redrive(chain::queue(system), &request).await.map_err(|error| away(&error))?;
            }
        }
        Ok(retried)
    }

    async fn backlog(&self) -> Result<Vec<(System, Backlog)>, Refused> {
        let mut backlog = Vec::new();
        // In the order in which a drop goes from one to the next: what has left one that was looked at is in one that is looked at
        // later, and never in neither.
        for system in System::ALL.into_iter().rev() {
            let counts =
                self.client.show_queue(chain::queue(system)).await.map_err(|error| away(&error))?.counts;
            let open = counts.ready + counts.scheduled + counts.leased + counts.dead;
            backlog.push((system, Backlog { open, dead: counts.dead }));
        }
        backlog.reverse();
        Ok(backlog)
    }

    async fn changed(&self) {
        let Some(watch) = &self.watch else { return tokio::time::sleep(super::LOOK_EVERY).await };
        let mut watch = watch.lock().await;
        if let Err(error) = watch.next().await {
            tracing::warn!(%error, "changes are not heard of just now");
            return tokio::time::sleep(super::LOOK_EVERY).await;
        }
        // Changes come in crowds, and whoever hears of one looks at all.
        while let Some(Ok(_)) = watch.next().now_or_never() {}
    }
}

impl TidegateSeats {
    /// One grant for a seat of `want`; if there is none, and the student would wait: a place in line that gives this grant
    /// up later.
    async fn swap_grant(
        &self,
        wish: &SwapWish,
        student: &Student,
        id: GrantId,
        give: &Section,
        want: &Section,
    ) -> Result<Swapped, Refused> {
        let as_wish = Wish { student: student.id.clone(), section: want.id.clone(), key: wish.key.clone() };
        // Who would wait says so in either step: without it, a swap under the same key is another request.
        let swap = |when_offered: bool| {
            PoolRequest::Swap(Swap {
                id,
                pool: pool_of(&want.id).into(),
                units: Some(want.credits),
                group: None,
                when_offered: wish.when_offered.then_some(when_offered),
            })
        };
        let mut round = 0;
        loop {
            // The first is the press's own, as of any other verb.
            let again = if round == 0 { String::new() } else { format!(":{round}") };
            let transaction =
                self.within_the_rules(self.client.transaction(), student, want, Some(give), false);
            let transaction = self
                .with_writes(transaction.pool(swap(false)), &as_wish)
                .enqueue(chain::undo(&self.client, &student.id, &give.id))
                .idempotency_key(key_of_step(&as_wish, &again));
            let refused = match transaction.commit().await {
                Ok(done) => {
                    let grant = done.iter().find_map(|result| result.grant()).expect("a seat for a seat");
                    return Ok(Swapped::Now(self.enrolled(&as_wish, grant)));
                }
                Err(error) => self.refused(&error, student, want),
            };
            let (Why::SoldOut, Some(version), true) = (&refused.why, refused.version, wish.when_offered)
            else {
                return Err(refused);
            };
            // To wait is right only as long as there is nothing to be had: a seat that became free in between would be given
            // without its jobs. So this holds for the very version that had none.
            let transaction = self
                .client
                .transaction()
                .when(Condition::pool_version(pool_of(&want.id), version))
                .pool(swap(true))
                .idempotency_key(key_of_step(&as_wish, &format!("{again}:wait")));
            match transaction.commit().await {
                Ok(done) => {
                    let waiting = done.iter().find_map(|result| result.waiting());
                    let waiting = waiting.expect("of a version that had no seat there is a place in line");
                    return Ok(Swapped::WhenOffered(Place {
                        section: want.id.clone(),
                        ahead: waiting.ahead,
                        since: None,
                        gives: Some(give.id.clone()),
                    }));
                }
                Err(error) => match error.refusal() {
                    Some(refusal) if refusal.code.as_str() == "version_changed" && round < SWAP_ROUNDS => {
                        round += 1
                    }
                    _ => return Err(self.refused(&error, student, want)),
                },
            }
        }
    }

    /// A seat of `want`, for one of `give` that is only kept: that one is declined, and the student is enrolled in the other. There is
    /// nothing to undo, and a seat that is only kept is promised for nothing.
    async fn swap_kept(
        &self,
        wish: &SwapWish,
        student: &Student,
        id: GrantId,
        give: &Section,
        want: &Section,
    ) -> Result<Swapped, Refused> {
        let as_wish = Wish { student: student.id.clone(), section: want.id.clone(), key: wish.key.clone() };
        let seat = self.client.pool(pool_of(&want.id)).take(student.id.as_str()).units(want.credits);
        let transaction = self.within_the_rules(self.client.transaction(), student, want, Some(give), false);
        let transaction = self.with_writes(transaction.take(seat), &as_wish);
        match self.decline_kept(&as_wish, &give.id, id, transaction).await {
            Ok(done) => {
                let taken = |grant: &&Grant| grant.state == GrantState::Taken;
                let grant = done.iter().filter_map(|result| result.grant()).find(taken);
                Ok(Swapped::Now(self.enrolled(&as_wish, grant.expect("a seat that was taken is a grant"))))
            }
            Err(error) => {
                let refused = self.refused(&error, student, want);
                // The version is the other section's, which was looked at because of its grant.
                let version = refused.version.filter(|_| refused.why != Why::Changed);
                Err(Refused { version, ..refused })
            }
        }
    }

    /// Gives back a seat that is only kept, together with what `transaction` does, or nothing. A seat that was accepted stays: what
    /// is only offered cannot be extended, and that refusal names the version of the pool at which it was an offer. It is given back at that
    /// version. Both steps have a key of the press, so that the same press said again finds the same version.
    async fn decline_kept(
        &self,
        wish: &Wish,
        kept: &SectionId,
        id: GrantId,
        transaction: Transaction,
    ) -> Result<Vec<OperationResult>, tidegate::Error> {
        let mut round = 0;
        loop {
            let again = if round == 0 { String::new() } else { format!(":{round}") };
            let look = PoolRequest::Extend(ExtendGrant { id, hold_ms: Some(HOLD_MS_MIN) });
            let look = self.client.transaction().pool(look).idempotency_key(key_of_step(wish, &again));
            let version = match look.commit().await {
                Ok(done) => done.iter().find_map(|result| result.grant()?.version),
                Err(error) if error.code() == Some(Code::IsOffer) => {
                    error.refusal().and_then(|refusal| refusal.version)
                }
                Err(error) => return Err(error),
            };
            let unchanged = Condition::pool_version(pool_of(kept), version.unwrap_or_default());
            let declined = transaction.clone().when(unchanged).release(id);
            let declined = declined.idempotency_key(key_of_step(wish, &format!("{again}:back")));
            match declined.commit().await {
                Err(error) if error.code() == Some(Code::VersionChanged) && round < KEPT_ROUNDS => round += 1,
                done => return done,
            }
        }
    }

    /// Sets one section's opening, and nothing else: over the very version that was seen, so that nothing that somebody else
    /// changes meanwhile is undone.
    async fn set_opening(&self, pool: Pool, opens_at: Moment, shuffle: bool) -> Result<(), tidegate::Error> {
        let handle = self.client.pool(&pool.name);
        let mut seen = pool;
        for round in 1.. {
            let config = PoolConfig {
                opens_at: Some(Timestamp::from_unix_ms(opens_at)),
                opening: Some(if shuffle { Opening::Shuffle } else { Opening::Fifo }),
                ..seen.config
            };
            match handle.configure(&config.if_version(seen.version)).await {
                Err(error) if error.code() == Some(Code::VersionChanged) && round < OPENING_ROUNDS => {}
                done => return done.map(drop),
            }
            seen = handle.show().await?;
        }
        unreachable!("the last round returns")
    }

    /// A pool in seats.
    fn section_as(&self, pool: &Pool) -> Option<Free> {
        let section = self.catalogue.section(&section_of(&pool.name))?;
        let seats = |units: u64| (units / u64::from(section.credits)) as u32;
        Some(Free {
            section: section.id.clone(),
            capacity: seats(pool.config.capacity.into()),
            free: seats(pool.free),
            taken: seats(pool.taken),
            offered: seats(pool.held),
            waiting: pool.waiting,
            version: pool.version,
            as_of: pool.as_of.unix_ms(),
            door: match pool.state {
                PoolState::Upcoming => Door::Upcoming,
                PoolState::Open => Door::Open,
                PoolState::Closed => Door::Closed,
            },
            opens_at: pool.config.opens_at.map(Timestamp::unix_ms),
            draws: pool.config.opening == Some(Opening::Shuffle),
        })
    }
}

fn config(section: &Section, setup: Setup) -> PoolConfig {
    let shuffle = setup.shuffle && setup.opens_at.is_some();
    PoolConfig {
        holder_units_max: Some(section.credits),
        offer_ms: u64::try_from(setup.offer.as_millis()).ok(),
        waitlist_max: Some(setup.waitlist_max),
        opens_at: setup.opens_at.map(Timestamp::from_unix_ms),
        opening: Some(if shuffle { Opening::Shuffle } else { Opening::Fifo }),
        offer_queue: Some(chain::OFFER_QUEUE.to_owned()),
        attributes: Some([("course".to_owned(), section.course.to_string())].into()),
        ..PoolConfig::of(section.capacity * section.credits)
    }
}

/// The engine's key of a press, whatever was pressed: a key that comes again for something else is refused. Of two students'
/// equal keys, each has its own.
fn key_of(wish: &Wish) -> String {
    key_of_step(wish, "")
}

/// The key of a further step of the same press. No student's number has what a step's name begins with, so it is no press's key.
fn key_of_step(wish: &Wish, step: &str) -> String {
    format!("{}{step}/{}", wish.student, wish.key)
}

fn away(error: &tidegate::Error) -> Refused {
    Refused::of(Why::Away(error.to_string()))
}

fn moment_of(value: Option<&serde_json::Value>) -> Moment {
    let text = value.and_then(|value| value.as_str()?.parse::<Timestamp>().ok());
    text.map(Timestamp::unix_ms).or_else(|| value?.as_u64()).unwrap_or(0)
}

async fn jobs(client: &Client, mut query: JobsQuery) -> Result<Vec<Job>, tidegate::Error> {
    let mut all = Vec::new();
    loop {
        let page = client.jobs(&query).await?;
        all.extend(page.jobs);
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

fn step(system: System, job: &Job) -> Step {
    let failed = job.errors.last();
    let state = match job.state {
        JobState::Completed | JobState::Cancelled => StepState::Done,
        JobState::Leased => StepState::Running,
        JobState::Dead => StepState::Dead,
        JobState::Scheduled | JobState::Ready if failed.is_some() => StepState::Retrying,
        JobState::Scheduled | JobState::Ready => StepState::Waiting,
    };
    Step {
        job: job.id.to_string(),
        system,
        undoes: job.kind == chain::UNDO,
        section: section_of_job(job),
        state,
        attempt: job.attempt,
        attempts_max: job.max_attempts,
        next_at: job.run_at.filter(|_| state == StepState::Retrying).map(Timestamp::unix_ms),
        reason: failed.map(|error| error.message.clone()).filter(|_| state != StepState::Done),
        since: job.enqueued_at.unix_ms(),
    }
}

/// The section that a job is about: it says so while it is to be done, and leaves it behind when it is.
fn section_of_job(job: &Job) -> Option<SectionId> {
    let said = job.metadata.as_ref().and_then(|metadata| metadata.get("section"));
    let left = || serde_json::from_str(job.result.as_ref()?.get()).ok();
    said.map(|section| section.as_str().into()).or_else(left)
}

/// Whether this grant is a seat that is only kept, or was to the end.
fn is_or_was_kept(story: &HolderStory, id: GrantId) -> bool {
    match story.grants.iter().find(|grant| grant.id == id) {
        Some(grant) => grant.state == GrantState::Held,
        None => {
            let declined = |entry: &StoryEntry| entry.grant == Some(id) && entry.what == Happened::Declined;
            story.story.iter().any(declined)
        }
    }
}

/// The section that is given up when this offer is accepted; or that was, if it has been: so that the same press said again is
/// the same request. What the student has given back meanwhile is not given up any more.
fn given_for(story: &HolderStory, offer: GrantId) -> Option<SectionId> {
    let has = |id: GrantId| story.grants.iter().find(|grant| grant.id == id);
    if let Some(held) = has(offer).filter(|grant| grant.state == GrantState::Held) {
        return held.gives.and_then(has).map(|old| section_of(&old.pool));
    }
    let is_accepted = |entry: &&StoryEntry| entry.what == Happened::Confirmed && entry.grant == Some(offer);
    let accepted = story.story.iter().find(is_accepted)?;
    let is_given = |entry: &&StoryEntry| entry.what == Happened::Swapped && entry.at == accepted.at;
    story.story.iter().find(is_given)?.pool.as_deref().map(section_of)
}

/// A holder's story as a student's.
fn told(student: &StudentId, story: &HolderStory) -> Story {
    let section_of_grant = |id: Option<GrantId>| {
        story.grants.iter().find(|grant| Some(grant.id) == id).map(|grant| section_of(&grant.pool))
    };
    let mut told = Story::default();
    for grant in &story.grants {
        let section = section_of(&grant.pool);
        match grant.state {
            GrantState::Taken => told.enrolments.push(Enrolment {
                id: grant.id.to_string(),
                student: student.clone(),
                section,
                fence: grant.fence,
                since: grant.granted_at.map_or(0, Timestamp::unix_ms),
            }),
            GrantState::Held => told.offers.push(Offer {
                section,
                until: grant.expires_at.map_or(0, Timestamp::unix_ms),
                gives: section_of_grant(grant.gives),
            }),
            _ => {}
        }
    }
    told.places = story
        .waiting
        .iter()
        .map(|waiting| Place {
            section: section_of(&waiting.pool),
            ahead: waiting.ahead,
            since: waiting.joined_at.map(Timestamp::unix_ms),
            gives: section_of_grant(waiting.gives),
        })
        .collect();
    // What is asked to see whether a seat is only kept was not asked by the student.
    let is_own = |entry: &&StoryEntry| {
        entry
            .error
            .as_ref()
            .is_some_and(|refusal| matches!(refusal.code, Code::IsOffer | Code::VersionChanged))
    };
    let entries = story.story.iter().filter(|entry| !is_own(entry));
    told.events = entries.map(|entry| event(story, entry)).collect();
    told
}

/// The section that was given up, and with it what this entry says is gone: a place in line or an offer that it was promised for.
fn because_of(story: &HolderStory, entry: &StoryEntry) -> Option<SectionId> {
    if !matches!(entry.what, Happened::Declined | Happened::DroppedFromLine) {
        return None;
    }
    let mut at_once = story.story.iter().filter(|other| other.at == entry.at);
    // Who has a seat there stands in its line no more, which has nothing to do with what was given up.
    let has_got = |other: &StoryEntry| {
        matches!(other.what, Happened::Taken | Happened::Confirmed) && other.pool == entry.pool
    };
    if at_once.clone().any(has_got) {
        return None;
    }
    let is_given = |other: &&StoryEntry| {
        matches!(other.what, Happened::Released | Happened::Swapped) && other.pool != entry.pool
    };
    at_once.find(is_given)?.pool.as_deref().map(section_of)
}

fn event(story: &HolderStory, entry: &StoryEntry) -> Event {
    let what = match entry.what {
        Happened::Taken => "enrolled",
        Happened::Confirmed => "accepted",
        Happened::Released => "dropped",
        Happened::Swapped => "swapped",
        Happened::Enqueued => "jobs_begun",
        Happened::Completed => "jobs_done",
        other => other.as_str(),
    };
    let why = entry.error.as_ref().map(|refusal| match entry.asked {
        Some(asked) if asked != Asked::Condition => {
            format!("{}: {}", asked.as_str(), refusal.code.as_str().replace('_', " "))
        }
        _ => refusal.code.as_str().replace('_', " "),
    });
    Event {
        at: entry.at.unix_ms(),
        what: what.to_owned(),
        section: entry.pool.as_deref().map(section_of),
        version: entry.version,
        detail: why,
        until: entry.expires_at.map(Timestamp::unix_ms),
        because: because_of(story, entry),
        jobs: entry.jobs.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section that cannot be seen for a moment is not missing: what the registrar has set stays.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_section_that_is_there_is_never_made_anew() {
        let folder = tempfile::tempdir().expect("a directory");
        let client = Client::embedded(folder.path()).await.expect("it opens");
        let catalogue = Arc::new(Catalogue::generate(1, 12, 20));
        let setup = Setup { opens_at: None, shuffle: false, offer: Duration::from_secs(60), waitlist_max: 9 };
        let patience = Duration::from_secs(60);
        let seats = TidegateSeats::open(client.clone(), Arc::clone(&catalogue), setup, patience).await;
        let seats = seats.expect("the sections are made");
        let section = catalogue.sections()[0].id.clone();
        let opens_at = crate::downstream::now() + 60_000;
        seats.open_at(std::slice::from_ref(&section), opens_at, false).await.expect("set");
        seats.resize(&section, 77).await.expect("resized");
        let before = seats.seen(&seats.pools).await.expect("they are seen");
        seats.make(setup, |_| true).await.expect("nothing is missing");
        let after = seats.seen(&seats.pools).await.expect("they are seen");
        let state = |pools: &[Pool]| {
            pools
                .iter()
                .map(|pool| (pool.name.clone(), pool.version, pool.config.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(state(&after), state(&before));
        drop(seats);
        client.close().await.expect("it closes");
    }
}
