//! The portal's life: open what it needs, serve, and end in order.

use crate::ServeArgs;

/// Runs the portal until it is told to stop.
///
/// # Errors
/// What it needs cannot be had.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    anyhow::bail!("the portal at {} is not built yet", args.listen)
}
