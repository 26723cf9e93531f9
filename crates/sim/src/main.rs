//! Runs seeds and says what was found.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tidegate_sim::difference::differences;
use tidegate_sim::run::panics_are_findings;
use tidegate_sim::shrink::{self, Shrunk, shrink};
use tidegate_sim::{Coverage, Ran, SEED_MAX, STEPS, STEPS_MAX, run_many, run_steps};

const USAGE: &str = "\
usage: tidegate-sim [--seed FIRST] [--seeds COUNT] [--steps COUNT] [--only STEPS] [--jobs COUNT] [--shrink SECONDS]
                    [--coverage] [--json]

  --seed FIRST      the first seed (1)
  --seeds COUNT     how many (1 with --seed, else 100)
  --steps COUNT     things that happen in each (4000)
  --only STEPS      only these of them, as 3,7-9: a history that was shrunk
  --jobs COUNT      seeds that run at a time (as many as there are processors)
  --shrink SECONDS  how long to look for a shorter history that shows the same (60; 0 not at all)
  --coverage        say what was never reached, with few seeds too
  --json            the summary as JSON, on standard output
  --help            this, and more
";

const HELP: &str = "\
tidegate-sim runs the real engine, its log and its recovery in a simulated world: the disk tears, fails and forgets, the
machine crashes at any moment, clocks jump, callers come late or leave. A naive twin says what everybody must hear and what
must be there afterwards. Whatever is otherwise is a finding.

A seed is a whole world: the same seed and steps (and the same program) give the same answers and the same bytes, on every
machine. The digest at the end says so: it is made of all answers and of the disk.

";

const EXAMPLES: &str = "
examples
  tidegate-sim                               a hundred worlds, in less than a minute
  tidegate-sim --seed 5000 --seeds 20000     others, for an hour or more
  tidegate-sim --seed 7 --steps 20000        one long history
  tidegate-sim --seed 7 --only 3,105-110     some of its steps: the command that a finding ends with

When something is found
  No other seed is begun. It looks for a shorter history that shows the same, and prints which fields differ, what happened
  before, in words, both sides whole, and one command that does it again.

It ends with 0 if nothing was found, with 1 if something was, and with 2 if it was asked something it does not understand.
docs/testing.md says what is simulated, who judges, and what is left out.
";

/// How often progress is told where nobody looks at it all the time.
const PROGRESS: Duration = Duration::from_secs(10);

struct Asked {
    seed: u64,
    seeds: u64,
    steps: u64,
    only: Option<Vec<u64>>,
    jobs: usize,
    shrink: Duration,
    coverage: bool,
    json: bool,
}

/// So many seeds ought to reach most of what there is.
const SEVERAL: u64 = 20;

/// What is asked for; none if that is help.
fn asked(mut words: impl Iterator<Item = String>) -> Result<Option<Asked>, String> {
    let (mut seed, mut seeds, mut steps, mut only) = (None, None, STEPS, None);
    let (mut coverage, mut json) = (false, false);
    let mut jobs = tidegate_sim::jobs();
    let mut seconds = 60;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number =
            |value: String| value.parse::<u64>().map_err(|_| format!("{word} needs a number, not {value}"));
        match word.as_str() {
            "--seed" => seed = Some(number(value()?)?),
            "--seeds" => seeds = Some(number(value()?)?),
            "--steps" => steps = number(value()?)?,
            "--only" => {
                let value = value()?;
                only = Some(shrink::read(&value).ok_or(format!("--only needs rising steps, not {value}"))?);
            }
            "--jobs" => jobs = number(value()?)?.max(1) as usize,
            "--shrink" => seconds = number(value()?)?,
            "--coverage" => coverage = true,
            "--json" => json = true,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("{word} means nothing here")),
        }
    }
    let seeds = seeds.unwrap_or(if seed.is_some() { 1 } else { 100 });
    let seed = seed.unwrap_or(1);
    if seeds == 0 {
        return Err("--seeds 0 would run nothing".into());
    }
    if seed.checked_add(seeds - 1).is_none_or(|last| last > SEED_MAX) {
        return Err(format!("the last seed there is is {SEED_MAX}: {seeds} from {seed} on go beyond it"));
    }
    if !(1..=STEPS_MAX).contains(&steps) {
        return Err(format!("--steps is from 1 to {STEPS_MAX}, not {steps}"));
    }
    if let Some(beyond) = only.iter().flatten().find(|step| !(1..=steps).contains(*step)) {
        return Err(format!("--only names step {beyond}, and there are {steps} (--steps)"));
    }
    let shrink = Duration::from_secs(seconds);
    Ok(Some(Asked { seed, seeds, steps, only, jobs, shrink, coverage, json }))
}

/// What all seeds together have come to.
#[derive(Default)]
struct Sum {
    coverage: Coverage,
    done: u64,
    /// Each world's digest, by its seed.
    digests: BTreeMap<u64, u64>,
    /// The lowest seed that found something.
    found: Option<Ran>,
    told_at: Duration,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            let _ = write!(io::stdout(), "{HELP}{USAGE}{EXAMPLES}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            let _ = write!(io::stderr(), "{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    panics_are_findings();
    let begun = Instant::now();
    let sum = run_all(&asked, begun);
    let seconds = begun.elapsed().as_secs_f64();
    let shrunk = sum.found.as_ref().filter(|_| !asked.shrink.is_zero()).map(|ran| shorten(&asked, ran));
    let summary = if asked.json {
        json(&asked, &sum, seconds, shrunk.as_ref())
    } else {
        text(&asked, &sum, seconds, shrunk.as_ref())
    };
    let _ = io::stdout().write_all(summary.as_bytes());
    if sum.found.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs the seeds, some at a time, until all are through or one has found something.
fn run_all(asked: &Asked, begun: Instant) -> Sum {
    let mut sum = Sum::default();
    let run = |seed| match &asked.only {
        Some(only) => run_steps(seed, asked.steps, only.iter().copied()),
        None => run_steps(seed, asked.steps, 1..=asked.steps),
    };
    run_many(asked.seed..asked.seed + asked.seeds, asked.jobs, run, |ran| {
        sum.coverage.add(&ran.coverage);
        sum.done += 1;
        if ran.found.is_none() {
            sum.digests.insert(ran.seed, ran.digest);
        }
        if ran.found.is_some() && sum.found.as_ref().is_none_or(|first| ran.seed < first.seed) {
            sum.found = Some(ran);
        }
        progress(&mut sum, asked, begun.elapsed());
        sum.found.is_none()
    });
    sum
}

fn progress(sum: &mut Sum, asked: &Asked, since: Duration) {
    let (done, all, seconds) = (sum.done, asked.seeds, since.as_secs_f64());
    let pace = done as f64 / seconds.max(0.001);
    let left = (all - done) as f64 / pace.max(0.001);
    let line = format!("{done} of {all} seeds, {seconds:.0} s, {pace:.1} seeds/s, {left:.0} s to go");
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r{line} ");
    } else if since >= sum.told_at + PROGRESS {
        sum.told_at = since;
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn shorten(asked: &Asked, ran: &Ran) -> Shrunk {
    let all: Vec<u64> = asked.only.clone().unwrap_or_else(|| (1..=asked.steps).collect());
    let terminal = io::stderr().is_terminal();
    let mut told = (Instant::now(), usize::MAX);
    let begun = Instant::now();
    shrink(ran, &all, asked.jobs, |left, tried| {
        if told.0.elapsed() >= if terminal { Duration::from_millis(100) } else { PROGRESS } && told.1 != left
        {
            told = (Instant::now(), left);
            let (before, after) = if terminal { ("\r", " ") } else { ("", "\n") };
            let _ = write!(
                io::stderr(),
                "{before}shrinking: {left} steps are left after {tried} histories{after}"
            );
        }
        begun.elapsed() < asked.shrink
    })
}

fn text(asked: &Asked, sum: &Sum, seconds: f64, shrunk: Option<&Shrunk>) -> String {
    let (done, steps, coverage) = (sum.done, asked.steps, &sum.coverage);
    let pace = done as f64 / seconds.max(0.001);
    let mut text =
        format!("\n{coverage}\n{done} seeds of {steps} steps in {seconds:.1} s, {pace:.1} a second");
    let Some(ran) = &sum.found else {
        text.push_str(": nothing found\n");
        if asked.coverage || asked.seeds >= SEVERAL {
            for missing in coverage.missing() {
                text.push_str(&format!("never reached: {missing}\n"));
            }
        }
        if asked.seeds < SEVERAL {
            for (seed, digest) in &sum.digests {
                text.push_str(&format!("digest of seed {seed}: {digest:016x}\n"));
            }
        } else {
            text.push_str(&format!("digest of all of them: {:016x}\n", together(&sum.digests)));
        }
        return text;
    };
    let shown = shrunk.map_or(ran, |shrunk| &shrunk.ran);
    let Some(found) = &shown.found else { return text };
    let (seed, step) = (shown.seed, found.step);
    let (first, whole) = found.what.split_once('\n').unwrap_or((&found.what, ""));
    text = format!("\nseed {seed}, step {step}: {first}\n");
    for difference in differences(&found.what) {
        text.push_str(&format!("  {difference}\n"));
    }
    text.push_str("\nbefore it:\n");
    for line in &found.story {
        text.push_str(&format!("  {line}\n"));
    }
    if !whole.is_empty() {
        text.push_str(&format!("\nwhole:\n{whole}\n"));
    }
    if let Some(Shrunk { steps, tried, .. }) = shrunk {
        text.push_str(&format!(
            "\n{} steps are left after {tried} shorter histories were tried\n",
            steps.len()
        ));
    }
    text.push_str(&format!("\nagain: {}\n", again(asked, ran, shrunk)));
    text
}

/// One digest of many.
fn together(digests: &BTreeMap<u64, u64>) -> u64 {
    digests
        .iter()
        .fold(0, |all, (seed, digest)| all.rotate_left(5).wrapping_mul(0x100_0000_01b3) ^ seed ^ digest)
}

fn again(asked: &Asked, ran: &Ran, shrunk: Option<&Shrunk>) -> String {
    let only = shrunk.map(|shrunk| &shrunk.steps).or(asked.only.as_ref());
    let only = only.map_or(String::new(), |steps| format!(" --only {}", shrink::spell(steps)));
    format!("cargo run --release -p tidegate-sim -- --seed {} --steps {}{only}", ran.seed, ran.steps)
}

fn json(asked: &Asked, sum: &Sum, seconds: f64, shrunk: Option<&Shrunk>) -> String {
    let quoted = |text: &str| {
        let escaped: String = text
            .chars()
            .map(|c| match c {
                '"' | '\\' => format!("\\{c}"),
                c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
                c => c.to_string(),
            })
            .collect();
        format!("\"{escaped}\"")
    };
    let found = sum.found.as_ref().and_then(|ran| {
        let shown = shrunk.map_or(ran, |shrunk| &shrunk.ran);
        let found = shown.found.as_ref()?;
        let story: Vec<String> = found.story.iter().map(|line| quoted(line)).collect();
        Some(format!(
            "{{\"seed\":{},\"step\":{},\"what\":{},\"differences\":[{}],\"again\":{},\"story\":[{}]}}",
            ran.seed,
            found.step,
            quoted(&found.what),
            differences(&found.what).iter().map(|line| quoted(line)).collect::<Vec<_>>().join(","),
            quoted(&again(asked, ran, shrunk)),
            story.join(",")
        ))
    });
    let found = found.unwrap_or_else(|| "null".to_owned());
    let reached: Vec<String> =
        sum.coverage.0.iter().map(|(name, count)| format!("{}:{count}", quoted(name))).collect();
    let digests: Vec<String> =
        sum.digests.iter().map(|(seed, digest)| format!("\"{seed}\":\"{digest:016x}\"")).collect();
    format!(
        "{{\"first_seed\":{},\"seeds\":{},\"steps\":{},\"seconds\":{seconds:.1},\"reached\":{{{}}},\"digests\":{{{}}},\"found\":{found}}}\n",
        asked.seed,
        sum.done,
        asked.steps,
        reached.join(","),
        digests.join(",")
    )
}
