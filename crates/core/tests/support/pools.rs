//! Lines about pools.
//!
//! ```text
//! pool seats=2 limit=1 waitlist=5      -> done
//! hold anna                            -> 1 held +300000
//! take bert                            -> 2 taken
//! join carl                            -> waits 1 behind 0
//! give_back 2                          -> 2 released
//! holder carl story                    -> joined p 1; offered 3 p +300000
//! ```
//!
//! The pool is `p` unless `pool=` (or, in what makes pools, `name=`) says otherwise. Grants are named by their sequences.

use tidegate_core::Time;
use tidegate_core::command::{Command, Operation, Transaction};
use tidegate_core::pool::command::{Condition, PoolOperation, Swap, Wish};
use tidegate_core::pool::refusal::{PoolRefusal, Why};
use tidegate_core::pool::view::{Happened, InLine, LinePlace, PoolItem, StoryEntry};
use tidegate_core::pool::{Attribute, GrantEnd, GrantId, GrantState, Opening, PoolConfig, Quota};
use tidegate_core::state::State;
use tidegate_core::view::JobState;

use super::World;
use super::render::ahead;
use super::script::{Args, id, number};

pub const VERBS: [&str; 8] = ["hold", "take", "confirm", "hold_on", "give_back", "swap", "join", "leave"];

/// The seed that scripts draw with: the same in every run.
pub const SEED: [u8; 32] = *b"a seed that only the test knows.";

pub fn operation(words: &[&str]) -> PoolOperation {
    let (verb, words) = words.split_first().expect("an operation has a verb");
    let mut args = Args::parse(words.iter().copied(), None);
    let operation = operation_of(verb, &mut args);
    args.finish();
    operation
}

pub fn operation_of(verb: &str, args: &mut Args) -> PoolOperation {
    match verb {
        "hold" => PoolOperation::Hold(wish(args)),
        "take" => PoolOperation::Take(wish(args)),
        "join" => PoolOperation::Join(wish(args)),
        "leave" => PoolOperation::Leave { holder: args.word(), pool: pool(args) },
        "confirm" => PoolOperation::Confirm(grant(&args.word())),
        "hold_on" => PoolOperation::Extend(grant(&args.word()), args.number("for")),
        "give_back" => PoolOperation::Release(grant(&args.word())),
        "swap" => PoolOperation::Swap(Swap {
            give: grant(&args.word()),
            pool: pool(args),
            units: args.number("units").map(|units| units as u32),
            group: args.take("group"),
            when_offered: args.flag("when_offered"),
        }),
        _ => panic!("no pool knows how to {verb}"),
    }
}

fn pool(args: &mut Args) -> String {
    args.take("pool").unwrap_or_else(|| "p".into())
}

fn grant(word: &str) -> GrantId {
    match word.split_once('-') {
        Some(_) => word.parse().expect("a grant's id"),
        None => GrantId::new(0, number(word)),
    }
}

fn wish(args: &mut Args) -> Wish {
    Wish {
        holder: args.word(),
        pool: pool(args),
        units: args.number("units").unwrap_or(1) as u32,
        group: args.take("group"),
        hold_ms: args.number("for"),
    }
}

/// `has=anna:p,b`, `lacks=anna:p`, `units=anna:3` (with `place=`), `version=p:7`, `job=1:ready`.
pub fn condition(words: &[&str]) -> Condition {
    let mut args = Args::parse(words.iter().copied(), None);
    let pair = |text: String| {
        let (who, what) = text.split_once(':').expect("a colon is in it");
        (String::from(who), String::from(what))
    };
    let list = |text: String| text.split(',').map(Into::into).collect();
    let condition = if let Some(text) = args.take("has") {
        let (holder, pools) = pair(text);
        Condition::HasAll { holder, pools: list(pools) }
    } else if let Some(text) = args.take("lacks") {
        let (holder, pools) = pair(text);
        Condition::HasNone { holder, pools: list(pools) }
    } else if let Some(text) = args.take("units") {
        let (holder, units) = pair(text);
        Condition::UnitsBelow { holder, place: args.take("place"), units: number(&units) }
    } else if let Some(text) = args.take("version") {
        let (pool, version) = pair(text);
        Condition::PoolVersion { pool, version: number(&version) }
    } else {
        let (job, state) = pair(args.take("job").expect("a condition of some kind"));
        let state = JobState::ALL.into_iter().find(|known| known.as_str() == state).expect("a state");
        Condition::Job { id: id(&job), state }
    };
    args.finish();
    condition
}

pub fn command(world: &World, verb: &str, args: &mut Args) -> Command {
    match verb {
        "resize" => Command::ResizePool { capacity: number(&args.word()) as u32, pool: pool(args) },
        "delete_pool" => Command::DeletePool { pool: pool(args) },
        _ => {
            let now = world.now.max(world.state.now());
            let mut moment = |name| args.number(name).map_or(0, |ms| now.plus(ms).0);
            let (opens_at, closes_at) = (moment("opens_in"), moment("closes_in"));
            let default = PoolConfig::of(args.number("seats").unwrap_or(1) as u32);
            let pairs = |text: String| -> Vec<(String, String)> {
                let pairs = text.split(',').map(|pair| pair.split_once(':').expect("a colon is in it"));
                pairs.map(|(name, value)| (name.into(), value.into())).collect()
            };
            let quota = |(group, max): (String, String)| Quota { group, units_max: number(&max) as u32 };
            let attribute = |(name, value): (String, String)| Attribute { name, value };
            let config = PoolConfig {
                holder_units_max: args.number("limit").unwrap_or(1) as u32,
                hold_ms: args.number("hold").unwrap_or(default.hold_ms),
                hold_ms_max: args.number("hold_max").unwrap_or(default.hold_ms_max),
                offer_ms: args.number("offer").unwrap_or(default.offer_ms),
                waitlist_max: args.number("waitlist").unwrap_or(0) as u32,
                opens_at,
                closes_at,
                opening: if args.flag("shuffle") { Opening::Shuffle } else { Opening::Fifo } as i32,
                offer_queue: args.take("offers"),
                quotas: args.take("quotas").map_or_else(Vec::new, pairs).into_iter().map(quota).collect(),
                attributes: args
                    .take("says")
                    .map_or_else(Vec::new, pairs)
                    .into_iter()
                    .map(attribute)
                    .collect(),
                ..default
            };
            let pool = args.take("name").unwrap_or_else(|| "p".into());
            let if_version = args.number("if_version");
            Command::ConfigurePool { pool, config: Box::new(config), if_version, seed: SEED }
        }
    }
}

pub fn item(item: &PoolItem, now: Time) -> String {
    match *item {
        PoolItem::Grant { id, state, units, expires_at, .. } => {
            let units = if units == 1 { String::new() } else { format!(" x{units}") };
            let until = expires_at.map_or(String::new(), |at| format!(" {}", ahead(at, now)));
            format!("{} {}{units}{until}", id.sequence(), state.as_str())
        }
        PoolItem::Ended { id, end, .. } => format!("{} {}", id.sequence(), end.as_str()),
        PoolItem::Waits { number, ahead, .. } => {
            format!("waits {number} behind {}", ahead.map_or("?".into(), |ahead| ahead.to_string()))
        }
        PoolItem::Left { number, .. } => format!("left {number}"),
    }
}

/// What goes with a refusal, where scripts care.
pub fn refused_value(refusal: PoolRefusal, now: Time) -> String {
    match refusal.why {
        Why::NotOpen | Why::Closed | Why::IsOffer => ahead(Time(refusal.value), now),
        Why::GrantEnded => GrantEnd::try_from(refusal.value as i32).map_or("?", |end| end.as_str()).into(),
        Why::JobStateChanged => {
            JobState::from_number(refusal.value as u32).map_or("?", |state| state.as_str()).into()
        }
        Why::QuotaBelowGranted => format!("quota {}: {}", refusal.value >> 32, refusal.value & 0xffff_ffff),
        Why::PoolNotFound if refusal.value > 0 => refusal.value.to_string(),
        Why::PoolNotFound
        | Why::GrantUnknown
        | Why::HoldLapsed
        | Why::NotHeld
        | Why::GroupUnknown
        | Why::NotWaiting
        | Why::WaitlistOff
        | Why::SamePool
        | Why::NeverOpen
        | Why::TooFarAhead
        | Why::VersionChanged => String::new(),
        _ => refusal.value.to_string(),
    }
}

pub fn show_pool(state: &State, args: &mut Args) -> String {
    let name = pool(args);
    let fields = std::mem::take(&mut args.words);
    let Some(view) = state.pool(&name) else { return "no such pool".into() };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let field = |name: &String| match name.as_str() {
        "units" => format!("{} held {} taken {} free", view.held, view.taken, view.free()),
        "waiting" => view.waiting.to_string(),
        "version" => view.version.to_string(),
        "open" => match (view.opened, view.closed) {
            (_, true) => "closed".into(),
            (true, _) => "open".into(),
            _ => "not yet".into(),
        },
        "groups" => {
            let groups: Vec<String> = view.groups.iter().map(|(group, n)| format!("{group} {n}")).collect();
            groups.join(" ")
        }
        "seed" => view.seed.map_or_else(|| "secret".into(), |seed| String::from_utf8_lossy(&seed).into()),
        "commitment" => view.commitment.map_or_else(|| "-".into(), |hash| hex(&hash[..4])),
        "says" => {
            let says = view.config.attributes.iter().map(|said| format!("{} {}", said.name, said.value));
            says.collect::<Vec<_>>().join(" ")
        }
        _ => panic!("a pool has no {name}"),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

pub fn show_grant(state: &State, args: &mut Args) -> String {
    let id = grant(&args.word());
    let fields = std::mem::take(&mut args.words);
    let Some(view) = state.grant(id) else { return "not kept".into() };
    let now = state.now();
    let moment = |at: Option<Time>| at.map_or("-".into(), |at| ahead(at, now));
    let field = |name: &String| match name.as_str() {
        "state" => {
            view.state.map(|state| state.as_str()).or(view.end.map(|end| end.as_str())).unwrap_or("?").into()
        }
        "pool" => view.pool.to_string(),
        "holder" => view.holder.to_string(),
        "units" => view.units.to_string(),
        "offered" => view.offered.to_string(),
        "until" => moment(view.expires_at),
        "ceiling" => moment(view.extendable_until),
        "since" => moment(Some(view.granted_at)),
        "gives" => view.gives.map_or("-".into(), |grant| grant.sequence().to_string()),
        "job" => view.offer_job.map_or("-".into(), |job| job.sequence().to_string()),
        _ => panic!("a grant has no {name}"),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

pub fn show_holder(state: &State, args: &mut Args) -> String {
    let name = args.word();
    let fields = std::mem::take(&mut args.words);
    let Some(view) = state.holder(&name) else { return "unknown".into() };
    let now = state.now();
    let field = |name: &String| match name.as_str() {
        "grants" => {
            let grants: Vec<String> =
                view.grants.iter().map(|grant| grant.id.sequence().to_string()).collect();
            if grants.is_empty() { "none".into() } else { grants.join(" ") }
        }
        "waits" => {
            let waits = view.waiting.iter().map(|wait| {
                let ahead = wait.ahead.map_or("?".into(), |ahead| ahead.to_string());
                format!("{} {} behind {ahead}", wait.pool, wait.number)
            });
            let waits: Vec<String> = waits.collect();
            if waits.is_empty() { "none".into() } else { waits.join(" ") }
        }
        "story" => view.story.iter().map(|entry| told(entry, now)).collect::<Vec<_>>().join("; "),
        _ => panic!("a holder has no {name}"),
    };
    fields.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn told(entry: &StoryEntry, now: Time) -> String {
    let (pool, grant) = (&entry.pool, entry.grant);
    let jobs = || entry.jobs.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    let job = if entry.jobs.is_empty() { String::new() } else { format!(" job {}", jobs()) };
    match entry.happened {
        Happened::Held(until) => format!("held {grant} {pool} {}", ahead(until, now)),
        Happened::Offered(until) => format!("offered {grant} {pool} {}{job}", ahead(until, now)),
        Happened::Taken => format!("taken {grant} {pool}"),
        Happened::Confirmed => format!("confirmed {grant} {pool}"),
        Happened::Ended(end) => format!("{} {grant} {pool}", end.as_str()),
        Happened::Joined => format!("joined {pool} {}", entry.value),
        Happened::Left => format!("left {pool} {}", entry.value),
        Happened::DroppedFromLine => format!("dropped {pool} {}", entry.value),
        Happened::LineClosed => format!("line_closed {pool} {}", entry.value),
        Happened::Refused(verb, why) => {
            format!("refused {} {} {pool}", verb.as_str(), why.code()).trim_end().into()
        }
        Happened::Enqueued => format!("enqueued {}", jobs()),
        Happened::Completed => format!("completed {}", jobs()),
    }
}

pub fn show_entrants(state: &State, args: &mut Args) -> String {
    let mut entrants = state.entrants(&pool(args), 0, 1_000).expect("there is the pool");
    entrants.sort_by_key(|entrant| (entrant.rank, entrant.number));
    let names = entrants.iter().map(|entrant| entrant.holder.to_string());
    let names: Vec<String> = names.collect();
    if names.is_empty() { "none".into() } else { names.join(" ") }
}

/// `grants` and, with a state, `grants held`: sequences and holders. `from=` and `most=` make a page of it.
pub fn list_grants(state: &State, args: &mut Args) -> String {
    let (pool, from, most) = (pool(args), args.number("from").unwrap_or(0), args.number("most"));
    let of = std::mem::take(&mut args.words);
    let of = of.first().map(|word| match word.as_str() {
        "held" => GrantState::Held,
        "taken" => GrantState::Taken,
        _ => panic!("no grant is {word}"),
    });
    let Some(page) = state.grants_of(&pool, of, from, most.unwrap_or(1_000) as usize) else {
        return "no such pool".into();
    };
    let grants = page.grants.iter().map(|grant| format!("{} {}", grant.id.sequence(), grant.holder));
    listed(grants.collect(), page.next.map(|next| next.to_string()))
}

/// `line`: joinings, holders, and how many are before them. `from=` (`rank:number`) and `most=` make a page of it.
pub fn list_line(state: &State, args: &mut Args) -> String {
    let from = args.take("from").map_or_else(LinePlace::default, |text| {
        let (rank, joining) = text.split_once(':').expect("a colon is in it");
        LinePlace { rank: number(rank), number: number(joining) }
    });
    let (pool, most) = (pool(args), args.number("most"));
    let Some(page) = state.line(&pool, from, most.unwrap_or(1_000) as usize) else {
        return "no such pool".into();
    };
    let line = page.line.iter().map(|InLine { holder, wait }| {
        let ahead = wait.ahead.map_or("?".into(), |ahead| ahead.to_string());
        format!("{} {holder} behind {ahead}", wait.number)
    });
    listed(line.collect(), page.next.map(|next| format!("{}:{}", next.rank, next.number)))
}

fn listed(mut lines: Vec<String>, next: Option<String>) -> String {
    lines.extend(next.map(|next| format!("from {next}")));
    if lines.is_empty() { "none".into() } else { lines.join(", ") }
}

/// What a refused transaction must leave as it was: everything but the stories of those whom it was about.
pub fn without_stories(digest: &str) -> String {
    let kept =
        digest.lines().filter(|line| !line.starts_with("story ") && !line.starts_with("pool counters "));
    kept.map(|line| format!("{line}\n")).collect()
}

/// Whether a transaction is told in stories, if it is refused.
pub fn is_told(command: &Command) -> bool {
    let Command::Transaction(Transaction { conditions, operations }) = command else { return false };
    conditions
        .iter()
        .any(|condition| !matches!(condition, Condition::PoolVersion { .. } | Condition::Job { .. }))
        || operations.iter().any(|operation| matches!(operation, Operation::Pool(_)))
}
