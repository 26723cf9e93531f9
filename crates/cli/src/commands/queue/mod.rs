//! `tidegate queue`: queues and their dead jobs.

mod configure;
mod dead;
mod delete_dead;
mod list;
mod pause;
mod redrive;
mod show;

use tidegate::{
    Client,
    api::{
        id::{CauseId, JobId},
        time::Timestamp,
        value::Text,
        words::EndReason,
    },
};

use super::word;
use crate::output::{Out, Style};

/// Look at queues, configure and pause them, deal with their dead jobs
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Configure(configure::Args),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    Dead(dead::Args),
    Redrive(redrive::Args),
    DeleteDead(delete_dead::Args),
}

/// Runs one of them.
pub(crate) async fn run(command: Command, client: Client, style: Style) -> anyhow::Result<()> {
    let mut out = Out::new(style);
    let outcome = match command {
        Command::List(args) => list::run(args, &client, &mut out).await,
        Command::Show(args) => show::run(args, &client, &mut out).await,
        Command::Configure(args) => configure::run(args, &client, &mut out).await,
        Command::Pause(args) => pause::pause(args, &client, &mut out).await,
        Command::Resume(args) => pause::resume(args, &client, &mut out).await,
        Command::Dead(args) => dead::run(args, &client, &mut out).await,
        Command::Redrive(args) => redrive::run(args, &client, &mut out).await,
        Command::DeleteDead(args) => delete_dead::run(args, &client, &mut out).await,
    };
    out.finish()?;
    outcome
}

/// Which of a queue's dead jobs are meant: all parts that are given must hold.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DeadFilter {
    /// Only this job; may be repeated
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<JobId>,

    /// Only jobs of this kind
    #[arg(long)]
    kind: Option<String>,

    /// Only jobs that died of this cause, as `queue dead --causes` names it
    #[arg(long)]
    cause: Option<CauseId>,

    /// Only jobs that died for this reason
    #[arg(long, value_parser = word(EndReason::WORDS, EndReason::from_word))]
    reason: Option<EndReason>,

    /// Only jobs that died before this time, such as 2026-11-22T13:00:00Z
    #[arg(long, value_name = "TIME", value_parser = super::timestamp)]
    before: Option<Timestamp>,
}

impl DeadFilter {
    fn ids(&self) -> Option<Vec<JobId>> {
        (!self.ids.is_empty()).then(|| self.ids.clone())
    }

    fn kind(&self) -> Option<Text<'static>> {
        self.kind.clone().map(Text::from)
    }
}
