//! `tidegate pool`: what is scarce, who has it, who waits for it.

mod configure;
mod delete;
pub(super) mod grant;
mod grants;
mod holder;
mod line;
mod list;
mod show;
mod verify_opening;
mod watch;
mod wish;

use tidegate::Client;

use crate::failure::Misuse;
use crate::output::{Out, Style};

/// Make pools of what is scarce, give units out, follow who has what
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(list::Args),
    Show(show::Args),
    Configure(configure::Args),
    Resize(configure::ResizeArgs),
    Delete(delete::Args),
    Hold(wish::HoldArgs),
    Take(wish::TakeArgs),
    Join(wish::JoinArgs),
    Leave(wish::LeaveArgs),
    Confirm(grant::ConfirmArgs),
    Extend(grant::ExtendArgs),
    Release(grant::ReleaseArgs),
    Swap(grant::SwapArgs),
    Grants(grants::Args),
    Line(line::Args),
    Holder(holder::Args),
    Watch(watch::Args),
    VerifyOpening(verify_opening::Args),
}

/// A key under which a change is done once.
#[derive(Debug, clap::Args)]
pub(super) struct Keyed {
    /// Sent again with the same key, it is not done twice
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Keyed {
    /// The client that says the key.
    pub(super) fn client(&self, client: &Client) -> anyhow::Result<Client> {
        match &self.idempotency_key {
            Some(key) => client.with_idempotency_key(key).map_err(|error| Misuse::error(error.to_string())),
            None => Ok(client.clone()),
        }
    }
}

/// Runs one of them.
pub(crate) async fn run(command: Command, client: Client, style: Style) -> anyhow::Result<()> {
    let mut out = Out::new(style);
    let outcome = match command {
        Command::List(args) => list::run(args, &client, &mut out).await,
        Command::Show(args) => show::run(args, &client, &mut out).await,
        Command::Configure(args) => configure::run(args, &client, &mut out).await,
        Command::Resize(args) => configure::resize(args, &client, &mut out).await,
        Command::Delete(args) => delete::run(args, &client, &mut out).await,
        Command::Hold(args) => wish::hold(args, &client, &mut out).await,
        Command::Take(args) => wish::take(args, &client, &mut out).await,
        Command::Join(args) => wish::join(args, &client, &mut out).await,
        Command::Leave(args) => wish::leave(args, &client, &mut out).await,
        Command::Confirm(args) => grant::confirm(args, &client, &mut out).await,
        Command::Extend(args) => grant::extend(args, &client, &mut out).await,
        Command::Release(args) => grant::release(args, &client, &mut out).await,
        Command::Swap(args) => grant::swap(args, &client, &mut out).await,
        Command::Grants(args) => grants::run(args, &client, &mut out).await,
        Command::Line(args) => line::run(args, &client, &mut out).await,
        Command::Holder(args) => holder::run(args, &client, &mut out).await,
        Command::Watch(args) => watch::run(args, &client, &mut out).await,
        Command::VerifyOpening(args) => verify_opening::run(args, &client, &mut out).await,
    };
    out.finish()?;
    outcome
}
