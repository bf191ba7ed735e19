//! The process and its machine: clocks, randomness, signals, threads' word to the loop, the log, the kernel's
//! switches, memory. Lowest room: it names nothing of this crate, and is told values.

pub mod allocator;
pub mod clock;
pub mod crash;
pub mod daemon;
pub mod entropy;
pub mod fork;
pub mod heap;
pub mod lazy_free;
pub mod log_line;
pub mod logging;
pub mod mailbox;
pub mod mallctl;
pub mod memory;
pub mod os_error;
pub mod sessions;
pub mod signals;
pub mod supervisor;
pub mod title;
pub mod version;
pub mod watchdog;
