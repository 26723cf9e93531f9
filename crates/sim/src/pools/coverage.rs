//! What was reached of pools. As in [`crate::coverage`], what there is to reach is taken from the types themselves.

use tidegate_core::outcome::Item;
use tidegate_core::pool::command::{Condition, PoolOperation, Swap, Wish};
use tidegate_core::pool::refusal::Why;
use tidegate_core::pool::view::{
    GrantPage, GrantView, Happened, HolderView, LinePage, LinePlace, PoolItem, PoolView, Verb,
};
use tidegate_core::pool::{GrantEnd, GrantState, Opening, PoolConfig};

use super::call::{PoolCall, PoolReply};
use crate::call::{Call, Reply};
use crate::coverage::{Coverage, names};

names! {
    /// Operations on pools.
    POOL_OPERATIONS, pool_operation, PoolOperation {
        PoolOperation::Hold(_) => "hold",
        PoolOperation::Take(_) => "take",
        PoolOperation::Confirm(_) => "confirm",
        PoolOperation::Extend(..) => "extend",
        PoolOperation::Release(_) => "release",
        PoolOperation::Swap(_) => "swap",
        PoolOperation::Join(_) => "join",
        PoolOperation::Leave { .. } => "leave",
    }
}

names! {
    /// Who is refused, where it is an operation on a pool.
    ASKED_OF_POOLS, asked_of_pool, PoolOperation {
        PoolOperation::Hold(_) => "hold of a pool",
        PoolOperation::Take(_) => "take of a pool",
        PoolOperation::Confirm(_) => "confirm of a pool",
        PoolOperation::Extend(..) => "extend of a pool",
        PoolOperation::Release(_) => "release of a pool",
        PoolOperation::Swap(_) => "swap of a pool",
        PoolOperation::Join(_) => "join of a pool",
        PoolOperation::Leave { .. } => "leave of a pool",
    }
}

names! {
    /// Conditions of a transaction.
    CONDITIONS, condition, Condition {
        Condition::PoolVersion { .. } => "a pool's version",
        Condition::HasAll { .. } => "a holder has all",
        Condition::HasNone { .. } => "a holder has none",
        Condition::UnitsBelow { .. } => "a holder's units are below",
        Condition::Job { .. } => "a job's state",
    }
}

names! {
    /// Refusals of pools.
    WHYS, why, Why {
        Why::Unknown => "unknown",
        Why::PoolNotFound => "pool_not_found",
        Why::GrantUnknown => "grant_unknown",
        Why::HoldLapsed => "hold_lapsed",
        Why::GrantEnded => "grant_ended",
        Why::NotHeld => "not_held",
        Why::NotOpen => "not_open",
        Why::Closed => "closed",
        Why::SoldOut => "sold_out",
        Why::LimitReached => "limit_reached",
        Why::QuotaFull => "quota_full",
        Why::WaitlistFull => "waitlist_full",
        Why::WaitlistOff => "waitlist_off",
        Why::BelowGranted => "below_granted",
        Why::PoolInUse => "pool_in_use",
        Why::GroupUnknown => "group_unknown",
        Why::NotWaiting => "not_waiting",
        Why::SamePool => "same_pool",
        Why::TooManyPools => "too_many_pools",
        Why::TooManyHolders => "too_many_holders",
        Why::TooManyGrants => "too_many_grants",
        Why::HasPool => "has_pool",
        Why::LacksPool => "lacks_pool",
        Why::UnitsReached => "units_reached",
        Why::VersionChanged => "version_changed",
        Why::JobStateChanged => "job_state_changed",
        Why::NeverOpen => "never_open",
        Why::AlreadyWaiting => "already_waiting",
        Why::TooFarAhead => "too_far_ahead",
        Why::NeverFits => "never_fits",
        Why::QuotaBelowGranted => "below_granted, of a quota",
        Why::Elsewhere => "elsewhere",
        Why::IsOffer => "is_offer",
    }
}

names! {
    /// How a grant ended.
    GRANT_ENDS, grant_end, GrantEnd {
        GrantEnd::Released => "released",
        GrantEnd::Declined => "declined",
        GrantEnd::Lapsed => "lapsed",
        GrantEnd::OfferLapsed => "offer lapsed",
        GrantEnd::Swapped => "swapped",
    }
}

names! {
    /// What a story tells.
    HAPPENED, happened, Happened {
        Happened::Held(_) => "held",
        Happened::Taken => "taken",
        Happened::Offered(_) => "offered",
        Happened::Confirmed => "confirmed",
        Happened::Ended(_) => "ended",
        Happened::Joined => "joined",
        Happened::Left => "left",
        Happened::DroppedFromLine => "dropped from the line",
        Happened::LineClosed => "let go with the line of a pool that has closed",
        Happened::Refused(..) => "refused",
        Happened::Enqueued => "enqueued",
        Happened::Completed => "completed",
    }
}

names! {
    /// What an operation came to.
    POOL_ITEMS, pool_item, PoolItem {
        PoolItem::Grant { .. } => "a grant",
        PoolItem::Ended { .. } => "a grant that ended",
        PoolItem::Waits { .. } => "a place in line",
        PoolItem::Left { .. } => "a place given up",
    }
}

/// Reads about pools.
pub(crate) const POOL_READS: &[&str] = &["pool", "grant", "holder", "entrants", "grants of a pool", "line"];

/// Options of calls about pools, that are there or not.
pub(crate) const POOL_OPTIONS: &[&str] = &[
    "hold_ms of a hold",
    "hold_ms of an extension",
    "several units",
    "group",
    "units of a swap",
    "swap when offered",
    "several operations",
    "conditions and operations on pools",
    "operations on pools beside jobs",
    "configure if there is none",
    "configure if at a version",
    "holder limit",
    "no holder limit",
    "waitlist",
    "opens_at",
    "closes_at",
    "shuffle",
    "offer_queue",
    "quotas",
    "attributes",
    "entrants from",
    "grants that are held",
    "grants that are taken",
    "grants from",
    "line from",
];

/// What pools come to.
pub(crate) const POOL_STATES: &[&str] = &[
    "not open",
    "open",
    "closed",
    "a draw is committed to",
    "a draw is shown",
    "an entrant waits",
    "an entrant waits no more",
    "a page of grants, and more",
    "a last page of grants",
    "a page of a line, and more",
    "a last page of a line",
    "a line that is not drawn",
    "pools turn at one moment",
    "an offer",
    "an offer that gives up another grant",
    "an offer with a job",
    "joined and offered at once",
    "a swap when offered before a draw",
    "a refusal of another is told",
    "a watcher hears",
    "a watcher missed some",
    "a watcher hears of a deletion",
    "published after a recovery",
];

impl Coverage {
    /// Counts what is asked of pools, with all its options.
    pub(crate) fn note_pool_call(&mut self, call: &PoolCall) {
        match call {
            PoolCall::Configure { pool: _, config, if_version } => {
                self.pool_options(&[
                    ("configure if there is none", *if_version == Some(0)),
                    ("configure if at a version", if_version.is_some_and(|version| version > 0)),
                ]);
                self.note_config(config);
            }
            PoolCall::Operations(operations) => {
                self.pool_options(&[("several operations", operations.len() > 1)]);
                operations.iter().for_each(|operation| self.note_pool_operation(operation));
            }
            PoolCall::Entrants { pool: _, from, limit: _ } => {
                self.pool_options(&[("entrants from", *from > 0)]);
            }
            PoolCall::Grants { pool: _, state, from, limit: _ } => self.pool_options(&[
                ("grants that are held", *state == Some(GrantState::Held)),
                ("grants that are taken", *state == Some(GrantState::Taken)),
                ("grants from", *from > 0),
            ]),
            PoolCall::Line { pool: _, from, limit: _ } => {
                self.pool_options(&[("line from", *from > LinePlace::default())]);
            }
            PoolCall::Resize { .. }
            | PoolCall::Delete { .. }
            | PoolCall::Pool { .. }
            | PoolCall::Grant { .. }
            | PoolCall::Holder { .. } => {}
        }
    }

    pub(crate) fn pool_options(&mut self, options: &[(&str, bool)]) {
        for (name, _) in options.iter().filter(|(_, is_there)| *is_there) {
            debug_assert!(POOL_OPTIONS.contains(name), "{name} is in the list of options");
            self.note("option of pools", name);
        }
    }

    pub(crate) fn note_pool_state(&mut self, name: &str) {
        debug_assert!(POOL_STATES.contains(&name), "{name} is in the list");
        self.note("pools", name);
    }

    fn note_config(&mut self, config: &PoolConfig) {
        let PoolConfig {
            capacity: _,
            holder_units_max,
            hold_ms: _,
            hold_ms_max: _,
            offer_ms: _,
            waitlist_max,
            opens_at,
            closes_at,
            opening,
            offer_queue,
            quotas,
            attributes,
        } = config;
        self.pool_options(&[
            ("holder limit", *holder_units_max > 0),
            ("no holder limit", *holder_units_max == 0),
            ("waitlist", *waitlist_max > 0),
            ("opens_at", *opens_at > 0),
            ("closes_at", *closes_at > 0),
            ("shuffle", *opening == Opening::Shuffle as i32),
            ("offer_queue", offer_queue.is_some()),
            ("quotas", !quotas.is_empty()),
            ("attributes", !attributes.is_empty()),
        ]);
    }

    pub(crate) fn note_pool_operation(&mut self, operation: &PoolOperation) {
        self.note("pool operation", pool_operation(operation));
        match operation {
            PoolOperation::Hold(wish) | PoolOperation::Take(wish) | PoolOperation::Join(wish) => {
                let Wish { pool: _, holder: _, units, group, hold_ms } = wish;
                self.pool_options(&[
                    ("hold_ms of a hold", hold_ms.is_some()),
                    ("several units", *units > 1),
                    ("group", group.is_some()),
                ]);
            }
            PoolOperation::Extend(_, hold_ms) => {
                self.pool_options(&[("hold_ms of an extension", hold_ms.is_some())]);
            }
            PoolOperation::Swap(Swap { give: _, pool: _, units, group, when_offered }) => {
                self.pool_options(&[
                    ("units of a swap", units.is_some()),
                    ("group", group.is_some()),
                    ("swap when offered", *when_offered),
                ]);
            }
            PoolOperation::Confirm(_) | PoolOperation::Release(_) | PoolOperation::Leave { .. } => {}
        }
    }

    /// Counts what somebody who joined heard.
    pub(crate) fn note_joining(&mut self, call: &Call, heard: &Reply) {
        let (Call::Pools { ask: PoolCall::Operations(operations), .. }, Reply::Pools(heard)) = (call, heard)
        else {
            return;
        };
        let PoolReply::Answers { answers, .. } = &**heard else { return };
        let joined = operations.iter().zip(answers).filter(|(one, _)| matches!(one, PoolOperation::Join(_)));
        for _ in joined.filter(|(_, answer)| matches!(answer.item, Item::Pool(PoolItem::Grant { .. }))) {
            self.note_pool_state("joined and offered at once");
        }
        let swapped = operations.iter().zip(answers).filter(|(one, _)| matches!(one, PoolOperation::Swap(_)));
        let undrawn = |item: &Item| matches!(item, Item::Pool(PoolItem::Waits { ahead: None, .. }));
        for _ in swapped.filter(|(_, answer)| undrawn(&answer.item)) {
            self.note_pool_state("a swap when offered before a draw");
        }
    }

    /// Counts what is heard of pools. Returns whether it was an earlier answer.
    pub(crate) fn note_pool_reply(&mut self, call: &Call, heard: &PoolReply) -> bool {
        match heard {
            PoolReply::Answers { answers, replayed } => {
                if let Call::Pools { ask: PoolCall::Operations(operations), .. } = call {
                    for (one, answer) in operations.iter().zip(answers) {
                        self.note_item(asked_of_pool(one), &answer.item);
                    }
                }
                answers
                    .iter()
                    .filter_map(|answer| answer.grant.as_ref())
                    .for_each(|grant| self.note_grant(grant));
                *replayed
            }
            PoolReply::Transacted { items, grants, replayed } => {
                self.note_items(call.name(), items);
                grants.iter().flatten().for_each(|grant| self.note_grant(grant));
                *replayed
            }
            PoolReply::Pool(pool) => {
                pool.iter().for_each(|pool| self.note_pool(pool));
                false
            }
            PoolReply::Grant(grant) => {
                grant.iter().for_each(|grant| self.note_grant(grant));
                false
            }
            PoolReply::Holder(holder) => {
                if let Some(HolderView { grants, waiting: _, next: _, story }) = holder {
                    grants.iter().for_each(|grant| self.note_grant(grant));
                    story.iter().for_each(|entry| self.note("story", happened(&entry.happened)));
                    story.iter().for_each(|entry| self.note_refused(&entry.happened));
                }
                false
            }
            PoolReply::Entrants(entrants) => {
                for entrant in entrants.iter().flatten() {
                    let waits = if entrant.waiting { "an entrant waits" } else { "an entrant waits no more" };
                    self.note_pool_state(waits);
                }
                false
            }
            PoolReply::Grants(page) => {
                if let Some(GrantPage { grants, next }) = page {
                    grants.iter().for_each(|grant| self.note_grant(grant));
                    let more = next.is_some();
                    self.note_pool_state(if more {
                        "a page of grants, and more"
                    } else {
                        "a last page of grants"
                    });
                }
                false
            }
            PoolReply::Line(page) => {
                if let Some(LinePage { line, next }) = page {
                    let more = next.is_some();
                    self.note_pool_state(if more {
                        "a page of a line, and more"
                    } else {
                        "a last page of a line"
                    });
                    if line.iter().any(|one| one.wait.ahead.is_none()) {
                        self.note_pool_state("a line that is not drawn");
                    }
                }
                false
            }
        }
    }

    /// Counts what only stories tell of refusals.
    fn note_refused(&mut self, told: &Happened) {
        let Happened::Refused(verb, why) = told else { return };
        if *why == Why::Elsewhere {
            self.note("refusal of pools", self::why(why));
        }
        if *verb == Verb::Transaction {
            self.note_pool_state("a refusal of another is told");
        }
    }

    pub(crate) fn note_pool_item(&mut self, item: &PoolItem) {
        self.note("pool answer", pool_item(item));
    }

    fn note_pool(&mut self, pool: &PoolView) {
        self.note_pool_state(match (pool.opened, pool.closed) {
            (_, true) => "closed",
            (true, false) => "open",
            (false, false) => "not open",
        });
        if pool.commitment.is_some() {
            let shown = pool.seed.is_some();
            self.note_pool_state(if shown { "a draw is shown" } else { "a draw is committed to" });
        }
    }

    fn note_grant(&mut self, grant: &GrantView) {
        if let Some(end) = &grant.end {
            self.note("grant ended", grant_end(end));
        }
        if grant.offered {
            self.note_pool_state("an offer");
            if grant.offer_job.is_some() {
                self.note_pool_state("an offer with a job");
            }
            if grant.gives.is_some() {
                self.note_pool_state("an offer that gives up another grant");
            }
        }
    }
}
