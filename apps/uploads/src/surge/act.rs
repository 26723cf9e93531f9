//! What is done to the service while uploads come in: workers are ended, the service itself is killed.
//!
//! Each act has its moment in the plan, and they are carried out one after the other: an act whose moment comes while
//! the service is still away waits until it is back.

use std::time::{Duration, Instant};

use app_kit::{cpu, duration, engine_server::EngineServer, program::note};
use tokio::time::sleep_until;

use super::{
    Args,
    plan::{self, Phase, Plan},
    service::Service,
    usage::Usage,
};

/// What happened to the service while uploads came in.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) kills: Vec<(Duration, Duration)>,
    pub(crate) workers_away: Option<(Duration, Duration)>,
    /// Processor time of generator and service as the surge began and ended.
    pub(crate) surge_cpu: Vec<Usage>,
}

/// What is done to the service, and when.
#[derive(Debug, Clone, Copy)]
enum Act {
    SurgeBegins,
    Kill,
    SurgeEnds,
}

/// Does to the service, at the right moments, what was asked for.
pub(crate) async fn act(
    service: &mut Service,
    mut engine: Option<&mut EngineServer>,
    args: &Args,
    plan: &Plan,
    seed: u64,
    start: Instant,
) -> anyhow::Result<Events> {
    let surge = plan.span(Phase::Surge);
    let kills = plan::chance_moments(seed, usize::from(args.kill), surge);
    let mut acts = vec![(surge.0, Act::SurgeBegins)];
    acts.extend(kills.into_iter().map(|at| (at, Act::Kill)));
    acts.push((surge.1, Act::SurgeEnds));

    let mut events = Events::default();
    let mut workers_ended_at = None;
    for (at, act) in acts {
        tokio::select! {
            () = sleep_until((start + at).into()) => {}
            error = service.ended() => return Err(error),
        }
        match act {
            Act::SurgeBegins => {
                events.surge_cpu.push(usage(service));
                if args.kill_workers {
                    workers_ended_at = Some(start.elapsed());
                    service.admin.set_workers(false).await?;
                }
            }
            Act::Kill => {
                let killed_at = start.elapsed();
                // Two processes die in turn, the queue server first.
                let name = match &mut engine {
                    Some(engine) if events.kills.len().is_multiple_of(2) => {
                        engine.kill_and_restart().await?;
                        "the queue server"
                    }
                    _ => {
                        service.kill_and_restart().await?;
                        if args.kill_workers {
                            // A service that has just started has its workers again.
                            service.admin.set_workers(false).await?;
                        }
                        "the service"
                    }
                };
                let back_at = start.elapsed();
                note(&format!("killed {name}; it was back after {}", duration::span(back_at - killed_at)));
                events.kills.push((killed_at, back_at));
            }
            Act::SurgeEnds => {
                events.surge_cpu.push(usage(service));
                if let Some(ended_at) = workers_ended_at {
                    service.admin.set_workers(true).await?;
                    events.workers_away = Some((ended_at, start.elapsed()));
                }
            }
        }
    }
    Ok(events)
}

/// Processor time of this process and the service so far.
pub(crate) fn usage(service: &Service) -> Usage {
    Usage { at: Instant::now(), generator: cpu::used(std::process::id()), service: service.cpu() }
}
