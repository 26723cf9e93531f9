//! `tidegate pool holder`: one holder's whole story.

use tidegate::Client;
use tidegate::api::pool::holder::StoryEntry;

use super::grant::{show, show_waiting};
use crate::output::{Out, Paint};

/// Tell one holder's whole story: what it has, waits for, and what happened
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool holder anna")]
pub(crate) struct Args {
    /// The holder
    holder: String,
}

/// Tells it.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let story = client.holder(&args.holder).await?;
    if out.style().is_json() {
        out.json(&story)?;
        return Ok(());
    }
    for grant in &story.grants {
        show(grant, out)?;
    }
    for waiting in &story.waiting {
        show_waiting(waiting, out)?;
    }
    for entry in &story.story {
        out.line(told(entry, out))?;
    }
    if story.grants.is_empty() && story.waiting.is_empty() && story.story.is_empty() {
        out.line(format!("nothing is known of {}", args.holder))?;
    }
    Ok(())
}

/// One line of the story.
fn told(entry: &StoryEntry, out: &Out) -> String {
    let mut line = format!("{}  {}", out.style().paint(Paint::Faint, &entry.at.to_string()), entry.what);
    let asked = entry.asked.map(|asked| asked.to_string());
    for part in [asked, entry.pool.clone(), entry.grant.map(|id| id.to_string())].into_iter().flatten() {
        line.push(' ');
        line.push_str(&part);
    }
    if let Some(error) = &entry.error {
        line.push_str(&format!(": {}", error.detail));
    }
    if !entry.jobs.is_empty() {
        let jobs: Vec<String> = entry.jobs.iter().map(ToString::to_string).collect();
        line.push_str(&format!(" (jobs {})", jobs.join(", ")));
    }
    line
}
