//! Receiving an upload: a form with an image and perhaps an address, read within bounds of size and time.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::http::header::{CONTENT_LENGTH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{Reach, room};
use crate::app::Sent;
use crate::mail::is_address;
use crate::problem::{Code, Problem};

/// The longest image, in bytes.
pub(crate) const IMAGE_BYTES_MAX: usize = 10 << 20;
/// What a form may have beside its image, in bytes.
pub(crate) const FORM_BYTES: usize = 16 << 10;
/// A form that has not arrived in so long is given up.
const FORM_TIME: Duration = Duration::from_secs(60);
const TEXT_BYTES_MAX: usize = 320;
const NAME_BYTES_MAX: usize = 200;
const KEY_BYTES_MAX: usize = 128;
/// Of a field's name that does not exist, so much is repeated.
const FIELD_CHARS_SHOWN: usize = 40;
/// Where mails go of those who name no address, as long as mails stay in a Maildir here.
const EMAIL_DEFAULT: &str = "you@example.org";

pub(super) async fn receive(
    State(reach): State<Reach>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    // The form's length is known beforehand, or could be anything.
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let bytes = length.unwrap_or(usize::MAX).min(IMAGE_BYTES_MAX + FORM_BYTES);
    let _room = room(&reach.forms, bytes)?;
    let form = form.map_err(|_| {
        Problem::new(Code::InvalidForm, "Send multipart/form-data with a file in its field `image`.")
    })?;
    let form = tokio::time::timeout(FORM_TIME, read(form, bytes)).await.map_err(|_| {
        Problem::new(Code::TooSlow, format!("The form did not arrive within {} s.", FORM_TIME.as_secs()))
    })??;
    if form.email.is_empty() && reach.app.mailer.goes_out() {
        let detail =
            format!("`email` is needed: mails go out from here. Write one address, as in {EMAIL_DEFAULT}.");
        return Err(Problem::new(Code::InvalidEmail, detail));
    }
    let email = if form.email.is_empty() { EMAIL_DEFAULT.to_owned() } else { form.email };
    let form = Sent { email, ..form };
    let accepted = reach.app.accept(Sent { key, ..form }).await?;
    let url = format!("/uploads/{}", accepted.upload);
    let body = Json(json!({ "id": accepted.upload.to_string(), "status_url": url }));
    let location = HeaderValue::try_from(url).expect("an id is letters and digits");
    let mut response = (StatusCode::ACCEPTED, [(LOCATION, location)], body).into_response();
    if accepted.replayed {
        let replayed = HeaderName::from_static("idempotent-replayed");
        response.headers_mut().insert(replayed, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The client's key: bare, or as the quoted string that the IETF's draft makes of it.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let printable = bare.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match printable && (1..=KEY_BYTES_MAX).contains(&bare.len()) {
        true => Ok(Some(bare.to_owned())),
        false => {
            let detail =
                format!("`Idempotency-Key` must have 1 to {KEY_BYTES_MAX} printable ASCII characters.");
            Err(Problem::new(Code::InvalidKey, detail))
        }
    }
}

/// Reads a form that is `length` bytes long, or less.
async fn read(mut form: Multipart, length: usize) -> Result<Sent, Problem> {
    let (mut image, mut email) = (None, None);
    while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
        match field.name() {
            Some("image") if image.is_some() => {
                return Err(Problem::new(
                    Code::InvalidForm,
                    "`image` is there twice; send one image a request.",
                ));
            }
            Some("image") => {
                let name = file_name(field.file_name());
                let bytes = bytes(field, IMAGE_BYTES_MAX, length).await?.ok_or_else(|| {
                    let mib = IMAGE_BYTES_MAX >> 20;
                    Problem::new(
                        Code::ImageTooLarge,
                        format!("The image has more than the {mib} MiB that are taken."),
                    )
                })?;
                image = Some((name, bytes));
            }
            Some("email") => email = Some(text(field).await?),
            other => {
                let name: String = other.unwrap_or_default().chars().take(FIELD_CHARS_SHOWN).collect();
                let detail = format!("There is no field {name:?}; there are `image` and `email`.");
                return Err(Problem::new(Code::InvalidForm, detail));
            }
        }
    }
    let (name, image) = image
        .filter(|(_, bytes)| !bytes.is_empty())
        .ok_or_else(|| Problem::new(Code::MissingImage, "The form needs a file in its field `image`."))?;
    let email = email.unwrap_or_default();
    if !email.is_empty() && !is_address(&email) {
        let detail = format!("`email` cannot be {email:?}; write one address, as in {EMAIL_DEFAULT}.");
        return Err(Problem::new(Code::InvalidEmail, detail));
    }
    Ok(Sent { key: None, name, email, image })
}

/// A field's bytes; none if there are more than `max`. Room is taken once, for as many as the form can have.
async fn bytes(mut field: Field<'_>, max: usize, form_length: usize) -> Result<Option<Bytes>, Problem> {
    let Some(first) = field.chunk().await.map_err(|error| broken(&error))? else {
        return Ok(Some(Bytes::new()));
    };
    let mut next = field.chunk().await.map_err(|error| broken(&error))?;
    if next.is_none() {
        // What came in one piece is not copied.
        return Ok((first.len() <= max).then_some(first));
    }
    let mut all = Vec::with_capacity(form_length.min(max));
    all.extend_from_slice(&first);
    while let Some(piece) = next {
        if all.len() + piece.len() > max {
            return Ok(None);
        }
        all.extend_from_slice(&piece);
        next = field.chunk().await.map_err(|error| broken(&error))?;
    }
    Ok(Some(all.into()))
}

async fn text(field: Field<'_>) -> Result<String, Problem> {
    let too_long =
        || Problem::new(Code::InvalidEmail, format!("`email` has more than {TEXT_BYTES_MAX} bytes."));
    let bytes = bytes(field, TEXT_BYTES_MAX, TEXT_BYTES_MAX).await?.ok_or_else(too_long)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Problem::new(Code::InvalidEmail, "`email` is not UTF-8."))?;
    Ok(text.trim().to_owned())
}

/// A file's name without its path and without what would disturb a line of text.
fn file_name(name: Option<&str>) -> String {
    let name = name.unwrap_or_default().rsplit(['/', '\\']).next().unwrap_or_default();
    let mut kept = String::new();
    for letter in name.chars().filter(|letter| !letter.is_control()) {
        if kept.len() + letter.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        kept.push(letter);
    }
    if kept.trim().is_empty() { "image".into() } else { kept }
}

fn broken(error: &MultipartError) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let mib = IMAGE_BYTES_MAX >> 20;
            Problem::new(
                Code::ImageTooLarge,
                format!("The form is larger than an image of {mib} MiB makes it."),
            )
        }
        _ => Problem::new(
            Code::InvalidForm,
            format!("The form broke off or is malformed: {}.", error.body_text()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_is_one_short_line_without_a_path() {
        for (sent, kept) in [
            (Some("cat.jpg"), "cat.jpg"),
            (Some("/etc/passwd"), "passwd"),
            (Some("C:\\Pictures\\cat.jpg"), "cat.jpg"),
            (Some("a\r\nBcc: all@example.org"), "aBcc: all@example.org"),
            (Some("  "), "image"),
            (Some(""), "image"),
            (None, "image"),
        ] {
            assert_eq!(file_name(sent), kept, "{sent:?}");
        }
        assert!(file_name(Some(&"ä".repeat(500))).len() <= NAME_BYTES_MAX);
    }

    #[test]
    fn a_key_is_the_same_bare_and_quoted() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("idempotency-key"),
                HeaderValue::from_str(value).expect("a header"),
            )]);
            idempotency_key(&headers).map_err(|problem| problem.code)
        };
        assert_eq!(of("one"), Ok(Some("one".into())));
        assert_eq!(of("\"one\""), Ok(Some("one".into())));
        assert_eq!(of(""), Err(Code::InvalidKey));
        assert_eq!(of(&"k".repeat(129)), Err(Code::InvalidKey));
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
    }
}
