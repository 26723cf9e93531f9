//! Counts the mails in a Maildir by the upload they belong to.
//!
//! Only the `To` header is read: it holds the address that one upload was given. What is under `tmp` was not
//! delivered and does not count.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use anyhow::Context;

use super::names::Run;

/// A mail's headers end before this.
const HEADERS_BYTES_MAX: u64 = 16 * 1024;
/// Names of mails to others that are kept.
const OTHERS_MAX: usize = 1_000;

/// The mails that lie in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mails {
    /// How many came for each upload.
    pub(crate) of_upload: HashMap<usize, u32>,
    /// Files with mails to nobody of the run.
    pub(crate) others: Vec<String>,
}

/// Looks through a Maildir. One that does not exist has no mails.
pub(crate) fn count(maildir: &Path, run: &Run) -> anyhow::Result<Mails> {
    let mut mails = Mails::default();
    for place in ["new", "cur"] {
        let place = maildir.join(place);
        let entries = match fs::read_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("cannot list {}", place.display()))?,
        };
        for entry in entries {
            let path = entry?.path();
            let mut text = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(HEADERS_BYTES_MAX).read_to_end(&mut text))
                .with_context(|| format!("cannot read {}", path.display()))?;
            match recipient(&text, run) {
                Some(upload) => *mails.of_upload.entry(upload).or_default() += 1,
                None if mails.others.len() < OTHERS_MAX => {
                    mails.others.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
                }
                None => {}
            }
        }
    }
    Ok(mails)
}

/// The upload whose address is in the `To` header. A header goes on in lines that begin with a blank.
fn recipient(mail: &[u8], run: &Run) -> Option<usize> {
    let text = String::from_utf8_lossy(mail);
    let headers = text.lines().take_while(|line| !line.is_empty());
    let is_to = |line: &&str| line.get(..3).is_some_and(|name| name.eq_ignore_ascii_case("to:"));
    let mut from_to = headers.skip_while(|line| !is_to(line));
    let first = from_to.next()?.get(3..)?;
    let folded = from_to.take_while(|line| line.starts_with([' ', '\t']));
    let words =
        std::iter::once(first).chain(folded).flat_map(|line| line.split([' ', '\t', '<', '>', ',', ';']));
    let mut uploads = words.filter_map(|word| run.upload_of_email(word));
    uploads.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipient_is_found_in_the_to_header_and_nowhere_else() {
        let run = Run::new(1);
        let address = run.email(42);
        let of = |mail: String| recipient(mail.as_bytes(), &run);
        assert_eq!(of(format!("From: a@b.c\r\nTo: {address}\r\nSubject: x\r\n\r\nhello")), Some(42));
        assert_eq!(of(format!("TO: You <{address}>\n\nhello")), Some(42));
        assert_eq!(of(format!("To: A Very Long Name\r\n\t<{address}>\r\n\r\n")), Some(42));
        assert_eq!(of(format!("From: {address}\r\nTo: x@example.org\r\nCc: {address}\r\n\r\n")), None);
        assert_eq!(of(format!("Subject: x\r\n\r\nTo: {address}\r\n")), None);
        assert_eq!(of("ä".into()), None);
    }

    #[test]
    fn delivered_mails_are_counted_by_upload() {
        let (run, maildir) = (Run::new(1), tempfile::tempdir().expect("a directory"));
        assert_eq!(count(maildir.path(), &run).expect("no mails"), Mails::default());
        for place in ["tmp", "new", "cur"] {
            fs::create_dir(maildir.path().join(place)).expect("a directory");
        }
        let put = |name: &str, to: String| {
            fs::write(maildir.path().join(name), format!("To: {to}\r\n\r\n")).expect("a mail");
        };
        put("new/1", run.email(7));
        put("new/2", run.email(7));
        put("cur/3:2,S", run.email(8));
        put("tmp/4", run.email(9));
        put("new/5", Run::new(2).email(7));
        let mails = count(maildir.path(), &run).expect("mails");
        assert_eq!(mails.of_upload, HashMap::from([(7, 2), (8, 1)]));
        assert_eq!(mails.others, ["5"]);
    }
}
