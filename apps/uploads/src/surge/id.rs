//! Finds an upload's id in an answer, and nothing more: the generator shares its machine with the service.

use memchr::memmem;

/// The id in the body of a 202.
pub(crate) fn id(body: &[u8]) -> Option<&str> {
    const BEFORE: &[u8] = b"\"id\":\"";
    let rest = &body[memmem::find(body, BEFORE)? + BEFORE.len()..];
    let id = &rest[..memchr::memchr(b'"', rest)?];
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    let is_id = (1..=64).contains(&id.len()) && id.iter().all(plain);
    if is_id { std::str::from_utf8(id).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_taken_only_if_it_looks_like_one() {
        assert_eq!(id(br#"{"id":"k3f9","status_url":"/uploads/k3f9"}"#), Some("k3f9"));
        for body in [r#"{"id":""}"#, r#"{"id":"a b"}"#, r#"{"id":7}"#, r#"{"id":"k3"#, "{}", ""] {
            assert_eq!(id(body.as_bytes()), None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = id(&bytes);
        }
    }
}
