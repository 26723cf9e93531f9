//! `enrollment day`: everyone arrives at the opening, and at the end everything is accounted for.
//!
//! The story of a day: a portal is started as a process of its own, with whatever its strategy needs. Students arrive,
//! look again and again, and click, often twice; meanwhile the portal is killed and started again, and the fee ledger is
//! down for a while. When everybody has gone home and nothing is left to do downstream, the portal is killed once more,
//! and what it then still knows, and what the three systems' books say, is held against what the students were told.
//!
//! It promises that a latency runs from the press of a button, that a click counts once however often it was sent, and
//! that it fails if anybody is oversold, doubled, half enrolled or lost. It compares nothing with earlier days.

mod act;
mod answer;
mod args;
mod audit;
mod chart;
mod compare;
mod ends;
mod lines;
mod load;
mod plan;
mod portal;
mod progress;
mod report;
mod servers;
#[cfg(test)]
mod strategies_tests;

use std::{
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    mem,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use app_kit::{
    cpu, duration,
    engine_server::EngineServer,
    program::{note, unless_interrupted},
    words::{Style, thousands},
};
use enrollment::{catalogue::Catalogue, seats::Strategy};
use tokio::{sync::oneshot, time::sleep};

pub(crate) use self::args::Args;
use self::{
    act::Events,
    audit::Verdict,
    chart::Drawing,
    ends::{Account, Doing},
    load::{Load, Tally},
    plan::Plan,
    portal::Portal,
    progress::Progress,
    report::{Cpu, Figures, Report, Span},
    servers::{Postgres, Redis},
};

/// Between the portal's being told of the opening and the first arrival.
const LEAD: Duration = Duration::from_secs(1);
/// Between two looks at whether all is done downstream.
const QUIET_EVERY: Duration = Duration::from_millis(250);

/// Lives through a day, or one for each strategy. The exit code is 1 if anything was not as it should be.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    // One thread is all students, so that the portal has the rest of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Removed when everything has been said.
    let temporary = match &args.data {
        Some(_) => None,
        // PostgreSQL does not run as root, and whoever it runs as must find its data.
        None => Some(
            tempfile::Builder::new()
                .prefix("enrollment-day-")
                .permissions(fs::Permissions::from_mode(0o755))
                .tempdir_in(".")?,
        ),
    };
    let data = match (&args.data, &temporary) {
        (Some(data), _) => data.as_path(),
        (None, Some(temporary)) => temporary.path(),
        (None, None) => unreachable!("one of the two is there"),
    };
    let data = std::path::absolute(data)?;
    let strategies = if args.compare { compare::ALL.to_vec() } else { vec![args.strategy] };
    for chart in strategies.iter().filter_map(|strategy| args.chart_of(*strategy)) {
        // A day is long, and whoever cannot be shown it at its end is told at its beginning.
        let file = fs::OpenOptions::new().create(true).append(true).open(&chart);
        file.with_context(|| format!("the chart cannot be written to {}", chart.display()))?;
    }
    // Whatever ends the day, the processes it started and its directory go with it.
    let reports = runtime.block_on(unless_interrupted(live(&args, &strategies, &data)))?;
    let style = Style::of_stdout();
    let shown = match (args.json, args.compare, &reports[..]) {
        (true, true, _) => serde_json::to_string_pretty(&reports)? + "\n",
        (true, false, [report]) => serde_json::to_string_pretty(report)? + "\n",
        (false, true, _) => compare::table(&reports, style),
        _ => reports.iter().map(|report| report.text(style)).collect(),
    };
    io::stdout().lock().write_all(shown.as_bytes())?;
    let good = match args.compare {
        true => compare::is_good(&reports),
        false => reports.iter().all(Report::is_good),
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn live(args: &Args, strategies: &[Strategy], data: &Path) -> anyhow::Result<Vec<Report>> {
    let catalogue = Catalogue::generate(args.seed, args.sections as usize, args.students as usize);
    let plan = Plan::new(&catalogue, args.shape());
    let mut reports = Vec::new();
    for strategy in strategies {
        let data = data.join(compare::name(*strategy));
        let day = Day { args, strategy: *strategy, catalogue: &catalogue, plan: &plan, data: &data };
        let report = day.live().await.with_context(|| compare::name(*strategy))?;
        if args.compare && !args.json {
            // The table comes last; whoever waits for it sees each as it ends.
            note(&report.text(Style::PLAIN));
        }
        reports.push(report);
    }
    Ok(reports)
}

/// One day with one strategy.
struct Day<'a> {
    args: &'a Args,
    strategy: Strategy,
    catalogue: &'a Catalogue,
    plan: &'a Plan,
    data: &'a Path,
}

/// What a strategy needs beside the portal.
#[derive(Default)]
struct Servers {
    postgres: Option<Postgres>,
    redis: Option<Redis>,
    engine: Option<EngineServer>,
}

impl Servers {
    /// Processor time used so far.
    fn cpu(&self) -> Duration {
        let postgres = self.postgres.as_ref().and_then(|server| cpu::used_by_family(server.id()));
        let redis = self.redis.as_ref().and_then(|server| cpu::used(server.id()));
        let engine = self.engine.as_ref().and_then(EngineServer::cpu);
        postgres.unwrap_or_default() + redis.unwrap_or_default() + engine.unwrap_or_default()
    }

    fn words(&self) -> Vec<String> {
        let postgres = self.postgres.as_ref().map(|server| server.setting.clone());
        postgres.into_iter().chain(self.redis.as_ref().map(|server| server.setting.clone())).collect()
    }
}

/// Processor time of everybody at one moment.
#[derive(Debug, Clone, Copy)]
struct Usage {
    at: Instant,
    load: Duration,
    portal: Duration,
    servers: Duration,
}

impl Usage {
    fn of(portal: &Portal, servers: &Servers) -> Usage {
        let load = cpu::used(std::process::id()).unwrap_or_default();
        Usage { at: Instant::now(), load, portal: portal.cpu(), servers: servers.cpu() }
    }

    fn cores_until(&self, later: &Usage) -> Cpu {
        let wall = (later.at - self.at).as_secs_f64().max(1e-3);
        let cores = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / wall;
        Cpu {
            load_cores: cores(self.load, later.load),
            portal_cores: cores(self.portal, later.portal),
            servers_cores: cores(self.servers, later.servers),
        }
    }
}

impl Day<'_> {
    async fn live(&self) -> anyhow::Result<Report> {
        fs::create_dir_all(self.data).with_context(|| format!("cannot make {}", self.data.display()))?;
        let mut servers = self.start_servers().await?;
        let mut portal = Portal::start(self.data, self.portal_arguments(&servers)).await?;
        self.announce();

        let start = Instant::now() + LEAD;
        self.open_at(&portal, SystemTime::now() + LEAD + self.plan.shape.opens).await?;
        let connections = usize::from(self.args.connections);
        let run = format!("day-{:08x}", RandomState::new().build_hasher().finish() as u32);
        let load =
            Load::new(self.plan.clone(), self.catalogue, run, portal.caller.address, connections, start);
        let progress = Progress::start(compare::name(self.strategy), portal.caller, load.clone(), start);
        let before = Usage::of(&portal, &servers);
        let events = self.load_and_act(&load, &mut portal, servers.engine.as_mut(), start).await?;
        let cpu = before.cores_until(&Usage::of(&portal, &servers));

        let mut failures = Vec::new();
        let loaded = Instant::now();
        let quiet_after_ms =
            self.until_quiet(&mut portal).await?.then(|| loaded.elapsed().as_millis() as u64);
        let contention = progress.stop();
        let tally = mem::take(&mut *load.tally());
        let verdict = self.audit(&mut portal, &tally, &mut failures).await;
        let verdict = verdict.map_err(|error| failures.push(format!("no audit: {error:#}"))).ok();
        if quiet_after_ms.is_none() {
            let patience = duration::write(self.args.quiet_timeout);
            failures.push(format!("not all was done downstream within {patience}"));
        }
        failures.extend(portal.end().await?);

        let mut report = Report {
            strategy: self.strategy,
            servers: servers.words(),
            students: self.args.students,
            sections: self.args.sections,
            seed: self.args.seed,
            cores: cpu::cores(),
            figures: Figures::of(&tally, &events, self.plan.shape.opens),
            retries: tally.retries.clone(),
            contention,
            kills: events.kills.iter().copied().map(Span::of).collect(),
            outage: events.outage.map(Span::of),
            quiet_after_ms,
            cpu,
            verdict,
            failures,
            examples: tally.examples.clone(),
            chart: None,
        };
        if let Some(file) = self.args.chart_of(self.strategy) {
            let svg = chart::draw(&self.drawing(&report, &tally, &events));
            fs::write(&file, svg).with_context(|| format!("cannot write {}", file.display()))?;
            report.chart = Some(file.display().to_string());
        }
        Ok(report)
    }

    fn announce(&self) {
        let clicks: usize = self.plan.visits.iter().map(|visit| visit.aims.len()).sum();
        note(&format!(
            "{}: {} students want {} seats in {} sections, half of them within {} of the opening; --seed {}",
            compare::name(self.strategy),
            thousands(u64::from(self.args.students)),
            thousands(clicks as u64),
            self.args.sections,
            duration::span(self.plan.shape.within / 6),
            self.args.seed,
        ));
    }

    async fn start_servers(&self) -> anyhow::Result<Servers> {
        let mut servers = Servers::default();
        if self.strategy == Strategy::Tidegate {
            if self.args.split {
                servers.engine = Some(EngineServer::start(self.args.tidegate.as_deref(), self.data).await?);
            }
            return Ok(servers);
        }
        servers.postgres = Some(Postgres::start(self.data).await?);
        if self.strategy == Strategy::RedisLock {
            servers.redis = Some(Redis::start(self.data).await?);
        }
        Ok(servers)
    }

    fn portal_arguments(&self, servers: &Servers) -> Vec<String> {
        let mut arguments = self.args.portal_arguments(self.strategy);
        for (option, url) in [
            ("--postgres", servers.postgres.as_ref().map(|server| server.url().to_owned())),
            ("--redis", servers.redis.as_ref().map(Redis::url)),
            ("--server", servers.engine.as_ref().map(EngineServer::url)),
        ] {
            arguments.extend(url.into_iter().flat_map(|url| [option.to_owned(), url]));
        }
        arguments
    }

    async fn open_at(&self, portal: &Portal, moment: SystemTime) -> anyhow::Result<()> {
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
        let body = format!(r#"{{"opens_at":{},"shuffle":false}}"#, since.as_millis());
        portal.caller.post("/api/registrar/openings", &body).await
    }

    /// Lives all visits, and does to the portal what is to be done meanwhile. Fails if the portal ends by itself.
    async fn load_and_act(
        &self,
        load: &Load,
        portal: &mut Portal,
        engine: Option<&mut EngineServer>,
        start: Instant,
    ) -> anyhow::Result<Events> {
        let (loading, loaded) = oneshot::channel::<()>();
        let load = async {
            load.run().await;
            drop(loading);
            Ok(())
        };
        let acts = async {
            let kills = usize::from(self.args.kill);
            let events = act::act(portal, engine, self.plan, kills, self.args.outage, start).await?;
            tokio::select! {
                _ = loaded => Ok(events),
                error = portal.ended() => Err(error),
            }
        };
        let ((), events) = tokio::try_join!(load, acts)?;
        Ok(events)
    }

    /// Waits until nothing is left to do downstream; `false` if that takes too long.
    async fn until_quiet(&self, portal: &mut Portal) -> anyhow::Result<bool> {
        let start = Instant::now();
        // Counts are of a moment ago, and may miss what followed from the last click: all must be done twice.
        let mut was_done = false;
        loop {
            let doing: Doing = portal.caller.get("/api/registrar/day").await?;
            if doing.is_done() && was_done {
                return Ok(true);
            }
            was_done = doing.is_done();
            if start.elapsed() > self.args.quiet_timeout {
                return Ok(false);
            }
            tokio::select! {
                () = sleep(QUIET_EVERY) => {}
                error = portal.ended() => return Err(error),
            }
        }
    }

    /// Kills the portal once more, and holds what it knows then, and what the books say, against what students heard.
    async fn audit(
        &self,
        portal: &mut Portal,
        tally: &Tally,
        failures: &mut Vec<String>,
    ) -> anyhow::Result<Verdict> {
        portal.kill_and_restart().await?;
        let account: Account = portal.caller.get("/api/audit").await?;
        if account.dead_jobs > 0 {
            failures.push(format!("{} jobs were given up", account.dead_jobs));
        }
        let world = ends::world(self.catalogue, tally.clicks.clone(), &account, self.data).await?;
        Ok(audit::audit(&world))
    }

    fn drawing<'a>(&self, report: &Report, tally: &'a Tally, events: &'a Events) -> Drawing<'a> {
        let clicks = &report.figures.clicks_outside_kills;
        let title = format!(
            "{} students at once: {} enrolled, p99 of a click {} outside the kills",
            thousands(u64::from(self.args.students)),
            thousands(report.figures.enrolments),
            duration::latency(clicks.p99_us),
        );
        let verdict = match &report.verdict {
            Some(verdict) => verdict
                .kinds()
                .iter()
                .map(|(kind, findings)| format!("{kind} {}", thousands(findings.count)))
                .collect::<Vec<_>>()
                .join(", "),
            None => "no audit".to_owned(),
        };
        let subtitle = format!(
            "{} · {} sections · {} clicks, {} looks · {} cores, the students' included · {verdict}",
            compare::name(self.strategy),
            self.args.sections,
            thousands(report.figures.clicks.count),
            thousands(report.figures.looks.count),
            report.cores,
        );
        Drawing {
            title,
            subtitle,
            arrivals: self.plan.visits.iter().map(|visit| visit.arrives).collect(),
            enrolled: &tally.enrolled,
            timed: &tally.timed,
            opens: self.plan.shape.opens,
            events,
        }
    }
}
