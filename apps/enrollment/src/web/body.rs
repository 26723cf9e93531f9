//! What a request carries: a body of JSON, or a query. A field that there is not is refused by name, for what is meant by it would
//! not be done; and what cannot be read is said in the words of the API, not in those of this program.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Bad;

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

/// What stands behind the `?` of an address.
pub(super) struct Asked<T>(pub(super) T);

fn bad(words: impl Into<String>) -> Bad {
    Bad(StatusCode::BAD_REQUEST, "bad_request", words.into())
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Bad;

    async fn from_request(request: Request, state: &S) -> Result<Self, Bad> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
            return Err(bad("The body is JSON, and its Content-Type is application/json."));
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|_| bad("The body is too large, or it did not arrive."))?;
        read(&body).map(Self).map_err(bad)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Bad;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Bad> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(why) => {
                let why = why.body_text();
                let why = why.rsplit_once("query string: ").map_or(why.as_str(), |(_, why)| why);
                Err(bad(format!("The address asks for something that there is not: {}.", plain(why))))
            }
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    match serde_json::from_slice::<Value>(body) {
        Err(why) => Err(format!("The body is not JSON: see line {}, column {}.", why.line(), why.column())),
        Ok(Value::Object(_)) => serde_json::from_slice(body)
            .map_err(|why| format!("The body cannot be understood: {}.", plain(&why.to_string()))),
        Ok(_) => Err(r#"The body is a JSON object, as in {"section":"cs101-1"}."#.to_owned()),
    }
}

/// What serde says, without where it said it and without the names of this program's types.
fn plain(why: &str) -> String {
    let why = why.rsplit_once(" at line ").map_or(why, |(why, _)| why);
    let mut why = why.to_owned();
    for (inside, outside) in [
        ("expected u64", "expected a whole number"),
        ("expected u32", "expected a whole number"),
        ("a sequence", "a list"),
        ("sequence", "list"),
        ("map", "object"),
    ] {
        why = why.replace(inside, outside);
    }
    why
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::refusal::Seen;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read")]
    struct Example {
        section: String,
        count: Option<u32>,
        seen: Option<Seen>,
    }

    #[test]
    fn what_cannot_be_read_is_said_in_the_words_of_the_api() {
        for (body, words) in [
            ("{", "The body is not JSON: see line 1, column 1."),
            ("[1]", r#"The body is a JSON object, as in {"section":"cs101-1"}."#),
            ("7", r#"The body is a JSON object, as in {"section":"cs101-1"}."#),
            ("{}", "The body cannot be understood: missing field `section`."),
            (
                r#"{"section":"a","other":1}"#,
                "The body cannot be understood: unknown field `other`, expected one of `section`, `count`, `seen`.",
            ),
            (
                r#"{"section":7}"#,
                "The body cannot be understood: invalid type: integer `7`, expected a string.",
            ),
            (
                r#"{"section":"a","count":"x"}"#,
                r#"The body cannot be understood: invalid type: string "x", expected a whole number."#,
            ),
            (
                r#"{"section":"a","seen":3}"#,
                "The body cannot be understood: invalid type: integer `3`, expected an object with `version` and `free`.",
            ),
        ] {
            assert_eq!(read::<Example>(body.as_bytes()).expect_err(body), words);
        }
        read::<Example>(br#"{"section":"a","seen":{"version":1,"free":2}}"#).expect("it can be read");
    }
}
