//! The OpenAPI 3.1 document of the whole door.
//!
//! Three sources, each the only one of its kind: descriptions and types come from the Rust types (utoipa's derive), what a
//! request's fields are held to comes from the [shapes](crate::shape) that also explain refusals, and the calls come
//! from the [table of operations](crate::operations).

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{OpenApi, PartialSchema, ToSchema};

use crate::id::{CauseId, GrantId, JobId};
use crate::limits;
use crate::operations::{Answer, Body, OPERATIONS, Operation};
use crate::pool::query::GrantsQuery;
use crate::refusal::{Code, PROBLEM_MEDIA_TYPE, Problem, Refusal};
use crate::shape::{Field, Object, Shape};
use crate::time::Timestamp;
use crate::value::{Metadata, RawJson, Text};
use crate::words::{EndReason, JobState};
use crate::{dead, enqueue, job, lease, pool, queue, refusal, settle, transaction, work};

/// The document, for a server of this version.
pub fn document(version: &str) -> Value {
    let mut document = json!(Schemas::openapi());
    document["openapi"] = "3.1.0".into();
    document["info"] = json!({
        "title": "Tidegate",
        "version": version,
        "description": "A surge engine: durable intake, exact allocation, paced work, one log.\n\n\
            Times are RFC 3339 in UTC with milliseconds; durations are integers ending in `_ms`. A refusal of a whole \
            request is `application/problem+json` with a stable `code`; in lists each item has its own. A 429 always \
            has `Retry-After`. Every answer, a refusal too, depends only on what is on stable storage.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    let schemas = document["components"]["schemas"].as_object_mut().expect("the schemas are an object");
    insert_operations(schemas);
    for object in REQUESTS {
        constrain(schemas, object);
    }
    schemas.insert("EnqueueAnswer".into(), one_of(&["EnqueueResults", "Enqueued"]));
    constrain_one_of(schemas, &pool::request::POOL_REQUEST);
    schemas.insert("PauseAnswer".into(), one_of(&["Queue", "KeyAnswer"]));
    schemas.insert("LeaveAnswer".into(), one_of(&["Waiting", "PoolResults"]));
    document["paths"] = paths();
    remove_unused_schemas(&mut document);
    document
}

/// Removes the schemas of types that occur only where a shape says more.
fn remove_unused_schemas(document: &mut Value) {
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object_mut().expect("the schemas are an object");
    schemas.retain(|name, _| text.contains(&format!("\"#/components/schemas/{name}\"")));
}

/// The types that occur in bodies.
#[derive(OpenApi)]
#[openapi(components(schemas(
    enqueue::NewJob<'static>, enqueue::Unique<'static>, enqueue::Retry, enqueue::Enqueued, enqueue::EnqueueResult,
    enqueue::EnqueueResults, lease::LeaseRequest<'static>, lease::LeasedJob, lease::LeaseAnswer,
    settle::Complete<'static>, settle::Fail<'static>, settle::AttemptError<'static>, settle::Extend<'static>,
    settle::Release, settle::SettleResult, settle::SettleResults, work::WorkRequest<'static>, work::WorkAnswer,
    transaction::TransactionRequest<'static>, transaction::TransactionAnswer, transaction::OperationResult, job::Job,
    job::JobError, job::JobPage, job::JobStateAnswer, job::EditJob<'static>, queue::QueueConfig,
    queue::PauseRequest<'static>, queue::KeyAnswer, queue::Counts, queue::Queue, queue::QueueSummary, queue::QueueList,
    queue::Redrive, dead::RedriveRequest<'static>, dead::DeleteDeadRequest<'static>, dead::RedriveAnswer,
    pool::config::PoolConfig, pool::config::Quota, pool::config::ResizePool, pool::wish::HoldWish<'static>,
    pool::wish::TakeWish<'static>, pool::wish::LeaveWish<'static>, pool::wish::ExtendWish, pool::wish::SwapWish<'static>,
    pool::request::Hold<'static>, pool::request::Take<'static>, pool::request::Leave<'static>, pool::request::OfGrant,
    pool::request::ExtendGrant, pool::request::Swap<'static>, pool::condition::PoolVersion<'static>,
    pool::condition::HolderPools<'static>, pool::condition::UnitsBelow<'static>, pool::condition::JobIs,
    pool::grant::Grant, pool::grant::Waiting, pool::grant::PoolResult, pool::grant::PoolResults, pool::view::Pool,
    pool::view::PoolGroup, pool::view::PoolList, pool::view::PoolDeleted, pool::view::Entrant, pool::view::EntrantPage,
    pool::view::GrantPage, pool::view::LinePage,
    pool::holder::HolderStory, pool::holder::StoryEntry, pool::watch::PoolNews, transaction::JobResult,
    dead::DeletedAnswer, dead::Cause, dead::CauseList, refusal::Problem, refusal::Refusal, refusal::Code
)))]
struct Schemas;

/// The requests, whose fields' shapes become constraints; what they contain follows by itself.
const REQUESTS: &[&Object] = &[
    &enqueue::NEW_JOB,
    &lease::LEASE,
    &settle::COMPLETES,
    &settle::FAILS,
    &settle::EXTENDS,
    &settle::RELEASES,
    &work::WORK,
    &transaction::TRANSACTION,
    &job::EDIT_JOB,
    &queue::QUEUE_CONFIG,
    &queue::PAUSE,
    &dead::REDRIVE,
    &dead::DELETE_DEAD,
    &pool::config::POOL_CONFIG,
    &pool::config::RESIZE,
    &pool::wish::HOLD_WISH,
    &pool::wish::TAKE_WISH,
    &pool::wish::LEAVE_WISH,
    &pool::wish::EXTEND_WISH,
    &pool::wish::SWAP_WISH,
];

/// Says in words what no derive can say: an enqueue of a transaction is a new job and its queue in one object.
fn insert_operations(schemas: &mut Map<String, Value>) {
    let mut enqueue = schemas["NewJob"].clone();
    enqueue["description"] = "A job to be accepted, and where to.".into();
    enqueue["properties"]["queue"] = json!({ "description": "The queue's name." });
    schemas.insert("EnqueueOperation".into(), enqueue);
    let description =
        "One step of a transaction: an object with exactly one member, which says what is done.";
    schemas.insert("Operation".into(), json!({ "description": description }));
    let description = "What must be so: an object with exactly one member, which says what.";
    schemas.insert("Condition".into(), json!({ "description": description }));
    let description = "One thing to do with a pool: an object with exactly one member, which says what.";
    schemas.insert("PoolRequest".into(), json!({ "description": description }));
}

/// Makes the schema of an object say what its shape says; descriptions stay.
fn constrain(schemas: &mut Map<String, Value>, object: &Object) {
    let schema = schemas.entry(object.name).or_insert_with(|| json!({ "type": "object" }));
    schema["additionalProperties"] = false.into();
    let required: Vec<_> =
        object.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    if required.is_empty() {
        schema.as_object_mut().expect("a schema is an object").remove("required");
    } else {
        schema["required"] = json!(required);
    }
    for field in object.fields {
        let property = &mut schema["properties"][field.name];
        let description = description(property);
        *property = shape_schema(&field.shape);
        if let Some(description) = description {
            property["description"] = description;
        }
    }
    for field in object.fields {
        match field.shape {
            Shape::Object(inner) => constrain(schemas, inner),
            Shape::List(&Shape::Object(inner), _) => constrain(schemas, inner),
            Shape::List(&Shape::OneOf(inner), _) => constrain_one_of(schemas, inner),
            _ => {}
        }
    }
}

/// Makes a schema say that its object has exactly one of these members.
fn constrain_one_of(schemas: &mut Map<String, Value>, object: &Object) {
    let choice = |field: &Field| {
        json!({
            "type": "object", "additionalProperties": false, "required": [field.name],
            "properties": { field.name: shape_schema(&field.shape) },
        })
    };
    schemas[object.name]["oneOf"] = object.fields.iter().map(choice).collect();
    for field in object.fields {
        if let Shape::Object(inner) = field.shape {
            constrain(schemas, inner);
        }
    }
}

/// A derived property's description; where the property may be null it sits beside the type.
fn description(property: &Value) -> Option<Value> {
    let beside =
        |key: &str| property[key].as_array()?.iter().find_map(|part| part.get("description")).cloned();
    property.get("description").cloned().or_else(|| beside("oneOf")).or_else(|| beside("anyOf"))
}

fn shape_schema(shape: &Shape) -> Value {
    match *shape {
        Shape::Any(bytes_max) => json!({ "description": format!("Any JSON, at most {bytes_max} bytes.") }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Integer(range) => {
            json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
        }
        Shape::Number(range) => json!({ "type": "number", "minimum": range.start(), "maximum": range.end() }),
        Shape::Name => json!({
            "type": "string", "pattern": "^[A-Za-z0-9._:-]+(@[A-Za-z0-9._:-]+)?$",
            "minLength": limits::NAME_BYTES.start(), "maxLength": limits::NAME_BYTES.end(),
        }),
        Shape::Place => json!({
            "type": "string", "pattern": "^[A-Za-z0-9._:-]+$",
            "minLength": limits::NAME_BYTES.start(), "maxLength": limits::NAME_BYTES.end(),
        }),
        Shape::Text(bytes) => json!({
            "type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
            "minLength": bytes.start(), "maxLength": bytes.end(),
        }),
        Shape::Message(_) => json!({ "type": "string" }),
        Shape::Base64(bytes_max) => json!({
            "type": "string", "contentEncoding": "base64", "maxLength": bytes_max.div_ceil(3) * 4,
        }),
        Shape::Traceparent => json!({
            "type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$",
            "examples": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        }),
        Shape::Timestamp => reference("Timestamp"),
        Shape::JobId => reference("JobId"),
        Shape::GrantId => reference("GrantId"),
        Shape::CauseId => reference("CauseId"),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Metadata => json!({
            "type": "object", "additionalProperties": { "type": "string" },
            "maxProperties": limits::METADATA_ENTRIES_MAX,
        }),
        Shape::Attributes => json!({
            "type": "object", "maxProperties": limits::ATTRIBUTES_MAX,
            "propertyNames": shape_schema(&Shape::Name),
            "additionalProperties": { "type": "string", "maxLength": limits::ATTRIBUTE_BYTES_MAX },
        }),
        Shape::List(item, count) => json!({
            "type": "array", "items": shape_schema(item), "minItems": count.start(), "maxItems": count.end(),
        }),
        Shape::Object(object) | Shape::OneOf(object) => reference(object.name),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn one_of(names: &[&str]) -> Value {
    json!({ "oneOf": names.iter().map(|name| reference(name)).collect::<Vec<_>>() })
}

fn paths() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.to_lowercase()] = operation_object(operation);
    }
    paths.into()
}

fn operation_object(operation: &Operation) -> Value {
    let mut object = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters(operation),
        "responses": responses(operation),
    });
    if operation.item_codes().next().is_some() {
        let codes: Vec<_> = operation.item_codes().map(|code| format!("`{code}`")).collect();
        object["description"] = format!("An item of a list may be refused with {}.", codes.join(", ")).into();
    }
    if let Some(body) = request_body(operation.body) {
        object["requestBody"] = body;
    }
    object
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut parameters = Vec::new();
    if operation.path.contains("{queue}") {
        parameters.push(parameter("queue", "path", "The queue's name.", shape_schema(&Shape::Name)));
    }
    if operation.path.contains("{pool}") {
        let description = "The pool's name. `watch` and `requests` are none.";
        parameters.push(parameter("pool", "path", description, shape_schema(&Shape::Name)));
    }
    if operation.path.contains("{holder}") {
        let shape = Shape::Text(&limits::HOLDER_BYTES);
        parameters.push(parameter("holder", "path", "The holder's name.", shape_schema(&shape)));
    }
    if operation.path.starts_with("/v1/grants/") {
        parameters.push(parameter("id", "path", "The grant's id.", reference("GrantId")));
    } else if operation.path.contains("{id}") {
        parameters.push(parameter("id", "path", "The job's id.", reference("JobId")));
    }
    parameters.extend(operation.query.iter().map(|name| query_parameter(operation.id, name)));
    if operation.id == WATCH {
        let description =
            "The id of the last event that was heard: the version of each pool. What is newer is told.";
        let schema = json!({ "type": "string", "example": "cs101-a@autumn=12,cs102@autumn=3" });
        parameters.push(parameter("Last-Event-ID", "header", description, schema));
        for parameter in parameters.iter_mut().filter(|parameter| parameter["name"] == "names") {
            parameter["required"] = true.into();
        }
    }
    if operation.changes() {
        let description = "Makes the request safe to repeat: seen again with the same body, the first answer is given \
                           again with `Idempotent-Replayed: true`. Bare, or quoted as in the IETF draft.";
        let schema =
            json!({ "type": "string", "minLength": 1, "maxLength": limits::IDEMPOTENCY_KEY_BYTES.end() });
        parameters.push(parameter("Idempotency-Key", "header", description, schema));
    }
    parameters
}

fn parameter(name: &str, place: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": place, "required": place == "path", "description": description, "schema": schema })
}

/// The call whose answer is a stream of events.
const WATCH: &str = "watch_pools";

fn query_parameter(operation: &str, name: &str) -> Value {
    let (description, shape) = match name {
        "state" if operation == "list_grants" => ("In this state.", Shape::Word(GrantsQuery::STATES)),
        "queue" => ("In this queue.", Shape::Name),
        "state" => ("In this state.", Shape::Word(JobState::WORDS)),
        "kind" => ("Of this kind.", Shape::Name),
        "ordering_key" => ("With this ordering key.", Shape::Text(&limits::KEY_BYTES)),
        "older_than_ms" => ("Accepted more than so many milliseconds ago.", Shape::Integer(&limits::AGE_MS)),
        "cause" => ("That died of this cause.", Shape::CauseId),
        "reason" => ("That died for this reason.", Shape::Word(EndReason::WORDS)),
        "limit" => ("At most so many on a page. Default 100.", Shape::Integer(&limits::PAGE_JOBS)),
        "cursor" => ("The page after the one that named this cursor.", Shape::Text(&limits::CURSOR_BYTES)),
        "names" => ("Names of pools, with commas between them.", Shape::Text(&limits::POOL_NAMES_BYTES)),
        "wait_ms" => ("Waits so long for the job's end. Default 0.", Shape::Integer(&limits::WAIT_MS)),
        other => unreachable!("the table names the query parameter {other}, which is not described here"),
    };
    parameter(name, "query", description, shape_schema(&shape))
}

fn request_body(body: Body) -> Option<Value> {
    let content = |name: &str, example: &str| json!({ "application/json": { "schema": reference(name), "example": example_value(example) } });
    match body {
        Body::None => None,
        Body::Json(name, example) => Some(json!({ "required": true, "content": content(name, example) })),
        Body::OptionalJson(name, example) => {
            Some(json!({ "required": false, "content": content(name, example) }))
        }
        Body::OneOrList(name, one, list) => {
            let schema = json!({ "oneOf": [reference(name), list_schema(name)] });
            let examples =
                json!({ "one": { "value": example_value(one) }, "list": { "value": example_value(list) } });
            let content = json!({ "application/json": { "schema": schema, "examples": examples } });
            Some(json!({ "required": true, "content": content }))
        }
        Body::List(name, example) => {
            let content = json!({
                "application/json": { "schema": list_schema(name), "example": example_value(example) },
            });
            Some(json!({ "required": true, "content": content }))
        }
        Body::Enqueue => {
            let list =
                json!({ "type": "array", "items": reference("NewJob"), "maxItems": limits::LIST_ITEMS_MAX });
            Some(json!({
                "required": true,
                "content": {
                    "application/json": {
                        "schema": { "oneOf": [reference("NewJob"), list] },
                        "examples": {
                            "one": { "value": { "kind": "welcome", "payload": { "to": "ada" }, "delay_ms": 5000 } },
                            "list": { "value": [{ "payload": { "to": "ada" } }, { "payload": { "to": "bob" } }] },
                        },
                    },
                    "application/x-ndjson": {
                        "schema": reference("NewJob"),
                        "example": "{\"payload\":{\"to\":\"ada\"}}\n{\"payload\":{\"to\":\"bob\"}}\n",
                    },
                },
            }))
        }
    }
}

fn list_schema(name: &str) -> Value {
    json!({ "type": "array", "items": reference(name), "maxItems": limits::LIST_ITEMS_MAX })
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for answer in operation.answers {
        responses.insert(answer.status.to_string(), answer_object(operation, answer));
    }
    let mut codes: Vec<Code> = operation.codes().collect();
    codes.sort_by_key(|code| code.status());
    for of_one_status in codes.chunk_by(|a, b| a.status() == b.status()) {
        responses.insert(of_one_status[0].status().to_string(), refusal_object(of_one_status));
    }
    responses.into()
}

fn answer_object(operation: &Operation, answer: &Answer) -> Value {
    let mut content = Map::new();
    if operation.id == "openapi" {
        content.insert("application/json".into(), json!({ "schema": { "type": "object" } }));
    } else if operation.id == WATCH {
        let event = json!({ "type": "string", "description": "Server-sent events.", "example":
            format!("id: cs101-a@autumn=12\nevent: pool\ndata: {}\n\n", answer.example) });
        content.insert(
            "text/event-stream".into(),
            json!({ "schema": event, "itemSchema": reference(answer.schema) }),
        );
    } else if answer.schema.is_empty() {
        content.insert(
            "text/plain".into(),
            json!({ "schema": { "type": "string" }, "example": answer.example }),
        );
    } else {
        let json_content =
            json!({ "schema": reference(answer.schema), "example": example_value(answer.example) });
        content.insert("application/json".into(), json_content);
    }
    if operation.body == Body::Enqueue && answer.status == 200 {
        content.insert("application/x-ndjson".into(), json!({ "schema": reference("EnqueueResult") }));
    }
    let mut object = json!({ "description": answer.when, "content": content });
    if operation.changes() {
        object["headers"] = json!({
            "Idempotent-Replayed": {
                "description": "`true` if this is the answer to an earlier request with the same key.",
                "schema": { "type": "string", "const": "true" },
            },
        });
    }
    object
}

/// The refusals of one status: their codes, and one example of each.
fn refusal_object(codes: &[Code]) -> Value {
    let names: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
    let examples: Map<String, Value> =
        codes.iter().map(|code| (code.to_string(), refusal_example(*code))).collect();
    let codes_of_status: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let schema = json!({
        "allOf": [reference("Problem"), { "type": "object", "properties": { "code": { "enum": codes_of_status } } }],
    });
    let mut object = json!({
        "description": format!("Refused: {}.", names.join(", ")),
        "content": { PROBLEM_MEDIA_TYPE: { "schema": schema, "examples": examples } },
    });
    let mut headers = Map::new();
    if matches!(codes[0].status(), 429 | 503) {
        let description = "Whole seconds after which asking again makes sense. A 429 always has it.";
        headers.insert("Retry-After".into(), header(description, json!({ "type": "integer", "minimum": 1 })));
    }
    if codes[0] == Code::MethodNotAllowed {
        headers.insert("Allow".into(), header("The methods this path takes.", json!({ "type": "string" })));
    }
    if !headers.is_empty() {
        object["headers"] = headers.into();
    }
    object
}

fn header(description: &str, schema: Value) -> Value {
    json!({ "description": description, "schema": schema })
}

fn refusal_example(code: Code) -> Value {
    let refusal = match code {
        Code::InvalidValue => Refusal::invalid_value("priority", 12, "0 to 9"),
        Code::UnknownField => Refusal::unknown_field("prioritty", ["payload", "priority"].into_iter()),
        Code::WrongType => Refusal::wrong_type("priority", "a string", "high", "an integer"),
        Code::MissingField => Refusal::missing_field("unique.key"),
        Code::PayloadTooLarge => Refusal::payload_too_large("payload", 1_048_577, limits::PAYLOAD_BYTES_MAX),
        Code::TooManyItems => Refusal::too_many_items("jobs", 1_001, limits::LIST_ITEMS_MAX),
        _ if code.status() == 429 => Refusal::new(code, code.title()).with_retry_after_ms(1_000),
        _ => Refusal::new(code, code.title()),
    };
    json!({ "summary": code.title(), "value": Problem::from(refusal) })
}

fn example_value(example: &str) -> Value {
    serde_json::from_str(example).expect("the table's examples are JSON; a test reads them all")
}

/// Gives a type that is text in JSON its schema.
macro_rules! text_schema {
    ($type:ty, $name:literal, $schema:expr) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                serde_json::from_value($schema).expect("a schema is written above")
            }
        }

        impl ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}

text_schema!(
    Timestamp,
    "Timestamp",
    json!({ "type": "string", "format": "date-time", "example": "2026-11-22T13:00:00.123Z",
            "description": "RFC 3339. Read with any offset; written in UTC with milliseconds." })
);
text_schema!(
    JobId,
    "JobId",
    json!({ "type": "string", "pattern": "^(0|[1-9][0-9]{0,4})-[1-9][0-9]{0,14}$", "example": "0-42",
            "description": "A job's id: shard and sequence." })
);
text_schema!(
    GrantId,
    "GrantId",
    json!({ "type": "string", "pattern": "^(0|[1-9][0-9]{0,4})-[1-9][0-9]{0,14}$", "example": "0-42",
            "description": "A grant's id: shard and sequence." })
);
text_schema!(
    CauseId,
    "CauseId",
    json!({ "type": "string", "pattern": "^[0-9a-f]{16}$", "example": "00c0ffee00c0ffee",
            "description": "The id of a cause of death." })
);
text_schema!(Text<'_>, "Text", json!({ "type": "string" }));
text_schema!(RawJson<'_>, "RawJson", json!({ "type": [], "description": "Any JSON." }));
text_schema!(Metadata<'_>, "Metadata", json!({ "type": "object" }));

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    fn refs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| refs(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document("1.2.3");
        let mut found = Vec::new();
        refs(&document, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').expect("references stay inside");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            let reference = format!("#/components/schemas/{name}");
            assert!(found.contains(&reference.as_str()), "{name} is used nowhere");
        }
    }

    #[test]
    fn words_are_in_the_document_as_they_are_in_json() {
        let document = document("1");
        let check = |name: &str, words: &[&str]| {
            assert_eq!(document["components"]["schemas"][name]["enum"], json!(words), "{name}");
        };
        check("JobState", JobState::WORDS);
        check("EndReason", EndReason::WORDS);
        check("WaitingFor", crate::words::WaitingFor::WORDS);
        check("RedriveState", crate::words::RedriveState::WORDS);
    }

    #[test]
    fn a_payload_in_an_answer_may_be_any_json() {
        let payload = &document("1")["components"]["schemas"]["LeasedJob"]["properties"]["payload"];
        assert!(!payload.to_string().contains("\"object\""), "{payload}");
    }

    #[test]
    fn every_call_is_in_the_document() {
        let document = document("1.2.3");
        let count: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(count, OPERATIONS.len());
        for operation in OPERATIONS {
            let object = &document["paths"][operation.path][operation.method.to_lowercase()];
            assert_eq!(object["operationId"], operation.id);
            for code in operation.codes() {
                let response = &object["responses"][code.status().to_string()];
                let example = &response["content"][PROBLEM_MEDIA_TYPE]["examples"][code.as_str()]["value"];
                assert_eq!(example["code"], code.as_str(), "{}", operation.id);
            }
        }
    }

    #[test]
    fn every_field_of_a_request_is_described_and_held_to_its_shape() {
        let document = document("1.2.3");
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let envelope = name.ends_with("Request") && schema["properties"].get("jobs").is_some();
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(
                    envelope || description(property).is_some(),
                    "{name}.{field} has no description: {property}"
                );
            }
        }
        let priority = &document["components"]["schemas"]["NewJob"]["properties"]["priority"];
        assert_eq!((&priority["minimum"], &priority["maximum"]), (&json!(0), &json!(9)));
        assert_eq!(document["components"]["schemas"]["Unique"]["required"], json!(["key"]));
    }

    /// An answer's example is what its type reads, and all of it.
    fn check<T: Serialize + DeserializeOwned>(name: &str) {
        let mut count = 0;
        for answer in
            OPERATIONS.iter().flat_map(|operation| operation.answers).filter(|answer| answer.schema == name)
        {
            let read: T =
                serde_json::from_str(answer.example).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(json!(read), example_value(answer.example), "{name}");
            count += 1;
        }
        assert!(count > 0, "{name} is no answer");
    }

    #[test]
    fn every_example_of_an_answer_is_one() {
        check::<enqueue::Enqueued>("Enqueued");
        check::<enqueue::EnqueueResults>("EnqueueAnswer");
        check::<lease::LeaseAnswer>("LeaseAnswer");
        check::<settle::SettleResults>("SettleResults");
        check::<work::WorkAnswer>("WorkAnswer");
        check::<transaction::TransactionAnswer>("TransactionAnswer");
        check::<job::Job>("Job");
        check::<job::JobPage>("JobPage");
        check::<job::JobStateAnswer>("JobStateAnswer");
        check::<queue::QueueList>("QueueList");
        check::<queue::Queue>("Queue");
        check::<queue::Queue>("PauseAnswer");
        check::<dead::CauseList>("CauseList");
        check::<dead::RedriveAnswer>("RedriveAnswer");
        check::<dead::DeletedAnswer>("DeletedAnswer");
        check::<pool::view::Pool>("Pool");
        check::<pool::view::PoolList>("PoolList");
        check::<pool::view::PoolDeleted>("PoolDeleted");
        check::<pool::view::EntrantPage>("EntrantPage");
        check::<pool::view::GrantPage>("GrantPage");
        check::<pool::view::LinePage>("LinePage");
        check::<pool::watch::PoolNews>("PoolNews");
        check::<pool::grant::Grant>("Grant");
        check::<pool::grant::Waiting>("Waiting");
        check::<pool::grant::Waiting>("LeaveAnswer");
        check::<pool::grant::PoolResults>("PoolResults");
        check::<pool::holder::HolderStory>("HolderStory");
    }

    fn read_wishes(name: &str, example: &str) {
        fn check<'a, T: crate::read::Wire<'a>>(example: &'a str) {
            crate::read::read_list::<T>(example).unwrap().into_iter().for_each(|item| drop(item.unwrap()));
        }
        match name {
            "HoldWish" => check::<pool::wish::HoldWish<'_>>(example),
            "TakeWish" => check::<pool::wish::TakeWish<'_>>(example),
            "LeaveWish" => check::<pool::wish::LeaveWish<'_>>(example),
            "PoolRequest" => check::<pool::request::PoolRequest<'_>>(example),
            other => panic!("nobody reads a list of {other}"),
        }
    }

    #[test]
    fn every_example_of_a_request_is_taken() {
        use crate::read::read;
        use crate::settle::read_jobs;
        for operation in OPERATIONS {
            let (name, example) = match operation.body {
                Body::Json(name, example) | Body::OptionalJson(name, example) => (name, example),
                Body::OneOrList(name, one, list) => {
                    read_wishes(name, list);
                    (name, one)
                }
                Body::List(name, list) => {
                    read_wishes(name, list);
                    continue;
                }
                Body::None | Body::Enqueue => continue,
            };
            match name {
                "PoolConfig" => read::<pool::config::PoolConfig>(example).map(drop).unwrap(),
                "ResizePool" => read::<pool::config::ResizePool>(example).map(drop).unwrap(),
                "HoldWish" => read::<pool::wish::HoldWish<'_>>(example).map(drop).unwrap(),
                "TakeWish" => read::<pool::wish::TakeWish<'_>>(example).map(drop).unwrap(),
                "LeaveWish" => read::<pool::wish::LeaveWish<'_>>(example).map(drop).unwrap(),
                "ExtendWish" => read::<pool::wish::ExtendWish>(example).map(drop).unwrap(),
                "SwapWish" => read::<pool::wish::SwapWish<'_>>(example).map(drop).unwrap(),
                "LeaseRequest" => read::<lease::LeaseRequest<'_>>(example).map(drop).unwrap(),
                "CompleteRequest" => {
                    read_jobs::<settle::Complete<'_>>(example).unwrap().remove(0).map(drop).unwrap()
                }
                "FailRequest" => read_jobs::<settle::Fail<'_>>(example).unwrap().remove(0).map(drop).unwrap(),
                "ExtendRequest" => {
                    read_jobs::<settle::Extend<'_>>(example).unwrap().remove(0).map(drop).unwrap()
                }
                "ReleaseRequest" => {
                    read_jobs::<settle::Release>(example).unwrap().remove(0).map(drop).unwrap()
                }
                "WorkRequest" => work::WorkBody::read(example).map(drop).unwrap(),
                "TransactionRequest" => {
                    transaction::TransactionRequest::read(example).map(drop).unwrap();
                }
                "EditJob" => read::<job::EditJob<'_>>(example).map(drop).unwrap(),
                "QueueConfig" => read::<queue::QueueConfig>(example).map(drop).unwrap(),
                "PauseRequest" => read::<queue::PauseRequest<'_>>(example).map(drop).unwrap(),
                "RedriveRequest" => read::<dead::RedriveRequest<'_>>(example).map(drop).unwrap(),
                "DeleteDeadRequest" => read::<dead::DeleteDeadRequest<'_>>(example).map(drop).unwrap(),
                other => panic!("nobody reads a {other}"),
            }
        }
    }
}
