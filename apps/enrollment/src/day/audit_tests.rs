//! A small world in which all is well, and then one fault of each kind planted into it.

use enrollment::{
    catalogue::{Catalogue, Day},
    chain::{Entry, Revocation},
    downstream::Downstream,
    seats::Enrolment,
};

use super::super::ends::Account;
use super::*;

const SECOND: Moment = 1_000_000;

/// Two sections of one course with one seat each, and one of another course with two. Anna is in CS-1, Bert was
/// refused there and is in CS-2, Carl is in ART-1 and Dora has dropped it, Emil was told that he lacks a course.
fn world() -> World {
    let section = |name: &str, course: &str, capacity, free| SectionFacts {
        name: name.into(),
        course: course.into(),
        credits: 3,
        meetings: Vec::new(),
        capacity,
        offered: 0,
        free_shown: Some(free),
    };
    let mut world = World {
        sections: vec![
            section("CS-1", "CS", 1, 0),
            section("CS-2", "CS", 1, 0),
            section("ART-1", "ART", 2, 1),
        ],
        students: ["Anna", "Bert", "Carl", "Dora", "Emil"].map(String::from).to_vec(),
        credits_max: vec![6; 5],
        ..World::default()
    };
    world.clicks = vec![
        click(ANNA, CS_1, Wish::Seat, 1, enrolled("e1")),
        click(BERT, CS_1, Wish::Seat, 2, Heard::SoldOut),
        click(BERT, CS_2, Wish::Seat, 3, enrolled("e2")),
        click(CARL, ART_1, Wish::Seat, 1, enrolled("e3")),
        click(DORA, ART_1, Wish::Seat, 1, enrolled("e4")),
        click(DORA, ART_1, Wish::Drop, 5, Heard::Dropped),
        click(EMIL, CS_1, Wish::Forbidden, 1, Heard::NotEligible("prerequisite".into())),
    ];
    for (id, student, section) in [("e1", ANNA, CS_1), ("e2", BERT, CS_2), ("e3", CARL, ART_1)] {
        world.enrol(id, student, section);
    }
    world
}

const ANNA: Student = 0;
const BERT: Student = 1;
const CARL: Student = 2;
const DORA: Student = 3;
const EMIL: Student = 4;
const CS_1: Section = 0;
const CS_2: Section = 1;
const ART_1: Section = 2;

fn enrolled(id: &str) -> Heard {
    Heard::Enrolled(id.into())
}

/// A click at this second, answered a second later.
fn click(student: Student, section: Section, wish: Wish, second: u64, heard: Heard) -> Click {
    let sent = second * SECOND;
    Click { student, section, wish, rival: None, sent, heard: vec![(sent + SECOND, heard)] }
}

impl World {
    /// A seat, and all that belongs to it.
    fn enrol(&mut self, id: &str, student: Student, section: Section) {
        self.seats.push(Seat { id: id.into(), student, section });
        for system in System::ALL {
            self.rows.push(Row { system, enrolment: id.into(), student, section });
        }
    }

    fn seat_gone(&mut self, id: &str) {
        self.seats.retain(|seat| seat.id != id);
        self.rows.retain(|row| row.enrolment != id);
    }

    fn click_of(&mut self, student: Student, section: Section) -> &mut Click {
        let found = self.clicks.iter_mut().find(|click| (click.student, click.section) == (student, section));
        found.expect("there is one")
    }

    fn shown(&mut self, section: Section, free: u32) {
        self.sections[section].free_shown = Some(free);
    }
}

/// Plants something into the good world and says what the audit must find: by kind, how many, and in which words.
#[track_caller]
fn check(plant: impl FnOnce(&mut World), expected: &[(&str, u64, &str)]) {
    let mut world = world();
    plant(&mut world);
    let verdict = audit(&world);
    for (kind, findings) in verdict.kinds() {
        let of_kind: Vec<_> = expected.iter().filter(|(expected, _, _)| *expected == kind).collect();
        let count: u64 = of_kind.iter().map(|(_, count, _)| count).sum();
        assert_eq!(findings.count, count, "{kind}: {:#?}", findings.first);
        for (_, _, words) in of_kind {
            assert!(
                findings.first.iter().any(|text| text.contains(words)),
                "{words:?}: {:#?}",
                findings.first
            );
        }
    }
    assert_eq!(verdict.is_clean(), expected.is_empty());
}

#[test]
fn a_good_day_is_clean() {
    check(|_| {}, &[]);
    let verdict = audit(&world());
    let counts = [verdict.seats, verdict.enrolled, verdict.sold_out, verdict.not_eligible, verdict.dropped];
    assert_eq!((counts, verdict.unanswered), ([3, 4, 1, 1, 1], 0));
}

#[test]
fn a_seat_too_many_is_oversold() {
    check(
        |world| {
            world.enrol("e5", EMIL, CS_2);
            world.clicks.push(click(EMIL, CS_2, Wish::Seat, 4, enrolled("e5")));
        },
        &[("oversold", 1, "CS-2 has 1 seats, and 2 are in it")],
    );
}

#[test]
fn the_same_student_twice_in_a_section_is_a_duplicate() {
    check(
        |world| {
            world.enrol("e5", CARL, ART_1);
            world.shown(ART_1, 0);
        },
        &[("duplicates", 1, "Carl is 2 times in ART: ART-1 (e3), ART-1 (e5)")],
    );
}

#[test]
fn the_same_student_in_two_sections_of_a_course_is_a_duplicate() {
    check(
        |world| {
            world.sections[CS_2].capacity = 2;
            world.enrol("e5", ANNA, CS_2);
            world.clicks.push(click(ANNA, CS_2, Wish::OneOfTwo, 4, enrolled("e5")));
        },
        &[("duplicates", 1, "Anna is 2 times in CS")],
    );
}

#[test]
fn one_key_with_two_enrolments_is_a_duplicate() {
    check(
        |world| {
            let click = world.click_of(CARL, ART_1);
            click.heard.push((3 * SECOND, enrolled("e9")));
        },
        &[
            ("duplicates", 1, "Carl and ART-1: one key was answered with 2 enrolments"),
            ("eligible but lost", 1, "told enrolled (e9)"),
        ],
    );
}

#[test]
fn a_fee_charged_twice_is_a_duplicate() {
    check(
        |world| {
            let fee = world.rows.iter().find(|row| row.system == System::Fee).cloned();
            world.rows.extend(fee);
        },
        &[("duplicates", 1, "Anna has 2 times a fee for CS-1 (enrolments e1, e1)")],
    );
}

#[test]
fn a_seat_without_its_mail_record_or_fee_is_half_enrolled() {
    check(
        |world| world.rows.retain(|row| row.enrolment != "e2" || row.system == System::Mail),
        &[("half-enrolled", 1, "Bert is in CS-2 (e2) without academic record, fee")],
    );
}

/// One key for an enrolment and for the swap that follows it: the second seat's three writes took the first's for their own, and the
/// drop of the first undid them.
#[test]
fn a_seat_with_none_of_its_three_writes_is_half_enrolled() {
    check(
        |world| {
            world.sections[CS_2].capacity = 2;
            world.seat_gone("e1");
            world.shown(CS_1, 1);
            world.seats.push(Seat { id: "e5".into(), student: ANNA, section: CS_2 });
            world.clicks[0] = click(ANNA, CS_2, Wish::Seat, 1, enrolled("e5"));
            // Nobody else asked for the seat that she gave.
            world.clicks.remove(1);
        },
        &[("half-enrolled", 1, "Anna is in CS-2 (e5) without confirmation mail, academic record, fee")],
    );
}

/// The same from the two ends as they are: the seats as the portal tells them, and the stores of the three systems.
#[tokio::test]
async fn the_ends_show_a_seat_with_none_of_its_three_writes() {
    let folder = tempfile::tempdir().expect("a directory");
    let catalogue = Catalogue::generate(1, 24, 60);
    let [old, new] = [0, 1].map(|at| catalogue.sections()[at].id.clone());
    let student = catalogue.students()[0].id.clone();
    let downstream = Downstream::open("sqlite", folder.path()).await.expect("they open");
    for system in System::ALL {
        let entry = |section| Entry::of(&catalogue, &student, section, "press".into());
        downstream.write(system, 1, &entry(&old)).await.expect("it is written");
        downstream.write(system, 2, &entry(&new)).await.expect_err("the name is another's");
        let undo = Revocation { student: student.clone(), section: old.clone(), before: None };
        downstream.undo(system, &undo, 3).await.expect("it is undone");
    }
    drop(downstream);
    let enrolments = vec![Enrolment { id: "0-2".into(), student, section: new.clone(), fence: 2, since: 0 }];
    let account = Account { enrolments, sections: Vec::new(), dead_jobs: 0 };
    let clicks = vec![click(0, 1, Wish::Seat, 1, enrolled("0-2"))];
    let world = super::super::ends::world(&catalogue, clicks, &account, folder.path()).await;
    let verdict = audit(&world.expect("the books can be read"));
    let found = format!("is in {new} (0-2) without confirmation mail, academic record, fee");
    assert_eq!(verdict.half_enrolled.count, 1, "{verdict:#?}");
    assert!(verdict.half_enrolled.first[0].contains(&found), "{verdict:#?}");
    assert!(!verdict.is_clean());
}

#[test]
fn a_fee_without_a_seat_is_half_enrolled() {
    check(
        |world| {
            let row = Row { system: System::Fee, enrolment: "e4".into(), student: DORA, section: ART_1 };
            world.rows.push(row);
        },
        &[("half-enrolled", 1, "Dora has fee for ART-1 without a seat")],
    );
}

/// A seat that is only kept has no writes: it is nobody's until it is accepted.
#[test]
fn a_seat_that_is_only_kept_has_nothing_in_the_books() {
    let keep = |world: &mut World| {
        world.sections[ART_1].offered = 1;
        world.shown(ART_1, 0);
    };
    check(keep, &[]);
    check(
        |world| {
            keep(world);
            for system in System::ALL {
                world.rows.push(Row { system, enrolment: "o1".into(), student: DORA, section: ART_1 });
            }
        },
        &[("half-enrolled", 1, "Dora has confirmation mail, academic record, fee for ART-1 without a seat")],
    );
    // What was kept and then accepted has exactly one of each.
    check(
        |world| {
            keep(world);
            world.sections[ART_1].offered = 0;
            world.enrol("e5", BERT, ART_1);
            world.clicks.push(click(BERT, ART_1, Wish::Seat, 7, enrolled("e5")));
            let fee = Row { system: System::Fee, enrolment: "o1".into(), student: BERT, section: ART_1 };
            world.rows.push(fee);
        },
        &[("duplicates", 1, "Bert has 2 times a fee for ART-1 (enrolments e5, o1)")],
    );
    // And it is no seat for somebody else meanwhile.
    check(
        |world| {
            keep(world);
            world.sections[ART_1].capacity = 1;
        },
        &[("oversold", 1, "ART-1 has 1 seats, and 1 are in it, and 1 are kept")],
    );
}

#[test]
fn a_mail_to_somebody_else_is_half_of_two_enrolments() {
    check(
        |world| world.rows[0].student = EMIL,
        &[
            ("half-enrolled", 1, "Anna is in CS-1 (e1) without confirmation mail"),
            ("half-enrolled", 1, "Emil has confirmation mail for CS-1 without a seat"),
        ],
    );
}

#[test]
fn an_acknowledged_enrolment_that_is_not_there_is_lost() {
    check(
        |world| {
            world.seat_gone("e3");
            world.shown(ART_1, 2);
        },
        &[("eligible but lost", 1, "Carl and ART-1: told enrolled (e3), and there is no such seat")],
    );
}

#[test]
fn a_seat_that_was_granted_and_not_told_is_lost() {
    let plant =
        |heard: Vec<(Moment, Heard)>| move |world: &mut World| world.click_of(CARL, ART_1).heard = heard;
    check(plant(vec![]), &[("eligible but lost", 1, "Carl and ART-1: has the seat and was told nothing")]);
    check(
        plant(vec![(2 * SECOND, Heard::SoldOut)]),
        &[("eligible but lost", 1, "Carl and ART-1: has the seat and was told sold out")],
    );
}

#[test]
fn refused_while_a_seat_was_surely_free_is_lost() {
    check(
        |world| world.clicks.push(click(EMIL, ART_1, Wish::Seat, 8, Heard::SoldOut)),
        &[("eligible but lost", 1, "Emil and ART-1: told sold out when at most 1 of 2 seats were taken")],
    );
    // Before anybody else had even asked.
    check(
        |world| world.click_of(ANNA, CS_1).sent = 4 * SECOND,
        &[("eligible but lost", 1, "Bert and CS-1: told sold out when at most 0 of 1 seats were taken")],
    );
}

#[test]
fn refused_while_all_seats_may_have_been_taken_is_no_fault() {
    // Dora's drop is answered at second 6; a refusal between 5 and 7 may be from before it.
    check(|world| world.clicks.push(click(EMIL, ART_1, Wish::Seat, 5, Heard::SoldOut)), &[]);
    // A key that was answered with two enrolments had two seats until they were dropped.
    check(
        |world| {
            let dora = world.click_of(DORA, ART_1);
            dora.heard.push((2 * SECOND, enrolled("e5")));
            world.seat_gone("e3");
            world.click_of(CARL, ART_1).heard = vec![(3 * SECOND, Heard::SoldOut)];
            world.shown(ART_1, 2);
        },
        &[("duplicates", 1, "Dora and ART-1: one key was answered with 2 enrolments")],
    );
    // Somebody who never heard anything may have had the seat for a while.
    check(
        |world| {
            let mut unheard = click(ANNA, ART_1, Wish::Seat, 7, Heard::SoldOut);
            unheard.heard.clear();
            world.clicks.push(unheard);
            world.clicks.push(click(EMIL, ART_1, Wish::Seat, 8, Heard::SoldOut));
        },
        // Her own case is another matter: a seat is free, and she has no answer.
        &[("eligible but lost", 1, "Anna and ART-1: never answered, and 1 seats are free")],
    );
}

#[test]
fn turned_away_or_unanswered_while_a_seat_stays_free_is_lost() {
    check(
        |world| world.clicks.push(click(EMIL, ART_1, Wish::Seat, 8, Heard::Other("503 busy".into()))),
        &[("eligible but lost", 1, "Emil and ART-1: turned away (503 busy), and 1 seats are free")],
    );
    // Where nothing is free, the student lost nothing but patience.
    check(|world| world.clicks.push(click(EMIL, CS_1, Wish::Seat, 8, Heard::Other("503 busy".into()))), &[]);
}

#[test]
fn refused_as_not_eligible_though_eligible_is_lost() {
    let refused = |wish| click(EMIL, ART_1, wish, 8, Heard::NotEligible("time_conflict".into()));
    check(
        |world| world.clicks.push(refused(Wish::Seat)),
        &[("eligible but lost", 1, "Emil and ART-1: refused as time_conflict though eligible")],
    );
    check(
        |world| world.clicks.push(refused(Wish::OneOfTwo)),
        &[("eligible but lost", 1, "Emil and ART-1: refused as time_conflict though eligible")],
    );
    // Bert has the other section of the course.
    let refused = click(BERT, CS_1, Wish::OneOfTwo, 8, Heard::NotEligible("same_course".into()));
    let of_two = Click { rival: Some(CS_2), ..refused };
    check(|world| world.clicks.push(of_two.clone()), &[]);
    // What he has has nothing to do with it.
    let other = Click { rival: Some(ART_1), ..of_two };
    check(
        |world| world.clicks.push(other),
        &[("eligible but lost", 1, "Bert and CS-1: refused as same_course though eligible")],
    );
}

#[test]
fn two_sections_at_one_hour_and_too_many_credits_are_unexplained() {
    let both = |world: &mut World| {
        world.enrol("e5", ANNA, ART_1);
        world.clicks.push(click(ANNA, ART_1, Wish::OneOfTwo, 2, enrolled("e5")));
        world.shown(ART_1, 0);
    };
    let meets = |from| vec![Meeting { day: Day::Monday, from, to: from + 60 }];
    check(both, &[]);
    check(
        |world| {
            both(world);
            world.sections[CS_1].meetings = meets(540);
            world.sections[ART_1].meetings = meets(590);
        },
        &[("unexplained", 1, "Anna is in CS-1 and ART-1, which meet at one hour")],
    );
    check(
        |world| {
            both(world);
            world.sections[CS_1].meetings = meets(540);
            world.sections[ART_1].meetings = meets(600);
            world.credits_max[ANNA] = 5;
        },
        &[("unexplained", 1, "Anna has 6 credits, and may have 5")],
    );
}

#[test]
fn enrolled_without_being_eligible_is_unexplained() {
    check(
        |world| {
            world.enrol("e5", EMIL, ART_1);
            world.shown(ART_1, 0);
            world.clicks.push(click(EMIL, ART_1, Wish::Forbidden, 2, enrolled("e5")));
        },
        &[("unexplained", 1, "Emil and ART-1: enrolled without being eligible")],
    );
}

#[test]
fn a_seat_nobody_asked_for_is_unexplained() {
    check(
        |world| {
            world.enrol("e5", ANNA, ART_1);
            world.shown(ART_1, 0);
        },
        &[("unexplained", 1, "Anna is in ART-1 and never asked")],
    );
}

#[test]
fn a_drop_does_what_it_says() {
    check(
        |world| {
            world.enrol("e4", DORA, ART_1);
            world.shown(ART_1, 0);
        },
        &[("unexplained", 1, "Dora and ART-1: told dropped, and the seat is still there")],
    );
    check(
        |world| {
            let drop = world.clicks.iter_mut().find(|click| click.wish == Wish::Drop).expect("there is one");
            drop.heard = vec![(6 * SECOND, Heard::Other("409 unknown".into()))];
        },
        &[("eligible but lost", 1, "Dora and ART-1: the seat is gone, and the drop was refused")],
    );
}

#[test]
fn a_wrong_counter_is_unexplained() {
    check(|world| world.shown(ART_1, 2), &[("unexplained", 1, "ART-1 shows 2 free seats, and 1 are")]);
}

#[test]
fn everything_is_counted_and_the_first_few_are_told() {
    let mut world = world();
    for _ in 0..30 {
        world.clicks.push(click(EMIL, ART_1, Wish::Seat, 8, Heard::SoldOut));
    }
    let lost = audit(&world).lost;
    assert_eq!((lost.count, lost.first.len()), (30, TOLD_MAX));
}
