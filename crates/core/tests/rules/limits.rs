//! The bounds that users are promised, and the relations between them that `limits.rs` names.

use tidegate_core::limits::*;

const KIB: usize = 1_024;
const HOUR_MS: u64 = 3_600_000;

/// Whoever changes one of these changes README.md, docs/api.md, docs/job-life.md or docs/pools.md with it.
#[test]
fn the_bounds_are_those_that_the_documents_promise() {
    for (what, bound, promised) in [
        ("bytes of a payload", PAYLOAD_MAX, 1_048_576),
        ("bytes of a result", RESULT_MAX, 65_536),
        ("bytes of a progress value", PROGRESS_MAX, 4 * KIB),
        ("bytes of payloads in a lease", LEASE_BYTES_MAX as usize, 16_777_216),
        ("jobs in a lease", LEASE_JOBS_MAX, 1_000),
        ("jobs in a page", LIST_JOBS_MAX, 1_000),
        ("operations of a transaction", TRANSACTION_OPERATIONS_MAX, 100),
        ("queues", QUEUES_MAX, 10_000),
        ("kinds", KINDS_MAX, 10_000),
        ("answers", IDEMPOTENCY_RECORDS_MAX, 4_000_000),
        ("bytes of answers", IDEMPOTENCY_BYTES_MAX, 536_870_912),
        ("errors of a job", FAILURES_MAX, 200),
        ("pools", POOLS_MAX as usize, 100_000),
        ("operations on pools in a list", POOL_OPERATIONS_MAX, 1_000),
        ("units of a pool", CAPACITY_MAX as usize, 1_000_000_000),
        ("units of a request", UNITS_MAX as usize, 100),
        ("quotas", QUOTAS_MAX, 32),
        ("attributes", ATTRIBUTES_MAX, 16),
        ("bytes of an attribute", ATTRIBUTE_MAX, KIB),
        ("a line", WAITLIST_MAX as usize, 100_000),
        ("all lines", WAITERS_MAX as usize, 2_000_000),
        ("grants", GRANTS_MAX as usize, 10_000_000),
        ("holders", HOLDERS_MAX as usize, 2_000_000),
        ("grants that ended", ENDED_GRANTS_MAX, 200_000),
        ("conditions", CONDITIONS_MAX, 100),
        ("pools of a condition", CONDITION_POOLS_MAX, 100),
        ("a story", STORY_ENTRIES_PER_HOLDER, 200),
        ("all stories", STORY_ENTRIES_MAX, 2_000_000),
        ("refusals in a story", STORY_REFUSALS_PER_HOLDER, 50),
        ("refusals in all stories", STORY_REFUSALS_MAX, 500_000),
        ("what a story tells of grants that have not ended", STORY_LIVING_PER_HOLDER, 1_000),
        ("jobs in an entry of a story", STORY_JOBS_MAX, 16),
    ] {
        assert_eq!(bound, promised, "{what}");
    }
    for (what, bound, promised) in [
        ("shortest lease", LEASE_MS_MIN, 1_000),
        ("longest lease", LEASE_MS_MAX, 12 * HOUR_MS),
        ("usual lease", LEASE_MS_DEFAULT, 30_000),
        ("366 days ahead", AHEAD_MS_MAX, 31_622_400_000),
        ("a day for answers", IDEMPOTENCY_MS, 86_400_000),
        ("five minutes for answers", IDEMPOTENCY_MS_MIN, 300_000),
        ("a hundred years for keys", KEPT_MS_MAX, 3_162_240_000_000),
        ("shortest hold", HOLD_MS_MIN, 1_000),
        ("longest hold", HOLD_MS_MAX, 31_622_400_000),
        ("usual hold, and an offer", HOLD_MS_DEFAULT, 300_000),
        ("an hour for a hold with all extensions", HOLD_MS_MAX_DEFAULT, HOUR_MS),
        ("an hour for grants that ended", ENDED_GRANTS_MS, HOUR_MS),
        ("a week for stories", STORY_MS, 7 * 24 * HOUR_MS),
        ("a minute between refusals", STORY_REPEAT_MS, 60_000),
        ("thirty days for draws", ENTRANTS_MS, 30 * 24 * HOUR_MS),
    ] {
        assert_eq!(bound, promised, "{what}");
    }
}

#[test]
fn the_bounds_fit_together() {
    assert_eq!(FAILURES_MAX, 2 * usize::from(ATTEMPTS_MAX));
    for (what, less, more) in [
        ("a lease can be settled in one call", LEASE_JOBS_MAX as u64, BATCH_JOBS_MAX as u64),
        ("what lies ahead is within the timer wheel", AHEAD_MS_MAX, 1 << 36),
        ("so is what is kept", KEPT_MS_MAX, 1 << 44),
        ("jobs have indexes of 31 bits", JOBS_MAX, (1 << 31) - 1),
        ("so is a hold", HOLD_MS_MAX, AHEAD_MS_MAX),
        ("a line is one of all", WAITLIST_MAX.into(), WAITERS_MAX.into()),
        ("refusals are the smaller part of stories", STORY_REFUSALS_MAX as u64, STORY_ENTRIES_MAX as u64),
        ("an answer is kept longest while there is room", IDEMPOTENCY_MS_MIN, IDEMPOTENCY_MS),
    ] {
        assert!(less <= more, "{what}");
    }
}
