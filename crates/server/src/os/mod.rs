//! What the node asks of this process, over net and disk.

mod children;
mod client_memory;
pub mod loading;
