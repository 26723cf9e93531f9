//! The two ends as they are when all is quiet: the seats as the portal tells them, and the books of the systems
//! downstream, which are opened here and not asked through the portal.

use std::{collections::HashMap, path::Path};

use anyhow::Context;
use enrollment::{
    catalogue::{Catalogue, SectionId, StudentId},
    downstream::{Downstream, System},
    seats::{Enrolment, Free},
};
use serde::Deserialize;

use super::audit::{Click, Row, Seat, Section, SectionFacts, Student, World};

/// What the portal says of itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    pub(crate) enrolments: Vec<Enrolment>,
    pub(crate) sections: Vec<Free>,
    pub(crate) dead_jobs: u64,
}

/// What there is to do still, as the portal's day tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Doing {
    systems: HashMap<String, Left>,
    /// What it says if it tells of an earlier time.
    away: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Left {
    open: u64,
    dead: u64,
}

impl Doing {
    /// True when nothing is left but what was given up.
    pub(crate) fn is_done(&self) -> bool {
        self.away.is_none() && self.systems.values().all(|left| left.open <= left.dead)
    }
}

/// Everything that the audit looks at.
pub(crate) async fn world(
    catalogue: &Catalogue,
    clicks: Vec<Click>,
    account: &Account,
    data: &Path,
) -> anyhow::Result<World> {
    let names = Names::new(catalogue);
    let shown: HashMap<&SectionId, &Free> =
        account.sections.iter().map(|free| (&free.section, free)).collect();
    let facts = |section: &enrollment::catalogue::Section| {
        let shown = shown.get(&section.id);
        SectionFacts {
            name: section.id.to_string(),
            course: section.course.to_string(),
            credits: section.credits,
            meetings: section.meetings.clone(),
            capacity: shown.map_or(section.capacity, |free| free.capacity),
            offered: shown.map_or(0, |free| free.offered),
            free_shown: shown.map(|free| free.free),
        }
    };
    let seat = |enrolment: &Enrolment| {
        Ok(Seat {
            id: enrolment.id.clone(),
            student: names.student(&enrolment.student)?,
            section: names.section(&enrolment.section)?,
        })
    };
    let seats: anyhow::Result<Vec<Seat>> = account.enrolments.iter().map(seat).collect();
    let downstream = Downstream::open("sqlite", data).await.context("the books downstream")?;
    let mut rows = Vec::new();
    for system in System::ALL {
        for line in downstream.lines(system).await? {
            rows.push(Row {
                system,
                enrolment: line.enrolment,
                student: names.student(&line.student)?,
                section: names.section(&line.section)?,
            });
        }
    }
    Ok(World {
        sections: catalogue.sections().iter().map(facts).collect(),
        students: catalogue.students().iter().map(|student| student.id.to_string()).collect(),
        credits_max: catalogue.students().iter().map(|student| student.credits_max).collect(),
        clicks,
        seats: seats?,
        rows,
    })
}

/// From names to numbers.
struct Names<'a> {
    students: HashMap<&'a StudentId, Student>,
    sections: HashMap<&'a SectionId, Section>,
}

impl<'a> Names<'a> {
    fn new(catalogue: &'a Catalogue) -> Names<'a> {
        let (students, sections) = (catalogue.students().iter(), catalogue.sections().iter());
        Names {
            students: students.enumerate().map(|(number, student)| (&student.id, number)).collect(),
            sections: sections.enumerate().map(|(number, section)| (&section.id, number)).collect(),
        }
    }

    fn student(&self, id: &StudentId) -> anyhow::Result<Student> {
        self.students
            .get(id)
            .copied()
            .with_context(|| format!("there is no student {id}, and the ends tell of one"))
    }

    fn section(&self, id: &SectionId) -> anyhow::Result<Section> {
        self.sections
            .get(id)
            .copied()
            .with_context(|| format!("there is no section {id}, and the ends tell of one"))
    }
}
