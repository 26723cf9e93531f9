//! Refusals of the service, as RFC 9457 has them.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request was refused. Codes are stable; sentences are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The stable code.
    pub code: Code,
    /// What is wrong here, and what would be right.
    pub detail: String,
    /// When to come back, in seconds.
    pub retry_after_s: Option<u64>,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal, $status:ident, $title:literal;)*) => {
        /// What can be refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Code {
            /// The code as it is written in JSON.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// The HTTP status of such a refusal.
            #[must_use]
            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }

            fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    /// The form has no `image`.
    MissingImage = "missing_image", BAD_REQUEST, "There is no image.";
    /// The form cannot be read.
    InvalidForm = "invalid_form", BAD_REQUEST, "The form cannot be read.";
    /// The idempotency key cannot be one.
    InvalidKey = "invalid_key", BAD_REQUEST, "The idempotency key cannot be one.";
    /// The email address cannot be one.
    InvalidEmail = "invalid_email", UNPROCESSABLE_ENTITY, "The email address cannot be one.";
    /// The image has more bytes than are taken.
    ImageTooLarge = "image_too_large", PAYLOAD_TOO_LARGE, "The image is too large.";
    /// The file is no JPEG, PNG or WebP.
    UnsupportedImage = "unsupported_image", UNSUPPORTED_MEDIA_TYPE, "This is no image that is taken.";
    /// The key came before with another image or address.
    IdempotencyMismatch = "idempotency_mismatch", UNPROCESSABLE_ENTITY, "The key belongs to another upload.";
    /// A parameter of the address cannot be read.
    InvalidQuery = "invalid_query", BAD_REQUEST, "The address cannot be read.";
    /// Another site's page asks.
    ForeignOrigin = "foreign_origin", FORBIDDEN, "Another site's page may not ask this.";
    /// The service is asked under a name that is not its own.
    UnknownHost = "unknown_host", MISDIRECTED_REQUEST, "The service does not have this name.";
    /// The address does not take this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here.";
    /// There is no such upload.
    NotFound = "not_found", NOT_FOUND, "Nothing is here.";
    /// No step of the upload has failed.
    NotDead = "not_dead", CONFLICT, "No step has failed.";
    /// The request did not arrive in time.
    TooSlow = "too_slow", REQUEST_TIMEOUT, "The request did not arrive in time.";
    /// Too much is under way.
    Busy = "busy", SERVICE_UNAVAILABLE, "The service is busy.";
    /// What is kept cannot be read, or a bug.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The service made a mistake.";
}

impl Problem {
    /// A refusal with a sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after_s = (code == Code::Busy).then_some(1);
        Self { code, detail: detail.into(), retry_after_s }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let document = Document {
            r#type: format!("/problems/{}", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&document).expect("a problem is JSON");
        let mut response = (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
