//! The data directory: one small file that says how many shards there are, and one log directory for each.
//!
//! ```text
//!   DIR/shards      "tidegate 1 shards 4"
//!   DIR/shard-0/    a log
//!   DIR/shard-1/    …
//! ```
//! A queue's shard follows from its name and the number of shards, so that number is fixed when the directory
//! is made. Ownership is the logs' matter: each locks its own directory.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

const FILE: &str = "shards";
const FORMAT: &str = "tidegate 1 shards ";

/// Makes the directory, or checks that it was made for `shards` shards; returns the directory of each shard's
/// log.
///
/// # Errors
/// [`OpenError::ShardCount`], [`OpenError::Layout`] or [`OpenError::Io`].
pub(crate) fn prepare(directory: &Path, shards: u16) -> Result<Vec<PathBuf>, OpenError> {
    let io = |doing, file: &Path| {
        let file = file.to_owned();
        move |source| OpenError::Io { doing, file, source }
    };
    fs::create_dir_all(directory).map_err(io("making", directory))?;
    let file = directory.join(FILE);
    match fs::read(&file) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let line = text.lines().next().unwrap_or_default();
            let found = line.strip_prefix(FORMAT).and_then(|number| number.parse::<u16>().ok());
            match found {
                Some(found) if found == shards => check_all_there(directory, shards)?,
                Some(found) => {
                    return Err(OpenError::ShardCount { directory: directory.into(), found, asked: shards });
                }
                None => return Err(OpenError::Layout { file, found: line.chars().take(80).collect() }),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // The file comes last: where it is, every shard's directory has been.
            for shard in paths(directory, shards) {
                fs::create_dir_all(&shard).map_err(io("making", &shard))?;
            }
            write(directory, &file, shards).map_err(io("writing", &file))?;
        }
        Err(error) => return Err(io("reading", &file)(error)),
    }
    Ok(paths(directory, shards).collect())
}

fn paths(directory: &Path, shards: u16) -> impl Iterator<Item = PathBuf> + '_ {
    (0..shards).map(|shard| directory.join(format!("shard-{shard}")))
}

/// A shard whose directory is gone is not begun anew: its jobs were acknowledged. A mount that failed or a backup that was
/// restored in part looks like this.
fn check_all_there(directory: &Path, shards: u16) -> Result<(), OpenError> {
    match paths(directory, shards).find(|shard| !shard.is_dir()) {
        Some(missing) => Err(OpenError::ShardMissing { missing, shards }),
        None => Ok(()),
    }
}

/// The number of shards a data directory was made with; none if it is no data directory (yet).
#[must_use]
pub fn shards_in(directory: &Path) -> Option<u16> {
    let text = fs::read_to_string(directory.join(FILE)).ok()?;
    text.lines().next()?.strip_prefix(FORMAT)?.parse().ok()
}

/// Writes the file so that it is there whole or not at all, before any log is made.
fn write(directory: &Path, file: &Path, shards: u16) -> std::io::Result<()> {
    let draft = directory.join(format!("{FILE}.draft"));
    let mut out = File::create(&draft)?;
    writeln!(out, "{FORMAT}{shards}")?;
    out.sync_all()?;
    fs::rename(&draft, file)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_shards_is_fixed_when_the_directory_is_made() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let made = prepare(directory.path(), 2).expect("a new directory");
        assert_eq!(made, prepare(directory.path(), 2).expect("the same again"));
        assert_eq!(shards_in(directory.path()), Some(2));
        let refused = prepare(directory.path(), 3).expect_err("another number");
        assert!(matches!(refused, OpenError::ShardCount { found: 2, asked: 3, .. }), "{refused}");
    }

    #[test]
    fn a_shard_whose_directory_is_gone_is_not_begun_anew() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let made = prepare(directory.path(), 2).expect("a new directory");
        fs::remove_dir(&made[1]).expect("it was made");
        let refused = prepare(directory.path(), 2).expect_err("a shard is missing");
        assert!(
            matches!(&refused, OpenError::ShardMissing { missing, .. } if *missing == made[1]),
            "{refused}"
        );
    }

    #[test]
    fn a_file_of_something_else_is_refused_and_quoted() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join(FILE), "tidegate 2 rooms 4\n").expect("a file");
        let refused = prepare(directory.path(), 1).expect_err("not ours");
        assert!(
            matches!(&refused, OpenError::Layout { found, .. } if found == "tidegate 2 rooms 4"),
            "{refused}"
        );
    }
}
