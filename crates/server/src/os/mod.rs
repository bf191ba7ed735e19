//! What the node asks of this process, over net and disk: `node_os` is its trait, `host` the state of the process,
//! and each other file a subject of which both node and process know something.

mod aof_rewrite;
mod busy;
mod certificates;
mod children;
mod client_memory;
mod clients;
mod config_set;
mod debugging;
mod deferred;
mod defragging;
mod downstream;
mod info;
mod metrics;
mod node_os;
mod service;
mod snapshots_in;
mod snapshots_out;
mod upstream;

pub mod defrag;
pub mod host;
pub mod loading;
pub mod shutdown;
pub mod start;
pub mod stats;
