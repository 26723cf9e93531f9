//! Records about pools as JSON.

use serde_json::{Value, json};
use tidegate_core::pool::record::{GrantEnded, Granted, Joined, PoolConfigured, StoryEntryRestated};
use tidegate_core::pool::refusal::Why;
use tidegate_core::pool::view::Verb;
use tidegate_core::pool::{GrantEnd, GrantState, Opening};
use tidegate_core::record::Record;

use super::record_json::{id, map, put_nonzero, put_time, time};

/// The name and content of a record that is about pools; of any other, what its kind is called.
pub(super) fn content(shard: u16, record: &Record) -> (&'static str, Value) {
    match record {
        Record::PoolConfigured(r) => ("pool_configured", configured(r)),
        Record::PoolDeleted(r) => ("pool_deleted", json!({ "pool": r.pool, "version": r.version })),
        Record::PoolTurned(r) => (
            "pool_turned",
            json!({ "pool": r.pool, "opened": r.opened, "closed": r.closed, "version": r.version }),
        ),
        Record::Granted(r) => ("granted", granted(shard, r)),
        Record::GrantConfirmed(r) => (
            "grant_confirmed",
            json!({ "grant": id(shard, r.grant), "pool": r.pool, "holder": r.holder, "units": r.units,
                    "version": r.version, "event": r.event }),
        ),
        Record::HoldExtended(r) => {
            ("hold_extended", json!({ "grant": id(shard, r.grant), "expires_at": time(r.deadline) }))
        }
        Record::GrantEnded(r) => ("grant_ended", ended(shard, r)),
        Record::Joined(r) => ("joined", joined(shard, r)),
        Record::LeftLine(r) => (
            "left_line",
            json!({ "pool": r.pool, "holder": r.holder, "number": r.number, "dropped": r.dropped, "closed": r.closed,
                    "version": r.version, "event": r.event }),
        ),
        Record::PoolRefused(r) => (
            "pool_refused",
            json!({ "pool": r.pool, "holder": r.holder, "verb": verb(r.verb), "code": code(r.why), "value": r.value,
                    "version": r.version, "event": r.event }),
        ),
        Record::JobsLinked(r) => {
            let jobs: Vec<String> = r.jobs.iter().map(|&job| id(shard, job)).collect();
            (
                "jobs_linked",
                json!({ "holder": r.holder, "jobs": jobs, "completed": r.completed, "event": r.event }),
            )
        }
        Record::PoolRestated(r) => {
            let drawn_until = time(r.drawn_until);
            let pool = configured(&r.pool);
            (
                "pool_restated",
                json!({ "pool": pool, "next_number": r.next_number, "drawn_until": drawn_until }),
            )
        }
        Record::GrantRestated(r) => {
            ("grant_restated", json!({ "grant": granted(shard, &r.grant), "granted_at": time(r.granted_at) }))
        }
        Record::WaiterRestated(r) => ("waiter_restated", joined(shard, r)),
        Record::StoryRestated(r) => {
            let entries: Vec<Value> = r.entries.iter().map(|entry| told(shard, entry)).collect();
            ("story_restated", json!({ "holder": r.holder, "entries": entries }))
        }
        Record::EndedRestated(r) => ("ended_restated", ended(shard, &r.ended)),
        _ => ("unknown", Value::Null),
    }
}

/// The seed stays out: before the opening nobody is to see it, and after it the pool shows it.
fn configured(configured: &PoolConfigured) -> Value {
    let config = &configured.config;
    let quotas: Vec<Value> = config
        .quotas
        .iter()
        .map(|quota| json!({ "group": quota.group, "units_max": quota.units_max }))
        .collect();
    let attributes: Vec<Value> =
        config.attributes.iter().map(|said| json!({ "name": said.name, "value": said.value })).collect();
    let mut all = map(json!({
        "pool": configured.pool, "version": configured.version, "opened": configured.opened,
        "closed": configured.closed, "draws": !configured.seed.is_empty(), "capacity": config.capacity,
        "holder_units_max": config.holder_units_max, "hold_ms": config.hold_ms, "hold_ms_max": config.hold_ms_max,
        "offer_ms": config.offer_ms, "waitlist_max": config.waitlist_max,
        "opening": if config.opening == Opening::Shuffle as i32 { "shuffle" } else { "fifo" },
        "offer_queue": config.offer_queue, "quotas": quotas, "attributes": attributes,
    }));
    put_time(&mut all, "opens_at", config.opens_at);
    put_time(&mut all, "closes_at", config.closes_at);
    Value::Object(all)
}

fn granted(shard: u16, granted: &Granted) -> Value {
    let state = GrantState::try_from(granted.state).map_or("unknown", GrantState::as_str);
    let mut all = map(json!({
        "grant": id(shard, granted.grant), "pool": granted.pool, "holder": granted.holder, "units": granted.units,
        "group": granted.group, "state": state, "version": granted.version, "event": granted.event,
    }));
    put_time(&mut all, "expires_at", granted.deadline);
    put_time(&mut all, "extendable_until", granted.ceiling);
    put_nonzero(&mut all, "offered_to", granted.waiter);
    put_nonzero(&mut all, "gives", granted.gives);
    put_nonzero(&mut all, "offer_job", granted.job);
    Value::Object(all)
}

fn ended(shard: u16, ended: &GrantEnded) -> Value {
    let end = GrantEnd::try_from(ended.end).map_or("unknown", GrantEnd::as_str);
    json!({ "grant": id(shard, ended.grant), "pool": ended.pool, "holder": ended.holder, "units": ended.units,
            "end": end, "granted_at": time(ended.granted_at), "ended_at": time(ended.ended_at),
            "version": ended.version, "event": ended.event })
}

fn joined(shard: u16, joined: &Joined) -> Value {
    let mut all = map(json!({
        "pool": joined.pool, "holder": joined.holder, "units": joined.units, "group": joined.group,
        "rank": format!("{:016x}", joined.rank), "number": joined.number, "joined_at": time(joined.joined_at),
        "left": joined.left, "version": joined.version, "event": joined.event,
    }));
    if joined.gives > 0 {
        all.insert("gives".into(), id(shard, joined.gives).into());
    }
    Value::Object(all)
}

fn told(shard: u16, entry: &StoryEntryRestated) -> Value {
    const HAPPENED: [&str; 13] = [
        "unknown",
        "held",
        "taken",
        "offered",
        "confirmed",
        "ended",
        "joined",
        "left",
        "dropped",
        "refused",
        "enqueued",
        "completed",
        "line_closed",
    ];
    let jobs: Vec<String> = entry.jobs.iter().map(|&job| id(shard, job)).collect();
    let mut all = map(json!({
        "number": entry.number, "at": time(entry.at),
        "happened": HAPPENED.get(entry.happened as usize).unwrap_or(&"unknown"),
        "pool": entry.pool, "units": entry.units, "version": entry.version, "value": entry.value, "jobs": jobs,
    }));
    if entry.grant > 0 {
        all.insert("grant".into(), id(shard, entry.grant).into());
    }
    if entry.happened == 9 {
        all.insert("verb".into(), verb(entry.verb).into());
        all.insert("code".into(), code(entry.why).into());
    }
    Value::Object(all)
}

fn verb(number: i32) -> &'static str {
    Verb::try_from(number).map_or("unknown", Verb::as_str)
}

fn code(number: i32) -> &'static str {
    Why::try_from(number).map_or("unknown", Why::code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_about_pools_has_a_name() {
        let records = [
            Record::PoolConfigured(Default::default()),
            Record::PoolDeleted(Default::default()),
            Record::PoolTurned(Default::default()),
            Record::Granted(Default::default()),
            Record::GrantConfirmed(Default::default()),
            Record::HoldExtended(Default::default()),
            Record::GrantEnded(Default::default()),
            Record::Joined(Default::default()),
            Record::LeftLine(Default::default()),
            Record::PoolRefused(Default::default()),
            Record::JobsLinked(Default::default()),
            Record::PoolRestated(Default::default()),
            Record::GrantRestated(Default::default()),
            Record::WaiterRestated(Default::default()),
            Record::StoryRestated(Default::default()),
            Record::EndedRestated(Default::default()),
        ];
        let mut names: Vec<&str> = records.iter().map(|record| content(0, record).0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), records.len());
        assert!(!names.contains(&"unknown"));
    }

    #[test]
    fn a_seed_is_not_shown() {
        let secret =
            PoolConfigured { seed: b"a secret that nobody is to see..".to_vec(), ..Default::default() };
        let text = content(0, &Record::PoolConfigured(secret)).1.to_string();
        assert!(text.contains("\"draws\":true") && !text.contains("secret"), "{text}");
    }
}
