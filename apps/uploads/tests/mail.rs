//! Mail into a real Maildir and to a real SMTP server, delivered once however often it is delivered.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use app_kit::port::Port;
use support::{MailServer, files};
use uploads::mail::{Mail, Mailer, Outcome, Refusal, Verdict};

fn mail(id: &str, to: &str) -> Mail {
    let sent_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_783_159_872);
    Mail::about_upload(id, to, "cat.jpg", "http://127.0.0.1:7421/uploads/nbswy3dpo5xxe3de", sent_at)
}

fn maildir(folder: &Path) -> Mailer {
    Mailer::maildir(folder, Duration::ZERO).expect("the mailbox opens")
}

fn refusal(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(refusal) => refusal,
        outcome => panic!("it is refused: {outcome:?}"),
    }
}

#[tokio::test]
async fn a_mailbox_has_each_mail_once() {
    let folder = tempfile::tempdir().expect("a directory");
    let mailer = maildir(folder.path());
    assert_eq!(mailer.deliver(&mail("0-42", "ann@example.org")).await, Outcome::Delivered);
    assert_eq!(mailer.deliver(&mail("0-42", "ann@example.org")).await, Outcome::AlreadyThere);
    assert_eq!(mailer.deliver(&mail("0-43", "ben@example.org")).await, Outcome::Delivered);

    let new = files(&folder.path().join("new"));
    let [(first, text), (second, _)] = &new[..] else { panic!("two mails: {new:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("0-42.uploads", "0-43.uploads"));
    let (headers, body) = text.split_once("\n\n").expect("headers and a body");
    for header in [
        "From: Uploads <uploads@localhost>",
        "To: ann@example.org",
        "Subject: We have cat.jpg",
        "Date: Sat, 04 Jul 2026 10:11:12 +0000",
        "Message-ID: <0-42@localhost>",
    ] {
        assert!(headers.lines().any(|line| line == header), "{header} in {headers}");
    }
    assert!(body.contains("http://127.0.0.1:7421/uploads/nbswy3dpo5xxe3de"), "{body}");
    assert_eq!(files(&folder.path().join("tmp")), [], "nothing is left over");

    // After a restart, and after a reader has taken the mail and marked it as seen.
    drop(mailer);
    let mailer = maildir(folder.path());
    assert_eq!(mailer.deliver(&mail("0-42", "ann@example.org")).await, Outcome::AlreadyThere);
    let read = folder.path().join("cur/0-42.uploads:2,S");
    fs::rename(folder.path().join("new/0-42.uploads"), &read).expect("the reader moves it");
    assert_eq!(mailer.deliver(&mail("0-42", "ann@example.org")).await, Outcome::AlreadyThere);
    // What the reader has deleted is forgotten.
    fs::remove_file(read).expect("the reader deletes it");
    assert_eq!(mailer.deliver(&mail("0-42", "ann@example.org")).await, Outcome::Delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_mails_at_once_twice_are_a_thousand() {
    let folder = tempfile::tempdir().expect("a directory");
    let mailer = maildir(folder.path());
    let tasks = (0..2_000).map(|number| {
        let mailer = mailer.clone();
        tokio::spawn(
            async move { mailer.deliver(&mail(&format!("0-{}", number / 2), "ann@example.org")).await },
        )
    });
    let mut delivered = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.expect("the task ends") {
            Outcome::Delivered => delivered += 1,
            Outcome::AlreadyThere => {}
            Outcome::Refused(refusal) => panic!("{refusal:?}"),
        }
    }
    assert_eq!(delivered, 1_000);
    assert_eq!(files(&folder.path().join("new")).len(), 1_000);
    assert_eq!(files(&folder.path().join("tmp")), []);
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_written_says_so_and_is_well_again_when_it_can() {
    let folder = tempfile::tempdir().expect("a directory");
    let mailer = maildir(folder.path());
    // Whoever runs this may be root, whom no permission stops; a missing directory stops everybody.
    fs::rename(folder.path().join("tmp"), folder.path().join("gone")).expect("renamed");
    let refused = refusal(mailer.deliver(&mail("0-1", "ann@example.org")).await);
    assert_eq!(
        (refused.code, refused.kind.as_str(), refused.verdict),
        (None, "mailbox_failed", Verdict::Retry)
    );
    fs::rename(folder.path().join("gone"), folder.path().join("tmp")).expect("renamed");
    assert_eq!(mailer.deliver(&mail("0-1", "ann@example.org")).await, Outcome::Delivered);
    let mode = fs::metadata(folder.path().join("new/0-1.uploads")).expect("the mail").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "a mail is nobody else's business");
}

#[tokio::test]
async fn an_address_that_is_none_is_fatal() {
    let folder = tempfile::tempdir().expect("a directory");
    let mailer = maildir(folder.path());
    for to in
        ["", "ann", "ann@", "@example.org", "a b@example.org", "ann@example.org\r\nBcc: all@example.org"]
    {
        let refused = refusal(mailer.deliver(&mail("0-1", to)).await);
        assert_eq!((refused.kind.as_str(), refused.verdict), ("bad_address", Verdict::Fatal), "{to:?}");
    }
    assert_eq!(files(&folder.path().join("new")), []);
}

#[tokio::test]
async fn whatever_a_file_is_called_the_headers_are_ours() {
    let folder = tempfile::tempdir().expect("a directory");
    let mailer = maildir(folder.path());
    for (number, name) in
        ["a\r\nBcc: all@example.org", "Füße 🐈.jpg", &"x".repeat(5_000), " \n "].iter().enumerate()
    {
        let id = format!("0-{number}");
        let mail = Mail::about_upload(&id, "ann@example.org", name, "http://127.0.0.1/", SystemTime::now());
        assert_eq!(mailer.deliver(&mail).await, Outcome::Delivered, "{name:?}");
        let text = fs::read_to_string(folder.path().join(format!("new/{id}.uploads"))).expect("the mail");
        let (headers, _) = text.split_once("\n\n").expect("headers and a body");
        assert!(headers.is_ascii() && !headers.lines().any(|line| line.starts_with("Bcc:")), "{headers}");
        assert!(headers.lines().all(|line| line.len() < 998), "{headers}");
    }
}

#[tokio::test]
async fn a_server_gets_each_mail_and_can_drop_the_second() {
    let server = MailServer::start();
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{}", server.port)).expect("an address");
    assert_eq!(mailer.deliver(&mail("0-42", "ann@example.org")).await, Outcome::Delivered);
    assert_eq!(mailer.deliver(&mail("0-42", "ann@example.org")).await, Outcome::Delivered);
    assert_eq!(
        server.log(),
        ["kept 0-42@localhost ann@example.org", "repeated 0-42@localhost ann@example.org"]
    );
    let mails = server.mails();
    let [(name, text)] = &mails[..] else { panic!("one mail: {mails:?}") };
    assert_eq!(name, "0-42@localhost.eml");
    assert!(text.contains("Subject: We have cat.jpg\r\n"), "{text}");

    let mailer = mailer.from("Pictures <pictures@example.org>").expect("a sender");
    assert_eq!(mailer.deliver(&mail("0-43", "ben@example.org")).await, Outcome::Delivered);
    assert!(server.mails()[1].1.contains("From: Pictures <pictures@example.org>\r\n"));
}

#[tokio::test]
async fn each_refusal_of_a_server_has_its_verdict() {
    let server = MailServer::start();
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{}", server.port)).expect("an address");
    let second = Verdict::RetryAfter(Duration::from_secs(1));
    for (to, times, code, verdict) in [
        ("fail-451-2@example.org", 2, 451, second),
        ("fail-421-1@example.org", 1, 421, Verdict::Retry),
        ("fail-450-1@example.org", 1, 450, Verdict::Retry),
        ("fail-550-3@example.org", 3, 550, Verdict::Retry),
    ] {
        for _ in 0..times {
            let refused = refusal(mailer.deliver(&mail(&format!("0-{code}"), to)).await);
            assert_eq!((refused.code, refused.verdict), (Some(code), verdict), "{refused:?}");
            assert_eq!(refused.kind, format!("smtp_{code}"));
            assert!(!refused.text.is_empty());
        }
        assert_eq!(mailer.deliver(&mail(&format!("0-{code}"), to)).await, Outcome::Delivered);
    }
    assert_eq!(server.mails().len(), 4);

    server.refuse(Some("421 too many connections"));
    let refused = refusal(mailer.deliver(&mail("0-1", "ann@example.org")).await);
    assert_eq!(refused.verdict, Verdict::RetryAfter(Duration::from_secs(60)), "{refused:?}");
    server.refuse(None);
    assert_eq!(mailer.deliver(&mail("0-1", "ann@example.org")).await, Outcome::Delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_mails_share_a_bounded_number_of_connections() {
    let server = MailServer::start();
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{}", server.port)).expect("an address");
    let tasks = (0..300).map(|number| {
        let mailer = mailer.clone();
        tokio::spawn(async move { mailer.deliver(&mail(&format!("0-{number}"), "ann@example.org")).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.expect("the task ends"), Outcome::Delivered);
    }
    assert_eq!(server.mails().len(), 300);
    let connections = server.connections_max();
    assert!((2..=16).contains(&connections), "{connections}");
}

/// A caller that goes away in the middle takes its connection with it; the next mail is not disturbed.
#[tokio::test]
async fn a_conversation_that_is_given_up_leaves_nothing_behind() {
    let server = MailServer::start();
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{}", server.port)).expect("an address");
    for polls in 1..12 {
        let gone = mail(&format!("9-{polls}"), "gone@example.org");
        let mut delivery = Box::pin(mailer.deliver(&gone));
        for _ in 0..polls {
            let polled =
                std::future::poll_fn(|context| std::task::Poll::Ready(delivery.as_mut().poll(context))).await;
            if polled.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(delivery);
        let kept = mail(&format!("0-{polls}"), "ann@example.org");
        assert_eq!(mailer.deliver(&kept).await, Outcome::Delivered, "{polls}");
    }
    let kept = server.log().into_iter().filter(|line| line.ends_with(" ann@example.org")).count();
    assert_eq!(kept, 11);
}

#[tokio::test]
async fn a_server_that_is_away_hangs_up_or_cannot_do_what_is_asked_is_a_retry() {
    // A port that nobody listens on.
    let nobody = Port::own().expect("a free port");
    let mailer = Mailer::smtp(&format!("smtp://{}", nobody.address())).expect("an address");
    let refused = refusal(mailer.deliver(&mail("0-1", "ann@example.org")).await);
    assert_eq!(
        (refused.code, refused.kind.as_str(), refused.verdict),
        (None, "smtp_unreachable", Verdict::Retry)
    );

    // One that hangs up at once.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let hangs_up = tokio::spawn(async move { drop(listener.accept().await) });
    let mailer = Mailer::smtp(&format!("smtp://127.0.0.1:{port}")).expect("an address");
    let refused = refusal(mailer.deliver(&mail("0-1", "ann@example.org")).await);
    assert_eq!(refused.verdict, Verdict::Retry, "{refused:?}");
    hangs_up.await.expect("it did");

    // No STARTTLS there, so nothing is sent; and no password goes over a plain line to who does not ask for it.
    let server = MailServer::start();
    for address in ["smtp://127.0.0.1:PORT?tls=required", "smtp://ann:se%20cret@127.0.0.1:PORT"] {
        let mailer = Mailer::smtp(&address.replace("PORT", &server.port.to_string())).expect("an address");
        let refused = refusal(mailer.deliver(&mail("0-1", "ann@example.org")).await);
        assert_eq!(
            (refused.kind.as_str(), refused.verdict),
            ("smtp_unsupported", Verdict::Retry),
            "{refused:?}"
        );
        let said = format!("{mailer} {mailer:?} {refused:?}");
        assert!(!said.contains("cret") && !said.contains("ann:"), "{said}");
    }
    assert_eq!(server.mails(), []);
}

const CHILD: &str = "UPLOADS_MAIL_CHILD";

/// What the next test does in a process of its own, because whom TLS trusts is in a process's environment.
async fn over_tls_with(server: &str) {
    let login = |login: &str| Mailer::smtp(&server.replace("LOGIN", login)).expect("an address");
    let known = login("ann:se%20cret@");
    for id in ["0-1", "0-2"] {
        assert_eq!(known.deliver(&mail(id, "ben@example.org")).await, Outcome::Delivered);
    }
    let refused = refusal(login("ann:secret@").deliver(&mail("0-3", "ben@example.org")).await);
    assert_eq!((refused.code, refused.verdict), (Some(535), Verdict::Retry), "{refused:?}");
    let refused = refusal(login("").deliver(&mail("0-3", "ben@example.org")).await);
    assert_eq!((refused.code, refused.verdict), (Some(530), Verdict::Retry), "{refused:?}");
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_system_trusts_and_nobody_else() {
    if let Ok(server) = std::env::var(CHILD) {
        return over_tls_with(&server).await;
    }
    for (when, url) in
        [("always", "smtps://LOGINlocalhost:PORT"), ("starttls", "smtp://LOGINlocalhost:PORT?tls=required")]
    {
        let server = MailServer::start_with_tls(when);
        let url = url.replace("PORT", &server.port.to_string());
        // This process does not trust a certificate that was made a moment ago.
        let mailer = Mailer::smtp(&url.replace("LOGIN", "ann:se%20cret@")).expect("an address");
        let refused = refusal(mailer.deliver(&mail("0-1", "ben@example.org")).await);
        assert_eq!((refused.code, refused.verdict), (None, Verdict::Retry), "{refused:?}");
        assert!(refused.text.contains("certificate"), "{refused:?}");
        assert_eq!(server.mails(), []);

        let output = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "tls_is_spoken_with_whom_the_system_trusts_and_nobody_else", "--nocapture"])
            .env(CHILD, &url)
            .env("SSL_CERT_FILE", server.certificate())
            .output()
            .expect("the child starts");
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success(), "{when}: {said}");
        assert!(said.contains("1 passed"), "{said}");
        assert_eq!(server.mails().len(), 2);
    }
}

#[tokio::test]
async fn addresses_of_servers() {
    for (url, shown) in [
        ("smtp://mail.example.org", "smtp://mail.example.org:25"),
        ("smtp://mail.example.org:2525", "smtp://mail.example.org:2525"),
        ("smtp://ann:secret@mail.example.org/?tls=required", "smtp://mail.example.org:587"),
        ("smtp://ann:secret@127.0.0.1/", "smtp://127.0.0.1:25"),
        ("smtp://[::1]:2525", "smtp://[::1]:2525"),
        ("smtp://mail.example.org?tls=required", "smtp://mail.example.org:587"),
        ("smtps://ann:secret@mail.example.org", "smtps://mail.example.org:465"),
    ] {
        assert_eq!(Mailer::smtp(url).expect(url).to_string(), shown);
    }
    for url in [
        "",
        "mail.example.org",
        "http://ann:secret@mail.example.org",
        "smtp://ann:secret@mail.example.org?tls=maybe",
        // The password would travel in clear.
        "smtp://ann:secret@mail.example.org",
        "smtp://ann:secret@mail.example.org:587",
        "smtp://ann:secret@mail.example.org/inbox",
        "smtp://ann:secret@:25",
        "smtp://ann:secret@mail.example.org:port",
    ] {
        let error = Mailer::smtp(url).expect_err(url).to_string();
        assert!(
            error.starts_with("the mail server's address ") && !error.contains("secret"),
            "{url}: {error}"
        );
    }
}
