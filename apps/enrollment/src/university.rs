//! Of which university the data is: its seed and its sections are kept with it, so that nobody goes on with another one unawares.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// The seed where none is given.
pub const SEED_DEFAULT: u64 = 1;
/// Sections where none are given: as many as it takes for some courses to need others.
pub const SECTIONS_DEFAULT: u32 = 120;

const FILE: &str = "university.json";

/// What a university is made from. Students may become more later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct University {
    /// The seed of its courses and students.
    pub seed: u64,
    /// How many sections it has.
    pub sections: u32,
}

impl University {
    /// The one that the data is of; if there is none yet, the one that is asked for, which is kept from now on.
    ///
    /// # Errors
    /// Another one is asked for than the data is of; or the disk.
    pub fn of_data(data: &Path, seed: Option<u64>, sections: Option<u32>) -> anyhow::Result<Self> {
        fs::create_dir_all(data).with_context(|| format!("{} cannot be made", data.display()))?;
        let file = data.join(FILE);
        let asked =
            Self { seed: seed.unwrap_or(SEED_DEFAULT), sections: sections.unwrap_or(SECTIONS_DEFAULT) };
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let fresh = data.join(format!("{FILE}.new"));
                fs::write(&fresh, serde_json::to_vec(&asked)?)
                    .and_then(|()| fs::rename(&fresh, &file))
                    .with_context(|| format!("{} cannot be written", file.display()))?;
                return Ok(asked);
            }
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
        };
        let kept: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not what this program writes", file.display()))?;
        let other = |option: &str, kept: u64, asked: u64| {
            format!(
                "the data in {} was made with {option} {kept}, and {option} {asked} is asked for; leave it away, or take another --data",
                data.display()
            )
        };
        if let Some(seed) = seed.filter(|seed| *seed != kept.seed) {
            bail!(other("--seed", kept.seed, seed));
        }
        if let Some(sections) = sections.filter(|sections| *sections != kept.sections) {
            bail!(other("--sections", kept.sections.into(), sections.into()));
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::eligibility::judge_alone;

    #[test]
    fn the_data_stays_with_its_university() {
        let folder = tempfile::tempdir().expect("a directory");
        let of = |seed, sections| University::of_data(folder.path(), seed, sections);
        let made = of(Some(7), None).expect("a new one");
        assert_eq!(made, University { seed: 7, sections: SECTIONS_DEFAULT });
        assert_eq!(of(None, None).expect("the same"), made);
        assert_eq!(of(Some(7), Some(SECTIONS_DEFAULT)).expect("the same"), made);
        let error = |refused: anyhow::Result<University>| refused.expect_err("another").to_string();
        assert!(error(of(Some(8), None)).contains("made with --seed 7, and --seed 8 is asked for"));
        assert!(error(of(None, Some(9))).contains("--sections 9 is asked for"));
    }

    #[test]
    fn the_university_of_a_first_start_has_courses_that_need_others() {
        let catalogue = Catalogue::generate(SEED_DEFAULT, SECTIONS_DEFAULT as usize, 500);
        let needs =
            |section: &&crate::catalogue::Section| !catalogue.course_of(section).prerequisites.is_empty();
        let section = catalogue.sections().iter().find(needs).expect("a section that needs something");
        let may = |student: &&crate::catalogue::Student| judge_alone(&catalogue, student, section).is_ok();
        let those = catalogue.students().iter().filter(may).count();
        assert!(0 < those && those < 500, "{those} students may have {}", section.id);
    }
}
