//! The portal as a whole, without pages: what is answered, what is durable, and what follows. The engine is in the portal's process,
//! the systems behind are real stores.

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::portal::Portal;
use crate::support::postgres::Postgres;

/// A step that fails is tried again soon, so that a test does not wait for it.
const SOON: &[&str] = &["--retry-delay", "200ms"];

fn first_section(portal: &Portal) -> String {
    portal.catalogue.sections()[0].id.to_string()
}

/// Nobody is half enrolled, and nobody is twice.
fn assert_whole(portal: &Portal) -> Vec<(String, String)> {
    let [seats, mail, record, fee] = portal.books();
    for (system, lines) in [("mail", mail), ("record", record), ("fee", fee)] {
        assert_eq!(seats, lines, "who has a seat and who is in the {system}");
    }
    let different: BTreeSet<_> = seats.iter().collect();
    assert_eq!(different.len(), seats.len(), "nobody has a section twice");
    seats
}

#[test]
fn the_same_press_is_the_same_request() {
    let portal = Portal::start(SOON);
    let section = first_section(&portal);
    let student = portal.students_for(&section)[0].clone();
    let about = json!({ "section": section });

    // Eight at once, and one more: one enrolment, and one answer.
    let answers: Vec<_> = thread::scope(|scope| {
        let press = || portal.press(&student, "enrol", &about, "press-1");
        let pressing: Vec<_> = (0..8).map(|_| scope.spawn(press)).collect();
        pressing.into_iter().map(|press| press.join().expect("no panic")).collect()
    });
    let again = portal.press(&student, "enrol", &about, "press-1");
    for answer in &answers {
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json()["enrolment"]["id"], again.json()["enrolment"]["id"]);
    }
    // Another press for the same is another request, and is refused by name.
    let other = portal.press(&student, "enrol", &about, "press-2");
    assert_eq!((other.status, &other.json()["code"]), (409, &json!("already_enrolled")));
    // The same key for something else is told so.
    let mismatch = portal.press(&student, "leave", &about, "press-1");
    assert_eq!((mismatch.status, &mismatch.json()["code"]), (422, &json!("key_reused")));

    // A drop that is said again is the drop that was, also when the student has come back meanwhile.
    let drop_it = || portal.press(&student, "drop", &about, "drop-1");
    let dropped = drop_it();
    assert_eq!(dropped.status, 200, "{}", dropped.text());
    assert_eq!(drop_it().json(), dropped.json());
    assert_eq!(portal.press(&student, "drop", &about, "drop-2").json()["code"], "not_enrolled");
    assert_eq!(portal.press(&student, "enrol", &about, "press-3").status, 201);
    assert_eq!(drop_it().json(), dropped.json());
    portal.settled();
    assert_eq!(assert_whole(&portal), [(student, section)]);
}

#[test]
fn what_cannot_be_understood_is_said() {
    let portal = Portal::start(SOON);
    let section = first_section(&portal);
    let about = json!({ "section": section });
    let no_key = portal.post("/api/students/s00001/enrol", &about);
    assert_eq!((no_key.status, &no_key.json()["code"]), (400, &json!("bad_key")));
    let no_body = portal.press("s00001", "enrol", &json!({ "where": section }), "k");
    assert_eq!((no_body.status, &no_body.json()["code"]), (400, &json!("bad_request")));
    let nobody = portal.press("s99999", "enrol", &about, "k");
    assert_eq!((nobody.status, &nobody.json()["code"]), (404, &json!("no_student")));
    let nothing = portal.press("s00001", "enrol", &json!({ "section": "none-1" }), "k");
    assert_eq!((nothing.status, &nothing.json()["code"]), (404, &json!("no_section")));
    assert_eq!(portal.get("/nothing").status, 404);
    assert_eq!(portal.get("/api/students/s00001/enrol").status, 405);
    let foreign = portal.ask(
        "POST",
        "/api/students/s00001/enrol",
        "Origin: https://evil.example\r\nIdempotency-Key: k\r\n",
        &about.to_string(),
    );
    assert_eq!((foreign.status, &foreign.json()["code"]), (403, &json!("foreign_origin")));
}

#[test]
fn a_field_that_there_is_not_is_refused_everywhere() {
    let portal = Portal::start(SOON);
    let section = first_section(&portal);
    let seats = portal.get("/api/seats").json()["sections"].clone();
    let posts = [
        ("/api/registrar/openings", json!({ "opens_in_ms": 8_000, "section": [section] }), "section"),
        ("/api/downstream/fee", json!({ "state": "down", "for": 3 }), "for"),
    ];
    for (path, body, field) in posts {
        let answer = portal.post(path, &body);
        assert_eq!(answer.status, 400, "{}", answer.text());
        let said = answer.json()["message"].as_str().expect("words").to_owned();
        assert!(said.contains(&format!("unknown field `{field}`")) && !said.contains("struct"), "{said}");
    }
    let presses = [
        ("enrol", json!({ "section": section, "sections": [] })),
        ("enrol", json!({ "section": section, "seen": { "version": 1, "free": 1, "taken": 0 } })),
        ("swap", json!({ "give": section, "want": section, "when": true })),
    ];
    for (action, body) in presses {
        let answer = portal.press("s00001", action, &body, "k");
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &json!("bad_request")),
            "{}",
            answer.text()
        );
    }
    let resized =
        portal.put(&format!("/api/registrar/sections/{section}"), &json!({ "capacity": 3, "seats": 3 }));
    assert_eq!(resized.status, 400, "{}", resized.text());
    assert_eq!(portal.get("/api/seats?section=cs101-1").status, 400);
    // Who names a section that there is not means another one.
    for sections in [json!(["none-1"]), json!([section, "none-1"])] {
        let answer =
            portal.post("/api/registrar/openings", &json!({ "opens_in_ms": 8_000, "sections": sections }));
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("no_section")));
        assert!(answer.text().contains("none-1"), "{}", answer.text());
    }
    for (body, says) in [
        (json!({ "opens_in_ms": 8_000, "sections": [] }), "leave it away to mean all"),
        (json!({ "opens_at": 1_000 }), "has passed"),
    ] {
        let answer = portal.post("/api/registrar/openings", &body);
        assert!(answer.status == 400 && answer.text().contains(says), "{}", answer.text());
    }
    let now = portal.get("/api/seats").json()["sections"].clone();
    let doors = |seats: &Value| {
        let seats = seats.as_array().expect("a list").iter();
        seats.map(|one| (one["door"].clone(), one["version"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(doors(&now), doors(&seats), "nothing was changed by any of it");
}

#[test]
fn openings_are_set_all_or_none() {
    let portal = Portal::start(SOON);
    let last = portal.catalogue.sections().last().expect("a section").id.to_string();
    portal.resize(&last, 0);
    let student = portal.students_for(&last)[0].clone();
    assert_eq!(portal.press(&student, "join", &json!({ "section": last }), "j").status, 202);
    portal.until("the line to be seen", |portal| portal.section(&last)["waiting"] == 1);
    let refused = portal.post("/api/registrar/openings", &json!({ "opens_in_ms": 60_000 }));
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("line_in_the_way")));
    assert!(refused.text().contains(&last), "{}", refused.text());
    let all = portal.get("/api/seats").json()["sections"].clone();
    assert!(all.as_array().expect("a list").iter().all(|one| one["door"] == "open"), "{all:#}");
    // Some are set, and the answer names them.
    let first = first_section(&portal);
    let set = portal.post("/api/registrar/openings", &json!({ "opens_in_ms": 60_000, "sections": [first] }));
    assert_eq!((set.status, &set.json()["sections"]), (200, &json!([first])), "{}", set.text());
}

/// Openings are set section by section, and take a while: what is resized meanwhile stays as it was resized.
#[test]
fn setting_openings_undoes_no_resize() {
    let portal = Portal::start(SOON);
    let sections: Vec<String> = portal.catalogue.sections().iter().map(|one| one.id.to_string()).collect();
    for round in 1..=5 {
        let is_set = AtomicBool::new(false);
        let resized = thread::scope(|scope| {
            scope.spawn(|| {
                let set = portal
                    .post("/api/registrar/openings", &json!({ "opens_in_ms": 600_000 + round * 1_000 }));
                assert_eq!(set.status, 200, "{}", set.text());
                is_set.store(true, Ordering::SeqCst);
            });
            // The last sections are those that were read the longest ago when they are set.
            let mut capacity = 100 * round as u32;
            while !is_set.load(Ordering::SeqCst) {
                capacity += 1;
                for section in sections.iter().rev() {
                    portal.resize(section, capacity);
                }
            }
            capacity
        });
        // What is shown follows a moment later.
        portal.until("every section to have its opening, and the seats that it was resized to", |portal| {
            let shown = portal.get("/api/seats").json()["sections"].clone();
            let is_so = |one: &Value| one["door"] == "upcoming" && one["capacity"] == resized;
            shown.as_array().expect("a list").iter().all(is_so)
        });
    }
}

#[test]
fn the_story_has_every_refusal_with_its_section_and_the_words_that_were_read() {
    let mut portal = Portal::start(SOON);
    let sections = portal.catalogue.sections().to_vec();
    // Somebody who has completed something, and a section whose hours are another's.
    let student = portal.catalogue.students().iter().find(|student| !student.completed.is_empty());
    let student = student.expect("somebody").clone();
    let may = |section: &&enrollment::catalogue::Section| {
        enrollment::eligibility::judge_alone(&portal.catalogue, &student, section).is_ok()
    };
    let clash = |one: &enrollment::catalogue::Section| {
        let clashes = |other: &&enrollment::catalogue::Section| {
            other.course != one.course && other.clash(one).is_some()
        };
        sections.iter().filter(may).find(clashes).cloned()
    };
    let (has, clashes) =
        sections.iter().filter(may).find_map(|one| Some((one.clone(), clash(one)?))).expect("two that clash");
    let sibling = portal.catalogue.siblings(&has).next().expect("another section").clone();
    let done = sections.iter().find(|section| student.completed.contains(&section.course)).expect("a course");
    let id = student.id.as_str();
    let press = |portal: &Portal, action: &str, section: &enrollment::catalogue::SectionId, key: &str| {
        portal.press(id, action, &json!({ "section": section }), key)
    };
    assert_eq!(press(&portal, "enrol", &has.id, "k").status, 201);
    let asked = [
        ("enrol", &sibling.id, "same_course"),
        ("enrol", &has.id, "already_enrolled"),
        ("enrol", &clashes.id, "time_conflict"),
        ("enrol", &done.id, "already_completed"),
        ("drop", &clashes.id, "not_enrolled"),
        ("join", &sibling.id, "same_course"),
        ("accept", &clashes.id, "no_offer"),
    ];
    let mut read = Vec::new();
    for (at, (action, section, code)) in asked.into_iter().enumerate() {
        // Twice with one key, as by a double click: it is one press.
        let key = format!("r{at}");
        let answer = press(&portal, action, section, &key);
        assert_eq!(answer.json()["code"], code, "{}", answer.text());
        assert_eq!(press(&portal, action, section, &key).json()["code"], code);
        let message = answer.json()["message"].as_str().expect("words").to_owned();
        read.push((action.to_owned(), section.to_string(), code.to_owned(), message));
    }
    for _ in 0..2 {
        let events = portal.story(id)["events"].as_array().expect("a list").clone();
        let refused: Vec<&Value> = events.iter().filter(|event| event["what"] == "refused").collect();
        assert_eq!(refused.len(), read.len(), "{refused:#?}");
        for (event, (action, section, code, message)) in refused.iter().zip(&read) {
            let text = |field: &str| event[field].as_str().unwrap_or_default();
            assert_eq!((text("action"), text("section"), text("code")), (&**action, &**section, &**code));
            assert!(text("words").contains(message.as_str()) && text("words").contains(section), "{event:#}");
        }
        assert!(events.iter().map(|event| event["at"].as_u64()).is_sorted(), "{events:#?}");
        // It outlives a crash.
        portal.kill();
        portal.start_again();
    }
}

#[test]
fn a_swap_that_cannot_be_is_a_refusal_by_name() {
    let portal = Portal::start(SOON);
    let [one, other] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    let student = portal.students_for(&one)[0].clone();
    let swap = |give: &str, want: &str, key: &str| {
        portal.press(&student, "swap", &json!({ "give": give, "want": want }), key)
    };
    // What one does not have is what the words are about.
    let nothing = swap(&one, &other, "s1");
    assert_eq!((nothing.status, &nothing.json()["code"]), (409, &json!("not_enrolled")));
    let words = nothing.json()["message"].as_str().expect("words").to_owned();
    assert!(words.find(&one) < words.find(&other), "{words}");
    assert_eq!(portal.press(&student, "enrol", &json!({ "section": one }), "k").status, 201);
    let same = swap(&one, &one, "s2");
    assert_eq!((same.status, &same.json()["code"]), (409, &json!("same_section")), "{}", same.text());
    portal.settled();
    assert_eq!(assert_whole(&portal), [(student.clone(), one)]);
}

#[test]
fn who_has_another_section_of_the_course_waits_with_a_swap() {
    let portal = Portal::start(SOON);
    let [want, has] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    portal.resize(&want, 0);
    let student = portal.students_for(&want)[0].clone();
    assert_eq!(portal.press(&student, "enrol", &json!({ "section": has }), "k").status, 201);
    portal.until("no seat to be seen", |portal| portal.section(&want)["capacity"] == 0);
    let refused = portal.press(&student, "join", &json!({ "section": want }), "j").json();
    assert_eq!(refused["code"], "same_course", "{refused}");
    let way = &refused["possible"][0];
    assert_eq!((&way["action"], &way["give"]), (&json!("swap_when_offered"), &json!(has)), "{refused}");
    let waits =
        portal.press(&student, "swap", &json!({ "give": has, "want": want, "when_offered": true }), "w");
    assert_eq!(waits.status, 202, "{}", waits.text());
}

/// The engine names the version of the pool that decided: of the section that the student has. Taken for a version of the section
/// that was pressed, it was waited for, and such a refusal took more than a second.
#[test]
fn a_refusal_because_of_another_section_has_no_version_of_this_one() {
    let portal = Portal::start(SOON);
    let [want, has] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    for seats in 5..15 {
        portal.resize(&has, seats);
    }
    let student = portal.students_for(&want)[0].clone();
    let enrolled = portal.press(&student, "enrol", &json!({ "section": has }), "k").json();
    let refused = portal.press(&student, "enrol", &json!({ "section": want }), "l").json();
    assert_eq!((&refused["code"], &refused["version"]), (&json!("same_course"), &json!(null)), "{refused}");
    // Of the section itself it has one.
    let again = portal.press(&student, "enrol", &json!({ "section": has }), "m").json();
    assert_eq!(
        (&again["code"], &again["version"]),
        (&json!("already_enrolled"), &enrolled["version"]),
        "{again}"
    );
}

#[test]
fn an_offer_that_lapses_with_nobody_in_line_is_anybodys() {
    let portal = Portal::start(&["--retry-delay", "200ms", "--offer", "1s"]);
    let section = first_section(&portal);
    portal.resize(&section, 0);
    let student = portal.students_for(&section)[0].clone();
    let about = json!({ "section": section });
    assert_eq!(portal.press(&student, "join", &about, "j").status, 202);
    portal.resize(&section, 1);
    portal.until("the offer to lapse", |portal| {
        let events = portal.story(&student)["events"].clone();
        events.as_array().expect("a list").iter().any(|event| event["what"] == "offer_lapsed")
    });
    let late = portal.press(&student, "accept", &about, "a").json();
    let message = late["message"].as_str().expect("words");
    assert_eq!(late["code"], "offer_lapsed", "{late}");
    assert!(message.contains("It is free again") && !message.contains("next in line"), "{late}");
    assert_eq!(late["possible"][0]["action"], "enrol", "{late}");
    assert_eq!(portal.press(&student, "enrol", &about, "k").status, 201);
}

#[test]
fn the_data_of_one_university_is_not_anothers() {
    let mut portal = Portal::start(SOON);
    portal.kill();
    for (option, other) in [("--seed", "2"), ("--sections", "25")] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_enrollment"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(portal.data())
            .args([option, other])
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains(&format!("{option} {other} is asked for")),
            "{said}"
        );
    }
    portal.start_again();
    assert_eq!(
        portal.get("/api/seats").json()["sections"].as_array().map(Vec::len),
        Some(support::portal::SECTIONS)
    );
}

#[test]
fn the_rules_hold_also_for_two_presses_at_the_same_moment() {
    let portal = Portal::start(SOON);
    // Two sections of one course: whoever presses for both at once has one.
    let [one, other] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    let students = portal.students_for(&one);
    thread::scope(|scope| {
        for (at, student) in students.iter().enumerate() {
            for section in [&one, &other] {
                let (portal, about) = (&portal, json!({ "section": section }));
                scope.spawn(move || {
                    let answer = portal.press(student, "enrol", &about, &format!("{section}-{at}"));
                    let refused = ["same_course", "sold_out"];
                    let code = answer.json()["code"].as_str().unwrap_or("done").to_owned();
                    assert!(answer.status == 201 || refused.contains(&code.as_str()), "{}", answer.text());
                });
            }
        }
    });
    portal.settled();
    let seats = assert_whole(&portal);
    let students_with_a_seat: BTreeSet<_> = seats.iter().map(|(student, _)| student).collect();
    assert_eq!(students_with_a_seat.len(), seats.len(), "nobody has two sections of a course");
    assert!(!seats.is_empty());
}

#[test]
fn nobody_has_more_credits_than_one_may() {
    let portal = Portal::start(SOON);
    let student = portal.catalogue.students()[0].clone();
    // Everything at once; the rules leave what fits.
    thread::scope(|scope| {
        for (at, section) in portal.catalogue.sections().iter().enumerate() {
            let (portal, student) = (&portal, student.id.as_str());
            scope.spawn(move || {
                let about = json!({ "section": section.id });
                let answer = portal.press(student, "enrol", &about, &format!("all-{at}"));
                assert!(matches!(answer.status, 201 | 409), "{}", answer.text());
            });
        }
    });
    let page = portal.get(&format!("/api/students/{}", student.id)).json();
    let credits = page["credits"].as_u64().expect("a number");
    assert!(credits > 0 && credits <= u64::from(student.credits_max), "{credits} of {}", student.credits_max);
    let has: Vec<_> = page["enrolments"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| portal.catalogue.section(&one["section"].as_str().expect("a name").into()).expect("it"))
        .collect();
    for (at, one) in has.iter().enumerate() {
        for other in &has[..at] {
            assert!(one.clash(other).is_none() && one.course != other.course, "{} and {}", one.id, other.id);
        }
    }
    // What is left is barred on the page, by the rule that bars it.
    let story = portal.story(student.id.as_str());
    assert!(story["events"].as_array().expect("a list").iter().any(|event| event["what"] == "refused"));
}

#[test]
fn a_hundred_presses_for_seven_seats_give_seven() {
    let portal = Portal::start(SOON);
    let section = first_section(&portal);
    portal.resize(&section, 7);
    let students = portal.students_for(&section);
    assert!(students.len() > 14, "more students than seats");
    let done: usize = thread::scope(|scope| {
        let presses: Vec<_> = students
            .iter()
            .flat_map(|student| [0, 1].map(|_| student))
            .map(|student| {
                let (portal, about) = (&portal, json!({ "section": section }));
                // Everybody presses twice.
                scope.spawn(move || portal.press(student, "enrol", &about, "at-the-opening").status)
            })
            .collect();
        presses.into_iter().map(|press| usize::from(press.join().expect("no panic") == 201)).sum()
    });
    assert_eq!(done, 14, "seven students, each with the same answer twice");
    // What is shown follows a moment later.
    portal.until("the last seat to be seen taken", |portal| portal.section(&section)["free"] == 0);
    portal.settled();
    assert_eq!(assert_whole(&portal).len(), 7);
    let refused = portal.press(&students[0], "join", &json!({ "section": section }), "join-1").json();
    assert!(refused["waits"].is_object() || refused["code"] == "already_enrolled", "{refused}");
}

#[test]
fn a_system_that_is_down_holds_up_its_own_work_and_nothing_else() {
    let portal = Portal::start(SOON);
    let section = first_section(&portal);
    let student = portal.students_for(&section)[0].clone();
    portal.make("record", "down");
    let enrolled = portal.press(&student, "enrol", &json!({ "section": section }), "press-1");
    assert_eq!(enrolled.status, 201, "nobody waits for a system behind: {}", enrolled.text());
    portal.until("mail and fee to be written", |portal| {
        let [_, mail, _, fee] = portal.books();
        mail.len() == 1 && fee.len() == 1
    });
    portal.until("the record to have been tried", |portal| {
        let steps = portal.story(&student)["steps"].clone();
        let steps = steps.as_array().expect("a list").clone();
        let record = steps.iter().find(|step| step["system"] == "record").expect("a step");
        let words = record["words"].as_str().expect("words").to_owned();
        words.contains("because the academic record answers 503")
    });
    assert_eq!(portal.books()[2], []);
    // Dropped meanwhile: what has not been written is not written any more, and what has been is undone, from the end.
    assert_eq!(portal.press(&student, "drop", &json!({ "section": section }), "drop-1").status, 200);
    portal.make("record", "up");
    portal.settled();
    assert_eq!(assert_whole(&portal), []);
}

#[test]
fn a_kill_in_the_middle_leaves_nobody_half_enrolled() {
    let mut portal = Portal::start(SOON);
    // The ledger is away when it happens, so that there is something half done to be found.
    portal.make("fee", "down");
    let wishes: Vec<(String, String)> = portal
        .catalogue
        .sections()
        .iter()
        .step_by(2)
        .flat_map(|section| {
            let section = section.id.to_string();
            portal.students_for(&section).into_iter().map(move |student| (student, section.clone()))
        })
        .collect();
    let url = portal.url();
    let answered = AtomicBool::new(false);
    thread::scope(|scope| {
        for part in wishes.chunks(wishes.len().div_ceil(8)) {
            let (url, answered) = (&url, &answered);
            scope.spawn(move || {
                for (student, section) in part {
                    let body = json!({ "section": section });
                    let press =
                        || Portal::try_press(url, student, "enrol", &body, &format!("wish-{section}"));
                    // No answer: the same press again, until there is one.
                    let answer = loop {
                        match press() {
                            Some(answer) if answer.status != 503 => break answer,
                            _ => thread::sleep(Duration::from_millis(20)),
                        }
                    };
                    assert!(matches!(answer.status, 201 | 409), "{}", answer.text());
                    answered.store(true, Ordering::SeqCst);
                    // Some drop again at once, on both sides of the kill.
                    if answer.status == 201 && student.ends_with('7') {
                        while Portal::try_press(url, student, "drop", &body, &format!("drop-{section}"))
                            .is_none_or(|answer| answer.status == 503)
                        {
                            thread::sleep(Duration::from_millis(20));
                        }
                    }
                }
            });
        }
        while !answered.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        for _ in 0..2 {
            portal.kill();
            portal.start_again();
        }
    });
    portal.settled();
    let seats = assert_whole(&portal);
    assert!(!seats.is_empty());
    assert!(seats.iter().all(|(student, _)| !student.ends_with('7')), "who dropped is out");
    let sections =
        |portal: &Portal| portal.get("/api/seats").json()["sections"].as_array().expect("a list").clone();
    let number = |section: &Value, field: &str| section[field].as_u64().expect("a number");
    // What is shown may be of a moment ago, and of every moment it is no more than there is.
    portal.until("the seats to be shown as they are", |portal| {
        sections(portal).iter().all(|section| {
            let shown = number(section, "taken") + number(section, "offered");
            assert!(shown <= number(section, "capacity"), "{section}");
            let taken = seats.iter().filter(|(_, name)| section["section"] == **name).count();
            number(section, "taken") == taken as u64
        })
    });
}

#[test]
fn refreshes_are_cheap_and_say_how_fresh_they_are() {
    let portal = Portal::start(SOON);
    let first = portal.get("/api/catalogue");
    let tag = first.header("etag").expect("a tag").to_owned();
    let catalogue = first.json();
    assert_eq!(catalogue["sections"].as_array().map(Vec::len), Some(support::portal::SECTIONS));
    assert!(catalogue["seats"]["as_of"].as_u64() > Some(0));
    let same = portal.ask("GET", "/api/catalogue", &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!((same.status, &*same.text()), (304, ""));
    let section = first_section(&portal);
    let student = portal.students_for(&section)[0].clone();
    let before = portal.section(&section);
    let enrolled = portal.press(&student, "enrol", &json!({ "section": section }), "press-1").json();
    portal.until("the seat to be seen taken", |portal| portal.section(&section)["taken"] == 1);
    let after = portal.section(&section);
    assert!(after["version"].as_u64() > before["version"].as_u64());
    assert_eq!(after["version"], enrolled["version"]);
    let changed = portal.ask("GET", "/api/catalogue", &format!("If-None-Match: {tag}\r\n"), "");
    assert_eq!(changed.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_runs_with_its_systems_in_postgresql() {
    let mut postgres = Postgres::start().await;
    let url = postgres.url();
    let portal = tokio::task::spawn_blocking(move || {
        let portal = Portal::start(&["--retry-delay", "200ms", "--downstream", &url]);
        let section = first_section(&portal);
        let students = portal.students_for(&section);
        for student in &students[..4] {
            let answer = portal.press(student, "enrol", &json!({ "section": section }), "press");
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        assert_eq!(portal.press(&students[0], "drop", &json!({ "section": section }), "drop").status, 200);
        portal.settled();
        assert_eq!(assert_whole(&portal).len(), 3);
        let fee = portal.story(&students[0])["books"]["fee"][0].clone();
        assert_eq!(fee["undone"][0], "cancelled, nothing due");
        portal
    });
    let portal = portal.await.expect("no panic");
    // What is gone is not up, whatever no drill has said of it.
    let health =
        |portal: &Portal| portal.get("/api/registrar/day").json()["systems"]["fee"]["health"].clone();
    tokio::task::block_in_place(|| portal.until("the ledger to be up", |portal| health(portal) == "up"));
    postgres.kill();
    tokio::task::block_in_place(|| portal.until("the ledger to be away", |portal| health(portal) == "away"));
}

#[test]
fn an_offer_that_lapses_goes_to_the_next_in_line() {
    // Two offers long nobody else gets the seat, however slow the machine is.
    let portal = Portal::start(&["--retry-delay", "200ms", "--offer", "5s"]);
    let section = first_section(&portal);
    portal.resize(&section, 1);
    let students = portal.students_for(&section);
    let [has, sleeps, wakes] = [&students[0], &students[1], &students[2]];
    let about = json!({ "section": section });
    assert_eq!(portal.press(has, "enrol", &about, "k").status, 201);
    for (student, ahead) in [(sleeps, 0), (wakes, 1)] {
        let joined = portal.press(student, "join", &about, "j");
        assert_eq!(
            (joined.status, &joined.json()["waits"]["ahead"]),
            (202, &json!(ahead)),
            "{}",
            joined.text()
        );
    }
    // Who does not wait passes nobody: the free seat is the line's.
    assert_eq!(portal.press(has, "drop", &about, "d").status, 200);
    let pushes_in = portal.press(&students[3], "enrol", &about, "k");
    assert_eq!((pushes_in.status, &pushes_in.json()["code"]), (409, &json!("sold_out")));

    // Nobody answers the first offer; when its time is over, it is the other's.
    let was_offered = |student: &str| {
        let events = portal.story(student)["events"].clone();
        events.as_array().expect("a list").iter().any(|event| event["what"] == "offered")
    };
    portal.until("the next in line to have the offer", |_| was_offered(wakes));
    let late = portal.press(sleeps, "accept", &about, "a").json();
    assert_eq!(late["code"], "offer_lapsed", "{late}");
    assert!(late["message"].as_str().expect("words").contains("its time is over"), "{late}");
    // The line again; or, if the other's time is over by now as well, the seat.
    let again = |way: &Value| way["action"] == "join" || way["action"] == "enrol";
    assert!(late["possible"].as_array().expect("a list").iter().any(again), "{late}");
    portal.until("the mails that told of the offers", |portal| {
        let told = |student: &&String| portal.story(student)["notices"].as_array().map(Vec::len) == Some(1);
        [sleeps, wakes].iter().all(told)
    });
    let whats: Vec<String> = portal.story(sleeps)["events"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| event["what"].as_str().expect("a word").to_owned())
        .collect();
    let at =
        |what: &str| whats.iter().position(|it| it == what).unwrap_or_else(|| panic!("{what}: {whats:?}"));
    assert!(at("joined") < at("offered") && at("offered") < at("offer_lapsed"), "{whats:?}");
    portal.settled();
    assert_whole(&portal);
}

#[test]
fn an_offer_gives_up_the_old_seat_once_and_only_while_it_is_there() {
    let portal = Portal::start(SOON);
    let [want, old] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    portal.resize(&want, 1);
    let students = portal.students_for(&want);
    let [has, keeps, drops] = [&students[0], &students[1], &students[2]];
    let press = |student: &str, action: &str, section: &str, key: &str| {
        portal.press(student, action, &json!({ "section": section }), key)
    };
    assert_eq!(press(has, "enrol", &want, "k").status, 201);
    for student in [keeps, drops] {
        assert_eq!(press(student, "enrol", &old, "k").status, 201);
        let body = json!({ "give": old, "want": want, "when_offered": true });
        let waits = portal.press(student, "swap", &body, "w");
        assert_eq!(
            (waits.status, &waits.json()["when_offered"]["gives"]),
            (202, &json!(old)),
            "{}",
            waits.text()
        );
        assert_eq!(portal.press(student, "swap", &body, "w").json(), waits.json(), "said again, the same");
    }
    // One still has the old seat when the offer comes; accepting it twice is accepting it once.
    assert_eq!(press(has, "drop", &want, "d").status, 200);
    let accepted = press(keeps, "accept", &want, "a");
    assert_eq!(accepted.status, 201, "{}", accepted.text());
    assert_eq!(press(keeps, "accept", &want, "a").json(), accepted.json());
    // The other has given the old one back by then: there is nothing to give up, and it stands in line no more.
    assert_eq!(press(drops, "drop", &old, "d").status, 200);
    assert_eq!(press(keeps, "drop", &want, "d").status, 200);
    let refused = press(drops, "accept", &want, "a");
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("no_offer")), "{}", refused.text());
    portal.settled();
    assert_eq!(assert_whole(&portal), []);
}

/// A student of whom a seat in a section is only kept: the line's first, when the section gets its seats.
fn keep(portal: &Portal, student: &str, section: &str) {
    portal.resize(section, 0);
    let joined = portal.press(student, "join", &json!({ "section": section }), &format!("join-{section}"));
    assert_eq!(joined.status, 202, "{}", joined.text());
    portal.resize(section, 1);
    portal.until("the seat to be kept", |portal| offers(portal, student) == [section]);
}

fn offers(portal: &Portal, student: &str) -> Vec<String> {
    let offers = portal.get(&format!("/api/students/{student}")).json()["offers"].clone();
    let section = |offer: &Value| offer["section"].as_str().expect("a section").to_owned();
    offers.as_array().expect("a list").iter().map(section).collect()
}

/// What a refusal says is possible: what, with which section given, for which section.
fn ways(refused: &Value) -> Vec<(String, String, String)> {
    let text = |way: &Value, field: &str| way[field].as_str().unwrap_or_default().to_owned();
    let possible = refused["possible"].as_array().expect("a list").iter();
    possible.map(|way| (text(way, "action"), text(way, "give"), text(way, "section"))).collect()
}

fn way(action: &str, give: &str, section: &str) -> (String, String, String) {
    (action.into(), give.into(), section.into())
}

/// Nothing was written for a seat that is only kept. Its swap gave the books a second enrolment, which the engine only held: when
/// it lapsed there was a fee without a seat, and when it was accepted there were two.
#[test]
fn a_kept_seat_is_swapped_for_an_enrolment_and_nothing_is_undone_that_never_was() {
    let portal = Portal::start(SOON);
    let [kept, want] = [0, 3].map(|at| portal.catalogue.sections()[at].id.to_string());
    let may_both = |student: &&String| portal.students_for(&want).contains(student);
    let students: Vec<String> = portal.students_for(&kept).iter().filter(may_both).cloned().collect();
    let (student, next) = (&students[0], &students[1]);
    keep(&portal, student, &kept);
    let waits = portal.press(next, "join", &json!({ "section": kept }), "j");
    assert_eq!(waits.status, 202, "{}", waits.text());
    portal.settled();
    assert_eq!(assert_whole(&portal), [], "what is only kept is in no book");

    let body = json!({ "give": kept, "want": want });
    let swap = |key: &str| portal.press(student, "swap", &body, key);
    // Where there is no seat, what is kept stays kept.
    portal.resize(&want, 0);
    let full = swap("full");
    assert_eq!((full.status, &full.json()["code"]), (409, &json!("sold_out")), "{}", full.text());
    assert_eq!(offers(&portal, student), std::slice::from_ref(&kept));
    portal.resize(&want, 2);
    let swapped = swap("s");
    assert_eq!(swapped.status, 201, "{}", swapped.text());
    assert_eq!(swap("s").json(), swapped.json(), "said again, the same");
    assert_eq!(offers(&portal, student), Vec::<String>::new());
    assert_eq!(offers(&portal, next), std::slice::from_ref(&kept), "it goes to the next in line");
    portal.settled();
    assert_eq!(assert_whole(&portal), [(student.clone(), want.clone())]);
    let story = portal.story(student);
    let undone = |step: &Value| step["undoes"] == true;
    let steps = story["steps"].as_array().expect("a list");
    assert!(steps.len() == 3 && !steps.iter().any(undone), "{steps:#?}");
    // And nothing is told of how the portal found out that it was only kept.
    let refused: Vec<&Value> = story["events"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|event| event["what"] == "refused")
        .collect();
    assert_eq!(refused.len(), 1, "only the swap while there was no seat: {refused:#?}");
    // Accepted it is an enrolment, and then it is swapped as one.
    assert_eq!(portal.press(next, "accept", &json!({ "section": kept }), "a").status, 201);
    assert_eq!(portal.press(next, "decline", &json!({ "section": kept }), "d").json()["code"], "no_offer");
    let swapped = portal.press(next, "swap", &body, "s");
    assert_eq!(swapped.status, 201, "{}", swapped.text());
    portal.settled();
    let mut both = vec![(student.clone(), want.clone()), (next.clone(), want)];
    both.sort();
    assert_eq!(assert_whole(&portal), both);
}

#[test]
fn a_refusal_names_only_what_would_work_now() {
    let portal = Portal::start(SOON);
    let [has, want, kept] = [0, 1, 2].map(|at| portal.catalogue.sections()[at].id.to_string());
    let student = portal.students_for(&has)[0].clone();
    let swap = |give: &str, want: &str, later: bool, key: &str| {
        let body = json!({ "give": give, "want": want, "when_offered": later });
        portal.press(&student, "swap", &body, key)
    };
    // A seat, and an offer for which it is to be given.
    assert_eq!(portal.press(&student, "enrol", &json!({ "section": has }), "k").status, 201);
    portal.resize(&kept, 0);
    assert_eq!(swap(&has, &kept, true, "w").status, 202);
    portal.resize(&kept, 1);
    portal.until("the seat to be kept", |portal| offers(portal, &student) == std::slice::from_ref(&kept));
    // Neither can be given for a third while there is the other; the offer is declined first.
    for (give, key) in [(&kept, "one"), (&has, "other")] {
        let refused = swap(give, &want, false, key);
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert_eq!(ways(&refused.json()), [way("decline", "", &kept)], "{}", refused.text());
    }
    assert_eq!(portal.press(&student, "decline", &json!({ "section": kept }), "d").status, 200);
    let refused = portal.press(&student, "enrol", &json!({ "section": want }), "e").json();
    assert_eq!(ways(&refused), [way("swap", &has, &want)], "{refused}");
    assert_eq!(swap(&has, &want, false, "now").status, 201);
    portal.settled();
    assert_eq!(assert_whole(&portal), [(student.clone(), want)]);
}

/// The version of the section that was to be given was taken for one of the wanted section, which was not known at that version: so
/// there was a line to wait in, before 45 free seats.
#[test]
fn who_gives_what_has_lapsed_is_not_sent_to_a_line_before_free_seats() {
    let portal = Portal::start(&["--retry-delay", "200ms", "--offer", "1s"]);
    let [kept, want] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    for seats in 5..15 {
        portal.resize(&kept, seats);
    }
    let student = portal.students_for(&kept)[0].clone();
    portal.resize(&kept, 0);
    assert_eq!(portal.press(&student, "join", &json!({ "section": kept }), "j").status, 202);
    portal.resize(&kept, 1);
    portal.until("the offer to lapse", |portal| {
        let events = portal.story(&student)["events"].clone();
        events.as_array().expect("a list").iter().any(|event| event["what"] == "offer_lapsed")
    });
    let refused = portal.press(&student, "swap", &json!({ "give": kept, "want": want }), "s").json();
    assert_eq!((&refused["code"], &refused["version"]), (&json!("not_enrolled"), &json!(null)), "{refused}");
    assert_eq!(ways(&refused), [way("enrol", "", &want)], "{refused}");
}

#[test]
fn what_goes_with_a_seat_that_is_given_up_is_said() {
    let portal = Portal::start(SOON);
    let [has, want, other] = [0, 1, 2].map(|at| portal.catalogue.sections()[at].id.to_string());
    let students = portal.students_for(&has);
    let [drops, swaps, is_offered] = [&students[0], &students[1], &students[2]];
    portal.resize(&want, 0);
    for student in [is_offered, drops, swaps] {
        assert_eq!(portal.press(student, "enrol", &json!({ "section": has }), "k").status, 201);
        let body = json!({ "give": has, "want": want, "when_offered": true });
        assert_eq!(portal.press(student, "swap", &body, "w").status, 202);
    }
    portal.resize(&want, 1);
    portal.until("the seat to be kept", |portal| offers(portal, is_offered) == [want.clone()]);
    let drop_it = |student: &str| portal.press(student, "drop", &json!({ "section": has }), "d").json();
    let dropped = drop_it(drops);
    assert_eq!(dropped["lost"], json!([{ "what": "place", "section": want }]), "{dropped}");
    assert_eq!(drop_it(drops), dropped, "said again, the same");
    let swapped = portal.press(swaps, "swap", &json!({ "give": has, "want": other }), "s").json();
    assert_eq!(swapped["lost"], json!([{ "what": "place", "section": want }]), "{swapped}");
    let declined = drop_it(is_offered);
    assert_eq!(declined["lost"], json!([{ "what": "offer", "section": want }]), "{declined}");
    // Whoever comes for it later hears why it is gone, and so does support.
    for (student, what) in
        [(drops, "place in line for"), (swaps, "place in line for"), (is_offered, "seat in")]
    {
        let gone = portal.press(student, "accept", &json!({ "section": want }), "a").json();
        assert_eq!(gone["code"], "no_offer", "{gone}");
        let words = gone["message"].as_str().expect("words").to_owned();
        assert!(words.contains("you gave") && words.contains(&has), "{words}");
        let events = portal.story(student)["events"].clone();
        let lost = events.as_array().expect("a list").iter().find(|event| event["because"] == json!(has));
        let words = lost.expect("it is told")["words"].as_str().expect("words").to_owned();
        assert!(words.starts_with(&format!("lost the {what} ")) && words.contains(&has), "{words}");
    }
    // What is given back with nothing promised says nothing.
    assert_eq!(portal.press(swaps, "drop", &json!({ "section": other }), "e").json()["lost"], json!(null));
    portal.settled();
    assert_eq!(assert_whole(&portal), []);
}

#[test]
fn a_seat_that_is_only_kept_is_called_that() {
    let portal = Portal::start(SOON);
    let [kept, other] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    let student = portal.students_for(&kept)[0].clone();
    keep(&portal, &student, &kept);
    let barred = portal.get(&format!("/api/students/{student}")).json()["barred"].clone();
    assert_eq!(barred[&kept]["code"], "already_offered", "{barred:#}");
    let words = barred[&other]["words"].as_str().expect("words").to_owned();
    assert!(words.contains("is kept for you") && !words.contains("You have"), "{words}");
    let refused = portal.press(&student, "drop", &json!({ "section": kept }), "d").json();
    assert!(refused["message"].as_str().expect("words").contains("is kept for you"), "{refused}");
    assert_eq!(ways(&refused), [way("accept", "", &kept), way("decline", "", &kept)], "{refused}");
    let refused = portal.press(&student, "enrol", &json!({ "section": other }), "e").json();
    assert!(refused["message"].as_str().expect("words").contains("is kept for you"), "{refused}");
    assert_eq!(ways(&refused), [way("swap", &kept, &other)], "{refused}");
}

#[test]
fn before_a_draw_there_is_the_draw_to_take_part_in() {
    let portal = Portal::start(&["--retry-delay", "200ms", "--opens-in", "1h", "--shuffle"]);
    let section = first_section(&portal);
    let student = portal.students_for(&section)[0].clone();
    let early = |key: &str| portal.press(&student, "enrol", &json!({ "section": section }), key).json();
    let refused = early("one");
    assert_eq!(refused["code"], "not_open", "{refused}");
    assert_eq!(ways(&refused), [way("join", "", &section), way("wait", "", &section)], "{refused}");
    assert_eq!(portal.press(&student, "join", &json!({ "section": section }), "j").status, 202);
    assert_eq!(ways(&early("other")), [way("wait", "", &section)]);
}

/// One key for an enrolment, a swap and whatever else: the first has it, and nobody gets a seat without what follows from it.
fn one_key_is_one_press(portal: &Portal) {
    let [one, other] = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
    let students = portal.students_for(&one);
    let [swaps, waits] = [&students[0], &students[1]];
    let reused = |student: &str, action: &str, body: &Value, key: &str| {
        let answer = portal.press(student, action, body, key);
        assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("key_reused")), "{}", answer.text());
    };
    let swap = json!({ "give": one, "want": other });
    let swap_later = json!({ "give": one, "want": other, "when_offered": true });
    assert_eq!(portal.press(swaps, "enrol", &json!({ "section": one }), "k").status, 201);
    reused(swaps, "swap", &swap, "k");
    reused(swaps, "swap", &swap_later, "k");
    reused(swaps, "enrol", &json!({ "section": other }), "k");
    let swapped = portal.press(swaps, "swap", &swap, "k/0");
    assert_eq!(swapped.status, 201, "{}", swapped.text());
    assert_eq!(portal.press(swaps, "swap", &swap, "k/0").json(), swapped.json(), "said again, the same");
    for action in ["enrol", "drop", "join", "leave", "accept"] {
        reused(swaps, action, &json!({ "section": other }), "k/0");
    }
    reused(swaps, "swap", &swap_later, "k/0");
    // Also where the press came to a place in line.
    portal.resize(&other, 1);
    assert_eq!(portal.press(waits, "enrol", &json!({ "section": one }), "k").status, 201);
    let waiting = portal.press(waits, "swap", &swap_later, "w");
    assert_eq!(waiting.status, 202, "{}", waiting.text());
    assert_eq!(portal.press(waits, "swap", &swap_later, "w").json(), waiting.json(), "said again, the same");
    reused(waits, "swap", &swap, "w");
    reused(waits, "drop", &json!({ "section": one }), "w");
    portal.settled();
    let mut seats = vec![(swaps.clone(), other), (waits.clone(), one)];
    seats.sort();
    assert_eq!(assert_whole(portal), seats);
    for student in [swaps, waits] {
        let story = portal.story(student);
        assert_eq!(story["missing"], json!([]), "{story:#}");
    }
}

/// A key that comes again after the engine forgot it and the seat was dropped: it is another enrolment, and everything follows
/// from it anew.
fn a_forgotten_key_is_another_press(portal: &Portal) {
    let section = first_section(portal);
    let student = portal.students_for(&section)[0].clone();
    let press = |action: &str, key: &str| portal.press(&student, action, &json!({ "section": section }), key);
    let first = press("enrol", "old");
    assert_eq!(first.status, 201, "{}", first.text());
    portal.settled();
    assert_eq!(press("drop", "d").status, 200);
    portal.settled();
    portal.until("the key to be forgotten", |_| {
        let again = press("enrol", "old");
        assert_eq!(again.status, 201, "{}", again.text());
        again.json()["enrolment"]["id"] != first.json()["enrolment"]["id"]
    });
    portal.settled();
    assert_eq!(assert_whole(portal), [(student.clone(), section.clone())]);
    let story = portal.story(&student);
    for system in ["mail", "record", "fee"] {
        let undone: Vec<bool> = story["books"][system]
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| !row["undone"].is_null())
            .collect();
        assert_eq!(undone, [true, false], "{story:#}");
    }
}

/// What follows is kept in files, or in PostgreSQL: a portal with either, and a server with an engine of these options.
async fn with_both_stores(options: tidegate_engine::Options, check: fn(&Portal)) {
    let postgres = Postgres::start().await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (name, downstream) in [("files", "sqlite".to_owned()), ("database", postgres.url())] {
        let (url, stop, serving) = serve_engine(&folder.path().join(name), options.clone()).await;
        let portal = tokio::task::spawn_blocking(move || {
            check(&Portal::start(&["--retry-delay", "200ms", "--server", &url, "--downstream", &downstream]));
        });
        portal.await.expect("no panic");
        drop(stop);
        serving.await.expect("no panic").expect("it ends well");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_one_press_whatever_is_pressed() {
    with_both_stores(tidegate_engine::Options::default(), one_key_is_one_press).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_again_later_leaves_no_seat_without_what_follows() {
    let mut options = tidegate_engine::Options::default();
    // Keys are forgotten soon, so that a test does not wait for a day.
    options.state.idempotency_ms = 1_000;
    with_both_stores(options, a_forgotten_key_is_another_press).await;
}

type Serving = tokio::task::JoinHandle<Result<(), tidegate_server::ServeError>>;

/// An engine in a server of its own; it stops when the sender is dropped.
async fn serve_engine(
    data: &std::path::Path,
    options: tidegate_engine::Options,
) -> (String, tokio::sync::oneshot::Sender<()>, Serving) {
    let engine = tidegate_engine::Engine::open(data, options).expect("it opens");
    let listen = "127.0.0.1:0".parse().expect("an address");
    let server = tidegate_server::Server::listen(listen, tidegate_server::Options::default()).await;
    let server = server.expect("it listens");
    let url = format!("http://{}", server.local_address());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    (url, stop, tokio::spawn(server.serve(engine, async { drop(stopped.await) })))
}

/// The engine in a server of its own: the same portal, and what it knows outlives a portal that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_runs_with_a_server_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (url, stop, serving) =
        serve_engine(&folder.path().join("engine"), tidegate_engine::Options::default()).await;
    let portal = tokio::task::spawn_blocking(move || {
        let mut portal = Portal::start(&["--retry-delay", "200ms", "--server", &url]);
        let sections = [0, 1].map(|at| portal.catalogue.sections()[at].id.to_string());
        let student = portal.students_for(&sections[0])[0].clone();
        let enrol =
            |portal: &Portal| portal.press(&student, "enrol", &json!({ "section": sections[0] }), "k");
        let first = enrol(&portal);
        assert_eq!(first.status, 201, "{}", first.text());
        portal.kill();
        portal.start_again();
        assert_eq!(enrol(&portal).json()["enrolment"]["id"], first.json()["enrolment"]["id"]);
        let other = portal.press(&student, "enrol", &json!({ "section": sections[1] }), "k2").json();
        assert_eq!(
            (&other["code"], &other["possible"][0]["give"]),
            (&json!("same_course"), &json!(sections[0]))
        );
        let body = json!({ "give": sections[0], "want": sections[1] });
        assert_eq!(portal.press(&student, "swap", &body, "k3").status, 201);
        portal.settled();
        assert_eq!(assert_whole(&portal), [(student.clone(), sections[1].clone())]);
        (portal, student, sections)
    });
    let (portal, student, sections) = portal.await.expect("no panic");
    let was = tokio::task::block_in_place(|| portal.get(&format!("/api/students/{student}")).json());
    tokio::task::block_in_place(|| portal.get("/api/registrar/day"));
    drop(stop);
    serving.await.expect("no panic").expect("it ends well");

    // The server is gone. What was seen of it last is shown, with its time and a word; what is pressed is answered honestly.
    tokio::task::block_in_place(|| {
        portal.until("the portal to notice", |portal| portal.get("/api/seats").json()["away"].is_string());
        for path in ["/api/seats", "/api/opening", "/api/registrar/day", &format!("/api/students/{student}")]
        {
            let seen = portal.get(path);
            assert_eq!(seen.status, 200, "{path}: {}", seen.text());
            let seen = seen.json();
            assert!(seen["away"].as_str().expect("a word").contains("does not answer"), "{path}: {seen}");
            assert!(seen["as_of"].as_u64() > Some(0), "{path}: {seen}");
        }
        let catalogue = portal.get("/api/catalogue").json();
        assert!(catalogue["seats"]["away"].is_string(), "{}", catalogue["seats"]);
        let seen = portal.get(&format!("/api/students/{student}")).json();
        assert_eq!(seen["enrolments"], was["enrolments"]);
        assert_eq!(portal.get("/healthz").status, 503);
        assert_eq!(portal.get(&format!("/api/support/{student}")).status, 200);
        let press = portal.press_once(&student, "drop", &json!({ "section": sections[1] }), "gone");
        assert_eq!((press.status, &press.json()["code"]), (503, &json!("away")), "{}", press.text());
        // What no server is needed for is refused as ever.
        let nobody = portal.press(&student, "enrol", &json!({ "section": "none-1" }), "none");
        assert_eq!((nobody.status, &nobody.json()["code"]), (404, &json!("no_section")));
        // A stranger's page was never seen, and that is what is said.
        let other =
            portal.catalogue.students().iter().find(|other| other.id.as_str() != student).expect("one");
        let unseen = portal.get(&format!("/api/students/{}", other.id));
        assert_eq!((unseen.status, &unseen.json()["code"]), (503, &json!("away")), "{}", unseen.text());
    });
}
