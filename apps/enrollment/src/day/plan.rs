//! Who wants what, and when: a pure function of the university, the settings and a seed.
//!
//! Students arrive around the opening: some wait for it, most come within seconds. Each has a list of courses,
//! popular ones far more often than others, and for each the sections that would do, in the order in which they are
//! tried. Everything on one list can be had together, so whatever order things happen in, no rule of the university may
//! refuse any of it; that is what makes a wrong refusal provable. Beside that some click for what they may not have, some at once for
//! two of which the rules allow one (two sections of a course, two at the same hours, two that are too many credits together), and
//! some give a seat back.
//!
//! There is no clock here; moments count from the start of the run.

use std::{collections::BTreeMap, time::Duration};

use app_kit::chance::Chance;
use enrollment::{
    catalogue::{Catalogue, CourseId, Student},
    eligibility::judge_alone,
};

use super::audit::{Section, Wish};

/// So much of the students wait for the opening.
const EARLY: f64 = 0.2;
/// How slowly the others come: in this part of the time, all but one in e of them.
const TRICKLE: f64 = 0.235;
/// So much of them also click for something they may not have.
const FORBIDDEN: f64 = 0.05;
/// So much of the courses with two sections that would do are clicked for in both at once.
const AT_ONCE: f64 = 0.03;
/// So much of the students click at once for two sections that meet at the same hours; so much, for two that are too many credits.
const AT_ONE_HOUR: f64 = 0.05;
const OVER_THE_LIMIT: f64 = 0.05;
/// So much of the students give a seat back.
const DROPPERS: f64 = 0.03;
/// Courses on a list.
const COURSES: (usize, usize) = (3, 5);
/// How much more popular a course is than those after it: the n-th is wanted in proportion to `n` to this power.
const POPULARITY: f64 = -0.9;
/// From a student's arrival, or the opening, to the first click; between an answer and the next click.
const FIRST_THOUGHT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(2_500));
const THOUGHT: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(1_500));
const SECOND_THOUGHT: (Duration, Duration) = (Duration::from_millis(2_000), Duration::from_millis(6_000));
/// Between the two presses of a double click.
const DOUBLE: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(250));
/// Refreshes come within this time of an arrival.
const REFRESHING: Duration = Duration::from_secs(8);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    /// When the enrolment opens.
    pub(crate) opens: Duration,
    /// Within this time of the opening all have arrived, half of them in the first sixth of it.
    pub(crate) within: Duration,
    /// How much of the clicks are pressed twice.
    pub(crate) double_clicks: f64,
    /// Refreshes of a student, on average.
    pub(crate) refreshes: f64,
    pub(crate) seed: u64,
}

/// The day of everybody.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    /// One for each student, in the order of the catalogue.
    pub(crate) visits: Vec<Visit>,
}

/// The day of one student.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Visit {
    pub(crate) arrives: Duration,
    /// When the student looks again, after the arrival.
    pub(crate) refreshes: Vec<Duration>,
    /// After the arrival, or after the opening if that is later.
    pub(crate) first_thought: Duration,
    pub(crate) aims: Vec<Aim>,
    /// So long after everything else one seat is given back.
    pub(crate) drops_after: Option<Duration>,
}

/// One thing that a student wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aim {
    pub(crate) wish: Wish,
    /// What would do. One after the other until one is had; if it is to be one of two, the first two at once.
    pub(crate) tries: Vec<Try>,
}

/// A click.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Try {
    pub(crate) section: Section,
    /// After the answer before.
    pub(crate) thought: Duration,
    /// So long after the first press there is a second one.
    pub(crate) pressed_again: Option<Duration>,
}

impl Plan {
    pub(crate) fn new(catalogue: &Catalogue, shape: Shape) -> Plan {
        let offers = Offers::new(catalogue, shape.seed);
        let visit = |(number, student)| {
            let chance = Chance::new(shape.seed, "student", number as u64);
            let mut visit = visit(catalogue, &offers, shape, student, chance);
            // Chance of their own, so that they leave the rest of the day as it is.
            let rivals = &mut Chance::new(shape.seed, "rivals", number as u64);
            if rivals.happens(AT_ONE_HOUR) {
                at_one_hour(catalogue, student, &mut visit, rivals);
            } else if rivals.happens(OVER_THE_LIMIT) {
                over_the_limit(catalogue, student, &mut visit, rivals);
            }
            visit
        };
        Plan { shape, visits: catalogue.students().iter().enumerate().map(visit).collect() }
    }

    /// So many moments between the opening and the time when most have clicked, in order.
    pub(crate) fn moments(&self, purpose: &str, count: usize) -> Vec<Duration> {
        let (from, to) = self.rush();
        let mut chance = Chance::new(self.shape.seed, purpose, 0);
        // One in each part of the time, so that they do not all fall together.
        let part = (to - from) / count.max(1) as u32;
        (0..count as u32).map(|number| from + part * number + part.mul_f64(chance.share())).collect()
    }

    /// The time in which most clicks are made.
    pub(crate) fn rush(&self) -> (Duration, Duration) {
        let opens = self.shape.opens;
        (opens + Duration::from_millis(500), opens + self.shape.within.mul_f64(0.7) + Duration::from_secs(2))
    }
}

/// The sections of each course, and how often a course is wanted.
struct Offers {
    courses: Vec<Vec<Section>>,
    /// For each course, the sum of the weights up to it.
    weights: Vec<f64>,
}

impl Offers {
    fn new(catalogue: &Catalogue, seed: u64) -> Offers {
        let mut courses: BTreeMap<&CourseId, Vec<Section>> = BTreeMap::new();
        for (number, section) in catalogue.sections().iter().enumerate() {
            courses.entry(&section.course).or_default().push(number);
        }
        let mut courses: Vec<Vec<Section>> = courses.into_values().collect();
        shuffle(&mut courses, &mut Chance::new(seed, "popularity", 0));
        let mut sum = 0.0;
        let weights = (1..=courses.len()).map(|rank| {
            sum += (rank as f64).powf(POPULARITY);
            sum
        });
        Offers { weights: weights.collect(), courses }
    }

    /// A course, popular ones more often.
    fn draw(&self, chance: &mut Chance) -> Option<&[Section]> {
        let point = chance.share() * self.weights.last()?;
        let at = self.weights.partition_point(|weight| *weight <= point);
        self.courses.get(at).map(Vec::as_slice)
    }
}

fn visit(
    catalogue: &Catalogue,
    offers: &Offers,
    shape: Shape,
    student: &Student,
    mut chance: Chance,
) -> Visit {
    let chance = &mut chance;
    let early = chance.happens(EARLY);
    let arrives = match early {
        true => shape.opens.mul_f64(chance.share()),
        // Half of all within the first sixth: the rest trickles in, and nobody comes after the end.
        false => {
            let share = chance.share() * (1.0 - (-1.0 / TRICKLE).exp());
            shape.opens + shape.within.mul_f64((-(1.0 - share).ln() * TRICKLE).min(1.0))
        }
    };
    let refreshes = (0..chance.count(shape.refreshes)).map(|_| REFRESHING.mul_f64(chance.share())).collect();
    let try_of = |section: Section, chance: &mut Chance| Try {
        section,
        thought: chance.span(THOUGHT.0, THOUGHT.1),
        pressed_again: chance.happens(shape.double_clicks).then(|| chance.span(DOUBLE.0, DOUBLE.1)),
    };
    let mut aims: Vec<Aim> = wanted(catalogue, offers, student, chance)
        .into_iter()
        .map(|sections| {
            let tries: Vec<Try> = sections.into_iter().map(|section| try_of(section, chance)).collect();
            let at_once = tries.len() > 1 && chance.happens(AT_ONCE);
            Aim { wish: if at_once { Wish::OneOfTwo } else { Wish::Seat }, tries }
        })
        .collect();
    if chance.happens(FORBIDDEN)
        && let Some(section) = forbidden(catalogue, student, chance)
    {
        let aim = Aim { wish: Wish::Forbidden, tries: vec![try_of(section, chance)] };
        aims.insert(chance.below(aims.len() + 1), aim);
    }
    Visit {
        arrives,
        refreshes,
        first_thought: chance.span(FIRST_THOUGHT.0, FIRST_THOUGHT.1),
        aims,
        drops_after: chance.happens(DROPPERS).then(|| chance.span(SECOND_THOUGHT.0, SECOND_THOUGHT.1)),
    }
}

/// Courses, each with the sections that would do. All of them together break no rule.
fn wanted(
    catalogue: &Catalogue,
    offers: &Offers,
    student: &Student,
    chance: &mut Chance,
) -> Vec<Vec<Section>> {
    let sections = catalogue.sections();
    let count = COURSES.0 + chance.below(COURSES.1 - COURSES.0 + 1);
    let (mut lists, mut credits): (Vec<Vec<Section>>, u32) = (Vec::new(), 0);
    // A list that is hard to fill stays short.
    for _ in 0..count * 6 {
        if lists.len() == count {
            break;
        }
        let Some(course) = offers.draw(chance) else { break };
        let clear = |number: &Section| {
            let section = &sections[*number];
            judge_alone(catalogue, student, section).is_ok()
                && lists.iter().flatten().all(|other: &Section| {
                    sections[*other].course != section.course && sections[*other].clash(section).is_none()
                })
        };
        let mut would_do: Vec<Section> = course.iter().copied().filter(clear).collect();
        let Some(more) = would_do.first().map(|number| sections[*number].credits) else { continue };
        if credits + more > student.credits_max {
            continue;
        }
        credits += more;
        shuffle(&mut would_do, chance);
        lists.push(would_do);
    }
    lists
}

/// The sections of a visit's lists but for those of one aim.
fn others(visit: &Visit, but: Option<usize>) -> impl Iterator<Item = Section> {
    let aims = visit.aims.iter().enumerate();
    let lists = aims.filter(move |(at, aim)| Some(*at) != but && aim.wish != Wish::Forbidden);
    lists.flat_map(|(_, aim)| aim.tries.iter().map(|one| one.section))
}

/// The most credits that a visit's lists can come to, but for those of one aim.
fn credits(catalogue: &Catalogue, visit: &Visit, but: Option<usize>) -> u32 {
    let aims = visit.aims.iter().enumerate();
    let lists = aims.filter(|(at, aim)| Some(*at) != but && aim.wish != Wish::Forbidden);
    let most = |aim: &Aim| aim.tries.iter().map(|one| catalogue.sections()[one.section].credits).max();
    lists.filter_map(|(_, aim)| most(aim)).sum()
}

/// A section that may be had beside these, whichever of them the student gets.
fn beside(
    catalogue: &Catalogue,
    student: &Student,
    these: &[Section],
    fits: impl Fn(Section) -> bool,
    chance: &mut Chance,
) -> Option<Section> {
    let sections = catalogue.sections();
    let first = chance.below(sections.len().max(1));
    let mut all = (0..sections.len()).map(|number| (first + number) % sections.len());
    all.find(|number| {
        let section = &sections[*number];
        let clear = |other: &Section| {
            sections[*other].course != section.course && sections[*other].clash(section).is_none()
        };
        judge_alone(catalogue, student, section).is_ok() && these.iter().all(clear) && fits(*number)
    })
}

/// One of the wishes becomes two at once: what is wished for, and something else at the same hours.
fn at_one_hour(catalogue: &Catalogue, student: &Student, visit: &mut Visit, chance: &mut Chance) {
    let sections = catalogue.sections();
    let Some(at) = visit.aims.iter().position(|aim| aim.wish == Wish::Seat) else { return };
    let one = visit.aims[at].tries[0];
    let rest: Vec<Section> = others(visit, Some(at)).collect();
    let room = student.credits_max.saturating_sub(credits(catalogue, visit, Some(at)));
    let fits = |number: Section| {
        let (section, one) = (&sections[number], &sections[one.section]);
        section.course != one.course && section.clash(one).is_some() && section.credits <= room
    };
    if let Some(section) = beside(catalogue, student, &rest, fits, chance) {
        visit.aims[at] = Aim { wish: Wish::OneOfTwo, tries: vec![one, Try { section, ..one }] };
    }
}

/// At the end come two at once, each of which may be had beside everything, and not both. They come last: whoever has both after all,
/// because something else was sold out, has not too many credits then, and would have for what came after.
fn over_the_limit(catalogue: &Catalogue, student: &Student, visit: &mut Visit, chance: &mut Chance) {
    let sections = catalogue.sections();
    let Some(like) = visit.aims.iter().flat_map(|aim| &aim.tries).next().copied() else { return };
    let mut rest: Vec<Section> = others(visit, None).collect();
    let room = student.credits_max.saturating_sub(credits(catalogue, visit, None));
    let fits = |number: Section| sections[number].credits <= room;
    let Some(one) = beside(catalogue, student, &rest, fits, chance) else { return };
    rest.push(one);
    let too_many = |number: Section| fits(number) && sections[number].credits + sections[one].credits > room;
    if let Some(other) = beside(catalogue, student, &rest, too_many, chance) {
        let tries = [one, other].map(|section| Try { section, ..like }).to_vec();
        visit.aims.push(Aim { wish: Wish::OneOfTwo, tries });
    }
}

/// A section that the student may not have, whatever else happens.
fn forbidden(catalogue: &Catalogue, student: &Student, chance: &mut Chance) -> Option<Section> {
    let sections = catalogue.sections();
    let first = chance.below(sections.len().max(1));
    let mut all = (0..sections.len()).map(|number| (first + number) % sections.len());
    all.find(|number| judge_alone(catalogue, student, &sections[*number]).is_err())
}

fn shuffle<T>(list: &mut [T], chance: &mut Chance) {
    for end in (1..list.len()).rev() {
        list.swap(end, chance.below(end + 1));
    }
}

#[cfg(test)]
mod tests {
    use enrollment::eligibility::judge;

    use super::*;

    fn shape(seed: u64) -> Shape {
        Shape {
            opens: Duration::from_secs(2),
            within: Duration::from_secs(20),
            double_clicks: 0.3,
            refreshes: 5.0,
            seed,
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_day() {
        let catalogue = Catalogue::generate(1, 60, 500);
        assert_eq!(Plan::new(&catalogue, shape(7)), Plan::new(&catalogue, shape(7)));
        assert_ne!(Plan::new(&catalogue, shape(7)).visits, Plan::new(&catalogue, shape(8)).visits);
    }

    #[test]
    fn whatever_a_student_gets_of_a_list_the_rest_may_be_had_as_well() {
        let catalogue = Catalogue::generate(3, 60, 400);
        let plan = Plan::new(&catalogue, shape(1));
        let sections = catalogue.sections();
        for (student, visit) in catalogue.students().iter().zip(&plan.visits) {
            let lists: Vec<_> = visit.aims.iter().filter(|aim| aim.wish != Wish::Forbidden).collect();
            for aim in &lists {
                for one in &aim.tries {
                    // The most that the student can have beside it: of every other course, any one section.
                    for nth in 0..3 {
                        let others = lists.iter().filter(|other| other != &aim);
                        let has: Vec<_> = others
                            .filter_map(|other| other.tries.get(nth).or(other.tries.first()))
                            .map(|other| &sections[other.section])
                            .collect();
                        assert_eq!(judge(&catalogue, student, &has, &sections[one.section]), Ok(()));
                    }
                }
            }
            for aim in visit.aims.iter().filter(|aim| aim.wish == Wish::Forbidden) {
                let section = &sections[aim.tries[0].section];
                judge(&catalogue, student, &[], section).expect_err("it is forbidden");
            }
        }
    }

    #[test]
    fn a_day_is_what_was_asked_for() {
        let catalogue = Catalogue::generate(1, 300, 10_000);
        let plan = Plan::new(&catalogue, shape(1));
        let (opens, end) = (plan.shape.opens, plan.shape.opens + plan.shape.within);
        assert!(plan.visits.iter().all(|visit| visit.arrives <= end));
        let soon = opens + plan.shape.within / 6;
        let early = plan.visits.iter().filter(|visit| visit.arrives < soon).count();
        assert!((5_500..6_500).contains(&early), "{early}");
        let refreshes: usize = plan.visits.iter().map(|visit| visit.refreshes.len()).sum();
        assert!((49_000..51_000).contains(&refreshes), "{refreshes}");
        let aims = || plan.visits.iter().flat_map(|visit| &visit.aims);
        let tries: Vec<_> = aims().flat_map(|aim| &aim.tries).collect();
        let double = tries.iter().filter(|one| one.pressed_again.is_some()).count() as f64;
        assert!((0.28..0.32).contains(&(double / tries.len() as f64)));
        for wish in [Wish::Forbidden, Wish::OneOfTwo] {
            assert!(aims().filter(|aim| aim.wish == wish).count() > 100, "{wish:?}");
        }
        assert!(plan.visits.iter().filter(|visit| visit.drops_after.is_some()).count() > 200);
    }

    #[test]
    fn some_press_at_once_for_what_no_rule_allows_together() {
        let catalogue = Catalogue::generate(1, 300, 10_000);
        let plan = Plan::new(&catalogue, shape(1));
        let sections = catalogue.sections();
        let (mut one_hour, mut too_many) = (0, 0);
        for (student, visit) in catalogue.students().iter().zip(&plan.visits) {
            for (at, aim) in visit.aims.iter().enumerate().filter(|(_, aim)| aim.wish == Wish::OneOfTwo) {
                let [one, other] = [0, 1].map(|nth| &sections[aim.tries[nth].section]);
                if one.course == other.course {
                    continue;
                }
                match one.clash(other) {
                    Some(_) => one_hour += 1,
                    None => {
                        let all = credits(&catalogue, visit, Some(at)) + one.credits + other.credits;
                        assert!(all > student.credits_max && at + 1 == visit.aims.len());
                        too_many += 1;
                    }
                }
            }
        }
        assert!(one_hour > 100 && too_many > 100, "{one_hour} and {too_many}");
    }

    #[test]
    fn kills_are_spread_over_the_rush() {
        let plan = Plan::new(&Catalogue::generate(1, 12, 10), shape(5));
        let (from, to) = plan.rush();
        let moments = plan.moments("kills", 3);
        assert!(moments.is_sorted() && moments.iter().all(|moment| (from..to).contains(moment)));
        assert_eq!(moments.len(), 3);
    }
}
