//! Upload requests, built before the clock runs.
//!
//! A request is two pieces: a head (HTTP and the form's beginning, some 600 bytes) in which key and address are set
//! each time it is sent, and a tail (the image and the form's end) that all requests with that image share. So a
//! thousand requests of ten mebibytes under way take no more memory than one.

use std::io::Write;

use memchr::memmem;

use super::{names::Run, pictures::Picture};

/// The requests of one run, one for each picture.
pub(crate) struct Requests {
    run: Run,
    requests: Vec<Request>,
}

struct Request {
    /// With the key and address of upload 0.
    head: Vec<u8>,
    key_at: usize,
    email_at: usize,
    tail: Vec<u8>,
}

impl Requests {
    /// Requests to a service that is called `host`.
    pub(crate) fn new(run: Run, host: &str, pictures: Vec<Picture>) -> Requests {
        assert!(!pictures.is_empty(), "there is something to upload");
        let requests = pictures.into_iter().map(|picture| Request::new(&run, host, picture)).collect();
        Requests { run, requests }
    }

    /// The request for this upload: `head` is filled with its first piece, the second is returned. The pictures are
    /// taken in turn.
    pub(crate) fn write(&self, upload: usize, head: &mut Vec<u8>) -> &[u8] {
        let request = &self.requests[upload % self.requests.len()];
        head.clear();
        head.extend_from_slice(&request.head);
        let mut set = |at: usize, text: String| head[at..at + text.len()].copy_from_slice(text.as_bytes());
        set(request.key_at, self.run.key(upload));
        set(request.email_at, self.run.email(upload));
        &request.tail
    }
}

impl Request {
    fn new(run: &Run, host: &str, picture: Picture) -> Request {
        let boundary = boundary(&picture.bytes);
        let (key, email) = (run.key(0), run.email(0));
        let Picture { name, content_type, bytes } = picture;
        let form_start = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"email\"\r\n\r\n{email}\r\n\
             --{boundary}\r\ncontent-disposition: form-data; name=\"image\"; filename=\"{name}\"\r\n\
             content-type: {content_type}\r\n\r\n"
        );
        let mut tail = bytes;
        write!(tail, "\r\n--{boundary}--\r\n").expect("memory takes every write");
        let length = form_start.len() + tail.len();
        let head = format!(
            "POST /uploads HTTP/1.1\r\nhost: {host}\r\nidempotency-key: {key}\r\n\
             content-type: multipart/form-data; boundary={boundary}\r\ncontent-length: {length}\r\n\r\n{form_start}"
        );
        let key_at = head.find(&key).expect("the key is in the head");
        let email_at = head.rfind(&email).expect("the address is in the form");
        Request { head: head.into_bytes(), key_at, email_at, tail }
    }
}

/// A line that the image does not contain.
fn boundary(image: &[u8]) -> String {
    let candidates = (0u32..).map(|number| format!("tidegate-surge-{number:08x}"));
    let absent = |candidate: &String| memmem::find(image, candidate.as_bytes()).is_none();
    candidates.into_iter().find(absent).expect("an image does not contain every number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(bytes: &[u8]) -> Picture {
        Picture { name: "cat.jpg".into(), content_type: "image/jpeg", bytes: bytes.to_vec() }
    }

    fn whole(requests: &Requests, upload: usize) -> String {
        let mut head = Vec::new();
        let tail = requests.write(upload, &mut head);
        String::from_utf8([&head, tail].concat()).expect("text")
    }

    #[test]
    fn a_request_is_a_form_with_the_upload_s_own_key_and_address() {
        let run = Run::new(9);
        let requests = Requests::new(run.clone(), "127.0.0.1:7421", vec![picture(b"one"), picture(b"two")]);
        assert_eq!(
            whole(&requests, 43),
            "POST /uploads HTTP/1.1\r\nhost: 127.0.0.1:7421\r\nidempotency-key: surge-00000009-0000043\r\n\
             content-type: multipart/form-data; boundary=tidegate-surge-00000000\r\ncontent-length: 266\r\n\r\n\
             --tidegate-surge-00000000\r\ncontent-disposition: form-data; name=\"email\"\r\n\r\n\
             surge-00000009-0000043@example.org\r\n\
             --tidegate-surge-00000000\r\ncontent-disposition: form-data; name=\"image\"; filename=\"cat.jpg\"\r\n\
             content-type: image/jpeg\r\n\r\ntwo\r\n--tidegate-surge-00000000--\r\n"
        );
        assert!(whole(&requests, 44).contains("\r\n\r\none\r\n"));
    }

    #[test]
    fn the_length_is_that_of_the_body() {
        let requests = Requests::new(Run::new(9), "localhost", vec![picture(&[b'x'; 5_000])]);
        let request = whole(&requests, 7);
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    }

    #[test]
    fn the_boundary_is_not_in_the_image() {
        assert_eq!(boundary(b"--tidegate-surge-00000000"), "tidegate-surge-00000001");
    }
}
