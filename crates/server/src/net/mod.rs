//! Connections, whoever is at the other end. Knows no command, no file and no role.

pub mod client_memory;
pub mod conn;
pub mod limits;
pub mod link;
pub mod listener;
pub mod listeners;
pub mod master_link;
pub mod migration;
pub mod peers;
pub mod resolver;
pub mod tls;
pub mod token;
pub mod transport;
pub mod wire;
