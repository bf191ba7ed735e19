//! Any bytes as what the libraries of scripts read: msgpack, JSON, struct.
#![no_main]

#[path = "../../crates/engine/tests/fuzz_entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::script_libs(data));
