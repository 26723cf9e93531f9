//! What a mail server's refusal means for the next attempt.
//!
//! | reply | verdict |
//! |---|---|
//! | 4xx that says when ("try again in 30 seconds", "retry after 1 minute") | then, an hour at most |
//! | 4xx that says "too many" and not when | after a minute |
//! | other 4xx | by the queue's own policy |
//! | 5xx | by the queue's own policy |
//!
//! A 5xx is meant to be final, but seldom is what it says: relays answer 550 or 554 for a policy, a blocked network, a
//! reputation or a full quota, and take the same mail an hour later. Another few attempts cost little; a mail that is
//! given up for dead at once costs somebody's trust. The queue's last attempt ends it, and the dead letter has the text.

use std::time::Duration;

use super::Verdict;

/// However long a server asks for.
const WAIT_MAX: Duration = Duration::from_secs(3_600);
/// When it was too much and the server does not say for how long.
const TOO_MANY_WAIT: Duration = Duration::from_secs(60);

/// The verdict on a reply with this code and text.
#[must_use]
pub fn classify(code: u16, text: &str) -> Verdict {
    if !(400..500).contains(&code) {
        return Verdict::Retry;
    }
    let text = text.to_lowercase();
    match hint(&text) {
        Some(wait) => Verdict::RetryAfter(wait.min(WAIT_MAX)),
        None if text.contains("too many") => Verdict::RetryAfter(TOO_MANY_WAIT),
        None => Verdict::Retry,
    }
}

/// The time to wait that the text names: a number and a unit behind "in", "after" or "wait", once there was talk of
/// another attempt. "100 messages in 1 hour" is a limit and no hint.
fn hint(text: &str) -> Option<Duration> {
    let mut words = text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .skip_while(|word| !matches!(*word, "again" | "retry" | "wait"))
        .peekable();
    while let Some(word) = words.next() {
        if !matches!(word, "in" | "after" | "wait" | "for" | "least" | "about") {
            continue;
        }
        let Some(next) = words.peek() else { break };
        let digits = next.len() - next.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let Ok(number) = next[..digits].parse::<u32>() else { continue };
        let unit = next[digits..].to_owned();
        words.next();
        // "30s" has its unit with it; "30 seconds" behind it; "after 30" means seconds, as in HTTP.
        let unit = if unit.is_empty() { words.peek().copied().unwrap_or("s").to_owned() } else { unit };
        let seconds = match unit.as_str() {
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3_600,
            _ => 1,
        };
        return Some(Duration::from_secs(u64::from(number) * seconds));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_replies() {
        let after = |seconds| Verdict::RetryAfter(Duration::from_secs(seconds));
        for (code, text, expected) in [
            (451, "4.7.1 Greylisted, try again in 30 seconds", after(30)),
            (451, "too many, try again in 1 seconds", after(1)),
            (421, "Service busy; retry after 1 minute", after(60)),
            (450, "Please wait 5 minutes before you send more", after(300)),
            (450, "please wait at least 10 min and try again", after(600)),
            (421, "4.3.2 Retry in 90s", after(90)),
            (451, "Rate limited. Retry-After: 120", after(120)),
            (452, "try again in 2 hours", after(3_600)),
            (452, "try again after 4294967295 hours", after(3_600)),
            (421, "Too many connections from your host", after(60)),
            (450, "4.7.0 You have sent too many messages in 1 hour, try again later", after(60)),
            (451, "Too many: 100 in 5 minutes. Try again in 7 minutes.", after(420)),
            (421, "Service not available, closing transmission channel", Verdict::Retry),
            (450, "Mailbox busy, try again later", Verdict::Retry),
            (451, "Local error 30 in module 5", Verdict::Retry),
            (452, "", Verdict::Retry),
            (451, "try again in", Verdict::Retry),
            (451, "try again in 99999999999999999999 seconds", Verdict::Retry),
            (550, "5.1.1 No such user", Verdict::Retry),
            (550, "too many, try again in 30 seconds", Verdict::Retry),
            (554, "5.7.1 Rejected by policy", Verdict::Retry),
            (354, "an answer that belongs elsewhere", Verdict::Retry),
        ] {
            assert_eq!(classify(code, text), expected, "{code} {text}");
        }
    }
}
