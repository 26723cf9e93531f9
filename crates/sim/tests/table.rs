//! The table of what must be reached holds all that the API can say.

use tidegate_api::refusal::Code;
use tidegate_sim::coverage::{REFUSALS, REPLIES};
use tidegate_sim::pools::coverage::WHYS;

/// What is said before the engine is asked, or by more than one shard, and where that is tested.
const ELSEWHERE: &[(&str, &str)] = &[
    ("invalid_json", "the door's syntax: crates/api/tests, crates/server/tests/door"),
    ("unknown_field", "the door's syntax"),
    ("wrong_type", "the door's syntax"),
    ("missing_field", "the door's syntax"),
    ("invalid_value", "the door's syntax; the engine's own is `contradicts`"),
    ("body_too_large", "the door's sizes; the engine's own is `call_too_large`"),
    ("payload_too_large", "the door's sizes"),
    ("too_many_items", "the door's sizes"),
    ("body_timeout", "the door's patience"),
    ("unsupported_media_type", "the door's syntax"),
    ("not_found", "the door's routes"),
    ("method_not_allowed", "the door's routes"),
    ("transaction_spans_shards", "several shards: crates/engine/tests/transactions.rs"),
    ("too_many_connections", "the door's sockets"),
    ("shutting_down", "an engine that is closed for good: crates/engine/tests"),
    ("not_ready", "the door's readiness"),
    ("internal", "it would be a bug"),
];

#[test]
fn every_code_of_the_api_is_reached_or_is_tested_elsewhere() {
    let said: Vec<&str> = REFUSALS.iter().chain(REPLIES).chain(WHYS).copied().collect();
    let elsewhere: Vec<&str> = ELSEWHERE.iter().map(|(code, _)| *code).collect();
    for code in Code::ALL.iter().map(|code| code.as_str()) {
        assert!(
            said.contains(&code) != elsewhere.contains(&code),
            "{code} is reached in the simulator, or it is said where it is tested; not both"
        );
    }
    for code in elsewhere {
        assert!(Code::ALL.iter().any(|known| known.as_str() == code), "{code} is not a code of the API");
    }
}
