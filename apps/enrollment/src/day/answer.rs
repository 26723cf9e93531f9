//! What an answer to a click means for the student who clicked.

use std::time::Duration;

use app_kit::wire::Response;
use serde::Deserialize;

use super::audit::Heard;

/// If the portal says that it is busy and not until when.
const BUSY: Duration = Duration::from_millis(200);
/// A student comes back no later, whatever the portal asks for.
const COME_BACK_MAX: Duration = Duration::from_secs(3);
/// So much of an answer that nobody expected is shown.
const SHOWN_BYTES: usize = 200;

/// What to make of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// That was it.
    Final(Heard),
    /// The same again with the same key after a while; why.
    Again(Duration, &'static str),
}

#[derive(Deserialize)]
struct Granted<'a> {
    #[serde(borrow)]
    enrolment: Named<'a>,
}

#[derive(Deserialize)]
struct Named<'a> {
    id: &'a str,
}

#[derive(Deserialize)]
struct Refusal<'a> {
    code: &'a str,
}

/// What an answer means.
pub(crate) fn meaning(answer: &Response<'_>) -> Meaning {
    let unexpected = || {
        let shown = &answer.body[..answer.body.len().min(SHOWN_BYTES)];
        let words = format!("{} {}", answer.head.status, String::from_utf8_lossy(shown));
        Meaning::Final(Heard::Other(words))
    };
    match answer.head.status {
        201 => match serde_json::from_slice::<Granted<'_>>(answer.body) {
            Ok(granted) => Meaning::Final(Heard::Enrolled(granted.enrolment.id.to_owned())),
            Err(_) => unexpected(),
        },
        200 => Meaning::Final(Heard::Dropped),
        409 => match serde_json::from_slice::<Refusal<'_>>(answer.body) {
            Ok(Refusal { code: "sold_out" }) => Meaning::Final(Heard::SoldOut),
            // The clocks of a browser and of the portal differ by a little.
            Ok(Refusal { code: "not_open" }) => Meaning::Again(BUSY, "not open yet"),
            Ok(Refusal {
                code:
                    code @ ("already_enrolled" | "same_course" | "already_completed" | "prerequisites"
                    | "credit_limit" | "time_conflict"),
            }) => Meaning::Final(Heard::NotEligible(code.to_owned())),
            _ => unexpected(),
        },
        429 => Meaning::Again(come_back(answer), "429 too many"),
        503 => Meaning::Again(come_back(answer), "503 away"),
        _ => unexpected(),
    }
}

fn come_back(answer: &Response<'_>) -> Duration {
    answer.head.retry_after.unwrap_or(BUSY).min(COME_BACK_MAX)
}

#[cfg(test)]
mod tests {
    use app_kit::wire::Head;

    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: Meaning) {
        let head = Head { status, ..Head::default() };
        assert_eq!(meaning(&Response { head, body: body.as_bytes() }), expected);
    }

    #[test]
    fn every_answer_means_something() {
        let granted = r#"{"enrolment":{"id":"0-17","student":"s00001","section":"cs101-1","fence":17,"since":1},"version":3}"#;
        check(201, granted, Meaning::Final(Heard::Enrolled("0-17".into())));
        check(200, "{}", Meaning::Final(Heard::Dropped));
        let refused = |code: &str| format!(r#"{{"code":"{code}","message":"…","version":3,"possible":[]}}"#);
        check(409, &refused("sold_out"), Meaning::Final(Heard::SoldOut));
        check(409, &refused("time_conflict"), Meaning::Final(Heard::NotEligible("time_conflict".into())));
        check(409, &refused("not_open"), Meaning::Again(BUSY, "not open yet"));
        check(503, "", Meaning::Again(BUSY, "503 away"));
        check(409, "?", Meaning::Final(Heard::Other("409 ?".into())));
        check(500, "oh", Meaning::Final(Heard::Other("500 oh".into())));
        check(201, "{}", Meaning::Final(Heard::Other("201 {}".into())));
    }

    #[test]
    fn nobody_stays_away_for_an_hour() {
        let head = Head { status: 503, retry_after: Some(Duration::from_secs(3_600)), ..Head::default() };
        assert_eq!(meaning(&Response { head, body: b"" }), Meaning::Again(COME_BACK_MAX, "503 away"));
    }
}
