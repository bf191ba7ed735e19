//! How errors of the operating system are said. Owns nothing else.

/// An I/O error in the words of the C library, without Rust's "(os error 2)".
pub fn os_error(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(errno) => {
            text.strip_suffix(&format!(" (os error {errno})")).unwrap_or(&text).to_owned()
        }
        None => text,
    }
}
