//! What a changed key sets off: WATCH, blocked clients, publish and subscribe, notifications, invalidations.

pub(crate) mod blocking;
pub(crate) mod key_map;
pub mod notify;
pub(crate) mod pubsub;
pub(crate) mod push;
pub(crate) mod roster;
pub(crate) mod tracking;
pub(crate) mod watch;
