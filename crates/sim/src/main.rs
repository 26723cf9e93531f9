//! Runs seeds and says what was found.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use tidegate_sim::{Coverage, Ran, STEPS, run};

const USAGE: &str = "\
usage: tidegate-sim [--seed FIRST] [--seeds COUNT] [--steps COUNT] [--json]

  --seed FIRST    the first seed (1)
  --seeds COUNT   how many, one after another (1 with --seed, else 100)
  --steps COUNT   things that happen in each (4000)
  --json          the summary as JSON, on standard output

Ends with 1 if something was found, after its seed: the seeds behind it are not run.
";

struct Asked {
    seed: u64,
    seeds: u64,
    steps: u64,
    json: bool,
}

fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let (mut seed, mut seeds, mut steps, mut json) = (None, None, STEPS, false);
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().ok_or(format!("{word} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{word} needs a number, not {value}"))
        };
        match word.as_str() {
            "--seed" => seed = Some(number()?),
            "--seeds" => seeds = Some(number()?),
            "--steps" => steps = number()?,
            "--json" => json = true,
            _ => return Err(format!("{word} means nothing here")),
        }
    }
    let seeds = seeds.unwrap_or(if seed.is_some() { 1 } else { 100 });
    Ok(Asked { seed: seed.unwrap_or(1), seeds, steps, json })
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            let _ = write!(io::stderr(), "{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let mut coverage = Coverage::default();
    let mut found = None;
    let mut done = 0;
    for seed in asked.seed..asked.seed + asked.seeds {
        let ran = run(seed, asked.steps);
        coverage.add(&ran.coverage);
        done += 1;
        if io::stderr().is_terminal() {
            let seconds = begun.elapsed().as_secs_f64();
            let _ = write!(io::stderr(), "\r{done} of {} seeds, {seconds:.0} s ", asked.seeds);
        }
        if ran.found.is_some() {
            found = Some(ran);
            break;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let summary = if asked.json {
        json(&asked, done, seconds, &coverage, found.as_ref())
    } else {
        text(&asked, done, seconds, &coverage, found.as_ref())
    };
    let _ = io::stdout().write_all(summary.as_bytes());
    if found.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn text(asked: &Asked, done: u64, seconds: f64, coverage: &Coverage, ran: Option<&Ran>) -> String {
    let mut text = format!("\n{coverage}\n{done} seeds of {} steps in {seconds:.1} s", asked.steps);
    match ran.and_then(|ran| Some((ran, ran.found.as_ref()?))) {
        None => {
            text.push_str(": nothing found\n");
            for missing in coverage.missing() {
                text.push_str(&format!("never reached: {missing}\n"));
            }
        }
        Some((ran, found)) => {
            text =
                found.story.iter().fold("\nbefore it:\n".to_owned(), |text, line| text + "  " + line + "\n");
            let (seed, step, what) = (ran.seed, found.step, &found.what);
            text.push_str(&format!("\nseed {seed}, step {step}: {what}\n\nagain: {}\n", again(ran)));
        }
    }
    text
}

fn again(ran: &Ran) -> String {
    format!("cargo run --release -p tidegate-sim -- --seed {} --steps {}", ran.seed, ran.steps)
}

fn json(asked: &Asked, done: u64, seconds: f64, coverage: &Coverage, ran: Option<&Ran>) -> String {
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
    let found =
        ran.and_then(|ran| Some((ran, ran.found.as_ref()?))).map_or("null".to_owned(), |(ran, found)| {
            let story: Vec<String> = found.story.iter().map(|line| quoted(line)).collect();
            format!(
                "{{\"seed\":{},\"step\":{},\"what\":{},\"again\":{},\"story\":[{}]}}",
                ran.seed,
                found.step,
                quoted(&found.what),
                quoted(&again(ran)),
                story.join(",")
            )
        });
    let reached: Vec<String> =
        coverage.0.iter().map(|(name, count)| format!("{}:{count}", quoted(name))).collect();
    format!(
        "{{\"first_seed\":{},\"seeds\":{done},\"steps\":{},\"seconds\":{seconds:.1},\"reached\":{{{}}},\"found\":{found}}}\n",
        asked.seed,
        asked.steps,
        reached.join(",")
    )
}
