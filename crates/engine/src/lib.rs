//! The whole database without I/O: command table, one file per command family, client state,
//! transactions, blocking, pub/sub.
//!
//! Owns what a command means. Knows no socket, file, thread or clock: time comes in with every
//! call ([`Now`]), the world is asked through [`World`], effects go out as values.

mod access;
mod acl_log;
mod bits;
mod blocking;
mod busy;
mod call;
pub mod client;
pub mod command;
mod command_arguments;
mod commands;
mod ctx;
mod dispatch;
mod engine;
mod error;
mod evict;
mod expire;
mod info;
pub mod key_spec;
mod keys;
mod latency_monitor;
mod lifecycle;
pub mod notify;
pub mod pause;
pub mod propagate;
mod pubsub;
mod redact;
mod replica_expiry;
pub mod settings;
mod slowlog;
mod stats;
mod table;
mod typed;
mod watch;
pub mod world;

pub use call::{Call, Caller, Inside, View};
pub use client::{Client, ClientId, Kind, Peer};
pub use commands::connection::REDIS_VERSION;
pub use engine::{Engine, PREFETCH_BATCH, Role};
pub use error::CommandError;
pub use settings::Settings;
pub use world::{Action, Now, Outcome, World};
