//! What is told of the server: INFO, statistics, the logs of commands, latency, and which Redis it is like.

/// What clients gate features on: the version of Redis whose behaviour this is.
pub const REDIS_VERSION: &str = "7.2.4";

pub(crate) mod command_log;
mod info;
pub(crate) mod latency_monitor;
pub(crate) mod stats;
