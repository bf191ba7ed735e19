//! redis-check-rdb and redis-check-aof: what files hold, and where they are broken.
//!
//! What is right and wrong is `persist`'s to say; here it is put into the words of Redis's tools.

mod aof;
mod explain;
mod rdb;

pub use aof::run as run_aof;
pub use rdb::run as run_rdb;
