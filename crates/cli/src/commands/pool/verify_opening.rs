//! `tidegate pool verify-opening`: draws an opening again, and says what came out the same and what was not checked.
//!
//! What is checked: the seed hashes to the commitment; every rank is the one that seed and holder give; nobody is there twice. A
//! commitment that the server itself tells now proves little: only with one that was noted before the opening does the
//! opening hold. Left out: who was served, which is in the holders' stories. What cannot be checked: that whoever runs the
//! server has not looked at the seed, or made up holders, see `docs/decisions/openings-are-drawn.md`. Nor can an opening that is more
//! than 30 days old: the server has forgotten who took part, and this says so.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use tidegate::Client;
use tidegate::api::pool::view::Entrant;
use tidegate_core::pool::order;

use crate::failure::{Misuse, Unchecked};
use crate::output::{Out, Paint, note, thousands};

/// Draw an opening again from its seed and the list of who took part
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate pool verify-opening tickets --commitment c62e46…
  tidegate pool verify-opening tickets --holder anna    where does she stand?

The commitment is the one that you noted before the opening. Without it only the ranks are checked, and the command \
ends with 5, as that proves nothing about the seed.

A server remembers for 30 days from the opening on who took part; keep the list to draw again later.

Without a server: --seed, --commitment and --entrants FILE, a holder a line. The rank is the first eight bytes \
of SHA-256(seed, holder) as a big-endian number, without its lowest bit; the line is by rank.

Who was served is not looked at: `tidegate pool holder NAME` tells it of each. In JSON, `holds` is null where it could not be told.")]
pub(crate) struct Args {
    /// The pool
    #[arg(required_unless_present = "entrants")]
    pool: Option<String>,

    /// What the pool showed before the opening, in hex [default: what it shows now, which proves nothing]
    #[arg(long, value_name = "HEX", required_unless_present = "pool")]
    commitment: Option<String>,

    /// The seed, in hex [default: what the pool shows]
    #[arg(long, value_name = "HEX", required_unless_present = "pool")]
    seed: Option<String>,

    /// Who took part, a holder a line [default: asks the server]
    #[arg(long, value_name = "FILE")]
    entrants: Option<PathBuf>,

    /// Say where this holder stands
    #[arg(long)]
    holder: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Verdict {
    /// Whether the opening holds; nothing where no fault was found and the commitment is not one noted before.
    holds: Option<bool>,
    /// Whether the commitment is one that was noted before, and not what the server says now.
    commitment_noted: bool,
    checked: Vec<&'static str>,
    not_checked: Vec<&'static str>,
    commitment: String,
    seed: String,
    /// In the order that was drawn.
    order: Vec<String>,
    faults: Vec<String>,
}

/// What is always checked.
const CHECKED: [&str; 3] = [
    "the seed is the one committed to",
    "the ranks follow from the seed and the entrants",
    "no entrant is there twice",
];
const NOTED: &str = "the commitment is the one noted before the opening";
const SERVED: &str = "who was served, and whether all who joined are listed";

/// Draws again.
pub(super) async fn run(args: Args, client: &Client, out: &mut Out) -> anyhow::Result<()> {
    let (shown_commitment, shown_seed) = match &args.pool {
        Some(pool) => {
            let pool = client.show_pool(pool).await?;
            (pool.commitment, pool.seed)
        }
        None => (None, None),
    };
    let is_noted = args.commitment.is_some();
    let commitment = args
        .commitment
        .or(shown_commitment)
        .ok_or_else(|| Misuse::error("the pool shows no commitment: its opening is not of mode shuffle"))?;
    let seed = args
        .seed
        .or(shown_seed)
        .ok_or_else(|| Misuse::error("the seed is not shown yet: the pool has not opened"))?;
    let entrants = match (&args.entrants, &args.pool) {
        (Some(file), _) => read(file)?,
        (None, Some(pool)) => client.pool(pool).entrants().await?.into_iter().map(Drawn::from).collect(),
        (None, None) => Vec::new(),
    };
    if entrants.is_empty() {
        note("nobody is known to have taken part; a server forgets that 30 days after the opening");
    }
    let verdict = verify(commitment, is_noted, seed, entrants)?;
    say(&verdict, args.holder.as_deref(), out)?;
    match verdict.holds {
        Some(true) => Ok(()),
        Some(false) => anyhow::bail!("the opening does not hold: {}", verdict.faults.join("; ")),
        None => Err(Unchecked(
            "the commitment was not checked against one noted before the opening: --commitment",
        )
        .into()),
    }
}

/// Somebody who took part.
struct Drawn {
    holder: String,
    /// Of two equal ranks the earlier goes first.
    number: u64,
    /// What the server says; nothing if only the name is known.
    rank: Option<String>,
}

impl From<Entrant> for Drawn {
    fn from(entrant: Entrant) -> Self {
        Drawn { holder: entrant.holder, number: entrant.number, rank: Some(entrant.rank) }
    }
}

fn read(file: &PathBuf) -> anyhow::Result<Vec<Drawn>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let drawn = |(number, line): (u64, &str)| Drawn { holder: line.to_owned(), number, rank: None };
    Ok((1..).zip(text.lines().filter(|line| !line.is_empty())).map(drawn).collect())
}

fn verify(
    commitment: String,
    commitment_noted: bool,
    seed_text: String,
    entrants: Vec<Drawn>,
) -> anyhow::Result<Verdict> {
    let seed = bytes("the seed", &seed_text)?;
    let mut faults = Vec::new();
    if order::commitment(&seed) != bytes("the commitment", &commitment)? {
        faults.push("the seed is not the one that was committed to".to_owned());
    }
    let mut ranked = Vec::with_capacity(entrants.len());
    let mut seen = HashSet::with_capacity(entrants.len());
    for Drawn { holder, number, rank } in entrants {
        let drawn = order::rank(&seed, &holder);
        if rank.is_some_and(|rank| rank != format!("{drawn:016x}")) {
            faults.push(format!("the rank of {holder} is not the one that seed and name give"));
        }
        if !seen.insert(holder.clone()) {
            faults.push(format!("{holder} took part twice"));
        }
        ranked.push((drawn, number, holder));
    }
    ranked.sort_unstable();
    let order = ranked.into_iter().map(|(_, _, holder)| holder).collect();
    let holds = if faults.is_empty() { commitment_noted.then_some(true) } else { Some(false) };
    let (mut checked, mut not_checked) = (CHECKED.to_vec(), vec![SERVED]);
    let told = if commitment_noted { &mut checked } else { &mut not_checked };
    told.insert(0, NOTED);
    Ok(Verdict { holds, commitment_noted, checked, not_checked, commitment, seed: seed_text, order, faults })
}

fn bytes(what: &str, hex: &str) -> anyhow::Result<[u8; 32]> {
    let wrong = || Misuse::error(format!("{what} must be 64 hexadecimal digits, not {hex:?}"));
    if hex.len() != 64 || !hex.is_ascii() {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

fn say(verdict: &Verdict, holder: Option<&str>, out: &mut Out) -> anyhow::Result<()> {
    if out.style().is_json() {
        out.json(verdict)?;
        return Ok(());
    }
    for fault in &verdict.faults {
        note(fault);
    }
    let style = out.style();
    if verdict.faults.is_empty() {
        let count = thousands(verdict.order.len() as u64);
        let word = match verdict.commitment_noted {
            true => style.paint(Paint::Good, "The opening holds: the seed is the one committed to before"),
            false => "The seed is the one that the server says it had committed to".to_owned(),
        };
        out.line(format!("{word}, and {count} ranks follow from it and the entrants."))?;
        out.line(format!("Not checked: {}.", verdict.not_checked.join("; ")))?;
    }
    match holder {
        Some(holder) => match verdict.order.iter().position(|other| other == holder) {
            Some(place) => {
                out.line(format!("{holder} was drawn as number {}.", thousands(place as u64 + 1)))?
            }
            None => out.line(format!("{holder} did not take part."))?,
        },
        None => {
            for (place, holder) in verdict.order.iter().enumerate().take(10) {
                out.line(format!("{:>6}  {holder}", place + 1))?;
            }
            if verdict.order.len() > 10 {
                out.line(format!(
                    "     …  {} more; --json has all",
                    thousands(verdict.order.len() as u64 - 10)
                ))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "7878787878787878787878787878787878787878787878787878787878787878";
    const COMMITMENT: &str = "c62e4615bd39e222572f3a1bf7c2132ea1e65b17ec805047bd6b2842c593493f";

    fn drawn(holder: &str, rank: Option<&str>) -> Drawn {
        Drawn { holder: holder.into(), number: 1, rank: rank.map(str::to_owned) }
    }

    fn check(commitment: &str, entrants: impl Fn() -> Vec<Drawn>, faults: &[&str]) {
        for noted in [true, false] {
            let verdict = verify(commitment.into(), noted, SEED.into(), entrants()).expect("hex");
            assert_eq!(verdict.faults, faults);
            let holds = if faults.is_empty() { noted.then_some(true) } else { Some(false) };
            assert_eq!(verdict.holds, holds, "a commitment that the server says now proves nothing");
            assert_eq!(
                (verdict.checked.contains(&NOTED), verdict.not_checked.contains(&NOTED)),
                (noted, !noted)
            );
            assert!(verdict.not_checked.contains(&SERVED));
        }
    }

    /// The rank is that of `printf … | sha256sum`, halved.
    #[test]
    fn a_sound_opening_holds_and_each_fault_is_named() {
        let s1 = || drawn("s1", Some("370d933c116591ad"));
        check(COMMITMENT, || vec![s1(), drawn("s2", None)], &[]);
        check(&"0".repeat(64), || vec![s1()], &["the seed is not the one that was committed to"]);
        let moved = || vec![drawn("s1", Some("0000000000000001"))];
        check(COMMITMENT, moved, &["the rank of s1 is not the one that seed and name give"]);
        check(COMMITMENT, || vec![s1(), s1()], &["s1 took part twice"]);
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for hex in ["", "12", &"g".repeat(64), &"ä".repeat(32)] {
            assert!(bytes("the seed", hex).is_err(), "{hex}");
        }
    }
}
