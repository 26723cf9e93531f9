//! The service from outside, as a process with real files, a real mail server and real kills: what its HTTP promises.

#[path = "support/http.rs"]
mod http;
mod support;

use std::time::Instant;

use app_testkit::http::Answer;
use app_testkit::program::Program;
use app_testkit::{PATIENCE, POLL_EVERY};
use serde_json::Value;

use http::{Form, get, post, post_form, send};
use support::{MailServer, files};

/// Steps are retried at once, and twice in all unless a test says otherwise.
const QUICK: [&str; 4] = ["--retry-delay", "20ms", "--max-attempts", "2"];

fn start(options: &[&str]) -> Program {
    Program::start(env!("CARGO_BIN_EXE_uploads"), options)
}

fn png(side: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8, y as u8, 90]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("a PNG");
    bytes.into_inner()
}

fn upload(service: &Program, image: &[u8], email: &str, key: Option<&str>) -> Answer {
    let form = Form::new().text("email", email).file("image", "cat.png", image);
    post_form(&service.url(), "/uploads", key, form)
}

fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

fn status(service: &Program, id: &str) -> Value {
    let answer = get(&service.url(), &format!("/uploads/{id}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Asks until all three steps are as expected.
fn wait_for(service: &Program, id: &str, expected: [&str; 3]) -> Value {
    let start = Instant::now();
    loop {
        let status = status(service, id);
        let found = ["thumbnail", "email", "notification"].map(|step| status["steps"][step]["state"].clone());
        if found == expected {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "{expected:?} is never reached: {status:#}");
        std::thread::sleep(POLL_EVERY);
    }
}

#[track_caller]
fn check_refusal(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (status, Some(code)), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{answer:?}");
}

#[test]
fn an_upload_is_accepted_and_its_three_steps_are_done() {
    let service = start(&QUICK);
    let answer = upload(&service, &png(500), "ann@example.org", Some("first"));
    let id = id_of(&answer);
    assert_eq!(answer.header("location"), Some(&*format!("/uploads/{id}")));
    let status = wait_for(&service, &id, ["done", "done", "done"]);
    assert_eq!(
        (status["name"].as_str(), status["email"].as_str()),
        (Some("cat.png"), Some("ann@example.org"))
    );
    for (thumbnail, side) in
        status["steps"]["thumbnail"]["thumbnails"].as_array().expect("three").iter().zip([96, 320, 500])
    {
        let file = get(&service.url(), thumbnail["url"].as_str().expect("an address"));
        let image = image::load_from_memory(&file.body).expect("an image");
        assert_eq!((file.status, image.width(), image.height()), (200, side, side));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    }
    let original = get(&service.url(), status["original_url"].as_str().expect("an address"));
    assert_eq!(original.body, png(500));
    let mails = files(&service.data().join("mail/new"));
    assert_eq!(mails.len(), 1);
    assert!(mails[0].1.contains("To: ann@example.org") && mails[0].1.contains(&id), "{mails:?}");
}

#[test]
fn the_same_key_never_makes_a_second_upload_not_even_at_the_same_time() {
    let service = start(&QUICK);
    let (image, other) = (png(40), png(41));
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| upload(&service, &image, "ann@example.org", Some("one"))))
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("no panic")).collect()
    });
    let ids: std::collections::BTreeSet<String> = answers.iter().map(id_of).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let replayed =
        answers.iter().filter(|answer| answer.header("idempotent-replayed") == Some("true")).count();
    assert_eq!(replayed, 7);
    check_refusal(&upload(&service, &other, "ann@example.org", Some("one")), 422, "idempotency_mismatch");
    check_refusal(&upload(&service, &image, "ben@example.org", Some("one")), 422, "idempotency_mismatch");
    let id = ids.first().expect("one");
    wait_for(&service, id, ["done", "done", "done"]);
    let list = get(&service.url(), "/uploads?limit=200").json();
    assert_eq!(list["uploads"].as_array().map(Vec::len), Some(1));
    assert_eq!(files(&service.data().join("mail/new")).len(), 1);
}

#[test]
fn what_cannot_be_taken_is_refused_by_name_and_leaves_nothing() {
    let service = start(&QUICK);
    let url = service.url();
    let small = png(8);
    let image = || Form::new().file("image", "a.png", &small);
    let upload = |form: Form| post_form(&url, "/uploads", None, form);
    check_refusal(&upload(Form::new().file("image", "a.txt", b"hello")), 415, "unsupported_image");
    check_refusal(&upload(Form::new().file("image", "a.png", b"")), 400, "missing_image");
    check_refusal(&upload(Form::new().text("email", "ann@example.org")), 400, "missing_image");
    check_refusal(&upload(image().file("image", "b.png", &small)), 400, "invalid_form");
    check_refusal(&upload(image().text("colour", "blue")), 400, "invalid_form");
    check_refusal(&upload(image().text("email", "no address")), 422, "invalid_email");
    check_refusal(
        &upload(image().text("email", "ann@example.org\r\nBcc: ben@example.org")),
        422,
        "invalid_email",
    );
    let mut large = small.clone();
    large.resize((10 << 20) + 1, 0);
    check_refusal(&upload(Form::new().file("image", "a.png", &large)), 413, "image_too_large");
    check_refusal(&post_form(&url, "/uploads", Some(&"k".repeat(129)), image()), 400, "invalid_key");
    check_refusal(&post(&url, "/uploads", "application/json", b"{}"), 400, "invalid_form");
    check_refusal(&get(&url, "/uploads/aaaaaaaaaaaaaaaa"), 404, "not_found");
    check_refusal(&get(&url, "/uploads/../../etc/passwd"), 404, "not_found");
    check_refusal(&get(&url, "/admin/account"), 404, "not_found");
    check_refusal(&get(&url, "/uploads/%ff"), 404, "not_found");
    check_refusal(&get(&url, "/uploads?limit=many"), 400, "invalid_query");
    check_refusal(&send(&url, "DELETE", "/uploads", ""), 405, "method_not_allowed");
    check_refusal(&send(&url, "POST", "/uploads", "Origin: https://evil.example\r\n"), 403, "foreign_origin");
    let list = get(&url, "/uploads").json();
    assert_eq!(list["uploads"].as_array().map(Vec::len), Some(0), "{list}");
    assert_eq!(get(&url, "/healthz").status, 200);
}

#[test]
fn a_corrupt_image_ends_in_a_dead_letter_with_its_cause_and_the_other_steps_go_on() {
    let service = start(&QUICK);
    let mut corrupt = png(200);
    corrupt.truncate(corrupt.len() / 2);
    let id = id_of(&upload(&service, &corrupt, "ann@example.org", None));
    let status = wait_for(&service, &id, ["failed", "done", "done"]);
    let step = &status["steps"]["thumbnail"];
    assert_eq!(step["attempt"], 1, "what cannot succeed is not tried again: {step}");
    assert!(step["reason"].as_str().is_some_and(|reason| reason.contains("ends in the middle")), "{step}");
    // Trying again comes to the same, and says so again.
    let retried = post(&service.url(), &format!("/uploads/{id}/retry"), "application/json", b"");
    assert_eq!(retried.status, 202, "{retried:?}");
    wait_for(&service, &id, ["failed", "done", "done"]);
}

#[test]
fn a_mail_server_that_says_later_is_asked_later_and_the_mail_goes_out_once() {
    let mail = MailServer::start();
    let smtp = format!("smtp://127.0.0.1:{}", mail.port);
    let service = start(&["--smtp", &smtp, "--retry-delay", "1h", "--max-attempts", "5"]);
    // "451 4.7.1 too many, try again in 1 seconds", twice; the policy alone would wait for an hour.
    let id = id_of(&upload(&service, &png(20), "fail-451-2@example.org", None));
    let status = wait_for(&service, &id, ["done", "done", "done"]);
    assert_eq!(status["steps"]["email"]["attempt"], 3);
    let refusals = mail.log().iter().filter(|line| line.starts_with("refused 451")).count();
    assert_eq!((refusals, mail.mails().len()), (2, 1));
}

#[test]
fn five_failures_make_a_dead_letter_and_its_redrive_delivers_once() {
    let mail = MailServer::start();
    let smtp = format!("smtp://127.0.0.1:{}", mail.port);
    let service = start(&["--smtp", &smtp, "--retry-delay", "10ms"]);
    mail.refuse(Some("550 5.7.1 rejected by policy"));
    let id = id_of(&upload(&service, &png(20), "ann@example.org", None));
    let status = wait_for(&service, &id, ["done", "failed", "done"]);
    let step = &status["steps"]["email"];
    assert_eq!((&step["attempt"], &step["max_attempts"]), (&5.into(), &5.into()));
    assert!(step["reason"].as_str().is_some_and(|reason| reason.contains("rejected by policy")), "{step}");
    assert_eq!(mail.log().iter().filter(|line| line.starts_with("refused 550")).count(), 5);

    mail.refuse(None);
    let retry = || post(&service.url(), &format!("/uploads/{id}/retry"), "application/json", b"");
    assert_eq!(retry().status, 202);
    wait_for(&service, &id, ["done", "done", "done"]);
    check_refusal(&retry(), 409, "not_dead");
    assert_eq!(mail.mails().len(), 1);
    assert_eq!(mail.log().iter().filter(|line| line.starts_with("kept")).count(), 1);
}

#[test]
fn a_killed_service_comes_back_with_everything_it_has_answered_and_finishes_it() {
    // Nobody works anything off before the kill.
    let mut service = start(&[&QUICK[..], &["--no-workers"]].concat());
    let ids: Vec<String> = (0..20)
        .map(|number| id_of(&upload(&service, &png(30 + number), &format!("{number}@example.org"), None)))
        .collect();
    service.kill();
    service.set_options(&QUICK);
    service.start_again();
    for id in &ids {
        wait_for(&service, id, ["done", "done", "done"]);
    }
    assert_eq!(files(&service.data().join("mail/new")).len(), ids.len());
    let again = upload(&service, &png(30), "0@example.org", None);
    assert_ne!(id_of(&again), ids[0], "without a key each request is an upload of its own");
}

/// A crash between an image and its jobs: nobody was told of the image, and it is there.
#[test]
fn an_image_without_jobs_gets_them_at_the_next_start() {
    let mut service = start(&QUICK);
    service.kill();
    let upload = uploads::store::UploadId::random();
    let image = uploads::store::NewImage {
        upload,
        client_key: Some("interrupted".into()),
        name: "cat.png".into(),
        content_type: "image/png".into(),
        email: "ann@example.org".into(),
        received_at_ms: 1,
        bytes: png(30).into(),
    };
    let (store, _) =
        uploads::store::Store::open(&service.data().join("images"), Default::default()).expect("opens");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(store.append(uploads::store::Entry::Image(image))).expect("kept");
    store.close();
    drop(store);
    service.start_again();
    wait_for(&service, &upload.to_string(), ["done", "done", "done"]);
    // Whoever had sent it and heard nothing sends it again.
    let again = self::upload(&service, &png(30), "ann@example.org", Some("interrupted"));
    assert_eq!(id_of(&again), upload.to_string());
    assert_eq!(files(&service.data().join("mail/new")).len(), 1);
}

/// The store remembers a client's key for longer than the engine remembers its own.
#[test]
fn a_key_that_the_engine_has_forgotten_still_makes_no_second_upload_and_no_second_mail() {
    let mut service = start(&QUICK);
    let id = id_of(&upload(&service, &png(30), "ann@example.org", Some("old")));
    wait_for(&service, &id, ["done", "done", "done"]);
    service.kill();
    std::fs::remove_dir_all(service.data().join("engine")).expect("removed");
    service.start_again();
    assert_eq!(id_of(&upload(&service, &png(30), "ann@example.org", Some("old"))), id);
    // Had it made jobs, a later upload's would come after them.
    let later = id_of(&upload(&service, &png(31), "ben@example.org", None));
    wait_for(&service, &later, ["done", "done", "done"]);
    assert_eq!(files(&service.data().join("mail/new")).len(), 2);
}

#[test]
fn where_mails_go_out_an_address_is_needed() {
    let mail = MailServer::start();
    let smtp = format!("smtp://127.0.0.1:{}", mail.port);
    let service = start(&["--smtp", &smtp]);
    check_refusal(&upload(&service, &png(20), "", None), 422, "invalid_email");
}

#[test]
fn the_page_is_served_under_a_strict_policy() {
    let service = start(&QUICK);
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/app.css", "text/css; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = get(&service.url(), path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    }
}
