//! See `tidegate_fuzz::history`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::history::check(data));
