//! The server's settings: what was given, where, and which of it counts.
//!
//! Strength, strongest first: a flag, a variable of the environment, the TOML file, the default. Flags and variables
//! are read by clap into the same [`Given`], so this file joins two layers and the defaults. It promises that a
//! wrong file is refused by the name of what is wrong in it; it opens nothing and starts nothing.

use std::{
    net::SocketAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tidegate::api::refusal::Refusal;

use crate::failure::Misuse;

/// Where the server listens unless told otherwise: this machine only.
pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:7420";
/// Where it keeps data unless told otherwise.
pub(crate) const DATA_DEFAULT: &str = "./tidegate-data";

/// One layer of settings: everything may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    /// Address and port to listen on [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,

    /// Directory that keeps the log; made if it is not there [default: ./tidegate-data]
    #[arg(long, value_name = "DIR", env = "TIDEGATE_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// Shards of a new data directory, one thread each; an existing directory keeps its own [default: 1]
    #[arg(long, value_name = "N", env = "TIDEGATE_SHARDS")]
    pub(crate) shards: Option<NonZeroU16>,

    /// What to log, such as `info` or `warn,tidegate_engine=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "TIDEGATE_LOG")]
    pub(crate) log: Option<String>,

    /// How to log: for people, or one JSON object a line [default: text]
    #[arg(long, value_name = "FORMAT", env = "TIDEGATE_LOG_FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,
}

/// The names of the file's keys, for the message about a wrong one.
const KEYS: [&str; 5] = ["listen", "data", "shards", "log", "log_format"];

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings that count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    /// None means: as many as the data directory has, or one in a new one.
    pub(crate) shards: Option<NonZeroU16>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
}

/// Joins what flags and environment gave with the file, if there is one, and the defaults.
pub(crate) fn resolve(given: Given, file: Option<&Path>) -> anyhow::Result<Settings> {
    let under = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Misuse(format!("cannot read the settings file {}: {error}", path.display()))
            })?;
            parse(&text).map_err(|why| Misuse(format!("{}: {why}", path.display())))?
        }
        None => Given::default(),
    };
    Ok(join(given, under))
}

pub(crate) fn join(over: Given, under: Given) -> Settings {
    Settings {
        listen: over.listen.or(under.listen).unwrap_or_else(|| LISTEN_DEFAULT.parse().expect("an address")),
        data: over.data.or(under.data).unwrap_or_else(|| DATA_DEFAULT.into()),
        shards: over.shards.or(under.shards),
        log: over.log.or(under.log).unwrap_or_else(|| "info".into()),
        log_format: over.log_format.or(under.log_format).unwrap_or(LogFormat::Text),
    }
}

/// Reads a settings file, or says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Given, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
    let unknown = table.keys().find(|key| !KEYS.contains(&key.as_str()));
    if let Some(key) = unknown {
        let hint = match Refusal::unknown_field(key, KEYS.into_iter()).nearest {
            Some(nearest) => format!("did you mean {nearest:?}?"),
            None => format!("there are: {}", KEYS.join(", ")),
        };
        return Err(format!("there is no setting {key:?}; {hint}"));
    }
    // A second reading of the text, so that a wrong value is shown with its line.
    toml::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let message = parse(text).expect_err("a wrong file");
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }

    #[test]
    fn every_key_of_the_file_is_known_by_name() {
        let text = "listen = '0.0.0.0:1'\ndata = '/d'\nshards = 2\nlog = 'warn'\nlog_format = 'json'";
        let given = parse(text).expect("a right file");
        let Given { listen: Some(_), data: Some(_), shards: Some(_), log: Some(_), log_format: Some(_) } =
            given
        else {
            panic!("a key was lost: {given:?}")
        };
        assert_eq!(toml::from_str::<toml::Table>(text).expect("TOML").len(), KEYS.len());
    }

    #[test]
    fn a_wrong_key_is_named_with_the_nearest_known_one() {
        check_refused("lisen = '127.0.0.1:1'", r#"there is no setting "lisen"; did you mean "listen"?"#);
        check_refused("colour = 1", "there are: listen, data, shards, log, log_format");
    }

    #[test]
    fn a_wrong_value_is_shown_with_its_line() {
        check_refused("data = '/d'\nshards = 0", "line 2");
        check_refused("listen = 'here'", "line 1");
        check_refused("log_format = 'xml'", "text");
        check_refused("listen", "line 1");
    }

    #[test]
    fn the_file_is_under_what_was_given_and_over_the_defaults() {
        let file = parse("listen = '127.0.0.1:1'\ndata = '/file'").expect("a right file");
        let given = Given { data: Some("/flag".into()), ..Given::default() };
        let settings = join(given, file);
        assert_eq!(settings.listen.port(), 1);
        assert_eq!(settings.data, Path::new("/flag"));
        assert_eq!(settings.shards, None);
    }
}
