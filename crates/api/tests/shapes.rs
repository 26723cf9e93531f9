//! The shapes and serde say the same about every request.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;
use tidegate_api::dead::{DeleteDeadRequest, RedriveRequest};
use tidegate_api::enqueue::NewJob;
use tidegate_api::job::EditJob;
use tidegate_api::lease::LeaseRequest;
use tidegate_api::pool::config::{PoolConfig, ResizePool};
use tidegate_api::pool::request::PoolRequest;
use tidegate_api::pool::wish::{ExtendWish, HoldWish, LeaveWish, SwapWish, TakeWish};
use tidegate_api::queue::{PauseRequest, QueueConfig};
use tidegate_api::read::{Wire, read, read_list};
use tidegate_api::refusal::Code;
use tidegate_api::settle::{Complete, Extend, Fail, Release, read_jobs};
use tidegate_api::shape::{Field, Object, Shape};
use tidegate_api::transaction::TransactionRequest;
use tidegate_api::work::WorkBody;

/// Calls a function for every type of request and of item.
macro_rules! for_every_request {
    ($function:ident($($argument:expr),*)) => {
        $function::<NewJob<'_>>($($argument),*);
        $function::<LeaseRequest<'_>>($($argument),*);
        $function::<Complete<'_>>($($argument),*);
        $function::<Fail<'_>>($($argument),*);
        $function::<Extend<'_>>($($argument),*);
        $function::<Release>($($argument),*);
        $function::<TransactionRequest<'_>>($($argument),*);
        $function::<EditJob<'_>>($($argument),*);
        $function::<QueueConfig>($($argument),*);
        $function::<PauseRequest<'_>>($($argument),*);
        $function::<RedriveRequest<'_>>($($argument),*);
        $function::<DeleteDeadRequest<'_>>($($argument),*);
        $function::<PoolConfig>($($argument),*);
        $function::<ResizePool>($($argument),*);
        $function::<HoldWish<'_>>($($argument),*);
        $function::<TakeWish<'_>>($($argument),*);
        $function::<LeaveWish<'_>>($($argument),*);
        $function::<ExtendWish>($($argument),*);
        $function::<SwapWish<'_>>($($argument),*);
    };
}

#[test]
fn a_shape_has_the_fields_that_serde_reads() {
    fn check<T: Wire<'static>>() {
        // Serde names all its fields when it meets one it does not know.
        let error =
            serde_json::from_str::<T>(r#"{"\n":0}"#).err().expect("no field is a newline").to_string();
        let fields_of_serde: BTreeSet<_> = error.split('`').skip(3).step_by(2).collect();
        let fields_of_shape: BTreeSet<_> = T::OBJECT.fields.iter().map(|field| field.name).collect();
        assert_eq!(fields_of_serde, fields_of_shape, "{}", T::OBJECT.name);
    }
    for_every_request!(check());
}

#[test]
fn every_field_takes_what_its_shape_says() {
    fn check<T: Wire<'static>>() {
        for field in T::OBJECT.fields {
            let mut request = example(T::OBJECT);
            request[field.name] = good(&field.shape);
            let refusal = serde_json::from_str::<T>(String::leak(request.to_string())).err();
            assert!(refusal.is_none(), "{}.{}: {refusal:?}", T::OBJECT.name, field.name);
        }
    }
    for_every_request!(check());
}

/// The choices of a field that is a list of them.
fn choices_of(object: &'static Object, name: &str) -> &'static [Field] {
    let field = object.fields.iter().find(|field| field.name == name).expect("there is such a field");
    let Shape::List(&Shape::OneOf(choices), _) = field.shape else { panic!("it is a list of choices") };
    choices.fields
}

/// The members of each choice are held to their shapes like any request's fields. `read` says which path it refuses, of the
/// choice that it is given by name.
fn check_choices(
    choices: &[Field],
    path: impl Fn(&str) -> String,
    read: impl Fn(&str, Value) -> Result<(), Option<String>>,
) {
    for choice in choices {
        let Shape::Object(object) = choice.shape else { panic!("each is an object") };
        assert_eq!(read(choice.name, example(object)), Ok(()));
        for field in object.fields {
            let path = path(&format!("{}.{}", choice.name, field.name));
            for bad in bad(&field.shape) {
                let mut request = example(object);
                request[field.name] = bad.clone();
                let named = read(choice.name, request).expect_err("it does not fit");
                assert!(named.is_some_and(|named| named.starts_with(&path)), "{path} = {bad}");
            }
            let mut request = example(object);
            if request.as_object_mut().unwrap().remove(field.name).is_some() && field.required {
                assert_eq!(read(choice.name, request), Err(Some(path)));
            }
        }
        let mut request = example(object);
        request["nonsense"] = 1.into();
        assert_eq!(read(choice.name, request), Err(Some(path(&format!("{}.nonsense", choice.name)))));
    }
}

#[test]
fn every_operation_and_every_condition_takes_and_names_what_its_shape_says() {
    let transaction = |text: &str| {
        TransactionRequest::read(text).map(drop).map_err(|refused| {
            let which = (refused.operation, refused.condition);
            let expected = match refused.field.as_deref() {
                Some(field) if field.starts_with("do[0]") => (Some(0), None),
                Some(field) if field.starts_with("if[0]") => (None, Some(0)),
                _ => (None, None),
            };
            assert_eq!(which, expected, "{text}");
            refused.field
        })
    };
    check_choices(
        choices_of(TransactionRequest::OBJECT, "do"),
        |path| format!("do[0].{path}"),
        |choice, object| transaction(&serde_json::json!({ "do": [{ choice: object }] }).to_string()),
    );
    check_choices(
        choices_of(TransactionRequest::OBJECT, "if"),
        |path| format!("if[0].{path}"),
        |choice, object| {
            let doing = serde_json::json!([{ "enqueue": { "queue": "q" } }]);
            transaction(&serde_json::json!({ "if": [{ choice: object }], "do": doing }).to_string())
        },
    );
    check_choices(PoolRequest::OBJECT.fields, str::to_owned, |choice, object| {
        let text = serde_json::json!({ choice: object }).to_string();
        read::<PoolRequest<'_>>(&text).map(drop).map_err(|refused| refused.field)
    });
}

#[test]
fn one_thing_to_do_has_exactly_one_member() {
    for bad in bad(&Shape::OneOf(PoolRequest::OBJECT)) {
        let text = bad.to_string();
        let refused = read::<PoolRequest<'_>>(&text).map(drop).expect_err("it does not fit");
        assert!(matches!(refused.code, Code::WrongType | Code::InvalidValue), "{text}: {refused}");
        let listed = format!("[{text}]");
        let items = read_list::<PoolRequest<'_>>(&listed).unwrap();
        assert_eq!(items.into_iter().next().unwrap().map(drop).map_err(|bad| bad.refusal), Err(*refused));
    }
}

#[test]
fn every_field_names_what_does_not_fit_it() {
    fn check<T: Wire<'static>>() {
        for field in T::OBJECT.fields {
            for bad in bad(&field.shape) {
                let mut request = example(T::OBJECT);
                request[field.name] = bad.clone();
                let refused = read::<T>(String::leak(request.to_string())).err();
                let code = refused.map(|refused| (refused.code, refused.field));
                let place = format!("{}.{} = {bad}", T::OBJECT.name, field.name);
                let Some((Code::WrongType | Code::InvalidValue, Some(named))) = code else {
                    panic!("{place}: {code:?}")
                };
                assert!(named.starts_with(field.name), "{place}: {named}");
            }
        }
    }
    for_every_request!(check());
}

#[test]
fn every_required_field_is_missed() {
    fn check<T: Wire<'static>>() {
        for field in T::OBJECT.fields.iter().filter(|field| field.required) {
            let mut request = example(T::OBJECT);
            request.as_object_mut().unwrap().remove(field.name);
            let refused = read::<T>(String::leak(request.to_string())).err().unwrap();
            assert_eq!((refused.code, refused.field.as_deref()), (Code::MissingField, Some(field.name)));
        }
    }
    for_every_request!(check());
}

/// The least a request can say.
fn example(object: &Object) -> Value {
    object
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| (field.name.to_owned(), good(&field.shape)))
        .collect()
}

/// Something that fits a shape.
fn good(shape: &Shape) -> Value {
    match shape {
        Shape::Any(_) => serde_json::json!({ "any": ["thing", 1.5, null] }),
        Shape::Boolean => true.into(),
        Shape::Integer(range) => (*range.end()).into(),
        Shape::Number(range) => (*range.start()).into(),
        Shape::Name | Shape::Place | Shape::Text(_) | Shape::Message(_) => "name".into(),
        Shape::Base64(_) => "AAAA".into(),
        Shape::Traceparent => "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        Shape::Timestamp => "2026-11-22T13:00:00Z".into(),
        Shape::JobId | Shape::GrantId => "0-1".into(),
        Shape::CauseId => "00c0ffee00c0ffee".into(),
        Shape::Word(words) => words[0].into(),
        Shape::Metadata | Shape::Attributes => serde_json::json!({ "name": "value" }),
        Shape::List(item, _) => vec![good(item)].into(),
        Shape::Object(object) => example(object),
        Shape::OneOf(object) => one_of(&object.fields[0]),
    }
}

/// An object with this member and no other.
fn one_of(field: &Field) -> Value {
    serde_json::json!({ field.name: good(&field.shape) })
}

/// What does not fit a shape, by type and by value.
fn bad(shape: &Shape) -> Vec<Value> {
    let outside = |end: u64| vec![(end + 1).into(), (-1).into(), 1.5.into(), "1".into(), true.into()];
    match shape {
        Shape::Any(_) => vec![],
        Shape::Boolean => vec![1.into(), "true".into()],
        Shape::Integer(range) => outside(*range.end()),
        Shape::Number(range) => vec![(*range.end() * 2.0).into(), "1".into(), true.into()],
        Shape::Name => vec!["a b".into(), "".into(), 1.into(), "a@b@c".into()],
        Shape::Place => vec!["a b".into(), "".into(), 1.into(), "a@b".into()],
        Shape::Text(_) => vec!["a\tb".into(), "".into(), 1.into(), true.into()],
        Shape::Message(_) => vec![1.into(), vec!["a"].into()],
        Shape::Base64(_) => vec!["A".into(), 1.into()],
        Shape::Traceparent
        | Shape::Timestamp
        | Shape::JobId
        | Shape::GrantId
        | Shape::CauseId
        | Shape::Word(_) => {
            vec!["nonsense".into(), 1.into(), Value::Object(Default::default())]
        }
        Shape::Metadata | Shape::Attributes => {
            vec![1.into(), vec!["a"].into(), serde_json::json!({ "a": 1 })]
        }
        Shape::List(item, _) => {
            let of_one = bad(item).into_iter().map(|bad| Value::from(vec![bad]));
            of_one.chain([1.into(), good(item), Value::Object(Default::default())]).collect()
        }
        Shape::Object(_) => vec![1.into(), "a".into(), Value::Array(vec![])],
        Shape::OneOf(object) => {
            let all: Value =
                object.fields.iter().map(|field| (field.name.to_owned(), good(&field.shape))).collect();
            let none = object.fields.iter().map(|field| serde_json::json!({ field.name: null }));
            none.chain([all, Value::Object(Default::default()), 1.into(), object.fields[0].name.into()])
                .collect()
        }
    }
}

/// JSON that looks like requests: known names, some unknown ones, and values of all sorts.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..20i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9 .-]{0,8}|0-1|2026-11-22T13:00:00Z|block|completed|.{0,6}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        proptest::sample::select(
            NewJob::OBJECT.fields.iter().map(|field| field.name.to_owned()).collect::<Vec<_>>()
        ),
        proptest::sample::select(
            [
                "jobs",
                "id",
                "token",
                "error",
                "message",
                "queues",
                "lease",
                "complete",
                "do",
                "enqueue",
                "queue",
                "key",
                "until",
                "max_attempts"
            ]
            .map(str::to_owned)
            .to_vec()
        ),
        "[a-z_]{1,6}",
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name.clone(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_json_is_never_called_invalid(json in any_json()) {
        fn check<T: Wire<'static>>(text: &'static str) {
            if let Err(refused) = read::<T>(text) {
                assert_ne!(refused.code, Code::InvalidJson, "{text}: {}", refused.detail);
            }
        }
        let text: &'static str = String::leak(json.to_string());
        for_every_request!(check(text));
        if let Err(refused) = WorkBody::read(text) {
            prop_assert_ne!(refused.code, Code::InvalidJson, "{}: {}", text, refused.detail);
        }
        if let Err(refused) = read_jobs::<Fail<'_>>(text) {
            prop_assert_ne!(refused.code, Code::InvalidJson, "{}: {}", text, refused.detail);
        }
    }

    #[test]
    fn a_list_says_of_each_item_what_the_item_alone_is_told(items in proptest::collection::vec(any_json(), 0..6)) {
        let text = Value::from(items.clone()).to_string();
        let read_items = read_list::<NewJob<'_>>(&text).unwrap();
        prop_assert_eq!(read_items.len(), items.len());
        for (item, json) in read_items.into_iter().zip(items) {
            let alone = json.to_string();
            let alone = read::<NewJob<'_>>(&alone).map_err(|refused| *refused);
            prop_assert_eq!(item.map_err(|bad| bad.refusal), alone);
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in r#"[\[\]{}:,"a-z0-9\\ .-]{0,60}|.{0,40}"#) {
        fn check<T: Wire<'static>>(text: &'static str) {
            let _ = read::<T>(text);
        }
        let text: &'static str = String::leak(text);
        for_every_request!(check(text));
        let _ = read_list::<NewJob<'_>>(text);
        let _ = read_jobs::<Complete<'_>>(text);
        let _ = WorkBody::read(text);
    }
}
