//! What TLS is made of here: certificates and keys from files, whom to trust, what is offered, and one session
//! over any pair of `Read` and `Write`.
//!
//! Must not: open a socket, wait, log, or know a directive or a flag of a tool. Files are read when a context
//! is made, and at no other time.

// Certificates are files, and sessions that may be resumed end with their time.
#![allow(clippy::disallowed_methods)]

mod certificate;
mod ciphers;
mod error;
mod pem;
mod session;
mod session_cache;
mod settings;
mod trust;

pub use certificate::Validity;
pub use error::ConfigError;
pub use pem::Identity;
pub use session::{Received, Session};
pub use settings::{AuthClients, Authorities, Client, Offer, Server, Sessions};
