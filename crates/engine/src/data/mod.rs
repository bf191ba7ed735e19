//! How handlers reach keys, and what takes keys away by itself: expiry and eviction.

pub(crate) mod access;
pub mod ahead;
pub(crate) mod evict;
pub(crate) mod expire;
mod fields;
mod invalidate;
mod keys;
pub(crate) mod replica_expiry;
pub(crate) mod typed;
pub mod view;
