//! Who is connected, and who was refused.

pub(crate) mod acl_log;
pub mod client;
pub(crate) mod line;
