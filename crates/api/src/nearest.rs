//! Finds the known name that a misspelt one was probably meant to be.

/// The known name nearest to `name`, if one is near enough that its writer would nod.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters wrong is still a slip; of very long nonsense nothing is near, so nothing is compared.
    let distance_max = (name.chars().count() / 3).max(1);
    if name.len() > 64 {
        return None;
    }
    known
        .map(|candidate| (slip(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How far `name` is from `candidate`. A name without its unit or with one too many (`delay` for `delay_ms`) is
/// one slip, however many letters that is.
fn slip(name: &str, candidate: &str) -> usize {
    let starts_with =
        |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('_'));
    if starts_with(candidate, name) || starts_with(name, candidate) { 1 } else { distance(name, candidate) }
}

/// How many letters must be put in, taken out or replaced to make `from` into `to` (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_insertions_deletions_and_replacements() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("delay", "dealy", 2),
            ("ä", "a", 1),
        ] {
            assert_eq!(distance(from, to), expected, "{from} → {to}");
        }
    }

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let known = ["kind", "payload", "priority", "run_at", "delay_ms"];
        let find = |name: &str| nearest(name, known.into_iter());
        assert_eq!(find("prioritty"), Some("priority"));
        assert_eq!(find("pay_load"), Some("payload"));
        assert_eq!(find("delay"), Some("delay_ms"));
        assert_eq!(find("run_at_ms"), Some("run_at"));
        assert_eq!(find("delayms"), Some("delay_ms"));
        assert_eq!(find("frobnicate"), None);
        assert_eq!(find(&"priority".repeat(1_000)), None);
    }
}
