//! Who is connected, as whom, what that allows, and who was refused.

pub(crate) mod acl_log;
pub mod client;
pub(crate) mod line;
pub(crate) mod password;
pub(crate) mod pattern;
pub(crate) mod rules;
pub(crate) mod selector;
pub(crate) mod user;
pub mod users;
