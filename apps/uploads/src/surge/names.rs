//! The idempotency key and the email address of each upload.
//!
//! Both are made from the run's name and the upload's number, so that a line of an account or a mail in a directory
//! says which upload it belongs to, without a table and without trust in the service. They have one length, so that
//! a request can be built before its number is known.

/// Digits of an upload's number.
pub(crate) const NUMBER_DIGITS: usize = 7;

const DOMAIN: &str = "@example.org";

/// The name of one run, in all keys and addresses of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// `surge-`, eight hexadecimal digits, `-`.
    prefix: String,
}

impl Run {
    pub(crate) fn new(number: u32) -> Run {
        Run { prefix: format!("surge-{number:08x}-") }
    }

    /// What all keys and addresses of the run begin with.
    pub(crate) fn name(&self) -> &str {
        self.prefix.trim_end_matches('-')
    }

    /// The idempotency key of an upload.
    pub(crate) fn key(&self, upload: usize) -> String {
        format!("{}{upload:0NUMBER_DIGITS$}", self.prefix)
    }

    /// The address that only this upload was given.
    pub(crate) fn email(&self, upload: usize) -> String {
        self.key(upload) + DOMAIN
    }

    /// The upload with this key, if the key is of this run.
    pub(crate) fn upload_of_key(&self, key: &str) -> Option<usize> {
        let digits = key.strip_prefix(&self.prefix)?;
        let is_number = digits.len() == NUMBER_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { digits.parse().ok() } else { None }
    }

    /// The upload with this address, if the address is of this run.
    pub(crate) fn upload_of_email(&self, email: &str) -> Option<usize> {
        self.upload_of_key(email.strip_suffix(DOMAIN)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surge::plan::UPLOADS_MAX;

    #[test]
    fn a_key_and_an_address_lead_back_to_their_upload() {
        let run = Run::new(0xbeef);
        for upload in [0, 42, UPLOADS_MAX as usize] {
            assert_eq!(run.upload_of_key(&run.key(upload)), Some(upload));
            assert_eq!(run.upload_of_email(&run.email(upload)), Some(upload));
            assert_eq!(run.key(upload).len(), run.key(0).len());
        }
    }

    #[test]
    fn what_another_run_made_is_not_ours() {
        let run = Run::new(1);
        for key in ["", "order-7", "surge-00000001-", "surge-00000001-00000042", "surge-00000001-+000042"] {
            assert_eq!(run.upload_of_key(key), None, "{key}");
        }
        assert_eq!(run.upload_of_key(&Run::new(2).key(1)), None);
        assert_eq!(run.upload_of_email("surge-00000001-0000001@example.com"), None);
    }
}
