//! The deliberate bugs of the crates below, by name.

/// All of them, and what each does.
#[must_use]
pub fn bugs() -> Vec<(&'static str, &'static str)> {
    tidegate_core::sabotage::BUGS.iter().chain(tidegate_log::sabotage::BUGS).copied().collect()
}

/// Puts one in, for the whole process, and takes every other out.
pub fn choose(name: &str) {
    tidegate_core::sabotage::choose(name);
    tidegate_log::sabotage::choose(name);
}
