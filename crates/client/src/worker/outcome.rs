//! What an attempt came to, in the form in which it is reported: results, panics and failures, each within the limits
//! of the wire, so that the server never has to refuse one for its form.

use std::any::Any;

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_api::{limits, syntax, value::RawJson};

use super::failure::Failure;

/// What an attempt came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// It did what it should.
    #[non_exhaustive]
    Completed {
        /// What is kept as the job's result.
        result: Option<Box<RawValue>>,
    },
    /// It failed.
    Failed(Failure),
    /// It was given back; the attempt does not count.
    Released,
}

impl Outcome {
    /// What a handler's result means.
    pub(crate) fn of<R: Serialize>(result: Result<R, Failure>) -> Outcome {
        match result {
            Ok(value) => match result_of(&value) {
                Ok(result) => Outcome::Completed { result },
                Err(failure) => Outcome::Failed(failure),
            },
            Err(failure) if failure.is_release() => Outcome::Released,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    /// What a panic means.
    pub(crate) fn of_panic(message: &str) -> Outcome {
        Outcome::Failed(Failure::retry(message).kind("panic"))
    }

    /// What it weighs in a request, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Outcome::Completed { result } => result.as_ref().map_or(0, |result| result.get().len()),
            // Six bytes for each that JSON has to escape.
            Outcome::Failed(failure) => failure.message().len().min(limits::ERROR_MESSAGE_BYTES_KEPT) * 6,
            Outcome::Released => 0,
        }
    }
}

/// A handler's value as the job's result; `null`, which `()` is, leaves none.
///
/// A result that cannot be kept makes the attempt a failure, and a fatal one: the work is done, and doing it again would
/// make the same result.
fn result_of<R: Serialize>(value: &R) -> Result<Option<Box<RawValue>>, Failure> {
    let failure = |why: String| Failure::fatal(why).kind("result");
    let json = serde_json::value::to_raw_value(value)
        .map_err(|error| failure(format!("the result is no JSON: {error}")))?;
    if json.get() == "null" {
        return Ok(None);
    }
    syntax::json("result", &RawJson::from(&*json), limits::RESULT_BYTES_MAX)
        .map_err(|refusal| failure(refusal.detail))?;
    Ok(Some(json))
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(|text| &**text));
    text.unwrap_or("the handler panicked without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<R: Serialize>(result: Result<R, Failure>, expected: &str) {
        let told = match Outcome::of(result) {
            Outcome::Completed { result } => {
                format!("completed {:?}", result.map(|json| json.get().to_owned()))
            }
            Outcome::Failed(failure) => {
                let (kind, fatal) = (failure.kind_name().unwrap_or("-"), failure.is_fatal());
                format!("{kind} fatal={fatal}: {}", failure.message())
            }
            Outcome::Released => "released".to_owned(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn nothing_is_no_result_and_anything_else_is_one() {
        check(Ok(()), "completed None");
        check(Ok(None::<u8>), "completed None");
        check(Ok([1, 2]), "completed Some(\"[1,2]\")");
    }

    #[test]
    fn a_result_that_cannot_be_kept_says_why() {
        check(
            Ok("x".repeat(65_534)),
            &format!("completed Some({:?})", format!("\"{}\"", "x".repeat(65_534))),
        );
        check(
            Ok("x".repeat(65_535)),
            "result fatal=true: `result` has 65537 bytes; at most 65536 are taken.",
        );
        let mut deep = serde_json::json!([]);
        for _ in 0..100 {
            deep = serde_json::json!([deep]);
        }
        check(
            Ok(deep),
            "result fatal=true: `result` cannot be \"JSON nested deeper\"; allowed: JSON nested at most 100 deep.",
        );
        let no_text_as_key = std::collections::BTreeMap::from([((1, 2), 3)]);
        check(Ok(no_text_as_key), "result fatal=true: the result is no JSON: key must be a string");
    }

    #[test]
    fn what_is_given_back_is_no_failure() {
        check(Err::<(), _>(Failure::release()), "released");
        check(Err::<(), _>(Failure::retry("no").kind("k")), "k fatal=false: no");
    }
}
