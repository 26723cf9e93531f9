//! How a client's calls behave: their deadline, their retries, their idempotency key. A clone of a client has its own.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// How long a call may take, retries included, beyond what it asks the server to wait.
pub(crate) const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);
/// How long one try may take, beyond what it asks the server to wait: a third of the deadline, so that one answer that
/// never comes does not cost the whole call.
pub(crate) const ANSWER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Nothing that a program sets is longer; what is may as well be for ever.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// A text that cannot be an idempotency key: it has no or more than 255 characters, or others than printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 printable ASCII characters")]
pub struct NotAnIdempotencyKey;

/// A client's settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) deadline: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) retries: bool,
    /// The caller's own key. Without one, calls over HTTP that need one get a fresh one each.
    pub(crate) idempotency_key: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: DEADLINE_DEFAULT,
            answer_timeout: ANSWER_TIMEOUT_DEFAULT,
            retries: true,
            idempotency_key: None,
        }
    }
}

impl Settings {
    /// The settings with the caller's key, if it can be one.
    pub(crate) fn keyed(&self, key: &str) -> Result<Settings, NotAnIdempotencyKey> {
        Ok(Settings { idempotency_key: Some(checked_key(key)?.to_owned()), ..self.clone() })
    }
}

/// A key that the server takes.
pub(crate) fn checked_key(key: &str) -> Result<&str, NotAnIdempotencyKey> {
    let printable = key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if printable && (1..=255).contains(&key.len()) { Ok(key) } else { Err(NotAnIdempotencyKey) }
}

/// A key that nobody has used: 128 bits of the system's chance.
pub(crate) fn fresh_key() -> String {
    format!("{:016x}{:016x}", random_bits(), random_bits())
}

/// 64 bits that nobody can guess: a keyed hash whose key the system draws anew for each process and changes with each
/// use.
pub(crate) fn random_bits() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_and_of_bounded_length() {
        let longest = "k".repeat(255);
        for key in ["a", "order 7", longest.as_str(), "\"quoted\" \\"] {
            assert_eq!(checked_key(key), Ok(key));
        }
        for key in ["", "tab\t", "ä", "k".repeat(256).as_str()] {
            assert_eq!(checked_key(key), Err(NotAnIdempotencyKey), "{key:?}");
        }
    }

    #[test]
    fn fresh_keys_differ() {
        let mut keys: Vec<String> = (0..10_000).map(|_| fresh_key()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 10_000);
    }
}
