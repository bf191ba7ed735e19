//! store

pub mod hash;
pub mod limits;
pub mod list;
pub mod set;
pub mod str;
pub mod value;
pub mod zset;
