//! The whole database without I/O: command table, one file per command family, client state,
//! transactions, blocking, pub/sub.
//!
//! Owns what a command means. Knows no socket, file, thread or clock: time comes in with every
//! call ([`Now`]), the world is asked through [`World`], effects go out as values.

mod clients;
pub mod command;
mod commands;
mod data;
mod door;
mod engine;
mod error;
mod events;
mod ids;
mod lifecycle;
mod report;
mod script;
pub mod settings;
pub mod world;

pub use clients::client::{self, Client, Kind, Peer};
pub use clients::selector::Denial;
pub use clients::users;
pub use data::ahead::{KeysAhead, PREFETCH_BATCH};
pub use data::view::View;
pub use door::call::{Call, Caller, Inside};
pub use door::stream_fault::StreamFault;
pub use door::{pause, propagate};
pub use engine::{Engine, Role};
pub use error::CommandError;
pub use events::blocking::Unblocked;
pub use events::notify;
pub use ids::ClientId;
pub use report::REDIS_VERSION;
pub use report::command_log::CommandLogFigures;
pub use script::stored::check_libraries;
pub use settings::Settings;
pub use world::{Action, Now, Outcome, World};
