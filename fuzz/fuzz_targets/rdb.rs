//! Any bytes as a snapshot and as a payload of RESTORE.
#![no_main]

#[path = "../../crates/persist/tests/fuzz_entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::rdb(data));
