//! Any bytes as what a master and replicas say on their links, with a driver's answers in between.
#![no_main]

#[path = "../../crates/repl/tests/fuzz_entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::link(data));
