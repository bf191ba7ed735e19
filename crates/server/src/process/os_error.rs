//! How errors of the operating system are said. Owns nothing else.

/// An I/O error in the words of the C library, without Rust's "(os error 2)".
pub fn os_error(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => nix::errno::Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    }
}
