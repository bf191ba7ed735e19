//! The libraries that Redis's scripts have beside Lua's own, in safe Rust: whatever bytes and numbers a script
//! passes, they end in a value or in an error of Lua's. Must not know a command.

pub(crate) mod arguments;
pub(crate) mod bit;
pub(crate) mod cjson;
pub(crate) mod cmsgpack;
mod number;
pub(crate) mod structs;

/// Deeper than this nothing of a script's is followed: each level takes of our own stack.
pub(crate) const DEPTH_MAX: usize = 2600;
