//! Connections, whoever is at the other end. Knows no command, no file and no role.

pub mod limits;
pub mod master_link;
pub mod peers;
