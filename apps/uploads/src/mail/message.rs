//! The email itself: headers and plain text.

use std::time::SystemTime;

use lettre::Address;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};

use super::{Mail, Refusal, Verdict};

/// The most letters of an upload's name in a mail. Longer names say no more.
const NAME_LETTERS_MAX: usize = 120;

impl Mail {
    /// The mail that tells somebody of an upload. `id` is the upload's, or another that stays the same: letters, digits, `-` and `.`.
    ///
    /// # Panics
    /// If `id` is anything else. It becomes a file's name and a part of a header.
    #[must_use]
    pub fn about_upload(
        id: &str,
        to: &str,
        upload_name: &str,
        status_url: &str,
        sent_at: SystemTime,
    ) -> Mail {
        let sound = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        assert!(sound && !id.is_empty() && !id.starts_with('.'), "a mail's id is a plain word: {id:?}");
        // Whatever a file is called, it is one line of text here.
        let name = upload_name.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let name = name.take(NAME_LETTERS_MAX).collect::<String>();
        let name = if name.trim().is_empty() { "your image".to_owned() } else { name };
        Mail {
            id: id.to_owned(),
            to: to.to_owned(),
            subject: format!("We have {name}"),
            text: format!(
                "Hello,\n\nwe have received {name}. It is safe with us, and its thumbnails are being made.\n\n\
                 See how far it is:\n{status_url}\n"
            ),
            sent_at,
        }
    }

    /// The message as it travels. Its Message-ID follows from the mail's id, so that whoever receives it twice can tell.
    pub(super) fn message(&self, from: &Mailbox) -> Result<Message, Refusal> {
        let to = self.to.parse::<Address>().map_err(|error| bad_address(&self.to, &error))?;
        Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to))
            .subject(&self.subject)
            .date(self.sent_at)
            .message_id(Some(format!("<{}@{}>", self.id, from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(self.text.clone())
            .map_err(|error| bad_address(&self.to, &error))
    }
}

fn bad_address(address: &str, error: &dyn std::fmt::Display) -> Refusal {
    let text = format!("{address:?} is no address for a mail: {error}");
    Refusal { code: None, kind: "bad_address".to_owned(), text, verdict: Verdict::Fatal }
}
