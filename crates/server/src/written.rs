//! Pools that have been written as JSON, for all who look at the same one.
//!
//! A pool that is read thirty thousand times a second, or watched by thousands, is written once for each version; what differs from
//! one answer to the next is only the moment, and that stands last. Left out: remembering every pool there is. When too many
//! have been written, all are forgotten, and what is asked for again is written again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tidegate_api::convert::pool::pool;
use tidegate_api::time::Timestamp;
use tidegate_core::Time;
use tidegate_core::pool::view::PoolView;
use tidegate_engine::PoolSeen;

use crate::limits::POOLS_WRITTEN;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Written(Mutex<HashMap<Arc<str>, One>>);

/// A pool's JSON up to its moment, and of which view it is.
#[derive(Debug)]
struct One {
    view: Arc<PoolView>,
    json: Bytes,
}

/// How the JSON of a pool ends.
const END: &str = ",\"as_of\":\"1970-01-01T00:00:00.000Z\"}";

impl Written {
    /// Writes a pool as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>, seen: &PoolSeen) {
        out.extend_from_slice(&self.json(&seen.view));
        out.extend_from_slice(b",\"as_of\":\"");
        Timestamp::from(seen.as_of).write(out);
        out.extend_from_slice(b"\"}");
    }

    /// The JSON up to the moment.
    fn json(&self, view: &Arc<PoolView>) -> Bytes {
        // A panic elsewhere leaves the map whole: nothing panics half-way through a change of it.
        let known = |written: &HashMap<Arc<str>, One>| {
            let one = written.get(&view.name).filter(|one| Arc::ptr_eq(&one.view, view));
            one.map(|one| one.json.clone())
        };
        if let Some(json) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return json;
        }
        let mut json = serde_json::to_vec(&pool(view, Time(0))).expect("a pool is always JSON");
        assert!(json.ends_with(END.as_bytes()), "the moment stands last");
        json.truncate(json.len() - END.len());
        let json = Bytes::from(json);
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Who was slow does not put an older version in the place of a newer one.
        let is_newest = written.get(&view.name).is_none_or(|one| one.view.version < view.version);
        if is_newest {
            if written.len() >= POOLS_WRITTEN {
                written.clear();
            }
            written.insert(Arc::clone(&view.name), One { view: Arc::clone(view), json: json.clone() });
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_api::pool::view::Pool;
    use tidegate_core::pool::PoolConfig;

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
        PoolSeen { view: Arc::new(view), as_of: Time(as_of) }
    }

    fn read(written: &Written, seen: &PoolSeen) -> Pool {
        let mut out = Vec::new();
        written.write(&mut out, seen);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn what_is_written_is_the_pool_as_it_was_seen() {
        let written = Written::default();
        let (old, new) = (seen("p", 7, 1_000), seen("p", 8, 2_000));
        for seen in [&old, &new, &old, &new] {
            assert_eq!(read(&written, seen), pool(&seen.view, seen.as_of));
        }
        let later = PoolSeen { as_of: Time(3_000), ..new.clone() };
        assert_eq!(read(&written, &later), pool(&new.view, Time(3_000)));
        assert!(Arc::ptr_eq(&written.0.lock().unwrap()["p"].view, &new.view), "the newest is kept");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let written = Written::default();
        for n in 0..=POOLS_WRITTEN {
            let seen = seen(&format!("p{n}"), 1, 1);
            assert_eq!(read(&written, &seen).name, format!("p{n}"));
            assert!(written.0.lock().unwrap().len() <= POOLS_WRITTEN);
        }
    }
}
