//! `tidegate completions`: lets a shell complete commands and options.

use clap::CommandFactory;

use crate::{
    args::Cli,
    output::{Out, Style},
};

const EXAMPLES: &str = "\
Examples:
  tidegate completions bash > /etc/bash_completion.d/tidegate
  tidegate completions zsh  > \"${fpath[1]}/_tidegate\"
  tidegate completions fish > ~/.config/fish/completions/tidegate.fish";

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell that will read it
    shell: clap_complete::Shell,
}

/// Prints the script.
pub(crate) fn run(args: Args, style: Style) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    let mut out = Out::new(style);
    out.raw(&script)?;
    Ok(out.finish()?)
}
