//! What the door reads and what it refuses, by code and place.

use tidegate_api::dead::{DeleteDeadRequest, RedriveRequest};
use tidegate_api::enqueue::{EnqueueBody, NewJob, NewPayload};
use tidegate_api::job::EditJob;
use tidegate_api::lease::LeaseRequest;
use tidegate_api::limits;
use tidegate_api::queue::{PauseRequest, QueueConfig};
use tidegate_api::read::{Item, Wire, read, read_list, read_utf8};
use tidegate_api::refusal::Code;
use tidegate_api::settle::{Complete, Extend, Fail, Release, read_jobs};
use tidegate_api::transaction::{EnqueueOperation, Operation, TransactionRequest};
use tidegate_api::work::WorkBody;

/// What reading a text as a `T` comes to: `ok`, or the code and the field of the refusal.
fn outcome<'a, T: Wire<'a>>(text: &'a str) -> String {
    match read::<T>(text) {
        Ok(_) => "ok".into(),
        Err(refused) => format!("{} {}", refused.code, refused.field.unwrap_or_default()).trim_end().into(),
    }
}

/// Reads every text as a `T` and compares what it comes to.
macro_rules! check {
    ($type:ty, $($text:expr => $expected:expr,)*) => {
        $(assert_eq!(outcome::<$type>(&$text), $expected, "{}", &$text[..$text.len().min(300)]);)*
    };
}

fn json_text_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[test]
fn a_new_job_needs_nothing_and_takes_everything() {
    check!(NewJob<'_>,
        "{}" => "ok",
        " {\n} " => "ok",
        r#"{"kind":null,"payload":null,"priority":null,"unique":null,"metadata":null}"# => "ok",
        r#"{"kind":"k","payload":[1,{"a":[]}],"priority":0,"run_at":"2026-11-22T13:00:00Z",
            "expires_at":"2027-01-01T00:00:00+01:00","ordering_key":"customer 7","on_failure":"park","fairness_key":"t",
            "unique":{"key":"u","until":"duration","duration_ms":1,"on_conflict":"replace"},
            "retry":{"max_attempts":100,"delay_ms":0,"factor":1.5,"delay_max_ms":1,"jitter_percent":100},
            "dependency":"smtp","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "metadata":{"tenant":"t1"}}"# => "ok",
    );
}

#[test]
fn what_is_wrong_with_a_new_job_is_named_by_code_and_field() {
    check!(NewJob<'_>,
        "" => "invalid_json",
        "{" => "invalid_json",
        "{}x" => "invalid_json",
        r#"{"payload":nul}"# => "invalid_json",
        r#"{"kind":"a","kind":"b"}"# => "invalid_json",
        r#"{"unique":{"key":"a","key":"b"}}"# => "invalid_json",
        "7" => "wrong_type",
        "null" => "wrong_type",
        r#"{"prioritty":1}"# => "unknown_field prioritty",
        r#"{"retry":{"max_attempt":1}}"# => "unknown_field retry.max_attempt",
        r#"{"unique":{}}"# => "missing_field unique.key",
        r#"{"unique":{"key":null}}"# => "wrong_type unique.key",
        r#"{"kind":7}"# => "wrong_type kind",
        r#"{"kind":"a b"}"# => "invalid_value kind",
        r#"{"priority":10}"# => "invalid_value priority",
        r#"{"priority":256}"# => "invalid_value priority",
        r#"{"priority":-1}"# => "invalid_value priority",
        r#"{"priority":123456789012345678901234567890}"# => "invalid_value priority",
        r#"{"priority":1.0}"# => "wrong_type priority",
        r#"{"priority":"1"}"# => "wrong_type priority",
        r#"{"run_at":"tomorrow"}"# => "invalid_value run_at",
        r#"{"run_at":1795352400123}"# => "wrong_type run_at",
        r#"{"run_at":"2026-11-22T13:00:00Z","delay_ms":1}"# => "invalid_value delay_ms",
        r#"{"expires_at":"2026-11-22T13:00:00Z","expires_in_ms":1}"# => "invalid_value expires_in_ms",
        r#"{"expires_in_ms":0}"# => "invalid_value expires_in_ms",
        r#"{"delay_ms":31622400001}"# => "invalid_value delay_ms",
        r#"{"ordering_key":""}"# => "invalid_value ordering_key",
        r#"{"ordering_key":"a\u0000"}"# => "invalid_value ordering_key",
        r#"{"on_failure":"skip"}"# => "invalid_value on_failure",
        r#"{"on_failure":"explode","ordering_key":"k"}"# => "invalid_value on_failure",
        r#"{"unique":{"key":"u","until":"duration"}}"# => "missing_field unique.duration_ms",
        r#"{"unique":{"key":"u","duration_ms":5}}"# => "invalid_value unique.duration_ms",
        r#"{"retry":{"max_attempts":0}}"# => "invalid_value retry.max_attempts",
        r#"{"retry":{"factor":0.5}}"# => "invalid_value retry.factor",
        r#"{"retry":{"factor":"2"}}"# => "wrong_type retry.factor",
        r#"{"retry":[]}"# => "wrong_type retry",
        r#"{"unique":["key"]}"# => "wrong_type unique",
        r#"["welcome"]"# => "wrong_type",
        r#"{"traceparent":"00-xyz"}"# => "invalid_value traceparent",
        r#"{"metadata":{"a":1}}"# => "wrong_type metadata",
        r#"{"metadata":{"a":"1","a":"2"}}"# => "invalid_value metadata",
        r#"{"payload":1,"payload_base64":"AA=="}"# => "invalid_value payload_base64",
        r#"{"payload_base64":"AA"}"# => "invalid_value payload_base64",
    );
}

#[test]
fn an_unknown_field_is_answered_with_the_nearest_known_one() {
    let refused = read::<NewJob<'_>>(r#"{"delay":5000}"#).unwrap_err();
    assert_eq!(refused.detail, "There is no field `delay`; did you mean `delay_ms`?");
    assert_eq!(refused.nearest.as_deref(), Some("delay_ms"));
    let refused = read::<Fail<'_>>(r#"{"id":"0-1","token":1,"error":{"mesage":"m"}}"#).unwrap_err();
    assert_eq!(
        (refused.field.as_deref(), refused.nearest.as_deref()),
        (Some("error.mesage"), Some("message"))
    );
}

#[test]
fn an_out_of_range_value_is_answered_with_what_is_allowed() {
    let by_check = read::<NewJob<'_>>(r#"{"priority":12}"#).unwrap_err();
    let by_serde = read::<NewJob<'_>>(r#"{"priority":300}"#).unwrap_err();
    assert_eq!(by_check.allowed, by_serde.allowed, "whoever finds it says the same");
    assert_eq!(by_check.detail, "`priority` cannot be 12; allowed: 0 to 9.");
    assert_eq!(by_serde.detail, "`priority` cannot be 300; allowed: 0 to 9.");
}

#[test]
fn a_payload_may_have_one_mebibyte_and_not_a_byte_more() {
    let json = |bytes| format!(r#"{{"payload":{}}}"#, json_text_of(bytes));
    let base64 = |bytes: usize| {
        format!(r#"{{"payload_base64":"{}"}}"#, tidegate_api::syntax::encode_base64(&vec![7; bytes]))
    };
    check!(NewJob<'_>,
        json(limits::PAYLOAD_BYTES_MAX) => "ok",
        json(limits::PAYLOAD_BYTES_MAX + 1) => "payload_too_large payload",
        base64(limits::PAYLOAD_BYTES_MAX) => "ok",
        base64(limits::PAYLOAD_BYTES_MAX + 1) => "payload_too_large payload_base64",
    );
}

#[test]
fn a_payload_is_nested_no_deeper_than_its_readers_can_bear() {
    let nested = |depth| format!(r#"{{"payload":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let deep = nested(100_000);
    check!(NewJob<'_>,
        nested(limits::JSON_DEPTH_MAX) => "ok",
        nested(limits::JSON_DEPTH_MAX + 1) => "invalid_value payload",
        &deep => "invalid_value payload",
    );
    let beside_a_mistake = deep.replacen('{', r#"{"nonsense":1,"#, 1);
    check!(NewJob<'_>, beside_a_mistake => "unknown_field nonsense",);
}

#[test]
fn a_payload_is_what_either_field_says() {
    for (text, expected) in [
        ("{}", NewPayload::Json("null")),
        (r#"{"payload":null}"#, NewPayload::Json("null")),
        (r#"{"payload": [ 1 ]}"#, NewPayload::Json("[ 1 ]")),
        (r#"{"payload_base64":"AP8="}"#, NewPayload::Bytes(vec![0, 255])),
    ] {
        assert_eq!(read::<NewJob<'_>>(text).unwrap().payload().unwrap(), expected, "{text}");
    }
}

#[test]
fn names_and_keys_are_borrowed_from_the_body() {
    let job: NewJob<'_> = read(r#"{"kind":"welcome","ordering_key":"k","fairness_key":"\u0066"}"#).unwrap();
    let borrowed = [job.kind, job.ordering_key, job.fairness_key].map(|text| text.unwrap().is_borrowed());
    assert_eq!(borrowed, [true, true, false], "only an escape costs a copy");
}

/// The items of a list: `ok`, or the code and the field of each.
fn items<T>(items: Vec<Item<T>>) -> Vec<String> {
    items
        .into_iter()
        .map(|item| match item {
            Ok(_) => "ok".into(),
            Err(bad) => {
                let field = bad.refusal.field.unwrap_or_default();
                format!("{}{} {field}", bad.id.map(|id| id + ": ").unwrap_or_default(), bad.refusal.code)
            }
        })
        .collect()
}

#[test]
fn a_bad_item_of_a_list_is_refused_alone() {
    let read = |text: &str| items(read_list::<NewJob<'_>>(text).unwrap());
    assert_eq!(read("[]"), [""; 0]);
    assert_eq!(read(r#"[{},["welcome"],{}]"#), ["ok", "wrong_type ", "ok"]);
    assert_eq!(read(r#"[{},{"priority":12},{}]"#), ["ok", "invalid_value priority", "ok"]);
    assert_eq!(
        read(r#"[{},{"prioritty":1},7,{"kind":"a","kind":"b"},{"unique":{}},{}]"#),
        ["ok", "unknown_field prioritty", "wrong_type ", "invalid_json ", "missing_field unique.key", "ok"]
    );
}

#[test]
fn a_list_that_is_not_json_is_refused_as_a_whole() {
    for text in ["[", "[{}", "[{},]", "[{}]x", r#"[{"kind":}]"#, r#"[{"prioritty":1},{]"#] {
        assert_eq!(read_list::<NewJob<'_>>(text).unwrap_err().code, Code::InvalidJson, "{text}");
    }
}

#[test]
fn a_list_may_have_a_thousand_items_and_not_one_more() {
    let list = |count: usize, item: &str| format!("[{}]", vec![item; count].join(","));
    let (full, over) = (list(limits::LIST_ITEMS_MAX, "{}"), list(limits::LIST_ITEMS_MAX + 1, "{}"));
    assert_eq!(read_list::<NewJob<'_>>(&full).unwrap().len(), limits::LIST_ITEMS_MAX);
    let refused = read_list::<NewJob<'_>>(&over).unwrap_err();
    assert_eq!(refused.code, Code::TooManyItems);
    assert_eq!(refused.detail, "The list has 1001 items; at most 1000 are taken.");
    let bad = list(limits::LIST_ITEMS_MAX + 1, "7");
    assert_eq!(
        read_list::<NewJob<'_>>(&bad).unwrap_err().code,
        Code::TooManyItems,
        "also when read patiently"
    );
}

#[test]
fn a_body_is_a_list_if_it_begins_like_one() {
    assert!(matches!(EnqueueBody::read(" \n[]").unwrap(), EnqueueBody::List(items) if items.is_empty()));
    assert!(matches!(EnqueueBody::read("{}").unwrap(), EnqueueBody::One(_)));
    assert_eq!(EnqueueBody::read("").unwrap_err().code, Code::InvalidJson);
    assert_eq!(read_utf8(b"{\"kind\":\"\xff\"}").unwrap_err().code, Code::InvalidJson);
}

#[test]
fn a_lease_request_is_checked_place_by_place() {
    let of = |queues: usize| format!(r#"{{"queues":[{}]}}"#, vec!["\"q\""; queues].join(","));
    check!(LeaseRequest<'_>,
        r#"{"queues":["a"],"max":1000,"wait_ms":60000,"lease_ms":43200000,"worker":"w 1","kinds":["k"]}"# => "ok",
        of(64) => "ok",
        of(65) => "too_many_items queues",
        of(0) => "invalid_value queues",
        "{}" => "missing_field queues",
        r#"{"queues":"a"}"# => "wrong_type queues",
        r#"{"queues":["a",7]}"# => "wrong_type queues[1]",
        r#"{"queues":["a","b c"]}"# => "invalid_value queues[1]",
        r#"{"queues":["a"],"kinds":[]}"# => "invalid_value kinds",
        r#"{"queues":["a"],"max":0}"# => "invalid_value max",
        r#"{"queues":["a"],"max":1001}"# => "invalid_value max",
        r#"{"queues":["a"],"wait_ms":60001}"# => "invalid_value wait_ms",
        r#"{"queues":["a"],"lease_ms":999}"# => "invalid_value lease_ms",
        r#"{"queues":["a"],"worker":"\n"}"# => "invalid_value worker",
    );
}

#[test]
fn settling_items_are_checked_one_by_one_and_keep_their_ids() {
    let result = json_text_of(limits::RESULT_BYTES_MAX + 1);
    let text = format!(
        r#"{{"jobs":[{{"id":"0-1","token":1}},{{"id":"0-2","token":0}},{{"id":"0-3"}},{{"id":"x","token":1}},
            {{"id":"0-4","token":1,"result":{result}}},{{"token":1}},{{"id":7,"token":1}}]}}"#
    );
    assert_eq!(
        items(read_jobs::<Complete<'_>>(&text).unwrap()),
        [
            "ok",
            "0-2: invalid_value token",
            "0-3: missing_field token",
            "x: invalid_value id",
            "0-4: payload_too_large result",
            "missing_field id",
            "wrong_type id",
        ]
    );
}

#[test]
fn every_sort_of_settling_has_its_fields() {
    check!(Fail<'_>,
        r#"{"id":"0-1","token":1,"error":{"message":"m","kind":"k","dependency":"d"},"retry_after_ms":0}"# => "ok",
        r#"{"id":"0-1","token":1,"error":{"message":"m\nn"},"fatal":true}"# => "ok",
        r#"{"id":"0-1","token":1,"error":{"message":"m"},"fatal":true,"retry_after_ms":1}"# => "invalid_value retry_after_ms",
        r#"{"id":"0-1","token":1,"error":"m"}"# => "wrong_type error",
        r#"{"id":"0-1","token":1}"# => "missing_field error",
        r#"{"id":"0-1","token":1,"error":{"message":"m","kind":"k k"}}"# => "invalid_value error.kind",
        r#"{"id":"0-1","token":1,"error":{"message":"m"},"fatal":1}"# => "wrong_type fatal",
    );
    let progress = |bytes| format!(r#"{{"id":"0-1","token":1,"progress":{}}}"#, json_text_of(bytes));
    check!(Extend<'_>,
        progress(limits::PROGRESS_BYTES_MAX) => "ok",
        progress(limits::PROGRESS_BYTES_MAX + 1) => "payload_too_large progress",
        r#"{"id":"0-1","token":1,"lease_ms":1}"# => "invalid_value lease_ms",
    );
    check!(Release,
        r#"{"id":"0-1","token":9007199254740991}"# => "ok",
        r#"{"id":"0-1","token":9007199254740992}"# => "invalid_value token",
        r#"{"id":"0-1","token":1,"result":1}"# => "unknown_field result",
    );
}

#[test]
fn the_envelope_of_a_settling_list_is_checked_too() {
    for (text, code, field) in [
        ("{}", Code::MissingField, "jobs"),
        ("[[]]", Code::WrongType, ""),
        (r#"{"jobs":{}}"#, Code::WrongType, "jobs"),
        (r#"{"jobs":[],"job":1}"#, Code::UnknownField, "job"),
        (r#"{"jobs":[]"#, Code::InvalidJson, ""),
    ] {
        let refused = read_jobs::<Complete<'_>>(text).unwrap_err();
        assert_eq!((refused.code, refused.field.as_deref().unwrap_or_default()), (code, field), "{text}");
    }
    let over = format!(r#"{{"jobs":[{}]}}"#, vec![r#"{"id":"0-1","token":1}"#; 1_001].join(","));
    let refused = read_jobs::<Release>(&over).unwrap_err();
    assert_eq!((refused.code, refused.field.as_deref()), (Code::TooManyItems, Some("jobs")));
}

#[test]
fn an_error_message_is_cut_between_characters() {
    let text = format!(r#"{{"id":"0-1","token":1,"error":{{"message":"{}"}}}}"#, "€".repeat(1_000));
    let fail: Fail<'_> = read(&text).unwrap();
    assert_eq!(fail.error.message_kept(), "€".repeat(limits::ERROR_MESSAGE_BYTES_KEPT / 3));
}

#[test]
fn a_worker_can_say_everything_at_once() {
    let body = WorkBody::read(
        r#"{"complete":[{"id":"0-1","token":1},{"id":"0-2"}],
            "fail":[{"id":"0-3","token":3,"error":{"message":"m"}}],
            "extend":[],"release":null,"lease":{"queues":["a"]}}"#,
    )
    .unwrap();
    assert_eq!(items(body.complete.unwrap()), ["ok", "0-2: missing_field token"]);
    assert_eq!(items(body.fail.unwrap()), ["ok"]);
    assert_eq!(items(body.extend.unwrap()), [""; 0]);
    assert!(body.release.is_none());
    assert_eq!(body.lease.unwrap().max(), 1);

    for (text, code, field) in [
        (r#"{"lease":{"queues":["a b"]}}"#, Code::InvalidValue, "lease.queues[0]"),
        (r#"{"lease":{"queues":["a"],"max":0}}"#, Code::InvalidValue, "lease.max"),
        (r#"{"lease":{"queue":["a"]}}"#, Code::UnknownField, "lease.queue"),
        (r#"{"lease":[["a"]]}"#, Code::WrongType, "lease"),
        (r#"{"leases":{}}"#, Code::UnknownField, "leases"),
    ] {
        let refused = WorkBody::read(text).unwrap_err();
        assert_eq!((refused.code, refused.field.as_deref()), (code, Some(field)), "{text}");
        assert!(refused.detail.contains(field), "{}", refused.detail);
    }
}

#[test]
fn queue_and_dead_letter_requests_are_checked() {
    check!(QueueConfig,
        r#"{"retry":{"max_attempts":1},"lease_ms":1000,"on_failure":"skip","jobs_max":1,"retain_ms":0,"retain_max":0}"# => "ok",
        r#"{"jobs_max":0}"# => "invalid_value jobs_max",
        r#"{"retain_max":100000001}"# => "invalid_value retain_max",
        r#"{"retry":{"jitter_percent":101}}"# => "invalid_value retry.jitter_percent",
        r#"{"name":"q"}"# => "unknown_field name",
    );
    check!(PauseRequest<'_>,
        "{}" => "ok",
        r#"{"ordering_key":"k"}"# => "ok",
        r#"{"ordering_key":""}"# => "invalid_value ordering_key",
    );
    check!(EditJob<'_>,
        r#"{"payload":1}"# => "ok",
        r#"{"payload_base64":""}"# => "ok",
        "{}" => "missing_field payload",
    );
    check!(RedriveRequest<'_>,
        "{}" => "ok",
        r#"{"ids":["0-1"],"kind":"k","cause":"00c0ffee00c0ffee","reason":"fatal","before":"2026-11-22T13:00:00Z",
            "rate_per_s":1,"stop_after_dead":0}"# => "ok",
        r#"{"ids":["0-1","0"]}"# => "invalid_value ids[1]",
        r#"{"cause":"coffee"}"# => "invalid_value cause",
        r#"{"reason":"boredom"}"# => "invalid_value reason",
        r#"{"rate_per_s":0}"# => "invalid_value rate_per_s",
    );
    check!(DeleteDeadRequest<'_>,
        r#"{"all":true}"# => "ok",
        r#"{"kind":"k"}"# => "ok",
        "{}" => "missing_field all",
        r#"{"all":false}"# => "missing_field all",
        r#"{"all":true,"kind":"k"}"# => "invalid_value all",
    );
}

#[test]
fn a_transaction_reads_operations_of_every_kind() {
    let text = r#"{"do":[
        {"enqueue":{"payload":{"n": 1.0},"queue":"mail","kind":"receipt","priority":3,"unique":{"key":"u"},
                    "retry":{"max_attempts":2},"metadata":{"a":"\u0062"}}},
        {"complete":{"id":"0-7","token":12,"result":[true]}},
        {"enqueue":{"queue":"mail"}}]}"#;
    let request = TransactionRequest::read(text).unwrap();
    let [Operation::Enqueue(first), Operation::Complete(done), Operation::Enqueue(last)] =
        &request.operations[..]
    else {
        panic!("{request:?}")
    };
    assert_eq!((&*first.queue, first.job.kind.as_deref()), ("mail", Some("receipt")));
    assert_eq!(first.job.payload(), Ok(NewPayload::Json(r#"{"n": 1.0}"#)));
    assert_eq!((done.id.to_string().as_str(), done.token), ("0-7", 12));
    assert_eq!(**last, EnqueueOperation { queue: "mail".into(), job: NewJob::default() });
    let written = serde_json::to_string(&request).unwrap();
    assert_eq!(
        TransactionRequest::read(&written).unwrap(),
        request,
        "what a client writes is read: {written}"
    );
}

#[test]
fn what_is_wrong_with_a_transaction_is_named_by_operation_and_field() {
    let of = |operations: &str| format!(r#"{{"do":[{operations}]}}"#);
    let good = r#"{"enqueue":{"queue":"q"}}"#;
    let with = |operation: &str| of(&format!("{good},{operation}"));
    check!(TransactionRequest<'_>,
        of(good) => "ok",
        of(&vec![good; 100].join(",")) => "ok",
        of(&vec![good; 101].join(",")) => "too_many_items do",
        of(&vec!["[]"; 101].join(",")) => "too_many_items do",
        of("") => "invalid_value do",
        "{}" => "missing_field do",
        r#"{"do":null}"# => "wrong_type do",
        r#"{"do":{}}"# => "wrong_type do",
        format!(r#"{{"do":[{good}],"do":[{good}]}}"#) => "invalid_json",
        format!(r#"{{"do":[{good}],"when":[]}}"#) => "unknown_field when",
        format!(r#"{{"if":[],"do":[{good}]}}"#) => "ok",
        format!(r#"{{"if":null,"do":[{good}]}}"#) => "ok",
        format!(r#"{{"if":[{}],"do":[{good}]}}"#, vec![r#"{"job_is":{"id":"0-1","state":"ready"}}"#; 101].join(","))
            => "too_many_items if",
        format!(r#"{{"if":[{{"has_all":["a",["b"]]}}],"do":[{good}]}}"#) => "wrong_type if[0].has_all",
        format!(r#"{{"if":[{{}}],"do":[{good}]}}"#) => "invalid_value if[0]",
        with(r#"{"take":{"pool":"p","holder":"h","hold_ms":1000}}"#) => "unknown_field do[1].take.hold_ms",
        with(r#"{"hold":{"pool":"p","holder":"h","hold_ms":999}}"#) => "invalid_value do[1].hold.hold_ms",
        with(r#"{"release":{"id":"0-1"},"confirm":{"id":"0-1"}}"#) => "invalid_value do[1]",
        with("7") => "wrong_type do[1]",
        with(r#""enqueue""#) => "wrong_type do[1]",
        with("{}") => "invalid_value do[1]",
        with(r#"{"enqueue":{"queue":"q"},"complete":{"id":"0-1","token":1}}"#) => "invalid_value do[1]",
        with(r#"{"enqueue":null}"#) => "wrong_type do[1].enqueue",
        with(r#"{"enqueue":["q"]}"#) => "wrong_type do[1].enqueue",
        with(r#"{"complete":["0-1",1]}"#) => "wrong_type do[1].complete",
        with(r#"{"enqeue":{"queue":"q"}}"#) => "unknown_field do[1].enqeue",
        with(r#"{"enqueue":{}}"#) => "missing_field do[1].enqueue.queue",
        with(r#"{"enqueue":{"queue":null}}"#) => "wrong_type do[1].enqueue.queue",
        with(r#"{"enqueue":{"queue":"a b"}}"#) => "invalid_value do[1].enqueue.queue",
        with(r#"{"enqueue":{"queue":"a","queue":"a"}}"#) => "invalid_json",
        with(r#"{"enqueue":{"queue":"q","prioritty":1}}"#) => "unknown_field do[1].enqueue.prioritty",
        with(r#"{"enqueue":{"queue":"q","priority":12}}"#) => "invalid_value do[1].enqueue.priority",
        with(r#"{"enqueue":{"queue":"q","priority":"1"}}"#) => "wrong_type do[1].enqueue.priority",
        with(r#"{"enqueue":{"queue":"q","on_failure":"skip"}}"#) => "invalid_value do[1].enqueue.on_failure",
        with(r#"{"enqueue":{"queue":"q","unique":{}}}"#) => "missing_field do[1].enqueue.unique.key",
        with(r#"{"complete":{"id":"0-1"}}"#) => "missing_field do[1].complete.token",
        with(r#"{"complete":{"id":"1","token":1}}"#) => "invalid_value do[1].complete.id",
        with(r#"{"complete":{"id":"0-1","token":0}}"#) => "invalid_value do[1].complete.token",
        with(&format!(r#"{{"complete":{{"id":"0-1","token":1,"result":{}}}}}"#, json_text_of((64 << 10) + 1)))
            => "payload_too_large do[1].complete.result",
        with(&format!(r#"{{"enqueue":{{"queue":"q","payload":{}}}}}"#, json_text_of((1 << 20) + 1)))
            => "payload_too_large do[1].enqueue.payload",
    );
}

#[test]
fn operations_that_contradict_each_other_are_refused_at_the_later_one() {
    let unique =
        |queue: &str, key: &str| format!(r#"{{"enqueue":{{"queue":"{queue}","unique":{{"key":"{key}"}}}}}}"#);
    let done = |id: &str, token: u64| format!(r#"{{"complete":{{"id":"{id}","token":{token}}}}}"#);
    let of = |operations: &[String]| format!(r#"{{"do":[{}]}}"#, operations.join(","));
    check!(TransactionRequest<'_>,
        of(&[unique("a", "u"), unique("b", "u"), unique("a", "v"), done("0-1", 1), done("0-2", 1)]) => "ok",
        of(&[unique("a", "u"), unique("b", "u"), done("0-1", 1), unique("a", "u")])
            => "invalid_value do[3].enqueue.unique.key",
        of(&[unique("a", "u"), done("0-1", 1), done("0-1", 2)]) => "invalid_value do[2].complete.id",
    );
    let refused = TransactionRequest::read(&of(&[done("0-1", 1), done("0-1", 1)])).map(drop).unwrap_err();
    assert_eq!(refused.operation, Some(1));
    assert_eq!(refused.detail, "`do[1].complete.id` is the same as in `do[0]`; a transaction has it once.");
}
