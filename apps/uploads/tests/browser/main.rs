//! The page in a real browser, against the real service: headless Chromium, real photographs, and a mail server that is
//! closed at first. Each scene is one person's way through the page; its name says what holds.

mod mail_server;

use std::fs;
use std::path::PathBuf;

use app_testkit::browser::{Browser, Key, Met};
use app_testkit::http::ask;
use app_testkit::program::Program;
use serde_json::{Value, json};

use mail_server::MailServer;

/// The page hears the service's events.
const LIVE: &str = "document.querySelector('#connection[data-state=live]')";

/// Keeps every message that the page tells: messages go away by themselves, and a busy machine may look too late.
const WATCH_MESSAGES: &str = "
    if (!window.messages) {
        window.messages = { polite: '', assertive: '' };
        for (const tone of Object.keys(messages)) {
            const region = document.getElementById(`toasts-${tone}`);
            const note = () => { messages[tone] += region.innerText; };
            note();
            new MutationObserver(note).observe(region, { childList: true, subtree: true, characterData: true });
        }
    }";

/// Keeps a message on the screen: one with the focus in it does not go.
const KEEP_A_MESSAGE: &str = "
    for (const tone of Object.keys(messages)) {
        const region = document.getElementById(`toasts-${tone}`);
        const keep = () => region.querySelector('button')?.focus({ preventScroll: true });
        new MutationObserver(keep).observe(region, { childList: true });
        keep();
    }";

/// Notes every state that the page shows from now on, in order: of the sending, and of the progress bar.
const WATCH: &str = "
    window.seen = { sending: [], progress: [] };
    const note = (list, value) => { if (list.at(-1) !== value) list.push(value); };
    new MutationObserver(() => {
        for (const node of document.querySelectorAll('.sending')) note(seen.sending, node.dataset.state);
        for (const node of document.querySelectorAll('.sending progress')) note(seen.progress, node.value);
    }).observe(document.getElementById('uploads'), { attributes: true, childList: true, subtree: true });";

/// Drops a file with these bytes on the drop zone, as a browser does when the mouse lets go.
const DROP: &str = "
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(arguments[0])], arguments[1], { type: 'image/jpeg', lastModified: 1 }));
    const zone = document.getElementById('drop');
    for (const type of ['dragenter', 'dragover', 'drop']) {
        zone.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
    }";

/// Notes the idempotency key of every request from now on.
const WATCH_KEYS: &str = "
    window.keys = [];
    const set = XMLHttpRequest.prototype.setRequestHeader;
    XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
        if (name === 'Idempotency-Key') keys.push(value);
        return set.call(this, name, value);
    };";

fn start(options: &[&str]) -> Program {
    Program::start(env!("CARGO_BIN_EXE_uploads"), options)
}

/// A browser that shows the service's page, live, and keeps its messages.
async fn open(service: &Program) -> Browser {
    let browser = Browser::start(LIVE).await;
    browser.go(&service.url()).await;
    browser.run(WATCH_MESSAGES, vec![]).await;
    browser
}

/// The state of a step of the newest upload, as an expression.
fn step(name: &str) -> String {
    format!("document.querySelector('.card[data-upload] [data-step={name}]')?.dataset.state")
}

fn photographs() -> Vec<PathBuf> {
    let folder = std::env::var("TIDEGATE_PHOTOGRAPHS")
        .unwrap_or_else(|_| "/usr/share/backgrounds/mate/nature".to_owned());
    let files = fs::read_dir(&folder)
        .unwrap_or_else(|failure| panic!("{folder}: {failure}; `make prepare` installs it"));
    let mut photographs: Vec<PathBuf> = files
        .map(|file| file.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jpg"))
        .collect();
    photographs.sort();
    assert!(photographs.len() >= 3, "three JPEG photographs in {folder}");
    photographs
}

/// Begins as a JPEG does and goes on as none can.
fn corrupt() -> Vec<u8> {
    let mut bytes = fs::read(&photographs()[0]).expect("a photograph")[..32].to_vec();
    bytes.resize(4096, 0x55);
    bytes
}

async fn drop_file(browser: &Browser, bytes: &[u8], name: &str) {
    browser.run(DROP, vec![json!(bytes), json!(name)]).await;
}

/// Waits until this many uploads have all three steps done and show their thumbnails.
async fn done(browser: &Browser, uploads: usize) {
    let all = format!(
        "document.querySelectorAll('.card[data-upload] .step[data-state=done]').length === {}",
        3 * uploads
    );
    browser.until("all steps to be done", &all).await;
    let seen = "Array.from(document.querySelectorAll('.card img')).filter((image) => image.complete && image.naturalWidth > 0)";
    browser.until("the thumbnails to be seen", &format!("{seen}.length === {uploads}")).await;
}

/// Starts all workers, or ends them.
fn set_workers(service: &Program, alive: bool) {
    let body = json!({ "alive": alive }).to_string();
    let answer =
        ask(&service.url(), "POST", "/admin/workers", "Content-Type: application/json\r\n", body.as_bytes());
    assert!((200..300).contains(&answer.status), "{}", answer.text());
}

async fn uploads_at(browser: &Browser) -> Value {
    browser
        .run("return fetch('/uploads').then((answer) => answer.json()).then((list) => list.uploads)", vec![])
        .await
}

#[tokio::test]
async fn chosen_photographs_show_their_progress_and_end_done_with_thumbnails() {
    let service = start(&["--admin"]);
    let browser = open(&service).await;
    browser.run(WATCH, vec![]).await;
    // Slow until part of the way was seen, however the machine stands still meanwhile.
    browser.upload_bytes_per_second(100_000).await;
    // Without workers the steps wait for as long as it takes to see them wait.
    set_workers(&service, false);
    browser.choose(&photographs()[..3]).await;
    browser.until("part of the way", "seen.progress.some((part) => 0 < part && part < 1)").await;
    browser.upload_bytes_per_second(100_000_000).await;
    let waiting = "document.querySelectorAll('[data-step=thumbnail][data-state=waiting]').length === 3";
    browser.until("the thumbnails to be seen waiting", waiting).await;
    set_workers(&service, true);
    done(&browser, 3).await;

    let seen = browser.value("window.seen").await;
    assert!(seen["sending"].as_array().expect("a list").contains(&json!("sending")), "{seen}");
    browser.until("the notifications", "/received|3 notifications/.test(window.messages.polite)").await;
    browser.assert_quiet_but(&[]).await;
}

#[tokio::test]
async fn a_photograph_dropped_on_the_page_ends_done_with_a_thumbnail() {
    let service = start(&[]);
    let browser = open(&service).await;
    browser.until("the empty state to explain", "document.getElementById('empty').offsetHeight > 0").await;
    let photograph = fs::read(&photographs()[0]).expect("a photograph");
    drop_file(&browser, &photograph, "dropped.jpg").await;
    done(&browser, 1).await;
    assert_eq!(browser.text(".card-name").await, "dropped.jpg");
    assert!(browser.attr(".card .frame a", "href").await.ends_with("/thumbnails/large"));
    assert_eq!(browser.value("document.getElementById('empty').hidden").await, json!(true));
    browser.assert_quiet_but(&[]).await;
}

#[tokio::test]
async fn the_same_file_dropped_twice_is_one_upload() {
    let service = start(&[]);
    let browser = open(&service).await;
    let photograph = fs::read(&photographs()[0]).expect("a photograph");
    let twice = format!("for (let i = 0; i < 2; i += 1) {{ {DROP} }}");
    browser.run(&twice, vec![json!(photograph), json!("twice.jpg")]).await;
    browser.until("to be told", "window.messages.polite.includes('already on its way')").await;
    done(&browser, 1).await;
    assert_eq!(uploads_at(&browser).await.as_array().expect("a list").len(), 1);
    browser.assert_quiet_but(&[]).await;
}

#[tokio::test]
async fn a_corrupt_photograph_fails_its_thumbnails_with_a_reason_and_only_those() {
    let service = start(&[]);
    let browser = open(&service).await;
    drop_file(&browser, &corrupt(), "corrupt.jpg").await;
    for (name, state) in [("thumbnail", "failed"), ("email", "done"), ("notification", "done")] {
        browser.until(&format!("{name} to be {state}"), &format!("{} === '{state}'", step(name))).await;
    }
    // Told by a word, not only by a colour.
    browser.says("[data-step=thumbnail]", "Failed").await;
    let reason = browser.text("[data-step=thumbnail] .step-reason").await;
    assert!(!reason.is_empty() && reason != "No reason was given.", "{reason}");
    browser.until("a message that interrupts", "window.messages.assertive.includes('corrupt.jpg')").await;
    browser.find("[data-step=thumbnail] button").await;
    browser.assert_quiet_but(&[]).await;
}

#[tokio::test]
async fn an_email_that_failed_is_sent_once_when_its_retry_is_pressed_by_keyboard() {
    let mail_server = MailServer::closed().await;
    let service = start(&["--smtp", &mail_server.url(), "--retry-delay", "50ms", "--max-attempts", "2"]);
    let browser = open(&service).await;
    // Mails go out from here, so an address is needed; without one the service says so.
    browser.type_into("#email", "ann@example.org").await;
    browser.choose(&photographs()[..1]).await;
    for (name, state) in [("email", "failed"), ("thumbnail", "done"), ("notification", "done")] {
        browser.until(&format!("{name} to be {state}"), &format!("{} === '{state}'", step(name))).await;
    }
    // What the mail server said.
    browser.says("[data-step=email] .step-reason", "421").await;

    mail_server.open();
    for _ in 0..20 {
        if browser.value("document.activeElement.matches('[data-step=email] button')").await == json!(true) {
            break;
        }
        browser.key(Key::Tab).await;
    }
    assert!(browser.meet("[data-step=email] button:focus").await.name.starts_with("Retry Email of "));
    // Twice in a hurry is once.
    browser.key(Key::Enter).await;
    browser.key(Key::Enter).await;
    done(&browser, 1).await;
    browser.until("the focus to stay on the card", "document.activeElement.className === 'card-name'").await;
    assert_eq!(mail_server.mails(), 1);
    // A second press that comes after the first was answered is refused, which the page takes as it is and Chromium notes.
    browser
        .assert_quiet_but(&["/retry - Failed to load resource: the server responded with a status of 409"])
        .await;
}

#[tokio::test]
async fn two_pages_of_one_service_both_see_it_live() {
    let service = start(&[]);
    let (one, other) = (open(&service).await, open(&service).await);
    other.run("window.loadedOnce = true", vec![]).await;
    one.choose(&photographs()[..1]).await;
    for browser in [&one, &other] {
        done(browser, 1).await;
        browser.until("the notification", "window.messages.polite.includes('received')").await;
        browser.assert_quiet_but(&[]).await;
    }
    assert_eq!(other.value("window.loadedOnce").await, json!(true), "without loading again");
}

#[tokio::test]
async fn an_image_added_while_the_service_is_down_arrives_once_when_it_is_back() {
    let mut service = start(&[]);
    let browser = open(&service).await;
    browser.run(WATCH_KEYS, vec![]).await;
    service.kill();
    browser.until("the page to notice", "document.querySelector('#connection[data-state=lost]')").await;
    browser.choose(&photographs()[..1]).await;
    browser.until("a second attempt", "keys.length >= 2").await;
    service.start_again();
    browser.drawn().await;
    // By now it may have given up, bounded as it is; then its button is there.
    browser
        .until("an end", "document.querySelector('.card[data-upload], .sending[data-state=failed]')")
        .await;
    if browser.value("Boolean(document.querySelector('.sending[data-state=failed]'))").await == json!(true) {
        browser.press(".sending button").await;
    }
    done(&browser, 1).await;
    assert_eq!(browser.value("new Set(keys).size").await, json!(1), "one key");
    assert_eq!(uploads_at(&browser).await.as_array().expect("a list").len(), 1);
    browser.assert_quiet_but(&["Failed to load resource: net::ERR_"]).await;
}

#[tokio::test]
async fn a_refused_file_says_why_and_is_tried_again_under_the_same_key() {
    let service = start(&[]);
    let browser = open(&service).await;
    browser.run(WATCH_KEYS, vec![]).await;
    drop_file(&browser, b"Dear diary, this is no image.", "diary.jpg").await;
    browser.find(".sending[data-state=failed]").await;
    // The problem's detail.
    browser.says(".sending .step-reason", "JPEG").await;
    assert_eq!(browser.meet(".sending button").await.name, "Try again: diary.jpg");
    browser.press(".sending button").await;
    browser.until("a second request", "keys.length === 2").await;
    browser.find(".sending[data-state=failed]").await;
    assert_eq!(browser.value("keys[0] === keys[1]").await, json!(true));
    browser.press(".sending button:nth-child(2)").await;
    browser.until("the empty state", "document.getElementById('empty').offsetHeight > 0").await;
    browser.assert_quiet_but(&["status of 415"]).await;
}

#[tokio::test]
async fn an_image_over_10_mib_is_told_so_and_not_sent() {
    let service = start(&[]);
    let browser = open(&service).await;
    browser.run(WATCH_KEYS, vec![]).await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let large = folder.path().join("large.png");
    fs::write(&large, vec![0; 10 * 1024 * 1024 + 1]).expect("a large file");
    browser.choose(&[&large]).await;
    browser.find(".sending[data-state=failed]").await;
    browser.says(".sending .step-reason", "10 MiB").await;
    assert_eq!(browser.value("keys.length").await, json!(0), "nothing was sent");
    browser.assert_quiet_but(&[]).await;
}

#[tokio::test]
async fn the_email_address_is_remembered_and_a_wrong_one_is_told_before_anything_is_sent() {
    let service = start(&[]);
    let browser = open(&service).await;
    browser.type_into("#email", "ann@example.org").await;
    browser.key(Key::Tab).await;
    browser.reload().await;
    assert_eq!(browser.value("document.getElementById('email').value").await, json!("ann@example.org"));
    browser.choose(&photographs()[..1]).await;
    done(&browser, 1).await;
    assert_eq!(uploads_at(&browser).await[0]["email"], json!("ann@example.org"));

    browser.type_into("#email", " and ben").await;
    browser.choose(&photographs()[1..2]).await;
    browser
        .until("the problem to be told", "document.getElementById('email-problem').offsetHeight > 0")
        .await;
    browser.until("the focus to go there", "document.activeElement.id === 'email'").await;
    assert_eq!(uploads_at(&browser).await.as_array().expect("a list").len(), 1);
    browser.assert_quiet_but(&[]).await;
}

#[tokio::test]
async fn every_interactive_element_has_a_name_and_a_role_and_tab_reaches_all_in_their_order() {
    const INTERACTIVE: &str = "a[href], button, input, select, textarea, summary, [tabindex='0'], progress";
    let service = start(&[]);
    let browser = open(&service).await;
    browser.choose(&photographs()[..1]).await;
    done(&browser, 1).await;
    drop_file(&browser, &corrupt(), "corrupt.jpg").await;
    browser.find("[data-step=thumbnail][data-state=failed] button").await;
    drop_file(&browser, b"no image", "refused.jpg").await;
    browser.find(".sending[data-state=failed]").await;
    // Steps go on and messages come and go; everything else stays while Tab walks through it.
    let busy = "document.querySelector('.step:is([data-state=waiting], [data-state=running])')";
    browser.until("all steps to be at their end", &format!("!{busy}")).await;
    browser.run("document.querySelector('.toasts').remove()", vec![]).await;

    let mut roles = Vec::new();
    for Met { name, role, is_displayed, html } in browser.meet_all(INTERACTIVE).await {
        let hidden = !is_displayed && role == "none";
        assert!(hidden || !name.trim().is_empty(), "a name: {html}");
        assert!(hidden || !["none", "generic", ""].contains(&role.as_str()), "a role: {html} is {role}");
        roles.push(role);
    }
    for role in ["button", "link", "textbox"] {
        assert!(roles.iter().any(|each| each == role), "{role} among {roles:?}");
    }
    for (selector, name) in
        [("input[type=file]", "Choose images"), ("#email", "Email"), (".frame a", "Thumbnail of ")]
    {
        assert!(browser.meet(selector).await.name.starts_with(name), "{selector}");
    }
    for (selector, role) in [
        ("header", "banner"),
        ("main", "main"),
        (".panel", "region"),
        ("#connection", "status"),
        ("#uploads", "list"),
        (".card article", "article"),
    ] {
        assert_eq!(browser.meet(selector).await.role, role, "{selector}");
    }

    // From the first on, Tab meets every one of them, in the order of the page.
    let stops = "Array.from(document.querySelectorAll('a[href], button, input')).filter((node) => node.checkVisibility() && !node.disabled)";
    browser.run(&format!("window.stops = {stops}; window.met = [0]; stops[0].focus();"), vec![]).await;
    let count = browser.value("stops.length").await.as_u64().expect("a count");
    assert!(count >= 8, "{count} stops");
    for _ in 1..count {
        browser.key(Key::Tab).await;
        browser.run("met.push(stops.indexOf(document.activeElement))", vec![]).await;
    }
    let expected: Vec<u64> = (0..count).collect();
    assert_eq!(browser.value("met").await, json!(expected));
    browser.assert_quiet_but(&["status of 415"]).await;
}

#[tokio::test]
async fn nothing_scrolls_sideways_on_a_phone() {
    let service = start(&[]);
    let browser = open(&service).await;
    browser.run(KEEP_A_MESSAGE, vec![]).await;
    browser.choose(&photographs()[..1]).await;
    done(&browser, 1).await;
    drop_file(&browser, &corrupt(), &format!("{}.jpg", "a-long-name-without-a-space".repeat(6))).await;
    browser.find("[data-step=thumbnail][data-state=failed] button").await;
    drop_file(&browser, b"no image", "refused.jpg").await;
    browser.find(".sending[data-state=failed]").await;
    browser.find(".toast").await;
    for width in [1280, 768, 360, 320] {
        browser.resize(width, 800).await;
        let wide = "Array.from(document.querySelectorAll('body *'))
            .filter((node) => node.checkVisibility() && !node.closest('svg') && node.getBoundingClientRect().right > innerWidth + 0.5)
            .map((node) => node.outerHTML.slice(0, 120))";
        assert_eq!(browser.value(wide).await, json!([]), "at {width} pixels");
        let excess = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
        assert_eq!(browser.value(excess).await, json!(false), "at {width} pixels");
    }
    browser.assert_quiet_but(&["status of 415"]).await;
}

#[tokio::test]
async fn dark_and_calm_are_as_the_reader_asks() {
    let service = start(&[]);
    let browser = open(&service).await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    browser.prefer("prefers-color-scheme", "light").await;
    browser.until("it to be light", "matchMedia('(prefers-color-scheme: light)').matches").await;
    let light = browser.value(ground).await;
    browser.prefer("prefers-color-scheme", "dark").await;
    browser.until("another ground in the dark", &format!("{ground} !== {light}")).await;
    let moves = "getComputedStyle(document.querySelector('.drop-tide')).transitionDuration";
    browser.until("something to move", &format!("{moves} !== '0s'")).await;
    browser.prefer("prefers-reduced-motion", "reduce").await;
    browser.until("nothing to move", &format!("{moves} === '0s'")).await;
    browser.assert_quiet_but(&[]).await;
}
