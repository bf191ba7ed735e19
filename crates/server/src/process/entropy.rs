//! Randomness of the kernel, for what must not be guessed: run ids, replication ids, hash seeds.

use std::fs::File;
use std::io::Read;

/// Twenty bytes that nobody can predict.
pub fn twenty_bytes() -> [u8; 20] {
    let mut bytes = [0; 20];
    // SAFETY: writes at most the given length into a buffer of that length.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == bytes.len() as isize {
        return bytes;
    }
    // An old kernel or a seccomp filter: the device says the same.
    let read = File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes));
    assert!(read.is_ok(), "the kernel gives no randomness: {read:?}");
    bytes
}

/// A random number, for seeds.
pub fn word() -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = twenty_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Forty hexadecimal digits, as `run_id` is.
pub fn forty_hex_digits() -> String {
    repl::ReplId::from_random(twenty_bytes()).to_string()
}
