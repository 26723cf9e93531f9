//! The pages in a real browser, against the real portal: headless Chromium. Each scene is one or two people's way through them;
//! its name says what holds.

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use app_testkit::browser::{Browser, Key};
use enrollment::catalogue::{Section, Student};
use enrollment::eligibility::judge;
use serde_json::{Value, json};

use crate::support::portal::Portal;

/// A step that fails is tried again soon, so that a scene does not wait for it.
const SOON: &[&str] = &["--retry-delay", "200ms"];

/// The section that a scene is about, and students who may have it. It has so many seats.
fn stage(portal: &Portal, seats: u32) -> (String, Vec<String>) {
    let section = portal.catalogue.sections()[0].id.to_string();
    portal.resize(&section, seats);
    let students = portal.students_for(&section);
    assert!(students.len() >= 4, "there are students for it");
    (section, students)
}

/// A browser whose pages say of themselves when they are drawn.
async fn browser() -> Browser {
    Browser::start("document.documentElement.dataset.ready").await
}

/// A browser that shows this.
async fn open(url: &str) -> Browser {
    let browser = browser().await;
    browser.go(url).await;
    browser
}

/// So long after it has shown what came of a press the page takes another one at that place for an echo (`QUIET_MS` of student.js).
const QUIET_MS: f64 = 1_500.0;

/// Notes when each click begins and ends to be heard by the page.
const CLOCK_CLICKS: &str = "
    window.clicks = [];
    for (const capture of [true, false]) addEventListener('click', () => clicks.push(performance.now()), { capture });";

/// Waits until the page hears of changes.
async fn live(browser: &Browser) {
    browser
        .until("the page to hear of changes", "document.querySelector('#live').dataset.state === 'live'")
        .await;
}

fn page(portal: &Portal, student: &str) -> String {
    format!("{}/students/{student}", portal.url())
}

fn row(section: &str) -> String {
    format!("[data-section=\"{section}\"]")
}

fn button(section: &str, action: &str) -> String {
    format!("{} [data-action={action}]", row(section))
}

/// A button that is no echo of a press before.
fn settled(section: &str, action: &str) -> String {
    format!("{}:not([aria-disabled])", button(section, action))
}

/// Drops, swaps, or leaves the line: the page asks first.
async fn give_up(browser: &Browser, section: &str, action: &str) {
    browser.press(&settled(section, action)).await;
    browser.press(&format!("{} .asking [data-sure={action}]", row(section))).await;
}

/// Whether something like this is in what support is told happened to the student.
fn happened(portal: &Portal, student: &str, what: &str) -> bool {
    let events = portal.story(student)["events"].clone();
    events.as_array().expect("a list").iter().any(|event| event["what"] == what)
}

fn enrol(portal: &Portal, student: &str, section: &str) {
    let answer =
        portal.press(student, "enrol", &json!({ "section": section }), &format!("by-http-{student}"));
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn enrolled_in(portal: &Portal, section: &str) -> Vec<String> {
    let audit = portal.get("/api/audit").json();
    let enrolments = audit["enrolments"].as_array().expect("a list").iter();
    let mut students: Vec<String> = enrolments
        .filter(|one| one["section"] == section)
        .map(|one| one["student"].as_str().expect("a student").to_owned())
        .collect();
    students.sort();
    students
}

/// How many lines of a system are about a section.
fn lines(portal: &Portal, system: &str, section: &str) -> usize {
    let books = portal.get("/api/audit/downstream").json();
    books[system].as_array().expect("lines").iter().filter(|line| line["section"] == section).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_press_for_the_last_seat_one_has_it_and_the_other_hears_why_not() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 1);
    let (one, other) = (&students[0], &students[1]);
    let [mine, theirs] = [open(&page(&portal, one)).await, open(&page(&portal, other)).await];
    // Both have their finger on the button, whatever the page hears of the other's press.
    for browser in [&mine, &theirs] {
        browser.find(&button(&section, "enrol")).await;
        let hold = format!("window.held = document.querySelector({})", json!(button(&section, "enrol")));
        browser.run(&hold, vec![]).await;
    }
    tokio::join!(mine.run("held.click()", vec![]), theirs.run("held.click()", vec![]));
    for browser in [&mine, &theirs] {
        browser.find(&format!("{} .told", row(&section))).await;
    }
    let kind = format!("document.querySelector('{} .told').dataset.code ?? 'done'", row(&section));
    let kinds = [mine.value(&kind).await, theirs.value(&kind).await];
    let loser = match (kinds[0].as_str(), kinds[1].as_str()) {
        (Some("done"), Some("sold_out")) => &theirs,
        (Some("sold_out"), Some("done")) => &mine,
        other => panic!("one wins and one loses: {other:?}"),
    };
    assert_eq!(enrolled_in(&portal, &section).len(), 1);
    let told = format!("{} .told", row(&section));
    loser.says(&told, "has no free seat").await;
    loser.says(&told, "What is still possible").await;
    // One of the things that are possible is to wait, and a press on it does that.
    loser.press(&format!("{told} [data-way=join]")).await;
    loser.says("#lines-panel", "you are the first").await;
    portal.settled();
    for system in ["mail", "record", "fee"] {
        assert_eq!(lines(&portal, system, &section), 1, "{system}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_presses_and_a_reload_are_one_enrolment() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 5);
    let browser = open(&page(&portal, &students[0])).await;
    let enrol_button = button(&section, "enrol");
    browser.find(&enrol_button).await;
    let key = format!("sessionStorage.getItem('key:{}:enrol:{section}')", students[0]);
    let before = browser.value(&key).await;
    assert!(before.is_string(), "the key is there as soon as the button is");

    // The answer is lost: nobody knows whether it was done, and the page says so.
    browser.block(&["*/enrol"]).await;
    let twice =
        format!("const it = document.querySelector({}); it.click(); it.click();", json!(enrol_button));
    browser.run(&twice, vec![]).await;
    browser.says(&format!("{} .told", row(&section)), "nobody knows whether this was done").await;
    assert_eq!(browser.value(&key).await, before, "the same press has the same key");
    browser.block(&[]).await;

    // The page is loaded again, and asks again by itself, under the same key.
    browser.reload().await;
    browser.find(&button(&section, "drop")).await;
    // It is answered; another press is another wish.
    browser.until("another key", &format!("{key} !== {before}")).await;
    let path = format!("/api/students/{}/enrol", students[0]);
    let header = format!("Idempotency-Key: {}\r\n", before.as_str().expect("a key"));
    let again = portal.ask("POST", &path, &header, &json!({ "section": section }).to_string());
    assert_eq!(
        again.status,
        201,
        "the press itself, said once more, is the press that was: {}",
        again.text()
    );
    assert_eq!(enrolled_in(&portal, &section), [students[0].clone()]);

    // And a true double click, of another student.
    let other = open(&page(&portal, &students[1])).await;
    other.find(&enrol_button).await;
    other.run(&twice, vec![]).await;
    other.find(&button(&section, "drop")).await;
    portal.settled();
    assert_eq!(enrolled_in(&portal, &section).len(), 2);
    for system in ["mail", "record", "fee"] {
        assert_eq!(lines(&portal, system, &section), 2, "{system}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_is_given_back_is_offered_to_the_first_in_line() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 1);
    let [has, first, second] = [&students[0], &students[1], &students[2]];
    enrol(&portal, has, &section);
    let waits = open(&page(&portal, first)).await;
    waits.press(&button(&section, "join")).await;
    waits.says("#lines-panel", "you are the first").await;
    waits.says("#lines-panel", "Not known yet").await;
    let behind = open(&page(&portal, second)).await;
    behind.press(&button(&section, "join")).await;
    behind.says("#lines-panel", "1 student before you").await;

    let dropped = portal.press(has, "drop", &json!({ "section": section }), "drop-1");
    assert_eq!(dropped.status, 200, "{}", dropped.text());
    // Nobody loads anything: the offer comes by itself, with its time.
    waits.says("#offers-panel", "more").await;
    behind.says("#lines-panel", "you are the first").await;
    waits.press("[data-offer] [data-action=accept]:not([aria-disabled])").await;
    waits.find(&button(&section, "drop")).await;
    waits.says("#mine", &section).await;
    assert_eq!(enrolled_in(&portal, &section), std::slice::from_ref(first));
    portal.settled();
    assert_eq!(lines(&portal, "fee", &section), 1);
    let notices = portal.story(first)["notices"].to_string();
    assert!(notices.contains("is kept for you"), "a mail told them: {notices}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_is_undone_in_reverse_and_support_sees_what_comes_next() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 3);
    let student = &students[0];
    enrol(&portal, student, &section);
    portal.settled();
    portal.make("fee", "down");
    let browser = open(&page(&portal, student)).await;
    give_up(&browser, &section, "drop").await;
    browser.says("#mine-none", "No seat yet").await;

    let support = open(&format!("{}/support/{student}", portal.url())).await;
    support.says("#steps", "because the fee ledger answers 503").await;
    support.says("#steps", "then the academic record is undone, then a mail says so").await;
    support.says("#summary", "is not done yet, and will be").await;
    // What comes later is not done before it: the record and the mail stand.
    assert_eq!(lines(&portal, "record", &section), 1);
    assert_eq!(lines(&portal, "mail", &section), 1);

    portal.make("fee", "up");
    support.says("#summary", "everything that follows is done").await;
    let books = portal.story(student)["books"].clone();
    let undone =
        ["fee", "record", "mail"].map(|system| books[system][0]["undone"][1].as_u64().expect("a time"));
    assert!(undone.is_sorted(), "fee, then record, then mail: {undone:?}");
    for system in ["fee", "record", "mail"] {
        assert_eq!(lines(&portal, system, &section), 0, "{system}");
    }
    // The story is in order, and has the whole of it.
    support.says("#events", "took a seat in").await;
    let order = "[...document.querySelectorAll('#events li')].map((entry) => entry.dataset.what)";
    support.until("the drop in the story", &format!("{order}.includes('dropped')")).await;
    let order = support.value(order).await;
    let whats: Vec<&str> = order.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let at =
        |what: &str| whats.iter().position(|it| *it == what).unwrap_or_else(|| panic!("{what}: {whats:?}"));
    assert!(at("enrolled") < at("dropped"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_is_swapped_and_never_lost() {
    let portal = Portal::start(SOON);
    // Two sections of one course, and students who may have it.
    let (have, want) =
        (portal.catalogue.sections()[0].id.to_string(), portal.catalogue.sections()[1].id.to_string());
    let students = portal.students_for(&have);
    portal.resize(&have, 5);
    portal.resize(&want, 1);
    enrol(&portal, &students[0], &have);
    enrol(&portal, &students[1], &have);

    let browser = open(&page(&portal, &students[0])).await;
    give_up(&browser, &want, "swap").await;
    browser.find(&button(&want, "drop")).await;
    assert_eq!(enrolled_in(&portal, &want), [students[0].clone()]);
    assert_eq!(enrolled_in(&portal, &have), [students[1].clone()]);

    // The other one finds it full, keeps what there is, and waits.
    let other = open(&page(&portal, &students[1])).await;
    let now = portal.press(&students[1], "swap", &json!({ "give": have, "want": want }), "swap-now");
    assert_eq!((now.status, &now.json()["code"]), (409, &json!("sold_out")));
    assert_eq!(enrolled_in(&portal, &have), [students[1].clone()], "what one has is never lost");
    // What is shown follows a moment later, and the button with it.
    other.says(&format!("{} .section-seats", row(&want)), "full").await;
    other.press(&button(&want, "swap")).await;
    other.says("#lines-panel", &format!("{have} is given back when you accept")).await;

    // The first one gives it back; the other accepts, and has one seat of the course, not two.
    give_up(&browser, &want, "drop").await;
    other.says("#offers-panel", &format!("{have} is given back for it")).await;
    other.press("[data-offer] [data-action=accept]:not([aria-disabled])").await;
    other.find(&button(&want, "drop")).await;
    assert_eq!(enrolled_in(&portal, &want), [students[1].clone()]);
    assert_eq!(enrolled_in(&portal, &have), Vec::<String>::new());
    portal.settled();
    for system in ["mail", "record", "fee"] {
        assert_eq!((lines(&portal, system, &want), lines(&portal, system, &have)), (1, 0), "{system}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_changed_since_one_looked() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 1);
    let browser = browser().await;
    // This page hears of no change, as one behind a bad connection.
    browser.block(&["*/api/seats/watch"]).await;
    browser.go(&page(&portal, &students[0])).await;
    browser.says(&format!("{} .section-seats", row(&section)), "1 free").await;
    let seen = browser.attr(&row(&section), "data-version").await;
    enrol(&portal, &students[1], &section);
    browser.press(&button(&section, "enrol")).await;
    let told = format!("{} .told", row(&section));
    browser
        .says(
            &told,
            &format!("When you looked, at version {seen}, 1 seat was free. It has changed once since"),
        )
        .await;
    browser.says(&told, "What is still possible").await;
    browser.says(&told, "you would be the first").await;
    let words = browser.text(&told).await.to_lowercase();
    assert!(!words.contains("error"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_waiting_room_opens_by_itself() {
    let portal = Portal::start(&["--retry-delay", "200ms", "--opens-in", "1h"]);
    let (section, students) = stage(&portal, 2);
    let browser = open(&page(&portal, &students[0])).await;
    browser.says("#room", "1 student here; you came as number 1").await;
    // However long it took to come here, the clock runs.
    let countdown = "document.querySelector('#countdown').innerText";
    browser.until("a clock", &format!("/^(1:00|[0-5]?\\d):[0-5]\\d$/.test({countdown})")).await;
    let before = browser.text("#countdown").await;
    browser.until("the clock to run", &format!("{countdown} !== {}", json!(before))).await;
    let buttons = format!("document.querySelectorAll('{}').length", button(&section, "enrol"));
    assert_eq!(browser.value(&buttons).await, json!(0), "nothing to press before the opening");
    let early = portal.press(&students[1], "enrol", &json!({ "section": section }), "early");
    assert_eq!((early.status, &early.json()["code"]), (409, &json!("not_open")));
    assert_eq!(early.json()["possible"][0]["action"], "wait");

    let opened = portal.post("/api/registrar/openings", &json!({ "opens_in_ms": 1_500 }));
    assert_eq!(opened.status, 200, "{}", opened.text());
    browser.press(&button(&section, "enrol")).await;
    browser.find(&button(&section, "drop")).await;
    browser.says("#room", "The enrolment is").await;
    browser.says("#countdown", "open").await;
    browser.says("#room-words", "to whoever presses first").await;
    assert_eq!(browser.text("#room-here").await, "", "who came when is of no more interest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_is_taken_part_in_before_the_opening() {
    let portal = Portal::start(&["--retry-delay", "200ms", "--opens-in", "1h", "--shuffle"]);
    let (section, students) = stage(&portal, 1);
    let browser = open(&page(&portal, &students[0])).await;
    browser.says("#room-words", "the draw").await;
    browser.press(&button(&section, "join")).await;
    browser.says("#lines-panel", "the order is drawn at the opening").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registrar_changes_seats_and_students_see_it_at_once() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 2);
    enrol(&portal, &students[0], &section);
    enrol(&portal, &students[1], &section);
    let student = open(&page(&portal, &students[2])).await;
    student.says(&format!("{} .section-seats", row(&section)), "full").await;
    let registrar = open(&format!("{}/registrar", portal.url())).await;
    let set = format!(
        "const row = document.querySelector('tr{}'); const input = row.querySelector('input');
         input.value = arguments[0]; input.dispatchEvent(new Event('input')); row.querySelector('button').click();",
        row(&section)
    );
    registrar.run(&set, vec![json!(1)]).await;
    registrar.says(&format!("[data-said=\"{section}\"]"), "2 seats are taken or kept").await;
    registrar.run(&set, vec![json!(7)]).await;
    registrar.says(&format!("[data-said=\"{section}\"]"), "saved").await;
    student.says(&format!("{} .section-seats", row(&section)), "5 free of 7").await;
    student.press(&button(&section, "enrol")).await;
    student.find(&button(&section, "drop")).await;
    registrar.says(&format!("tr{} [data-what=taken]", row(&section)), "3").await;
    registrar.says("[data-tile=\"Seats taken\"]", "3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_a_phone_and_the_console_is_quiet() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 1);
    enrol(&portal, &students[0], &section);
    let browser = open(&page(&portal, &students[0])).await;
    browser.resize(360, 740).await;
    let paths =
        [format!("/students/{}", students[0]), format!("/support/{}", students[0]), "/registrar".to_owned()];
    for path in paths {
        browser.go(&format!("{}{path}", portal.url())).await;
        let fits = browser.value("document.documentElement.scrollWidth <= innerWidth").await;
        assert_eq!(fits, json!(true), "{path} is wider than the phone");
        // What scrolls by itself inside the page is cut for whoever does not find that out.
        let cut = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.innerText)";
        assert_eq!(browser.value(cut).await, json!([]), "{path} has a table that is cut");
        browser.assert_quiet_but(&[]).await;
    }
}

/// Two sections that a student may have together, and students who may.
fn two_sections(portal: &Portal) -> ([String; 2], Vec<String>) {
    let sections = portal.catalogue.sections();
    let one = &sections[0];
    let beside = |other: &&Section| other.course != one.course && other.clash(one).is_none();
    let other = sections.iter().find(beside).expect("a section beside the first");
    let may = |student: &&Student| {
        let judge = |has: &[&Section], wants| judge(&portal.catalogue, student, has, wants).is_ok();
        judge(&[], one) && judge(&[one], other)
    };
    let students = portal.catalogue.students().iter().filter(may).map(|student| student.id.to_string());
    ([one.id.to_string(), other.id.to_string()], students.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_press_of_a_double_click_takes_nothing_back() {
    let portal = Portal::start(SOON);
    let ([has, waits], students) = two_sections(&portal);
    portal.resize(&has, 20);
    portal.resize(&waits, 1);
    let gaps = [60, 250, 600, 1_200].map(Duration::from_millis);
    let (holder, students) = students.split_first().expect("students");
    enrol(&portal, holder, &waits);
    let browser = browser().await;
    // Twice at one place; then the page shows `after`, no refusal, and no question. If the machine has stood still meanwhile, the
    // second press is one by itself, and may be asked about.
    let twice = async |section: &str, action: &str, after: &str, gap: Duration| {
        browser.run("clicks.length = 0", vec![]).await;
        browser.press_twice(&button(section, action), gap).await;
        browser.until("both clicks to be heard", "clicks.length === 4").await;
        browser.find(&button(section, after)).await;
        let apart = browser.value("clicks.at(-1) - clicks[0]").await.as_f64().expect("a number");
        let loud = if apart < QUIET_MS {
            browser.find(&settled(section, after)).await;
            ".told[data-code], .asking"
        } else {
            ".told[data-code]"
        };
        let loud = format!("[...document.querySelectorAll('{loud}')].map((box) => box.innerText)");
        assert_eq!(browser.value(&loud).await, json!([]), "{action} twice in {gap:?}, in fact {apart} ms");
        browser.run("document.querySelector('.asking [data-no]')?.click()", vec![]).await;
    };
    for (student, gap) in students.iter().zip(gaps) {
        browser.go(&page(&portal, student)).await;
        browser.run(CLOCK_CLICKS, vec![]).await;
        live(&browser).await;
        twice(&has, "enrol", "drop", gap).await;
        twice(&waits, "join", "leave", gap).await;
    }
    portal.resize(&waits, 10);
    for (student, gap) in students.iter().zip(gaps) {
        browser.go(&page(&portal, student)).await;
        browser.run(CLOCK_CLICKS, vec![]).await;
        live(&browser).await;
        twice(&waits, "accept", "drop", gap).await;
        for lost in ["dropped", "left", "refused"] {
            assert!(
                !happened(&portal, student, lost),
                "{student} {lost}: {:#}",
                portal.story(student)["events"]
            );
        }
    }
    assert_eq!((enrolled_in(&portal, &has).len(), enrolled_in(&portal, &waits).len()), (4, 5));
}

/// Asserts that a button asks, in `host`, and that no double click on it answers.
async fn assert_asks(browser: &Browser, asks: &str, host: &str) {
    for gap in [60, 400].map(Duration::from_millis) {
        browser.press_twice(asks, gap).await;
        browser.find(&format!("{host} .asking")).await;
    }
    // The answers are not where the button is that asks.
    let apart = format!(
        "(() => {{ const at = (it) => document.querySelector(it).getBoundingClientRect();
           const [asks, sure, no] = [at({}), at('.asking [data-sure]'), at('.asking [data-no]')];
           const off = (one) => one.top >= asks.bottom || one.right <= asks.left; return off(sure) && off(no); }})()",
        json!(asks)
    );
    assert_eq!(browser.value(&apart).await, json!(true));
}

/// Asks by the keyboard, and says no, and then yes. Whoever holds Enter down says no.
async fn answer_by_keyboard(browser: &Browser, asks: &str) {
    let is_on = async |selector: &str| {
        let is_on = format!("document.activeElement.matches({})", json!(selector));
        browser.until(&format!("the focus to be on {selector}"), &is_on).await;
    };
    browser.run("document.querySelector(arguments[0]).focus()", vec![json!(asks)]).await;
    for answer in [Key::Enter, Key::Escape] {
        browser.key(Key::Enter).await;
        is_on(".asking [data-no]").await;
        browser.key(answer).await;
        is_on(asks).await;
        browser.until("the question to be gone", "!document.querySelector('.asking')").await;
    }
    browser.key(Key::Enter).await;
    is_on(".asking [data-no]").await;
    browser.key(Key::Tab).await;
    is_on(".asking [data-sure]").await;
    browser.key(Key::Enter).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_is_given_back_only_when_it_was_asked_and_never_by_a_double_click() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 3);
    enrol(&portal, &students[0], &section);
    let browser = browser().await;
    browser.go(&page(&portal, &students[0])).await;
    live(&browser).await;
    let drop_it = button(&section, "drop");
    assert_asks(&browser, &drop_it, &row(&section)).await;
    browser.press(".asking [data-no=drop]").await;
    browser.until("the question to be gone", "!document.querySelector('.asking')").await;
    assert_eq!(enrolled_in(&portal, &section), [students[0].clone()]);
    browser.press(&drop_it).await;
    browser.press(".asking [data-sure=drop]").await;
    browser.until("the seat to be given back", "!document.querySelector('#mine-none').hidden").await;
    assert_eq!(enrolled_in(&portal, &section), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_is_swapped_only_when_it_was_asked() {
    let portal = Portal::start(SOON);
    let [have, want] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    let student = portal.students_for(&have)[0].clone();
    for section in [&have, &want] {
        portal.resize(section, 5);
    }
    enrol(&portal, &student, &have);
    let browser = open(&page(&portal, &student)).await;
    live(&browser).await;
    let swap = button(&want, "swap");
    assert_asks(&browser, &swap, &row(&want)).await;
    // What others do meanwhile is drawn around the question; the focus stays in it.
    browser.run("document.querySelector('.asking [data-sure]').focus()", vec![]).await;
    portal.resize(&want, 4);
    browser.says(&format!("{} .section-seats", row(&want)), "4 free of 4").await;
    browser.until("the focus to stay", "document.activeElement.matches('.asking [data-sure=swap]')").await;
    browser.press(".asking [data-no=swap]").await;
    browser.until("the question to be gone", "!document.querySelector('.asking')").await;
    assert_eq!(enrolled_in(&portal, &have), std::slice::from_ref(&student));
    answer_by_keyboard(&browser, &swap).await;
    browser.find(&button(&want, "drop")).await;
    assert_eq!((enrolled_in(&portal, &have), enrolled_in(&portal, &want)), (vec![], vec![student]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_a_refusal_offers_is_asked_too() {
    let portal = Portal::start(SOON);
    let [have, want] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    let student = portal.students_for(&have)[0].clone();
    for section in [&have, &want] {
        portal.resize(section, 5);
    }
    let browser = open(&page(&portal, &student)).await;
    browser.find(&button(&want, "enrol")).await;
    // The press comes before the page has heard of the other seat.
    let late = format!(
        "const it = document.querySelector({}); return fetch('/api/students/{student}/enrol', {{ method: 'POST', body: JSON.stringify({{ section: {} }}),
         headers: {{ 'Content-Type': 'application/json', 'Idempotency-Key': 'other' }} }}).then(() => it.click());",
        json!(button(&want, "enrol")),
        json!(have)
    );
    browser.run(&late, vec![]).await;
    let told = format!("{} .told[data-code=same_course]", row(&want));
    let way = format!("{told} [data-way=swap]");
    browser.find(&way).await;
    assert_asks(&browser, &way, &told).await;
    browser.press(".asking [data-no=swap]").await;
    assert_eq!(enrolled_in(&portal, &have), std::slice::from_ref(&student));
    browser.press(&way).await;
    browser.press(".asking [data-sure=swap]").await;
    browser.find(&button(&want, "drop")).await;
    assert_eq!((enrolled_in(&portal, &have), enrolled_in(&portal, &want)), (vec![], vec![student]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_declined_only_when_it_was_asked() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 1);
    enrol(&portal, &students[0], &section);
    let joined = portal.press(&students[1], "join", &json!({ "section": section }), "join-1");
    assert_eq!(joined.status, 202, "{}", joined.text());
    portal.resize(&section, 2);
    let browser = open(&page(&portal, &students[1])).await;
    let offer = format!("[data-offer=\"{section}\"]");
    let decline = format!("{offer} [data-action=decline]");
    browser.find(&decline).await;
    assert_asks(&browser, &decline, &offer).await;
    browser.press(".asking [data-no=decline]").await;
    browser.until("the question to be gone", "!document.querySelector('.asking')").await;
    assert!(!happened(&portal, &students[1], "declined"), "{:#}", portal.story(&students[1])["events"]);
    answer_by_keyboard(&browser, &decline).await;
    browser.until("the offer to be gone", "document.querySelector('#offers-panel').hidden").await;
    assert!(happened(&portal, &students[1], "declined"), "{:#}", portal.story(&students[1])["events"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_press_without_an_answer_is_sent_again_by_the_page_itself() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 5);
    let browser = open(&page(&portal, &students[0])).await;
    browser.find(&button(&section, "enrol")).await;
    let key = format!("sessionStorage.getItem('key:{}:enrol:{section}')", students[0]);
    let key = browser.value(&key).await;
    browser.run("window.never_loaded_again = true", vec![]).await;
    browser.block(&["*/enrol"]).await;
    browser.press(&button(&section, "enrol")).await;
    browser.says(&format!("{} .told", row(&section)), "This page sends it again by itself").await;
    assert_eq!(enrolled_in(&portal, &section), Vec::<String>::new());
    // The way is free again; nobody presses, and nobody loads the page.
    browser.block(&[]).await;
    browser.find(&button(&section, "drop")).await;
    browser.says(&format!("{} .told", row(&section)), "You have a seat").await;
    assert_eq!(browser.value("window.never_loaded_again").await, json!(true));
    let header = format!("Idempotency-Key: {}\r\n", key.as_str().expect("a key"));
    let path = format!("/api/students/{}/enrol", students[0]);
    let again = portal.ask("POST", &path, &header, &json!({ "section": section }).to_string());
    assert_eq!(again.status, 201, "it was sent with its key: {}", again.text());
    portal.settled();
    for system in ["mail", "record", "fee"] {
        assert_eq!(lines(&portal, system, &section), 1, "{system}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_that_is_not_open_says_when_and_who_may_not_have_it() {
    let portal = Portal::start(SOON);
    let done = |student: &&Student| {
        let of_course = |section: &&Section| student.completed.contains(&section.course);
        portal.catalogue.sections().iter().any(|section| of_course(&section))
    };
    let student = portal.catalogue.students().iter().find(done).expect("somebody").clone();
    let is_completed = |section: &&Section| student.completed.contains(&section.course);
    let sections = portal.catalogue.sections();
    let completed = sections.iter().find(is_completed).expect("a section").id.to_string();
    let may = |section: &&Section| judge(&portal.catalogue, &student, &[], section).is_ok();
    let later = sections.iter().find(may).expect("a section").id.to_string();
    let body = json!({ "opens_in_ms": 3_600_000, "sections": [later, completed] });
    assert_eq!(portal.post("/api/registrar/openings", &body).status, 200);
    let browser = open(&page(&portal, student.id.as_str())).await;
    let note = format!("{} .section-note", row(&later));
    browser.says(&note, "Nobody has a seat here before it opens. It opens in").await;
    let clock = format!("document.querySelector('{} .opens-time').innerText", row(&later));
    let before = browser.value(&clock).await;
    browser.until("the clock to run", &format!("{clock} !== {before}")).await;
    // What bars a student is there to be read before the opening as well.
    browser.says(&format!("{} .section-note", row(&completed)), "You have completed this course").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_with_a_seat_is_said_in_the_question_and_after_it() {
    let portal = Portal::start(SOON);
    let [has, want] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    portal.resize(&want, 0);
    let student = portal.students_for(&has)[0].clone();
    enrol(&portal, &student, &has);
    let body = json!({ "give": has, "want": want, "when_offered": true });
    assert_eq!(portal.press(&student, "swap", &body, "w").status, 202);
    let browser = open(&page(&portal, &student)).await;
    let words = format!("Your place in line for {want}");
    browser.says(&format!("{} .section-note", row(&has)), &words).await;
    browser.press(&settled(&has, "drop")).await;
    browser.says(".asking", &format!("{words} goes with it")).await;
    browser.press(".asking [data-sure=drop]").await;
    browser.says(&format!("{} .told", row(&has)), &format!("{words} went with it")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_seat_is_swapped_from_the_row_of_the_other() {
    let portal = Portal::start(SOON);
    let [kept, want] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    portal.resize(&kept, 0);
    let student = portal.students_for(&kept)[0].clone();
    assert_eq!(portal.press(&student, "join", &json!({ "section": kept }), "j").status, 202);
    portal.resize(&kept, 1);
    let browser = open(&page(&portal, &student)).await;
    browser.says(&format!("{} .section-note", row(&want)), "is kept for you").await;
    give_up(&browser, &want, "swap").await;
    browser.find(&button(&want, "drop")).await;
    browser.until("the offer to be gone", "document.querySelector('#offers-panel').hidden").await;
    portal.settled();
    for system in ["mail", "record", "fee"] {
        assert_eq!((lines(&portal, system, &want), lines(&portal, system, &kept)), (1, 0), "{system}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_of_its_moment() {
    let portal = Portal::start(SOON);
    let (section, students) = stage(&portal, 1);
    let browser = open(&page(&portal, &students[0])).await;
    // The press comes before the page has heard that the seat is gone.
    browser.find(&button(&section, "enrol")).await;
    let late = format!(
        "const it = document.querySelector({}); return fetch('/api/students/{}/enrol', {{ method: 'POST', body: JSON.stringify({{ section: {} }}),
         headers: {{ 'Content-Type': 'application/json', 'Idempotency-Key': 'other' }} }}).then(() => it.click());",
        json!(button(&section, "enrol")),
        students[1],
        json!(section)
    );
    browser.run(&late, vec![]).await;
    let told = format!("{} .told", row(&section));
    browser.says(&told, "its only seat is taken").await;
    browser.find(&settled(&section, "join")).await;
    portal.resize(&section, 5);
    browser.find(&settled(&section, "enrol")).await;
    browser.says(&told, "The section has changed since").await;
    // What the student has then makes it untrue, and it goes.
    browser.press(&settled(&section, "enrol")).await;
    browser.find(&button(&section, "drop")).await;
    let refusals = format!("document.querySelectorAll('{told}[data-code]').length");
    assert_eq!(browser.value(&refusals).await, json!(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_that_was_pressed_stays_where_it_is() {
    let portal = Portal::start(SOON);
    // A section that bars others before it in the list: their rows get a note each.
    let sections = portal.catalogue.sections();
    let bars = |section: &&Section| {
        let at = sections.iter().position(|one| one.id == section.id).expect("it");
        sections[..at]
            .iter()
            .filter(|one| one.course != section.course && one.clash(section).is_some())
            .count()
            > 1
    };
    let section = sections.iter().rfind(bars).expect("such a section").id.to_string();
    portal.resize(&section, 5);
    let student = portal.students_for(&section)[0].clone();
    let browser = open(&page(&portal, &student)).await;
    browser.find(&button(&section, "enrol")).await;
    // Where it was when it was pressed, and where it is when the answer is first shown.
    let script = format!(
        "const row = document.querySelector({});
         const seen = () => ({{ top: row.getBoundingClientRect().top, tall: document.documentElement.scrollHeight }});
         row.scrollIntoView({{ block: 'center', behavior: 'instant' }});
         window.places = [seen()];
         new MutationObserver(() => {{ if (places.length === 1 && row.querySelector('[data-action=drop]')) places.push(seen()); }})
             .observe(document.body, {{ childList: true, subtree: true }});
         row.querySelector('[data-action=enrol]').click();",
        json!(row(&section))
    );
    browser.run(&script, vec![]).await;
    browser.until("the answer to be shown", "places.length === 2").await;
    let places = browser.value("places").await;
    assert_ne!(places[0]["tall"], places[1]["tall"], "notes have appeared");
    let [before, after] = [0, 1].map(|at| places[at]["top"].as_f64().expect("a number"));
    // A note is higher than this, and less is not seen.
    assert!((before - after).abs() < 3.0, "{places}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registrar_sees_the_opening_and_is_asked_before_all_are_changed() {
    let portal = Portal::start(SOON);
    let sections = portal.catalogue.sections().len();
    let registrar = open(&format!("{}/registrar", portal.url())).await;
    registrar.says("#opening-now", &format!("{sections} sections open now")).await;
    registrar.says("[data-tile=\"Answered within\"]", "nobody has pressed anything yet").await;
    registrar.press("#opening .button-strong").await;
    registrar
        .says("#opening-question", &format!("{sections} sections that are open now are closed until then"))
        .await;
    registrar.press("#opening-no").await;
    let door = |portal: &Portal| portal.section(portal.catalogue.sections()[0].id.as_str())["door"].clone();
    assert_eq!(door(&portal), "open");
    registrar.press("#opening .button-strong").await;
    registrar.press("#opening-yes").await;
    registrar.says("#opening-said", &format!("{sections} sections will open at")).await;
    registrar.says("#opening-now", &format!("{sections} sections to open at")).await;
    portal.until("the sections to be seen closed", |portal| door(portal) == "upcoming");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_a_number_goes_to_that_page() {
    let portal = Portal::start(SOON);
    let browser = browser().await;
    let start = portal.url();
    let go = async |words: &str| {
        // The list still shows the first students when Enter comes.
        let script = "document.querySelector('#find').value = arguments[0]; document.querySelector('#who').requestSubmit();";
        browser.run(script, vec![json!(words)]).await;
    };
    browser.run("location.href = arguments[0]", vec![json!(start)]).await;
    browser.find("#people a").await;
    go("nobody at all").await;
    browser.says("#found", "Nobody is called").await;
    go("s00042").await;
    browser.until("the page of s00042", "location.pathname === '/students/s00042'").await;
}
