//! What a changed key sets off: WATCH, blocked clients, publish and subscribe, notifications.

pub(crate) mod blocking;
pub mod notify;
pub(crate) mod pubsub;
pub(crate) mod watch;
