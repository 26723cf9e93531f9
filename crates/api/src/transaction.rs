//! Transactions: several operations, all or none of them (`POST /v1/transactions`).
//!
//! Unlike in a list, where each item is good or bad by itself, one operation that is wrong refuses the whole. What cannot
//! be together whatever the state is (one unique key wanted twice, one job ended twice) is refused here, by the later
//! operation's field; what of grants and lines cannot be together only the rules know. Conditions are judged first, against the
//! same state.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::enqueue::{NEW_JOB_FIELDS, NewJob};
use crate::id::{GrantId, JobId};
use crate::limits;
use crate::object;
use crate::pool::condition::{CONDITION, Condition};
use crate::pool::grant::{Fields, Grant, PoolAnswer, Waiting};
use crate::pool::request::{ExtendGrant, Hold, Leave, OfGrant, POOL_REQUEST_FIELDS, PoolRequest, Swap, Take};
use crate::read::{self, Wire};
use crate::refusal::{Refusal, Refused};
use crate::settle::{COMPLETE, Complete};
use crate::shape::{Field, Object, Shape};
use crate::syntax::{self, Checked};
use crate::value::Text;
use crate::words::JobState;

/// Operations that are done together or not at all, if all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TransactionRequest<'a> {
    /// What must be so: up to 100 conditions. The first that does not hold is told, and nothing is done.
    #[serde(
        rename = "if",
        borrow,
        default,
        deserialize_with = "read_conditions",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub conditions: Vec<Condition<'a>>,
    /// What to do: 1 to 100 operations, all in one shard. Each is judged against the state as it was before the
    /// transaction.
    #[serde(rename = "do", borrow, deserialize_with = "read_operations")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub operations: Vec<Operation<'a>>,
}

/// One step of a transaction: an object with exactly one member, which says what is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "OperationMember<'a>", bound(deserialize = "'de: 'a"))]
pub enum Operation<'a> {
    /// Accepts a job.
    Enqueue(Box<EnqueueOperation<'a>>),
    /// Says that an attempt did what it should.
    Complete(Complete<'a>),
    /// Does something with a pool.
    #[serde(untagged)]
    Pool(PoolRequest<'a>),
}

/// An [`Operation`] as it is read: all members that it may have, beside each other.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OperationMember<'a> {
    #[serde(borrow, deserialize_with = "object::required")]
    Enqueue(Box<EnqueueOperation<'a>>),
    #[serde(borrow, deserialize_with = "object::required")]
    Complete(Complete<'a>),
    #[serde(borrow, deserialize_with = "object::required")]
    Hold(Hold<'a>),
    #[serde(borrow, deserialize_with = "object::required")]
    Take(Take<'a>),
    #[serde(borrow, deserialize_with = "object::required")]
    Join(Take<'a>),
    #[serde(borrow, deserialize_with = "object::required")]
    Leave(Leave<'a>),
    #[serde(deserialize_with = "object::required")]
    Confirm(OfGrant),
    #[serde(deserialize_with = "object::required")]
    Extend(ExtendGrant),
    #[serde(deserialize_with = "object::required")]
    Release(OfGrant),
    #[serde(borrow, deserialize_with = "object::required")]
    Swap(Swap<'a>),
}

impl<'a> From<OperationMember<'a>> for Operation<'a> {
    fn from(member: OperationMember<'a>) -> Self {
        Self::Pool(match member {
            OperationMember::Enqueue(enqueue) => return Self::Enqueue(enqueue),
            OperationMember::Complete(complete) => return Self::Complete(complete),
            OperationMember::Hold(hold) => PoolRequest::Hold(hold),
            OperationMember::Take(take) => PoolRequest::Take(take),
            OperationMember::Join(join) => PoolRequest::Join(join),
            OperationMember::Leave(leave) => PoolRequest::Leave(leave),
            OperationMember::Confirm(confirm) => PoolRequest::Confirm(confirm),
            OperationMember::Extend(extend) => PoolRequest::Extend(extend),
            OperationMember::Release(release) => PoolRequest::Release(release),
            OperationMember::Swap(swap) => PoolRequest::Swap(swap),
        })
    }
}

/// A job to be accepted, and where to. In JSON the queue stands among the job's own fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnqueueOperation<'a> {
    /// The queue's name.
    pub queue: Text<'a>,
    /// The job.
    #[serde(flatten)]
    pub job: NewJob<'a>,
}

impl<'a> TransactionRequest<'a> {
    /// Reads a body. The refusal of one operation says which.
    pub fn read(text: &'a str) -> Result<Self, Refused> {
        read::read(text).map_err(with_operation)
    }

    /// [`check`](Wire::check), whose refusal says which operation it is about.
    pub fn check_operations(&self) -> Checked {
        self.check().map_err(with_operation)
    }
}

/// The refusal with the operation, or the condition, that its field belongs to.
fn with_operation(mut refused: Refused) -> Refused {
    refused.operation = refused.field.as_deref().and_then(|field| index_in("do", field));
    refused.condition = refused.field.as_deref().and_then(|field| index_in("if", field));
    refused
}

/// Which item of a list a field belongs to: 2 of `do` for `do[2].enqueue.priority`.
fn index_in(list: &str, field: &str) -> Option<u32> {
    let (index, _) = field.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
    index.parse().ok()
}

impl<'de: 'a, 'a> Wire<'de> for TransactionRequest<'a> {
    const OBJECT: &'static Object = &TRANSACTION;

    fn check(&self) -> Checked {
        syntax::items("if", self.conditions.len(), &limits::CONDITIONS)?;
        for (index, condition) in self.conditions.iter().enumerate() {
            let place = |refused: Refused| refused.below(&format!("if[{index}].{}", condition.name()));
            condition.check_member().map_err(|refused| Box::new(place(refused)))?;
        }
        syntax::items("do", self.operations.len(), &limits::TRANSACTION_OPERATIONS)?;
        for (index, operation) in self.operations.iter().enumerate() {
            let (name, checked) = match operation {
                Operation::Enqueue(enqueue) => ("enqueue", enqueue.check()),
                Operation::Complete(complete) => ("complete", complete.check()),
                Operation::Pool(pool) => (pool.name(), pool.check_member()),
            };
            checked.map_err(|refused| Box::new(refused.below(&format!("do[{index}].{name}"))))?;
            self.check_contradictions(index, operation)?;
        }
        Ok(())
    }
}

impl TransactionRequest<'_> {
    /// Refuses an operation that cannot be together with one before it.
    fn check_contradictions(&self, index: usize, operation: &Operation<'_>) -> Checked {
        let earlier = &self.operations[..index];
        match operation {
            Operation::Enqueue(enqueue) => {
                let Some(unique) = &enqueue.job.unique else { return Ok(()) };
                let wants_it_too = |other: &Operation<'_>| {
                    let Operation::Enqueue(other) = other else { return false };
                    other.queue == enqueue.queue
                        && other.job.unique.as_ref().is_some_and(|other| other.key == unique.key)
                };
                contradiction(earlier, wants_it_too, &format!("do[{index}].enqueue.unique.key"))
            }
            Operation::Complete(complete) => {
                let ends_it_too = |other: &Operation<'_>| matches!(other, Operation::Complete(other) if other.id == complete.id);
                contradiction(earlier, ends_it_too, &format!("do[{index}].complete.id"))
            }
            Operation::Pool(_) => Ok(()),
        }
    }
}

fn contradiction(
    earlier: &[Operation<'_>],
    clashes: impl FnMut(&Operation<'_>) -> bool,
    field: &str,
) -> Checked {
    match earlier.iter().position(clashes) {
        Some(other) => {
            let detail = format!("`{field}` is the same as in `do[{other}]`; a transaction has it once.");
            Err(Box::new(Refusal::contradiction(field, detail)))
        }
        None => Ok(()),
    }
}

impl EnqueueOperation<'_> {
    fn check(&self) -> Checked {
        syntax::name("queue", &self.queue)?;
        self.job.check()
    }
}

fn read_conditions<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Condition<'a>>, D::Error> {
    let conditions =
        object::optional_list::<{ *limits::CONDITIONS.end() as usize }, Condition<'a>, D>(deserializer)?;
    Ok(conditions.unwrap_or_default())
}

/// Reads a list of operations. One that is too long is not read to its end: what is kept is bounded whatever the text says,
/// and the shape's explanation counts.
fn read_operations<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Operation<'a>>, D::Error> {
    struct OperationsVisitor;
    impl<'de> Visitor<'de> for OperationsVisitor {
        type Value = Vec<Operation<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut operations = Vec::new();
            while let Some(operation) = list.next_element()? {
                if operations.len() as u64 == *limits::TRANSACTION_OPERATIONS.end() {
                    return Err(A::Error::custom("there are too many operations"));
                }
                operations.push(operation);
            }
            Ok(operations)
        }
    }
    deserializer.deserialize_seq(OperationsVisitor)
}

/// Reads the job from the same object as the queue, without a detour: what is not the queue is the job's.
impl<'de: 'a, 'a> Deserialize<'de> for EnqueueOperation<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EnqueueVisitor;
        impl<'de> Visitor<'de> for EnqueueVisitor {
            type Value = EnqueueOperation<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                let mut queue = None;
                let others = Others { members, queue: &mut queue };
                let job = NewJob::deserialize(MapAccessDeserializer::new(others))?;
                let queue = queue.ok_or_else(|| A::Error::missing_field("queue"))?;
                Ok(EnqueueOperation { queue, job })
            }
        }
        deserializer.deserialize_map(EnqueueVisitor)
    }
}

/// The members of an object beside its `queue`, which is put aside.
struct Others<'q, 'de, A> {
    members: A,
    queue: &'q mut Option<Text<'de>>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Others<'_, 'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.members.next_key::<Text<'de>>()? {
            if name == *"queue" {
                if self.queue.replace(self.members.next_value()?).is_some() {
                    return Err(A::Error::duplicate_field("queue"));
                }
                continue;
            }
            return seed.deserialize(StrDeserializer::new(&name)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.members.next_value_seed(seed)
    }
}

/// The JSON of a [`TransactionRequest`].
pub(crate) static TRANSACTION: Object = Object {
    name: "TransactionRequest",
    fields: &[
        Field::optional("if", Shape::List(&Shape::OneOf(&CONDITION), &limits::CONDITIONS)),
        Field::required("do", Shape::List(&Shape::OneOf(&OPERATION), &limits::TRANSACTION_OPERATIONS)),
    ],
};

/// The JSON of an [`Operation`]; it has exactly one of the fields.
static OPERATION: Object = Object { name: "Operation", fields: &OPERATION_FIELDS };

/// What concerns jobs, and then all that can be done with a pool.
const OPERATION_FIELDS: [Field; POOL_REQUEST_FIELDS.len() + 2] = {
    let mut fields =
        [Field::required("enqueue", Shape::Object(&ENQUEUE_OPERATION)); POOL_REQUEST_FIELDS.len() + 2];
    fields[1] = Field::required("complete", Shape::Object(&COMPLETE));
    let mut i = 0;
    while i < POOL_REQUEST_FIELDS.len() {
        fields[i + 2] = POOL_REQUEST_FIELDS[i];
        i += 1;
    }
    fields
};

/// The JSON of an [`EnqueueOperation`].
static ENQUEUE_OPERATION: Object = Object { name: "EnqueueOperation", fields: &ENQUEUE_FIELDS };

/// The queue, and then all that a new job may have.
const ENQUEUE_FIELDS: [Field; NEW_JOB_FIELDS.len() + 1] = {
    let mut fields = [Field::required("queue", Shape::Name); NEW_JOB_FIELDS.len() + 1];
    let mut i = 0;
    while i < NEW_JOB_FIELDS.len() {
        fields[i + 1] = NEW_JOB_FIELDS[i];
        i += 1;
    }
    fields
};

/// The answer to a transaction, all of which was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionAnswer {
    /// One result for every operation, in order.
    pub results: Vec<OperationResult>,
}

/// What an operation of a transaction did: to a job, or with a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, try_from = "Fields")]
pub enum OperationResult {
    /// A job was accepted, or completed.
    Job(JobResult),
    /// A grant was given, changed, or is over.
    Grant(Grant),
    /// A place in line is had, or given up.
    Waiting(Waiting),
}

/// What an operation of a transaction did to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobResult {
    /// The job's id.
    pub id: JobId,
    /// The queue it is in; with `enqueue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Where it is in its life.
    pub state: JobState,
    /// Whether it is not new: its unique key was held, and its holder is answered, as it was before the transaction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

impl OperationResult {
    /// The job, if the operation concerned one.
    pub fn job(&self) -> Option<&JobResult> {
        match self {
            Self::Job(job) => Some(job),
            Self::Grant(_) | Self::Waiting(_) => None,
        }
    }

    /// The grant, if there is one.
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Self::Grant(grant) => Some(grant),
            Self::Job(_) | Self::Waiting(_) => None,
        }
    }

    /// The place in line, if there is one.
    pub fn waiting(&self) -> Option<&Waiting> {
        match self {
            Self::Waiting(waiting) => Some(waiting),
            Self::Job(_) | Self::Grant(_) => None,
        }
    }
}

impl From<PoolAnswer> for OperationResult {
    fn from(answer: PoolAnswer) -> Self {
        match answer {
            PoolAnswer::Grant(grant) => Self::Grant(grant),
            PoolAnswer::Waiting(waiting) => Self::Waiting(waiting),
        }
    }
}

/// The words of `state` tell what it is.
impl TryFrom<Fields> for OperationResult {
    type Error = &'static str;

    fn try_from(mut fields: Fields) -> Result<Self, &'static str> {
        let Some(state) = fields.state.as_deref().and_then(JobState::from_word) else {
            return PoolAnswer::try_from(fields).map(Self::from);
        };
        let GrantId { shard, sequence } = fields.id.ok_or("a job's `id` is missing")?;
        let (queue, duplicate) = (fields.queue.take(), fields.duplicate);
        Ok(Self::Job(JobResult { id: JobId { shard, sequence }, queue, state, duplicate }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_as_what_it_is() {
        let texts = [
            r#"{"id":"0-7","state":"completed"}"#,
            r#"{"id":"0-8","queue":"mail","state":"ready","duplicate":true}"#,
            r#"{"id":"0-7","pool":"seats","holder":"anna","units":1,"state":"taken","fence":7,"version":3}"#,
            r#"{"pool":"seats","holder":"bert","state":"waiting","number":1,"ahead":0,"version":4}"#,
        ];
        let read = |text: &str| serde_json::from_str::<OperationResult>(text).unwrap();
        for text in texts {
            assert_eq!(serde_json::to_string(&read(text)).unwrap(), text);
        }
        let [done, enqueued, granted, waits] = texts.map(read);
        assert!(done.job().is_some() && enqueued.job().is_some_and(|job| job.duplicate));
        assert!(granted.grant().is_some() && waits.waiting().is_some());
    }
}
