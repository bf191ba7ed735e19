//! Any bytes as compressed data and as data to compress.
#![no_main]

#[path = "../../crates/persist/tests/fuzz_entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::lzf(data));
