//! What is done to the portal while students click: it is killed and started again, and the fee ledger goes down for a
//! while.
//!
//! Each act has its moment in the plan, and they are carried out one after the other: an act whose moment comes while
//! the portal is still away waits until it is back.

use std::time::{Duration, Instant};

use app_kit::{duration, engine_server::EngineServer, program::note};
use enrollment::downstream::System;
use tokio::time::sleep_until;

use super::{plan::Plan, portal::Portal};

/// The system that goes down.
const FAILING: System = System::Fee;
/// It goes down when this much of the rush is over.
const OUTAGE_AT: f64 = 0.25;

/// What happened to the portal, in time since the run began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    /// When something was killed, and when it answered again.
    pub(crate) kills: Vec<(Duration, Duration)>,
    pub(crate) outage: Option<(Duration, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Kill,
    Down,
    Up,
}

/// Does to the portal, at the right moments, what was asked for.
pub(crate) async fn act(
    portal: &mut Portal,
    mut engine: Option<&mut EngineServer>,
    plan: &Plan,
    kills: usize,
    outage: Duration,
    start: Instant,
) -> anyhow::Result<Events> {
    let mut acts: Vec<_> = plan.moments("kills", kills).into_iter().map(|at| (at, Act::Kill)).collect();
    if !outage.is_zero() {
        let (from, to) = plan.rush();
        let at = from + (to - from).mul_f64(OUTAGE_AT);
        acts.extend([(at, Act::Down), (at + outage, Act::Up)]);
    }
    acts.sort_by_key(|(at, _)| *at);

    let mut events = Events::default();
    let mut down_since = None;
    for (at, act) in acts {
        tokio::select! {
            () = sleep_until((start + at).into()) => {}
            error = portal.ended() => return Err(error),
        }
        match act {
            Act::Kill => {
                let killed_at = start.elapsed();
                // Two processes die in turn, the queue server first.
                let name = match &mut engine {
                    Some(engine) if events.kills.len().is_multiple_of(2) => {
                        engine.kill_and_restart().await?;
                        "the queue server"
                    }
                    _ => {
                        portal.kill_and_restart().await?;
                        if down_since.is_some() {
                            // A drill's outage is forgotten with the process.
                            set(portal, "down").await?;
                        }
                        "the portal"
                    }
                };
                let back_at = start.elapsed();
                note(&format!("killed {name}; it was back after {}", duration::span(back_at - killed_at)));
                events.kills.push((killed_at, back_at));
            }
            Act::Down => {
                set(portal, "down").await?;
                down_since = Some(start.elapsed());
                note("the fee ledger is down");
            }
            Act::Up => {
                set(portal, "up").await?;
                events.outage = down_since.take().map(|since| (since, start.elapsed()));
                note("the fee ledger is up again");
            }
        }
    }
    Ok(events)
}

async fn set(portal: &Portal, state: &str) -> anyhow::Result<()> {
    portal.caller.post(&format!("/api/downstream/{FAILING}"), &format!(r#"{{"state":"{state}"}}"#)).await
}
