//! What every test of Tandem shares, and no product code ever uses: real server processes with their
//! files and ports, a raw client, a proxy that breaks links, load, data, and waiting on conditions.
//!
//! Must not: sleep on behalf of a test (tests wait on conditions through [`wait`]), touch a process
//! that it did not start, or know what any single test is about.

// The modules that drive real processes own sockets, files, threads and a clock: the lint that keeps
// those out of the lower crates is lifted for them one by one, so that simulations stay under it.
#[allow(clippy::disallowed_methods)]
pub mod binaries;
#[allow(clippy::disallowed_methods)]
pub mod certificates;
pub mod client;
#[allow(clippy::disallowed_methods)]
pub mod daemon;
#[allow(clippy::disallowed_methods)]
pub mod fake_master;
#[allow(clippy::disallowed_methods)]
pub mod faults;
pub mod fill;
pub mod info;
#[allow(clippy::disallowed_methods)]
pub mod load;
#[allow(clippy::disallowed_methods)]
pub mod ports;
#[allow(clippy::disallowed_methods)]
pub mod process;
#[allow(clippy::disallowed_methods)]
pub mod proxy;
pub mod replication;
#[allow(clippy::disallowed_methods)]
pub mod server;
pub mod sim;
#[allow(clippy::disallowed_methods)]
pub mod terminal;
#[allow(clippy::disallowed_methods)]
pub mod wait;

pub use client::{Client, Reply};
pub use daemon::Daemon;
pub use fake_master::{Answer, FakeMaster};
pub use faults::Faults;
pub use info::Info;
pub use load::Load;
pub use proxy::{Direction, Proxy};
pub use server::{Kind, Server, ServerBuilder};
pub use wait::{LONG, SHORT, wait_for, wait_until};
