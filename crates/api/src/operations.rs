//! Every call the door takes: method, path, body, answers, refusals.
//!
//! One table, so that nobody has to believe anybody: the OpenAPI document is made from it, the server's routes are held
//! against it in both directions, and a refusal with a code that its call does not list fails the server's tests.

use crate::refusal::Code;

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name in generated clients.
    pub id: &'static str,
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// The path, with `{queue}`, `{pool}`, `{holder}` and `{id}` for what varies.
    pub path: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Names of the query parameters; their shapes are in the OpenAPI document.
    pub query: &'static [&'static str],
    /// What it takes.
    pub body: Body,
    /// What it answers when it is not refused.
    pub answers: &'static [Answer],
    /// The codes that the whole call may be refused with, in groups.
    pub refusals: &'static [&'static [Code]],
    /// The codes that one item of its lists may be refused with, in groups.
    pub item_refusals: &'static [&'static [Code]],
}

/// What a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// JSON of the named type; with an example.
    Json(&'static str, &'static str),
    /// JSON as above, or nothing, which is the same as `{}`.
    OptionalJson(&'static str, &'static str),
    /// JSON of the named type, or a list of up to 1,000 of it; with an example of one and of a list.
    OneOrList(&'static str, &'static str, &'static str),
    /// A list of up to 1,000 of the named type; with an example.
    List(&'static str, &'static str),
    /// One job, a list of jobs, or an NDJSON stream of jobs.
    Enqueue,
}

/// An answer that is not a refusal.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// When it is given.
    pub when: &'static str,
    /// The name of its type; empty for plain text and for streams of events.
    pub schema: &'static str,
    /// An example of it.
    pub example: &'static str,
}

impl Operation {
    /// The operation that the table has for a request: its method, and its path with or without a query.
    pub fn of_request(method: &str, target: &str) -> Option<&'static Operation> {
        let path = target.split('?').next().unwrap_or_default();
        let method = if method == "HEAD" { "GET" } else { method };
        let fits = |template: &str| {
            let (template, path): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            template.len() == path.len()
                && template.iter().zip(path).all(|(part, found)| part.starts_with('{') || *part == found)
        };
        // A path without a placeholder is meant before one with.
        let mut found: Vec<_> = OPERATIONS
            .iter()
            .filter(|operation| operation.method == method && fits(operation.path))
            .collect();
        found.sort_by_key(|operation| operation.path.contains('{'));
        found.first().copied()
    }

    /// Whether it changes anything, and so takes an `Idempotency-Key`.
    pub fn changes(&self) -> bool {
        self.method != "GET"
    }

    /// Every code the whole call may be refused with.
    pub fn codes(&self) -> impl Iterator<Item = Code> {
        self.refusals.iter().copied().flatten().copied()
    }

    /// Every code one item of its lists may be refused with.
    pub fn item_codes(&self) -> impl Iterator<Item = Code> {
        self.item_refusals.iter().copied().flatten().copied()
    }
}

/// Every path refuses a query parameter it does not have, and an id or a name in the path that cannot be one.
const ANY: &[Code] = &[
    Code::UnknownField,
    Code::InvalidValue,
    Code::MethodNotAllowed,
    Code::TooManyConnections,
    Code::Internal,
];
/// The body is not what it should be.
const BODY: &[Code] = &[
    Code::InvalidJson,
    Code::WrongType,
    Code::MissingField,
    Code::TooManyItems,
    Code::BodyTooLarge,
    Code::PayloadTooLarge,
    Code::BodyTimeout,
    Code::UnsupportedMediaType,
];
/// The engine is busy or going.
const ENGINE: &[Code] =
    &[Code::InboxFull, Code::WaitersFull, Code::ShuttingDown, Code::Unavailable, Code::OutcomeUnknown];
/// Something is to be changed, perhaps under an idempotency key.
const CHANGE: &[Code] = &[Code::DiskFull, Code::IdempotencyMismatch, Code::IdempotencyFull];
/// A job is to be accepted.
const ENQUEUE: &[Code] = &[
    Code::UniqueConflict,
    Code::QueueFull,
    Code::ShardFull,
    Code::TooManyQueues,
    Code::TooManyKinds,
    Code::TooFarAhead,
    Code::AlreadyExpired,
];
/// The item itself is not what it should be.
const ITEM: &[Code] = &[
    Code::InvalidJson,
    Code::UnknownField,
    Code::WrongType,
    Code::MissingField,
    Code::InvalidValue,
    Code::TooManyItems,
    Code::PayloadTooLarge,
];
/// What an attempt's token can meet.
const SETTLE: &[Code] = &[Code::JobNotFound, Code::StaleToken, Code::NotLeased, Code::JobEnded];
/// Units are wanted.
const GRANT: &[Code] = &[
    Code::PoolNotFound,
    Code::NotOpen,
    Code::Closed,
    Code::GroupUnknown,
    Code::LimitReached,
    Code::SoldOut,
    Code::QuotaFull,
    Code::TooManyHolders,
    Code::TooManyGrants,
];
/// What is wanted of a pool must be remembered.
const ROOM: &[Code] = &[Code::ShardFull];
/// A place in line is wanted.
const JOIN: &[Code] = &[
    Code::PoolNotFound,
    Code::NotOpen,
    Code::Closed,
    Code::GroupUnknown,
    Code::LimitReached,
    Code::WaitlistOff,
    Code::NeverFits,
    Code::WaitlistFull,
    Code::TooManyHolders,
    Code::TooManyGrants,
];
/// What only a line can meet, where units are wanted too.
const LINE: &[Code] = &[Code::WaitlistOff, Code::NeverFits, Code::WaitlistFull, Code::AlreadyWaiting];
/// What a grant's id can meet.
const OF_GRANT: &[Code] = &[Code::GrantUnknown, Code::HoldLapsed, Code::GrantEnded];
const NOT_HELD: &[Code] = &[Code::NotHeld, Code::IsOffer];
const SAME_POOL: &[Code] = &[Code::SamePool];
const NOT_WAITING: &[Code] = &[Code::NotWaiting];
const POOL: &[Code] = &[Code::PoolNotFound];
/// What a condition can meet that operations cannot.
const CONDITION: &[Code] =
    &[Code::HasPool, Code::LacksPool, Code::UnitsReached, Code::VersionChanged, Code::JobStateChanged];
const JOB: &[Code] = &[Code::JobNotFound];
const QUEUE: &[Code] = &[Code::QueueNotFound];

const READ: &[&[Code]] = &[ANY, ENGINE];
const READ_QUEUE: &[&[Code]] = &[ANY, ENGINE, QUEUE];
const WRITE: &[&[Code]] = &[ANY, BODY, ENGINE, CHANGE];
const WRITE_QUEUE: &[&[Code]] = &[ANY, BODY, ENGINE, CHANGE, QUEUE];
const SETTLE_ITEMS: &[&[Code]] = &[ITEM, SETTLE, ENGINE];
const NONE: &[&[Code]] = &[];

const fn ok(schema: &'static str, example: &'static str) -> Answer {
    Answer { status: 200, when: "Done.", schema, example }
}

const fn operation(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    body: Body,
    answers: &'static [Answer],
    refusals: &'static [&'static [Code]],
) -> Operation {
    Operation { id, method, path, summary, query: &[], body, answers, refusals, item_refusals: NONE }
}

const QUEUE_EXAMPLE: &str = r#"{"name":"emails","paused":false,"config":{"retry":{"max_attempts":5,"delay_ms":30000,"factor":2.0,"delay_max_ms":3600000,"jitter_percent":20},"lease_ms":30000,"on_failure":"block","retain_ms":3600000,"retain_max":100000},"counts":{"scheduled":0,"ready":41,"leased":4,"completed":1200,"dead":1,"cancelled":0},"oldest_ready_age_ms":1730,"arrival_per_s":210.5,"completion_per_s":230.0,"drain_ms":2103,"keys_paused":0,"keys_parked":0,"as_of":"2026-11-22T13:00:00.123Z"}"#;
const JOB_PAGE_EXAMPLE: &str = r#"{"jobs":[{"id":"0-7","queue":"emails","kind":"welcome","state":"dead","priority":5,"attempt":5,"max_attempts":5,"enqueued_at":"2026-11-22T12:00:00.000Z","ended_at":"2026-11-22T13:00:00.000Z","reason":"attempts_exhausted"}],"cursor":"MC04"}"#;
const POOL_EXAMPLE: &str = r#"{"name":"cs101-a@autumn","state":"open","free":3,"held":2,"taken":25,"waiting":0,"groups":[{"group":"first-years","units":20,"units_max":20}],"config":{"capacity":30,"holder_units_max":1,"hold_ms":300000,"hold_ms_max":3600000,"offer_ms":300000,"waitlist_max":20,"opening":"fifo","offer_queue":"offers@autumn","quotas":[{"group":"first-years","units_max":20}],"attributes":{"title":"Databases"}},"version":12,"as_of":"2026-11-22T13:00:00.123Z"}"#;
const POOL_LIST_EXAMPLE: &str = r#"{"pools":[{"name":"cs101-a@autumn","state":"upcoming","free":30,"held":0,"taken":0,"waiting":2,"config":{"capacity":30,"holder_units_max":1,"hold_ms":300000,"hold_ms_max":3600000,"offer_ms":300000,"waitlist_max":20,"opens_at":"2026-12-01T08:00:00.000Z","opening":"shuffle"},"version":3,"commitment":"c62e4615bd39e222572f3a1bf7c2132ea1e65b17ec805047bd6b2842c593493f","as_of":"2026-11-22T13:00:00.123Z"}],"missing":["cs101-z@autumn"]}"#;
const POOL_NEWS_EXAMPLE: &str = r#"{"name":"cs101-a@autumn","missed":2,"pool":{"name":"cs101-a@autumn","state":"open","free":3,"held":2,"taken":25,"waiting":0,"config":{"capacity":30,"holder_units_max":1,"hold_ms":300000,"hold_ms_max":3600000,"offer_ms":300000,"waitlist_max":20,"opening":"fifo"},"version":12,"as_of":"2026-11-22T13:00:00.123Z"}}"#;
const HELD_EXAMPLE: &str = r#"{"id":"0-7","pool":"cs101-a@autumn","holder":"anna","units":1,"state":"held","fence":7,"granted_at":"2026-11-22T13:00:00.123Z","expires_at":"2026-11-22T13:05:00.123Z","extendable_until":"2026-11-22T14:00:00.123Z","offered":true,"offer_job":"0-42","version":12}"#;
const TAKEN_EXAMPLE: &str = r#"{"id":"0-7","pool":"cs101-a@autumn","holder":"anna","units":1,"state":"taken","fence":7,"granted_at":"2026-11-22T13:00:00.123Z","version":12}"#;
const GRANT_PAGE_EXAMPLE: &str = r#"{"grants":[{"id":"0-7","pool":"cs101-a@autumn","holder":"anna","units":1,"state":"taken","fence":7,"granted_at":"2026-11-22T13:00:00.123Z"},{"id":"0-9","pool":"cs101-a@autumn","holder":"bert","units":1,"state":"held","fence":9,"granted_at":"2026-11-22T13:00:02.123Z","expires_at":"2026-11-22T13:05:02.123Z","extendable_until":"2026-11-22T14:00:02.123Z","offered":true,"offer_job":"0-42"}],"cursor":"a"}"#;
const LINE_PAGE_EXAMPLE: &str = r#"{"line":[{"pool":"cs101-a@autumn","holder":"carl","state":"waiting","number":3,"ahead":0,"units":1,"joined_at":"2026-11-22T13:00:02.123Z"},{"pool":"cs101-a@autumn","holder":"dora","state":"waiting","number":5,"ahead":1,"units":2,"group":"first-years","joined_at":"2026-11-22T13:00:03.123Z"}],"cursor":"8000000000000000-6"}"#;
const HOLDER_EXAMPLE: &str = r#"{"holder":"anna","grants":[{"id":"0-7","pool":"cs101-a@autumn","holder":"anna","units":1,"state":"taken","fence":7,"granted_at":"2026-11-22T13:00:00.123Z"}],"waiting":[{"pool":"cs102@autumn","holder":"anna","state":"waiting","number":3,"ahead":1,"units":1,"joined_at":"2026-11-22T13:00:02.123Z"}],"story":[{"at":"2026-11-22T13:00:00.123Z","what":"taken","pool":"cs101-a@autumn","grant":"0-7","units":1,"version":12,"number":31},{"at":"2026-11-22T13:00:01.123Z","what":"refused","pool":"cs102@autumn","asked":"take","error":{"code":"sold_out","detail":"No unit is free.","value":0,"version":8},"version":8,"number":32}]}"#;

const GRANTED: Answer =
    Answer { status: 201, when: "This is the grant.", schema: "Grant", example: TAKEN_EXAMPLE };
const WAITS: Answer = Answer {
    status: 202,
    when: "There is nothing just now; the holder waits in line.",
    schema: "Waiting",
    example: r#"{"pool":"cs101-a@autumn","holder":"bert","state":"waiting","number":7,"ahead":3,"version":12}"#,
};
const WISHES_DONE: Answer = Answer {
    status: 200,
    when: "The list was worked through, item by item.",
    schema: "PoolResults",
    example: r#"{"results":[{"id":"0-7","pool":"cs101-a@autumn","holder":"anna","units":1,"state":"taken","fence":7,"granted_at":"2026-11-22T13:00:00.123Z","version":12},{"error":{"code":"sold_out","detail":"No unit is free.","value":0,"version":12}}]}"#,
};

/// Every call.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        answers: &[
            Answer {
                status: 201,
                when: "The one job was accepted.",
                schema: "Enqueued",
                example: r#"{"id":"0-42","queue":"emails","state":"ready"}"#,
            },
            Answer {
                status: 200,
                when: "The list or stream was worked through, item by item; or the one job's unique key is held, and its \
                       holder is the answer. A stream's answer is a stream too, one result a line.",
                schema: "EnqueueAnswer",
                example: r#"{"results":[{"id":"0-43","state":"ready"},{"error":{"code":"invalid_value","detail":"`priority` cannot be 12; allowed: 0 to 9.","field":"priority","value":12,"allowed":"0 to 9"}}]}"#,
            },
        ],
        item_refusals: &[ITEM, ENQUEUE, ENGINE, &[Code::DiskFull]],
        ..operation(
            "enqueue",
            "POST",
            "/v1/queues/{queue}/jobs",
            "Accepts jobs: one, a list of up to 1,000, or a stream.",
            Body::Enqueue,
            &[],
            &[ANY, BODY, ENGINE, CHANGE, ENQUEUE],
        )
    },
    operation(
        "lease",
        "POST",
        "/v1/leases",
        "Hands out jobs to work on, waiting for them if asked to.",
        Body::Json(
            "LeaseRequest",
            r#"{"queues":["emails"],"max":10,"wait_ms":1000,"lease_ms":30000,"worker":"w1"}"#,
        ),
        &[ok(
            "LeaseAnswer",
            r#"{"jobs":[{"id":"0-42","queue":"emails","kind":"welcome","payload":{"to":"ada"},"priority":5,"attempt":1,"max_attempts":5,"token":17,"lease_expires_at":"2026-11-22T13:00:30.123Z","enqueued_at":"2026-11-22T13:00:00.100Z"}]}"#,
        )],
        WRITE,
    ),
    Operation {
        item_refusals: SETTLE_ITEMS,
        ..operation(
            "complete",
            "POST",
            "/v1/jobs/complete",
            "Says that attempts did what they should.",
            Body::Json("CompleteRequest", r#"{"jobs":[{"id":"0-42","token":17,"result":{"sent":true}}]}"#),
            &[ok("SettleResults", r#"{"results":[{"id":"0-42","state":"completed"}]}"#)],
            WRITE,
        )
    },
    Operation {
        item_refusals: SETTLE_ITEMS,
        ..operation(
            "fail",
            "POST",
            "/v1/jobs/fail",
            "Says that attempts failed: the jobs are retried, or dead.",
            Body::Json(
                "FailRequest",
                r#"{"jobs":[{"id":"0-42","token":17,"error":{"message":"connection refused","kind":"smtp","dependency":"mail"}}]}"#,
            ),
            &[ok(
                "SettleResults",
                r#"{"results":[{"id":"0-42","state":"scheduled","run_at":"2026-11-22T13:00:31.123Z"}]}"#,
            )],
            WRITE,
        )
    },
    Operation {
        item_refusals: SETTLE_ITEMS,
        ..operation(
            "extend",
            "POST",
            "/v1/jobs/extend",
            "Prolongs leases: heartbeats, which may carry progress.",
            Body::Json(
                "ExtendRequest",
                r#"{"jobs":[{"id":"0-42","token":17,"lease_ms":30000,"progress":{"percent":40}}]}"#,
            ),
            &[ok(
                "SettleResults",
                r#"{"results":[{"id":"0-42","state":"leased","lease_expires_at":"2026-11-22T13:01:00.123Z"}]}"#,
            )],
            WRITE,
        )
    },
    Operation {
        item_refusals: SETTLE_ITEMS,
        ..operation(
            "release",
            "POST",
            "/v1/jobs/release",
            "Gives jobs back; the attempts do not count.",
            Body::Json("ReleaseRequest", r#"{"jobs":[{"id":"0-42","token":17}]}"#),
            &[ok("SettleResults", r#"{"results":[{"id":"0-42","state":"ready"}]}"#)],
            WRITE,
        )
    },
    Operation {
        item_refusals: SETTLE_ITEMS,
        ..operation(
            "work",
            "POST",
            "/v1/work",
            "Completes, fails, extends, releases and leases in one round trip.",
            Body::Json(
                "WorkRequest",
                r#"{"complete":[{"id":"0-42","token":17}],"lease":{"queues":["emails"],"max":10,"wait_ms":1000}}"#,
            ),
            &[ok("WorkAnswer", r#"{"complete":[{"id":"0-42","state":"completed"}],"jobs":[]}"#)],
            WRITE,
        )
    },
    operation(
        "transact",
        "POST",
        "/v1/transactions",
        "Accepts and completes jobs, and grants what is scarce: all of it or nothing.",
        Body::Json(
            "TransactionRequest",
            r#"{"if":[{"has_none":{"holder":"anna","pools":["cs101-b@autumn"]}}],"do":[{"take":{"pool":"cs101-a@autumn","holder":"anna"}},{"enqueue":{"queue":"mail@autumn","kind":"enrolled","payload":{"student":"anna"}}}]}"#,
        ),
        &[ok(
            "TransactionAnswer",
            r#"{"results":[{"id":"0-7","pool":"cs101-a@autumn","holder":"anna","units":1,"state":"taken","fence":7,"granted_at":"2026-11-22T13:00:00.123Z","version":12},{"id":"0-42","queue":"mail@autumn","state":"ready"}]}"#,
        )],
        &[
            ANY,
            BODY,
            ENGINE,
            CHANGE,
            ENQUEUE,
            SETTLE,
            GRANT,
            LINE,
            OF_GRANT,
            NOT_HELD,
            SAME_POOL,
            NOT_WAITING,
            CONDITION,
            &[Code::TransactionSpansShards],
        ],
    ),
    Operation {
        query: crate::query::WaitQuery::PARAMETERS,
        ..operation(
            "get_job",
            "GET",
            "/v1/jobs/{id}",
            "Shows a job, waiting for its end if asked to.",
            Body::None,
            &[ok(
                "Job",
                r#"{"id":"0-42","queue":"emails","kind":"welcome","state":"ready","priority":5,"payload":{"to":"ada"},"attempt":0,"max_attempts":5,"enqueued_at":"2026-11-22T13:00:00.100Z","waiting_for":"worker","position":12,"estimated_wait_ms":52}"#,
            )],
            &[ANY, ENGINE, JOB],
        )
    },
    Operation {
        query: crate::query::JobsQuery::PARAMETERS,
        ..operation(
            "list_jobs",
            "GET",
            "/v1/jobs",
            "Lists jobs by queue, state, kind, ordering key and age.",
            Body::None,
            &[ok("JobPage", JOB_PAGE_EXAMPLE)],
            READ_QUEUE,
        )
    },
    operation(
        "cancel_job",
        "POST",
        "/v1/jobs/{id}/cancel",
        "Takes a job back; if it is leased, its worker's token is void.",
        Body::None,
        &[ok("JobStateAnswer", r#"{"id":"0-42","state":"cancelled"}"#)],
        &[ANY, BODY, ENGINE, CHANGE, JOB, &[Code::JobEnded]],
    ),
    operation(
        "edit_job",
        "POST",
        "/v1/jobs/{id}/edit",
        "Gives a dead job another payload.",
        Body::Json("EditJob", r#"{"payload":{"to":"ada@example.org"}}"#),
        &[ok(
            "Job",
            r#"{"id":"0-42","queue":"emails","kind":"welcome","state":"dead","priority":5,"payload":{"to":"ada@example.org"},"attempt":5,"max_attempts":5,"enqueued_at":"2026-11-22T13:00:00.100Z","ended_at":"2026-11-22T13:09:00.100Z","reason":"attempts_exhausted"}"#,
        )],
        &[ANY, BODY, ENGINE, CHANGE, JOB, &[Code::NotDead]],
    ),
    operation(
        "list_queues",
        "GET",
        "/v1/queues",
        "Lists all queues.",
        Body::None,
        &[ok(
            "QueueList",
            r#"{"queues":[{"name":"emails","paused":false,"counts":{"scheduled":0,"ready":41,"leased":4,"completed":1200,"dead":1,"cancelled":0},"oldest_ready_age_ms":1730,"arrival_per_s":210.5,"completion_per_s":230.0,"drain_ms":2103}]}"#,
        )],
        READ,
    ),
    operation(
        "get_queue",
        "GET",
        "/v1/queues/{queue}",
        "Shows how a queue stands.",
        Body::None,
        &[ok("Queue", QUEUE_EXAMPLE)],
        READ_QUEUE,
    ),
    operation(
        "configure_queue",
        "PUT",
        "/v1/queues/{queue}",
        "Gives a queue its whole configuration; creates the queue if it is not there.",
        Body::Json(
            "QueueConfig",
            r#"{"retry":{"max_attempts":3,"delay_ms":1000},"lease_ms":60000,"jobs_max":100000}"#,
        ),
        &[ok("Queue", QUEUE_EXAMPLE)],
        &[ANY, BODY, ENGINE, CHANGE, &[Code::TooManyQueues]],
    ),
    operation(
        "pause_queue",
        "POST",
        "/v1/queues/{queue}/pause",
        "Stops handing out a queue's jobs, or one ordering key's.",
        Body::OptionalJson("PauseRequest", r#"{"ordering_key":"customer-7"}"#),
        &[ok("PauseAnswer", QUEUE_EXAMPLE)],
        WRITE_QUEUE,
    ),
    operation(
        "resume_queue",
        "POST",
        "/v1/queues/{queue}/resume",
        "Goes on handing out a queue's jobs, or one ordering key's.",
        Body::OptionalJson("PauseRequest", r#"{"ordering_key":"customer-7"}"#),
        &[ok("PauseAnswer", QUEUE_EXAMPLE)],
        WRITE_QUEUE,
    ),
    Operation {
        query: crate::query::DeadQuery::PARAMETERS,
        ..operation(
            "list_dead",
            "GET",
            "/v1/queues/{queue}/dead",
            "Lists a queue's dead jobs by kind, cause and reason.",
            Body::None,
            &[ok("JobPage", JOB_PAGE_EXAMPLE)],
            READ_QUEUE,
        )
    },
    operation(
        "list_causes",
        "GET",
        "/v1/queues/{queue}/dead/causes",
        "Groups a queue's dead jobs by what they died of.",
        Body::None,
        &[ok(
            "CauseList",
            r#"{"causes":[{"cause":"00c0ffee00c0ffee","kind":"welcome","reason":"attempts_exhausted","error_kind":"smtp","message":"connection refused","count":12,"first_at":"2026-11-22T12:00:00.000Z","last_at":"2026-11-22T13:00:00.000Z","sample_id":"0-7"}]}"#,
        )],
        READ_QUEUE,
    ),
    operation(
        "redrive_dead",
        "POST",
        "/v1/queues/{queue}/dead/redrive",
        "Moves dead jobs back to work, at a rate, until they die again.",
        Body::OptionalJson("RedriveRequest", r#"{"cause":"00c0ffee00c0ffee","rate_per_s":50}"#),
        &[Answer {
            status: 202,
            when: "It is under way, or already done.",
            schema: "RedriveAnswer",
            example: r#"{"redrive":{"queue":"emails","state":"running","started_at":"2026-11-22T13:00:00.123Z","moved":0,"dead_again":0,"rate_per_s":50,"stop_after_dead":10}}"#,
        }],
        WRITE_QUEUE,
    ),
    operation(
        "delete_dead",
        "POST",
        "/v1/queues/{queue}/dead/delete",
        "Deletes dead jobs.",
        Body::Json("DeleteDeadRequest", r#"{"reason":"expired"}"#),
        &[ok("DeletedAnswer", r#"{"deleted":12}"#)],
        WRITE_QUEUE,
    ),
    operation(
        "configure_pool",
        "PUT",
        "/v1/pools/{pool}",
        "Gives a pool its whole configuration; creates the pool if it is not there.",
        Body::Json(
            "PoolConfig",
            r#"{"capacity":30,"waitlist_max":20,"offer_queue":"offers@autumn","opens_at":"2026-12-01T08:00:00Z","opening":"shuffle","attributes":{"title":"Databases"}}"#,
        ),
        &[ok("Pool", POOL_EXAMPLE)],
        &[
            ANY,
            BODY,
            ENGINE,
            CHANGE,
            &[Code::BelowGranted, Code::PoolInUse, Code::NeverOpen, Code::TooFarAhead, Code::TooManyPools],
            &[Code::VersionChanged],
            ROOM,
            // Somebody may have deleted it before it could be shown.
            POOL,
        ],
    ),
    operation(
        "get_pool",
        "GET",
        "/v1/pools/{pool}",
        "Shows how a pool stands. Asks no shard: a flood of readers costs those who are served nothing.",
        Body::None,
        &[ok("Pool", POOL_EXAMPLE)],
        &[ANY, POOL],
    ),
    operation(
        "delete_pool",
        "DELETE",
        "/v1/pools/{pool}",
        "Deletes a pool that nobody has units of or waits for.",
        Body::None,
        &[ok("PoolDeleted", r#"{"deleted":"cs101-a@autumn"}"#)],
        &[ANY, BODY, ENGINE, CHANGE, POOL, &[Code::PoolInUse]],
    ),
    Operation {
        query: crate::pool::query::PoolsQuery::PARAMETERS,
        ..operation(
            "list_pools",
            "GET",
            "/v1/pools",
            "Shows the pools that are named, or a page of all by name. Asks no shard.",
            Body::None,
            &[ok("PoolList", POOL_LIST_EXAMPLE)],
            &[ANY, &[Code::TooManyItems]],
        )
    },
    Operation {
        query: crate::pool::query::WatchQuery::PARAMETERS,
        ..operation(
            "watch_pools",
            "GET",
            "/v1/pools/watch",
            "Tells of changes of the pools that are named, as server-sent events, until the caller goes.",
            Body::None,
            &[Answer {
                status: 200,
                when: "Events named `pool`; the data of each is a `PoolNews`, its id says what was told of each pool. Who \
                       comes again with that as `Last-Event-ID` hears of what is newer. A caller that does not keep up \
                       hears the latest, and how many versions it has missed.",
                schema: "PoolNews",
                example: POOL_NEWS_EXAMPLE,
            }],
            &[ANY, &[Code::MissingField, Code::TooManyItems, Code::WaitersFull, Code::ShuttingDown]],
        )
    },
    operation(
        "resize_pool",
        "POST",
        "/v1/pools/{pool}/resize",
        "Changes a pool's capacity alone.",
        Body::Json("ResizePool", r#"{"capacity":35}"#),
        &[ok("Pool", POOL_EXAMPLE)],
        &[ANY, BODY, ENGINE, CHANGE, POOL, &[Code::BelowGranted]],
    ),
    Operation {
        query: crate::pool::query::GrantsQuery::PARAMETERS,
        ..operation(
            "list_grants",
            "GET",
            "/v1/pools/{pool}/grants",
            "Lists who has units of a pool, by rising fencing number.",
            Body::None,
            &[ok("GrantPage", GRANT_PAGE_EXAMPLE)],
            &[ANY, ENGINE, POOL],
        )
    },
    Operation {
        query: crate::pool::query::PageQuery::PARAMETERS,
        ..operation(
            "list_line",
            "GET",
            "/v1/pools/{pool}/line",
            "Lists who waits for a pool, the first in line in front.",
            Body::None,
            &[ok("LinePage", LINE_PAGE_EXAMPLE)],
            &[ANY, ENGINE, POOL],
        )
    },
    Operation {
        query: crate::pool::query::PageQuery::PARAMETERS,
        ..operation(
            "list_entrants",
            "GET",
            "/v1/pools/{pool}/entrants",
            "Lists those who joined before an opening that drew the order, for anyone to draw again.",
            Body::None,
            &[ok(
                "EntrantPage",
                r#"{"entrants":[{"holder":"anna","number":1,"rank":"370d933c116591ad","waiting":true}],"cursor":"2"}"#,
            )],
            &[ANY, ENGINE, POOL],
        )
    },
    Operation {
        item_refusals: &[ITEM, GRANT, ROOM, ENGINE, &[Code::DiskFull]],
        ..operation(
            "hold",
            "POST",
            "/v1/pools/{pool}/hold",
            "Gives holders units until a deadline: one, or a list of up to 1,000, each for itself.",
            Body::OneOrList(
                "HoldWish",
                r#"{"holder":"anna","hold_ms":60000}"#,
                r#"[{"holder":"anna"},{"holder":"bert","units":2}]"#,
            ),
            &[GRANTED, WISHES_DONE],
            &[ANY, BODY, ENGINE, CHANGE, GRANT, ROOM],
        )
    },
    Operation {
        item_refusals: &[ITEM, GRANT, ROOM, ENGINE, &[Code::DiskFull]],
        ..operation(
            "take",
            "POST",
            "/v1/pools/{pool}/take",
            "Gives holders units until they are given back: one, or a list of up to 1,000, each for itself.",
            Body::OneOrList(
                "TakeWish",
                r#"{"holder":"anna"}"#,
                r#"[{"holder":"anna"},{"holder":"bert","units":2}]"#,
            ),
            &[GRANTED, WISHES_DONE],
            &[ANY, BODY, ENGINE, CHANGE, GRANT, ROOM],
        )
    },
    Operation {
        item_refusals: &[ITEM, JOIN, ROOM, ENGINE, &[Code::DiskFull]],
        ..operation(
            "join",
            "POST",
            "/v1/pools/{pool}/join",
            "Puts holders in line: one, or a list of up to 1,000, each for itself. Said twice, the same place.",
            Body::OneOrList(
                "TakeWish",
                r#"{"holder":"bert"}"#,
                r#"[{"holder":"bert"},{"holder":"carl","units":2}]"#,
            ),
            &[
                Answer {
                    status: 201,
                    when: "There was room: this is the offer, to be confirmed before its deadline.",
                    schema: "Grant",
                    example: HELD_EXAMPLE,
                },
                WAITS,
                WISHES_DONE,
            ],
            &[ANY, BODY, ENGINE, CHANGE, JOIN, ROOM],
        )
    },
    Operation {
        item_refusals: &[ITEM, POOL, NOT_WAITING, ENGINE, &[Code::DiskFull]],
        ..operation(
            "leave",
            "POST",
            "/v1/pools/{pool}/leave",
            "Takes holders out of the line: one, or a list of up to 1,000, each for itself.",
            Body::OneOrList("LeaveWish", r#"{"holder":"bert"}"#, r#"[{"holder":"bert"},{"holder":"carl"}]"#),
            &[Answer {
                status: 200,
                when: "It waits no more; or the list was worked through, item by item.",
                schema: "LeaveAnswer",
                example: r#"{"pool":"cs101-a@autumn","holder":"bert","state":"left","number":7,"version":13}"#,
            }],
            &[ANY, BODY, ENGINE, CHANGE, POOL, NOT_WAITING],
        )
    },
    Operation {
        item_refusals: &[
            ITEM,
            GRANT,
            LINE,
            OF_GRANT,
            NOT_HELD,
            SAME_POOL,
            NOT_WAITING,
            ENGINE,
            &[Code::DiskFull],
        ],
        ..operation(
            "request_pools",
            "POST",
            "/v1/pools/requests",
            "Does up to 1,000 things with pools and grants, each for itself.",
            Body::List(
                "PoolRequest",
                r#"[{"take":{"pool":"cs101-a@autumn","holder":"anna"}},{"release":{"id":"0-3"}},{"swap":{"id":"0-4","pool":"cs101-b@autumn","when_offered":true}}]"#,
            ),
            &[WISHES_DONE],
            &[ANY, BODY, ENGINE, CHANGE, &[Code::TransactionSpansShards]],
        )
    },
    operation(
        "get_grant",
        "GET",
        "/v1/grants/{id}",
        "Shows a grant, for an hour after its end too.",
        Body::None,
        &[ok("Grant", HELD_EXAMPLE)],
        &[ANY, ENGINE, &[Code::GrantUnknown]],
    ),
    operation(
        "confirm_grant",
        "POST",
        "/v1/grants/{id}/confirm",
        "Takes what is held. Said twice, the same answer.",
        Body::None,
        &[ok("Grant", TAKEN_EXAMPLE)],
        &[ANY, BODY, ENGINE, CHANGE, OF_GRANT],
    ),
    operation(
        "extend_grant",
        "POST",
        "/v1/grants/{id}/extend",
        "Holds for longer: a later deadline, at most the ceiling, never an earlier one.",
        Body::OptionalJson("ExtendWish", r#"{"hold_ms":60000}"#),
        &[ok("Grant", HELD_EXAMPLE)],
        &[ANY, BODY, ENGINE, CHANGE, OF_GRANT, NOT_HELD],
    ),
    operation(
        "release_grant",
        "POST",
        "/v1/grants/{id}/release",
        "Gives units back, held or taken. An offer is declined by this.",
        Body::None,
        &[ok(
            "Grant",
            r#"{"id":"0-7","pool":"cs101-a@autumn","holder":"anna","units":1,"state":"released","fence":7,"granted_at":"2026-11-22T13:00:00.123Z","version":13}"#,
        )],
        &[ANY, BODY, ENGINE, CHANGE, OF_GRANT],
    ),
    operation(
        "swap_grant",
        "POST",
        "/v1/grants/{id}/swap",
        "Gives a grant for one of another pool, held or taken as it was; if that cannot be had, it is kept.",
        Body::Json("SwapWish", r#"{"pool":"cs101-b@autumn","when_offered":true}"#),
        &[GRANTED, WAITS],
        &[ANY, BODY, ENGINE, CHANGE, GRANT, ROOM, LINE, OF_GRANT, SAME_POOL],
    ),
    Operation {
        query: crate::pool::query::PageQuery::PARAMETERS,
        ..operation(
            "get_holder",
            "GET",
            "/v1/holders/{holder}",
            "Tells one holder's whole story: what it has, where it waits, and what happened to it.",
            Body::None,
            &[ok("HolderStory", HOLDER_EXAMPLE)],
            READ,
        )
    },
    operation(
        "live",
        "GET",
        "/healthz",
        "Says that the process lives.",
        Body::None,
        &[Answer { status: 200, when: "It lives.", schema: "", example: "ok" }],
        &[ANY],
    ),
    operation(
        "ready",
        "GET",
        "/readyz",
        "Says whether a write reaches the disk: one did lately, or one is tried.",
        Body::None,
        &[Answer { status: 200, when: "It does.", schema: "", example: "ready" }],
        &[ANY, &[Code::NotReady]],
    ),
    operation(
        "openapi",
        "GET",
        "/openapi.json",
        "This document.",
        Body::None,
        &[Answer { status: 200, when: "OpenAPI 3.1.", schema: "", example: "" }],
        &[ANY],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_call_is_there_once() {
        let ids: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        let places: BTreeSet<_> =
            OPERATIONS.iter().map(|operation| (operation.method, operation.path)).collect();
        assert_eq!((ids.len(), places.len()), (OPERATIONS.len(), OPERATIONS.len()));
    }

    #[test]
    fn every_code_belongs_to_some_call() {
        let used: Vec<Code> =
            OPERATIONS.iter().flat_map(|operation| operation.codes().chain(operation.item_codes())).collect();
        for code in Code::ALL {
            // What is not found has no call to belong to.
            assert!(used.contains(code) || *code == Code::NotFound, "{code}");
        }
    }

    #[test]
    fn no_code_is_listed_twice_for_one_call() {
        for operation in OPERATIONS {
            for codes in [operation.codes().collect::<Vec<_>>(), operation.item_codes().collect()] {
                let unique: BTreeSet<_> = codes.iter().map(|code| code.as_str()).collect();
                assert_eq!(unique.len(), codes.len(), "{}", operation.id);
            }
        }
    }
}
