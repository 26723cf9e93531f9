//! `uploads surge`: sends a surge of uploads to the service, draws the backlog, and accounts for every upload.
//!
//! The story of a run: a service is started (or found), uploads come in calmly, then all at once, then calmly again;
//! meanwhile workers or the service itself may be killed. Then the backlog is worked off, and what was answered is
//! held against what came of it, from the service's own account and from the mails that lie in its directory.
//!
//! It promises that a figure it shows was measured from the moment an upload was due, that an upload counts once
//! however often it had to be sent, and that it fails if one of them is missing, doubled or made up. It compares
//! nothing with earlier runs.

mod account;
mod act;
mod admin;
mod args;
mod chart;
mod id;
mod load;
mod mails;
mod names;
mod pictures;
mod plan;
mod report;
mod request;
mod sample;
mod service;
mod usage;

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use app_kit::{
    cpu, duration,
    engine_server::EngineServer,
    program::{note, unless_interrupted},
    words::{Style, thousands},
};
use tokio::{sync::oneshot, time::timeout};

pub(crate) use self::args::Args;
use self::{
    account::{Account, Verdict},
    act::Events,
    chart::Drawing,
    load::{Load, Tally},
    names::Run,
    plan::{Phase, Plan},
    report::{Cpu, Drain, Kill, Report, Retries},
    request::Requests,
    sample::{Sample, Sampler},
    service::Service,
    usage::Usage,
};

/// Between the service's being ready and the start of the run.
const LEAD: Duration = Duration::from_millis(100);
/// Where the service's mails lie in its data directory.
const MAILDIR: &str = "mail";

/// Runs a surge as it was asked for. The exit code is 1 if anything was not as it should be.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(args.shape())?;
    // One thread sends everything, so that the service has the rest of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Removed when everything has been said.
    let temporary = match (&args.data, &args.url) {
        (None, None) => Some(tempfile::Builder::new().prefix("uploads-surge-").tempdir_in(".")?),
        _ => None,
    };
    let data = args.data.clone().or_else(|| temporary.as_ref().map(|directory| directory.path().to_owned()));
    // Whatever ends the run, the service it started and its directory go with it.
    let report = runtime.block_on(unless_interrupted(measure(&args, &plan, data, temporary.is_some())))?;
    let shown = match args.json {
        true => serde_json::to_string_pretty(&report)? + "\n",
        false => report.text(Style::of_stdout()),
    };
    io::stdout().lock().write_all(shown.as_bytes())?;
    if let Some(temporary) = temporary {
        // A file system takes longer to forget a hundred thousand mails than the service took to write them.
        if report.accepted > 10_000 {
            note("removing the run's directory; --data DIR keeps it");
        }
        drop(temporary);
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a run is made with.
struct Surge<'a> {
    args: &'a Args,
    plan: &'a Plan,
    run: Run,
    seed: u64,
    images: usize,
    service: Service,
    /// The queue server, if it is a process of its own.
    engine: Option<EngineServer>,
    /// The service's data directory, if it is known.
    data: Option<PathBuf>,
    /// What the service had before.
    before: HashSet<String>,
    /// No mail was there before.
    fresh: bool,
}

/// `new` says that the data directory was made for this run.
async fn measure(args: &Args, plan: &Plan, data: Option<PathBuf>, new: bool) -> anyhow::Result<Report> {
    let pictures = match &args.images {
        Some(directory) => pictures::read(directory)?,
        None => pictures::make()?,
    };
    let images = pictures.len();
    // Better known now than after ten minutes.
    let out = OpenOptions::new().create(true).append(true).open(&args.out);
    out.with_context(|| format!("cannot write {}", args.out.display()))?;
    let (number, seed) = chance();
    let run = Run::new(number);
    let engine = match &data {
        Some(data) if args.split => {
            make_directory(data)?;
            Some(EngineServer::start(args.tidegate.as_deref(), data).await?)
        }
        _ => None,
    };
    let service = open_service(args, data.as_deref(), engine.as_ref()).await?;
    let fresh = new || is_without_mail(data.as_deref(), &run)?;
    let mut before = HashSet::new();
    service
        .admin
        .account(|entry| {
            before.insert(entry.id);
        })
        .await?;

    let host = service.admin.host().to_owned();
    let requests = Requests::new(run.clone(), &host, pictures);
    let seed = args.seed.unwrap_or(seed);
    let surge = Surge { args, plan, run, seed, images, service, engine, data, before, fresh };
    surge.announce(&host);
    surge.carry_out(requests).await
}

fn make_directory(data: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))
}

async fn open_service(
    args: &Args,
    data: Option<&Path>,
    engine: Option<&EngineServer>,
) -> anyhow::Result<Service> {
    if let Some(url) = &args.url {
        return Service::given(url).await;
    }
    let data = data.context("a service of our own has a directory")?.to_owned();
    make_directory(&data)?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("cannot find this program's own file")?,
    };
    let mut arguments = args.service_arguments();
    if let Some(engine) = engine {
        arguments.extend(["--server".to_owned(), engine.url()]);
    }
    Service::start(program, data, arguments).await
}

impl Surge<'_> {
    fn announce(&self, host: &str) {
        let (from, to) = self.plan.span(Phase::Surge);
        note(&format!(
            "{} uploads to {host}: {}/s, from {} s to {} s {}/s; {} images, {} connections{}",
            thousands(self.plan.uploads() as u64),
            thousands(u64::from(self.args.base)),
            from.as_secs_f64(),
            to.as_secs_f64(),
            thousands(u64::from(self.args.peak)),
            self.images,
            self.args.connections,
            if self.args.kill > 0 { format!("; --seed {}", self.seed) } else { String::new() },
        ));
    }

    async fn carry_out(mut self, requests: Requests) -> anyhow::Result<Report> {
        let start = Instant::now() + LEAD;
        let load = Load::new(self.plan.clone(), start, self.service.admin.address, requests);
        let mut sampler = Sampler::start(self.service.admin.clone(), load.clone(), self.plan.clone(), start);
        let cpu_before = self.cpu();
        let connections = usize::from(self.args.connections);
        let (tally, events) = self.load_and_act(&load, connections, start).await?;
        let loaded = start.elapsed();
        let cpu = shares(self.plan, (cpu_before, self.cpu()), &events);
        drop(load);

        let drained = tokio::select! {
            drained = timeout(self.args.drain_timeout, sampler.worked_off(loaded)) => drained.is_ok(),
            error = self.service.ended() => return Err(error),
        };
        let samples = sampler.stop();
        let mut failures = Vec::new();
        if !drained {
            failures.push(format!(
                "the backlog was not worked off within {}",
                duration::write(self.args.drain_timeout)
            ));
        }
        let account = self.account(&tally).await;
        let account = account.map_err(|error| failures.push(format!("no account: {error:#}"))).ok();
        failures.extend(self.service.end().await?);

        let surge_end = self.plan.span(Phase::Surge).1;
        let nothing_waits = |sample: &&Sample| sample.at() >= surge_end && waiting(sample) == Some(0);
        let worked_off = samples.iter().find(nothing_waits).filter(|_| drained).map(Sample::at);
        let report = Report {
            run: self.run.name().to_owned(),
            cores: cpu::cores(),
            connections,
            images: self.images,
            seed: self.seed,
            phases: report::rows(self.plan, &tally),
            accepted: tally.accepted,
            retries: tally.retries.iter().map(|(cause, count)| Retries { cause, count: *count }).collect(),
            replayed: tally.replayed,
            examples: tally.examples,
            kills: events
                .kills
                .iter()
                .map(|(at, back)| Kill { at_ms: millis(*at), away_ms: millis(*back - *at) })
                .collect(),
            workers_away_ms: events.workers_away.map(|(from, to)| millis(to - from)),
            cpu,
            drain: Drain {
                worked_off_at_ms: worked_off.map(millis),
                after_surge_ms: worked_off
                    .map(|at| millis(at - surge_end))
                    .map(|ms| if ms < 250 { 0 } else { ms }),
                waiting_max: samples.iter().filter_map(waiting).max().unwrap_or(0),
            },
            account,
            failures,
            chart: self.args.out.display().to_string(),
            samples,
        };
        let svg = chart::draw(&drawing(&report, self.args, self.plan, &events));
        fs::write(&self.args.out, svg)
            .with_context(|| format!("cannot write {}", self.args.out.display()))?;
        Ok(report)
    }

    /// Sends everything, and does to the service what is to be done meanwhile. Fails if the service ends by itself.
    async fn load_and_act(
        &mut self,
        load: &Load,
        connections: usize,
        start: Instant,
    ) -> anyhow::Result<(Tally, Events)> {
        let (loading, loaded) = oneshot::channel::<()>();
        let load = async {
            let tally = load.run(connections).await;
            drop(loading);
            Ok(tally)
        };
        let acts = async {
            let events =
                act::act(&mut self.service, self.engine.as_mut(), self.args, self.plan, self.seed, start)
                    .await?;
            tokio::select! {
                _ = loaded => Ok(events),
                error = self.service.ended() => Err(error),
            }
        };
        tokio::try_join!(load, acts)
    }

    fn cpu(&self) -> Usage {
        act::usage(&self.service)
    }

    /// Holds what was answered against what came of it.
    async fn account(&mut self, tally: &Tally) -> anyhow::Result<Verdict> {
        let mut account = Account::new(&self.run, &tally.fates, mem::take(&mut self.before));
        self.service.admin.account(|entry| account.take(&entry)).await?;
        if let Some(data) = &self.data {
            account.take_mails(&mails::count(&data.join(MAILDIR), &self.run)?, self.fresh);
        }
        Ok(account.verdict())
    }
}

fn shares(plan: &Plan, (before, after): (Usage, Usage), events: &Events) -> Cpu {
    let (generator_cores, service_cores) = before.cores_until(&after);
    let (generator_cores_in_surge, service_cores_in_surge) = match &events.surge_cpu[..] {
        [begin, end] => begin.cores_until(end),
        _ => (None, None),
    };
    let seconds = (after.at - before.at).as_secs_f64();
    let generator_us_per_upload =
        generator_cores.map(|cores| cores * seconds * 1e6 / plan.uploads().max(1) as f64);
    Cpu {
        generator_cores,
        generator_us_per_upload,
        generator_cores_in_surge,
        service_cores,
        service_cores_in_surge,
    }
}

fn drawing<'a>(report: &'a Report, args: &Args, plan: &Plan, events: &'a Events) -> Drawing<'a> {
    let surge = report.phases.iter().find(|row| row.phase == Phase::Surge.name());
    let p99 = surge.map_or(0, |row| row.latency_us.p99);
    let span = |ms: u64| duration::span(Duration::from_millis(ms));
    let worked_off = match report.drain.after_surge_ms {
        Some(0) => "nothing left over".to_owned(),
        Some(ms) => format!("worked off {} later", span(ms)),
        None => "not worked off in time".to_owned(),
    };
    let title = format!(
        "{} uploads, {}/s at the peak: p99 {}, {worked_off}",
        thousands(report.accepted),
        thousands(u64::from(args.peak)),
        duration::latency(p99),
    );
    let mut subtitle = vec![
        "p99 from due to durably accepted".to_owned(),
        format!("{} cores, the load's included", report.cores),
    ];
    if let Some(slow) = args.slow_email {
        subtitle.push(format!("each email takes {}", duration::write(slow)));
    }
    if let Some(verdict) = &report.account {
        let (accounted, accepted) = (thousands(verdict.accounted), thousands(verdict.accepted));
        subtitle.push(format!("{accounted} of {accepted} accounted for"));
    }
    let mut surge_label = "surge".to_owned();
    if events.workers_away.is_some() {
        surge_label += ", all workers gone";
    }
    let worked_off = report.drain.worked_off_at_ms.zip(report.drain.after_surge_ms.filter(|ms| *ms > 0));
    Drawing {
        title,
        subtitle: subtitle.join(" · "),
        samples: &report.samples,
        offered: plan.rates(),
        surge: plan.span(Phase::Surge),
        surge_label,
        kills: &events.kills,
        worked_off: worked_off.map(|(at, after)| {
            (Duration::from_millis(at), format!("worked off {} after the surge", span(after)))
        }),
    }
}

/// Jobs of all queues that wait in a sample.
fn waiting(sample: &Sample) -> Option<u64> {
    sample.backlog.map(|backlog| backlog.waiting().iter().sum())
}

/// True if no mail lies there; a directory nobody knows is not looked into.
fn is_without_mail(data: Option<&Path>, run: &Run) -> anyhow::Result<bool> {
    let Some(data) = data else { return Ok(false) };
    let mails = mails::count(&data.join(MAILDIR), run)?;
    Ok(mails.others.is_empty() && mails.of_upload.is_empty())
}

/// A number for the run's name and one for its chances, different each time.
fn chance() -> (u32, u64) {
    // A hasher of the standard library is seeded by the system's chance, and nothing more is needed here.
    let seed = RandomState::new().build_hasher().finish();
    ((seed >> 32) as u32, seed & 0xffff_ffff)
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
