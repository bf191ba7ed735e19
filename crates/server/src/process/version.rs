//! Which program this is: its own version, its build, and the release of Redis that it answers as.

/// The release of Redis that clients are told, and whose behaviour is the contract.
pub const REDIS_VERSION: &str = "7.2.4";

/// Tandem's own version.
pub const TANDEM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that this was built from, when the build was told, in eight digits.
pub fn commit() -> &'static str {
    option_env!("TANDEM_COMMIT").unwrap_or("00000000")
}
