//! Pools as JSON, each version written once for all who look at it.
//!
//! A pool that is read thirty thousand times a second, or watched by thousands, is written by who reads it first; what differs from
//! one answer to the next is only the moment, and that stands last. The JSON lies beside the view that is published
//! ([`PoolShown::written`](tidegate_engine::PoolShown::written)) and goes with it: reading takes no lock. Left out: keeping what is
//! listed in pages, since who goes through all pools would have all of them kept.

use tidegate_api::convert::pool::pool;
use tidegate_api::time::Timestamp;
use tidegate_core::Time;
use tidegate_core::pool::view::PoolView;
use tidegate_engine::PoolSeen;

/// How the JSON of a pool ends.
const END: &str = ",\"as_of\":\"1970-01-01T00:00:00.000Z\"}";

/// Writes a pool as JSON, and keeps it for the next who asks.
pub(crate) fn write(out: &mut Vec<u8>, seen: &PoolSeen) {
    out.extend_from_slice(seen.view.written(up_to_moment));
    write_moment(out, seen.as_of);
}

/// The same, kept for nobody.
pub(crate) fn write_once(out: &mut Vec<u8>, seen: &PoolSeen) {
    out.extend_from_slice(&up_to_moment(&seen.view));
    write_moment(out, seen.as_of);
}

/// The JSON up to the moment.
fn up_to_moment(view: &PoolView) -> Vec<u8> {
    let mut json = serde_json::to_vec(&pool(view, Time(0))).expect("a pool is always JSON");
    assert!(json.ends_with(END.as_bytes()), "the moment stands last");
    json.truncate(json.len() - END.len());
    json
}

fn write_moment(out: &mut Vec<u8>, as_of: Time) {
    out.extend_from_slice(b",\"as_of\":\"");
    Timestamp::from(as_of).write(out);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tidegate_api::pool::view::Pool;
    use tidegate_core::pool::PoolConfig;
    use tidegate_engine::PoolShown;

    fn seen(name: &str, version: u64, as_of: u64) -> PoolSeen {
        let view = PoolView {
            name: name.into(),
            config: Arc::new(PoolConfig::of(5)),
            version,
            held: 1,
            taken: 2,
            waiting: 0,
            opened: true,
            closed: false,
            groups: Vec::new(),
            commitment: None,
            seed: None,
        };
        PoolSeen { view: Arc::new(PoolShown::new(view)), as_of: Time(as_of) }
    }

    fn read(write: fn(&mut Vec<u8>, &PoolSeen), seen: &PoolSeen) -> Pool {
        let mut out = Vec::new();
        write(&mut out, seen);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn what_is_written_is_the_pool_as_it_was_seen() {
        let (old, new) = (seen("p", 7, 1_000), seen("p", 8, 2_000));
        for seen in [&old, &new, &old, &new] {
            assert_eq!(read(write, seen), pool(&seen.view, seen.as_of));
            assert_eq!(read(write_once, seen), pool(&seen.view, seen.as_of));
        }
        let later = PoolSeen { as_of: Time(3_000), ..new };
        assert_eq!(read(write, &later), pool(&later.view, Time(3_000)));
    }
}
